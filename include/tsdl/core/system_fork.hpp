// What becomes of threads in a forked child: it has only the one that forked.
#pragma once

#ifndef _WIN32
#include <pthread.h>
#endif

#include <atomic>

#include "tsdl/version.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// Whether this process was forked by one that had asked this before.
inline std::atomic<bool> lost_threads{false};
inline bool has_lost_threads() noexcept {
#ifndef _WIN32
  static const int asked = ::pthread_atfork(nullptr, nullptr, [] { lost_threads = true; });
  static_cast<void>(asked);  // without memory for it, a child is as it would be without this
#endif
  return lost_threads.load(std::memory_order_relaxed);
}

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
