// Schemas of the streaming ops and their CPU kernels. See stream.h for the contract, and
// pairs_cpu.h and count_cpu.h for the implementation.
#include "ranking/count_cpu.h"
#include "ranking/pairs_cpu.h"
#include "ranking/row_lists_cpu.h"
#include "ranking/stream.h"

namespace reid_ext::ranking {
namespace {

template <typename T>
Tensor values(const Pairs& p) {
  const Tensor out = torch::stable::new_empty(p.query, {p.p});
  const PairRows<T> pairs = {p.query.const_data_ptr<T>(),
                             p.block.const_data_ptr<T>(),
                             p.pair_query.const_data_ptr<int64_t>(),
                             p.pair_row.const_data_ptr<int64_t>(),
                             p.p,
                             p.d};
  pair_values(pairs, p.metric, out.mutable_data_ptr<T>());
  return out;
}

template <typename T>
Tensor counts(const Stream& s) {
  const RowLists positives("count_before", "", {s.offsets, s.indices}, s.q);
  const RowLists listed("count_before", "listed_", s.listed, s.q);
  const bool approximate = s.compute == Compute::kApproximate;
  const Estimate estimate = approximate ? Estimate::kBFloat16 : fastest_estimate(s.query);
  const Thresholds<T> thresholds = {s.thresholds.const_data_ptr<T>(), positives.indices,
                                    positives.offsets, listed.indices, listed.offsets};
  const Tensor out = torch::stable::new_zeros(s.indices, {s.indices.numel()});
  Counter<T>(s.query, s.block, s.first, s.metric, thresholds, estimate)
      .count(s.compute, out.mutable_data_ptr<int64_t>());
  return out;
}

}  // namespace

Tensor pair_values_cpu(const Tensor& query, const Tensor& block, const Tensor& pair_query,
                       const Tensor& pair_row, int64_t metric) {
  const Pairs p = read_pairs(query, block, pair_query, pair_row, metric);
  check_range("pair_values", "pair_query", p.pair_query, p.q, "the queries");
  check_range("pair_values", "pair_row", p.pair_row, p.b, "the block");
  return by_dtype(p.query, [&](auto zero) { return values<decltype(zero)>(p); });
}

Tensor count_before_cpu(const Tensor& query, const Tensor& block, int64_t first,
                        const Tensor& thresholds, const Tensor& indices, const Tensor& offsets,
                        const Tensor& listed_offsets, const Tensor& listed_indices, int64_t metric,
                        int64_t compute) {
  const Stream s = read_stream(query, block, first, thresholds, indices, offsets, listed_offsets,
                               listed_indices, metric, compute);
  return by_dtype(s.query, [&](auto zero) { return counts<decltype(zero)>(s); });
}

STABLE_TORCH_LIBRARY_FRAGMENT(reid_ext, m) {
  m.def(
      "pair_values(Tensor query, Tensor block, Tensor pair_query, Tensor pair_row, int metric)"
      " -> Tensor");
  m.def(
      "count_before(Tensor query, Tensor block, int first, Tensor thresholds, Tensor indices,"
      " Tensor offsets, Tensor listed_offsets, Tensor listed_indices, int metric, int compute)"
      " -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(reid_ext, CPU, m) {
  m.impl("pair_values", TORCH_BOX(&pair_values_cpu));
  m.impl("count_before", TORCH_BOX(&count_before_cpu));
}

}  // namespace reid_ext::ranking
