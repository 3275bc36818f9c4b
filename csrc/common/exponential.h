// e^x in plain arithmetic, for loops over the classes or pairs of a row. Host and device give the
// same result, and loops over it vectorise, unlike loops over the C library's function.
//
//   e^x = 2^n (1 + change),  n = round(x / ln 2),  change = e^r - 1,  r = x - n ln 2
//
// The two factors keep the digits of 1 - e^x for x near 0. In float32, change is r + r^2 p(r) with
// our own polynomial p. In float64, it is the series of e^r up to the terms that round away.
//
//   fast_exp(x), x <= kLargestExponent: within 1.1 units in the last place of e^x, exactly 1 at 0,
//   0 if the result would be subnormal, and NaN for NaN.
#pragma once

#include <cstdint>
#include <cstring>

#include "common/targets.h"

namespace reid_ext {

// The layout of an IEEE type, and the constants of its exponential.
template <typename T>
struct Real;

template <>
struct Real<float> {
  using Bits = uint32_t;
  using Integer = int32_t;
  static constexpr int kMantissa = 23, kBias = 127;
  static constexpr float kLn2High = 0x1.62e4p-1f;  // its product with an exponent is exact
  static constexpr float kLn2Low = 0x1.7f7d1cp-20f;
  static constexpr float kRound = 0x1.8p23f;  // adding and subtracting it rounds to an integer
  static constexpr float kSmallestExponent = -87.3f, kLargestExponent = 88;
};

template <>
struct Real<double> {
  using Bits = uint64_t;
  using Integer = int64_t;
  static constexpr int kMantissa = 52, kBias = 1023;
  static constexpr double kLn2High = 0x1.62e42fefa2p-1;
  static constexpr double kLn2Low = 0x1.9ef35793c7673p-41;
  static constexpr double kRound = 0x1.8p52;
  static constexpr double kSmallestExponent = -708, kLargestExponent = 709;
};

template <typename To, typename From>
REID_HD To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From), "the types must have the same size");
  To to;
  std::memcpy(&to, &from, sizeof(to));
  return to;
}

// e^r - 1 for |r| <= ln 2 / 2.
REID_HD float exp_change(float r) {
  float p = 1.38145986e-3f;  // Horner's scheme
  p = p * r + 8.36871689e-3f;
  p = p * r + 4.1668388e-2f;
  p = p * r + 0.166665206f;
  p = p * r + 0.499999934f;
  return r + r * r * p;
}

template <int n>
constexpr double kFactorial = n * kFactorial<n - 1>;
template <>
constexpr double kFactorial<0> = 1;

// 1 / n! + r / (n + 1)! + ... + r^(13 - n) / 13!
template <int n>
REID_HD double exp_series(double r) {
  constexpr double term = 1 / kFactorial<n>;
  if constexpr (n == 13) {
    return term;
  } else {
    return term + r * exp_series<n + 1>(r);
  }
}

REID_HD double exp_change(double r) { return r + r * r * exp_series<2>(r); }

template <typename T>
struct Exponential {
  T power, change;  // e^x = power (1 + change)
};

// For x from kSmallestExponent to kLargestExponent.
template <typename T>
REID_HD Exponential<T> exponential(T x) {
  using R = Real<T>;
  using Bits = typename R::Bits;
  const T shifted = x * T(1.4426950408889634) + R::kRound;  // x / ln 2
  const T n = shifted - R::kRound;
  const T r = (x - n * R::kLn2High) - n * R::kLn2Low;
  const Bits exponent = bits_as<Bits>(shifted) - bits_as<Bits>(R::kRound);
  return {bits_as<T>((exponent + R::kBias) << R::kMantissa), exp_change(r)};
}

template <typename T>
REID_HD T fast_exp(T x) {
  const Exponential<T> e = exponential(x);
  return x < Real<T>::kSmallestExponent ? T(0) : (T(1) + e.change) * e.power;
}

}  // namespace reid_ext
