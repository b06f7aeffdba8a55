// What a model is worth, in sentences: only what an interval bears out.
#pragma once

#include <cmath>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tsdl/core/types.hpp"
#include "tsdl/report/evaluation.hpp"
#include "tsdl/report/format.hpp"
#include "tsdl/task/metrics.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace report {

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
inline std::string gain_text(const Evaluation& e, const MeanInterval& gain) {
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
    const Metrics& m = e.metrics;
    if (wilson_interval(m.accuracy, m.count).low > m.majority_accuracy)
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

}  // namespace report
}  // namespace TSDL_ABI
}  // namespace tsdl
