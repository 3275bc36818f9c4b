// CUDA kernels of the op jaccard. One thread block per row sums its minima in a row of scratch
// memory, then counts or writes the near entries by ascending column; its threads process pieces of
// the row in turn. The rows are computed in parts, and the host waits for the length of each part.
#include <vector>

#include "rerank/average_cuda.cuh"

namespace reid_ext::rerank {
namespace {

template <typename T>
__device__ bool is_near(T shared, T most) {
  return shared > T(0) && jaccard_distance(shared) <= most;
}

// Writes the minima of rows first .. first + rows to scratch (rows, n), and counts the near
// entries. No __restrict__ on scratch, because threads read what other threads wrote.
template <typename T>
__global__ void minima_kernel(EncodingView<T> v, EncodingView<T> columns, int64_t first,
                              int64_t rows, T most, T* scratch, int64_t* __restrict__ counts) {
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
    T* shared = scratch + r * v.n;
    for (int64_t j = threadIdx.x; j < v.n; j += kBlockThreads) shared[j] = T(0);
    __syncthreads();
    shared_weights(v, columns, first + r, 0, shared);
    long long count = 0;
    for (int64_t j = threadIdx.x; j < v.n; j += kBlockThreads) count += is_near(shared[j], most);
    count = block_sum(count);
    if (threadIdx.x == 0) counts[r] = count;
  }
}

// Thread t handles columns t * length .. (t + 1) * length and writes after the threads before it.
template <typename T>
__global__ void pack_kernel(const T* __restrict__ scratch, const int64_t* __restrict__ counts,
                            const int64_t* __restrict__ ends, int64_t rows, int64_t n, T most,
                            int64_t* __restrict__ indices, T* __restrict__ distances) {
  __shared__ int64_t starts[kBlockThreads + 1];
  const int64_t length = (n + kBlockThreads - 1) / kBlockThreads;
  const int64_t begin = length * threadIdx.x, end = begin + length < n ? begin + length : n;
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
    const T* shared = scratch + r * n;
    int64_t mine = 0;
    for (int64_t j = begin; j < end; ++j) mine += is_near(shared[j], most);
    __syncthreads();  // wait for the readers of the previous row
    starts[threadIdx.x + 1] = mine;
    __syncthreads();
    if (threadIdx.x == 0) {
      starts[0] = ends[r] - counts[r];
      for (int t = 1; t <= kBlockThreads; ++t) starts[t] += starts[t - 1];
    }
    __syncthreads();
    int64_t out = starts[threadIdx.x];
    for (int64_t j = begin; j < end; ++j) {
      if (!is_near(shared[j], most)) continue;
      indices[out] = j;
      distances[out++] = jaccard_distance(shared[j]);
    }
  }
}

struct Piece {
  Tensor counts, indices, distances;
};

template <typename T>
Piece some_rows(const Encoding& v, const Encoding& columns, int64_t first, T most,
                const Tensor& scratch, int64_t rows) {
  const int64_t n = scratch.size(1);
  const cudaStream_t stream = current_stream(scratch);
  const Tensor counts = new_integers(scratch, rows);
  minima_kernel<T><<<grid_for(rows, 1), kBlockThreads, 0, stream>>>(
      EncodingView<T>(v), EncodingView<T>(columns), first, rows, most,
      scratch.mutable_data_ptr<T>(), counts.mutable_data_ptr<int64_t>());
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  const Tensor ends = running_sum(counts);
  const int64_t total = last_of(ends);
  const Tensor indices = new_integers(scratch, total);
  const Tensor distances = torch::stable::new_empty(scratch, {total});
  pack_kernel<T><<<grid_for(rows, 1), kBlockThreads, 0, stream>>>(
      scratch.const_data_ptr<T>(), counts.const_data_ptr<int64_t>(), ends.const_data_ptr<int64_t>(),
      rows, n, most, indices.mutable_data_ptr<int64_t>(), distances.mutable_data_ptr<T>());
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  return {counts, indices, distances};
}

inline Tensor joined(const std::vector<Tensor>& pieces) {
  return call<Tensor>("aten::cat", "", pieces, int64_t(0));
}

template <typename T>
ThreeTensors jaccard(const Tensor& x, const Settings& settings, T most) {
  const int64_t n = x.size(0);
  const Features<T> features(x, Metric::kSquaredEuclidean);
  const Found found = find(x, features, settings.kept(n), [](const Tensor&, int64_t) {});
  const Encoding weights =
      reciprocal_weights<T>(features.pairs(settings.clustering), found, settings);
  const Encoding v = averaged<T>(weights, found.indices, settings);
  const Encoding columns = inverted<T>(v);
  const int64_t rows = std::min(n, block_rows(n, sizeof(T), kBlockRows));
  const Tensor scratch = torch::stable::new_empty(x, {rows, n});
  const Tensor zero = torch::stable::new_zeros(x, {1}, ScalarType::Long);
  std::vector<Tensor> counts = {zero}, indices, distances;
  for (int64_t first = 0; first < n; first += rows) {
    const Piece piece = some_rows(v, columns, first, most, scratch, std::min(rows, n - first));
    counts.push_back(piece.counts);
    indices.push_back(piece.indices);
    distances.push_back(piece.distances);
  }
  return {running_sum(joined(counts)), joined(indices), joined(distances)};
}

ThreeTensors jaccard_cuda(const Tensor& x, int64_t k1, int64_t k2, bool clustering,
                          double max_distance) {
  const char* op = "jaccard";
  check_matrix(op, "x", x);
  const Settings settings = read_jaccard(op, k1, k2, clustering, max_distance, x.size(0));
  const DeviceGuard guard(x.get_device_index());
  const Tensor rows = torch::stable::contiguous(x);
  return by_dtype(x, [&](auto zero) {
    return jaccard(rows, settings, static_cast<decltype(zero)>(max_distance));
  });
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(reid_ext, CUDA, m) { m.impl("jaccard", TORCH_BOX(&jaccard_cuda)); }

}  // namespace reid_ext::rerank
