// The pool of workers: every job once, exceptions, and what a worker's parallel regions use.
#include "tsdl/train/workers.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <stdexcept>
#include <vector>

#include "tsdl/core/parallel.hpp"

using tsdl::Index;

TEST_CASE("every job is done once, by however many workers") {
  for (const Index workers : {1, 2, 3, 8}) {
    std::vector<std::atomic<int>> done(50);
    std::atomic<int> others{0};
    tsdl::for_each_job(workers, 50, [&](Index job, Index worker) {
      ++done[static_cast<std::size_t>(job)];
      if (worker < 0 || worker >= workers) ++others;
      if (tsdl::thread_count() != 1) ++others;
    });
    for (const auto& count : done) CHECK(count == 1);
    CHECK(others == 0);
  }
  tsdl::for_each_job(3, 0, [](Index, Index) { FAIL("there is no job"); });
}

TEST_CASE("workers take jobs from one count, and threads are as before afterwards") {
  const int threads = tsdl::thread_count();
  tsdl::set_thread_count(5);
  Index left = 7;
  std::atomic<Index> sum{0};
  tsdl::run_workers(
      3, [&] { return --left; }, [&](Index number, Index) { sum += number; });
  CHECK(sum == 6 + 5 + 4 + 3 + 2 + 1);
#ifndef TSDL_NO_THREADS
  CHECK(tsdl::thread_count() == 5);
#endif
  tsdl::set_thread_count(threads);
}

TEST_CASE("the first exception ends the work and comes out") {
  for (const Index workers : {1, 2, 4}) {
    std::atomic<int> done{0};
    const auto run = [&] {
      tsdl::for_each_job(workers, 1000, [&](Index job, Index) {
        if (job == 3) throw std::runtime_error("job 3");
        ++done;
      });
    };
    CHECK_THROWS_WITH_AS(run(), "job 3", std::runtime_error);
    CHECK(done < 1000);
  }
  CHECK_THROWS_AS(tsdl::run_workers(
                      2, []() -> Index { throw tsdl::DataError("no more"); }, [](Index, Index) {}),
                  tsdl::DataError);
  for (const Index workers : {Index{0}, tsdl::most_workers + 1})
    CHECK_THROWS_AS(tsdl::run_workers(
                        workers, [] { return Index{-1}; }, [](Index, Index) {}),
                    tsdl::OptionError);
}
