// In place of the library's core/parallel.hpp, for bench_scaling: the tasks of a parallel region
// run one after the other, each is timed, and the region is taken to last as long as on a number of
// threads that need not be there.
#pragma once

#include <algorithm>
#include <chrono>
#include <vector>

#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The threads that are modelled, and what regions have cost since reset().
struct ModelledThreads {
  int count = 1;
  double region_seconds = 2e-6;  ///< to hand out a region's tasks and to join
  double run = 0;                ///< the tasks, one after the other
  double modelled = 0;           ///< the same on `count` threads
  std::vector<double> free_at{};

  void reset() noexcept { run = modelled = 0; }
};
inline ModelledThreads modelled_threads;

inline int thread_count() noexcept { return modelled_threads.count; }
inline void set_thread_count(int threads) noexcept { modelled_threads.count = threads; }

namespace internal {

inline constexpr double parallel_threshold = 4e6;
inline constexpr double shared_step_threshold = 1e5;

template <class Task>
void parallel_team(Index, const Task& task) noexcept {
  task(Index{0}, Index{1});
}

/// Each task goes to the thread that is free first, in order.
template <class Task>
void parallel_for(Index n, double operations, const Task& task) noexcept {
  ModelledThreads& threads = modelled_threads;
  const bool shared = n > 1 && operations >= parallel_threshold && threads.count > 1;
  threads.free_at.assign(static_cast<std::size_t>(threads.count), 0.0);
  for (Index i = 0; i < n; ++i) {
    const auto start = std::chrono::steady_clock::now();
    task(i);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    if (!shared) continue;
    threads.run += seconds.count();
    *std::min_element(threads.free_at.begin(), threads.free_at.end()) += seconds.count();
  }
  if (shared)
    threads.modelled +=
        threads.region_seconds + *std::max_element(threads.free_at.begin(), threads.free_at.end());
}

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl

#include "tsdl/core/shared_steps.hpp"
