// fast_exp against the library's double exp, over its whole range and at its corners.
#include "common/fast_exp.h"

#include <algorithm>
#include <limits>

#include "common/testing.h"

namespace {

using namespace reid_ext::testing;
using reid_ext::fast_exp;

// The distance of two neighbouring floats of value's size.
double unit_in_the_last_place(double value) {
  return std::ldexp(1.0, std::ilogb(value) - (std::numeric_limits<float>::digits - 1));
}

double worst_error(float low, float high, int steps) {
  double worst = 0;
  for (int i = 0; i <= steps; ++i) {
    const float x = low + (high - low) * (float(i) / float(steps));
    const double want = std::exp(double(x));
    worst = std::max(worst, std::abs(fast_exp(x) - want) / unit_in_the_last_place(want));
  }
  return worst;
}

void test_accuracy_is_as_documented() {
  const double worst = std::max(worst_error(-87.3f, 88.0f, 3000000), worst_error(-1, 0, 1000000));
  std::printf("      worst error %.3f units in the last place\n", worst);
  expect(worst < 1.1, "float32 within 1.1 units in the last place");
  expect(fast_exp(-1.5) == std::exp(-1.5), "float64 is the library's");
}

void test_corners() {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  expect(fast_exp(0.0f) == 1.0f && fast_exp(-0.0f) == 1.0f, "exactly 1 at 0");
  expect(fast_exp(-87.31f) == 0.0f && fast_exp(-1e4f) == 0.0f, "0 below the normal numbers");
  expect(fast_exp(-kInfinity) == 0.0f && fast_exp(-3e38f) == 0.0f, "0 at minus infinity");
  expect(std::isnan(fast_exp(std::nanf(""))), "NaN stays NaN");
}

}  // namespace

int main() {
  test_accuracy_is_as_documented();
  test_corners();
  return failures;
}
