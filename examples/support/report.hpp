// The words around a training run: what is about to be trained, and what came of it.
#pragma once

#include <algorithm>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "format.hpp"
#include "terminal.hpp"
#include "tsdl/core/parallel.hpp"
#include "tsdl/train/trainer.hpp"

namespace examples {

/// Names with what is said of each.
using TextLines = std::vector<std::pair<std::string, std::string>>;

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

/// history.csv: one row an epoch, empty where a figure is not defined. Shortest text that reads
/// back to the same double, so equal runs give equal files.
inline std::string history_csv(const std::vector<tsdl::EpochRecord>& history) {
  std::string text =
      "epoch,learning_rate,gradient_norm,train_loss,skipped_steps,validation_loss,"
      "validation_accuracy,validation_balanced_accuracy,validation_roc_auc,validation_mcc,"
      "validation_brier,validation_majority_accuracy\n";
  for (const tsdl::EpochRecord& e : history) {
    const tsdl::Metrics& v = e.validation;
    text += std::to_string(e.epoch);
    for (const double value :
         {e.learning_rate, e.gradient_norm, e.train_loss, static_cast<double>(e.skipped_steps),
          v.loss, v.accuracy, v.balanced_accuracy, v.roc_auc, v.mcc, v.brier, v.majority_accuracy})
      text += ',' + (is_finite(value) ? format_exact(value) : std::string());
    text += '\n';
  }
  return text;
}

/// "stopped early after 11 epochs, best was epoch 1".
inline std::string ending_text(const tsdl::History& history) {
  std::string text = std::string(tsdl::to_string(history.status)) + " after " +
                     std::to_string(history.epochs.size()) + " epochs";
  if (history.best_epoch > 0) text += ", best was epoch " + std::to_string(history.best_epoch);
  if (history.skipped_steps > 0)
    text += ", " + std::to_string(history.skipped_steps) + " steps skipped";
  return text;
}

inline void print_ending(const tsdl::History& history) {
  std::puts("");
  say_paragraph(ending_text(history));
}

/// Whether a model has shown that it has learnt something, in a sentence.
inline std::string_view verdict(const tsdl::Metrics& m) {
  if (tsdl::wilson_interval(m.accuracy, m.count).low > m.majority_accuracy)
    return "The whole interval is above the majority class: the model has learnt something.";
  return "The interval is not above the majority class: this run does not show that the model has "
         "learnt anything about these labels.";
}

/// What has to be said where the windows that judge a model are not apart from its training;
/// `option` keeps others apart.
inline std::string judged_by_validation(std::string_view option) {
  return "These windows also chose the best epoch, which flatters the figures: " +
         std::string(option) + " keeps others apart.";
}

/// The figures of a part of the data beside those of the majority class, and whether the model
/// beats it. `macro_f1` is shown where it is finite.
inline void print_metrics(const std::string& part, const tsdl::Metrics& m,
                          double macro_f1 = tsdl::Metrics::undefined) {
  const std::size_t width = sentence_width(stdout);
  const auto line = [&](const char* name, const std::string& value, std::string_view remark = {}) {
    const std::string figure = "  " + pad_right(name, 17) + "  " + value;
    if (remark.empty())
      std::puts(figure.c_str());
    else if (figure.size() + 3 + remark.size() <= width)
      std::printf("%s   %s\n", figure.c_str(), std::string(remark).c_str());
    else
      std::printf("%s\n    %s\n", figure.c_str(), wrapped(remark, 4, width).c_str());
  };
  const auto score = [](double value) {
    return is_finite(value) ? format_fixed(value, 4) : std::string("n/a");
  };
  const auto [low, high] = tsdl::wilson_interval(m.accuracy, m.count);
  std::printf("\n%s, %s windows\n", part.c_str(), format_count(m.count).c_str());
  line("accuracy", format_percent(m.accuracy),
       "95% interval " + format_percent(low) + " to " + format_percent(high));
  line("majority class", format_percent(m.majority_accuracy),
       "accuracy of always predicting it, on the same rows");
  line("balanced accuracy", format_percent(m.balanced_accuracy));
  if (is_finite(macro_f1)) line("macro F1", score(macro_f1));
  line("ROC AUC", score(m.roc_auc));
  line("MCC", score(m.mcc));
  line("Brier score", score(m.brier));
  line("loss", score(m.loss));
  std::puts("");
  say_paragraph(verdict(m));
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
