// The words around a training run: what is about to be trained, and what came of it.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "format.hpp"
#include "tsdl/train/callbacks.hpp"

namespace examples {

/// One line of the summary: a label in a column of its own, then text.
inline void say(const char* label, const std::string& text) {
  std::printf("%-10s %s\n", label, text.c_str());
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

/// The test set's figures beside those of the majority class, and whether the model beats it.
inline void print_test(const tsdl::Metrics& m) {
  const auto score = [](double value) {
    return is_finite(value) ? format_fixed(value, 4) : std::string("n/a");
  };
  const auto [low, high] = tsdl::wilson_interval(m.accuracy, m.count);
  std::printf("\ntest, %s windows\n", format_count(m.count).c_str());
  std::printf("  accuracy           %s   95%% interval %s to %s\n",
              format_percent(m.accuracy).c_str(), format_percent(low).c_str(),
              format_percent(high).c_str());
  std::printf("  majority class     %s   accuracy of always predicting it, on the same rows\n",
              format_percent(m.majority_accuracy).c_str());
  std::printf("  balanced accuracy  %s\n", format_percent(m.balanced_accuracy).c_str());
  std::printf("  ROC AUC            %s\n", score(m.roc_auc).c_str());
  std::printf("  MCC                %s\n", score(m.mcc).c_str());
  std::printf("  Brier score        %s\n", score(m.brier).c_str());
  std::printf("  loss               %s\n\n", score(m.loss).c_str());
  if (low > m.majority_accuracy)
    std::puts("The whole interval is above the majority class: the model has learnt something.");
  else
    std::puts(
        "The interval is not above the majority class: this run does not show that the model\n"
        "has learnt anything about these labels.");
}

}  // namespace examples
