// Helpers of the C++ tests: a check that reports its result, and tensors over a test's own data.
#pragma once

#include <torch/csrc/stable/ops.h>

#include <cmath>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "common/check.h"

namespace reid_ext::testing {

inline int failures = 0;  // the exit status of a test program

inline void expect(bool ok, const char* what) {
  std::printf("%s  %s\n", ok ? "ok  " : "FAIL", what);
  failures += !ok;
}

inline bool close(double got, double want, double tolerance = 1e-12) {
  return std::abs(got - want) <= tolerance;
}

// The message of the error that f raises, or an empty string.
template <typename F>
std::string error_of(F f) {
  try {
    f();
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != text.npos;
}

template <typename T>
Tensor view(std::vector<T>& data, const std::vector<int64_t>& sizes,
            const std::vector<int64_t>& strides) {
  constexpr ScalarType type = std::is_same_v<T, double>  ? ScalarType::Double
                              : std::is_same_v<T, float> ? ScalarType::Float
                                                         : ScalarType::Long;
  const torch::stable::Device cpu(torch::headeronly::DeviceType::CPU);
  return torch::stable::from_blob(data.data(), sizes, strides, cpu, type);
}

// A view of the first d columns of a matrix with rows of length `stride`.
template <typename T>
Tensor matrix(std::vector<T>& data, int64_t d, int64_t stride) {
  return view(data, {int64_t(data.size()) / stride, d}, {stride, 1});
}

template <typename T>
Tensor vector(std::vector<T>& data) {
  return view(data, {int64_t(data.size())}, {1});
}

}  // namespace reid_ext::testing
