// Schemas of the re-ranking ops and their CPU kernels. See rerank.h for the contract.
//
// One pass over tiles of the products of all pairs finds the nearest and farthest of each image.
// The products of queries with the gallery are written to the memory of the result. The rest is
// sparse: about 20 weights per image before averaging and 60 after it.
#include "rerank/encoded_cpu.h"
#include "rerank/given_cpu.h"

namespace reid_ext::rerank {
namespace {

template <typename T>
Tensor rerank(const Images& images, const Settings& settings) {
  const int64_t q = images.q, g = images.g, n = images.n;
  Tensor out = torch::stable::new_empty(images.x, {q, g});
  T* rows = out.mutable_data_ptr<T>();
  const Features<T> features(images.x, images.metric);
  Nearest<T> found(n, settings.kept(n));
  scan_all(features, found, [&](const T* tile, Tile t) { keep(tile, t, 0, q, q, n, rows); });
  const Encoded<T, Features<T>> encoded(features, found, settings, q);
  blend_rows(rows, 0, q, g, T(settings.lambda), features, encoded.view(),
             gallery_keys(features, q));
  return out;
}

template <typename T>
TwoTensors rerank_nearest(const Images& images, const Settings& settings, int64_t count) {
  const int64_t n = images.n;
  const Features<T> features(images.x, images.metric);
  Nearest<T> found(n, settings.kept(n));
  scan_all(features, found, [](const T*, Tile) {});
  const Encoded<T, Features<T>> encoded(features, found, settings, images.q);
  return nearest_of(images, settings, features, encoded.view(), 0, images.q, count);
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
  const Task task = read_task(op, query, gallery, k1, k2, lambda_value, metric);
  return by_dtype(task.images.x,
                  [&](auto zero) { return rerank<decltype(zero)>(task.images, task.settings); });
}

TwoTensors k_reciprocal_nearest_cpu(const Tensor& query, const Tensor& gallery, int64_t k1,
                                    int64_t k2, double lambda_value, int64_t metric,
                                    int64_t count) {
  const char* op = "k_reciprocal_nearest";
  const Task task = read_task(op, query, gallery, k1, k2, lambda_value, metric);
  check_count(op, "gallery images", count, task.images.g);
  return by_dtype(task.images.x, [&](auto zero) {
    return rerank_nearest<decltype(zero)>(task.images, task.settings, count);
  });
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
