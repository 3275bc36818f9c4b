// The backward kernel of mining on the CPU. See mining.h for the contract.
//
// Only the two chosen pairs of each anchor have a gradient, so the work is O(N D). Each thread owns
// a range of columns of all rows and visits the anchors in order. There are no atomics, and the
// result does not depend on the number of threads.
#include <algorithm>
#include <vector>

#include "common/rows_cpu.h"
#include "mining/mining.h"

namespace reid_ext::mining {
namespace {

constexpr int64_t kColumns = 128;  // per task, which are a few cache lines of each row

template <typename T>
struct PairSide {
  const int64_t* index;
  const T *distance, *grad;
};

// out_x += wx * y and out_y += wy * x (cosine), or the same with x - y and wy = -wx.
template <typename T>
REID_CLONES void add_pair(const T* x, const T* y, T wx, T wy, bool cosine, T* out_x, T* out_y,
                          int64_t columns) {
  if (cosine) {
#pragma omp simd
    for (int64_t k = 0; k < columns; ++k) out_x[k] += wx * y[k];
#pragma omp simd
    for (int64_t k = 0; k < columns; ++k) out_y[k] += wy * x[k];
  } else {
#pragma omp simd
    for (int64_t k = 0; k < columns; ++k) out_x[k] += wx * (x[k] - y[k]);
#pragma omp simd
    for (int64_t k = 0; k < columns; ++k) out_y[k] += wy * (x[k] - y[k]);
  }
}

// Turns the gradient of the unit row into that of the row, by removing the part along the row.
template <typename T>
REID_CLONES void project(const T* x, T inverse, T* grad, int64_t d) {
  T along = 0;
#pragma omp simd reduction(+ : along)
  for (int64_t k = 0; k < d; ++k) along += grad[k] * x[k];
  along *= inverse * inverse;
#pragma omp simd
  for (int64_t k = 0; k < d; ++k) grad[k] = inverse * (grad[k] - along * x[k]);
}

template <typename T>
void project_rows(const T* x, const std::vector<T>& inverse, T* grad, int64_t n, int64_t d) {
  torch::stable::parallel_for(0, n, rows_per_task(d), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) project(x + i * d, inverse[i], grad + i * d, d);
  });
}

template <typename T>
GradTensors backward(const Chosen& c) {
  const bool cosine = c.metric == Metric::kCosine;
  Tensor grad_x = torch::stable::new_zeros(c.x, {c.n, c.d});
  Tensor grad_keys = torch::stable::new_zeros(c.x, {c.own_keys ? 0 : c.m, c.d});
  const T *x = c.x.const_data_ptr<T>(), *keys = c.keys.const_data_ptr<T>();
  T* gx = grad_x.mutable_data_ptr<T>();
  T* gk = c.own_keys ? gx : grad_keys.mutable_data_ptr<T>();
  std::vector<T> ix, ik;
  if (cosine) ix = inverse_norms(x, c.n, c.d);
  if (cosine && !c.own_keys) ik = inverse_norms(keys, c.m, c.d);
  const std::vector<T>& iy = c.own_keys ? ix : ik;
  PairSide<T> sides[2];
  for (int s = 0; s < 2; ++s) {
    sides[s] = {c.index[s].const_data_ptr<int64_t>(), c.distance[s].const_data_ptr<T>(),
                c.grad[s].const_data_ptr<T>()};
  }
  const int64_t per_task = std::max(kColumns, rows_per_task(4 * c.n));
  torch::stable::parallel_for(0, c.d, per_task, [&](int64_t begin, int64_t end) {
    for (int64_t col = begin; col < end; col += kColumns) {
      const int64_t columns = std::min(kColumns, end - col);
      for (int64_t i = 0; i < c.n; ++i) {
        for (const PairSide<T>& side : sides) {
          const int64_t j = side.index[i];
          const T g = side.grad[i];
          if (j < 0 || g == T(0)) continue;
          const T f = cosine ? T(0) : g * difference_factor(c.metric, side.distance[i]);
          add_pair(x + i * c.d + col, keys + j * c.d + col, cosine ? -g * iy[j] : f,
                   cosine ? -g * ix[i] : -f, cosine, gx + i * c.d + col, gk + j * c.d + col,
                   columns);
        }
      }
    }
  });
  if (cosine) {
    project_rows(x, ix, gx, c.n, c.d);
    if (!c.own_keys) project_rows(keys, ik, gk, c.m, c.d);
  }
  return {grad_x, grad_keys};
}

}  // namespace

GradTensors mine_hardest_backward_cpu(const Tensor& grad_positive, const Tensor& grad_negative,
                                      const Tensor& x, const std::optional<Tensor>& keys,
                                      const Tensor& positive, const Tensor& negative,
                                      const Tensor& positive_distance,
                                      const Tensor& negative_distance, int64_t metric) {
  const Chosen c = read_chosen("mine_hardest_backward", grad_positive, grad_negative, x, keys,
                               positive, negative, positive_distance, negative_distance, metric);
  return by_dtype(c.x, [&](auto zero) { return backward<decltype(zero)>(c); });
}

STABLE_TORCH_LIBRARY_IMPL(reid_ext, CPU, m) {
  m.impl("mine_hardest_backward", TORCH_BOX(&mine_hardest_backward_cpu));
}

}  // namespace reid_ext::mining
