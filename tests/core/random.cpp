#include "tsdl/core/random.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <set>
#include <vector>

namespace {

using tsdl::Index;
using tsdl::Philox;
using tsdl::RandomStream;

}  // namespace

TEST_CASE("Philox4x32-10 gives the known answers of Random123") {
  // kat_vectors of https://github.com/DEShawResearch/random123, philox 4x32 10.
  CHECK(Philox::encrypt({0, 0, 0, 0}, 0, 0) ==
        Philox::Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(Philox::encrypt({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, 0xffffffff, 0xffffffff) ==
        Philox::Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(Philox::encrypt({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0) ==
        Philox::Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("a Philox draw depends on seed, stream and every counter word, and on nothing else") {
  const Philox philox(1, 2);
  const auto value = philox(3, 4, 5, 6);
  philox(9);
  CHECK(philox(3, 4, 5, 6) == value);
  CHECK(Philox(1, 2)(3, 4, 5, 6) == value);
  CHECK(Philox(7, 2)(3, 4, 5, 6) != value);
  CHECK(Philox(1, 7)(3, 4, 5, 6) != value);
  CHECK(Philox(2, 1)(3, 4, 5, 6) != value);
  CHECK(philox(7, 4, 5, 6) != value);
  CHECK(philox(3, 7, 5, 6) != value);
  CHECK(philox(3, 4, 7, 6) != value);
  CHECK(philox(3, 4, 5, 7) != value);
}

TEST_CASE("words of which only the lower halves count are encrypted as counters are") {
  const Philox philox(21, 22);
  const std::uint64_t above = 0xdeadbeef00000000u;  // ignored
  std::uint64_t x[4] = {above | 5, above | 1, above | 0xffffffffu, above | 3};
  philox.encrypt_each(
      x, [](std::uint64_t a, std::uint64_t b) { return (a & 0xffffffffu) * (b & 0xffffffffu); });
  const auto alone = philox(5, 1, 0xffffffffu, 3);
  for (std::size_t j = 0; j < 4; ++j) CHECK(static_cast<std::uint32_t>(x[j]) == alone[j]);
}

TEST_CASE("streams of neighbouring seeds and streams do not share their first draw") {
  std::set<std::uint64_t> first;
  for (std::uint64_t seed = 0; seed < 64; ++seed)
    for (std::uint64_t stream = 0; stream < 64; ++stream)
      first.insert(RandomStream(seed, stream).bits());
  CHECK(first.size() == 64 * 64);
}

TEST_CASE("RandomStream takes the words of successive counters, two at a time") {
  const Philox philox(11, 12);
  RandomStream random(11, 12);
  for (std::uint32_t block = 0; block < 5; ++block) {
    const auto words = philox(block);
    CHECK(random.bits() == (std::uint64_t{words[1]} << 32 | words[0]));
    CHECK(random.bits() == (std::uint64_t{words[3]} << 32 | words[2]));
  }
}

TEST_CASE("uniform draws lie in their range and have its moments") {
  constexpr int n = 200000;
  RandomStream random(5);
  double sum = 0, squares = 0, least = 1, largest = 0;
  for (int i = 0; i < n; ++i) {
    const double u = random.uniform();
    sum += u;
    squares += u * u;
    least = std::min(least, u);
    largest = std::max(largest, u);
  }
  const double mean = sum / n;
  // Five standard errors: of the mean sqrt(1/12/n), of the variance sqrt(1/180/n).
  CHECK(std::abs(mean - 0.5) < 5 * std::sqrt(1.0 / 12 / n));
  CHECK(std::abs(squares / n - mean * mean - 1.0 / 12) < 5 * std::sqrt(1.0 / 180 / n));
  CHECK(least >= 0);
  CHECK(largest < 1);
  CHECK(least < 1e-3);
  CHECK(largest > 1 - 1e-3);

  for (int i = 0; i < 1000; ++i) {
    const double u = random.uniform(-3, -1);
    CHECK(u >= -3);
    CHECK(u < -1);
  }
}

TEST_CASE("normal draws are finite and have the moments of a standard normal") {
  constexpr int n = 200000;
  RandomStream random(6, 1);
  std::array<double, 5> moments{};
  for (int i = 0; i < n; ++i) {
    const double x = random.normal();
    REQUIRE(std::isfinite(x));
    double power = 1;
    for (double& moment : moments) {
      moment += power / n;
      power *= x;
    }
  }
  // Variances of x, x^2, x^3 and x^4: 1, 2, 15 and 96.
  CHECK(std::abs(moments[1]) < 5 * std::sqrt(1.0 / n));
  CHECK(std::abs(moments[2] - 1) < 5 * std::sqrt(2.0 / n));
  CHECK(std::abs(moments[3]) < 5 * std::sqrt(15.0 / n));
  CHECK(std::abs(moments[4] - 3) < 5 * std::sqrt(96.0 / n));
}

TEST_CASE("below is uniform, also where a plain remainder would not be") {
  RandomStream random(7);
  for (int i = 0; i < 100; ++i) CHECK(random.below(1) == 0);

  constexpr int draws = 70000;
  std::array<int, 7> counts{};
  for (int i = 0; i < draws; ++i) ++counts.at(random.below(7));
  double chi_square = 0;
  for (const int count : counts) chi_square += std::pow(count - draws / 7.0, 2) / (draws / 7.0);
  CHECK(chi_square < 22.46);  // 99.9% point at 6 degrees of freedom

  // With n = 3/4 of the range the remainder alone would put 1/2 of the draws below n/3, not 1/3.
  const std::uint64_t n = std::uint64_t{3} << 62;
  int low = 0;
  for (int i = 0; i < draws; ++i) {
    const std::uint64_t value = random.below(n);
    REQUIRE(value < n);
    low += value < n / 3;
  }
  CHECK(std::abs(low - draws / 3.0) < 5 * std::sqrt(draws * 2.0 / 9));
}

TEST_CASE("shuffle permutes, is repeatable, and reaches every order equally often") {
  std::vector<Index> order(1000);
  std::iota(order.begin(), order.end(), Index{0});
  const std::vector<Index> sorted = order;
  RandomStream random(8);
  tsdl::shuffle(order, random);
  CHECK(order != sorted);
  std::vector<Index> again = sorted;
  RandomStream same(8);
  tsdl::shuffle(again, same);
  CHECK(again == order);
  std::sort(order.begin(), order.end());
  CHECK(order == sorted);

  constexpr int trials = 24000;
  std::array<int, 24> counts{};
  for (int i = 0; i < trials; ++i) {
    std::vector<Index> four{0, 1, 2, 3};
    tsdl::shuffle(four, random);
    int rank = 0;  // in lexicographic order
    for (std::size_t a = 0; a < 4; ++a) {
      int smaller = 0;
      for (std::size_t b = a + 1; b < 4; ++b) smaller += four[b] < four[a];
      rank = rank * static_cast<int>(4 - a) + smaller;
    }
    ++counts.at(static_cast<std::size_t>(rank));
  }
  double chi_square = 0;
  for (const int count : counts) chi_square += std::pow(count - trials / 24.0, 2) / (trials / 24.0);
  CHECK(chi_square < 49.73);  // 99.9% point at 23 degrees of freedom

  std::vector<Index> none;
  tsdl::shuffle(none, random);
  CHECK(none.empty());
}
