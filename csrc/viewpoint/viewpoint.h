// Softmax cross entropy over (identity, view) classes with labels for both levels.
//
//   loss[i] = -sum_jk t_jk log r(j, k),   r = softmax of row i over the classes that are present
//
// Identity y has n present views, K classes are present in all, and (y, v) is the class of the row:
//   adaptive   own class 1 - e1 - e2, its n - 1 other views e2 / (n - 1) each, the K - n classes of
//              other identities e1 / (K - n) each; e1 = alpha (1 - sum_v r(y, v)) and
//              e2 = alpha (1 - r(y, v)), or 0 if no class would get a share, so the sum is always 1
//   fixed      own class 0.6, its other views 0.3 together, and 0.1 / K for every class; an
//              identity with a single view has 0.9
//   hard       own class 1
//   released   for one view only: own class 1 - alpha (1 - r_y), and alpha (1 - r_j) / (K - 1) for
//              every class j by its own r_j; the sum is 1 + alpha r_y
// The labels are constants in the gradient: d loss / d logit = (sum of t) r - t.
// With one view, adaptive is the identity label smoothing of the same paper.
//
// Source: Zhu et al., "Viewpoint-Aware Loss with Angular Regularization for Person
// Re-Identification", AAAI 2020, arXiv:1912.01300. The paper has n = 3 and K = 3 C. fixed and
// released are from its released code, where the fixed labels of a single view sum to 0.6, not 1.
//
//   logits   (N, C V)  float32|float64, sorted by identity, of any magnitude; NaN gives a NaN row
//   labels   (N,)      int64 in [0, C)
//   views    (N,)      int64 in [0, V), or -1 if the row does not count; if missing, V = 1 and all
//                      views are 0
//   present  (C, V)    bool; if missing, all classes are present. Absent classes have probability
//                      0 and no gradient
//   loss     ()        mean over the rows that count, 0 if there are none
//            (N,)      with each, one per row; NaN if the row does not count
// For the backward: maximum (N,) of the present logits; others (N,), the sum of
// exp(logit - maximum) over other identities; weight (), the factor of each row's loss.
//
// If a label or view is out of range, or the class of a row is absent, the CPU raises an error.
// CUDA does not synchronise to check: the loss and the gradient of that row are NaN, and no memory
// is read out of bounds.
#pragma once

#include <cmath>
#include <limits>
#include <optional>
#include <tuple>

#include "common/check.h"
#include "common/exponential.h"
#include "common/metric.h"

namespace reid_ext::viewpoint {

enum class Targets { kAdaptive, kFixed, kHard, kReleased };

constexpr double kFixedOtherViews = 0.3, kFixedEverywhere = 0.1;
constexpr int64_t kNoView = -1;
template <typename T>
constexpr T kLowest = -std::numeric_limits<T>::infinity();

// The classes of one batch, as pointers to contiguous memory.
struct Classes {
  const int64_t *labels, *views;  // views is null if all are 0
  const bool* present;            // null if all classes are
  int64_t identities, num_views;

  REID_HD int64_t columns() const { return identities * num_views; }
  REID_HD int64_t view(int64_t row) const { return views == nullptr ? 0 : views[row]; }
  REID_HD bool counts(int64_t row) const { return view(row) != kNoView; }
  REID_HD bool has(int64_t column) const { return present == nullptr || present[column]; }
  REID_HD bool in_range(int64_t row) const {
    return labels[row] >= 0 && labels[row] < identities && view(row) >= 0 && view(row) < num_views;
  }
  // For a row in range: the first column of its identity, and its own column.
  REID_HD int64_t first(int64_t row) const { return labels[row] * num_views; }
  REID_HD int64_t own(int64_t row) const { return first(row) + view(row); }
};

// Sums over the present classes of other identities, with shifted = logit - maximum.
template <typename T>
struct Others {
  T exps = 0, shifted = 0;  // sums of exp(shifted) and shifted
  T weighted = 0;           // sum of exp(shifted) * shifted, used by the released labels only
};

// exp(shifted) * shifted, which is 0 at minus infinity.
template <typename T>
REID_HD T weighted(T shifted) {
  const T e = fast_exp(shifted);
  return e == T(0) ? T(0) : e * shifted;
}

// The present views of the row's identity: the own class, and the sums over the other views.
template <typename T>
struct Own {
  T exp = 0, shifted = 0, other_exps = 0, other_shifted = 0;
  int64_t other_views = 0;
};

template <typename T>
REID_HD Own<T> own_of(const Classes& c, int64_t row, const T* logits, T maximum) {
  Own<T> own;
  for (int64_t k = c.first(row); k < c.first(row) + c.num_views; ++k) {
    const T shifted = logits[k] - maximum, e = fast_exp(shifted);
    if (k == c.own(row)) {
      own.exp = e;
      own.shifted = shifted;
    } else if (c.has(k)) {
      own.other_exps += e;
      own.other_shifted += shifted;
      own.other_views += 1;
    }
  }
  return own;
}

// The labels of one row: 1 - missing for its own class, `other` for each other view of its
// identity, and elsewhere + slope * r for a class of another identity with probability r. Their sum
// is 1 + surplus.
template <typename T>
struct Labels {
  T missing, other, elsewhere, slope, surplus;
};

// Computes 1 - r as the sum of the other probabilities, which is accurate near r = 1.
template <typename T>
REID_HD Labels<T> labels_of(Targets targets, T alpha, const Own<T>& own, T others,
                            int64_t classes) {
  const int64_t elsewhere = classes - 1 - own.other_views;
  const T each_view = own.other_views > 0 ? T(1) / T(own.other_views) : T(0);
  const T each_class = elsewhere > 0 ? T(1) / T(elsewhere) : T(0);
  const T sum = own.exp + own.other_exps + others;
  if (targets == Targets::kAdaptive) {
    const T e1 = elsewhere > 0 ? alpha * others / sum : T(0);
    const T e2 = own.other_views > 0 ? alpha * (own.other_exps + others) / sum : T(0);
    return {e1 + e2, e2 * each_view, e1 * each_class, T(0), T(0)};
  }
  if (targets == Targets::kFixed) {
    const T everywhere = T(kFixedEverywhere) / T(classes);
    const T views = own.other_views > 0 ? T(kFixedOtherViews) : T(0);
    return {T(kFixedEverywhere) + views - everywhere, views * each_view + everywhere, everywhere,
            T(0), T(0)};
  }
  if (targets == Targets::kHard) return {T(0), T(0), T(0), T(0), T(0)};
  const T share = alpha * each_class;
  return {(alpha - share) * others / sum, T(0), share, -share,
          elsewhere > 0 ? alpha * own.exp / sum : T(0)};
}

// weight * value, or 0 if the weight is 0, even for an infinite value.
template <typename T>
REID_HD T part(T weight, T value) {
  return weight == T(0) ? T(0) : weight * value;
}

template <typename T>
REID_HD T row_loss(const Labels<T>& labels, const Own<T>& own, const Others<T>& others) {
  const T sum = own.exp + own.other_exps + others.exps;
  return (T(1) + labels.surplus) * std::log(sum) - part(T(1) - labels.missing, own.shifted) -
         part(labels.other, own.other_shifted) - part(labels.elsewhere, others.shifted) -
         part(labels.slope, others.weighted / sum);
}

// The gradient of scale * row_loss in the logits: of the own class, of another view of the
// identity, and of a class of another identity with exp(logit - maximum) = e.
template <typename T>
struct Slopes {
  T own, per_exp_of_view, constant_of_view, per_exp, constant;

  REID_HD T elsewhere(T e) const { return per_exp * e - constant; }
};

template <typename T>
REID_HD Slopes<T> slopes_of(const Labels<T>& labels, const Own<T>& own, T others, T scale) {
  const T wrong = own.other_exps + others, sum = own.exp + wrong;
  const T total = T(1) + labels.surplus;
  return {scale * (labels.surplus * own.exp / sum + labels.missing - wrong / sum),
          scale * total / sum, scale * labels.other, scale * (total - labels.slope) / sum,
          scale * labels.elsewhere};
}

// The gradient of a row in any of its logits.
template <typename T>
REID_HD T grad_at(const Classes& c, int64_t row, int64_t column, T shifted,
                  const Slopes<T>& slopes) {
  if (!c.has(column)) return T(0);
  if (column == c.own(row)) return slopes.own;
  const T e = fast_exp(shifted);
  const bool view = column >= c.first(row) && column < c.first(row) + c.num_views;
  return view ? slopes.per_exp_of_view * e - slopes.constant_of_view : slopes.elsewhere(e);
}

// The inputs of the op, checked and contiguous.
struct Batch {
  const char* op;  // the public function, for errors
  Tensor logits, labels;
  std::optional<Tensor> views, present;
  int64_t n, num_views;
  double alpha;
  Targets targets;

  int64_t columns() const { return logits.size(1); }
  Classes classes() const {
    return {labels.const_data_ptr<int64_t>(), views ? views->const_data_ptr<int64_t>() : nullptr,
            present ? present->const_data_ptr<bool>() : nullptr, columns() / num_views, num_views};
  }
};

// Reads the targets by their number in the schema.
inline Targets read_targets(const char* op, int64_t targets, int64_t num_views) {
  const bool known = targets >= 0 && targets <= (num_views == 1 ? 3 : 2);
  STD_TORCH_CHECK(known, op,
                  ": targets must be 0 (adaptive), 1 (fixed), 2 (hard), or 3 (released) for one "
                  "view, got ",
                  targets);
  return static_cast<Targets>(targets);
}

inline void check_present(const char* op, const Tensor& present, const Tensor& logits,
                          int64_t num_views) {
  const std::vector<int64_t> shape = {logits.size(1) / num_views, num_views};
  STD_TORCH_CHECK(shape_of(present) == shape, op, ": present must have shape ", shape_str(shape),
                  " to go with logits, got ", shape_str(shape_of(present)));
  STD_TORCH_CHECK(present.scalar_type() == ScalarType::Bool, op, ": present must be bool, got ",
                  torch::headeronly::toString(present.scalar_type()), "; call .bool() on it");
  STD_TORCH_CHECK(present.device() == logits.device(), op, ": present must be on ",
                  device_str(logits), " like logits, got ", device_str(present));
}

inline Batch read(const Tensor& logits, const Tensor& labels, const std::optional<Tensor>& views,
                  const std::optional<Tensor>& present, int64_t num_views, double alpha,
                  int64_t targets) {
  const char* op = views ? "viewpoint_loss" : "adaptive_label_smoothing_loss";
  STD_TORCH_CHECK(logits.dim() == 2, op, ": logits must have shape ",
                  views ? "(N, C * V)" : "(N, C)", ", got ", shape_str(shape_of(logits)));
  check_real(op, "logits", logits);
  STD_TORCH_CHECK(num_views >= 1 && (views || num_views == 1), op,
                  ": num_views must be at least 1, and 1 without views, got ", num_views);
  STD_TORCH_CHECK(logits.size(1) % num_views == 0, op, ": logits must have num_views = ", num_views,
                  " columns per identity, got ", logits.size(1), " columns");
  const int64_t n = logits.size(0);
  check_integers(op, "labels", labels, n, "logits", logits);
  if (views) check_integers(op, "views", *views, n, "logits", logits);
  if (present) check_present(op, *present, logits, num_views);
  Batch b = {op,
             torch::stable::contiguous(logits),
             torch::stable::contiguous(labels),
             std::nullopt,
             std::nullopt,
             n,
             num_views,
             alpha,
             read_targets(op, targets, num_views)};
  const bool adapts = b.targets == Targets::kAdaptive || b.targets == Targets::kReleased;
  const double most = num_views > 1 ? 0.5 : 1.0;  // above this, a label can be negative
  STD_TORCH_CHECK(!adapts || (alpha >= 0 && alpha <= most), op, ": alpha must be in [0, ", most,
                  "], got ", alpha);
  if (views) b.views = torch::stable::contiguous(*views);
  if (present) b.present = torch::stable::contiguous(*present);
  return b;
}

// The loss, maximum, others and weight.
using LossTensors = std::tuple<Tensor, Tensor, Tensor, Tensor>;

inline LossTensors empty_loss(const Batch& b, bool each) {
  const std::vector<int64_t> shape = each ? std::vector<int64_t>{b.n} : std::vector<int64_t>{};
  return {torch::stable::new_empty(b.logits, shape), torch::stable::new_empty(b.logits, {b.n}),
          torch::stable::new_empty(b.logits, {b.n}), torch::stable::new_empty(b.logits, {})};
}

// The results of the forward that the backward needs, and the incoming gradient, () or one per row.
struct Saved {
  Tensor grad_loss, maximum, others, weight;
  int64_t grad_stride;
};

inline Saved read_saved(const Batch& b, const Tensor& grad_loss, const Tensor& maximum,
                        const Tensor& others, const Tensor& weight) {
  const char* op = "viewpoint_loss_backward";
  const bool each = grad_loss.dim() > 0;
  const std::vector<int64_t> scalar, row = {b.n};
  check_like(op, "grad_loss", grad_loss, each ? row : scalar, "logits", b.logits);
  check_like(op, "maximum", maximum, row, "logits", b.logits);
  check_like(op, "others", others, row, "logits", b.logits);
  check_like(op, "weight", weight, scalar, "logits", b.logits);
  return {torch::stable::contiguous(grad_loss), torch::stable::contiguous(maximum),
          torch::stable::contiguous(others), weight, each};
}

// The CPU kernels, declared here for viewpoint_test.cpp. All other callers use the dispatcher.
LossTensors loss_cpu(const Tensor& logits, const Tensor& labels, const std::optional<Tensor>& views,
                     const std::optional<Tensor>& present, int64_t num_views, double alpha,
                     int64_t targets, bool each);
Tensor loss_backward_cpu(const Tensor& grad_loss, const Tensor& logits, const Tensor& labels,
                         const std::optional<Tensor>& views, const std::optional<Tensor>& present,
                         const Tensor& maximum, const Tensor& others, const Tensor& weight,
                         int64_t num_views, double alpha, int64_t targets);

}  // namespace reid_ext::viewpoint
