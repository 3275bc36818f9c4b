// Launches on the emulated device, and the functions of libtorch_cuda.so. Launches that torch, CUDA
// or the rules of this project forbid are errors.
#include <cuda_runtime.h>

#include <stdexcept>
#include <utility>

namespace emulated {

void run_grid(const Config& config, void (*call)(void*), void* kernel);  // device.cpp

namespace {

constexpr uint64_t kMostThreads = 1024;
constexpr unsigned kMostGrid = 0x7fffffff, kMostGridYZ = 65535;

char stream;  // its address identifies torch's current stream
const cudaStream_t kCurrentStream = reinterpret_cast<cudaStream_t>(&stream);

thread_local int guards = 0;
thread_local bool unchecked = false;
thread_local cudaError_t last_error = cudaSuccess;

bool fits(const Config& c) {
  const uint64_t threads = uint64_t(c.block.x) * c.block.y * c.block.z;
  return c.grid.x >= 1 && c.grid.x <= kMostGrid && c.grid.y >= 1 && c.grid.y <= kMostGridYZ &&
         c.grid.z >= 1 && c.grid.z <= kMostGridYZ && threads >= 1 && threads <= kMostThreads &&
         c.shared_bytes == 0;
}

void check_surroundings(const Config& c) {
  if (guards == 0) throw std::runtime_error("a kernel is launched without a device guard");
  if (unchecked) throw std::runtime_error("the launch before this one was not checked");
  if (c.stream != kCurrentStream)
    throw std::runtime_error("a kernel is launched on another stream than torch's current one");
}

}  // namespace

void run(const Config& config, void (*call)(void*), void* kernel) {
  check_surroundings(config);
  unchecked = true;
  last_error = fits(config) ? cudaSuccess : cudaErrorInvalidConfiguration;
  if (last_error != cudaSuccess) return;
  run_grid(config, call, kernel);
}

}  // namespace emulated

cudaError_t cudaGetLastError() {
  emulated::unchecked = false;
  return std::exchange(emulated::last_error, cudaSuccess);
}

// --- functions of libtorch_cuda.so, and behaviour of a GPU ---------------------------------------

extern "C" {

int32_t aoti_torch_create_device_guard(int32_t, void** guard) {
  ++emulated::guards;
  *guard = &emulated::guards;
  return 0;
}

int32_t aoti_torch_delete_device_guard(void*) {
  --emulated::guards;
  return 0;
}

int32_t aoti_torch_get_current_cuda_stream(int32_t, void** stream) {
  *stream = emulated::kCurrentStream;
  return 0;
}

int32_t torch_c10_cuda_check_msg(int32_t error, const char*, const char*, uint32_t, bool,
                                 char** message) {
  static char text[] = "CUDA error: invalid configuration argument";
  *message = error == 0 ? nullptr : text;
  return 0;
}

void torch_c10_cuda_free_error_msg(char*) {}

}  // extern "C"
