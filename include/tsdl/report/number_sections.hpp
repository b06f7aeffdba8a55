// The sections of the report page for numbers and quantiles: forecasts, what they are worth beside
// every baseline, and each target by itself.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "tsdl/report/evaluation.hpp"
#include "tsdl/report/figures.hpp"
#include "tsdl/report/forecast.hpp"
#include "tsdl/report/format.hpp"
#include "tsdl/report/html.hpp"
#include "tsdl/report/sections.hpp"
#include "tsdl/report/verdict.hpp"
#include "tsdl/task/metrics.hpp"
#include "tsdl/task/target_scale.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace report {
namespace internal {

/// Writes sections of one page.
class NumberSections {
 public:
  explicit NumberSections(ReportParts& parts)
      : parts_(parts),
        page_(parts.page_),
        e_(parts.e_),
        count_(std::max<std::size_t>(e_.targets.size(), 1)),
        levels_(std::max<std::size_t>(e_.levels.size(), 1)) {
    for (std::size_t j = 1; j < e_.levels.size(); ++j)
      if (std::abs(e_.levels[j] - 0.5) < std::abs(e_.levels[centre_] - 0.5)) centre_ = j;
    const std::size_t n = e_.ends.size();
    known_ = n > 0 && e_.labels.size() == n * count_ &&
             e_.predictions.size() == n * count_ * levels_ &&
             std::all_of(e_.predictions.begin(), e_.predictions.end(), is_finite);
    if (known_) forecast_ = make_forecast();
  }

  /// The most telling figure beside each baseline's. Of several targets it has no unit.
  void scores() {
    if (e_.figures.empty()) return parts_.headline_score(score(e_.metrics.loss), "loss");
    const auto unitless = std::find_if(e_.figures.begin(), e_.figures.end(), [](auto name) {
      return figure_of(name).format == tsdl::Figure::Format::score;
    });
    const bool several = count_ > 1 && unitless != e_.figures.end();
    const tsdl::Figure& figure = figure_of(several ? *unitless : e_.figures.front());
    std::string what(figure.title);
    if (figure.name == "mae") what += ", how far off a prediction is on average";
    if (figure.name == "pinball") what += ", the mean over the levels";
    if (several) what += ", the mean over targets";
    parts_.headline_score(figure_text(figure, e_.metrics.*figure.value),
                          what + (figure.lower_is_better ? "; lower is better"
                                                         : "; 1 is perfect, 0 no better than "
                                                           "the targets' mean"));
    for (const BaselineResult& one : e_.baselines)
      parts_.headline_score(figure_text(figure, one.metrics.*figure.value),
                            "baseline: " + one.title, "soft");
  }

  /// Every figure and table of the windows that judge the model.
  void write() {
    const bool quantiles = !e_.levels.empty(), several = count_ > 1;
    if (!known_) return metrics();
    over_time();
    if (!several) page_.open("div", "pair");
    scatter();
    if (several) page_.open("div", "pair");
    quantiles ? coverage() : metrics();
    if (several) by_target();
    page_.close();
    if (quantiles) metrics();
  }

  /// Rows of the table of parts: mean and deviation of each target.
  template <class Row>
  void part_rows(const Row& row) const {
    for (std::size_t k = 0; k < e_.targets.size(); ++k) {
      const auto values = [&](const auto& part) {
        return tsdl::internal::every(part.targets, static_cast<Index>(k), std::ssize(e_.targets));
      };
      row("mean of " + e_.targets[k],
          [&](const auto& part) { return format_loss(mean_of(values(part))); });
      row("standard deviation of " + e_.targets[k],
          [&](const auto& part) { return format_loss(deviation_of(values(part))); });
    }
  }

 private:
  static double mean_of(const std::vector<double>& values) {
    double mean = 0;
    for (std::size_t i = 0; i < values.size(); ++i)
      mean += (values[i] - mean) / static_cast<double>(i + 1);
    return mean;
  }
  static double deviation_of(const std::vector<double>& values) {
    const double mean = mean_of(values);
    double squares = 0;
    for (const double value : values) squares += (value - mean) * (value - mean);
    return std::sqrt(squares / static_cast<double>(values.size()));
  }

  /// Prediction j of target k, window by window.
  std::vector<double> predicted(const std::vector<double>& all, std::size_t k,
                                std::size_t j) const {
    std::vector<double> values;
    for (std::size_t at = k * levels_ + j; at < all.size(); at += count_ * levels_)
      values.push_back(all[at]);
    return values;
  }
  std::vector<double> actual(std::size_t k) const {
    return tsdl::internal::every(e_.labels, static_cast<Index>(k), static_cast<Index>(count_));
  }
  std::string target_name(std::size_t k) const {
    return k < e_.targets.size() ? e_.targets[k] : "target";
  }

  Forecast make_forecast() const {
    Forecast forecast;
    forecast.has_times = !parts_.run_.times.empty();
    for (const Index end : e_.ends)
      forecast.places.push_back(
          forecast.has_times ? parts_.run_.times[static_cast<std::size_t>(end)] : end);
    const BaselineResult* constant = e_.baseline_named("constant");
    for (std::size_t k = 0; k < std::min(count_, most_shown_targets); ++k) {
      ForecastTarget target{target_name(k), actual(k), predicted(e_.predictions, k, centre_)};
      if (levels_ > 1) {
        target.low = predicted(e_.predictions, k, 0);
        target.high = predicted(e_.predictions, k, levels_ - 1);
      }
      target.baseline =
          constant ? constant->predictions[k * levels_ + centre_] : Metrics::undefined;
      forecast.targets.push_back(std::move(target));
    }
    return forecast;
  }

  std::string quantile(std::size_t j) const { return format_exact(e_.levels[j]) + " quantile"; }
  std::string quantile_name(std::size_t j) const { return "the " + quantile(j); }
  /// What the line of predictions is of.
  std::string said() const {
    return e_.levels.empty() ? "the prediction" : "the predicted " + quantile(centre_);
  }
  /// What the constant answer is: "the training mean".
  std::string constant_title() const {
    return e_.levels.empty() ? "the training mean"
                             : quantile_name(centre_) + " of the training windows";
  }
  std::string shown_targets() const {
    if (count_ <= most_shown_targets) return {};
    return " The first " + std::to_string(most_shown_targets) + " of " + std::to_string(count_) +
           " targets.";
  }

  void over_time() {
    const Index ahead = parts_.run_.horizon;
    const std::string later = ahead == 0   ? "of that row"
                              : ahead == 1 ? "one row later"
                                           : format_count(ahead) + " rows later";
    std::string reading =
        "At the last row of each window: the target " + later + ", and " + said() + " for it.";
    std::string items =
        ReportParts::legend_item("line thin actual", "actual") +
        ReportParts::legend_item("line c0", e_.levels.empty() ? "predicted" : quantile(centre_));
    if (levels_ > 1) {
      items += ReportParts::legend_item(
          "band-line", format_exact(e_.levels.front()) + " to " + quantile(levels_ - 1));
      reading +=
          " The band reaches from " + quantile_name(0) + " to " + quantile_name(levels_ - 1) + ".";
    }
    reading += " Where windows share a pixel, their least and largest values are drawn.";
    items += ReportParts::legend_item("baseline", "baseline");
    parts_.figure(
        "Forecast over time", forecast_figure(forecast_), reading + shown_targets(),
        "the dashed line is " + constant_title() + ", which a constant answer always gives.",
        ReportParts::legend(items));
  }

  void scatter() {
    Figure figure = scatter_figure(forecast_);
    if (count_ > 1)
      figure.svg = std::string("<div class=\"many") + (count_ == 3 ? " three" : "") + "\">\n" +
                   figure.svg + "</div>\n";
    parts_.figure("Predicted against actual", figure,
                  "A dot is a window, a darker one several; on the diagonal " + said() +
                      " is what came. A level cloud means that the model says much the same of "
                      "every window." +
                      shown_targets(),
                  "always answering with " + constant_title() +
                      " puts every window on the level "
                      "dashed line.");
  }

  /// The share of targets at or below prediction j of target k.
  double share_below(const std::vector<double>& predictions, std::size_t k, std::size_t j) const {
    const std::vector<double> quantile = predicted(predictions, k, j), y = actual(k);
    double below = 0;
    for (std::size_t i = 0; i < y.size(); ++i) below += y[i] <= quantile[i];
    return below / static_cast<double>(y.size());
  }

  void coverage() {
    const std::size_t shown = std::min(count_, most_shown_targets);
    std::vector<CoverageLine> lines;
    std::vector<double> constant;
    std::string items;
    for (std::size_t k = 0; k < shown; ++k) {
      CoverageLine line{target_name(k), {}};
      for (std::size_t j = 0; j < levels_; ++j)
        line.shares.push_back(share_below(e_.predictions, k, j));
      items += ReportParts::legend_item("line roc c" + std::to_string(k), line.name);
      lines.push_back(std::move(line));
    }
    if (const BaselineResult* one = e_.baseline_named("constant"))
      for (std::size_t j = 0; j < levels_; ++j) {
        double mean = 0;
        for (std::size_t k = 0; k < shown; ++k)
          mean += share_below(one->predictions, k, j) / static_cast<double>(shown);
        constant.push_back(mean);
      }
    items += ReportParts::legend_item("constant", "baseline");
    const double meant = e_.levels.back() - e_.levels.front();
    std::string reading =
        "How often a target was at or below each predicted quantile, with 95% intervals: on the "
        "diagonal a level means what it says, below it the quantile is too low. Neighbouring "
        "windows are not quite independent, so take the intervals as the narrowest they could be.";
    if (levels_ > 1)
      reading += " From the lowest to the highest quantile lie " + percent(e_.metrics.coverage) +
                 " of the targets; " + percent(meant) + " are meant.";
    parts_.figure("Coverage by level",
                  coverage_figure(e_.levels, lines, constant, e_.metrics.count),
                  reading + shown_targets(),
                  std::string("the dotted line is what the training windows' own quantiles get on "
                              "these windows") +
                      (shown > 1 ? ", the mean over targets." : "."),
                  ReportParts::legend(items));
  }

  /// What a baseline is called above a column.
  static std::string column_title(const BaselineResult& one) {
    if (one.name == "constant") return "constant";
    if (one.name == "last") return "last value";
    return one.title.substr(0, one.title.find(' '));  // ridge
  }

  void metrics() {
    std::vector<std::string> columns = {"figure", "network"};
    for (const BaselineResult& one : e_.baselines) columns.push_back(column_title(one));
    parts_.open_table("Figures of the " + parts_.windows_text(), columns);
    std::vector<std::string_view> names = e_.figures;
    names.push_back("loss");
    for (const std::string_view name : names) {
      const tsdl::Figure& figure = figure_of(name);
      std::vector<std::string> row = {std::string(figure.title),
                                      figure_text(figure, e_.metrics.*figure.value)};
      if (name == "coverage" && levels_ > 1)
        row[0] += ", " + percent(e_.levels.back() - e_.levels.front()) + " meant";
      for (const BaselineResult& one : e_.baselines)
        row.push_back(name == "loss" && !is_finite(one.metrics.loss)
                          ? ""
                          : figure_text(figure, one.metrics.*figure.value));
      page_.row(row);
    }
    parts_.close_table(metrics_note());
  }

  std::string metrics_note() const {
    std::string note = "Of R2 more is better";
    note += levels_ > 1
                ? ", coverage is best where it is meant to be, and of the rest less is better."
                : ", of the rest less is better.";
    if (levels_ > 1) note += " MAE, RMSE, R2 and MASE are of " + quantile_name(centre_) + ".";
    note +=
        " MASE: the MAE over that of the last known value on the training windows. The loss is "
        "what training lowers, in units of the targets' deviation.";
    if (count_ > 1) note += " Each figure is the mean over targets, whose units may differ.";
    for (const BaselineResult& one : e_.baselines)
      note += ' ' + capital(column_title(one)) + ": " +
              (one.name == "linear" ? one.title + ", on each window's last row." : one.title + ".");
    return note;
  }
  static std::string capital(std::string text) {
    if (!text.empty() && text[0] >= 'a' && text[0] <= 'z')
      text[0] = static_cast<char>(text[0] - 32);
    return text;
  }

  void by_target() {
    const BaselineResult* linear = e_.baseline_named("linear");
    std::vector<std::string> columns = {"target", "MAE, network", "R2, network"};
    if (linear) {
      const std::string title = column_title(*linear);
      columns = {"target", "MAE, network", "MAE, " + title, "R2, network", "R2, " + title};
    }
    parts_.open_table("By target", columns);
    for (std::size_t k = 0; k < count_; ++k) {
      const auto of = [&](const std::vector<double>& all) {
        return regression_metrics(predicted(all, k, centre_), actual(k));
      };
      const Metrics network = of(e_.predictions);
      std::vector<std::string> row = {target_name(k), format_loss(network.mae), score(network.r2)};
      if (linear) {
        const Metrics other = of(linear->predictions);
        row = {target_name(k), format_loss(network.mae), format_loss(other.mae), score(network.r2),
               score(other.r2)};
      }
      page_.row(row);
    }
    parts_.close_table(
        "MAE in the target's own units. Always answering with the mean of these targets has an R2 "
        "of 0.");
  }

  ReportParts& parts_;
  HtmlWriter& page_;
  const Evaluation& e_;
  const std::size_t count_, levels_;  ///< targets, and predictions of each
  std::size_t centre_ = 0;            ///< the level nearest to the median
  bool known_ = false;                ///< every prediction is a number
  Forecast forecast_;
};

}  // namespace internal
}  // namespace report
}  // namespace TSDL_ABI
}  // namespace tsdl
