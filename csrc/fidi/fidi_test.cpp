// The CPU side of FIDI without Python: the arithmetic compared with the C library, known pairs,
// tiles compared with the definition, near-duplicate rows, an invalid argument. Run by ctest, which
// also runs it under sanitizers.
#include "fidi/fidi.h"

#include <algorithm>

#include "common/testing.h"

namespace {

using namespace reid_ext::fidi;
using namespace reid_ext::testing;
using reid_ext::Tensor;

// --- elementary.h: Wide holds the value before rounding to T ----------------------------------

template <typename T, typename Wide>
double units(T got, Wide want) {
  int exponent;
  std::frexp(double(want), &exponent);
  return double(std::abs(Wide(got) - want) /
                std::ldexp(Wide(1), exponent - std::numeric_limits<T>::digits));
}

// Whether Wide is more accurate than T at run time. valgrind computes long double as double.
template <typename T, typename Wide>
bool has_more_digits() {
  volatile Wide one = 1, little = Wide(std::numeric_limits<T>::epsilon()) / 8;
  return one + little > one;
}

template <typename T, typename Wide>
void test_exponentials(const char* what) {
  double worst = 0;
  for (double at = 1e-6; at < double(kFarthest<T>); at *= 1.0007) {
    const T z = T(at);
    const Decay<T> got = decay(z);
    worst =
        std::max({worst, units(got.u, std::exp(-Wide(z))), units(got.v, -std::expm1(-Wide(z)))});
  }
  expect(worst <= 3 && decay(T(0)).v == 0, what);
  expect(std::isnan(decay(reid_ext::kNaN<T>).u), "exp of NaN");
}

// Only for values whose t - log(1 + t) has accurate digits in Wide.
template <typename T, typename Wide>
void test_logarithms(const char* what) {
  if (!has_more_digits<T, Wide>()) {
    std::printf("skip  %s: no more accurate type to compare with\n", what);
    return;
  }
  double log_off = 0, excess_off = 0;
  for (double at = 1e-3; at < 1e30; at *= 1.0007) {
    for (T t : {T(at), at < 0.25 ? T(-at) : T(at)}) {
      const Log<T> got = log_1_plus(t, T(Wide(1) + Wide(t)));
      const Wide log = std::log1p(Wide(t));
      log_off = std::max(log_off, units(got.value, log));
      excess_off = std::max(excess_off, units(got.excess, Wide(t) - log));
    }
  }
  for (double sum = 1e-16; sum < 0.75; sum *= 1.0007) {  // t near -1, where only the sum is exact
    const Log<T> got = log_1_plus(T(sum) - T(1), T(sum));
    log_off = std::max(log_off, units(got.value, std::log(Wide(T(sum)))));
  }
  expect(log_off <= 3 && excess_off <= 16, what);
  const T tiny = T(1e-18);
  expect(units(log_1_plus(tiny, T(1)).excess, Wide(tiny) * Wide(tiny) / 2) <= 3, "excess of 1e-18");
  expect(std::isnan(log_1_plus(reid_ext::kNaN<T>, reid_ext::kNaN<T>).value), "log of NaN");
}

// --- the op ----------------------------------------------------------------------------------

// The two divergences as printed in the paper.
double divergence(double p, double q, double alpha) {
  return p == 0 ? 0 : p * std::log(alpha * p / ((alpha - 1) * p + q));
}

double by_definition(double d, bool same, double alpha, double beta) {
  const double u = std::exp(-beta * d), k = same;
  return divergence(u, k, alpha) + divergence(k, u, alpha);
}

template <typename T>
std::vector<T> wavy(int64_t count, double step) {
  std::vector<T> out;
  for (int64_t k = 0; k < count; ++k) out.push_back(T(std::sin(k * step + 1)));
  return out;
}

std::vector<int64_t> identities(int64_t count, int64_t different) {
  std::vector<int64_t> out;
  for (int64_t i = 0; i < count; ++i) out.push_back(i * 7919 % different - 1);
  return out;
}

LossTensors with_gradients(const Tensor& x, const Tensor& labels,
                           const std::optional<Tensor>& keys = {},
                           const std::optional<Tensor>& key_labels = {}) {
  return fidi_loss_cpu(x, labels, keys, key_labels, 1.05, 0.5, false, true, keys.has_value());
}

// n rows against themselves or m others, with the gradient of one element of each side.
void test_sum_over_pairs(int64_t n, int64_t m, bool own) {
  const int64_t d = 3;
  std::vector<double> x = wavy<double>(n * d, 1.7), keys = own ? x : wavy<double>(m * d, 2.3);
  std::vector<int64_t> labels = identities(n, 40), key_labels = own ? labels : identities(m, 40);
  const LossTensors got =
      own ? with_gradients(matrix(x, d, d), vector(labels))
          : with_gradients(matrix(x, d, d), vector(labels), matrix(keys, d, d), vector(key_labels));
  double loss = 0, of_x = 0, of_key = 0;
  const int64_t a = n / 2, b = m - 1;
  const auto element = [&](int64_t i, int64_t j) {
    double squared = 0;
    for (int64_t k = 0; k < d; ++k) squared += std::pow(x[i * d + k] - keys[j * d + k], 2);
    const bool same = labels[i] == key_labels[j];
    const double z = std::sqrt(squared), step = 1e-6;
    loss += by_definition(z, same, 1.05, 0.5);
    const double slope =
        by_definition(z + step, same, 1.05, 0.5) - by_definition(z - step, same, 1.05, 0.5);
    const double pull = slope / (2 * step) * (x[i * d] - keys[j * d]) / z;
    of_x += i == a ? pull : 0;
    of_key -= j == (own ? a : b) ? pull : 0;
  };
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < m; ++j) {
      if (!own || i != j) element(i, j);
    }
  }
  const double* grad_x = std::get<1>(got).const_data_ptr<double>();
  const std::string what = std::to_string(n) + " rows, " + std::to_string(m) + " keys: ";
  expect(close(*std::get<0>(got).const_data_ptr<double>() / loss, 1), (what + "loss").c_str());
  expect(close(grad_x[a * d], own ? of_x + of_key : of_x, 1e-5), (what + "gradient").c_str());
  if (own) return;
  const double* grad_keys = std::get<2>(got).const_data_ptr<double>();
  expect(close(grad_keys[b * d], of_key, 1e-5), (what + "gradient of keys").c_str());
}

// In float32, 1000 and 1000.01 are 0.01001 apart, but a product resolves their squares to 0.06.
void test_rows_that_nearly_coincide() {
  std::vector<float> x = {1000, 1000.01f, 1000, -500};
  std::vector<int64_t> labels = {1, 2, 1, 3};
  const LossTensors got = with_gradients(matrix(x, 1, 1), vector(labels));
  const float* grad = std::get<1>(got).const_data_ptr<float>();
  const double d = double(x[1]) - double(x[0]);
  const double want = 4 * by_definition(d, false, 1.05, 0.5);
  const double slope = -0.5 * std::log(21) * std::exp(-0.5 * d);
  expect(close(*std::get<0>(got).const_data_ptr<float>(), want, 1e-5), "loss of near rows");
  expect(close(grad[1], 4 * slope, 1e-5), "gradient of near rows");
  expect(grad[0] == grad[2] && close(grad[0], -2 * slope, 1e-5),
         "coincident rows have no gradient from each other");
  expect(grad[3] == 0, "a far row has no gradient");
}

void test_empty() {
  std::vector<float> nothing, x = {1, 2};
  std::vector<int64_t> none, label = {7};
  const Tensor no_rows = matrix(nothing, 2, 2), no_label = vector(none);
  const auto loss = [](const LossTensors& t) { return *std::get<0>(t).const_data_ptr<float>(); };
  expect(loss(with_gradients(no_rows, no_label)) == 0, "without rows the loss is 0");
  const LossTensors one = with_gradients(matrix(x, 2, 2), vector(label));
  expect(loss(one) == 0 && std::get<1>(one).const_data_ptr<float>()[0] == 0,
         "a single row has loss and gradient 0");
  const LossTensors no_key = with_gradients(matrix(x, 2, 2), vector(label), no_rows, no_label);
  expect(loss(no_key) == 0 && std::get<2>(no_key).numel() == 0,
         "without keys in the bank the loss is 0");
}

void test_refuses_alpha_1_by_name() {
  std::vector<float> x = {1, 2};
  std::vector<int64_t> labels = {0, 1};
  const std::string message = error_of(
      [&] { fidi_loss_cpu(matrix(x, 1, 1), vector(labels), {}, {}, 1, 0.5, true, false, false); });
  expect(contains(message, "fidi_loss: alpha must be a finite number above 1, got 1;"),
         "alpha = 1 raises an error that names alpha");
}

}  // namespace

int main() {
  test_exponentials<float, double>("exp in float32");
  test_exponentials<double, long double>("exp in float64");
  test_logarithms<float, double>("log in float32");
  test_logarithms<double, long double>("log in float64");
  for (int64_t n : {2, 31, 256, 257, 600, 2100}) test_sum_over_pairs(n, n, true);
  test_sum_over_pairs(300, 2100, false);
  test_sum_over_pairs(5, 2, false);
  test_rows_that_nearly_coincide();
  test_empty();
  test_refuses_alpha_1_by_name();
  return failures;
}
