// CUDA kernels of the streaming ops. See stream.h for the contract.
//
// pair_values: one warp per pair. count_before: cuBLAS makes a tile of products that stays in L2.
// One thread block per query counts the images in its row for one threshold after the other,
// including the listed images, and then subtracts those. cuBLAS sums in its own order, so a warp
// recomputes images that are closer to a threshold than the two roundings may differ, in the order
// of the threshold. (With TF32 enabled in torch, a product is less accurate than that.) The
// launches of one call follow each other on one stream, and each count has one writer, so no
// atomics.
#include <algorithm>
#include <limits>

#include "common/product.h"
#include "ranking/row.cuh"
#include "ranking/stream.h"

namespace reid_ext::ranking {
namespace {

constexpr int64_t kRows = 1024, kCols = 8192;  // tile size: 32 MiB of float32
template <typename T>
constexpr T kEpsilon = std::numeric_limits<T>::epsilon();

// One warp computes the value of a pair. The explicit FMA makes it the same in every kernel.
template <typename T>
__device__ T warp_pair_value(const T* a, const T* b, T scale, T bias, int64_t d) {
  T product = 0;
  for (int64_t c = threadIdx.x % kWarp; c < d; c += kWarp) product = fma(a[c], b[c], product);
  return fma(warp_sum(product), scale, bias);
}

template <typename T>
__global__ void values_kernel(const T* __restrict__ query, const T* __restrict__ block,
                              const int64_t* __restrict__ pair_query,
                              const int64_t* __restrict__ pair_row, T* __restrict__ values,
                              Metric metric, int64_t p, int64_t d) {
  const int64_t stride = int64_t(gridDim.x) * kBlockWarps;
  for (int64_t k = int64_t(blockIdx.x) * kBlockWarps + threadIdx.x / kWarp; k < p; k += stride) {
    const T *a = query + pair_query[k] * d, *b = block + pair_row[k] * d;
    const Order<T> o = order(metric, warp_squared_norm(b, d));
    const bool finite = is_finite(warp_squared_norm(a, d));
    const T value = warp_pair_value(a, b, o.scale, o.bias, d);
    if (threadIdx.x % kWarp == 0) values[k] = finite ? value : kNaN<T>;
  }
}

template <typename T>
struct StreamView {  // the input of count_before as its kernel reads it
  const T *query, *block, *scale, *bias, *query_norms, *thresholds;
  const int64_t *indices, *offsets;
  ListView listed;
  Metric metric;
  int64_t first, d;
};

// The row of one query in a tile whose first image is row `begin` of the block.
template <typename T>
struct TileRow {
  const StreamView<T>& s;
  const T *query, *products;
  int64_t begin;
  bool finite;
  T reach;  // largest difference of two sums of the products, per length of the image

  __device__ TileRow(const StreamView<T>& s, const T* tile, int64_t q, int64_t begin)
      : s(s), query(s.query + q * s.d), products(tile), begin(begin) {
    const T squared_norm = s.query_norms[q];
    finite = is_finite(squared_norm);
    reach = T(1.05) * kEpsilon<T> * T(s.d + 16) * std::sqrt(squared_norm);
  }

  __device__ bool is_open(T value, int64_t image, T t) const {
    // the length of the image times the scale of its products
    const T length = s.metric == Metric::kCosine ? T(1) : std::sqrt(T(2) * s.bias[image]);
    return std::abs(value - t) <= reach * length + 4 * kEpsilon<T> * std::abs(value);
  }

  // For a whole warp: whether the lane's image k precedes (t, index), for lanes that ask.
  __device__ bool before(bool asks, int64_t k, T t, int64_t index) const {
    const long long image = begin + k;
    T value = kNaN<T>;
    if (asks && finite) value = fma(products[k], s.scale[image], s.bias[image]);
    unsigned open = __ballot_sync(kFullMask, asks && finite && is_open(value, image, t));
    for (; open != 0; open &= open - 1) {
      const int lane = __ffs(int(open)) - 1;
      const int64_t row = __shfl_sync(kFullMask, image, lane);
      const T again = warp_pair_value(query, s.block + row * s.d, s.scale[row], s.bias[row], s.d);
      if (int(threadIdx.x) % kWarp == lane) value = again;
    }
    return asks && ranking::before(value, s.first + image, t, index);
  }
};

// Queries first_query .. first_query + rows, and `cols` rows of the block from row `begin`.
template <typename T>
__global__ void count_kernel(StreamView<T> s, const T* __restrict__ tile,
                             int64_t* __restrict__ counts, int64_t first_query, int64_t rows,
                             int64_t begin, int64_t cols) {
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
    const int64_t q = first_query + r, l1 = s.listed.offsets[q + 1];
    const TileRow<T> row(s, tile + r * cols, q, begin);
    for (int64_t p = s.offsets[q]; p < s.offsets[q + 1]; ++p) {
      const T t = s.thresholds[p];
      const int64_t index = s.indices[p];
      long long count = 0;  // whole warps continue together
      for (int64_t at = warp * kWarp; at < cols; at += kBlockThreads) {
        count += row.before(at + lane < cols, at + lane, t, index);
      }
      for (int64_t at = s.listed.offsets[q] + warp * kWarp; at < l1; at += kBlockThreads) {
        const int64_t l = at + lane, k = l < l1 ? s.listed.indices[l] - s.first - begin : -1;
        count -= row.before(k >= 0 && k < cols, k, t, index);
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
  const StreamView<T> view = {s.query.const_data_ptr<T>(),
                              s.block.const_data_ptr<T>(),
                              orders.scale.template const_data_ptr<T>(),
                              orders.bias.template const_data_ptr<T>(),
                              query_norms.const_data_ptr<T>(),
                              s.thresholds.const_data_ptr<T>(),
                              s.indices.const_data_ptr<int64_t>(),
                              s.offsets.const_data_ptr<int64_t>(),
                              ranking::view(s.listed),
                              s.metric,
                              s.first,
                              s.d};
  TileProduct product(s.query, std::min(s.q, kRows), std::min(s.b, kCols));
  for (int64_t i = 0; i < s.q; i += kRows) {
    const int64_t rows = std::min(kRows, s.q - i);
    for (int64_t j = 0; j < s.b; j += kCols) {
      const int64_t cols = std::min(kCols, s.b - j);
      const Tensor tile = product(rows_of(s.query, i, rows), rows_of(s.block, j, cols));
      count_kernel<T><<<grid_for(rows, 1), kBlockThreads, 0, current_stream(s.query)>>>(
          view, tile.const_data_ptr<T>(), out.mutable_data_ptr<int64_t>(), i, rows, j, cols);
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
                         int64_t compute) {
  const Stream s = read_stream(query, block, first, thresholds, indices, offsets, listed_offsets,
                               listed_indices, metric, compute);
  const DeviceGuard guard(s.query.get_device_index());
  return by_dtype(s.query, [&](auto zero) { return counts_of<decltype(zero)>(s); });
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(reid_ext, CUDA, m) {
  m.impl("pair_values", TORCH_BOX(&pair_values_cuda));
  m.impl("count_before", TORCH_BOX(&count_before_cuda));
}

}  // namespace reid_ext::ranking
