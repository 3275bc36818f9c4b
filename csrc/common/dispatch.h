// Calls an operator of torch through the dispatcher, with the types of the stable ABI.
//
//   call("aten::mm", "out", a, b, out);                    // the result aliases out and is dropped
//   Tensor y = call<Tensor>("aten::bmm", "", a, b);
//   auto [values, order] = call<Tensor, Tensor>("aten::sort", "stable", x, ...);
//
// Check shapes and dtypes before the call, because older torch loses the text of an inner error.
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
