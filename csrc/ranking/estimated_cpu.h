// Ranks with features in memory. The first step computes the values of the positives, and the
// second counts how many gallery images precede each. The ranks are those of a stable sort by the
// values of stream.h.
#pragma once

#include "ranking/choice_cpu.h"
#include "ranking/ranking.h"

namespace reid_ext::ranking {

// Whether estimates in bfloat16 are faster, judged by a sample of queries and images (float32).
bool estimates_pay(const Problem& p);

// Ranks of features. The caller must have checked the lists.
Tensor ranks_of_features(const Problem& p, Estimate estimate);

}  // namespace reid_ext::ranking
