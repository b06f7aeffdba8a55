// Parts of one piece of work: they cover it, run at the same time, and wait for each other.
#include "tsdl/core/parallel.hpp"

#include <doctest/doctest.h>

#include <thread>
#include <vector>

namespace {

using tsdl::Index;
using tsdl::internal::Part;
using tsdl::internal::SpinBarrier;

/// Each round every thread adds the neighbours of its number; a barrier that lets one through early
/// makes it read a number of another round.
std::vector<Index> rounds(Index threads, Index count) {
  std::vector<Index> now(static_cast<std::size_t>(threads), 1), next = now;
  SpinBarrier barrier;
  std::vector<std::thread> team;
  for (Index index = 0; index < threads; ++index)
    team.emplace_back([&, index] {
      auto *from = &now, *to = &next;
      for (Index round = 0; round < count; ++round) {
        const auto at = [&](Index i) { return (*from)[static_cast<std::size_t>(i % threads)]; };
        (*to)[static_cast<std::size_t>(index)] = (at(index) + at(index + 1) + index) % 10007;
        std::swap(from, to);
        barrier.wait(threads);
      }
    });
  for (std::thread& thread : team) thread.join();
  return count % 2 == 0 ? now : next;
}

std::vector<Index> expected(Index threads, Index count) {
  std::vector<Index> now(static_cast<std::size_t>(threads), 1), next = now;
  for (Index round = 0; round < count; ++round) {
    for (std::size_t i = 0; i < now.size(); ++i)
      next[i] = (now[i] + now[(i + 1) % now.size()] + static_cast<Index>(i)) % 10007;
    now.swap(next);
  }
  return now;
}

}  // namespace

TEST_CASE("no thread passes a SpinBarrier before all have come, round after round") {
  for (const Index threads : {1, 2, 3, 5}) CHECK(rounds(threads, 300) == expected(threads, 300));
}

TEST_CASE("parts cover a range, each number once, in order") {
  for (Index n = 0; n <= 20; ++n)
    for (Index count = 1; count <= 7; ++count) {
      Index reached = 0;
      for (Index index = 0; index < count; ++index) {
        const Part part{index, count, nullptr};
        CHECK(part.begin(n) == reached);
        CHECK(part.end(n) - part.begin(n) >= n / count);
        CHECK(part.end(n) - part.begin(n) <= n / count + 1);
        reached = part.end(n);
      }
      CHECK(reached == n);
    }
}

TEST_CASE("parallel_parts runs every part once, and no more than it may") {
  const int before = tsdl::thread_count();
  for (const int threads : {1, 2, 4})
    for (const Index most : {0, 1, 2, 3, 9})
      for (const bool worth_it : {false, true}) {
        tsdl::set_thread_count(threads);
        std::vector<int> ran(16);
        Index count = 0;
        tsdl::internal::parallel_parts(most, worth_it, [&](const Part& part) noexcept {
          ++ran[static_cast<std::size_t>(part.index)];
          part.wait();
          if (part.index == 0) count = part.count;
        });
        INFO("threads ", threads, " most ", most, " worth_it ", worth_it);
        Index all = 1;
#ifdef _OPENMP
        if (worth_it && most > 1) all = std::min<Index>(threads, most);
#endif
        CHECK(count == all);
        for (Index i = 0; i < 16; ++i) CHECK(ran[static_cast<std::size_t>(i)] == (i < all ? 1 : 0));
      }
  tsdl::set_thread_count(before);
}

TEST_CASE("within a parallel region the work is one part") {
  Index inside = 0;
#pragma omp parallel num_threads(2)
#pragma omp single
  tsdl::internal::parallel_parts(4, true, [&](const Part& part) noexcept { inside = part.count; });
  CHECK(inside == 1);
}
