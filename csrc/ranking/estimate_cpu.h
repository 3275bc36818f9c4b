// Bounds the error of a library's product in bfloat16, relative to the product of product_cpu.h.
//
// Let x16 be a row rounded to bfloat16 and drop(x) = |x - x16|. With |q16| <= Q = |q| + drop(q) and
// w for the rounding of two sums of D products in any order,
//
//   |estimate - q.g| <= drop(q) |g| + Q drop(g) + w Q (|g| + drop(g)) + 2^-8 |estimate|
//
// by the Cauchy-Schwarz inequality. The last term is the rounding of the estimate itself to the
// 8 bits of a bfloat16. The bounds also cover numbers that processors flush to zero, and the last
// rounding steps of a value.
#pragma once

#include <torch/csrc/stable/ops.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "common/metric.h"
#include "common/rows_cpu.h"
#include "ranking/choice_cpu.h"
#include "ranking/ranking.h"

namespace reid_ext::ranking {

using Bits16 = uint16_t;  // the bits of a bfloat16

inline float as_float(Bits16 bits) {
  const uint32_t wide = uint32_t(bits) << 16;
  float value;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}

inline float as_float(float value) { return value; }
inline double as_float(double value) { return value; }

// Rounds x to the nearest bfloat16, ties to even. Returns the squared norm of the difference.
REID_CLONES inline float round_row(const float* x, int64_t d, Bits16* out) {
  float dropped = 0;
#pragma omp simd reduction(+ : dropped)
  for (int64_t k = 0; k < d; ++k) {
    uint32_t bits;
    std::memcpy(&bits, x + k, sizeof bits);
    const uint32_t high = (bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff0000u;
    float rounded;
    std::memcpy(&rounded, &high, sizeof rounded);
    out[k] = Bits16(high >> 16);
    dropped += (x[k] - rounded) * (x[k] - rounded);
  }
  return dropped;
}

// An upper bound of the norm of d numbers whose squares have this sum. The sum lacks the squares of
// tiny numbers, and parts that a processor flushes to zero.
template <typename T>
T norm_above(T squares, int64_t d) {
  return std::sqrt(squares) + std::sqrt(T(2) * T(d) * kSmallest<T>);
}

// Rows in bfloat16, with the norm of the difference to each original row.
struct Rounded {
  Tensor rows;
  std::vector<float> dropped;

  Rounded(const Tensor& x, int64_t n, int64_t d)
      : rows(torch::stable::new_empty(x, {n, d}, ScalarType::BFloat16)), dropped(n) {
    const float* from = x.const_data_ptr<float>();
    Bits16* to = static_cast<Bits16*>(rows.mutable_data_ptr());
    torch::stable::parallel_for(0, n, rows_per_task(d), [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        dropped[i] = norm_above(round_row(from + i * d, d, to + i * d), d);
      }
    });
  }
};

constexpr double kMargin = 1.01;  // covers the rounding of the bounds themselves

// Half a unit in the last place, as a relative error.
template <typename T>
constexpr T kRounding = std::numeric_limits<T>::epsilon() / 2;

// For the gallery rows of a block: how a product becomes a value to compare, and the parts of its
// error. `dropped` is empty for full products.
template <typename T>
struct Columns {
  std::vector<T> scale, bias, by_norm, by_dropped, always;

  Columns(const T* rows, int64_t n, int64_t d, Metric metric, const std::vector<T>& dropped)
      : scale(n), bias(n), by_norm(n), by_dropped(n), always(n) {
    const std::vector<T> norms = squared_norms(rows, n, d);
    const T flushed = T(2) * T(d + 2) * kSmallest<T>;
    for (int64_t k = 0; k < n; ++k) {
      const Order<T> o = order(metric, norms[k]);
      scale[k] = o.scale;
      bias[k] = o.bias;
      const T size = std::abs(o.scale) * T(kMargin);
      by_norm[k] = size * norm_above(norms[k], d);
      by_dropped[k] = dropped.empty() ? T(0) : size * dropped[k];
      always[k] = size * flushed + 8 * kRounding<T> * std::abs(o.bias);
    }
  }
};

// The part of the error from one query. All parts are 0 if a tile has the values themselves.
template <typename T>
struct QueryError {
  T per_norm = 0, per_dropped = 0, relative = 0, always = 0;
};

template <typename T>
QueryError<T> query_error(T norm, T dropped, int64_t d) {
  const T sums = T(3) * T(d + 2) * kRounding<T>, most = (norm + dropped) * T(kMargin);
  const T last = T(kMargin) / 256 + 8 * kRounding<T>;
  return {dropped * T(kMargin) + sums * most, most * (1 + sums), last, T(1)};
}

}  // namespace reid_ext::ranking
