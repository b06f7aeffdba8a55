// Work that is shared between threads, by thread_pool.hpp; serial with TSDL_NO_THREADS.
#pragma once

#include <algorithm>
#include <cstdlib>

#include "tsdl/core/types.hpp"

#ifndef TSDL_NO_THREADS
#include "tsdl/core/thread_pool.hpp"
#endif

namespace tsdl {
inline namespace TSDL_ABI {

#ifndef TSDL_NO_THREADS
namespace internal {

/// The first number of OMP_NUM_THREADS, as PyTorch and OpenBLAS take it; else the cores that this
/// process may use.
inline int default_thread_count() noexcept {
  static const int count = [] {
    const char* const text = std::getenv("OMP_NUM_THREADS");
    const long number = text ? std::strtol(text, nullptr, 10) : 0;
    return number > 0 ? static_cast<int>(std::min(number, 4096L)) : available_cores();
  }();
  return count;
}

/// What set_thread_count() asked for on this thread, or 0.
inline constinit thread_local int wanted_threads = 0;

}  // namespace internal

/// The number of threads that parallel regions of this thread use, itself included. Results do not
/// depend on it.
inline int thread_count() noexcept {
  return internal::wanted_threads > 0 ? internal::wanted_threads : internal::default_thread_count();
}

/// Sets the number of threads for this thread's parallel regions; less than 1 means 1. Before, it
/// is the first number of the environment variable OMP_NUM_THREADS, or the number of cores that the
/// process may use. Results do not depend on it, bit for bit. Threads are started by the first
/// region that wants them, which allocates.
inline void set_thread_count(int threads) noexcept {
  internal::wanted_threads = std::max(1, threads);
}
#else
inline int thread_count() noexcept { return 1; }
inline void set_thread_count(int) noexcept {}
#endif

namespace internal {

/// Work of fewer floating-point operations than this, some 40 us, stays on one thread. Threads pay
/// off from 1e6 operations on while they still spin after their last work, and from 2e7 on when
/// they sleep (bench_parallel).
inline constexpr double parallel_threshold = 4e6;

/// A step of fewer floating-point operations than this is not shared: threads would wait for each
/// other longer than they gain.
inline constexpr double shared_step_threshold = 1e5;

/// Runs task(thread, threads) for thread 0 here and for each of up to `most` - 1 others on another
/// thread, if one comes before task 0 has ended: others may come late or never. Task 0 must do what
/// nobody else has done.
template <class Task>
void parallel_team([[maybe_unused]] Index most, const Task& task) noexcept {
#ifndef TSDL_NO_THREADS
  if (most > 1) {
    struct Team {
      const Task& task;
      Index threads;
    };
    const auto wanted = static_cast<int>(std::min<Index>(most, thread_count()));
    if (const int helpers = thread_pool.take(wanted - 1)) {
      const Team team{task, Index{helpers} + 1};
      thread_pool.run_team(
          helpers,
          [](const void* shared, Index thread) noexcept {
            const Team& its = *static_cast<const Team*>(shared);
            its.task(thread, its.threads);
          },
          &team);
      return;
    }
  }
#endif
  task(Index{0}, Index{1});
}

/// Runs task(0) ... task(n - 1), each once, on all threads when there are enough `operations`.
/// Tasks may run in any order and must not throw; no task may read or write what another one
/// writes. A region within a task runs on that thread alone, and so does one while another thread
/// of the program has the helpers.
template <class Task>
void parallel_for(Index n, [[maybe_unused]] double operations, const Task& task) noexcept {
#ifndef TSDL_NO_THREADS
  if (n > 1 && operations >= parallel_threshold && n <= ThreadPool::most_parts) {
    const auto wanted = static_cast<int>(std::min<Index>(n, thread_count()));
    if (const int helpers = thread_pool.take(wanted - 1)) {
      thread_pool.run_parts(
          helpers, n,
          [](const void* shared, Index part) noexcept {
            (*static_cast<const Task*>(shared))(part);
          },
          &task);
      return;
    }
  }
#endif
  for (Index i = 0; i < n; ++i) task(i);
}

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl

#include "tsdl/core/shared_steps.hpp"
