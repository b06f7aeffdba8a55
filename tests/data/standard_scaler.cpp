// StandardScaler: against sklearn, NaN, constants, and what it refuses.
#include "tsdl/data/standard_scaler.hpp"

#include <map>
#include <string>
#include <vector>

#include "data/helpers.hpp"

using test::contains;
using test::message_of;
using tsdl::Index;

namespace {

using Rows = std::vector<std::vector<double>>;

struct Golden {
  std::vector<std::string> names;
  std::map<std::string, Rows> parts;
};

Golden read_golden() {
  const auto lines = test::golden_lines("standard_scaler.csv");
  Golden golden;
  golden.names.assign(lines[0].begin() + 1, lines[0].end());
  for (std::size_t line = 1; line < lines.size(); ++line) {
    std::vector<double> row;
    for (std::size_t i = 1; i < lines[line].size(); ++i)
      row.push_back(test::golden_number(lines[line][i]));
    golden.parts[lines[line][0]].push_back(row);
  }
  return golden;
}

tsdl::Series<double> series_of(const std::vector<std::string>& names, const Rows& rows) {
  auto series = tsdl::Series<double>::sized(names, static_cast<Index>(rows.size()));
  for (std::size_t t = 0; t < rows.size(); ++t)
    std::copy(rows[t].begin(), rows[t].end(), series.column(static_cast<Index>(t)));
  return series;
}

const double infinity = std::numeric_limits<double>::infinity();

}  // namespace

TEST_CASE("StandardScaler agrees with sklearn") {
  Golden golden = read_golden();
  const tsdl::Series<double> input = series_of(golden.names, golden.parts["input"]);
  REQUIRE(input.rows == 48);
  tsdl::StandardScaler scaler;
  scaler.fit(input);
  const tsdl::Series<double> output = scaler.transform<double>(input);
  for (std::size_t i = 0; i < golden.names.size(); ++i) {
    CAPTURE(golden.names[i]);
    const double mean = golden.parts["mean"][0][i];
    const double variance = golden.parts["variance"][0][i];
    const double scale = golden.parts["scale"][0][i];
    CHECK(std::abs(scaler.mean()[i] - mean) <= 1e-12 * std::max(std::abs(mean), scale));
    CHECK(std::abs(scaler.variance()[i] - variance) <= 1e-12 * std::max(variance, 1e-20));
    CHECK(std::abs(scaler.scale()[i] - scale) <= 1e-12 * scale);
    CHECK(static_cast<double>(scaler.count()[i]) == golden.parts["count"][0][i]);
    double worst = 0;
    for (Index row = 0; row < input.rows; ++row) {
      const double expected = golden.parts["output"][test::at(row)][i];
      const double actual = output.column(row)[i];
      CHECK(std::isnan(actual) == std::isnan(expected));
      if (!std::isnan(expected))
        worst = std::max(worst, std::abs(actual - expected) / std::max(1.0, std::abs(expected)));
    }
    CHECK(worst <= 1e-12);
  }
}

TEST_CASE("constant features have scale 1, also with an offset that rounds") {
  tsdl::StandardScaler scaler;
  const double third = 1.0 / 3;
  scaler.fit(series_of({"zero", "third", "large"}, Rows(1000, {0, third, 1e15 + 0.125})));
  CHECK(scaler.scale() == std::vector<double>{1, 1, 1});
  CHECK(scaler.variance() == std::vector<double>{0, 0, 0});
  CHECK(scaler.mean() == std::vector<double>{0, third, 1e15 + 0.125});
}

TEST_CASE("a large offset costs no accuracy") {
  // 1e9 + {0, 1, 2, 3} over and over: mean 1e9 + 1.5 and variance 1.25, both exact.
  Rows rows;
  for (int t = 0; t < 4000; ++t) rows.push_back({1e9 + t % 4});
  tsdl::StandardScaler scaler;
  scaler.fit(series_of({"x"}, rows));
  CHECK(scaler.mean()[0] == 1e9 + 1.5);
  CHECK(scaler.variance()[0] == 1.25);
}

TEST_CASE("only the rows in the ranges are fitted on") {
  Rows rows;
  for (int t = 0; t < 20; ++t) rows.push_back({static_cast<double>(t), infinity});
  for (const int t : {3, 4, 10}) rows[static_cast<std::size_t>(t)][1] = t;
  tsdl::StandardScaler scaler;
  const std::vector<tsdl::RowRange> ranges = {{3, 5}, {10, 11}};
  scaler.fit(series_of({"a", "b"}, rows), ranges);
  CHECK(scaler.mean()[0] == doctest::Approx(17.0 / 3));
  CHECK(scaler.variance()[1] == doctest::Approx((9 + 16 + 100) / 3.0 - 289.0 / 9));
  CHECK(scaler.count() == std::vector<Index>{3, 3});
}

TEST_CASE("transform keeps NaN, rounds once, and is undone by mean and scale") {
  tsdl::StandardScaler scaler;
  const tsdl::Series<double> input = series_of({"a"}, {{1}, {test::nan}, {2}, {6}});
  scaler.fit(input);
  const tsdl::Series<float> single = scaler.transform<float>(input);
  const tsdl::Series<double> both = scaler.transform<double>(input);
  CHECK(std::isnan(single.column(1)[0]));
  for (const Index row : {0, 2, 3}) {
    CHECK(single.column(row)[0] == static_cast<float>(both.column(row)[0]));
    CHECK(both.column(row)[0] * scaler.scale()[0] + scaler.mean()[0] ==
          doctest::Approx(input.column(row)[0]));
  }
  CHECK(single.names == input.names);
}

TEST_CASE("a scaler made from stored values is the one that was fitted") {
  tsdl::StandardScaler fitted;
  const tsdl::Series<double> input = series_of({"a", "b"}, {{1, 5}, {2, 7}, {6, 5.5}});
  fitted.fit(input);
  const tsdl::StandardScaler stored(fitted.names(), fitted.mean(), fitted.variance(),
                                    fitted.scale(), fitted.count());
  const auto a = fitted.transform<double>(input);
  const auto b = stored.transform<double>(input);
  for (Index i = 0; i < a.values.size(); ++i) CHECK(test::same_bits(a.values[i], b.values[i]));
  const auto refused = [](auto... parts) {
    return message_of<tsdl::DataError>([&] { tsdl::StandardScaler scaler(parts...); });
  };
  using Doubles = std::vector<double>;
  using Names = std::vector<std::string>;
  using Counts = std::vector<Index>;
  CHECK(contains(refused(Names{"a"}, Doubles{}, Doubles{1}, Doubles{1}, Counts{1}), "0 means"));
  CHECK(contains(refused(Names{"a"}, Doubles{0}, Doubles{1}, Doubles{0}, Counts{1}), "feature a"));
  CHECK(contains(refused(Names{"a"}, Doubles{test::nan}, Doubles{1}, Doubles{1}, Counts{1}),
                 "feature a"));
  CHECK(contains(refused(Names{"a"}, Doubles{0}, Doubles{-1}, Doubles{1}, Counts{1}), "feature a"));
  CHECK(contains(refused(Names{"a"}, Doubles{0}, Doubles{1}, Doubles{1}, Counts{0}), "feature a"));
}

TEST_CASE("what a scaler refuses") {
  const tsdl::Series<double> input = series_of({"a", "b"}, {{1, 5}, {2, 7}, {6, 5.5}});
  tsdl::StandardScaler scaler;
  CHECK_FALSE(scaler.is_fitted());
  CHECK(contains(message_of<tsdl::DataError>([&] { scaler.transform<float>(input); }),
                 "was not fitted"));
  scaler.fit(input);
  CHECK(contains(
      message_of<tsdl::DataError>([&] { scaler.transform<float>(series_of({"a"}, {{1}})); }),
      "fitted on 2 features, given 1"));
  CHECK(contains(message_of<tsdl::DataError>([&] {
                   scaler.transform<float>(series_of({"a", "c"}, {{1, 2}}));
                 }),
                 "fitted on b, given c"));
  CHECK(contains(message_of<tsdl::DataError>([&] {
                   scaler.transform<float>(series_of({"a", "b"}, {{1, 2}, {1, infinity}}));
                 }),
                 "feature b, row 1: infinite"));
  CHECK(contains(message_of<tsdl::DataError>([&] {
                   scaler.transform<float>(series_of({"a", "b"}, {{1, 2}, {-1e300, 1}}));
                 }),
                 "feature a, row 1: too large"));
  CHECK_NOTHROW(scaler.transform<double>(series_of({"a", "b"}, {{-1e300, 1}})));

  const tsdl::StandardScaler before = scaler;
  CHECK(contains(message_of<tsdl::DataError>([&] {
                   scaler.fit(series_of({"x", "y"}, {{1, 2}, {-infinity, 1}}));
                 }),
                 "feature x, row 1: infinite"));
  CHECK(scaler.names() == before.names());
  CHECK(scaler.mean() == before.mean());
  CHECK(contains(message_of<tsdl::DataError>([&] {
                   scaler.fit(series_of({"x"}, {{test::nan}, {test::nan}}));
                 }),
                 "feature x has no value"));
  CHECK(contains(message_of<tsdl::DataError>([&] {
                   scaler.fit(series_of({"x"}, {{-1e200}, {1e200}}));
                 }),
                 "feature x: its variance overflows"));
  const std::vector<tsdl::RowRange> outside = {{1, 4}};
  CHECK(contains(message_of<tsdl::ShapeError>([&] { scaler.fit(input, outside); }), "1 to 4"));
}
