// The k smallest keys of every row and the largest, from a row that arrives in pieces and is not
// stored.
//
// A row is read in chunks. Most chunks have no key below the limit, which is the k-th smallest key
// so far. The other chunks are read key by key.
#pragma once

#include <algorithm>
#include <limits>
#include <vector>

#include "rerank/rerank.h"

namespace reid_ext::rerank {

template <typename T>
constexpr T kInfinity = std::numeric_limits<T>::infinity();
constexpr int64_t kChunk = 64;
constexpr int64_t kRowsPerTask = 64;

template <typename T>
struct Candidate {
  T key;
  int64_t index;

  bool operator<(const Candidate& other) const {
    return key < other.key || (key == other.key && index < other.index);
  }
};

// The k smallest keys of each row, and the largest. The keys of a row must arrive by ascending
// index, so a key that equals the limit is always later and is skipped.
template <typename T>
class Nearest {
 public:
  Nearest(int64_t rows, int64_t k)
      : limit(rows, kInfinity<T>),
        farthest(rows, -kInfinity<T>),
        k_(k),
        room_(k + std::max<int64_t>(k, 32)),
        count_(rows, 0),
        candidates_(rows * room_) {}

  void add(int64_t row, T key, int64_t index) {
    Candidate<T>* of_row = candidates_.data() + row * room_;
    of_row[count_[row]++] = {key, index};
    if (count_[row] < room_) return;
    std::nth_element(of_row, of_row + (k_ - 1), of_row + room_);
    count_[row] = k_;
    limit[row] = of_row[k_ - 1].key;
  }

  // The k nearest of a row in order. Keys that are not finite are last, by index. k is at most n.
  const Candidate<T>* sorted(int64_t row, int64_t n) {
    Candidate<T>* of_row = candidates_.data() + row * room_;
    const int64_t finite = found(row);
    std::partial_sort(of_row, of_row + finite, of_row + count_[row]);
    if (finite < k_) fill(of_row, finite, n);
    return of_row;
  }

  // How many of them have a finite key.
  int64_t found(int64_t row) const { return std::min(count_[row], k_); }

  std::vector<T> limit, farthest;

 private:
  void fill(Candidate<T>* of_row, int64_t found, int64_t n) const {
    std::vector<char> taken(n, 0);
    for (int64_t a = 0; a < found; ++a) taken[of_row[a].index] = 1;
    for (int64_t j = 0; found < k_ && j < n; ++j) {
      if (!taken[j]) of_row[found++] = {kNaN<T>, j};
    }
  }

  int64_t k_, room_;
  std::vector<int64_t> count_;
  std::vector<Candidate<T>> candidates_;
};

// One row of keys. The result is the same fused or not, because scale is -1 if bias is not 0.
template <typename T>
struct ProductKeys {
  const T *products, *scale, *bias;
  T at(int64_t k) const { return products[k] * scale[k] + bias[k]; }
};

template <typename T>
struct SquaredKeys {
  const T* distances;
  T at(int64_t k) const { return distances[k] * distances[k]; }
};

template <typename T>
struct GivenKeys {
  const T* keys;
  T at(int64_t k) const { return keys[k]; }
};

// The start of the first chunk from `begin` on with a key below the limit, or n. Updates `farthest`
// with all keys up to the end of that chunk.
template <typename T, typename Keys>
REID_CLONES int64_t next_near(Keys keys, int64_t begin, int64_t n, T limit, T* farthest) {
  T far = *farthest;
  for (; begin < n; begin += kChunk) {
    const int64_t end = std::min(begin + kChunk, n);
    int32_t near = 0;
#pragma omp simd reduction(+ : near) reduction(max : far)
    for (int64_t k = begin; k < end; ++k) {
      const T key = keys.at(k);
      far = key > far ? key : far;
      near += key < limit;
    }
    if (near > 0) break;
  }
  *farthest = far;
  return std::min(begin, n);
}

// The same if every key belongs to another image, which has its own limit and farthest.
template <typename T>
REID_CLONES int64_t next_near_of_columns(const T* products, Order<T> order, const T* limit,
                                         T* farthest, int64_t begin, int64_t n) {
  for (; begin < n; begin += kChunk) {
    const int64_t end = std::min(begin + kChunk, n);
    int32_t near = 0;
#pragma omp simd reduction(+ : near)
    for (int64_t k = begin; k < end; ++k) {
      const T key = products[k] * order.scale + order.bias;
      farthest[k] = key > farthest[k] ? key : farthest[k];
      near += key < limit[k];
    }
    if (near > 0) return begin;
  }
  return n;
}

// The keys 0 .. n of one row, which belong to images from `first` on.
template <typename T, typename Keys>
void scan_row(Keys keys, int64_t n, int64_t first, int64_t row, Nearest<T>& nearest) {
  T* farthest = &nearest.farthest[row];
  for (int64_t k = 0;; k += kChunk) {
    k = next_near(keys, k, n, nearest.limit[row], farthest);
    if (k == n) return;
    for (int64_t c = k; c < std::min(k + kChunk, n); ++c) {
      if (keys.at(c) < nearest.limit[row]) nearest.add(row, keys.at(c), first + c);
    }
  }
}

}  // namespace reid_ext::rerank
