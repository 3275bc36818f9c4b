// exp(-z), 1 - exp(-z), log(1 + t) and t - log(1 + t) in plain arithmetic, like exponential.h.
//
// For float32 and float64. exp(-z), 1 - exp(-z) and log(1 + t) are within 3 units in the last
// place, t - log(1 + t) within 16, even for tiny values. fidi_test.cpp checks this. NaN propagates.
#pragma once

#include "common/exponential.h"
#include "common/targets.h"

namespace reid_ext::fidi {

template <typename T>
constexpr T kFarthest = 700;  // exp(-kFarthest) is still a normal number
template <>
constexpr float kFarthest<float> = 87;

template <typename T>
constexpr int kLogTerms = 10;  // of the series; further terms round away
template <>
constexpr int kLogTerms<float> = 4;

// (artanh(q) - q) / q^3 = 1 / 3 + q^2 / 5 + q^4 / 7 + ..., from term k on, divided by q^2k.
template <int k, typename T>
REID_HD T artanh_series(T q2) {
  constexpr T term = T(1) / T(2 * k + 3);
  if constexpr (k + 1 == kLogTerms<T>) {
    return term;
  } else {
    return term + q2 * artanh_series<k + 1>(q2);
  }
}

template <typename T>
struct Decay {
  T u, v;  // u = exp(-z) and v = 1 - exp(-z)
};

// For z >= 0. Beyond kFarthest, u keeps its value there, so that dividing by u is safe.
template <typename T>
REID_HD Decay<T> decay(T z) {
  const Exponential<T> e = exponential(z > kFarthest<T> ? -kFarthest<T> : -z);
  const T change = e.power * e.change;
  return {e.power + change, (T(1) - e.power) - change};
}

template <typename T>
struct Log {
  T value, excess;  // log(1 + t) and t - log(1 + t)
};

// For t > -1. sum is 1 + t, which the caller may know more exactly if t is near -1 or large.
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
