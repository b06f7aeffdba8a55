// What a model is worth, in words and figures on the terminal.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "evaluation.hpp"
#include "format.hpp"
#include "report.hpp"
#include "terminal.hpp"

namespace examples {

/// A figure's value as people read it.
inline std::string figure_text(const tsdl::Figure& figure, double value) {
  if (!is_finite(value)) return "n/a";
  switch (figure.format) {
    case tsdl::Figure::Format::percent:
      return format_percent(value);
    case tsdl::Figure::Format::number:
      return format_loss(value);
    case tsdl::Figure::Format::score:
      break;
  }
  return format_fixed(value, 4);
}

namespace internal {

/// A difference without its sign: "1.2 points" of a share, or a number.
inline std::string amount_text(const Evaluation& e, double difference) {
  if (e.task == "classes") return format_fixed(100 * std::abs(difference), 1) + " points";
  return format_loss(std::abs(difference));
}

/// "higher by 1.2 points": of a share of right answers, where a gain is more; of a loss less.
inline std::string change_text(const Evaluation& e, double gain) {
  const bool more = (gain > 0) == (e.task == "classes");
  return (more ? "higher by " : "lower by ") + amount_text(e, gain);
}

/// What a gain is of.
inline std::string gain_name(const Evaluation& e) {
  if (e.task == "classes") return "accuracy";
  if (e.targets.size() > 1) return "mean error, in units of each target's deviation,";
  return e.task == "quantiles" ? "pinball loss" : "mean absolute error";
}

/// Its mean and where its 95% interval ends.
inline std::string gain_text(const Evaluation& e, const tsdl::MeanInterval& gain) {
  return change_text(e, gain.mean) + " (95% interval: " + change_text(e, gain.low) + " to " +
         change_text(e, gain.high) + ")";
}

}  // namespace internal

/// The model against one baseline, in a sentence: how much better it is on the same windows, and
/// whether these windows can tell. Empty where that is not known.
inline std::string comparison(const Evaluation& e, const BaselineResult& other) {
  if (!other.gain) return {};
  const std::string title = other.title.substr(0, other.title.find(','));
  const std::string text = "Beside the " + title + " on the same windows its " +
                           internal::gain_name(e) + " is " + internal::gain_text(e, *other.gain) +
                           ": ";
  if (other.gain->low > 0) return text + "the network beats it.";
  if (other.gain->high < 0) return text + "the network is worse.";
  return text + "these windows do not show that the network beats it.";
}

/// Whether a model has shown that it has learnt something, in a sentence.
inline std::string verdict(const Evaluation& e) {
  if (e.task == "classes") {
    const tsdl::Metrics& m = e.metrics;
    if (tsdl::wilson_interval(m.accuracy, m.count).low > m.majority_accuracy)
      return "The whole interval is above the majority class: the model has learnt something.";
    return "The interval is not above the majority class: this run does not show that the model "
           "has learnt anything about these labels.";
  }
  const BaselineResult* constant = e.baseline_named("constant");
  if (!constant || !constant->gain) return "A prediction is no number, so nothing can be said.";
  const std::string text = "Beside always answering with the " + constant->title + " its " +
                           internal::gain_name(e) + " is " +
                           internal::gain_text(e, *constant->gain) + ": ";
  if (constant->gain->low > 0) return text + "the model has learnt something.";
  return text + "this run does not show that the model has learnt anything about these targets.";
}

/// The verdict, and what the model is worth beside what else predicts: one paragraph each.
inline std::vector<std::string> verdicts(const Evaluation& e) {
  std::vector<std::string> all = {verdict(e)};
  for (const BaselineResult& other : e.baselines)
    if (other.name != "constant")
      if (std::string text = comparison(e, other); !text.empty()) all.push_back(std::move(text));
  return all;
}

/// What has to be said where the windows that judge a model are not apart from its training;
/// `option` keeps others apart.
inline std::string judged_by_validation(std::string_view option) {
  return "These windows also chose the best epoch, which flatters the figures: " +
         std::string(option) + " keeps others apart.";
}

namespace internal {

/// A figure a line, with a remark where there is room.
inline void print_figure(std::string_view name, const std::string& value,
                         std::string_view remark = {}) {
  const std::size_t width = sentence_width(stdout);
  const std::string figure = "  " + pad_right(name, 17) + "  " + value;
  if (remark.empty())
    std::puts(figure.c_str());
  else if (figure.size() + 3 + remark.size() <= width)
    std::printf("%s   %s\n", figure.c_str(), std::string(remark).c_str());
  else
    std::printf("%s\n    %s\n", figure.c_str(), wrapped(remark, 4, width).c_str());
}

inline void print_class_figures(const Evaluation& e, bool by_class) {
  const tsdl::Metrics& m = e.metrics;
  const auto [low, high] = tsdl::wilson_interval(m.accuracy, m.count);
  const auto text = [&](std::string_view name) {
    const tsdl::Figure& figure = tsdl::figure_of(name);
    return figure_text(figure, m.*figure.value);
  };
  print_figure("accuracy", text("accuracy"),
               "95% interval " + format_percent(low) + " to " + format_percent(high));
  print_figure("majority class", text("majority_accuracy"),
               "accuracy of always predicting it, on the same rows");
  if (const BaselineResult* linear = e.baseline_named("linear"))
    print_figure("linear model", format_percent(linear->metrics.accuracy),
                 "accuracy of a " + linear->title + ", on each window's last row");
  print_figure("balanced accuracy", text("balanced_accuracy"));
  if (by_class && is_finite(e.macro_f1)) print_figure("macro F1", format_fixed(e.macro_f1, 4));
  for (const char* name : {"roc_auc", "mcc", "brier", "loss"}) {
    const tsdl::Figure& figure = tsdl::figure_of(name);
    std::string remark;
    const BaselineResult* linear = e.baseline_named("linear");
    if (linear && is_finite(linear->metrics.*figure.value))
      remark = "linear model " + figure_text(figure, linear->metrics.*figure.value);
    print_figure(figure.title, text(name), remark);
  }
}

/// Figures by rows, the network and the baselines by columns; where that does not fit, baselines as
/// remarks.
inline void print_number_figures(const Evaluation& e) {
  const auto column = [](const BaselineResult& one) {
    if (one.name == "constant") return std::string("constant");
    return one.name == "last" ? std::string("last value") : std::string("ridge");
  };
  const std::size_t needed = 21 + 14 * (1 + e.baselines.size());
  const bool table = needed <= terminal_width(stdout);
  if (table) {
    std::string line = "  " + pad_right("", 17) + pad_left("network", 12);
    for (const BaselineResult& one : e.baselines) line += "  " + pad_left(column(one), 12);
    std::puts(line.c_str());
  }
  for (const std::string_view name : e.figures) {
    const tsdl::Figure& figure = tsdl::figure_of(name);
    const std::string value = figure_text(figure, e.metrics.*figure.value);
    std::string line = "  " + pad_right(figure.title, 17) + pad_left(value, 12), remark;
    for (const BaselineResult& one : e.baselines) {
      const std::string other = figure_text(figure, one.metrics.*figure.value);
      line += "  " + pad_left(other, 12);
      remark += (remark.empty() ? "" : ", ") + column(one) + ' ' + other;
    }
    if (table)
      std::puts(line.c_str());
    else
      print_figure(figure.title, value, remark);
  }
  print_figure("loss", format_loss(e.metrics.loss), "in units of the targets' deviation");
  for (const BaselineResult& one : e.baselines)
    print_figure(column(one), "",
                 one.title + (one.name == "linear" ? ", on each window's last row" : ""));
}

}  // namespace internal

/// The figures of the windows that judge a model beside those of what predicts without one, and
/// whether it beats them. `by_class`: macro F1 too.
inline void print_evaluation(const Evaluation& e, bool by_class) {
  std::string part(e.part());
  std::printf("\n%s, %s windows\n", part.c_str(), format_count(e.metrics.count).c_str());
  if (e.task == "classes")
    internal::print_class_figures(e, by_class);
  else
    internal::print_number_figures(e);
  for (const std::string& text : verdicts(e)) {
    std::puts("");
    say_paragraph(text);
  }
}

}  // namespace examples
