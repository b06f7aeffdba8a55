// A backtest in words, figures and a chart, for a page or a terminal.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/time.hpp"
#include "tsdl/report/axis.hpp"
#include "tsdl/report/figures.hpp"
#include "tsdl/report/forecast.hpp"
#include "tsdl/report/format.hpp"
#include "tsdl/report/svg.hpp"
#include "tsdl/report/trace.hpp"
#include "tsdl/select/backtest.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace report {

/// A backtest, and what a reader must know of it.
struct BacktestContents {
  Backtest result{};
  std::vector<std::int64_t> times{};  ///< of the row before the first period and of every period
  StrategyOptions strategy{};
  double trials = 1;
  std::string predictions{};  ///< what they are of: "test windows", "predictions.csv"
};

/// A figure of the rule beside the same of buying and holding, which may be empty.
struct BacktestRow {
  std::string title, rule, hold;
};

namespace internal {

/// A share as a percentage: 12.3%, 4,512%.
inline std::string growth_text(double share) {
  if (!is_finite(share) || share < 10) return format_percent(share);
  const double percent = 100 * share;
  return (percent < 1e9 ? format_count(static_cast<Index>(std::llround(percent)))
                        : format_scientific(percent, 3)) +
         '%';
}

/// A probability that rounding must not turn into certainty.
inline std::string probability_text(double p) {
  if (p > 0.9995) return "over 99.9%";
  if (p < 0.0005) return "under 0.1%";
  return format_percent(p);
}

/// How long so many periods take; infinitely many never come.
inline std::string years_text(double periods, double per_year) {
  if (!is_finite(periods) || periods > 1e12) return "never";
  return format_fixed(std::ceil(periods) / per_year, 1) + " years";
}

}  // namespace internal

/// The rule in words: "long above 0, short below".
inline std::string rule_text(const StrategyOptions& options) {
  switch (options.rule) {
    case PositionRule::sign:
      return "long where a rise is predicted, short where a fall is";
    case PositionRule::threshold:
      return "long where the prediction is above " + format_exact(options.threshold) +
             ", short below -" + format_exact(options.threshold) + ", else out of the market";
    case PositionRule::proportional:
      return "as long or short as the prediction is large";
  }
  return {};
}

/// How trades are filled and what they cost, in words.
inline std::string fill_text(const StrategyOptions& options) {
  return std::string(options.fill == Fill::close
                         ? "filled at the close at which they are decided"
                         : "filled at the open after the close at which they are decided") +
         (options.cost_bps > 0
              ? ", at a cost of " + format_exact(options.cost_bps / 100) + "% of what is traded"
              : ", without costs");
}

/// Every figure of a backtest.
inline std::vector<BacktestRow> backtest_rows(const BacktestContents& contents) {
  using namespace internal;
  const FloatModeGuard guard;
  const Backtest& b = contents.result;
  const StrategyFigures &r = b.rule.figures, &h = b.hold.figures;
  const auto number = [](double value) { return format_fixed(value, 2); };
  std::vector<BacktestRow> rows = {
      {"total return", growth_text(r.total_return), growth_text(h.total_return)},
      {"return a year", growth_text(r.annual_return), growth_text(h.annual_return)},
      {"volatility a year", growth_text(r.annual_volatility), growth_text(h.annual_volatility)},
      {"Sharpe ratio a year", number(r.annual_sharpe), number(h.annual_sharpe)},
      {"largest drawdown", format_percent(r.max_drawdown), format_percent(h.max_drawdown)},
      {"traded a year", number(r.turnover) + "x", number(h.turnover) + "x"},
      {"trades", format_count(r.trades), format_count(h.trades)},
      {"share in the market", format_percent(r.in_market), format_percent(h.in_market)},
      {"Sharpe ratio a row", format_fixed(r.per_period.sharpe, 4),
       format_fixed(h.per_period.sharpe, 4)},
      {"skew of a row", number(r.per_period.skew), number(h.per_period.skew)},
      {"kurtosis of a row", number(r.per_period.kurtosis), number(h.per_period.kurtosis)},
      {"P(Sharpe ratio > 0)", probability_text(b.probabilistic_sharpe),
       probability_text(probabilistic_sharpe_ratio(h.per_period))},
      {"record for 95%", years_text(b.minimum_track_record, b.periods_per_year),
       years_text(minimum_track_record_length(h.per_period), b.periods_per_year)}};
  if (contents.trials > 1) {
    const double annual = std::sqrt(b.periods_per_year);
    rows.push_back({"luck's best Sharpe ratio", number(b.expected_maximum * annual), ""});
    rows.push_back({"deflated Sharpe ratio", probability_text(b.deflated_sharpe), ""});
  }
  if (b.permutations > 0) rows.push_back({"p of permutations", format_fixed(b.p_value, 4), ""});
  return rows;
}

/// What a backtest says, sentence by sentence, the most important first.
inline std::vector<std::string> backtest_verdicts(const BacktestContents& contents) {
  using namespace internal;
  const FloatModeGuard guard;
  const Backtest& b = contents.result;
  const StrategyFigures &r = b.rule.figures, &h = b.hold.figures;
  const bool more = r.total_return > h.total_return, surer = r.annual_sharpe > h.annual_sharpe;
  std::vector<std::string> lines;
  std::string text;
  if (b.rule.positions == b.hold.positions) {
    lines.push_back(
        "The rule was long throughout, as buying and holding is: " + growth_text(r.total_return) +
        ", a Sharpe ratio of " + format_fixed(r.annual_sharpe, 2) + " a year.");
  } else {
    text = "The rule returned " + growth_text(r.total_return) +
           (contents.strategy.cost_bps > 0 ? " after costs" : "") + ", buying and holding " +
           growth_text(h.total_return) + "; ";
    text += more == surer ? "its Sharpe ratio is " + std::string(surer ? "higher too" : "no higher")
                          : std::string("yet its Sharpe ratio is ") + (surer ? "higher" : "lower");
    lines.push_back(text + ": " + format_fixed(r.annual_sharpe, 2) + " against " +
                    format_fixed(h.annual_sharpe, 2) + " a year.");
  }
  if (b.permutations > 0) {
    text = "With the predictions permuted, the same rule had as high a Sharpe ratio in " +
           format_count(b.as_good) + " of " + format_count(b.permutations) +
           " cases (p = " + format_fixed(b.p_value, 4) + "): ";
    text += b.p_value <= 0.05 ? "when they were made matters, which luck alone rarely shows."
                              : "chance does as well, so this shows no skill.";
    lines.push_back(std::move(text));
  }
  text = "The probability that the true Sharpe ratio is above 0 is " +
         probability_text(b.probabilistic_sharpe);
  if (is_finite(b.minimum_track_record) && b.probabilistic_sharpe < 0.95)
    text += "; for 95% such returns would have to last " +
            years_text(b.minimum_track_record, b.periods_per_year);
  if (contents.trials > 1)
    text += ". Against the best that luck gives " + format_exact(contents.trials) +
            " trials it is " + probability_text(b.deflated_sharpe);
  lines.push_back(text + ".");
  return lines;
}

namespace internal {

struct BacktestLayout {
  double left, width, equity_height, loss_height;
};

inline double backtest_height(const BacktestLayout& o) {
  return 24 + o.equity_height + 34 + o.loss_height + 28;
}

/// The loss from the peak so far in percent, 0 or below.
inline std::vector<double> losses_in_percent(std::span<const double> equity) {
  std::vector<double> losses;
  double peak = 1;
  for (const double value : equity) {
    peak = std::max(peak, value);
    losses.push_back(100 * (value / peak - 1));
  }
  return losses;
}

inline void draw_backtest(ChartWriter& chart, const BacktestContents& contents,
                          const BacktestLayout& o) {
  const auto with_start = [](std::vector<double> values, double start) {
    values.insert(values.begin(), start);
    return values;
  };
  const Backtest& b = contents.result;
  const Axis x_axis = time_axis(contents.times, static_cast<std::size_t>(o.width / 64));
  const auto draw = [&](double top, double height, std::string_view name,
                        const std::vector<double>& rule, const std::vector<double>& hold,
                        double level, bool last) {
    const auto [low, high] = std::minmax_element(rule.begin(), rule.end());
    const auto [least, most] = std::minmax_element(hold.begin(), hold.end());
    const Panel panel{o.left, top,    o.width,
                      height, x_axis, linear_axis(std::min(*low, *least), std::max(*high, *most))};
    chart.frame(panel, last);
    chart.text(panel.left, panel.top - 8, "label", "start", name);
    chart.line(panel.left, panel.y(level), panel.left + panel.width, panel.y(level), "baseline");
    const Panel inner{0, 0, panel.width, panel.height, panel.x_axis, panel.y_axis};
    for (const auto& [values, style] : {std::pair{&hold, "actual"}, std::pair{&rule, "c0"}}) {
      const Trace trace = trace_on(panel.y_axis, *values);
      chart.add({"<g transform=\"translate(", coordinate(panel.left), " ", coordinate(panel.top),
                 ")\"><path class=\"line thin ", style, "\" d=\"",
                 TracePath(inner, trace, contents.times).line(), "\"/></g>\n"});
    }
  };
  draw(24, o.equity_height, "worth of 1", with_start(b.rule.equity, 1),
       with_start(b.hold.equity, 1), 1, false);
  draw(24 + o.equity_height + 34, o.loss_height, "loss from the peak, %",
       with_start(losses_in_percent(b.rule.equity), 0),
       with_start(losses_in_percent(b.hold.equity), 0), 0, true);
}

}  // namespace internal

/// What 1 becomes by the rule and by buying and holding, and below it the loss from the peak, wide
/// and narrow. However many rows there are, at most four points stand on a pixel.
inline Figure backtest_figure(const BacktestContents& contents) {
  using namespace internal;
  const FloatModeGuard guard;
  const BacktestLayout wide{60, 754, 260, 110}, narrow{48, 306, 190, 90};
  const std::string label = "What 1 becomes by the rule, " +
                            format_fixed(1 + contents.result.rule.figures.total_return, 2) +
                            ", and by buying and holding, " +
                            format_fixed(1 + contents.result.hold.figures.total_return, 2) +
                            ", with the loss from the peak below, from " +
                            format_time(contents.times.front()) + " to " +
                            format_time(contents.times.back());
  Figure figure;
  for (const bool is_wide : {true, false}) {
    const BacktestLayout& layout = is_wide ? wide : narrow;
    ChartWriter chart;
    draw_backtest(chart, contents, layout);
    figure.svg += page_svg(is_wide ? "wide" : "narrow", is_wide ? 840 : 380,
                           backtest_height(layout), label, chart.take());
  }
  return figure;
}

}  // namespace report
}  // namespace TSDL_ABI
}  // namespace tsdl
