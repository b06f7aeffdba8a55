// The report of a run as one HTML page: no script, no request, light or dark, on any width, on
// paper. Every figure has the score of a constant answer beside it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/time.hpp"
#include "tsdl/report/attention_section.hpp"
#include "tsdl/report/backtest_page.hpp"
#include "tsdl/report/contents.hpp"
#include "tsdl/report/evaluation.hpp"
#include "tsdl/report/explanation_page.hpp"
#include "tsdl/report/figures.hpp"
#include "tsdl/report/format.hpp"
#include "tsdl/report/html.hpp"
#include "tsdl/report/number_sections.hpp"
#include "tsdl/report/sections.hpp"
#include "tsdl/report/svg.hpp"
#include "tsdl/report/timeline.hpp"
#include "tsdl/report/verdict.hpp"
#include "tsdl/task/metrics.hpp"
#include "tsdl/train/curves.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace report {

namespace internal {

/// The classes by size, the largest first.
inline std::vector<std::size_t> classes_by_size(const std::vector<Index>& counts) {
  std::vector<std::size_t> order(counts.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return counts[a] > counts[b]; });
  return order;
}

/// Writes one page. Each member function writes a part of it.
class ReportPage : ReportParts {
 public:
  explicit ReportPage(const Report& run)
      : ReportParts(run),
        counts_(e_.counts()),
        names_(run.classes),
        classified_(e_.classes() >= 2 && is_finite(e_.metrics.accuracy)) {
    while (names_.size() < e_.classes()) names_.push_back(std::to_string(names_.size()));
    if (classified_) majority_ = classes_by_size(counts_).front();
    if (e_.task != "classes") numbers_.emplace(static_cast<ReportParts&>(*this));
  }

  std::string write() {
    const std::string title = "Training of " + run_.subject;
    page_.markup({"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n",
                  "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"/>\n",
                  "<meta name=\"color-scheme\" content=\"light dark\"/>\n<title>", xml_text(title),
                  "</title>\n", chart_style, page_style, "</head>\n<body>\n<main>\n"});
    page_.open("header");
    page_.element("h1", title);
    page_.open("p", "soft").text(run_.curves.subtitle + "; " + run_.ending + ".").close();
    page_.close();
    headline();
    losses();
    if (classified_) {
      page_.open("div", "pair");
      roc();
      calibration();
      page_.close();
      const bool shown = e_.classes() <= most_shown_classes;
      if (shown) page_.open("div", "pair");
      confusion();
      classes();
      if (shown) page_.close();
    }
    timeline();
    if (run_.attention) write_attention(*this, *run_.attention);
    numbers_ ? numbers_->write() : metrics();
    if (run_.backtest) write_backtest(*this, *run_.backtest, true);
    if (run_.explanation) write_explanation(*this, *run_.explanation);
    data();
    write_settings(page_, run_.settings);
    page_.markup({"</main>\n</body>\n</html>\n"});
    return page_.take();
  }

 private:
  const std::string& class_name(std::size_t k) const { return names_[k]; }

  void headline() {
    page_.open("div", "sheet").open("div", "scores");
    if (numbers_)
      numbers_->scores();
    else
      class_scores();
    page_.close();
    page_.open("div", "verdict");
    if (numbers_ || classified_)
      for (const std::string& text : verdicts(e_)) page_.element("p", text);
    else
      page_.element("p", "A probability is no number, so nothing can be said about the classes.");
    page_.close();
    page_.open("p", "soft").text("On the " + windows_text() + ".");
    if (!e_.tested) page_.text(" " + judged_by_validation(run_.test_option));
    page_.close().close();
  }

  void class_scores() {
    const Metrics& m = e_.metrics;
    if (!classified_) return headline_score(score(m.loss), "loss");
    const auto [low, high] = wilson_interval(m.accuracy, m.count);
    headline_score(percent(m.accuracy),
                   "accuracy, 95% interval " + percent(low) + " to " + percent(high));
    headline_score(percent(m.majority_accuracy),
                   "baseline: always answering " + class_name(majority_), "soft");
    if (const BaselineResult* linear = e_.baseline_named("linear"))
      headline_score(percent(linear->metrics.accuracy), "baseline: " + linear->title, "soft");
  }

  void losses() {
    if (run_.curves.train.empty()) return;  // of an ensemble, whose members were trained apart
    const bool validation = !run_.curves.validation.empty();
    figure(
        "Loss by epoch", loss_figure(run_.curves),
        std::string("The lower, the better; the ring marks the epoch whose weights were kept. ") +
            (validation ? "Where training falls and validation rises, the model learns its "
                          "training windows by heart."
                        : ""),
        is_finite(run_.curves.baseline)
            ? (numbers_ ? "the best constant answer for the validation windows loses "
                        : "always answering with the class shares of the validation windows "
                          "loses ") +
                  format_loss(run_.curves.baseline) + "."
            : "");
  }

  void roc() {
    std::vector<std::size_t> shown = classes_by_size(counts_);
    if (e_.classes() == 2) shown = {1};
    const std::size_t all = shown.size();
    shown.resize(std::min(all, line_styles));
    std::sort(shown.begin(), shown.end());
    std::vector<RocLine> lines;
    std::string items;
    for (const std::size_t k : shown) {
      ClassRoc curve = class_roc(e_, k);
      if (curve.points.empty()) continue;
      items += legend_item("line roc c" + std::to_string(lines.size() % line_styles),
                           "class " + class_name(k) + ": AUC " + score(curve.auc));
      lines.push_back({"class " + class_name(k), std::move(curve.points), curve.auc});
    }
    if (lines.empty()) return left_out("ROC", "the " + windows_text() + " are all of one class.");
    std::string reading =
        "How many windows of a class are found, for how many of the others taken for it by "
        "mistake, "
        "as the threshold falls. The farther above the diagonal, the better";
    reading += lines.size() > 1 || e_.classes() > 2
                   ? "; each class against the rest, mean AUC " + score(e_.metrics.roc_auc) + "."
                   : "; AUC " + score(e_.metrics.roc_auc) + ".";
    if (all > line_styles)
      reading += " The " + std::to_string(line_styles) + " most common of " + std::to_string(all) +
                 " classes.";
    items += legend_item("baseline", "baseline: AUC 0.5");
    figure("ROC", roc_figure(lines), reading,
           "the diagonal, AUC 0.5, is what an answer without skill gets.", legend(items));
  }

  void calibration() {
    const bool two = e_.classes() == 2;
    const double base =
        two ? static_cast<double>(counts_[1]) / static_cast<double>(e_.metrics.count)
            : e_.metrics.majority_accuracy;
    const std::string what = two ? "class " + class_name(1) + " came true"
                                 : std::string("the predicted class was right");
    const std::vector<CalibrationBin> bins = calibration_bins(e_), before = uncalibrated_bins(e_);
    std::string reading =
        "Where the model gives a probability, how often " + what +
        ", with 95% intervals; on the diagonal a probability means what it says. Brier score " +
        score(e_.metrics.brier) + ", the lower the better.";
    std::string items;
    if (e_.uncalibrated) {
      const auto& [temperature, predictions, metrics] = *e_.uncalibrated;
      reading += " The temperature of " + format_fixed(temperature, 3) +
                 ", which was fitted on the validation windows, takes the loss from " +
                 format_loss(metrics.loss) + " to " + format_loss(e_.metrics.loss) +
                 ", the Brier score from " + score(metrics.brier) + " to " +
                 score(e_.metrics.brier) + " and the calibration error from " +
                 score(calibration_error(before)) + " to " + score(calibration_error(bins)) + ".";
      items = legend_item("line c0", "with the temperature") + legend_item("line roc c1", "before");
    }
    figure("Calibration", calibration_figure(bins, base, before), reading,
           "always answering with the class shares scores " + score(e_.baseline.brier) +
               " and is the one point where the dashed lines cross.",
           items.empty() ? "" : legend(items));
  }

  void confusion() {
    Index right = 0;
    for (std::size_t k = 0; k < e_.classes(); ++k) right += e_.confusion.counts[k][k];
    const std::string total = format_count(e_.metrics.count);
    const Figure matrix = confusion_figure(e_.confusion, names_);
    if (matrix.svg.empty())
      return left_out("Confusion matrix", std::to_string(e_.classes()) +
                                              " classes do not fit; the table has their figures.");
    figure("Confusion matrix", matrix,
           "Rows are labels, columns what the model says, shades shares of the row. The outlined "
           "diagonal is right: " +
               format_count(right) + " of " + total + ".",
           "always answering " + class_name(majority_) + " fills that column alone and gets " +
               format_count(counts_[majority_]) + " of " + total + " right.");
  }

  void classes() {
    open_table("By class", {"class", "precision", "recall", "F1", "AUC", "windows"});
    const std::vector<ClassFigures> figures = class_figures(e_.confusion);
    for (std::size_t k = 0; k < figures.size(); ++k)
      page_.row({class_name(k), short_score(figures[k].precision), short_score(figures[k].recall),
                 short_score(figures[k].f1), short_score(class_roc(e_, k).auc),
                 format_count(figures[k].support)});
    const ClassFigures always = class_figures(constant_confusion(counts_))[majority_];
    page_.row({"baseline, " + class_name(majority_), short_score(always.precision),
               short_score(always.recall), short_score(always.f1), "0.500",
               format_count(always.support)});
    close_table(
        "Precision: of the windows taken for the class, the share that is of it. Recall: of its "
        "windows, the share that is found. The last row always answers " +
        class_name(majority_) + "; for every other class it has 0.");
  }

  void timeline() {
    const std::string heading = "Probability over price";
    if (!classified_ || e_.ends.empty()) return;
    if (run_.closes.empty())
      return left_out(heading, "the data is a table of columns, and no price is known.");
    const auto first = static_cast<std::size_t>(e_.ends.front());
    const auto count = static_cast<std::size_t>(e_.ends.back()) + 1 - first;
    Timeline timeline{
        {run_.times.data() + first, count}, {run_.closes.data() + first, count}, {}, {}};
    for (const Index end : e_.ends)
      timeline.window_times.push_back(run_.times[static_cast<std::size_t>(end)]);
    const std::size_t K = e_.classes();
    const auto add = [&](std::string name, double baseline, const auto& probability) {
      TimelinePanel panel{std::move(name), {}, baseline};
      for (std::size_t i = 0; i < e_.ends.size(); ++i) panel.values.push_back(probability(i));
      timeline.panels.push_back(std::move(panel));
    };
    const auto share = [&](std::size_t k) {
      return static_cast<double>(counts_[k]) / static_cast<double>(e_.metrics.count);
    };
    for (std::size_t k = K == 2 ? 1 : 0; K <= line_styles && k < K; ++k)
      add("probability of " + class_name(k), share(k),
          [&](std::size_t i) { return e_.probability(i, k); });
    if (K > line_styles)
      add("probability of the predicted class", share(majority_),
          [&](std::size_t i) { return e_.probability(i, e_.predicted(i)); });
    figure(
        heading, timeline_figure(timeline),
        "The close of the " + std::string(e_.part()) +
            " part and, at the last candle of each window, what the model says of the label that "
            "follows.",
        "the dashed lines are the shares of the windows that came true.");
  }

  void metrics() {
    const Metrics &m = e_.metrics, &b = e_.baseline;
    const BaselineResult* linear = classified_ ? e_.baseline_named("linear") : nullptr;
    std::vector<std::string> columns = {"figure", "model", "baseline"};
    if (linear) columns.push_back(linear->title.substr(0, linear->title.find(',')));
    open_table("Figures of the " + windows_text(), columns);
    const auto row = [&](std::string name, std::string model, std::string base,
                         const std::string& other) {
      std::vector<std::string> cells = {std::move(name), std::move(model), std::move(base)};
      if (linear) cells.push_back(other);
      page_.row(cells);
    };
    const Metrics l = linear ? linear->metrics : Metrics{};
    if (classified_) {
      const auto [low, high] = wilson_interval(m.accuracy, m.count);
      row("accuracy", percent(m.accuracy), percent(b.accuracy), percent(l.accuracy));
      row("its 95% interval (Wilson)", percent(low) + " to " + percent(high), "", "");
      row("balanced accuracy", percent(m.balanced_accuracy), percent(b.balanced_accuracy),
          percent(l.balanced_accuracy));
      row("macro F1", score(e_.macro_f1), score(e_.baseline_f1),
          linear ? score(macro_f1(confusion_matrix(linear->predictions, e_.outputs, e_.labels)))
                 : "");
      row("ROC AUC", score(m.roc_auc), score(b.roc_auc), score(l.roc_auc));
      row("MCC", score(m.mcc), score(b.mcc), score(l.mcc));
      row("Brier score, lower is better", score(m.brier), score(b.brier), score(l.brier));
    }
    row("loss, lower is better", score(m.loss), score(b.loss), score(l.loss));
    std::string note;
    if (classified_)
      note = "The baseline never looks at the data: it always answers " + class_name(majority_) +
             ", the most common class of these windows, and for Brier score and loss with their "
             "class shares. ";
    if (linear) note += "The " + linear->title + " reads each window's last row alone. ";
    if (classified_)
      note +=
          "Neighbouring windows are not quite independent, so take the interval as the narrowest "
          "it could be.";
    close_table(note);
  }

  void data() {
    page_.open("section").element("h2", "Data and model").open("dl");
    for (const auto& [name, text] : run_.summary) page_.element("dt", name).element("dd", text);
    page_.element("dt", "built with").element("dd", run_.built);
    page_.close();
    page_.element("h3", "Windows of each part").open("div", "scroll").open("table").open("thead");
    page_.row({"", "training", "validation", "test"}, "th").close().open("tbody");
    const PartContents* const parts[] = {&run_.train, &run_.validation, &run_.test};
    const auto row = [&](std::string name, const auto& cell) {
      std::vector<std::string> cells = {std::move(name)};
      for (const PartContents* part : parts) cells.push_back(part->empty() ? "" : cell(*part));
      page_.row(cells);
    };
    const auto day = [&](Index end) {
      return format_time(run_.times[static_cast<std::size_t>(end)]).substr(0, 10);
    };
    row("windows", [](const auto& part) { return format_count(part.size()); });
    if (!run_.times.empty()) {
      row("first ends", [&](const auto& part) { return day(part.ends.front()); });
      row("last ends", [&](const auto& part) { return day(part.ends.back()); });
    }
    for (std::size_t k = 0; k < names_.size(); ++k)
      row("share of " + class_name(k), [&](const auto& part) {
        const auto held =
            std::count(part.targets.begin(), part.targets.end(), static_cast<double>(k));
        return format_percent(static_cast<double>(held) / static_cast<double>(part.size()));
      });
    if (numbers_) numbers_->part_rows(row);
    page_.close().close().close().close();
  }

  const std::vector<Index> counts_;
  std::vector<std::string> names_;  ///< of every class
  const bool classified_;           ///< there are classes, and figures of them
  std::size_t majority_ = 0;
  std::optional<NumberSections> numbers_;  ///< unless targets are classes
};

/// Throws: ShapeError when windows end at rows that have no time, or times no close.
inline void check_rows(const Report& contents) {
  const Index rows = std::ssize(contents.times), closes = std::ssize(contents.closes);
  if (closes > 0 && closes != rows)
    throw ShapeError("report: ", closes, " closes with the times of ", rows, " rows");
  for (const std::vector<Index>* ends : {&contents.evaluation.ends, &contents.train.ends,
                                         &contents.validation.ends, &contents.test.ends})
    for (const Index end : *ends)
      if (rows > 0 && (end < 0 || end >= rows))
        throw ShapeError("report: a window ends at row ", end, ", and ", rows, " rows have a time");
  if (!contents.attention) return;
  const AttentionContents& a = *contents.attention;
  const Index T = std::ssize(a.window);
  if (T < 1 || std::ssize(a.mean) != T || a.end < T - 1 || a.end >= closes)
    throw ShapeError("report: attention weights of ", T, " and ", a.mean.size(),
                     " rows, of a window that ends at row ", a.end, " of ", closes);
}

}  // namespace internal

}  // namespace report

/// The page. The same input gives the same bytes, in every locale; its size does not grow with the
/// number of windows beyond what a screen can show.
/// Throws: ShapeError when windows end at rows that have no time, or times no close.
inline std::string html_report(const Report& contents) {
  const FloatModeGuard guard;
  report::internal::check_rows(contents);
  return report::internal::ReportPage(contents).write();
}

}  // namespace TSDL_ABI
}  // namespace tsdl
