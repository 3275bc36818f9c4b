// Re-ranking in parts. Each scan processes a share of all pairs of images. Then each process
// re-ranks a share of the queries with the merged results of the scans.
#pragma once

#include "rerank/rerank.h"

namespace reid_ext::rerank {

// The results of one or several of `parts` scans of all pairs: for every image some of its nearest,
// where index n marks an empty entry, and the farthest image it was compared with.
//
// A scan processes blocks of rows of the products, with the same tiles as a single process, so the
// keys are bitwise equal for any number of parts.
struct Scan {
  Tensor keys, indices, farthest;  // (N, k), (N, k) int64, (N,); contiguous
};

inline void check_part(const char* op, int64_t part, int64_t parts) {
  STD_TORCH_CHECK(parts >= 1, op, ": parts must be at least 1, got ", parts);
  STD_TORCH_CHECK(part >= 0 && part < parts, op, ": part must be from 0 to ", parts - 1, ", got ",
                  part);
}

// Whether the block belongs to the part. Later blocks are shorter, so they are dealt to and fro.
inline bool is_dealt(int64_t block, int64_t part, int64_t parts) {
  const int64_t turn = block % (2 * parts);
  return part == (turn < parts ? turn : 2 * parts - 1 - turn);
}

inline Scan read_scan(const char* op, const Tensor& keys, const Tensor& indices,
                      const Tensor& farthest, const Images& images, const Settings& settings) {
  const int64_t k = settings.kept(images.n);
  check_like(op, "keys", keys, {images.n, k}, "query and gallery", images.x);
  check_like(op, "farthest", farthest, {images.n}, "query and gallery", images.x);
  STD_TORCH_CHECK(indices.scalar_type() == ScalarType::Long &&
                      shape_of(indices) == shape_of(keys) && indices.device() == keys.device(),
                  op, ": indices must be int64 of shape ", shape_str(shape_of(keys)),
                  " like keys, got ", shape_str(shape_of(indices)));
  return {torch::stable::contiguous(keys), torch::stable::contiguous(indices),
          torch::stable::contiguous(farthest)};
}

inline void check_stretch(const char* op, int64_t first, int64_t count, int64_t q) {
  STD_TORCH_CHECK(first >= 0 && count >= 0 && first + count <= q, op,
                  ": first and count must be a range within the ", q, " queries, got ", first,
                  " and ", count);
}

// The range of queries from `first` to re-rank with the results of the scans.
struct Stretch : Task {
  Scan scan;
  int64_t first, count;
};

inline Stretch read_stretch(const char* op, const Tensor& query, const Tensor& gallery,
                            const Tensor& keys, const Tensor& indices, const Tensor& farthest,
                            int64_t k1, int64_t k2, double lambda, int64_t metric, int64_t first,
                            int64_t count) {
  const Task task = read_task(op, query, gallery, k1, k2, lambda, metric);
  const Scan scan = read_scan(op, keys, indices, farthest, task.images, task.settings);
  check_stretch(op, first, count, task.images.q);
  return {task, scan, first, count};
}

}  // namespace reid_ext::rerank
