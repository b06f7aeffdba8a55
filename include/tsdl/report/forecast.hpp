// Figures of numbers and quantiles that a model predicted: over time, against what came, and how
// often targets are below each quantile.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tsdl/data/time.hpp"
#include "tsdl/report/axis.hpp"
#include "tsdl/report/figures.hpp"
#include "tsdl/report/format.hpp"
#include "tsdl/report/svg.hpp"
#include "tsdl/report/trace.hpp"
#include "tsdl/task/metrics.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace report {

/// One target of a forecast, a value for each window.
struct ForecastTarget {
  std::string name;
  std::vector<double> actual, predicted;  ///< predicted: of quantiles the one nearest to the median
  std::vector<double> low{}, high{};      ///< the outer quantiles; empty for numbers
  double baseline = 0;                    ///< what a constant answer predicts
};

/// What forecast_figure draws: at the last row of each window, its targets and predictions.
struct Forecast {
  std::vector<std::int64_t> places;  ///< ascending: milliseconds since the epoch, or rows
  bool has_times = false;
  std::vector<ForecastTarget> targets;
};

/// The share of targets at or below each predicted quantile, of one target.
struct CoverageLine {
  std::string name;
  std::vector<double> shares;  ///< one for each level
};

namespace internal {

/// About how wide the longest label of an axis is.
inline double label_width(const Axis& axis) {
  std::size_t longest = 1;
  for (const auto& [value, label] : axis.ticks) longest = std::max(longest, label.size());
  return 6.8 * static_cast<double>(longest);
}

/// A trace whose axis spans low..high of its panel: what lies outside is cut and marked.
inline Trace trace_on(const Axis& axis, std::span<const double> values) {
  Trace trace = make_trace("", {values.begin(), values.end()});
  trace.low = axis.low, trace.high = axis.high, trace.binary = false;
  return trace;
}

/// The axis of all these values, cut where a few would flatten the rest (set_range).
inline Axis value_axis(std::initializer_list<std::span<const double>> all) {
  double low = 0, high = 0;
  bool any = false;
  for (const std::span<const double> values : all) {
    const Trace trace = make_trace("", {values.begin(), values.end()});
    if (trace.known == 0) continue;
    low = any ? std::min(low, trace.low) : trace.low;
    high = any ? std::max(high, trace.high) : trace.high;
    any = true;
  }
  return any ? linear_axis(low, high) : linear_axis(0, 1);
}

inline Axis target_axis(const ForecastTarget& target) {
  return value_axis({target.actual, target.predicted, target.low, target.high});
}

/// Rows of a series on an axis, at most about `most` ticks.
inline Axis row_axis(std::span<const std::int64_t> rows, std::size_t most) {
  const auto first = static_cast<double>(rows.empty() ? 0 : rows.front());
  const double last = std::max(static_cast<double>(rows.empty() ? 1 : rows.back()), first + 1);
  Axis axis{first, last, {}};
  const double step = std::max(1.0, nice_step((last - first) / static_cast<double>(most)));
  for (double row = std::ceil(first / step) * step; row <= last; row += step)
    axis.ticks.emplace_back(row, format_count(static_cast<Index>(row)));
  return axis;
}

/// The area from the low to the high values. Rows that fall on the same pixel leave their least and
/// their largest value; where one is missing the area is broken.
class BandPath {
 public:
  BandPath(const Panel& panel, std::span<const double> low, std::span<const double> high,
           std::span<const std::int64_t> places)
      : panel_(panel) {
    double bin = -1;
    for (std::size_t i = 0; i < low.size(); ++i) {
      if (!is_finite(low[i]) || !is_finite(high[i])) {
        end_part();
        bin = -1;
        continue;
      }
      const double x = panel.x(static_cast<double>(places[i]));
      if (part_.empty() || std::floor(x) != bin)
        part_.push_back({x, low[i], high[i]});
      else
        part_.back() = {part_.back().x, std::min(part_.back().low, low[i]),
                        std::max(part_.back().high, high[i])};
      bin = std::floor(x);
    }
    end_part();
  }

  const std::string& area() const { return area_; }

 private:
  struct Column {
    double x, low, high;
  };

  void end_part() {
    if (part_.size() == 1) part_.push_back({part_[0].x + 1, part_[0].low, part_[0].high});
    const auto add = [&](char command, double x, double value) {
      (area_ += command).append(tenth(x)).append(" ");
      area_ += tenth(std::clamp(panel_.y(value), 0.0, panel_.height));
    };
    for (std::size_t i = 0; i < part_.size(); ++i)
      add(i == 0 ? 'M' : i == 1 ? 'L' : ' ', part_[i].x, part_[i].high);
    for (std::size_t i = part_.size(); i-- > 0;) add(' ', part_[i].x, part_[i].low);
    if (!part_.empty()) area_ += 'Z';
    part_.clear();
  }

  const Panel& panel_;
  std::vector<Column> part_;
  std::string area_;
};

/// How many finite values lie outside an axis.
inline std::size_t beyond(const Axis& axis, std::span<const double> values) {
  return static_cast<std::size_t>(std::count_if(values.begin(), values.end(), [&](double v) {
    return is_finite(v) && (v < axis.low || v > axis.high);
  }));
}

/// One target's panel of a forecast: band, actual values, the constant answer, predictions on top.
inline void draw_forecast(ChartWriter& chart, const Panel& panel, const ForecastTarget& target,
                          std::span<const std::int64_t> places, bool last) {
  chart.frame(panel, last);
  chart.text(panel.left, panel.top - 8, "label", "start",
             xml_text(target.name, panel.width > 500 ? 60 : 22));
  chart.text(panel.left + panel.width, panel.top - 8, "tick", "end",
             "baseline " + format_loss(target.baseline));
  const Panel inner{0, 0, panel.width, panel.height, panel.x_axis, panel.y_axis};
  const Trace came = trace_on(panel.y_axis, target.actual);
  const Trace said = trace_on(panel.y_axis, target.predicted);
  const TracePath actual(inner, came, places), predicted(inner, said, places);
  chart.add(
      {"<g transform=\"translate(", coordinate(panel.left), " ", coordinate(panel.top), ")\">\n"});
  if (!target.low.empty())
    chart.add({"<path class=\"band\" d=\"", BandPath(inner, target.low, target.high, places).area(),
               "\"/>\n"});
  chart.add({"<path class=\"line thin actual\" d=\"", actual.line(), "\"/>\n"});
  const double y = inner.y(target.baseline);
  if (y >= 0 && y <= inner.height) chart.line(0, y, inner.width, y, "baseline");
  chart.add({"<path class=\"line thin c0\" d=\"", predicted.line(), "\"/>\n"});
  for (const TracePath* path : {&actual, &predicted})
    if (!path->beyond().empty())
      chart.add({"<path class=\"beyond\" d=\"", path->beyond(), "\"/>\n"});
  chart.add({"</g>\n"});
}

inline std::string span_text(std::span<const double> values) {
  const Trace trace = make_trace("", {values.begin(), values.end()});
  if (trace.known == 0) return "not known";
  return "from " + format_loss(trace.min()) + " to " + format_loss(trace.max());
}

/// Windows as dots, thinned to one in each cell of a grid; darker where there are more of them.
class Dots {
 public:
  Dots(const Panel& panel, const ForecastTarget& target)
      : cells_(static_cast<std::size_t>(across * across)) {
    for (std::size_t i = 0; i < target.actual.size(); ++i) {
      if (!is_finite(target.actual[i]) || !is_finite(target.predicted[i])) continue;
      const double right = panel.left + panel.width, bottom = panel.top + panel.height;
      const double x = std::clamp(panel.x(target.actual[i]), panel.left, right);
      const double y = std::clamp(panel.y(target.predicted[i]), panel.top, bottom);
      const auto place = [](double part) {
        return std::min(static_cast<std::size_t>(part * across), std::size_t{across - 1});
      };
      Cell& cell = cells_[place((y - panel.top) / panel.height) * across +
                          place((x - panel.left) / panel.width)];
      if (cell.count++ == 0) cell.x = x, cell.y = y;
    }
  }

  /// Of the cells with `least` to `most` windows.
  std::string path(std::size_t least, std::size_t most) const {
    std::string path;
    for (const Cell& cell : cells_)
      if (cell.count >= least && cell.count <= most)
        (path += 'M').append(tenth(cell.x)).append(" ").append(tenth(cell.y)) += "h0";
    return path;
  }

 private:
  static constexpr int across = 66;
  struct Cell {
    std::size_t count = 0;
    double x = 0, y = 0;
  };
  std::vector<Cell> cells_;
};

/// Leaves every second label out until they fit side by side.
inline void thin_ticks(Axis& axis, double width) {
  while (axis.ticks.size() > 2 &&
         static_cast<double>(axis.ticks.size()) * (label_width(axis) + 10) > width) {
    std::vector<std::pair<double, std::string>> kept;
    for (std::size_t i = 0; i < axis.ticks.size(); i += 2) kept.push_back(axis.ticks[i]);
    axis.ticks = std::move(kept);
  }
}

}  // namespace internal

/// How many targets the figures of a forecast show.
inline constexpr std::size_t most_shown_targets = 4;

/// Targets and predictions over time, a panel a target, wide and narrow. However many windows there
/// are, at most four points of a line stand on a pixel.
inline Figure forecast_figure(const Forecast& forecast) {
  using namespace internal;
  std::string label = "Forecast over time";
  if (forecast.has_times && !forecast.places.empty())
    label += " from " + format_time(forecast.places.front()) + " to " +
             format_time(forecast.places.back());
  std::vector<Axis> axes;
  double labels = 0;
  std::size_t cut = 0;
  for (const ForecastTarget& target : forecast.targets) {
    axes.push_back(target_axis(target));
    labels = std::max(labels, label_width(axes.back()));
    cut += beyond(axes.back(), target.actual) + beyond(axes.back(), target.predicted);
    label += "; " + target.name + ": actual " + span_text(target.actual) + ", predicted " +
             span_text(target.predicted) + ", baseline " + format_loss(target.baseline);
  }
  Figure figure;
  for (const bool is_wide : {true, false}) {
    const double all = is_wide ? 840 : 380, left = 14 + labels, width = all - 26 - left;
    const double height =
        forecast.targets.size() == 1 ? (is_wide ? 280.0 : 220.0) : (is_wide ? 150.0 : 120.0);
    const auto most = static_cast<std::size_t>(width / 64);
    const Axis x_axis =
        forecast.has_times ? time_axis(forecast.places, most) : row_axis(forecast.places, most);
    ChartWriter chart;
    Panel panel{left, 26, width, height, x_axis, {}};
    for (std::size_t i = 0; i < axes.size(); ++i, panel.top += height + 34) {
      panel.y_axis = axes[i];
      draw_forecast(chart, panel, forecast.targets[i], forecast.places, i + 1 == axes.size());
    }
    double bottom = panel.top - 34 + 28;
    if (!forecast.has_times)
      chart.text(left + width / 2, bottom += 12, "name", "middle", "row"), bottom += 8;
    figure.svg += page_svg(is_wide ? "wide" : "narrow", all, bottom, label, chart.take());
  }
  if (cut > 0)
    figure.notes.push_back("Orange marks at the edge: " + format_count(static_cast<Index>(cut)) +
                           " values beyond the axis.");
  return figure;
}

/// Predicted over actual values, a picture a target. However many windows there are, one dot stands
/// in each cell of a grid.
inline Figure scatter_figure(const Forecast& forecast) {
  using namespace internal;
  Figure figure;
  std::size_t cut = 0;
  for (const ForecastTarget& target : forecast.targets) {
    const Axis axis = target_axis({target.name, target.actual, target.predicted, {}, {}, 0});
    const double left = 34 + label_width(axis), side = 386 - left;
    Panel panel{left, 26, side, side, axis, axis};
    thin_ticks(panel.x_axis, side);
    std::string label = "Predicted against actual " + target.name;
    const Metrics m = regression_metrics(target.predicted, target.actual);
    label += ": " + format_count(m.count) + " windows, MAE " + format_loss(m.mae) + ", R2 " +
             format_fixed(m.r2, 4) + ", baseline " + format_loss(target.baseline);
    ChartWriter chart;
    chart.frame(panel, true);
    const Dots dots(panel, target);
    constexpr std::size_t any = static_cast<std::size_t>(-1);
    const std::array<std::pair<std::size_t, std::size_t>, 3> shades = {{{1, 1}, {2, 5}, {6, any}}};
    for (std::size_t i = 0; i < shades.size(); ++i)
      if (const std::string path = dots.path(shades[i].first, shades[i].second); !path.empty())
        chart.add({"<path class=\"dots d", std::to_string(i), "\" d=\"", path, "\"/>\n"});
    draw_diagonal(chart, panel, "perfect");
    if (target.baseline >= axis.low && target.baseline <= axis.high)
      chart.line(left, panel.y(target.baseline), left + side, panel.y(target.baseline), "baseline");
    chart.text(left + side, panel.top - 8, "tick", "end",
               "baseline " + format_loss(target.baseline));
    const std::string name =
        forecast.targets.size() > 1 ? ' ' + xml_text(target.name, 22) : std::string();
    chart.text(left + side / 2, 26 + side + 38, "name", "middle", "actual" + name);
    chart.text(14, 26 + side / 2, "name", "middle", "predicted" + name, true);
    figure.svg += page_svg("square", 400, 26 + side + 48, label, chart.take());
    for (std::size_t i = 0; i < target.actual.size(); ++i)
      cut += beyond(axis, {&target.actual[i], 1}) + beyond(axis, {&target.predicted[i], 1}) > 0;
  }
  if (cut > 0)
    figure.notes.push_back("Beyond the axes, hence at their edge: " +
                           format_count(static_cast<Index>(cut)) + " windows.");
  return figure;
}

/// The share of `count` targets at or below each predicted quantile over its level, with 95%
/// intervals: a line a target, at most line_styles of them. `baseline`: the same of a constant
/// answer; may be empty.
inline Figure coverage_figure(std::span<const double> levels, std::span<const CoverageLine> lines,
                              std::span<const double> baseline, Index count) {
  using namespace internal;
  const Panel panel{54, 14, 332, 332, share_axis(), share_axis()};
  ChartWriter chart, points;
  chart.frame(panel, true);
  std::string label = "Coverage by level";
  const auto path_of = [&](std::span<const double> shares) {
    std::string path;
    for (std::size_t i = 0; i < levels.size(); ++i)
      (path += i == 0 ? 'M' : 'L')
          .append(coordinate(panel.x(levels[i])))
          .append(" ")
          .append(coordinate(panel.y(shares[i])));
    return levels.size() == 1 ? path + "h0" : path;
  };
  draw_diagonal(chart, panel, "perfect");
  if (!baseline.empty()) chart.add({"<path class=\"constant\" d=\"", path_of(baseline), "\"/>\n"});
  for (std::size_t k = 0; k < lines.size(); ++k) {
    const std::string colour = "c" + std::to_string(k % line_styles);
    chart.add({"<path class=\"line roc ", colour, "\" d=\"", path_of(lines[k].shares), "\"/>\n"});
    label += "; " + lines[k].name + ":";
    for (std::size_t i = 0; i < levels.size(); ++i) {
      const double below = lines[k].shares[i];
      const auto [low, high] = wilson_interval(below, count);
      const double x = panel.x(levels[i]);
      chart.line(x, panel.y(low), x, panel.y(high), "interval " + colour);
      const std::string text = format_percent(below) + " below quantile " + format_exact(levels[i]);
      points.add({"<circle class=\"mark ", colour, "\" cx=\"", coordinate(x), "\" cy=\"",
                  coordinate(panel.y(below)), "\" r=\"4\"><title>", xml_text(lines[k].name), ": ",
                  text, ", 95% interval ", format_percent(low), " to ", format_percent(high),
                  "</title></circle>\n"});
      label += (i == 0 ? " " : ", ") + text;
    }
  }
  chart.add({points.take()});
  chart.text(panel.left + panel.width / 2, 388, "name", "middle", "level of the quantile");
  chart.text(16, panel.top + panel.height / 2, "name", "middle", "share of targets below", true);
  return {page_svg("square", 400, 398, label, chart.take()), {}};
}

}  // namespace report
}  // namespace TSDL_ABI
}  // namespace tsdl
