// What ranks do together by MPI: spread.sh starts this program by mpirun, with any number of ranks.
// Returns 0 when all is as it should be, else says what is not and returns 1.
//
// ranks                every call of the communicator
// ranks alone          an exception on rank 1 while the others wait: the destructor ends all
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <numeric>
#include <string>
#include <thread>
#include <tsdl/spread/mpi.hpp>
#include <vector>

namespace {

using tsdl::Index;

bool good = true;

void check(bool holds, const char* what) {
  if (holds) return;
  good = false;
  std::fprintf(stderr, "ranks: %s\n", what);
}

/// All numbers below `jobs` are taken once, by whoever is free, and twice in a row from 0.
void check_count(tsdl::Communicator& ranks, Index jobs, bool busy_first) {
  ranks.reset_counter();
  std::string mine;
  for (Index i = ranks.take(); i < jobs; i = ranks.take()) {
    mine += std::to_string(i) + ' ';
    // While rank 0 is at work, others go on.
    if (busy_first && ranks.rank() == 0)
      std::this_thread::sleep_for(std::chrono::milliseconds(300));
  }
  std::vector<int> taken(static_cast<std::size_t>(jobs));
  std::vector<Index> of_rank;
  for (const std::string& numbers : ranks.all_gather(mine)) {
    of_rank.push_back(std::count(numbers.begin(), numbers.end(), ' '));
    for (std::size_t at = 0; at < numbers.size(); at = numbers.find(' ', at) + 1)
      ++taken[std::stoul(numbers.substr(at))];
  }
  check(std::count(taken.begin(), taken.end(), 1) == jobs, "a number is taken twice or never");
  if (busy_first && ranks.size() > 1) check(of_rank[0] <= 2, "others wait while rank 0 works");
}

void check_all(tsdl::Communicator& ranks) {
  const Index R = ranks.size(), rank = ranks.rank();
  check(rank >= 0 && rank < R && ranks.ranks_here() == R, "rank, size, ranks_here");
  // Of different sizes, one of them none.
  const auto text = [](Index of) {
    return std::string(static_cast<std::size_t>(of) * 100000, 'a');
  };
  const std::vector<std::string> all = ranks.all_gather(text(rank));
  bool same = std::ssize(all) == R;
  for (Index i = 0; i < R && same; ++i) same = all[static_cast<std::size_t>(i)] == text(i);
  check(same, "all_gather");
  for (Index from = 0; from < R; ++from)
    check(ranks.broadcast(rank == from ? std::string("a\0b", 3) : "other", from) ==
              std::string("a\0b", 3),
          "broadcast");
  if ((R & (R - 1)) == 0) {
    std::vector<float> values(70000, static_cast<float>(rank + 1)), received(values.size());
    tsdl::internal::add_in_tree<float>(ranks, values, received);
    const auto sum = static_cast<float>(R * (R + 1) / 2);
    check(std::count(values.begin(), values.end(), sum) == std::ssize(values), "sums of float");
    double value = static_cast<double>(rank) + 0.5, other = 0;
    tsdl::internal::add_in_tree<double>(ranks, {&value, 1}, {&other, 1});
    check(value == static_cast<double>(R * R) / 2, "sums of double");
  }
  for (Index which = -1; which < R; ++which)
    check(tsdl::any_rank(ranks, rank == which) == (which >= 0), "any_rank");
  const auto begin = std::chrono::steady_clock::now();
  if (rank == R - 1) std::this_thread::sleep_for(std::chrono::milliseconds(200));
  ranks.barrier();
  check(R == 1 || std::chrono::steady_clock::now() - begin > std::chrono::milliseconds(150),
        "a barrier that does not wait");
  check_count(ranks, 10, true);
  check_count(ranks, 500, false);
  if (rank > 0)
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  else if (R > 1)
    check(!ranks.leave(std::chrono::milliseconds(20)), "left before the others");
  check(ranks.leave(std::chrono::seconds(20)), "leave");
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const auto ranks = tsdl::connect_ranks();
    if (argc > 1 && std::strcmp(argv[1], "alone") == 0) {
      if (ranks->rank() == 1) throw tsdl::Error("rank 1 by itself");
      ranks->barrier();
    } else {
      check_all(*ranks);
    }
  } catch (const tsdl::Error& error) {
    std::fprintf(stderr, "ranks: %s\n", error.what());
    return 1;
  }
  return good ? 0 : 1;
}
