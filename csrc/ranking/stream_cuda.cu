// CUDA kernels of the streaming ops. See stream.h for the contract.
//
// pair_values: one warp per pair. count_before: a tile of products by cuBLAS, small enough to stay
// in L2; one thread block per query counts in its row for one threshold after the other, listed
// images included, and takes the listed ones of the tile off again. The launches of one call follow
// each other on one stream and each count has one writer: no atomics.
#include <algorithm>

#include "common/product.h"
#include "ranking/row.cuh"
#include "ranking/stream.h"

namespace reid_ext::ranking {
namespace {

constexpr int64_t kRows = 1024, kCols = 8192;  // of a tile: 32 MiB of float32

template <typename T>
__global__ void values_kernel(const T* __restrict__ query, const T* __restrict__ block,
                              const int64_t* __restrict__ pair_query,
                              const int64_t* __restrict__ pair_row, T* __restrict__ values,
                              Metric metric, int64_t p, int64_t d) {
  const int64_t stride = int64_t(gridDim.x) * kBlockWarps;
  for (int64_t k = int64_t(blockIdx.x) * kBlockWarps + threadIdx.x / kWarp; k < p; k += stride) {
    const T *a = query + pair_query[k] * d, *b = block + pair_row[k] * d;
    T product = 0;
    for (int64_t c = threadIdx.x % kWarp; c < d; c += kWarp) product += a[c] * b[c];
    product = warp_sum(product);
    const Order<T> o = order(metric, warp_squared_norm(b, d));
    const bool finite = is_finite(warp_squared_norm(a, d));
    if (threadIdx.x % kWarp == 0) values[k] = finite ? fma(product, o.scale, o.bias) : kNaN<T>;
  }
}

// Queries first_query .. first_query + rows and images from first_image on, `cols` of them.
template <typename T>
__global__ void count_kernel(const T* __restrict__ tile, const T* __restrict__ scale,
                             const T* __restrict__ bias, const T* __restrict__ query_norms,
                             const T* __restrict__ thresholds, const int64_t* __restrict__ indices,
                             const int64_t* __restrict__ offsets, ListView listed,
                             int64_t* __restrict__ counts, int64_t first_query, int64_t rows,
                             int64_t first_image, int64_t cols) {
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
    const int64_t q = first_query + r;
    const RowOf<T> row = {tile + r * cols, scale, bias, is_finite(query_norms[q])};
    for (int64_t p = offsets[q]; p < offsets[q + 1]; ++p) {
      const T t = thresholds[p];
      const int64_t index = indices[p];
      long long count = 0;
      for (int64_t k = threadIdx.x; k < cols; k += kBlockThreads) {
        count += before(row(k), first_image + k, t, index);
      }
      for (int64_t l = listed.offsets[q] + threadIdx.x; l < listed.offsets[q + 1];
           l += kBlockThreads) {
        const int64_t k = listed.indices[l] - first_image;
        if (k >= 0 && k < cols) count -= before(row(k), first_image + k, t, index);
      }
      count = block_sum(count);
      if (threadIdx.x == 0) counts[p] += count;
    }
  }
}

template <typename T>
Tensor values(const Pairs& p) {
  const Tensor out = torch::stable::new_empty(p.query, {p.p});
  if (p.p == 0) return out;
  values_kernel<T><<<grid_for(p.p, kBlockWarps), kBlockThreads, 0, current_stream(p.query)>>>(
      p.query.const_data_ptr<T>(), p.block.const_data_ptr<T>(),
      p.pair_query.const_data_ptr<int64_t>(), p.pair_row.const_data_ptr<int64_t>(),
      out.mutable_data_ptr<T>(), p.metric, p.p, p.d);
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  return out;
}

template <typename T>
Tensor counts_of(const Stream& s) {
  const Tensor out = torch::stable::new_zeros(s.indices, {s.indices.numel()});
  if (out.numel() == 0 || s.b == 0) return out;
  const Orders<T> orders(s.block, s.metric);
  const Tensor query_norms = squared_norms<T>(s.query);
  TileProduct product(s.query, std::min(s.q, kRows), std::min(s.b, kCols));
  for (int64_t i = 0; i < s.q; i += kRows) {
    const int64_t rows = std::min(kRows, s.q - i);
    for (int64_t j = 0; j < s.b; j += kCols) {
      const int64_t cols = std::min(kCols, s.b - j);
      const Tensor tile = product(rows_of(s.query, i, rows), rows_of(s.block, j, cols));
      count_kernel<T><<<grid_for(rows, 1), kBlockThreads, 0, current_stream(s.query)>>>(
          tile.const_data_ptr<T>(), orders.scale.template const_data_ptr<T>() + j,
          orders.bias.template const_data_ptr<T>() + j, query_norms.const_data_ptr<T>(),
          s.thresholds.const_data_ptr<T>(), s.indices.const_data_ptr<int64_t>(),
          s.offsets.const_data_ptr<int64_t>(), view(s.listed), out.mutable_data_ptr<int64_t>(), i,
          rows, s.first + j, cols);
      STD_CUDA_KERNEL_LAUNCH_CHECK();
    }
  }
  return out;
}

Tensor pair_values_cuda(const Tensor& query, const Tensor& block, const Tensor& pair_query,
                        const Tensor& pair_row, int64_t metric) {
  const Pairs p = read_pairs(query, block, pair_query, pair_row, metric);
  const DeviceGuard guard(p.query.get_device_index());
  return by_dtype(p.query, [&](auto zero) { return values<decltype(zero)>(p); });
}

Tensor count_before_cuda(const Tensor& query, const Tensor& block, int64_t first,
                         const Tensor& thresholds, const Tensor& indices, const Tensor& offsets,
                         const Tensor& listed_offsets, const Tensor& listed_indices, int64_t metric,
                         int64_t estimate) {
  const Stream s = read_stream(query, block, first, thresholds, indices, offsets, listed_offsets,
                               listed_indices, metric, estimate);
  const DeviceGuard guard(s.query.get_device_index());
  return by_dtype(s.query, [&](auto zero) { return counts_of<decltype(zero)>(s); });
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(reid_ext, CUDA, m) {
  m.impl("pair_values", TORCH_BOX(&pair_values_cuda));
  m.impl("count_before", TORCH_BOX(&count_before_cuda));
}

}  // namespace reid_ext::ranking
