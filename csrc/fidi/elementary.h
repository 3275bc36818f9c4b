// exp(-z), 1 - exp(-z), log(1 + t) and t - log(1 + t) as plain arithmetic: the same on host and
// device, and a loop over them vectorises, which calls of the C library do not.
//
// float32|float64. exp(-z), 1 - exp(-z) and log(1 + t) are within 3 units in the last place,
// t - log(1 + t) within 16, however small it is; fidi_test.cpp holds them to it. NaN stays NaN.
#pragma once

#include <cstdint>
#include <cstring>

#include "common/targets.h"

namespace reid_ext::fidi {

// Of an IEEE type: its layout, and how far its series go (what is left out rounds away).
template <typename T>
struct Real;

template <>
struct Real<float> {
  using Bits = uint32_t;
  using Integer = int32_t;
  static constexpr int kMantissa = 23, kBias = 127, kExpTerms = 7, kLogTerms = 4;
  static constexpr float kLn2High = 0x1.62e4p-1f;  // short: its product with an exponent is exact
  static constexpr float kLn2Low = 0x1.7f7d1cp-20f;
  static constexpr float kRound = 0x1.8p23f;  // added and taken off again: the nearest integer
  static constexpr float kFarthest = 87;      // exp(-87) is still a normal number
};

template <>
struct Real<double> {
  using Bits = uint64_t;
  using Integer = int64_t;
  static constexpr int kMantissa = 52, kBias = 1023, kExpTerms = 13, kLogTerms = 10;
  static constexpr double kLn2High = 0x1.62e42fefa2p-1;
  static constexpr double kLn2Low = 0x1.9ef35793c7673p-41;
  static constexpr double kRound = 0x1.8p52;
  static constexpr double kFarthest = 700;
};

template <typename To, typename From>
REID_HD To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From), "another type of the same size");
  To to;
  std::memcpy(&to, &from, sizeof(to));
  return to;
}

template <int n>
constexpr double kFactorial = n * kFactorial<n - 1>;
template <>
constexpr double kFactorial<0> = 1;

// (exp(r) - 1) / r = 1 + r / 2! + r^2 / 3! + ..., from its term k on, over r^k
template <int k, typename T>
REID_HD T exp_series(T r) {
  constexpr T term = T(1 / kFactorial<k + 1>);
  if constexpr (k + 1 == Real<T>::kExpTerms) {
    return term;
  } else {
    return term + r * exp_series<k + 1>(r);
  }
}

// (artanh(q) - q) / q^3 = 1 / 3 + q^2 / 5 + q^4 / 7 + ..., from its term k on, over q^2k
template <int k, typename T>
REID_HD T artanh_series(T q2) {
  constexpr T term = T(1) / T(2 * k + 3);
  if constexpr (k + 1 == Real<T>::kLogTerms) {
    return term;
  } else {
    return term + q2 * artanh_series<k + 1>(q2);
  }
}

template <typename T>
struct Decay {
  T u, v;  // exp(-z) and 1 - exp(-z)
};

// For z >= 0; beyond kFarthest u stays what it is there, so that one may divide by it.
template <typename T>
REID_HD Decay<T> decay(T z) {
  using R = Real<T>;
  const T x = z > R::kFarthest ? -R::kFarthest : -z;
  const T shifted = x * T(1.4426950408889634) + R::kRound;  // x / ln 2
  const T n = shifted - R::kRound;
  const auto exponent = bits_as<typename R::Bits>(shifted) - bits_as<typename R::Bits>(R::kRound);
  const T scale = bits_as<T>((exponent + R::kBias) << R::kMantissa);  // 2^n
  const T r = (x - n * R::kLn2High) - n * R::kLn2Low;
  const T change = scale * (r * exp_series<0>(r));  // scale * (exp(r) - 1)
  return {scale + change, (T(1) - scale) - change};
}

template <typename T>
struct Log {
  T value, excess;  // log(1 + t) and t - log(1 + t)
};

// For t > -1; sum is 1 + t, which the caller may know better than t when t is near -1 or large.
template <typename T>
REID_HD Log<T> log_1_plus(T t, T sum) {
  using R = Real<T>;
  using Bits = typename R::Bits;
  const Bits bits = bits_as<Bits>(sum);
  const auto above = typename R::Integer(bits - bits_as<Bits>(T(0.70710678118654752)));
  const auto n = above >> R::kMantissa;
  const T near_1 = bits_as<T>(bits - (Bits(n) << R::kMantissa));  // sum = near_1 * 2^n
  const T r = n == 0 ? t : near_1 - T(1);
  const T q = r / (T(2) + r);                                       // log(1 + r) = 2 artanh(q)
  const T rest = q * (r - T(2) * q * q * artanh_series<0>(q * q));  // r - log(1 + r)
  const T high = T(n) * R::kLn2High, low = T(n) * R::kLn2Low;
  const T value = high + ((r - rest) + low);
  return {sum == sum ? value : sum, ((t - high) - (r + low)) + rest};
}

}  // namespace reid_ext::fidi
