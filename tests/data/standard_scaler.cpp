// StandardScaler: against sklearn, at once and in chunks; NaN, constants, clipping, and what it
// refuses.
#include "tsdl/data/standard_scaler.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <span>
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

/// |actual - expected| <= tolerance max(|expected|, floor).
bool within(double actual, double expected, double tolerance, double floor) {
  return std::abs(actual - expected) <= tolerance * std::max(std::abs(expected), floor);
}

void check_same_fit(const tsdl::StandardScaler& a, const tsdl::StandardScaler& b) {
  CHECK(a.names() == b.names());
  CHECK(a.mean() == b.mean());
  CHECK(a.variance() == b.variance());
  CHECK(a.scale() == b.scale());
  CHECK(a.count() == b.count());
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
  CHECK(scaler.constant_columns() == std::vector<std::string>{"zero", "third", "large"});
}

TEST_CASE("partial_fit holds the exact moments after each chunk, and sklearn's") {
  Golden golden = read_golden();
  const tsdl::Series<double> input = series_of(golden.names, golden.parts["input"]);
  const std::size_t chunks = golden.parts["rows"].size();
  REQUIRE(chunks == 11);
  tsdl::StandardScaler scaler;
  tsdl::RowRange range;
  for (std::size_t chunk = 0; chunk < chunks; ++chunk) {
    range = {range.last, static_cast<Index>(golden.parts["rows"][chunk][0])};
    scaler.partial_fit(input, std::span(&range, 1));
    std::vector<std::string> constant;
    for (std::size_t i = 0; i < golden.names.size(); ++i) {
      CAPTURE(golden.names[i]);
      CAPTURE(range.last);
      const auto expected = [&](const char* kind) { return golden.parts[kind][chunk][i]; };
      const double scale = scaler.scale()[i];
      CHECK(within(scaler.mean()[i], expected("exact_mean"), 1e-12, scale));
      CHECK(within(scaler.variance()[i], expected("exact_variance"), 1e-12, 1e-20));
      CHECK(within(scaler.mean()[i], expected("partial_mean"), 1e-12, scale));
      // sklearn adds up values, not differences: it loses what the offset takes, 2e-8 here.
      const double tolerance = golden.names[i] == "offset_1e9" ? 1e-7 : 1e-12;
      CHECK(within(scaler.variance()[i], expected("partial_variance"), tolerance, 1e-20));
      CHECK(within(scale, expected("partial_scale"), tolerance, 0));
      if (expected("partial_scale") == 1) constant.push_back(golden.names[i]);
    }
    CHECK(scaler.constant_columns() == constant);
  }
  for (std::size_t i = 0; i < golden.names.size(); ++i)
    CHECK(static_cast<double>(scaler.count()[i]) == golden.parts["count"][0][i]);
}

TEST_CASE("any chunks, in any order, agree with one fit on all rows") {
  const std::vector<std::string> names = {"plain", "offset", "drift", "late", "constant", "step"};
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    tsdl::RandomStream random(seed);
    Rows rows;
    for (int t = 0; t < 3000; ++t) {
      rows.push_back({random.normal(), 1e9 + random.normal(), -1e9 + t + random.normal(),
                      random.normal(), 1e9 + 0.1, t < 10 ? 0.0 : 1.0});
      if (random.uniform() < 0.1) rows.back()[1] = test::nan;
      if (t < 1000) rows.back()[3] = test::nan;
    }
    const tsdl::Series<double> input = series_of(names, rows);
    std::vector<tsdl::RowRange> chunks;
    for (Index row = 0; row < input.rows;) {
      const double longest = std::pow(10.0, 3 * random.uniform());
      const Index last = std::min(input.rows, row + 1 + static_cast<Index>(longest));
      chunks.push_back({row, last});
      row = last;
    }
    if (seed % 2 == 0) std::reverse(chunks.begin(), chunks.end());
    tsdl::StandardScaler all;
    tsdl::StandardScaler merged;
    all.fit(input);
    for (std::size_t c = 0; c < chunks.size(); c += 2)
      merged.partial_fit(input,
                         std::span(chunks).subspan(c, std::min(chunks.size() - c, std::size_t{2})));
    CHECK(merged.count() == all.count());
    CHECK(merged.constant_columns() == std::vector<std::string>{"constant"});
    for (std::size_t i = 0; i < names.size(); ++i) {
      CAPTURE(names[i]);
      CHECK(within(merged.mean()[i], all.mean()[i], 1e-12, all.scale()[i]));
      CHECK(within(merged.variance()[i], all.variance()[i], 1e-12, 0));
      CHECK(within(merged.scale()[i], all.scale()[i], 1e-12, 0));
    }
  }
}

TEST_CASE("partial_fit: the first call is fit, and rows without a value change nothing") {
  const tsdl::Series<double> input = series_of({"a", "b"}, {{1, 5}, {test::nan, 0.1}, {6, 5.5}});
  tsdl::StandardScaler fitted;
  tsdl::StandardScaler partial;
  fitted.fit(input);
  partial.partial_fit(input);
  check_same_fit(partial, fitted);
  partial.partial_fit(series_of({"a", "b"}, {{test::nan, test::nan}}));
  partial.partial_fit(series_of({"a", "b"}, {}));
  check_same_fit(partial, fitted);
  fitted.fit(input);  // forgets
  check_same_fit(partial, fitted);
}

TEST_CASE("partial_fit: a feature may get its first value late") {
  tsdl::StandardScaler scaler;
  scaler.partial_fit(series_of({"a", "late"}, {{1, test::nan}, {2, test::nan}}));
  CHECK_FALSE(scaler.is_fitted());
  CHECK(scaler.count() == std::vector<Index>{2, 0});
  CHECK(scaler.constant_columns().empty());
  const tsdl::Series<double> more = series_of({"a", "late"}, {{6, 10}, {test::nan, 14}});
  CHECK(contains(message_of<tsdl::DataError>([&] { scaler.transform<float>(more); }),
                 "feature late has had no value"));
  scaler.partial_fit(more);
  CHECK(scaler.is_fitted());
  CHECK(scaler.mean() == std::vector<double>{3, 12});
  CHECK(test::close_to(scaler.variance()[0], 14.0 / 3, 1e-15));
  CHECK(scaler.variance()[1] == 4);
  CHECK_NOTHROW(scaler.transform<float>(more));
}

TEST_CASE("partial_fit: what it refuses, changing nothing") {
  tsdl::StandardScaler scaler;
  const auto refused = [&](const tsdl::Series<double>& series) {
    return message_of<tsdl::DataError>([&] { scaler.partial_fit(series); });
  };
  CHECK(contains(refused(series_of({"a", "b"}, {{1, 2}, {1, infinity}})), "b, row 1: infinite"));
  CHECK(scaler.names().empty());
  CHECK(contains(refused(series_of({}, {})), "without features"));
  scaler.partial_fit(series_of({"a", "b"}, {{1, 5}, {2, 7}}));
  const tsdl::StandardScaler before = scaler;
  CHECK(contains(refused(series_of({"a"}, {{1}})), "fitted on 2 features, given 1"));
  CHECK(contains(refused(series_of({"a", "c"}, {{1, 2}})), "fitted on b, given c"));
  CHECK(contains(refused(series_of({"a", "b"}, {{9, -infinity}})), "b, row 0: infinite"));
  CHECK(contains(refused(series_of({"a", "b"}, {{9, 1e200}})), "b: its variance overflows"));
  CHECK(contains(refused(series_of({"a", "b"}, {{9, 1e200}, {9, -1e200}})), "overflows"));
  const tsdl::RowRange outside{1, 2};
  CHECK(contains(message_of<tsdl::ShapeError>([&] {
                   scaler.partial_fit(series_of({"a", "b"}, {{1, 2}}), std::span(&outside, 1));
                 }),
                 "1 to 2"));
  check_same_fit(scaler, before);
}

TEST_CASE("constant columns are those that scikit-learn's rule names, on both sides of it") {
  // 0 and 2 d, half of the rows each, beside 1: mean 1 + d, variance d^2; the rule's bound is
  // 4 eps d^2 + (4 (1 + d) eps)^2 with 4 rows, so d = 4 eps is constant and d = 5 eps is not.
  const double epsilon = std::numeric_limits<double>::epsilon();
  Rows rows;
  for (const int side : {0, 2, 0, 2})
    rows.push_back({1 + side * 4 * epsilon, 1 + side * 5 * epsilon, 7});
  const tsdl::Series<double> input = series_of({"noise", "signal", "seven"}, rows);
  tsdl::StandardScaler scaler;
  scaler.fit(input);
  CHECK(scaler.constant_columns() == std::vector<std::string>{"noise", "seven"});
  CHECK(scaler.scale()[0] == 1);
  CHECK(scaler.scale()[1] == 5 * epsilon);
  scaler.partial_fit(series_of(input.names, {{1.5, 1.5, 7}}));
  CHECK(scaler.constant_columns() == std::vector<std::string>{"seven"});
}

TEST_CASE("clip holds what was scaled, and every refusal that is not of size stays") {
  // Mean 0, scale 2: raw values are twice their z.
  const tsdl::Series<double> fit_on = series_of({"a"}, {{-2}, {2}});
  const Rows rows = {{-1e308}, {-6.5}, {-6}, {-5.5}, {test::nan}, {0.25}, {6}, {6.5}, {1e308}};
  const tsdl::Series<double> input = series_of({"a"}, rows);
  tsdl::StandardScaler scaler({.clip = 3});
  scaler.partial_fit(fit_on);
  CHECK(scaler.options().clip == 3);
  scaler.fit(fit_on);
  CHECK(scaler.options().clip == 3);
  const tsdl::Series<float> output = scaler.transform<float>(input);
  const std::vector<float> expected = {-3, -3, -3, -2.75, 0, 0.125, 3, 3, 3};
  for (Index row = 0; row < input.rows; ++row) {
    CAPTURE(row);
    if (row == 4)
      CHECK(std::isnan(output.column(row)[0]));
    else
      CHECK(output.column(row)[0] == expected[test::at(row)]);
  }
  for (const double bad : {infinity, -infinity})
    CHECK(contains(message_of<tsdl::DataError>([&] {
                     scaler.transform<float>(series_of({"a"}, {{0}, {bad}}));
                   }),
                   "feature a, row 1: infinite"));

  tsdl::StandardScaler open({.clip = 0});
  open.fit(fit_on);
  CHECK(open.transform<double>(input).column(0)[0] == -5e307);
  CHECK(contains(message_of<tsdl::DataError>([&] { open.transform<float>(input); }),
                 "feature a, row 0: too large"));

  // The difference itself overflows.
  tsdl::StandardScaler wide({.clip = 3});
  wide.fit(series_of({"a"}, {{1e308}, {1e308}}));
  CHECK(wide.transform<double>(series_of({"a"}, {{-1e308}})).column(0)[0] == -3);

  for (const double bad : {-1.0, -1e-300, infinity, test::nan})
    CHECK(contains(message_of<tsdl::DataError>([&] { tsdl::StandardScaler({.clip = bad}); }),
                   "a clip of 0"));
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
