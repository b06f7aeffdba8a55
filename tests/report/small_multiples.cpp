// The picture of many columns: well-formed for any input, and no extreme, gap or warm-up lost.
#include "tsdl/report/small_multiples.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "support/svg.hpp"
#include "tsdl/core/random.hpp"

namespace {

namespace report = tsdl::report;
using report::small_multiples;
using test::count;
using test::numbers_in;
using test::quoted_after;
using tsdl::Index;

constexpr double missing = std::numeric_limits<double>::quiet_NaN();
constexpr double inf = std::numeric_limits<double>::infinity();
constexpr std::int64_t day = 86400000;

using Columns = std::vector<std::vector<double>>;

tsdl::Series<double> series_of(std::vector<std::string> names, const Columns& columns) {
  const auto rows = columns.empty() ? 0 : static_cast<Index>(columns[0].size());
  auto series = tsdl::Series<double>::sized(std::move(names), rows);
  for (Index t = 0; t < rows; ++t)
    for (Index i = 0; i < series.features; ++i)
      series.column(t)[i] = columns[static_cast<std::size_t>(i)][static_cast<std::size_t>(t)];
  return series;
}

std::vector<std::int64_t> days(std::size_t rows, std::int64_t step = day) {
  std::vector<std::int64_t> times;
  for (std::size_t t = 0; t < rows; ++t)
    times.push_back(946857600000 + static_cast<std::int64_t>(t) * step);  // from 2000-01-03
  return times;
}

std::vector<double> noise(std::size_t rows, std::uint64_t seed) {
  tsdl::RandomStream random(seed);
  std::vector<double> values(rows);
  for (double& v : values) v = random.normal();
  return values;
}

/// The picture of one column, x, whose plot is 1330 pixels wide and 130 high.
std::string picture(const std::vector<double>& values) {
  return small_multiples(series_of({"x"}, {values}), days(values.size()), "", "");
}
constexpr double width = 1330, height = 130;

std::string only(std::string_view svg, std::string_view before) {
  const auto found = quoted_after(svg, before);
  CHECK(found.size() == 1);
  return found.empty() ? "" : found[0];
}

double x_of(std::size_t row, std::size_t rows) {
  return width * static_cast<double>(row) / static_cast<double>(rows - 1);
}

}  // namespace

TEST_CASE("pictures of any input are well-formed and hold finite coordinates only") {
  const std::vector<std::string> pictures = {
      small_multiples(series_of({}, {}), {}, "", ""),
      small_multiples(series_of({"a"}, {{}}), {}, "no row", ""),
      small_multiples(series_of({"a & <b>", "\xff\x01"}, {{1}, {missing}}), days(1), "<&>",
                      "\"\x02"),
      small_multiples(series_of({"a"}, {{1, 2, 3}}), std::vector<std::int64_t>{-1, 0, 1}, "", ""),
      small_multiples(series_of({"a"}, {{1, 2}}),
                      std::vector<std::int64_t>{INT64_MIN / 4, INT64_MAX / 4}, "", ""),
      picture({inf, -inf, missing}),
      picture({1e308, -1e308, 1e308}),
      picture({5e-324, 0, -5e-324}),
      picture({1e17, 1e17}),
      picture({0, 0, 0}),
      picture({missing, 1, missing, 2, missing}),
      picture(noise(3000, 1)),
  };
  for (const std::string& svg : pictures) {
    CHECK(test::xml_fault(svg) == "");
    for (const char* name : {" d=\"", " x=\"", " y=\"", " height=\"", "translate("})
      for (const std::string& value : quoted_after(svg, name)) {
        CAPTURE(value);
        if (value == "100%") continue;
        CHECK(value.find_first_not_of("MLHVhvZ -.0123456789)") == value.npos);
        for (const double number : numbers_in(value)) CHECK(std::fabs(number) < 6000);
      }
  }
}

TEST_CASE("86 columns and five of a candle: each has a panel, under its group, in under 3 MB") {
  std::vector<std::string> names;
  Columns columns;
  for (const auto& [prefix, size] : {std::pair("volume_", 10),
                                     {"volatility_", 21},
                                     {"trend_", 34},
                                     {"momentum_", 18},
                                     {"others_", 3}})
    for (int i = 0; i < size; ++i) names.push_back(prefix + std::string("c") + std::to_string(i));
  for (const char* name : {"open", "high", "low", "close", "volume"}) names.push_back(name);
  for (std::size_t i = 0; i < names.size(); ++i) columns.push_back(noise(5105, i));
  const auto series = series_of(names, columns);
  const std::string svg = small_multiples(series, days(5105), "all", "of them");
  CHECK(test::xml_fault(svg) == "");
  CHECK(svg.size() < 3'000'000);
  CHECK(svg == small_multiples(series, days(5105), "all", "of them"));
  std::size_t at = 0;
  for (const std::string& name : names) {  // in order, so under the right heading
    if (name == "volume_c0") at = svg.find(">Volume (10)<");
    if (name == "volatility_c0") at = svg.find(">Volatility (21)<", at);
    if (name == "trend_c0") at = svg.find(">Trend (34)<", at);
    if (name == "momentum_c0") at = svg.find(">Momentum (18)<", at);
    if (name == "others_c0") at = svg.find(">Others (3)<", at);
    if (name == "open") at = svg.find(">Candles (5)<", at);
    CAPTURE(name);
    REQUIRE(at != svg.npos);
    at = svg.find("<title>" + name + ": ", at);
    REQUIRE(at != svg.npos);
    const std::size_t word = name.find('_') + 1;
    CHECK(svg.find(">" + name.substr(word) + "</text>", at) < svg.find("</g>", at));
    CHECK(svg.find(">" + name.substr(0, word) + "</tspan>", at) ==
          (word > 0 ? svg.find("</tspan>", at) - word - 1 : svg.npos));
  }
  // Within the picture, and no two panels at the same place.
  auto places = quoted_after(svg, "transform=\"translate(");
  CHECK(places.size() == 91);
  const double bottom = std::stod(only(svg, "width=\"1440\" height=\""));
  for (const std::string& place : places) {
    CHECK(numbers_in(place)[0] < 1242);
    CHECK(numbers_in(place)[1] < bottom - 90);
  }
  std::sort(places.begin(), places.end());
  CHECK(std::adjacent_find(places.begin(), places.end()) == places.end());
}

TEST_CASE("every half pixel keeps its least and its largest value") {
  constexpr std::size_t rows = 40000;
  std::vector<double> values = noise(rows, 3);
  values[12345] = 5.5, values[33333] = -5.25;  // within four times the percentiles' span
  const std::vector<double> points = numbers_in(only(picture(values), "class=\"trace\" d=\""));
  const auto y_of = [](double v) { return height * (5.5 - v) / 10.75; };
  const std::size_t bins = static_cast<std::size_t>(2 * width) + 1;
  std::vector<double> top(bins, height), bottom(bins, 0);
  for (std::size_t row = 0; row < rows; ++row) {
    const auto bin = static_cast<std::size_t>(2 * x_of(row, rows));
    top[bin] = std::min(top[bin], y_of(values[row]));
    bottom[bin] = std::max(bottom[bin], y_of(values[row]));
  }
  REQUIRE(points.size() <= 4 * bins);
  // Two points a bin, in the order of the bins.
  REQUIRE(points.size() == 4 * (bins - 1) + 2);
  for (std::size_t bin = 0; bin + 1 < bins; ++bin) {
    const double a = points[4 * bin + 1], b = points[4 * bin + 3];
    CHECK(std::fabs(points[4 * bin] - static_cast<double>(bin) / 2) <= 0.56);
    CHECK(std::fabs(std::min(a, b) - top[bin]) <= 0.051);
    CHECK(std::fabs(std::max(a, b) - bottom[bin]) <= 0.051);
  }
  // The extremes stand at the edges of the plot, at their rows.
  const auto is_drawn = [&](std::size_t row, double y) {
    for (std::size_t i = 0; i < points.size(); i += 2)
      if (points[i + 1] == y && std::fabs(points[i] - x_of(row, rows)) <= 0.051) return true;
    return false;
  };
  CHECK(is_drawn(12345, 0));
  CHECK(is_drawn(33333, height));
}

TEST_CASE("values that would flatten the rest are cut at the percentiles, marked and named") {
  std::vector<double> values(1000);
  for (std::size_t t = 0; t < 1000; ++t) values[t] = static_cast<double>(t % 100) / 100;
  CHECK(quoted_after(picture(values), "class=\"beyond\"").empty());
  values[250] = 50, values[750] = -70;
  const std::string svg = picture(values);
  // Sorted, rank 9 of 0 to 999 and rank 990: 0.00 and 0.99.
  CHECK(count(svg, ">0.99</text>") == 1);
  CHECK(count(svg, ">0</text>") == 1);
  CHECK(count(svg, ">p99<") == 1);
  CHECK(count(svg, ">p1<") == 1);
  CHECK(count(svg, ">-70 to 50<") == 1);
  const std::string beyond = only(svg, "class=\"beyond\" d=\"");
  const std::vector<double> marks = numbers_in(beyond);
  REQUIRE(marks.size() == 6);
  CHECK(std::fabs(marks[0] - x_of(250, 1000)) <= 0.051);
  CHECK(std::fabs(marks[3] - x_of(750, 1000)) <= 0.051);
  CHECK(count(beyond, " -3v5") == 1);
  CHECK(count(beyond, " 133v-5") == 1);
}

TEST_CASE("warm-up is shaded to the first value and counted; a column without values says so") {
  std::vector<double> values = noise(101, 1);
  CHECK(quoted_after(picture(values), "class=\"warm\"").empty());
  std::fill_n(values.begin(), 50, missing);
  const std::string svg = picture(values);
  CHECK(only(svg, "class=\"warm\" d=\"") == "M0 0H665V130H0Z");
  CHECK(count(svg, ">warm-up 50<") == 1);
  CHECK(numbers_in(only(svg, "class=\"trace\" d=\""))[0] == 665);
  CHECK(count(svg, "<title>x: from row 50 (2000-02-22) on; least ") == 1);
  const std::string none = picture({missing, missing});
  CHECK(only(none, "class=\"warm\" d=\"") == "M0 0H1330V130H0Z");
  CHECK(count(none, ">no value<") == 1);
  CHECK(quoted_after(none, "class=\"trace\"").empty());
}

TEST_CASE("a missing value breaks the line, and a value alone is a dot") {
  const std::string line = only(picture({1, 2, missing, 4, inf, 3, 2}), "class=\"trace\" d=\"");
  CHECK(count(line, "M") == 3);
  CHECK(count(line, "h0") == 1);
  CHECK(count(line, "L") == 2);
  CHECK(numbers_in(line).size() == 2 * 5 + 1);
}

TEST_CASE("the zero line stands where zero is within the range alone") {
  CHECK(numbers_in(only(picture({-1, 3, 0.5}), "class=\"zero\" d=\""))[1] == 97.5);
  for (const double low : {0.0, 1.0})
    CHECK(quoted_after(picture({low, 3, 2}), "class=\"zero\"").empty());
  CHECK(quoted_after(picture({-3, -1, 0}), "class=\"zero\"").empty());
}

TEST_CASE("columns of 0 and 1 are bars where they are 1") {
  std::vector<double> values(10001, 0.0);
  values[0] = missing;
  for (const std::size_t row : {1000u, 1001u, 5000u}) values[row] = 1;
  const std::string svg = picture(values);
  const std::string bars = only(svg, "class=\"ticks\" d=\"");
  CHECK(count(bars, "M") == 2);  // two neighbours share half a pixel
  const auto numbers = numbers_in(bars);
  CHECK(std::fabs(numbers[0] - x_of(1000, 10001)) <= 0.1);
  CHECK(std::fabs(numbers[3] - x_of(5000, 10001)) <= 0.051);
  CHECK(count(svg, ">0.0% ones<") == 1);
  CHECK(quoted_after(svg, "class=\"trace\"").empty());
  for (const double other : {0.5, 2.0}) {
    values[77] = other;
    CHECK(quoted_after(picture(values), "class=\"ticks\"").empty());
  }
}

TEST_CASE("time is labelled in round years, months, days or hours") {
  const auto labels = [](std::size_t rows, std::int64_t step, std::size_t most) {
    std::string text;
    for (const auto& [time, label] : report::time_axis(days(rows, step), most).ticks)
      (text += text.empty() ? "" : " ") += label;
    return text;
  };
  CHECK(labels(7410, day, 5) == "2005 2010 2015 2020");
  CHECK(labels(7410, day, 12) == "2002 2004 2006 2008 2010 2012 2014 2016 2018 2020");
  CHECK(labels(400, day, 5) == "2000-04 2000-07 2000-10 2001-01");
  CHECK(labels(30, day, 5) == "01-06 01-13 01-20 01-27");
  CHECK(labels(25, 3600000, 5) == "00:00 06:00 12:00 18:00 00:00");
  CHECK(labels(1, day, 5) == "00:00");
  const auto axis = report::time_axis(days(7410), 5);
  CHECK(axis.ticks[0].first == 1104537600000.0);  // 2005-01-01
}
