// Several models trained at once: a pool of workers, each of which trains one model at a time on
// one thread.
//
// For networks of the sizes that time series need, two models on a thread each are done sooner than
// the two of them one after the other on two threads: threads that share an update wait for each
// other. The bits of a model do not depend on it.
#pragma once

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <vector>

#ifndef TSDL_NO_THREADS
#include <thread>
#endif

#include "tsdl/core/error.hpp"
#include "tsdl/core/parallel.hpp"
#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The most workers of a pool.
inline constexpr Index most_workers = 4096;

/// Does jobs on `workers` threads until none is left. take() gives the number of the next job, or a
/// negative number; one thread at a time calls it. job(number, worker), worker = 0 ... workers - 1,
/// does it: parallel regions in it use one thread. When a job or take() throws, no further job is
/// begun, those that run are waited for, and the first exception is thrown again. The calling
/// thread is one of the workers. With TSDL_NO_THREADS it is the only one.
/// Throws: OptionError when `workers` is not from 1 to 4096; what take and job throw.
template <class Take, class Job>
void run_workers(Index workers, const Take& take, const Job& job) {
  if (workers < 1 || workers > most_workers)
    throw OptionError("run_workers: expected 1 to ", most_workers, " workers, got ", workers);
  std::mutex mutex;
  std::exception_ptr failure;
  const auto fail = [&] {
    const std::lock_guard lock(mutex);
    if (!failure) failure = std::current_exception();
  };
  const auto next = [&]() -> Index {
    const std::lock_guard lock(mutex);
    return failure ? Index{-1} : take();
  };
  const auto work = [&](Index worker) noexcept {
    const int threads = thread_count();
    set_thread_count(1);
    try {
      for (Index number = next(); number >= 0; number = next()) job(number, worker);
    } catch (...) {
      fail();
    }
    set_thread_count(threads);
  };
#ifndef TSDL_NO_THREADS
  std::vector<std::thread> others;
  try {
    for (Index worker = 1; worker < workers; ++worker) others.emplace_back(work, worker);
  } catch (...) {  // the system has no more threads
    fail();
  }
  work(0);
  for (std::thread& other : others) other.join();
#else
  work(0);
#endif
  if (failure) std::rethrow_exception(failure);
}

/// The same for jobs 0 ... jobs - 1.
template <class Job>
void for_each_job(Index workers, Index jobs, const Job& job) {
  Index taken = 0;
  run_workers(
      std::clamp<Index>(workers, 1, std::max<Index>(jobs, 1)),
      [&]() -> Index { return taken < jobs ? taken++ : Index{-1}; }, job);
}

}  // namespace TSDL_ABI
}  // namespace tsdl
