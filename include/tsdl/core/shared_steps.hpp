// Dependent steps, each made of several independent units, that a team of threads shares.
#pragma once

#include "tsdl/core/types.hpp"

#ifndef TSDL_NO_THREADS
#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "tsdl/core/thread_pool.hpp"
#endif

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// Shares dependent steps, each made of several independent units, between threads; for work that
/// cannot be divided otherwise. Each thread takes its own units first and then those that no thread
/// has begun, so that a thread without a core is waited for only while it is inside a unit. Threads
/// may come late or never.
class SharedSteps {
 public:
  static constexpr Index most_units = 16;

  SharedSteps(Index steps, Index units) noexcept : steps_(steps), units_(units) {
    TSDL_ASSERT(units <= most_units);
  }

  /// Runs work(step, unit) until all units of all steps are done; called by each of `threads`. A
  /// unit sees what all units of earlier steps wrote.
  template <class Work>
  void run([[maybe_unused]] Index thread, Index threads, const Work& work) noexcept {
    if (threads == 1) {
      for (Index s = 0; s < steps_; ++s)
        for (Index i = 0; i < units_; ++i) work(s, s % 2 != 0 ? units_ - 1 - i : i);
      return;
    }
#ifndef TSDL_NO_THREADS
    const Index first = units_ * thread / threads, own = units_ * (thread + 1) / threads - first;
    for (Index s = done_.load(std::memory_order_acquire) / units_; s < steps_; ++s) {
      for (Index i = 0; i < units_; ++i) {
        // Alternate direction each step: a thread's last weights are still cached.
        const Index j = i < own && s % 2 != 0 ? own - 1 - i : i;
        const Index unit = (first + j) % units_;
        std::atomic<Index>& begun = begun_[unit].step;
        Index not_begun = s;
        if (begun.load(std::memory_order_relaxed) != s ||
            !begun.compare_exchange_strong(not_begun, s + 1, std::memory_order_relaxed))
          continue;
        work(s, unit);
        done_.fetch_add(1, std::memory_order_release);
      }
      wait_for((s + 1) * units_, thread == 0);
    }
#endif
  }

 private:
  Index steps_, units_;
#ifndef TSDL_NO_THREADS
  struct alignas(64) Begun {
    std::atomic<Index> step{0};  ///< the next step of this unit
  };

  /// Spins, since a unit takes a microsecond or two; a thread that has lost its core takes longer,
  /// and gets the core of the first thread, which has nothing else to do.
  void wait_for(Index units, bool is_first) const noexcept {
    PoolClock::time_point start{};
    for (int turn = 1; done_.load(std::memory_order_acquire) < units; ++turn) {
      relax();
      if (turn % 64 != 0) continue;
      const auto now = PoolClock::now();
      if (turn == 64) start = now;
      if (now - start < std::chrono::microseconds(150)) continue;
      thread_pool.waits_long();
      if (is_first)
        leave_core();
      else
        std::this_thread::yield();
    }
  }

  Begun begun_[most_units];
  alignas(64) std::atomic<Index> done_{0};
#endif
};

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
