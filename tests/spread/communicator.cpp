// One process by itself, ranks that are threads, and what is built on them.
#include "tsdl/spread/communicator.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "support/ranks.hpp"

namespace {

using test::Index;

}  // namespace

TEST_CASE("communicator: one process by itself") {
  tsdl::SingleProcess alone;
  CHECK(alone.rank() == 0);
  CHECK(alone.size() == 1);
  CHECK(alone.ranks_here() == 1);
  CHECK(alone.all_gather("bytes") == std::vector<std::string>{"bytes"});
  CHECK(alone.broadcast("bytes") == "bytes");
  CHECK_THROWS_AS(alone.broadcast("bytes", 1), tsdl::Error);
  alone.barrier();
  alone.reset_counter();
  CHECK(alone.take() == 0);
  CHECK(alone.take() == 1);
  alone.reset_counter();
  CHECK(alone.take() == 0);
  const std::vector<float> mine{1, 2};
  std::vector<float> theirs(2), three(3);
  alone.exchange(std::span<const float>(mine), std::span<float>(theirs), 0);
  CHECK(theirs == mine);
  CHECK_THROWS_AS(alone.exchange(std::span<const float>(mine), std::span<float>(three), 0),
                  tsdl::ShapeError);
  CHECK_THROWS_AS(alone.exchange(std::span<const float>(mine), std::span<float>(theirs), 1),
                  tsdl::Error);
  CHECK(alone.leave(std::chrono::milliseconds(0)));
  alone.end_all(1);  // returns
  CHECK(tsdl::any_rank(alone, true));
  CHECK(!tsdl::any_rank(alone, false));
}

TEST_CASE("communicator: sums in a tree are the same bits on every rank, in the tree's order") {
  // In float, where 2^24 + 1 is 2^24.
  const std::vector<float> values{16777216.0f, 1.0f, 1.0f, -16777216.0f, 0.1f, 0.7f, 3e7f, -3e7f};
  for (const Index size : {1, 2, 4, 8}) {
    const auto sums = test::on_ranks<float>(size, [&](tsdl::Communicator& ranks) {
      float sum = values[static_cast<std::size_t>(ranks.rank())], received = 0;
      tsdl::internal::add_in_tree(ranks, std::span<float>(&sum, 1), std::span<float>(&received, 1));
      return sum;
    });
    std::vector<float> level(values.begin(), values.begin() + size);
    while (level.size() > 1) {
      std::vector<float> next;
      for (std::size_t i = 0; i < level.size(); i += 2) next.push_back(level[i] + level[i + 1]);
      level = next;
    }
    for (const float sum : sums) CHECK(sum == level[0]);
  }
  // One after the other they give another sum: the test can tell orders apart.
  CHECK(std::accumulate(values.begin(), values.begin() + 4, 0.0f) == 0.0f);
  CHECK((values[0] + values[1]) + (values[2] + values[3]) == 1.0f);
}

TEST_CASE("communicator: any_rank is true on all where it is on one") {
  for (const Index size : {2, 3, 4})
    for (Index which = -1; which < size; ++which) {
      const auto found = test::on_ranks<int>(size, [&](tsdl::Communicator& ranks) {
        return tsdl::any_rank(ranks, ranks.rank() == which) ? 1 : 0;
      });
      CHECK(found == std::vector<int>(static_cast<std::size_t>(size), which >= 0 ? 1 : 0));
    }
}
