// Schemas of the cosine ops and their CPU kernels. See cosine.h for the contract.
//
// Forward: the product, then one pass that scales, clamps and, for angles, refines.
// Backward: one pass over rows makes the weights of the two products and the row sums, and a second
// pass makes the column sums. One thread computes each sum, in a fixed order.
#include <vector>

#include "common/product_cpu.h"
#include "common/rows_cpu.h"
#include "cosine/cosine.h"

namespace reid_ext::cosine {
namespace {

constexpr int64_t kColumns = 512;

template <typename T>
REID_CLONES void scale_row(T* row, T inverse, const T* inverses, int64_t m) {
#pragma omp simd
  for (int64_t j = 0; j < m; ++j) row[j] = clamped(row[j] * inverse * inverses[j]);
}

template <typename T>
struct Sides {
  const T *x, *y;
  std::vector<T> ix, iy;  // inverse norms, (B N) and (B M)

  explicit Sides(const Problem& p)
      : x(p.x.const_data_ptr<T>()),
        y(p.y.const_data_ptr<T>()),
        ix(inverse_norms(x, p.batch * p.n, p.d)),
        iy(inverse_norms(y, p.batch * p.m, p.d)) {}
};

template <typename T>
void refine_row(T* row, const T* x, T ix, const T* y, const T* iy, int64_t m, int64_t d) {
  for (int64_t j = 0; j < m; ++j) {
    const bool near_0 = row[j] < kRefined<T>;
    if (!near_0 && !(row[j] > kPi<T> - kRefined<T>)) continue;
    const T ratio = length_ratio(ix, near_0 ? iy[j] : -iy[j]);
    const T angle = angle_from_difference(pair_sum(x, y + j * d, ratio, ix, d));
    row[j] = near_0 ? angle : kPi<T> - angle;
  }
}

// Calls work(row of x among all batches, its batch) for every row, in parallel.
template <typename Work>
void for_rows(const Problem& p, const Work& work) {
  torch::stable::parallel_for(0, p.batch * p.n, rows_per_task(p.m),
                              [&](int64_t begin, int64_t end) {
                                for (int64_t r = begin; r < end; ++r) work(r, r / p.n);
                              });
}

// a (B, N, K) times b (B, K, M).
Tensor product(const Tensor& a, const Tensor& b) {
  const Tensor out = torch::stable::new_empty(a, {a.size(0), a.size(1), b.size(2)});
  const Tensor rows = torch::stable::transpose(b, 1, 2);
  for (int64_t i = 0; i < a.size(0); ++i) {
    multiply_into(torch::stable::select(a, 0, i), torch::stable::select(rows, 0, i),
                  torch::stable::select(out, 0, i));
  }
  return out;
}

template <typename T>
Tensor forward(const Problem& p, bool angle) {
  const Sides<T> s(p);
  const Tensor out = product(p.x, torch::stable::transpose(p.y, 1, 2));
  T* values = out.mutable_data_ptr<T>();
  for_rows(p, [&](int64_t r, int64_t b) {
    scale_row(values + r * p.m, s.ix[r], s.iy.data() + b * p.m, p.m);
  });
  if (!angle) return out;
  call("aten::acos_", "", out);
  for_rows(p, [&](int64_t r, int64_t b) {
    refine_row(values + r * p.m, s.x + r * p.d, s.ix[r], s.y + b * p.m * p.d, s.iy.data() + b * p.m,
               p.m, p.d);
  });
  return out;
}

template <typename T>
REID_CLONES T weigh_row(const T* grad, const T* cosine, T inverse, const T* inverses, T* scaled,
                        int64_t m) {
  T along = 0;
#pragma omp simd reduction(+ : along)
  for (int64_t j = 0; j < m; ++j) {
    along += grad[j] * cosine[j];
    scaled[j] = grad[j] * (inverse * inverses[j]);
  }
  return along * inverse * inverse;
}

template <typename T>
REID_CLONES void add_products(const T* grad, const T* cosine, T* sums, int64_t columns) {
#pragma omp simd
  for (int64_t j = 0; j < columns; ++j) sums[j] += grad[j] * cosine[j];
}

// If y is x: adds the weights of both sides to one symmetric matrix, tile by tile.
template <typename T>
void fold(const Problem& p, const Weights& w) {
  constexpr int64_t kTile = 64;
  T* along_x = w.along_x.mutable_data_ptr<T>();
  const T* along_y = w.along_y.const_data_ptr<T>();
  for (int64_t r = 0; r < p.batch * p.n; ++r) along_x[r] += along_y[r];
  const int64_t strips = (p.n + kTile - 1) / kTile;
  torch::stable::parallel_for(0, p.batch * strips, 1, [&](int64_t begin, int64_t end) {
    for (int64_t strip = begin; strip < end; ++strip) {
      T* s = w.scaled.mutable_data_ptr<T>() + strip / strips * p.n * p.n;
      const int64_t i0 = strip % strips * kTile, i1 = std::min(p.n, i0 + kTile);
      for (int64_t j0 = i0; j0 < p.n; j0 += kTile) {
        for (int64_t i = i0; i < i1; ++i) {
          for (int64_t j = std::max(i, j0); j < std::min(p.n, j0 + kTile); ++j) {
            s[i * p.n + j] = s[j * p.n + i] = s[i * p.n + j] + s[j * p.n + i];
          }
        }
      }
    }
  });
}

template <typename T>
GradTensors backward(const Problem& p, const Tensor& grad, const Tensor& cosine) {
  const Sides<T> s(p);
  const Weights w = empty_weights(p);
  const T *g = grad.const_data_ptr<T>(), *c = cosine.const_data_ptr<T>();
  T* scaled = w.scaled.mutable_data_ptr<T>();
  T* along_x = w.along_x.mutable_data_ptr<T>();
  T* along_y = w.along_y.mutable_data_ptr<T>();
  for_rows(p, [&](int64_t r, int64_t b) {
    along_x[r] =
        weigh_row(g + r * p.m, c + r * p.m, s.ix[r], s.iy.data() + b * p.m, scaled + r * p.m, p.m);
  });
  const int64_t strips = (p.m + kColumns - 1) / kColumns;
  torch::stable::parallel_for(0, p.batch * strips, 1, [&](int64_t begin, int64_t end) {
    for (int64_t strip = begin; strip < end; ++strip) {
      const int64_t b = strip / strips, first = strip % strips * kColumns;
      const int64_t columns = std::min(kColumns, p.m - first);
      T* sums = along_y + b * p.m + first;
      std::fill(sums, sums + columns, T(0));
      for (int64_t r = b * p.n; r < (b + 1) * p.n; ++r) {
        add_products(g + r * p.m + first, c + r * p.m + first, sums, columns);
      }
      for (int64_t j = 0; j < columns; ++j) {
        const T inverse = s.iy[b * p.m + first + j];
        sums[j] *= inverse * inverse;
      }
    }
  });
  if (p.self) fold<T>(p, w);
  return gradients(p, w, product);
}

}  // namespace

Tensor cosine_matrix_cpu(const Tensor& x, const std::optional<Tensor>& y, bool angle) {
  const Problem p = read("cosine_matrix", x, y);
  return by_dtype(p.x, [&](auto zero) { return forward<decltype(zero)>(p, angle); });
}

GradTensors cosine_matrix_backward_cpu(const Tensor& grad, const Tensor& cosine, const Tensor& x,
                                       const std::optional<Tensor>& y) {
  const char* op = "cosine_matrix_backward";
  const Problem p = read(op, x, y);
  const Tensor g = read_grad(op, "grad", grad, p), c = read_grad(op, "cosine", cosine, p);
  return by_dtype(p.x, [&](auto zero) { return backward<decltype(zero)>(p, g, c); });
}

STABLE_TORCH_LIBRARY_FRAGMENT(reid_ext, m) {
  m.def("cosine_matrix(Tensor x, Tensor? y, bool angle) -> Tensor");
  m.def(
      "cosine_matrix_backward(Tensor grad, Tensor cosine, Tensor x, Tensor? y)"
      " -> (Tensor, Tensor)");
}

STABLE_TORCH_LIBRARY_IMPL(reid_ext, CPU, m) {
  m.impl("cosine_matrix", TORCH_BOX(&cosine_matrix_cpu));
  m.impl("cosine_matrix_backward", TORCH_BOX(&cosine_matrix_backward_cpu));
}

}  // namespace reid_ext::cosine
