// Steps that threads share: every unit of every step once, none before the step before is done.
#include "tsdl/core/parallel.hpp"

#include <doctest/doctest.h>

#ifndef _WIN32
#include <unistd.h>
#endif

#include <atomic>
#include <chrono>
#include <thread>
#include <utility>
#include <vector>

#include "support/files.hpp"
#include "support/training.hpp"

namespace {

using tsdl::Index;
using tsdl::internal::SharedSteps;

/// Unit u of a step adds the numbers of its neighbours after the step before; a unit that is run
/// too early, twice or not at all makes another number. Thread `late` sleeps now and then.
std::vector<Index> shared(Index threads, Index units, Index steps, Index late = -1) {
  const auto size = static_cast<std::size_t>(units);
  std::vector<Index> numbers[2] = {std::vector<Index>(size, 1), std::vector<Index>(size, 1)};
  SharedSteps run(steps, units);
  std::vector<std::thread> team;
  for (Index thread = 0; thread < threads; ++thread)
    team.emplace_back([&, thread] {
      run.run(thread, threads, [&](Index step, Index unit) {
        const auto& from = numbers[step % 2];
        auto& to = numbers[(step + 1) % 2];
        const auto at = [&](Index i) { return from[static_cast<std::size_t>(i % units)]; };
        to[static_cast<std::size_t>(unit)] = (at(unit) + at(unit + 1) + unit + step) % 10007;
        if (thread == late && step % 50 == 7)
          std::this_thread::sleep_for(std::chrono::milliseconds(1));
      });
    });
  for (std::thread& thread : team) thread.join();
  return numbers[steps % 2];
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

}  // namespace

TEST_CASE("threads run every unit of every step once, and no step before the last is done") {
  for (const Index threads : {1, 2, 3, 5})
    for (const Index units : {Index{1}, Index{2}, Index{5}, SharedSteps::most_units})
      for (const Index steps : {0, 1, 300}) {
        INFO("threads ", threads, " units ", units, " steps ", steps);
        CHECK(shared(threads, units, steps) == in_order(units, steps));
      }
}

TEST_CASE("a thread that sleeps inside a unit is waited for") {
  CHECK(shared(3, 4, 300, 0) == in_order(4, 300));
  CHECK(shared(3, 4, 300, 2) == in_order(4, 300));
}

TEST_CASE("parallel_team runs each thread's task once, on no more threads than it may") {
  const test::ThreadCountGuard guard;
  for (const int threads : {1, 2, 4})
    for (const Index most : {0, 1, 2, 3, 9}) {
      INFO("threads ", threads, " most ", most);
      tsdl::set_thread_count(threads);
      std::vector<int> ran(16);
      std::vector<Index> counts(16);
      tsdl::internal::parallel_team(most, [&](Index thread, Index all) noexcept {
        ++ran[static_cast<std::size_t>(thread)];
        counts[static_cast<std::size_t>(thread)] = all;
      });
      Index all = 1;
#ifdef _OPENMP
      if (most > 1) all = std::min<Index>(threads, most);
#endif
      for (std::size_t i = 0; i < 16; ++i) {
        const bool one_of_them = static_cast<Index>(i) < all;
        CHECK(ran[i] == (one_of_them ? 1 : 0));
        CHECK(counts[i] == (one_of_them ? all : 0));
      }
    }
}

TEST_CASE("within a parallel region the team is one thread") {
  Index inside = 0;
#ifdef _OPENMP
#pragma omp parallel num_threads(2)
#pragma omp single
#endif
  tsdl::internal::parallel_team(4, [&](Index, Index threads) noexcept { inside = threads; });
  CHECK(inside == 1);
}

#ifndef _WIN32
TEST_CASE("a child that was forked after a parallel region goes on, with the same bits") {
  const test::ThreadCountGuard guard;
  tsdl::set_thread_count(2);
  const auto run = [](Index n) {
    std::vector<double> values(static_cast<std::size_t>(n));
    tsdl::internal::parallel_for(n, 1e9, [&](Index i) noexcept {
      values[static_cast<std::size_t>(i)] = static_cast<double>(i) / 7;
    });
    std::atomic<Index> team{0};
    tsdl::internal::parallel_team(2, [&](Index thread, Index threads) noexcept {
      team += thread + 1 == threads ? threads : 0;
    });
    return std::pair(values, team.load());
  };
  const auto expected = run(1000);
  const int status = test::status_of_child([&] {
    ::alarm(20);  // GNU's runtime would wait for the parent's threads
    const auto [values, team] = run(1000);
    return values == expected.first && team == 1 && tsdl::thread_count() == 1 ? 0 : 1;
  });
  CHECK(status == 0);
  CHECK(run(1000).first == expected.first);
#ifdef _OPENMP
  CHECK(expected.second == 2);
  CHECK(tsdl::thread_count() == 2);
#endif
}
#endif
