// Jaccard distances between sparse rows, by an inverted index of the rows of each column.
#pragma once

#include <vector>

#include "rerank/reciprocal_cpu.h"

namespace reid_ext::rerank {

// For every column, the rows first .. first + count with an entry, numbered from `first`.
template <typename T>
struct Inverted {
  std::vector<int64_t> offsets;
  std::vector<Entry<T>> entries;  // its field `column` holds the row

  Inverted(const SparseRows<T>& v, int64_t first, int64_t count) : offsets(v.size() + 1, 0) {
    for (int64_t i = first; i < first + count; ++i) {
      for (const Entry<T>& entry : v[i]) ++offsets[entry.column + 1];
    }
    for (size_t c = 1; c < offsets.size(); ++c) offsets[c] += offsets[c - 1];
    entries.resize(offsets.back());
    std::vector<int64_t> next(offsets.begin(), offsets.end() - 1);
    for (int64_t i = first; i < first + count; ++i) {
      for (const Entry<T>& entry : v[i]) entries[next[entry.column]++] = {i - first, entry.value};
    }
  }

  // Calls add(row, min(V(i, h), V(row, h))) for every column h of V(i, .), in ascending order.
  template <typename Add>
  void minima(const std::vector<Entry<T>>& of_i, Add add) const {
    for (const Entry<T>& mine : of_i) {
      for (int64_t at = offsets[mine.column]; at < offsets[mine.column + 1]; ++at) {
        add(entries[at].column, std::min(mine.value, entries[at].value));
      }
    }
  }
};

// Turns the keys of one query into its final distances in `row`, which the keys may read.
template <typename T, typename Keys>
REID_CLONES void blend(Keys keys, const T* shared, Normalizer<T> normalized, T lambda, int64_t g,
                       T* row) {
#pragma omp simd
  for (int64_t j = 0; j < g; ++j) {
    row[j] = blended(jaccard_distance(shared[j]), normalized(keys.at(j)), lambda);
  }
}

// V of all images, in the form that queries need.
template <typename T>
struct Encoding {
  const Neighbours<T>& nearest;
  const SparseRows<T>& v;
  const Inverted<T>& gallery;
};

// Writes the final distances of queries first .. first + count over the input of keys_of(row).
template <typename T, typename Source, typename KeysOf>
void blend_rows(T* rows, int64_t first, int64_t count, int64_t g, T lambda, const Source& source,
                const Encoding<T>& encoding, KeysOf keys_of) {
  torch::stable::parallel_for(0, count, rows_per_task(g), [&](int64_t begin, int64_t end) {
    std::vector<T> shared(g);
    for (int64_t r = begin; r < end; ++r) {
      const int64_t i = first + r;
      T* row = rows + r * g;
      std::fill(shared.begin(), shared.end(), T(0));
      encoding.gallery.minima(encoding.v[i], [&](int64_t j, T least) { shared[j] += least; });
      blend(keys_of(row), shared.data(), source.row(i, encoding.nearest.farthest[i]), lambda, g,
            row);
    }
  });
}

}  // namespace reid_ext::rerank
