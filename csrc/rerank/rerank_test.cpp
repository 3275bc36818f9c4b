// The CPU side of re-ranking without Python: results compared with the definition as dense matrices
// over tiles and blocks, with ties; nearest keys compared with sorting; Jaccard distances; invalid
// arguments. Run by ctest, which also runs it under sanitizers.
#include "rerank/rerank.h"

#include <algorithm>
#include <utility>

#include "common/testing.h"

namespace {

using namespace reid_ext::rerank;
using namespace reid_ext::testing;
using reid_ext::Tensor;

using Matrix = std::vector<std::vector<double>>;
using Sets = std::vector<std::vector<char>>;

unsigned next(unsigned& state) { return (state = state * 1664525u + 1013904223u) >> 16; }

// Small integers, so that distances are exact and many are equal.
std::vector<double> draw(int64_t n, int64_t d, unsigned seed) {
  std::vector<double> x(n * d);
  for (double& v : x) v = double(next(seed) % 9) - 4;
  return x;
}

// Squared distances between the rows of x.
Matrix distances(const std::vector<double>& x, int64_t d) {
  const int64_t n = int64_t(x.size()) / d;
  Matrix out(n, std::vector<double>(n));
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      for (int64_t k = 0; k < d; ++k) out[i][j] += std::pow(x[i * d + k] - x[j * d + k], 2);
    }
  }
  return out;
}

std::vector<int64_t> ranked(const std::vector<double>& row) {
  std::vector<int64_t> order(row.size());
  for (size_t j = 0; j < order.size(); ++j) order[j] = int64_t(j);
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return row[a] < row[b]; });
  return order;
}

Sets reciprocal(const std::vector<std::vector<int64_t>>& order, int64_t k) {
  const size_t n = order.size();
  Sets forward(n, std::vector<char>(n)), out = forward;
  for (size_t i = 0; i < n; ++i) {
    for (int64_t a = 0; a <= k; ++a) forward[i][order[i][a]] = 1;
  }
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j) out[i][j] = forward[i][j] && forward[j][i];
  }
  return out;
}

int64_t shared(const std::vector<char>& a, const std::vector<char>& b) {
  int64_t count = 0;
  for (size_t j = 0; j < a.size(); ++j) count += a[j] && b[j];
  return count;
}

// V from p, the squared distances divided by the largest of their row.
Matrix encoded(const Matrix& p, int64_t k1, int64_t half, int64_t k2) {
  const size_t n = p.size();
  std::vector<std::vector<int64_t>> order;
  for (const auto& row : p) order.push_back(ranked(row));
  const Sets wide = reciprocal(order, k1), narrow = reciprocal(order, half);
  Matrix v(n, std::vector<double>(n)), means = v;
  for (size_t i = 0; i < n; ++i) {
    std::vector<char> members = wide[i];
    for (size_t c = 0; c < n; ++c) {
      if (!wide[i][c] || 3 * shared(wide[i], narrow[c]) <= 2 * shared(narrow[c], narrow[c]))
        continue;
      for (size_t j = 0; j < n; ++j) members[j] |= narrow[c][j];
    }
    double sum = 0;
    for (size_t j = 0; j < n; ++j) sum += v[i][j] = members[j] ? std::exp(-p[i][j]) : 0;
    for (double& weight : v[i]) weight /= sum;
  }
  for (size_t i = 0; i < n; ++i) {
    for (int64_t a = 0; a < k2; ++a) {
      for (size_t j = 0; j < n; ++j) means[i][j] += v[order[i][a]][j] / double(k2);
    }
  }
  return k2 == 1 ? v : means;
}

// The final distances (Q, G) by the definition.
std::vector<double> dense(Matrix d, int64_t q, int64_t k1, int64_t half, int64_t k2,
                          double lambda) {
  for (auto& row : d) {
    const double farthest = *std::max_element(row.begin(), row.end());
    for (double& value : row) value = std::pow(value / farthest, 2);
  }
  const Matrix v = encoded(d, k1, half, k2);
  std::vector<double> out;
  for (int64_t i = 0; i < q; ++i) {
    for (size_t j = q; j < d.size(); ++j) {
      double least = 0;
      for (size_t h = 0; h < d.size(); ++h) least += std::min(v[i][h], v[j][h]);
      out.push_back((1 - lambda) * (1 - least / (2 - least)) + lambda * d[i][j]);
    }
  }
  return out;
}

bool all_close(const Tensor& got, const std::vector<double>& want) {
  bool ok = got.numel() == int64_t(want.size());
  for (size_t a = 0; ok && a < want.size(); ++a) {
    ok = close(got.const_data_ptr<double>()[a], want[a]);
  }
  return ok;
}

Tensor dense_matrix(std::vector<double>& flat, int64_t rows, int64_t columns) {
  return view(flat, {rows, columns}, {columns, 1});
}

void test_against_the_definition(int64_t q, int64_t g, int64_t k1, int64_t half, int64_t k2) {
  const int64_t dim = 3, count = std::min<int64_t>(5, g);
  std::vector<double> x = draw(q + g, dim, 3), gallery(x.begin() + q * dim, x.end());
  const Matrix d = distances(x, dim);
  const std::vector<double> want = dense(d, q, k1, half, k2, 0.3);
  x.resize(q * dim);
  const Tensor a = matrix(x, dim, dim), b = matrix(gallery, dim, dim);
  const std::string name = std::to_string(q) + " x " + std::to_string(g) + ", k1 " +
                           std::to_string(k1) + ", k2 " + std::to_string(k2) + ": ";
  const Tensor full = k_reciprocal_cpu(a, b, k1, k2, 0.3, 2);
  expect(all_close(full, want), (name + "features").c_str());

  std::vector<double> qq, qg, gg, smallest;
  for (int64_t i = 0; i < q + g; ++i) {
    (i < q ? qq : gg)
        .insert((i < q ? qq : gg).end(), i < q ? d[i].begin() : d[i].begin() + q,
                i < q ? d[i].begin() + q : d[i].end());
    if (i < q) qg.insert(qg.end(), d[i].begin() + q, d[i].end());
  }
  const Tensor given = k_reciprocal_from_distances_cpu(
      dense_matrix(qg, q, g), dense_matrix(qq, q, q), dense_matrix(gg, g, g), k1, k2, 0.3);
  expect(all_close(given, want), (name + "distances").c_str());

  const auto [values, indices] = k_reciprocal_nearest_cpu(a, b, k1, k2, 0.3, 2, count);
  bool same = true;
  for (int64_t i = 0; i < q; ++i) {
    const double* row = full.const_data_ptr<double>() + i * g;
    const std::vector<int64_t> order = ranked({row, row + g});
    for (int64_t r = 0; r < count; ++r) {
      same &= indices.const_data_ptr<int64_t>()[i * count + r] == order[r] &&
              values.const_data_ptr<double>()[i * count + r] == row[order[r]];
    }
  }
  expect(same, (name + "the nearest are the head of a stable sort").c_str());
}

void test_nearest(int64_t n, int64_t m, int64_t k) {
  std::vector<double> x = draw(n, 3, 1), keys = draw(m, 3, 2);
  std::vector<double> all = x;
  all.insert(all.end(), keys.begin(), keys.end());
  const Matrix d = distances(all, 3);
  const auto [values, indices] = nearest_cpu(matrix(x, 3, 3), matrix(keys, 3, 3), k, 2);
  bool same = true;
  for (int64_t i = 0; i < n; ++i) {
    const std::vector<double> row(d[i].begin() + n, d[i].end());
    const std::vector<int64_t> order = ranked(row);
    for (int64_t a = 0; a < k; ++a) {
      same &= indices.const_data_ptr<int64_t>()[i * k + a] == order[a] &&
              values.const_data_ptr<double>()[i * k + a] == row[order[a]];
    }
  }
  expect(same, (std::to_string(k) + " nearest of " + std::to_string(m)).c_str());
}

// With every image a neighbour and no average, the weights differ only by distance.
void test_jaccard(int64_t n, int64_t k1, bool clustering) {
  std::vector<double> x = draw(n, 3, 4);
  const Matrix d = distances(x, 3);
  const auto [offsets, indices, values] = jaccard_cpu(matrix(x, 3, 3), k1, 1, clustering, 1.0);
  Matrix v(n, std::vector<double>(n));
  for (int64_t i = 0; i < n; ++i) {
    const double farthest = clustering ? 1 : *std::max_element(d[i].begin(), d[i].end());
    double sum = 0;
    for (int64_t j = 0; j < n; ++j) {
      sum += v[i][j] = std::exp(-std::pow(d[i][j] / farthest, clustering ? 1 : 2));
    }
    for (double& weight : v[i]) weight /= sum;
  }
  bool same = values.numel() == n * n && offsets.const_data_ptr<int64_t>()[n] == n * n;
  for (int64_t e = 0; same && e < n * n; ++e) {
    double least = 0;
    for (int64_t h = 0; h < n; ++h) least += std::min(v[e / n][h], v[e % n][h]);
    same = indices.const_data_ptr<int64_t>()[e] == e % n &&
           close(values.const_data_ptr<double>()[e], 1 - least / (2 - least));
  }
  expect(same, clustering ? "Jaccard distances for clustering" : "Jaccard distances of re-ranking");
}

// Merged scans, and queries in two ranges, must give exactly the values of a single process for any
// number of parts.
void test_in_parts(int64_t q, int64_t g, int64_t k1, int64_t parts) {
  const int64_t dim = 3, k2 = 2, n = q + g, k = std::min(std::max(k1 + 1, k2), n);
  std::vector<double> x = draw(q, dim, 5), gallery = draw(g, dim, 6);
  const Tensor a = matrix(x, dim, dim), b = matrix(gallery, dim, dim);
  std::vector<std::vector<std::pair<double, int64_t>>> found(n);
  std::vector<double> farthest(n, -1e300), keys;
  std::vector<int64_t> indices;
  for (int64_t part = 0; part < parts; ++part) {
    const auto [key, index, far] = k_reciprocal_scan_cpu(a, b, k1, k2, 2, part, parts);
    for (int64_t e = 0; e < n * k; ++e) {
      const int64_t at = index.const_data_ptr<int64_t>()[e];
      if (at < n) found[e / k].push_back({key.const_data_ptr<double>()[e], at});
    }
    for (int64_t i = 0; i < n; ++i) {
      farthest[i] = std::max(farthest[i], far.const_data_ptr<double>()[i]);
    }
  }
  for (auto& of_image : found) {
    std::sort(of_image.begin(), of_image.end());
    for (int64_t c = 0; c < k; ++c) {
      keys.push_back(of_image[c].first);
      indices.push_back(of_image[c].second);
    }
  }
  const Tensor merged = view(keys, {n, k}, {k, 1}), at = view(indices, {n, k}, {k, 1});
  const Tensor want = k_reciprocal_cpu(a, b, k1, k2, 0.3, 2);
  bool same = true;
  for (const int64_t first : {int64_t(0), q / 3}) {
    const int64_t count = first == 0 ? q / 3 : q - first;
    const Tensor rows =
        k_reciprocal_of_scan_cpu(a, b, merged, at, vector(farthest), k1, k2, 0.3, 2, first, count);
    const double* row = rows.const_data_ptr<double>();
    same &= std::equal(row, row + count * g, want.const_data_ptr<double>() + first * g);
  }
  expect(same, (std::to_string(parts) + " parts of " + std::to_string(n)).c_str());
}

void test_refuses(int64_t k1, int64_t k2, double lambda, const std::string& message) {
  std::vector<double> x = draw(6, 2, 1);
  const Tensor t = matrix(x, 2, 2);
  const std::string got = error_of([&] { k_reciprocal_cpu(t, t, k1, k2, lambda, 0); });
  expect(contains(got, message), message.c_str());
}

}  // namespace

int main() {
  test_against_the_definition(1, 1, 1, 0, 1);
  test_against_the_definition(1, 30, 5, 2, 3);
  test_against_the_definition(30, 1, 7, 4, 1);
  test_against_the_definition(20, 60, 79, 40, 6);
  test_against_the_definition(60, 300, 20, 10, 6);  // tiles on and off the diagonal
  test_nearest(3, 1, 1);
  test_nearest(20, 70, 70);
  test_nearest(600, 5000, 7);  // blocks of rows, tiles of columns
  test_jaccard(30, 30, true);
  test_jaccard(30, 29, false);
  test_in_parts(1, 4, 2, 3);
  test_in_parts(170, 530, 20, 3);
  test_refuses(0, 6, 0.3, "k_reciprocal: k1 must be at least 1, got 0");
  test_refuses(3, 0, 0.3, "k_reciprocal: k2 must be at least 1, got 0");
  test_refuses(3, 1, 1.5, "k_reciprocal: lambda_value must be in [0, 1], got 1.5");
  test_refuses(12, 1, 0.3, "k_reciprocal: k1 must be below the 12 images, got 12");
  return failures;
}
