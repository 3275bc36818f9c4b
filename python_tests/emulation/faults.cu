// Kernels with the faults that the emulated device must find, for test_emulated_device.py.
#include <cuda_runtime.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/macros.h>

#include <stdexcept>
#include <string>

namespace {

using torch::stable::accelerator::DeviceGuard;

__global__ void half_at_barrier(int*) {
  if (threadIdx.x < 128) __syncthreads();
}

__global__ void two_barriers(int*) {
  if (threadIdx.x < 128) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void lane_leaves(int* out) {
  if (threadIdx.x == 5) return;
  out[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1, 16);
}

__global__ void too_much_shared(int* out) {
  __shared__ double memory[7000];
  out[threadIdx.x] = memory[threadIdx.x] > 0;
}

// The number of each thread's neighbour, or the previous content if the barrier is missing.
__global__ void neighbours(int* out, bool wait) {
  __shared__ int numbers[256];
  numbers[threadIdx.x] = threadIdx.x;
  if (wait) __syncthreads();
  out[threadIdx.x] = numbers[(threadIdx.x + 1) % 256];
}

cudaStream_t stream() {
  void* current = nullptr;
  aoti_torch_get_current_cuda_stream(0, &current);
  return static_cast<cudaStream_t>(current);
}

void launch(const std::string& fault, int* out) {
  if (fault == "no guard") half_at_barrier<<<1, 256, 0, stream()>>>(out);
  const DeviceGuard guard(0);
  if (fault == "half at barrier") half_at_barrier<<<1, 256, 0, stream()>>>(out);
  if (fault == "two barriers") two_barriers<<<1, 256, 0, stream()>>>(out);
  if (fault == "lane leaves") lane_leaves<<<1, 256, 0, stream()>>>(out);
  if (fault == "half a warp") lane_leaves<<<1, 16, 0, stream()>>>(out);
  if (fault == "too much shared") too_much_shared<<<1, 256, 0, stream()>>>(out);
  if (fault == "empty grid") neighbours<<<0, 256, 0, stream()>>>(out, true);
  if (fault == "large block") neighbours<<<1, 2048, 0, stream()>>>(out, true);
  if (fault == "other stream") neighbours<<<1, 256, 0, nullptr>>>(out, true);
  if (fault == "not checked") {
    neighbours<<<1, 256, 0, stream()>>>(out, true);
    neighbours<<<1, 256, 0, stream()>>>(out, true);
  }
  if (fault == "none") neighbours<<<1, 256, 0, stream()>>>(out, true);
  if (fault == "no barrier") neighbours<<<1, 256, 0, stream()>>>(out, false);
  STD_CUDA_KERNEL_LAUNCH_CHECK();
}

}  // namespace

// Returns the error that the fault raises, or an empty string. out has 256 elements.
extern "C" __attribute__((visibility("default"))) const char* emulated_fault(const char* fault,
                                                                             int* out) {
  static std::string message;
  message.clear();
  try {
    launch(fault, out);
  } catch (const std::exception& error) {
    message = error.what();
  }
  cudaGetLastError();  // clears the error if the launch was not checked
  return message.c_str();
}
