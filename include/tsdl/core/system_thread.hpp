// Threads as a system offers them beside the standard library: cores, fork, processor time.
#pragma once

#include "tsdl/version.hpp"

#ifndef TSDL_NO_THREADS

#ifndef _WIN32
#include <pthread.h>

#include <csignal>
#include <ctime>
#endif

#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <optional>
#include <thread>

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// The cores that this process may use, at least 1.
inline int available_cores() noexcept {
#ifdef __linux__
  cpu_set_t cores;
  if (::sched_getaffinity(0, sizeof cores, &cores) == 0) return CPU_COUNT(&cores);
#endif
  const unsigned cores_of_all = std::thread::hardware_concurrency();
  return cores_of_all > 0 ? static_cast<int>(cores_of_all) : 1;
}

/// The core that this thread is on, or -1 where the system does not tell.
inline int current_core() noexcept {
#ifdef __linux__
  return ::sched_getcpu();
#else
  return -1;
#endif
}

/// Keeps a thread off a core, or lets it there again. Returns whether that changed anything: the
/// last core of a thread stays.
inline bool allow_core([[maybe_unused]] std::thread::native_handle_type thread,
                       [[maybe_unused]] int core, [[maybe_unused]] bool allowed) noexcept {
#ifdef __linux__
  cpu_set_t cores;
  if (core < 0 || core >= CPU_SETSIZE ||
      ::pthread_getaffinity_np(thread, sizeof cores, &cores) != 0)
    return false;
  const auto number = static_cast<std::size_t>(core);
  if (allowed)
    CPU_SET(number, &cores);
  else
    CPU_CLR(number, &cores);
  return CPU_COUNT(&cores) > 0 && ::pthread_setaffinity_np(thread, sizeof cores, &cores) == 0;
#else
  return false;
#endif
}

/// Calls `handler` in children that are forked from now on; it may call what a signal handler may.
inline void call_in_forked_child([[maybe_unused]] void (*handler)()) noexcept {
#ifndef _WIN32
  static_cast<void>(::pthread_atfork(nullptr, nullptr, handler));
#endif
}

/// How long this thread has had a core; nothing where that is not known to a fraction of a
/// millisecond.
inline std::optional<std::chrono::nanoseconds> time_on_core() noexcept {
#if defined(CLOCK_THREAD_CPUTIME_ID) && !defined(_WIN32)
  timespec time;
  if (::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) == 0)
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
#endif
  return {};
}

/// A pause of some 50 ns or less between two looks at a variable.
inline void relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb");
#endif
}

/// Leaves the core to others for some 0.1 ms, so that the system may move a thread there that has
/// none.
inline void leave_core() noexcept {
#ifdef _WIN32
  std::this_thread::yield();  // the shortest sleep takes a millisecond or more
#else
  std::this_thread::sleep_for(std::chrono::microseconds(20));
#endif
}

/// Threads that are started while it lives handle no signal: a program's handlers run on its own
/// threads.
class StartWithoutSignals {
 public:
#ifdef _WIN32
  StartWithoutSignals() noexcept {}
#else
  StartWithoutSignals() noexcept {
    sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  StartWithoutSignals(const StartWithoutSignals&) = delete;
  StartWithoutSignals& operator=(const StartWithoutSignals&) = delete;
  ~StartWithoutSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
#endif
};

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl

#endif
