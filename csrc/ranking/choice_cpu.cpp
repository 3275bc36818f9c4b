// Implements choice_cpu.h: the environment variable decides, else the processor.
#include "ranking/choice_cpu.h"

#include <cstdlib>
#include <string>

#include "common/targets.h"

namespace reid_ext::ranking {
namespace {

bool has_fast_bfloat16() {
#if REID_HAS_CLONES
  return __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

}  // namespace

std::optional<Estimate> forced_estimate() {
  const char* asked = std::getenv("REID_EXT_CPU_ESTIMATE");
  const std::string kind = asked ? asked : "";
  STD_TORCH_CHECK(kind.empty() || kind == "float32" || kind == "bfloat16",
                  "REID_EXT_CPU_ESTIMATE must be float32 or bfloat16, got ", kind);
  if (kind.empty()) return std::nullopt;
  return kind == "bfloat16" ? Estimate::kBFloat16 : Estimate::kInFull;
}

Estimate fastest_estimate(const Tensor& query) {
  constexpr int64_t kFewQueries = 64;  // for fewer, rounding the gallery takes longer than it saves
  const std::optional<Estimate> forced = forced_estimate();
  if (query.scalar_type() != ScalarType::Float) return Estimate::kInFull;
  if (forced) return *forced;
  const bool pays = has_fast_bfloat16() && query.size(0) >= kFewQueries;
  return pays ? Estimate::kBFloat16 : Estimate::kInFull;
}

}  // namespace reid_ext::ranking
