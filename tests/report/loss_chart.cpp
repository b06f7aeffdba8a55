// The loss chart: well-formed XML for any input, and geometry that says what the numbers say.
#include "tsdl/report/loss_chart.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <locale>
#include <string>
#include <string_view>
#include <vector>

#include "support/svg.hpp"

namespace {

constexpr double missing = std::numeric_limits<double>::quiet_NaN();
constexpr double inf = std::numeric_limits<double>::infinity();

namespace report = tsdl::report;
using test::count;
using test::numbers_in;
using test::quoted_after;
using test::xml_fault;

report::LossCurves plain_curves() {
  return {
      "Run", "small", {0.70, 0.66, 0.61, 0.58}, {0.70, 0.69, 0.67, 0.68}, {1e-3, 1e-3, 1e-4, 1e-5},
      2};
}

}  // namespace

TEST_CASE("the XML checker finds faults") {
  CHECK(xml_fault("<a b=\"c\"><d/>e &amp; f</a>\n").empty());
  for (const char* bad : {"<a>", "<a></b>", "<a b=c/>", "<a>&</a>", "<a b=\"<\"/>", "<a/><b/>",
                          "<a", "x<a/>", "<a b=\"1\" b=\"2\"/>", "", "<a>\x01</a>"})
    CHECK_FALSE(xml_fault(bad).empty());
}

TEST_CASE("charts of any input are well-formed and hold finite coordinates only") {
  std::vector<report::LossCurves> cases;
  cases.push_back({});
  cases.push_back(plain_curves());
  cases.push_back({"one", "", {0.69}, {0.70}, {1e-3}, 0});
  cases.push_back({"best out of range", "", {0.69}, {0.70}, {1e-3}, 7});
  cases.push_back({"gaps",
                   "",
                   {missing, 0.7, missing, inf, 0.6},
                   {0.7, -inf, missing, 0.6},
                   {0, missing, 1e-3},
                   2});
  cases.push_back({"nothing", "", {missing, inf}, {-inf, missing}, {0, -1}, 1});
  cases.push_back({"far", "", {1e308, -1e308, 1e308}, {-1e308, 5e-324}, {1e308, 5e-324}, 1});
  cases.push_back({"equal", "", {0, 0, 0}, {0, 0, 0}, {1, 1, 1}, 0});
  cases.push_back({"equal", "", {-2, -2}, {-2, -2}, {}, 1});
  cases.push_back({"a < b && \"c\" > 'd' ]]>",
                   "\x01\xff\xc3\xe2\x82 \xed\xa0\x80 \xc3\xa9",
                   {1, 2},
                   {},
                   {},
                   0});
  cases.push_back({std::string(500, '&'), std::string(500, '<'), {1}, {2}, {3}, 0});
  cases.push_back(
      {"long", "", std::vector<double>(1000, 0.5), std::vector<double>(999, 0.6), {}, 998});
  for (const report::LossCurves& curves : cases) {
    CAPTURE(curves.title);
    const std::string svg = report::loss_chart(curves);
    CHECK(xml_fault(svg) == "");
    for (const char* name : {" d=\"", " x=\"", " y=\"", " cx=\"", " cy=\"", " height=\""})
      for (const std::string& value : quoted_after(svg, name)) {
        CAPTURE(value);
        if (value == "100%") continue;
        CHECK(value.find_first_not_of("MLHVZ -.0123456789") == value.npos);
        for (const double coordinate : numbers_in(value)) CHECK(std::fabs(coordinate) < 6000);
      }
    CHECK(svg == report::loss_chart(curves));
  }
}

TEST_CASE("titles are escaped, mended and cut between characters") {
  using report::xml_text;
  CHECK(xml_text("S&P <500> \"x\"") == "S&amp;P &lt;500&gt; &quot;x&quot;");
  CHECK(xml_text("a\x02"
                 "b\xff\xc0\x80") ==
        "a\xef\xbf\xbd"
        "b\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
  CHECK(xml_text("\xf0\x9f\x93\x88\xe2\x82\xac\xc3\xa9") == "\xf0\x9f\x93\x88\xe2\x82\xac\xc3\xa9");
  CHECK(xml_text("\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", 3) == "\xc3\xa9\xc3\xa9\xe2\x80\xa6");
  CHECK(xml_text("&&&", 3) == "&amp;&amp;&amp;");
}

TEST_CASE("the curves are affine in epoch and loss, and the ring lies on the best epoch") {
  const report::LossCurves curves = plain_curves();
  const std::string svg = report::loss_chart(curves);
  const auto train = quoted_after(svg, "class=\"line train\" d=\"");
  const auto validation = quoted_after(svg, "class=\"line valid\" d=\"");
  REQUIRE(train.size() == 1);
  REQUIRE(validation.size() == 1);
  CHECK(count(train[0], "M") == 1);
  const std::vector<double> t = numbers_in(train[0]), v = numbers_in(validation[0]);
  REQUIRE(t.size() == 8);
  REQUIRE(v.size() == 8);
  const double per_loss = (t[7] - t[1]) / (0.58 - 0.70);
  CHECK(per_loss < -1000);  // 0.12 of loss fills most of the panel, and up is more
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(std::fabs(t[2 * i] - (t[0] + (t[6] - t[0]) * static_cast<double>(i) / 3)) <= 0.011);
    CHECK(v[2 * i] == t[2 * i]);
    CHECK(std::fabs(t[2 * i + 1] - (t[1] + per_loss * (curves.train[i] - 0.70))) <= 0.02);
    CHECK(std::fabs(v[2 * i + 1] - (t[1] + per_loss * (curves.validation[i] - 0.70))) <= 0.02);
  }
  const auto ring = quoted_after(svg, "class=\"ring valid\" cx=\"");
  REQUIRE(ring.size() == 1);
  CHECK(std::stod(ring[0]) == v[4]);
  CHECK(count(svg, ">best epoch 3: 0.6700<") == 1);
  CHECK(count(svg, ">validation 0.6800<") == 1);
  CHECK(count(svg, ">training 0.5800<") == 1);
  CHECK(count(svg, ">rate 1e-5<") == 1);
}

TEST_CASE("the learning rate is a step line on a logarithmic axis") {
  const auto rate = quoted_after(report::loss_chart(plain_curves()), "class=\"line rate\" d=\"");
  REQUIRE(rate.size() == 1);
  // M x y H V H V y H V y H: two unchanged epochs, then a tenth, then a tenth again.
  const std::vector<double> p = numbers_in(rate[0]);
  REQUIRE(p.size() == 9);
  CHECK(p[3] == p[1]);
  CHECK(p[5] > p[3] + 10);
  CHECK(std::fabs((p[7] - p[5]) - (p[5] - p[3])) <= 0.021);
  CHECK(std::fabs((p[8] - p[6]) - (p[6] - p[4])) <= 0.021);
}

TEST_CASE("missing values break the line, and a note counts them") {
  const std::string svg =
      report::loss_chart({"", "", {0.7, missing, 0.6, 0.5, inf, 0.4}, {0.7, 0.7}, {1e-3, 0}, -1});
  const auto train = quoted_after(svg, "class=\"line train\" d=\"");
  REQUIRE(train.size() == 1);
  CHECK(count(train[0], "M") == 3);
  CHECK(count(train[0], "L") == 1);
  CHECK(count(svg, "class=\"train-fill\" cx=\"") == 4);
  CHECK(count(svg, "training loss in 2 epochs.") == 1);
  CHECK(count(svg, "learning rate in 1 epoch.") == 1);
  CHECK(count(svg, "best epoch") == 0);
}

TEST_CASE("spikes do not flatten the curves and are not hidden") {
  report::LossCurves curves;
  for (int i = 0; i < 40; ++i) {
    curves.train.push_back(0.70 - 0.002 * i);
    curves.validation.push_back(0.70 - 0.001 * i);
  }
  CHECK(count(report::loss_chart(curves), "riangle") == 0);
  const double height_before = [&] {
    const auto p =
        numbers_in(quoted_after(report::loss_chart(curves), "class=\"line train\" d=\"")[0]);
    return p.back() - p[1];
  }();
  curves.train[20] = 41.7;
  curves.validation[20] = 3.5;
  const std::string svg = report::loss_chart(curves);
  const auto p = numbers_in(quoted_after(svg, "class=\"line train\" d=\"")[0]);
  CHECK(p.back() - p[1] > 0.9 * height_before);
  CHECK(count(svg, "class=\"train-fill\" d=\"") == 1);
  CHECK(count(svg, "class=\"valid-fill\" d=\"") == 1);
  CHECK(count(svg,
              "Triangles mark 2 values beyond the loss axis, the farthest 41.7000 (training, epoch "
              "21).") == 1);
}

TEST_CASE("the names of curves that end together stay apart") {
  for (const double gap : {0.0, 1e-4, -1e-4, 0.004, -0.004}) {
    CAPTURE(gap);
    for (const double end : {0.4, 0.55, 0.7}) {
      const std::string svg =
          report::loss_chart({"", "", {0.4, 0.7, end}, {0.4, 0.7, end + gap}, {}, -1});
      std::vector<double> heights;
      for (const char* style : {"train", "valid"}) {
        const std::string mark = std::string("\" class=\"label ") + style + "-fill\"";
        const std::size_t at = svg.find(mark), from = svg.rfind("y=\"", at) + 3;
        REQUIRE(at != svg.npos);
        heights.push_back(std::stod(svg.substr(from, at - from)));
      }
      CHECK(std::fabs(heights[0] - heights[1]) >= 17.99);
      if (gap > 0) CHECK(heights[1] < heights[0]);
      if (gap < 0) CHECK(heights[1] > heights[0]);
    }
  }
}

TEST_CASE("axis ticks are round, within the axis and few") {
  for (const double low : {-3.0, 0.0, 0.52, 0.69310, 1e-7, 12345.0})
    for (const double span : {1e-3, 0.07, 1.0, 2.5, 80.0, 1e9}) {
      CAPTURE(low);
      CAPTURE(span);
      const auto axis = report::linear_axis(low, low + span);
      CHECK(axis.low <= low);
      CHECK(axis.high >= low + span);
      CHECK(axis.ticks.size() >= 2);
      CHECK(axis.ticks.size() <= 8);
      for (std::size_t i = 0; i < axis.ticks.size(); ++i) {
        const auto& [value, label] = axis.ticks[i];
        CHECK(value >= axis.low - 1e-9 * span);
        CHECK(value <= axis.high + 1e-9 * span);
        CHECK(std::fabs(std::stod(label) - value) <= 1e-5 * (axis.high - axis.low));
        if (i > 0) CHECK(label != axis.ticks[i - 1].second);
      }
    }
  const auto decades = report::log_axis(1.25e-4, 1e-3);
  REQUIRE(decades.ticks.size() == 2);
  CHECK(decades.ticks[0].second == "1e-4");
  CHECK(decades.ticks[1].second == "1e-3");
  const auto epochs = report::epoch_axis(100, 700);
  CHECK(epochs.ticks.front().second == "1");
  CHECK(epochs.ticks[1].second == "10");
  CHECK(epochs.ticks.back().second == "100");
}

TEST_CASE("a chart does not depend on the locale") {
  struct Comma : std::numpunct<char> {
    char do_decimal_point() const override { return ','; }
    std::string do_grouping() const override { return "\3"; }
  };
  const std::string before = report::loss_chart(plain_curves());
  const std::locale old = std::locale::global(std::locale(std::locale(), new Comma));
  const std::string after = report::loss_chart(plain_curves());
  std::locale::global(old);
  CHECK(before == after);
}
