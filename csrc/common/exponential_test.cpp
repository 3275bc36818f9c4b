// Compares the exponential with the library's in a wider type, over its range and at its corners.
#include "common/exponential.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "common/testing.h"

namespace {

using namespace reid_ext::testing;
using reid_ext::fast_exp;
using reid_ext::Real;

// The error in units in the last place of the exact value, which Wide holds.
template <typename T, typename Wide>
double error(T x) {
  const Wide want = std::exp(Wide(x));
  const int exponent = std::ilogb(want) - (std::numeric_limits<T>::digits - 1);
  return double(std::abs(Wide(fast_exp(x)) - want) / std::ldexp(Wide(1), exponent));
}

template <typename T, typename Wide>
double worst_error(T low, T high, int steps) {
  double worst = 0;
  for (int i = 0; i <= steps; ++i) {
    worst = std::max(worst, error<T, Wide>(low + (high - low) * (T(i) / T(steps))));
  }
  return worst;
}

template <typename T, typename Wide>
void test_accuracy_is_as_documented(double most, const char* what) {
  volatile Wide one = 1, little = Wide(std::numeric_limits<T>::epsilon()) / 8;
  if (one + little == one) {  // valgrind computes long double as double
    std::printf("skip  %s: no more accurate type to compare with\n", what);
    return;
  }
  const double whole =
      worst_error<T, Wide>(Real<T>::kSmallestExponent, Real<T>::kLargestExponent, 3000000);
  const double worst = std::max(whole, worst_error<T, Wide>(-1, 0, 1000000));
  std::printf("      worst error %.3f units in the last place\n", worst);
  expect(worst < most, what);
}

template <typename T>
void test_corners() {
  constexpr T kInfinity = std::numeric_limits<T>::infinity();
  const T below = Real<T>::kSmallestExponent * T(1.001);
  expect(fast_exp(T(0)) == 1 && fast_exp(-T(0)) == 1, "exactly 1 at 0");
  expect(fast_exp(below) == 0 && fast_exp(T(-1e4)) == 0, "0 if the result would be subnormal");
  expect(fast_exp(-kInfinity) == 0 && fast_exp(T(-3e38)) == 0, "0 at minus infinity");
  expect(std::isnan(fast_exp(std::numeric_limits<T>::quiet_NaN())), "NaN stays NaN");
}

}  // namespace

int main() {
  test_accuracy_is_as_documented<float, double>(1.1, "float32 within 1.1 units");
  test_accuracy_is_as_documented<double, long double>(1.1, "float64 within 1.1 units");
  test_corners<float>();
  test_corners<double>();
  return failures;
}
