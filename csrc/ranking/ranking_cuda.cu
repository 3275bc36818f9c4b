// CUDA kernels of the ranking ops. See ranking.h for the contract.
//
// cuBLAS multiplies a block of queries with the whole gallery into scratch memory that mostly stays
// in L2. One thread block per query then processes its positives one after the other. It counts the
// gallery images and the positives before each, which gives the place to write its rank. Junk is
// counted like other images and then subtracted. There are no atomics, and the host reads no list.
#include <algorithm>
#include <optional>

#include "common/cuda.cuh"
#include "common/product.h"
#include "ranking/row.cuh"

namespace reid_ext::ranking {
namespace {

constexpr int64_t kBlockRows = 1024;

// How many of list[0 .. n), or of 0 .. n without a list, precede (t, index). All threads get it.
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

// Queries first .. first + rows, whose values are in `block` with rows of length g.
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
  std::optional<Orders<T>> orders;
  Tensor query_norms;
  if (p.gallery) {
    orders.emplace(*p.gallery, p.metric);
    query_norms = squared_norms<T>(*p.query);
  }
  const int64_t rows = std::min(p.q, block_rows(p.g, sizeof(T), kBlockRows));
  TileProduct product(p.like(), p.distances ? 0 : rows, p.g);
  for (int64_t first = 0; first < p.q && p.g > 0; first += rows) {
    const int64_t count = std::min(rows, p.q - first);
    const Tensor block = p.distances ? rows_of(*p.distances, first, count)
                                     : product(rows_of(*p.query, first, count), *p.gallery);
    rank_kernel<T><<<grid_for(count, 1), kBlockThreads, 0, stream>>>(
        block.const_data_ptr<T>(), orders ? orders->scale.template const_data_ptr<T>() : nullptr,
        orders ? orders->bias.template const_data_ptr<T>() : nullptr,
        orders ? query_norms.const_data_ptr<T>() : nullptr, view(p.positives), view(p.junk),
        ranks.mutable_data_ptr<int64_t>(), first, count, p.g);
    STD_CUDA_KERNEL_LAUNCH_CHECK();
  }
  return ranks;
}

Tensor rank_positives_cuda(const Tensor& query, const Tensor& gallery,
                           const Tensor& positive_offsets, const Tensor& positive_indices,
                           const Tensor& junk_offsets, const Tensor& junk_indices, int64_t metric,
                           int64_t compute) {
  const Problem p = read("rank_positives", query, gallery, positive_offsets, positive_indices,
                         junk_offsets, junk_indices, metric, compute);
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
