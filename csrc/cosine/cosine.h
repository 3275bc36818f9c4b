// Batched matrices of cosines or angles between two sets of rows.
//
//   out[b, i, j] = x_bi . y_bj / (|x_bi| |y_bj|)      clamped to [-1, 1], or its arc cosine
//
//   x    (B, N, D)  float32|float64, one device
//   y    (B, M, D)  like x; if missing, x is used
//   out  (B, N, M)  cosines in [-1, 1], or angles in [0, pi] radians
//
// A zero row has cosine 0 to every row, angle pi / 2, and gradient 0. metric.h defines zero rows
// and rows that are not finite.
// Near 0 and pi the arc cosine of a rounded cosine loses half its digits. There the angle comes
// from the difference of the two unit rows, so the angle of a row with itself is exactly 0.
#pragma once

#include <cmath>
#include <optional>
#include <tuple>

#include "common/check.h"
#include "common/dispatch.h"
#include "common/metric.h"
#include "common/targets.h"

namespace reid_ext::cosine {

template <typename T>
constexpr T kPi = T(3.14159265358979323846);

// An angle that is closer to 0 or pi than this (in radians) is computed from the rows.
template <typename T>
constexpr T kRefined = T(0.1);

template <typename T>
REID_HD T clamped(T cosine) {
  return cosine > T(1) ? T(1) : cosine < T(-1) ? T(-1) : cosine;
}

// The angle between two rows from |x - ratio y|^2 / |x|^2. It is accurate where arc cosine is not.
template <typename T>
REID_HD T angle_from_difference(T squared) {
  const T half = std::sqrt(squared) / T(2);
  return T(2) * std::asin(half > T(1) ? T(1) : half);
}

struct Problem {
  Tensor x, y;
  bool self;  // y is x
  int64_t batch, n, m, d;
};

inline Problem read(const char* op, const Tensor& x, const std::optional<Tensor>& given) {
  const Tensor& y = given ? *given : x;
  STD_TORCH_CHECK(x.dim() == 3, op, ": x must have shape (B, N, D), got ", shape_str(shape_of(x)));
  check_real(op, "x", x);
  const int64_t m = y.dim() == 3 ? y.size(1) : 0;
  check_like(op, "y", y, {x.size(0), m, x.size(2)}, "x", x);
  const Tensor rows = torch::stable::contiguous(x);
  return {rows,     given ? torch::stable::contiguous(y) : rows, !given, x.size(0), x.size(1), m,
          x.size(2)};
}

// The backward pass consists of two products:
//   grad_x_i = sum_j w_ij / (|x_i| |y_j|) y_j - (sum_j w_ij c_ij) / |x_i|^2 x_i,   w the gradient
// and the same for y with i and j exchanged. If y is x, both become one product of the weights
// w_ij + w_ji.
struct Weights {
  Tensor scaled;   // (B, N, M): w_ij / (|x_i| |y_j|); if y is x, (w_ij + w_ji) / ...
  Tensor along_x;  // (B, N, 1): (sum_j w_ij c_ij) / |x_i|^2; if y is x, the sum of both sides
  Tensor along_y;  // (B, M, 1)
};

inline Weights empty_weights(const Problem& p) {
  return {torch::stable::new_empty(p.x, {p.batch, p.n, p.m}),
          torch::stable::new_empty(p.x, {p.batch, p.n, 1}),
          torch::stable::new_empty(p.x, {p.batch, p.m, 1})};
}

inline Tensor read_grad(const char* op, const char* name, const Tensor& t, const Problem& p) {
  check_like(op, name, t, {p.batch, p.n, p.m}, "x", p.x);
  return torch::stable::contiguous(t);
}

// Gradients of x and y. The second is empty if y is x.
using GradTensors = std::tuple<Tensor, Tensor>;

// product(weights, rows) - along * self, for x or for y.
template <typename Product>
Tensor gradient(const Product& product, const Tensor& weights, const Tensor& rows,
                const Tensor& along, const Tensor& self) {
  return torch::stable::subtract(product(weights, rows),
                                 call<Tensor>("aten::mul", "Tensor", along, self));
}

template <typename Product>
GradTensors gradients(const Problem& p, const Weights& w, const Product& product) {
  const Tensor grad_x = gradient(product, w.scaled, p.y, w.along_x, p.x);
  if (p.self) return {grad_x, torch::stable::new_empty(p.x, {0})};
  return {grad_x, gradient(product, torch::stable::transpose(w.scaled, 1, 2), p.x, w.along_y, p.y)};
}

// The CPU kernels, declared here for cosine_test.cpp. All other callers use the dispatcher.
Tensor cosine_matrix_cpu(const Tensor& x, const std::optional<Tensor>& y, bool angle);
GradTensors cosine_matrix_backward_cpu(const Tensor& grad, const Tensor& cosine, const Tensor& x,
                                       const std::optional<Tensor>& y);

}  // namespace reid_ext::cosine
