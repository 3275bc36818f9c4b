// The sparse row V(i, .) of every image, computed from its nearest neighbours: reciprocal sets,
// their expansion, weights, and the average over the k2 nearest.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "common/rows_cpu.h"
#include "rerank/nearest_cpu.h"

namespace reid_ext::rerank {

template <typename T>
struct Entry {
  int64_t column;
  T value;
};

template <typename T>
using SparseRows = std::vector<std::vector<Entry<T>>>;

// The k nearest of all n images, nearest first, and p of each.
template <typename T>
struct Neighbours {
  int64_t n, k;
  std::vector<int64_t> index;  // (n, k)
  std::vector<T> p;            // (n, k)
  std::vector<T> farthest;     // (n,) keys

  template <typename Source>
  Neighbours(const Source& source, Nearest<T>& nearest, int64_t count)
      : n(source.n), k(count), index(n * k), p(n * k), farthest(std::move(nearest.farthest)) {
    torch::stable::parallel_for(0, n, kRowsPerTask, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const Candidate<T>* found = nearest.sorted(i, n);
        const Normalizer<T> normalized = source.row(i, farthest[i]);
        for (int64_t a = 0; a < k; ++a) {
          index[i * k + a] = found[a].index;
          p[i * k + a] = normalized(found[a].key);
        }
      }
    });
  }

  const int64_t* of(int64_t i) const { return index.data() + i * k; }
};

// R of every image: those of its `wide` nearest that have it among their own, nearest first.
struct ReciprocalSets {
  int64_t wide;
  std::vector<int64_t> members;  // (n, wide), of which the first `count` are valid
  std::vector<int64_t> count;    // (n,)

  template <typename T>
  ReciprocalSets(const Neighbours<T>& nearest, int64_t size)
      : wide(size), members(nearest.n * size), count(nearest.n) {
    torch::stable::parallel_for(0, nearest.n, kRowsPerTask, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t* forward = nearest.of(i);
        int64_t* out = members.data() + i * wide;
        for (int64_t a = 0; a < wide; ++a) {
          const int64_t* backward = nearest.of(forward[a]);
          if (std::find(backward, backward + wide, i) != backward + wide) *out++ = forward[a];
        }
        count[i] = out - (members.data() + i * wide);
      }
    });
  }

  const int64_t* begin(int64_t i) const { return members.data() + i * wide; }
  const int64_t* end(int64_t i) const { return begin(i) + count[i]; }
};

// A set of images that is cleared in O(1): an image belongs to the set if its stamp is the set's.
class Marks {
 public:
  explicit Marks(int64_t n) : stamp_(n, -1) {}
  bool has(int64_t set, int64_t image) const { return stamp_[image] == set; }
  bool insert(int64_t set, int64_t image) {  // returns whether it is new
    const bool is_new = stamp_[image] != set;
    stamp_[image] = set;
    return is_new;
  }

 private:
  std::vector<int64_t> stamp_;
};

// R*(i) in ascending order. `expanded` and `reciprocal` are scratch memory.
inline void expanded_set(int64_t i, const ReciprocalSets& sets, const ReciprocalSets& half,
                         Marks& reciprocal, Marks& expanded, std::vector<int64_t>& out) {
  out.assign(sets.begin(i), sets.end(i));
  for (int64_t member : out) {
    reciprocal.insert(i, member);
    expanded.insert(i, member);
  }
  for (const int64_t* c = sets.begin(i); c != sets.end(i); ++c) {
    const int64_t shared = std::count_if(half.begin(*c), half.end(*c),
                                         [&](int64_t j) { return reciprocal.has(i, j); });
    if (!expands(shared, half.count[*c])) continue;
    for (const int64_t* j = half.begin(*c); j != half.end(*c); ++j) {
      if (expanded.insert(i, *j)) out.push_back(*j);
    }
  }
  std::sort(out.begin(), out.end());
}

// V before averaging. The key of a member of R* outside the k nearest is computed anew.
template <typename T, typename Source>
SparseRows<T> reciprocal_weights(const Source& source, const Neighbours<T>& nearest,
                                 const Settings& settings) {
  const int64_t n = nearest.n;
  const ReciprocalSets sets(nearest, settings.wide(n)), half(nearest, settings.half(n));
  SparseRows<T> v(n);
  torch::stable::parallel_for(0, n, kRowsPerTask, [&](int64_t begin, int64_t end) {
    Marks reciprocal(n), expanded(n), listed(n);
    std::vector<T> p(n);
    std::vector<int64_t> members;
    for (int64_t i = begin; i < end; ++i) {
      expanded_set(i, sets, half, reciprocal, expanded, members);
      for (int64_t a = 0; a < nearest.k; ++a) {
        listed.insert(i, nearest.of(i)[a]);
        p[nearest.of(i)[a]] = nearest.p[i * nearest.k + a];
      }
      const Normalizer<T> normalized = source.row(i, nearest.farthest[i]);
      T sum = 0;
      v[i].reserve(members.size());
      for (int64_t j : members) {
        const T weight = std::exp(-(listed.has(i, j) ? p[j] : normalized(source.key(i, j))));
        v[i].push_back({j, weight});
        sum += weight;
      }
      for (Entry<T>& entry : v[i]) entry.value /= sum;
    }
  });
  return v;
}

// Sums of sparse rows: a dense row of zeros, and a list of its nonzero columns.
template <typename T>
class Accumulator {
 public:
  explicit Accumulator(int64_t n) : sums_(n, T(0)) {}

  void add(int64_t column, T value) {  // value must be above 0
    if (sums_[column] == T(0)) touched_.push_back(column);
    sums_[column] += value;
  }

  // Calls see(column, sum) for every sum by ascending column, then resets the sums.
  template <typename See>
  void drain(See see) {
    std::sort(touched_.begin(), touched_.end());
    for (int64_t column : touched_) {
      see(column, sums_[column]);
      sums_[column] = T(0);
    }
    touched_.clear();
  }

 private:
  std::vector<T> sums_;
  std::vector<int64_t> touched_;
};

template <typename T>
SparseRows<T> averaged(SparseRows<T> v, const Neighbours<T>& nearest, const Settings& settings) {
  if (settings.k2 == 1) return v;
  const int64_t n = nearest.n, count = settings.averaged(n);
  SparseRows<T> means(n);
  torch::stable::parallel_for(0, n, kRowsPerTask, [&](int64_t begin, int64_t end) {
    Accumulator<T> sums(n);
    for (int64_t i = begin; i < end; ++i) {
      for (int64_t a = 0; a < count; ++a) {
        for (const Entry<T>& entry : v[nearest.of(i)[a]]) sums.add(entry.column, entry.value);
      }
      sums.drain([&](int64_t column, T sum) { means[i].push_back({column, sum / T(count)}); });
      means[i].shrink_to_fit();
    }
  });
  return means;
}

}  // namespace reid_ext::rerank
