// Images with given distances: the matrix [[qq, qg], [qg^T, gg]], where column i belongs to image
// i, as in the released code. For host and device.
#pragma once

#include "common/product.h"
#include "rerank/rerank.h"

namespace reid_ext::rerank {

// A matrix view with any strides.
template <typename T>
struct View {
  const T* data;
  int64_t row_stride, column_stride;

  explicit View(const Tensor& t)
      : data(t.const_data_ptr<T>()), row_stride(t.stride(0)), column_stride(t.stride(1)) {}
  REID_HD T at(int64_t i, int64_t j) const { return data[i * row_stride + j * column_stride]; }
};

// Keys are squared distances, and p is a key divided by the largest of its row.
template <typename T>
struct GivenPairs {
  int64_t q, n;
  View<T> qg, qq, gg;

  explicit GivenPairs(const Given& of)
      : q(of.q), n(of.q + of.g), qg(of.query_gallery), qq(of.query_query), gg(of.gallery_gallery) {}

  REID_HD T key(int64_t i, int64_t j) const {
    const T d = i < q ? (j < q ? qq.at(j, i) : qg.at(i, j - q))
                      : (j < q ? qg.at(j, i - q) : gg.at(j - q, i - q));
    return d * d;
  }
  REID_HD Normalizer<T> row(int64_t, T farthest) const { return {T(1), T(0), farthest, false}; }
};

inline void copy_block(Tensor to, int64_t first_column, const Tensor& from) {
  Tensor part = torch::stable::narrow(to, 1, first_column, from.size(1));
  torch::stable::copy_(part, from);
}

// Distances of images first .. first + count to all n images. The range has only queries or only
// gallery images.
inline void gather(const Given& d, int64_t first, int64_t count, const Tensor& rows) {
  const auto columns = [&](Tensor t, int64_t at) {
    return torch::stable::transpose(torch::stable::narrow(t, 1, at, count), 0, 1);
  };
  if (first < d.q) {
    copy_block(rows, 0, columns(d.query_query, first));
    copy_block(rows, d.q, rows_of(d.query_gallery, first, count));
  } else {
    copy_block(rows, 0, columns(d.query_gallery, first - d.q));
    copy_block(rows, d.q, columns(d.gallery_gallery, first - d.q));
  }
}

// The number of images after `first` to gather next, either queries or gallery images.
inline int64_t next_rows(const Given& d, int64_t first, int64_t most) {
  const int64_t end = first < d.q ? d.q : d.q + d.g;
  return std::min(most, end - first);
}

}  // namespace reid_ext::rerank
