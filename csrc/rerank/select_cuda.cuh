// The k smallest keys of every row and the largest, on the device, with one thread block per row.
//
// The block reads the row 256 keys at a time. Keys below the limit, the k-th smallest so far, go to
// a buffer in shared memory. Before it can overflow, the buffer is sorted and cut to k. This
// happens a few times per row, as the limit falls fast. An atomic counter assigns the slots in any
// order, and the sort by (key, index) makes the result deterministic. For larger k torch sorts.
#pragma once

#include <limits>
#include <optional>

#include "common/cuda.cuh"
#include "common/product.h"
#include "rerank/rerank.h"

namespace reid_ext::rerank {

constexpr int kBuffer = 1024;
constexpr int64_t kMostSelected = kBuffer - kBlockThreads;
constexpr int64_t kBlockRows = 1024;
template <typename T>
constexpr T kInfinity = std::numeric_limits<T>::infinity();
constexpr int64_t kNoIndex = std::numeric_limits<int64_t>::max();

template <typename T>
struct Candidate {
  T key;
  int64_t index;
};

template <typename T>
__device__ bool before(const Candidate<T>& a, const Candidate<T>& b) {
  return a.key < b.key || (a.key == b.key && a.index < b.index);
}

// Computes the keys of the rows of a block of n columns.
template <typename T>
struct ProductKeys {
  const T *products, *scale, *bias;
  int64_t n;
  __device__ T at(int64_t row, int64_t k) const {
    return products[row * n + k] * scale[k] + bias[k];
  }
};

template <typename T>
struct SquaredKeys {
  const T* distances;
  int64_t n;
  __device__ T at(int64_t row, int64_t k) const {
    const T d = distances[row * n + k];
    return d * d;
  }
};

template <typename T>
struct GivenKeys {
  const T* keys;
  int64_t n;
  __device__ T at(int64_t row, int64_t k) const { return keys[row * n + k]; }
};

// Makes a key that is not finite the last, by index.
template <typename T>
__device__ T ordered(T key) {
  return key < kInfinity<T> ? key : kInfinity<T>;
}
template <typename T>
__device__ T reported(T ordered_key) {
  return ordered_key < kInfinity<T> ? ordered_key : kNaN<T>;
}

template <typename T>
__device__ T block_max(T v) {
  __shared__ T of_warp[kBlockWarps];
  for (int offset = kWarp / 2; offset > 0; offset /= 2) {
    const T other = __shfl_xor_sync(kFullMask, v, offset);
    v = other > v ? other : v;
  }
  __syncthreads();  // wait for the readers of the previous call
  if (threadIdx.x % kWarp == 0) of_warp[threadIdx.x / kWarp] = v;
  __syncthreads();
  for (int w = 0; w < kBlockWarps; ++w) v = of_warp[w] > v ? of_warp[w] : v;
  return v;
}

// Sorts ascending by a bitonic sort, after setting the slots from `count` on to the last key. All
// threads call it.
template <typename T>
__device__ void sort_buffer(Candidate<T>* buffer, int count) {
  for (int t = count + threadIdx.x; t < kBuffer; t += kBlockThreads) {
    buffer[t] = {kInfinity<T>, kNoIndex};
  }
  for (int size = 2; size <= kBuffer; size *= 2) {
    for (int stride = size / 2; stride > 0; stride /= 2) {
      __syncthreads();
      for (int t = threadIdx.x; t < kBuffer / 2; t += kBlockThreads) {
        const int low = 2 * t - (t & (stride - 1)), high = low + stride;
        const bool ascending = (low & size) == 0;
        if (before(buffer[high], buffer[low]) == ascending) {
          const Candidate<T> moved = buffer[low];
          buffer[low] = buffer[high];
          buffer[high] = moved;
        }
      }
    }
  }
  __syncthreads();
}

// Rows 0 .. rows of a block. farthest may be null.
template <typename T, typename Keys>
__global__ void select_kernel(Keys keys, int64_t rows, int64_t n, int k, T* __restrict__ smallest,
                              int64_t* __restrict__ indices, T* __restrict__ farthest) {
  __shared__ Candidate<T> buffer[kBuffer];
  __shared__ int count;
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    __syncthreads();  // wait for the readers of the previous row
    if (threadIdx.x == 0) count = 0;
    __syncthreads();
    Candidate<T> limit = {kInfinity<T>, kNoIndex};
    T far = -kInfinity<T>;
    for (int64_t base = 0; base < n; base += kBlockThreads) {
      const int64_t at = base + threadIdx.x;
      if (at < n) {
        const T key = keys.at(row, at);
        far = key > far ? key : far;
        const Candidate<T> candidate = {ordered(key), at};
        if (before(candidate, limit)) buffer[atomicAdd(&count, 1)] = candidate;
      }
      __syncthreads();
      const int held = count;
      __syncthreads();  // wait until all threads have read it
      if (held + kBlockThreads > kBuffer) {
        sort_buffer(buffer, held);
        limit = buffer[k - 1];
        if (threadIdx.x == 0) count = k;
        __syncthreads();
      }
    }
    sort_buffer(buffer, count);
    for (int a = threadIdx.x; a < k; a += kBlockThreads) {
      smallest[row * k + a] = reported(buffer[a].key);
      indices[row * k + a] = buffer[a].index;
    }
    far = block_max(far);
    if (farthest != nullptr && threadIdx.x == 0) farthest[row] = far;
  }
}

// Copies the whole row as keys to be sorted, and finds its largest key.
template <typename T, typename Keys>
__global__ void keys_kernel(Keys keys, int64_t rows, int64_t n, T* __restrict__ out,
                            T* __restrict__ farthest) {
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    T far = -kInfinity<T>;
    for (int64_t k = threadIdx.x; k < n; k += kBlockThreads) {
      const T key = keys.at(row, k);
      far = key > far ? key : far;
      out[row * n + k] = ordered(key);
    }
    far = block_max(far);
    if (farthest != nullptr && threadIdx.x == 0) farthest[row] = far;
  }
}

template <typename T>
__global__ void head_kernel(const T* __restrict__ sorted, const int64_t* __restrict__ order,
                            int64_t rows, int64_t n, int64_t k, T* __restrict__ smallest,
                            int64_t* __restrict__ indices) {
  const int64_t stride = int64_t(gridDim.x) * kBlockThreads;
  for (int64_t e = int64_t(blockIdx.x) * kBlockThreads + threadIdx.x; e < rows * k; e += stride) {
    const int64_t at = e / k * n + e % k;
    smallest[e] = reported(sorted[at]);
    indices[e] = order[at];
  }
}

// Writes the k nearest of each row to smallest and indices (rows, k), and to farthest (rows,).
template <typename T, typename Keys>
void select(const Tensor& like, Keys keys, int64_t rows, int64_t n, int64_t k, T* smallest,
            int64_t* indices, T* farthest) {
  if (rows == 0) return;
  const cudaStream_t stream = current_stream(like);
  if (k <= kMostSelected) {
    select_kernel<T><<<grid_for(rows, 1), kBlockThreads, 0, stream>>>(keys, rows, n, int(k),
                                                                      smallest, indices, farthest);
    STD_CUDA_KERNEL_LAUNCH_CHECK();
    return;
  }
  Tensor all = torch::stable::new_empty(like, {rows, n});
  keys_kernel<T><<<grid_for(rows, 1), kBlockThreads, 0, stream>>>(
      keys, rows, n, all.mutable_data_ptr<T>(), farthest);
  STD_CUDA_KERNEL_LAUNCH_CHECK();
  const auto [sorted, order] = call<Tensor, Tensor>("aten::sort", "stable", all,
                                                    std::optional<bool>(true), int64_t(1), false);
  head_kernel<T><<<grid_for(rows * k, kBlockThreads), kBlockThreads, 0, stream>>>(
      sorted.template const_data_ptr<T>(), order.template const_data_ptr<int64_t>(), rows, n, k,
      smallest, indices);
  STD_CUDA_KERNEL_LAUNCH_CHECK();
}

}  // namespace reid_ext::rerank
