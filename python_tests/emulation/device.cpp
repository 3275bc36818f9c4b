// The emulated device. Blocks run one after the other, and the threads of a block take turns; each
// runs until it waits at a barrier or in a shuffle. Deadlocks and undefined behaviour are errors.
//
// One warp runs as far as it can before the next starts, which is the largest distance that threads
// of a block can have, in forward, backward or random order. A missing barrier shows as a
// difference between orders. Shared memory starts as 0xff in every block, which is NaN or -1.
#include <cuda_runtime.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "fiber.h"

asm(R"(
.text
.globl emulated_switch
.hidden emulated_switch
.type emulated_switch, @function
emulated_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");

dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulated {
namespace {

constexpr int kWarp = 32, kMostThreads = 1024;
constexpr size_t kMostShared = 48 << 10;
enum class State { kReady, kInShuffle, kAtBarrier, kReturned };

struct Thread {
  Fiber fiber;
  dim3 index;
  State state;
  Place place;  // where the thread waits
};

struct Warp {
  int waiting, shuffles;
  size_t size;
  char values[2][kWarp][16];  // of this shuffle, and the next, which fast lanes may have reached
};

struct Variable {
  const void* key;
  size_t size;
  std::unique_ptr<char[]> memory;
};

struct Block {
  std::vector<Thread> threads = std::vector<Thread>(kMostThreads);
  std::vector<Warp> warps = std::vector<Warp>(kMostThreads / kWarp);
  std::vector<Variable> variables;
  int size, current, returned, at_barrier;
  bool any, result;
  void (*call)(void*);
  void* kernel;
  void* host;          // the saved stack pointer of the scheduler
  Bounds host_bounds;  // the bounds of its stack
  std::string error;
};

struct Device {
  std::mutex mutex;
  Block block;
  std::set<std::string> kernels;  // the kernels that have run
  std::minstd_rand random;
  int order = 0;
  int64_t most_blocks = 0x7fffffff;
} device;

Thread& self() { return device.block.threads[device.block.current]; }

void wait_in_turn(State state) {
  self().state = state;
  switch_stack(&self().fiber.top, device.block.host, device.block.host_bounds,
               &device.block.host_bounds);
}

void fail(const std::string& what) {
  device.block.error = what;
  wait_in_turn(State::kReturned);  // never resumes, as the scheduler abandons the block
}

// Checks that all waiting threads wait at the same place.
void check_place(int first, int count, State state, Place place) {
  for (int t = first; t < first + count; ++t) {
    const Thread& other = device.block.threads[t];
    if (other.state != state || std::strcmp(other.place, place) == 0) continue;
    fail(std::string("some threads wait at ") + other.place + ", others at " + place);
  }
}

void release(int first, int count) {
  for (int t = first; t < first + count; ++t) device.block.threads[t].state = State::kReady;
}

void thread_main() {
  arrive(&device.block.host_bounds);
  device.block.call(device.block.kernel);
  ++device.block.returned;
  wait_in_turn(State::kReturned);
}

void resume(int t) {
  Block& block = device.block;
  block.current = t;
  threadIdx = block.threads[t].index;
  const Fiber& fiber = block.threads[t].fiber;
  switch_stack(&block.host, fiber.top, {fiber.memory, kStackBytes}, nullptr);
  if (!block.error.empty()) throw std::runtime_error(block.error);
}

struct Order {
  int length, items[kWarp];

  Order(int first, int count) : length(count) {
    for (int k = 0; k < count; ++k) items[k] = first + (device.order == 1 ? count - 1 - k : k);
    if (device.order > 1) std::shuffle(items, items + count, device.random);
  }
  const int* begin() const { return items; }
  const int* end() const { return items + length; }
};

// Runs the lanes of a warp. Returns whether any lane could continue.
bool run_warp(int warp) {
  const int first = warp * kWarp, lanes = std::min(kWarp, device.block.size - first);
  bool moved = false;
  for (bool again = true; again;) {
    again = false;
    for (const int t : Order(first, lanes)) {
      if (device.block.threads[t].state != State::kReady) continue;
      resume(t);
      again = moved = true;
    }
  }
  return moved;
}

[[noreturn]] void stuck() {
  const Block& block = device.block;
  std::string what = std::to_string(block.returned) + " threads of a block have returned";
  for (int t = 0; t < block.size; ++t) {
    if (block.threads[t].state == State::kReturned) continue;
    throw std::runtime_error(what + ", thread " + std::to_string(t) + " waits for them at " +
                             block.threads[t].place);
  }
  throw std::logic_error("no thread waits");
}

void run_block(const dim3& shape) {
  Block& block = device.block;
  block.returned = block.at_barrier = 0;
  block.any = false;
  block.variables.clear();
  for (int t = 0; t < block.size; ++t) {
    Thread& thread = block.threads[t];
    const unsigned plane = shape.x * shape.y;
    thread.index = dim3(t % shape.x, t % plane / shape.x, t / plane);
    thread.state = State::kReady;
    thread.fiber.begin(thread_main, t);
  }
  const int warps = (block.size + kWarp - 1) / kWarp;
  for (int w = 0; w < warps; ++w) block.warps[w] = {};
  while (block.returned < block.size) {
    bool moved = false;
    for (const int warp : Order(0, warps)) moved |= run_warp(warp);
    if (!moved) stuck();
  }
}

}  // namespace

void run_grid(const Config& config, void (*call)(void*), void* kernel) {
  const std::lock_guard<std::mutex> lock(device.mutex);
  Block& block = device.block;
  block.size = config.block.x * config.block.y * config.block.z;
  block.call = call;
  block.kernel = kernel;
  block.error.clear();
  gridDim = config.grid;
  blockDim = config.block;
  for (unsigned z = 0; z < config.grid.z; ++z) {
    for (unsigned y = 0; y < config.grid.y; ++y) {
      for (unsigned x = 0; x < config.grid.x; ++x) {
        blockIdx = dim3(x, y, z);
        run_block(config.block);
      }
    }
  }
}

void entered(const char* kernel) {
  if (device.block.current == 0 && blockIdx.x == 0) device.kernels.insert(kernel);
}

int64_t most_blocks() { return device.most_blocks; }

int lane() { return device.block.current % kWarp; }

bool barrier(bool value, Place place) {
  Block& block = device.block;
  self().place = place;
  block.any |= value;
  if (++block.at_barrier < block.size) {
    wait_in_turn(State::kAtBarrier);
    return block.result;
  }
  check_place(0, block.size, State::kAtBarrier, place);
  block.result = block.any;
  block.any = false;
  block.at_barrier = 0;
  release(0, block.size);
  return block.result;
}

void exchange(unsigned mask, void* value, size_t size, int from, Place place) {
  Block& block = device.block;
  const int first = block.current / kWarp * kWarp;
  Warp& warp = block.warps[block.current / kWarp];
  if (mask != 0xffffffffu || block.size - first < kWarp || size > sizeof(warp.values[0][0])) {
    fail(std::string("a shuffle must be of a full warp and of at most 16 bytes, at ") + place);
  }
  if (warp.waiting > 0 && warp.size != size)
    fail(std::string("lanes are in shuffles of different sizes at ") + place);
  auto& values = warp.values[warp.shuffles % 2];
  std::memcpy(values[lane()], value, size);
  self().place = place;
  warp.size = size;
  if (++warp.waiting < kWarp) {
    wait_in_turn(State::kInShuffle);
  } else {
    check_place(first, kWarp, State::kInShuffle, place);
    warp.waiting = 0;
    ++warp.shuffles;
    release(first, kWarp);
  }
  std::memcpy(value, values[from], size);
}

unsigned ballot(unsigned mask, bool value, Place place) {
  const Warp& warp = device.block.warps[device.block.current / kWarp];
  const auto& values = warp.values[warp.shuffles % 2];
  exchange(mask, &value, sizeof(value), lane(), place);
  unsigned bits = 0;
  for (int k = 0; k < kWarp; ++k) bits |= unsigned(values[k][0]) << k;
  return bits;
}

void* block_memory(const void* variable, size_t size) {
  Block& block = device.block;
  size_t used = size;
  for (const Variable& v : block.variables) {
    if (v.key == variable) return v.memory.get();
    used += v.size;
  }
  if (used > kMostShared) fail("the block uses more shared memory than available");
  block.variables.push_back({variable, size, std::make_unique<char[]>(size)});
  std::memset(block.variables.back().memory.get(), 0xff, size);
  return block.variables.back().memory.get();
}

}  // namespace emulated

// --- for the tests ------------------------------------------------------------------------------

extern "C" {

__attribute__((visibility("default"))) void emulated_set(int order, int64_t most_blocks) {
  emulated::device.order = order;
  emulated::device.random.seed(order);
  emulated::device.most_blocks = most_blocks;
}

__attribute__((visibility("default"))) const char* emulated_kernels() {
  static std::string text;
  text.clear();
  for (const std::string& kernel : emulated::device.kernels) text += kernel + "\n";
  return text.c_str();
}
}
