// V of all images with features, and the final distances of the queries from it, block by block.
#pragma once

#include "rerank/features_cpu.h"
#include "rerank/jaccard_cpu.h"

namespace reid_ext::rerank {

// Copies the products of queries first .. first + count with gallery images to out (count, n - q).
template <typename T>
void keep(const T* tile, Tile t, int64_t first, int64_t count, int64_t q, int64_t n, T* out) {
  const int64_t left = std::max(t.j, q), width = t.j + t.cols - left, g = n - q;
  const int64_t begin = std::max(t.i, first), end = std::min(t.i + t.rows, first + count);
  for (int64_t i = begin; i < end && width > 0; ++i) {
    const T* row = tile + (i - t.i) * t.cols + (left - t.j);
    std::copy(row, row + width, out + (i - first) * g + (left - q));
  }
}

// Computes V of the images with one pass over all pairs.
template <typename T, typename Source>
struct Encoded {
  Neighbours<T> nearest;
  SparseRows<T> v;
  Inverted<T> gallery;

  Encoded(const Source& source, Nearest<T>& found, const Settings& settings, int64_t q)
      : nearest(source, found, settings.kept(source.n)),
        v(averaged(reciprocal_weights(source, nearest, settings), nearest, settings)),
        gallery(v, q, source.n - q) {}

  Encoding<T> view() const { return {nearest, v, gallery}; }
};

// Converts products with the gallery to keys.
template <typename T>
auto gallery_keys(const Features<T>& features, int64_t q) {
  return [scale = features.scale.data() + q, bias = features.bias.data() + q](const T* row) {
    return ProductKeys<T>{row, scale, bias};
  };
}

// The k smallest keys of every row, ties by index, written to rows from `first` on of two tensors.
template <typename T>
void select(const T* rows, int64_t first, int64_t count, int64_t n, int64_t k, T* smallest,
            int64_t* indices) {
  Nearest<T> found(count, k);
  torch::stable::parallel_for(0, count, rows_per_task(n), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      scan_row(GivenKeys<T>{rows + r * n}, n, int64_t(0), r, found);
      const Candidate<T>* sorted = found.sorted(r, n);
      for (int64_t a = 0; a < k; ++a) {
        smallest[(first + r) * k + a] = sorted[a].key;
        indices[(first + r) * k + a] = sorted[a].index;
      }
    }
  });
}

// Queries begin .. end with their `top` gallery images. The blocks of products do not depend on the
// requested queries, so the products are always bitwise equal.
template <typename T>
TwoTensors nearest_of(const Images& images, const Settings& settings, const Features<T>& features,
                      const Encoding<T>& encoding, int64_t begin, int64_t end, int64_t top) {
  const int64_t q = images.q, g = images.g;
  Tensor distances = torch::stable::new_empty(images.x, {end - begin, top});
  Tensor indices = torch::stable::new_empty(images.x, {end - begin, top}, ScalarType::Long);
  const Tensor gallery = rows_of(images.x, q, g);
  const int64_t most = block_rows(g, sizeof(T), kTileRows);
  CpuTileProduct product(images.x, std::min(q, most), g);
  for (int64_t at = begin / most * most; at < end; at += most) {
    const int64_t rows = std::min(most, q - at);
    const int64_t first = std::max(at, begin), count = std::min(at + rows, end) - first;
    Tensor block = product(rows_of(images.x, at, rows), gallery);
    T* data = block.mutable_data_ptr<T>() + (first - at) * g;
    blend_rows(data, first, count, g, T(settings.lambda), features, encoding,
               gallery_keys(features, q));
    select(data, first - begin, count, g, top, distances.mutable_data_ptr<T>(),
           indices.mutable_data_ptr<int64_t>());
  }
  return {distances, indices};
}

}  // namespace reid_ext::rerank
