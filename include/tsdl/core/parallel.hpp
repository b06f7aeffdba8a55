// The one place that knows about threads. OpenMP when the compiler has it on, else serial.
#pragma once

#include <atomic>

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

/// Below this many floating-point operations in all, forking costs more than it gains.
inline constexpr double parallel_threshold = 1e6;

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
