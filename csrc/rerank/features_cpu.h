// Images with features, and the scans that find the nearest of each, by tiles of products.
//
// The products of the images with themselves are symmetric. Each tile on or right of the diagonal
// serves the images of its rows and of its columns, and the tiles left of it are not computed.
#pragma once

#include <algorithm>
#include <vector>

#include "common/product_cpu.h"
#include "common/rows_cpu.h"
#include "rerank/nearest_cpu.h"

namespace reid_ext::rerank {

// Rows i .. i + rows and columns j .. j + cols of all products.
struct Tile {
  int64_t i, rows, j, cols;
};

// The images with the factors that turn their products into keys.
template <typename T>
struct Features {
  Tensor x;
  Metric metric;
  bool plain;  // p is the distance itself
  int64_t n, d;
  std::vector<T> norms, scale, bias;  // of each image: squared norm and Order

  Features(const Tensor& features, Metric by, bool plain_distances = false)
      : x(features),
        metric(by),
        plain(plain_distances),
        n(features.size(0)),
        d(features.size(1)),
        norms(squared_norms(features.const_data_ptr<T>(), n, d)),
        scale(n),
        bias(n) {
    for (int64_t j = 0; j < n; ++j) {
      const Order<T> o = order(metric, norms[j]);
      scale[j] = o.scale;
      bias[j] = o.bias;
    }
  }

  Normalizer<T> row(int64_t i, T farthest) const {
    return plain ? plain_distance(norms[i]) : normalizer(metric, norms[i], farthest);
  }
  T key(int64_t i, int64_t j) const {
    const T* data = x.template const_data_ptr<T>();
    return one_dot(data + i * d, data + j * d, d) * scale[j] + bias[j];
  }
};

template <typename T>
void scan_rows(const T* tile, Tile t, const Features<T>& images, Nearest<T>& nearest) {
  torch::stable::parallel_for(0, t.rows, rows_per_task(t.cols), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const ProductKeys<T> keys = {tile + r * t.cols, images.scale.data() + t.j,
                                   images.bias.data() + t.j};
      scan_row(keys, t.cols, t.j, t.i + r, nearest);
    }
  });
}

// Scans columns first .. cols of the tile, whose neighbours are the rows.
template <typename T>
void scan_columns(const T* tile, Tile t, int64_t first, const Features<T>& images,
                  Nearest<T>& nearest) {
  constexpr int64_t kColumnsAtOnce = 512;  // so that their limits stay in the L1 cache
  torch::stable::parallel_for(first, t.cols, kColumnsAtOnce, [&](int64_t begin, int64_t end) {
    const T* limit = nearest.limit.data() + t.j;
    T* farthest = nearest.farthest.data() + t.j;
    for (int64_t c0 = begin; c0 < end; c0 += kColumnsAtOnce) {
      const int64_t c1 = std::min(c0 + kColumnsAtOnce, end);
      for (int64_t r = 0; r < t.rows; ++r) {
        const Order<T> order = {images.scale[t.i + r], images.bias[t.i + r]};
        const T* products = tile + r * t.cols;
        for (int64_t k = c0;; k += kChunk) {
          k = next_near_of_columns(products, order, limit, farthest, k, c1);
          if (k >= c1) break;
          for (int64_t c = k; c < std::min(k + kChunk, c1); ++c) {
            const T key = products[c] * order.scale + order.bias;
            if (key < limit[c]) nearest.add(t.j + c, key, t.i + r);
          }
        }
      }
    }
  });
}

// Scans every row of x against every image.
template <typename T>
void scan_keys(const Tensor& x, const Features<T>& images, Nearest<T>& nearest) {
  CpuTileProduct product(x, std::min(x.size(0), kTileRows), std::min(images.n, kTileCols));
  for (int64_t i = 0; i < x.size(0); i += kTileRows) {
    const int64_t rows = std::min(kTileRows, x.size(0) - i);
    for (int64_t j = 0; j < images.n; j += kTileCols) {
      const Tile t = {i, rows, j, std::min(kTileCols, images.n - j)};
      const Tensor tile = product(rows_of(x, i, rows), rows_of(images.x, j, t.cols));
      scan_rows(tile.const_data_ptr<T>(), t, images, nearest);
    }
  }
}

// Calls see(tile, where) for the tiles of products on or right of the diagonal, in the blocks of
// rows for which wanted(block number) is true. The tiles depend on the number of images only.
template <typename T, typename Wanted, typename See>
void symmetric_tiles(const Features<T>& images, Wanted wanted, See see) {
  const int64_t n = images.n, height = rows_of_symmetric_tile(n);
  CpuTileProduct product(images.x, height, std::min(n, kTileCols));
  for (int64_t i = 0; i < n; i += height) {
    if (!wanted(i / height)) continue;
    const int64_t rows = std::min(height, n - i);
    const Tensor some = rows_of(images.x, i, rows);
    for (int64_t j = i; j < n; j += kTileCols) {
      const Tile t = {i, rows, j, std::min(kTileCols, n - j)};
      const Tensor tile = product(some, rows_of(images.x, j, t.cols));
      see(tile.const_data_ptr<T>(), t);
    }
  }
}

// Scans a tile for the images of its rows and of its columns.
template <typename T>
void scan_tile(const T* tile, Tile t, const Features<T>& images, Nearest<T>& nearest) {
  scan_rows(tile, t, images, nearest);
  const int64_t square =
      t.j == t.i ? std::min(t.rows, t.cols) : 0;  // on the diagonal, rows saw both
  scan_columns(tile, t, square, images, nearest);
}

// Scans every image against every image, including itself. Calls see(tile, where) for each tile.
template <typename T, typename See>
void scan_all(const Features<T>& images, Nearest<T>& nearest, See see) {
  symmetric_tiles(
      images, [](int64_t) { return true; },
      [&](const T* tile, Tile t) {
        scan_tile(tile, t, images, nearest);
        see(tile, t);
      });
}

}  // namespace reid_ext::rerank
