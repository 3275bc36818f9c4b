// exp in plain arithmetic, for loops over the classes or pairs of a row.
//
//   fast_exp(x), x <= 88: float32 within 1.1 units in the last place of e^x, exactly 1 at 0, and 0
//   below -87.3, where e^x leaves the normal numbers; NaN stays NaN. float64: std::exp.
//
// The library's float32 exp is a call or a branch per element; this vectorises on the host under
// `#pragma omp simd` and gives the device the same formula.
//   e^x = 2^n e^r,  n = round(x / ln 2),  |r| <= ln 2 / 2,  e^r = 1 + r + r^2 p(r), p fitted by us.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "common/targets.h"

namespace reid_ext {

constexpr float kSmallestExponent = -87.3f;

REID_HD float fast_exp(float x) {
  constexpr float kLog2E = 1.44269504f;
  constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;  // n * high is exact
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: a float this size has no fraction bits
  const float shifted = x * kLog2E + kRound;
  const float n = shifted - kRound;
  const float r = (x - n * kLn2High) - n * kLn2Low;
  float p = 1.38145986e-3f;  // Horner's scheme
  p = p * r + 8.36871689e-3f;
  p = p * r + 4.1668388e-2f;
  p = p * r + 0.166665206f;
  p = p * r + 0.499999934f;
  const float exp_r = 1.0f + (r + r * r * p);
  uint32_t bits;  // the low bits of `shifted` hold n: moved up they are the exponent of 2^n
  std::memcpy(&bits, &shifted, sizeof(bits));
  bits = (bits << 23) + 0x3f800000u;
  float power;
  std::memcpy(&power, &bits, sizeof(power));
  return x < kSmallestExponent ? 0.0f : exp_r * power;
}

REID_HD double fast_exp(double x) { return std::exp(x); }

}  // namespace reid_ext
