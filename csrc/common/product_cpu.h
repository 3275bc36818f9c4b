// The product of rows on the CPU: a (N, D), b (M, D) -> a b^T (N, M), exactly as in lanes_cpu.h.
//
// Libraries round the product of two rows differently from one size of matrix, place in it or
// number of threads to the next, so that copies of a row do not tie. This one does not.
#pragma once

#include <algorithm>

#include "common/product.h"

namespace reid_ext {

// The tile of a large product: about 8 MiB of float32, so the share of a core fits its cache.
constexpr int64_t kTileRows = 512;
constexpr int64_t kTileCols = 4096;

// Rows of a tile if only the tiles on and right of the diagonal of an n x n product are made.
// Narrow tiles waste less work on the diagonal, wide tiles are multiplied faster.
inline int64_t rows_of_symmetric_tile(int64_t n) {
  constexpr int64_t kNarrowest = 64, kWidest = 256;
  return n <= 3 * kNarrowest ? n : std::clamp(n / 8 / 64 * 64, kNarrowest, kWidest);
}

// Rows that are `stride` elements apart.
template <typename T>
struct Rows {
  const T* data;
  int64_t count, stride;

  const T* row(int64_t i) const { return data + i * stride; }
};

// out[i * b.count + j] = the product of row i of a and row j of b. Rows have length d.
template <typename T>
void multiply(const Rows<T>& a, const Rows<T>& b, int64_t d, T* out);

// out[i] = the product of x[i] and y. Several rows at a time hide the latency of an addition.
constexpr int kCompany = 8;
template <typename T>
void dots(const T* const* x, int64_t count, const T* y, int64_t d, T* out);

template <typename T>
T one_dot(const T* x, const T* y, int64_t d) {
  T out;
  dots(&x, 1, y, d, &out);
  return out;
}

// a (N, K), b (M, K) -> a b^T, written to out (N, M), which is contiguous.
void multiply_into(const Tensor& a, const Tensor& b, const Tensor& out);

// Products of tiles, computed into scratch memory of at most rows x cols that is reused.
class CpuTileProduct {
 public:
  CpuTileProduct(const Tensor& like, int64_t rows, int64_t cols)
      : scratch_(torch::stable::new_empty(like, {rows * cols})) {}

  // The result is contiguous and overwritten by the next product.
  Tensor operator()(const Tensor& a, const Tensor& b) {
    const int64_t n = a.size(0), m = b.size(0);
    Tensor out = torch::stable::view(rows_of(scratch_, 0, n * m), {n, m});
    multiply_into(a, b, out);
    return out;
  }

 private:
  Tensor scratch_;
};

}  // namespace reid_ext
