// Figures of an explanation: bars by column, a curve or bars by lag, and the heat map of one
// window. They know neither model nor method.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/report/axis.hpp"
#include "tsdl/report/figures.hpp"
#include "tsdl/report/format.hpp"
#include "tsdl/report/svg.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace report {

/// What one part of the windows is worth: a column, or the lags from first_lag to last_lag, where
/// lag 0 is a window's last row.
struct PartScore {
  std::string name{};  ///< of a column
  Index first_lag = 0, last_lag = 0;
  double value = 0;
  double deviation = 0;  ///< 0: none is known
};

/// What each value of one window contributed.
struct HeatMap {
  std::vector<std::string> rows{};  ///< the columns of the data
  std::vector<std::string> ends{};  ///< what the first and the last row of the window are called
  std::vector<double> values{};     ///< [T][rows]

  std::size_t steps() const noexcept { return rows.empty() ? 0 : values.size() / rows.size(); }
};

/// An explanation as plain data.
struct Explanation {
  std::string method{};   ///< "integrated gradients of the logit of class 1"
  std::string measure{};  ///< what the scores are: "share of mean |attribution|"
  std::string reading{};  ///< how they are read, in a sentence or two
  bool shares = false;    ///< scores are shares of 1
  std::vector<PartScore> columns{}, lags{};
  std::string window_name{};     ///< of the one window that is shown
  std::string window_measure{};  ///< "the logit of class 1, beside training means"
  std::optional<HeatMap> window{};
};

/// The style of these figures beside chart_style.
inline constexpr std::string_view explanation_style = R"(<style>
.tsdl-chart .more{fill:#0969da}.tsdl-chart .less{fill:#c4500a}
.tsdl-chart .span{stroke:#57606a;stroke-width:1.5;fill:none}
.tsdl-chart .mean{stroke:#0969da;stroke-width:2;fill:none;stroke-linejoin:round}
.tsdl-chart .nothing{fill:#57606a;fill-opacity:.08}
@media screen and (prefers-color-scheme:dark){
.tsdl-chart .more{fill:#58a6ff}.tsdl-chart .less{fill:#ffa657}
.tsdl-chart .span{stroke:#9ea7b3}.tsdl-chart .mean{stroke:#58a6ff}
.tsdl-chart .nothing{fill:#9ea7b3}
}
</style>
)";

namespace internal {

/// The most rows of a figure; the others are named in a note.
inline constexpr std::size_t most_bars = 24;

/// The width of a figure that stands beside another one.
inline constexpr double square_width = 400;

/// The order of these values by size, the largest first; equal ones as they stand.
template <class ValueAt>
std::vector<std::size_t> largest_first(std::size_t count, const ValueAt& value_at) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return value_at(a) > value_at(b); });
  return order;
}

inline std::string score_text(double value, bool share) {
  return share ? format_percent(value) : format_loss(value);
}

/// The axis of scores with their deviations; 0 is on it.
inline Axis score_axis(const std::vector<PartScore>& scores) {
  double low = 0, high = 0;
  for (const PartScore& score : scores) {
    low = std::min(low, score.value - score.deviation);
    high = std::max(high, score.value + score.deviation);
  }
  if (is_zero(high - low)) high = 1;
  return linear_axis(low, high);
}

inline std::string rect(std::string_view style, double x, double y, double width, double height,
                        std::string_view opacity, std::string_view tip) {
  ChartWriter writer;
  writer.add({"<rect class=\"", style, "\" x=\"", coordinate(x), "\" y=\"", coordinate(y),
              "\" width=\"", coordinate(std::max(width, 0.5)), "\" height=\"",
              coordinate(std::max(height, 0.5))});
  if (!opacity.empty()) writer.add({"\" fill-opacity=\"", opacity});
  writer.add({"\"><title>", xml_text(tip), "</title></rect>\n"});
  return writer.take();
}

inline std::string lag_name(const PartScore& score) {
  if (score.first_lag == score.last_lag) return "lag " + std::to_string(score.first_lag);
  return "lags " + std::to_string(score.first_lag) + " to " + std::to_string(score.last_lag);
}

}  // namespace internal

/// A bar for each column, the largest first, at most 24 of them.
inline Figure column_figure(const Explanation& explanation) {
  using namespace internal;
  constexpr double left = 150, right = 64, bar = 20;
  const auto& all = explanation.columns;
  const auto order = largest_first(all.size(), [&](std::size_t i) { return all[i].value; });
  const std::size_t shown = std::min(order.size(), most_bars);
  const double height = bar * static_cast<double>(shown);
  const Panel panel{left, 12, square_width - left - right, height, score_axis(all), {}};
  ChartWriter chart;
  std::string label = "Importance of the columns";
  for (const auto& [value, tick] : panel.x_axis.ticks)
    chart.line(panel.x(value), panel.top, panel.x(value), panel.top + height, "grid");
  for (std::size_t row = 0; row < shown; ++row) {
    const PartScore& score = all[order[row]];
    const double y = panel.top + bar * static_cast<double>(row), middle = y + bar / 2;
    const double zero = panel.x(0), end = panel.x(score.value);
    const std::string text = score_text(score.value, explanation.shares);
    chart.text(left - 8, middle + 4, "tick", "end", xml_text(score.name, 18));
    chart.add(
        {rect(score.value < 0 ? "less" : "more", std::min(zero, end), y + 3, std::abs(end - zero),
              bar - 6, score.deviation > 0 ? "0.55" : "", score.name + ": " + text)});
    double beside = std::max(zero, end);
    if (score.deviation > 0) {
      const double to = panel.x(score.value + score.deviation);
      chart.line(panel.x(score.value - score.deviation), middle, to, middle, "span");
      beside = std::max(beside, to);
    }
    chart.text(beside + 6, middle + 4, "count", "start", text);
    if (row < 8) label += "; " + score.name + " " + text;
  }
  chart.line(panel.x(0), panel.top, panel.x(0), panel.top + height, "axis");
  chart.text(square_width / 2, panel.top + height + 22, "name", "middle",
             xml_text(explanation.measure, 56));
  Figure figure{page_svg("square", square_width, panel.top + height + 32, label,
                         std::string(explanation_style) + chart.take()),
                {}};
  if (shown < order.size())
    figure.notes.push_back("The " + std::to_string(shown) + " largest of " +
                           std::to_string(order.size()) + " columns.");
  return figure;
}

/// The scores over the lags, time from left to right: a curve where each lag has a score of its
/// own, bars with their deviations where blocks of lags have.
inline Figure lag_figure(const Explanation& explanation) {
  using namespace internal;
  const auto& all = explanation.lags;
  Index T = 1;
  bool blocks = false;
  for (const PartScore& score : all) {
    T = std::max(T, score.last_lag + 1);
    blocks = blocks || score.last_lag > score.first_lag || score.deviation > 0;
  }
  const auto steps = static_cast<double>(T);
  Axis lags{-steps + 0.5, 0.5, {}};
  const double apart = std::max(1.0, nice_step(steps / 7));
  for (double lag = 0; lag < steps; lag += apart)
    lags.ticks.emplace_back(-lag, format_count(static_cast<Index>(lag)));
  const Panel panel{64, 14, square_width - 78, 250, lags, score_axis(all)};
  ChartWriter chart;
  chart.frame(panel, true);
  std::string path, label = "Importance of the lags";
  const double zero = panel.y(0);
  for (const PartScore& score : all) {
    const double from = panel.x(-static_cast<double>(score.last_lag) - 0.5) + 0.5;
    const double to = panel.x(-static_cast<double>(score.first_lag) + 0.5) - 0.5;
    const double middle = (from + to) / 2, y = panel.y(score.value);
    const std::string text = lag_name(score) + ": " + score_text(score.value, explanation.shares);
    if (blocks) {
      chart.add({rect(score.value < 0 ? "less" : "more", from, std::min(y, zero), to - from,
                      std::abs(y - zero), "0.55", text)});
      chart.line(middle, panel.y(score.value - score.deviation), middle,
                 panel.y(score.value + score.deviation), "span");
    } else {
      path.append(path.empty() ? "M" : "L").append(coordinate(middle)).append(" ");
      path.append(coordinate(y));
    }
  }
  if (!path.empty()) chart.add({"<path class=\"mean\" d=\"", path, "\"/>\n"});
  for (const std::size_t i :
       largest_first(all.size(), [&](std::size_t at) { return all[at].value; })) {
    label += "; most at " + lag_name(all[i]) + ", " + score_text(all[i].value, explanation.shares);
    break;
  }
  chart.line(panel.left, zero, panel.left + panel.width, zero, "axis");
  chart.text(panel.left + panel.width / 2, 304, "name", "middle",
             "rows before the window's last row");
  chart.text(14, panel.top + panel.height / 2, "name", "middle", xml_text(explanation.measure, 40),
             true);
  return {
      page_svg("square", square_width, 316, label, std::string(explanation_style) + chart.take()),
      {}};
}

namespace internal {

/// Where a heat map stands in its picture; `letters`: of the names of columns.
struct HeatLayout {
  double left, width;
  std::size_t letters;
};

/// What draw_heat_map draws of a window: its rows `each` by `each` in a cell, so that no cell is
/// narrower than a pixel.
struct HeatCells {
  std::size_t each, count;
  std::vector<double> values;  ///< [columns][count]
  double most = 0;             ///< the strongest

  HeatCells(const HeatMap& map, const std::vector<std::size_t>& shown, double width)
      : each((map.steps() + static_cast<std::size_t>(width) - 1) / static_cast<std::size_t>(width)),
        count((map.steps() + each - 1) / each),
        values(shown.size() * count, 0.0) {
    // Whole cells end at the window's last row.
    const std::size_t missing = count * each - map.steps();
    for (std::size_t row = 0; row < shown.size(); ++row)
      for (std::size_t t = 0; t < map.steps(); ++t)
        values[row * count + (t + missing) / each] += map.values[t * map.rows.size() + shown[row]];
    for (const double value : values) most = std::max(most, std::abs(value));
  }
  /// The lags of a cell of a window of T rows: "lag 2", or "lags 4 to 7".
  std::string lags(std::size_t cell, std::size_t T) const {
    const std::size_t first = (count - 1 - cell) * each;
    return lag_name({.first_lag = static_cast<Index>(first),
                     .last_lag = static_cast<Index>(std::min(first + each, T) - 1)});
  }
};

/// Draws a heat map; returns its height.
inline double draw_heat_map(ChartWriter& chart, const HeatMap& map,
                            const std::vector<std::size_t>& shown, const HeatLayout& o) {
  constexpr double top = 30, row_height = 20;
  const HeatCells cells(map, shown, o.width);
  const double cell = o.width / static_cast<double>(cells.count);
  for (std::size_t row = 0; row < shown.size(); ++row) {
    const std::string& name = map.rows[shown[row]];
    const double y = top + row_height * static_cast<double>(row);
    chart.text(o.left - 8, y + 14, "tick", "end", xml_text(name, o.letters));
    chart.add({rect("nothing", o.left, y + 1, o.width, row_height - 2, "", name)});
    for (std::size_t at = 0; at < cells.count; ++at) {
      const double value = cells.values[row * cells.count + at];
      const double strength = cells.most > 0 ? std::abs(value) / cells.most : 0;
      if (strength < 0.01) continue;
      chart.add({rect(value < 0 ? "less" : "more", o.left + cell * static_cast<double>(at), y + 1,
                      cell * 0.96, row_height - 2, coordinate(strength),
                      name + ", " + cells.lags(at, map.steps()) + ": " + format_loss(value))});
    }
  }
  const double below = top + row_height * static_cast<double>(shown.size()) + 18;
  if (!map.ends.empty()) {
    chart.text(o.left, below, "tick", "start", xml_text(map.ends.front(), 22));
    chart.text(o.left + o.width, below, "tick", "end", xml_text(map.ends.back(), 22));
  }
  chart.text(o.left + o.width / 2, below + 18, "name", "middle",
             cells.each == 1
                 ? std::string("rows of the window")
                 : "rows of the window, " + std::to_string(cells.each) + " summed in a cell");
  chart.add({rect("more", 8, 8, 12, 12, "", "raised"), rect("less", 86, 8, 12, 12, "", "lowered")});
  chart.text(26, 18, "tick", "start", "raised");
  chart.text(104, 18, "tick", "start", "lowered the output");
  chart.text(o.left + o.width, 18, "tick", "end", "strongest: " + format_loss(cells.most));
  return below + 30;
}

}  // namespace internal

/// One window, wide and narrow: columns by rows, time from left to right. Blue raised the output,
/// orange lowered it; the strongest cell is full. Of long windows neighbouring rows are summed. At
/// most 24 columns, those that contributed most. Throws: ShapeError when there are not as many
/// values in each row of the window as there are columns.
inline Figure heat_map_figure(const HeatMap& map) {
  using namespace internal;
  const std::size_t I = map.rows.size(), T = map.steps();
  if (I == 0 || T == 0 || map.values.size() != I * T)
    throw ShapeError("heat map: ", map.values.size(), " values for ", I, " columns");
  std::vector<double> sums(I, 0.0);
  for (std::size_t at = 0; at < map.values.size(); ++at) sums[at % I] += std::abs(map.values[at]);
  std::vector<std::size_t> shown = largest_first(I, [&](std::size_t i) { return sums[i]; });
  const std::string label = "Attributions of one window; most of " + map.rows[shown.front()];
  shown.resize(std::min(shown.size(), most_bars));
  std::sort(shown.begin(), shown.end());
  Figure figure;
  const auto add = [&](std::string_view style, double width, const HeatLayout& layout) {
    ChartWriter chart;
    const double height = draw_heat_map(chart, map, shown, layout);
    figure.svg +=
        page_svg(style, width, height, label, std::string(explanation_style) + chart.take());
  };
  add("wide", 840, {160, 664, 22});
  add("narrow", 380, {104, 264, 14});
  if (shown.size() < I)
    figure.notes.push_back("The " + std::to_string(shown.size()) + " columns of " +
                           std::to_string(I) + " that contributed most.");
  return figure;
}

/// A figure of a page, of two forms the first, as an SVG document with a title: no scripts, fonts
/// or other files, light or dark as the reader's system asks. Throws: ShapeError when the figure is
/// no svg element.
inline std::string svg_document(const Figure& figure, std::string_view title,
                                std::string_view subtitle) {
  constexpr std::string_view box = "viewBox=\"0 0 ";
  const std::size_t at = figure.svg.find(box), body = figure.svg.find('>');
  if (!figure.svg.starts_with("<svg ") || body == figure.svg.npos || at > body)
    throw ShapeError("svg_document: the figure is no svg element");
  double width = 0, height = 0;
  const char* const end = figure.svg.data() + body;
  const auto parsed = std::from_chars(figure.svg.data() + at + box.size(), end, width);
  std::from_chars(parsed.ptr + 1, end, height);
  const double inner_width = width;
  width = std::max(width + 40, 640.0);  // room for the title of a square
  height += 100 + 20 * static_cast<double>(figure.notes.size());
  ChartWriter chart;
  chart.add({"<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"tsdl-chart\" role=\"img\" width=\"",
             coordinate(width), "\" height=\"", coordinate(height), "\" viewBox=\"0 0 ",
             coordinate(width), " ", coordinate(height), "\">\n<title>", xml_text(title),
             "</title>\n", chart_style,
             "<rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n"});
  const auto fitting = [&](double letter) {
    return static_cast<std::size_t>((width - 48) / letter);
  };
  chart.text(24, 38, "title", "start", xml_text(title, fitting(11)));
  chart.text(24, 60, "subtitle", "start", xml_text(subtitle, fitting(6.8)));
  const std::string_view inner(figure.svg);
  chart.add({"<g transform=\"translate(", coordinate((width - inner_width) / 2), " 76)\">\n",
             inner.substr(body + 1, inner.find("</svg>") - body - 1), "</g>\n"});
  double y = height - 10 - 20 * static_cast<double>(figure.notes.size());
  for (const std::string& note : figure.notes)
    chart.text(24, y += 20, "note", "start", xml_text(note));
  chart.add({"</svg>\n"});
  return chart.take();
}

}  // namespace report
}  // namespace TSDL_ABI
}  // namespace tsdl
