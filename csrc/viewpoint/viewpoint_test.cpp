// The CPU side of viewpoint without Python: known labels and losses, rows that do not count, and
// the arithmetic shared with CUDA. Run by ctest, which also runs it under sanitizers.
#include "viewpoint/viewpoint.h"

#include <array>
#include <limits>

#include "common/testing.h"

namespace {

using namespace reid_ext::viewpoint;
using namespace reid_ext::testing;
using reid_ext::Tensor;

constexpr int64_t kAdaptive = 0, kFixed = 1, kHard = 2;  // the targets, as numbered in the schema

constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();

Tensor mask(std::array<bool, 6>& present) {
  const torch::stable::Device cpu(torch::headeronly::DeviceType::CPU);
  return torch::stable::from_blob(present.data(), {2, 3}, {3, 1}, cpu,
                                  torch::headeronly::ScalarType::Bool);
}

double first_loss(std::vector<double> logits, std::vector<int64_t> label, std::vector<int64_t> view,
                  int64_t targets, std::optional<Tensor> present = std::nullopt) {
  const LossTensors out =
      loss_cpu(matrix(logits, 6, 6), vector(label), vector(view), present, 3, 0.25, targets, false);
  return std::get<0>(out).const_data_ptr<double>()[0];
}

void test_labels_by_hand() {
  // Probabilities .4 (own), .1, .1 (its other views) and .4 (other identities), times any scale.
  const Own<double> own = {4, std::log(4.0), 2, 0, 2};
  const Labels<double> t = labels_of(Targets::kAdaptive, 0.25, own, 4.0, 6);
  expect(close(t.missing, 0.25 * 0.4 + 0.25 * 0.6), "adaptive: own 1 - e1 - e2");
  expect(close(t.other, 0.25 * 0.6 / 2) && close(t.elsewhere, 0.25 * 0.4 / 3),
         "adaptive: e2 / 2 for a view, e1 / (K - 3) elsewhere");
  const Labels<double> f = labels_of(Targets::kFixed, 0.0, own, 4.0, 6);
  expect(close(1 - f.missing, 0.6 + 0.1 / 6) && close(f.other, 0.15 + 0.1 / 6) &&
             close(f.elsewhere, 0.1 / 6),
         "fixed: 0.6, 0.15 and 0.1 / K");
}

void test_values_by_hand() {
  const std::vector<double> equal(6, 1e4);
  const double all = std::log(6.0);  // with equal logits, all labels that sum to 1 give log K
  expect(close(first_loss(equal, {1}, {2}, kAdaptive), all), "equal logits, adaptive: log 6");
  expect(close(first_loss(equal, {0}, {0}, kFixed), all), "equal logits, fixed: log 6");
  expect(close(first_loss(equal, {0}, {1}, kHard), all), "equal logits, hard: log 6");
  std::array<bool, 6> present = {true, false, false, true, true, false};
  expect(close(first_loss(equal, {0}, {0}, kAdaptive, mask(present)), std::log(3.0)),
         "three classes present: log 3");
  expect(close(first_loss({0, -1e4, -1e4, -1e4, -1e4, -1e4}, {0}, {0}, kAdaptive), 0),
         "a certain prediction costs nothing");
}

void test_rows_without_a_view_do_not_count() {
  const std::vector<double> logits = {1, 2, 3, 4, 5, 6, 9, 8, 7, 6, 5, 4};
  const std::vector<double> one(logits.begin(), logits.begin() + 6);
  expect(close(first_loss(logits, {0, kHuge}, {1, -1}, kHard), first_loss(one, {0}, {1}, kHard)),
         "the mean is over the other rows");
  expect(first_loss(logits, {0, 1}, {-1, -1}, kHard) == 0, "the loss is 0 if no row counts");
  expect(first_loss({}, {}, {}, kAdaptive) == 0, "the loss is 0 without rows");
}

void test_gradient_sums_to_zero() {
  std::vector<double> logits, one = {1};
  for (int k = 0; k < 12; ++k) logits.push_back(std::sin(k + 1.0));
  std::vector<int64_t> labels = {0, 1}, views = {1, 0};
  std::array<bool, 6> present = {true, true, false, true, true, true};
  const LossTensors out = loss_cpu(matrix(logits, 6, 6), vector(labels), vector(views),
                                   mask(present), 3, 0.25, kAdaptive, false);
  const Tensor grad = loss_backward_cpu(view(one, {}, {}), matrix(logits, 6, 6), vector(labels),
                                        vector(views), mask(present), std::get<1>(out),
                                        std::get<2>(out), std::get<3>(out), 3, 0.25, kAdaptive);
  const double* g = grad.const_data_ptr<double>();
  for (int row = 0; row < 2; ++row) {
    double sum = 0;
    for (int k = 0; k < 6; ++k) sum += g[row * 6 + k];
    expect(close(sum, 0), "as probabilities and labels both sum to 1, the gradient sums to 0");
    expect(g[row * 6 + 2] == 0, "a class that is not present has no gradient");
  }
}

void test_classes_out_of_range_are_seen_before_they_are_looked_up() {
  const int64_t labels[] = {0, -1, 2, kHuge, 1, 1, 1}, views[] = {2, 0, 0, 1, 3, -2, kHuge};
  const Classes c = {labels, views, nullptr, 2, 3};
  expect(c.in_range(0), "the first row is in range");
  for (int64_t row = 1; row < 7; ++row) expect(!c.in_range(row), "the others are not");
}

void test_refuses_by_name() {
  const std::vector<double> logits(6, 0.0);
  const auto message = [&](int64_t label, int64_t view) {
    return error_of([&] { first_loss(logits, {label}, {view}, kHard); });
  };
  expect(contains(message(kHuge, 0), "labels must be in [0, 2), got 9223372036854775807 in row 0"),
         "a label out of range raises an error");
  expect(contains(message(0, 3), "views must be in [0, 3) or -1 (unknown), got 3 in row 0"),
         "a view out of range raises an error");
  std::array<bool, 6> present = {true, false, true, true, true, true};
  const std::string excluded =
      error_of([&] { first_loss(logits, {0}, {1}, kHard, mask(present)); });
  expect(contains(excluded, "False for identity 0, view 1 of row 0"),
         "an absent class raises an error");
}

}  // namespace

int main() {
  test_labels_by_hand();
  test_values_by_hand();
  test_rows_without_a_view_do_not_count();
  test_gradient_sums_to_zero();
  test_classes_out_of_range_are_seen_before_they_are_looked_up();
  test_refuses_by_name();
  return failures;
}
