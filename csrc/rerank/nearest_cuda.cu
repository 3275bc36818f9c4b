// CUDA kernels of the op nearest. One thread block per row selects its keys (select_cuda.cuh), and
// one thread per result turns a key into a distance.
#include "rerank/features_cuda.cuh"

namespace reid_ext::rerank {
namespace {

template <typename T>
__global__ void distances_kernel(const T* __restrict__ keys, const T* __restrict__ norms,
                                 Metric metric, int64_t rows, int64_t k,
                                 T* __restrict__ distances) {
  const int64_t stride = int64_t(gridDim.x) * kBlockThreads;
  for (int64_t e = int64_t(blockIdx.x) * kBlockThreads + threadIdx.x; e < rows * k; e += stride) {
    distances[e] = distance_of_key(metric, norms[e / k], keys[e]);
  }
}

template <typename T>
TwoTensors find_nearest(const Tensor& x, const Tensor& keys, int64_t count, Metric metric) {
  const int64_t rows = x.size(0);
  const Features<T> images(keys, metric);
  const Found found = find(x, images, count, [](const Tensor&, int64_t) {});
  const Tensor norms = squared_norms<T>(x);
  const Tensor distances = torch::stable::empty_like(found.keys);
  if (rows == 0) return {distances, found.indices};
  distances_kernel<T>
      <<<grid_for(rows * count, kBlockThreads), kBlockThreads, 0, current_stream(x)>>>(
          found.keys.const_data_ptr<T>(), norms.const_data_ptr<T>(), metric, rows, count,
          distances.mutable_data_ptr<T>());
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  return {distances, found.indices};
}

TwoTensors nearest_cuda(const Tensor& x, const std::optional<Tensor>& keys, int64_t count,
                        int64_t metric) {
  const Search s = read_search("nearest", x, keys, count, metric);
  const DeviceGuard guard(s.x.get_device_index());
  return by_dtype(x, [&](auto zero) {
    return find_nearest<decltype(zero)>(s.x, s.keys ? *s.keys : s.x, count, s.metric);
  });
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(reid_ext, CUDA, m) { m.impl("nearest", TORCH_BOX(&nearest_cuda)); }

}  // namespace reid_ext::rerank
