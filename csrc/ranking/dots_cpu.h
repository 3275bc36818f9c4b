// Dot products of one row with a few others. The order of each sum does not depend on the others.
//
// A pair therefore always has the same value, and equal rows tie for any division of the work.
#pragma once

#include <cstdint>
#include <cstring>

#include "common/targets.h"

namespace reid_ext::ranking {

constexpr int kCompany = 4;  // rows at a time, to hide latency

template <typename T>
struct Vector64 {
  typedef T Type __attribute__((vector_size(64)));
  static constexpr int64_t kLanes = 64 / sizeof(T);
};

// out[i] = x[i] . y, for kCount rows of length d.
template <int kCount, typename T>
REID_CLONES void dots(const T* const* x, const T* y, int64_t d, T* out) {
  using Vector = typename Vector64<T>::Type;
  constexpr int64_t kLanes = Vector64<T>::kLanes;
  Vector even[kCount] = {}, odd[kCount] = {};
  int64_t k = 0;
  for (; k + 2 * kLanes <= d; k += 2 * kLanes) {
    Vector y0, y1, x0, x1;
    std::memcpy(&y0, y + k, sizeof(Vector));
    std::memcpy(&y1, y + k + kLanes, sizeof(Vector));
    for (int i = 0; i < kCount; ++i) {
      std::memcpy(&x0, x[i] + k, sizeof(Vector));
      std::memcpy(&x1, x[i] + k + kLanes, sizeof(Vector));
      even[i] += x0 * y0;
      odd[i] += x1 * y1;
    }
  }
  for (int i = 0; i < kCount; ++i) {
    const Vector both = even[i] + odd[i];
    T lanes[kLanes];
    std::memcpy(lanes, &both, sizeof(Vector));
    for (int64_t width = kLanes / 2; width > 0; width /= 2) {
      for (int64_t lane = 0; lane < width; ++lane) lanes[lane] += lanes[lane + width];
    }
    T rest = 0;
    for (int64_t j = k; j < d; ++j) rest += x[i][j] * y[j];
    out[i] = lanes[0] + rest;
  }
}

template <typename T>
T one_dot(const T* x, const T* y, int64_t d) {
  T out;
  dots<1>(&x, y, d, &out);
  return out;
}

}  // namespace reid_ext::ranking
