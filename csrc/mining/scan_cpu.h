// Scans one tile of the product for the hardest keys, both of the anchors in its rows and, if the
// anchors are the keys, of the anchors in its columns.
#pragma once

#include <algorithm>
#include <type_traits>
#include <vector>

#include "mining/mining.h"

namespace reid_ext::mining {

// As wide as T, so that one vector compares as many codes as values.
template <typename T>
using Code = std::conditional_t<std::is_same_v<T, float>, int32_t, int64_t>;

// Maps integers of any size to small codes: equal codes for equal values, -1 if no key has it.
template <typename Int>
struct Codes {
  std::vector<Int> anchors, keys;

  // Without groups: codes that never agree, so that every key is of another group.
  Codes(int64_t n, int64_t m) : anchors(n, -1), keys(m, 0) {}

  Codes(const Tensor& of_anchors, const Tensor& of_keys) {
    const int64_t* k = of_keys.const_data_ptr<int64_t>();
    std::vector<int64_t> known(k, k + of_keys.numel());
    std::sort(known.begin(), known.end());
    known.erase(std::unique(known.begin(), known.end()), known.end());
    const auto code = [&](int64_t value) {
      const auto at = std::lower_bound(known.begin(), known.end(), value);
      return at != known.end() && *at == value ? Int(at - known.begin()) : Int(-1);
    };
    const int64_t* a = of_anchors.const_data_ptr<int64_t>();
    anchors.resize(of_anchors.numel());
    keys.resize(of_keys.numel());
    std::transform(a, a + anchors.size(), anchors.begin(), code);
    std::transform(k, k + keys.size(), keys.begin(), code);
  }
};

// The keys of one tile as the scan of a row uses them.
template <typename T>
struct Keys {
  const T *scale, *bias;
  const Code<T>*label, *group;
  Code<T> count;
  int64_t first;  // index of the first key among all keys
};

template <typename T>
struct Anchor {
  Code<T> label, group, self;  // self: its own column in the tile, or -1
};

template <typename T>
struct Hardest {
  Candidate<T> positive = none<T>(), negative = none<T>();
};

// Keys are dealt to this many lanes in turn, and each lane keeps its own hardest key. The compiler
// vectorises the loop over the lanes.
constexpr int kLanes = 32;

template <bool kPositive, typename T>
void merge(Candidate<T>& best, Candidate<T> other) {
  if (harder<kPositive>(best, other)) best = other;
}

template <typename T>
REID_CLONES void scan_row(const T* product, const Keys<T>& keys, const Anchor<T>& anchor,
                          Hardest<T>* hardest) {
  using Int = Code<T>;
  T far[kLanes] = {}, near[kLanes] = {};
  Int far_index[kLanes], near_index[kLanes];
  for (int l = 0; l < kLanes; ++l) far_index[l] = near_index[l] = -1;
  const Int label = anchor.label, group = anchor.group, self = anchor.self;
  Int j = 0;
  for (; j + kLanes <= keys.count; j += kLanes) {
#pragma omp simd
    for (int l = 0; l < kLanes; ++l) {
      const T value = product[j + l] * keys.scale[j + l] + keys.bias[j + l];
      const bool qualifies = (j + l != self) & (keys.group[j + l] != group);
      const bool same = keys.label[j + l] == label;
      const bool nan = value != value;
      const bool further = (value > far[l]) | (nan & (far[l] == far[l])) | (far_index[l] < 0);
      const bool nearer = (value < near[l]) | (nan & (near[l] == near[l])) | (near_index[l] < 0);
      const bool take_far = qualifies & same & further, take_near = qualifies & !same & nearer;
      far[l] = take_far ? value : far[l];
      far_index[l] = take_far ? j + l : far_index[l];
      near[l] = take_near ? value : near[l];
      near_index[l] = take_near ? j + l : near_index[l];
    }
  }
  const auto among_all = [&](Int i) { return i < 0 ? int64_t(-1) : keys.first + i; };
  for (int l = 0; l < kLanes; ++l) {
    merge<true>(hardest->positive, {far[l], among_all(far_index[l])});
    merge<false>(hardest->negative, {near[l], among_all(near_index[l])});
  }
  for (; j < keys.count; ++j) {
    if (j == self || keys.group[j] == group) continue;
    const Candidate<T> key = {product[j] * keys.scale[j] + keys.bias[j], keys.first + j};
    if (keys.label[j] == label) {
      merge<true>(hardest->positive, key);
    } else {
      merge<false>(hardest->negative, key);
    }
  }
}

// The hardest keys so far of every anchor, found in the columns of tiles. There is one array per
// field, so the loop over anchors vectorises.
template <typename T>
struct ColumnState {
  std::vector<T> far, near;
  std::vector<Code<T>> far_index, near_index;

  explicit ColumnState(int64_t n) : far(n), near(n), far_index(n, -1), near_index(n, -1) {}

  Hardest<T> at(int64_t i) const { return {{far[i], far_index[i]}, {near[i], near_index[i]}}; }
};

// The anchors of some columns of a tile.
template <typename T>
struct Columns {
  const Code<T>*label, *group;
  const T* nothing;  // 0, or NaN if the row is not finite
  T *far, *near;
  Code<T>*far_index, *near_index;
  int64_t count;
};

// Compares one key, a row of the tile, with all these anchors. Rows come by ascending index.
template <typename T>
REID_CLONES void scan_column(const T* product, Order<T> order, Code<T> key, Code<T> key_label,
                             Code<T> key_group, const Columns<T>& c) {
#pragma omp simd
  for (int64_t j = 0; j < c.count; ++j) {
    const T value = product[j] * order.scale + order.bias + c.nothing[j];
    const bool same = c.label[j] == key_label, qualifies = c.group[j] != key_group;
    const bool nan = value != value;
    const T far = c.far[j], near = c.near[j];
    const bool further = (value > far) | (nan & (far == far)) | (c.far_index[j] < 0);
    const bool nearer = (value < near) | (nan & (near == near)) | (c.near_index[j] < 0);
    const bool take_far = qualifies & same & further, take_near = qualifies & !same & nearer;
    c.far[j] = take_far ? value : far;
    c.far_index[j] = take_far ? key : c.far_index[j];
    c.near[j] = take_near ? value : near;
    c.near_index[j] = take_near ? key : c.near_index[j];
  }
}

}  // namespace reid_ext::mining
