// Schemas of the FIDI ops and the CPU kernel. See fidi.h for the contract.
//
// Each tile of the product becomes a tile of weights in place. Products of the weights with the
// keys and, transposed, with the anchors give the gradients. Without keys, each pair is computed
// once, from its lower row, so about half of the first product is made, and both rows receive their
// gradient. The order of every sum is independent of the number of threads. The memory is one tile,
// its two products, and O(N + M). The backward op only scales.
#include <algorithm>
#include <vector>

#include "common/product_cpu.h"
#include "common/rows_cpu.h"
#include "fidi/weigh_cpu.h"

namespace reid_ext::fidi {
namespace {

constexpr int64_t kRows = 256, kCols = 2048;  // tile size: 2 MiB of float32
constexpr int64_t kBlock = 16;                // block size of the transposition
constexpr int64_t kWhole = 1024;              // up to so many rows, all weights are at most 4 MiB

template <typename T>
class Pass {
 public:
  Pass(const Problem& p, T* grad_x, T* grad_keys)
      : p_(p),
        x_(p.x, grad_x),
        keys_(p.keys, grad_keys),
        weigher_(p, x_, keys_),
        towards_(p.x, grad_x || grad_keys ? std::min(std::max(p.n, p.m), kCols) : 0, p.d) {}

  // Adds to the gradients and returns the sum of the losses; without keys, each pair counts once.
  double run() { return p_.own_keys && p_.n <= kWhole ? run_whole() : run_tiles(); }

 private:
  double run_tiles() {
    CpuTileProduct product(p_.x, std::min(p_.n, kRows), std::min(p_.m, kCols));
    double loss = 0;
    for (int64_t i = 0; i < p_.n; i += kRows) {
      const Tensor x = rows_of(p_.x, i, std::min(kRows, p_.n - i));
      for (int64_t j = p_.own_keys ? i : 0; j < p_.m; j += kCols) {
        Tensor tile = product(x, rows_of(p_.keys, j, std::min(kCols, p_.m - j)));
        loss += weigher_.weigh(tile, i, j);
        if (!x_.grad && !keys_.grad) continue;
        const int64_t mirrored = p_.own_keys && i == j ? mirror(tile) : 0;
        if (x_.grad) pull(x_, i, keys_, j, tile, row_sums(tile));
        const int64_t others = tile.size(1) - mirrored;
        if (!keys_.grad || others == 0) continue;
        const Tensor rest = torch::stable::narrow(tile, 1, mirrored, others);
        pull(keys_, j + mirrored, x_, i, torch::stable::transpose(rest, 0, 1), column_sums(rest));
      }
    }
    return loss;
  }

  // Keeps all weights in one matrix, whose upper half is computed strip by strip. One product then
  // gives all gradients, which is faster than many small products.
  double run_whole() {
    const int64_t height = rows_of_symmetric_tile(p_.n);
    CpuTileProduct product(p_.x, height, p_.n);
    const Tensor weights = torch::stable::new_empty(p_.x, {x_.grad ? p_.n : 0, p_.n});
    double loss = 0;
    for (int64_t i = 0; i < p_.n; i += height) {
      const int64_t rows = std::min(height, p_.n - i);
      const Tensor strip = product(rows_of(p_.x, i, rows), rows_of(p_.x, i, p_.n - i));
      loss += weigher_.weigh(strip, i, i);
      if (x_.grad) spread(strip, weights, i);
    }
    if (x_.grad && p_.n > 0) pull(x_, 0, x_, 0, weights, row_sums(weights));
    return loss;
  }

  // Writes a strip, which starts at the diagonal, and its mirror image to the matrix of weights.
  void spread(const Tensor& strip, const Tensor& whole, int64_t i) const {
    const int64_t rows = strip.size(0), cols = strip.size(1), n = whole.size(0);
    const T* from = strip.const_data_ptr<T>();
    T* to = whole.mutable_data_ptr<T>() + i * n + i;
    for (int64_t r = 0; r < rows; ++r) {
      std::copy(from + r * cols + r, from + (r + 1) * cols, to + r * n + r);
    }
    torch::stable::parallel_for(0, cols, rows_per_task(rows), [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; c += kBlock) {
        for (int64_t r = 0; r < std::min(rows, end); r += kBlock) {
          reflect(from + r * cols + c, cols, to + c * n + r, n, std::min(kBlock, end - c),
                  std::min(kBlock, rows - r), c - r);
        }
      }
    });
  }

  // to[c][r] = from[r][c] for a block whose element (0, 0) is `right` columns right of the
  // diagonal. Elements left of the diagonal are skipped. A buffer is used because the rows of `to`
  // compete for a few places of the cache.
  static void reflect(const T* from, int64_t from_stride, T* to, int64_t to_stride, int64_t columns,
                      int64_t rows, int64_t right) {
    T block[kBlock][kBlock];
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t c = 0; c < columns; ++c) block[c][r] = from[r * from_stride + c];
    }
    for (int64_t c = 0; c < columns; ++c) {
      const int64_t above = std::clamp(c + right, int64_t(0), rows);  // rows before the diagonal
      std::copy(block[c], block[c] + above, to + c * to_stride);
    }
  }

  // Completes the square at the left of a tile below its diagonal, and returns its width.
  int64_t mirror(const Tensor& tile) const {
    const int64_t rows = tile.size(0), cols = tile.size(1);
    T* values = tile.mutable_data_ptr<T>();
    for (int64_t r = 1; r < rows; ++r) {
      for (int64_t c = 0; c < r; ++c) values[r * cols + c] = values[c * cols + r];
    }
    return rows;
  }

  std::vector<T> row_sums(const Tensor& tile) const {
    const int64_t rows = tile.size(0), cols = tile.size(1);
    const T* values = tile.const_data_ptr<T>();
    std::vector<T> sums(rows);
    torch::stable::parallel_for(0, rows, rows_per_task(cols), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) sums[r] = total(values + r * cols, cols);
    });
    return sums;
  }

  std::vector<T> column_sums(const Tensor& tile) const {
    const int64_t rows = tile.size(0), cols = tile.size(1), stride = tile.stride(0);
    const T* values = tile.const_data_ptr<T>();
    std::vector<T> sums(cols);
    torch::stable::parallel_for(0, cols, kColumns, [&](int64_t begin, int64_t end) {
      for (int64_t r = 0; r < rows; ++r) {
        add(values + r * stride + begin, sums.data() + begin, end - begin);
      }
    });
    return sums;
  }

  // Adds sum_b w_ab (row_a - other_b) to the gradient of every row a of the tile.
  void pull(const Side<T>& side, int64_t i, const Side<T>& others, int64_t j, const Tensor& weights,
            const std::vector<T>& sums) {
    const Tensor towards = rows_of(others.tensor, j, weights.size(1));
    const Tensor sum = towards_(weights, torch::stable::transpose(towards, 0, 1));
    const T* product = sum.const_data_ptr<T>();
    const int64_t rows = weights.size(0);
    torch::stable::parallel_for(0, rows, rows_per_task(p_.d), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const int64_t at = (i + r) * p_.d;
        add_remainder(sums[r], side.rows + at, product + r * p_.d, side.grad + at, p_.d);
      }
    });
  }

  const Problem& p_;
  const Side<T> x_, keys_;
  Weigher<T> weigher_;
  CpuTileProduct towards_;
};

template <typename T>
LossTensors losses(const Problem& p, bool with_grad_x, bool with_grad_keys) {
  const Tensor loss = torch::stable::new_empty(p.x, {});
  const Tensor grad_x = torch::stable::new_zeros(p.x, {with_grad_x ? p.n : 0, p.d});
  const Tensor grad_keys = torch::stable::new_zeros(p.x, {with_grad_keys ? p.m : 0, p.d});
  T* to_x = with_grad_x ? grad_x.mutable_data_ptr<T>() : nullptr;
  T* to_keys = with_grad_keys ? grad_keys.mutable_data_ptr<T>() : nullptr;
  const double sum = Pass<T>(p, to_x, p.own_keys ? to_x : to_keys).run();
  *loss.mutable_data_ptr<T>() = T(p.scale * (p.own_keys ? 2 : 1) * sum);
  return {loss, grad_x, grad_keys};
}

Tensor fidi_loss_backward(const Tensor& grad_loss, const Tensor&, const Tensor& grad) {
  return call<Tensor>("aten::mul", "Tensor", grad_loss, grad);
}

}  // namespace

LossTensors fidi_loss_cpu(const Tensor& x, const Tensor& labels, const std::optional<Tensor>& keys,
                          const std::optional<Tensor>& key_labels, double alpha, double beta,
                          bool mean, bool with_grad_x, bool with_grad_keys) {
  const Problem p = read(x, labels, keys, key_labels, alpha, beta, mean);
  return by_dtype(p.x, [&](auto zero) {
    return losses<decltype(zero)>(p, with_grad_x, with_grad_keys && !p.own_keys);
  });
}

STABLE_TORCH_LIBRARY_FRAGMENT(reid_ext, m) {
  m.def(
      "fidi_loss(Tensor x, Tensor labels, Tensor? keys, Tensor? key_labels, float alpha,"
      " float beta, bool mean, bool with_grad_x, bool with_grad_keys)"
      " -> (Tensor, Tensor, Tensor)");
  m.def("fidi_loss_backward(Tensor grad_loss, Tensor rows, Tensor grad) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(reid_ext, CPU, m) { m.impl("fidi_loss", TORCH_BOX(&fidi_loss_cpu)); }

STABLE_TORCH_LIBRARY_IMPL(reid_ext, CompositeExplicitAutograd, m) {
  m.impl("fidi_loss_backward", TORCH_BOX(&fidi_loss_backward));
}

}  // namespace reid_ext::fidi
