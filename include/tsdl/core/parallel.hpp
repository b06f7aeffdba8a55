// The one place that knows about threads. OpenMP when the compiler has it on, else serial.
#pragma once

#include <algorithm>
#include <atomic>
#include <thread>

#include "tsdl/core/types.hpp"

#ifdef _OPENMP
#include <omp.h>
#endif

namespace tsdl::inline TSDL_ABI {

/// The number of threads that parallel regions use.
inline int thread_count() noexcept {
#ifdef _OPENMP
  return omp_get_max_threads();
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

/// Below this many floating-point operations in all, some 40 us, work stays on one thread. Threads
/// that still spin after their last work pay from 1e6 on, those that sleep from 1e7 (bench_parallel).
inline constexpr double parallel_threshold = 4e6;

/// Below this many floating-point operations a step, threads that share one wait for each other
/// longer than they gain.
inline constexpr double shared_step_threshold = 1e5;

/// Where threads that share one piece of work wait for each other. They spin, as what they do in
/// between takes a microsecond or two.
class SpinBarrier {
 public:
  /// Returns when `threads` of them have come.
  void wait(Index threads) noexcept {
    const Index round = round_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) == threads - 1) {
      arrived_.store(0, std::memory_order_relaxed);
      round_.store(round + 1, std::memory_order_release);
      return;
    }
    for (int spins = 0; round_.load(std::memory_order_acquire) == round; ++spins)
      if (spins > 20000) std::this_thread::yield();  // one of them has no core to run on
  }

 private:
  alignas(64) std::atomic<Index> arrived_{0};
  alignas(64) std::atomic<Index> round_{0};
};

/// One of `count` equal parts of a piece of work, each on a thread of its own.
struct Part {
  Index index = 0, count = 1;
  SpinBarrier* barrier = nullptr;

  /// Its range of n things: end(n) is where the next part begins.
  Index begin(Index n) const noexcept { return n * index / count; }
  Index end(Index n) const noexcept { return n * (index + 1) / count; }
  /// Waits for the other parts.
  void wait() const noexcept {
    if (barrier) barrier->wait(count);
  }
};

/// Runs task(Part) for each of at most `most` parts of one piece of work at the same time, or once
/// for all of it where that is not worth it.
template <class Task>
void parallel_parts([[maybe_unused]] Index most, [[maybe_unused]] bool worth_it,
                    const Task& task) noexcept {
#ifdef _OPENMP
  if (most > 1 && worth_it && omp_get_max_threads() > 1 && !omp_in_parallel()) {
    SpinBarrier barrier;
#pragma omp parallel
    {
      const Index count = std::min<Index>(omp_get_num_threads(), most);
      if (omp_get_thread_num() < count) task(Part{omp_get_thread_num(), count, &barrier});
    }
    return;
  }
#endif
  task(Part{});
}

/// Runs task(0) ... task(n - 1), each once, on all threads when `operations` is worth it. Tasks may
/// run in any order and must not throw; each writes what no other reads or writes.
template <class Task>
void parallel_for(Index n, [[maybe_unused]] double operations, const Task& task) noexcept {
#ifdef _OPENMP
  if (n > 1 && operations >= parallel_threshold && omp_get_max_threads() > 1 &&
      !omp_in_parallel()) {
    // Not a worksharing loop: LLVM's runtime allocates in each.
    std::atomic<Index> next{0};
#pragma omp parallel
    for (Index i = next++; i < n; i = next++) task(i);
    return;
  }
#endif
  for (Index i = 0; i < n; ++i) task(i);
}

}  // namespace internal

}  // namespace tsdl::inline TSDL_ABI
