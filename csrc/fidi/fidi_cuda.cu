// The CUDA kernels of FIDI. See fidi.h for the contract.
//
// cuBLAS makes tiles of the product. One block per row of a tile turns it into weights in place,
// 256 keys at a time. For the few keys that nearly coincide with the anchor, the whole block
// computes the distance from the rows, one key after the other, and adds their gradient directly. A
// second product of the weights with the keys gives the other gradients, and one thread per element
// adds them. All ordered pairs are computed, so each row is summed by one block in one order. The
// gradient of keys is a second pass with the sides exchanged. There are no atomics.
#include <algorithm>

#include "common/cuda.cuh"
#include "common/product.h"
#include "fidi/fidi.h"

namespace reid_ext::fidi {
namespace {

constexpr int64_t kRows = 4096, kCols = 4096;  // tile size: 64 MiB of float32, about the size of L2

template <typename T>
struct View {  // the inputs as the kernels read them
  const T *x, *keys, *x_norms, *key_norms;
  const int64_t *labels, *key_labels;
  bool own_keys;
  Curve<T> curve;
  int64_t d;
};

// A tile whose first row is anchor i and whose first column is key j.
template <typename T>
struct Tile {
  T* values;
  int64_t i, j, rows, cols;
};

// The squared distance of a pair of rows, computed by one block. Every thread gets it.
template <typename T>
__device__ T block_squared_distance(const T* x, const T* y, int64_t d) {
  T sum = 0;
  for (int64_t k = threadIdx.x; k < d; k += kBlockThreads) {
    sum += squared_difference(x[k], y[k], T(1), T(1));
  }
  return block_sum(sum);
}

// One block with one key per thread: computes the squared distances of near keys from the rows.
template <typename T>
__device__ T refined(const View<T>& v, const bool* near, int64_t i, int64_t first, T squared) {
  for (int t = 0; t < kBlockThreads; ++t) {
    if (!near[t]) continue;
    const T sum = block_squared_distance(v.x + i * v.d, v.keys + (first + t) * v.d, v.d);
    if (threadIdx.x == t) squared = sum;
  }
  return squared;
}

// One block adds the part of the near keys to the gradient of one anchor.
template <typename T>
__device__ void add_near(const View<T>& v, const bool* near, const T* weights, int64_t i,
                         int64_t first, T* grad) {
  for (int t = 0; t < kBlockThreads; ++t) {
    if (!near[t]) continue;
    const T *x = v.x + i * v.d, *y = v.keys + (first + t) * v.d;
    for (int64_t k = threadIdx.x; k < v.d; k += kBlockThreads) {
      grad[i * v.d + k] += weights[t] * (x[k] - y[k]);
    }
  }
}

// One block per row. losses accumulate over tiles; sums has the sum of this tile's weights per row.
template <typename T>
__global__ void weigh_kernel(View<T> v, Tile<T> tile, double* __restrict__ losses,
                             T* __restrict__ sums, T* __restrict__ grad) {
  __shared__ bool near[kBlockThreads];
  __shared__ T weights[kBlockThreads];
  for (int64_t r = blockIdx.x; r < tile.rows; r += gridDim.x) {
    const int64_t i = tile.i + r;
    const T norm = finite_or_nan(v.x_norms[i]);
    T* row = tile.values + r * tile.cols;
    T loss = 0, sum = 0;
    for (int64_t first = 0; first < tile.cols; first += kBlockThreads) {
      const int64_t c = first + threadIdx.x, j = tile.j + c;
      const bool counts = c < tile.cols && !(v.own_keys && i == j);
      const T both = counts ? norm + finite_or_nan(v.key_norms[j]) : T(0);
      T squared = counts ? both - T(2) * row[c] : T(0);
      const bool is_near_key = counts && is_near(squared, both);
      near[threadIdx.x] = is_near_key;
      const bool any_near = __syncthreads_or(is_near_key);
      if (any_near) squared = refined(v, near, i, tile.j + first, squared);
      Pair<T> pair = {T(0), T(0)};
      if (counts) {
        const bool same = v.labels[i] == v.key_labels[j];
        pair = same ? positive(v.curve, squared) : negative(v.curve, squared);
      }
      if (any_near && grad != nullptr) {
        weights[threadIdx.x] = pair.weight;
        __syncthreads();
        add_near(v, near, weights, i, tile.j + first, grad);
      }
      loss += pair.loss;
      if (is_near_key) pair.weight = T(0);
      sum += pair.weight;
      if (c < tile.cols) row[c] = pair.weight;
      __syncthreads();  // wait before the next keys overwrite near and weights
    }
    const double row_loss = block_sum(double(loss));
    sum = block_sum(sum);
    if (threadIdx.x != 0) continue;
    losses[i] = tile.j > 0 ? losses[i] + row_loss : row_loss;
    sums[r] = sum;
  }
}

// One thread per element: adds sum_b w_ab (x_a - k_b) to row a of the gradient.
template <typename T>
__global__ void add_kernel(const T* __restrict__ x, const T* __restrict__ product,
                           const T* __restrict__ sums, T* __restrict__ grad, int64_t elements,
                           int64_t d) {
  const int64_t stride = int64_t(gridDim.x) * kBlockThreads;
  for (int64_t e = int64_t(blockIdx.x) * kBlockThreads + threadIdx.x; e < elements; e += stride) {
    grad[e] += sums[e / d] * x[e] - product[e];
  }
}

// Runs as one block.
template <typename T>
__global__ void loss_kernel(const double* __restrict__ losses, T* __restrict__ loss, double scale,
                            int64_t n) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < n; i += kBlockThreads) sum += losses[i];
  sum = block_sum(sum);
  if (threadIdx.x == 0) *loss = T(scale * sum);
}

// Returns the losses of the anchors, (N,) in float64, and adds to their gradient if requested.
template <typename T>
Tensor pass(const Problem& p, T* grad) {
  const cudaStream_t stream = current_stream(p.x);
  const Tensor x_norms = squared_norms<T>(p.x);
  const Tensor key_norms = p.own_keys ? x_norms : squared_norms<T>(p.keys);
  const View<T> v = {p.x.const_data_ptr<T>(),
                     p.keys.const_data_ptr<T>(),
                     x_norms.const_data_ptr<T>(),
                     key_norms.const_data_ptr<T>(),
                     p.labels.const_data_ptr<int64_t>(),
                     p.key_labels.const_data_ptr<int64_t>(),
                     p.own_keys,
                     curve<T>(p),
                     p.d};
  const int64_t rows_at_once = std::min(p.n, kRows);
  const Tensor losses = torch::stable::new_zeros(p.x, {p.n}, ScalarType::Double);
  const Tensor sums = torch::stable::new_empty(p.x, {rows_at_once});
  TileProduct product(p.x, rows_at_once, std::min(p.m, kCols));
  TileProduct towards(p.x, grad ? rows_at_once : 0, p.d);
  for (int64_t i = 0; i < p.n; i += kRows) {
    const int64_t rows = std::min(kRows, p.n - i);
    for (int64_t j = 0; j < p.m; j += kCols) {
      const Tensor keys = rows_of(p.keys, j, std::min(kCols, p.m - j));
      const Tensor tile = product(rows_of(p.x, i, rows), keys);
      weigh_kernel<T><<<grid_for(rows, 1), kBlockThreads, 0, stream>>>(
          v, {tile.mutable_data_ptr<T>(), i, j, rows, tile.size(1)},
          losses.mutable_data_ptr<double>(), sums.mutable_data_ptr<T>(), grad);
      STD_CUDA_KERNEL_LAUNCH_CHECK();
      if (grad == nullptr || p.d == 0) continue;
      const Tensor sum = towards(tile, torch::stable::transpose(keys, 0, 1));
      add_kernel<T><<<grid_for(rows * p.d, kBlockThreads), kBlockThreads, 0, stream>>>(
          v.x + i * p.d, sum.const_data_ptr<T>(), sums.const_data_ptr<T>(), grad + i * p.d,
          rows * p.d, p.d);
      STD_CUDA_KERNEL_LAUNCH_CHECK();
    }
  }
  return losses;
}

template <typename T>
LossTensors losses(const Problem& p, bool with_grad_x, bool with_grad_keys) {
  const Tensor loss = torch::stable::new_empty(p.x, {});
  const Tensor grad_x = torch::stable::new_zeros(p.x, {with_grad_x ? p.n : 0, p.d});
  const Tensor grad_keys = torch::stable::new_zeros(p.x, {with_grad_keys ? p.m : 0, p.d});
  const Tensor of_anchor = pass<T>(p, with_grad_x ? grad_x.mutable_data_ptr<T>() : nullptr);
  loss_kernel<T><<<1, kBlockThreads, 0, current_stream(p.x)>>>(
      of_anchor.const_data_ptr<double>(), loss.mutable_data_ptr<T>(), p.scale, p.n);
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  if (with_grad_keys) pass<T>(exchanged(p), grad_keys.mutable_data_ptr<T>());
  return {loss, grad_x, grad_keys};
}

LossTensors fidi_loss_cuda(const Tensor& x, const Tensor& labels, const std::optional<Tensor>& keys,
                           const std::optional<Tensor>& key_labels, double alpha, double beta,
                           bool mean, bool with_grad_x, bool with_grad_keys) {
  const Problem p = read(x, labels, keys, key_labels, alpha, beta, mean);
  const DeviceGuard guard(p.x.get_device_index());
  return by_dtype(p.x, [&](auto zero) {
    return losses<decltype(zero)>(p, with_grad_x, with_grad_keys && !p.own_keys);
  });
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(reid_ext, CUDA, m) { m.impl("fidi_loss", TORCH_BOX(&fidi_loss_cuda)); }

}  // namespace reid_ext::fidi
