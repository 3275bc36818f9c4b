// Vectorised sums over one row or a pair of rows on the CPU, and the work size of a thread.
#pragma once

#include <torch/csrc/stable/ops.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "common/metric.h"
#include "common/targets.h"

namespace reid_ext {

// The fewest elements that are worth a thread of their own.
constexpr int64_t kElementsPerTask = 1 << 15;

inline int64_t rows_per_task(int64_t elements_per_row) {
  return std::max<int64_t>(1, kElementsPerTask / std::max<int64_t>(1, elements_per_row));
}

template <typename T>
REID_CLONES T squared_norm(const T* x, int64_t d) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t k = 0; k < d; ++k) sum += x[k] * x[k];
  return sum;
}

template <typename T>
REID_CLONES T dot(const T* x, const T* y, int64_t d) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t k = 0; k < d; ++k) sum += x[k] * y[k];
  return sum;
}

template <typename T>
REID_CLONES T pair_sum(const T* x, const T* y, T ratio, T ix, int64_t d) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t k = 0; k < d; ++k) sum += squared_difference(x[k], y[k], ratio, ix);
  return sum;
}

template <typename T>
std::vector<T> squared_norms(const T* x, int64_t n, int64_t d) {
  std::vector<T> norms(n);
  torch::stable::parallel_for(0, n, rows_per_task(d), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) norms[i] = squared_norm(x + i * d, d);
  });
  return norms;
}

template <typename T>
std::vector<T> inverse_norms(const T* x, int64_t n, int64_t d) {
  std::vector<T> inverse = squared_norms(x, n, d);
  for (T& v : inverse) v = inverse_norm(v);
  return inverse;
}

}  // namespace reid_ext
