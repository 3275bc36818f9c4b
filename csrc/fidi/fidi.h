// FIDI: scores every pair of rows by the divergence between a similarity u and the true value k.
//
//   d = |x_i - k_j|    u = exp(-beta d)    k = 1 for the same identity, else 0
//   l = D(u || k) + D(k || u),    D(p || q) = p log(alpha p / ((alpha - 1) p + q)),    0 log 0 = 0
//
// Source: Yan et al., "Beyond Triplet Loss: Person Re-identification with Fine-grained
// Difference-aware Pairwise Loss", IEEE TMM 24, 2022, arXiv:2009.10295.
//
// With c = alpha - 1 and v = 1 - u, a pair of different identities has l = u log(alpha / c). For
// the same identity the two terms cancel if u is near 1, so l is computed as
//
//   l = g(-v / alpha) + u g(v / (alpha u)),    g(t) = t - log(1 + t) >= 0
//   dl/dd = beta u (v / alpha (1 / (c + u) + 1 / (1 + c u)) + h),
//           h = log(1 + w) - w / (1 + w) >= 0,    w = v / (alpha u)
//
// whose terms are all positive. This form is accurate for u near 0 and 1 and for any alpha.
//
//   x          (N, D)  float32|float64      labels      (N,)  int64
//   keys       (M, D)  like x               key_labels  (M,)  int64
//   loss       ()      in [0, log(alpha / c)] per pair; 0 without pairs
//   grad_x     (N, D)  if requested, else (0, D)
//   grad_keys  (M, D)  if requested and keys are given, else (0, D)
//
// The pairs are all of x and keys or, without keys, all ordered pairs of two rows of x. A product
// cannot resolve the distance of rows that nearly coincide. For these, the loss and the gradient
// use the difference of the rows, so coincident rows have distance 0 and gradient 0. NaN
// propagates, and a row whose square is not finite counts as NaN. Each sum has a fixed order.
#pragma once

#include <cmath>
#include <optional>
#include <tuple>
#include <utility>

#include "common/comparison.h"
#include "common/metric.h"
#include "fidi/elementary.h"

namespace reid_ext::fidi {

// A squared distance below this share of |x|^2 + |y|^2 is computed from the difference.
template <typename T>
constexpr T kNear = T(1) / T(64);

// |x|^2 as the distances use it.
template <typename T>
REID_HD T finite_or_nan(T squared_norm) {
  return squared_norm <= kLargest<T> ? squared_norm : kNaN<T>;
}

template <typename T>
REID_HD bool is_near(T squared, T norms) {
  return squared < kNear<T> * norms;
}

// The loss as a function of the distance. Slopes are multiplied by slope_scale.
template <typename T>
struct Curve {
  T alpha, c, beta, largest, slope_scale;  // c = alpha - 1, largest = log(alpha / c)
};

template <typename T>
struct Pair {
  T loss, weight;  // weight: slope_scale * dl/dd / d, the factor of x_i - k_j; 0 at d = 0
};

// An infinite distance marks a pair that does not count. Its loss and weight are 0.
template <typename T>
REID_HD Pair<T> negative(const Curve<T>& curve, T squared) {
  const T d = std::sqrt(squared), z = curve.beta * d;
  const T loss = z > kFarthest<T> ? T(0) : curve.largest * decay(z).u;
  const T slope = -curve.slope_scale * curve.beta * loss;
  return {loss, d == T(0) ? T(0) : slope / d};
}

template <typename T>
REID_HD Pair<T> positive(const Curve<T>& curve, T squared) {
  const T d = std::sqrt(squared);
  const Decay<T> s = decay(curve.beta * d);
  const T a = s.v / curve.alpha, w = a / s.u;
  const T below = curve.c + s.u, above = T(1) + curve.c * s.u;
  const Log<T> first = log_1_plus(-a, below / curve.alpha);
  const Log<T> second = log_1_plus(w, above / (curve.alpha * s.u));
  const T q = s.v / above;  // w / (1 + w)
  const T h = w < T(1) ? w * q - second.excess : second.value - q;
  const T slope = curve.beta * s.u * (a / below + a / above + h);
  return {first.excess + s.u * second.excess, d == T(0) ? T(0) : curve.slope_scale * slope / d};
}

// The inputs of the op, checked and contiguous.
struct Problem : Comparison {
  double alpha, beta, scale;  // scale: the factor of the sum over all pairs
};

inline Problem read(const Tensor& x, const Tensor& labels, const std::optional<Tensor>& keys,
                    const std::optional<Tensor>& key_labels, double alpha, double beta, bool mean) {
  const char* op = "fidi_loss";
  STD_TORCH_CHECK(alpha > 1 && alpha <= kLargest<float>, op,
                  ": alpha must be a finite number above 1, got ", alpha,
                  "; at alpha = 1 the loss of pairs of different identities is infinite");
  STD_TORCH_CHECK(beta > 0 && beta <= kLargest<float>, op,
                  ": beta must be a finite number above 0, got ", beta);
  const Comparison c = read_comparison(op, x, labels, keys, key_labels);
  const double pairs = double(c.n) * double(c.own_keys ? c.m - 1 : c.m);
  return {c, alpha, beta, !mean ? 1 : pairs > 0 ? 1 / pairs : 0};
}

// The same pairs with anchors and keys exchanged.
inline Problem exchanged(const Problem& p) {
  Problem e = p;
  std::swap(e.x, e.keys);
  std::swap(e.labels, e.key_labels);
  std::swap(e.n, e.m);
  return e;
}

template <typename T>
Curve<T> curve(const Problem& p) {
  const double c = p.alpha - 1, both = p.own_keys ? 2 : 1;  // a row is both anchor and key
  return {T(p.alpha), T(c), T(p.beta), T(std::log1p(1 / c)), T(both * p.scale)};
}

// The loss, grad_x and grad_keys.
using LossTensors = std::tuple<Tensor, Tensor, Tensor>;

// The CPU kernel, declared here for fidi_test.cpp. All other callers use the dispatcher.
LossTensors fidi_loss_cpu(const Tensor& x, const Tensor& labels, const std::optional<Tensor>& keys,
                          const std::optional<Tensor>& key_labels, double alpha, double beta,
                          bool mean, bool with_grad_x, bool with_grad_keys);

}  // namespace reid_ext::fidi
