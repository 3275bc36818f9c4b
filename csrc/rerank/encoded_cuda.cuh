// V of all images on the device, and the final distances of the queries from it. One thread block
// per query sums its Jaccard minima in a row of scratch memory and blends.
#pragma once

#include "rerank/average_cuda.cuh"

namespace reid_ext::rerank {

// Queries first .. first + rows. The result overwrites `out` (rows, g), which keys may read.
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

// V of all images, by rows and by columns.
struct Encoded {
  Encoding v, columns;
};

template <typename T, typename Pairs>
Encoded encode(Pairs source, const Found& found, const Settings& settings) {
  const Encoding v =
      averaged<T>(reciprocal_weights<T>(source, found, settings), found.indices, settings);
  return {v, inverted<T>(v)};
}

// keys_of(rows) reads the content of rows before it is overwritten.
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

// Queries begin .. end with their `top` gallery images. The blocks of products do not depend on the
// requested queries, so the products are always bitwise equal.
template <typename T>
TwoTensors nearest_of(const Images& images, const Settings& settings, const Features<T>& features,
                      const Found& found, const Encoded& encoded, int64_t begin, int64_t end,
                      int64_t top) {
  const int64_t q = images.q, g = images.g;
  const Tensor gallery = rows_of(images.x, q, g);
  const int64_t most = std::min(q, block_rows(g, sizeof(T), kBlockRows));
  Found nearest(images.x, end - begin, top);
  if (begin == end) return {nearest.keys, nearest.indices};
  TileProduct product(images.x, most, g);
  for (int64_t at = begin / most * most; at < end; at += most) {
    const int64_t rows = std::min(most, q - at);
    const int64_t first = std::max(at, begin), count = std::min(at + rows, end) - first;
    const Tensor products = product(rows_of(images.x, at, rows), gallery);
    const Tensor block = rows_of(products, first - at, count);
    blend(
        block, first, q, T(settings.lambda),
        [&](const Tensor& some) { return features.keys(some, q); }, features.pairs(false), found,
        encoded);
    nearest.take<T>(GivenKeys<T>{block.const_data_ptr<T>(), g}, first - begin, count, g);
  }
  return {nearest.keys, nearest.indices};
}

}  // namespace reid_ext::rerank
