// Finds the images of one query's row of a tile that may precede its last threshold, the bounds of
// their values, and the thresholds that they certainly precede.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "ranking/estimate_cpu.h"

namespace reid_ext::ranking {

// Images of a row whose lower bound is at most the limit, in order. A NaN bound is kept.
template <typename T>
struct Near {
  std::vector<int64_t> column;
  std::vector<T> low, high;
  std::vector<uint8_t> unsure;
  int64_t size = 0;

  void reserve(int64_t n) {
    if (int64_t(column.size()) > n) return;
    column.resize(n + 1);
    low.resize(n + 1);
    high.resize(n + 1);
    unsure.resize(n + 1);
  }
};

template <typename T, typename Estimate>
REID_CLONES void find_near(const Estimate* estimates, const Columns<T>& columns, int64_t first,
                           int64_t n, const QueryError<T>& error, T limit, Near<T>& near) {
  constexpr int64_t kChunk = 128;
  const T *scale = columns.scale.data() + first, *bias = columns.bias.data() + first;
  const T *by_norm = columns.by_norm.data() + first, *always = columns.always.data() + first;
  const T* by_dropped = columns.by_dropped.data() + first;
  T low[kChunk], high[kChunk];
  int64_t m = 0;
  for (int64_t begin = 0; begin < n; begin += kChunk) {
    const int64_t count = std::min(n - begin, kChunk);
    int32_t any = 0;
#pragma omp simd reduction(+ : any)
    for (int64_t j = 0; j < count; ++j) {
      const int64_t k = begin + j;
      const T scaled = T(as_float(estimates[k])) * scale[k], value = scaled + bias[k];
      const T off = error.per_norm * by_norm[k] + error.per_dropped * by_dropped[k] +
                    error.relative * std::abs(scaled) + error.always * always[k];
      low[j] = value - off;
      high[j] = value + off;
      any += !(low[j] > limit);
    }
    if (any == 0) continue;
    for (int64_t j = 0; j < count; ++j) {
      near.column[m] = begin + j;
      near.low[m] = low[j];
      near.high[m] = high[j];
      m += !(low[j] > limit);
    }
  }
  near.size = m;
}

// Drops the listed columns. The list [begin, end) has ascending gallery indices; the tile starts at
// index `first`.
template <typename T>
void drop_listed(Near<T>& near, int64_t first, const int64_t* begin, const int64_t* end) {
  if (begin == end) return;
  int64_t m = 0;
  for (int64_t i = 0; i < near.size; ++i) {
    while (begin < end && *begin < first + near.column[i]) ++begin;
    if (begin < end && *begin == first + near.column[i]) continue;
    near.column[m] = near.column[i];
    near.low[m] = near.low[i];
    near.high[m++] = near.high[i];
  }
  near.size = m;
}

struct Sides {
  int64_t below = 0, not_above = 0;  // by the upper and the lower bound
};

template <typename T>
REID_CLONES Sides count_sides(const T* low, const T* high, int64_t n, T threshold) {
  int32_t below = 0, above = 0;
#pragma omp simd reduction(+ : below, above)
  for (int64_t k = 0; k < n; ++k) {
    below += high[k] < threshold;
    above += low[k] > threshold;
  }
  return {below, n - above};
}

template <typename T>
REID_CLONES void mark_unsure(const T* low, const T* high, int64_t n, T threshold, uint8_t* unsure) {
#pragma omp simd
  for (int64_t k = 0; k < n; ++k) unsure[k] |= !(high[k] < threshold) & !(low[k] > threshold);
}

// The same as below for many thresholds: every image is searched among them.
template <typename T>
bool search_near(Near<T>& near, const T* thresholds, int64_t p, int64_t* counts) {
  std::vector<int64_t> first(p + 1);  // images by the first threshold that they precede
  bool some = false;
  for (int64_t i = 0; i < near.size; ++i) {
    const T low = near.low[i], high = near.high[i];
    const T* after = std::upper_bound(thresholds, thresholds + p, high);
    if (low != low || high != high) after = thresholds + p;
    ++first[after - thresholds];
    // An image with a NaN bound, or with a threshold in its bounds, is unsure.
    const bool sure = low == low && std::lower_bound(thresholds, after, low) == after;
    near.unsure[i] = !sure;
    some |= !sure;
  }
  for (int64_t j = 0, below = 0; j < p; ++j) counts[j] += below += first[j];
  return some;
}

// Adds to each count the images that certainly precede its threshold, and marks the images whose
// bounds contain a threshold. The thresholds ascend; without NaN.
template <typename T>
int64_t count_near(Near<T>& near, const T* thresholds, int64_t p, int64_t* counts) {
  constexpr int64_t kFew = 24;  // more thresholds are searched, fewer are compared one by one
  std::fill_n(near.unsure.begin(), near.size, uint8_t(0));
  bool some = false;
  if (p <= kFew) {
    for (int64_t j = 0; j < p; ++j) {
      const T t = thresholds[j];
      const Sides sides = count_sides(near.low.data(), near.high.data(), near.size, t);
      counts[j] += sides.below;
      if (sides.below == sides.not_above) continue;
      some = true;
      mark_unsure(near.low.data(), near.high.data(), near.size, t, near.unsure.data());
    }
  } else {
    some = search_near(near, thresholds, p, counts);
  }
  int64_t unsure = 0;
  for (int64_t i = 0; some && i < near.size; ++i) unsure += near.unsure[i];
  return unsure;
}

}  // namespace reid_ext::ranking
