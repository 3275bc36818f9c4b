// One row of distances, as it comes or made of products: what is near enough is kept, and counted.
//
// Most of a row lies behind the query's last positive, so a first pass drops it: at 16 distances
// per instruction where the processor has AVX-512, whose compress instruction packs the rest.
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

// Fused or not, the same number: scale is -1 where bias is not 0.
template <typename T>
struct ProductRow {
  const T *products, *scale, *bias;
  T at(int64_t k) const { return products[k] * scale[k] + bias[k]; }
};

constexpr int64_t kChunk = 128;  // distances looked at together for one that is near enough

// The distances not above the limit, in order, into `kept`, which has room for all and one vector
// more; returns how many. NaN is above any limit.
template <typename T, typename Row>
REID_CLONES int64_t keep_by_chunks(Row row, int64_t n, T limit, T* kept) {
  int64_t m = 0;
  T chunk[kChunk];
  for (int64_t begin = 0; begin < n; begin += kChunk) {
    const int64_t count = std::min(n - begin, kChunk);
    int32_t any = 0;
#pragma omp simd reduction(+ : any)
    for (int64_t k = 0; k < count; ++k) {
      chunk[k] = row.at(begin + k);
      any += chunk[k] <= limit;
    }
    if (any == 0) continue;
    for (int64_t k = 0; k < count; ++k) {
      kept[m] = chunk[k];
      m += chunk[k] <= limit;
    }
  }
  return m;
}

#if REID_HAS_CLONES
#define REID_AVX512 __attribute__((target("avx512f,avx512vl,avx512bw,avx512dq,fma")))

REID_AVX512 inline __m512 load_16(const GivenRow<float>& row, int64_t k, __mmask16 lanes) {
  return _mm512_maskz_loadu_ps(lanes, row.distances + k);
}

REID_AVX512 inline __m512 load_16(const ProductRow<float>& row, int64_t k, __mmask16 lanes) {
  return _mm512_fmadd_ps(_mm512_maskz_loadu_ps(lanes, row.products + k),
                         _mm512_maskz_loadu_ps(lanes, row.scale + k),
                         _mm512_maskz_loadu_ps(lanes, row.bias + k));
}

template <typename Row>
REID_AVX512 int64_t keep_by_compress(Row row, int64_t n, float limit, float* kept) {
  const __m512 most = _mm512_set1_ps(limit);
  int64_t m = 0;
  for (int64_t k = 0; k < n; k += 16) {
    const __mmask16 lanes = n - k < 16 ? __mmask16((1u << (n - k)) - 1) : __mmask16(0xffff);
    const __m512 value = load_16(row, k, lanes);
    const __mmask16 near = _mm512_mask_cmp_ps_mask(lanes, value, most, _CMP_LE_OQ);
    if (near == 0) continue;
    // Packed in the register and stored whole: a masked store to memory is many times slower.
    _mm512_storeu_ps(kept + m, _mm512_maskz_compress_ps(near, value));
    m += __builtin_popcount(near);
  }
  return m;
}
#endif

template <typename T, typename Row>
int64_t keep_not_above(Row row, int64_t n, T limit, T* kept) {
#if REID_HAS_CLONES
  if constexpr (sizeof(T) == sizeof(float)) {
    static const bool has_avx512 = __builtin_cpu_supports("x86-64-v4");
    if (has_avx512) return keep_by_compress(row, n, limit, kept);
  }
#endif
  return keep_by_chunks(row, n, limit, kept);
}

struct Counts {
  int64_t below = 0, equal = 0;
};

// How many of the values are below the threshold, and how many equal it.
template <typename T>
REID_CLONES Counts count(const T* values, int64_t n, T threshold) {
  Counts total;
  for (int64_t begin = 0; begin < n; begin += 1 << 20) {  // int32 counters: four times the lanes
    const int64_t end = std::min(n, begin + (1 << 20));
    int32_t below = 0, equal = 0;
#pragma omp simd reduction(+ : below, equal)
    for (int64_t k = begin; k < end; ++k) {
      below += values[k] < threshold;
      equal += values[k] == threshold;
    }
    total.below += below;
    total.equal += equal;
  }
  return total;
}

// How many of the first n of a row equal the threshold; two NaN count as equal.
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
