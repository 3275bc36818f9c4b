// The CPU side of cosine without Python: known values, strided rows, an invalid argument.
// Run by ctest, which also runs it under sanitizers.
#include "cosine/cosine.h"

#include "common/testing.h"

namespace {

using namespace reid_ext::cosine;
using namespace reid_ext::testing;
using reid_ext::Tensor;

void test_values_by_hand() {
  std::vector<double> x = {3, 0, 9, 0, 0, 9}, y = {0, 2, 9, -1, 0, 9, 1, 1, 9};  // a gap of one
  const Tensor out =
      cosine_matrix_cpu(view(x, {1, 2, 2}, {6, 3, 1}), view(y, {1, 3, 2}, {9, 3, 1}), false);
  const double* c = out.const_data_ptr<double>();
  expect(close(c[0], 0) && close(c[1], -1) && close(c[2], std::sqrt(0.5)), "cosines of (1, 0)");
  expect(c[3] == 0 && c[4] == 0 && c[5] == 0, "a zero row has cosine 0 to every row");
}

void test_angles_at_the_ends() {
  std::vector<float> x = {0.1f, 0.2f, 0.3f}, y = {0.1f, 0.2f, 0.3f, -0.1f, -0.2f, -0.3f};
  const Tensor out =
      cosine_matrix_cpu(view(x, {1, 1, 3}, {3, 3, 1}), view(y, {1, 2, 3}, {6, 3, 1}), true);
  const float* angle = out.const_data_ptr<float>();
  expect(angle[0] == 0, "the angle of a row with itself is exactly 0");
  expect(close(angle[1], 3.14159265358979, 1e-6), "the angle of opposite rows is pi");
}

void test_gradient_is_orthogonal_to_its_row() {
  const int64_t n = 37, m = 530, d = 5;  // more columns than one strip
  std::vector<double> x, y, g(n * m);
  for (int64_t k = 0; k < n * d; ++k) x.push_back(std::sin(k + 1.0));
  for (int64_t k = 0; k < m * d; ++k) y.push_back(std::cos(2.0 * k));
  for (int64_t k = 0; k < n * m; ++k) g[k] = std::sin(3.0 * k);
  const Tensor tx = view(x, {1, n, d}, {n * d, d, 1}), ty = view(y, {1, m, d}, {m * d, d, 1});
  const Tensor cosine = cosine_matrix_cpu(tx, ty, false);
  const GradTensors grads =
      cosine_matrix_backward_cpu(view(g, {1, n, m}, {n * m, m, 1}), cosine, tx, ty);
  double worst = 0;  // a cosine ignores lengths, so its gradient is orthogonal to the row
  const auto check = [&](const Tensor& grad, const std::vector<double>& rows, int64_t count) {
    const double* values = grad.const_data_ptr<double>();
    for (int64_t i = 0; i < count; ++i) {
      double along = 0;
      for (int64_t k = 0; k < d; ++k) along += values[i * d + k] * rows[i * d + k];
      worst = std::max(worst, std::abs(along));
    }
  };
  check(std::get<0>(grads), x, n);
  check(std::get<1>(grads), y, m);
  expect(worst < 1e-11, "both gradients are orthogonal to their rows");
}

void test_refuses_another_width_by_name() {
  std::vector<double> x = {1, 2, 3, 4};
  const std::string message = error_of([&] {
    cosine_matrix_cpu(view(x, {1, 2, 2}, {4, 2, 1}), view(x, {1, 1, 4}, {4, 4, 1}), false);
  });
  expect(contains(message, "y must have shape (1, 1, 2) to go with x, got (1, 1, 4)"),
         "rows of another length raise an error that names y");
}

}  // namespace

int main() {
  test_values_by_hand();
  test_angles_at_the_ends();
  test_gradient_is_orthogonal_to_its_row();
  test_refuses_another_width_by_name();
  return failures;
}
