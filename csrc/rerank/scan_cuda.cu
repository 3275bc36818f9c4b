// CUDA kernels of re-ranking in parts. See scan_cpu.cpp for what the parts are.
//
// A scan has whole rows: block after block of products (cuBLAS), those that the part is dealt, in
// which a thread block per row selects (select_cuda.cuh). Rows of other parts are left empty.
#include "rerank/encoded_cuda.cuh"

namespace reid_ext::rerank {
namespace {

template <typename T>
ThreeTensors scan(const Images& images, const Settings& settings, int64_t part, int64_t parts) {
  const int64_t n = images.n;
  const Features<T> features(images.x, images.metric);
  Found found(images.x, n, settings.kept(n));
  torch::stable::fill_(found.keys, double(kNaN<T>));
  torch::stable::fill_(found.indices, double(n));
  torch::stable::fill_(found.farthest, -double(kInfinity<T>));
  blocks_of_products<T>(
      images.x, images.x, [&](int64_t block) { return is_dealt(block, part, parts); },
      [&](const Tensor& block, int64_t first) {
        found.take<T>(features.keys(block, 0), first, block.size(0), n);
      });
  return {found.keys, found.indices, found.farthest};
}

template <typename T>
Tensor rows_of_scan(const Images& images, const Settings& settings, const Scan& scan, int64_t first,
                    int64_t count) {
  const int64_t q = images.q, n = images.n;
  const Tensor out = torch::stable::new_empty(images.x, {count, images.g});
  if (count == 0) return out;
  const Features<T> features(images.x, images.metric);
  const Found found(scan);
  const Encoded encoded = encode<T>(features.pairs(false), found, settings);
  const int64_t most = rows_of_product<T>(n, n), end = first + count;
  blocks_of_products<T>(
      images.x, images.x,
      [&](int64_t block) { return block * most < end && (block + 1) * most > first; },
      [&](const Tensor& block, int64_t at) {
        const int64_t from = std::max(at, first), to = std::min(at + block.size(0), end);
        Tensor queries = rows_of(block, from - at, to - from);
        Tensor rows = rows_of(out, from - first, to - from);
        torch::stable::copy_(rows, torch::stable::narrow(queries, 1, q, images.g));
      });
  blend(
      out, first, q, T(settings.lambda), [&](const Tensor& rows) { return features.keys(rows, q); },
      features.pairs(false), found, encoded);
  return out;
}

template <typename T>
TwoTensors nearest_rows_of_scan(const Images& images, const Settings& settings, const Scan& scan,
                                int64_t first, int64_t count, int64_t top) {
  const Features<T> features(images.x, images.metric);
  const Found found(scan);
  const Encoded encoded = encode<T>(features.pairs(false), found, settings);
  return nearest_of<T>(images, settings, features, found, encoded, first, first + count, top);
}

ThreeTensors k_reciprocal_scan_cuda(const Tensor& query, const Tensor& gallery, int64_t k1,
                                    int64_t k2, int64_t metric, int64_t part, int64_t parts) {
  const char* op = "k_reciprocal_scan";
  const Settings settings = read_settings(op, k1, k2, 0);
  check_part(op, part, parts);
  const Images images = read_images(op, query, gallery, metric);
  check_neighbours(op, settings, images.n);
  const DeviceGuard guard(images.x.get_device_index());
  return by_dtype(images.x,
                  [&](auto zero) { return scan<decltype(zero)>(images, settings, part, parts); });
}

Tensor k_reciprocal_of_scan_cuda(const Tensor& query, const Tensor& gallery, const Tensor& keys,
                                 const Tensor& indices, const Tensor& farthest, int64_t k1,
                                 int64_t k2, double lambda_value, int64_t metric, int64_t first,
                                 int64_t count) {
  const char* op = "k_reciprocal_of_scan";
  const Settings settings = read_settings(op, k1, k2, lambda_value);
  const Images images = read_images(op, query, gallery, metric);
  check_neighbours(op, settings, images.n);
  const Scan scan = read_scan(op, keys, indices, farthest, images, settings);
  check_stretch(op, first, count, images.q);
  const DeviceGuard guard(images.x.get_device_index());
  return by_dtype(images.x, [&](auto zero) {
    return rows_of_scan<decltype(zero)>(images, settings, scan, first, count);
  });
}

TwoTensors k_reciprocal_nearest_of_scan_cuda(const Tensor& query, const Tensor& gallery,
                                             const Tensor& keys, const Tensor& indices,
                                             const Tensor& farthest, int64_t k1, int64_t k2,
                                             double lambda_value, int64_t metric, int64_t first,
                                             int64_t count, int64_t top) {
  const char* op = "k_reciprocal_nearest_of_scan";
  const Settings settings = read_settings(op, k1, k2, lambda_value);
  const Images images = read_images(op, query, gallery, metric);
  check_neighbours(op, settings, images.n);
  const Scan scan = read_scan(op, keys, indices, farthest, images, settings);
  check_stretch(op, first, count, images.q);
  check_count(op, "gallery images", top, images.g);
  const DeviceGuard guard(images.x.get_device_index());
  return by_dtype(images.x, [&](auto zero) {
    return nearest_rows_of_scan<decltype(zero)>(images, settings, scan, first, count, top);
  });
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(reid_ext, CUDA, m) {
  m.impl("k_reciprocal_scan", TORCH_BOX(&k_reciprocal_scan_cuda));
  m.impl("k_reciprocal_of_scan", TORCH_BOX(&k_reciprocal_of_scan_cuda));
  m.impl("k_reciprocal_nearest_of_scan", TORCH_BOX(&k_reciprocal_nearest_of_scan_cuda));
}

}  // namespace reid_ext::rerank
