// The sections that tell of a backtest, on the page of a training or on one of their own.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/report/backtest.hpp"
#include "tsdl/report/contents.hpp"
#include "tsdl/report/html.hpp"
#include "tsdl/report/sections.hpp"
#include "tsdl/report/svg.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace report {

namespace internal {

inline void check_backtest_contents(const BacktestContents& contents) {
  const std::size_t periods = contents.result.rule.equity.size();
  if (periods == 0 || contents.result.hold.equity.size() != periods ||
      contents.times.size() != periods + 1)
    throw ShapeError("report: a backtest of ", periods, " periods, held for ",
                     contents.result.hold.equity.size(), ", with ", contents.times.size(),
                     " times: expected one time more than periods");
}

/// The chart of a backtest, with what it says where that is not on the page already, and the table
/// of its figures, in sections of a page.
inline void write_backtest(ReportParts& parts, const BacktestContents& contents, bool verdicts) {
  check_backtest_contents(contents);
  const Backtest& b = contents.result;
  std::string reading = "What 1 becomes by trading on the " + contents.predictions + ", " +
                        rule_text(contents.strategy) + "; trades are " +
                        fill_text(contents.strategy) + ".";
  if (verdicts)
    for (const std::string& line : backtest_verdicts(contents)) reading += " " + line;
  parts.figure("Backtest", backtest_figure(contents), reading,
               "buying at the first row and holding, on the same rows and at the same cost.",
               ReportParts::legend(ReportParts::legend_item("line c0", "rule") +
                                   ReportParts::legend_item("line actual", "buy and hold")));
  parts.open_table("Figures of the backtest", {"figure", "rule", "buy and hold"});
  for (const BacktestRow& row : backtest_rows(contents))
    parts.page_.row({row.title, row.rule, row.hold});
  std::string note =
      "Over " + format_count(std::ssize(b.rule.returns)) + " rows, " +
      format_fixed(b.periods_per_year, 1) +
      " a year. Positions are decided from predictions up to their row. A year's Sharpe ratio is a "
      "row's times the root of the rows in a year. Record for 95%: how long such returns must "
      "last until the probability of a Sharpe ratio above 0 is 95%.";
  if (b.permutations > 0)
    note +=
        " Permutations put whole stretches of predictions at other rows, so that they trade about "
        "as often; p is the share with as high a Sharpe ratio, these predictions included.";
  if (contents.trials > 1)
    note +=
        " Luck's best Sharpe ratio, a year, is what the best of the trials is expected to show "
        "without skill.";
  parts.close_table(note);
}

}  // namespace internal

/// What the page of a backtest says beside it.
struct BacktestPageOptions {
  std::string title = "Backtest";
  std::vector<SettingsGroup> settings{};
  TextLines summary{};
};

}  // namespace report

/// The page of a backtest: one file of HTML without scripts that asks for nothing, as
/// html_report(). The same input gives the same bytes.
/// Throws: ShapeError when times and periods do not fit.
inline std::string html_backtest(const report::BacktestContents& contents,
                                 const report::BacktestPageOptions& options = {}) {
  const FloatModeGuard guard;
  report::internal::check_backtest_contents(contents);
  const Report none;
  report::internal::ReportParts parts(none);
  report::HtmlWriter& page = parts.page_;
  page.markup({"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n",
               "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"/>\n",
               "<meta name=\"color-scheme\" content=\"light dark\"/>\n<title>",
               report::xml_text(options.title), "</title>\n", report::chart_style,
               report::page_style, "</head>\n<body>\n<main>\n"});
  page.open("header").element("h1", options.title);
  page.open("p", "soft")
      .text("From " + format_time(contents.times.front()) + " to " +
            format_time(contents.times.back()) + ".")
      .close()
      .close();
  const StrategyFigures &rule = contents.result.rule.figures, &hold = contents.result.hold.figures;
  page.open("div", "sheet").open("div", "scores");
  parts.headline_score(report::format_fixed(rule.annual_sharpe, 2), "Sharpe ratio a year");
  parts.headline_score(report::format_fixed(hold.annual_sharpe, 2), "baseline: buy and hold",
                       "soft");
  parts.headline_score(report::internal::growth_text(rule.total_return),
                       contents.strategy.cost_bps > 0 ? "return after costs" : "return");
  parts.headline_score(report::internal::growth_text(hold.total_return), "baseline: buy and hold",
                       "soft");
  page.close().open("div", "verdict");
  for (const std::string& line : report::backtest_verdicts(contents)) page.element("p", line);
  page.close().close();
  report::internal::write_backtest(parts, contents, false);
  report::internal::write_summary(page, "Data and rule", options.summary);
  report::internal::write_settings(page, options.settings);
  page.markup({"</main>\n</body>\n</html>\n"});
  return page.take();
}

}  // namespace TSDL_ABI
}  // namespace tsdl
