// Chooses the products by which the ranking ops estimate distances on this CPU.
//
// The default is a full product. If the processor multiplies bfloat16 faster than float32, products
// in bfloat16 estimate the distances of float32 features. A pair is open if the estimate cannot
// decide its order; it is then computed in full, so the choice changes only the speed and not the
// counts. The environment variable REID_EXT_CPU_ESTIMATE=float32|bfloat16 overrides the processor
// and the sample of estimated_cpu.h. Each call reads it.
//
// To add an estimate, add a value of Estimate, its name in choice_cpu.cpp, its error in
// estimate_cpu.h, and its product in count_cpu.h.
#pragma once

#include <optional>

#include "common/check.h"

namespace reid_ext::ranking {

enum class Estimate {
  kInFull,    // the product in the precision of the features
  kBFloat16,  // the product of the features rounded to bfloat16
};

// The estimate that REID_EXT_CPU_ESTIMATE requests, or nothing if the variable is not set.
std::optional<Estimate> forced_estimate();

// The fastest estimate of the products of these queries with a gallery, or the requested one.
Estimate fastest_estimate(const Tensor& query);

// Whether an estimate with this share of open pairs is faster than a full product. The same rule
// holds for the sample of a whole gallery and for each tile.
inline bool estimate_pays(int64_t open, int64_t pairs) {
  constexpr int64_t kFewest = 10;  // pairs per open pair
  return kFewest * open < pairs;
}

}  // namespace reid_ext::ranking
