// Figures of forecasts by step against numpy and pandas (tests/goldens/forecast_figures.py wrote
// the values), and by hand.
#include "tsdl/task/forecast_figures.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <span>
#include <sstream>
#include <string>
#include <vector>

namespace {

using tsdl::ForecastFigures;
using tsdl::Index;
using tsdl::Interval;
using tsdl::StepFigures;
using Values = std::vector<double>;
using Block = std::map<std::string, Values>;

constexpr double missing = std::numeric_limits<double>::quiet_NaN();

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

/// The blocks of the file; a block ends where a name comes again.
std::vector<Block> read_blocks() {
  std::ifstream file(std::string(TSDL_SOURCE_DIR) + "/tests/goldens/forecast_figures.csv");
  REQUIRE(file);
  std::vector<Block> blocks;
  for (std::string line; std::getline(file, line);) {
    std::istringstream cells(line);
    std::string name;
    std::getline(cells, name, ',');
    if (name == "case" || name == "series") blocks.emplace_back();
    Values& values = blocks.back()[name];
    for (std::string cell; std::getline(cells, cell, ',');)
      values.push_back(cell.empty() ? missing : std::stod(cell));
    if (line.back() == ',' && line.size() > name.size() + 1) values.push_back(missing);
  }
  return blocks;
}

void check_close(double found, double expected) {
  if (std::isnan(expected))
    CHECK(std::isnan(found));
  else
    CHECK(std::abs(found - expected) <= 1e-13 * (1 + std::abs(expected)));
}

std::span<const double> part(const Values& values, Index i, Index size) {
  return std::span(values).subspan(at(i * size), at(size));
}

}  // namespace

TEST_CASE("figures by step and of all steps are numpy's") {
  const std::vector<Block> blocks = read_blocks();
  REQUIRE(blocks.size() == 4);
  for (std::size_t b = 0; b < 3; ++b) {
    Block block = blocks[b];
    CAPTURE(b);
    const auto size = [&](std::size_t i) { return static_cast<Index>(block["case"][i]); };
    const Index n = size(0), H = size(1), K = size(2), C = size(3);
    REQUIRE(std::ssize(block["truths"]) == n * H * K);
    REQUIRE(std::ssize(block["low"]) == n * C * H * K);
    ForecastFigures figures(H, K, block["coverages"]);
    for (Index i = 0; i < n; ++i) {
      std::vector<Interval> intervals;
      for (Index j = 0; j < C * H * K; ++j)
        intervals.push_back(
            {block["low"][at(i * C * H * K + j)], block["high"][at(i * C * H * K + j)]});
      figures.add(part(block["truths"], i, H * K), part(block["forecasts"], i, H * K), intervals,
                  part(block["denominators"], i, K));
    }
    for (Index h = 0; h <= H; ++h) {
      CAPTURE(h);
      const StepFigures one = h < H ? figures.step(h) : figures.overall();
      check_close(one.mse, block["mse"][at(h)]);
      check_close(one.mae, block["mae"][at(h)]);
      check_close(one.smape, block["smape"][at(h)]);
      check_close(one.mase, block["mase"][at(h)]);
      REQUIRE(std::ssize(one.intervals) == C);
      for (Index c = 0; c < C; ++c) {
        const std::size_t place = at(c * (H + 1) + h);
        CHECK(one.intervals[at(c)].meant == block["coverages"][at(c)]);
        check_close(one.intervals[at(c)].coverage, block["coverage"][place]);
        check_close(one.intervals[at(c)].width, block["width"][place]);
        check_close(one.intervals[at(c)].msis, block["msis"][place]);
      }
    }
  }
}

TEST_CASE("seasonal naive errors and forecasts are pandas'") {
  Block block = read_blocks().back();
  const Values& series = block["series"];
  for (const Index m : {1, 7, 24}) {
    CAPTURE(m);
    const std::string season = std::to_string(m);
    check_close(tsdl::seasonal_naive_error(series, m), block["error_" + season][0]);
    const Values& expected = block["naive_" + season];
    REQUIRE(expected.size() == 30);
    const Values found = tsdl::seasonal_naive(series, 1, m, 30);
    for (std::size_t h = 0; h < 30; ++h) check_close(found[h], expected[h]);
    if (m == 1) CHECK(tsdl::repeat_last(series, 1, 30) == found);
  }
}

TEST_CASE("figures by hand") {
  CHECK(tsdl::smape_of(0, 0) == 0);
  CHECK(tsdl::smape_of(0, 5) == 200);
  CHECK(tsdl::smape_of(-1, 1) == 200);
  CHECK(tsdl::smape_of(1, 3) == 100);
  CHECK(tsdl::smape_of(1e308, 0) == 200);
  // Two steps; y = 1, 5; 80% intervals [0, 2], which holds 1, and [6, 8], which misses 5 by 1.
  ForecastFigures figures(2, 1, {0.8});
  figures.add(Values{1, 5}, Values{3, 4}, std::vector<Interval>{{0, 2}, {6, 8}}, Values{2});
  CHECK(figures.step(0).mse == 4);
  CHECK(figures.step(1).mse == 1);
  CHECK(figures.overall().mse == 2.5);
  CHECK(figures.overall().mae == 1.5);
  CHECK(figures.overall().smape == doctest::Approx((100 + 200.0 / 9) / 2));
  CHECK(figures.overall().mase == 0.75);
  CHECK(figures.overall().intervals[0].coverage == 0.5);
  CHECK(figures.overall().intervals[0].width == 2);
  CHECK(figures.step(0).intervals[0].msis == 1);
  CHECK(figures.step(1).intervals[0].msis == doctest::Approx((2 + 2 / 0.2) / 2));
  // A second sample counts as much as the first, however few truths it has.
  figures.add(Values{missing, 4}, Values{0, 10}, std::vector<Interval>{{0, 2}, {4, 4}}, Values{0});
  CHECK(figures.overall().count == 2);
  CHECK(figures.overall().scaled_count == 1);
  CHECK(figures.step(0).count == 1);
  CHECK(figures.overall().mae == 3.75);
  CHECK(figures.overall().mase == 0.75);
  CHECK(figures.overall().intervals[0].coverage == 0.75);
  CHECK(figures.step(1).intervals[0].coverage == 0.5);  // an end belongs to the interval
}

TEST_CASE("what is not known is NaN, and what is wrong shows") {
  ForecastFigures none(2, 1, {0.5});
  CHECK(none.overall().count == 0);
  CHECK(std::isnan(none.overall().mae));
  CHECK(std::isnan(none.step(1).intervals[0].coverage));
  ForecastFigures figures(2, 1);
  figures.add(Values{1, 2}, Values{1, missing});
  CHECK(figures.step(0).mae == 0);
  CHECK(std::isnan(figures.step(1).mae));
  CHECK(std::isnan(figures.overall().mae));
  CHECK(std::isnan(figures.step(0).mase));  // no denominator
  CHECK(std::isnan(tsdl::seasonal_naive_error(Values{1, 2}, 2)));
  CHECK(tsdl::seasonal_naive_error(Values{1, 2, 4}, 2) == 3);
  CHECK(tsdl::seasonal_naive(Values{1, 10, 2, 20, 3, 30}, 2, 2, 3) == Values{2, 20, 3, 30, 2, 20});
  CHECK(tsdl::repeat_last(Values{1, 10, 2, missing}, 2, 2) == Values{2, 10, 2, 10});
  CHECK(std::isnan(tsdl::repeat_last({}, 1, 1)[0]));
  CHECK(std::isnan(tsdl::seasonal_naive(Values{1, 2}, 1, 5, 1)[0]));  // no such season yet
  CHECK(tsdl::seasonal_naive(Values{1, 2}, 1, 5, 5)[4] == 2);

  using tsdl::ShapeError;
  CHECK_THROWS_AS(ForecastFigures(0, 1), ShapeError);
  CHECK_THROWS_AS(ForecastFigures(1, -1), ShapeError);
  CHECK_THROWS_AS(ForecastFigures(1, 1, {1.0}), tsdl::OptionError);
  CHECK_THROWS_AS(figures.add(Values{1}, Values{1, 2}), ShapeError);
  CHECK_THROWS_AS(figures.add(Values{1, 2}, Values{1}), ShapeError);
  CHECK_THROWS_AS(figures.add(Values{1, 2}, Values{1, 2}, std::vector<Interval>{{0, 1}}),
                  ShapeError);
  CHECK_THROWS_AS(none.add(Values{1, 2}, Values{1, 2}), ShapeError);
  CHECK_THROWS_AS(figures.add(Values{1, 2}, Values{1, 2}, {}, Values{1, 2}), ShapeError);
  CHECK_THROWS_AS(tsdl::seasonal_naive(Values{1, 2, 3}, 2, 1, 1), ShapeError);
  CHECK_THROWS_AS(tsdl::seasonal_naive(Values{1, 2}, 1, 0, 1), ShapeError);
  CHECK_THROWS_AS(tsdl::seasonal_naive(Values{1, 2}, 1, 1, 0), ShapeError);
  CHECK_THROWS_AS(tsdl::seasonal_naive_error(Values{1, 2}, 0), ShapeError);
}
