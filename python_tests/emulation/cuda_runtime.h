// CUDA for one host thread: the parts of the runtime and the language that the kernels of csrc use.
//
// translate.py turns a launch into emulated::launch and a __shared__ variable into
// emulated::shared, and records every kernel that runs. device.cpp has the device.
#pragma once

#include <math.h>  // not cmath, as CUDA has the overloads in the global namespace

#include <cstdint>
#include <cstring>

#define __global__
#define __device__
#define __host__

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
extern dim3 threadIdx, blockIdx, blockDim, gridDim;

using cudaStream_t = struct Stream*;
enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidConfiguration = 9 };
cudaError_t cudaGetLastError();

namespace emulated {

// A place where threads wait. All threads of a block or warp must wait at the same place.
using Place = const char*;

struct Config {
  dim3 grid, block;
  size_t shared_bytes;
  cudaStream_t stream;
};

void run(const Config& config, void (*call)(void*), void* kernel);
void entered(const char* kernel);
int64_t most_blocks();
bool barrier(bool value, Place place);
void exchange(unsigned mask, void* value, size_t size, int from, Place place);
unsigned ballot(unsigned mask, bool value, Place place);  // one bit per lane, set if value is true
int lane();
void* block_memory(const void* variable, size_t size);

template <typename Kernel>
void launch(const Config& config, Kernel kernel) {
  run(config, [](void* k) { (*static_cast<Kernel*>(k))(); }, &kernel);
}

// The value of the partner lane, or the lane's own value if the partner does not exist.
template <typename T>
T shuffled(unsigned mask, T value, int from, Place place) {
  exchange(mask, &value, sizeof(T), from < 32 ? from : lane(), place);
  return value;
}

// A variable of the block, identified by its type and by the lambda where it is declared.
template <typename T, typename Declaration>
T& shared(Declaration) {
  static const char variable = 0;
  return *static_cast<T*>(block_memory(&variable, sizeof(T)));
}

inline int atomic_add(int* at, int value) {
  const int before = *at;
  *at += value;
  return before;
}

}  // namespace emulated

#define EMULATED_TEXT(x) #x
#define EMULATED_LINE(x) EMULATED_TEXT(x)
#define EMULATED_PLACE __FILE__ ":" EMULATED_LINE(__LINE__)

#define __syncthreads() emulated::barrier(false, EMULATED_PLACE)
#define __syncthreads_or(value) emulated::barrier(value, EMULATED_PLACE)
#define __shfl_xor_sync(mask, value, offset) \
  emulated::shuffled(mask, value, emulated::lane() ^ (offset), EMULATED_PLACE)
#define __shfl_down_sync(mask, value, offset) \
  emulated::shuffled(mask, value, emulated::lane() + (offset), EMULATED_PLACE)
#define __shfl_sync(mask, value, from) emulated::shuffled(mask, value, from, EMULATED_PLACE)
#define __ballot_sync(mask, value) emulated::ballot(mask, value, EMULATED_PLACE)
#define __ffs __builtin_ffs
#define atomicAdd emulated::atomic_add
