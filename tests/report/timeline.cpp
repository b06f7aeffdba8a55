// Panels below a price: one axis of probabilities for all, or each panel's own; names that fit.
#include "tsdl/report/timeline.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "support/svg.hpp"

namespace {

using namespace tsdl::report;

/// How much of its height, 84 of the wide form, the curve of panel `style` takes.
double height_of(const Figure& figure, const std::string& style) {
  const auto paths = test::quoted_after(figure.svg, "<path class=\"line thin " + style + "\" d=\"");
  REQUIRE(paths.size() == 2);  // wide and narrow
  const std::vector<double> points = test::numbers_in(paths[0]);
  double low = points[1], high = points[1];
  for (std::size_t i = 1; i < points.size(); i += 2) {
    low = std::min(low, points[i]);
    high = std::max(high, points[i]);
  }
  return high - low;
}

}  // namespace

TEST_CASE("timeline: small weights fill an axis of their own; the narrow form has short names") {
  const std::size_t T = 60;
  std::vector<std::int64_t> times;
  std::vector<double> closes, weights, means;
  for (std::size_t t = 0; t < T; ++t) {
    times.push_back(static_cast<std::int64_t>(t) * 86400000);
    closes.push_back(100 + static_cast<double>(t % 7));
    weights.push_back(t % 2 == 0 ? 0.004 : 0.03);
    means.push_back(t % 2 == 0 ? 0.001 : 0.002);
  }
  Timeline timeline{times, closes, times, {}};
  timeline.panels.push_back({"weights of this window", weights, 1.0 / 60, "this window"});
  timeline.panels.push_back({"mean weights", means, 0.0015});
  for (const bool own : {false, true}) {
    CAPTURE(own);
    timeline.own_axes = own;
    const Figure figure = timeline_figure(timeline);
    CHECK(test::xml_fault("<div>" + figure.svg + "</div>") == "");
    CHECK(test::count(figure.svg, ">weights of this window<") == 1);
    CHECK(test::count(figure.svg, ">this window<") == 1);
    CHECK(test::count(figure.svg, ">mean weights<") == 2);
    CHECK((height_of(figure, "c0") > 60) == own);
    CHECK((height_of(figure, "c1") > 30) == own);
  }
}
