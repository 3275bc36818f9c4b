// The product of product.h on the CPU, by oneDNN for float32 where it is faster than torch.mm.
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

// Whether oneDNN multiplies float32 matrices here. product_cpu.cpp makes the choice.
bool product_by_onednn();
Tensor onednn_product(const Tensor& a, const Tensor& b);

class CpuTileProduct {
 public:
  CpuTileProduct(const Tensor& like, int64_t rows, int64_t cols)
      : by_onednn_(like.scalar_type() == ScalarType::Float && product_by_onednn()),
        by_torch_(like, by_onednn_ ? 0 : rows, cols) {}

  Tensor operator()(const Tensor& a, const Tensor& b) {
    return by_onednn_ ? onednn_product(a, b) : by_torch_(a, b);
  }

 private:
  bool by_onednn_;
  TileProduct by_torch_;
};

}  // namespace reid_ext
