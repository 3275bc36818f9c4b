// Schemas of the streaming ops and their CPU kernels. See stream.h for the contract.
//
// A tile of the product is small enough to stay near the core that counts in it; of each of its
// rows only what is not behind the query's last threshold is kept and looked at again.
#include <algorithm>
#include <vector>

#include "common/product_cpu.h"
#include "common/rows_cpu.h"
#include "ranking/row_cpu.h"
#include "ranking/row_lists_cpu.h"
#include "ranking/stream.h"

namespace reid_ext::ranking {
namespace {

constexpr int64_t kRows = 256, kCols = 4096;  // of a tile: 4 MiB of float32
constexpr int64_t kVector = 16;               // what keep_not_above may write past what it keeps

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
      value[k] = finite ? dot(a, b, p.d) * o.scale + o.bias : kNaN<T>;
    }
  });
  return out;
}

// One query among the images of one tile.
template <typename T>
struct InTile {
  ProductRow<T> row;
  int64_t first, count;  // gallery index of the tile's first image, and how many it has
};

// Adds to the counts what the tile has before each threshold, listed images included.
template <typename T>
void count_all(const InTile<T>& tile, const T* thresholds, const int64_t* indices, int64_t p,
               std::vector<T>& kept, int64_t* counts) {
  T last = 0;
  int64_t numbers = 0;
  for (int64_t k = 0; k < p; ++k) {
    if (thresholds[k] != thresholds[k]) continue;
    last = numbers++ == 0 ? thresholds[k] : std::max(last, thresholds[k]);
  }
  kept.resize(tile.count + kVector);
  const int64_t m = numbers == 0 ? 0 : keep_not_above(tile.row, tile.count, last, kept.data());
  const int64_t nan = numbers == p ? 0 : count_equal(tile.row, tile.count, kNaN<T>);
  for (int64_t k = 0; k < p; ++k) {
    const T t = thresholds[k];
    const Counts c = t == t ? count(kept.data(), m, t) : Counts{tile.count - nan, nan};
    counts[k] += c.below;
    const int64_t earlier = std::clamp(indices[k] - tile.first, int64_t(0), tile.count);
    if (c.equal > 0) {
      counts[k] += earlier == tile.count ? c.equal : count_equal(tile.row, earlier, t);
    }
  }
}

// Takes the listed images of the tile, ascending in [begin, end), off again.
template <typename T>
void take_off(const InTile<T>& tile, const int64_t* begin, const int64_t* end, const T* thresholds,
              const int64_t* indices, int64_t p, int64_t* counts) {
  begin = std::lower_bound(begin, end, tile.first);
  end = std::lower_bound(begin, end, tile.first + tile.count);
  for (; begin < end; ++begin) {
    const T value = tile.row.at(*begin - tile.first);
    for (int64_t k = 0; k < p; ++k) {
      counts[k] -= before(value, *begin, thresholds[k], indices[k]);
    }
  }
}

template <typename T>
Tensor counts_of(const Stream& s) {
  const Tensor out = torch::stable::new_zeros(s.indices, {s.indices.numel()});
  const T *query = s.query.const_data_ptr<T>(), *thresholds = s.thresholds.const_data_ptr<T>();
  const int64_t* indices = s.indices.const_data_ptr<int64_t>();
  const int64_t* offsets = s.offsets.const_data_ptr<int64_t>();
  check_offsets("count_before", "", offsets, s.q, s.indices.numel());
  const RowLists listed("count_before", "listed_", s.listed, s.q);
  int64_t* counts = out.mutable_data_ptr<int64_t>();
  const int64_t d = s.query.size(1);
  const std::vector<T> norms = squared_norms(s.block.const_data_ptr<T>(), s.b, d);
  std::vector<T> scale(s.b), bias(s.b);
  for (int64_t j = 0; j < s.b; ++j) {
    const Order<T> o = order(s.metric, norms[j]);
    scale[j] = o.scale;
    bias[j] = o.bias;
  }
  CpuTileProduct product(s.query, std::min(s.q, kRows), std::min(s.b, kCols));
  for (int64_t i = 0; i < s.q; i += kRows) {
    const int64_t rows = std::min(kRows, s.q - i);
    const Tensor x = rows_of(s.query, i, rows);
    for (int64_t j = 0; j < s.b; j += kCols) {
      const int64_t cols = std::min(kCols, s.b - j);
      const Tensor tile = product(x, rows_of(s.block, j, cols));
      T* products = tile.mutable_data_ptr<T>();
      torch::stable::parallel_for(0, rows, rows_per_task(cols), [&](int64_t begin, int64_t end) {
        std::vector<T> kept;
        for (int64_t r = begin; r < end; ++r) {
          const int64_t q = i + r, at = offsets[q], p = offsets[q + 1] - at;
          if (p == 0) continue;
          T* row = products + r * cols;
          if (!is_finite(squared_norm(query + q * d, d))) std::fill(row, row + cols, kNaN<T>);
          const InTile<T> in = {{row, scale.data() + j, bias.data() + j}, s.first + j, cols};
          count_all(in, thresholds + at, indices + at, p, kept, counts + at);
          take_off(in, listed.indices + listed.offsets[q], listed.indices + listed.offsets[q + 1],
                   thresholds + at, indices + at, p, counts + at);
        }
      });
    }
  }
  return out;
}

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
                        const Tensor& listed_offsets, const Tensor& listed_indices,
                        int64_t metric) {
  const Stream s = read_stream(query, block, first, thresholds, indices, offsets, listed_offsets,
                               listed_indices, metric);
  return by_dtype(s.query, [&](auto zero) { return counts_of<decltype(zero)>(s); });
}

STABLE_TORCH_LIBRARY_FRAGMENT(reid_ext, m) {
  m.def(
      "pair_values(Tensor query, Tensor block, Tensor pair_query, Tensor pair_row, int metric)"
      " -> Tensor");
  m.def(
      "count_before(Tensor query, Tensor block, int first, Tensor thresholds, Tensor indices,"
      " Tensor offsets, Tensor listed_offsets, Tensor listed_indices, int metric) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(reid_ext, CPU, m) {
  m.impl("pair_values", TORCH_BOX(&pair_values_cpu));
  m.impl("count_before", TORCH_BOX(&count_before_cpu));
}

}  // namespace reid_ext::ranking
