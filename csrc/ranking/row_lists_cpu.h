// Lists of gallery indices on the CPU, checked before they index memory.
#pragma once

#include "ranking/ranking.h"

namespace reid_ext::ranking {

// Requires offsets that rise from 0 to the length of the list.
inline void check_offsets(const char* op, const char* name, const int64_t* offsets, int64_t q,
                          int64_t length) {
  bool ordered = offsets[0] == 0 && offsets[q] == length;
  for (int64_t i = 0; i < q; ++i) ordered &= offsets[i] <= offsets[i + 1];
  STD_TORCH_CHECK(ordered, op, ": ", name, "offsets must rise from 0 to the number of indices, ",
                  length, ", got offsets from ", offsets[0], " to ", offsets[q]);
}

// Requires each index in [0, size), where size is the number of `of`.
inline void check_range(const char* op, const char* name, const Tensor& indices, int64_t size,
                        const char* of) {
  const int64_t* values = indices.const_data_ptr<int64_t>();
  for (int64_t k = 0; k < indices.numel(); ++k) {
    STD_TORCH_CHECK(values[k] >= 0 && values[k] < size, op, ": ", name, " must be in [0, ", size,
                    "), the indices of ", of, ", got ", values[k]);
  }
}

struct RowLists {
  const int64_t *offsets, *indices;

  RowLists(const char* op, const char* name, const Lists& lists, int64_t q)
      : offsets(lists.offsets.const_data_ptr<int64_t>()),
        indices(lists.indices.const_data_ptr<int64_t>()) {
    check_offsets(op, name, offsets, q, lists.indices.numel());
  }
};

}  // namespace reid_ext::ranking
