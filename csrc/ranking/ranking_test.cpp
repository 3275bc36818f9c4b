// The CPU side of ranking without Python: a known ranking, counts compared with the definition over
// blocks, ties and NaN, each estimate and when it is used, and invalid lists.
// Run by ctest, which also runs it under sanitizers.
#include "ranking/ranking.h"

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "common/testing.h"
#include "ranking/estimated_cpu.h"

namespace {

using namespace reid_ext::ranking;
using namespace reid_ext::testing;
using reid_ext::Tensor;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr int64_t kExact = int64_t(Compute::kExact);

struct OfQueries {  // lists of gallery indices
  std::vector<int64_t> offsets = {0}, indices;

  void close_query() { offsets.push_back(int64_t(indices.size())); }
};

std::vector<int64_t> ranks(std::vector<double> distances, int64_t q, int64_t g, OfQueries positives,
                           OfQueries junk) {
  const Tensor out = rank_positives_from_distances_cpu(
      view(distances, {q, g}, {g, 1}), vector(positives.offsets), vector(positives.indices),
      vector(junk.offsets), vector(junk.indices));
  return {out.const_data_ptr<int64_t>(), out.const_data_ptr<int64_t>() + out.numel()};
}

unsigned next(unsigned& state) { return (state = state * 1664525u + 1013904223u) >> 16; }

OfQueries draw(int64_t q, int64_t g, unsigned kind) {
  OfQueries lists;
  for (unsigned i = 0, state = 1; i < q; ++i) {
    for (int64_t j = 0; j < g; ++j) {
      if (next(state) % 4 == kind) lists.indices.push_back(j);
    }
    lists.close_query();
  }
  return lists;
}

// The rank of every positive by a stable sort of all images that are not junk.
std::vector<int64_t> by_sorting(const std::vector<double>& distances, int64_t q, int64_t g,
                                const OfQueries& positives, const OfQueries& junk) {
  std::vector<int64_t> out;
  for (int64_t i = 0; i < q; ++i) {
    const double* row = distances.data() + i * g;
    const auto listed = [i](const OfQueries& lists, int64_t j) {
      return std::binary_search(lists.indices.begin() + lists.offsets[i],
                                lists.indices.begin() + lists.offsets[i + 1], j);
    };
    std::vector<int64_t> left;
    for (int64_t j = 0; j < g; ++j) {
      if (!listed(junk, j)) left.push_back(j);
    }
    std::stable_sort(left.begin(), left.end(), [row](int64_t a, int64_t b) {
      return row[a] < row[b] || (std::isnan(row[b]) && !std::isnan(row[a]));
    });
    for (size_t at = 0; at < left.size(); ++at) {
      if (listed(positives, left[at])) out.push_back(int64_t(at) + 1);
    }
  }
  return out;
}

void test_by_hand() {
  const OfQueries positives = {{0, 3}, {0, 2, 4}}, junk = {{0, 1}, {1}};
  expect(ranks({0.5, 0.1, 0.5, 0.3, kNaN}, 1, 5, positives, junk) == std::vector<int64_t>{2, 3, 4},
         "junk left out, a tie by index, NaN last");
}

void test_against_sorting(int64_t q, int64_t g) {
  const double levels[] = {0.0, -0.0, 1, 2, 3, kInfinity, -kInfinity, kNaN};
  std::vector<double> distances(q * g);
  unsigned state = 7;
  for (double& d : distances) d = levels[next(state) % 8];
  const OfQueries positives = draw(q, g, 0), junk = draw(q, g, 1);
  expect(ranks(distances, q, g, positives, junk) == by_sorting(distances, q, g, positives, junk),
         (std::to_string(q) + " queries, " + std::to_string(g) + " images, sorted").c_str());
}

template <typename T>
void test_features_against_sorting(int64_t q, int64_t g, int64_t metric, const char* estimate) {
  setenv("REID_EXT_CPU_ESTIMATE", estimate, 1);
  std::vector<T> query(q * 4), gallery(g * 4);
  std::vector<double> distances(q * g);
  unsigned state = 9;
  for (std::vector<T>* features : {&query, &gallery}) {
    for (T& v : *features) v = next(state) % 2 ? 1 : -1;  // exact products, many of them equal
  }
  for (int64_t i = 0; i < q * g; ++i) {
    for (int64_t k = 0; k < 4; ++k) distances[i] -= query[i / g * 4 + k] * gallery[i % g * 4 + k];
  }
  OfQueries positives = draw(q, g, 0), junk = draw(q, g, 1);
  const Tensor got = rank_positives_cpu(matrix(query, 4, 4), matrix(gallery, 4, 4),
                                        vector(positives.offsets), vector(positives.indices),
                                        vector(junk.offsets), vector(junk.indices), metric, kExact);
  const std::vector<int64_t> want = by_sorting(distances, q, g, positives, junk);
  expect(got.numel() == int64_t(want.size()) &&
             std::equal(want.begin(), want.end(), got.const_data_ptr<int64_t>()),
         ("features by metric " + std::to_string(metric) + ", " + estimate + ", sorted").c_str());
  unsetenv("REID_EXT_CPU_ESTIMATE");
}

// 30 images of each of 70 identities at distances `apart`. Each identity is a query.
void test_estimates_pay(float apart, bool want) {
  const int64_t q = 70, g = 2100, d = 32, people = 70;
  std::vector<float> query(q * d), gallery(g * d);
  unsigned state = 11;
  const auto noise = [&] { return float(next(state) % 1000) / 1000 - 0.5f; };
  const auto centre = [&](int64_t person, int64_t k) {
    return apart * float(std::sin(double(person * d + k) * double(person + 1)));
  };
  for (int64_t k = 0; k < q * d; ++k) query[k] = centre(k / d % people, k % d) + noise();
  for (int64_t k = 0; k < g * d; ++k) gallery[k] = centre(k / d % people, k % d) + noise();
  OfQueries own, none;
  for (int64_t i = 0; i < q; ++i) {
    for (int64_t j = i; j < g; j += people) own.indices.push_back(j);
    own.close_query();
    none.close_query();
  }
  const Problem p =
      read("test", matrix(query, d, d), matrix(gallery, d, d), vector(own.offsets),
           vector(own.indices), vector(none.offsets), vector(none.indices), 2, kExact);
  expect(estimates_pay(p) == want, want ? "estimates pay if identities are far apart"
                                        : "estimates do not pay if identities are close");
}

void test_choice_by_environment() {
  std::vector<float> one = {1};
  std::vector<double> wide = {1};
  const auto chosen = [&](const char* estimate) {
    setenv("REID_EXT_CPU_ESTIMATE", estimate, 1);
    return fastest_estimate(matrix(one, 1, 1));
  };
  expect(chosen("float32") == Estimate::kInFull, "float32 is a product in full");
  expect(chosen("bfloat16") == Estimate::kBFloat16,
         "the variable selects bfloat16 on any processor");
  expect(fastest_estimate(matrix(wide, 1, 1)) == Estimate::kInFull, "float64 has no estimate");
  expect(contains(error_of([&] { chosen("int8"); }),
                  "REID_EXT_CPU_ESTIMATE must be float32 or bfloat16, got int8"),
         "an unknown estimate is an error");
  unsetenv("REID_EXT_CPU_ESTIMATE");
}

void test_refuses(const OfQueries& positives, const std::string& message) {
  const std::string got = error_of([&] { ranks({1, 2, 3, 4}, 2, 2, positives, {{0, 0, 0}, {}}); });
  expect(contains(got, message), message.c_str());
}

}  // namespace

int main() {
  test_by_hand();
  for (int64_t g : {0, 1, 2, 31, 127, 128, 129, 300}) test_against_sorting(6, g);
  test_against_sorting(0, 5);
  test_against_sorting(600, 20);  // blocks of queries
  for (int64_t metric = 0; metric < 3; ++metric) {
    test_features_against_sorting<double>(300, 200, metric, "float32");
    test_features_against_sorting<float>(300, 200, metric, "float32");
    test_features_against_sorting<float>(300, 200, metric, "bfloat16");
  }
  test_estimates_pay(3, true);
  test_estimates_pay(0, false);
  test_choice_by_environment();
  test_refuses({{0, 1, 2}, {0, 2}},
               "positive_indices must be in [0, 2), the indices of the gallery, got 2");
  test_refuses({{0, 1, 2}, {-1, 0}},
               "positive_indices must be in [0, 2), the indices of the gallery, got -1");
  test_refuses({{0, 1, 1}, {0, 1}},
               "positive_offsets must rise from 0 to the number of indices, 2");
  test_refuses({{0, 9, 2}, {0, 1}},
               "positive_offsets must rise from 0 to the number of indices, 2");
  test_refuses({{0, 2}, {0, 1}}, "positive_offsets must have shape (3,)");
  return failures;
}
