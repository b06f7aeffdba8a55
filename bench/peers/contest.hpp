// What makes a program a contestant: it reads names of work from standard input, one a line, and
// answers each with one line.
//
//   about         what it is, and its version
//   check_NAME    the numbers that the work gives, for comparison
//   NAME          milliseconds a call, over a slot of about 80 ms; "none": it does not do that. Of
//                 a NAME_paused, that of a call after a pause: the slot is mostly pauses
//
// Anything that goes wrong is answered "error: why".
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "../support/pause.hpp"
#include "work.hpp"
#ifdef __GLIBC__
#include <malloc.h>
#endif
#ifdef __SSE2__
#include <immintrin.h>
#endif

namespace peers {

struct Contestant {
  std::string about;
  std::function<void()> start = {};  ///< called once, before anything
  /// How many threads jobs made and called from now on use.
  std::function<void(int threads)> set_threads;
  /// Null when it does not do that work.
  std::function<std::unique_ptr<Job>(const Work&)> make;
  /// For peers: where it does a piece of work faster on one thread, it is given one.
  bool fewer_threads_allowed = true;
};

namespace internal {

inline constexpr double slot_seconds = 0.08;
inline constexpr int paused_calls = 3000;  // a pause takes 20 us

inline double time_calls(Job& job, long calls) {
  const auto start = std::chrono::steady_clock::now();
  for (long i = 0; i < calls; ++i) job.call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// A job, on how many threads it runs, and how many calls of it fill a slot.
struct Entry {
  std::unique_ptr<Job> job;
  int threads = 1;
  bool paused = false;
  long calls = 1;
  double seconds = 0;  ///< a call, roughly
};

/// Warms up and finds the number of calls.
inline Entry enter(const Contestant& contestant, const Work& work, int threads) {
  contestant.set_threads(threads);
  Entry entry{contestant.make(work), threads, work.paused};
  if (!entry.job) return entry;
  time_calls(*entry.job, 2);
  double seconds = time_calls(*entry.job, 1);
  while (seconds < slot_seconds / 2) seconds = time_calls(*entry.job, entry.calls *= 2);
  entry.seconds = seconds / static_cast<double>(entry.calls);
  entry.calls = std::max(1L, std::lround(slot_seconds / entry.seconds));
  return entry;
}

inline Entry enter_best(const Contestant& contestant, const Work& work, int threads) {
  Entry all = enter(contestant, work, threads);
  if (threads == 1 || !all.job || !contestant.fewer_threads_allowed) return all;
  Entry one = enter(contestant, work, 1);
  return one.seconds < all.seconds ? std::move(one) : std::move(all);
}

/// Milliseconds a call. Another number of threads than before costs something, once.
inline double slot(const Contestant& contestant, const Entry& entry) {
  contestant.set_threads(entry.threads);
  entry.job->call();
  if (entry.paused)
    return bench::time_paused(
               paused_calls, [&] { entry.job->call(); }, [&] { entry.job->prepare(); }) *
           1e3;
  return time_calls(*entry.job, entry.calls) / static_cast<double>(entry.calls) * 1e3;
}

inline std::string text(double value) {
  char digits[32];
  std::snprintf(digits, sizeof digits, "%.9g", value);
  return digits;
}

/// Several calls where one leads to the next: updates, steps of a stream.
inline std::string check(Job& job, Kind kind) {
  std::string line;
  for (int i = 0; i < (kind == Kind::infer ? 1 : 4); ++i) {
    job.call();
    for (const double value : job.result()) {
      if (!line.empty()) line += ' ';
      line += text(value);
    }
  }
  return line;
}

inline std::string answer(const Contestant& contestant, const std::string& name, int threads,
                          std::map<std::string, Entry>& entries) {
  if (name == "about") return contestant.about;
  const auto work = find_work(name);
  if (!work) return "none";
  if (work->check) {
    contestant.set_threads(threads);
    const auto job = contestant.make(*work);
    return job ? check(*job, work->kind) : "none";
  }
  if (!entries.contains(name)) entries.emplace(name, enter_best(contestant, *work, threads));
  const Entry& entry = entries.at(name);
  return entry.job ? text(slot(contestant, entry)) : "none";
}

}  // namespace internal

/// The main function of a contestant. Usage: PROGRAM [--threads N]
inline int serve(int argc, char** argv, const Contestant& contestant) {
  const int threads = argc == 3 && std::string(argv[1]) == "--threads" ? std::atoi(argv[2]) : 1;
  if ((argc != 1 && argc != 3) || threads < 1) {
    std::cerr << "usage: " << argv[0] << " [--threads N]\n";
    return 2;
  }
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 1 << 25);  // memory that was given back is kept for the next call
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
#endif
#ifdef __SSE2__
  _mm_setcsr(_mm_getcsr() | 0x8040);  // no denormals, here and in the threads made from now on
#endif
  try {
    if (contestant.start) contestant.start();
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  std::map<std::string, internal::Entry> entries;
  for (std::string name; std::getline(std::cin, name);) {
    try {
      std::cout << internal::answer(contestant, name, threads, entries) << std::endl;
    } catch (const std::exception& error) {
      std::cout << "error: " << error.what() << std::endl;
    }
  }
  return 0;
}

}  // namespace peers
