// Schemas of the mining ops and their CPU kernels. See mining.h for the contract.
//
// Forward: tile after tile of the product; each row of a tile is scanned once, 64 bytes of keys at
// a time, with the hardest so far kept per lane. Memory is one tile.
// Backward: only the two chosen pairs of each anchor have a gradient, so it is O(N D). Each thread
// owns a range of columns of every row and walks over the anchors in order: no atomics, and the
// bits do not depend on the number of threads.
#include <algorithm>
#include <type_traits>
#include <vector>

#include "common/product_cpu.h"
#include "common/rows_cpu.h"
#include "mining/mining.h"

namespace reid_ext::mining {
namespace {

// As wide as T, so that one vector compares as many codes as values.
template <typename T>
using Code = std::conditional_t<std::is_same_v<T, float>, int32_t, int64_t>;

// Integers of any size as small codes: equal codes for equal values, -1 for one no key has.
template <typename Int>
struct Codes {
  std::vector<Int> anchors, keys;

  // No groups: no key is of an anchor's group.
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
    for (int64_t i = 0; i < of_anchors.numel(); ++i) anchors.push_back(code(a[i]));
    for (int64_t j = 0; j < of_keys.numel(); ++j) keys.push_back(code(k[j]));
  }
};

// The keys of one tile as the scan of a row sees them.
template <typename T>
struct Keys {
  const T *scale, *bias;
  const Code<T>*label, *group;
  Code<T> count;
  int64_t first;  // index of key 0 among all keys
};

template <typename T>
struct Anchor {
  Code<T> label, group, self;  // self: its own place in the tile, or -1
};

template <typename T>
struct Hardest {
  Candidate<T> positive = none<T>(), negative = none<T>();
};

// Keys are dealt in turn to this many lanes, each of which keeps its own hardest: a loop over the
// lanes is what the compiler vectorises.
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

// Squared norms of the anchors and of the keys, which may be the same.
template <typename T>
struct Norms {
  std::vector<T> of_keys, of_anchors;  // of_anchors: empty where the anchors are the keys

  explicit Norms(const Problem& p) : of_keys(squared_norms(p.keys.const_data_ptr<T>(), p.m, p.d)) {
    if (!p.own_keys) of_anchors = squared_norms(p.x.const_data_ptr<T>(), p.n, p.d);
  }
  T x(int64_t i) const { return of_anchors.empty() ? of_keys[i] : of_anchors[i]; }
};

template <typename T>
std::vector<Hardest<T>> scan(const Problem& p, const Norms<T>& norms) {
  using Int = Code<T>;
  const Codes<Int> labels(p.labels, p.key_labels);
  const Codes<Int> groups = p.groups ? Codes<Int>(*p.groups, *p.key_groups) : Codes<Int>(p.n, p.m);
  std::vector<T> scale(p.m), bias(p.m);
  for (int64_t j = 0; j < p.m; ++j) {
    const Order<T> o = order(p.metric, norms.of_keys[j]);
    scale[j] = o.scale;
    bias[j] = o.bias;
  }
  std::vector<Hardest<T>> hardest(p.n);
  CpuTileProduct product(p.x, std::min(p.n, kTileRows), std::min(p.m, kTileCols));
  for (int64_t i = 0; i < p.n; i += kTileRows) {
    const int64_t rows = std::min(kTileRows, p.n - i);
    const Tensor x = rows_of(p.x, i, rows);
    for (int64_t j = 0; j < p.m; j += kTileCols) {
      const int64_t cols = std::min(kTileCols, p.m - j);
      const Tensor tile = product(x, rows_of(p.keys, j, cols));
      T* values = tile.mutable_data_ptr<T>();
      const Keys<T> keys = {scale.data() + j,       bias.data() + j, labels.keys.data() + j,
                            groups.keys.data() + j, Int(cols),       j};
      torch::stable::parallel_for(0, rows, rows_per_task(cols), [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          T* row = values + r * cols;
          if (!is_finite(norms.x(i + r))) std::fill(row, row + cols, kNaN<T>);
          const int64_t own = p.own_keys ? i + r - j : -1;
          const bool here = own >= 0 && own < cols;
          scan_row(row, keys,
                   {labels.anchors[i + r], groups.anchors[i + r], here ? Int(own) : Int(-1)},
                   &hardest[i + r]);
        }
      });
    }
  }
  return hardest;
}

template <typename T>
Pairs mine(const Problem& p) {
  const T *x = p.x.const_data_ptr<T>(), *keys = p.keys.const_data_ptr<T>();
  const Norms<T> norms(p);
  const std::vector<Hardest<T>> hardest = scan(p, norms);
  Pairs out = empty_pairs(p);
  int64_t* index[2] = {out.positive.mutable_data_ptr<int64_t>(),
                       out.negative.mutable_data_ptr<int64_t>()};
  T* dist[2] = {out.positive_distance.mutable_data_ptr<T>(),
                out.negative_distance.mutable_data_ptr<T>()};
  const bool unit = p.metric == Metric::kCosine;
  torch::stable::parallel_for(0, p.n, rows_per_task(4 * p.d), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const T* xi = x + i * p.d;
      const T ix = unit ? inverse_norm(norms.x(i)) : T(1);
      const int64_t chosen[2] = {hardest[i].positive.index, hardest[i].negative.index};
      for (int side = 0; side < 2; ++side) {
        const int64_t j = chosen[side];
        index[side][i] = j;
        dist[side][i] = kNaN<T>;
        if (j < 0) continue;
        const T iy = unit ? inverse_norm(norms.of_keys[j]) : T(1);
        const T sum = pair_sum(xi, keys + j * p.d, length_ratio(ix, iy), ix, p.d);
        dist[side][i] = distance(p.metric, sum, ix, iy);
      }
    }
  });
  return out;
}

// --- backward --------------------------------------------------------------------------------

constexpr int64_t kColumns = 128;  // per task: a row's share is a few cache lines

template <typename T>
struct PairSide {
  const int64_t* index;
  const T *distance, *grad;
};

// out_x += wx * y and out_y += wy * x (cosine), or the same of (x - y) with wy = -wx.
template <typename T>
REID_CLONES void add_pair(const T* x, const T* y, T wx, T wy, bool cosine, T* out_x, T* out_y,
                          int64_t columns) {
  if (cosine) {
#pragma omp simd
    for (int64_t k = 0; k < columns; ++k) out_x[k] += wx * y[k];
#pragma omp simd
    for (int64_t k = 0; k < columns; ++k) out_y[k] += wy * x[k];
  } else {
#pragma omp simd
    for (int64_t k = 0; k < columns; ++k) out_x[k] += wx * (x[k] - y[k]);
#pragma omp simd
    for (int64_t k = 0; k < columns; ++k) out_y[k] += wy * (x[k] - y[k]);
  }
}

// From the gradient of the unit row to that of the row: its part along the row has no effect.
template <typename T>
REID_CLONES void project(const T* x, T inverse, T* grad, int64_t d) {
  T along = 0;
#pragma omp simd reduction(+ : along)
  for (int64_t k = 0; k < d; ++k) along += grad[k] * x[k];
  along *= inverse * inverse;
#pragma omp simd
  for (int64_t k = 0; k < d; ++k) grad[k] = inverse * (grad[k] - along * x[k]);
}

template <typename T>
void project_rows(const T* x, const std::vector<T>& inverse, T* grad, int64_t n, int64_t d) {
  torch::stable::parallel_for(0, n, rows_per_task(d), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) project(x + i * d, inverse[i], grad + i * d, d);
  });
}

template <typename T>
GradTensors backward(const Chosen& c) {
  const bool cosine = c.metric == Metric::kCosine;
  Tensor grad_x = torch::stable::new_zeros(c.x, {c.n, c.d});
  Tensor grad_keys = torch::stable::new_zeros(c.x, {c.own_keys ? 0 : c.m, c.d});
  const T *x = c.x.const_data_ptr<T>(), *keys = c.keys.const_data_ptr<T>();
  T* gx = grad_x.mutable_data_ptr<T>();
  T* gk = c.own_keys ? gx : grad_keys.mutable_data_ptr<T>();
  std::vector<T> ix, ik;
  if (cosine) ix = inverse_norms(x, c.n, c.d);
  if (cosine && !c.own_keys) ik = inverse_norms(keys, c.m, c.d);
  const std::vector<T>& iy = c.own_keys ? ix : ik;
  PairSide<T> sides[2];
  for (int s = 0; s < 2; ++s) {
    sides[s] = {c.index[s].const_data_ptr<int64_t>(), c.distance[s].const_data_ptr<T>(),
                c.grad[s].const_data_ptr<T>()};
  }
  const int64_t per_task = std::max(kColumns, rows_per_task(4 * c.n));
  torch::stable::parallel_for(0, c.d, per_task, [&](int64_t begin, int64_t end) {
    for (int64_t col = begin; col < end; col += kColumns) {
      const int64_t columns = std::min(kColumns, end - col);
      for (int64_t i = 0; i < c.n; ++i) {
        for (const PairSide<T>& side : sides) {
          const int64_t j = side.index[i];
          const T g = side.grad[i];
          if (j < 0 || g == T(0)) continue;
          const T f = cosine ? T(0) : g * difference_factor(c.metric, side.distance[i]);
          add_pair(x + i * c.d + col, keys + j * c.d + col, cosine ? -g * iy[j] : f,
                   cosine ? -g * ix[i] : -f, cosine, gx + i * c.d + col, gk + j * c.d + col,
                   columns);
        }
      }
    }
  });
  if (cosine) {
    project_rows(x, ix, gx, c.n, c.d);
    if (!c.own_keys) project_rows(keys, ik, gk, c.m, c.d);
  }
  return {grad_x, grad_keys};
}

}  // namespace

PairTensors mine_hardest_cpu(const Tensor& x, const Tensor& labels,
                             const std::optional<Tensor>& keys,
                             const std::optional<Tensor>& key_labels,
                             const std::optional<Tensor>& groups,
                             const std::optional<Tensor>& key_groups, int64_t metric) {
  const Problem p = read("mine_hardest", x, labels, keys, key_labels, groups, key_groups, metric);
  const Pairs out = by_dtype(p.x, [&](auto zero) { return mine<decltype(zero)>(p); });
  return {out.positive, out.negative, out.positive_distance, out.negative_distance};
}

GradTensors mine_hardest_backward_cpu(const Tensor& grad_positive, const Tensor& grad_negative,
                                      const Tensor& x, const std::optional<Tensor>& keys,
                                      const Tensor& positive, const Tensor& negative,
                                      const Tensor& positive_distance,
                                      const Tensor& negative_distance, int64_t metric) {
  const Chosen c = read_chosen("mine_hardest_backward", grad_positive, grad_negative, x, keys,
                               positive, negative, positive_distance, negative_distance, metric);
  return by_dtype(c.x, [&](auto zero) { return backward<decltype(zero)>(c); });
}

STABLE_TORCH_LIBRARY_FRAGMENT(reid_ext, m) {
  m.def(
      "mine_hardest(Tensor x, Tensor labels, Tensor? keys, Tensor? key_labels, Tensor? groups,"
      " Tensor? key_groups, int metric) -> (Tensor, Tensor, Tensor, Tensor)");
  m.def(
      "mine_hardest_backward(Tensor grad_positive, Tensor grad_negative, Tensor x, Tensor? keys,"
      " Tensor positive, Tensor negative, Tensor positive_distance, Tensor negative_distance,"
      " int metric) -> (Tensor, Tensor)");
}

STABLE_TORCH_LIBRARY_IMPL(reid_ext, CPU, m) {
  m.impl("mine_hardest", TORCH_BOX(&mine_hardest_cpu));
  m.impl("mine_hardest_backward", TORCH_BOX(&mine_hardest_backward_cpu));
}

}  // namespace reid_ext::mining
