// Parallel regions: every part once, whoever calls, however many threads there are, after a fork
// and at the end of the program; steps that threads share: none before the step before is done.
#include "tsdl/core/parallel.hpp"

#include <doctest/doctest.h>

#ifndef _WIN32
#include <unistd.h>
#endif

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <thread>
#include <vector>

#include "support/files.hpp"
#include "support/training.hpp"

namespace {

using tsdl::Index;
using tsdl::internal::SharedSteps;

constexpr double enough = 1e9;  ///< operations

/// ThreadSanitizer ends a forked child that starts threads.
#if defined(__SANITIZE_THREAD__)
constexpr bool sanitizes_threads = true;
#elif defined(__has_feature)
constexpr bool sanitizes_threads = __has_feature(thread_sanitizer);
#else
constexpr bool sanitizes_threads = false;
#endif

/// Whether a region runs each of its n parts once.
bool each_once(Index n) {
  std::vector<int> ran(static_cast<std::size_t>(n));
  tsdl::internal::parallel_for(n, enough,
                               [&](Index i) noexcept { ++ran[static_cast<std::size_t>(i)]; });
  return std::count(ran.begin(), ran.end(), 1) == n;
}

/// Unit u of a step adds the numbers of its neighbours after the step before; a unit that is run
/// too early, twice or not at all makes another number.
struct Steps {
  Index units, steps;
  std::vector<Index> numbers[2];
  SharedSteps shared;

  Steps(Index units_of_a_step, Index all_steps)
      : units(units_of_a_step), steps(all_steps), shared(steps, units) {
    for (auto& some : numbers) some.assign(static_cast<std::size_t>(units), 1);
  }

  /// Thread `late` sleeps now and then.
  void run(Index thread, Index threads, Index late = -1) noexcept {
    shared.run(thread, threads, [&](Index step, Index unit) {
      const auto& from = numbers[step % 2];
      auto& to = numbers[(step + 1) % 2];
      const auto at = [&](Index i) { return from[static_cast<std::size_t>(i % units)]; };
      to[static_cast<std::size_t>(unit)] = (at(unit) + at(unit + 1) + unit + step) % 10007;
      if (thread == late && step % 50 == 7)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    });
  }

  const std::vector<Index>& result() const { return numbers[steps % 2]; }
};

std::vector<Index> shared(Index threads, Index units, Index steps, Index late = -1) {
  Steps run(units, steps);
  std::vector<std::thread> team;
  for (Index thread = 0; thread < threads; ++thread)
    team.emplace_back([&, thread] {
      if (thread == 1) std::this_thread::sleep_for(std::chrono::microseconds(50));  // joins late
      run.run(thread, threads, late);
    });
  for (std::thread& thread : team) thread.join();
  return run.result();
}

std::vector<Index> in_order(Index units, Index steps) {
  std::vector<Index> now(static_cast<std::size_t>(units), 1), next = now;
  for (Index step = 0; step < steps; ++step) {
    for (std::size_t i = 0; i < now.size(); ++i)
      next[i] = (now[i] + now[(i + 1) % now.size()] + static_cast<Index>(i) + step) % 10007;
    now.swap(next);
  }
  return now;
}

bool team_is_right(Index most) {
  Steps run(4, 60);
  tsdl::internal::parallel_team(
      most, [&](Index thread, Index threads) noexcept { run.run(thread, threads); });
  return run.result() == in_order(4, 60);
}

}  // namespace

TEST_CASE("a region runs every part once, whatever the number of threads before") {
  const test::ThreadCountGuard guard;
  for (const int threads : {1, 4, 2, 3, 9, 2, 1, 5}) {
    tsdl::set_thread_count(threads);
    for (int round = 0; round < 20; ++round)
      for (const Index n : {0, 1, 2, 3, 4, 7, 16, 33, 100, 1000}) {
        INFO("threads ", threads, " parts ", n);
        CHECK(each_once(n));
      }
  }
}

TEST_CASE("regions of parts and teams in turn") {
  const test::ThreadCountGuard guard;
  tsdl::set_thread_count(4);
  bool right = true;
  for (Index round = 0; round < 2000; ++round) {
    right &= each_once(1 + round % 40);
    if (round % 10 == 0) right &= team_is_right(1 + round % 5);
    if (round % 500 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));  // they sleep
  }
  CHECK(right);
}

TEST_CASE("a number of threads below 1 means 1, and each thread has its own") {
  const test::ThreadCountGuard guard;
  tsdl::set_thread_count(-3);
  CHECK(tsdl::thread_count() == 1);
#ifndef TSDL_NO_THREADS
  tsdl::set_thread_count(5);
  CHECK(tsdl::thread_count() == 5);
  int there = 0;
  std::thread([&] {
    tsdl::set_thread_count(2);
    there = tsdl::thread_count();
  }).join();
  CHECK(there == 2);
  CHECK(tsdl::thread_count() == 5);
#endif
}

TEST_CASE("a region within a region runs on that thread alone") {
  const test::ThreadCountGuard guard;
  tsdl::set_thread_count(4);
  std::array<std::array<int, 20>, 8> ran{};
  std::atomic<int> strangers{0};
  tsdl::internal::parallel_for(8, enough, [&](Index i) noexcept {
    const auto outer = std::this_thread::get_id();
    tsdl::internal::parallel_for(20, enough, [&](Index j) noexcept {
      ++ran[static_cast<std::size_t>(i)][static_cast<std::size_t>(j)];
      if (std::this_thread::get_id() != outer) ++strangers;
    });
    tsdl::internal::parallel_team(4, [&](Index, Index threads) noexcept {
      if (threads != 1) ++strangers;
    });
  });
  for (const auto& inner : ran) CHECK(std::count(inner.begin(), inner.end(), 1) == 20);
#ifndef TSDL_NO_THREADS
  CHECK(strangers == 0);
#endif
}

TEST_CASE("threads run every unit of every step once, and no step before the last is done") {
  for (const Index threads : {1, 2, 3, 5})
    for (const Index units : {Index{1}, Index{2}, Index{5}, SharedSteps::most_units})
      for (const Index steps : {0, 1, 300}) {
        INFO("threads ", threads, " units ", units, " steps ", steps);
#ifdef TSDL_NO_THREADS
        if (threads > 1) continue;
#endif
        CHECK(shared(threads, units, steps) == in_order(units, steps));
      }
}

TEST_CASE("a team runs each thread's task at most once, and always the first") {
  const test::ThreadCountGuard guard;
  for (const int threads : {1, 2, 4})
    for (const Index most : {0, 1, 2, 3, 9}) {
      INFO("threads ", threads, " most ", most);
      tsdl::set_thread_count(threads);
      std::array<int, 16> ran{};
      std::array<Index, 16> counts{};
      tsdl::internal::parallel_team(most, [&](Index thread, Index all) noexcept {
        ++ran[static_cast<std::size_t>(thread)];
        counts[static_cast<std::size_t>(thread)] = all;
      });
      const Index all = most > 1 ? std::min<Index>(tsdl::thread_count(), most) : 1;
      CHECK(ran[0] == 1);
      for (std::size_t i = 0; i < 16; ++i) {
        CHECK(ran[i] <= (static_cast<Index>(i) < all ? 1 : 0));
        CHECK(counts[i] == (ran[i] > 0 ? all : 0));
      }
      CHECK(team_is_right(most));
    }
}

#ifndef TSDL_NO_THREADS
TEST_CASE("a thread that sleeps inside a unit is waited for") {
  CHECK(shared(3, 4, 300, 0) == in_order(4, 300));
  CHECK(shared(3, 4, 300, 2) == in_order(4, 300));
}

TEST_CASE("all threads take part, and each is there at the same time") {
  const test::ThreadCountGuard guard;
  for (const int threads : {2, 4, 7}) {
    tsdl::set_thread_count(threads);
    std::atomic<int> here{0};
    std::atomic<bool> met{true};
    const auto meet = [&] {
      ++here;
      if (!test::comes_true([&] { return here == threads; })) met = false;
    };
    tsdl::internal::parallel_for(threads, enough, [&](Index) noexcept { meet(); });
    CHECK(met);
    here = 0;
    tsdl::internal::parallel_team(threads, [&](Index, Index) noexcept { meet(); });
    CHECK(met);
  }
}

TEST_CASE("a helper that sleeps inside a part is waited for, and the others go on") {
  const test::ThreadCountGuard guard;
  tsdl::set_thread_count(3);
  for (int round = 0; round < 5; ++round) {
    const auto caller = std::this_thread::get_id();
    std::atomic<int> done{0};
    std::atomic<bool> taken{false}, woken{false};
    tsdl::internal::parallel_for(50, enough, [&](Index) noexcept {
      if (std::this_thread::get_id() != caller && !taken.exchange(true))
        woken = test::comes_true([&] { return done == 49; });
      else if (std::this_thread::get_id() == caller)
        test::comes_true([&] { return taken.load(); });
      ++done;
    });
    CHECK(woken);
    CHECK(done == 50);
  }
}

TEST_CASE("threads that run regions at the same time do not wait for each other") {
  const test::AllHelpersGuard helpers;
  std::atomic<bool> right{true};
  std::vector<std::thread> users;
  for (int user = 0; user < 5; ++user)
    users.emplace_back([&, user] {
      tsdl::set_thread_count(2 + user % 3);
      for (Index round = 0; round < 300; ++round) {
        if (!each_once(1 + round % 30)) right = false;
        if (round % 10 == 0 && !team_is_right(3)) right = false;
      }
    });
  for (std::thread& user : users) user.join();
  CHECK(right);
  // Inside a region of one, another runs to its end.
  const test::ThreadCountGuard guard;
  tsdl::set_thread_count(2);
  tsdl::internal::parallel_for(2, enough, [&](Index i) noexcept {
    if (i > 0) return;
    std::thread([&] {
      tsdl::set_thread_count(2);
      if (!each_once(10)) right = false;
    }).join();
  });
  CHECK(right);
}

TEST_CASE("fewer helpers after one was late, for longer when it happens again") {
  using std::chrono::milliseconds;
  using tsdl::internal::HelperLimit;
  HelperLimit limit;
  tsdl::internal::PoolClock::time_point now{milliseconds(1000)};
  CHECK(limit.allowed(15, now) == 15);
  limit.was_late(15, now);
  CHECK(limit.allowed(15, now) == 12);
  CHECK(limit.allowed(1, now) == 1);
  CHECK(limit.allowed(15, now + milliseconds(4)) == 12);
  CHECK(limit.allowed(15, now += milliseconds(5)) == 15);
  // The one helper of two threads: 10, 20, ... 160 ms.
  for (const int pause : {10, 20, 40, 80, 160, 160}) {
    limit.was_late(1, now);
    CHECK(limit.allowed(1, now + milliseconds(pause - 1)) == 0);
    CHECK(limit.allowed(1, now += milliseconds(pause)) == 1);
    limit.went_well(milliseconds(499));
  }
  limit.went_well(milliseconds(1));
  limit.was_late(1, now);
  CHECK(limit.allowed(1, now + milliseconds(5)) == 1);
}
#endif

#ifndef _WIN32
TEST_CASE("a child that was forked after a parallel region goes on, with threads of its own") {
  const test::ThreadCountGuard guard;
  tsdl::set_thread_count(2);
  CHECK(each_once(1000));
  const int status = test::status_of_child([&] {
    ::alarm(60);
    if (sanitizes_threads) tsdl::set_thread_count(1);
    return each_once(1000) && team_is_right(2) ? 0 : 1;
  });
  CHECK(status == 0);
  CHECK(each_once(1000));
}

#ifndef TSDL_NO_THREADS
TEST_CASE("a child that is forked while another thread is in a region goes on") {
  const test::ThreadCountGuard guard;
  std::atomic<bool> enough_children{false}, right{true};
  std::thread user([&] {
    tsdl::set_thread_count(3);
    while (!enough_children)
      if (!each_once(20) || !team_is_right(3)) right = false;
  });
  tsdl::set_thread_count(2);
  for (int child = 0; child < 20; ++child) {
    // Memory comes from the stack: another thread may hold the heap's lock in a sanitizer.
    const int status = test::status_of_child([&] {
      ::alarm(60);
      if (sanitizes_threads) tsdl::set_thread_count(1);
      std::array<int, 50> ran{};
      tsdl::internal::parallel_for(50, enough,
                                   [&](Index i) noexcept { ++ran[static_cast<std::size_t>(i)]; });
      return std::count(ran.begin(), ran.end(), 1) == 50 ? 0 : 1;
    });
    CHECK(status == 0);
  }
  enough_children = true;
  user.join();
  CHECK(right);
}
#endif

namespace {

/// Runs regions in its destructor, after main, when `runs`.
struct RegionsAtExit {
  ~RegionsAtExit() {
    if (!runs) return;
    if (!each_once(100) || !team_is_right(2)) ::_exit(8);
    if (is_last) ::_exit(7);
  }
  bool is_last;
  bool runs = false;
};

RegionsAtExit made_before_main{.is_last = true};  // the helpers have ended when it is destroyed

}  // namespace

TEST_CASE("regions run in destructors after main") {
  const test::ThreadCountGuard guard;
  tsdl::set_thread_count(2);
  const int status = test::status_of_child([] {
    ::alarm(60);
    if (sanitizes_threads) tsdl::set_thread_count(1);
    made_before_main.runs = true;
    if (!each_once(100)) return 1;
    static const RegionsAtExit made_later{.is_last = false, .runs = true};
    std::exit(0);
  });
  CHECK(status == 7);
}
#endif
