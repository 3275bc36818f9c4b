// The values by which chosen pairs are compared (see stream.h), on the CPU.
#pragma once

#include <torch/csrc/stable/ops.h>

#include "common/metric.h"
#include "common/product_cpu.h"
#include "common/rows_cpu.h"

namespace reid_ext::ranking {

// Pairs of query row query_rows[k] and block row block_rows[k], k in [0, p). Rows have length d.
template <typename T>
struct PairRows {
  const T *query, *block;
  const int64_t *query_rows, *block_rows;
  int64_t p, d;
};

template <typename T>
void pair_values(const PairRows<T>& pairs, Metric metric, T* values) {
  const int64_t d = pairs.d;
  torch::stable::parallel_for(0, pairs.p, rows_per_task(3 * d), [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const T* a = pairs.query + pairs.query_rows[k] * d;
      const T* b = pairs.block + pairs.block_rows[k] * d;
      const Order<T> o = order(metric, squared_norm(b, d));
      const bool finite = is_finite(squared_norm(a, d));
      values[k] = finite ? one_dot(a, b, d) * o.scale + o.bias : kNaN<T>;
    }
  });
}

}  // namespace reid_ext::ranking
