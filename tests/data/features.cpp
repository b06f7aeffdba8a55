// Feature sets: against pandas, no look into the future, range, flat and dry stretches.
#include "tsdl/data/features.hpp"

#include <cstring>
#include <string>
#include <vector>

#include "data/helpers.hpp"

using test::contains;
using test::message_of;
using tsdl::Index;

namespace {

bool same_columns(const tsdl::Series<double>& a, const tsdl::Series<double>& b, Index rows) {
  return std::memcmp(a.values.data(), b.values.data(),
                     sizeof(double) * test::at(rows * a.features)) == 0;
}

}  // namespace

TEST_CASE("ohlcv on the shipped candles agrees with pandas") {
  const tsdl::Series<double> series = tsdl::engineer_features(test::shipped_candles(), "ohlcv");
  CHECK(series.rows == 5105);
  CHECK(series.names == tsdl::feature_names("ohlcv"));
  const auto lines = test::golden_lines("features.csv");
  for (std::size_t i = 0; i < series.names.size(); ++i) CHECK(lines[0][i + 1] == series.names[i]);
  double worst = 0;
  int compared = 0;
  for (std::size_t line = 1; line < lines.size(); ++line) {
    const auto row = static_cast<Index>(test::golden_number(lines[line][0]));
    CAPTURE(row);
    for (std::size_t i = 0; i < 5; ++i) {
      const double expected = test::golden_number(lines[line][i + 1]);
      const double actual = series.column(row)[i];
      CHECK(std::isnan(expected) == std::isnan(actual));
      if (std::isnan(expected)) continue;
      worst = std::max(worst, std::abs(actual - expected) / std::max(1.0, std::abs(expected)));
      ++compared;
    }
  }
  CHECK(worst <= 1e-12);
  CHECK(compared > 600);
}

TEST_CASE("ohlc is ohlcv without volume, and needs none") {
  tsdl::Candles candles = test::first_candles(test::shipped_candles(), 100);
  const tsdl::Series<double> with = tsdl::engineer_features(candles, "ohlcv");
  candles.has_volume = false;
  const tsdl::Series<double> without = tsdl::engineer_features(candles, "ohlc");
  CHECK(without.names == std::vector<std::string>{"open", "high", "low", "close"});
  for (Index row = 0; row < 100; ++row)
    for (Index i = 0; i < 4; ++i)
      CHECK(test::same_bits(with.column(row)[i], without.column(row)[i]));
  const std::string message =
      message_of<tsdl::DataError>([&] { tsdl::engineer_features(candles, "ohlcv"); });
  CHECK(contains(message, "cannot make: volume"));
  CHECK(contains(message, "use ohlc"));
}

TEST_CASE("every set gives for a prefix the prefix of its values, bit for bit") {
  const tsdl::Candles& candles = test::shipped_candles();
  for (const std::string& set : tsdl::feature_sets()) {
    CAPTURE(set);
    const tsdl::Series<double> whole = tsdl::engineer_features(candles, set);
    for (const Index n : {1, 2, 19, 20, 21, 22, 23, 64, 65, 777, 2500, 5103, 5104}) {
      CAPTURE(n);
      const tsdl::Series<double> part =
          tsdl::engineer_features(test::first_candles(candles, n), set);
      CHECK(part.rows == n);
      CHECK(same_columns(whole, part, n));
    }
  }
}

TEST_CASE("later candles do not change earlier rows; the row's own candle does") {
  const tsdl::Candles before = test::random_candles(200, 3);
  const tsdl::Candles other = test::random_candles(200, 4);
  for (const std::string& set : tsdl::feature_sets()) {
    const tsdl::Series<double> expected = tsdl::engineer_features(before, set);
    for (const Index row : {0, 20, 21, 99, 198}) {
      tsdl::Candles changed = before;
      for (Index t = row + 1; t < changed.size(); ++t) changed.rows[test::at(t)] = other[t];
      const tsdl::Series<double> actual = tsdl::engineer_features(changed, set);
      CHECK(same_columns(expected, actual, row + 1));
      CHECK_FALSE(same_columns(expected, actual, 200));
    }
  }
}

TEST_CASE("rows before the twentieth true range are NaN, the others finite and in range") {
  const tsdl::Series<double> series = tsdl::engineer_features(test::shipped_candles(), "ohlcv");
  for (Index row = 0; row < series.rows; ++row)
    for (Index i = 0; i < 5; ++i) {
      const double value = series.column(row)[i];
      if (row < 20) {
        CHECK(std::isnan(value));
      } else if (i < 4) {
        CHECK(std::abs(value) <= 20 * (1 + 1e-12));
      } else {
        CHECK(value >= 0);
        CHECK(value <= std::log1p(20.0) * (1 + 1e-12));
      }
    }
}

TEST_CASE("features are scale-free") {
  const tsdl::Candles candles = test::random_candles(60, 5);
  tsdl::Candles scaled = candles;
  for (tsdl::Candle& candle : scaled.rows) {  // by powers of two, so that not a bit changes
    for (double* price : {&candle.open, &candle.high, &candle.low, &candle.close}) *price *= 8;
    candle.volume *= 0.25;
  }
  CHECK(same_columns(tsdl::engineer_features(candles, "ohlcv"),
                     tsdl::engineer_features(scaled, "ohlcv"), 60));
}

TEST_CASE("flat candles and no volume give 0, and one step after them the largest value") {
  tsdl::Candles candles;
  candles.has_volume = true;
  for (int t = 0; t < 41; ++t) candles.rows.push_back({t * 60000, 10, 10, 10, 10, 0});
  // Open and close may lie outside low and high by a rounding error, which is not magnified.
  candles.rows[30].open = 10 * (1 + 5e-10);
  candles.rows[40] = {40 * 60000, 10, 11, 10, 11, 3};
  const tsdl::Series<double> series = tsdl::engineer_features(candles, "ohlcv");
  for (Index row = 20; row < 40; ++row)
    for (Index i = 0; i < 5; ++i) CHECK(series.column(row)[i] == 0);
  CHECK(series.column(40)[0] == 0);
  CHECK(series.column(40)[1] == doctest::Approx(20));
  CHECK(series.column(40)[3] == doctest::Approx(20));
  CHECK(series.column(40)[4] == doctest::Approx(std::log1p(20.0)));
}

TEST_CASE("unknown sets and bad candles are refused") {
  const std::string message = message_of<tsdl::DataError>(
      [] { tsdl::engineer_features(test::shipped_candles(), "OHLCV"); });
  CHECK(contains(message, "\"OHLCV\""));
  CHECK(contains(message, "ohlcv, ohlc"));
  CHECK(contains(message_of<tsdl::DataError>([] { tsdl::feature_names("x"); }), "ohlcv"));
  tsdl::Candles candles = test::random_candles(30, 6);
  candles.rows[7].low = candles.rows[7].high * 2;
  CHECK(contains(message_of<tsdl::DataError>([&] { tsdl::engineer_features(candles, "ohlc"); }),
                 "row 7"));
}
