// Counts how many images of a gallery block precede each threshold: count_before of stream.h.
//
// A tile of the product stays in the cache of the core. In full it has the values by which pairs
// are compared, in bfloat16 it estimates them. Images that are certainly behind the last threshold
// of the query are dropped first. Images whose bounds contain a threshold are open: they are
// grouped by image, so that a row of the gallery is read once for all its queries.
#pragma once

#include <algorithm>
#include <atomic>
#include <limits>
#include <numeric>
#include <optional>
#include <vector>

#include "common/product_cpu.h"
#include "ranking/near_cpu.h"

namespace reid_ext::ranking {

// The thresholds of stream.h that the images are compared with, and the images that do not count.
template <typename T>
struct Thresholds {
  const T* values;
  const int64_t *indices, *offsets;
  const int64_t *listed, *listed_offsets;
};

// A pair whose order the estimate cannot decide.
template <typename T>
struct Open {
  int64_t query, column;  // column: row of the block
  T low, high, value;
};

// The thresholds of every query in ascending order. NaN is infinity here, as all numbers precede
// it.
template <typename T>
struct Ascending {
  std::vector<T> values;
  std::vector<int64_t> place;  // of each in the order in which they are given

  Ascending(const Thresholds<T>& given, int64_t queries)
      : values(given.offsets[queries]), place(values.size()) {
    std::iota(place.begin(), place.end(), 0);
    const auto value = [&](int64_t at) {
      const T t = given.values[at];
      return t == t ? t : std::numeric_limits<T>::infinity();
    };
    for (int64_t q = 0; q < queries; ++q) {
      std::sort(place.begin() + given.offsets[q], place.begin() + given.offsets[q + 1],
                [&](int64_t a, int64_t b) { return value(a) < value(b); });
    }
    for (size_t k = 0; k < place.size(); ++k) values[k] = value(place[k]);
  }
};

template <typename T>
class Counter {
 public:
  // `first` is the gallery index of the first row of the block.
  Counter(const Tensor& query, const Tensor& block, int64_t first, Metric metric,
          const Thresholds<T>& thresholds, Estimate estimate)
      : query_tensor_(query),
        block_tensor_(block),
        query_(query.const_data_ptr<T>()),
        block_(block.const_data_ptr<T>()),
        first_(first),
        q_(query.size(0)),
        b_(block.size(0)),
        d_(query.size(1)),
        t_(thresholds),
        ascending_(thresholds, q_),
        counts_(ascending_.values.size()),
        norms_(squared_norms(query_, q_, d_)),
        open_(std::min(q_, kRows)) {
    std::vector<T> dropped;
    if constexpr (sizeof(T) == sizeof(float)) {
      if (estimate == Estimate::kBFloat16) dropped = rounded_.emplace(block, b_, d_).dropped;
    }
    columns_.emplace(block_, b_, d_, metric, dropped);
  }

  // Adds to counts, one per threshold. Exact counts use full products once estimates do not pay.
  void count(Compute compute, int64_t* counts) {
    count_tiles(compute);
    for (size_t k = 0; k < counts_.size(); ++k) counts[ascending_.place[k]] += counts_[k];
  }

  // The number of pairs that the estimates leave open. Adds to no counts.
  int64_t open_pairs() {
    int64_t open = 0;
    for (int64_t i = 0; i < q_; i += kRows) {
      const int64_t rows = std::min(kRows, q_ - i);
      const Rounded x16(rows_of(query_tensor_, i, rows), rows, d_);
      for (int64_t j = 0; j < b_; j += kCols) {
        const Tile at = {i, j, rows, std::min(kCols, b_ - j)};
        const Tensor tile = in_bfloat16(x16, at);
        open += find_open(at, static_cast<const Bits16*>(tile.const_data_ptr()), x16.dropped,
                          Estimate::kBFloat16);
      }
    }
    return open;
  }

 private:
  static constexpr int64_t kRows = 256, kCols = 4096;  // tile size: 4 MiB of float32
  static constexpr int64_t kProbe = 16;                // rows of the first estimated tile
  static inline const std::vector<float> kNone = {};

  struct Tile {  // queries i .. i + rows with rows j .. j + cols of the block
    int64_t i, j, rows, cols;
  };

  void count_tiles(Compute compute) {
    taken_ = compute == Compute::kApproximate;
    bool estimated = rounded_.has_value();
    CpuTileProduct in_full(query_tensor_, std::min(q_, kRows), std::min(b_, kCols));
    for (int64_t i = 0, rows = 0; i < q_; i += rows) {
      rows = std::min(estimated && i == 0 ? kProbe : kRows, q_ - i);
      const Tensor x = rows_of(query_tensor_, i, rows);
      std::optional<Rounded> x16;
      for (int64_t j = 0; j < b_; j += kCols) {
        const Tile at = {i, j, rows, std::min(kCols, b_ - j)};
        if (!estimated) {
          const Tensor tile = in_full(x, rows_of(block_tensor_, j, at.cols));
          count_tile(at, tile.const_data_ptr<T>(), kNone, Estimate::kInFull);
          continue;
        }
        if (!x16) x16.emplace(x, rows, d_);
        const Tensor tile = in_bfloat16(*x16, at);
        const int64_t open = count_tile(at, static_cast<const Bits16*>(tile.const_data_ptr()),
                                        x16->dropped, Estimate::kBFloat16);
        estimated = taken_ || estimate_pays(open, rows * at.cols);
      }
    }
  }

  Tensor in_bfloat16(const Rounded& x16, const Tile& at) const {
    TileProduct product(x16.rows, at.rows, at.cols);
    return product(x16.rows, rows_of(rounded_->rows, at.j, at.cols));
  }

  // Counts in one tile. Returns how many pairs its estimates left open.
  template <typename Number>
  int64_t count_tile(const Tile& at, const Number* tile, const std::vector<float>& dropped,
                     Estimate estimate) {
    const int64_t open = find_open(at, tile, dropped, estimate);
    if (open == 0) return 0;
    if (!taken_ && estimate != Estimate::kInFull) compute_open(at);
    torch::stable::parallel_for(0, at.rows, 1, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) settle(at.i + r, open_[r]);
    });
    return open;
  }

  // Counts the certain pairs, and lists the open ones.
  template <typename Number>
  int64_t find_open(const Tile& at, const Number* tile, const std::vector<float>& dropped,
                    Estimate estimate) {
    std::atomic<int64_t> open = 0;
    const auto find = [&](int64_t begin, int64_t end) {
      Near<T> near;
      near.reserve(at.cols);
      for (int64_t r = begin; r < end; ++r) {
        open_[r].clear();
        QueryError<T> error;
        const T norm = norms_[at.i + r];
        if (!is_finite(norm)) {
          error.always = kNaN<T>;
        } else if (!taken_ && estimate != Estimate::kInFull) {
          error = query_error(norm_above(norm, d_), T(dropped[r]), d_);
        }
        count_row(at.i + r, at, tile + r * at.cols, error, near, open_[r]);
        open += int64_t(open_[r].size());
      }
    };
    torch::stable::parallel_for(0, at.rows, rows_per_task(at.cols), find);
    return open;
  }

  template <typename Number>
  void count_row(int64_t q, const Tile& at, const Number* row, const QueryError<T>& error,
                 Near<T>& near, std::vector<Open<T>>& open) {
    const int64_t first = t_.offsets[q], p = t_.offsets[q + 1] - first;
    if (p == 0) return;
    const T limit = ascending_.values[first + p - 1];
    find_near(row, *columns_, at.j, at.cols, error, limit, near);
    const int64_t *begin = t_.listed + t_.listed_offsets[q],
                  *end = t_.listed + t_.listed_offsets[q + 1];
    drop_listed(near, first_ + at.j, std::lower_bound(begin, end, first_ + at.j), end);
    const T* thresholds = ascending_.values.data() + first;
    if (count_near(near, thresholds, p, counts_.data() + first) == 0) return;
    for (int64_t k = 0; k < near.size; ++k) {
      if (!near.unsure[k]) continue;
      open.push_back({q, at.j + near.column[k], near.low[k], near.high[k], near.high[k]});
    }
  }

  // Computes the values of the open pairs, grouped by image.
  void compute_open(const Tile& at) {
    std::vector<int64_t> start(at.cols + 1);
    for (int64_t r = 0; r < at.rows; ++r) {
      for (const Open<T>& pair : open_[r]) ++start[pair.column - at.j + 1];
    }
    for (int64_t k = 0; k < at.cols; ++k) start[k + 1] += start[k];
    std::vector<Open<T>*> grouped(start[at.cols]);
    std::vector<int64_t> next(start.begin(), start.end() - 1);
    for (int64_t r = 0; r < at.rows; ++r) {
      for (Open<T>& pair : open_[r]) grouped[next[pair.column - at.j]++] = &pair;
    }
    const int64_t work = d_ * (start[at.cols] / at.cols + 1);
    torch::stable::parallel_for(0, at.cols, rows_per_task(work), [&](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) {
        compute_company(grouped.data() + start[k], start[k + 1] - start[k]);
      }
    });
  }

  // Computes all open pairs of one image.
  void compute_company(Open<T>* const* pairs, int64_t n) const {
    const T* x[kCompany];
    T out[kCompany];
    for (int64_t k = 0, count = 0; k < n; k += count) {
      count = std::min<int64_t>(kCompany, n - k);
      const int64_t column = pairs[k]->column;
      for (int64_t c = 0; c < count; ++c) x[c] = query_ + pairs[k + c]->query * d_;
      dots(x, count, block_ + column * d_, d_, out);
      for (int64_t c = 0; c < count; ++c) {
        const bool finite = is_finite(norms_[pairs[k + c]->query]);
        pairs[k + c]->value =
            finite ? out[c] * columns_->scale[column] + columns_->bias[column] : kNaN<T>;
      }
    }
  }

  // Counts the open pairs of a query by their values, and takes back those already counted. Only
  // the thresholds in the bounds of a pair can have been counted wrongly.
  void settle(int64_t q, const std::vector<Open<T>>& open) {
    const T *begin = ascending_.values.data() + t_.offsets[q],
            *end = ascending_.values.data() + t_.offsets[q + 1];
    for (const Open<T>& pair : open) {
      const bool bounded = pair.low == pair.low && pair.high == pair.high;
      const T* first = bounded ? std::lower_bound(begin, end, pair.low) : begin;
      const T* last = bounded ? std::upper_bound(first, end, pair.high) : end;
      for (const T* t = first; t < last; ++t) {
        const int64_t k = t - ascending_.values.data(), given = ascending_.place[k];
        const bool precedes =
            before(pair.value, first_ + pair.column, t_.values[given], t_.indices[given]);
        counts_[k] += int64_t(precedes) - int64_t(pair.high < *t);
      }
    }
  }

  const Tensor query_tensor_, block_tensor_;
  const T *query_, *block_;
  const int64_t first_, q_, b_, d_;
  const Thresholds<T> t_;
  const Ascending<T> ascending_;
  std::vector<int64_t> counts_;  // one per ascending threshold
  const std::vector<T> norms_;
  std::optional<Rounded> rounded_;
  std::optional<Columns<T>> columns_;
  std::vector<std::vector<Open<T>>> open_;  // the open pairs of a tile by row
  bool taken_ = false;                      // whether estimates are used as the values
};

}  // namespace reid_ext::ranking
