// The sparse rows V(i, .) on the device: lists of (row, column) pairs as single numbers. torch
// sorts them and makes them unique, and kernels compute the value of each pair.
//
// One thread per neighbour decides which images it adds to a set. One warp per pair computes the
// weight. Sums have a fixed order, without atomics. The host reads the lengths of two lists.
#pragma once

#include "rerank/features_cuda.cuh"

namespace reid_ext::rerank {

// V as ascending pairs row * n + column with values. The pairs of row i start at offsets[i].
struct Encoding {
  Tensor pairs, values, offsets;
};

template <typename T>
struct EncodingView {
  const int64_t *pairs, *offsets;
  const T* values;
  int64_t n;

  explicit EncodingView(const Encoding& e)
      : pairs(e.pairs.const_data_ptr<int64_t>()),
        offsets(e.offsets.const_data_ptr<int64_t>()),
        values(e.values.const_data_ptr<T>()),
        n(e.offsets.size(0) - 1) {}
};

#define REID_FOR_EACH(e, count)                                                           \
  for (int64_t e = int64_t(blockIdx.x) * kBlockThreads + threadIdx.x; e < int64_t(count); \
       e += int64_t(gridDim.x) * kBlockThreads)

// Launches a kernel with one thread per item.
template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), int64_t items, const Tensor& like,
            Arguments... arguments) {
  if (items == 0) return;  // a zero-sized grid is a launch error
  kernel<<<grid_for(items, kBlockThreads), kBlockThreads, 0, current_stream(like)>>>(arguments...);
  STD_CUDA_KERNEL_LAUNCH_CHECK();
}

inline Tensor new_integers(const Tensor& like, int64_t count) {
  return torch::stable::new_empty(like, {count}, ScalarType::Long);
}

inline Tensor running_sum(const Tensor& counts) {
  return call<Tensor>("aten::cumsum", "", counts, int64_t(0), std::optional<ScalarType>());
}

// The last of some integers, on the host. This waits for the device.
inline int64_t last_of(const Tensor& t) {
  if (t.numel() == 0) return 0;
  const Tensor last = rows_of(t, t.numel() - 1, 1);
  const torch::stable::Device cpu(torch::headeronly::DeviceType::CPU);
  return torch::stable::to(last, cpu).const_data_ptr<int64_t>()[0];
}

// Whether each of the `size` nearest of an image has the image among its own; index is (n, kept).
static __global__ void mutual_kernel(const int64_t* __restrict__ index, int64_t kept, int64_t size,
                                     int64_t n, int64_t* __restrict__ mutual) {
  REID_FOR_EACH(e, n * size) {
    const int64_t i = e / size, j = index[i * kept + e % size];
    bool found = false;
    for (int64_t a = 0; a < size; ++a) found |= index[j * kept + a] == i;
    mutual[e] = found;
  }
}

// The nearest images of all images, and which of them are mutual.
struct Graph {
  const int64_t *index, *wide, *half;  // (n, kept), (n, wide_size), (n, half_size)
  int64_t n, kept, wide_size, half_size;

  __device__ bool has(int64_t i, int64_t j) const {  // whether j is in R(i, k1)
    bool found = false;
    for (int64_t a = 0; a < wide_size; ++a) {
      found |= wide[i * wide_size + a] != 0 && index[i * kept + a] == j;
    }
    return found;
  }
};

// The number of pairs that each neighbour c of an image adds: c itself, and R(c, r(k1 / 2)) if R*
// includes it.
static __global__ void count_kernel(Graph g, int64_t* __restrict__ counts) {
  REID_FOR_EACH(e, g.n * g.wide_size) {
    counts[e] = 0;
    if (g.wide[e] == 0) continue;
    const int64_t i = e / g.wide_size, c = g.index[i * g.kept + e % g.wide_size];
    int64_t size = 0, shared = 0;
    for (int64_t b = 0; b < g.half_size; ++b) {
      if (g.half[c * g.half_size + b] == 0) continue;
      ++size;
      shared += g.has(i, g.index[c * g.kept + b]);
    }
    counts[e] = 1 + (expands(shared, size) ? size : 0);
  }
}

static __global__ void pairs_kernel(Graph g, const int64_t* __restrict__ counts,
                                    const int64_t* __restrict__ ends, int64_t* __restrict__ pairs) {
  REID_FOR_EACH(e, g.n * g.wide_size) {
    if (counts[e] == 0) continue;
    const int64_t i = e / g.wide_size, c = g.index[i * g.kept + e % g.wide_size];
    int64_t* out = pairs + (ends[e] - counts[e]);
    *out++ = i * g.n + c;
    for (int64_t b = 0; b < g.half_size && counts[e] > 1; ++b) {
      if (g.half[c * g.half_size + b] != 0) *out++ = i * g.n + g.index[c * g.kept + b];
    }
  }
}

// The start of each row: the first pair that is not below row * n.
static __global__ void offsets_kernel(const int64_t* __restrict__ pairs, int64_t count, int64_t n,
                                      int64_t* __restrict__ offsets) {
  REID_FOR_EACH(i, n + 1) {
    int64_t low = 0, high = count;
    while (low < high) {
      const int64_t middle = low + (high - low) / 2;
      if (pairs[middle] < i * n) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    offsets[i] = low;
  }
}

inline Tensor offsets_of(const Tensor& pairs, int64_t n) {
  const Tensor offsets = new_integers(pairs, n + 1);
  launch(offsets_kernel, n + 1, pairs, pairs.const_data_ptr<int64_t>(), pairs.numel(), n,
         offsets.mutable_data_ptr<int64_t>());
  return offsets;
}

// exp(-p) of every pair, by one warp, from the key of the neighbour or a newly computed key.
template <typename T, typename Pairs>
__global__ void weights_kernel(Pairs source, const int64_t* __restrict__ pairs, int64_t count,
                               const int64_t* __restrict__ index, const T* __restrict__ keys,
                               const T* __restrict__ farthest, int64_t kept, int64_t n,
                               T* __restrict__ weights) {
  const int lane = threadIdx.x % kWarp;
  const int64_t stride = int64_t(gridDim.x) * kBlockWarps;
  for (int64_t e = int64_t(blockIdx.x) * kBlockWarps + threadIdx.x / kWarp; e < count;
       e += stride) {
    const int64_t i = pairs[e] / n, j = pairs[e] % n;
    int64_t place = kept;
    for (int64_t a = lane; a < kept; a += kWarp) {
      if (index[i * kept + a] == j) place = a;
    }
    for (int offset = kWarp / 2; offset > 0; offset /= 2) {
      const int64_t other = __shfl_xor_sync(kFullMask, static_cast<long long>(place), offset);
      place = other < place ? other : place;
    }
    const T key = place < kept ? keys[i * kept + place] : source.key(i, j);
    if (lane == 0) weights[e] = exp(-source.row(i, farthest[i])(key));
  }
}

// Divides every row by its sum, one warp per row.
template <typename T>
__global__ void divide_kernel(const int64_t* __restrict__ offsets, int64_t n, T* __restrict__ v) {
  const int64_t stride = int64_t(gridDim.x) * kBlockWarps;
  for (int64_t i = int64_t(blockIdx.x) * kBlockWarps + threadIdx.x / kWarp; i < n; i += stride) {
    T sum = 0;
    const int lane = threadIdx.x % kWarp;
    for (int64_t e = offsets[i] + lane; e < offsets[i + 1]; e += kWarp) sum += v[e];
    sum = warp_sum(sum);
    for (int64_t e = offsets[i] + lane; e < offsets[i + 1]; e += kWarp) v[e] /= sum;
  }
}

inline Tensor mutual(const Tensor& index, int64_t size) {
  const int64_t n = index.size(0), kept = index.size(1);
  const Tensor out = new_integers(index, n * size);
  launch(mutual_kernel, n * size, index, index.const_data_ptr<int64_t>(), kept, size, n,
         out.mutable_data_ptr<int64_t>());
  return out;
}

// The pairs (i, j) with j in R*(i), in ascending order.
inline Tensor expanded_pairs(const Tensor& index, const Settings& settings) {
  const int64_t n = index.size(0);
  const Tensor wide = mutual(index, settings.wide(n)), half = mutual(index, settings.half(n));
  const Graph graph = {index.const_data_ptr<int64_t>(),
                       wide.const_data_ptr<int64_t>(),
                       half.const_data_ptr<int64_t>(),
                       n,
                       index.size(1),
                       settings.wide(n),
                       settings.half(n)};
  const Tensor counts = new_integers(index, wide.numel());
  launch(count_kernel, wide.numel(), index, graph, counts.mutable_data_ptr<int64_t>());
  const Tensor ends = running_sum(counts);
  const Tensor pairs = new_integers(index, last_of(ends));
  launch(pairs_kernel, wide.numel(), index, graph, counts.const_data_ptr<int64_t>(),
         ends.const_data_ptr<int64_t>(), pairs.mutable_data_ptr<int64_t>());
  const auto [unique, inverse, repeats] =
      call<Tensor, Tensor, Tensor>("aten::_unique2", "", pairs, true, false, false);
  return unique;
}

// V before averaging.
template <typename T, typename Pairs>
Encoding reciprocal_weights(Pairs source, const Found& found, const Settings& settings) {
  const int64_t n = found.indices.size(0), kept = found.indices.size(1);
  const Tensor pairs = expanded_pairs(found.indices, settings);
  const Tensor offsets = offsets_of(pairs, n);
  const int64_t count = pairs.numel();
  const Tensor values = torch::stable::new_empty(found.keys, {count});
  if (count == 0) return {pairs, values, offsets};
  const cudaStream_t stream = current_stream(pairs);
  weights_kernel<T><<<grid_for(count, kBlockWarps), kBlockThreads, 0, stream>>>(
      source, pairs.const_data_ptr<int64_t>(), count, found.indices.const_data_ptr<int64_t>(),
      found.keys.const_data_ptr<T>(), found.farthest.const_data_ptr<T>(), kept, n,
      values.mutable_data_ptr<T>());
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  divide_kernel<T><<<grid_for(n, kBlockWarps), kBlockThreads, 0, stream>>>(
      offsets.const_data_ptr<int64_t>(), n, values.mutable_data_ptr<T>());
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  return {pairs, values, offsets};
}

}  // namespace reid_ext::rerank
