// The space of a search: grids against nested loops, random values against the distributions that
// they are to have and against draws from Philox itself, and what is refused.
#include "tsdl/select/space.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "support/files.hpp"
#include "tsdl/core/random.hpp"

namespace {

using tsdl::Choice;
using tsdl::Index;
using tsdl::IntegerRange;
using tsdl::LogUniformRange;
using tsdl::SearchSpace;
using tsdl::TrialValues;
using tsdl::UniformRange;

/// The number of a text that holds nothing else.
double number(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  REQUIRE(end == text.c_str() + text.size());
  return value;
}

std::vector<std::string> column(const std::vector<TrialValues>& trials, std::size_t dimension) {
  std::vector<std::string> values;
  for (const TrialValues& trial : trials) values.push_back(trial.at(dimension).second);
  return values;
}

std::vector<std::string> grid_of(const tsdl::Dimension& dimension) {
  return column(tsdl::grid_trials({{{"x", dimension}}}), 0);
}

using Texts = std::vector<std::string>;

/// Draws of one dimension: value i is that of trial i.
std::vector<std::string> draws(const tsdl::Dimension& dimension, Index n, std::uint64_t seed = 1) {
  return column(tsdl::random_trials({{{"x", dimension}}}, seed, n), 0);
}

/// How often each value was drawn, against its probability: within 5 standard deviations.
void check_frequencies(const std::vector<std::string>& values,
                       const std::map<std::string, double>& probabilities) {
  std::map<std::string, double> counts;
  for (const std::string& value : values) ++counts[value];
  const auto n = static_cast<double>(values.size());
  double all = 0;
  for (const auto& [text, p] : probabilities) {
    const std::string& value = text;
    CAPTURE(value);
    CHECK(std::abs(counts[value] - n * p) <= 5 * std::sqrt(n * p * (1 - p)));
    all += p;
  }
  CHECK(all == doctest::Approx(1));
  CHECK(counts.size() == probabilities.size());
}

std::string refusal(const SearchSpace& space) {
  const std::string message = test::message_of<tsdl::OptionError>([&] { space.check(); });
  CHECK(test::message_of<tsdl::OptionError>([&] { tsdl::grid_trials(space); }) == message);
  CHECK(test::message_of<tsdl::OptionError>([&] { tsdl::random_trial(space, 1, 0); }) == message);
  CHECK(test::message_of<tsdl::OptionError>([&] { tsdl::random_trials(space, 1, 0); }) == message);
  return message;
}
std::string refusal(const tsdl::Dimension& dimension) {
  return refusal(SearchSpace{{{"good", Choice{{"1"}}}, {"x", dimension}}});
}

std::string grid_refusal(const SearchSpace& space) {
  space.check();
  return test::message_of<tsdl::OptionError>([&] { tsdl::grid_trials(space); });
}

const double infinity = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("A search space: a grid has every combination, the first dimension slowest") {
  const SearchSpace space{{{"model", Choice{{"lstm", "gru"}}},
                           {"layers", IntegerRange{.low = 1, .high = 4, .step = 2}},
                           {"dropout", UniformRange{.low = 0, .high = 0.5, .points = 3}}}};
  std::vector<TrialValues> expected;
  for (const char* model : {"lstm", "gru"})
    for (const char* layers : {"1", "3"})
      for (const char* dropout : {"0", "0.25", "0.5"})
        expected.push_back({{"model", model}, {"layers", layers}, {"dropout", dropout}});
  CHECK(tsdl::grid_trials(space) == expected);
}

TEST_CASE("A search space: the values of each kind of dimension in a grid") {
  CHECK(grid_of(Choice{{"b", "a", ""}}) == Texts{"b", "a", ""});
  CHECK(grid_of(IntegerRange{.low = -2, .high = 1}) == Texts{"-2", "-1", "0", "1"});
  CHECK(grid_of(IntegerRange{.low = 5, .high = 5}) == Texts{"5"});
  CHECK(grid_of(IntegerRange{.low = 16, .high = 50, .step = 16, .log = true}) ==
        Texts{"16", "32", "48"});
  CHECK(grid_of(UniformRange{.low = -1, .high = 1, .points = 5}) ==
        Texts{"-1", "-0.5", "0", "0.5", "1"});
  CHECK(grid_of(UniformRange{.low = 0.1, .high = 0.3, .points = 1}) == Texts{"0.2"});
  CHECK(grid_of(LogUniformRange{.low = 1e-4, .high = 1e-2, .points = 3}) ==
        Texts{"1e-04", "0.001", "0.01"});
  CHECK(grid_of(LogUniformRange{.low = 1, .high = 64, .points = 4}) == Texts{"1", "4", "16", "64"});
  CHECK(grid_of(LogUniformRange{.low = 1, .high = 100, .points = 1}) == Texts{"10"});
  // The bounds themselves, whatever is rounded, also where their quotient is no double.
  for (const double low : {0.1, 3e-308, 0.7, 1e-5})
    for (const double high : {0.9, 1e300, 5e7})
      for (const Index points : {2, 3, 7, 50}) {
        for (const bool log : {false, true}) {
          const tsdl::Dimension dimension =
              log ? tsdl::Dimension(LogUniformRange{low, high, points})
                  : tsdl::Dimension(UniformRange{low, high, points});
          const Texts values = grid_of(dimension);
          REQUIRE(std::ssize(values) == points);
          CHECK(tsdl::same_value(number(values.front()), low));
          CHECK(tsdl::same_value(number(values.back()), high));
          for (Index i = 1; i + 1 < points; ++i) {
            const double share = static_cast<double>(i) / static_cast<double>(points - 1);
            const double expected =
                log ? std::exp((1 - share) * std::log(low) + share * std::log(high))
                    : (1 - share) * low + share * high;
            CHECK(number(values[static_cast<std::size_t>(i)]) ==
                  doctest::Approx(expected).epsilon(1e-12));
          }
        }
      }
}

TEST_CASE("A search space: grids that are refused") {
  const SearchSpace uniform{{{"a", Choice{{"1"}}}, {"dropout", UniformRange{0, 1}}}};
  CHECK(test::contains(grid_refusal(uniform), "'dropout': a grid needs the number of its points"));
  const SearchSpace log{{{"lr", LogUniformRange{1, 2}}}};
  CHECK(test::contains(grid_refusal(log), "'lr': a grid needs the number of its points"));
  CHECK(test::contains(grid_refusal({{{"x", UniformRange{1, std::nextafter(1.0, 2.0), 3}}}}),
                       "'x': there are no 3 different numbers from 1 to 1.0000000000000002"));
  CHECK(test::contains(grid_refusal({{{"x", IntegerRange{.low = 1, .high = 1'000'001}}}}),
                       "'x': a grid takes at most 1000000 values, not 1000001"));
  CHECK(test::contains(grid_refusal({{{"x", UniformRange{0, 1, 1'000'001}}}}),
                       "'x': a grid takes at most 1000000 points, not 1000001"));
  const IntegerRange thousand{.low = 1, .high = 1000}, more{.low = 0, .high = 1000};
  CHECK(grid_refusal({{{"x", thousand}, {"y", more}}}) ==
        "search space: expected a grid of at most 1000000 trials, not 1001000");
  CHECK(tsdl::grid_trials({{{"x", thousand}, {"y", thousand}}}).size() == 1'000'000);
  SearchSpace huge;  // whose count would overflow
  for (int i = 0; i < 8; ++i) huge.dimensions.emplace_back("x" + std::to_string(i), thousand);
  CHECK(test::contains(grid_refusal(huge), "expected a grid of at most 1000000 trials, not"));
}

TEST_CASE("A search space: random values are those of the trial's own stream") {
  const SearchSpace space{
      {{"model", Choice{{"a", "b", "c"}}},
       {"hidden", IntegerRange{.low = 8, .high = 64, .step = 8}},
       {"dropout", UniformRange{.low = 0.1, .high = 0.6}},
       {"lr", LogUniformRange{.low = 1e-4, .high = 1e-1}},
       {"batch", IntegerRange{.low = 16, .high = 512, .step = 16, .log = true}}}};
  for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{7}, ~std::uint64_t{0}})
    for (const Index trial : {0, 1, 2, 1000}) {
      // Two draws a block, each of two words, from the cipher itself.
      const tsdl::Philox philox(seed, (std::uint64_t{1} << 48) + static_cast<std::uint64_t>(trial));
      std::vector<std::uint64_t> bits;
      for (std::uint32_t block = 0; block < 3; ++block) {
        const tsdl::Philox::Words words = philox(block);
        bits.push_back(words[0] + (std::uint64_t{words[1]} << 32));
        bits.push_back(words[2] + (std::uint64_t{words[3]} << 32));
      }
      const auto unit = [&](std::size_t i) {
        return static_cast<double>(bits[i] / 2048) / 9007199254740992.0;
      };
      const TrialValues values = tsdl::random_trial(space, seed, trial);
      REQUIRE(values.size() == 5);
      CHECK(values[0].first == "model");
      CHECK(values[0].second == std::string(1, static_cast<char>('a' + bits[0] % 3)));
      CHECK(values[1].second == std::to_string(8 + 8 * (bits[1] % 8)));
      CHECK(number(values[2].second) == doctest::Approx(0.1 + 0.5 * unit(2)).epsilon(1e-14));
      CHECK(number(values[3].second) ==
            doctest::Approx(std::exp(std::log(1e-4) + unit(3) * std::log(1000.0))).epsilon(1e-13));
      CHECK(values[4].first == "batch");
      const double x = 16 * std::exp(unit(4) * std::log(528.0 / 16));
      CHECK(number(values[4].second) <= x * (1 + 1e-12));
      CHECK(number(values[4].second) > x - 16 - 1e-9);
    }
}

TEST_CASE("A search space: a trial depends on space, seed and its number alone") {
  const SearchSpace space{{{"lr", LogUniformRange{.low = 1e-4, .high = 1e-1}},
                           {"hidden", IntegerRange{.low = 8, .high = 4096}}}};
  const std::vector<TrialValues> trials = tsdl::random_trials(space, 5, 100);
  for (Index trial = 99; trial >= 0; --trial)
    CHECK(tsdl::random_trial(space, 5, trial) == trials[static_cast<std::size_t>(trial)]);
  const std::vector<TrialValues> fewer = tsdl::random_trials(space, 5, 10);
  CHECK(std::equal(fewer.begin(), fewer.end(), trials.begin()));
  std::set<std::string> lrs;
  for (const TrialValues& trial : trials) lrs.insert(trial[0].second);
  for (const std::string& lr : column(tsdl::random_trials(space, 6, 100), 0)) lrs.insert(lr);
  CHECK(lrs.size() == 200);

  SearchSpace longer = space;
  longer.dimensions.emplace_back("dropout", UniformRange{0, 1});
  for (Index trial = 0; trial < 100; ++trial) {
    const TrialValues values = tsdl::random_trial(longer, 5, trial);
    CHECK(std::equal(values.begin(), values.begin() + 2,
                     trials[static_cast<std::size_t>(trial)].begin()));
  }
}

TEST_CASE("A search space: choices and integers are drawn alike") {
  check_frequencies(draws(Choice{{"a", "b", "c"}}, 30'000),
                    {{"a", 1 / 3.0}, {"b", 1 / 3.0}, {"c", 1 / 3.0}});
  check_frequencies(draws(IntegerRange{.low = -1, .high = 2}, 40'000),
                    {{"-1", 0.25}, {"0", 0.25}, {"1", 0.25}, {"2", 0.25}});
  check_frequencies(draws(IntegerRange{.low = 10, .high = 39, .step = 10}, 30'000),
                    {{"10", 1 / 3.0}, {"20", 1 / 3.0}, {"30", 1 / 3.0}});
  check_frequencies(draws(IntegerRange{.low = 3, .high = 3, .log = true}, 10), {{"3", 1}});
}

TEST_CASE("A search space: integers of a log range are drawn by the logarithm") {
  std::map<std::string, double> expected;
  for (int k = 1; k <= 9; ++k) expected[std::to_string(k)] = std::log10((k + 1.0) / k);  // Benford
  check_frequencies(draws(IntegerRange{.low = 1, .high = 9, .log = true}, 50'000), expected);
  expected.clear();
  for (int k = 16; k <= 64; k += 16)
    expected[std::to_string(k)] = std::log((k + 16.0) / k) / std::log(80 / 16.0);
  check_frequencies(draws(IntegerRange{.low = 16, .high = 79, .step = 16, .log = true}, 50'000),
                    expected);
}

TEST_CASE("A search space: numbers are uniform, or their logarithms are") {
  constexpr Index n = 20'000;
  for (const bool log : {false, true}) {
    const double low = 1e-3, high = 10;
    const tsdl::Dimension dimension = log ? tsdl::Dimension(LogUniformRange{low, high})
                                          : tsdl::Dimension(UniformRange{low, high});
    std::vector<double> shares;
    for (const std::string& text : draws(dimension, n)) {
      const double x = number(text);
      CHECK(x >= low);
      CHECK(x < high);
      CHECK(tsdl::value_text(x) == text);
      shares.push_back(log ? std::log(x / low) / std::log(high / low) : (x - low) / (high - low));
    }
    std::sort(shares.begin(), shares.end());
    double distance = 0;  // Kolmogorov and Smirnov's: 1.95 / sqrt(n) is exceeded once in 1,000
    for (Index i = 0; i < n; ++i) {
      const double at = shares[static_cast<std::size_t>(i)];
      distance = std::max({distance, std::abs(at - static_cast<double>(i) / n),
                           std::abs(at - static_cast<double>(i + 1) / n)});
    }
    CHECK(distance < 1.95 / std::sqrt(static_cast<double>(n)));
  }
}

TEST_CASE("A search space: a number is below the upper bound also in the narrowest ranges") {
  for (const double low : {1.0, 0.1, 1e-300, 3e-308}) {
    const double high = std::nextafter(low, infinity), wider = std::nextafter(high, infinity);
    for (int i = 0; i < 50; ++i) {
      CHECK(tsdl::same_value(
          number(tsdl::random_trial({{{"x", UniformRange{low, high}}}}, 1, i)[0].second), low));
      CHECK(tsdl::same_value(
          number(tsdl::random_trial({{{"x", LogUniformRange{low, high}}}}, 1, i)[0].second), low));
      const double x =
          number(tsdl::random_trial({{{"x", LogUniformRange{low, wider}}}}, 1, i)[0].second);
      CHECK(x >= low);
      CHECK(x < wider);
    }
  }
  for (const std::string& text : draws(LogUniformRange{1e-300, 1e300}, 100)) {
    CHECK(number(text) >= 1e-300);
    CHECK(number(text) < 1e300);
  }
}

TEST_CASE("A search space: what is refused, by name") {
  CHECK(refusal(SearchSpace{}) == "search space: expected at least one dimension");
  CHECK(refusal(SearchSpace{{{"", Choice{{"1"}}}}}) == "search space: dimension 0 has no name");
  CHECK(refusal(SearchSpace{{{"x", Choice{{"1"}}}, {"y", Choice{{"1"}}}, {"x", Choice{{"2"}}}}}) ==
        "search space: 'x': appears twice");
  CHECK(refusal(Choice{}) == "search space: 'x': expected at least one value");
  CHECK(refusal(Choice{{"a", "b", "a"}}) == "search space: 'x': 'a' appears twice");
  CHECK(refusal(IntegerRange{.low = 2, .high = 1}) ==
        "search space: 'x': expected low <= high, not 2 and 1");
  CHECK(refusal(IntegerRange{.low = 1, .high = 2, .step = 0}) ==
        "search space: 'x': expected a step of 1 or more, not 0");
  CHECK(refusal(IntegerRange{.low = 0, .high = 2, .log = true}) ==
        "search space: 'x': expected a low of 1 or more for its logarithm, not 0");
  constexpr Index least = std::numeric_limits<Index>::min(),
                  most = std::numeric_limits<Index>::max();
  CHECK(test::contains(refusal(IntegerRange{.low = least, .high = most}),
                       "'x': expected whole numbers from -9007199254740992 to 9007199254740992"));
  CHECK(refusal(UniformRange{1, 1}) == "search space: 'x': expected low < high, not 1 and 1");
  CHECK(refusal(LogUniformRange{2, 1}) == "search space: 'x': expected low < high, not 2 and 1");
  CHECK(refusal(UniformRange{0, infinity}) ==
        "search space: 'x': expected finite bounds, not 0 and inf");
  CHECK(test::contains(refusal(LogUniformRange{std::nan(""), 1}), "'x': expected finite bounds"));
  CHECK(test::contains(refusal(UniformRange{-1.7e308, 1.7e308}),
                       "'x': expected bounds whose difference is finite"));
  CHECK(refusal(LogUniformRange{0, 1}) ==
        "search space: 'x': expected a low above 0 for its logarithm, not 0");
  CHECK(test::contains(refusal(LogUniformRange{-1, 1}), "'x': expected a low above 0"));
  CHECK(refusal(UniformRange{0, 1, -1}) == "search space: 'x': expected 0 points or more, not -1");
  const SearchSpace good{{{"x", Choice{{"1"}}}}};
  CHECK(test::message_of<tsdl::OptionError>([&] { tsdl::random_trial(good, 1, -1); }) ==
        "random_trial: expected a trial of 0 or more, not -1");
  CHECK(test::message_of<tsdl::OptionError>([&] { tsdl::random_trials(good, 1, -1); }) ==
        "random_trials: expected 0 to 1000000 trials, not -1");
}
