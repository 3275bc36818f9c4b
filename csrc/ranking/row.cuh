// One row of distances on the device, given or computed from products, and lists of indices.
#pragma once

#include "common/cuda.cuh"
#include "ranking/ranking.h"

namespace reid_ext::ranking {

struct ListView {
  const int64_t *offsets, *indices;
};

inline ListView view(const Lists& lists) {
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

// One row of products or distances, read as distances. scale is null for distances. The fused
// multiply-add is explicit, so a positive is compared with exactly its own distance.
template <typename T>
struct RowOf {
  const T *values, *scale, *bias;
  bool finite;  // whether the query is finite
  __device__ T operator()(int64_t k) const {
    if (scale == nullptr) return values[k];
    return finite ? fma(values[k], scale[k], bias[k]) : kNaN<T>;
  }
};

// Converts products with the rows of (G, D) to distances.
template <typename T>
struct Orders {
  Tensor scale, bias;

  Orders(const Tensor& gallery, Metric metric) {
    const Tensor norms = squared_norms<T>(gallery);
    scale = torch::stable::empty_like(norms);
    bias = torch::stable::empty_like(norms);
    const int64_t n = norms.numel();
    if (n == 0) return;
    order_kernel<T><<<grid_for(n, kBlockThreads), kBlockThreads, 0, current_stream(gallery)>>>(
        norms.const_data_ptr<T>(), scale.mutable_data_ptr<T>(), bias.mutable_data_ptr<T>(), metric,
        n);
    STD_CUDA_KERNEL_LAUNCH_CHECK();
  }
};

}  // namespace reid_ext::ranking
