// Implements product_cpu.h, once for each kind of processor.
//
// Rows are copied to panels of a few rows that lie together, block by block of lanes_cpu.h, so that
// the inner loop reads memory in order. It multiplies a panel of a with four rows of b and holds
// all partial sums in registers.
#include "common/product_cpu.h"

#include <vector>

#include "common/lanes_cpu.h"
#include "common/rows_cpu.h"

namespace reid_ext {
namespace {

constexpr int kCols = 4;               // rows of b that the inner loop multiplies
constexpr int64_t kPanels = 24;        // panels of b that stay in the L2 cache
constexpr int64_t kFewRows = 8;        // up to so many rows of one side, nothing is copied
constexpr int64_t kMinimum = 1 << 18;  // products of numbers that are worth a thread of their own

// Rows of a that the inner loop multiplies, by the number of registers.
template <int kBytes>
constexpr int kRowsOf = kBytes == 64   ? 6
                        : kBytes == 32 ? 3
                                       : 2;

// A block of `rows` rows in panels of kRows: for each panel, part of a chunk, chunk and row, the
// lanes of one register. Missing rows and elements are 0.
template <typename T, int kBytes, int kRows>
REID_INLINE void pack(const Rows<T>& x, int64_t first, int64_t rows, int64_t begin, int64_t length,
                      T* to) {
  constexpr int64_t n = Register<T, kBytes>::kCount, parts = Register<T, kBytes>::kParts;
  const int64_t chunks = (length + kLanes<T> - 1) / kLanes<T>, whole = length / kLanes<T>;
  for (int64_t r0 = 0; r0 < rows; r0 += kRows, to += chunks * kRows * kLanes<T>) {
    for (int64_t r = 0; r < kRows; ++r) {
      T last[kLanes<T>] = {};
      const bool there = r0 + r < rows;
      const T* from = there ? x.row(first + r0 + r) + begin : last;
      if (there) std::copy(from + whole * kLanes<T>, from + length, last);
      for (int64_t c = 0; c < chunks; ++c) {
        const T* chunk = there && c < whole ? from + c * kLanes<T> : last;
        for (int64_t p = 0; p < parts; ++p) {
          std::memcpy(to + ((p * chunks + c) * kRows + r) * n, chunk + p * n, kBytes);
        }
      }
    }
  }
}

// Where the registers of a row begin, and the distances to the next part, chunk and row.
template <typename T>
struct Steps {
  const T* data;
  int64_t part, chunk, row;
};

// sums[i][j] = the product of a block of row i of a and row j of b.
template <typename T, int kBytes, int kRows>
REID_INLINE void multiply_panels(const Steps<T>& a, const Steps<T>& b, int64_t chunks,
                                 T (*sums)[kCols]) {
  using V = Vector<T, kBytes>;
  constexpr int parts = Register<T, kBytes>::kParts, half = parts > 1 ? parts / 2 : 1;
  V total[kRows][kCols];
  REID_UNROLL for (int h = 0; h < half; ++h) {
    V folded[kRows][kCols];
    REID_UNROLL for (int p = h; p < parts; p += half) {
      V sum[kRows][kCols] = {};
      const T *x = a.data + p * a.part, *y = b.data + p * b.part;
      for (int64_t c = 0; c < chunks; ++c, x += a.chunk, y += b.chunk) {
        V of_b[kCols];
        REID_UNROLL for (int j = 0; j < kCols; ++j) of_b[j] = load<T, kBytes>(y + j * b.row);
        REID_UNROLL for (int i = 0; i < kRows; ++i) {
          const V of_a = load<T, kBytes>(x + i * a.row);
          REID_UNROLL for (int j = 0; j < kCols; ++j) sum[i][j] += of_a * of_b[j];
        }
      }
      REID_UNROLL for (int i = 0; i < kRows; ++i) {
        REID_UNROLL for (int j = 0; j < kCols; ++j) {
          folded[i][j] = p == h ? sum[i][j] : folded[i][j] + sum[i][j];
        }
      }
    }
    REID_UNROLL for (int i = 0; i < kRows; ++i) {
      REID_UNROLL for (int j = 0; j < kCols; ++j) {
        total[i][j] = h == 0 ? folded[i][j] : total[i][j] + folded[i][j];
      }
    }
  }
  REID_UNROLL for (int i = 0; i < kRows; ++i) sum_four<T, kBytes>(total[i], sums[i]);
}

// Adds the sums of a block to a corner of out, or stores them.
template <typename T>
REID_INLINE void put(const T (*sums)[kCols], int64_t rows, int64_t cols, bool adds, T* out,
                     int64_t stride) {
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < cols; ++j) {
      out[i * stride + j] = adds ? out[i * stride + j] + sums[i][j] : sums[i][j];
    }
  }
}

// The rows of a in panels, all blocks one after the other.
template <typename T>
struct Packed {
  std::vector<T> data;
  int64_t rows, padded;
};

template <typename T>
struct Job {
  Rows<T> b;
  int64_t d;
  T* out;
};

// Columns begin .. end of the product.
template <typename T, int kBytes>
REID_INLINE void multiply_columns(const Packed<T>& a, const Job<T>& job, int64_t begin,
                                  int64_t end) {
  constexpr int kRows = kRowsOf<kBytes>;
  constexpr int64_t n = Register<T, kBytes>::kCount, group = kPanels * kCols;
  std::vector<T> panels(group *
                        std::min(kBlock<T>, (job.d + kLanes<T> - 1) / kLanes<T> * kLanes<T>));
  const int64_t stride = job.b.count;
  for (int64_t j0 = begin; j0 < end; j0 += group) {
    const int64_t cols = std::min(group, end - j0);
    for (int64_t k = 0; k == 0 || k < job.d; k += kBlock<T>) {
      const int64_t length = std::min(kBlock<T>, job.d - k);
      const int64_t chunks = (length + kLanes<T> - 1) / kLanes<T>, lanes = chunks * kLanes<T>;
      pack<T, kBytes, kCols>(job.b, j0, cols, k, length, panels.data());
      const T* of_a = a.data.data() + k * a.padded;
      for (int64_t i = 0; i < a.rows; i += kRows) {
        const Steps<T> x = {of_a + i * lanes, chunks * kRows * n, kRows * n, n};
        for (int64_t j = 0; j < cols; j += kCols) {
          const Steps<T> y = {panels.data() + j * lanes, chunks * kCols * n, kCols * n, n};
          T sums[kRows][kCols];
          multiply_panels<T, kBytes, kRows>(x, y, chunks, sums);
          T* out = job.out + i * stride + j0 + j;
          const int64_t rows = a.rows - i, left = cols - j;
          if (rows >= kRows && left >= kCols) {
            put(sums, kRows, kCols, k > 0, out, stride);
          } else {
            put(sums, std::min<int64_t>(rows, kRows), std::min<int64_t>(left, kCols), k > 0, out,
                stride);
          }
        }
      }
    }
  }
}

template <typename T, int kBytes>
REID_INLINE void pack_rows(const Rows<T>& a, int64_t d, int64_t begin, int64_t end, Packed<T>& to) {
  constexpr int kRows = kRowsOf<kBytes>;
  for (int64_t k = 0; k < d; k += kBlock<T>) {
    const int64_t length = std::min(kBlock<T>, d - k);
    const int64_t lanes = (length + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
    pack<T, kBytes, kRows>(a, begin, end - begin, k, length,
                           to.data.data() + k * to.padded + begin * lanes);
  }
}

// out[i] = the product of x[i] and y for kCount rows.
template <typename T, int kBytes, int kCount>
REID_INLINE void dots_of(const T* const* x, const T* y, int64_t d, T* out) {
  using V = Vector<T, kBytes>;
  constexpr int n = Register<T, kBytes>::kCount, parts = Register<T, kBytes>::kParts;
  constexpr int half = parts > 1 ? parts / 2 : 1;
  for (int64_t k = 0; k == 0 || k < d; k += kBlock<T>) {
    const int64_t length = std::min(kBlock<T>, d - k), whole = length / kLanes<T>;
    V total[kCount + 3] = {};  // sum_four reads up to three more
    REID_UNROLL for (int h = 0; h < half; ++h) {
      V folded[kCount] = {};
      REID_UNROLL for (int p = h; p < parts; p += half) {
        V sum[kCount] = {};
        for (int64_t c = 0; c < whole; ++c) {
          const int64_t at = k + c * kLanes<T> + p * n;
          const V of_y = load<T, kBytes>(y + at);
          REID_UNROLL for (int i = 0; i < kCount; ++i) sum[i] += load<T, kBytes>(x[i] + at) * of_y;
        }
        const int64_t at = k + whole * kLanes<T> + p * n;
        const int64_t rest = std::clamp<int64_t>(d - at, 0, n);
        if (whole * kLanes<T> < length && rest > 0) {
          T last[n] = {};
          std::copy_n(y + at, rest, last);
          const V of_y = load<T, kBytes>(last);
          for (int i = 0; i < kCount; ++i) {
            std::copy_n(x[i] + at, rest, last);
            sum[i] += load<T, kBytes>(last) * of_y;
          }
        }
        REID_UNROLL for (int i = 0; i < kCount; ++i) {
          folded[i] = p == h ? sum[i] : folded[i] + sum[i];
        }
      }
      REID_UNROLL for (int i = 0; i < kCount; ++i) {
        total[i] = h == 0 ? folded[i] : total[i] + folded[i];
      }
    }
    for (int i = 0; i < kCount; i += 4) {
      T sums[4];
      sum_four<T, kBytes>(total + i, sums);
      for (int j = i; j < std::min(i + 4, kCount); ++j)
        out[j] = k > 0 ? out[j] + sums[j - i] : sums[j - i];
    }
  }
}

template <typename T, int kBytes>
REID_INLINE void dots_by(const T* const* x, int64_t count, const T* y, int64_t d, T* out) {
  int64_t i = 0;
  for (; i + kCompany <= count; i += kCompany) dots_of<T, kBytes, kCompany>(x + i, y, d, out + i);
  for (; i + 4 <= count; i += 4) dots_of<T, kBytes, 4>(x + i, y, d, out + i);
  for (; i < count; ++i) dots_of<T, kBytes, 1>(x + i, y, d, out + i);
}

// The functions of one kind of processor.
template <typename T>
struct Kernels {
  int rows;  // of a panel of a
  void (*pack)(const Rows<T>&, int64_t, int64_t, int64_t, Packed<T>&);
  void (*multiply)(const Packed<T>&, const Job<T>&, int64_t, int64_t);
  void (*dots)(const T* const*, int64_t, const T*, int64_t, T*);
};

#define REID_KERNELS(name, target, bytes)                                                       \
  template <typename T>                                                                         \
  target void pack_##name(const Rows<T>& a, int64_t d, int64_t i, int64_t end, Packed<T>& to) { \
    pack_rows<T, bytes>(a, d, i, end, to);                                                      \
  }                                                                                             \
  template <typename T>                                                                         \
  target void multiply_##name(const Packed<T>& a, const Job<T>& job, int64_t j, int64_t end) {  \
    multiply_columns<T, bytes>(a, job, j, end);                                                 \
  }                                                                                             \
  template <typename T>                                                                         \
  target void dots_##name(const T* const* x, int64_t count, const T* y, int64_t d, T* out) {    \
    dots_by<T, bytes>(x, count, y, d, out);                                                     \
  }                                                                                             \
  template <typename T>                                                                         \
  constexpr Kernels<T> kernels_##name = {kRowsOf<bytes>, pack_##name<T>, multiply_##name<T>,    \
                                         dots_##name<T>};

REID_KERNELS(baseline, , 16)
#if REID_HAS_LEVELS
REID_KERNELS(avx2, REID_AVX2, 32)
REID_KERNELS(avx512, REID_AVX512, 64)
#endif

template <typename T>
const Kernels<T>& kernels() {
#if REID_HAS_LEVELS
  static const int level = cpu_level();
  if (level == 4) return kernels_avx512<T>;
  if (level == 3) return kernels_avx2<T>;
#endif
  return kernels_baseline<T>;
}

template <typename T>
Rows<T> rows_of_tensor(const Tensor& x) {
  return {x.const_data_ptr<T>(), x.size(0), x.stride(0)};
}

// The rows of the longer side, one at a time, with all of the shorter side.
template <typename T>
void multiply_few(const Rows<T>& few, const Rows<T>& many, int64_t d, T* out, int64_t by_few,
                  int64_t by_many) {
  const T* x[kFewRows];
  for (int64_t i = 0; i < few.count; ++i) x[i] = few.row(i);
  const auto work = [&](int64_t begin, int64_t end) {
    T sums[kFewRows];
    for (int64_t j = begin; j < end; ++j) {
      kernels<T>().dots(x, few.count, many.row(j), d, sums);
      for (int64_t i = 0; i < few.count; ++i) out[i * by_few + j * by_many] = sums[i];
    }
  };
  torch::stable::parallel_for(0, many.count, rows_per_task(d * few.count), work);
}

}  // namespace

template <typename T>
void dots(const T* const* x, int64_t count, const T* y, int64_t d, T* out) {
  kernels<T>().dots(x, count, y, d, out);
}

template <typename T>
void multiply(const Rows<T>& a, const Rows<T>& b, int64_t d, T* out) {
  if (a.count == 0 || b.count == 0) return;
  if (a.count <= kFewRows) return multiply_few(a, b, d, out, b.count, 1);
  if (b.count <= kFewRows) return multiply_few(b, a, d, out, 1, b.count);
  const Kernels<T>& of = kernels<T>();
  const int64_t padded = (a.count + of.rows - 1) / of.rows * of.rows;
  const int64_t lanes = (d + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
  Packed<T> packed = {std::vector<T>(padded * lanes), a.count, padded};
  const int64_t panels = padded / of.rows;
  torch::stable::parallel_for(0, panels, rows_per_task(of.rows * d), [&](int64_t i, int64_t end) {
    of.pack(a, d, i * of.rows, std::min(a.count, end * of.rows), packed);
  });
  const Job<T> job = {b, d, out};
  const int64_t columns = (b.count + kCols - 1) / kCols;
  const int64_t fewest = std::max<int64_t>(1, kMinimum / std::max<int64_t>(1, kCols * d * a.count));
  torch::stable::parallel_for(0, columns, fewest, [&](int64_t j, int64_t end) {
    of.multiply(packed, job, j * kCols, std::min(b.count, end * kCols));
  });
}

void multiply_into(const Tensor& a, const Tensor& b, const Tensor& out) {
  const auto packed = [](const Tensor& x) {
    return x.stride(1) == 1 || x.size(1) <= 1 ? x : torch::stable::contiguous(x);
  };
  const Tensor x = packed(a), y = packed(b);
  by_dtype(a, [&](auto zero) {
    using T = decltype(zero);
    multiply(rows_of_tensor<T>(x), rows_of_tensor<T>(y), x.size(1), out.mutable_data_ptr<T>());
  });
}

Tensor products_cpu(const Tensor& a, const Tensor& b) {
  check_matrix("products", "a", a);
  const int64_t m = b.dim() > 0 ? b.size(0) : 0;
  check_like("products", "b", b, {m, a.size(1)}, "a", a);
  const Tensor out = torch::stable::new_empty(a, {a.size(0), m});
  multiply_into(a, b, out);
  return out;
}

template void multiply<float>(const Rows<float>&, const Rows<float>&, int64_t, float*);
template void multiply<double>(const Rows<double>&, const Rows<double>&, int64_t, double*);
template void dots<float>(const float* const*, int64_t, const float*, int64_t, float*);
template void dots<double>(const double* const*, int64_t, const double*, int64_t, double*);

STABLE_TORCH_LIBRARY_FRAGMENT(reid_ext, m) { m.def("products(Tensor a, Tensor b) -> Tensor"); }

STABLE_TORCH_LIBRARY_IMPL(reid_ext, CPU, m) { m.impl("products", TORCH_BOX(&products_cpu)); }

}  // namespace reid_ext
