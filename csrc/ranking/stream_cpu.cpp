// Schemas of the streaming ops and their CPU kernels. See stream.h for the contract.
//
// A tile of the product is small enough to stay near the core. Of each of its rows only what may
// not be behind the query's last threshold is looked at again; the pairs between bounds around a
// threshold are grouped by image, so that a row of the gallery is read once for all its queries.
#include <algorithm>
#include <atomic>
#include <optional>
#include <vector>

#include "common/product_cpu.h"
#include "ranking/dots_cpu.h"
#include "ranking/near_cpu.h"
#include "ranking/row_lists_cpu.h"
#include "ranking/stream.h"

namespace reid_ext::ranking {
namespace {

constexpr int64_t kRows = 256, kCols = 4096;  // of a tile: 4 MiB of float32
constexpr int64_t kProbe = 16;                // rows of the first tile in bfloat16
constexpr int64_t kFewest = 10;  // with one open pair in so many, bfloat16 pays no more

template <typename T>
Tensor values(const Pairs& p) {
  const Tensor out = torch::stable::new_empty(p.query, {p.p});
  const T *query = p.query.const_data_ptr<T>(), *block = p.block.const_data_ptr<T>();
  const int64_t* q = p.pair_query.const_data_ptr<int64_t>();
  const int64_t* row = p.pair_row.const_data_ptr<int64_t>();
  T* value = out.mutable_data_ptr<T>();
  torch::stable::parallel_for(0, p.p, rows_per_task(3 * p.d), [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const T *a = query + q[k] * p.d, *b = block + row[k] * p.d;
      const Order<T> o = order(p.metric, squared_norm(b, p.d));
      const bool finite = is_finite(squared_norm(a, p.d));
      value[k] = finite ? one_dot(a, b, p.d) * o.scale + o.bias : kNaN<T>;
    }
  });
  return out;
}

// A pair whose place the estimate leaves open.
template <typename T>
struct Open {
  int64_t query, column;  // of the block
  T high, value;
};

template <typename T>
class Counter {
 public:
  explicit Counter(const Stream& s)
      : s_(s),
        query_(s.query.const_data_ptr<T>()),
        block_(s.block.const_data_ptr<T>()),
        thresholds_(s.thresholds.const_data_ptr<T>()),
        indices_(s.indices.const_data_ptr<int64_t>()),
        offsets_(s.offsets.const_data_ptr<int64_t>()),
        listed_("count_before", "listed_", s.listed, s.q),
        norms_(squared_norms(query_, s.q, s.d)),
        open_(std::min(s.q, kRows)) {
    check_offsets("count_before", "", offsets_, s.q, s.indices.numel());
    std::vector<T> dropped;
    if constexpr (sizeof(T) == sizeof(float)) {
      if (s.estimate != Estimate::kInFull) dropped = rounded_.emplace(s.block, s.b, s.d).dropped;
    }
    columns_.emplace(block_, s.b, s.d, s.metric, dropped);
  }

  Tensor operator()() {
    const Tensor out = torch::stable::new_zeros(s_.indices, {s_.indices.numel()});
    counts_ = out.mutable_data_ptr<int64_t>();
    CpuTileProduct in_full(s_.query, std::min(s_.q, kRows), std::min(s_.b, kCols));
    bool rough = rounded_.has_value();
    for (int64_t i = 0, rows = 0; i < s_.q; i += rows) {
      rows = std::min(rough && i == 0 ? kProbe : kRows, s_.q - i);
      const Tensor x = rows_of(s_.query, i, rows);
      std::optional<Rounded> x16;
      for (int64_t j = 0; j < s_.b; j += kCols) {
        const int64_t cols = std::min(kCols, s_.b - j);
        if (!rough) {
          const Tensor tile = in_full(x, rows_of(s_.block, j, cols));
          count(i, j, rows, cols, tile.const_data_ptr<T>(), kNone, Estimate::kInFull);
          continue;
        }
        if constexpr (sizeof(T) == sizeof(float)) {
          if (!x16) x16.emplace(x, rows, s_.d);
          TileProduct product(x16->rows, rows, cols);
          const Tensor tile = product(x16->rows, rows_of(rounded_->rows, j, cols));
          const auto* estimates = static_cast<const Bits16*>(tile.const_data_ptr());
          const int64_t open = count(i, j, rows, cols, estimates, x16->dropped, s_.estimate);
          rough = s_.estimate == Estimate::kTaken || open <= rows * cols / kFewest;
        }
      }
    }
    return out;
  }

  // How many pairs the estimates leave open; nothing is counted.
  int64_t open_pairs() {
    std::vector<int64_t> counts(s_.indices.numel());
    counts_ = counts.data();
    int64_t open = 0;
    if constexpr (sizeof(T) == sizeof(float)) {
      for (int64_t i = 0; i < s_.q; i += kRows) {
        const int64_t rows = std::min(kRows, s_.q - i);
        const Rounded x16(rows_of(s_.query, i, rows), rows, s_.d);
        for (int64_t j = 0; j < s_.b; j += kCols) {
          const int64_t cols = std::min(kCols, s_.b - j);
          TileProduct product(x16.rows, rows, cols);
          const Tensor tile = product(x16.rows, rows_of(rounded_->rows, j, cols));
          const auto* estimates = static_cast<const Bits16*>(tile.const_data_ptr());
          open += find_open(i, j, rows, cols, estimates, x16.dropped, Estimate::kBFloat16);
        }
      }
    }
    return open;
  }

 private:
  static inline const std::vector<T> kNone = {};

  // Counts in one tile; returns how many pairs its estimates left open.
  template <typename Number>
  int64_t count(int64_t i, int64_t j, int64_t rows, int64_t cols, const Number* tile,
                const std::vector<T>& dropped, Estimate estimate) {
    const int64_t open = find_open(i, j, rows, cols, tile, dropped, estimate);
    if (open == 0) return 0;
    if (estimate != Estimate::kTaken) compute_open(j, rows, cols);
    torch::stable::parallel_for(0, rows, 1, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) settle(i + r, open_[r]);
    });
    return open;
  }

  // Counts what is certain, and lists what is open.
  template <typename Number>
  int64_t find_open(int64_t i, int64_t j, int64_t rows, int64_t cols, const Number* tile,
                    const std::vector<T>& dropped, Estimate estimate) {
    std::atomic<int64_t> open = 0;
    torch::stable::parallel_for(0, rows, rows_per_task(cols), [&](int64_t begin, int64_t end) {
      Near<T> near;
      near.reserve(cols);
      for (int64_t r = begin; r < end; ++r) {
        open_[r].clear();
        const T norm = norm_above(norms_[i + r], s_.d), lost = dropped.empty() ? T(0) : dropped[r];
        const QueryError<T> error = query_error(norm, lost, s_.d, estimate);
        count_row(i + r, j, cols, tile + r * cols, error, near, open_[r]);
        open += int64_t(open_[r].size());
      }
    });
    return open;
  }

  template <typename Number>
  void count_row(int64_t q, int64_t j, int64_t cols, const Number* row, const QueryError<T>& error,
                 Near<T>& near, std::vector<Open<T>>& open) {
    const int64_t at = offsets_[q], p = offsets_[q + 1] - at;
    if (p == 0) return;
    T limit = thresholds_[at];
    for (int64_t k = at; k < at + p; ++k) {
      const T t = thresholds_[k];
      limit = std::max(limit, t == t ? t : std::numeric_limits<T>::infinity());
    }
    if (limit != limit) limit = std::numeric_limits<T>::infinity();
    find_near(row, *columns_, j, cols, error, limit, near);
    const int64_t *begin = listed_.indices + listed_.offsets[q],
                  *end = listed_.indices + listed_.offsets[q + 1];
    drop_listed(near, s_.first + j, std::lower_bound(begin, end, s_.first + j), end);
    if (count_near(near, thresholds_ + at, p, counts_ + at) == 0) return;
    for (int64_t k = 0; k < near.size; ++k) {
      if (near.unsure[k]) open.push_back({q, j + near.column[k], near.high[k], near.high[k]});
    }
  }

  // The values of the open pairs, image by image.
  void compute_open(int64_t j, int64_t rows, int64_t cols) {
    std::vector<int64_t> start(cols + 1);
    for (int64_t r = 0; r < rows; ++r) {
      for (const Open<T>& pair : open_[r]) ++start[pair.column - j + 1];
    }
    for (int64_t k = 0; k < cols; ++k) start[k + 1] += start[k];
    std::vector<Open<T>*> grouped(start[cols]);
    std::vector<int64_t> next(start.begin(), start.end() - 1);
    for (int64_t r = 0; r < rows; ++r) {
      for (Open<T>& pair : open_[r]) grouped[next[pair.column - j]++] = &pair;
    }
    const int64_t work = s_.d * (start[cols] / cols + 1);
    torch::stable::parallel_for(0, cols, rows_per_task(work), [&](int64_t begin, int64_t end) {
      for (int64_t k = begin; k < end; ++k) {
        compute_company(grouped.data() + start[k], start[k + 1] - start[k]);
      }
    });
  }

  // All of one image.
  void compute_company(Open<T>* const* pairs, int64_t n) const {
    const T* x[kCompany];
    T out[kCompany];
    for (int64_t k = 0; k < n;) {
      const int64_t count = n - k >= kCompany ? kCompany : 1, column = pairs[k]->column;
      for (int64_t c = 0; c < count; ++c) x[c] = query_ + pairs[k + c]->query * s_.d;
      if (count == kCompany) {
        dots<kCompany>(x, block_ + column * s_.d, s_.d, out);
      } else {
        dots<1>(x, block_ + column * s_.d, s_.d, out);
      }
      for (int64_t c = 0; c < count; ++c) {
        const bool finite = is_finite(norms_[pairs[k + c]->query]);
        pairs[k + c]->value =
            finite ? out[c] * columns_->scale[column] + columns_->bias[column] : kNaN<T>;
      }
      k += count;
    }
  }

  // Counts the open pairs of a query by their values, those that counted as below already again.
  void settle(int64_t q, const std::vector<Open<T>>& open) {
    for (const Open<T>& pair : open) {
      for (int64_t k = offsets_[q]; k < offsets_[q + 1]; ++k) {
        const T given = thresholds_[k];
        const T t = given == given ? given : std::numeric_limits<T>::infinity();
        counts_[k] += int64_t(before(pair.value, s_.first + pair.column, given, indices_[k])) -
                      int64_t(pair.high < t);
      }
    }
  }

  const Stream& s_;
  const T *query_, *block_, *thresholds_;
  const int64_t *indices_, *offsets_;
  RowLists listed_;
  std::vector<T> norms_;
  std::optional<Rounded> rounded_;
  std::optional<Columns<T>> columns_;
  std::vector<std::vector<Open<T>>> open_;  // of a tile, by row
  int64_t* counts_ = nullptr;
};

}  // namespace

Tensor pair_values_cpu(const Tensor& query, const Tensor& block, const Tensor& pair_query,
                       const Tensor& pair_row, int64_t metric) {
  const Pairs p = read_pairs(query, block, pair_query, pair_row, metric);
  check_range("pair_values", "pair_query", p.pair_query, p.q, "the queries");
  check_range("pair_values", "pair_row", p.pair_row, p.b, "the block");
  return by_dtype(p.query, [&](auto zero) { return values<decltype(zero)>(p); });
}

Tensor count_before_cpu(const Tensor& query, const Tensor& block, int64_t first,
                        const Tensor& thresholds, const Tensor& indices, const Tensor& offsets,
                        const Tensor& listed_offsets, const Tensor& listed_indices, int64_t metric,
                        int64_t estimate) {
  const Stream s = read_stream(query, block, first, thresholds, indices, offsets, listed_offsets,
                               listed_indices, metric, estimate);
  return by_dtype(s.query, [&](auto zero) { return Counter<decltype(zero)>(s)(); });
}

int64_t open_pairs_cpu(const Tensor& query, const Tensor& block, const Tensor& thresholds,
                       const Tensor& offsets, int64_t metric) {
  const Tensor indices = torch::stable::new_zeros(offsets, {thresholds.numel()});
  const Tensor none = torch::stable::new_zeros(offsets, {0});
  const Tensor no_offsets = torch::stable::new_zeros(offsets, {offsets.numel()});
  const Stream s = read_stream(query, block, 0, thresholds, indices, offsets, no_offsets, none,
                               metric, int64_t(Estimate::kBFloat16));
  return Counter<float>(s).open_pairs();
}

// Whether this processor multiplies bfloat16 faster than float32.
bool cpu_has_bfloat16() {
#if REID_HAS_CLONES
  return __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

STABLE_TORCH_LIBRARY_FRAGMENT(reid_ext, m) {
  m.def(
      "pair_values(Tensor query, Tensor block, Tensor pair_query, Tensor pair_row, int metric)"
      " -> Tensor");
  m.def(
      "count_before(Tensor query, Tensor block, int first, Tensor thresholds, Tensor indices,"
      " Tensor offsets, Tensor listed_offsets, Tensor listed_indices, int metric, int estimate)"
      " -> Tensor");
  m.def(
      "open_pairs(Tensor query, Tensor block, Tensor thresholds, Tensor offsets, int metric)"
      " -> int");
  m.def("cpu_has_bfloat16() -> bool");
}

STABLE_TORCH_LIBRARY_IMPL(reid_ext, CPU, m) {
  m.impl("pair_values", TORCH_BOX(&pair_values_cpu));
  m.impl("count_before", TORCH_BOX(&count_before_cpu));
  m.impl("open_pairs", TORCH_BOX(&open_pairs_cpu));
}

STABLE_TORCH_LIBRARY_IMPL(reid_ext, CompositeExplicitAutograd, m) {
  m.impl("cpu_has_bfloat16", TORCH_BOX(&cpu_has_bfloat16));
}

}  // namespace reid_ext::ranking
