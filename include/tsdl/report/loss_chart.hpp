// Training curves: losses over the epochs above, learning rate below, in any size and as one
// self-contained SVG.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "tsdl/core/types.hpp"
#include "tsdl/report/axis.hpp"
#include "tsdl/report/format.hpp"
#include "tsdl/report/svg.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace report {

/// What loss_chart draws, one value per epoch. A series may be empty, shorter than the others, or
/// hold values that are not finite.
struct LossCurves {
  std::string title, subtitle;  ///< UTF-8
  std::vector<double> train, validation, learning_rate;
  Index best_epoch = -1;  ///< from 0; -1: none
  double baseline =       ///< what a constant answer loses on the validation windows
      std::numeric_limits<double>::quiet_NaN();
};

/// Where the parts of the picture of losses are, in pixels.
struct LossLayout {
  double left, width;       ///< of both panels
  double top, height;       ///< of the losses, where there are rates
  double rate_top, bottom;  ///< of the rates; without any, the losses reach the bottom
  bool beside;              ///< series are named right of the panels, else above them
};

namespace internal {

/// The finite values, in their order.
inline std::vector<double> known_values(const Curve& series) {
  std::vector<double> values;
  for (const double v : series.values)
    if (is_finite(v)) values.push_back(v);
  return values;
}

inline std::string in_epochs(std::size_t count) {
  return format_count(static_cast<Index>(count)) + (count == 1 ? " epoch" : " epochs");
}

/// A series as drawn: what `shown` refuses becomes a gap.
template <class Shown>
Curve make_curve(std::string_view name, std::string_view style, std::vector<double> values,
                 const Shown& shown) {
  for (double& v : values)
    if (!shown(v)) v = std::numeric_limits<double>::quiet_NaN();
  return {name, style, std::move(values)};
}

/// "training loss from 0.6931 to 0.6512", or nothing for a series without a finite value.
inline std::string describe(const Curve& series, std::string (*format)(double)) {
  const std::vector<double> values = known_values(series);
  if (values.empty()) return {};
  return "; " + std::string(series.name) + " from " + format(values.front()) + " to " +
         format(values.back());
}

/// What a reader has to know about what the picture leaves out.
inline std::vector<std::string> footnotes(const Panel& panel, const Curve& train,
                                          const Curve& validation, const Curve& rate) {
  std::vector<std::string> notes;
  std::size_t beyond = 0;
  double farthest = 0;
  std::string which;
  for (const Curve* series : {&train, &validation}) {
    for (std::size_t i = 0; i < series->values.size(); ++i) {
      if (!series->known(i)) continue;
      const double v = series->values[i];
      const double distance = std::max(v - panel.y_axis.high, panel.y_axis.low - v);
      if (distance <= 0) continue;
      ++beyond;
      if (distance <= farthest) continue;
      farthest = distance;
      which = format_loss(v) + " (" + std::string(series->name) + ", epoch " +
              format_count(static_cast<Index>(i + 1)) + ")";
    }
  }
  if (beyond == 1)
    notes.push_back("The triangle marks a value beyond the loss axis: " + which + ".");
  if (beyond > 1)
    notes.push_back("Triangles mark " + format_count(static_cast<Index>(beyond)) +
                    " values beyond the loss axis, the farthest " + which + ".");

  std::string gaps;
  for (const Curve* series : {&train, &validation}) {
    const std::size_t missing = series->values.size() - known_values(*series).size();
    if (missing > 0)
      gaps +=
          (gaps.empty() ? "" : ", ") + std::string(series->name) + " loss in " + in_epochs(missing);
  }
  if (!gaps.empty()) notes.push_back("Not finite, hence not drawn: " + gaps + ".");
  const std::size_t missing = rate.values.size() - known_values(rate).size();
  if (missing > 0)
    notes.push_back("Not above zero, hence not on a logarithmic axis: learning rate in " +
                    in_epochs(missing) + ".");
  return notes;
}

/// The loss axis that holds both losses but for spikes, and the baseline where that is not far.
inline Axis loss_axis(const Curve& train, const Curve& validation, double baseline) {
  std::vector<double> values = known_values(train);
  const std::vector<double> more = known_values(validation);
  values.insert(values.end(), more.begin(), more.end());
  if (values.empty()) return linear_axis(0, 1);
  // Differences must not overflow; what lies farther out is beyond the axis.
  for (double& v : values) v = std::clamp(v, -1e300, 1e300);
  const auto [low, high] = robust_range(std::move(values));
  const double reach = std::max(high - low, 0.05 * std::fabs(high));
  if (is_finite(baseline) && baseline > low - reach && baseline < high + reach)
    return linear_axis(std::min(low, baseline), std::max(high, baseline));
  return linear_axis(low, high);
}

/// The best epoch as a line through all panels, with its name above.
inline void draw_best_line(ChartWriter& chart, const Panel& losses, double bottom,
                           const Curve& series, std::size_t best) {
  const double x = losses.x(static_cast<double>(best + 1));
  const double share = (x - losses.left) / losses.width;
  chart.line(x, losses.top - 4, x, bottom, "best");
  std::string label = "best epoch " + format_count(static_cast<Index>(best + 1));
  if (series.known(best)) label += ": " + format_loss(series.values[best]);
  const std::string_view anchor = share < 0.15 ? "start" : share > 0.85 ? "end" : "middle";
  const double shift = share < 0.15 ? -4 : share > 0.85 ? 4 : 0;
  chart.text(x + shift, losses.top - 11, "tick", anchor, label);
}

/// The ring on the curve at the best epoch, if the curve has a value there.
inline void draw_best_ring(ChartWriter& chart, const Panel& losses, const Curve& series,
                           std::size_t best) {
  if (!series.known(best)) return;
  const double y =
      std::clamp(losses.y(series.values[best]), losses.top, losses.top + losses.height);
  chart.dot(losses.x(static_cast<double>(best + 1)), y, 5, "ring " + std::string(series.style));
}

/// The lower panel. The series holds the rates; the axis and the curve are of their logarithms.
inline void draw_rates(ChartWriter& chart, const Panel& losses, const LossLayout& layout,
                       const Curve& rate) {
  const std::vector<double> values = known_values(rate);
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  Curve logarithm = rate;
  for (double& v : logarithm.values) v = std::log10(v);
  const Panel panel{losses.left,   layout.rate_top,
                    losses.width,  layout.bottom - layout.rate_top,
                    losses.x_axis, log_axis(*low, *high)};
  const Curve* const series[] = {&logarithm};
  const std::string label[] = {"rate " + format_rate(values.back())};
  chart.frame(panel, true);
  chart.steps(panel, logarithm);
  if (layout.beside) {
    chart.text(24, panel.top + panel.height / 2, "name", "middle", "learning rate", true);
    chart.end_labels(panel, series, label);
  } else {
    chart.text(panel.left, panel.top - 10, "label rate-fill over", "start", "learning " + label[0]);
  }
}

/// What both losses ended at: beside their lines, or above the panel.
inline void name_losses(ChartWriter& chart, const Panel& losses, const LossLayout& layout,
                        const Curve& train, const Curve& validation) {
  std::vector<const Curve*> named;
  std::vector<std::string> labels;
  for (const Curve* series : {&train, &validation}) {
    if (series->last() == series->values.size()) continue;
    named.push_back(series);
    labels.push_back(std::string(series->name) + (layout.beside ? " " : " loss ") +
                     format_loss(series->values[series->last()]));
  }
  if (named.empty())
    chart.text(losses.left + losses.width / 2, losses.top + losses.height / 2, "label", "middle",
               "no loss to show yet");
  if (layout.beside) return chart.end_labels(losses, named, labels);
  for (std::size_t i = 0; i < named.size(); ++i)
    chart.text(i == 0 ? losses.left : losses.left + losses.width, losses.top - 38,
               "label " + std::string(named[i]->style) + "-fill", i == 0 ? "start" : "end",
               labels[i]);
}

/// The series of loss curves, what cannot be drawn taken out.
struct DrawnCurves {
  Curve train, validation, rate;

  explicit DrawnCurves(const LossCurves& curves) {
    const auto finite = [](double v) { return is_finite(v); };
    train = make_curve("training", "train", curves.train, finite);
    validation = make_curve("validation", "valid", curves.validation, finite);
    rate = make_curve("learning rate", "rate", curves.learning_rate,
                      [](double v) { return is_finite(v) && v > 0; });
  }
  std::size_t epochs() const {
    return std::max({train.values.size(), validation.values.size(), rate.values.size()});
  }
  bool has_rate() const { return rate.last() < rate.values.size(); }
  /// "11 epochs; training from 0.6931 to 0.6512; ..."
  std::string text() const {
    return in_epochs(epochs()) + describe(train, format_loss) + describe(validation, format_loss) +
           describe(rate, format_rate);
  }
};

/// Draws losses and rates. Returns what a reader has to know about what is left out.
inline std::vector<std::string> draw_losses(ChartWriter& chart, const LossCurves& curves,
                                            const DrawnCurves& drawn, const LossLayout& layout) {
  const auto& [train, validation, rate] = drawn;
  const std::size_t epochs = drawn.epochs();
  const Panel losses{layout.left,
                     layout.top,
                     layout.width,
                     drawn.has_rate() ? layout.height : layout.bottom - layout.top,
                     epoch_axis(epochs, layout.width),
                     loss_axis(train, validation, curves.baseline)};
  chart.frame(losses, !drawn.has_rate());
  if (layout.beside) chart.text(24, losses.top + losses.height / 2, "name", "middle", "loss", true);
  const Curve& judged = validation.values.empty() ? train : validation;
  const auto best = static_cast<std::size_t>(curves.best_epoch);
  const bool has_best = curves.best_epoch >= 0 && best < epochs;
  if (has_best) draw_best_line(chart, losses, layout.bottom, judged, best);
  if (drawn.has_rate()) draw_rates(chart, losses, layout, rate);
  chart.text(losses.left + losses.width / 2, layout.bottom + 40, "name", "middle", "epoch");
  chart.curve(losses, train);
  chart.curve(losses, validation);
  if (curves.baseline >= losses.y_axis.low && curves.baseline <= losses.y_axis.high)
    chart.baseline(losses, curves.baseline, "baseline " + format_loss(curves.baseline));
  if (has_best) draw_best_ring(chart, losses, judged, best);
  name_losses(chart, losses, layout, train, validation);
  return footnotes(losses, train, validation, rate);
}

}  // namespace internal

/// Draws the curves as an SVG document: no scripts, fonts or other files, light or dark as the
/// reader's system asks. The same input gives the same bytes, in every locale.
///
/// Values that are not finite are gaps. The loss axis follows the bulk of the values; the few that
/// lie far outside are marked by triangles at its edge, and a line below says how many they are and
/// names the farthest. The learning rate stands on a logarithmic axis, where it is above zero.
inline std::string loss_chart(const LossCurves& curves) {
  using namespace internal;
  constexpr double width = 960;
  constexpr LossLayout layout{96, 680, 104, 280, 410, 500, true};
  const DrawnCurves drawn(curves);
  ChartWriter picture, chart;
  const std::vector<std::string> notes = draw_losses(picture, curves, drawn, layout);
  const double height = 560 + 20 * static_cast<double>(notes.size());
  chart.add({"<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"tsdl-chart\" role=\"img\" width=\"",
             coordinate(width), "\" height=\"", coordinate(height), "\" viewBox=\"0 0 ",
             coordinate(width), " ", coordinate(height), "\">\n<title>",
             xml_text(curves.title.empty() ? "Training curves" : curves.title), "</title>\n<desc>",
             drawn.text(), "</desc>\n", chart_style,
             "<rect class=\"paper\" width=\"100%\" height=\"100%\"/>\n"});
  chart.text(32, 40, "title", "start", xml_text(curves.title, 75));
  chart.text(32, 63, "subtitle", "start", xml_text(curves.subtitle, 120));
  chart.add({picture.take()});
  double y = layout.bottom + 40;
  for (const std::string& note : notes) chart.text(layout.left, y += 20, "note", "start", note);
  chart.add({"</svg>\n"});
  return chart.take();
}

}  // namespace report
}  // namespace TSDL_ABI
}  // namespace tsdl
