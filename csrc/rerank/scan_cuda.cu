// CUDA kernels of re-ranking in parts. scan_cpu.cpp explains the parts.
//
// A scan processes whole rows. cuBLAS makes the blocks of products that belong to the part, and one
// thread block per row selects (select_cuda.cuh). The rows of other parts are left empty.
#include "rerank/encoded_cuda.cuh"

namespace reid_ext::rerank {
namespace {

template <typename T>
ThreeTensors scan(const Task& task, int64_t part, int64_t parts) {
  const int64_t n = task.images.n;
  const Features<T> features(task.images.x, task.images.metric);
  Found found(task.images.x, n, task.settings.kept(n));
  torch::stable::fill_(found.keys, double(kNaN<T>));
  torch::stable::fill_(found.indices, double(n));
  torch::stable::fill_(found.farthest, -double(kInfinity<T>));
  blocks_of_products<T>(
      task.images.x, task.images.x, [&](int64_t block) { return is_dealt(block, part, parts); },
      [&](const Tensor& block, int64_t first) {
        found.take<T>(features.keys(block, 0), first, block.size(0), n);
      });
  return {found.keys, found.indices, found.farthest};
}

template <typename T>
Tensor rows_of_scan(const Stretch& s) {
  const int64_t q = s.images.q, n = s.images.n;
  const Tensor out = torch::stable::new_empty(s.images.x, {s.count, s.images.g});
  if (s.count == 0) return out;
  const Features<T> features(s.images.x, s.images.metric);
  const Found found(s.scan);
  const Encoded encoded = encode<T>(features.pairs(false), found, s.settings);
  const int64_t most = rows_of_product<T>(n, n), end = s.first + s.count;
  blocks_of_products<T>(
      s.images.x, s.images.x,
      [&](int64_t block) { return block * most < end && (block + 1) * most > s.first; },
      [&](const Tensor& block, int64_t at) {
        const int64_t from = std::max(at, s.first), to = std::min(at + block.size(0), end);
        Tensor queries = rows_of(block, from - at, to - from);
        Tensor rows = rows_of(out, from - s.first, to - from);
        torch::stable::copy_(rows, torch::stable::narrow(queries, 1, q, s.images.g));
      });
  blend(
      out, s.first, q, T(s.settings.lambda),
      [&](const Tensor& rows) { return features.keys(rows, q); }, features.pairs(false), found,
      encoded);
  return out;
}

template <typename T>
TwoTensors nearest_rows_of_scan(const Stretch& s, int64_t top) {
  const Features<T> features(s.images.x, s.images.metric);
  const Found found(s.scan);
  const Encoded encoded = encode<T>(features.pairs(false), found, s.settings);
  return nearest_of<T>(s.images, s.settings, features, found, encoded, s.first, s.first + s.count,
                       top);
}

ThreeTensors k_reciprocal_scan_cuda(const Tensor& query, const Tensor& gallery, int64_t k1,
                                    int64_t k2, int64_t metric, int64_t part, int64_t parts) {
  const char* op = "k_reciprocal_scan";
  const Task task = read_task(op, query, gallery, k1, k2, 0, metric);
  check_part(op, part, parts);
  const DeviceGuard guard(task.images.x.get_device_index());
  return by_dtype(task.images.x,
                  [&](auto zero) { return scan<decltype(zero)>(task, part, parts); });
}

Tensor k_reciprocal_of_scan_cuda(const Tensor& query, const Tensor& gallery, const Tensor& keys,
                                 const Tensor& indices, const Tensor& farthest, int64_t k1,
                                 int64_t k2, double lambda_value, int64_t metric, int64_t first,
                                 int64_t count) {
  const char* op = "k_reciprocal_of_scan";
  const Stretch s = read_stretch(op, query, gallery, keys, indices, farthest, k1, k2, lambda_value,
                                 metric, first, count);
  const DeviceGuard guard(s.images.x.get_device_index());
  return by_dtype(s.images.x, [&](auto zero) { return rows_of_scan<decltype(zero)>(s); });
}

TwoTensors k_reciprocal_nearest_of_scan_cuda(const Tensor& query, const Tensor& gallery,
                                             const Tensor& keys, const Tensor& indices,
                                             const Tensor& farthest, int64_t k1, int64_t k2,
                                             double lambda_value, int64_t metric, int64_t first,
                                             int64_t count, int64_t top) {
  const char* op = "k_reciprocal_nearest_of_scan";
  const Stretch s = read_stretch(op, query, gallery, keys, indices, farthest, k1, k2, lambda_value,
                                 metric, first, count);
  check_count(op, "gallery images", top, s.images.g);
  const DeviceGuard guard(s.images.x.get_device_index());
  return by_dtype(s.images.x,
                  [&](auto zero) { return nearest_rows_of_scan<decltype(zero)>(s, top); });
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(reid_ext, CUDA, m) {
  m.impl("k_reciprocal_scan", TORCH_BOX(&k_reciprocal_scan_cuda));
  m.impl("k_reciprocal_of_scan", TORCH_BOX(&k_reciprocal_of_scan_cuda));
  m.impl("k_reciprocal_nearest_of_scan", TORCH_BOX(&k_reciprocal_nearest_of_scan_cuda));
}

}  // namespace reid_ext::rerank
