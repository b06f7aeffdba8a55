// Synthetic candles: calm and wild stretches, heavy tails, volume that follows the range.
//
// For runs of any size without data. The direction of prices is random, so no model can learn it;
// the size of moves persists, and can be learnt.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/random.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/candles.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The options of synthetic_candles.
struct SyntheticOptions {
  /// The standard deviation of a candle's log return in each state of the market.
  std::vector<double> volatilities = {0.005, 0.010, 0.022};
  double persistence = 0.98;          ///< the probability that a candle keeps the state before it
  double degrees_of_freedom = 4;      ///< of Student's t; above 2, so that the variance is finite
  double price = 100;                 ///< the first open
  double volume = 1e6;                ///< the volume of a candle of typical range
  std::int64_t start = 946857600000;  ///< milliseconds: Monday, 3 January 2000
  /// Milliseconds between candles; 0: one candle a day from Monday to Friday.
  std::int64_t interval = 0;
};

namespace internal {

/// Throws: DataError when an option is out of range.
inline void check(const SyntheticOptions& o) {
  const auto require = [](bool ok, const char* what, double found) {
    if (!ok || !is_finite(found))
      throw DataError("synthetic_candles: expected ", what, ", found ", found);
  };
  require(!o.volatilities.empty(), "one state or more", 0);
  for (const double v : o.volatilities) require(v > 0 && v <= 0.2, "volatilities in (0, 0.2]", v);
  require(o.persistence >= 0 && o.persistence <= 1, "a persistence in [0, 1]", o.persistence);
  require(o.degrees_of_freedom > 2, "finite degrees_of_freedom above 2", o.degrees_of_freedom);
  require(o.price >= 1e-6 && o.price <= 1e12, "a price in [1e-6, 1e12]", o.price);
  require(o.volume >= 0 && o.volume <= 1e15, "a volume in [0, 1e15]", o.volume);
  require(o.interval >= 0, "an interval of 0 or more", static_cast<double>(o.interval));
}

/// Student's t, scaled to variance 1.
/// Source: Bailey, "Polar generation of random variates with the t-distribution" (1994); the limit
/// of many degrees of freedom is Box and Muller's transform.
inline double unit_student_t(RandomStream& random, double nu) {
  const double u = 1.0 - random.uniform();  // in (0, 1]
  const double radius = std::sqrt(nu * (std::pow(u, -2.0 / nu) - 1.0));
  const double t = radius * std::cos(2.0 * std::numbers::pi * random.uniform());
  return t * std::sqrt((nu - 2.0) / nu);
}

/// The next day after `time` that is not a Saturday or Sunday.
inline std::int64_t next_business_day(std::int64_t time) {
  constexpr std::int64_t day = 86400000;
  const auto is_weekend = [](std::int64_t t) {
    const std::int64_t days = (t - (t % day + day) % day) / day;
    const std::int64_t weekday = ((days + 3) % 7 + 7) % 7;  // 0: Monday; day 0 was a Thursday
    return weekday >= 5;
  };
  do time += day;
  while (is_weekend(time));
  return time;
}

}  // namespace internal

/// Makes `count` candles. The first n are the same in every longer series of the same options and
/// seed. Random numbers are the same on every platform; prices and volumes are where the standard
/// library's exp, log, cos and pow agree.
///
/// Equations: s[t] a Markov chain over the states, which stays with probability `persistence` and
/// else moves to one of the others, all equally likely; sigma = volatilities[s[t]];
///   ln open  = ln close[t-1] + 0.3 sigma e1
///   ln close = ln open - 1e-4 ln(open / price) + 0.95 sigma e2
///   high = max(open, close) exp(0.5 sigma |n1|),  low = min(open, close) exp(-0.5 sigma |n2|)
///   volume = volume0 (0.25 + 0.75 ln(high/low) / r0) exp(0.2 n3), to a whole number
/// with e Student's t of variance 1 limited to [-12, 12], n normal, and r0 the mean of the
/// volatilities times 1.6, about the mean of ln(high/low).
/// Throws: DataError when count is negative, an option is out of range, or so many candles with
/// this drift leave [1e-9, 1e15].
inline Candles synthetic_candles(Index count, const SyntheticOptions& options = {},
                                 std::uint64_t seed = 0) {
  const FloatModeGuard guard;
  if (count < 0) throw DataError("synthetic_candles: expected a count of 0 or more, found ", count);
  internal::check(options);
  constexpr std::uint64_t stream = 1u << 29;  // apart from those of weights and of shuffling
  RandomStream random(seed, stream);
  const std::size_t states = options.volatilities.size();
  double mean_volatility = 0;
  for (const double v : options.volatilities) mean_volatility += v / static_cast<double>(states);
  const double typical_range = 1.6 * mean_volatility;
  const double log_start = std::log(options.price);
  constexpr double pull = 1e-4;  // keeps the price of a million candles where numbers are exact
  const auto shock = [&] {
    return std::clamp(internal::unit_student_t(random, options.degrees_of_freedom), -12.0, 12.0);
  };

  Candles candles;
  candles.has_volume = true;
  candles.rows.reserve(static_cast<std::size_t>(count));
  std::size_t state = random.below(states);
  double log_close = log_start;
  std::int64_t time = options.start;
  for (Index row = 0; row < count; ++row) {
    if (random.uniform() >= options.persistence && states > 1)
      state = (state + 1 + random.below(states - 1)) % states;
    const double sigma = options.volatilities[state];
    const double log_open = row == 0 ? log_close : log_close + 0.3 * sigma * shock();
    log_close = log_open - pull * (log_open - log_start) + 0.95 * sigma * shock();
    const double log_high = std::max(log_open, log_close) + 0.5 * sigma * std::abs(random.normal());
    const double log_low = std::min(log_open, log_close) - 0.5 * sigma * std::abs(random.normal());
    const double activity = 0.25 + 0.75 * (log_high - log_low) / typical_range;
    Candle candle;
    candle.time = time;
    candle.open = std::exp(log_open);
    candle.close = std::exp(log_close);
    // exp need not be monotone in its last bit, but low <= open, close <= high must hold.
    candle.high = std::max({std::exp(log_high), candle.open, candle.close});
    candle.low = std::min({std::exp(log_low), candle.open, candle.close});
    candle.volume = std::round(options.volume * activity * std::exp(0.2 * random.normal()));
    candles.rows.push_back(candle);
    time = options.interval > 0 ? time + options.interval : internal::next_business_day(time);
  }
  return candles;
}

}  // namespace TSDL_ABI
}  // namespace tsdl
