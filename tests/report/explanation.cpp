// Figures of an explanation: what they hold, in which order, well-formed in both forms.
#include "tsdl/report/explanation.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "support/svg.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/report/explanation_page.hpp"

namespace {

using namespace tsdl::report;

Explanation example(std::size_t columns, tsdl::Index lags) {
  Explanation e{.measure = "share of <all>", .shares = true};
  for (std::size_t i = 0; i < columns; ++i)
    e.columns.push_back({.name = "c" + std::to_string(i), .value = 0.01 * static_cast<double>(i)});
  for (tsdl::Index lag = 0; lag < lags; ++lag)
    e.lags.push_back({.first_lag = lag, .last_lag = lag, .value = lag == 3 ? 0.7 : 0.1});
  return e;
}

void check_whole(const Figure& figure, const std::string& title) {
  CHECK(test::xml_fault("<div>" + figure.svg + "</div>") == "");
  const std::string document = svg_document(figure, title, "sub & title");
  CHECK(test::xml_fault(document) == "");
  CHECK(document.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
  CHECK(test::count(document, "<svg") == 1);
  CHECK(document.find("sub &amp; title") != document.npos);
  CHECK(document.find("prefers-color-scheme:dark") != document.npos);
  CHECK(document.find("nan") == document.npos);
  CHECK(document.find("url(") == document.npos);
}

}  // namespace

TEST_CASE("explanation: bars of columns, the largest first") {
  Explanation e = example(3, 1);
  const Figure figure = column_figure(e);
  check_whole(figure, "Columns");
  CHECK(test::count(figure.svg, "class=\"more\"") == 3);
  CHECK(figure.svg.find(">c2</text>") < figure.svg.find(">c1</text>"));
  CHECK(figure.svg.find(">c1</text>") < figure.svg.find(">c0</text>"));
  CHECK(figure.svg.find("c2: 2.0%") != figure.svg.npos);
  CHECK(test::count(figure.svg, "class=\"span\"") == 0);
  CHECK(figure.notes.empty());
  // Bars are as long as their values: 0.5 beside 0.25 and -0.25.
  e = {.measure = "drop"};
  e.columns = {{.name = "a", .value = 0.5, .deviation = 0.1},
               {.name = "b", .value = 0.25},
               {.name = "c", .value = -0.25}};
  const Figure drops = column_figure(e);
  check_whole(drops, "Columns");
  CHECK(test::count(drops.svg, "class=\"less\"") == 1);
  CHECK(test::count(drops.svg, "class=\"span\"") == 1);
  std::vector<double> widths;
  for (const std::string& text : test::quoted_after(drops.svg, "\" width=\""))
    widths.push_back(std::stod(text));
  REQUIRE(widths.size() == 3);
  CHECK(widths[0] == doctest::Approx(2 * widths[1]).epsilon(0.001));
  CHECK(widths[1] == doctest::Approx(widths[2]).epsilon(0.001));
  // More than fit.
  const Figure many = column_figure(example(87, 1));
  check_whole(many, "Columns");
  CHECK(test::count(many.svg, "class=\"more\"") == 24);
  REQUIRE(many.notes.size() == 1);
  CHECK(many.notes[0] == "The 24 largest of 87 columns.");
  CHECK(many.svg.find(">c86<") != many.svg.npos);
  CHECK(many.svg.find(">c62<") == many.svg.npos);
}

TEST_CASE("explanation: a curve of lags, or bars of blocks") {
  const Figure curve = lag_figure(example(1, 6));
  check_whole(curve, "Lags");
  CHECK(curve.svg.find("most at lag 3, 70.0%") != curve.svg.npos);
  const auto paths = test::quoted_after(curve.svg, "<path class=\"mean\" d=\"");
  REQUIRE(paths.size() == 1);
  const std::vector<double> points = test::numbers_in(paths[0]);
  REQUIRE(points.size() == 12);
  for (std::size_t i = 2; i < 12; i += 2)
    CHECK(points[i] < points[i - 2]);  // lag 0 is at the right
  CHECK(points[7] < points[1]);        // higher up
  Explanation e{.measure = "drop"};
  e.lags = {{.first_lag = 0, .last_lag = 3, .value = 0.2, .deviation = 0.05},
            {.first_lag = 4, .last_lag = 7, .value = -0.1, .deviation = 0.05}};
  const Figure blocks = lag_figure(e);
  check_whole(blocks, "Lags");
  CHECK(test::count(blocks.svg, "class=\"span\"") == 2);
  CHECK(test::count(blocks.svg, "class=\"more\"") == 1);
  CHECK(test::count(blocks.svg, "class=\"less\"") == 1);
  CHECK(blocks.svg.find("lags 0 to 3: 0.2000") != blocks.svg.npos);
  e.lags = {{.first_lag = 0, .last_lag = 0}};
  check_whole(lag_figure(e), "Lags");  // all are 0
  e.columns = {{.name = "zero"}};
  check_whole(column_figure(e), "Columns");
}

TEST_CASE("explanation: a heat map, the strongest cell full, blue up and orange down") {
  const HeatMap map{{"a", "b & c"}, {"2020-01-01", "2020-01-03"}, {1, -2, 0, 0.5, 0.001, -1}};
  const Figure figure = heat_map_figure(map);
  check_whole(figure, "One window");
  // Wide and narrow; 0 and 0.001 show nothing.
  CHECK(test::count(figure.svg, "<svg class=\"tsdl-chart wide\"") == 1);
  CHECK(test::count(figure.svg, "<svg class=\"tsdl-chart narrow\"") == 1);
  CHECK(test::count(figure.svg, "fill-opacity=\"") == 8);
  CHECK(test::count(svg_document(figure, "", ""), "fill-opacity=\"") == 4);
  CHECK(figure.svg.find("b &amp; c, lag 2: -2.0000") != figure.svg.npos);
  CHECK(figure.svg.find("a, lag 2: 1.0000") != figure.svg.npos);
  CHECK(figure.svg.find("strongest: 2.0000") != figure.svg.npos);
  const auto opacities = test::quoted_after(figure.svg, "fill-opacity=\"");
  CHECK((opacities ==
         std::vector<std::string>{"0.5", "1", "0.25", "0.5", "0.5", "1", "0.25", "0.5"}));
  HeatMap wide{{}, {}, std::vector<double>(2 * 30, 1.0)};
  for (int i = 0; i < 30; ++i) wide.rows.push_back("c" + std::to_string(i));
  wide.values[29] = 3;
  const Figure many = heat_map_figure(wide);
  check_whole(many, "One window");
  REQUIRE(many.notes.size() == 1);
  CHECK(many.notes[0] == "The 24 columns of 30 that contributed most.");
  CHECK(many.svg.find(">c29<") != many.svg.npos);
  check_whole(heat_map_figure({{"a"}, {}, {0, 0}}), "Nothing");
  // 1500 rows: 3 to a cell of the wide form, 6 of the narrow one, whole at the last row.
  HeatMap steps{{"a"}, {}, std::vector<double>(1500, 0.0)};
  steps.values[1499] = 1, steps.values[1497] = 2, steps.values[1496] = -1.5;
  const Figure summed = heat_map_figure(steps);
  check_whole(summed, "Long");
  CHECK(summed.svg.find("a, lags 0 to 2: 3.0000") != summed.svg.npos);
  CHECK(summed.svg.find("a, lags 3 to 5: -1.5000") != summed.svg.npos);
  CHECK(summed.svg.find("a, lags 0 to 5: 1.5000") != summed.svg.npos);
  CHECK(summed.svg.find("strongest: 3.0000") != summed.svg.npos);
  CHECK(test::count(summed.svg, "rows of the window, 3 summed in a cell") == 1);
  CHECK(test::count(summed.svg, "rows of the window, 6 summed in a cell") == 1);
  steps.values.assign(1501, 1.0);  // the oldest cell holds what is left
  CHECK(heat_map_figure(steps).svg.find("a, lags 1500 to 1500") == summed.svg.npos);
  CHECK(heat_map_figure(steps).svg.find("a, lag 1500: 1.0000") != summed.svg.npos);
  CHECK_THROWS_AS(heat_map_figure({{"a", "b"}, {}, {1, 2, 3}}), tsdl::ShapeError);
  CHECK_THROWS_AS(heat_map_figure({}), tsdl::ShapeError);
  CHECK_THROWS_AS(svg_document({}, "", ""), tsdl::ShapeError);
}

TEST_CASE("explanation: pictures that a phone shows are at most 400 wide") {
  for (const Figure& figure : {column_figure(example(30, 1)), lag_figure(example(1, 200))})
    CHECK(figure.svg.find("viewBox=\"0 0 400 ") != figure.svg.npos);
  const Figure heat = heat_map_figure({{"a"}, {}, {1, 2}});
  CHECK(heat.svg.find("viewBox=\"0 0 380 ") > heat.svg.find("tsdl-chart narrow"));
}

TEST_CASE("explanation: the sections of a page") {
  const tsdl::Report run;
  Explanation e = example(3, 6);
  e.reading = "How it is read.";
  e.method = "integrated gradients of the logit of class 1";
  const auto written = [&] {
    internal::ReportParts parts(run);
    internal::write_explanation(parts, e);
    return "<main>\n" + parts.page_.take() + "</main>\n";
  };
  const std::string page = written();
  CHECK(test::xml_fault(page) == "");
  CHECK(test::count(page, "<figure>") == 2);
  CHECK(page.find("How it is read.") != page.npos);
  CHECK(page.find("By integrated gradients of the logit of class 1.") != page.npos);
  CHECK(page.find("One window") == page.npos);
  e.window = HeatMap{{"a", "b"}, {"first", "last"}, {1, 2, 3, 4}};
  e.window_name = "2020-01-03";
  const std::string with_window = written();
  CHECK(test::xml_fault(with_window) == "");
  CHECK(with_window.find("One window: 2020-01-03") != with_window.npos);
  CHECK(test::count(with_window, "<figure>") == 3);
  CHECK(with_window.find("What each value of this window contributed; blue") != with_window.npos);
  e.window_measure = "the logit of class 1, beside training means";
  CHECK(written().find("contributed to the logit of class 1, beside training means; blue") !=
        std::string::npos);
}
