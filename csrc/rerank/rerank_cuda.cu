// CUDA kernels of the re-ranking ops. See rerank.h for the contract.
//
// Blocks of products (cuBLAS) give every image its nearest and farthest; those of queries with the
// gallery are kept where the result will be. V is made sparse by sorting pairs (encode_cuda.cuh).
// In the end a block per query sums its Jaccard minima in a row of scratch and blends. Results are
// the same in every run; the host waits twice, for the lengths of lists.
#include "rerank/average_cuda.cuh"
#include "rerank/given.h"

namespace reid_ext::rerank {
namespace {

// Queries first .. first + rows: `out` (rows, g), of which keys may read, becomes the result.
// Neither it nor scratch, which the threads of a block pass on, can be promised to have no alias.
template <typename T, typename Keys, typename Pairs>
__global__ void blend_kernel(Keys keys, Pairs source, const T* __restrict__ farthest,
                             EncodingView<T> v, EncodingView<T> columns, T* scratch, int64_t first,
                             int64_t rows, int64_t q, int64_t g, T lambda, T* out) {
  for (int64_t r = blockIdx.x; r < rows; r += gridDim.x) {
    T* shared = scratch + r * g;
    for (int64_t j = threadIdx.x; j < g; j += kBlockThreads) shared[j] = T(0);
    __syncthreads();
    shared_weights(v, columns, first + r, q, shared);
    const Normalizer<T> normalized = source.row(first + r, farthest[first + r]);
    for (int64_t j = threadIdx.x; j < g; j += kBlockThreads) {
      out[r * g + j] = blended(jaccard_distance(shared[j]), normalized(keys.at(r, j)), lambda);
    }
  }
}

// V of all images and its columns.
struct Encoded {
  Encoding v, columns;
};

template <typename T, typename Pairs>
Encoded encode(Pairs source, const Found& found, const Settings& settings) {
  const Encoding v =
      averaged<T>(reciprocal_weights<T>(source, found, settings), found.indices, settings);
  return {v, inverted<T>(v)};
}

// keys_of(rows) reads what the rows hold before they are overwritten.
template <typename T, typename KeysOf, typename Pairs>
void blend(Tensor rows, int64_t first, int64_t q, T lambda, KeysOf keys_of, Pairs source,
           const Found& found, const Encoded& encoded) {
  const int64_t count = rows.size(0), g = rows.size(1);
  const int64_t most = std::min(count, block_rows(g, sizeof(T), kBlockRows));
  const Tensor scratch = torch::stable::new_empty(rows, {most, g});
  for (int64_t at = 0; at < count && g > 0; at += most) {
    const int64_t some = std::min(most, count - at);
    Tensor block = rows_of(rows, at, some);
    blend_kernel<T><<<grid_for(some, 1), kBlockThreads, 0, current_stream(rows)>>>(
        keys_of(block), source, found.farthest.const_data_ptr<T>(), EncodingView<T>(encoded.v),
        EncodingView<T>(encoded.columns), scratch.mutable_data_ptr<T>(), first + at, some, q, g,
        lambda, block.mutable_data_ptr<T>());
    STD_CUDA_KERNEL_LAUNCH_CHECK();
  }
}

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
  const int64_t q = images.q, g = images.g;
  const Features<T> features(images.x, images.metric);
  const Found found =
      find(images.x, features, settings.kept(images.n), [](const Tensor&, int64_t) {});
  const Encoded encoded = encode<T>(features.pairs(false), found, settings);
  const Tensor gallery = rows_of(images.x, q, g);
  const int64_t most = std::min(q, block_rows(g, sizeof(T), kBlockRows));
  Found nearest(images.x, q, count);
  TileProduct product(images.x, most, g);
  for (int64_t first = 0; first < q; first += most) {
    const int64_t rows = std::min(most, q - first);
    const Tensor block = product(rows_of(images.x, first, rows), gallery);
    blend(
        block, first, q, T(settings.lambda),
        [&](const Tensor& some) { return features.keys(some, q); }, features.pairs(false), found,
        encoded);
    nearest.take<T>(GivenKeys<T>{block.const_data_ptr<T>(), g}, first, rows, g);
  }
  return {nearest.keys, nearest.indices};
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
  const Settings settings = read_settings(op, k1, k2, lambda_value);
  const Images images = read_images(op, query, gallery, metric);
  check_neighbours(op, settings, images.n);
  const DeviceGuard guard(images.x.get_device_index());
  return by_dtype(images.x, [&](auto zero) { return rerank<decltype(zero)>(images, settings); });
}

TwoTensors k_reciprocal_nearest_cuda(const Tensor& query, const Tensor& gallery, int64_t k1,
                                     int64_t k2, double lambda_value, int64_t metric,
                                     int64_t count) {
  const char* op = "k_reciprocal_nearest";
  const Settings settings = read_settings(op, k1, k2, lambda_value);
  const Images images = read_images(op, query, gallery, metric);
  check_neighbours(op, settings, images.n);
  check_count(op, "gallery images", count, images.g);
  const DeviceGuard guard(images.x.get_device_index());
  return by_dtype(
      images.x, [&](auto zero) { return rerank_nearest<decltype(zero)>(images, settings, count); });
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
