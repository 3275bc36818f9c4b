// Schemas of the FIDI ops and the CPU kernel. See fidi.h for the contract.
//
// Each tile of the product becomes, in place, a tile of weights; products with the keys and, the
// tile transposed, with the anchors sum what they pull and push. Without keys a pair is looked at
// once, from its lower row, so about half of the first product is made, and both rows get their
// gradient. A weight has its place in every sum whatever the number of threads. Memory is one
// tile, its two products, and O(N + M). The backward op only scales.
#include <algorithm>
#include <utility>
#include <vector>

#include "common/product_cpu.h"
#include "common/rows_cpu.h"
#include "fidi/fidi.h"
#include "fidi/row_cpu.h"

namespace reid_ext::fidi {
namespace {

constexpr int64_t kRows = 256, kCols = 2048;  // of a tile: 2 MiB of float32
constexpr int64_t kColumns = 256;             // per task of a loop over columns

// The keys of each identity, ascending.
class Identities {
 public:
  using Place = std::vector<std::pair<int64_t, int64_t>>::const_iterator;  // (label, key)

  explicit Identities(const Tensor& labels) {
    const int64_t* label = labels.const_data_ptr<int64_t>();
    for (int64_t j = 0; j < labels.numel(); ++j) sorted_.emplace_back(label[j], j);
    std::sort(sorted_.begin(), sorted_.end());
  }

  // The first key of an identity that is not before `from`.
  Place find(int64_t label, int64_t from) const {
    return std::lower_bound(sorted_.begin(), sorted_.end(), std::make_pair(label, from));
  }

 private:
  std::vector<std::pair<int64_t, int64_t>> sorted_;
};

template <typename T>
std::vector<T> finite_norms(const T* x, int64_t n, int64_t d) {
  std::vector<T> norms = squared_norms(x, n, d);
  for (T& v : norms) v = finite_or_nan(v);
  return norms;
}

// Rows of x or of keys, and where their gradient goes: null where none is wanted.
template <typename T>
struct Side {
  Tensor tensor;
  const T* rows;
  T* grad;
  std::vector<T> norms;

  Side(const Tensor& t, T* grad) : tensor(t), rows(t.const_data_ptr<T>()), grad(grad) {
    norms = squared_norms(rows, t.size(0), t.size(1));
    for (T& v : norms) v = finite_or_nan(v);
  }
};

// One anchor's products with, then distances to, then weights for `count` keys from `key` on.
template <typename T>
struct Row {
  T* values;
  int64_t anchor, key, count;
};

// Of one row: the places of keys that nearly coincide with the anchor, those of its identity, and
// the squared distances, then weights, of the latter.
template <typename T>
struct Places {
  std::vector<int64_t> near, same;
  std::vector<T> same_values;
};

// A pair whose rows nearly coincide.
template <typename T>
struct Near {
  int64_t anchor, key;
  T weight;
};

template <typename T>
class Pass {
 public:
  Pass(const Problem& p, T* grad_x, T* grad_keys)
      : p_(p),
        curve_(curve<T>(p)),
        identities_(p.key_labels),
        x_(p.x, grad_x),
        keys_(p.keys, grad_keys),
        towards_(p.x, grad_x || grad_keys ? std::min(std::max(p.n, p.m), kCols) : 0, p.d) {}

  // Adds to the gradients; returns the sum of the losses, without keys of each pair once.
  double run() {
    CpuTileProduct product(p_.x, std::min(p_.n, kRows), std::min(p_.m, kCols));
    double loss = 0;
    for (int64_t i = 0; i < p_.n; i += kRows) {
      const Tensor x = rows_of(p_.x, i, std::min(kRows, p_.n - i));
      for (int64_t j = p_.own_keys ? i : 0; j < p_.m; j += kCols) {
        Tensor tile = product(x, rows_of(p_.keys, j, std::min(kCols, p_.m - j)));
        loss += weigh(tile, i, j);
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

 private:
  // A tile of products of anchors from i and keys from j on becomes one of weights.
  double weigh(const Tensor& tile, int64_t i, int64_t j) {
    const int64_t rows = tile.size(0), cols = tile.size(1);
    T* values = tile.mutable_data_ptr<T>();
    std::vector<double> losses(rows);
    std::vector<std::vector<Near<T>>> near(rows);
    torch::stable::parallel_for(0, rows, rows_per_task(cols), [&](int64_t begin, int64_t end) {
      Places<T> places;
      for (int64_t r = begin; r < end; ++r) {
        T* row = values + r * cols;
        const int64_t skip = p_.own_keys ? std::clamp(i + r + 1 - j, int64_t(0), cols) : 0;
        std::fill(row, row + skip, T(0));
        losses[r] = weigh_row({row + skip, i + r, j + skip, cols - skip}, &places, &near[r]);
      }
    });
    if (x_.grad || keys_.grad) add_near(near);
    double sum = 0;
    for (double loss : losses) sum += loss;
    return sum;
  }

  T weigh_row(const Row<T>& row, Places<T>* places, std::vector<Near<T>>* near) const {
    const T* norms = keys_.norms.data() + row.key;
    places->near.clear();
    if (to_squared(row.values, x_.norms[row.anchor], norms, row.count) > 0) refine(row, places);
    take_same(row, places);
    T* same = places->same_values.data();
    const T loss = weigh_positives(curve_, same, places->same_values.size()) +
                   weigh_negatives(curve_, row.values, row.count);
    for (int64_t c : places->same) row.values[c] = *same++;
    for (int64_t c : places->near) {
      near->push_back({row.anchor, row.key + c, std::exchange(row.values[c], T(0))});
    }
    return loss;
  }

  // Distances of rows that nearly coincide, from the rows.
  void refine(const Row<T>& row, Places<T>* places) const {
    const T* x = x_.rows + row.anchor * p_.d;
    for (int64_t c = 0; c < row.count; ++c) {
      const int64_t j = row.key + c;
      if (!is_near(row.values[c], x_.norms[row.anchor] + keys_.norms[j])) continue;
      row.values[c] = pair_sum(x, keys_.rows + j * p_.d, T(1), T(1), p_.d);
      places->near.push_back(c);
    }
  }

  // Takes the keys of the anchor's identity out of the row.
  void take_same(const Row<T>& row, Places<T>* places) const {
    constexpr T kNoPair = std::numeric_limits<T>::infinity();
    const int64_t label = p_.labels.template const_data_ptr<int64_t>()[row.anchor];
    const auto end = identities_.find(label, row.key + row.count);
    places->same.clear();
    places->same_values.clear();
    for (auto at = identities_.find(label, row.key); at != end; ++at) {
      const int64_t c = at->second - row.key;
      places->same.push_back(c);
      places->same_values.push_back(std::exchange(row.values[c], kNoPair));
    }
  }

  // Each thread owns a range of columns of every row, so that no two write to one element.
  void add_near(const std::vector<std::vector<Near<T>>>& near) {
    torch::stable::parallel_for(0, p_.d, kColumns, [&](int64_t begin, int64_t end) {
      for (const auto& of_row : near) {
        for (const auto& [i, j, weight] : of_row) {
          const int64_t at_x = i * p_.d + begin, at_key = j * p_.d + begin, count = end - begin;
          const T *x = x_.rows + at_x, *key = keys_.rows + at_key;
          if (x_.grad) add_difference(weight, x, key, x_.grad + at_x, count);
          if (keys_.grad) add_difference(weight, key, x, keys_.grad + at_key, count);
        }
      }
    });
  }

  // The square at a tile's left was weighed above its diagonal: completes it, returns its width.
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
  const Curve<T> curve_;
  const Identities identities_;
  const Side<T> x_, keys_;
  TileProduct towards_;
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
