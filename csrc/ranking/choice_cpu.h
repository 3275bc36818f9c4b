// Which products the ranking ops estimate distances by on this CPU, and when an estimate pays.
//
// A product in full is the default. Where the processor multiplies bfloat16 faster than float32,
// products in bfloat16 estimate the distances of float32 features; a pair whose place its estimate
// leaves open is computed in full, so the choice changes the time of a call and none of its counts.
// The environment variable REID_EXT_CPU_ESTIMATE=float32|bfloat16 overrides both the processor and
// the sample of estimated_cpu.h. It is read at each call.
//
// To add a kind of estimate: a value of Estimate, its name in choice_cpu.cpp, its error in
// estimate_cpu.h, and its product in count_cpu.h.
#pragma once

#include <optional>

#include "common/check.h"

namespace reid_ext::ranking {

enum class Estimate {
  kInFull,    // the product in the precision of the features
  kBFloat16,  // the product of the features rounded to bfloat16
};

// What REID_EXT_CPU_ESTIMATE asks for; nothing if it is not set.
std::optional<Estimate> forced_estimate();

// The fastest estimate of products of such features: the forced one, or by the processor.
Estimate fastest_estimate(const Tensor& features);

// Whether an estimate that leaves so many of the pairs open is faster than products in full. The
// one rule for the sample of a whole gallery and for each tile.
inline bool estimate_pays(int64_t open, int64_t pairs) {
  constexpr int64_t kFewest = 10;  // pairs for each open one
  return kFewest * open < pairs;
}

}  // namespace reid_ext::ranking
