// CUDA kernels of the mining ops. See mining.h for the contract.
//
// Up to kFusedKeys keys: one kernel with one block per anchor, whose warps compute the product with
// one key each. With more keys: cuBLAS makes tiles of the product in scratch memory. One block per
// anchor scans its row of the tile and keeps the hardest key so far in global memory between tiles.
// Then one warp per anchor computes the two exact distances.
// Backward: a stable sort groups the anchors by the key they chose, so the block that owns a row
// sums its contributions in a fixed order. There are no atomics, and every run gives the same bits.
#include <algorithm>

#include "common/cuda.cuh"
#include "common/product.h"
#include "mining/mining.h"

namespace reid_ext::mining {
namespace {

constexpr int64_t kFusedKeys = 256;
constexpr int64_t kCudaTileRows = 4096, kCudaTileCols = 4096;  // 64 MiB of float32: stays in L2

template <typename T>
struct View {  // the inputs as the kernels read them; groups may be null
  const T *x, *keys;
  const int64_t *labels, *key_labels, *groups, *key_groups;
  bool own_keys;
  Metric metric;
  int64_t n, m, d;
};

template <typename T>
View<T> view(const Problem& p) {
  const auto integers = [](const std::optional<Tensor>& t) {
    return t ? t->const_data_ptr<int64_t>() : nullptr;
  };
  return {p.x.const_data_ptr<T>(),
          p.keys.const_data_ptr<T>(),
          p.labels.const_data_ptr<int64_t>(),
          p.key_labels.const_data_ptr<int64_t>(),
          integers(p.groups),
          integers(p.key_groups),
          p.own_keys,
          p.metric,
          p.n,
          p.m,
          p.d};
}

template <typename T>
struct Output {
  int64_t *positive, *negative;
  T *positive_distance, *negative_distance;
};

template <typename T>
Output<T> output(const Pairs& out) {
  return {out.positive.mutable_data_ptr<int64_t>(), out.negative.mutable_data_ptr<int64_t>(),
          out.positive_distance.mutable_data_ptr<T>(), out.negative_distance.mutable_data_ptr<T>()};
}

// The hardest keys of an anchor so far, per thread, warp or block.
template <typename T>
struct Hardest {
  Candidate<T> positive, negative;

  __device__ void take(const View<T>& v, int64_t i, int64_t j, T value) {
    if (v.own_keys && i == j) return;
    if (v.groups != nullptr && v.groups[i] == v.key_groups[j]) return;
    const Candidate<T> key = {value, j};
    if (v.labels[i] == v.key_labels[j]) {
      if (harder<true>(positive, key)) positive = key;
    } else {
      if (harder<false>(negative, key)) negative = key;
    }
  }

  __device__ void merge(const Hardest& other) {
    if (harder<true>(positive, other.positive)) positive = other.positive;
    if (harder<false>(negative, other.negative)) negative = other.negative;
  }
};

template <typename T>
__device__ Candidate<T> shuffle_down(const Candidate<T>& c, int offset) {
  return {__shfl_down_sync(kFullMask, c.value, offset),
          __shfl_down_sync(kFullMask, static_cast<long long>(c.index), offset)};
}

// Reduces to the hardest key of a block, in thread 0.
template <typename T>
__device__ Hardest<T> block_hardest(Hardest<T> h) {
  __shared__ Hardest<T> of_warp[kBlockWarps];
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    h.merge({shuffle_down(h.positive, offset), shuffle_down(h.negative, offset)});
  }
  __syncthreads();
  if (threadIdx.x % kWarp == 0) of_warp[threadIdx.x / kWarp] = h;
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int w = 1; w < kBlockWarps; ++w) h.merge(of_warp[w]);
  }
  return h;
}

// One warp writes the indices and the exact distances of one anchor.
template <typename T>
__device__ void write_pairs(const View<T>& v, const Output<T>& out, int64_t i, int64_t positive,
                            int64_t negative) {
  const T* x = v.x + i * v.d;
  const bool unit = v.metric == Metric::kCosine;
  const T ix = unit ? inverse_norm(warp_squared_norm(x, v.d)) : T(1);
  for (int side = 0; side < 2; ++side) {
    const int64_t j = side == 0 ? positive : negative;
    T pair = kNaN<T>;
    if (j >= 0) {
      const T* y = v.keys + j * v.d;
      const T iy = unit ? inverse_norm(warp_squared_norm(y, v.d)) : T(1);
      pair = warp_distance(v.metric, x, y, ix, iy, v.d);
    }
    if (threadIdx.x % kWarp == 0) {
      (side == 0 ? out.positive : out.negative)[i] = j;
      (side == 0 ? out.positive_distance : out.negative_distance)[i] = pair;
    }
  }
}

template <typename T>
__global__ void fused_kernel(View<T> v, Output<T> out) {
  __shared__ Hardest<T> chosen;
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  for (int64_t i = blockIdx.x; i < v.n; i += gridDim.x) {
    const T* x = v.x + i * v.d;
    const bool finite = is_finite(warp_squared_norm(x, v.d));
    Hardest<T> mine = {none<T>(), none<T>()};
    for (int64_t j = warp; j < v.m; j += kBlockWarps) {
      const T* y = v.keys + j * v.d;
      T product = 0, norm = 0;
      for (int64_t k = lane; k < v.d; k += kWarp) {
        product += x[k] * y[k];
        norm += y[k] * y[k];
      }
      product = warp_sum(product);
      const Order<T> o = order(v.metric, warp_sum(norm));
      if (lane == 0) mine.take(v, i, j, finite ? product * o.scale + o.bias : kNaN<T>);
    }
    mine = block_hardest(mine);
    if (threadIdx.x == 0) chosen = mine;
    __syncthreads();
    if (warp == 0) write_pairs(v, out, i, chosen.positive.index, chosen.negative.index);
    __syncthreads();  // wait before the next anchor overwrites chosen
  }
}

// One block per row of a tile whose first row is anchor i0 and whose first column is key j0.
template <typename T>
__global__ void scan_kernel(View<T> v, const T* __restrict__ tile, const T* __restrict__ x_norms,
                            const T* __restrict__ key_norms, Hardest<T>* __restrict__ carried,
                            int64_t i0, int64_t j0, int64_t rows, int64_t cols) {
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
    const bool finite = is_finite(x_norms[i0 + r]);
    Hardest<T> mine = {none<T>(), none<T>()};
    for (int64_t c = threadIdx.x; c < cols; c += kBlockThreads) {
      const Order<T> o = order(v.metric, key_norms[j0 + c]);
      const T value = tile[r * cols + c] * o.scale + o.bias;
      mine.take(v, i0 + r, j0 + c, finite ? value : kNaN<T>);
    }
    mine = block_hardest(mine);
    if (threadIdx.x != 0) continue;
    if (j0 > 0) mine.merge(carried[i0 + r]);
    carried[i0 + r] = mine;
  }
}

// One warp per anchor.
template <typename T>
__global__ void finish_kernel(View<T> v, const Hardest<T>* __restrict__ carried, Output<T> out) {
  const int64_t stride = int64_t(gridDim.x) * kBlockWarps;
  for (int64_t i = int64_t(blockIdx.x) * kBlockWarps + threadIdx.x / kWarp; i < v.n; i += stride) {
    const bool any = v.m > 0;
    write_pairs(v, out, i, any ? carried[i].positive.index : -1,
                any ? carried[i].negative.index : -1);
  }
}

template <typename T>
Pairs mine(const Problem& p) {
  const View<T> v = view<T>(p);
  const Pairs out = empty_pairs(p);
  if (p.n == 0) return out;
  const cudaStream_t stream = current_stream(p.x);
  if (p.m <= kFusedKeys) {
    fused_kernel<T><<<grid_for(p.n, 1), kBlockThreads, 0, stream>>>(v, output<T>(out));
    STD_CUDA_KERNEL_LAUNCH_CHECK();
    return out;
  }
  const Tensor norms = squared_norms<T>(p.keys);
  const Tensor x_norms = p.own_keys ? norms : squared_norms<T>(p.x);
  Tensor memory =
      torch::stable::new_empty(p.x, {p.n * int64_t(sizeof(Hardest<T>))}, ScalarType::Byte);
  auto* carried = reinterpret_cast<Hardest<T>*>(memory.mutable_data_ptr<uint8_t>());
  TileProduct product(p.x, std::min(p.n, kCudaTileRows), std::min(p.m, kCudaTileCols));
  for (int64_t i = 0; i < p.n; i += kCudaTileRows) {
    const int64_t rows = std::min(kCudaTileRows, p.n - i);
    for (int64_t j = 0; j < p.m; j += kCudaTileCols) {
      const int64_t cols = std::min(kCudaTileCols, p.m - j);
      const Tensor tile = product(rows_of(p.x, i, rows), rows_of(p.keys, j, cols));
      scan_kernel<T><<<grid_for(rows, 1), kBlockThreads, 0, stream>>>(
          v, tile.const_data_ptr<T>(), x_norms.const_data_ptr<T>(), norms.const_data_ptr<T>(),
          carried, i, j, rows, cols);
      STD_CUDA_KERNEL_LAUNCH_CHECK();
    }
  }
  finish_kernel<T>
      <<<grid_for(p.n, kBlockWarps), kBlockThreads, 0, stream>>>(v, carried, output<T>(out));
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  return out;
}

// --- backward --------------------------------------------------------------------------------

template <typename T>
struct Gradients {
  const T *x, *keys, *x_norms, *key_norms;  // norms are used for cosine only
  const int64_t* index[2];                  // (N,): [0] for positives, [1] for negatives
  const T *distance[2], *grad[2];           // (N,)
  const int64_t *chosen, *chooser;  // (2 N,): the sorted keys, and side * N + anchor of each
  Metric metric;
  int64_t n, m, d;

  __device__ T inverse(const T* norms, int64_t i) const {
    return metric == Metric::kCosine ? inverse_norm(norms[i]) : T(1);
  }
  // The factor of (x_i - key_j), or of the other unit row for cosine.
  __device__ T factor(int side, int64_t i) const {
    const T g = pick(grad, side)[i];
    if (metric == Metric::kCosine) return -g;
    return g == T(0) ? T(0) : g * difference_factor(metric, pick(distance, side)[i]);
  }
};

// The first index in the sorted list whose entry is not below `value`.
__device__ inline int64_t lower_bound(const int64_t* list, int64_t length, int64_t value) {
  int64_t low = 0, high = length;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (list[middle] < value) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

// Column k of the gradient of row i of x as an anchor.
template <typename T>
__device__ T as_anchor(const Gradients<T>& g, int64_t i, int64_t k) {
  T sum = 0;
  for (int side = 0; side < 2; ++side) {
    const int64_t j = pick(g.index, side)[i];
    const T f = j < 0 ? T(0) : g.factor(side, i);
    if (f == T(0)) continue;
    const T y = g.keys[j * g.d + k];
    sum += g.metric == Metric::kCosine ? f * y * g.inverse(g.key_norms, j)
                                       : f * (g.x[i * g.d + k] - y);
  }
  return sum;
}

// Column k of the gradient of row j of keys from the anchors that chose it, entries first .. last.
template <typename T>
__device__ T as_key(const Gradients<T>& g, int64_t j, int64_t k, int64_t first, int64_t last) {
  T sum = 0;
  for (int64_t e = first; e < last; ++e) {
    const int side = g.chooser[e] >= g.n;
    const int64_t i = g.chooser[e] - side * g.n;
    const T f = g.factor(side, i);
    if (f == T(0)) continue;
    const T x = g.x[i * g.d + k];
    sum += g.metric == Metric::kCosine ? f * x * g.inverse(g.x_norms, i)
                                       : f * (g.keys[j * g.d + k] - x);
  }
  return sum;
}

// One block per row, as an anchor, a key, or both (own keys). For cosine, projects at the end.
template <typename T>
__global__ void backward_kernel(Gradients<T> g, T* __restrict__ out, bool anchors, bool keys,
                                int64_t rows) {
  const T* self = anchors ? g.x : g.keys;
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
    const int64_t first = keys ? lower_bound(g.chosen, 2 * g.n, r) : 0;
    const int64_t last = keys ? lower_bound(g.chosen, 2 * g.n, r + 1) : 0;
    T along = 0;
    for (int64_t k = threadIdx.x; k < g.d; k += kBlockThreads) {
      const T sum = (anchors ? as_anchor(g, r, k) : T(0)) + as_key(g, r, k, first, last);
      out[r * g.d + k] = sum;
      along += sum * self[r * g.d + k];
    }
    if (g.metric != Metric::kCosine) continue;
    const T inverse = inverse_norm((anchors ? g.x_norms : g.key_norms)[r]);
    along = block_sum(along) * inverse * inverse;
    for (int64_t k = threadIdx.x; k < g.d; k += kBlockThreads) {
      out[r * g.d + k] = inverse * (out[r * g.d + k] - along * self[r * g.d + k]);
    }
  }
}

template <typename T>
void launch_backward(const Gradients<T>& g, const Tensor& out, bool anchors, bool keys) {
  const int64_t rows = out.size(0);
  if (rows == 0 || g.d == 0) return;
  backward_kernel<T><<<grid_for(rows, 1), kBlockThreads, 0, current_stream(out)>>>(
      g, out.mutable_data_ptr<T>(), anchors, keys, rows);
  STD_CUDA_KERNEL_LAUNCH_CHECK();
}

template <typename T>
GradTensors backward(const Chosen& c) {
  Tensor both = torch::stable::new_empty(c.x, {2 * c.n}, ScalarType::Long);
  for (int side = 0; side < 2; ++side) {
    Tensor half = rows_of(both, side * c.n, c.n);
    torch::stable::copy_(half, c.index[side]);
  }
  const std::tuple<Tensor, Tensor> sorted = call<Tensor, Tensor>(
      "aten::sort", "stable", both, std::optional<bool>(true), int64_t(0), false);
  const Tensor &chosen = std::get<0>(sorted), &chooser = std::get<1>(sorted);
  const bool cosine = c.metric == Metric::kCosine;
  const Tensor x_norms = cosine ? squared_norms<T>(c.x) : c.x;
  const Tensor key_norms = cosine && !c.own_keys ? squared_norms<T>(c.keys) : x_norms;
  Gradients<T> g = {};
  g.x = c.x.const_data_ptr<T>();
  g.keys = c.keys.const_data_ptr<T>();
  g.x_norms = x_norms.const_data_ptr<T>();
  g.key_norms = key_norms.const_data_ptr<T>();
  for (int side = 0; side < 2; ++side) {
    g.index[side] = c.index[side].const_data_ptr<int64_t>();
    g.distance[side] = c.distance[side].const_data_ptr<T>();
    g.grad[side] = c.grad[side].const_data_ptr<T>();
  }
  g.chosen = chosen.const_data_ptr<int64_t>();
  g.chooser = chooser.const_data_ptr<int64_t>();
  g.metric = c.metric;
  g.n = c.n;
  g.m = c.m;
  g.d = c.d;
  const Tensor grad_x = torch::stable::new_empty(c.x, {c.n, c.d});
  const Tensor grad_keys = torch::stable::new_empty(c.x, {c.own_keys ? 0 : c.m, c.d});
  launch_backward(g, grad_x, true, c.own_keys);
  if (!c.own_keys) launch_backward(g, grad_keys, false, true);
  return {grad_x, grad_keys};
}

PairTensors mine_hardest_cuda(const Tensor& x, const Tensor& labels,
                              const std::optional<Tensor>& keys,
                              const std::optional<Tensor>& key_labels,
                              const std::optional<Tensor>& groups,
                              const std::optional<Tensor>& key_groups, int64_t metric) {
  const Problem p = read("mine_hardest", x, labels, keys, key_labels, groups, key_groups, metric);
  const DeviceGuard guard(p.x.get_device_index());
  const Pairs out = by_dtype(p.x, [&](auto zero) { return mine<decltype(zero)>(p); });
  return {out.positive, out.negative, out.positive_distance, out.negative_distance};
}

GradTensors mine_hardest_backward_cuda(const Tensor& grad_positive, const Tensor& grad_negative,
                                       const Tensor& x, const std::optional<Tensor>& keys,
                                       const Tensor& positive, const Tensor& negative,
                                       const Tensor& positive_distance,
                                       const Tensor& negative_distance, int64_t metric) {
  const Chosen c = read_chosen("mine_hardest_backward", grad_positive, grad_negative, x, keys,
                               positive, negative, positive_distance, negative_distance, metric);
  const DeviceGuard guard(c.x.get_device_index());
  return by_dtype(c.x, [&](auto zero) { return backward<decltype(zero)>(c); });
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(reid_ext, CUDA, m) {
  m.impl("mine_hardest", TORCH_BOX(&mine_hardest_cuda));
  m.impl("mine_hardest_backward", TORCH_BOX(&mine_hardest_backward_cuda));
}

}  // namespace reid_ext::mining
