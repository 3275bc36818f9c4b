// The ranks of the positives of every query in its gallery, from which CMC, AP and INP follow.
//
//   rank(q, p) = 1 + number of gallery images of q, without junk, that precede p
//
// in a stable sort by (distance, gallery index) with NaN last. Ranks are counted without sorting.
//
//   query    (Q, D)  float32|float64    gallery   (G, D)  like query   (or distances (Q, G))
//   offsets  (Q + 1,) int64             indices   (L,)    int64 in [0, G); those of query q are at
//                                                 offsets[q] to offsets[q + 1], ascending
//   ranks    (P,) int64 from 1; those of query q are at its offsets of the positives, ascending
//
// Source: Zheng et al., "Scalable Person Re-identification: A Benchmark", ICCV 2015, sec. 5.1, for
// junk. Counting is our method. Distances are compared by product * scale + bias of metric.h, that
// is by the cosine itself instead of 1 - cosine, and by half the squared distance minus |query|^2.
// This way rounding makes fewer distances equal.
#pragma once

#include <optional>
#include <string>

#include "common/check.h"
#include "common/metric.h"
#include "common/targets.h"

namespace reid_ext::ranking {

// Whether a gallery image with value a and index i precedes one with value b and index j.
template <typename T>
REID_HD bool before(T a, int64_t i, T b, int64_t j) {
  const bool nan_a = a != a, nan_b = b != b;
  if (nan_a != nan_b) return nan_b;
  if (!nan_a && a != b) return a < b;
  return i < j;
}

// Lists of gallery indices, one per query.
struct Lists {
  Tensor offsets, indices;
};

inline Lists read_lists(const char* op, const std::string& name, const Tensor& offsets,
                        const Tensor& indices, int64_t queries, const Tensor& like) {
  check_integers(op, (name + "_offsets").c_str(), offsets, queries + 1, "the queries plus one",
                 like);
  const int64_t length = indices.dim() == 1 ? indices.size(0) : 0;
  check_integers(op, (name + "_indices").c_str(), indices, length, "any length", like);
  return {torch::stable::contiguous(offsets), torch::stable::contiguous(indices)};
}

// The values by which images are ranked. For kExact, the kernel chooses how to find the ranks.
enum class Compute {
  kExact,        // values in the precision of the features
  kApproximate,  // values by products in bfloat16 on the CPU. CUDA multiplies its input,
                 // which the Python function has rounded
};

inline Compute read_compute(const char* op, int64_t compute, const Tensor& query) {
  STD_TORCH_CHECK(compute == 0 || compute == 1, op,
                  ": compute must be 0 (exact) or 1 (approximate), got ", compute);
  STD_TORCH_CHECK(compute == 0 || query.scalar_type() == ScalarType::Float, op,
                  ": compute must be 0 (exact) unless features are float32, got ", compute);
  return static_cast<Compute>(compute);
}

// The input of both ops: features with their metric, or distances.
struct Problem {
  std::optional<Tensor> query, gallery, distances;
  Metric metric = Metric::kSquaredEuclidean;
  Compute compute = Compute::kExact;
  Lists positives, junk;
  int64_t q = 0, g = 0;

  const Tensor& like() const { return distances ? *distances : *query; }
};

inline Problem read(const char* op, const Tensor& query, const Tensor& gallery,
                    const Tensor& positive_offsets, const Tensor& positive_indices,
                    const Tensor& junk_offsets, const Tensor& junk_indices, int64_t metric,
                    int64_t compute) {
  check_matrix(op, "query", query);
  const int64_t g = gallery.dim() > 0 ? gallery.size(0) : 0;
  check_like(op, "gallery", gallery, {g, query.size(1)}, "query", query);
  Problem p;
  p.metric = read_metric(op, metric);
  p.compute = read_compute(op, compute, query);
  p.query = torch::stable::contiguous(query);
  p.gallery = torch::stable::contiguous(gallery);
  p.q = query.size(0);
  p.g = g;
  p.positives = read_lists(op, "positive", positive_offsets, positive_indices, p.q, query);
  p.junk = read_lists(op, "junk", junk_offsets, junk_indices, p.q, query);
  return p;
}

inline Problem read(const char* op, const Tensor& distances, const Tensor& positive_offsets,
                    const Tensor& positive_indices, const Tensor& junk_offsets,
                    const Tensor& junk_indices) {
  check_matrix(op, "distances", distances);
  Problem p;
  p.distances = torch::stable::contiguous(distances);
  p.q = distances.size(0);
  p.g = distances.size(1);
  p.positives = read_lists(op, "positive", positive_offsets, positive_indices, p.q, distances);
  p.junk = read_lists(op, "junk", junk_offsets, junk_indices, p.q, distances);
  return p;
}

// The CPU kernels, declared here for ranking_test.cpp. All other callers use the dispatcher.
Tensor rank_positives_cpu(const Tensor& query, const Tensor& gallery,
                          const Tensor& positive_offsets, const Tensor& positive_indices,
                          const Tensor& junk_offsets, const Tensor& junk_indices, int64_t metric,
                          int64_t compute);
Tensor rank_positives_from_distances_cpu(const Tensor& distances, const Tensor& positive_offsets,
                                         const Tensor& positive_indices, const Tensor& junk_offsets,
                                         const Tensor& junk_indices);

}  // namespace reid_ext::ranking
