// The CPU side of mining without Python: known values, pairs compared with the definition over
// tiles and ragged tails, gradients of strided rows, an invalid argument. Run by
// ctest, which also runs it under sanitizers.
#include "mining/mining.h"

#include <algorithm>

#include "common/testing.h"

namespace {

using namespace reid_ext::mining;
using namespace reid_ext::testing;
using reid_ext::Tensor;

constexpr int64_t kCosine = 0, kEuclidean = 1, kSquared = 2;

// Integers from -2 to 2, so that products are exact in any order and many distances are equal.
template <typename T>
std::vector<T> whole(int64_t count, unsigned seed) {
  std::vector<T> out;
  for (; count > 0; --count) {
    seed = seed * 1664525u + 1013904223u;
    out.push_back(T((seed >> 16) % 5) - T(2));
  }
  return out;
}

std::vector<int64_t> identities(int64_t count, int64_t different) {
  std::vector<int64_t> out;
  for (int64_t i = 0; i < count; ++i) out.push_back((i * 7919 + i / 3) % different - 2);
  return out;
}

// The first of the farthest (or nearest) candidates of an anchor, by the definition.
struct Definition {
  const std::vector<double>& keys;
  const std::vector<int64_t>& key_labels;
  int64_t d;

  int64_t hardest(const double* x, int64_t label, int64_t self, bool positive) const {
    int64_t best = -1;
    double most = 0;
    for (int64_t j = 0; j < int64_t(key_labels.size()); ++j) {
      if (j == self || (key_labels[j] == label) != positive) continue;
      double sum = 0;
      for (int64_t k = 0; k < d; ++k) sum += std::pow(x[k] - keys[j * d + k], 2);
      if (best < 0 || (positive ? sum > most : sum < most)) {
        best = j;
        most = sum;
      }
    }
    return best;
  }
};

template <typename T>
Tensor rows(std::vector<T>& narrowed, const std::vector<double>& data, int64_t d) {
  narrowed.assign(data.begin(), data.end());
  return view(narrowed, {int64_t(data.size()) / d, d}, {d, 1});
}

// Compares in precision T. If `own`, the m keys are the n anchors themselves.
template <typename T>
void test_pairs(int64_t n, int64_t m, int64_t d, bool own) {
  const std::vector<double> x = whole<double>(n * d, 1), keys = own ? x : whole<double>(m * d, 2);
  std::vector<int64_t> labels = identities(n, 11), key_labels = own ? labels : identities(m, 13);
  std::vector<T> tx, tk;
  const Tensor anchors = rows(tx, x, d), others = rows(tk, keys, d);
  const PairTensors got =
      own ? mine_hardest_cpu(anchors, vector(labels), {}, {}, {}, {}, kEuclidean)
          : mine_hardest_cpu(anchors, vector(labels), others, vector(key_labels), {}, {}, kSquared);
  const int64_t* positive = std::get<0>(got).const_data_ptr<int64_t>();
  const int64_t* negative = std::get<1>(got).const_data_ptr<int64_t>();
  const Definition definition = {keys, key_labels, d};
  bool ok = true;
  for (int64_t i = 0; i < n; i += n > 100 ? 23 : 1) {
    const int64_t self = own ? i : -1;
    ok &= positive[i] == definition.hardest(&x[i * d], labels[i], self, true);
    ok &= negative[i] == definition.hardest(&x[i * d], labels[i], self, false);
  }
  const std::string what = std::to_string(n) + " anchors, " + std::to_string(m);
  expect(ok, (what + (own ? " own keys" : " keys")).c_str());
}

void test_values_by_hand() {
  std::vector<double> x = {1, 0, 0, 2, -3, 0, 0, 0};
  std::vector<int64_t> labels = {5, 5, -5, 5};
  const auto [positive, negative, positive_distance, negative_distance] =
      mine_hardest_cpu(matrix(x, 2, 2), vector(labels), {}, {}, {}, {}, kCosine);
  const int64_t *p = positive.const_data_ptr<int64_t>(), *n = negative.const_data_ptr<int64_t>();
  const double* dp = positive_distance.const_data_ptr<double>();
  const double* dn = negative_distance.const_data_ptr<double>();
  expect(p[0] == 1 && close(dp[0], 1), "a right angle and a zero row tie: the lower index");
  expect(n[0] == 2 && close(dn[0], 2), "the opposite row is at distance 2");
  expect(p[2] == -1 && std::isnan(dp[2]), "without a positive: -1 and NaN");
  expect(n[2] == 1 && close(dn[2], 1), "the nearest negative is the row at a right angle");
  expect(p[3] == 0 && close(dp[3], 1), "a zero row has cosine 0 to every row");
}

void test_gradient_is_orthogonal_to_its_row() {
  const int64_t n = 70, d = 300, stride = 310;  // column blocks, a ragged tail, gaps
  std::vector<double> data, ones(n, 1.0);
  for (int64_t k = 0; k < n * stride; ++k) data.push_back(std::sin(k * 1.7 + 1.0));
  std::vector<int64_t> labels = identities(n, 5);
  const Tensor x = matrix(data, d, stride), one = vector(ones);
  const auto [p, q, dp, dq] = mine_hardest_cpu(x, vector(labels), {}, {}, {}, {}, kCosine);
  const GradTensors grads = mine_hardest_backward_cpu(one, one, x, {}, p, q, dp, dq, kCosine);
  const double* grad = std::get<0>(grads).const_data_ptr<double>();
  double worst = 0, most = 0;
  for (int64_t i = 0; i < n; ++i) {
    double along = 0;
    for (int64_t k = 0; k < d; ++k) along += grad[i * d + k] * data[i * stride + k];
    worst = std::max(worst, std::abs(along));
    most = std::max(most, std::abs(grad[i * d]));
  }
  expect(worst < 1e-12 && most > 1e-6, "the gradient of a cosine is orthogonal to its row");
  expect(std::get<1>(grads).numel() == 0, "without keys there is no gradient of keys");
}

void test_gradients_of_anchors_and_keys_cancel() {
  std::vector<double> x = whole<double>(20 * 5, 5), y = whole<double>(9 * 5, 6), ones(20, 1.0);
  std::vector<int64_t> labels = identities(20, 3), key_labels = identities(9, 3);
  const Tensor anchors = matrix(x, 5, 5), keys = matrix(y, 5, 5), one = vector(ones);
  const int64_t metric = kSquared;
  const auto [p, n, dp, dn] =
      mine_hardest_cpu(anchors, vector(labels), keys, vector(key_labels), {}, {}, metric);
  const auto [grad_x, grad_keys] =
      mine_hardest_backward_cpu(one, one, anchors, keys, p, n, dp, dn, metric);
  double sum = 0, size = 0;
  for (int64_t i = 0; i < 100; ++i) sum += grad_x.const_data_ptr<double>()[i];
  for (int64_t i = 0; i < 45; ++i) sum += grad_keys.const_data_ptr<double>()[i];
  for (int64_t i = 0; i < 45; ++i) size += std::abs(grad_keys.const_data_ptr<double>()[i]);
  expect(sum == 0 && size > 0, "moving anchors and keys together changes no distance");
}

void test_empty() {
  std::vector<double> nothing, x = {1, 2, 3, 4};
  std::vector<int64_t> none, labels = {0, 1};
  const Tensor no_rows = matrix(nothing, 2, 2);
  const PairTensors empty = mine_hardest_cpu(no_rows, vector(none), {}, {}, {}, {}, kCosine);
  expect(std::get<0>(empty).numel() == 0, "without anchors there are no pairs");
  const PairTensors pairs =
      mine_hardest_cpu(matrix(x, 2, 2), vector(labels), no_rows, vector(none), {}, {}, kCosine);
  expect(std::get<1>(pairs).const_data_ptr<int64_t>()[1] == -1, "without keys the index is -1");
}

void test_refuses_another_length_by_name() {
  std::vector<double> x = {1, 2, 3, 4};
  std::vector<int64_t> labels = {0, 1, 2};
  const std::string message =
      error_of([&] { mine_hardest_cpu(matrix(x, 2, 2), vector(labels), {}, {}, {}, {}, kCosine); });
  expect(contains(message, "labels must have shape (2,) to go with x, got (3,)"),
         "labels of another length raise an error that names labels");
}

}  // namespace

int main() {
  test_values_by_hand();
  for (int64_t n : {1, 2, 31, 32, 33, 65}) test_pairs<double>(n, n, 3, true);
  test_pairs<float>(5, 64, 4, false);
  test_pairs<float>(600, 4200, 3, false);
  test_pairs<double>(4200, 4200, 2, true);
  test_gradient_is_orthogonal_to_its_row();
  test_gradients_of_anchors_and_keys_cancel();
  test_empty();
  test_refuses_another_length_by_name();
  return failures;
}
