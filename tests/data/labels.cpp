// Labels: against pandas, a naive oracle, prefixes, and every option out of range.
#include "tsdl/data/labels.hpp"

#include <algorithm>
#include <string>
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

}  // namespace

TEST_CASE("range and direction labels of the shipped candles agree with pandas") {
  const tsdl::Candles& candles = test::shipped_candles();
  const std::vector<std::vector<double>> labels = {
      tsdl::make_labels(candles, tsdl::RangeLabel{}),
      tsdl::make_labels(candles, tsdl::DirectionLabel{}),
      tsdl::make_labels(candles, tsdl::DirectionLabel{.horizon = 5})};
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
        tsdl::make_labels(candles, tsdl::RangeLabel{.lookback = lookback});
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
    const std::vector<double> whole = tsdl::make_labels(candles, kind);
    const Index ahead = tsdl::horizon(kind);
    for (const Index n : {22, 23, 50, 999, 5104}) {
      CAPTURE(n);
      std::vector<double> expected(whole.begin(), whole.begin() + n);
      std::fill(expected.end() - ahead, expected.end(), test::nan);
      CHECK(same(tsdl::make_labels(test::first_candles(candles, n), kind), expected));
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
    CHECK(tsdl::make_labels(crash, kind)[last] != tsdl::make_labels(rally, kind)[last]);
  }
}

TEST_CASE("no change is not up, and the range's median is not above itself") {
  tsdl::Candles candles;
  for (int t = 0; t < 5; ++t) candles.rows.push_back({t, 10, 11, 9, 10, 0});
  CHECK(same(tsdl::make_labels(candles, tsdl::DirectionLabel{}), {0, 0, 0, 0, test::nan}));
  CHECK(same(tsdl::make_labels(candles, tsdl::RangeLabel{.lookback = 2}),
             {test::nan, test::nan, 0, 0, test::nan}));
}

TEST_CASE("column labels stand offset rows below") {
  const tsdl::Table table = table_of({0, 1, test::nan, 1});
  CHECK(same(tsdl::make_labels(table, {.column = "up"}), {0, 1, test::nan, 1}));
  CHECK(
      same(tsdl::make_labels(table, {.column = "UP ", .offset = 1}), {1, test::nan, 1, test::nan}));
  CHECK(same(tsdl::make_labels(table, {.offset = 3}), {1, test::nan, test::nan, test::nan}));
  CHECK(tsdl::horizon(tsdl::ColumnLabel{.offset = 3}) == 3);
  CHECK(tsdl::horizon(tsdl::RangeLabel{}) == 1);
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
