// The matrix product of rows: a (N, D), b (M, D) -> a b^T (N, M), in torch's own fastest way.
//
// On the CPU float32 goes to oneDNN where that beats torch.mm (see product_cpu.cpp), everything
// else to aten::mm, which on CUDA is cuBLAS under torch's own TF32 setting (off by default).
#pragma once

#include <torch/csrc/stable/ops.h>

#include "common/check.h"
#include "common/dispatch.h"

namespace reid_ext {

// A tile of a large product: about 8 MiB of float32, of which a core's share stays near the core.
constexpr int64_t kTileRows = 512;
constexpr int64_t kTileCols = 4096;

// Rows first .. first + count of t, without a copy.
inline Tensor rows_of(Tensor t, int64_t first, int64_t count) {
  return torch::stable::narrow(t, 0, first, count);
}

// True where TileProduct uses oneDNN for float32 on the CPU. Defined in product_cpu.cpp.
bool product_by_onednn();
Tensor onednn_product(const Tensor& a, const Tensor& b);

// Products of one tile after the other, into one piece of scratch memory.
//
// The result is dense and is overwritten by the next product. `like` gives dtype and device.
class TileProduct {
 public:
  TileProduct(const Tensor& like, int64_t rows, int64_t cols)
      : by_onednn_(!like.is_cuda() && like.scalar_type() == ScalarType::Float &&
                   product_by_onednn()),
        scratch_(torch::stable::new_empty(like, {by_onednn_ ? 0 : rows * cols})) {}

  Tensor operator()(const Tensor& a, const Tensor& b) {
    if (by_onednn_) return onednn_product(a, b);
    const int64_t n = a.size(0), m = b.size(0);
    Tensor out = torch::stable::view(rows_of(scratch_, 0, n * m), {n, m});
    call("aten::mm", "out", a, torch::stable::transpose(b, 0, 1), out);
    return out;
  }

 private:
  bool by_onednn_;
  Tensor scratch_;
};

}  // namespace reid_ext
