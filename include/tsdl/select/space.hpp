// The space that a search of options draws its trials from: what values each option may take, as
// text, the trials of a grid, and random trials.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "tsdl/core/archive.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/random.hpp"
#include "tsdl/core/system.hpp"
#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// One of these texts.
struct Choice {
  std::vector<std::string> values;
};

/// One of the whole numbers low, low + step, ... that are not above `high`.
struct IntegerRange {
  Index low = 0, high = 0;
  Index step = 1;
  bool log = false;  ///< random draws favour small numbers, as those of a LogUniformRange do
};

/// A number of [low, high).
struct UniformRange {
  double low = 0, high = 1;
  Index points = 0;  ///< how many numbers a grid takes; 0: not for a grid
};

/// A number of [low, high), low > 0, whose logarithm is uniform: as likely in [0.001, 0.01) as in
/// [0.01, 0.1).
struct LogUniformRange {
  double low = 1, high = 10;
  Index points = 0;  ///< how many numbers a grid takes; 0: not for a grid
};

using Dimension = std::variant<Choice, IntegerRange, UniformRange, LogUniformRange>;

/// The options that a search varies, by name, in the order in which trials list them.
struct SearchSpace {
  std::vector<std::pair<std::string, Dimension>> dimensions;

  /// Throws: OptionError, with the dimension's name, when it has no name or that of another; a
  /// choice has no values or a value twice; a range is empty or reversed, has a bound that is not
  /// finite, a logarithm of 0 or less, a step below 1 or fewer points than 0; or when there is no
  /// dimension at all.
  void check() const;
};

/// What one trial sets: (name, value) in the order of the space. A value is the text that an option
/// takes; of a number, the shortest text that is read as this number.
using TrialValues = std::vector<std::pair<std::string, std::string>>;

namespace internal {

/// More trials than this are refused: a grid would have to be kept in memory.
inline constexpr Index most_trials = 1'000'000;

/// The streams of random trials, above those of weights, shuffling and dropout.
inline constexpr std::uint64_t trial_stream = std::uint64_t{1} << 48;

/// How many numbers a range of integers that has passed its check has.
inline Index integer_count(const IntegerRange& range) noexcept {
  return (range.high - range.low) / range.step + 1;
}

// What is wrong with a dimension; empty when nothing is.

inline std::string problem_of(const Choice& choice) {
  if (choice.values.empty()) return "expected at least one value";
  std::vector<std::string> sorted = choice.values;
  std::sort(sorted.begin(), sorted.end());
  const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
  return twice == sorted.end() ? "" : "'" + *twice + "' appears twice";
}

inline std::string problem_of(const IntegerRange& range) {
  // A double holds each whole number up to this one, and differences of two fit an Index.
  constexpr Index most = Index{1} << 53;
  if (range.low < -most || range.high > most)
    return concatenate("expected whole numbers from ", -most, " to ", most, ", not ", range.low,
                       " to ", range.high);
  if (range.low > range.high)
    return concatenate("expected low <= high, not ", range.low, " and ", range.high);
  if (range.step < 1) return concatenate("expected a step of 1 or more, not ", range.step);
  if (range.log && range.low < 1)
    return concatenate("expected a low of 1 or more for its logarithm, not ", range.low);
  return "";
}

/// What both kinds of continuous ranges have in common.
inline std::string problem_of_bounds(double low, double high, Index points) {
  if (!is_finite(low) || !is_finite(high))
    return "expected finite bounds, not " + exact_text(low) + " and " + exact_text(high);
  if (!(low < high))
    return "expected low < high, not " + exact_text(low) + " and " + exact_text(high);
  if (!is_finite(high - low))
    return "expected bounds whose difference is finite, not " + exact_text(low) + " and " +
           exact_text(high);
  if (points < 0) return concatenate("expected 0 points or more, not ", points);
  return "";
}

inline std::string problem_of(const UniformRange& range) {
  return problem_of_bounds(range.low, range.high, range.points);
}

inline std::string problem_of(const LogUniformRange& range) {
  const std::string problem = problem_of_bounds(range.low, range.high, range.points);
  if (!problem.empty() || range.low > 0) return problem;
  return "expected a low above 0 for its logarithm, not " + exact_text(range.low);
}

[[noreturn]] inline void refuse_dimension(std::string_view name, std::string_view problem) {
  throw OptionError("search space: '", name, "': ", problem);
}

/// A number between the bounds whatever was rounded, and below `high`.
inline double in_half_open(double value, double low, double high) noexcept {
  return std::clamp(value, low, std::nextafter(high, low));
}

// The values of one dimension in a grid, in order.

inline std::vector<std::string> grid_values(std::string_view, const Choice& choice) {
  return choice.values;
}

inline std::vector<std::string> grid_values(std::string_view name, const IntegerRange& range) {
  const Index count = integer_count(range);
  if (count > most_trials)
    refuse_dimension(name,
                     concatenate("a grid takes at most ", most_trials, " values, not ", count));
  std::vector<std::string> values;
  for (Index i = 0; i < count; ++i) values.push_back(std::to_string(range.low + i * range.step));
  return values;
}

/// The points at(0), at(1 / (n - 1)), ..., at(1), or at(1/2) where there is one; the first and last
/// of several are the bounds themselves.
template <class At>
std::vector<std::string> grid_points(std::string_view name, double low, double high, Index points,
                                     const At& at) {
  if (points == 0)
    refuse_dimension(name,
                     "a grid needs the number of its points (points = 0 is for random "
                     "trials alone)");
  if (points > most_trials)
    refuse_dimension(name,
                     concatenate("a grid takes at most ", most_trials, " points, not ", points));
  std::vector<std::string> values;
  double before = low;
  for (Index i = 0; i < points; ++i) {
    const double share =
        points == 1 ? 0.5 : static_cast<double>(i) / static_cast<double>(points - 1);
    double value = std::clamp(at(share), low, high);
    if (points > 1 && i == 0) value = low;
    if (points > 1 && i == points - 1) value = high;
    if (i > 0 && !(value > before))
      refuse_dimension(name, concatenate("there are no ", points, " different numbers from ",
                                         exact_text(low), " to ", exact_text(high)));
    values.push_back(exact_text(value));
    before = value;
  }
  return values;
}

inline std::vector<std::string> grid_values(std::string_view name, const UniformRange& range) {
  return grid_points(name, range.low, range.high, range.points,
                     [&](double share) { return range.low + (range.high - range.low) * share; });
}

/// low (high / low)^share; by way of logarithms where the quotient is too large for a double.
inline double log_point(double low, double high, double share) noexcept {
  const double quotient = high / low;
  return is_finite(quotient) ? low * std::pow(quotient, share)
                             : std::exp(std::log(low) + (std::log(high) - std::log(low)) * share);
}

/// The number with 15 significant digits nearest to this one.
inline double to_15_digits(double value) {
  char text[32];
  *std::to_chars(text, text + sizeof text - 1, value, std::chars_format::scientific, 14).ptr = '\0';
  return strtod_classic(text, nullptr);
}

/// Rounded, so that the third of four points from 1 to 64 is 16 and not its neighbour.
inline std::vector<std::string> grid_values(std::string_view name, const LogUniformRange& range) {
  return grid_points(name, range.low, range.high, range.points, [&](double share) {
    return to_15_digits(log_point(range.low, range.high, share));
  });
}

// One random value of a dimension, from one draw.

inline std::string random_value(const Choice& choice, RandomStream& random) {
  return choice.values[static_cast<std::size_t>(random.below(choice.values.size()))];
}

inline std::string random_value(const IntegerRange& range, RandomStream& random) {
  const Index count = integer_count(range);
  Index i = 0;
  if (range.log) {
    const double low = static_cast<double>(range.low), step = static_cast<double>(range.step);
    const double x = log_point(low, low + step * static_cast<double>(count), random.uniform());
    i = std::clamp(static_cast<Index>((x - low) / step), Index{0}, count - 1);
  } else {
    i = static_cast<Index>(random.below(static_cast<std::uint64_t>(count)));
  }
  return std::to_string(range.low + i * range.step);
}

inline std::string random_value(const UniformRange& range, RandomStream& random) {
  const double value = range.low + (range.high - range.low) * random.uniform();
  return exact_text(in_half_open(value, range.low, range.high));
}

inline std::string random_value(const LogUniformRange& range, RandomStream& random) {
  const double value = log_point(range.low, range.high, random.uniform());
  return exact_text(in_half_open(value, range.low, range.high));
}

}  // namespace internal

/// What is wrong with a dimension, as in SearchSpace::check(); empty when nothing is.
inline std::string dimension_problem(const Dimension& dimension) {
  const FloatModeGuard guard;
  return std::visit([](const auto& one) { return internal::problem_of(one); }, dimension);
}

/// A number as the text of a value: the shortest that is read as this number.
inline std::string value_text(double value) { return internal::exact_text(value); }

inline void SearchSpace::check() const {
  if (dimensions.empty()) throw OptionError("search space: expected at least one dimension");
  for (std::size_t i = 0; i < dimensions.size(); ++i) {
    const std::string& name = dimensions[i].first;
    if (name.empty()) throw OptionError("search space: dimension ", i, " has no name");
    for (std::size_t j = 0; j < i; ++j)
      if (dimensions[j].first == name) internal::refuse_dimension(name, "appears twice");
    const std::string problem = dimension_problem(dimensions[i].second);
    if (!problem.empty()) internal::refuse_dimension(name, problem);
  }
}

/// Every combination of the dimensions' values, the last dimension fastest: of a choice its values;
/// of integers low, low + step, ... up to high, with log or without; of a range of numbers, n =
/// points of them with both bounds, as listed below, or for n = 1 its middle (i / (n - 1) = 1/2).
/// Equations:
///   uniform      low + (high - low) i / (n - 1)      i = 0 ... n - 1
///   log-uniform  low (high / low)^(i / (n - 1)), rounded to 15 significant digits
/// Throws: OptionError where SearchSpace::check() does; with the dimension's name, for a range of
/// numbers without points, or with more points than it has numbers; for more than a million trials.
inline std::vector<TrialValues> grid_trials(const SearchSpace& space) {
  const FloatModeGuard guard;
  space.check();
  std::vector<std::vector<std::string>> values;
  Index count = 1;
  for (const auto& [name, dimension] : space.dimensions) {
    values.push_back(std::visit(
        [&, &which = name](const auto& one) { return internal::grid_values(which, one); },
        dimension));
    count = internal::saturated_product(count, std::ssize(values.back()));
  }
  if (count > internal::most_trials)
    throw OptionError("search space: expected a grid of at most ", internal::most_trials,
                      " trials, not ", count);
  std::vector<TrialValues> trials;
  trials.reserve(static_cast<std::size_t>(count));
  for (Index trial = 0; trial < count; ++trial) {
    TrialValues one(values.size());
    auto rest = static_cast<std::size_t>(trial);
    for (std::size_t d = values.size(); d-- > 0; rest /= values[d].size())
      one[d] = {space.dimensions[d].first, values[d][rest % values[d].size()]};
    trials.push_back(std::move(one));
  }
  return trials;
}

/// The values of random trial number `trial`, 0, 1, ..., each dimension's independent of the
/// others. They depend on space, seed and number alone: trials may be made in any order, anywhere,
/// and a dimension that is appended to the space leaves the values of the others as they were.
/// Trials are drawn with replacement: in a small space of choices and integers, two of them may be
/// the same. Equations, u uniform in [0, 1):
///   choice       each value alike
///   integer      each number alike; with log, P(k) proportional to log((k + step) / k): a
///                log-uniform draw from [low, last + step), rounded down to a number of the range
///   uniform      low + (high - low) u
///   log-uniform  low (high / low)^u
/// Throws: OptionError where SearchSpace::check() does, or when `trial` is negative.
inline TrialValues random_trial(const SearchSpace& space, std::uint64_t seed, Index trial) {
  const FloatModeGuard guard;
  space.check();
  if (trial < 0) throw OptionError("random_trial: expected a trial of 0 or more, not ", trial);
  RandomStream random(seed, internal::trial_stream + static_cast<std::uint64_t>(trial));
  TrialValues values;
  for (const auto& [name, dimension] : space.dimensions)
    values.emplace_back(
        name, std::visit([&](const auto& one) { return internal::random_value(one, random); },
                         dimension));
  return values;
}

/// The random trials 0 to n - 1, of which some may be the same: see random_trial().
/// Throws: OptionError where random_trial() does, or when n is not from 0 to a million.
inline std::vector<TrialValues> random_trials(const SearchSpace& space, std::uint64_t seed,
                                              Index n) {
  space.check();
  if (n < 0 || n > internal::most_trials)
    throw OptionError("random_trials: expected 0 to ", internal::most_trials, " trials, not ", n);
  std::vector<TrialValues> trials;
  for (Index trial = 0; trial < n; ++trial) trials.push_back(random_trial(space, seed, trial));
  return trials;
}

}  // namespace TSDL_ABI
}  // namespace tsdl
