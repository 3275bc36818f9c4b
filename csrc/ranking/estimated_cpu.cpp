// Implements estimated_cpu.h. The gallery is prepared one block at a time to bound the memory.
#include "ranking/estimated_cpu.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "ranking/count_cpu.h"
#include "ranking/pairs_cpu.h"

namespace reid_ext::ranking {
namespace {

constexpr int64_t kBlockBytes = 32 << 20;  // bytes of gallery rows that are counted at once
constexpr int64_t kSampledQueries = 64, kSampledImages = 2048;

// Rows 0, step, 2 step, ... of x.
Tensor every(const Tensor& x, int64_t step) {
  const int64_t n = (x.size(0) + step - 1) / step, d = x.size(1);
  const Tensor out = torch::stable::new_empty(x, {n, d});
  const float* from = x.const_data_ptr<float>();
  float* to = out.mutable_data_ptr<float>();
  for (int64_t i = 0; i < n; ++i) std::copy_n(from + i * step * d, d, to + i * d);
  return out;
}

// The positives of every step-th query, and their values.
template <typename T>
struct Positives {
  std::vector<int64_t> offsets = {0}, queries, indices;
  std::vector<T> values;

  Positives(const Problem& p, int64_t step) {
    const int64_t* at = p.positives.offsets.const_data_ptr<int64_t>();
    const int64_t* index = p.positives.indices.const_data_ptr<int64_t>();
    for (int64_t i = 0; i < p.q; i += step) {
      queries.insert(queries.end(), at[i + 1] - at[i], i);
      indices.insert(indices.end(), index + at[i], index + at[i + 1]);
      offsets.push_back(int64_t(indices.size()));
    }
    values.resize(indices.size());
    const PairRows<T> pairs = {p.query->const_data_ptr<T>(),
                               p.gallery->const_data_ptr<T>(),
                               queries.data(),
                               indices.data(),
                               int64_t(indices.size()),
                               p.query->size(1)};
    pair_values(pairs, p.metric, values.data());
  }
};

// Gallery indices that do not count: the positives and junk of each query in ascending order.
struct Listed {
  std::vector<int64_t> offsets = {0}, indices;

  explicit Listed(const Problem& p) {
    for (int64_t i = 0; i < p.q; ++i) {
      append(p.positives, i);
      append(p.junk, i);
      std::sort(indices.begin() + offsets.back(), indices.end());
      offsets.push_back(int64_t(indices.size()));
    }
  }

 private:
  void append(const Lists& lists, int64_t i) {
    const int64_t* at = lists.offsets.const_data_ptr<int64_t>() + i;
    const int64_t* index = lists.indices.const_data_ptr<int64_t>();
    indices.insert(indices.end(), index + at[0], index + at[1]);
  }
};

// The rank of a positive: 1 + the positives of its query before it + the images counted before it.
template <typename T>
void to_ranks(const Positives<T>& positives, const std::vector<int64_t>& counts, int64_t* ranks) {
  const auto comes_before = [&](int64_t a, int64_t b) {
    return before(positives.values[a], positives.indices[a], positives.values[b],
                  positives.indices[b]);
  };
  std::vector<int64_t> order(counts.size());
  std::iota(order.begin(), order.end(), 0);
  for (size_t i = 0; i + 1 < positives.offsets.size(); ++i) {
    const int64_t begin = positives.offsets[i], end = positives.offsets[i + 1];
    std::sort(order.begin() + begin, order.begin() + end, comes_before);
    for (int64_t k = begin; k < end; ++k) ranks[k] = 1 + (k - begin) + counts[order[k]];
    std::sort(ranks + begin, ranks + end);  // approximate counts may not ascend
  }
}

template <typename T>
Tensor ranks(const Problem& p, Estimate estimate) {
  const Positives<T> positives(p, 1);
  const Listed listed(p);
  const Thresholds<T> thresholds = {positives.values.data(), positives.indices.data(),
                                    positives.offsets.data(), listed.indices.data(),
                                    listed.offsets.data()};
  std::vector<int64_t> counts(positives.indices.size());
  const int64_t row_bytes = std::max<int64_t>(1, p.query->size(1)) * int64_t(sizeof(T));
  const int64_t rows = std::max<int64_t>(1, kBlockBytes / row_bytes);
  for (int64_t first = 0; first < p.g; first += rows) {
    const Tensor block = rows_of(*p.gallery, first, std::min(rows, p.g - first));
    Counter<T>(*p.query, block, first, p.metric, thresholds, estimate)
        .count(p.compute, counts.data());
  }
  const Tensor ranks = torch::stable::new_empty(p.positives.indices, {int64_t(counts.size())});
  to_ranks(positives, counts, ranks.mutable_data_ptr<int64_t>());
  return ranks;
}

}  // namespace

bool estimates_pay(const Problem& p) {
  if (p.q == 0 || p.g == 0) return false;
  const int64_t query_step = (p.q + kSampledQueries - 1) / kSampledQueries;
  const int64_t image_step = (p.g + kSampledImages - 1) / kSampledImages;
  const Positives<float> positives(p, query_step);
  const Tensor query = every(*p.query, query_step), images = every(*p.gallery, image_step);
  const std::vector<int64_t> nothing(positives.offsets.size());
  const Thresholds<float> thresholds = {positives.values.data(), positives.indices.data(),
                                        positives.offsets.data(), nullptr, nothing.data()};
  Counter<float> counter(query, images, 0, p.metric, thresholds, Estimate::kBFloat16);
  return estimate_pays(counter.open_pairs(), query.size(0) * images.size(0));
}

Tensor ranks_of_features(const Problem& p, Estimate estimate) {
  return by_dtype(p.like(), [&](auto zero) { return ranks<decltype(zero)>(p, estimate); });
}

}  // namespace reid_ext::ranking
