// Schema of the op jaccard and its CPU kernel: Jaccard distances below 1 between all images.
//
// A few thousand rows are computed and packed at a time, to use little memory beyond the result.
#include "rerank/jaccard_cpu.h"

#include <list>

#include "rerank/features_cpu.h"

namespace reid_ext::rerank {
namespace {

constexpr int64_t kRowsAtOnce = 4096;

// Some rows of the result, concatenated.
template <typename T>
struct Piece {
  std::vector<int64_t> indices;
  std::vector<T> distances;
};

// Computes rows first .. first + count, and writes the length of row i to ends[i + 1].
template <typename T>
Piece<T> rows_of_result(const SparseRows<T>& v, const Inverted<T>& inverted, int64_t first,
                        int64_t count, T most, int64_t* ends) {
  SparseRows<T> rows(count);
  torch::stable::parallel_for(0, count, kRowsPerTask, [&](int64_t begin, int64_t end) {
    Accumulator<T> shared(int64_t(v.size()));
    for (int64_t r = begin; r < end; ++r) {
      inverted.minima(v[first + r], [&](int64_t j, T least) { shared.add(j, least); });
      shared.drain([&](int64_t j, T sum) {
        const T distance = jaccard_distance(sum);
        if (distance <= most) rows[r].push_back({j, distance});
      });
      ends[first + r + 1] = int64_t(rows[r].size());
    }
  });
  int64_t length = 0;
  for (const auto& row : rows) length += int64_t(row.size());
  Piece<T> piece;
  piece.indices.reserve(length);
  piece.distances.reserve(length);
  for (const auto& row : rows) {
    for (const Entry<T>& entry : row) {
      piece.indices.push_back(entry.column);
      piece.distances.push_back(entry.value);
    }
  }
  return piece;
}

template <typename T>
ThreeTensors jaccard(const Tensor& x, const Settings& settings, T most) {
  const int64_t n = x.size(0);
  SparseRows<T> v;
  {
    const Features<T> features(x, Metric::kSquaredEuclidean, settings.clustering);
    Nearest<T> found(n, settings.kept(n));
    scan_all(features, found, [](const T*, Tile) {});
    const Neighbours<T> nearest(features, found, settings.kept(n));
    v = averaged(reciprocal_weights(features, nearest, settings), nearest, settings);
  }
  const Inverted<T> inverted(v, 0, n);
  Tensor offsets = torch::stable::new_empty(x, {n + 1}, ScalarType::Long);
  int64_t* ends = offsets.mutable_data_ptr<int64_t>();
  ends[0] = 0;
  std::list<Piece<T>> pieces;
  for (int64_t first = 0; first < n; first += kRowsAtOnce) {
    const int64_t count = std::min(kRowsAtOnce, n - first);
    pieces.push_back(rows_of_result(v, inverted, first, count, most, ends));
  }
  for (int64_t i = 0; i < n; ++i) ends[i + 1] += ends[i];
  Tensor indices = torch::stable::new_empty(x, {ends[n]}, ScalarType::Long);
  Tensor distances = torch::stable::new_empty(x, {ends[n]});
  int64_t* index = indices.mutable_data_ptr<int64_t>();
  T* distance = distances.mutable_data_ptr<T>();
  for (; !pieces.empty(); pieces.pop_front()) {  // pieces are freed after copying
    const Piece<T>& piece = pieces.front();
    index = std::copy(piece.indices.begin(), piece.indices.end(), index);
    distance = std::copy(piece.distances.begin(), piece.distances.end(), distance);
  }
  return {offsets, indices, distances};
}

}  // namespace

ThreeTensors jaccard_cpu(const Tensor& x, int64_t k1, int64_t k2, bool clustering,
                         double max_distance) {
  const char* op = "jaccard";
  check_matrix(op, "x", x);
  const Settings settings = read_jaccard(op, k1, k2, clustering, max_distance, x.size(0));
  const Tensor rows = torch::stable::contiguous(x);
  return by_dtype(x, [&](auto zero) {
    return jaccard(rows, settings, static_cast<decltype(zero)>(max_distance));
  });
}

STABLE_TORCH_LIBRARY_FRAGMENT(reid_ext, m) {
  m.def(
      "jaccard(Tensor x, int k1, int k2, bool clustering, float max_distance)"
      " -> (Tensor, Tensor, Tensor)");
}

STABLE_TORCH_LIBRARY_IMPL(reid_ext, CPU, m) { m.impl("jaccard", TORCH_BOX(&jaccard_cpu)); }

}  // namespace reid_ext::rerank
