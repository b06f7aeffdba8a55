// How often a program has called for memory and locks.
//
// The programs of tests/allocation put themselves in front of the C library's malloc, which
// operator new and worker threads go through too, and in front of what locks. They are built with
// and without threads. Under a sanitizer, which does the same, only the code under test runs.
#pragma once

#include <atomic>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TSDL_TEST_COUNTS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define TSDL_TEST_COUNTS 0
#endif
#endif
#ifndef TSDL_TEST_COUNTS
#define TSDL_TEST_COUNTS 1
#endif

namespace test {

inline std::atomic<long> allocations{0};  // of all threads, as the next
inline std::atomic<long> locks{0};        ///< mutexes, reader-writer and spin locks, semaphores

/// How many allocations an action makes, in all threads.
template <class Action>
long count(const Action& action) {
  const long before = allocations;
  action();
  return allocations - before;
}

}  // namespace test
