// On the device: averages V over the k2 nearest, and Jaccard distances by an inverted index.
//
// The rows to be added are listed one after the other and sorted stably by (row, column). One
// thread per result sums them. For the Jaccard sums, a block owns a query and processes its columns
// in order. Within a column every other image appears once, so no two threads write to one place.
#pragma once

#include "rerank/encode_cuda.cuh"

namespace reid_ext::rerank {

// The number of pairs that the a-th nearest of image i adds.
template <typename T>
__global__ void lengths_kernel(EncodingView<T> v, const int64_t* __restrict__ index, int64_t kept,
                               int64_t averaged, int64_t* __restrict__ lengths) {
  REID_FOR_EACH(e, v.n * averaged) {
    const int64_t j = index[e / averaged * kept + e % averaged];
    lengths[e] = v.offsets[j + 1] - v.offsets[j];
  }
}

template <typename T>
__global__ void copies_kernel(EncodingView<T> v, const int64_t* __restrict__ index, int64_t kept,
                              int64_t averaged, const int64_t* __restrict__ ends,
                              int64_t* __restrict__ pairs, T* __restrict__ values) {
  REID_FOR_EACH(e, v.n * averaged) {
    const int64_t i = e / averaged, j = index[i * kept + e % averaged];
    const int64_t begin = v.offsets[j], length = v.offsets[j + 1] - begin;
    for (int64_t a = 0; a < length; ++a) {
      pairs[ends[e] - length + a] = i * v.n + v.pairs[begin + a] % v.n;
      values[ends[e] - length + a] = v.values[begin + a];
    }
  }
}

// The sums of equal pairs, in the order of the list.
template <typename T>
__global__ void sums_kernel(const T* __restrict__ values, const int64_t* __restrict__ order,
                            const int64_t* __restrict__ counts, const int64_t* __restrict__ ends,
                            int64_t results, int64_t averaged, T* __restrict__ means) {
  REID_FOR_EACH(r, results) {
    T sum = 0;
    for (int64_t e = ends[r] - counts[r]; e < ends[r]; ++e) sum += values[order[e]];
    means[r] = sum / T(averaged);
  }
}

inline std::tuple<Tensor, Tensor> sorted(const Tensor& pairs) {
  return call<Tensor, Tensor>("aten::sort", "stable", pairs, std::optional<bool>(true), int64_t(0),
                              false);
}

template <typename T>
Encoding averaged(const Encoding& v, const Tensor& index, const Settings& settings) {
  if (settings.k2 == 1 || v.pairs.numel() == 0) return v;
  const int64_t n = index.size(0), kept = index.size(1), k = settings.averaged(n);
  const EncodingView<T> view(v);
  const Tensor lengths = new_integers(index, n * k);
  launch(lengths_kernel<T>, n * k, index, view, index.const_data_ptr<int64_t>(), kept, k,
         lengths.mutable_data_ptr<int64_t>());
  const Tensor ends = running_sum(lengths);
  const int64_t total = last_of(ends);
  const Tensor pairs = new_integers(index, total);
  const Tensor values = torch::stable::new_empty(v.values, {total});
  launch(copies_kernel<T>, n * k, index, view, index.const_data_ptr<int64_t>(), kept, k,
         ends.const_data_ptr<int64_t>(), pairs.mutable_data_ptr<int64_t>(),
         values.mutable_data_ptr<T>());
  const auto [in_order, order] = sorted(pairs);
  const auto [unique, inverse, counts] = call<Tensor, Tensor, Tensor>(
      "aten::unique_consecutive", "", in_order, false, true, std::optional<int64_t>());
  const Tensor unique_ends = running_sum(counts);
  const Tensor means = torch::stable::new_empty(values, {unique.numel()});
  launch(sums_kernel<T>, unique.numel(), index, values.template const_data_ptr<T>(),
         order.template const_data_ptr<int64_t>(), counts.template const_data_ptr<int64_t>(),
         unique_ends.template const_data_ptr<int64_t>(), unique.numel(), k,
         means.template mutable_data_ptr<T>());
  return {unique, means, offsets_of(unique, n)};
}

// V by columns: pairs column * n + row, in ascending order.
template <typename T>
__global__ void turn_kernel(EncodingView<T> v, int64_t count, int64_t* __restrict__ turned) {
  REID_FOR_EACH(e, count) { turned[e] = v.pairs[e] % v.n * v.n + v.pairs[e] / v.n; }
}

template <typename T>
__global__ void gather_kernel(const T* __restrict__ values, const int64_t* __restrict__ order,
                              int64_t count, T* __restrict__ out) {
  REID_FOR_EACH(e, count) { out[e] = values[order[e]]; }
}

template <typename T>
Encoding inverted(const Encoding& v) {
  const int64_t count = v.pairs.numel(), n = v.offsets.size(0) - 1;
  const Tensor turned = new_integers(v.pairs, count);
  launch(turn_kernel<T>, count, v.pairs, EncodingView<T>(v), count,
         turned.mutable_data_ptr<int64_t>());
  const auto [pairs, order] = sorted(turned);
  const Tensor values = torch::stable::empty_like(v.values);
  launch(gather_kernel<T>, count, v.pairs, v.values.template const_data_ptr<T>(),
         order.template const_data_ptr<int64_t>(), count, values.template mutable_data_ptr<T>());
  return {pairs, values, offsets_of(pairs, n)};
}

// For a whole block: the sums of minima of row i with rows from `first` on, written to `shared`.
template <typename T>
__device__ void shared_weights(const EncodingView<T>& v, const EncodingView<T>& columns, int64_t i,
                               int64_t first, T* shared) {
  for (int64_t e = v.offsets[i]; e < v.offsets[i + 1]; ++e) {
    const int64_t h = v.pairs[e] % v.n;
    const T mine = v.values[e];
    for (int64_t at = columns.offsets[h] + threadIdx.x; at < columns.offsets[h + 1];
         at += kBlockThreads) {
      const int64_t j = columns.pairs[at] % v.n;
      const T other = columns.values[at];
      if (j >= first) shared[j - first] += mine < other ? mine : other;
    }
    __syncthreads();  // wait, as the next column may write to the same images
  }
}

}  // namespace reid_ext::rerank
