// The three metrics: how a product of rows becomes a distance to compare, and the distance of one
// pair with its gradient. Host and device share all of this code.
//
//   cosine              1 - x.y / (|x| |y|), in [0, 2]; a zero row has cosine 0 to every row
//   euclidean           |x - y|
//   squared_euclidean   |x - y|^2
//
// The squared norm of a row decides how it is treated. If it is not finite, as with an infinite
// element, every distance of the row is NaN. If it is below the smallest normal number, as with
// rows shorter than 1e-19 in float32, the row is a zero row. A distance that overflows is NaN.
#pragma once

#include <cmath>
#include <limits>

#include "common/check.h"
#include "common/targets.h"

namespace reid_ext {

enum class Metric { kCosine, kEuclidean, kSquaredEuclidean };

// Reads the metric by its number in the schema. A string would leak in torch's stable ABI.
inline Metric read_metric(const char* op, int64_t metric) {
  STD_TORCH_CHECK(metric >= 0 && metric <= 2, op,
                  ": metric must be 0 (cosine), 1 (euclidean) or 2 (squared_euclidean), got ",
                  metric);
  return static_cast<Metric>(metric);
}

template <typename T>
constexpr T kLargest = std::numeric_limits<T>::max();
template <typename T>
constexpr T kSmallest = std::numeric_limits<T>::min();
template <typename T>
constexpr T kNaN = std::numeric_limits<T>::quiet_NaN();

template <typename T>
REID_HD bool is_finite(T squared_norm) {
  return squared_norm <= kLargest<T>;
}

// 1 / |row|, 0 for a zero row, NaN for a row that is not finite.
template <typename T>
REID_HD T inverse_norm(T squared_norm) {
  if (squared_norm < kSmallest<T>) return T(0);
  return is_finite(squared_norm) ? T(1) / std::sqrt(squared_norm) : kNaN<T>;
}

// Orders the keys of one anchor: product * scale + bias grows with the distance. For a squared
// distance it is half of it, so the products of rows of any finite length stay in range.
template <typename T>
struct Order {
  T scale, bias;
};

template <typename T>
REID_HD Order<T> order(Metric metric, T squared_norm) {
  if (metric == Metric::kCosine) return {-inverse_norm(squared_norm), T(0)};
  return {T(-1), is_finite(squared_norm) ? squared_norm / T(2) : kNaN<T>};
}

// The factor that scales y to the length of x. ix and iy are 1, or the inverse norms.
template <typename T>
REID_HD T length_ratio(T ix, T iy) {
  return ix == T(0) ? T(0) : iy / ix;
}

// The share of one column in |x - ratio y|^2 ix^2. For equal rows it is exactly 0, fused or not.
template <typename T>
REID_HD T squared_difference(T x, T y, T ratio, T ix) {
  const T difference = (x - ratio * y) * ix;
  return difference * difference;
}

// The distance from the sum of these. 1 - cos = |x/|x| - y/|y||^2 / 2 avoids cancellation.
template <typename T>
REID_HD T distance(Metric metric, T sum, T ix, T iy) {
  if (!is_finite(sum)) return kNaN<T>;
  if (metric == Metric::kEuclidean) return std::sqrt(sum);
  if (metric == Metric::kSquaredEuclidean) return sum;
  if (ix == T(0) || iy == T(0)) return T(1);
  return sum > T(4) ? T(2) : sum / T(2);
}

// The factor of (x - y) in the gradient of a Euclidean distance, 0 for coincident points.
template <typename T>
REID_HD T difference_factor(Metric metric, T pair_distance) {
  if (metric == Metric::kSquaredEuclidean) return T(2);
  return pair_distance == T(0) ? T(0) : T(1) / pair_distance;
}

}  // namespace reid_ext
