// The streaming ops without Python: the counts of every block and each estimate compared with the
// definition, ties, NaN, listed images, partial tiles. Run by ctest, which also runs it under
// sanitizers.
#include "ranking/stream.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "common/testing.h"

namespace {

using namespace reid_ext::ranking;
using namespace reid_ext::testing;
using reid_ext::Tensor;

constexpr int64_t kSquared = 2;

unsigned next(unsigned& state) { return (state = state * 1664525u + 1013904223u) >> 16; }

bool precedes(double a, int64_t i, double b, int64_t j) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(b) && (!std::isnan(a) || i < j);
  return a < b || (a == b && i < j);
}

// Points on a line. Every fifth image is a positive of every query, and every third is junk.
template <typename T>
void test_counts(int64_t q, int64_t g, int64_t cut) {
  std::vector<T> query(q), gallery(g);
  unsigned state = 5;
  for (T& x : query) x = next(state) % 9;
  for (T& x : gallery) x = next(state) % 9;
  if (g > 7) gallery[5] = gallery[7] = std::numeric_limits<T>::quiet_NaN();
  std::vector<int64_t> offsets = {0}, indices, pair_query, listed_offsets = {0}, listed;
  for (int64_t i = 0; i < q; ++i) {
    for (int64_t j = 0; j < g; ++j) {
      if (j % 5 == 0) indices.push_back(j), pair_query.push_back(i);
      if (j % 5 == 0 || j % 3 == 0) listed.push_back(j);
    }
    offsets.push_back(int64_t(indices.size()));
    listed_offsets.push_back(int64_t(listed.size()));
  }
  const Tensor x = matrix(query, 1, 1);
  Tensor thresholds =
      pair_values_cpu(x, matrix(gallery, 1, 1), vector(pair_query), vector(indices), kSquared);
  std::vector<int64_t> counts(indices.size());
  for (int64_t first = 0; first < g; first += cut) {
    std::vector<T> block(gallery.begin() + first, gallery.begin() + std::min(g, first + cut));
    const Tensor got = count_before_cpu(x, matrix(block, 1, 1), first, thresholds, vector(indices),
                                        vector(offsets), vector(listed_offsets), vector(listed),
                                        kSquared, int64_t(Compute::kExact));
    for (size_t k = 0; k < counts.size(); ++k) counts[k] += got.const_data_ptr<int64_t>()[k];
  }
  bool right = true;
  for (size_t k = 0; k < counts.size(); ++k) {
    const auto distance = [&](int64_t j) {
      return (query[pair_query[k]] - gallery[j]) * (query[pair_query[k]] - gallery[j]);
    };
    int64_t want = 0;
    for (int64_t j = 0; j < g; ++j) {
      if (j % 5 == 0 || j % 3 == 0) continue;
      want += precedes(distance(j), j, distance(indices[k]), indices[k]);
    }
    right &= counts[k] == want;
  }
  expect(right,
         (std::to_string(q) + " x " + std::to_string(g) + " in blocks of " + std::to_string(cut))
             .c_str());
}

template <typename T>
void test_sizes(const char* estimate) {
  setenv("REID_EXT_CPU_ESTIMATE", estimate, 1);
  for (int64_t g : {0, 1, 6, 40, 129, 1000}) {
    for (int64_t cut : {1, 7, 1000}) test_counts<T>(5, g, cut);
  }
  test_counts<T>(0, 10, 10);
  test_counts<T>(300, 100, 33);   // tiles of queries
  test_counts<T>(3, 9000, 8999);  // tiles of images
}

}  // namespace

int main() {
  test_sizes<double>("float32");
  test_sizes<float>("float32");
  test_sizes<float>("bfloat16");
  return failures;
}
