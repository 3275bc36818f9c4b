// Ranks of a gallery in memory by estimates, in two steps: the values of the positives' own pairs,
// then how many images of the gallery come before each. The ranks are those of a stable sort by
// the values of stream.h.
#pragma once

#include "ranking/choice_cpu.h"
#include "ranking/ranking.h"

namespace reid_ext::ranking {

// Whether estimates in bfloat16 pay for a sample of queries and images of float32 features.
bool estimates_pay(const Problem& p);

// Of float32 features; the lists are checked.
Tensor ranks_by_estimates(const Problem& p, Estimate estimate);

}  // namespace reid_ext::ranking
