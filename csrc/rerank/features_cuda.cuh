// Images with features on the device, and the nearest of each. cuBLAS makes blocks of products, and
// one thread block reads each row once.
#pragma once

#include "rerank/scan.h"
#include "rerank/select_cuda.cuh"

namespace reid_ext::rerank {

template <typename T>
__global__ void orders_kernel(const T* __restrict__ norms, T* __restrict__ scale,
                              T* __restrict__ bias, Metric metric, int64_t n) {
  const int64_t stride = int64_t(gridDim.x) * kBlockThreads;
  for (int64_t i = int64_t(blockIdx.x) * kBlockThreads + threadIdx.x; i < n; i += stride) {
    const Order<T> o = order(metric, norms[i]);
    scale[i] = o.scale;
    bias[i] = o.bias;
  }
}

// The data of a pair of images for kernels. A whole warp calls key().
template <typename T>
struct FeaturePairs {
  const T *x, *norms, *scale, *bias;
  Metric metric;
  bool plain;  // p is the distance itself
  int64_t d;

  __device__ T key(int64_t i, int64_t j) const {
    T sum = 0;
    for (int64_t c = threadIdx.x % kWarp; c < d; c += kWarp) sum += x[i * d + c] * x[j * d + c];
    return warp_sum(sum) * scale[j] + bias[j];
  }
  __device__ Normalizer<T> row(int64_t i, T farthest) const {
    return plain ? plain_distance(norms[i]) : normalizer(metric, norms[i], farthest);
  }
};

template <typename T>
struct Features {
  Tensor x, norms, scale, bias;
  Metric metric;

  Features(const Tensor& features, Metric by)
      : x(features),
        norms(squared_norms<T>(features)),
        scale(torch::stable::empty_like(norms)),
        bias(torch::stable::empty_like(norms)),
        metric(by) {
    const int64_t n = x.size(0);
    if (n == 0) return;
    orders_kernel<T><<<grid_for(n, kBlockThreads), kBlockThreads, 0, current_stream(x)>>>(
        norms.template const_data_ptr<T>(), scale.template mutable_data_ptr<T>(),
        bias.template mutable_data_ptr<T>(), metric, n);
    STD_CUDA_KERNEL_LAUNCH_CHECK();
  }

  // The keys of a block of products with images from `first` on.
  ProductKeys<T> keys(const Tensor& block, int64_t first) const {
    return {block.template const_data_ptr<T>(), scale.template const_data_ptr<T>() + first,
            bias.template const_data_ptr<T>() + first, block.size(1)};
  }
  FeaturePairs<T> pairs(bool plain) const {
    return {x.template const_data_ptr<T>(),
            norms.template const_data_ptr<T>(),
            scale.template const_data_ptr<T>(),
            bias.template const_data_ptr<T>(),
            metric,
            plain,
            x.size(1)};
  }
};

// The k nearest of every row, nearest first: keys and indices (rows, k), and farthest (rows,).
struct Found {
  Tensor keys, indices, farthest;

  Found(const Tensor& like, int64_t rows, int64_t k)
      : keys(torch::stable::new_empty(like, {rows, k})),
        indices(torch::stable::new_empty(like, {rows, k}, ScalarType::Long)),
        farthest(torch::stable::new_empty(like, {rows})) {}
  explicit Found(const Scan& scan)
      : keys(scan.keys), indices(scan.indices), farthest(scan.farthest) {}

  template <typename T, typename Keys>
  void take(Keys block, int64_t first, int64_t count, int64_t n) {
    const int64_t k = keys.size(1);
    select(keys, block, count, n, k, keys.mutable_data_ptr<T>() + first * k,
           indices.mutable_data_ptr<int64_t>() + first * k, farthest.mutable_data_ptr<T>() + first);
  }
};

// How many of `rows` rows are multiplied with n images at a time.
template <typename T>
int64_t rows_of_product(int64_t rows, int64_t n) {
  return std::min(rows, block_rows(n, sizeof(T), kBlockRows));
}

// Calls see(block, first) with the products of rows from `first` on with all images, for the blocks
// for which wanted(block number) is true.
template <typename T, typename Wanted, typename See>
void blocks_of_products(const Tensor& x, const Tensor& images, Wanted wanted, See see) {
  const int64_t rows = x.size(0), n = images.size(0), most = rows_of_product<T>(rows, n);
  TileProduct product(x, most, n);
  for (int64_t first = 0; first < rows; first += most) {
    if (!wanted(first / most)) continue;
    see(product(rows_of(x, first, std::min(most, rows - first)), images), first);
  }
}

// Calls see(block, first) for every block of products.
template <typename T, typename See>
Found find(const Tensor& x, const Features<T>& images, int64_t k, See see) {
  const int64_t n = images.x.size(0);
  Found found(x, x.size(0), k);
  blocks_of_products<T>(
      x, images.x, [](int64_t) { return true; },
      [&](const Tensor& block, int64_t first) {
        found.take<T>(images.keys(block, 0), first, block.size(0), n);
        see(block, first);
      });
  return found;
}

}  // namespace reid_ext::rerank
