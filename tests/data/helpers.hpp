// What tests of data share: the shipped candles, made-up ones, goldens, comparison by bits.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "support/files.hpp"
#include "tsdl/core/random.hpp"
#include "tsdl/data/candles.hpp"
#include "tsdl/data/csv.hpp"
#include "tsdl/data/series.hpp"

namespace test {

inline const double nan = std::numeric_limits<double>::quiet_NaN();

inline std::size_t at(tsdl::Index i) { return static_cast<std::size_t>(i); }

inline bool same_bits(double a, double b) {
  return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
}

inline const tsdl::Candles& shipped_candles() {
  static const tsdl::Candles candles =
      tsdl::read_candles(TSDL_SOURCE_DIR "/examples/data/sp500-daily.csv");
  return candles;
}

inline tsdl::Candles first_candles(const tsdl::Candles& candles, tsdl::Index n) {
  return {{candles.rows.begin(), candles.rows.begin() + n}, candles.has_volume};
}

/// Hourly candles of a random walk.
inline tsdl::Candles random_candles(tsdl::Index n, std::uint64_t seed) {
  tsdl::RandomStream random(seed);
  tsdl::Candles candles;
  candles.has_volume = true;
  double close = 100;
  for (tsdl::Index t = 0; t < n; ++t) {
    const double open = close * std::exp(0.003 * random.normal());
    close = open * std::exp(0.01 * random.normal());
    const double high = std::max(open, close) * (1 + 0.01 * random.uniform());
    const double low = std::min(open, close) * (1 - 0.01 * random.uniform());
    candles.rows.push_back(
        {t * std::int64_t{3600000}, open, high, low, close, 1000 * random.uniform()});
  }
  return candles;
}

/// Comma-separated text by lines.
inline std::vector<std::vector<std::string>> csv_lines(std::string_view text) {
  std::vector<std::vector<std::string>> lines;
  lines.emplace_back(1);
  for (const char c : text) {
    if (c == '\n')
      lines.emplace_back(1);
    else if (c == ',')
      lines.back().emplace_back();
    else if (c != '\r')
      lines.back().back() += c;
  }
  lines.pop_back();
  return lines;
}

inline std::vector<std::vector<std::string>> golden_lines(const std::string& file) {
  return csv_lines(read_bytes(TSDL_SOURCE_DIR "/tests/goldens/" + file));
}

/// The number in a cell; NaN where it is empty or no number.
inline double golden_number(const std::string& text) {
  double value = nan;
  tsdl::internal::read_double(text, value);
  return value;
}

/// |actual - expected| <= tolerance max(1, |expected|), or both NaN.
inline bool close_to(double actual, double expected, double tolerance) {
  if (std::isnan(expected)) return std::isnan(actual);
  return std::abs(actual - expected) <= tolerance * std::max(1.0, std::abs(expected));
}

}  // namespace test
