// Trades on the predictions of a file by a rule, after costs, and says what that would have earned
// beside buying and holding and beside the same rule on permuted predictions.
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <tsdl/core/file.hpp>
#include <tsdl/data/candles.hpp>
#include <tsdl/report/backtest_page.hpp>
#include <tsdl/select/backtest.hpp>
#include <vector>

#include "support/directions.hpp"
#include "support/program.hpp"
#include "support/report.hpp"
#include "support/validators.hpp"
#include "support/verdict.hpp"

namespace {

using examples::format_count;
using examples::format_exact;
using examples::say;
using tsdl::Index;

struct Options {
  std::string predictions, data, rule = "sign", fill = "close", from, out = "backtest";
  double threshold = 0, cost_bps = 1, periods_per_year = 0, trials = 1, trials_variance = 0;
  Index permutations = 999;
  std::uint64_t seed = 0;
};

void describe(CLI::App& app, Options& o) {
  using namespace examples;
  app.option_defaults()->always_capture_default();
  app.add_option("--predictions", o.predictions, "CSV that predict or stream wrote")->required();
  app.add_option("--data", o.data, "CSV of the candles that were predicted on")->required();
  app.add_option("--out", o.out, "Directory for returns.csv and report.html");
  app.add_option("--from", o.from, "Leave out predictions before this time: 2020-01-31");
  app.add_option("--rule", o.rule, "sign, threshold or proportional")
      ->check(one_of({"sign", "threshold", "proportional"}));
  app.add_option("--threshold", o.threshold,
                 "Of the rule threshold: long above it, short below\nminus it")
      ->check(number(not_negative));
  app.add_option("--fill", o.fill,
                 "Trade at the close of the row predicted on, or at\nthe next open")
      ->check(one_of({"close", "open"}));
  app.add_option("--cost-bps", o.cost_bps, "Cost of what is traded, in 1/100 of a percent")
      ->check(number({0, 10000, false, false, "from 0 to 10000"}));
  app.add_option("--periods-per-year", o.periods_per_year, "Rows a year; 0: as the times have it")
      ->check(number(not_negative));
  app.add_option("--permutations", o.permutations, "Permutations of the predictions")
      ->check(whole_number(0, 1000000));
  app.add_option("--seed", o.seed, "Of the permutations")->check(whole_number());
  app.add_option("--trials", o.trials, "Strategies among which this one was chosen")
      ->check(number({1, 1e300, false, false, "of 1 or more"}));
  app.add_option("--trials-variance", o.trials_variance,
                 "Variance of their Sharpe ratios, of one row each")
      ->check(number(not_negative));
}

/// Throws: OptionError when options contradict each other.
void check_together(const CLI::App& app, const Options& o) {
  const bool given = app.count("--threshold") > 0;
  if (given && o.rule != "threshold")
    throw tsdl::OptionError("--threshold is for --rule threshold, not for --rule ", o.rule);
  if (!given && o.rule == "threshold")
    throw tsdl::OptionError("--rule threshold needs a --threshold");
  if ((app.count("--trials") > 0) != (app.count("--trials-variance") > 0))
    throw tsdl::OptionError(
        "--trials and --trials-variance belong together: the deflated Sharpe ratio needs both");
  if (std::filesystem::exists(o.out) && !std::filesystem::is_directory(o.out))
    throw tsdl::Error("--out: ", o.out, " is no directory");
}

std::int64_t start_of(const Options& o) {
  if (o.from.empty()) return std::numeric_limits<std::int64_t>::min();
  const std::optional<std::int64_t> time = tsdl::internal::calendar_ms(o.from);
  if (!time)
    throw tsdl::OptionError("--from: expected a date or a date and time, got '", o.from, "'");
  return *time;
}

tsdl::StrategyOptions strategy_of(const Options& o, bool numbers) {
  tsdl::StrategyOptions strategy{.threshold = o.threshold,
                                 .numbers = numbers,
                                 .fill = o.fill == "open" ? tsdl::Fill::open : tsdl::Fill::close,
                                 .cost_bps = o.cost_bps};
  if (o.rule == "threshold") strategy.rule = tsdl::PositionRule::threshold;
  if (o.rule == "proportional") strategy.rule = tsdl::PositionRule::proportional;
  return strategy;
}

/// A line for each period: the row at whose close it ends.
std::string returns_csv(const tsdl::report::BacktestContents& contents) {
  const tsdl::StrategyRun &rule = contents.result.rule, &hold = contents.result.hold;
  std::string text = "time,position,return,equity,hold_return,hold_equity\n";
  for (std::size_t i = 0; i < rule.returns.size(); ++i) {
    text += tsdl::format_time(contents.times[i + 1]);
    for (const double value :
         {rule.positions[i], rule.returns[i], rule.equity[i], hold.returns[i], hold.equity[i]})
      text += ',' + format_exact(value);
    text += '\n';
  }
  return text;
}

/// Figures by rows, the rule and buying and holding by columns; where that does not fit, the latter
/// as remarks.
void print_figures(const tsdl::report::BacktestContents& contents) {
  const std::vector<tsdl::report::BacktestRow> rows = tsdl::report::backtest_rows(contents);
  std::size_t title = 0, cell = std::string_view("buy and hold").size();
  for (const tsdl::report::BacktestRow& row : rows) {
    title = std::max(title, row.title.size());
    cell = std::max({cell, row.rule.size(), row.hold.size()});
  }
  std::puts("");
  if (title + 2 * cell + 6 > examples::terminal_width(stdout)) {
    for (const tsdl::report::BacktestRow& row : rows)
      examples::internal::print_figure(row.title, row.rule,
                                       row.hold.empty() ? "" : "buy and hold " + row.hold);
    return;
  }
  const auto print = [&](std::string_view name, std::string_view rule, std::string_view hold) {
    std::string line =
        "  " + examples::pad_right(name, title) + "  " + examples::pad_left(rule, cell);
    if (!hold.empty()) line += "  " + examples::pad_left(hold, cell);
    std::puts(line.c_str());
  };
  print("", "rule", "buy and hold");
  for (const tsdl::report::BacktestRow& row : rows) print(row.title, row.rule, row.hold);
}

int run(const CLI::App& app, const Options& o) {
  check_together(app, o);
  const std::int64_t from = start_of(o);
  const tsdl::Candles candles = tsdl::read_candles(o.data);
  const examples::Directions said = examples::read_directions(
      tsdl::internal::read_text(o.predictions), o.predictions, candles, o.data, from);
  std::vector<std::int64_t> times;
  std::vector<double> opens, closes;
  for (const tsdl::Candle& candle : candles.rows) {
    times.push_back(candle.time);
    opens.push_back(candle.open);
    closes.push_back(candle.close);
  }
  tsdl::report::BacktestContents contents{
      .strategy = strategy_of(o, said.numbers), .trials = o.trials, .predictions = "predictions"};
  contents.result = tsdl::backtest(times, {opens, closes}, said.signals,
                                   {.strategy = contents.strategy,
                                    .periods_per_year = o.periods_per_year,
                                    .permutations = o.permutations,
                                    .seed = o.seed,
                                    .trials = o.trials,
                                    .trials_variance = o.trials_variance});
  const auto first = times.begin() + contents.result.first;
  contents.times.assign(first, first + std::ssize(contents.result.rule.returns) + 1);

  const examples::TextLines lines = {
      {"data", o.data + ", " + format_count(candles.size()) + " candles"},
      {"predicted", o.predictions + ", " + format_count(said.count) + " rows" +
                        (said.by_row ? ", matched by row number" : "") + "; a direction is " +
                        said.reading},
      {"rule", o.rule + ": " + tsdl::report::rule_text(contents.strategy)},
      {"trades", tsdl::report::fill_text(contents.strategy)},
      {"judged", tsdl::format_time(contents.times.front()) + " to " +
                     tsdl::format_time(contents.times.back()) + ", " +
                     format_count(std::ssize(contents.result.rule.returns)) + " rows"}};
  const std::filesystem::path out(o.out);
  std::filesystem::create_directories(out);
  tsdl::remove_stale_temporaries(out);
  tsdl::AtomicFile csv(out / "returns.csv"), page(out / "report.html");
  csv.write(returns_csv(contents));
  page.write(tsdl::html_backtest(
      contents,
      {.title = "Backtest of " + std::filesystem::path(o.predictions).filename().string() + " on " +
                std::filesystem::path(o.data).filename().string(),
       .summary = lines}));
  csv.commit();
  page.commit();

  for (const auto& [label, text] : lines) say(label, text);
  print_figures(contents);
  for (const std::string& text : tsdl::report::backtest_verdicts(contents)) {
    std::puts("");
    examples::say_paragraph(text);
  }
  std::puts("");
  say("written", (out / "returns.csv").string() + ", " + (out / "report.html").string());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Trade on predictions, after costs, beside buying and holding.", "backtest");
  Options options;
  describe(app, options);
  return examples::run_program(app, argc, argv, [&] { return run(app, options); });
}
