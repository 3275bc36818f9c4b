// Schemas and CPU kernels of re-ranking in parts. Each scan processes a share of all pairs. Then
// each process re-ranks a share of the queries with the merged scans. The results are identical to
// those of one process.
#include "rerank/encoded_cpu.h"
#include "rerank/scan.h"

namespace reid_ext::rerank {
namespace {

template <typename T>
ThreeTensors scan(const Task& task, int64_t part, int64_t parts) {
  const int64_t n = task.images.n, k = task.settings.kept(n);
  const Features<T> features(task.images.x, task.images.metric);
  Nearest<T> found(n, k);
  symmetric_tiles(
      features, [&](int64_t block) { return is_dealt(block, part, parts); },
      [&](const T* tile, Tile t) { scan_tile(tile, t, features, found); });
  Tensor keys = torch::stable::new_empty(task.images.x, {n, k});
  Tensor indices = torch::stable::new_empty(task.images.x, {n, k}, ScalarType::Long);
  Tensor farthest = torch::stable::new_empty(task.images.x, {n});
  T* key = keys.mutable_data_ptr<T>();
  int64_t* index = indices.mutable_data_ptr<int64_t>();
  std::copy(found.farthest.begin(), found.farthest.end(), farthest.mutable_data_ptr<T>());
  torch::stable::parallel_for(0, n, kRowsPerTask, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Candidate<T>* sorted = found.sorted(i, n);
      for (int64_t a = 0; a < k; ++a) {
        const bool is_there = a < found.found(i);
        key[i * k + a] = is_there ? sorted[a].key : kNaN<T>;
        index[i * k + a] = is_there ? sorted[a].index : n;
      }
    }
  });
  return {keys, indices, farthest};
}

template <typename T>
Nearest<T> nearest_of_scan(const char* op, const Scan& scan) {
  const int64_t n = scan.keys.size(0), k = scan.keys.size(1);
  const T* key = scan.keys.const_data_ptr<T>();
  const T* farthest = scan.farthest.const_data_ptr<T>();
  const int64_t* index = scan.indices.const_data_ptr<int64_t>();
  Nearest<T> found(n, k);
  std::copy(farthest, farthest + n, found.farthest.begin());
  for (int64_t e = 0; e < n * k; ++e) {
    STD_TORCH_CHECK(index[e] >= 0 && index[e] <= n, op, ": indices must be from 0 to ", n, ", got ",
                    index[e]);
    if (index[e] < n && key[e] < kInfinity<T>) found.add(e / k, key[e], index[e]);
  }
  return found;
}

template <typename T>
Tensor rows_of_scan(const char* op, const Stretch& s) {
  const int64_t q = s.images.q, g = s.images.g, n = s.images.n;
  Tensor out = torch::stable::new_empty(s.images.x, {s.count, g});
  if (s.count == 0) return out;
  T* rows = out.mutable_data_ptr<T>();
  const Features<T> features(s.images.x, s.images.metric);
  Nearest<T> found = nearest_of_scan<T>(op, s.scan);
  const Encoded<T, Features<T>> encoded(features, found, s.settings, q);
  const int64_t height = rows_of_symmetric_tile(n);
  symmetric_tiles(
      features,
      [&](int64_t block) {
        return block * height < s.first + s.count && (block + 1) * height > s.first;
      },
      [&](const T* tile, Tile t) { keep(tile, t, s.first, s.count, q, n, rows); });
  blend_rows(rows, s.first, s.count, g, T(s.settings.lambda), features, encoded.view(),
             gallery_keys(features, q));
  return out;
}

template <typename T>
TwoTensors nearest_rows_of_scan(const char* op, const Stretch& s, int64_t top) {
  const Features<T> features(s.images.x, s.images.metric);
  Nearest<T> found = nearest_of_scan<T>(op, s.scan);
  const Encoded<T, Features<T>> encoded(features, found, s.settings, s.images.q);
  return nearest_of(s.images, s.settings, features, encoded.view(), s.first, s.first + s.count,
                    top);
}

}  // namespace

ThreeTensors k_reciprocal_scan_cpu(const Tensor& query, const Tensor& gallery, int64_t k1,
                                   int64_t k2, int64_t metric, int64_t part, int64_t parts) {
  const char* op = "k_reciprocal_scan";
  const Task task = read_task(op, query, gallery, k1, k2, 0, metric);
  check_part(op, part, parts);
  return by_dtype(task.images.x,
                  [&](auto zero) { return scan<decltype(zero)>(task, part, parts); });
}

Tensor k_reciprocal_of_scan_cpu(const Tensor& query, const Tensor& gallery, const Tensor& keys,
                                const Tensor& indices, const Tensor& farthest, int64_t k1,
                                int64_t k2, double lambda_value, int64_t metric, int64_t first,
                                int64_t count) {
  const char* op = "k_reciprocal_of_scan";
  const Stretch s = read_stretch(op, query, gallery, keys, indices, farthest, k1, k2, lambda_value,
                                 metric, first, count);
  return by_dtype(s.images.x, [&](auto zero) { return rows_of_scan<decltype(zero)>(op, s); });
}

TwoTensors k_reciprocal_nearest_of_scan_cpu(const Tensor& query, const Tensor& gallery,
                                            const Tensor& keys, const Tensor& indices,
                                            const Tensor& farthest, int64_t k1, int64_t k2,
                                            double lambda_value, int64_t metric, int64_t first,
                                            int64_t count, int64_t top) {
  const char* op = "k_reciprocal_nearest_of_scan";
  const Stretch s = read_stretch(op, query, gallery, keys, indices, farthest, k1, k2, lambda_value,
                                 metric, first, count);
  check_count(op, "gallery images", top, s.images.g);
  return by_dtype(s.images.x,
                  [&](auto zero) { return nearest_rows_of_scan<decltype(zero)>(op, s, top); });
}

STABLE_TORCH_LIBRARY_FRAGMENT(reid_ext, m) {
  m.def(
      "k_reciprocal_scan(Tensor query, Tensor gallery, int k1, int k2, int metric, int part,"
      " int parts) -> (Tensor, Tensor, Tensor)");
  m.def(
      "k_reciprocal_of_scan(Tensor query, Tensor gallery, Tensor keys, Tensor indices,"
      " Tensor farthest, int k1, int k2, float lambda_value, int metric, int first, int count)"
      " -> Tensor");
  m.def(
      "k_reciprocal_nearest_of_scan(Tensor query, Tensor gallery, Tensor keys, Tensor indices,"
      " Tensor farthest, int k1, int k2, float lambda_value, int metric, int first, int count,"
      " int top) -> (Tensor, Tensor)");
}

STABLE_TORCH_LIBRARY_IMPL(reid_ext, CPU, m) {
  m.impl("k_reciprocal_scan", TORCH_BOX(&k_reciprocal_scan_cpu));
  m.impl("k_reciprocal_of_scan", TORCH_BOX(&k_reciprocal_of_scan_cpu));
  m.impl("k_reciprocal_nearest_of_scan", TORCH_BOX(&k_reciprocal_nearest_of_scan_cpu));
}

}  // namespace reid_ext::rerank
