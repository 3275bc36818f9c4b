// CUDA kernels of the viewpoint ops. See viewpoint.h for the contract.
//
// One block per row. A row is a few thousand logits, so the second and third pass read them from
// the caches. Threads stride over the columns in coalesced steps, and the sums have a fixed order.
// Every thread then knows the few logits of the row's identity. One further block computes the mean
// over the rows. There are no atomics, and shared memory is only used by reductions. The host does
// not wait: a row whose class is out of range or absent gets NaN before the class is used.
#include "common/cuda.cuh"
#include "viewpoint/viewpoint.h"

namespace reid_ext::viewpoint {
namespace {

template <typename T>
__device__ T warp_max(T v) {
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    const T other = __shfl_xor_sync(kFullMask, v, offset);
    v = other > v ? other : v;
  }
  return v;
}

// Every thread gets the maximum over the block.
template <typename T>
__device__ T block_max(T v) {
  __shared__ T of_warp[kBlockWarps];
  v = warp_max(v);
  __syncthreads();  // wait for the readers of the previous call
  if (threadIdx.x % kWarp == 0) of_warp[threadIdx.x / kWarp] = v;
  __syncthreads();
  for (int w = 0; w < kBlockWarps; ++w) v = of_warp[w] > v ? of_warp[w] : v;
  return v;
}

__device__ int64_t block_classes(const Classes& c) {
  if (c.present == nullptr) return c.columns();
  int64_t classes = 0;
  for (int64_t k = threadIdx.x; k < c.columns(); k += kBlockThreads) classes += c.present[k];
  return block_sum(classes);
}

__device__ bool usable(const Classes& c, int64_t row) {
  return c.in_range(row) && c.has(c.own(row));
}

template <typename T>
struct LossView {
  Classes classes;
  const T* logits;
  T *losses, *maximum, *others;
  T alpha;
  Targets targets;
  int64_t n;
};

template <typename T>
__device__ T block_row_maximum(const Classes& c, const T* logits) {
  T maximum = kLowest<T>;
  for (int64_t k = threadIdx.x; k < c.columns(); k += kBlockThreads) {
    if (c.has(k) && logits[k] > maximum) maximum = logits[k];
  }
  return block_max(maximum);
}

template <typename T>
__device__ Others<T> block_others(const LossView<T>& v, int64_t row, const T* logits, T maximum) {
  const Classes& c = v.classes;
  const int64_t first = c.first(row), after = first + c.num_views;
  Others<T> sums;
  for (int64_t k = threadIdx.x; k < c.columns(); k += kBlockThreads) {
    if ((k >= first && k < after) || !c.has(k)) continue;
    const T shifted = logits[k] - maximum;
    sums.exps += fast_exp(shifted);
    sums.shifted += shifted;
    if (v.targets == Targets::kReleased) sums.weighted += weighted(shifted);
  }
  return {block_sum(sums.exps), block_sum(sums.shifted), block_sum(sums.weighted)};
}

template <typename T>
__global__ void rows_kernel(LossView<T> v) {
  const Classes& c = v.classes;
  for (int64_t i = blockIdx.x; i < v.n; i += gridDim.x) {
    T loss = kNaN<T>, maximum = 0, exps = 0;
    if (c.counts(i) && usable(c, i)) {  // the condition is the same for the whole block
      const T* logits = v.logits + i * c.columns();
      maximum = block_row_maximum(c, logits);
      const Others<T> others = block_others(v, i, logits, maximum);
      const int64_t classes = block_classes(c);
      const Own<T> own = own_of(c, i, logits, maximum);
      exps = others.exps;
      loss = row_loss(labels_of(v.targets, v.alpha, own, exps, classes), own, others);
    }
    if (threadIdx.x == 0) {
      v.losses[i] = loss;
      v.maximum[i] = maximum;
      v.others[i] = exps;
    }
  }
}

// One block: the mean of the losses that count (if mean is not null), and the weight of each.
template <typename T>
__global__ void mean_kernel(LossView<T> v, T* mean, T* weight) {
  double sum = 0, count = 0;
  for (int64_t i = threadIdx.x; i < v.n; i += kBlockThreads) {
    if (!v.classes.counts(i)) continue;
    sum += v.losses[i];
    count += 1;
  }
  sum = block_sum(sum);
  count = block_sum(count);
  if (threadIdx.x > 0) return;
  const double each = count > 0 ? 1 / count : 0;
  *weight = mean == nullptr ? T(1) : T(each);
  if (mean != nullptr) *mean = T(sum * each);
}

template <typename T>
LossTensors forward(const Batch& b, bool each) {
  const LossTensors out = empty_loss(b, each);
  T* loss = std::get<0>(out).mutable_data_ptr<T>();
  const Tensor losses = each ? std::get<0>(out) : torch::stable::new_empty(b.logits, {b.n});
  const LossView<T> v = {b.classes(),
                         b.logits.const_data_ptr<T>(),
                         losses.mutable_data_ptr<T>(),
                         std::get<1>(out).mutable_data_ptr<T>(),
                         std::get<2>(out).mutable_data_ptr<T>(),
                         T(b.alpha),
                         b.targets,
                         b.n};
  const cudaStream_t stream = current_stream(b.logits);
  if (b.n > 0) {  // a zero-sized grid is a launch error
    rows_kernel<T><<<grid_for(b.n, 1), kBlockThreads, 0, stream>>>(v);
    STD_CUDA_KERNEL_LAUNCH_CHECK();
  }
  mean_kernel<T><<<1, kBlockThreads, 0, stream>>>(v, each ? nullptr : loss,
                                                  std::get<3>(out).mutable_data_ptr<T>());
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  return out;
}

template <typename T>
struct GradView {
  Classes classes;
  const T *logits, *maximum, *others, *weight, *grad_loss;
  T* grad;
  T alpha;
  Targets targets;
  int64_t n, grad_stride;
};

template <typename T>
__global__ void grad_kernel(GradView<T> v) {
  const Classes& c = v.classes;
  for (int64_t i = blockIdx.x; i < v.n; i += gridDim.x) {
    const T* logits = v.logits + i * c.columns();
    T* grad = v.grad + i * c.columns();
    if (!c.counts(i) || !usable(c, i)) {  // the condition is the same for the whole block
      const T value = c.counts(i) ? kNaN<T> : T(0);
      for (int64_t k = threadIdx.x; k < c.columns(); k += kBlockThreads) grad[k] = value;
      continue;
    }
    const T maximum = v.maximum[i], others = v.others[i];
    const Own<T> own = own_of(c, i, logits, maximum);
    const Labels<T> labels = labels_of(v.targets, v.alpha, own, others, block_classes(c));
    const T scale = *v.weight * v.grad_loss[i * v.grad_stride];
    const Slopes<T> slopes = slopes_of(labels, own, others, scale);
    for (int64_t k = threadIdx.x; k < c.columns(); k += kBlockThreads) {
      grad[k] = grad_at(c, i, k, logits[k] - maximum, slopes);
    }
  }
}

template <typename T>
Tensor backward(const Batch& b, const Saved& saved) {
  Tensor out = torch::stable::new_empty(b.logits, {b.n, b.columns()});
  if (out.numel() == 0) return out;
  const GradView<T> v = {b.classes(),
                         b.logits.const_data_ptr<T>(),
                         saved.maximum.const_data_ptr<T>(),
                         saved.others.const_data_ptr<T>(),
                         saved.weight.const_data_ptr<T>(),
                         saved.grad_loss.const_data_ptr<T>(),
                         out.mutable_data_ptr<T>(),
                         T(b.alpha),
                         b.targets,
                         b.n,
                         saved.grad_stride};
  grad_kernel<T><<<grid_for(b.n, 1), kBlockThreads, 0, current_stream(b.logits)>>>(v);
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  return out;
}

LossTensors loss_cuda(const Tensor& logits, const Tensor& labels,
                      const std::optional<Tensor>& views, const std::optional<Tensor>& present,
                      int64_t num_views, double alpha, int64_t targets, bool each) {
  const Batch b = read(logits, labels, views, present, num_views, alpha, targets);
  const DeviceGuard guard(b.logits.get_device_index());
  return by_dtype(b.logits, [&](auto zero) { return forward<decltype(zero)>(b, each); });
}

Tensor loss_backward_cuda(const Tensor& grad_loss, const Tensor& logits, const Tensor& labels,
                          const std::optional<Tensor>& views, const std::optional<Tensor>& present,
                          const Tensor& maximum, const Tensor& others, const Tensor& weight,
                          int64_t num_views, double alpha, int64_t targets) {
  const Batch b = read(logits, labels, views, present, num_views, alpha, targets);
  const Saved saved = read_saved(b, grad_loss, maximum, others, weight);
  const DeviceGuard guard(b.logits.get_device_index());
  return by_dtype(b.logits, [&](auto zero) { return backward<decltype(zero)>(b, saved); });
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(reid_ext, CUDA, m) {
  m.impl("viewpoint_loss", TORCH_BOX(&loss_cuda));
  m.impl("viewpoint_loss_backward", TORCH_BOX(&loss_backward_cuda));
}

}  // namespace reid_ext::viewpoint
