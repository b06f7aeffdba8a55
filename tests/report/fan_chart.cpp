// Fan charts and the page of a forecast: well-formed for any input, every value where it belongs,
// and no figure that is not there.
#include "tsdl/report/fan_chart.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "support/files.hpp"
#include "support/svg.hpp"
#include "tsdl/core/random.hpp"
#include "tsdl/report/forecast_sections.hpp"

namespace {

namespace report = tsdl::report;
using report::FanSeries;
using test::count;
using test::numbers_in;
using test::quoted_after;
using tsdl::Index;
using Values = std::vector<double>;

constexpr double missing = std::numeric_limits<double>::quiet_NaN();
constexpr double inf = std::numeric_limits<double>::infinity();
constexpr std::int64_t hour = 3600000;

Values noise(std::size_t size, std::uint64_t seed, double scale = 1) {
  tsdl::RandomStream random(seed);
  Values values(size);
  for (double& v : values) v = scale * random.normal();
  return values;
}

/// 40 rows of history, 8 steps, two bands, 5 truths, at hours.
FanSeries series(bool with_times = true) {
  FanSeries one{"load", "MW", noise(40, 1), noise(8, 2), {}, noise(5, 3), {}};
  for (const double half : {1.0, 2.0}) {
    report::FanBand band{half < 2 ? 0.5 : 0.9, one.forecast, one.forecast};
    for (double& v : band.low) v -= half;
    for (double& v : band.high) v += half;
    one.bands.push_back(band);
  }
  for (int i = 0; with_times && i < 48; ++i) one.times.push_back(1530000000000 + i * hour);
  return one;
}

std::string figure(const std::vector<FanSeries>& all) { return report::fan_figure(all).svg; }

/// The picture of one series, as it is shown on a wide screen.
std::string wide(const FanSeries& one) {
  const std::string all = figure({one});
  return all.substr(0, all.find("class=\"tsdl-chart narrow\""));
}

/// Figures of `H` steps, each off by `error`, with or without intervals.
report::ForecastColumn column(std::string name, Index H, double error, bool intervals = false) {
  tsdl::ForecastFigures figures(H, 1, intervals ? Values{0.5, 0.9} : Values{});
  const auto size = static_cast<std::size_t>(H);
  for (int i = 0; i < 10; ++i) {
    const Values truth(size, 10.0), said(size, 10 + error * (1 + i % 3));
    std::vector<tsdl::Interval> all;
    for (std::size_t j = 0; intervals && j < 2 * size; ++j)
      all.push_back({said[0] - 2 * error, said[0] + error});
    figures.add(truth, said, all, Values{2});
  }
  return report::ForecastColumn::of(std::move(name), figures);
}

tsdl::ForecastReport page(Index H) {
  tsdl::ForecastReport forecast;
  forecast.title = "Forecast of <load> & more";
  forecast.contents.model = column("Seg<RNN", H, 1, true);
  forecast.contents.baselines = {column("repeat last", H, 4), column("seasonal & naive", H, 2)};
  forecast.contents.fans = {series()};
  forecast.contents.intervals = "split-conformal";
  forecast.summary = {{"data", "a&b.csv"}};
  forecast.settings = {{"Model", {{"hidden_size", "512"}}}};
  return forecast;
}

/// The page without its head, whose style and doctype are no XML.
std::string body(const tsdl::ForecastReport& forecast) {
  const std::string html = tsdl::html_forecast(forecast);
  const std::size_t from = html.find("<body>");
  return html.substr(from, html.find("</html>") - from);
}

/// Whether a number was printed that is none; "seasonal & naive" holds these letters too.
bool says_nan(std::string text) {
  for (std::size_t at; (at = text.find("seasonal &amp; naive")) != text.npos;) text.erase(at, 20);
  for (const char* none : {"nan", "NaN", "inf"})
    if (text.find(none) != text.npos) return true;
  return false;
}

}  // namespace

TEST_CASE("charts of any input are well-formed and hold finite coordinates only") {
  FanSeries gaps = series(), wild = series(), steps = series(false), only = series(false);
  for (std::size_t i = 0; i < 40; i += 7) gaps.history[i] = missing;
  gaps.history[39] = inf, gaps.forecast[3] = missing, gaps.truth[2] = -inf;
  gaps.bands[0].low[0] = gaps.bands[0].low[1] = missing, gaps.bands[1].high[7] = inf;
  wild.history[3] = 1e308, wild.forecast[1] = -1e308, wild.bands[1].high[2] = 1e308;
  wild.name = "a & <b> \"\xff\x01", wild.unit = "</text>";
  only.history.clear();
  const std::vector<std::vector<FanSeries>> all = {
      {},
      {series()},
      {steps, series()},
      {gaps},
      {wild, gaps, steps},
      {only},
      {{"one step", "", {1, 2, 3}, {4}, {{0.9, {3}, {5}}}, {4.5}, {}}},
      {{"one step alone", "", {}, {4}, {{0.9, {3}, {5}}}, {}, {}}},
      {{"at a time", "", {}, {4}, {{0.9, {3}, {5}}}, {}, {hour}}},
      {{"no forecast", "", {1, 2}, {}, {}, {}, {}}},
      {{"nothing", "", {}, {}, {}, {}, {}}},
      {{"no number", "", {missing, missing}, {missing}, {{0.5, {missing}, {inf}}}, {missing}, {}}},
      {{"level", "", {5, 5, 5}, {5, 5}, {{0.5, {5, 5}, {5, 5}}}, {5, 5}, {}}},
      {{"zero", "", {0, 0}, {0, 0}, {}, {}, {0, 1, 2, 3}}},
      {{"far apart", "", {1, 2}, {3}, {}, {}, {INT64_MIN / 4, 0, INT64_MAX / 4}}},
  };
  for (const auto& some : all)
    for (const std::string& svg :
         {"<div>" + figure(some) + "</div>", report::fan_chart(some, "<&>", "\"\x02")}) {
      CAPTURE(svg);
      CHECK(test::xml_fault(svg) == "");
      CHECK_FALSE(
          says_nan(svg.substr(0, svg.find("<style>")) +
                   svg.substr(svg.rfind("</style>") == svg.npos ? 0 : svg.rfind("</style>"))));
      for (const char* name : {" d=\"", " x=\"", " y=\"", " cx=\"", " cy=\"", "translate("})
        for (const std::string& value : quoted_after(svg, name)) {
          CHECK(value.find_first_not_of("MLHVhvZ -.0123456789)") == value.npos);
          for (const double number : numbers_in(value)) CHECK(std::fabs(number) < 2000);
        }
    }
}

TEST_CASE("a chart shows history, forecast, nested bands, truth and the last known row") {
  const std::string svg = wide(series());
  CHECK(count(svg, "class=\"line known\"") == 1);
  CHECK(count(svg, "class=\"line said\"") == 1);
  CHECK(count(svg, "class=\"fan\"") == 2);
  CHECK(count(svg, "class=\"best\"") == 1);
  CHECK(count(svg, ">load (MW)<") == 1);
  // The 40th of 48 hours from 2018-06-26 08:00.
  CHECK(count(svg, ">from 2018-06-27 23:00<") == 1);
  const auto known = numbers_in(quoted_after(svg, "class=\"line known\" d=\"")[0]);
  const auto said = numbers_in(quoted_after(svg, "class=\"line said\" d=\"")[0]);
  CHECK(known.size() == 2 * (40 + 5));
  REQUIRE(said.size() == 2 * (1 + 8));  // from the last known value on
  CHECK(said[0] == known[2 * 39]);
  CHECK(said[1] == known[2 * 39 + 1]);
  const auto dashed = numbers_in(quoted_after(svg, "class=\"best\" d=\"")[0]);
  CHECK(dashed[0] == doctest::Approx(said[0]).epsilon(1e-3));
  // Areas: to the right along the upper ends, back along the lower. The wider is drawn first.
  const auto outer = numbers_in(quoted_after(svg, "class=\"fan\" d=\"")[0]);
  const auto inner = numbers_in(quoted_after(svg, "class=\"fan\" d=\"")[1]);
  REQUIRE(outer.size() == 2 * 2 * (1 + 8));
  REQUIRE(inner.size() == outer.size());
  CHECK(outer[0] == said[0]);
  CHECK(outer[1] == said[1]);
  for (std::size_t h = 1; h <= 8; ++h) {
    const std::size_t up = 2 * h + 1, down = outer.size() - 2 * h - 1;
    CHECK(outer[2 * h] == said[2 * h]);
    CHECK(outer[up] < inner[up]);
    CHECK(inner[up] < said[2 * h + 1]);
    CHECK(said[2 * h + 1] < inner[down]);
    CHECK(inner[down] < outer[down]);
  }
  // Of several series each has a picture, of one both widths.
  CHECK(count(figure({series()}), "<svg") == 2);
  CHECK(count(figure({series(), series(), series()}), "class=\"tsdl-chart square\"") == 3);
}

TEST_CASE("without times rows are counted from the last known one") {
  const std::string svg = wide(series(false));
  CHECK(count(svg, ">steps after the last known row<") == 1);
  CHECK(count(svg, ">0<") >= 1);
  CHECK(count(svg, ">-30<") == 1);
  CHECK(count(svg, ">from ") == 0);
  FanSeries only = series(false);
  only.history.clear();
  const std::string alone = wide(only);
  CHECK(count(alone, "class=\"best\"") == 0);
  CHECK(count(alone, ">step<") == 1);
  CHECK(count(alone, ">1<") >= 1);
}

TEST_CASE("a forecast of one step is a bar and dots, and what is not known is said") {
  const std::string svg =
      wide({"x", "", {}, {4}, {{0.9, {3}, {5}}, {0.5, {3.5}, {4.5}}}, {4.2}, {}});
  CHECK(count(svg, "class=\"fan-line\"") == 2);
  CHECK(count(svg, "class=\"said-dot\"") == 1);
  CHECK(count(svg, "class=\"known-dot\"") == 1);
  const std::string joined = wide({"x", "", {1, 2}, {4}, {{0.9, {3}, {5}}}, {}, {}});
  CHECK(count(joined, "class=\"fan\"") == 1);
  CHECK(count(joined, "class=\"said-dot\"") == 1);
  CHECK(count(joined, "class=\"known-dot\"") == 0);
  const std::string nothing = wide({"x", "", {missing}, {missing}, {}, {}, {}});
  CHECK(count(nothing, ">no value is known<") == 1);
  CHECK(count(nothing, "class=\"line") == 0);
}

TEST_CASE("a band without bounds neither flattens the rest nor leaves the panel") {
  FanSeries one = series();
  one.bands[1].high[4] = 1e6;
  const std::string cut = wide(one), plain = wide(series());
  const auto spread = [](const std::string& svg) {
    const auto known = numbers_in(quoted_after(svg, "class=\"line known\" d=\"")[0]);
    double low = known[1], high = known[1];
    for (std::size_t i = 1; i < known.size(); i += 2)
      low = std::min(low, known[i]), high = std::max(high, known[i]);
    return high - low;
  };
  CHECK(spread(cut) > 0.35 * spread(plain));
  for (const double y : numbers_in(quoted_after(cut, "class=\"fan\" d=\"")[0])) CHECK(y >= 0);
  const auto notes = report::fan_figure(std::vector{one}).notes;
  REQUIRE(notes.size() == 1);
  CHECK(notes[0] == "Beyond the axis, hence cut at its edge: 1 value.");
  CHECK(report::fan_figure(std::vector{series()}).notes.empty());
}

TEST_CASE("series whose parts do not fit are refused") {
  const auto refused = [](const FanSeries& one) {
    CHECK_THROWS_AS(report::fan_figure(std::vector{one}), tsdl::ShapeError);
    CHECK_THROWS_AS(report::fan_chart(std::vector{one}, ""), tsdl::ShapeError);
  };
  FanSeries one = series();
  one.times.pop_back();
  refused(one);
  one = series(), one.truth.resize(9);
  refused(one);
  one = series(), one.bands[1].low.pop_back();
  refused(one);
}

TEST_CASE("the page of a forecast: tables beside baselines, coverage, charts, verdict") {
  const tsdl::ForecastReport forecast = page(8);
  const std::string html = body(forecast);
  CHECK(test::xml_fault(html) == "");
  CHECK_FALSE(says_nan(html));
  CHECK(tsdl::html_forecast(forecast) == tsdl::html_forecast(forecast));
  CHECK(tsdl::html_forecast(forecast).find("<script") == std::string::npos);
  CHECK(count(html, "Seg&lt;RNN") >= 5);
  CHECK(count(html, "<RNN") == 0);
  for (const char* name : {"MSE", "MAE", "sMAPE", "MASE"})
    CHECK(count(html, ">" + std::string(name) + " by step<") == 1);
  // Errors of 1, 2, 3, ... times 1, 4 and 2; the denominator is 2. Steps 1, 2, 4, 6, 8 and the
  // mean.
  CHECK(count(html, "<td>0.9500</td><td>3.8000</td><td>1.9000</td>") == 6);
  for (const char* step : {"1", "2", "4", "6", "8", "mean"})
    CHECK(count(html, "<th scope=\"row\">" + std::string(step) + "</th>") == 4);
  CHECK(count(html,
              "By MASE the model beats every baseline: it is 50.0% below seasonal &amp; naive, "
              "the best of them.") == 1);
  // Errors of 1 and 2 are within 2 below: 7 of 10.
  CHECK(count(html, "Intervals that are meant to hold 50.0% of the truths hold 70.0%.") == 1);
  CHECK(count(html, ">Coverage by step<") == 1);
  CHECK(count(html, "<th scope=\"row\">90%</th><td>70.0%</td><td>3.0000</td>") == 1);
  CHECK(count(html, ">Forecast<") == 1);
  CHECK(count(html, "Intervals: split-conformal.") == 1);
  CHECK(count(html, ">a&amp;b.csv<") == 1);
}

TEST_CASE("the page is written whole") {
  const test::TemporaryDirectory directory;
  tsdl::write_forecast_report(directory / "report.html", page(2));
  std::ifstream file(directory / "report.html");
  CHECK(std::string(std::istreambuf_iterator<char>(file), {}) == tsdl::html_forecast(page(2)));
  CHECK_THROWS_AS(tsdl::write_forecast_report(directory / "none" / "report.html", page(2)),
                  tsdl::Error);
}

TEST_CASE("a model that does not beat a baseline is told so") {
  tsdl::ForecastReport forecast = page(3);
  forecast.contents.model = column("net", 3, 3);
  const std::string html = body(forecast);
  CHECK(count(html, "By MASE the model does not beat seasonal &amp; naive.") == 1);
  CHECK(count(html, "beats every") == 0);
  CHECK(count(html, "Coverage by step") == 0);  // it has no intervals
}

TEST_CASE("a page leaves out what is not there") {
  CHECK(test::xml_fault(body({})) == "");
  CHECK(count(body({}), "There are no figures of the model") == 1);
  tsdl::ForecastReport forecast = page(1);
  for (auto* one : {&forecast.contents.model, &forecast.contents.baselines[0]}) {
    one->overall.mase = missing;
    for (tsdl::StepFigures& step : one->steps) step.mase = step.mae = missing;
  }
  forecast.contents.model.steps[0].intervals[0].coverage = missing;
  forecast.contents.baselines[1].overall.mse = inf;
  const std::string html = body(forecast);
  CHECK(test::xml_fault(html) == "");
  CHECK(count(html, "MASE by step") == 0);
  CHECK(count(html, "<th scope=\"row\">1</th>") == 3);
  CHECK(count(html, "<td>n/a</td><td>n/a</td><td>2.0000</td>") == 0);
  CHECK(count(html, "<td>n/a</td><td>n/a</td>") == 1);  // MAE of step 1
  for (const std::string& path : quoted_after(html, " d=\""))
    CHECK(path.find_first_not_of("MLHVhvZ -.0123456789)") == path.npos);
  forecast.contents.baselines[0].steps.clear();
  CHECK_THROWS_AS(tsdl::html_forecast(forecast), tsdl::ShapeError);
  forecast = page(4);
  forecast.contents.model.steps[2].intervals.pop_back();
  CHECK_THROWS_AS(tsdl::html_forecast(forecast), tsdl::ShapeError);
}
