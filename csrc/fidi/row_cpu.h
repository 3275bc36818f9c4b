// Vectorised loops of FIDI over one row of a tile or one embedding.
#pragma once

#include <cstdint>

#include "common/targets.h"
#include "fidi/fidi.h"

namespace reid_ext::fidi {

// Turns products into squared distances. Returns how many the product cannot resolve.
template <typename T>
REID_CLONES int64_t to_squared(T* row, T norm, const T* norms, int64_t count) {
  int64_t near = 0;
#pragma omp simd reduction(+ : near)
  for (int64_t j = 0; j < count; ++j) {
    const T both = norm + norms[j];
    row[j] = both - T(2) * row[j];
    near += is_near(row[j], both);
  }
  return near;
}

// Turns squared distances into weights. Returns the sum of the losses.
template <typename T>
REID_CLONES T weigh_negatives(const Curve<T>& curve, T* row, int64_t count) {
  const Curve<T> local = curve;
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < count; ++j) {
    const Pair<T> pair = negative(local, row[j]);
    sum += pair.loss;
    row[j] = pair.weight;
  }
  return sum;
}

template <typename T>
REID_CLONES T weigh_positives(const Curve<T>& curve, T* row, int64_t count) {
  const Curve<T> local = curve;
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < count; ++j) {
    const Pair<T> pair = positive(local, row[j]);
    sum += pair.loss;
    row[j] = pair.weight;
  }
  return sum;
}

template <typename T>
REID_CLONES T total(const T* row, int64_t count) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t j = 0; j < count; ++j) sum += row[j];
  return sum;
}

template <typename T>
REID_CLONES void add(const T* row, T* sums, int64_t count) {
#pragma omp simd
  for (int64_t j = 0; j < count; ++j) sums[j] += row[j];
}

template <typename T>
REID_CLONES void add_difference(T weight, const T* x, const T* y, T* out, int64_t d) {
#pragma omp simd
  for (int64_t k = 0; k < d; ++k) out[k] += weight * (x[k] - y[k]);
}

template <typename T>
REID_CLONES void add_remainder(T weight, const T* x, const T* product, T* out, int64_t d) {
#pragma omp simd
  for (int64_t k = 0; k < d; ++k) out[k] += weight * x[k] - product[k];
}

}  // namespace reid_ext::fidi
