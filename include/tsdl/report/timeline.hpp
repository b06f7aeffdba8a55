// The close price and, below it on the same axis of time, what a model said: a figure for a page.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tsdl/report/axis.hpp"
#include "tsdl/report/figures.hpp"
#include "tsdl/report/format.hpp"
#include "tsdl/report/svg.hpp"
#include "tsdl/report/trace.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace report {

/// Values over time, in a panel of their own.
struct TimelinePanel {
  std::string name;
  std::vector<double> values;  ///< one for each window
  double baseline = 0;         ///< what a constant answer would give
  std::string short_name{};    ///< where there is no room for the name; empty: the name
};

/// What timeline_figure draws. Times ascend, milliseconds since the epoch.
struct Timeline {
  std::span<const std::int64_t> times;  ///< of the candles
  std::span<const double> closes;       ///< one for each of them
  std::vector<std::int64_t> window_times;
  std::vector<TimelinePanel> panels;          ///< shares from 0 to 1
  std::string_view what = "the probability";  ///< that the panels show
  bool own_axes = false;  ///< each panel's axis ends above its own largest value
};

namespace internal {

/// A probability axis from 0 to the tenth above the largest value.
inline Axis probability_axis(std::span<const TimelinePanel> panels) {
  double largest = 0;
  for (const TimelinePanel& panel : panels)
    for (const double value : panel.values) largest = std::max(largest, value);
  const double high = panels.size() == 1 ? 1 : std::clamp(std::ceil(largest * 10) / 10, 0.1, 1.0);
  Axis axis{0, high, {}};
  for (const double share : {0.0, 0.5, 1.0})
    axis.ticks.emplace_back(high * share, coordinate(high * share));
  return axis;
}

/// An axis from 0 to just above the largest value of a panel, and its baseline.
inline Axis own_axis(const TimelinePanel& panel) {
  double largest = panel.baseline;
  for (const double value : panel.values) largest = std::max(largest, value);
  const Axis axis = linear_axis(0, largest);
  Axis few{axis.low, axis.high, {}};  // the panels are low: every second label
  for (std::size_t i = 0; i < axis.ticks.size(); i += 2) few.ticks.push_back(axis.ticks[i]);
  return few;
}

struct TimelineLayout {
  double left, width, price_height, panel_height;
  bool is_narrow = false;
};

inline double timeline_height(const TimelineLayout& o, std::size_t panels) {
  return 24 + o.price_height + static_cast<double>(panels) * (30 + o.panel_height) + 28;
}

inline void draw_timeline(ChartWriter& chart, const Timeline& t, const TimelineLayout& o) {
  const Axis x_axis = time_axis(t.times, static_cast<std::size_t>(o.width / 64));
  const auto draw = [&](const Panel& panel, std::string_view name, std::string_view style,
                        const Trace& trace, std::span<const std::int64_t> times, bool last) {
    chart.frame(panel, last);
    chart.text(panel.left, panel.top - 8, "label", "start", name);
    const Panel inner{0, 0, panel.width, panel.height, panel.x_axis, panel.y_axis};
    chart.add({"<g transform=\"translate(", coordinate(panel.left), " ", coordinate(panel.top),
               ")\"><path class=\"line thin ", style, "\" d=\"",
               TracePath(inner, trace, times).line(), "\"/></g>\n"});
  };
  Trace price = make_trace("close", {t.closes.begin(), t.closes.end()});
  price.low = price.known > 0 ? price.min() : 0, price.high = price.known > 0 ? price.max() : 1;
  price.binary = false;
  Panel panel{o.left, 24, o.width, o.price_height, x_axis, linear_axis(price.low, price.high)};
  draw(panel, "close", "price", price, t.times, t.panels.empty());
  const Axis shared = probability_axis(t.panels);
  for (std::size_t i = 0; i < t.panels.size(); ++i) {
    const TimelinePanel& shown = t.panels[i];
    const Axis y_axis = t.own_axes ? own_axis(shown) : shared;
    const std::string& name =
        o.is_narrow && !shown.short_name.empty() ? shown.short_name : shown.name;
    panel.top += panel.height + 30, panel.height = o.panel_height, panel.y_axis = y_axis;
    Trace trace = make_trace(name, shown.values);
    trace.low = 0, trace.high = y_axis.high, trace.binary = false;
    draw(panel, xml_text(name, 40), "c" + std::to_string(i % line_styles), trace, t.window_times,
         i + 1 == t.panels.size());
    const double base = shown.baseline;
    chart.text(panel.left + panel.width, panel.top - 8, "tick", "end",
               "baseline " + format_percent(base));
    for (const char* style : {"under", "baseline"})  // the first keeps the dashes off the curve
      if (base <= y_axis.high)
        chart.line(panel.left, panel.y(base), panel.left + panel.width, panel.y(base), style);
  }
}

}  // namespace internal

/// Price and probabilities over time, wide and narrow. However many rows there are, at most four
/// points stand on a pixel.
inline Figure timeline_figure(const Timeline& timeline) {
  using namespace internal;
  const bool one = timeline.panels.size() == 1;
  const TimelineLayout wide{60, 754, 220, one ? 150.0 : 84.0};
  const TimelineLayout narrow{48, 306, 170, one ? 120.0 : 70.0, true};
  std::string label = "Close price over time, below it " + std::string(timeline.what);
  if (!timeline.times.empty())
    label += ", from " + format_time(timeline.times.front()) + " to " +
             format_time(timeline.times.back());
  Figure figure;
  for (const TimelineLayout& layout : {wide, narrow}) {
    ChartWriter chart;
    draw_timeline(chart, timeline, layout);
    figure.svg += page_svg(layout.is_narrow ? "narrow" : "wide", layout.is_narrow ? 380 : 840,
                           timeline_height(layout, timeline.panels.size()), label, chart.take());
  }
  return figure;
}

}  // namespace report
}  // namespace TSDL_ABI
}  // namespace tsdl
