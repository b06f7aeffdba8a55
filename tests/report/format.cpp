// Numbers as text for people, and text broken into lines.
#include "tsdl/report/format.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <sstream>
#include <string>

namespace {

namespace report = tsdl::report;

constexpr double missing = std::numeric_limits<double>::quiet_NaN();
constexpr std::size_t no_limit = std::numeric_limits<std::size_t>::max();

std::size_t widest(const std::string& text) {
  std::istringstream in(text);
  std::size_t most = 0;
  for (std::string line; std::getline(in, line);) most = std::max(most, line.size());
  return most;
}

}  // namespace

TEST_CASE("numbers are formatted for people") {
  using namespace tsdl::report;
  CHECK(format_count(0) == "0");
  CHECK(format_count(999) == "999");
  CHECK(format_count(1000) == "1,000");
  CHECK(format_count(1234567) == "1,234,567");
  CHECK(format_count(-123456) == "-123,456");
  CHECK(format_count(std::numeric_limits<tsdl::Index>::min()) == "-9,223,372,036,854,775,808");
  CHECK(format_percent(0.5432) == "54.3%");
  CHECK(format_percent(1) == "100.0%");
  CHECK(format_percent(0.12345, 2) == "12.35%");
  CHECK(format_percent(missing) == "n/a");
  CHECK(format_duration(0) == "0:00");
  CHECK(format_duration(0.4) == "0:00");
  CHECK(format_duration(59.6) == "1:00");
  CHECK(format_duration(754) == "12:34");
  CHECK(format_duration(3599.5) == "1:00:00");
  CHECK(format_duration(3725) == "1:02:05");
  CHECK(format_duration(2 * 86400 + 3 * 3600 + 4 * 60 + 5) == "2d 03:04:05");
  for (const double bad : {missing, -1.0, std::numeric_limits<double>::infinity(), 1e300})
    CHECK(format_duration(bad) == "n/a");
  CHECK(format_rate(1e-3) == "1e-3");
  CHECK(format_rate(1e-3 * 0.5 * 0.5 * 0.5) == "1.25e-4");
  CHECK(format_rate(0.01) == "0.01");
  CHECK(format_rate(0.05) == "0.05");
  CHECK(format_rate(1) == "1");
  CHECK(format_rate(0) == "0");
  CHECK(format_rate(1e-300) == "1e-300");
  CHECK(format_loss(0.67125) == "0.6713");
  CHECK(format_loss(-0.00001) == "-1e-5");
  CHECK(format_loss(123.456) == "123.5");
  CHECK(format_loss(1.5e20) == "1.5e20");
  CHECK(format_loss(missing) == "n/a");
  CHECK(format_loss(-std::numeric_limits<double>::infinity()) == "-inf");
  CHECK(format_fixed(-0.0001, 2) == "0.00");
  CHECK(format_fixed(1e308, 4).size() == 309 + 5);
  CHECK(format_scientific(9.9996, 4) == "1e1");
}

TEST_CASE("wrapped text breaks at spaces, indented, and keeps its words") {
  CHECK(report::wrapped("one two three", 0, 7) == "one two\nthree");
  CHECK(report::wrapped("one two three", 2, 7) == "one\n  two\n  three");
  CHECK(report::wrapped("one two three", 0, no_limit) == "one two three");
  CHECK(report::wrapped("a/path/without/any/space and more", 2, 10) ==
        "a/path/without/any/space\n  and more");
  CHECK(report::wrapped("first\nsecond line", 0, 80) == "first\nsecond line");
  CHECK(report::wrapped("ends\n", 4, 80) == "ends\n");
  CHECK(report::wrapped("two  spaces", 0, 80) == "two  spaces");
  CHECK(report::wrapped("", 3, 10).empty());
  const std::string words = "a bb ccc dddd eeeee ffffff ggggggg hhhhhhhh";
  for (std::size_t width = 8; width < 50; ++width) {
    CHECK(widest(report::wrapped(words, 0, width)) <= width);
    std::string joined = report::wrapped(words, 0, width);
    std::replace(joined.begin(), joined.end(), '\n', ' ');
    CHECK(joined == words);
  }
}
