// Ranks with a gallery that comes in blocks: computes the parts of a rank from one block.
//
//   rank(q, p) = 1 + positives of q before p + sum over the blocks of count_before(q, p)
//
// pair_values returns the values by which chosen pairs are compared, product * scale + bias of
// metric.h. count_before returns how many images of a block precede such a threshold, excluding the
// listed positives and junk. On the CPU a library's product in bfloat16 may be used as an estimate
// with a known error, and the pairs that it leaves open are computed as by pair_values. A rank is
// therefore exactly that of a stable sort by pair_values, for any division into blocks. The kernel
// chooses the estimate of a block by choice_cpu.h and by the pairs that the first tile leaves open.
//
//   query       (Q, D)    float32|float64
//   block       (B, D)    like query; its first image has gallery index `first`
//   pair_query  (P,)      int64 in [0, Q)
//   pair_row    (P,)      int64 in [0, B)
//   thresholds  (P,)      like query; those of query q from offsets[q] to offsets[q + 1]
//   indices     (P,)      int64, their gallery indices
//   offsets     (Q + 1,)  int64
//   listed      offsets (Q + 1,) and indices (L,), ascending for each query, as in ranking.h
//   values      (P,)      like query
//   counts      (P,)      int64
#pragma once

#include "ranking/ranking.h"

namespace reid_ext::ranking {

struct Pairs {
  Tensor query, block, pair_query, pair_row;
  Metric metric;
  int64_t p, q, b, d;
};

inline Pairs read_pairs(const Tensor& query, const Tensor& block, const Tensor& pair_query,
                        const Tensor& pair_row, int64_t metric) {
  const char* op = "pair_values";
  check_matrix(op, "query", query);
  const int64_t b = block.dim() > 0 ? block.size(0) : 0;
  check_like(op, "block", block, {b, query.size(1)}, "query", query);
  const int64_t p = pair_query.dim() == 1 ? pair_query.size(0) : 0;
  check_integers(op, "pair_query", pair_query, p, "any length", query);
  check_integers(op, "pair_row", pair_row, p, "pair_query", query);
  return {torch::stable::contiguous(query),
          torch::stable::contiguous(block),
          torch::stable::contiguous(pair_query),
          torch::stable::contiguous(pair_row),
          read_metric(op, metric),
          p,
          query.size(0),
          b,
          query.size(1)};
}

struct Stream {
  Tensor query, block, thresholds, indices, offsets;
  Lists listed;
  Metric metric;
  Compute compute;
  int64_t first, q, b, d;
};

inline Stream read_stream(const Tensor& query, const Tensor& block, int64_t first,
                          const Tensor& thresholds, const Tensor& indices, const Tensor& offsets,
                          const Tensor& listed_offsets, const Tensor& listed_indices,
                          int64_t metric, int64_t compute) {
  const char* op = "count_before";
  check_matrix(op, "query", query);
  const int64_t b = block.dim() > 0 ? block.size(0) : 0;
  check_like(op, "block", block, {b, query.size(1)}, "query", query);
  const int64_t p = thresholds.dim() == 1 ? thresholds.size(0) : 0;
  check_like(op, "thresholds", thresholds, {p}, "query", query);
  check_integers(op, "indices", indices, p, "thresholds", query);
  check_integers(op, "offsets", offsets, query.size(0) + 1, "the queries plus one", query);
  STD_TORCH_CHECK(first >= 0, op, ": first must not be negative, got ", first);
  return {torch::stable::contiguous(query),
          torch::stable::contiguous(block),
          torch::stable::contiguous(thresholds),
          torch::stable::contiguous(indices),
          torch::stable::contiguous(offsets),
          read_lists(op, "listed", listed_offsets, listed_indices, query.size(0), query),
          read_metric(op, metric),
          read_compute(op, compute, query),
          first,
          query.size(0),
          b,
          query.size(1)};
}

// The CPU kernels, declared here for stream_test.cpp. All other callers use the dispatcher.
Tensor pair_values_cpu(const Tensor& query, const Tensor& block, const Tensor& pair_query,
                       const Tensor& pair_row, int64_t metric);
Tensor count_before_cpu(const Tensor& query, const Tensor& block, int64_t first,
                        const Tensor& thresholds, const Tensor& indices, const Tensor& offsets,
                        const Tensor& listed_offsets, const Tensor& listed_indices, int64_t metric,
                        int64_t compute);

}  // namespace reid_ext::ranking
