// Panels: what is read from files, calendar columns, and refusals.
#include <doctest/doctest.h>

#include <cmath>
#include <ctime>
#include <filesystem>
#include <string>
#include <vector>

#include "support/files.hpp"
#include "tsdl/core/file.hpp"
#include "tsdl/data/calendar.hpp"
#include "tsdl/data/panel_reader.hpp"

namespace {

using tsdl::Index, tsdl::Panel, tsdl::TimeAxis;

constexpr std::int64_t hour = 3600000;

std::string message(const auto& f) {
  try {
    f();
  } catch (const tsdl::Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

const char* mixed =
    "time,shop,sales,price,region,size\n"
    "2024-01-01,b,1,10,north,2.5\n"
    "2024-01-02,a,3,30,south,1\n"
    "2024-01-02,b,2,,north,2.5\n"
    "2024-01-01,a,4,40,south,1\n"
    "2024-01-04,b,5,50,north,2.5\n";

}  // namespace

TEST_CASE("times: evenly spaced ones need no memory per row, others keep theirs") {
  const TimeAxis even({0, hour, 2 * hour});
  CHECK(even.rows() == 3);
  CHECK(even.at(5) == 5 * hour);
  const TimeAxis odd({0, hour, 4 * hour, 5 * hour});
  CHECK(odd.at(2) == 4 * hour);
  CHECK(odd.at(4) == 6 * hour);
  CHECK(odd.rows_before(0) == 0);
  CHECK(odd.rows_before(1) == 1);
  CHECK(odd.rows_before(4 * hour) == 2);
  CHECK(odd.rows_before(100 * hour) == 4);
  CHECK(odd.extended(2).at(5) == 7 * hour);
  CHECK(even.extended(2).rows() == 5);
  CHECK_THROWS_AS(TimeAxis({0, hour, hour}), tsdl::DataError);
  CHECK(TimeAxis().empty());
}

TEST_CASE("one file of several series, in any order of rows") {
  const Panel panel = tsdl::parse_panel(mixed, "shops.csv",
                                        {.columns = {"sales", "price"},
                                         .series_column = "shop",
                                         .static_columns = {"size"},
                                         .category_columns = {"region"}});
  tsdl::validate(panel);
  REQUIRE(panel.series.size() == 2);
  CHECK(panel.rows() == 5);
  const tsdl::PanelSeries &b = panel.series[0], &a = panel.series[1];
  CHECK(b.name == "b");
  CHECK(b.values.rows == 3);
  CHECK(b.values.column(2)[0] == 5);
  CHECK(std::isnan(b.values.column(1)[1]));
  CHECK(b.categories == std::vector<std::string>{"north"});
  CHECK(b.statics == std::vector<double>{2.5});
  // The rows of series a descend, and are turned around.
  CHECK(a.values.column(0)[0] == 4);
  CHECK(a.times.at(1) - a.times.at(0) == 24 * hour);
  CHECK(panel.column("PRICE") == 1);

  const Panel one = tsdl::parse_panel(
      mixed, "shops.csv", {.columns = {"sales"}, .series_column = "shop", .series = "a"});
  CHECK(one.series.size() == 1);
  CHECK(one.series[0].values.rows == 2);
}

TEST_CASE("all columns that have no other part are read where none are named") {
  const Panel panel = tsdl::parse_panel("date,x,y\n2024-01-01,1,2\n2024-01-02,3,4\n", "f.csv", {});
  CHECK(panel.columns == std::vector<std::string>{"x", "y"});
  CHECK(panel.series[0].name == "series");
}

TEST_CASE("a file for each series is named like it, and must have the same columns") {
  const test::TemporaryDirectory directory;
  tsdl::write_file(directory / "one.csv", "date,x,y\n2024-01-01,1,2\n");
  tsdl::write_file(directory / "two.csv", "y,date,x\n5,2024-01-01,4\n6,2024-01-02,7\n");
  tsdl::write_file(directory / "three.csv", "date,x\n2024-01-01,1\n");
  const std::vector<std::filesystem::path> good = {directory / "one.csv", directory / "two.csv"};
  const Panel panel = tsdl::read_panel<>(good, {});
  REQUIRE(panel.series.size() == 2);
  CHECK(panel.series[1].name == "two");
  CHECK(panel.series[1].values.column(1)[0] == 7);
  const std::vector<std::filesystem::path> bad = {directory / "one.csv", directory / "three.csv"};
  const std::string text = message([&] { tsdl::read_panel<>(bad, {}); });
  CHECK(text.find("three.csv:1:1: no y column") != std::string::npos);
  const std::vector<std::filesystem::path> twice = {directory / "one.csv", directory / "one.csv"};
  CHECK(message([&] { tsdl::read_panel<>(twice, {}); }).find("a second file for the series one") !=
        std::string::npos);
}

TEST_CASE("what cannot be read is refused with file, line and column") {
  const auto refusal = [](const char* text, const tsdl::PanelOptions& options) {
    return message([&] { tsdl::parse_panel(text, "f.csv", options); });
  };
  const tsdl::PanelOptions by_shop{.columns = {"x"}, .series_column = "shop"};
  CHECK(refusal("date,shop,x\n2024-01-01,a,1\n2024-01-01,b,1\n2024-01-01,a,2\n", by_shop) ==
        "f.csv:4:1: date: the time 2024-01-01 appears twice, first in line 2");
  CHECK(refusal("date,shop,x\n2024-01-01,,1\n", by_shop) ==
        "f.csv:2:12: shop: expected the name of a series");
  CHECK(refusal("date,shop,x\n2024-01-01,a,one\n", by_shop).find("f.csv:2:14: x: expected a") == 0);
  CHECK(refusal("date,shop\n2024-01-01,a\n", by_shop).find("f.csv:1:1: no x column") == 0);
  CHECK(refusal("date,shop,x\n2024-01-01,a,1\n",
                {.columns = {"x"}, .series_column = "shop", .series = "c"}) ==
        "read_panel: no series is named c; there are a");
  CHECK(refusal("date,shop,x,size\n2024-01-01,a,1,1\n2024-01-02,a,1,2\n",
                {.columns = {"x"}, .series_column = "shop", .static_columns = {"size"}}) ==
        "f.csv:3:16: size: a static value that changes within the series a, whose first row is "
        "line 2");
  CHECK(refusal("date,x\n", {}) == "f.csv: a header but no rows below it");
  CHECK(refusal("date,x\n2024-01-01,1\n", {.columns = {"x", "X"}}) ==
        "read_panel: the column X is named twice");
}

TEST_CASE("wide tables") {
  const Panel panel =
      tsdl::parse_wide_panel("id,V1,V2,V3\nH1,1,2,3\n\"H2\",4,,\nH3,5,,6\n", "w.csv");
  REQUIRE(panel.series.size() == 3);
  CHECK(panel.series[0].values.rows == 3);
  CHECK(panel.series[1].values.rows == 1);
  CHECK(panel.series[2].values.rows == 3);
  CHECK(std::isnan(panel.series[2].values.column(1)[0]));
  CHECK(!panel.has_times());
  const auto refusal = [](const char* text) {
    return message([&] { tsdl::parse_wide_panel(text, "w.csv"); });
  };
  CHECK(refusal("id,a\nH1,1\nH1,2\n") == "w.csv:3:1: the series H1 appears twice, first in line 2");
  CHECK(refusal("id,a\nH1,\n") == "w.csv:2:1: the series H1 has no values");
  CHECK(refusal("id,a\nH1,x\n").find("w.csv:2:4: a: expected a number") == 0);
}

TEST_CASE("rows that follow are appended by name, and their times must follow") {
  Panel panel = tsdl::parse_wide_panel("id,a,b\nH1,1,2\nH2,3,\n", "w.csv");
  tsdl::append_rows(panel, tsdl::parse_wide_panel("id,a\nH2,4\nH1,5\n", "more.csv"));
  CHECK(panel.series[0].values.column(2)[0] == 5);
  CHECK(panel.series[1].values.column(1)[0] == 4);
  CHECK_THROWS_AS(tsdl::append_rows(panel, tsdl::parse_wide_panel("id,a\nH3,1\n", "m.csv")),
                  tsdl::DataError);
  Panel dated = tsdl::parse_panel("date,x\n2024-01-02,1\n", "f.csv", {});
  CHECK_THROWS_AS(tsdl::append_rows(dated, dated), tsdl::DataError);
}

TEST_CASE("calendar columns, against the C library's calendar") {
  constexpr double turn = 6.283185307179586;
  for (std::int64_t seconds = -2000000000; seconds < 2000000000; seconds += 7777777) {
    const std::time_t time = seconds;
    const std::tm t = *std::gmtime(&time);
    const std::int64_t ms = seconds * 1000;
    const double of_day = (t.tm_hour * 3600 + t.tm_min * 60 + t.tm_sec) / 86400.0;
    CHECK(tsdl::calendar_share("hour", ms) == doctest::Approx(of_day).epsilon(1e-12));
    CHECK(tsdl::calendar_share("weekday", ms) == (t.tm_wday + 6) % 7 / 7.0);
    CHECK(tsdl::calendar_share("month", ms) == t.tm_mon / 12.0);
    std::tm last = t;
    last.tm_mon += 1;
    last.tm_mday = 0;
    const std::time_t end = timegm(&last);
    CHECK(tsdl::calendar_share("day", ms) ==
          (t.tm_mday - 1) / static_cast<double>(std::gmtime(&end)->tm_mday));
  }
  Panel panel =
      tsdl::parse_panel("date,x\n2024-01-01 06:00:00,1\n2024-01-01 12:00:00,2\n", "f.csv", {});
  tsdl::add_calendar(panel, {"hour"});
  CHECK(panel.columns == std::vector<std::string>{"x", "hour_sin", "hour_cos"});
  CHECK(panel.series[0].values.column(1)[0] == 2);
  CHECK(panel.series[0].values.column(0)[1] == doctest::Approx(std::sin(turn / 4)));
  CHECK(panel.series[0].values.column(1)[2] == doctest::Approx(-1));
  CHECK_THROWS_AS(tsdl::add_calendar(panel, {"hour"}), tsdl::DataError);
  CHECK_THROWS_AS(tsdl::add_calendar(panel, {"year"}), tsdl::OptionError);
  Panel undated = tsdl::parse_wide_panel("id,a\nH1,1\n", "w.csv");
  CHECK_THROWS_AS(tsdl::add_calendar(undated, {"hour"}), tsdl::DataError);
}
