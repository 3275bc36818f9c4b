// Replaces torch's threads in the C++ tests under ThreadSanitizer.
//
// The sanitizer only knows code that was compiled with it. In the OpenMP pool of torch it would
// report every hand-over of work as a race. The linker finds this torch_parallel_for before that of
// libtorch. It starts threads that the sanitizer knows, and splits every loop, even short ones.
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
