// Schemas of the re-ranking ops and their CPU kernels. See rerank.h for the contract.
//
// One pass over the products of all pairs, in tiles, leaves each image its nearest and farthest;
// the products of queries with the gallery are put where the result will be. All that follows is
// sparse: about 20 weights per image before the average and 60 after it.
#include "rerank/features_cpu.h"
#include "rerank/given_cpu.h"
#include "rerank/jaccard_cpu.h"

namespace reid_ext::rerank {
namespace {

// Puts the products of queries with gallery images into out (q, n - q).
template <typename T>
void keep(const T* tile, Tile t, int64_t q, int64_t n, T* out) {
  const int64_t first = std::max(t.j, q), count = t.j + t.cols - first, g = n - q;
  for (int64_t i = t.i; i < std::min(t.i + t.rows, q) && count > 0; ++i) {
    const T* row = tile + (i - t.i) * t.cols + (first - t.j);
    std::copy(row, row + count, out + i * g + (first - q));
  }
}

// V of the images, from one pass over all pairs.
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

// What turns products with the gallery into keys.
template <typename T>
auto gallery_keys(const Features<T>& features, int64_t q) {
  return [scale = features.scale.data() + q, bias = features.bias.data() + q](const T* row) {
    return ProductKeys<T>{row, scale, bias};
  };
}

template <typename T>
Tensor rerank(const Images& images, const Settings& settings) {
  const int64_t q = images.q, g = images.g, n = images.n;
  Tensor out = torch::stable::new_empty(images.x, {q, g});
  T* rows = out.mutable_data_ptr<T>();
  const Features<T> features(images.x, images.metric);
  Nearest<T> found(n, settings.kept(n));
  scan_all(features, found, [&](const T* tile, Tile t) { keep(tile, t, q, n, rows); });
  const Encoded<T, Features<T>> encoded(features, found, settings, q);
  blend_rows(rows, 0, q, g, T(settings.lambda), features, encoded.view(),
             gallery_keys(features, q));
  return out;
}

// The k smallest of every row, by index where equal, into rows `first` and on of the two tensors.
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

template <typename T>
TwoTensors rerank_nearest(const Images& images, const Settings& settings, int64_t count) {
  const int64_t q = images.q, g = images.g, n = images.n;
  Tensor distances = torch::stable::new_empty(images.x, {q, count});
  Tensor indices = torch::stable::new_empty(images.x, {q, count}, ScalarType::Long);
  const Features<T> features(images.x, images.metric);
  Nearest<T> found(n, settings.kept(n));
  scan_all(features, found, [](const T*, Tile) {});
  const Encoded<T, Features<T>> encoded(features, found, settings, q);
  const Tensor gallery = rows_of(images.x, q, g);
  const int64_t most = block_rows(g, sizeof(T), kTileRows);
  CpuTileProduct product(images.x, std::min(q, most), g);
  for (int64_t first = 0; first < q; first += most) {
    const int64_t rows = std::min(most, q - first);
    Tensor block = product(rows_of(images.x, first, rows), gallery);
    T* data = block.mutable_data_ptr<T>();
    blend_rows(data, first, rows, g, T(settings.lambda), features, encoded.view(),
               gallery_keys(features, q));
    select(data, first, rows, g, count, distances.mutable_data_ptr<T>(),
           indices.mutable_data_ptr<int64_t>());
  }
  return {distances, indices};
}

template <typename T>
Tensor rerank_given(const Given& given, const Settings& settings) {
  const GivenPairs<T> source(given);
  Nearest<T> found(source.n, settings.kept(source.n));
  scan_given(given, found);
  const Encoded<T, GivenPairs<T>> encoded(source, found, settings, given.q);
  Tensor out = torch::stable::new_empty(given.query_gallery, {given.q, given.g});
  torch::stable::copy_(out, given.query_gallery);
  blend_rows(out.mutable_data_ptr<T>(), 0, given.q, given.g, T(settings.lambda), source,
             encoded.view(), [](const T* row) { return SquaredKeys<T>{row}; });
  return out;
}

}  // namespace

Tensor k_reciprocal_cpu(const Tensor& query, const Tensor& gallery, int64_t k1, int64_t k2,
                        double lambda_value, int64_t metric) {
  const char* op = "k_reciprocal";
  const Settings settings = read_settings(op, k1, k2, lambda_value);
  const Images images = read_images(op, query, gallery, metric);
  check_neighbours(op, settings, images.n);
  return by_dtype(images.x, [&](auto zero) { return rerank<decltype(zero)>(images, settings); });
}

TwoTensors k_reciprocal_nearest_cpu(const Tensor& query, const Tensor& gallery, int64_t k1,
                                    int64_t k2, double lambda_value, int64_t metric,
                                    int64_t count) {
  const char* op = "k_reciprocal_nearest";
  const Settings settings = read_settings(op, k1, k2, lambda_value);
  const Images images = read_images(op, query, gallery, metric);
  check_neighbours(op, settings, images.n);
  check_count(op, "gallery images", count, images.g);
  return by_dtype(
      images.x, [&](auto zero) { return rerank_nearest<decltype(zero)>(images, settings, count); });
}

Tensor k_reciprocal_from_distances_cpu(const Tensor& query_gallery, const Tensor& query_query,
                                       const Tensor& gallery_gallery, int64_t k1, int64_t k2,
                                       double lambda_value) {
  const char* op = "k_reciprocal_from_distances";
  const Settings settings = read_settings(op, k1, k2, lambda_value);
  const Given given = read_given(op, query_gallery, query_query, gallery_gallery);
  return by_dtype(query_gallery,
                  [&](auto zero) { return rerank_given<decltype(zero)>(given, settings); });
}

STABLE_TORCH_LIBRARY_FRAGMENT(reid_ext, m) {
  m.def(
      "k_reciprocal(Tensor query, Tensor gallery, int k1, int k2, float lambda_value, int metric)"
      " -> Tensor");
  m.def(
      "k_reciprocal_nearest(Tensor query, Tensor gallery, int k1, int k2, float lambda_value,"
      " int metric, int count) -> (Tensor, Tensor)");
  m.def(
      "k_reciprocal_from_distances(Tensor query_gallery, Tensor query_query,"
      " Tensor gallery_gallery, int k1, int k2, float lambda_value) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(reid_ext, CPU, m) {
  m.impl("k_reciprocal", TORCH_BOX(&k_reciprocal_cpu));
  m.impl("k_reciprocal_nearest", TORCH_BOX(&k_reciprocal_nearest_cpu));
  m.impl("k_reciprocal_from_distances", TORCH_BOX(&k_reciprocal_from_distances_cpu));
}

}  // namespace reid_ext::rerank
