// Labels: against pandas, naive oracles, hand-made paths, prefixes, and every option out of range.
#include "tsdl/data/labels.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "data/helpers.hpp"

using test::contains;
using test::message_of;
using tsdl::Index;

namespace {

/// The definition, word by word, over sorted copies.
std::vector<double> naive_range(const tsdl::Candles& candles, Index lookback) {
  std::vector<double> labels(candles.rows.size(), test::nan);
  const auto range = [&](Index row) {
    const tsdl::Candle& candle = candles[row];
    const double previous = candles[row - 1].close;
    return std::max({candle.high - candle.low, std::abs(candle.high - previous),
                     std::abs(candle.low - previous)});
  };
  for (Index row = lookback; row + 1 < candles.size(); ++row) {
    std::vector<double> trailing;
    for (Index t = row - lookback + 1; t <= row; ++t) trailing.push_back(range(t));
    std::sort(trailing.begin(), trailing.end());
    const double median =
        (trailing[test::at((lookback - 1) / 2)] + trailing[test::at(lookback / 2)]) / 2;
    labels[test::at(row)] = range(row + 1) > median ? 1 : 0;
  }
  return labels;
}

bool same(const std::vector<double>& a, const std::vector<double>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](double x, double y) { return std::isnan(x) ? std::isnan(y) : x == y; });
}

tsdl::Table table_of(std::vector<double> label) {
  tsdl::Table table;
  table.features = tsdl::Series<double>::sized({"a"}, static_cast<Index>(label.size()));
  table.features.values.assign(table.features.rows, 1.0);
  table.label = std::move(label);
  table.label_name = "Up";
  return table;
}

/// Candles of these closes, a day apart.
tsdl::Candles candles_of(const std::vector<double>& closes) {
  tsdl::Candles candles;
  for (const double close : closes)
    candles.rows.push_back({86400000 * candles.size(), close, close, close, close, 0});
  return candles;
}

/// The label of row 2. After closes of 1, 2, 1 its sigma of lookback 2 is ln 2, to the bit.
struct At2 {
  double value;
  Index end;
  bool operator==(const At2&) const = default;
};
At2 at_2(std::vector<double> start, const std::vector<double>& path, const tsdl::Label& label) {
  start.insert(start.end(), path.begin(), path.end());
  const tsdl::Labels labels = tsdl::make_labels(candles_of(start), label);
  return {labels.values[2], labels.ends[2]};
}

/// sigma as its definition reads, in long double.
long double naive_sigma(const tsdl::Candles& candles, Index row, Index lookback) {
  std::vector<long double> returns;
  for (Index t = row - lookback + 1; t <= row; ++t)
    returns.push_back(std::log(static_cast<long double>(candles[t].close)) -
                      std::log(static_cast<long double>(candles[t - 1].close)));
  long double mean = 0, square = 0;
  for (const long double r : returns) {
    mean += r / static_cast<long double>(lookback);
    square += r * r / static_cast<long double>(lookback);
  }
  return std::sqrt(square - mean * mean);
}

/// The first of the `horizon` rows after `row` for which touched(ln(close / close[row])) holds, or
/// one past the last of them.
template <class Touched>
Index first_touch(const tsdl::Candles& candles, Index row, Index horizon, const Touched& touched) {
  Index s = row + 1;
  while (s <= row + horizon && !touched(std::log(static_cast<long double>(candles[s].close)) -
                                        std::log(static_cast<long double>(candles[row].close))))
    ++s;
  return s;
}

}  // namespace

TEST_CASE("range and direction labels of the shipped candles agree with pandas") {
  const tsdl::Candles& candles = test::shipped_candles();
  const std::vector<std::vector<double>> labels = {
      tsdl::make_labels(candles, tsdl::RangeLabel{}).values,
      tsdl::make_labels(candles, tsdl::DirectionLabel{}).values,
      tsdl::make_labels(candles, tsdl::DirectionLabel{.horizon = 5}).values};
  const auto lines = test::golden_lines("features.csv");
  for (std::size_t line = 1; line < lines.size(); ++line) {
    const auto row = static_cast<std::size_t>(test::golden_number(lines[line][0]));
    CAPTURE(row);
    for (std::size_t i = 0; i < 3; ++i) {
      CAPTURE(lines[0][i + 6]);
      CHECK(test::close_to(labels[i][row], test::golden_number(lines[line][i + 6]), 0));
    }
  }
}

TEST_CASE("range labels are the naive definition, for odd and even lookbacks") {
  const tsdl::Candles candles = test::random_candles(120, 7);
  for (const Index lookback : {1, 2, 3, 20, 21, 118}) {
    CAPTURE(lookback);
    const std::vector<double> labels =
        tsdl::make_labels(candles, tsdl::RangeLabel{.lookback = lookback}).values;
    CHECK(same(labels, naive_range(candles, lookback)));
    CHECK(std::count_if(labels.begin(), labels.end(), [](double l) { return !std::isnan(l); }) ==
          119 - lookback);
  }
}

TEST_CASE("a label at row r reads rows up to r + horizon only, and reads that one") {
  const tsdl::Candles& candles = test::shipped_candles();
  const std::vector<tsdl::Label> kinds = {tsdl::RangeLabel{}, tsdl::RangeLabel{.lookback = 7},
                                          tsdl::DirectionLabel{},
                                          tsdl::DirectionLabel{.horizon = 13}};
  for (const tsdl::Label& kind : kinds) {
    const std::vector<double> whole = tsdl::make_labels(candles, kind).values;
    const Index ahead = tsdl::horizon(kind);
    for (const Index n : {22, 23, 50, 999, 5104}) {
      CAPTURE(n);
      std::vector<double> expected(whole.begin(), whole.begin() + n);
      std::fill(expected.end() - ahead, expected.end(), test::nan);
      CHECK(same(tsdl::make_labels(test::first_candles(candles, n), kind).values, expected));
    }
    tsdl::Candles crash = candles;  // the last row decides the last label
    tsdl::Candles rally = candles;
    crash.rows.back().low = crash.rows.back().close = 1;
    rally.rows.back() = candles[candles.size() - 1 - ahead];
    rally.rows.back().time = candles.rows.back().time;
    rally.rows.back().open = rally.rows.back().low = rally.rows.back().high =
        rally.rows.back().close = candles[candles.size() - 1 - ahead].close +
                                  (std::holds_alternative<tsdl::DirectionLabel>(kind) ? 1 : 0);
    const std::size_t last = candles.rows.size() - 1 - test::at(ahead);
    CHECK(tsdl::make_labels(crash, kind).values[last] !=
          tsdl::make_labels(rally, kind).values[last]);
  }
}

TEST_CASE("no change is not up, and the range's median is not above itself") {
  tsdl::Candles candles;
  for (int t = 0; t < 5; ++t) candles.rows.push_back({t, 10, 11, 9, 10, 0});
  CHECK(same(tsdl::make_labels(candles, tsdl::DirectionLabel{}).values, {0, 0, 0, 0, test::nan}));
  CHECK(same(tsdl::make_labels(candles, tsdl::RangeLabel{.lookback = 2}).values,
             {test::nan, test::nan, 0, 0, test::nan}));
}

TEST_CASE("column labels stand offset rows below") {
  const tsdl::Table table = table_of({0, 1, test::nan, 1});
  CHECK(same(tsdl::make_labels(table, {.column = "up"}).values, {0, 1, test::nan, 1}));
  CHECK(same(tsdl::make_labels(table, {.column = "UP ", .offset = 1}).values,
             {1, test::nan, 1, test::nan}));
  CHECK(same(tsdl::make_labels(table, {.offset = 3}).values, {1, test::nan, test::nan, test::nan}));
  CHECK(tsdl::make_labels(table, {.offset = 1}).ends == std::vector<Index>{1, 1, 3, 3});
  CHECK(tsdl::horizon(tsdl::ColumnLabel{.offset = 3}) == 3);
  CHECK(tsdl::horizon(tsdl::RangeLabel{}) == 1);
}

TEST_CASE("threshold labels: a dead band, its edges inside it") {
  const auto label = [](double close, double width = 1, Index horizon = 1) {
    std::vector<double> path(test::at(horizon - 1), 7.0);  // no matter what is between
    path.push_back(close);
    return at_2({1, 2, 1}, path,
                tsdl::ThresholdLabel{.horizon = horizon, .width = width, .lookback = 2});
  };
  CHECK(label(1) == At2{0, 3});
  CHECK(label(2) == At2{0, 3});  // r = ln 2 = band
  CHECK(label(std::nextafter(2, 3)) == At2{1, 3});
  CHECK(label(0.5) == At2{0, 3});
  CHECK(label(std::nextafter(0.5, 0)) == At2{-1, 3});
  CHECK(label(2, 0.999) == At2{1, 3});
  CHECK(label(0.5, 0.999) == At2{-1, 3});
  CHECK(label(4, 1, 4) == At2{0, 6});  // band = ln 2 sqrt(4)
  CHECK(label(std::nextafter(4, 5), 1, 4) == At2{1, 6});
  CHECK(label(0.25, 1, 4) == At2{0, 6});
  CHECK(label(std::nextafter(0.25, 0), 1, 4) == At2{-1, 6});

  // Returns ln 4, ln 4, 0: about their mean, ddof 0, sigma is 0.47 ln 4; with ddof 1 it would be
  // 0.58 ln 4, about zero 0.82 ln 4. The next return is 0.5 ln 4.
  CHECK(tsdl::make_labels(candles_of({1, 4, 16, 16, 32}),
                          tsdl::ThresholdLabel{.width = 1, .lookback = 3})
            .values[3] == 1);

  const tsdl::ThresholdLabel two{.lookback = 2};
  for (const auto& [close, value] : {std::pair{5.001, 1.0}, {5.0, 0.0}, {4.999, -1.0}})
    CHECK(at_2({5, 5, 5}, {close}, two) == At2{value, 3});  // sigma is 0
  const tsdl::Labels labels = tsdl::make_labels(candles_of({1, 2, 1, 2, 2}), two);
  CHECK(same(labels.values, {test::nan, test::nan, 1, 0, test::nan}));
  CHECK(labels.ends == std::vector<Index>{0, 1, 3, 4, 4});
}

TEST_CASE("triple-barrier labels: the first touch within the horizon decides") {
  const double below_2 = std::nextafter(2, 0), above_quarter = std::nextafter(0.25, 1);
  const tsdl::TripleBarrierLabel label{
      .horizon = 3, .take_profit = 1, .stop_loss = 2, .lookback = 2};  // barriers at 2 and 1/4
  const struct {
    std::vector<double> path;
    At2 expected;
  } cases[] = {{{2, 0.25, 1}, {1, 3}},
               {{0.25, 2, 1}, {-1, 3}},
               {{1, 0.25, 2}, {-1, 4}},
               {{0.5, 9, 0.1}, {1, 4}},
               {{1, 1, 2}, {1, 5}},
               {{1, 1, 0.25}, {-1, 5}},
               {{below_2, above_quarter, 1}, {0, 5}},
               {{above_quarter, below_2, 2}, {1, 5}},
               {{1, 1, 1, 2}, {0, 5}},
               {{1, 1, 1, 0.1}, {0, 5}}};
  for (const auto& one : cases) CHECK(at_2({1, 2, 1}, one.path, label) == one.expected);

  // Flat: sigma is 0, the first change decides, no change touches nothing.
  CHECK(at_2({5, 5, 5}, {5, 5.001, 4}, label) == At2{1, 4});
  CHECK(at_2({5, 5, 5}, {5, 5, 4.999}, label) == At2{-1, 5});
  CHECK(at_2({5, 5, 5}, {5, 5, 5}, label) == At2{0, 5});

  // Every row touches on the next one; the last three are undefined all the same.
  const tsdl::Labels labels = tsdl::make_labels(
      candles_of({1, 2, 1, 2, 1, 2, 1}),
      tsdl::TripleBarrierLabel{.horizon = 3, .take_profit = 1, .stop_loss = 1, .lookback = 2});
  CHECK(same(labels.values, {test::nan, test::nan, 1, -1, test::nan, test::nan, test::nan}));
  CHECK(labels.ends == std::vector<Index>{0, 1, 3, 4, 4, 5, 6});
}

TEST_CASE("threshold and triple-barrier labels of the shipped candles are the naive definitions") {
  const tsdl::Candles& candles = test::shipped_candles();
  struct Case {
    Index horizon, lookback;
    double a, b;
  };
  for (const Case& c : {Case{1, 20, 0.5, 2}, Case{10, 20, 2, 2}, Case{25, 7, 3, 1.5}}) {
    const Index horizon = c.horizon, lookback = c.lookback;
    const double a = c.a, b = c.b;
    const tsdl::ThresholdLabel threshold{horizon, a, lookback};
    const tsdl::TripleBarrierLabel triple{horizon, a, b, lookback};
    const tsdl::Labels bands = tsdl::make_labels(candles, threshold);
    const tsdl::Labels barriers = tsdl::make_labels(candles, triple);
    Index wrong = 0;
    Index seen[3] = {}, early = 0;
    for (Index row = 0; row < candles.size(); ++row) {
      double band = test::nan, barrier = test::nan;
      Index end = row, touch = row;
      if (row >= lookback && row + horizon < candles.size()) {
        const long double sigma = naive_sigma(candles, row, lookback);
        const long double width = a * sigma * std::sqrt(static_cast<long double>(horizon));
        end = row + horizon;
        const long double r = std::log(static_cast<long double>(candles[end].close)) -
                              std::log(static_cast<long double>(candles[row].close));
        band = r > width ? 1 : r < -width ? -1 : 0;
        const Index up = first_touch(candles, row, horizon, [&](auto x) { return x >= a * sigma; });
        const Index down =
            first_touch(candles, row, horizon, [&](auto x) { return x <= -b * sigma; });
        barrier = up < down ? 1 : down < up ? -1 : 0;
        touch = std::min({up, down, row + horizon});
        ++seen[static_cast<int>(barrier) + 1];
        early += touch < row + horizon;
      }
      const auto i = test::at(row);
      wrong += !same({bands.values[i], barriers.values[i]}, {band, barrier});
      wrong += bands.ends[i] != end || barriers.ends[i] != touch;
    }
    CAPTURE(horizon);
    CHECK(wrong == 0);
    for (const Index count : seen) CHECK(count > 100);
    CHECK((early > 100) == (horizon > 1));
  }
}

TEST_CASE("threshold and triple-barrier labels read no row after their end") {
  const tsdl::Candles& candles = test::shipped_candles();
  tsdl::RandomStream random(21);
  const std::vector<tsdl::Label> kinds = {tsdl::ThresholdLabel{.horizon = 5},
                                          tsdl::TripleBarrierLabel{}};
  for (const tsdl::Label& kind : kinds) {
    const tsdl::Labels whole = tsdl::make_labels(candles, kind);
    const Index horizon = tsdl::horizon(kind);
    Index reads_end = 0;
    for (int i = 0; i < 200; ++i) {
      const auto row = 20 + static_cast<Index>(random.uniform(0, 5085.0 - 20 - 10));
      CAPTURE(row);
      const auto r = test::at(row);
      const Index end = whole.ends[r];
      REQUIRE(end > row);
      REQUIRE(end <= row + horizon);
      // What follows the end, thrown away as far as the horizon allows, and made up anew.
      tsdl::Candles after = test::first_candles(candles, row + horizon + 1);
      for (Index t = end + 1; t < after.size(); ++t) {
        const double factor = random.uniform(0.5, 2);
        for (double* price : {&after.rows[test::at(t)].open, &after.rows[test::at(t)].high,
                              &after.rows[test::at(t)].low, &after.rows[test::at(t)].close})
          *price *= factor;
      }
      const tsdl::Labels labels = tsdl::make_labels(after, kind);
      CHECK(labels.values[r] == whole.values[r]);
      CHECK(labels.ends[r] == end);
      // The row of the end itself does count: with no move there it is another label or end.
      after = test::first_candles(candles, row + horizon + 1);
      auto& last = after.rows[test::at(end)];
      last.open = last.high = last.low = last.close = candles[row].close;
      const tsdl::Labels still = tsdl::make_labels(after, kind);
      reads_end += still.values[r] != whole.values[r] || still.ends[r] != end;
    }
    CHECK(reads_end > 100);
  }
  const auto sigma = tsdl::internal::trailing_deviation(candles, 20);
  for (const Index n : {21, 22, 999, 5104})
    CHECK(test::same_bits(
        tsdl::internal::trailing_deviation(test::first_candles(candles, n), 20).back(),
        sigma[test::at(n - 1)]));
}

TEST_CASE("labels refuse what cannot be") {
  const tsdl::Candles candles = test::random_candles(30, 8);
  const auto refused = [&](const tsdl::Label& label) {
    return message_of<tsdl::DataError>([&] { tsdl::make_labels(candles, label); });
  };
  constexpr Index huge = std::numeric_limits<Index>::max();
  CHECK(contains(refused(tsdl::DirectionLabel{.horizon = 30}), "horizon is beyond the end"));
  CHECK(contains(refused(tsdl::DirectionLabel{.horizon = huge}), "horizon is beyond the end"));
  CHECK_NOTHROW(tsdl::make_labels(candles, tsdl::DirectionLabel{.horizon = 29}));
  CHECK(contains(refused(tsdl::DirectionLabel{.horizon = 0}), "found 0"));
  CHECK(contains(refused(tsdl::RangeLabel{.lookback = 0}), "found 0"));
  CHECK(contains(refused(tsdl::RangeLabel{.lookback = 29}), "horizon is beyond the end"));
  CHECK(contains(refused(tsdl::RangeLabel{.lookback = huge}), "horizon is beyond the end"));
  CHECK_NOTHROW(tsdl::make_labels(candles, tsdl::RangeLabel{.lookback = 28}));
  CHECK(contains(refused(tsdl::ColumnLabel{.column = "up"}), "candles have no label column up"));

  const auto named = [&](const tsdl::Label& label, const char* who, const char* option) {
    const std::string message = refused(label);
    CAPTURE(message);
    CHECK(contains(message, who));
    CHECK(contains(message, option));
  };
  named(tsdl::ThresholdLabel{.horizon = 0}, "ThresholdLabel", "horizon of 1 or more, found 0");
  named(tsdl::ThresholdLabel{.lookback = 1}, "ThresholdLabel", "lookback of 2 or more, found 1");
  named(tsdl::ThresholdLabel{.horizon = 10}, "ThresholdLabel", "beyond the end");
  named(tsdl::ThresholdLabel{.horizon = huge}, "ThresholdLabel", "beyond the end");
  named(tsdl::ThresholdLabel{.lookback = huge}, "ThresholdLabel", "beyond the end");
  CHECK_NOTHROW(tsdl::make_labels(candles, tsdl::ThresholdLabel{.horizon = 9}));
  named(tsdl::TripleBarrierLabel{.horizon = 0}, "TripleBarrierLabel", "horizon of 1 or more");
  named(tsdl::TripleBarrierLabel{.lookback = 1}, "TripleBarrierLabel", "lookback of 2 or more");
  named(tsdl::TripleBarrierLabel{}, "TripleBarrierLabel", "beyond the end");
  CHECK_NOTHROW(tsdl::make_labels(candles, tsdl::TripleBarrierLabel{.horizon = 9}));
  for (const double bad : {0.0, -1.0, test::nan, std::numeric_limits<double>::infinity()}) {
    named(tsdl::ThresholdLabel{.width = bad}, "ThresholdLabel", "width to be finite and above 0");
    named(tsdl::TripleBarrierLabel{.take_profit = bad}, "TripleBarrierLabel", "take_profit to be");
    named(tsdl::TripleBarrierLabel{.stop_loss = bad}, "TripleBarrierLabel", "stop_loss to be");
  }

  const tsdl::Table table = table_of({0, 1, 1});
  const auto table_refused = [&](const tsdl::ColumnLabel& label) {
    return message_of<tsdl::DataError>([&] { tsdl::make_labels(table, label); });
  };
  CHECK(contains(table_refused({.column = "down"}), "down"));
  CHECK(contains(table_refused({.offset = -1}), "found -1"));
  CHECK(contains(table_refused({.offset = 3}), "horizon is beyond the end"));
  tsdl::Table bare = table;
  bare.label.clear();
  CHECK(contains(message_of<tsdl::DataError>([&] { tsdl::make_labels(bare, {.column = "up"}); }),
                 "without a label column"));
}

TEST_CASE("ColumnTargets are the columns of candles some rows ahead") {
  const tsdl::Candles candles = test::random_candles(30, 5);
  const tsdl::Labels labels =
      tsdl::make_labels(candles, tsdl::ColumnTargets{{"OPEN", "low", "volume", "close_return"}, 4});
  REQUIRE(labels.count == 4);
  REQUIRE(labels.values.size() == 4 * 30);
  REQUIRE(labels.ends.size() == 30);
  for (Index row = 0; row < 30; ++row) {
    const double* value = labels.values.data() + 4 * row;
    const double* last = labels.last.data() + 4 * row;
    CHECK(last[1] == candles[row].low);
    CHECK(std::isnan(last[3]) == (row < 4));
    CHECK(labels.ends[test::at(row)] == (row < 26 ? row + 4 : row));
    if (row >= 26) {
      for (Index k = 0; k < 4; ++k) CHECK(std::isnan(value[k]));
      continue;
    }
    CHECK(value[0] == candles[row + 4].open);
    CHECK(value[1] == candles[row + 4].low);
    CHECK(value[2] == candles[row + 4].volume);
    CHECK(value[3] == candles[row + 4].close / candles[row].close - 1);
  }
  CHECK(tsdl::horizon(tsdl::Label(tsdl::ColumnTargets{{"close"}, 4})) == 4);
  CHECK(tsdl::class_values(tsdl::ColumnTargets{{"close"}, 4}).empty());
  const auto refused = [&](const tsdl::ColumnTargets& label) {
    return message_of<tsdl::DataError>([&] { tsdl::make_labels(candles, label); });
  };
  CHECK(contains(refused({}), "expected one or more columns"));
  CHECK(contains(refused({{"close"}, -1}), "rows ahead of 0 or more, found -1"));
  CHECK(contains(refused({{"close", " Close"}, 1}), "named twice"));
  CHECK(contains(refused({{" "}, 1}), "empty name"));
  CHECK(contains(refused({{"rsi"}, 1}), "candles have no column rsi to forecast; they have open"));
  CHECK(contains(refused({{"close_return"}, 0}), "looks 1 or more candles ahead"));
  CHECK(contains(refused({{"close"}, 30}), "beyond the end"));
  tsdl::Candles bare = candles;
  bare.has_volume = false;
  CHECK(contains(message_of<tsdl::DataError>([&] {
                   tsdl::make_labels(bare, tsdl::ColumnTargets{{"volume"}, 1});
                 }),
                 "no volume"));
}

TEST_CASE("closes whose quotient is beyond a double are labelled by the sign of their change") {
  // Up and down by a factor of 1e320, then level.
  std::vector<double> closes;
  for (int i = 0; i < 12; ++i) closes.push_back(i % 2 == 0 ? 1e-160 : 1e160);
  closes.insert(closes.end(), 4, 1e160);
  const tsdl::Candles candles = candles_of(closes);
  const double change = 320 * std::log(10.0);
  CHECK(tsdl::internal::log_ratio(1e160, 1e-160) == doctest::Approx(change).epsilon(1e-14));
  CHECK(tsdl::internal::log_ratio(1e-160, 1e160) == doctest::Approx(-change).epsilon(1e-14));
  const auto threshold =
      tsdl::make_labels(candles, tsdl::ThresholdLabel{.horizon = 1, .width = 0.5, .lookback = 4});
  const auto barrier = tsdl::make_labels(
      candles,
      tsdl::TripleBarrierLabel{.horizon = 1, .take_profit = 0.5, .stop_loss = 0.5, .lookback = 4});
  for (Index row = 4; row + 1 < 12; ++row) {
    CAPTURE(row);
    CHECK(threshold.values[test::at(row)] == (row % 2 == 0 ? 1 : -1));
    CHECK(barrier.values[test::at(row)] == (row % 2 == 0 ? 1 : -1));
  }
  CHECK(threshold.values[12] == 0);
  // The median of two ranges of 1e308 is no infinity.
  tsdl::Candles wide = candles_of({1e-300, 1.6e308, 1e-300, 1.7e308, 1e-300, 1.65e308, 1e-300});
  const auto range = tsdl::make_labels(wide, tsdl::RangeLabel{.lookback = 2});
  CHECK(range.values[3] == 1);  // 1.7e308 is followed by 1.7e308, above the median of 1.6 and 1.7
  CHECK(range.values[4] == 0);
}
