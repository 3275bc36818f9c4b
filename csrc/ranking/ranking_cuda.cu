// CUDA kernels of the ranking ops. See ranking.h for the contract.
//
// A block of queries is multiplied with the whole gallery by cuBLAS into scratch that mostly stays
// in L2. One thread block per query then takes its positives one after the other and counts the
// gallery images before each, together with the positives before it, which is where its rank goes.
// Junk is counted like the rest and taken off again. No atomics, no list is read on the host.
#include <algorithm>

#include "common/cuda.cuh"
#include "common/product.h"
#include "ranking/ranking.h"

namespace reid_ext::ranking {
namespace {

constexpr int64_t kBlockRows = 1024;

struct ListView {
  const int64_t *offsets, *indices;
};

ListView view(const Lists& lists) {
  return {lists.offsets.const_data_ptr<int64_t>(), lists.indices.const_data_ptr<int64_t>()};
}

template <typename T>
__global__ void order_kernel(const T* __restrict__ norms, T* __restrict__ scale,
                             T* __restrict__ bias, Metric metric, int64_t n) {
  const int64_t stride = int64_t(gridDim.x) * kBlockThreads;
  for (int64_t i = int64_t(blockIdx.x) * kBlockThreads + threadIdx.x; i < n; i += stride) {
    const Order<T> o = order(metric, norms[i]);
    scale[i] = o.scale;
    bias[i] = o.bias;
  }
}

// One row of products or distances, as distances. scale is null for distances. Fused by name, so
// that a positive's own distance is the very number it is compared with.
template <typename T>
struct RowOf {
  const T *values, *scale, *bias;
  bool finite;  // the query
  __device__ T operator()(int64_t k) const {
    if (scale == nullptr) return values[k];
    return finite ? fma(values[k], scale[k], bias[k]) : kNaN<T>;
  }
};

// How many of list[0 .. n), or of 0 .. n without a list, come before (t, index); in all threads.
template <typename T>
__device__ int64_t count_before(const RowOf<T>& row, const int64_t* list, int64_t n, T t,
                                int64_t index) {
  long long count = 0;
  for (int64_t k = threadIdx.x; k < n; k += kBlockThreads) {
    const int64_t at = list == nullptr ? k : list[k];
    count += before(row(at), at, t, index);
  }
  return block_sum(count);
}

// Queries first .. first + rows, whose values stand in `block`, g to a row.
template <typename T>
__global__ void rank_kernel(const T* __restrict__ block, const T* __restrict__ scale,
                            const T* __restrict__ bias, const T* __restrict__ query_norms,
                            ListView positives, ListView junk, int64_t* __restrict__ ranks,
                            int64_t first, int64_t rows, int64_t g) {
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
    const RowOf<T> row = {block + r * g, scale, bias,
                          scale == nullptr || is_finite(query_norms[first + r])};
    const int64_t p0 = positives.offsets[first + r], p1 = positives.offsets[first + r + 1];
    const int64_t j0 = junk.offsets[first + r], j1 = junk.offsets[first + r + 1];
    for (int64_t p = p0; p < p1; ++p) {
      const int64_t index = positives.indices[p];
      const T t = row(index);
      const int64_t all = count_before(row, static_cast<const int64_t*>(nullptr), g, t, index);
      const int64_t left_out = count_before(row, junk.indices + j0, j1 - j0, t, index);
      const int64_t place = count_before(row, positives.indices + p0, p1 - p0, t, index);
      if (threadIdx.x == 0) ranks[p0 + place] = 1 + all - left_out;
    }
  }
}

template <typename T>
Tensor rank(const Problem& p) {
  const Tensor ranks = torch::stable::new_empty(p.positives.indices, {p.positives.indices.numel()});
  const cudaStream_t stream = current_stream(p.like());
  Tensor scale, bias, query_norms;
  if (p.gallery && p.g > 0) {
    const Tensor norms = squared_norms<T>(*p.gallery);
    query_norms = squared_norms<T>(*p.query);
    scale = torch::stable::empty_like(norms);
    bias = torch::stable::empty_like(norms);
    order_kernel<T><<<grid_for(p.g, kBlockThreads), kBlockThreads, 0, stream>>>(
        norms.const_data_ptr<T>(), scale.mutable_data_ptr<T>(), bias.mutable_data_ptr<T>(),
        p.metric, p.g);
    STD_CUDA_KERNEL_LAUNCH_CHECK();
  }
  const int64_t rows = std::min(p.q, block_rows(p.g, sizeof(T), kBlockRows));
  TileProduct product(p.like(), p.distances ? 0 : rows, p.g);
  for (int64_t first = 0; first < p.q && p.g > 0; first += rows) {
    const int64_t count = std::min(rows, p.q - first);
    const Tensor block = p.distances ? rows_of(*p.distances, first, count)
                                     : product(rows_of(*p.query, first, count), *p.gallery);
    rank_kernel<T><<<grid_for(count, 1), kBlockThreads, 0, stream>>>(
        block.const_data_ptr<T>(), p.distances ? nullptr : scale.const_data_ptr<T>(),
        p.distances ? nullptr : bias.const_data_ptr<T>(),
        p.distances ? nullptr : query_norms.const_data_ptr<T>(), view(p.positives), view(p.junk),
        ranks.mutable_data_ptr<int64_t>(), first, count, p.g);
    STD_CUDA_KERNEL_LAUNCH_CHECK();
  }
  return ranks;
}

Tensor rank_positives_cuda(const Tensor& query, const Tensor& gallery,
                           const Tensor& positive_offsets, const Tensor& positive_indices,
                           const Tensor& junk_offsets, const Tensor& junk_indices, int64_t metric) {
  const Problem p = read("rank_positives", query, gallery, positive_offsets, positive_indices,
                         junk_offsets, junk_indices, metric);
  const DeviceGuard guard(p.like().get_device_index());
  return by_dtype(p.like(), [&](auto zero) { return rank<decltype(zero)>(p); });
}

Tensor rank_positives_from_distances_cuda(const Tensor& distances, const Tensor& positive_offsets,
                                          const Tensor& positive_indices,
                                          const Tensor& junk_offsets, const Tensor& junk_indices) {
  const Problem p = read("rank_positives_from_distances", distances, positive_offsets,
                         positive_indices, junk_offsets, junk_indices);
  const DeviceGuard guard(p.like().get_device_index());
  return by_dtype(p.like(), [&](auto zero) { return rank<decltype(zero)>(p); });
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(reid_ext, CUDA, m) {
  m.impl("rank_positives", TORCH_BOX(&rank_positives_cuda));
  m.impl("rank_positives_from_distances", TORCH_BOX(&rank_positives_from_distances_cuda));
}

}  // namespace reid_ext::ranking
