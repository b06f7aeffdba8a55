// The sections and the page of a forecast of several steps: its figures by step beside those of
// baselines, how often its intervals hold, and fan charts.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/file.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/report/contents.hpp"
#include "tsdl/report/fan_chart.hpp"
#include "tsdl/report/figures.hpp"
#include "tsdl/report/format.hpp"
#include "tsdl/report/html.hpp"
#include "tsdl/report/sections.hpp"
#include "tsdl/report/svg.hpp"
#include "tsdl/task/forecast_figures.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace report {

/// A model or a baseline: what it is called, and its figures of each step and of all.
struct ForecastColumn {
  std::string name;
  std::vector<StepFigures> steps;
  StepFigures overall{};

  static ForecastColumn of(std::string name, const ForecastFigures& figures) {
    ForecastColumn column{std::move(name), {}, figures.overall()};
    for (Index h = 0; h < figures.steps(); ++h) column.steps.push_back(figures.step(h));
    return column;
  }
};

/// What the sections tell.
struct ForecastContents {
  ForecastColumn model;                     ///< with the figures of its intervals, if it has any
  std::vector<ForecastColumn> baselines{};  ///< on the same samples: repeat last, seasonal naive
  std::vector<FanSeries> fans{};
  std::string samples = "test windows";  ///< what the figures are means of
  std::string intervals{};  ///< how the intervals were made: "split-conformal, on 500 windows"
};

namespace internal {

/// A figure of a step, as a table has it.
struct StepFigure {
  std::string_view name, what;
  double StepFigures::*value;
};
inline constexpr std::array<StepFigure, 4> step_figures = {{
    {"MSE", "mean squared error", &StepFigures::mse},
    {"MAE", "mean absolute error", &StepFigures::mae},
    {"sMAPE", "symmetric percentage error, 0 to 200", &StepFigures::smape},
    {"MASE", "MAE over that of the seasonal naive forecast on the training part",
     &StepFigures::mase},
}};

/// A number of at most six characters or so, "n/a" where there is none.
inline std::string step_number(double value) {
  const double size = std::fabs(value);
  if (size >= 1e5 || (size < 1e-3 && !is_zero(size))) return format_scientific(value, 3);
  return format_fixed(value, size < 10 ? 4 : size < 100 ? 3 : size < 1000 ? 2 : 1);
}

/// The steps of a table's rows, from 0: the first, each quarter of H, the last.
inline std::vector<std::size_t> shown_steps(std::size_t H) {
  std::vector<std::size_t> steps;
  for (std::size_t part = 0; part <= 4 && H > 0; ++part)
    if (const std::size_t h = part == 0 ? 0 : std::max<std::size_t>(H * part / 4, 1) - 1;
        steps.empty() || h > steps.back())
      steps.push_back(h);
  return steps;
}

/// Throws: ShapeError when baselines, or figures of intervals, are not of the model's steps.
inline void check_forecast_contents(const ForecastContents& contents) {
  const std::size_t H = contents.model.steps.size();
  const std::size_t C = contents.model.overall.intervals.size();
  for (const ForecastColumn& one : contents.baselines)
    if (one.steps.size() != H)
      throw ShapeError("report: '", one.name, "' forecasts ", one.steps.size(),
                       " steps, the model ", H);
  for (const StepFigures& step : contents.model.steps)
    if (step.intervals.size() != C)
      throw ShapeError("report: a step with intervals of ", step.intervals.size(),
                       " coverages, where all steps have ", C);
}

}  // namespace internal

/// How many coverages a chart of them shows.
inline constexpr std::size_t most_shown_coverages = 3;

/// The share of truths within the intervals of each step, beside what was meant; wide and narrow.
inline Figure coverage_by_step_figure(std::span<const StepFigures> steps) {
  using namespace internal;
  constexpr std::array<std::string_view, most_shown_coverages> styles = {"train", "valid", "rate"};
  const std::size_t H = steps.size();
  const std::size_t C = H == 0 ? 0 : std::min(steps[0].intervals.size(), most_shown_coverages);
  std::vector<Curve> curves;
  std::string label = "Coverage by step";
  double least = 1;
  for (std::size_t c = 0; c < C; ++c) {
    Curve curve{{}, styles[c], {}};
    for (const StepFigures& step : steps) {
      const double share = step.intervals[c].coverage;
      curve.values.push_back(share);
      if (is_finite(share)) least = std::min(least, share);
    }
    const double meant = steps[0].intervals[c].meant;
    if (is_finite(meant)) least = std::min(least, meant);
    if (const std::size_t last = curve.last(); last < curve.values.size())
      label += "; " + percent(meant) + " meant, " + percent(curve.values[0]) +
               " at the first step, " + percent(curve.values[last]) + " at step " +
               format_count(static_cast<Index>(last + 1));
    curves.push_back(std::move(curve));
  }
  const int from = std::clamp(static_cast<int>(std::floor(least * 10 - 0.5)), 0, 9);
  Axis shares{from / 10.0, 1, {}};
  for (int tenth = from; tenth <= 10; ++tenth)
    if (from > 4 || tenth % 2 == 0)
      shares.ticks.emplace_back(tenth / 10.0, format_fixed(10.0 * tenth, 0) + "%");
  Figure figure;
  for (const bool is_wide : {true, false}) {
    const double all = is_wide ? 840 : 380, left = 50, width = all - left - 16;
    const Panel panel{left, 14, width, is_wide ? 240.0 : 220.0, epoch_axis(H, width), shares};
    ChartWriter chart;
    chart.frame(panel, true);
    for (std::size_t c = 0; c < C; ++c)
      if (const double meant = steps[0].intervals[c].meant; is_finite(meant))
        chart.line(left, panel.y(meant), left + width, panel.y(meant), "baseline");
    for (const Curve& curve : curves) chart.curve(panel, curve);
    chart.text(left + width / 2, panel.top + panel.height + 40, "name", "middle", "step");
    figure.svg += page_svg(is_wide ? "wide" : "narrow", all, panel.top + panel.height + 50, label,
                           chart.take());
  }
  return figure;
}

namespace internal {

/// Writes the sections of one forecast into a page.
class ForecastSections {
 public:
  ForecastSections(ReportParts& parts, const ForecastContents& contents)
      : parts_(parts), page_(parts.page_), contents_(contents) {
    check_forecast_contents(contents);
    for (const StepFigure& figure : step_figures)  // the most telling is the last that is known
      if (is_finite(contents.model.overall.*figure.value)) judged_ = &figure;
  }

  /// The figure that the model is judged by, beside each baseline's.
  void scores() {
    const StepFigures& model = contents_.model.overall;
    parts_.headline_score(step_number(model.*judged_->value),
                          std::string(judged_->name) + " of " + model_name() + ", lower is better");
    for (const ForecastColumn& one : contents_.baselines)
      parts_.headline_score(step_number(one.overall.*judged_->value), "baseline: " + one.name,
                            "soft");
  }

  /// What is to be said of the model in a line or two.
  std::vector<std::string> verdicts() const {
    const double own = contents_.model.overall.*judged_->value;
    const std::string name(judged_->name);
    if (!is_finite(own))
      return {"There are no figures of the model, so nothing can be said of it."};
    std::vector<std::string> lines;
    const ForecastColumn* best = nullptr;
    for (const ForecastColumn& one : contents_.baselines)
      if (const double value = one.overall.*judged_->value;
          is_finite(value) && (!best || value < best->overall.*judged_->value))
        best = &one;
    if (best) {
      const double other = best->overall.*judged_->value;
      if (own < other)
        lines.push_back("By " + name + " the model beats every baseline: it is " +
                        format_percent(1 - own / other) + " below " + best->name +
                        ", the best of them.");
      else
        lines.push_back("By " + name + " the model does not beat " + best->name + ".");
    }
    for (const IntervalFigures& one : contents_.model.overall.intervals)
      if (is_finite(one.coverage) && std::fabs(one.coverage - one.meant) > 0.05)
        lines.push_back("Intervals that are meant to hold " + percent(one.meant) +
                        " of the truths hold " + percent(one.coverage) + ".");
    return lines;
  }

  /// Fan charts, tables and the chart of coverage.
  void write() {
    fans();
    tables();
    coverage();
    interval_table();
  }

 private:
  std::string model_name() const {
    return contents_.model.name.empty() ? "the model" : contents_.model.name;
  }

  /// A line of a legend before which so many bands lie on each other.
  static std::string band_item(std::size_t depth, std::string_view text) {
    std::string item = "<li><svg class=\"tsdl-chart\" aria-hidden=\"true\" viewBox=\"0 0 30 10\">";
    for (std::size_t i = 0; i < depth; ++i) item += "<path class=\"fan-line\" d=\"M1 5H29\"/>";
    return item + "</svg>" + xml_text(text, 80) + "</li>\n";
  }

  void fans() {
    if (contents_.fans.empty()) return;
    Figure figure = fan_figure(contents_.fans);
    if (contents_.fans.size() > 1) figure.svg = "<div class=\"many\">\n" + figure.svg + "</div>\n";
    std::string items = ReportParts::legend_item("line known", "actual") +
                        ReportParts::legend_item("line said", "forecast");
    const std::vector<double> coverages = fan_coverages(contents_.fans);
    for (std::size_t i = 0; i < coverages.size(); ++i)
      items += band_item(i + 1, format_percent(coverages[i], 0) + " interval");
    std::string reading = "The dashed line is the last row that a forecast knows.";
    if (!coverages.empty())
      reading += " Of many truths, the share that a band is named by should lie within it.";
    if (!contents_.intervals.empty()) reading += " Intervals: " + contents_.intervals + ".";
    parts_.figure(contents_.fans.size() > 1 ? "Forecasts" : "Forecast", figure, reading, "",
                  ReportParts::legend(items));
  }

  void tables() {
    const std::size_t H = contents_.model.steps.size();
    if (H == 0) return;
    page_.open("div", "pair");
    for (const StepFigure& figure : step_figures) {
      if (!is_finite(contents_.model.overall.*figure.value)) continue;
      std::vector<std::string> columns = {"step", model_name()};
      for (const ForecastColumn& one : contents_.baselines) columns.push_back(one.name);
      parts_.open_table(std::string(figure.name) + " by step", columns);
      for (const std::size_t h : shown_steps(H))
        row(format_count(static_cast<Index>(h + 1)),
            [&](const ForecastColumn& one) { return one.steps[h].*figure.value; });
      row("mean", [&](const ForecastColumn& one) { return one.overall.*figure.value; });
      parts_.close_table(note(figure));
    }
    page_.close();
  }

  template <class Value>
  void row(std::string name, const Value& value) {
    std::vector<std::string> cells = {std::move(name), step_number(value(contents_.model))};
    for (const ForecastColumn& one : contents_.baselines) cells.push_back(step_number(value(one)));
    page_.row(cells);
  }

  std::string note(const StepFigure& figure) const {
    const StepFigures& all = contents_.model.overall;
    const Index count = figure.value == &StepFigures::mase ? all.scaled_count : all.count;
    return "The " + std::string(figure.what) + ", over " + format_count(count) + ' ' +
           contents_.samples + "; less is better.";
  }

  bool has_intervals() const {
    const auto& all = contents_.model.overall.intervals;
    return !contents_.model.steps.empty() &&
           std::any_of(all.begin(), all.end(), [](auto& one) { return is_finite(one.coverage); });
  }

  void coverage() {
    if (!has_intervals()) return;
    constexpr std::array<std::string_view, most_shown_coverages> styles = {"train", "valid",
                                                                           "rate"};
    const std::vector<IntervalFigures>& all = contents_.model.overall.intervals;
    std::string items;
    for (std::size_t c = 0; c < std::min(all.size(), styles.size()); ++c)
      items += ReportParts::legend_item("line " + std::string(styles[c]),
                                        format_percent(all[c].meant, 0) + " intervals: " +
                                            percent(all[c].coverage) + " of all truths");
    items += ReportParts::legend_item("baseline", "meant");
    parts_.figure("Coverage by step", coverage_by_step_figure(contents_.model.steps),
                  "How often what came was within the interval of its step. A line below its "
                  "dashed one promises too much there, one above it is wider than it need be.",
                  "", ReportParts::legend(items));
  }

  void interval_table() {
    if (!has_intervals()) return;
    const StepFigures& all = contents_.model.overall;
    const bool scaled = std::any_of(all.intervals.begin(), all.intervals.end(),
                                    [](auto& one) { return is_finite(one.msis); });
    std::vector<std::string> columns = {"interval", "coverage", "mean width", "first step",
                                        "last step"};
    if (scaled) columns.push_back("MSIS");
    parts_.open_table("Intervals", columns);
    for (std::size_t c = 0; c < all.intervals.size(); ++c) {
      const auto at = [&](const StepFigures& step) { return step.intervals[c].width; };
      std::vector<std::string> cells = {format_percent(all.intervals[c].meant, 0),
                                        percent(all.intervals[c].coverage), step_number(at(all)),
                                        step_number(at(contents_.model.steps.front())),
                                        step_number(at(contents_.model.steps.back()))};
      if (scaled) cells.push_back(step_number(all.intervals[c].msis));
      page_.row(cells);
    }
    std::string text =
        "Coverage is best where it is what the interval is named by, and of two that hold it the "
        "narrower is better. First and last step: mean widths.";
    if (scaled)
      text += " MSIS: width and, for what came outside, how far, over the denominator of MASE.";
    parts_.close_table(text);
  }

  ReportParts& parts_;
  HtmlWriter& page_;
  const ForecastContents& contents_;
  const StepFigure* judged_ = &step_figures[1];
};

}  // namespace internal
}  // namespace report

/// The page of a forecast, as plain data.
struct ForecastReport {
  std::string title = "Forecast", subtitle{};
  report::ForecastContents contents{};
  report::TextLines summary{};  ///< of the data, the model and the training
  std::vector<report::SettingsGroup> settings{};
};

/// The page: one file of HTML without scripts that asks for nothing, as html_report(). The same
/// input gives the same bytes.
/// Throws: ShapeError when the steps of model, baselines, intervals or fans do not fit.
inline std::string html_forecast(const ForecastReport& forecast) {
  const FloatModeGuard guard;
  const Report none;
  report::internal::ReportParts parts(none);
  report::internal::ForecastSections sections(parts, forecast.contents);
  report::HtmlWriter& page = parts.page_;
  page.markup({"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n",
               "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"/>\n",
               "<meta name=\"color-scheme\" content=\"light dark\"/>\n<title>",
               report::xml_text(forecast.title), "</title>\n", report::chart_style,
               report::page_style, report::fan_style, "</head>\n<body>\n<main>\n"});
  page.open("header").element("h1", forecast.title);
  if (!forecast.subtitle.empty()) page.element("p", forecast.subtitle, "soft");
  page.close().open("div", "sheet").open("div", "scores");
  sections.scores();
  page.close().open("div", "verdict");
  for (const std::string& line : sections.verdicts()) page.element("p", line);
  page.close().close();
  sections.write();
  report::internal::write_summary(page, "Data and model", forecast.summary);
  report::internal::write_settings(page, forecast.settings);
  page.markup({"</main>\n</body>\n</html>\n"});
  return page.take();
}

/// Writes the page, whole or not at all. Throws: as html_forecast; Error when the file cannot be
/// written.
inline void write_forecast_report(const std::filesystem::path& path,
                                  const ForecastReport& forecast) {
  write_file(path, html_forecast(forecast));
}

}  // namespace TSDL_ABI
}  // namespace tsdl
