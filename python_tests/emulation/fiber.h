// A separate stack for each thread of a block, and the switch between stacks.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// Saves the callee-saved registers and the stack pointer, and continues where `to` stopped.
extern "C" void emulated_switch(void** from, void* to);

#if !defined(__x86_64__)
#error "the emulated CUDA device switches stacks by x86-64 instructions"
#endif

namespace emulated {

constexpr size_t kStackBytes = size_t(128) << 10;

struct Fiber {
  char* memory = nullptr;
  void* top = nullptr;  // the saved stack pointer

  // Prepares a call of `entry`, which never returns. If all stacks started at the same offset of
  // their memory, they would share a few sets of the caches, so `number` staggers them.
  void begin(void (*entry)(), int number) {
    if (memory == nullptr) {
      void* got = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (got == MAP_FAILED) throw std::bad_alloc();
      memory = static_cast<char*>(got);
      mprotect(memory, 4096, PROT_NONE);  // a stack overflow faults here
    }
#if defined(__SANITIZE_ADDRESS__)
    char* left = top == nullptr ? memory + kStackBytes : static_cast<char*>(top);
    __asan_unpoison_memory_region(left, memory + kStackBytes - left);
#endif
    char* end = memory + kStackBytes - number % 61 * 320;
    auto** slot = reinterpret_cast<void**>(end) - 1;  // aligned as after a call
    *--slot = reinterpret_cast<void*>(entry);
    for (int saved = 0; saved < 6; ++saved) *--slot = nullptr;
    top = slot;
  }
};

// The bounds of a stack, for AddressSanitizer.
struct Bounds {
  const void* bottom = nullptr;
  size_t bytes = 0;
};

// Switches from the running stack, whose state is saved to `from`, to another. `back`, if not null,
// gets the bounds of the stack from which this one is resumed.
inline void switch_stack(void** from, void* to, const Bounds& next, Bounds* back) {
#if defined(__SANITIZE_ADDRESS__)
  void* state = nullptr;
  __sanitizer_start_switch_fiber(&state, next.bottom, next.bytes);
  emulated_switch(from, to);
  __sanitizer_finish_switch_fiber(state, back ? &back->bottom : nullptr,
                                  back ? &back->bytes : nullptr);
#else
  (void)next, (void)back;
  emulated_switch(from, to);
#endif
}

// Must be called first on a new stack.
inline void arrive(Bounds* back) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &back->bottom, &back->bytes);
#else
  (void)back;
#endif
}

}  // namespace emulated
