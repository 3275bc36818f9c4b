// CUDA kernels of the cosine ops. See cosine.h for the contract.
//
// Forward: the product by cuBLAS, then one thread per element scales, clamps and, for angles, takes
// the arc cosine. The few elements near 0 and pi read their two rows again.
// Backward: one block per row makes the weights of the two products and the row sum, and one thread
// per column makes the column sum. Each element is written once, without atomics.
#include "common/cuda.cuh"
#include "common/dispatch.h"
#include "cosine/cosine.h"

namespace reid_ext::cosine {
namespace {

// One thread computes the angle of two nearly parallel (sign 1) or opposite (sign -1) rows.
template <typename T>
__device__ T refined(const T* x, const T* y, T ix, T iy, T sign, int64_t d) {
  const T ratio = length_ratio(ix, sign * iy);
  T sum = 0;
  for (int64_t k = 0; k < d; ++k) sum += squared_difference(x[k], y[k], ratio, ix);
  const T angle = angle_from_difference(sum);
  return sign > T(0) ? angle : kPi<T> - angle;
}

template <typename T>
__global__ void forward_kernel(const T* __restrict__ x, const T* __restrict__ y,
                               const T* __restrict__ x_norms, const T* __restrict__ y_norms,
                               T* __restrict__ out, bool angle, int64_t elements, int64_t n,
                               int64_t m, int64_t d) {
  const int64_t stride = int64_t(gridDim.x) * kBlockThreads;
  for (int64_t e = int64_t(blockIdx.x) * kBlockThreads + threadIdx.x; e < elements; e += stride) {
    const int64_t i = e / m, j = i / n * m + e % m;  // rows of x and y over all batches
    const T ix = inverse_norm(x_norms[i]), iy = inverse_norm(y_norms[j]);
    T value = clamped(out[e] * ix * iy);
    if (angle) {
      value = std::acos(value);
      if (value < kRefined<T>) value = refined(x + i * d, y + j * d, ix, iy, T(1), d);
      if (value > kPi<T> - kRefined<T>) value = refined(x + i * d, y + j * d, ix, iy, T(-1), d);
    }
    out[e] = value;
  }
}

template <typename T>
Tensor forward(const Problem& p, bool angle) {
  const Tensor out = call<Tensor>("aten::bmm", "", p.x, torch::stable::transpose(p.y, 1, 2));
  const int64_t elements = out.numel();
  if (elements == 0) return out;
  const Tensor x_norms = squared_norms<T>(torch::stable::view(p.x, {p.batch * p.n, p.d}));
  const Tensor y_norms = squared_norms<T>(torch::stable::view(p.y, {p.batch * p.m, p.d}));
  forward_kernel<T><<<grid_for(elements, kBlockThreads), kBlockThreads, 0, current_stream(p.x)>>>(
      p.x.const_data_ptr<T>(), p.y.const_data_ptr<T>(), x_norms.const_data_ptr<T>(),
      y_norms.const_data_ptr<T>(), out.mutable_data_ptr<T>(), angle, elements, p.n, p.m, p.d);
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  return out;
}

template <typename T>
struct WeightView {
  const T *grad, *cosine, *x_norms, *y_norms;
  T *scaled, *along_x, *along_y;
  int64_t batch, n, m;
  bool self;  // y is x, so weights and sums include both sides
};

template <typename T>
__global__ void row_kernel(WeightView<T> v) {
  for (int64_t i = blockIdx.x; i < v.batch * v.n; i += gridDim.x) {
    const T ix = inverse_norm(v.x_norms[i]);
    const int64_t batch = i / v.n;
    const T* y_norms = v.y_norms + batch * v.m;
    T along = 0;
    for (int64_t j = threadIdx.x; j < v.m; j += kBlockThreads) {
      T g = v.grad[i * v.m + j];
      if (v.self) g += v.grad[(batch * v.n + j) * v.m + i % v.n];
      along += g * v.cosine[i * v.m + j];
      v.scaled[i * v.m + j] = g * (ix * inverse_norm(y_norms[j]));
    }
    along = block_sum(along);
    if (threadIdx.x == 0) v.along_x[i] = along * ix * ix;
  }
}

template <typename T>
__global__ void column_kernel(WeightView<T> v) {
  const int64_t stride = int64_t(gridDim.x) * kBlockThreads, columns = v.batch * v.m;
  for (int64_t j = int64_t(blockIdx.x) * kBlockThreads + threadIdx.x; j < columns; j += stride) {
    const int64_t first = j / v.m * v.n, column = j % v.m;
    T along = 0;
    for (int64_t i = first; i < first + v.n; ++i) {
      along += v.grad[i * v.m + column] * v.cosine[i * v.m + column];
    }
    const T iy = inverse_norm(v.y_norms[j]);
    v.along_y[j] = along * iy * iy;
  }
}

template <typename T>
GradTensors backward(const Problem& p, const Tensor& grad, const Tensor& cosine) {
  const Weights w = empty_weights(p);
  const Tensor x_norms = squared_norms<T>(torch::stable::view(p.x, {p.batch * p.n, p.d}));
  const Tensor y_norms = squared_norms<T>(torch::stable::view(p.y, {p.batch * p.m, p.d}));
  const WeightView<T> v = {grad.const_data_ptr<T>(),
                           cosine.const_data_ptr<T>(),
                           x_norms.const_data_ptr<T>(),
                           y_norms.const_data_ptr<T>(),
                           w.scaled.mutable_data_ptr<T>(),
                           w.along_x.mutable_data_ptr<T>(),
                           w.along_y.mutable_data_ptr<T>(),
                           p.batch,
                           p.n,
                           p.m,
                           p.self};
  const cudaStream_t stream = current_stream(p.x);
  if (p.batch * p.n > 0) {
    row_kernel<T><<<grid_for(p.batch * p.n, 1), kBlockThreads, 0, stream>>>(v);
    STD_CUDA_KERNEL_LAUNCH_CHECK();
  }
  if (p.batch * p.m > 0 && !p.self) {
    column_kernel<T><<<grid_for(p.batch * p.m, kBlockThreads), kBlockThreads, 0, stream>>>(v);
    STD_CUDA_KERNEL_LAUNCH_CHECK();
  }
  return gradients(
      p, w, [](const Tensor& a, const Tensor& b) { return call<Tensor>("aten::bmm", "", a, b); });
}

Tensor cosine_matrix_cuda(const Tensor& x, const std::optional<Tensor>& y, bool angle) {
  const Problem p = read("cosine_matrix", x, y);
  const DeviceGuard guard(p.x.get_device_index());
  return by_dtype(p.x, [&](auto zero) { return forward<decltype(zero)>(p, angle); });
}

GradTensors cosine_matrix_backward_cuda(const Tensor& grad, const Tensor& cosine, const Tensor& x,
                                        const std::optional<Tensor>& y) {
  const char* op = "cosine_matrix_backward";
  const Problem p = read(op, x, y);
  const Tensor g = read_grad(op, "grad", grad, p), c = read_grad(op, "cosine", cosine, p);
  const DeviceGuard guard(p.x.get_device_index());
  return by_dtype(p.x, [&](auto zero) { return backward<decltype(zero)>(p, g, c); });
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(reid_ext, CUDA, m) {
  m.impl("cosine_matrix", TORCH_BOX(&cosine_matrix_cuda));
  m.impl("cosine_matrix_backward", TORCH_BOX(&cosine_matrix_backward_cuda));
}

}  // namespace reid_ext::cosine
