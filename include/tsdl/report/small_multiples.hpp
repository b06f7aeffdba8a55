// Small multiples: every column of a series over time, a panel each, as one self-contained SVG.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tsdl/data/series.hpp"
#include "tsdl/data/time.hpp"
#include "tsdl/report/axis.hpp"
#include "tsdl/report/format.hpp"
#include "tsdl/report/svg.hpp"
#include "tsdl/report/trace.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace report {
namespace internal {

/// The first words of names that make a group, and its heading.
inline constexpr std::array<std::array<std::string_view, 2>, 5> column_groups = {
    {{"volume_", "Volume"},
     {"volatility_", "Volatility"},
     {"trend_", "Trend"},
     {"momentum_", "Momentum"},
     {"others_", "Others"}}};

/// That first word, or nothing for a name without.
inline std::string_view prefix_of(std::string_view name) {
  for (const auto& [prefix, heading] : column_groups)
    if (name.starts_with(prefix)) return prefix;
  return {};
}

inline std::string_view group_of(std::string_view name) {
  for (const auto& [prefix, heading] : column_groups)
    if (name.starts_with(prefix)) return heading;
  for (const std::string_view raw : {"open", "high", "low", "close", "volume"})
    if (name == raw) return "Candles";
  return "Features";
}

struct Group {
  std::string_view heading;
  std::vector<Index> columns;
};

/// Groups in the order in which they first occur.
inline std::vector<Group> group_columns(const std::vector<std::string>& names) {
  std::vector<Group> groups;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::string_view heading = group_of(names[i]);
    auto group = std::find_if(groups.begin(), groups.end(),
                              [&](const Group& g) { return g.heading == heading; });
    if (group == groups.end()) group = groups.insert(group, {heading, {}});
    group->columns.push_back(static_cast<Index>(i));
  }
  return groups;
}

/// A value beside an axis that spans low..high: three digits of the span, few characters.
inline std::string axis_value(double value, double span) {
  const double size = std::fabs(value);
  if (size >= 1e5 || (!is_zero(value) && size < 1e-3 && span < 1e-2))
    return format_scientific(value, 3);
  const int decimals =
      span > 0 ? std::clamp(2 - static_cast<int>(std::floor(std::log10(span))), 0, 6) : 4;
  std::string text = format_fixed(value, decimals);
  strip_trailing_zeros(text);
  return text;
}

inline constexpr std::string_view panel_style = R"(<style>
.tsdl-panels{max-width:100%;height:auto}
.tsdl-panels .heading{fill:#1f2328;font-size:15px;font-weight:600}
.tsdl-panels .column{fill:#1f2328;font-size:11px;font-weight:600}
.tsdl-panels .scale,.tsdl-panels .year{font-size:10px}
.tsdl-panels .note{font-size:9.5px}
.tsdl-panels .part{font-size:8.5px}
.tsdl-panels .trace{fill:none;stroke:#0969da;stroke-width:.8;stroke-linejoin:round;stroke-linecap:round}
.tsdl-panels .ticks{fill:none;stroke:#0969da;stroke-width:.5}
.tsdl-panels .beyond{fill:none;stroke:#c4500a;stroke-width:1}
.tsdl-panels text.extreme{fill:#c4500a}
.tsdl-panels .zero{stroke:#57606a;stroke-width:1;stroke-dasharray:2 2;fill:none;shape-rendering:crispEdges}
.tsdl-panels .warm{fill:#d8dee4}
@media (prefers-color-scheme:dark){
.tsdl-panels .heading,.tsdl-panels .column{fill:#f0f3f6}
.tsdl-panels .trace,.tsdl-panels .ticks{stroke:#58a6ff}
.tsdl-panels .beyond{stroke:#ffa657}
.tsdl-panels text.extreme{fill:#ffa657}
.tsdl-panels .zero{stroke:#c9d1d9}
.tsdl-panels .warm{fill:#30363d}
}
@media (max-width:1000px){
.tsdl-panels .title{font-size:30px}.tsdl-panels .subtitle{font-size:20px}
.tsdl-panels .heading{font-size:22px}
.tsdl-panels .column{font-size:15px}
.tsdl-panels .scale,.tsdl-panels .year{font-size:14px}
.tsdl-panels .trace{stroke-width:1.2}
.tsdl-panels .note,.tsdl-panels .part,.tsdl-panels .prefix,.tsdl-panels .legend{display:none}
}
</style>
)";

/// The measures of the grid, in pixels.
struct Grid {
  static constexpr double width = 1440, margin = 32, between = 20, gutter = 46;
  static constexpr double title_height = 20, row_gap = 24, axis_height = 10, heading_height = 44;
  std::size_t columns;
  double plot_width, plot_height;

  explicit Grid(std::size_t panels)
      : columns(panels <= 3    ? std::max<std::size_t>(panels, 1)
                : panels <= 12 ? 3
                : panels <= 40 ? 4
                               : 6),
        plot_width(cell_width() - gutter),
        plot_height(std::min(std::round(0.4 * plot_width), 130.0)) {}

  double cell_width() const {
    const auto n = static_cast<double>(columns);
    return (width - 2 * margin - (n - 1) * between) / n;
  }
  double left(std::size_t column) const {
    return margin + gutter + static_cast<double>(column) * (cell_width() + between);
  }
  double row_height() const { return title_height + plot_height + row_gap; }
};

/// "row 33 (2000-02-18)", rows from 0.
inline std::string row_name(std::size_t row, std::span<const std::int64_t> times) {
  return "row " + std::to_string(row) + " (" + format_time(times[row]) + ")";
}

/// What a pointer over a panel shows.
inline std::string panel_tip(const Trace& trace, std::span<const std::int64_t> times) {
  std::string tip(trace.name);
  if (trace.known == 0) return tip + ": no row has a value";
  const auto at = [&](std::size_t row) {
    return format_exact(trace.values[row]).append(" at ").append(row_name(row, times));
  };
  tip += ": from " + row_name(trace.first, times) + " on; least " + at(trace.least) + "; largest " +
         at(trace.largest);
  const std::size_t missing = trace.values.size() - trace.first - trace.known;
  if (missing > 0)
    tip += "; " + format_count(static_cast<Index>(missing)) + " later rows without a value";
  return tip;
}

/// A column's name as text; its group's prefix is apart, to be left out where there is no room.
inline std::string column_title(std::string_view name) {
  const std::size_t prefix = prefix_of(name).size();
  if (prefix == 0) return xml_text(name, 40);
  return "<tspan class=\"prefix\">" + xml_text(name.substr(0, prefix)) + "</tspan>" +
         xml_text(name.substr(prefix), 40);
}

/// The numbers beside a panel's axis, and below it what lies beyond.
inline void draw_scale(ChartWriter& chart, const Panel& panel, const Trace& trace) {
  const double span = trace.high - trace.low;
  if (is_zero(span)) {
    chart.text(-5, panel.height / 2 + 3.5, "scale", "end", axis_value(trace.low, 0));
    return;
  }
  std::string high = axis_value(trace.high, span), low = axis_value(trace.low, span);
  if (high == low) high = format_scientific(trace.high, 6), low = format_scientific(trace.low, 6);
  chart.text(-5, 8, "scale", "end", high);
  chart.text(-5, panel.height, "scale", "end", low);
  std::string below;
  if (trace.binary) {
    const auto ones = std::count(trace.values.begin(), trace.values.end(), 1.0);
    below = format_percent(static_cast<double>(ones) / static_cast<double>(trace.known)) + " ones";
  }
  if (trace.cut) {
    chart.text(-5, 17, "part", "end", "p99");
    chart.text(-5, panel.height - 10, "part", "end", "p1");
    const double all = trace.max() - trace.min();
    below = axis_value(trace.min(), all) + " to " + axis_value(trace.max(), all);
  }
  if (!below.empty())
    chart.text(panel.width, panel.height + 12, trace.cut ? "note extreme" : "note", "end", below);
}

inline void draw_warm_up(ChartWriter& chart, const Panel& panel, const Trace& trace,
                         std::span<const std::int64_t> times) {
  if (trace.first == 0) return;
  const double end =
      trace.known > 0 ? panel.x(static_cast<double>(times[trace.first])) : panel.width;
  chart.add({"<path class=\"warm\" d=\"M0 0H", tenth(std::max(end, 1.5)), "V", tenth(panel.height),
             "H0Z\"/>\n"});
  chart.text(0, panel.height + 12, "note", "start",
             trace.known > 0 ? "warm-up " + format_count(static_cast<Index>(trace.first))
                             : std::string("no value"));
}

inline void draw_trace(ChartWriter& chart, Panel panel, const Trace& trace,
                       std::span<const std::int64_t> times) {
  // A constant runs in the middle.
  const double margin = same_value(trace.low, trace.high) ? std::max(1.0, std::fabs(trace.low)) : 0;
  panel.y_axis = {trace.low - margin, trace.high + margin, {}};
  const TracePath path(panel, trace, times);
  chart.add({"<path class=\"", trace.binary ? "ticks" : "trace", "\" d=\"", path.line(), "\"/>\n"});
  if (!path.beyond().empty()) chart.add({"<path class=\"beyond\" d=\"", path.beyond(), "\"/>\n"});
  if (trace.low < 0 && trace.high > 0) chart.line(0, panel.y(0), panel.width, panel.y(0), "zero");
  draw_scale(chart, panel, trace);
}

/// A panel whose plot's upper left corner is at x, y.
inline void draw_panel(ChartWriter& chart, double x, double y, const Panel& panel,
                       const Trace& trace, std::span<const std::int64_t> times) {
  chart.add({"<g transform=\"translate(", coordinate(x), " ", coordinate(y), ")\"><title>",
             xml_text(panel_tip(trace, times)), "</title>\n"});
  chart.text(-Grid::gutter, -7, "column", "start", column_title(trace.name));
  draw_warm_up(chart, panel, trace, times);
  for (const auto& [time, label] : panel.x_axis.ticks)
    chart.line(panel.x(time), 0, panel.x(time), panel.height, "grid");
  chart.line(0, panel.height, panel.width, panel.height, "axis");
  if (trace.known > 0) draw_trace(chart, panel, trace, times);
  chart.add({"</g>\n"});
}

}  // namespace internal

/// Draws every column of a series over `times` (one per row, ascending, milliseconds) as an SVG
/// document: no scripts, fonts or other files, light or dark as the reader's system asks, larger
/// letters where it is shown small. The same input gives the same bytes, in every locale.
///
/// Panels are grouped by the first word of their names. Each has its own axis, from the least to
/// the largest value; where a few values would flatten the rest, from the 1st to the 99th
/// percentile, which it says, with marks where values lie beyond. Rows before the first value are
/// shaded. Rows that share half a pixel leave their least and largest value.
inline std::string small_multiples(const Series<double>& series,
                                   std::span<const std::int64_t> times, std::string_view title,
                                   std::string_view subtitle) {
  using namespace internal;
  const std::vector<Group> groups = group_columns(series.names);
  const Grid grid(series.names.size());
  double height = 118;
  for (const Group& group : groups) {
    const std::size_t rows = (group.columns.size() + grid.columns - 1) / grid.columns;
    height +=
        Grid::heading_height + static_cast<double>(rows) * grid.row_height() + Grid::axis_height;
  }
  ChartWriter chart;
  chart.add(
      {"<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"tsdl-chart tsdl-panels\" "
       "role=\"img\" width=\"",
       coordinate(Grid::width), "\" height=\"", coordinate(height), "\" viewBox=\"0 0 ",
       coordinate(Grid::width), " ", coordinate(height), "\">\n<title>", xml_text(title),
       "</title>\n<desc>", xml_text(subtitle), "</desc>\n", chart_style, panel_style,
       "<rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n"});
  chart.text(Grid::margin, 42, "title", "start", xml_text(title, 100));
  chart.text(Grid::margin, 68, "subtitle", "start", xml_text(subtitle, 160));
  chart.text(Grid::margin, 90, "legend", "start",
             "Each axis spans its column's least to largest value, or p1 to p99 (percentiles) "
             "with orange marks for what lies beyond. Shaded: warm-up rows, without a value. "
             "Dashed: zero. Bars: columns of 0 and 1.");

  const Panel panel{0,
                    0,
                    grid.plot_width,
                    grid.plot_height,
                    time_axis(times, static_cast<std::size_t>(grid.plot_width / 33)),
                    {}};
  double y = 104;
  for (const Group& group : groups) {
    const std::string count = format_count(static_cast<Index>(group.columns.size()));
    chart.text(Grid::margin, y + 24, "heading", "start",
               std::string(group.heading) + " (" + count + ")");
    y += Grid::heading_height;
    for (std::size_t i = 0; i < group.columns.size(); ++i) {
      const std::size_t column = i % grid.columns;
      const double x = grid.left(column), top = y + Grid::title_height;
      draw_panel(chart, x, top, panel, make_trace(series, group.columns[i]), times);
      if (i + grid.columns >= group.columns.size())  // the lowest of its grid column
        for (const auto& [time, label] : panel.x_axis.ticks)
          chart.text(x + panel.x(time), top + grid.plot_height + 25, "year", "middle", label);
      if (column + 1 == grid.columns || i + 1 == group.columns.size()) y += grid.row_height();
    }
    y += Grid::axis_height;
  }
  chart.add({"</svg>\n"});
  return chart.take();
}

}  // namespace report
}  // namespace TSDL_ABI
}  // namespace tsdl
