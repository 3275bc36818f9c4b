// One row of given distances: keeps the near ones and counts them.
//
// Most of a row lies behind the last positive of the query, so a first pass drops it. With AVX-512
// this handles 16 distances per instruction, and the compress instruction packs the rest.
#pragma once

#include <algorithm>
#include <cstdint>

#include "common/metric.h"
#include "common/targets.h"

#if REID_HAS_CLONES
#include <immintrin.h>
#endif

namespace reid_ext::ranking {

template <typename T>
struct GivenRow {
  const T* distances;
  T at(int64_t k) const { return distances[k]; }
};

constexpr int64_t kChunk = 128;  // distances checked together for one that is near enough

struct Kept {
  int64_t count, equal;  // kept distances; distances equal to `last`
};

// Writes the distances that are not above the limit to `kept`, in order. `kept` needs space for all
// and one more vector, and may be the row itself. NaN is above any limit. If requested, counts the
// distances equal to `last`.
template <bool counts_equal, typename T, typename Row>
REID_CLONES Kept keep_by_chunks(Row row, int64_t n, T limit, T last, T* kept) {
  Kept result = {0, 0};
  T chunk[kChunk];
  for (int64_t begin = 0; begin < n; begin += kChunk) {
    const int64_t count = std::min(n - begin, kChunk);
    int32_t any = 0, equal = 0;
#pragma omp simd reduction(+ : any, equal)
    for (int64_t k = 0; k < count; ++k) {
      chunk[k] = row.at(begin + k);
      any += chunk[k] <= limit;
      if (counts_equal) equal += chunk[k] == last;
    }
    result.equal += equal;
    if (any == 0) continue;
    for (int64_t k = 0; k < count; ++k) {
      kept[result.count] = chunk[k];
      result.count += chunk[k] <= limit;
    }
  }
  return result;
}

#if REID_HAS_CLONES
REID_AVX512 inline __m512 load_16(const GivenRow<float>& row, int64_t k, __mmask16 lanes) {
  return _mm512_maskz_loadu_ps(lanes, row.distances + k);
}

template <bool counts_equal, typename Row>
REID_AVX512 Kept keep_by_compress(Row row, int64_t n, float limit, float last, float* kept) {
  const __m512 most = _mm512_set1_ps(limit), sought = _mm512_set1_ps(last);
  Kept result = {0, 0};
  for (int64_t k = 0; k < n; k += 16) {
    const __mmask16 lanes = n - k < 16 ? __mmask16((1u << (n - k)) - 1) : __mmask16(0xffff);
    const __m512 value = load_16(row, k, lanes);
    if (counts_equal) {
      const __mmask16 equal = _mm512_mask_cmp_ps_mask(lanes, value, sought, _CMP_EQ_OQ);
      result.equal += __builtin_popcount(equal);
    }
    const __mmask16 near = _mm512_mask_cmp_ps_mask(lanes, value, most, _CMP_LE_OQ);
    if (near == 0) continue;
    // Packs in the register and stores it whole, because a masked store is many times slower.
    _mm512_storeu_ps(kept + result.count, _mm512_maskz_compress_ps(near, value));
    result.count += __builtin_popcount(near);
  }
  return result;
}
#endif

template <bool counts_equal, typename T, typename Row>
Kept keep(Row row, int64_t n, T limit, T last, T* kept) {
#if REID_HAS_CLONES
  if constexpr (sizeof(T) == sizeof(float)) {
    static const bool has_avx512 = __builtin_cpu_supports("x86-64-v4");
    if (has_avx512) return keep_by_compress<counts_equal>(row, n, limit, last, kept);
  }
#endif
  return keep_by_chunks<counts_equal>(row, n, limit, last, kept);
}

template <typename T, typename Row>
int64_t keep_not_above(Row row, int64_t n, T limit, T* kept) {
  return keep<false>(row, n, limit, limit, kept).count;
}

// The same for the kept distances, in place. `last` is the previous limit.
template <typename T>
Kept narrow(T* kept, int64_t n, T limit, T last) {
  return keep<true>(GivenRow<T>{kept}, n, limit, last, kept);
}

// How many of the first n of a row equal the threshold. Two NaN count as equal.
template <typename T, typename Row>
REID_CLONES int64_t count_equal(Row row, int64_t n, T threshold) {
  const bool nan = threshold != threshold;
  int64_t count = 0;
#pragma omp simd reduction(+ : count)
  for (int64_t k = 0; k < n; ++k) {
    const T value = row.at(k);
    count += (value == threshold) | (nan & (value != value));
  }
  return count;
}

}  // namespace reid_ext::ranking
