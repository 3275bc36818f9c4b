// Chooses the library that multiplies float32 matrices on this CPU, and calls oneDNN.
//
// torch.mm uses MKL, which does not use AVX-512 on AMD processors. oneDNN, which torch also
// contains, does. REID_EXT_CPU_PRODUCT=torch|onednn overrides the choice. If oneDNN is missing,
// aten::mm is used from then on, and cpu_product() reports it.
#include "common/product_cpu.h"

#include <cstdlib>
#include <stdexcept>
#include <string>

#include "common/targets.h"

// a b^T + bias by oneDNN, through the C function that torch provides for AOTInductor. A call
// through the dispatcher would leak the strings of every call.
extern "C" __attribute__((weak)) AOTITorchError aoti_torch_cpu__linear_pointwise(
    AtenTensorHandle a, AtenTensorHandle b, AtenTensorHandle* bias, const char* attribute,
    const double** scalars, int64_t number_of_scalars, const char** algorithm,
    AtenTensorHandle* out);

namespace reid_ext {
namespace {

bool choose() {
  const char* asked = std::getenv("REID_EXT_CPU_PRODUCT");
  const std::string choice = asked ? asked : "";
  STD_TORCH_CHECK(choice.empty() || choice == "torch" || choice == "onednn",
                  "REID_EXT_CPU_PRODUCT must be torch or onednn, got ", choice);
  if (!choice.empty()) return choice == "onednn";
#if defined(__x86_64__) && defined(__GNUC__)
  return __builtin_cpu_is("amd") && std::string(cpu_capability()) == "x86-64-v4";
#else
  return false;
#endif
}

Tensor call_onednn(const Tensor& a, const Tensor& b) {
  AtenTensorHandle out = nullptr;
  TORCH_ERROR_CODE_CHECK(aoti_torch_cpu__linear_pointwise(a.get(), b.get(), nullptr, "none",
                                                          nullptr, 0, nullptr, &out));
  return Tensor(out);
}

// Whether oneDNN is available; evaluated once.
bool works() {
  if (!choose() || !aoti_torch_cpu__linear_pointwise) return false;
  const torch::stable::Device cpu(torch::headeronly::DeviceType::CPU);
  float one = 1;
  const Tensor x = torch::stable::from_blob(&one, {1, 1}, {1, 1}, cpu, ScalarType::Float);
  try {
    return call_onednn(x, x).const_data_ptr<float>()[0] == 1.0f;
  } catch (const std::exception&) {
    return false;
  }
}

std::string cpu_product() { return product_by_onednn() ? "onednn" : "torch"; }

}  // namespace

bool product_by_onednn() {
  static const bool yes = works();
  return yes;
}

Tensor onednn_product(const Tensor& a, const Tensor& b) {
  const bool empty = a.numel() == 0 || b.numel() == 0;  // oneDNN cannot multiply these
  return empty ? torch::stable::new_zeros(a, {a.size(0), b.size(0)}) : call_onednn(a, b);
}

STABLE_TORCH_LIBRARY_FRAGMENT(reid_ext, m) { m.def("cpu_product() -> str"); }

STABLE_TORCH_LIBRARY_IMPL(reid_ext, CompositeExplicitAutograd, m) {
  m.impl("cpu_product", TORCH_BOX(&cpu_product));
}

}  // namespace reid_ext
