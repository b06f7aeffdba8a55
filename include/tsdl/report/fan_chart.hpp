// Fan charts: the history of a series, a forecast of several steps within its nested intervals, and
// what came, as figures of a page and as one self-contained SVG.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/time.hpp"
#include "tsdl/report/axis.hpp"
#include "tsdl/report/figures.hpp"
#include "tsdl/report/forecast.hpp"
#include "tsdl/report/format.hpp"
#include "tsdl/report/svg.hpp"
#include "tsdl/report/trace.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace report {

/// The intervals of one coverage.
struct FanBand {
  double coverage = 0;
  std::vector<double> low, high;  ///< one for each step; NaN where there is none
};

/// A window of a series and its forecast. What is not finite is a gap.
struct FanSeries {
  std::string name, unit{};      ///< unit: "MW"; may be empty
  std::vector<double> history;   ///< row by row up to the last that is known; may be empty
  std::vector<double> forecast;  ///< H steps: the median, or a point forecast
  std::vector<FanBand> bands{};  ///< in any order; up to three can be told apart
  std::vector<double> truth{};   ///< what came, of the first steps or all; empty: not known
  std::vector<std::int64_t>
      times{};  ///< of history and steps, ascending, in milliseconds; or empty
};

/// The style of fan charts, beside chart_style: for the head of a page that shows them.
inline constexpr std::string_view fan_style = R"(<style>
.tsdl-chart .fan{fill:#0969da;fill-opacity:.17}
.tsdl-chart .fan-line{fill:none;stroke:#0969da;stroke-opacity:.17;stroke-width:9}
.tsdl-chart .said{stroke:#0969da}
.tsdl-chart .known{stroke:#1f2328;stroke-width:1.5}
.tsdl-chart .said-dot{fill:#0969da}.tsdl-chart .known-dot{fill:#1f2328}
.tsdl-chart .beyond{fill:none;stroke:#c4500a}
@media screen and (prefers-color-scheme:dark){
.tsdl-chart .fan{fill:#58a6ff}.tsdl-chart .fan-line{stroke:#58a6ff}
.tsdl-chart .said{stroke:#58a6ff}
.tsdl-chart .known{stroke:#f0f3f6}
.tsdl-chart .said-dot{fill:#58a6ff}.tsdl-chart .known-dot{fill:#f0f3f6}
.tsdl-chart .beyond{stroke:#ffa657}
}
</style>
)";

namespace internal {

/// Throws: ShapeError when the parts of a series do not fit.
inline void check_fan(const FanSeries& series) {
  const std::size_t H = series.forecast.size(), rows = series.history.size() + H;
  if (!series.times.empty() && series.times.size() != rows)
    throw ShapeError("fan chart: ", series.times.size(), " times for ", series.history.size(),
                     " rows of history and ", H, " steps");
  if (series.truth.size() > H)
    throw ShapeError("fan chart: ", series.truth.size(), " truths for ", H, " steps");
  for (const FanBand& band : series.bands)
    if (band.low.size() != H || band.high.size() != H)
      throw ShapeError("fan chart: a band of ", band.low.size(), " and ", band.high.size(),
                       " values for ", H, " steps");
}

/// A series as it is drawn: every line and band over all rows, the last known row being step 0.
class Fan {
 public:
  /// Throws: ShapeError when the parts do not fit.
  explicit Fan(const FanSeries& series) : series_(series) {
    check_fan(series);
    const std::size_t T = series.history.size(), H = series.forecast.size();
    places_ = series.times;
    if (places_.empty())
      for (std::size_t i = 0; i < T + H; ++i)
        places_.push_back(static_cast<std::int64_t>(i) + 1 - static_cast<std::int64_t>(T));
    actual_ = series.history;
    actual_.insert(actual_.end(), series.truth.begin(), series.truth.end());
    actual_.resize(T + H, tsdl::internal::nan_of<double>);
    said_ = joined(series.forecast);
    for (const FanBand& band : series.bands) bands_.push_back(&band);
    std::stable_sort(bands_.begin(), bands_.end(),
                     [](const FanBand* a, const FanBand* b) { return a->coverage > b->coverage; });
    set_axis();
  }

  bool has_times() const { return !series_.times.empty(); }
  const Axis& axis() const { return axis_; }
  /// "load (MW)", of at most `limit` characters.
  std::string title(std::size_t limit) const {
    const std::string unit = series_.unit.empty() ? "" : " (" + series_.unit + ")";
    return xml_text(series_.name + unit, limit);
  }

  /// Steps, or times, on a panel of this width. Of a single row both sides.
  Axis x_axis(double width) const {
    const auto most = static_cast<std::size_t>(std::max(width / (has_times() ? 64 : 44), 2.0));
    if (places_.size() == 1) {
      const auto at = static_cast<double>(places_[0]);
      return {
          at - 1, at + 1, {{at, has_times() ? format_time(places_[0]) : format_count(places_[0])}}};
    }
    Axis axis = has_times() ? time_axis(places_, most) : row_axis(places_, most);
    // Where the last place alone is a step, its bar has room on both sides.
    if (series_.forecast.size() == 1) axis.high += 0.03 * (axis.high - axis.low);
    return axis;
  }

  /// Axes, bands, lines, and the last known row.
  void draw(ChartWriter& chart, const Panel& panel) const {
    chart.frame(panel, true);
    const std::size_t T = series_.history.size();
    const std::string from =
        has_times() && T > 0 ? "from " + minute_text(places_[T - 1]) : std::string();
    const double room = panel.width - 6.8 * static_cast<double>(from.size()) - 16;
    chart.text(panel.left, panel.top - 9, "label", "start",
               title(static_cast<std::size_t>(std::clamp(room / 8.2, 6.0, 60.0))));
    chart.text(panel.left + panel.width, panel.top - 9, "tick", "end", from);
    const Panel inner{0, 0, panel.width, panel.height, panel.x_axis, panel.y_axis};
    chart.add({"<g transform=\"translate(", coordinate(panel.left), " ", coordinate(panel.top),
               ")\">\n"});
    for (const FanBand* band : bands_) draw_band(chart, inner, *band);
    if (T > 0 && any_) {
      const double x = inner.x(static_cast<double>(places_[T - 1]));
      chart.line(x, 0, x, panel.height, "best");
    }
    std::string beyond;
    for (const auto& [values, style] : {std::pair(&actual_, "known"), std::pair(&said_, "said")}) {
      const Trace trace = trace_on(axis_, *values);
      const TracePath path(inner, trace, places_);
      if (!path.line().empty())
        chart.add({"<path class=\"line ", style, "\" d=\"", path.line(), "\"/>\n"});
      beyond += path.beyond();
    }
    if (series_.forecast.size() == 1) draw_step(chart, inner);
    if (!beyond.empty()) chart.add({"<path class=\"beyond\" d=\"", beyond, "\"/>\n"});
    chart.add({"</g>\n"});
    if (!any_)
      chart.text(panel.left + panel.width / 2, panel.top + panel.height / 2, "name", "middle",
                 "no value is known");
    if (!has_times())
      chart.text(panel.left + panel.width / 2, panel.top + panel.height + 40, "name", "middle",
                 T > 0 ? "steps after the last known row" : "step");
  }

  /// What the picture shows, in words.
  std::string text() const {
    const std::size_t T = series_.history.size(), H = series_.forecast.size();
    const std::span<const double> came(series_.truth);
    std::string words = series_.name;
    if (T > 0)
      words += ": history of " + rows(T) + " " + span_text(series_.history) + ",";
    else
      words += ":";
    words +=
        " forecast of " + (H == 1 ? "1 step " : format_count(static_cast<Index>(H)) + " steps ");
    words += span_text(series_.forecast);
    for (const FanBand* band : bands_)
      if (H > 0 && is_finite(band->low[H - 1]) && is_finite(band->high[H - 1]))
        words += ", " + format_percent(band->coverage, 0) + " interval of the last step " +
                 format_loss(band->low[H - 1]) + " to " + format_loss(band->high[H - 1]);
    if (!came.empty()) words += ", truth " + span_text(came);
    return words;
  }

  /// How many values of lines, and steps of bands, the axis does not reach.
  std::size_t cut() const {
    std::size_t count = beyond(axis_, actual_) + beyond(axis_, said_);
    for (const FanBand* band : bands_)
      for (std::size_t h = 0; h < band->low.size(); ++h)
        count += band->low[h] < axis_.low || band->high[h] > axis_.high;
    return count;
  }

 private:
  /// "2018-06-26 19:00", without seconds where these are 0.
  static std::string minute_text(std::int64_t time) {
    std::string text = format_time(time);
    if (text.ends_with(":00Z")) text = text.substr(0, 10) + ' ' + text.substr(11, 5);
    return text;
  }
  static std::string rows(std::size_t n) {
    return format_count(static_cast<Index>(n)) + (n == 1 ? " row" : " rows");
  }

  /// Over all rows: nothing, the last known value, the steps.
  std::vector<double> joined(std::span<const double> steps) const {
    std::vector<double> all(series_.history.size(), tsdl::internal::nan_of<double>);
    if (!all.empty()) all.back() = series_.history.back();
    all.insert(all.end(), steps.begin(), steps.end());
    return all;
  }

  /// The axis of the lines, and of bands as far as one and a half times what the lines span or the
  /// middle one of all widths is: a few that are absurd must not flatten the rest.
  void set_axis() {
    const Trace lines[] = {make_trace("", actual_), make_trace("", said_)};
    double low = 0, high = 0, least = 0, largest = 0;
    const auto take = [](double value, bool first, double& from, double& to) {
      from = first ? value : std::min(from, value), to = first ? value : std::max(to, value);
    };
    for (const Trace& line : lines)
      if (line.known > 0) {
        take(line.low, !any_, low, high), take(line.high, false, low, high);
        any_ = true;
      }
    bool banded = false;
    for (const FanBand* band : bands_)
      for (const std::vector<double>* side : {&band->low, &band->high})
        for (const double value : *side)
          if (is_finite(value)) {
            take(std::clamp(value, -1e300, 1e300), !banded, least, largest);
            banded = true;
          }
    if (banded && any_) {
      const double reach = 1.5 * std::max(high - low, middle_width());
      const double floor = low - reach, ceiling = high + reach;
      low = std::min(low, std::max(least, floor));
      high = std::max(high, std::min(largest, ceiling));
    } else if (banded) {
      low = least, high = largest;
    }
    any_ = any_ || banded;
    axis_ = any_ ? linear_axis(low, high) : linear_axis(0, 1);
  }

  /// The median of the widths of all bands at all steps; 0 without any.
  double middle_width() const {
    std::vector<double> widths;
    for (const FanBand* band : bands_)
      for (std::size_t h = 0; h < band->low.size(); ++h)
        if (const double width = band->high[h] - band->low[h]; is_finite(width))
          widths.push_back(width);
    if (widths.empty()) return 0;
    const auto middle = widths.begin() + std::ssize(widths) / 2;
    std::nth_element(widths.begin(), middle, widths.end());
    return *middle;
  }

  void draw_band(ChartWriter& chart, const Panel& inner, const FanBand& band) const {
    const std::vector<double> low = joined(band.low), high = joined(band.high);
    std::size_t known = 0, at = 0;
    for (std::size_t i = 0; i < low.size(); ++i)
      if (is_finite(low[i]) && is_finite(high[i])) ++known, at = i;
    if (known == 1 && at >= series_.history.size()) {  // no area, hence a bar
      const double x = inner.x(static_cast<double>(places_[at]));
      const auto y = [&](double value) { return std::clamp(inner.y(value), 0.0, inner.height); };
      return chart.line(x, y(low[at]), x, y(high[at]), "fan-line");
    }
    const std::string area = BandPath(inner, low, high, places_).area();
    if (known > 1) chart.add({"<path class=\"fan\" d=\"", area, "\"/>\n"});
  }

  /// The values of a forecast of one step, which a line would hardly show.
  void draw_step(ChartWriter& chart, const Panel& inner) const {
    const double x = inner.x(static_cast<double>(places_.back()));
    for (const auto& [value, style] :
         {std::pair(actual_.back(), "known-dot"), std::pair(said_.back(), "said-dot")})
      if (is_finite(value) && value >= axis_.low && value <= axis_.high)
        chart.dot(x, inner.y(value), 3.5, style);
  }

  const FanSeries& series_;
  std::vector<std::int64_t> places_;
  std::vector<double> actual_, said_;
  std::vector<const FanBand*> bands_;  ///< the widest first
  Axis axis_;
  bool any_ = false;  ///< a value is finite
};

/// The panel of a fan in a picture of this width whose plot is `height` high.
inline Panel fan_panel(const Fan& fan, double left, double top, double right, double height) {
  const double from = left + 14 + label_width(fan.axis()), width = right - from;
  return {from, top, width, height, fan.x_axis(width), fan.axis()};
}

/// The coverages of all bands, the widest first.
inline std::vector<double> fan_coverages(std::span<const FanSeries> series) {
  std::vector<double> coverages;
  for (const FanSeries& one : series)
    for (const FanBand& band : one.bands) coverages.push_back(band.coverage);
  std::sort(coverages.begin(), coverages.end(), std::greater<>());
  coverages.erase(std::unique(coverages.begin(), coverages.end()), coverages.end());
  return coverages;
}

/// What the shades of a chart without a legend are.
inline std::string fan_note(std::span<const FanSeries> series) {
  std::string note = "Blue: forecast; dashed: the last known row";
  const std::vector<double> coverages = fan_coverages(series);
  for (std::size_t i = 0; i < coverages.size(); ++i)
    note += (i == 0 ? "; shades, from the outside in: " : ", ") + format_percent(coverages[i], 0);
  return note + (coverages.empty() ? "." : " intervals.");
}

}  // namespace internal

/// Fan charts for a page with fan_style: of one series wide and narrow, of several a picture each,
/// to be laid out side by side.
/// Throws: ShapeError when times, truths or bands do not fit a series' history and steps.
inline Figure fan_figure(std::span<const FanSeries> series) {
  using namespace internal;
  const FloatModeGuard guard;
  Figure figure;
  std::size_t cut = 0;
  for (const FanSeries& one : series) {
    const Fan fan(one);
    cut += fan.cut();
    const double below = fan.has_times() ? 28 : 48;
    const auto add = [&](std::string_view style, double width, double height) {
      ChartWriter chart;
      fan.draw(chart, fan_panel(fan, 0, 28, width - 16, height));
      figure.svg +=
          page_svg(style, width, 28 + height + below, "Forecast of " + fan.text(), chart.take());
    };
    if (series.size() > 1) {
      add("square", 400, 210);
    } else {
      add("wide", 840, 300);
      add("narrow", 380, 230);
    }
  }
  if (cut > 0)
    figure.notes.push_back(
        "Beyond the axis, hence cut at its edge: " + format_count(static_cast<Index>(cut)) +
        (cut == 1 ? " value." : " values."));
  return figure;
}

/// Fan charts as an SVG document, two in a row: no scripts, fonts or other files, light or dark as
/// the reader's system asks. The same input gives the same bytes, in every locale.
/// Throws: as fan_figure.
inline std::string fan_chart(std::span<const FanSeries> series, std::string_view title,
                             std::string_view subtitle = {}) {
  using namespace internal;
  const FloatModeGuard guard;
  constexpr double width = 960, height = 230, row = height + 92, margin = 32, between = 30;
  const std::size_t columns = series.size() > 1 ? 2 : 1, lines = (series.size() + 1) / columns;
  const double all =
      104 + row * static_cast<double>(series.size() > 1 ? lines : series.size()) + 16;
  const auto side = static_cast<double>(columns);
  const double cell = (width - 2 * margin - between * (side - 1)) / side;
  ChartWriter chart;
  chart.add({"<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"tsdl-chart\" role=\"img\" width=\"",
             coordinate(width), "\" height=\"", coordinate(all), "\" viewBox=\"0 0 ",
             coordinate(width), " ", coordinate(all), "\">\n<title>", xml_text(title),
             "</title>\n<desc>"});
  for (const FanSeries& one : series) chart.add({xml_text(Fan(one).text()), ". "});
  chart.add({"</desc>\n", chart_style, fan_style,
             "<rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n"});
  chart.text(margin, 40, "title", "start", xml_text(title, 75));
  chart.text(margin, 63, "subtitle", "start", xml_text(subtitle, 120));
  chart.text(margin, 84, "note", "start", fan_note(series));
  for (std::size_t i = 0; i < series.size(); ++i) {
    const Fan fan(series[i]);
    const double left = margin + (cell + between) * static_cast<double>(i % columns);
    const double top = 104 + 28 + row * static_cast<double>(i / columns);
    fan.draw(chart, fan_panel(fan, left - 14, top, left + cell, height));
  }
  chart.add({"</svg>\n"});
  return chart.take();
}

}  // namespace report
}  // namespace TSDL_ABI
}  // namespace tsdl
