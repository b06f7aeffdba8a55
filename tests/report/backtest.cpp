// The backtest of a page: which predictions are directions, words that follow from figures, a chart
// that has both curves where they are, a page of its own and the section of a training's.
#include "tsdl/report/backtest.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "data/helpers.hpp"
#include "support/svg.hpp"
#include "tsdl/report/backtest_page.hpp"
#include "tsdl/report/backtest_signals.hpp"
#include "tsdl/report/page.hpp"

namespace {

namespace report = tsdl::report;
using test::contains;
using test::count;
using tsdl::Evaluation;
using tsdl::Index;
using tsdl::Recipe;

constexpr std::int64_t day = 86400000;

/// The backtest of these signals on closes that rise by 1% and fall by 1% in turn.
report::BacktestContents contents_of(const std::vector<double>& signals,
                                     tsdl::BacktestOptions options = {}) {
  std::vector<std::int64_t> times;
  std::vector<double> closes;
  for (std::size_t t = 0; t < signals.size(); ++t) {
    times.push_back(static_cast<std::int64_t>(t) * day);
    closes.push_back(t == 0 ? 100 : closes.back() * (t % 2 == 1 ? 1.01 : 0.99));
  }
  report::BacktestContents contents;
  contents.result = tsdl::backtest(times, {{}, closes}, signals, options);
  contents.times = times;
  contents.strategy = options.strategy;
  contents.trials = options.trials;
  contents.predictions = "test windows";
  return contents;
}

/// Right at every row but each tenth.
std::vector<double> knowing(std::size_t rows) {
  std::vector<double> signals;
  for (std::size_t t = 0; t < rows; ++t)
    signals.push_back((t % 2 == 0) != (t % 10 == 3) ? 1.0 : -1.0);
  return signals;
}

std::string cell(const report::BacktestContents& contents, std::string_view title, bool hold) {
  for (const report::BacktestRow& row : report::backtest_rows(contents))
    if (row.title == title) return hold ? row.hold : row.rule;
  return "no such row";
}

std::string verdicts(const report::BacktestContents& contents) {
  std::string text;
  for (const std::string& line : report::backtest_verdicts(contents)) text += line + '\n';
  return text;
}

Evaluation evaluation_of(std::vector<double> predictions, Index outputs) {
  Evaluation e;
  e.outputs = outputs;
  e.predictions = std::move(predictions);
  for (std::size_t i = 0; i < e.predictions.size() / static_cast<std::size_t>(outputs); ++i)
    e.ends.push_back(static_cast<Index>(i));
  e.confusion.counts.assign(
      static_cast<std::size_t>(std::max<Index>(outputs, 2)),
      std::vector<Index>(static_cast<std::size_t>(std::max<Index>(outputs, 2))));
  return e;
}

Recipe recipe_of(tsdl::Label label, std::vector<double> classes = {}) {
  Recipe recipe;
  recipe.label = std::move(label);
  recipe.class_values = std::move(classes);
  return recipe;
}

}  // namespace

TEST_CASE("backtest report: what is a direction") {
  using Signals = std::vector<double>;
  const Evaluation two = evaluation_of({0.75, 0.25, 0.5}, 1);
  CHECK(report::directional_signals(two, recipe_of(tsdl::DirectionLabel{}, {0, 1})) ==
        Signals{0.5, -0.5, 0});
  CHECK(report::directional_signals(two, recipe_of(tsdl::RangeLabel{}, {0, 1})).empty());
  CHECK(report::directional_signals(two, recipe_of(tsdl::ColumnLabel{}, {0, 1})).empty());
  Recipe each = recipe_of(tsdl::DirectionLabel{}, {0, 1});
  each.every_step = true;
  CHECK(report::directional_signals(two, each).empty());

  const Evaluation three = evaluation_of({0.25, 0.5, 0.25, 0.125, 0.125, 0.75}, 3);
  for (const tsdl::Label& label :
       {tsdl::Label(tsdl::ThresholdLabel{}), tsdl::Label(tsdl::TripleBarrierLabel{})})
    CHECK(report::directional_signals(three, recipe_of(label, {-1, 0, 1})) == Signals{0, 0.625});

  // Quantiles of two targets, target by target: the level nearest to the median of close_return.
  Evaluation numbers = evaluation_of({9, 9, 9, 1, 2, 3, 8, 8, 8, -3, -2, -1}, 6);
  numbers.task = "quantiles";
  numbers.levels = {0.1, 0.4, 0.9};
  CHECK(report::directional_signals(
            numbers, recipe_of(tsdl::ColumnTargets{.columns = {"volume", "Close_Return"}})) ==
        Signals{2, -2});
  CHECK(report::directional_signals(numbers,
                                    recipe_of(tsdl::ColumnTargets{.columns = {"volume", "close"}}))
            .empty());
  numbers.predictions[0] = test::nan;
  CHECK(report::directional_signals(
            numbers, recipe_of(tsdl::ColumnTargets{.columns = {"volume", "close_return"}}))
            .empty());
}

TEST_CASE("backtest report: the judged windows are traded on, holes left out") {
  tsdl::Prepared<float> data;
  data.recipe = recipe_of(tsdl::DirectionLabel{}, {0, 1});
  for (Index t = 0; t < 12; ++t) {
    data.times.push_back(t * day);
    data.closes.push_back(100 + static_cast<double>(t % 2));
  }
  Evaluation e = evaluation_of({1, 0, 1, 0}, 1);
  e.tested = true;
  e.ends = {4, 5, 6, 9};  // at closes 100, 101, 100, 101
  const auto found = report::backtest_of(data, e, 0);
  REQUIRE(found);
  CHECK(found->times.front() == 4 * day);
  CHECK(found->times.back() == 10 * day);
  CHECK(found->result.rule.positions == std::vector<double>{1, -1, 1, 0, 0, -1});
  CHECK(test::close_to(found->result.rule.figures.total_return,
                       1.01 * (2 - 100.0 / 101) * 1.01 * (2 - 100.0 / 101) - 1, 1e-14));
  CHECK(found->predictions == "predictions for the test windows");
  CHECK(found->result.permutations == report::page_permutations);
  CHECK(test::close_to(found->result.periods_per_year, 365.2425, 1e-12));
  const auto costly = report::backtest_of(data, e, 10);
  CHECK(costly->result.rule.figures.total_return < found->result.rule.figures.total_return);
  CHECK(contains(report::fill_text(costly->strategy), "at a cost of 0.1% of what is traded"));
  // The last row has nobody after it.
  e.ends = {4, 5, 6, 11};
  CHECK(report::backtest_of(data, e, 0)->times.back() == 11 * day);
  e.ends = {4, 5, 6, 12};
  CHECK_FALSE(report::backtest_of(data, e, 0));
  e.ends = {4, 5, 6, 9};
  data.closes.clear();
  CHECK_FALSE(report::backtest_of(data, e, 0));
}

TEST_CASE("backtest report: figures as text") {
  tsdl::BacktestOptions options{.permutations = 99, .trials = 50, .trials_variance = 0.01};
  const report::BacktestContents contents = contents_of(knowing(201), options);
  const tsdl::StrategyFigures& r = contents.result.rule.figures;
  CHECK(cell(contents, "total return", false) == report::format_percent(r.total_return));
  CHECK(cell(contents, "total return", true) == "-1.0%");  // (1.01 x .99)^100 = .99005
  CHECK(cell(contents, "largest drawdown", true) == "2.0%");
  CHECK(cell(contents, "Sharpe ratio a year", false) ==
        report::format_fixed(r.per_period.sharpe * std::sqrt(365.2425), 2));
  CHECK(cell(contents, "trades", true) == "1");
  CHECK(cell(contents, "share in the market", false) == "100.0%");
  CHECK(cell(contents, "P(Sharpe ratio > 0)", false) == "over 99.9%");
  CHECK(cell(contents, "record for 95%", true) == "never");
  CHECK(cell(contents, "luck's best Sharpe ratio", false) ==
        report::format_fixed(tsdl::expected_maximum_sharpe(50, 0.01) * std::sqrt(365.2425), 2));
  CHECK(cell(contents, "deflated Sharpe ratio", true) == "");
  CHECK(cell(contents, "p of permutations", false) == "0.0100");
  const report::BacktestContents plain = contents_of(knowing(201));
  CHECK(cell(plain, "deflated Sharpe ratio", false) == "no such row");
  CHECK(cell(plain, "p of permutations", false) == "no such row");
  CHECK(report::internal::growth_text(123.4) == "12,340%");
  CHECK(report::internal::growth_text(1.234567e9) == "1.23e11%");
  CHECK(report::internal::growth_text(-1) == "-100.0%");
  CHECK(report::internal::probability_text(1) == "over 99.9%");
  CHECK(report::internal::probability_text(1e-9) == "under 0.1%");
}

TEST_CASE("backtest report: words that follow from the figures") {
  tsdl::BacktestOptions options{.permutations = 99};
  std::string text = verdicts(contents_of(knowing(201), options));
  CHECK(contains(text, ", buying and holding -1.0%; its Sharpe ratio is higher too: "));
  CHECK_FALSE(contains(text, "after costs"));
  CHECK(contains(text, "in 0 of 99 cases (p = 0.0100): when they were made matters"));
  CHECK(contains(text, "above 0 is over 99.9%.\n"));
  CHECK_FALSE(contains(text, "trials"));

  options.strategy.cost_bps = 1;
  text = verdicts(contents_of(std::vector<double>(201, 1.0), options));
  CHECK(contains(text, "The rule was long throughout, as buying and holding is: -1.0%, a Sharpe"));
  CHECK(contains(text, "in 99 of 99 cases (p = 1.0000): chance does as well"));

  std::vector<double> wrong = knowing(201);
  for (double& signal : wrong) signal = -signal;
  options.trials = 7;
  options.trials_variance = 0.01;
  text = verdicts(contents_of(wrong, options));
  CHECK(contains(text, " after costs, buying and holding -1.0%; its Sharpe ratio is no higher: "));
  CHECK(contains(text, "above 0 is under 0.1%. Against the best that luck gives 7 trials it is "));

  // Less money at less risk: now and then long, and mostly right.
  std::vector<double> seldom(201, 0.0);
  seldom[0] = seldom[50] = seldom[51] = 1;
  report::BacktestContents contents = contents_of(seldom);
  CHECK(contains(verdicts(contents), "; for 95% such returns would have to last "));
  contents.result.hold.figures.total_return = 5;
  CHECK(contains(verdicts(contents), "; yet its Sharpe ratio is higher: "));
  contents.result.hold.figures.total_return = -0.5;
  contents.result.hold.figures.annual_sharpe = 100;
  CHECK(contains(verdicts(contents), "; yet its Sharpe ratio is lower: "));

  tsdl::StrategyOptions strategy{.rule = tsdl::PositionRule::threshold, .threshold = 0.25};
  CHECK(contains(report::rule_text(strategy), "above 0.25, short below -0.25"));
  strategy = {.rule = tsdl::PositionRule::proportional, .fill = tsdl::Fill::open};
  CHECK(contains(report::rule_text(strategy), "as long or short as"));
  CHECK(contains(report::fill_text(strategy), "at the open after"));
  CHECK(contains(report::fill_text(strategy), "without costs"));
}

TEST_CASE("backtest report: the curves are where the equity is") {
  const report::BacktestContents contents = contents_of(knowing(101));
  const report::Figure figure = report::backtest_figure(contents);
  const std::string wide = figure.svg.substr(0, figure.svg.find("</svg>"));
  const auto paths = test::quoted_after(wide, "class=\"line thin c0\" d=\"");
  REQUIRE(paths.size() == 2);
  const std::vector<double> points = test::numbers_in(paths[0]);
  REQUIRE(points.size() == 2 * 101);
  // Height is proportional to equity: through the first and the last point, every other one.
  const auto& equity = contents.result.rule.equity;
  const double slope = (points[201] - points[1]) / (equity.back() - 1);
  for (std::size_t i = 0; i < equity.size(); ++i) {
    CHECK(std::abs(points[2 * i + 3] - (points[1] + slope * (equity[i] - 1))) < 0.11);
    CHECK(std::abs(points[2 * i + 2] - 754 * static_cast<double>(i + 1) / 100) < 0.11);
  }
  CHECK(slope < 0);
  CHECK(points[1] > points[201]);
  CHECK(count(figure.svg, "class=\"line thin actual\"") == 4);  // two panels, wide and narrow
  CHECK(contains(figure.svg, "from 1970-01-01 to 1970-04-11"));
}

TEST_CASE("backtest report: a page of its own") {
  tsdl::BacktestOptions options{.permutations = 19};
  const report::BacktestContents contents = contents_of(knowing(301), options);
  const report::BacktestPageOptions more{.title = "A <test>",
                                         .settings = {{"Rule", {{"rule", "sign"}, {"from", ""}}}},
                                         .summary = {{"data", "candles & more"}}};
  const std::string page = tsdl::html_backtest(contents, more);
  constexpr std::string_view doctype = "<!DOCTYPE html>\n";
  REQUIRE(page.starts_with(doctype));
  CHECK(test::xml_fault(std::string_view(page).substr(doctype.size())) == "");
  CHECK(page == tsdl::html_backtest(contents, more));
  CHECK(contains(page, "<h1>A &lt;test&gt;</h1>"));
  CHECK(contains(page, "<dd>candles &amp; more</dd>"));
  CHECK(contains(page, "<dt>from</dt>\n<dd>not set</dd>"));
  for (const char* heading :
       {"Backtest", "Figures of the backtest", "Data and rule", "Configuration"})
    CHECK(count(page, "<h2>" + std::string(heading) + "</h2>") == 1);
  CHECK_FALSE(contains(page, "<script"));
  CHECK(count(page, "With the predictions permuted") == 1);
  // It does not grow with the rows.
  const std::string large = tsdl::html_backtest(contents_of(knowing(60001)));
  CHECK(large.size() < 200000);
  report::BacktestContents bad = contents;
  bad.times.pop_back();
  CHECK_THROWS_AS(tsdl::html_backtest(bad), tsdl::ShapeError);
  CHECK_THROWS_AS(tsdl::html_backtest({}), tsdl::ShapeError);
}

TEST_CASE("backtest report: the section of a training's page") {
  tsdl::Report run;
  run.subject = "a model";
  CHECK_FALSE(contains(tsdl::html_report(run), "<h2>Backtest</h2>"));
  run.backtest = contents_of(knowing(201), {.strategy = {.cost_bps = 1}, .permutations = 19});
  const std::string page = tsdl::html_report(run);
  CHECK(count(page, "<h2>Backtest</h2>") == 1);
  CHECK(contains(page, "at a cost of 0.01% of what is traded"));
  CHECK(count(page, "With the predictions permuted") == 1);
  CHECK(test::xml_fault(std::string_view(page).substr(page.find('\n') + 1)) == "");
}
