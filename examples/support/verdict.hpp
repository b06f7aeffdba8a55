// What a model is worth, as figures on the terminal.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

#include "names.hpp"
#include "report.hpp"
#include "terminal.hpp"
#include "tsdl/report/evaluation.hpp"
#include "tsdl/report/verdict.hpp"

namespace examples {

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
