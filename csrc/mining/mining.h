// Hard mining: for every anchor, the farthest key of its identity and the nearest of another one.
//
//   positive[i] = argmax_j d(x_i, k_j)  over keys with key_labels[j] == labels[i]
//   negative[i] = argmin_j d(x_i, k_j)  over keys with key_labels[j] != labels[i]
//
// Source: Hermans et al., "In Defense of the Triplet Loss for Person Re-Identification",
// arXiv:1703.07737, sec. 2 (batch hard).
//
//   x          (N, D)  float32|float64      labels      (N,)  int64     groups      (N,)  int64
//   keys       (M, D)  like x               key_labels  (M,)  int64     key_groups  (M,)  int64
//   positive, negative                      (N,)  int64, -1 if no key qualifies
//   positive_distance, negative_distance    (N,)  like x, NaN if no key qualifies
//
// Without keys, the anchors are the keys, and no row is its own key. With groups, only keys of
// another group qualify. A block product orders the keys, and its rounding can swap keys whose
// distances differ in the last bits only. The distance of the chosen pair is computed from its
// rows. Ties go to the lowest index. NaN counts as the hardest, as in torch.max, and is visible in
// the distance.
#pragma once

#include <optional>
#include <tuple>

#include "common/comparison.h"
#include "common/metric.h"
#include "common/targets.h"

namespace reid_ext::mining {

// A candidate key and the value that orders it. An index < 0 means that no key was found yet.
template <typename T>
struct Candidate {
  T value;
  int64_t index;
};

// Whether b is harder than a: farther for positives, nearer for negatives. This is a total order.
template <bool kPositive, typename T>
REID_HD bool harder(const Candidate<T>& a, const Candidate<T>& b) {
  if (a.index < 0 || b.index < 0) return a.index < 0 && b.index >= 0;
  const bool nan_a = a.value != a.value, nan_b = b.value != b.value;
  if (nan_a != nan_b) return nan_b;
  if (!nan_a && a.value != b.value) return kPositive ? b.value > a.value : b.value < a.value;
  return b.index < a.index;
}

template <typename T>
REID_HD Candidate<T> none() {
  return {T(0), -1};
}

// The inputs of the op, checked and contiguous.
struct Problem : Comparison {
  Metric metric;
};

inline Problem read(const char* op, const Tensor& x, const Tensor& labels,
                    const std::optional<Tensor>& keys, const std::optional<Tensor>& key_labels,
                    const std::optional<Tensor>& groups, const std::optional<Tensor>& key_groups,
                    int64_t metric) {
  Problem p = {read_comparison(op, x, labels, keys, key_labels), read_metric(op, metric)};
  read_groups(op, "groups", "key_groups", groups, key_groups, p);
  return p;
}

struct Pairs {
  Tensor positive, negative, positive_distance, negative_distance;
};
using PairTensors = std::tuple<Tensor, Tensor, Tensor, Tensor>;

inline Pairs empty_pairs(const Problem& p) {
  return {torch::stable::new_empty(p.x, {p.n}, ScalarType::Long),
          torch::stable::new_empty(p.x, {p.n}, ScalarType::Long),
          torch::stable::new_empty(p.x, {p.n}), torch::stable::new_empty(p.x, {p.n})};
}

// The input of the backward pass: the chosen pairs, their distances and the incoming gradients.
struct Chosen {
  Tensor index[2], distance[2], grad[2];  // each (N,): [0] for positives, [1] for negatives
  Tensor x, keys;
  bool own_keys;
  Metric metric;
  int64_t n, m, d;
};

inline Chosen read_chosen(const char* op, const Tensor& grad_positive, const Tensor& grad_negative,
                          const Tensor& x, const std::optional<Tensor>& keys,
                          const Tensor& positive, const Tensor& negative,
                          const Tensor& positive_distance, const Tensor& negative_distance,
                          int64_t metric) {
  check_matrix(op, "x", x);
  const std::vector<int64_t> row = {x.size(0)};
  check_like(op, "grad_positive", grad_positive, row, "x", x);
  check_like(op, "grad_negative", grad_negative, row, "x", x);
  check_like(op, "positive_distance", positive_distance, row, "x", x);
  check_like(op, "negative_distance", negative_distance, row, "x", x);
  if (keys) check_like(op, "keys", *keys, {keys->size(0), x.size(1)}, "x", x);
  Chosen c;
  c.metric = read_metric(op, metric);
  c.own_keys = !keys.has_value();
  c.n = x.size(0);
  c.d = x.size(1);
  c.x = torch::stable::contiguous(x);
  c.keys = keys ? torch::stable::contiguous(*keys) : c.x;
  c.m = c.keys.size(0);
  c.index[0] = read_integers(op, "positive", positive, c.n, "x", x);
  c.index[1] = read_integers(op, "negative", negative, c.n, "x", x);
  c.distance[0] = torch::stable::contiguous(positive_distance);
  c.distance[1] = torch::stable::contiguous(negative_distance);
  c.grad[0] = torch::stable::contiguous(grad_positive);
  c.grad[1] = torch::stable::contiguous(grad_negative);
  return c;
}

// Gradients of x and keys. The second is empty if the anchors are the keys.
using GradTensors = std::tuple<Tensor, Tensor>;

// The CPU kernels, declared here for mining_test.cpp. All other callers use the dispatcher.
PairTensors mine_hardest_cpu(const Tensor& x, const Tensor& labels,
                             const std::optional<Tensor>& keys,
                             const std::optional<Tensor>& key_labels,
                             const std::optional<Tensor>& groups,
                             const std::optional<Tensor>& key_groups, int64_t metric);
GradTensors mine_hardest_backward_cpu(const Tensor& grad_positive, const Tensor& grad_negative,
                                      const Tensor& x, const std::optional<Tensor>& keys,
                                      const Tensor& positive, const Tensor& negative,
                                      const Tensor& positive_distance,
                                      const Tensor& negative_distance, int64_t metric);

}  // namespace reid_ext::mining
