// The matrix product of rows: a (N, D), b (M, D) -> a b^T (N, M), by torch.
//
// On CUDA this is cuBLAS with torch's own TF32 setting (off by default). CPU kernels use
// product_cpu.h, and this one for estimates.
#pragma once

#include <torch/csrc/stable/ops.h>

#include "common/check.h"
#include "common/dispatch.h"

namespace reid_ext {

// Rows first .. first + count of t, as a view.
inline Tensor rows_of(Tensor t, int64_t first, int64_t count) {
  return torch::stable::narrow(t, 0, first, count);
}

// The number of rows whose products with the whole gallery are held at a time, at most 64 MiB.
inline int64_t block_rows(int64_t gallery, int64_t element_size, int64_t most) {
  const int64_t fit = (int64_t(64) << 20) / (element_size * (gallery > 0 ? gallery : 1));
  return fit < 1 ? 1 : fit > most ? most : fit;
}

// Products of tiles, computed into scratch memory of at most rows x cols that is reused.
//
// The result is contiguous and overwritten by the next product. `like` gives dtype and device.
class TileProduct {
 public:
  TileProduct(const Tensor& like, int64_t rows, int64_t cols)
      : scratch_(torch::stable::new_empty(like, {rows * cols})) {}

  Tensor operator()(const Tensor& a, const Tensor& b) {
    const int64_t n = a.size(0), m = b.size(0);
    Tensor out = torch::stable::view(rows_of(scratch_, 0, n * m), {n, m});
    call("aten::mm", "out", a, torch::stable::transpose(b, 0, 1), out);
    return out;
  }

 private:
  Tensor scratch_;
};

}  // namespace reid_ext
