// The nearest images by given distances on the CPU, gathering some rows at a time.
#pragma once

#include "rerank/given.h"
#include "rerank/nearest_cpu.h"

namespace reid_ext::rerank {

template <typename T>
void scan_given(const Given& given, Nearest<T>& nearest) {
  const int64_t n = given.q + given.g, most = block_rows(n, sizeof(T), 64);
  const Tensor scratch = torch::stable::new_empty(given.query_gallery, {most, n});
  for (int64_t first = 0, count; first < n; first += count) {
    count = next_rows(given, first, most);
    gather(given, first, count, rows_of(scratch, 0, count));
    const T* data = scratch.const_data_ptr<T>();
    torch::stable::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        scan_row(SquaredKeys<T>{data + r * n}, n, int64_t(0), first + r, nearest);
      }
    });
  }
}

}  // namespace reid_ext::rerank
