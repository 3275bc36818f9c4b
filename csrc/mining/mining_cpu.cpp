// Schemas of the mining ops and their CPU kernels. See mining.h for the contract.
//
// The product is made tile by tile. Each row of a tile is scanned once, 64 bytes of keys at a time,
// with the hardest key so far kept per lane. If the anchors are the keys, only half of the tiles
// are made, and their columns are scanned as well. The memory is one tile.
#include <algorithm>
#include <utility>
#include <vector>

#include "common/product_cpu.h"
#include "common/rows_cpu.h"
#include "mining/scan_cpu.h"

namespace reid_ext::mining {
namespace {

// Squared norms of the anchors and of the keys, which may be the same rows.
template <typename T>
struct Norms {
  std::vector<T> of_keys, of_anchors;  // of_anchors is empty if the anchors are the keys

  explicit Norms(const Problem& p) : of_keys(squared_norms(p.keys.const_data_ptr<T>(), p.m, p.d)) {
    if (!p.own_keys) of_anchors = squared_norms(p.x.const_data_ptr<T>(), p.n, p.d);
  }
  T x(int64_t i) const { return of_anchors.empty() ? of_keys[i] : of_anchors[i]; }
};

// The data of all anchors and keys that the scan of a tile needs.
template <typename T>
struct Scan {
  const Problem& p;
  const Norms<T>& norms;
  Codes<Code<T>> labels, groups;
  std::vector<T> scale, bias;
  std::vector<Hardest<T>> hardest;

  Scan(const Problem& problem, const Norms<T>& of_rows)
      : p(problem),
        norms(of_rows),
        labels(p.labels, p.key_labels),
        groups(p.groups ? Codes<Code<T>>(*p.groups, *p.key_groups) : Codes<Code<T>>(p.n, p.m)),
        scale(p.m),
        bias(p.m),
        hardest(p.n) {
    for (int64_t j = 0; j < p.m; ++j) {
      const Order<T> o = order(p.metric, norms.of_keys[j]);
      scale[j] = o.scale;
      bias[j] = o.bias;
    }
  }

  // Scans the rows of a tile with the products of anchors i .. i + rows and keys j .. j + cols.
  void rows_of_tile(T* tile, int64_t i, int64_t rows, int64_t j, int64_t cols) {
    const Keys<T> keys = {scale.data() + j,       bias.data() + j, labels.keys.data() + j,
                          groups.keys.data() + j, Code<T>(cols),   j};
    torch::stable::parallel_for(0, rows, rows_per_task(cols), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        T* row = tile + r * cols;
        if (!is_finite(norms.x(i + r))) std::fill(row, row + cols, kNaN<T>);
        const int64_t own = p.own_keys ? i + r - j : -1;
        const Code<T> self = own >= 0 && own < cols ? Code<T>(own) : Code<T>(-1);
        const Anchor<T> anchor = {labels.anchors[i + r], groups.anchors[i + r], self};
        scan_row(row, keys, anchor, &hardest[i + r]);
      }
    });
  }
};

template <typename T>
std::vector<Hardest<T>> scan_all(const Problem& p, const Norms<T>& norms) {
  Scan<T> scan(p, norms);
  CpuTileProduct product(p.x, std::min(p.n, kTileRows), std::min(p.m, kTileCols));
  for (int64_t i = 0; i < p.n; i += kTileRows) {
    const int64_t rows = std::min(kTileRows, p.n - i);
    const Tensor x = rows_of(p.x, i, rows);
    for (int64_t j = 0; j < p.m; j += kTileCols) {
      const int64_t cols = std::min(kTileCols, p.m - j);
      const Tensor tile = product(x, rows_of(p.keys, j, cols));
      scan.rows_of_tile(tile.mutable_data_ptr<T>(), i, rows, j, cols);
    }
  }
  return std::move(scan.hardest);
}

// The anchors of the columns. The rows are keys for them.
template <typename T>
class ColumnScan {
 public:
  explicit ColumnScan(const Scan<T>& scan)
      : scan_(scan), state_(scan.p.n), nothing_(scan.p.n, T(0)) {
    for (int64_t i = 0; i < scan.p.n; ++i) {
      if (!is_finite(scan.norms.x(i))) nothing_[i] = kNaN<T>;
    }
  }

  // Scans columns j + first .. j + cols of the tile whose first row is key i.
  void columns_of_tile(const T* tile, int64_t i, int64_t rows, int64_t j, int64_t cols,
                       int64_t first) {
    torch::stable::parallel_for(first, cols, kColumnsAtOnce, [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; c += kColumnsAtOnce) {
        const Columns<T> columns = at(j + c, std::min(kColumnsAtOnce, end - c));
        for (int64_t r = 0; r < rows; ++r) {
          const int64_t key = i + r;
          scan_column(tile + r * cols + c, {scan_.scale[key], scan_.bias[key]}, Code<T>(key),
                      scan_.labels.keys[key], scan_.groups.keys[key], columns);
        }
      }
    });
  }

  void merge_into(std::vector<Hardest<T>>& hardest) const {
    for (int64_t i = 0; i < scan_.p.n; ++i) {
      const Hardest<T> found = state_.at(i);
      merge<true>(hardest[i].positive, found.positive);
      merge<false>(hardest[i].negative, found.negative);
    }
  }

 private:
  static constexpr int64_t kColumnsAtOnce = 512;  // so that their state stays in the L1 cache

  Columns<T> at(int64_t i, int64_t count) {
    return {scan_.labels.anchors.data() + i,
            scan_.groups.anchors.data() + i,
            nothing_.data() + i,
            state_.far.data() + i,
            state_.near.data() + i,
            state_.far_index.data() + i,
            state_.near_index.data() + i,
            count};
  }

  const Scan<T>& scan_;
  ColumnState<T> state_;
  std::vector<T> nothing_;
};

// If the anchors are the keys, distances are symmetric. Each tile on or right of the diagonal
// serves the anchors of its rows and of its columns, and the tiles left of the diagonal are not
// made.
template <typename T>
std::vector<Hardest<T>> scan_symmetric(const Problem& p, const Norms<T>& norms) {
  Scan<T> scan(p, norms);
  ColumnScan<T> column_scan(scan);
  const int64_t height = rows_of_symmetric_tile(p.n);
  CpuTileProduct product(p.x, height, std::min(p.n, kTileCols));
  for (int64_t i = 0; i < p.n; i += height) {
    const int64_t rows = std::min(height, p.n - i);
    const Tensor x = rows_of(p.x, i, rows);
    for (int64_t j = i; j < p.n; j += kTileCols) {
      const int64_t cols = std::min(kTileCols, p.n - j);
      const Tensor tile = product(x, rows_of(p.x, j, cols));
      scan.rows_of_tile(tile.mutable_data_ptr<T>(), i, rows, j, cols);
      const int64_t square = j == i ? std::min(rows, cols) : 0;  // on the diagonal, rows saw both
      column_scan.columns_of_tile(tile.const_data_ptr<T>(), i, rows, j, cols, square);
    }
  }
  column_scan.merge_into(scan.hardest);
  return std::move(scan.hardest);
}

template <typename T>
Pairs mine(const Problem& p) {
  const T *x = p.x.const_data_ptr<T>(), *keys = p.keys.const_data_ptr<T>();
  const Norms<T> norms(p);
  const std::vector<Hardest<T>> hardest =
      p.own_keys ? scan_symmetric(p, norms) : scan_all(p, norms);
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
}

}  // namespace reid_ext::mining
