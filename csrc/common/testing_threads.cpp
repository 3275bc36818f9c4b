// Threads for the C++ tests under ThreadSanitizer, in place of torch's.
//
// The sanitizer sees only what was compiled for it. Of OpenMP's pool, in which torch runs a
// parallel loop, it would take every hand-over for a race. This torch_parallel_for, which the
// linker finds before libtorch's, starts threads that it does see, and splits every loop, however
// short.
#include <torch/csrc/stable/c/shim.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

extern "C" AOTITorchError torch_parallel_for(int64_t begin, int64_t end, int64_t /*grain*/,
                                             ParallelFunc run, void* context) {
  constexpr int64_t kThreads = 4;
  const int64_t step = std::max<int64_t>(1, (end - begin + kThreads - 1) / kThreads);
  std::vector<std::thread> team;
  for (int64_t first = begin; first < end; first += step) {
    team.emplace_back(run, first, std::min(end, first + step), context);
  }
  for (std::thread& thread : team) thread.join();
  return 0;
}
