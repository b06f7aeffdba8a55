// The words around a training run: what is about to be trained, and what came of it.
#pragma once

#include <algorithm>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "names.hpp"
#include "terminal.hpp"
#include "tsdl/core/parallel.hpp"
#include "tsdl/report/summary.hpp"
#include "tsdl/train/trainer.hpp"

namespace examples {

/// One line of the summary: a label in a column of its own, then text, wrapped on a terminal.
inline void say(std::string_view label, const std::string& text) {
  std::printf("%s %s\n", pad_right(label, 10).c_str(),
              wrapped(text, 11, sentence_width(stdout)).c_str());
}

/// The summary. Its last line, of the training, goes on with what does not change the result.
inline void say_summary(TextLines lines) {
  if (!lines.empty())
    lines.back().second +=
        ", " + std::to_string(tsdl::thread_count()) + " threads, " + tsdl::instruction_set;
  for (const auto& [label, text] : lines) say(label, text);
}

/// A paragraph, wrapped at 84 columns or at the terminal's.
inline void say_paragraph(std::string_view text) {
  std::puts(wrapped(text, 0, std::min<std::size_t>(84, sentence_width(stdout))).c_str());
}

/// A figure of a baseline, by the name that files and trackers give it: "linear_accuracy".
struct TrackedFigure {
  std::string name;
  double value = 0;
};

/// history.csv: one row an epoch, empty where a figure is not defined: the loss and the figures of
/// the task, then those of baselines on the same validation windows. Shortest text that reads back
/// to the same double, so equal runs give equal files.
inline std::string history_csv(const std::vector<tsdl::EpochRecord>& history,
                               const std::vector<std::string_view>& figures,
                               const std::vector<TrackedFigure>& beside = {}) {
  std::vector<const tsdl::Figure*> shown;
  for (const tsdl::Figure& figure : tsdl::all_figures)
    if (figure.name == "loss" ||
        std::find(figures.begin(), figures.end(), figure.name) != figures.end())
      shown.push_back(&figure);
  std::string text = "epoch,learning_rate,gradient_norm,train_loss,skipped_steps";
  for (const tsdl::Figure* figure : shown) text += ",validation_" + std::string(figure->name);
  for (const TrackedFigure& figure : beside) text += ",validation_" + figure.name;
  text += '\n';
  for (const tsdl::EpochRecord& e : history) {
    std::vector<double> values = {e.learning_rate, e.gradient_norm, e.train_loss,
                                  static_cast<double>(e.skipped_steps)};
    for (const tsdl::Figure* figure : shown) values.push_back(e.validation.*figure->value);
    for (const TrackedFigure& figure : beside) values.push_back(figure.value);
    text += std::to_string(e.epoch);
    for (const double value : values)
      text += ',' + (is_finite(value) ? format_exact(value) : std::string());
    text += '\n';
  }
  return text;
}

inline void print_ending(const tsdl::History& history) {
  std::puts("");
  say_paragraph(ending_text(history));
}

/// The confusion matrix and each class's figures as text of at most `width` columns; `names` are
/// the labels of the classes. A matrix that does not fit is left out, with a line that says so.
inline std::string class_report(const tsdl::Confusion& confusion,
                                const std::vector<std::string>& names, std::size_t width) {
  std::size_t cell = 5;
  for (const std::string& name : names) cell = std::max(cell, name.size());
  for (const auto& row : confusion.counts)
    for (const tsdl::Index count : row) cell = std::max(cell, format_count(count).size());
  const std::size_t K = confusion.classes();
  std::string text = "confusion matrix: rows are labels,\ncolumns what the model says\n";
  if ((cell + 2) * (K + 1) <= width) {
    text += std::string(cell + 2, ' ');
    for (const std::string& name : names) text += "  " + pad_left(name, cell);
    for (std::size_t k = 0; k < K; ++k) {
      text += "\n  " + pad_left(names[k], cell);
      for (const tsdl::Index count : confusion.counts[k])
        text += "  " + pad_left(format_count(count), cell);
    }
  } else {
    text += "  " + std::to_string(K) + " classes do not fit " + std::to_string(width) + " columns";
  }
  const auto row = [&](std::string_view name, std::string_view precision, std::string_view recall,
                       std::string_view f1, std::string_view support) {
    text += "\n" + pad_left(name, std::max<std::size_t>(cell, 5)) + ' ' + pad_left(precision, 9) +
            ' ' + pad_left(recall, 7) + ' ' + pad_left(f1, 7) + ' ' + pad_left(support, 7);
  };
  text += '\n';
  row("class", "precision", "recall", "F1", "windows");
  const std::vector<tsdl::ClassFigures> figures = tsdl::class_figures(confusion);
  for (std::size_t k = 0; k < K; ++k)
    row(names[k], format_fixed(figures[k].precision, 4), format_fixed(figures[k].recall, 4),
        format_fixed(figures[k].f1, 4), format_count(figures[k].support));
  return text + '\n';
}

}  // namespace examples
