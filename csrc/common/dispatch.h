// Calls an operator of torch by name, through the dispatcher, with the stable ABI's types.
//
//   call("aten::mm", "out", a, b, out);                    // the result aliases out: dropped
//   Tensor y = call<Tensor>("aten::bmm", "", a, b);
//   auto [values, order] = call<Tensor, Tensor>("aten::sort", "stable", x, ...);
//
// Check shapes and dtypes before: an error inside the call loses its text on older torch.
#pragma once

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

namespace reid_ext {

template <typename... Results, size_t... Slot>
std::tuple<Results...> unpack(const StableIValue* stack, std::index_sequence<Slot...>) {
  return {torch::stable::detail::to<Results>(stack[Slot])...};
}

template <typename... Results, typename... Args>
auto call(const char* op, const char* overload, const Args&... args) {
  constexpr size_t kSlots = std::max({sizeof...(Args), sizeof...(Results), size_t(1)});
  std::array<StableIValue, kSlots> stack{torch::stable::detail::from(args)...};
  TORCH_ERROR_CODE_CHECK(torch_call_dispatcher(op, overload, stack.data(), TORCH_ABI_VERSION));
  if constexpr (sizeof...(Results) == 0) {
    return torch::stable::detail::to<torch::stable::Tensor>(stack[0]);
  } else if constexpr (sizeof...(Results) == 1) {
    return torch::stable::detail::to<Results...>(stack[0]);
  } else {
    return unpack<Results...>(stack.data(), std::index_sequence_for<Results...>());
  }
}

}  // namespace reid_ext
