// The product of rows on the CPU: right for every shape, with bits that depend on nothing but the
// two rows. Run by ctest, which also runs it under sanitizers and for every level of processor.
#include <algorithm>
#include <cmath>

#include "common/lanes_cpu.h"
#include "common/product_cpu.h"
#include "common/testing.h"

namespace {

using namespace reid_ext::testing;
using reid_ext::kBlock;
using reid_ext::multiply;
using reid_ext::one_dot;
using reid_ext::Rows;

template <typename T>
std::vector<T> numbers(int64_t count, int64_t seed) {
  std::vector<T> out;
  for (int64_t k = 0; k < count; ++k) out.push_back(T(std::sin(double(k) * 1.7 + double(seed))));
  return out;
}

// Products of n and m rows that are `stride` apart.
template <typename T>
std::vector<T> product(const std::vector<T>& a, int64_t n, const std::vector<T>& b, int64_t m,
                       int64_t d, int64_t stride) {
  std::vector<T> out(n * m, T(-1));
  multiply(Rows<T>{a.data(), n, stride}, Rows<T>{b.data(), m, stride}, d, out.data());
  return out;
}

template <typename T>
void test_values(const char* what) {
  bool right = true, alike = true;
  for (int64_t d : {int64_t(0), int64_t(1), int64_t(15), int64_t(16), int64_t(17), kBlock<T> - 1,
                    kBlock<T>, kBlock<T> + 9, 2 * kBlock<T> + 40}) {
    const int64_t stride = d + 3, n = 19, m = 31;
    const std::vector<T> a = numbers<T>(n * stride, 1), b = numbers<T>(m * stride, 2);
    const std::vector<T> whole = product(a, n, b, m, d, stride);
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < m; ++j) {
        const T *x = a.data() + i * stride, *y = b.data() + j * stride;
        double sum = 0, size = 0;
        for (int64_t k = 0; k < d; ++k) {
          sum += double(x[k]) * double(y[k]);
          size += std::abs(double(x[k]) * double(y[k]));
        }
        // A sum of d numbers in any order is off by at most d roundings of its terms.
        const double most = double(d + 1) * std::numeric_limits<T>::epsilon() * size;
        right &= std::abs(double(whole[i * m + j]) - sum) <= most;
        alike &= whole[i * m + j] == one_dot(x, y, d) && whole[i * m + j] == one_dot(y, x, d);
      }
    }
  }
  expect(right, what);
  expect(alike, "a product of two rows has the bits of their product among others");
}

template <typename T>
void test_every_number_of_rows() {
  const int64_t d = kBlock<T> + 5, most = 30;
  const std::vector<T> a = numbers<T>(most * d, 3), b = numbers<T>(most * d, 4);
  const std::vector<T> whole = product(a, most, b, most, d, d);
  bool equal = true;
  for (int64_t n = 0; n <= most; ++n) {
    for (int64_t m = 0; m <= most; ++m) {
      const std::vector<T> part = product(a, n, b, m, d, d);
      for (int64_t i = 0; i < n; ++i) {
        equal &=
            std::equal(part.begin() + i * m, part.begin() + (i + 1) * m, whole.begin() + i * most);
      }
    }
  }
  expect(equal, "the bits of a product do not depend on the number of rows");
}

void test_transposed_rows() {
  std::vector<float> a = {1, 2, 3, 4}, b = {5, 6, 7, 8};
  reid_ext::CpuTileProduct product(matrix(a, 2, 2), 2, 2);
  const reid_ext::Tensor columns = torch::stable::transpose(matrix(b, 2, 2), 0, 1);
  const reid_ext::Tensor out = product(matrix(a, 2, 2), columns);
  const float* got = out.const_data_ptr<float>();
  const float want[] = {19, 22, 43, 50};
  expect(std::equal(got, got + 4, want), "the rows may be the columns of a matrix");
}

}  // namespace

int main() {
  test_values<float>("float32 products are right");
  test_values<double>("float64 products are right");
  test_every_number_of_rows<float>();
  test_every_number_of_rows<double>();
  test_transposed_rows();
  return failures;
}
