// Schema of the op nearest and its CPU kernel: the k nearest keys of every row, nearest first.
#include "rerank/features_cpu.h"

namespace reid_ext::rerank {
namespace {

template <typename T>
TwoTensors find_nearest(const Tensor& x, const std::optional<Tensor>& keys, int64_t count,
                        Metric metric) {
  const int64_t rows = x.size(0), d = x.size(1);
  const Features<T> images(keys ? *keys : x, metric);
  Nearest<T> found(rows, count);
  if (keys) {
    scan_keys(x, images, found);
  } else {
    scan_all(images, found, [](const T*, Tile) {});
  }
  Tensor distances = torch::stable::new_empty(x, {rows, count});
  Tensor indices = torch::stable::new_empty(x, {rows, count}, ScalarType::Long);
  T* distance = distances.mutable_data_ptr<T>();
  int64_t* index = indices.mutable_data_ptr<int64_t>();
  const T* data = x.const_data_ptr<T>();
  torch::stable::parallel_for(0, rows, kRowsPerTask, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Candidate<T>* sorted = found.sorted(i, images.n);
      const T norm = keys ? squared_norm(data + i * d, d) : images.norms[i];
      for (int64_t a = 0; a < count; ++a) {
        distance[i * count + a] = distance_of_key(metric, norm, sorted[a].key);
        index[i * count + a] = sorted[a].index;
      }
    }
  });
  return {distances, indices};
}

}  // namespace

TwoTensors nearest_cpu(const Tensor& x, const std::optional<Tensor>& keys, int64_t count,
                       int64_t metric) {
  const Search s = read_search("nearest", x, keys, count, metric);
  return by_dtype(
      x, [&](auto zero) { return find_nearest<decltype(zero)>(s.x, s.keys, count, s.metric); });
}

STABLE_TORCH_LIBRARY_FRAGMENT(reid_ext, m) {
  m.def("nearest(Tensor x, Tensor? keys, int count, int metric) -> (Tensor, Tensor)");
}

STABLE_TORCH_LIBRARY_IMPL(reid_ext, CPU, m) { m.impl("nearest", TORCH_BOX(&nearest_cpu)); }

}  // namespace reid_ext::rerank
