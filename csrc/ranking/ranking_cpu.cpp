// Schemas of the ranking ops and their CPU kernels. See ranking.h for the contract.
//
// Features are ranked by estimated_cpu.h, given distances here. The images of a row that are not
// behind the last positive are kept (a few percent), then those of them that are not behind the
// positive before it, and so on. The number of kept images gives the rank.
#include <algorithm>
#include <limits>
#include <vector>

#include "ranking/estimated_cpu.h"
#include "ranking/ranking.h"
#include "ranking/row_cpu.h"
#include "ranking/row_lists_cpu.h"

namespace reid_ext::ranking {
namespace {

constexpr int64_t kVector = 16;  // elements that keep_not_above may write past its end

template <typename T>
struct Threshold {
  T distance;
  int64_t index;
};

struct Row {  // the lists of one query
  const int64_t *positives, *junk;
  int64_t positive_count, junk_count;
};

// Scratch memory of one thread.
template <typename T>
struct Scratch {
  std::vector<Threshold<T>> thresholds;
  std::vector<T> kept;
};

template <typename T, typename Distances>
void rank_row(const Distances& distances, int64_t g, const Row& row, Scratch<T>& scratch,
              int64_t* ranks) {
  std::vector<Threshold<T>>& thresholds = scratch.thresholds;
  thresholds.clear();
  for (int64_t j = 0; j < row.positive_count; ++j) {
    thresholds.push_back({distances.at(row.positives[j]), row.positives[j]});
  }
  std::sort(thresholds.begin(), thresholds.end(), [](const auto& a, const auto& b) {
    return before(a.distance, a.index, b.distance, b.index);
  });
  int64_t numbers = row.positive_count;  // number of thresholds that are not NaN, which come first
  while (numbers > 0 && thresholds[numbers - 1].distance != thresholds[numbers - 1].distance) {
    --numbers;
  }
  scratch.kept.resize(g + kVector);
  T* kept = scratch.kept.data();
  int64_t m =
      numbers == 0 ? 0 : keep_not_above(distances, g, thresholds[numbers - 1].distance, kept);
  const int64_t not_nan =
      numbers == row.positive_count ? 0 : g - count_equal(distances, g, kNaN<T>);
  for (int64_t j = row.positive_count - 1; j >= 0; --j) {  // backwards, so that `kept` shrinks
    const Threshold<T>& t = thresholds[j];
    int64_t rank = 1 + not_nan, equal = g - not_nan;
    if (j < numbers) {
      const T next = j == 0 ? -std::numeric_limits<T>::infinity() : thresholds[j - 1].distance;
      const Kept nearer = narrow(kept, m, next, t.distance);
      equal = nearer.equal;
      rank = 1 + m - equal;
      m = nearer.count;
    }
    if (equal > 1) rank += count_equal(distances, t.index, t.distance);
    for (int64_t k = 0; k < row.junk_count; ++k) {
      const int64_t junk = row.junk[k];
      rank -= before(distances.at(junk), junk, t.distance, t.index);
    }
    ranks[j] = rank;
  }
}

struct CheckedLists {
  RowLists positives, junk;

  CheckedLists(const char* op, const Problem& p)
      : positives(op, "positive_", p.positives, p.q), junk(op, "junk_", p.junk, p.q) {
    check_range(op, "positive_indices", p.positives.indices, p.g, "the gallery");
    check_range(op, "junk_indices", p.junk.indices, p.g, "the gallery");
  }
};

template <typename T>
Tensor ranks_of_distances(const Problem& p, const CheckedLists& lists) {
  const RowLists &positives = lists.positives, &junk = lists.junk;  // captured by the lambda below
  Tensor ranks = torch::stable::new_empty(p.positives.indices, {p.positives.indices.numel()});
  int64_t* out = ranks.mutable_data_ptr<int64_t>();
  const T* distances = p.distances->const_data_ptr<T>();
  torch::stable::parallel_for(0, p.q, 1, [&](int64_t begin, int64_t end) {
    Scratch<T> scratch;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t p0 = positives.offsets[i], j0 = junk.offsets[i];
      const Row row = {positives.indices + p0, junk.indices + j0, positives.offsets[i + 1] - p0,
                       junk.offsets[i + 1] - j0};
      if (row.positive_count == 0) continue;
      rank_row(GivenRow<T>{distances + i * p.g}, p.g, row, scratch, out + p0);
    }
  });
  return ranks;
}

// The estimate to use: for approximate values, as requested, or if it is faster.
Estimate estimate_for(const Problem& p) {
  if (p.compute == Compute::kApproximate) return Estimate::kBFloat16;
  const Estimate estimate = fastest_estimate(*p.query);
  const bool sampled = estimate != Estimate::kInFull && !forced_estimate();
  return sampled && !estimates_pay(p) ? Estimate::kInFull : estimate;
}

}  // namespace

Tensor rank_positives_cpu(const Tensor& query, const Tensor& gallery,
                          const Tensor& positive_offsets, const Tensor& positive_indices,
                          const Tensor& junk_offsets, const Tensor& junk_indices, int64_t metric,
                          int64_t compute) {
  const char* op = "rank_positives";
  const Problem p = read(op, query, gallery, positive_offsets, positive_indices, junk_offsets,
                         junk_indices, metric, compute);
  const CheckedLists lists(op, p);
  return ranks_of_features(p, estimate_for(p));
}

Tensor rank_positives_from_distances_cpu(const Tensor& distances, const Tensor& positive_offsets,
                                         const Tensor& positive_indices, const Tensor& junk_offsets,
                                         const Tensor& junk_indices) {
  const char* op = "rank_positives_from_distances";
  const Problem p =
      read(op, distances, positive_offsets, positive_indices, junk_offsets, junk_indices);
  const CheckedLists lists(op, p);
  return by_dtype(p.like(),
                  [&](auto zero) { return ranks_of_distances<decltype(zero)>(p, lists); });
}

STABLE_TORCH_LIBRARY_FRAGMENT(reid_ext, m) {
  m.def(
      "rank_positives(Tensor query, Tensor gallery, Tensor positive_offsets,"
      " Tensor positive_indices, Tensor junk_offsets, Tensor junk_indices, int metric, int compute)"
      " -> Tensor");
  m.def(
      "rank_positives_from_distances(Tensor distances, Tensor positive_offsets,"
      " Tensor positive_indices, Tensor junk_offsets, Tensor junk_indices) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(reid_ext, CPU, m) {
  m.impl("rank_positives", TORCH_BOX(&rank_positives_cpu));
  m.impl("rank_positives_from_distances", TORCH_BOX(&rank_positives_from_distances_cpu));
}

}  // namespace reid_ext::ranking
