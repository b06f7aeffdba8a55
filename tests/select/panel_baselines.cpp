// Forecasts without a network: the last value, the season before, a ridge regression.
#include "tsdl/select/panel_baselines.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "tsdl/core/random.hpp"
#include "tsdl/data/panel_prepare.hpp"

namespace {

using tsdl::Index;

tsdl::PreparedPanel<double> prepared(const auto& value, Index rows, tsdl::WindowNorm norm) {
  tsdl::Panel panel{.columns = {"a", "b"}};
  for (Index s = 0; s < 2; ++s) {
    tsdl::PanelSeries one{.name = s == 0 ? "x" : "y"};
    one.values = tsdl::Series<double>::sized(panel.columns, rows);
    for (Index row = 0; row < rows; ++row)
      for (Index k = 0; k < 2; ++k) one.values.column(row)[k] = value(s, row, k);
    panel.series.push_back(std::move(one));
  }
  return tsdl::prepare_panel<double>(
      std::move(panel), {.length = 6, .horizon = 5, .normalise = norm},
      {.by = tsdl::PanelSplit::By::tail, .validation = 20, .test = 20});
}

}  // namespace

TEST_CASE("the last value and the season before, by their rows") {
  const auto value = [](Index s, Index row, Index k) {
    return static_cast<double>(1000 * s + 10 * row + k);
  };
  const auto data = prepared(value, 80, tsdl::WindowNorm::last);
  for (const Index i : {Index{0}, data.test.size() - 1}) {
    const Index s = data.test.series(i), row = data.test.row_in_series(i);
    const auto last = tsdl::seasonal_naive(data.test, i, 1);
    const auto season = tsdl::seasonal_naive(data.test, i, 3);
    for (Index h = 0; h < 5; ++h)
      for (Index k = 0; k < 2; ++k) {
        const auto at = static_cast<std::size_t>(2 * h + k);
        CHECK(last[at] == doctest::Approx(value(s, row, k)).epsilon(1e-12));
        CHECK(season[at] == doctest::Approx(value(s, row - 2 + h % 3, k)).epsilon(1e-12));
      }
  }
  // A season that is longer than what is known: the last value.
  const auto none = tsdl::seasonal_naive(data.train, 0, 50);
  CHECK(none[0] == doctest::Approx(value(0, 5, 0)).epsilon(1e-12));
}

TEST_CASE("ridge regression finds a linear rule, in the columns' own units") {
  // A wave obeys y_t = 2 cos(w) y_{t-1} - y_{t-2}; each series and column has its own size.
  const auto value = [](Index s, Index row, Index k) {
    const auto size = static_cast<double>(100 * (s + 1) + 10 * k);
    return size * (3 + std::sin(0.7 * static_cast<double>(row) + static_cast<double>(k)));
  };
  for (const auto norm : {tsdl::WindowNorm::none, tsdl::WindowNorm::last}) {
    const auto data = prepared(value, 300, norm);
    const tsdl::RidgeForecast ridge(data.train, data.validation);
    double worst = 0, naive = 0;
    for (Index i = 0; i < data.test.size(); ++i) {
      const auto said = ridge.forecast(data.test, i);
      const auto last = tsdl::seasonal_naive(data.test, i, 1);
      const auto truths = data.test.truths(i);
      for (std::size_t at = 0; at < truths.size(); ++at) {
        worst = std::max(worst, std::abs(said[at] - truths[at]));
        naive = std::max(naive, std::abs(last[at] - truths[at]));
      }
    }
    CHECK(naive > 100);
    CHECK(worst < 0.5);
  }
  const auto data = prepared(value, 300, tsdl::WindowNorm::last);
  CHECK_THROWS_AS(tsdl::RidgeForecast(data.train, tsdl::PanelWindows<double>()), tsdl::ShapeError);
}
