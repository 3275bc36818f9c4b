// CUDA kernels of the re-ranking ops. See rerank.h for the contract.
//
// cuBLAS makes blocks of products, from which every image gets its nearest and farthest. The
// products of queries with the gallery are kept in the memory of the result. V becomes sparse by
// sorting pairs (encode_cuda.cuh). Finally one block per query sums its Jaccard minima in a row of
// scratch memory and blends. Every run gives the same bits. The host waits twice, for list lengths.
#include "rerank/encoded_cuda.cuh"
#include "rerank/given.h"

namespace reid_ext::rerank {
namespace {

template <typename T>
Tensor rerank(const Images& images, const Settings& settings) {
  const int64_t q = images.q, g = images.g;
  const Tensor out = torch::stable::new_empty(images.x, {q, g});
  const Features<T> features(images.x, images.metric);
  const Found found =
      find(images.x, features, settings.kept(images.n), [&](const Tensor& block, int64_t first) {
        const int64_t count = std::min(block.size(0), q - first);
        if (count <= 0) return;
        Tensor kept = rows_of(out, first, count), queries = rows_of(block, 0, count);
        torch::stable::copy_(kept, torch::stable::narrow(queries, 1, q, g));
      });
  const Encoded encoded = encode<T>(features.pairs(false), found, settings);
  blend(
      out, 0, q, T(settings.lambda), [&](const Tensor& rows) { return features.keys(rows, q); },
      features.pairs(false), found, encoded);
  return out;
}

template <typename T>
TwoTensors rerank_nearest(const Images& images, const Settings& settings, int64_t count) {
  const Features<T> features(images.x, images.metric);
  const Found found =
      find(images.x, features, settings.kept(images.n), [](const Tensor&, int64_t) {});
  const Encoded encoded = encode<T>(features.pairs(false), found, settings);
  return nearest_of<T>(images, settings, features, found, encoded, 0, images.q, count);
}

template <typename T>
Tensor rerank_given(const Given& given, const Settings& settings) {
  const int64_t n = given.q + given.g, most = std::min(n, block_rows(n, sizeof(T), kBlockRows));
  const GivenPairs<T> source(given);
  const Tensor scratch = torch::stable::new_empty(given.query_gallery, {most, n});
  Found found(scratch, n, settings.kept(n));
  for (int64_t first = 0, count; first < n; first += count) {
    count = next_rows(given, first, most);
    gather(given, first, count, rows_of(scratch, 0, count));
    found.take<T>(SquaredKeys<T>{scratch.const_data_ptr<T>(), n}, first, count, n);
  }
  const Encoded encoded = encode<T>(source, found, settings);
  Tensor out = torch::stable::new_empty(given.query_gallery, {given.q, given.g});
  torch::stable::copy_(out, given.query_gallery);
  blend(
      out, 0, given.q, T(settings.lambda),
      [](const Tensor& rows) {
        return SquaredKeys<T>{rows.template const_data_ptr<T>(), rows.size(1)};
      },
      source, found, encoded);
  return out;
}

Tensor k_reciprocal_cuda(const Tensor& query, const Tensor& gallery, int64_t k1, int64_t k2,
                         double lambda_value, int64_t metric) {
  const char* op = "k_reciprocal";
  const Task task = read_task(op, query, gallery, k1, k2, lambda_value, metric);
  const DeviceGuard guard(task.images.x.get_device_index());
  return by_dtype(task.images.x,
                  [&](auto zero) { return rerank<decltype(zero)>(task.images, task.settings); });
}

TwoTensors k_reciprocal_nearest_cuda(const Tensor& query, const Tensor& gallery, int64_t k1,
                                     int64_t k2, double lambda_value, int64_t metric,
                                     int64_t count) {
  const char* op = "k_reciprocal_nearest";
  const Task task = read_task(op, query, gallery, k1, k2, lambda_value, metric);
  check_count(op, "gallery images", count, task.images.g);
  const DeviceGuard guard(task.images.x.get_device_index());
  return by_dtype(task.images.x, [&](auto zero) {
    return rerank_nearest<decltype(zero)>(task.images, task.settings, count);
  });
}

Tensor k_reciprocal_from_distances_cuda(const Tensor& query_gallery, const Tensor& query_query,
                                        const Tensor& gallery_gallery, int64_t k1, int64_t k2,
                                        double lambda_value) {
  const char* op = "k_reciprocal_from_distances";
  const Settings settings = read_settings(op, k1, k2, lambda_value);
  const Given given = read_given(op, query_gallery, query_query, gallery_gallery);
  const DeviceGuard guard(query_gallery.get_device_index());
  return by_dtype(query_gallery,
                  [&](auto zero) { return rerank_given<decltype(zero)>(given, settings); });
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(reid_ext, CUDA, m) {
  m.impl("k_reciprocal", TORCH_BOX(&k_reciprocal_cuda));
  m.impl("k_reciprocal_nearest", TORCH_BOX(&k_reciprocal_nearest_cuda));
  m.impl("k_reciprocal_from_distances", TORCH_BOX(&k_reciprocal_from_distances_cuda));
}

}  // namespace reid_ext::rerank
