// All threading is here: OpenMP when the compiler enables it, else serial.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "tsdl/core/types.hpp"

#ifdef _OPENMP
#include <omp.h>

#include "tsdl/core/system_fork.hpp"
#endif

namespace tsdl {
inline namespace TSDL_ABI {

/// The number of threads that parallel regions use. It is 1 in a child that was forked after a
/// parallel region: OpenMP's threads stay with the parent, and GNU's runtime would wait for them
/// forever. Results do not depend on it; for threads in a child, fork before, or exec.
inline int thread_count() noexcept {
#ifdef _OPENMP
  return internal::has_lost_threads() ? 1 : omp_get_max_threads();
#else
  return 1;
#endif
}

/// Sets the number of threads for this thread's parallel regions; without OpenMP it does nothing.
/// Results do not depend on it, bit for bit. Set it once: the runtime allocates when a team
/// changes.
inline void set_thread_count([[maybe_unused]] int threads) noexcept {
#ifdef _OPENMP
  omp_set_num_threads(threads);
#endif
}

namespace internal {

/// Work of fewer floating-point operations than this, some 40 us, stays on one thread. Threads pay
/// off from 1e6 operations on while they still spin after their last work, and from 1e7 on when
/// they sleep (bench_parallel).
inline constexpr double parallel_threshold = 4e6;

/// A step of fewer floating-point operations than this is not shared: threads would wait for each
/// other longer than they gain.
inline constexpr double shared_step_threshold = 1e5;

/// Shares dependent steps, each made of several independent units, between threads; for work that
/// cannot be divided otherwise. Each thread takes its own units first and then those that no thread
/// has begun, so that a thread without a core is waited for only while it is inside a unit.
class SharedSteps {
 public:
  static constexpr Index most_units = 16;

  SharedSteps(Index steps, Index units) noexcept : steps_(steps), units_(units) {
    TSDL_ASSERT(units <= most_units);
  }

  /// Runs work(step, unit) until all units of all steps are done; called by each of `threads`. A
  /// unit sees what all units of earlier steps wrote.
  template <class Work>
  void run(Index thread, Index threads, const Work& work) noexcept {
    const Index first = units_ * thread / threads, own = units_ * (thread + 1) / threads - first;
    for (Index s = 0; s < steps_; ++s) {
      for (Index i = 0; i < units_; ++i) {
        // Alternate direction each step: a thread's last weights are still cached.
        const Index j = i < own && s % 2 != 0 ? own - 1 - i : i;
        const Index unit = (first + j) % units_;
        Index not_begun = s;
        if (!begun_[unit].step.compare_exchange_strong(not_begun, s + 1, std::memory_order_relaxed))
          continue;
        work(s, unit);
        done_.fetch_add(1, std::memory_order_release);
      }
      wait_for((s + 1) * units_);
    }
  }

 private:
  struct alignas(64) Begun {
    std::atomic<Index> step{0};  ///< the next step of this unit
  };

  /// Spins, since a unit takes a microsecond or two; a thread without a core takes longer.
  void wait_for(Index units) const noexcept {
    for (int turns = 0; done_.load(std::memory_order_acquire) < units; ++turns) {
      if (turns > 20000)
        std::this_thread::sleep_for(std::chrono::microseconds(20));
      else if (turns > 4000)
        std::this_thread::yield();
    }
  }

  Index steps_, units_;
  Begun begun_[most_units];
  alignas(64) std::atomic<Index> done_{0};
};

/// Runs task(thread, threads) on each of at most `most` threads at the same time.
template <class Task>
void parallel_team([[maybe_unused]] Index most, const Task& task) noexcept {
#ifdef _OPENMP
  if (most > 1 && thread_count() > 1 && !omp_in_parallel()) {
#pragma omp parallel
    {
      const Index threads = std::min<Index>(omp_get_num_threads(), most);
      if (omp_get_thread_num() < threads) task(Index{omp_get_thread_num()}, threads);
    }
    return;
  }
#endif
  task(Index{0}, Index{1});
}

/// Runs task(0) ... task(n - 1), each once, on all threads when there are enough `operations`.
/// Tasks may run in any order and must not throw; no task may read or write what another one
/// writes.
template <class Task>
void parallel_for(Index n, [[maybe_unused]] double operations, const Task& task) noexcept {
#ifdef _OPENMP
  if (n > 1 && operations >= parallel_threshold && thread_count() > 1 && !omp_in_parallel()) {
    // Not a worksharing loop: LLVM's runtime allocates in each of them.
    std::atomic<Index> next{0};
#pragma omp parallel
    for (Index i = next++; i < n; i = next++) task(i);
    return;
  }
#endif
  for (Index i = 0; i < n; ++i) task(i);
}

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
