// The threads that help whoever runs a parallel region.
//
// A region is a list of parts. The thread that runs it takes parts itself, helpers take what nobody
// has begun, and when none is left it waits only for parts that are in work: a helper without a
// core holds nobody up, unless it loses the core inside a part. Where that happens, regions do with
// fewer helpers for a while.
#pragma once

#include "tsdl/version.hpp"

#ifndef TSDL_NO_THREADS

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <new>
#include <thread>

#include "tsdl/core/helper_limit.hpp"
#include "tsdl/core/system_thread.hpp"
#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// Whether this thread is inside a region: one within it runs on this thread alone.
inline constinit thread_local bool inside_region = false;

/// Helpers are started by the first region that wants them and sleep when there is nothing to do.
/// The pool is never destroyed, so that static destructors may run regions; its threads end before,
/// after which regions run alone, as in a forked child until it starts threads of its own.
class ThreadPool {
 public:
  using Run = void (*)(const void* task, Index part) noexcept;
  static constexpr int most_helpers = 255;
  /// How long a helper looks for work before it sleeps; to wake it takes some 40 us.
  static constexpr std::chrono::nanoseconds spin_time = std::chrono::microseconds(300);
  static constexpr Index most_parts = std::numeric_limits<std::int32_t>::max();

  /// Takes the pool for a region of this thread. Returns how many helpers it may have, up to
  /// `wanted`; with 0, among others since another thread has the pool, the region runs alone and
  /// the pool is not taken.
  int take(int wanted) noexcept;

  /// Runs all parts and gives the pool back.
  void run_parts(int helpers, Index parts, Run run, const void* task) noexcept;

  /// Runs part 0 on this thread and each of the parts 1 to `helpers` on a helper that comes before
  /// part 0 has ended; gives the pool back.
  void run_team(int helpers, Run run, const void* task) noexcept;

  /// Says that the region waits longer than it should. The helper finds out whether it had a core.
  void waits_long() noexcept { waits_long_.store(true, std::memory_order_relaxed); }

  /// For tests and benchmarks: helpers are asked even when they were late. Returns whether they
  /// were so before.
  bool ask_always(bool always) noexcept { return ask_always_.exchange(always); }
  /// For tests: how many regions have asked helpers.
  std::uint32_t regions() const noexcept { return region_of(next_.load()); }

 private:
  /// Wakes helpers that sleep, up to `most` of those that the region wants. Whoever takes part
  /// wakes more, so that nobody wakes them all.
  void wake(int most) noexcept;
  /// Returns the region's number.
  std::uint32_t open(int helpers, Index first, Index end, Run run, const void* task,
                     PoolClock::time_point now) noexcept;
  /// Takes a part of that region that nobody has begun, or returns -1.
  Index claim(std::uint32_t region) noexcept;
  void wait_for(Index done, std::chrono::nanoseconds patience) noexcept;
  void close(int helpers, PoolClock::time_point begin, std::chrono::nanoseconds longest) noexcept;

  int start(int wanted) noexcept;
  void stop() noexcept;
  void forget_threads() noexcept;
  void help(int number) noexcept;
  /// Returns when there is a region that this helper has not seen, or when it must end.
  /// It spins until some time after its last work, then sleeps and sets `last` to long ago.
  std::uint32_t await_region(int number, std::uint32_t seen, PoolClock::time_point& last) noexcept;

  static constexpr Index closed = 0xffffffff;  ///< in place of a part
  static std::uint64_t word(std::uint32_t region, Index part) noexcept {
    return std::uint64_t{region} << 32 | static_cast<std::uint64_t>(part);
  }
  static std::uint32_t region_of(std::uint64_t next) noexcept {
    return static_cast<std::uint32_t>(next >> 32);
  }
  static Index part_of(std::uint64_t next) noexcept {
    return static_cast<Index>(next & 0xffffffff);
  }

  std::thread& thread(int number) noexcept {
    return *std::launder(reinterpret_cast<std::thread*>(threads_[number]));
  }

  enum : int { awake, asleep };
  struct alignas(64) Helper {
    std::atomic<int> state{awake};
    std::atomic<int> core{-1};       ///< where it was when it began to sleep
    std::atomic<int> forbidden{-1};  ///< a core that it is kept off until it sleeps again
  };

  std::atomic<bool> taken_{false}, stopping_{false}, ask_always_{false};
  // The region. Written while no part can be claimed, read by who has claimed one.
  std::atomic<Run> run_{nullptr};
  std::atomic<const void*> task_{nullptr};
  std::atomic<int> helpers_{0};
  std::atomic<Index> end_{0};
  /// The region's number and the next part of it that nobody has begun.
  alignas(64) std::atomic<std::uint64_t> next_{0};
  alignas(64) std::atomic<Index> done_{0};  ///< parts that helpers have done
  std::atomic<int> next_to_wake_{0};
  std::atomic<bool> waits_long_{false}, was_late_{false};
  // Of the thread that has the pool.
  alignas(64) HelperLimit limit_;
  CoreWatch watch_;
  const bool* watched_ = nullptr;  ///< a thread, by the address of its inside_region
  PoolClock::time_point last_end_{};
  int started_ = 0, most_ = most_helpers;
  std::atomic<int> cores_{1};
  Helper each_[most_helpers];
  alignas(std::thread) std::byte threads_[most_helpers][sizeof(std::thread)]{};
};

inline constinit ThreadPool thread_pool;

inline int ThreadPool::take(int wanted) noexcept {
  if (wanted < 1 || inside_region || taken_.load(std::memory_order_relaxed) ||
      taken_.exchange(true, std::memory_order_acquire))
    return 0;
  const int helpers = ask_always_.load(std::memory_order_relaxed)
                          ? wanted
                          : limit_.allowed(wanted, PoolClock::now());
  const int started = helpers > 0 ? start(helpers) : 0;
  if (started == 0) taken_.store(false, std::memory_order_release);
  return started;
}

inline std::uint32_t ThreadPool::open(int helpers, Index first, Index end, Run run,
                                      const void* task, PoolClock::time_point now) noexcept {
  // Between regions this thread may have slept, which is not to be without a core.
  if (watched_ != &inside_region || now - last_end_ > std::chrono::microseconds(30) ||
      watch_.older_than(std::chrono::milliseconds(5), now)) {
    watched_ = &inside_region;
    watch_.start(now);
  }
  inside_region = true;
  const std::uint32_t last = region_of(next_.load(std::memory_order_relaxed)), region = last + 1;
  next_.store(word(last, closed), std::memory_order_relaxed);
  run_.store(run, std::memory_order_relaxed);
  task_.store(task, std::memory_order_relaxed);
  helpers_.store(helpers, std::memory_order_relaxed);
  end_.store(end, std::memory_order_release);  // who sees it can no longer claim of the last region
  done_.store(0, std::memory_order_relaxed);
  next_to_wake_.store(0, std::memory_order_relaxed);
  waits_long_.store(false, std::memory_order_relaxed);
  was_late_.store(false, std::memory_order_relaxed);
  // Sequentially consistent, as in await_region(): either that helper sees the region, or wake()
  // sees that it sleeps.
  next_.store(word(region, first));
  wake(2);
  return region;
}

inline Index ThreadPool::claim(std::uint32_t region) noexcept {
  std::uint64_t next = next_.load(std::memory_order_acquire);
  while (region_of(next) == region && part_of(next) < end_.load(std::memory_order_acquire))
    if (next_.compare_exchange_weak(next, next + 1, std::memory_order_acq_rel,
                                    std::memory_order_acquire))
      return part_of(next);
  return -1;
}

inline void ThreadPool::wake(int most) noexcept {
  const int helpers = helpers_.load(std::memory_order_relaxed);
  while (most > 0 && next_to_wake_.load(std::memory_order_relaxed) < helpers) {
    const int number = next_to_wake_.fetch_add(1, std::memory_order_relaxed);
    if (number >= helpers) return;
    Helper& helper = each_[number];
    if (helper.state.load() != asleep || helper.state.exchange(awake) != asleep) continue;
    // Linux wakes a thread where it slept or where its waker is, and looks for an idle core only
    // among those that share a cache: in a virtual machine that may be none. Then it would wait on
    // this thread's core until the next time slice.
    const int here = current_core();
    if (here >= 0 && helper.core.load(std::memory_order_relaxed) == here &&
        allow_core(thread(number).native_handle(), here, false))
      helper.forbidden.store(here, std::memory_order_relaxed);
    helper.state.notify_one();
    --most;
  }
}

inline void ThreadPool::run_parts(int helpers, Index parts, Run run, const void* task) noexcept {
  const auto begin = PoolClock::now();
  // The first part is this thread's: each time it finds there what it left in its cache.
  const std::uint32_t region = open(helpers, 1, parts, run, task, begin);
  std::chrono::nanoseconds longest{};
  auto last = begin;
  Index own = 0;
  for (Index part = 0; part >= 0; part = claim(region), ++own) {
    if (own > 0) wake(1);
    run(task, part);
    const auto now = PoolClock::now();
    longest = std::max(longest, now - last);
    last = now;
  }
  wait_for(parts - own, longest);
  close(helpers, begin, longest);
}

inline void ThreadPool::run_team(int helpers, Run run, const void* task) noexcept {
  const auto begin = PoolClock::now();
  const std::uint32_t region = open(helpers, 1, helpers + 1, run, task, begin);
  run(task, 0);
  // No helper begins from here on.
  const std::uint64_t next = next_.exchange(word(region, helpers + 1), std::memory_order_acq_rel);
  const std::chrono::nanoseconds took = PoolClock::now() - begin;
  wait_for(part_of(next) - 1, {});
  close(helpers, begin, took);
}

inline void ThreadPool::wait_for(Index done, std::chrono::nanoseconds patience) noexcept {
  // A helper may have begun its last part just now.
  patience += patience / 4 + std::chrono::microseconds(50);
  PoolClock::time_point start{};
  for (int turn = 1; done_.load(std::memory_order_acquire) < done; ++turn) {
    relax();
    if (turn % 32 != 0) continue;
    const auto now = PoolClock::now();
    if (turn == 32) start = now;
    if (now - start < patience) continue;
    waits_long();
    leave_core();
  }
}

inline void ThreadPool::close(int helpers, PoolClock::time_point begin,
                              std::chrono::nanoseconds longest) noexcept {
  const auto now = PoolClock::now();
  bool late = was_late_.load(std::memory_order_relaxed);
  // This thread may have lost its core to a helper, for a time slice.
  if (!late && !waits_long_.load(std::memory_order_relaxed) &&
      longest > std::chrono::milliseconds(1))
    late = watch_.without_core(now, {}) > std::chrono::milliseconds(1);
  if (late)
    limit_.was_late(helpers, now);
  else
    limit_.went_well(now - begin);
  last_end_ = now;
  inside_region = false;
  taken_.store(false, std::memory_order_release);
}

inline std::uint32_t ThreadPool::await_region(int number, std::uint32_t seen,
                                              PoolClock::time_point& last) noexcept {
  const auto news = [&](std::memory_order order) noexcept {
    return region_of(next_.load(order)) != seen || stopping_.load(order);
  };
  // Who has no core of its own would spin on another thread's.
  const bool spins =
      helpers_.load(std::memory_order_relaxed) < cores_.load(std::memory_order_relaxed);
  for (int turn = 1; spins; ++turn) {
    if (news(std::memory_order_acquire)) return region_of(next_.load(std::memory_order_acquire));
    relax();
    if (turn % 32 == 0 && PoolClock::now() - last > spin_time) break;
  }
  last = {};
  Helper& self = each_[number];
  std::atomic<int>& state = self.state;
  const int forbidden = self.forbidden.exchange(-1, std::memory_order_relaxed);
  if (forbidden >= 0) allow_core(thread(number).native_handle(), forbidden, true);
  self.core.store(current_core(), std::memory_order_relaxed);
  for (;;) {
    state.store(asleep);
    if (news(std::memory_order_seq_cst)) break;
    state.wait(asleep);
    if (news(std::memory_order_seq_cst)) break;
  }
  state.store(awake, std::memory_order_relaxed);
  return region_of(next_.load(std::memory_order_acquire));
}

inline void ThreadPool::help(int number) noexcept {
  inside_region = true;
  std::uint32_t seen = 0;
  CoreWatch watch;
  auto last = PoolClock::now();
  for (;;) {
    const std::uint32_t region = await_region(number, seen, last);
    if (stopping_.load(std::memory_order_acquire)) return;
    seen = region;
    if (number >= helpers_.load(std::memory_order_relaxed)) continue;
    Index part = claim(region);
    const auto now = PoolClock::now();
    if (now - last > spin_time || watch.older_than(std::chrono::milliseconds(5), now))
      watch.start(now);
    last = now;
    if (part < 0) continue;
    wake(2);
    // The region stays as it is while a part is in work.
    const Run run = run_.load(std::memory_order_relaxed);
    const void* const task = task_.load(std::memory_order_relaxed);
    Index parts = 0;
    for (; part >= 0; part = claim(region), ++parts) run(task, part);
    last = PoolClock::now();
    if (waits_long_.load(std::memory_order_relaxed) &&
        watch.without_core(last, std::chrono::nanoseconds::max()) > std::chrono::microseconds(200))
      was_late_.store(true, std::memory_order_relaxed);
    done_.fetch_add(parts, std::memory_order_release);
  }
}

inline int ThreadPool::start(int wanted) noexcept {
  if (started_ >= std::min(wanted, most_)) return std::min(wanted, started_);
  // Threads end before the objects are destroyed that were there when the first one started.
  struct End {
    ~End() { thread_pool.stop(); }
  };
  try {
    static const End end;
    static const int handled =
        (call_in_forked_child([]() noexcept { thread_pool.forget_threads(); }), 0);
    static_cast<void>(handled);
    const StartWithoutSignals guard;
    cores_.store(available_cores(), std::memory_order_relaxed);
    while (started_ < std::min(wanted, most_)) {
      new (threads_[started_]) std::thread(&ThreadPool::help, this, started_);
      ++started_;
    }
  } catch (const std::exception&) {
    most_ = started_;  // the system gives no more
  }
  return std::min(wanted, started_);
}

inline void ThreadPool::stop() noexcept {
  // A signal's handler that ends the program inside a region would wait for itself.
  if (inside_region) return;
  while (taken_.exchange(true, std::memory_order_acquire)) std::this_thread::yield();
  stopping_.store(true);
  for (int i = 0; i < started_; ++i) {
    if (each_[i].state.exchange(awake) == asleep) each_[i].state.notify_one();
  }
  for (int i = 0; i < started_; ++i) {
    thread(i).join();
    std::destroy_at(&thread(i));
  }
}

/// In a forked child, which has none of them: it starts its own when it wants them.
inline void ThreadPool::forget_threads() noexcept {
  next_.store(word(region_of(next_.load()), closed));  // of a thread that is not here
  started_ = 0;
  most_ = most_helpers;
  for (Helper& helper : each_) {
    helper.state.store(awake, std::memory_order_relaxed);
    helper.forbidden.store(-1, std::memory_order_relaxed);
  }
  stopping_.store(false, std::memory_order_relaxed);
  taken_.store(false, std::memory_order_relaxed);
}

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl

#endif
