// Schemas of the viewpoint ops and their CPU kernels. See viewpoint.h for the contract.
//
// Each thread processes a run of rows. A row is a few thousand logits, which stay in the cache of
// the core. It is read once for its maximum and again for its sums. The backward recomputes the
// exponentials, so the gradient is the only stored matrix of that size. The mean over the rows is
// summed in their order, so the number of threads does not change the result.
#include <algorithm>

#include "common/rows_cpu.h"
#include "viewpoint/viewpoint.h"

namespace reid_ext::viewpoint {
namespace {

// The present classes: their number, and a mask with 1 or 0 per column, as wide as a logit.
template <typename T>
struct Mask {
  int64_t classes;
  std::vector<T> present;  // empty if all are present

  explicit Mask(const Classes& c) : classes(c.columns()) {
    if (c.present == nullptr) return;
    present.assign(c.present, c.present + c.columns());
    classes = std::count(c.present, c.present + c.columns(), true);
  }
  const T* from(int64_t column) const {
    return present.empty() ? nullptr : present.data() + column;
  }
};

void check_rows(const Batch& b) {
  const Classes c = b.classes();
  for (int64_t i = 0; i < b.n; ++i) {
    if (!c.counts(i)) continue;
    STD_TORCH_CHECK(c.labels[i] >= 0 && c.labels[i] < c.identities, b.op,
                    ": labels must be in [0, ", c.identities, "), got ", c.labels[i], " in row ",
                    i);
    STD_TORCH_CHECK(c.view(i) >= 0 && c.view(i) < c.num_views, b.op, ": views must be in [0, ",
                    c.num_views, ") or -1 (unknown), got ", c.view(i), " in row ", i);
    STD_TORCH_CHECK(c.has(c.own(i)), b.op, ": present must be True for the class of every row, got",
                    " False for identity ", c.labels[i], ", view ", c.view(i), " of row ", i);
  }
}

template <bool kMasked, typename T>
REID_CLONES T row_maximum(const T* logits, const T* present, int64_t columns) {
  T maximum = kLowest<T>;
#pragma omp simd reduction(max : maximum)
  for (int64_t k = 0; k < columns; ++k) {
    const T value = kMasked && present[k] == T(0) ? kLowest<T> : logits[k];
    maximum = value > maximum ? value : maximum;
  }
  return maximum;
}

template <bool kMasked, typename T>
REID_CLONES void add_others(const T* logits, const T* present, T maximum, int64_t columns,
                            Others<T>* others) {
  T exps = 0, sum = 0;
#pragma omp simd reduction(+ : exps, sum)
  for (int64_t k = 0; k < columns; ++k) {
    const bool has = !kMasked || present[k] != T(0);
    const T shifted = logits[k] - maximum, e = fast_exp(shifted);
    exps += has ? e : T(0);
    sum += has ? shifted : T(0);
  }
  others->exps += exps;
  others->shifted += sum;
}

template <bool kMasked, typename T>
REID_CLONES void add_weighted(const T* logits, const T* present, T maximum, int64_t columns,
                              Others<T>* others) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t k = 0; k < columns; ++k) {
    const T value = weighted(logits[k] - maximum);
    sum += !kMasked || present[k] != T(0) ? value : T(0);
  }
  others->weighted += sum;
}

template <bool kMasked, typename T>
REID_CLONES void write_others(const T* logits, const T* present, T maximum, Slopes<T> slopes,
                              T* grad, int64_t columns) {
#pragma omp simd
  for (int64_t k = 0; k < columns; ++k) {
    const T value = slopes.elsewhere(fast_exp(logits[k] - maximum));
    grad[k] = !kMasked || present[k] != T(0) ? value : T(0);
  }
}

// Calls f(first column, count) for the identities before that of the row, and for those after it.
template <typename F>
void elsewhere(const Classes& c, int64_t row, F f) {
  const int64_t first = c.first(row), after = first + c.num_views;
  f(int64_t(0), first);
  f(after, c.columns() - after);
}

template <bool kMasked, typename T>
T one_loss(const Batch& b, const Classes& c, const Mask<T>& mask, int64_t row, const T* logits,
           T* maximum, T* others) {
  *maximum = row_maximum<kMasked>(logits, mask.from(0), c.columns());
  Others<T> sums;
  elsewhere(c, row, [&](int64_t first, int64_t columns) {
    add_others<kMasked>(logits + first, mask.from(first), *maximum, columns, &sums);
    if (b.targets == Targets::kReleased) {
      add_weighted<kMasked>(logits + first, mask.from(first), *maximum, columns, &sums);
    }
  });
  *others = sums.exps;
  const Own<T> own = own_of(c, row, logits, *maximum);
  return row_loss(labels_of(b.targets, T(b.alpha), own, sums.exps, mask.classes), own, sums);
}

template <bool kMasked, typename T>
LossTensors forward(const Batch& b, bool each) {
  const Classes c = b.classes();
  const Mask<T> mask(c);
  const LossTensors out = empty_loss(b, each);
  const T* logits = b.logits.const_data_ptr<T>();
  T* maximum = std::get<1>(out).mutable_data_ptr<T>();
  T* others = std::get<2>(out).mutable_data_ptr<T>();
  std::vector<T> losses(b.n, kNaN<T>);
  torch::stable::parallel_for(
      0, b.n, rows_per_task(4 * c.columns()), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          maximum[i] = others[i] = T(0);
          if (!c.counts(i)) continue;
          losses[i] =
              one_loss<kMasked>(b, c, mask, i, logits + i * c.columns(), maximum + i, others + i);
        }
      });
  double sum = 0, count = 0;
  for (int64_t i = 0; i < b.n; ++i) {
    if (!c.counts(i)) continue;
    sum += losses[i];
    count += 1;
  }
  const double weight = each ? 1 : count > 0 ? 1 / count : 0;
  T* loss = std::get<0>(out).mutable_data_ptr<T>();
  if (each) {
    std::copy(losses.begin(), losses.end(), loss);
  } else {
    *loss = T(sum * weight);
  }
  *std::get<3>(out).mutable_data_ptr<T>() = T(weight);
  return out;
}

template <bool kMasked, typename T>
void one_grad(const Batch& b, const Classes& c, const Mask<T>& mask, int64_t row, const T* logits,
              T maximum, T others, T scale, T* grad) {
  const Own<T> own = own_of(c, row, logits, maximum);
  const Labels<T> labels = labels_of(b.targets, T(b.alpha), own, others, mask.classes);
  const Slopes<T> slopes = slopes_of(labels, own, others, scale);
  elsewhere(c, row, [&](int64_t first, int64_t columns) {
    write_others<kMasked>(logits + first, mask.from(first), maximum, slopes, grad + first, columns);
  });
  for (int64_t k = c.first(row); k < c.first(row) + c.num_views; ++k) {
    grad[k] = grad_at(c, row, k, logits[k] - maximum, slopes);
  }
}

template <bool kMasked, typename T>
Tensor backward(const Batch& b, const Saved& saved) {
  const Classes c = b.classes();
  const Mask<T> mask(c);
  Tensor out = torch::stable::new_empty(b.logits, {b.n, b.columns()});
  const T *logits = b.logits.const_data_ptr<T>(), *g = saved.grad_loss.const_data_ptr<T>();
  const T* maximum = saved.maximum.const_data_ptr<T>();
  const T* others = saved.others.const_data_ptr<T>();
  const T weight = *saved.weight.const_data_ptr<T>();
  T* grad = out.mutable_data_ptr<T>();
  torch::stable::parallel_for(
      0, b.n, rows_per_task(2 * c.columns()), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const int64_t row = i * c.columns();
          if (c.counts(i)) {
            one_grad<kMasked>(b, c, mask, i, logits + row, maximum[i], others[i],
                              weight * g[i * saved.grad_stride], grad + row);
          } else {
            std::fill_n(grad + row, c.columns(), T(0));
          }
        }
      });
  return out;
}

}  // namespace

LossTensors loss_cpu(const Tensor& logits, const Tensor& labels, const std::optional<Tensor>& views,
                     const std::optional<Tensor>& present, int64_t num_views, double alpha,
                     int64_t targets, bool each) {
  const Batch b = read(logits, labels, views, present, num_views, alpha, targets);
  check_rows(b);
  return by_dtype(b.logits, [&](auto zero) {
    using T = decltype(zero);
    return b.present ? forward<true, T>(b, each) : forward<false, T>(b, each);
  });
}

Tensor loss_backward_cpu(const Tensor& grad_loss, const Tensor& logits, const Tensor& labels,
                         const std::optional<Tensor>& views, const std::optional<Tensor>& present,
                         const Tensor& maximum, const Tensor& others, const Tensor& weight,
                         int64_t num_views, double alpha, int64_t targets) {
  const Batch b = read(logits, labels, views, present, num_views, alpha, targets);
  const Saved saved = read_saved(b, grad_loss, maximum, others, weight);
  check_rows(b);
  return by_dtype(b.logits, [&](auto zero) {
    using T = decltype(zero);
    return b.present ? backward<true, T>(b, saved) : backward<false, T>(b, saved);
  });
}

STABLE_TORCH_LIBRARY_FRAGMENT(reid_ext, m) {
  m.def(
      "viewpoint_loss(Tensor logits, Tensor labels, Tensor? views, Tensor? present, int num_views,"
      " float alpha, int targets, bool each) -> (Tensor, Tensor, Tensor, Tensor)");
  m.def(
      "viewpoint_loss_backward(Tensor grad_loss, Tensor logits, Tensor labels, Tensor? views,"
      " Tensor? present, Tensor maximum, Tensor others, Tensor weight, int num_views, float alpha,"
      " int targets) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(reid_ext, CPU, m) {
  m.impl("viewpoint_loss", TORCH_BOX(&loss_cpu));
  m.impl("viewpoint_loss_backward", TORCH_BOX(&loss_backward_cpu));
}

}  // namespace reid_ext::viewpoint
