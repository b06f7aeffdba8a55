// Feature sets: against pandas, no look into the future, streams, flat and dry stretches,
// composition.
#include "tsdl/data/features.hpp"

#include <algorithm>
#include <cmath>
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
  tsdl::RandomStream random(7);
  std::vector<Index> lengths = {1, 2, 20, 21, 5104};
  for (int i = 0; i < 50; ++i) lengths.push_back(1 + static_cast<Index>(5103 * random.uniform()));
  for (const std::string& set : tsdl::feature_sets()) {
    CAPTURE(set);
    const tsdl::Series<double> whole = tsdl::engineer_features(candles, set);
    for (const Index n : lengths) {
      CAPTURE(n);
      const tsdl::Series<double> part =
          tsdl::engineer_features(test::first_candles(candles, n), set);
      CHECK(part.rows == n);
      CHECK(same_columns(whole, part, n));
    }
  }
}

TEST_CASE("a candle changes nothing before it, and does change its own row") {
  const tsdl::Candles& candles = test::shipped_candles();
  tsdl::RandomStream random(8);
  for (const std::string& set : tsdl::feature_sets()) {
    CAPTURE(set);
    const tsdl::Series<double> expected = tsdl::engineer_features(candles, set);
    for (int i = 0; i < 200; ++i) {
      const auto row = static_cast<Index>(5105 * random.uniform());
      CAPTURE(row);
      // As many candles around it as any window has, and the whole series each tenth time.
      const Index last = i % 10 == 0 ? candles.size() : std::min(row + 1, candles.size());
      tsdl::Candles changed = test::first_candles(candles, last);
      tsdl::Candle& candle = changed.rows[test::at(row)];
      const double factor = std::exp(0.1 * random.normal());
      for (double* price : {&candle.open, &candle.high, &candle.low, &candle.close})
        *price *= factor;
      candle.volume *= 0.5 + random.uniform();
      const tsdl::Series<double> actual = tsdl::engineer_features(changed, set);
      CHECK(same_columns(expected, actual, row));
      const auto size = sizeof(double) * test::at(expected.features);
      CHECK((row < 20 || std::memcmp(expected.column(row), actual.column(row), size) != 0));
    }
  }
}

TEST_CASE("a stream gives the batch's bits, from a copy in mid-stream too") {
  const tsdl::Candles& candles = test::shipped_candles();
  for (const std::string& name : tsdl::feature_sets()) {
    CAPTURE(name);
    const tsdl::Series<double> batch = tsdl::engineer_features(candles, name);
    tsdl::FeatureStream first(tsdl::feature_set(name));
    std::vector<double> row(test::at(first.features()));
    const auto matches = [&](Index t) {
      return std::memcmp(row.data(), batch.column(t), sizeof(double) * row.size()) == 0;
    };
    for (Index t = 0; t < 1000; ++t) {
      first.push(candles[t], row);
      REQUIRE(matches(t));
    }
    tsdl::FeatureStream copy = first;
    for (Index t = 1000; t < 1100; ++t)
      first.push(candles[5000 - t], row);  // no matter to the copy
    for (Index t = 1000; t < candles.size(); ++t) {
      copy.push(candles[t], row);
      REQUIRE(matches(t));
    }
    first = tsdl::FeatureStream(tsdl::feature_set(name));
    first.push(candles[0], row);
    CHECK(matches(0));
  }
}

TEST_CASE("no set has NaN or infinity once warm, whatever the market does") {
  tsdl::Candles markets[6];
  for (int t = 0; t < 1500; ++t) {
    const std::int64_t time = t * std::int64_t{60000};
    tsdl::Candle usual = test::random_candles(1500, 11)[t];
    const double wave = t % 2 == 0 ? 1.0 : 2.0;
    markets[0].rows.push_back({time, 7.3, 7.3, 7.3, 7.3, 500});  // flat bars
    markets[1].rows.push_back(usual);                            // no volume
    markets[1].rows.back().volume = 0;
    markets[2].rows.push_back({time, wave, wave, wave, wave, 3 - wave});  // doubles and halves
    markets[3].rows.push_back(usual);                                     // 1e-9, then 1e9
    const double scale = t < 700 ? 1e-11 : 1e7;
    for (double* price : {&markets[3].rows.back().open, &markets[3].rows.back().high,
                          &markets[3].rows.back().low, &markets[3].rows.back().close})
      *price *= scale;
    markets[4].rows.push_back(usual);  // ten identical candles in a row
    if (t % 100 >= 90) {
      markets[4].rows.back() = markets[4].rows[test::at(t - t % 100 + 89)];
      markets[4].rows.back().time = usual.time;
    }
    markets[5].rows.push_back({time, 1, 1, 1, 1, 0});  // dead, then one trade a hundred candles
    if (t % 100 == 99) markets[5].rows.back() = {time, 1, 1.5, 0.5, 1.2, 1};
  }
  for (tsdl::Candles& market : markets) {
    market.has_volume = true;
    for (const std::string& set : tsdl::feature_sets()) {
      CAPTURE(&market - markets);
      CAPTURE(set);
      const tsdl::Series<double> series = tsdl::engineer_features(market, set);
      const Index warm_up = set == "ohlcv" || set == "ohlc" ? 20 : set == "technical23" ? 37 : 77;
      for (Index row = warm_up; row < series.rows; ++row) REQUIRE(series.is_complete(row));
      CHECK_FALSE(series.is_complete(warm_up - 1));
      double largest = 0;
      for (Index i = series.column(warm_up) - series.values.data(); i < series.values.size(); ++i)
        largest = std::max(largest, std::abs(series.values[i]));
      // Where the price jumps by a factor of 1e18 the rates of change do too.
      if (set != "ta86" && &market != &markets[3]) CHECK(largest < 1e9);
    }
  }
}

TEST_CASE("sets are made of indicators in one expression, under names of one's own") {
  const auto set = tsdl::FeatureSet("mine")
                       .add(tsdl::RSI(21))
                       .add(tsdl::MACD(), {"line", "", "histogram"})
                       .add(to_close(tsdl::SMA(5)), {"sma_to_close"});
  CHECK(set.names() == std::vector<std::string>{"rsi", "line", "histogram", "sma_to_close"});
  CHECK(set.volume_names().empty());
  tsdl::Candles candles = test::random_candles(120, 12);
  const tsdl::Series<double> whole = tsdl::engineer_features(candles, "ta86");
  candles.has_volume = false;  // it needs none
  const tsdl::Series<double> series = tsdl::engineer_features(candles, set);
  double sum = 0;
  for (Index row = 115; row < 120; ++row) sum += candles[row].close;
  CHECK(series.column(119)[3] == doctest::Approx(sum / 5 / candles[119].close - 1));
  for (Index row = 0; row < 120; ++row) {  // trend_macd and trend_macd_diff
    CHECK(test::same_bits(series.column(row)[1], whole.column(row)[31]));
    CHECK(test::same_bits(series.column(row)[2], whole.column(row)[33]));
  }

  using tsdl::DataError;
  using tsdl::FeatureSet;
  CHECK(contains(
      message_of<DataError>([] { FeatureSet("mine").add(tsdl::RSI()).add(tsdl::ROC(), {"rsi"}); }),
      "mine: the name rsi is taken"));
  CHECK(contains(message_of<tsdl::ShapeError>([] { FeatureSet("x").add(tsdl::PPO(), {"a"}); }),
                 "ppo gives 3 numbers, found 1 names"));
  CHECK_THROWS_AS(FeatureSet("x").add(tsdl::MACD(), {"a", "b", "a"}), DataError);
  CHECK_THROWS_AS(tsdl::FeatureStream(FeatureSet("empty")), DataError);
  CHECK(contains(message_of<DataError>([&] {
                   tsdl::engineer_features(
                       candles, FeatureSet("x").add(tsdl::RSI()).add(tsdl::VWAP(), {"v"}));
                 }),
                 "x cannot make: v"));
}

TEST_CASE("hybrid is ta86_relative, then ohlcv; technical23 has 23") {
  std::vector<std::string> names = tsdl::feature_names("ta86_relative");
  CHECK(names.size() == 86);
  const auto ohlcv = tsdl::feature_names("ohlcv");
  names.insert(names.end(), ohlcv.begin(), ohlcv.end());
  CHECK(tsdl::feature_names("hybrid") == names);
  CHECK(tsdl::feature_names("technical23").size() == 23);
  // A relative column is the raw one in other units, or the raw one itself.
  const tsdl::Candles& candles = test::shipped_candles();
  const tsdl::Series<double> raw = tsdl::engineer_features(candles, "ta86");
  const tsdl::Series<double> relative = tsdl::engineer_features(candles, "ta86_relative");
  int same = 0;
  for (std::size_t i = 0; i < 86; ++i) {
    CAPTURE(relative.names[i]);
    if (relative.names[i] != "others_roc63" && raw.names[i].find("_em") == std::string::npos)
      CHECK(contains(relative.names[i], raw.names[i]));
    for (const Index row : {200, 3333, 5104}) {
      const double x = raw.column(row)[i];
      const double close = candles[row].close;
      const double atr = raw.column(row)[29];
      double expected = x;
      if (contains(relative.names[i], "_to_close")) expected = (x - close) / close;
      if (contains(relative.names[i], "_over_close")) expected = x / close;
      if (contains(relative.names[i], "_over_atr")) expected = x / atr;
      double volume = 0;
      for (Index t = row - 19; t <= row; ++t) volume += candles[t].volume / 20;
      if (contains(relative.names[i], "_change_over_volume"))
        expected = (x - raw.column(row - 1)[i]) / volume;
      if (contains(relative.names[i], "_over_turnover")) expected = x / atr / volume;
      if (contains(relative.names[i], "_log_change"))
        expected = 100 * std::log(x / raw.column(row - 1)[i]);
      if (relative.names[i] == "others_roc63")
        expected = 100 * (close / candles[row - 63].close - 1);
      if (contains(relative.names[i], "_em_relative")) {  // volumes here are far from empty
        expected = 0;
        const Index window = contains(relative.names[i], "sma") ? 14 : 1;
        for (Index t = row - window + 1; t <= row; ++t) {
          double mean = 0;
          for (Index k = t - 19; k <= t; ++k) mean += candles[k].volume / 20;
          const double unit = raw.column(t)[29];
          expected += raw.column(t)[4] / 1e8 * mean / (unit * unit) / static_cast<double>(window);
        }
      }
      CHECK(relative.column(row)[i] == doctest::Approx(expected).epsilon(1e-6));
    }
    same += raw.names[i] == relative.names[i] ? 1 : 0;
  }
  CHECK(same == 49);
}

TEST_CASE("ohlcv is NaN until its windows are full, then finite and in range") {
  const tsdl::Series<double> series = tsdl::engineer_features(test::shipped_candles(), "ohlcv");
  for (Index row = 0; row < series.rows; ++row)
    for (Index i = 0; i < 5; ++i) {
      const double value = series.column(row)[i];
      if (row < (i < 4 ? 20 : 19)) {
        CHECK(std::isnan(value));
      } else if (i < 4) {
        CHECK(std::abs(value) <= 20 * (1 + 1e-12));
      } else {
        CHECK(value >= 0);
        CHECK(value <= std::log1p(20.0) * (1 + 1e-12));
      }
    }
}

TEST_CASE("features without units are scale-free") {
  const tsdl::Candles candles = test::random_candles(600, 5);
  tsdl::Candles scaled = candles;
  for (tsdl::Candle& candle : scaled.rows) {  // by powers of two, so that not a bit changes
    for (double* price : {&candle.open, &candle.high, &candle.low, &candle.close}) *price *= 8;
    candle.volume *= 0.25;
  }
  for (const std::string& set : tsdl::feature_sets()) {
    CAPTURE(set);
    CHECK(same_columns(tsdl::engineer_features(candles, set), tsdl::engineer_features(scaled, set),
                       600) == (set != "ta86"));
  }
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
  CHECK(contains(message, "hybrid, ta86_relative, ta86, ohlcv, ohlc, technical23"));
  CHECK(contains(message_of<tsdl::DataError>([] { tsdl::feature_names("x"); }), "ohlcv"));
  tsdl::Candles candles = test::random_candles(30, 6);
  candles.rows[7].low = candles.rows[7].high * 2;
  CHECK(contains(message_of<tsdl::DataError>([&] { tsdl::engineer_features(candles, "ohlc"); }),
                 "row 7"));
}
