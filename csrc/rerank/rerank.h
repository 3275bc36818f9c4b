// k-reciprocal re-ranking of a gallery, exact and sparse: no matrix over all pairs of images.
//
// There are N = Q + G images, queries first. d(i, j) is the distance of the metric, and K(i, k) are
// the k + 1 nearest of i including i, ties by index. With r(k) = k rounded half to even:
//   p(i, j)  = d(i, j)^2 / max_j d(i, j)^2                   0 where all images of a row coincide
//   R(i, k)  = { j in K(i, k) : i in K(j, k) }
//   R*(i)    = R(i, k1) and every R(c, r(k1 / 2)), c in R(i, k1), with more than 2/3 in R(i, k1)
//   V(i, j)  = exp(-p(i, j)) / sum over R*(i)                for j in R*(i), 0 elsewhere
//   V        averaged over the k2 nearest of i               unless k2 is 1
//   J(i, j)  = 1 - m / (2 - m),  m = sum_h min(V(i, h), V(j, h))
//   result   = (1 - lambda) J(q, g) + lambda p(q, g)         for queries q and gallery images g
// Source: Zhong et al., "Re-ranking Person Re-identification with k-reciprocal Encoding", CVPR
// 2017, and its released code, which uses these squares, row maxima and rounding.
//
//   query  (Q, D)  float32|float64, finite    gallery  (G, D)  like query     result  (Q, G)
//
// If distances are given instead of features, they need not be symmetric: d(i, j) is the entry in
// row j and column i. There, k1 and k2 above the number of images mean all images.
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <tuple>

#include "common/check.h"
#include "common/metric.h"
#include "common/targets.h"

namespace reid_ext::rerank {

// k1 and k2 as given to the op, and the numbers of neighbours that follow from them.
//
// `clustering` follows the released code of unsupervised re-identification: k1 includes the image
// itself, k2 is at most k1, and p is the distance itself.
struct Settings {
  int64_t k1, k2;
  double lambda;
  bool clustering;

  int64_t wide(int64_t n) const { return std::min(clustering ? k1 : k1 + 1, n); }
  int64_t half(int64_t n) const {
    const int64_t k = int64_t(std::nearbyint(double(k1) / 2));  // half to even, as in NumPy
    return std::min(k + 1, wide(n));
  }
  int64_t averaged(int64_t n) const { return std::min(k2, clustering ? wide(n) : n); }
  int64_t kept(int64_t n) const { return std::max(wide(n), averaged(n)); }
};

inline Settings read_settings(const char* op, int64_t k1, int64_t k2, double lambda) {
  STD_TORCH_CHECK(k1 >= 1, op, ": k1 must be at least 1, got ", k1);
  STD_TORCH_CHECK(k2 >= 1, op, ": k2 must be at least 1, got ", k2);
  STD_TORCH_CHECK(lambda >= 0 && lambda <= 1, op, ": lambda_value must be in [0, 1], got ", lambda);
  return {k1, k2, lambda, false};
}

// The features of the queries, followed by those of the gallery.
struct Images {
  Tensor x;  // (N, D), contiguous
  Metric metric;
  int64_t q, g, n, d;
};

inline Images read_images(const char* op, const Tensor& query, const Tensor& gallery,
                          int64_t metric) {
  check_matrix(op, "query", query);
  const int64_t g = gallery.dim() > 0 ? gallery.size(0) : 0;
  check_like(op, "gallery", gallery, {g, query.size(1)}, "query", query);
  const int64_t q = query.size(0), d = query.size(1);
  Tensor x = torch::stable::new_empty(query, {q + g, d});
  Tensor first = torch::stable::narrow(x, 0, 0, q), last = torch::stable::narrow(x, 0, q, g);
  torch::stable::copy_(first, query);
  torch::stable::copy_(last, gallery);
  return {x, read_metric(op, metric), q, g, q + g, d};
}

// The distances between all images, as three matrices.
struct Given {
  Tensor query_gallery, query_query, gallery_gallery;  // (Q, G), (Q, Q), (G, G)
  int64_t q, g;
};

inline Given read_given(const char* op, const Tensor& query_gallery, const Tensor& query_query,
                        const Tensor& gallery_gallery) {
  check_matrix(op, "query_gallery", query_gallery);
  const int64_t q = query_gallery.size(0), g = query_gallery.size(1);
  check_like(op, "query_query", query_query, {q, q}, "query_gallery", query_gallery);
  check_like(op, "gallery_gallery", gallery_gallery, {g, g}, "query_gallery", query_gallery);
  return {query_gallery, query_query, gallery_gallery, q, g};
}

// A re-ranking by features, with the inputs of the op.
struct Task {
  Settings settings;
  Images images;
};

inline Task read_task(const char* op, const Tensor& query, const Tensor& gallery, int64_t k1,
                      int64_t k2, double lambda, int64_t metric) {
  const Settings settings = read_settings(op, k1, k2, lambda);
  const Images images = read_images(op, query, gallery, metric);
  STD_TORCH_CHECK(k1 < images.n, op, ": k1 must be below the ", images.n, " images, got ", k1);
  return {settings, images};
}

inline Settings read_jaccard(const char* op, int64_t k1, int64_t k2, bool clustering,
                             double max_distance, int64_t n) {
  Settings settings = read_settings(op, k1, k2, 0);
  settings.clustering = clustering;
  STD_TORCH_CHECK(settings.k1 < n + clustering, op, ": k1 must be ",
                  clustering ? "at most" : "below", " the ", n, " images, got ", k1);
  STD_TORCH_CHECK(max_distance >= 0 && max_distance <= 1, op,
                  ": max_distance must be in [0, 1], got ", max_distance);
  return settings;
}

inline void check_count(const char* op, const char* of, int64_t count, int64_t most) {
  STD_TORCH_CHECK(count >= 1 && count <= most, op, ": count must be from 1 to the ", most, " ", of,
                  ", got ", count);
}

// Rows to compare with keys, or with each other.
struct Search {
  Tensor x;  // contiguous
  std::optional<Tensor> keys;
  Metric metric;
};

inline Search read_search(const char* op, const Tensor& x, const std::optional<Tensor>& keys,
                          int64_t count, int64_t metric) {
  check_matrix(op, "x", x);
  const int64_t n = !keys ? x.size(0) : keys->dim() > 0 ? keys->size(0) : 0;
  if (keys) check_like(op, "keys", *keys, {n, x.size(1)}, "x", x);
  check_count(op, "keys", count, n);
  Search s = {torch::stable::contiguous(x), std::nullopt, read_metric(op, metric)};
  if (keys) s.keys = torch::stable::contiguous(*keys);
  return s;
}

// p(i, .) of one image i, from the keys that order the others, product * scale + bias of metric.h.
//
// The distance is key * slope + shift, which is already squared for the Euclidean metric.
template <typename T>
struct Normalizer {
  T slope, shift, farthest;
  bool square;

  REID_HD T distance(T key) const {
    const T value = key * slope + shift;
    return value < T(0) ? T(0) : value;  // negative only by rounding
  }
  REID_HD T operator()(T key) const {
    const T ratio = farthest == T(0) ? T(0) : distance(key) / farthest;
    return square ? ratio * ratio : ratio;
  }
};

template <typename T>
REID_HD Normalizer<T> normalizer(Metric metric, T squared_norm, T farthest_key) {
  const bool cosine = metric == Metric::kCosine;
  Normalizer<T> p = {cosine ? inverse_norm(squared_norm) : T(2), cosine ? T(1) : squared_norm, T(1),
                     metric != Metric::kEuclidean};
  p.farthest = p.distance(farthest_key);
  return p;
}

// The distance of the metric from the key that orders it.
template <typename T>
REID_HD T distance_of_key(Metric metric, T squared_norm, T key) {
  const T distance = normalizer(metric, squared_norm, key).farthest;
  return metric == Metric::kEuclidean ? std::sqrt(distance) : distance;
}

// p(i, .) as the distance itself, for squared Euclidean keys.
template <typename T>
REID_HD Normalizer<T> plain_distance(T squared_norm) {
  return {T(2), squared_norm, T(1), false};
}

// Whether R*(i) includes the `size` images of R(c, r(k1 / 2)), `shared` of which are in R(i, k1).
REID_HD bool expands(int64_t shared, int64_t size) { return 3 * shared > 2 * size; }

template <typename T>
REID_HD T jaccard_distance(T shared) {
  const T distance = T(1) - shared / (T(2) - shared);
  return distance < T(0) ? T(0) : distance;  // negative only by rounding
}

template <typename T>
REID_HD T blended(T jaccard, T original, T lambda) {
  return (T(1) - lambda) * jaccard + lambda * original;
}

using TwoTensors = std::tuple<Tensor, Tensor>;
using ThreeTensors = std::tuple<Tensor, Tensor, Tensor>;

// The CPU kernels, declared here for rerank_test.cpp. All other callers use the dispatcher.
Tensor k_reciprocal_cpu(const Tensor& query, const Tensor& gallery, int64_t k1, int64_t k2,
                        double lambda_value, int64_t metric);
TwoTensors k_reciprocal_nearest_cpu(const Tensor& query, const Tensor& gallery, int64_t k1,
                                    int64_t k2, double lambda_value, int64_t metric, int64_t count);
Tensor k_reciprocal_from_distances_cpu(const Tensor& query_gallery, const Tensor& query_query,
                                       const Tensor& gallery_gallery, int64_t k1, int64_t k2,
                                       double lambda_value);
ThreeTensors k_reciprocal_scan_cpu(const Tensor& query, const Tensor& gallery, int64_t k1,
                                   int64_t k2, int64_t metric, int64_t part, int64_t parts);
Tensor k_reciprocal_of_scan_cpu(const Tensor& query, const Tensor& gallery, const Tensor& keys,
                                const Tensor& indices, const Tensor& farthest, int64_t k1,
                                int64_t k2, double lambda_value, int64_t metric, int64_t first,
                                int64_t count);
TwoTensors k_reciprocal_nearest_of_scan_cpu(const Tensor& query, const Tensor& gallery,
                                            const Tensor& keys, const Tensor& indices,
                                            const Tensor& farthest, int64_t k1, int64_t k2,
                                            double lambda_value, int64_t metric, int64_t first,
                                            int64_t count, int64_t top);
ThreeTensors jaccard_cpu(const Tensor& x, int64_t k1, int64_t k2, bool clustering,
                         double max_distance);
TwoTensors nearest_cpu(const Tensor& x, const std::optional<Tensor>& keys, int64_t count,
                       int64_t metric);

}  // namespace reid_ext::rerank
