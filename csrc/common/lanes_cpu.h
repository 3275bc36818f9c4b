// Dot products of rows on the CPU whose rounding depends on nothing but the two rows.
//
// A row is cut into blocks of 64 chunks of 64 bytes. Lane l of every chunk of a block is added to
// partial sum l. At the end of a block the partial sums are folded by halves until one is left, and
// the sums of the blocks are added in order. A product therefore has the same bits for any number
// of rows, threads and registers, in either order of the two rows, and equal rows tie.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "common/targets.h"

#if defined(__GNUC__)  // functions that return a register are inlined, so no ABI matters
#pragma GCC diagnostic ignored "-Wpsabi"
#endif

namespace reid_ext {

constexpr int64_t kChunksOfBlock = 64;

template <typename T>
constexpr int64_t kLanes = 64 / int64_t(sizeof(T));
template <typename T>
constexpr int64_t kBlock = kChunksOfBlock * kLanes<T>;  // elements of a block

// A register of kBytes, and the integers that permute its lanes.
template <typename T, int kBytes>
struct Register {
  using Index = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
  typedef T Type __attribute__((vector_size(kBytes)));
  typedef Index Lanes __attribute__((vector_size(kBytes)));
  static constexpr int kCount = kBytes / int(sizeof(T));
  static constexpr int kParts = 64 / kBytes;  // registers of a chunk
};

template <typename T, int kBytes>
using Vector = typename Register<T, kBytes>::Type;

template <typename T, int kBytes>
REID_INLINE Vector<T, kBytes> load(const T* x) {
  Vector<T, kBytes> v;
  std::memcpy(&v, x, kBytes);
  return v;
}

// u and v hold groups of `size` lanes. Adds the lower and the upper half of every group.
template <typename T, int kBytes>
REID_INLINE Vector<T, kBytes> fold(const Vector<T, kBytes>& u, const Vector<T, kBytes>& v,
                                   int size) {
  using R = Register<T, kBytes>;
  typename R::Lanes lower = {}, upper = {};
  for (int lane = 0; lane < R::kCount; ++lane) {
    lower[lane] = lane / (size / 2) * size + lane % (size / 2);
    upper[lane] = lower[lane] + size / 2;
  }
#if defined(__clang__)
  Vector<T, kBytes> sums = {};
  for (int lane = 0; lane < R::kCount; ++lane) {
    const auto of = [&](auto at) { return at < R::kCount ? u[at] : v[at - R::kCount]; };
    sums[lane] = of(lower[lane]) + of(upper[lane]);
  }
  return sums;
#else
  return __builtin_shuffle(u, v, lower) + __builtin_shuffle(u, v, upper);
#endif
}

// The sums of the lanes of four registers.
template <typename T, int kBytes>
REID_INLINE void sum_four(const Vector<T, kBytes>* v, T* sums) {
  constexpr int n = Register<T, kBytes>::kCount;
  const Vector<T, kBytes> ab = fold<T, kBytes>(v[0], v[1], n), cd = fold<T, kBytes>(v[2], v[3], n);
  if constexpr (n == 2) {
    std::memcpy(sums, &ab, kBytes);
    std::memcpy(sums + 2, &cd, kBytes);
  } else {
    Vector<T, kBytes> abcd = fold<T, kBytes>(ab, cd, n / 2);
    if constexpr (n >= 8) abcd = fold<T, kBytes>(abcd, abcd, n / 4);
    if constexpr (n >= 16) abcd = fold<T, kBytes>(abcd, abcd, n / 8);
    std::memcpy(sums, &abcd, 4 * sizeof(T));
  }
}

}  // namespace reid_ext
