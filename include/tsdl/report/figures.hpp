// Figures of a classifier for a page: losses, ROC, calibration, confusion. SVG elements without a
// style of their own, light letters apart from colour: the page's style sheet gives it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tsdl/report/axis.hpp"
#include "tsdl/report/format.hpp"
#include "tsdl/report/loss_chart.hpp"
#include "tsdl/report/svg.hpp"
#include "tsdl/report/trace.hpp"
#include "tsdl/task/metrics.hpp"
#include "tsdl/train/curves.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace report {

/// How many lines a figure may hold that are told apart by colour and dashes.
inline constexpr std::size_t line_styles = 8;

/// The most classes of a confusion matrix that can be read.
inline constexpr std::size_t most_shown_classes = 8;

/// A figure's picture in the sizes that a page shows, and what it leaves out.
struct Figure {
  std::string svg{};
  std::vector<std::string> notes{};
};

namespace internal {

/// An svg element of a page around `content`; `label` says in words what it shows.
inline std::string page_svg(std::string_view style, double width, double height,
                            std::string_view label, std::string_view content) {
  ChartWriter svg;
  svg.add({"<svg class=\"tsdl-chart ", style, "\" role=\"img\" aria-label=\"", xml_text(label),
           "\" viewBox=\"0 0 ", coordinate(width), " ", coordinate(height), "\">\n", content,
           "</svg>\n"});
  return svg.take();
}

/// An axis from 0 to 1.
inline Axis share_axis() {
  return {0, 1, {{0, "0"}, {0.2, "0.2"}, {0.4, "0.4"}, {0.6, "0.6"}, {0.8, "0.8"}, {1, "1"}}};
}

/// A line from corner to corner; a name stands below it.
inline void draw_diagonal(ChartWriter& chart, const Panel& panel, std::string_view name = {}) {
  chart.line(panel.left, panel.top + panel.height, panel.left + panel.width, panel.top, "baseline");
  if (name.empty()) return;
  const double x = panel.left + 0.78 * panel.width, y = panel.top + 0.22 * panel.height;
  const double degrees = -std::atan2(panel.height, panel.width) * 57.29577951308232;
  chart.add({"<text class=\"over\" text-anchor=\"middle\" transform=\"translate(", coordinate(x),
             " ", coordinate(y), ") rotate(", coordinate(degrees), ")\" y=\"16\">", name,
             "</text>\n"});
}

/// The line of a ROC curve: false positives counted from left to right, few points to a pixel.
inline std::string roc_path(const Panel& panel, std::span<const RocPoint> points) {
  constexpr double fine = 1e6;  // positions on the axis are whole numbers
  std::vector<double> rates;
  std::vector<std::int64_t> positions;
  for (const RocPoint& point : points) {
    positions.push_back(std::llround(point.false_positive_rate * fine));
    rates.push_back(point.true_positive_rate);
  }
  Panel inner{0, 0, panel.width, panel.height, {0, fine, {}}, {0, 1, {}}};
  Trace trace = make_trace("", std::move(rates));
  trace.low = 0, trace.high = 1, trace.binary = false;
  return TracePath(inner, trace, positions).line();
}

/// A count in at most four characters: 9999, 12k, 1.2M.
inline std::string short_count(Index count) {
  const auto n = static_cast<double>(count);
  if (count < 10000) return std::to_string(count);
  if (count < 999500) return format_fixed(n / 1e3, 0) + 'k';
  return format_fixed(n / 1e6, n < 9.95e6 ? 1 : 0) + 'M';
}

}  // namespace internal

/// Losses and learning rate, wide and narrow: the page shows one of them.
inline Figure loss_figure(const LossCurves& curves) {
  using namespace internal;
  const DrawnCurves drawn(curves);
  const std::string label = "Loss curves: " + drawn.text();
  ChartWriter wide, narrow;
  Figure figure;
  figure.notes = draw_losses(wide, curves, drawn, {72, 616, 40, 230, 310, 380, true});
  draw_losses(narrow, curves, drawn, {48, 322, 62, 210, 312, 372, false});
  figure.svg = page_svg("wide", 840, 428, label, wide.take()) +
               page_svg("narrow", 380, 420, label, narrow.take());
  return figure;
}

/// A curve of a ROC figure, and what it is called.
struct RocLine {
  std::string name;
  std::vector<RocPoint> points;
  double auc = Metrics::undefined;
};

/// The curves of one class against the rest over the diagonal, at most line_styles of them.
inline Figure roc_figure(std::span<const RocLine> lines) {
  using namespace internal;
  const Panel panel{54, 14, 332, 332, share_axis(), share_axis()};
  ChartWriter chart;
  chart.frame(panel, true);
  draw_diagonal(chart, panel);
  std::string label = "ROC curve";
  chart.add(
      {"<g transform=\"translate(", coordinate(panel.left), " ", coordinate(panel.top), ")\">\n"});
  for (std::size_t i = 0; i < lines.size(); ++i) {
    chart.add({"<path class=\"line roc c", std::to_string(i % line_styles), "\" d=\"",
               roc_path(panel, lines[i].points), "\"/>\n"});
    label += "; " + lines[i].name + ": AUC " + format_fixed(lines[i].auc, 4);
  }
  chart.add({"</g>\n"});
  chart.text(panel.left + panel.width / 2, 388, "name", "middle", "false positive rate");
  chart.text(16, panel.top + panel.height / 2, "name", "middle", "true positive rate", true);
  return {page_svg("square", 400, 398, label, chart.take()), {}};
}

/// Observed shares over predicted probabilities with their 95% intervals, and how many windows each
/// bin holds. `baseline` is the share that a constant answer would give; `before`, where there are
/// any, are the bins before a temperature was fitted.
inline Figure calibration_figure(std::span<const CalibrationBin> bins, double baseline,
                                 std::span<const CalibrationBin> before = {}) {
  using namespace internal;
  const Panel panel{54, 14, 332, 270, share_axis(), share_axis()};
  Index most = 1;
  for (const CalibrationBin& bin : bins) most = std::max(most, bin.count);
  const Panel counts{54, 326, 332, 50, share_axis(), {0, static_cast<double>(most), {}}};
  ChartWriter chart, points;
  chart.frame(panel, false);
  std::string path, label = "Calibration";
  for (const CalibrationBin& bin : bins) {
    const std::string range = format_fixed(bin.low, 2) + " to " + format_fixed(bin.high, 2);
    const double from = counts.x(bin.low) + 1, to = counts.x(bin.high) - 1;
    const double top = counts.y(static_cast<double>(bin.count));
    const std::string tip = range + ": " + format_count(bin.count) + " windows";
    if (bin.count > 0)
      points.add({"<path class=\"bar\" d=\"M", coordinate(from), " ", coordinate(376.0), "V",
                  coordinate(std::min(top, 375.0)), "H", coordinate(to), "V", coordinate(376.0),
                  "Z\"><title>", tip, "</title></path>\n"});
    points.text((from + to) / 2, std::min(top, 375.0) - 4, "count", "middle",
                short_count(bin.count));
    if (bin.count == 0) continue;
    const auto [low, high] = wilson_interval(bin.share_positive, bin.count);
    const double x = panel.x(bin.mean_probability), y = panel.y(bin.share_positive);
    points.line(x, panel.y(low), x, panel.y(high), "whisker");
    (path += path.empty() ? 'M' : 'L').append(coordinate(x)).append(" ").append(coordinate(y));
    const std::string text = tip + ", mean probability " + format_fixed(bin.mean_probability, 3) +
                             ", observed " + format_percent(bin.share_positive);
    points.add({"<circle class=\"point\" cx=\"", coordinate(x), "\" cy=\"", coordinate(y),
                "\" r=\"4\"><title>", text, "</title></circle>\n"});
    label += "; " + text;
  }
  std::string earlier;
  for (const CalibrationBin& bin : before)
    if (bin.count > 0)
      (earlier += earlier.empty() ? 'M' : 'L')
          .append(coordinate(panel.x(bin.mean_probability)))
          .append(" ")
          .append(coordinate(panel.y(bin.share_positive)));
  if (!earlier.empty())
    chart.add({"<path class=\"line roc c1\" d=\"", earlier,
               "\"><title>before the temperature</title></path>\n"});
  chart.add({"<path class=\"line c0\" d=\"", path.empty() ? "M0 0" : path, "\"/>\n"});
  draw_diagonal(chart, panel, "perfect");
  chart.add({points.take()});
  if (is_finite(baseline)) chart.baseline(panel, baseline, "baseline " + format_percent(baseline));
  chart.line(54, 376, 386, 376, "axis");
  for (const auto& [value, tick] : counts.x_axis.ticks)
    chart.text(counts.x(value), 394, "tick", "middle", tick);
  chart.text(panel.left, 304, "name", "start", "windows per bin");
  chart.text(panel.left + panel.width / 2, 414, "name", "middle", "predicted probability");
  chart.text(16, panel.top + panel.height / 2, "name", "middle", "observed share", true);
  return {page_svg("square", 400, 424, label, chart.take()), {}};
}

/// Labels by rows, predictions by columns: counts, and shares of the row as shades. Empty where
/// there are too many classes to show.
inline Figure confusion_figure(const Confusion& confusion, const std::vector<std::string>& names) {
  using namespace internal;
  const std::size_t K = confusion.classes();
  if (K > most_shown_classes) return {};
  const double left = 92, top = 52, size = std::min(110.0, 296 / static_cast<double>(K));
  const double side = size * static_cast<double>(K);
  ChartWriter chart;
  std::string label = "Confusion matrix";
  chart.text(left + side / 2, 16, "name", "middle", "predicted");
  chart.text(16, top + side / 2, "name", "middle", "actual", true);
  for (std::size_t row = 0; row < K; ++row) {
    const double y = top + size * static_cast<double>(row), middle = y + size / 2;
    const Index total = confusion.actual(row);
    chart.text(left - 10, middle + 4, "label", "end", xml_text(names[row], 8));
    chart.text(left + size * (static_cast<double>(row) + 0.5), top - 10, "label", "middle",
               xml_text(names[row], 8));
    for (std::size_t column = 0; column < K; ++column) {
      const Index count = confusion.counts[row][column];
      const double of_row =
          total > 0 ? static_cast<double>(count) / static_cast<double>(total) : 0.0;
      const double x = left + size * static_cast<double>(column);
      chart.add({"<rect class=\"cell", row == column ? " hit" : "", "\" x=\"", coordinate(x + 1),
                 "\" y=\"", coordinate(y + 1), "\" width=\"", coordinate(size - 2), "\" height=\"",
                 coordinate(size - 2), "\" fill-opacity=\"", coordinate(0.04 + 0.5 * of_row),
                 "\"/>\n"});
      const bool roomy = size >= 48;
      chart.text(x + size / 2, middle + (roomy ? 0 : 4), "cell-count", "middle",
                 roomy ? format_count(count) : short_count(count));
      if (roomy)
        chart.text(x + size / 2, middle + 17, "cell-share", "middle", format_percent(of_row));
      label += "; label " + names[row] + " taken for " + names[column] + ": " + format_count(count);
    }
  }
  return {page_svg("square", 400, top + side + 8, label, chart.take()), {}};
}

}  // namespace report
}  // namespace TSDL_ABI
}  // namespace tsdl
