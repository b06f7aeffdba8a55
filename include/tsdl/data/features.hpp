// Features from candles, as named sets. Every row is made from that row and rows above it only.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/candles.hpp"
#include "tsdl/data/csv.hpp"
#include "tsdl/data/series.hpp"

namespace tsdl::inline TSDL_ABI {

namespace internal {

/// How many candles the trailing means of `ohlcv` and `ohlc` cover, the row's own included.
inline constexpr Index trailing_candles = 20;

/// ln(max(high, previous close) / min(low, previous close)), never negative.
inline double log_true_range(const Candle& candle, double previous_close) noexcept {
  return std::log(std::max(candle.high, previous_close) / std::min(candle.low, previous_close));
}

/// The mean of the trailing values that end at `row`. It adds them afresh, in order, for each row:
/// a running sum would make a row depend on how the rows far above it were rounded.
inline double trailing_mean(const std::vector<double>& values, Index row) noexcept {
  double sum = 0;
  for (Index t = row - trailing_candles + 1; t <= row; ++t)
    sum += values[static_cast<std::size_t>(t)];
  return sum / static_cast<double>(trailing_candles);
}

/// numerator / denominator, and 0 where the denominator is 0.
inline double ratio_or_zero(double numerator, double denominator) noexcept {
  return denominator > 0 ? numerator / denominator : 0;
}

inline Series<double> make_ohlc(const Candles& candles, std::vector<std::string> names) {
  const Index rows = candles.size();
  Series<double> series = Series<double>::sized(std::move(names), rows);
  const bool volume = series.features == 5;
  std::vector<double> ranges(candles.rows.size(), undefined);
  std::vector<double> volumes(candles.rows.size(), 0.0);
  for (Index row = 0; row < rows; ++row) {
    const auto r = static_cast<std::size_t>(row);
    volumes[r] = candles[row].volume;
    if (row > 0) ranges[r] = log_true_range(candles[row], candles[row - 1].close);
    double* out = series.column(row);
    if (row < trailing_candles) {
      std::fill_n(out, series.features, undefined);
      continue;
    }
    const Candle& candle = candles[row];
    const double previous = candles[row - 1].close;
    const double range = trailing_mean(ranges, row);
    // Open and close may lie outside low and high by a rounding error (see validate).
    const double prices[] = {std::clamp(candle.open, candle.low, candle.high), candle.high,
                             candle.low, std::clamp(candle.close, candle.low, candle.high)};
    for (const double price : prices) *out++ = ratio_or_zero(std::log(price / previous), range);
    if (volume) *out = std::log1p(ratio_or_zero(candle.volume, trailing_mean(volumes, row)));
  }
  return series;
}

/// A set of features: its name, the names of its features, what it needs and what makes it.
struct FeatureSet {
  std::string_view name;
  std::vector<std::string> columns;
  std::vector<std::string> volume_columns;  ///< those that need volume
  std::string_view without_volume;          ///< the set to use where there is no volume
  Series<double> (*make)(const Candles&, std::vector<std::string> columns);
};

/// Every set there is. A set is added by adding its row here.
inline const std::vector<FeatureSet>& feature_table() {
  static const std::vector<FeatureSet> table = {
      {"ohlcv", {"open", "high", "low", "close", "volume"}, {"volume"}, "ohlc", make_ohlc},
      {"ohlc", {"open", "high", "low", "close"}, {}, "ohlc", make_ohlc},
  };
  return table;
}

inline const FeatureSet& find_feature_set(std::string_view set) {
  std::vector<std::string_view> known;
  for (const FeatureSet& candidate : feature_table()) {
    if (candidate.name == set) return candidate;
    known.push_back(candidate.name);
  }
  throw DataError("features: no set is called ", excerpt(set), "; there are: ", joined(known));
}

}  // namespace internal

/// The names of the feature sets.
inline std::vector<std::string> feature_sets() {
  std::vector<std::string> names;
  for (const internal::FeatureSet& set : internal::feature_table()) names.emplace_back(set.name);
  return names;
}

/// The names of a set's features, in their order. Throws: DataError when there is no such set.
inline std::vector<std::string> feature_names(std::string_view set) {
  return internal::find_feature_set(set).columns;
}

/// The features of every candle. A row that is not warm yet is NaN in every feature; the first n
/// rows are, bit for bit, those that the first n candles alone give.
///
/// `ohlcv` and `ohlc` are scale-free: they do not change when all prices, or all volumes, are
/// multiplied by a constant. They are warm from row 20 on.
/// Equations: open, high, low and close are
///   ln(price / previous close) / mean of the last 20 of ln(max(high, previous close) /
///                                                           min(low, previous close)),
/// volume is log1p(volume / mean of the last 20 volumes); both means include the row's own candle,
/// and a mean of zero gives 0.
/// Units/range: prices in [-20, 20], volume in [0, log1p(20)].
/// Throws: DataError when there is no such set, when it needs volume and the candles have none, or
/// when the candles are not valid (see validate).
inline Series<double> engineer_features(const Candles& candles, std::string_view set) {
  const internal::FeatureSet& found = internal::find_feature_set(set);
  validate(candles, "engineer_features");
  if (!candles.has_volume && !found.volume_columns.empty())
    throw DataError("features: the candles have no volume, so ", set,
                    " cannot make: ", internal::joined(found.volume_columns), "; use ",
                    found.without_volume);
  return found.make(candles, found.columns);
}

}  // namespace tsdl::inline TSDL_ABI
