// Turns a tile of products into a tile of weights, in place, and sums the losses of its pairs.
//
// For rows that nearly coincide, the distance and the gradient come from the rows themselves, and
// the weight in the tile is 0, because a product cannot resolve their distance.
#pragma once

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "common/rows_cpu.h"
#include "fidi/fidi.h"
#include "fidi/row_cpu.h"

namespace reid_ext::fidi {

constexpr int64_t kColumns = 256;  // columns per task

// The keys of each identity in ascending order.
class Identities {
 public:
  using Place = std::vector<std::pair<int64_t, int64_t>>::const_iterator;  // (label, key)

  explicit Identities(const Tensor& labels) {
    const int64_t* label = labels.const_data_ptr<int64_t>();
    for (int64_t j = 0; j < labels.numel(); ++j) sorted_.emplace_back(label[j], j);
    std::sort(sorted_.begin(), sorted_.end());
  }

  // The first key of an identity at or after `from`.
  Place find(int64_t label, int64_t from) const {
    return std::lower_bound(sorted_.begin(), sorted_.end(), std::make_pair(label, from));
  }

 private:
  std::vector<std::pair<int64_t, int64_t>> sorted_;
};

// Rows of x or of keys, and their gradient, which is null if it is not requested.
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

// Products, then distances, then weights of one anchor with `count` keys from `key` on.
template <typename T>
struct Row {
  T* values;
  int64_t anchor, key, count;
};

// Positions in one row: of keys that nearly coincide with the anchor, and of keys of its identity.
// For the latter also their squared distances, then weights.
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
class Weigher {
 public:
  Weigher(const Problem& p, const Side<T>& x, const Side<T>& keys)
      : p_(p), curve_(curve<T>(p)), identities_(p.key_labels), x_(x), keys_(keys) {}

  // Turns a tile of products of anchors from i and keys from j on into weights.
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

 private:
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

  // Computes the distances of rows that nearly coincide from the rows.
  void refine(const Row<T>& row, Places<T>* places) const {
    const T* x = x_.rows + row.anchor * p_.d;
    for (int64_t c = 0; c < row.count; ++c) {
      const int64_t j = row.key + c;
      if (!is_near(row.values[c], x_.norms[row.anchor] + keys_.norms[j])) continue;
      row.values[c] = pair_sum(x, keys_.rows + j * p_.d, T(1), T(1), p_.d);
      places->near.push_back(c);
    }
  }

  // Moves the keys of the anchor's identity out of the row.
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

  // Each thread owns a range of columns of every row, so no two threads write to one element.
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

  const Problem& p_;
  const Curve<T> curve_;
  const Identities identities_;
  const Side<T>&x_, &keys_;
};

}  // namespace reid_ext::fidi
