// A run in words: its data, what is asked of each window, the model, and how training went.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "tsdl/core/config.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/gaps.hpp"
#include "tsdl/data/label_kinds.hpp"
#include "tsdl/data/prepare.hpp"
#include "tsdl/data/time.hpp"
#include "tsdl/report/contents.hpp"
#include "tsdl/report/format.hpp"
#include "tsdl/report/loss_chart.hpp"
#include "tsdl/train/callbacks.hpp"
#include "tsdl/train/trainer.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace report {

namespace internal {

inline std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}
inline std::string listed(std::span<const double> values) {
  std::vector<std::string> texts;
  for (const double value : values) texts.push_back(format_exact(value));
  return listed(texts);
}

/// "half a trailing volatility", "two trailing volatilities", "1.5 trailing volatilities".
inline std::string volatilities(double number) {
  if (number == 0.5) return "half a trailing volatility";
  if (same_value(number, 1.0)) return "one trailing volatility";
  return (same_value(number, 2.0) ? std::string("two") : format_exact(number)) +
         " trailing volatilities";
}

inline std::string question(const RangeLabel& label) {
  return "next true range above the median of the last " + std::to_string(label.lookback);
}
inline std::string question(const DirectionLabel& label) {
  return "close after " + std::to_string(label.horizon) + " above close now";
}
inline std::string question(const ThresholdLabel& label) {
  return "close after " + std::to_string(label.horizon) + " below, within or above " +
         volatilities(label.width);
}
inline std::string question(const TripleBarrierLabel& label) {
  const std::string within = " within " + std::to_string(label.horizon) + ", or neither";
  if (same_value(label.take_profit, label.stop_loss))
    return "loss (-1) or gain (1) of " + volatilities(label.stop_loss) + within;
  return "loss (-1) of " + volatilities(label.stop_loss) + " or gain (1) of " +
         volatilities(label.take_profit) + within;
}
inline std::string question(const ColumnLabel& label) { return "column " + label.column; }
inline std::string question(const ColumnTargets& label) {
  return "columns " + listed(label.columns);
}

/// An option's value as text.
inline std::string value_text(const ConfigValue& value) {
  switch (value.type) {
    case ConfigValue::Type::flag:
      return value.index != 0 ? "true" : "false";
    case ConfigValue::Type::index:
      return std::to_string(value.index);
    case ConfigValue::Type::number:
      return format_exact(value.number);
    case ConfigValue::Type::text:
      return value.text;
    case ConfigValue::Type::numbers:
      break;
  }
  return listed(std::span<const double>(value.numbers));
}

}  // namespace internal

/// What a label asks, and its classes where they are more than no and yes; of numbers `task`, which
/// says what is done with them, and the levels of quantiles.
inline std::string label_text(const Recipe& recipe, std::string_view task = "regression",
                              std::span<const double> levels = {}) {
  const std::vector<std::string> names = target_names(recipe);
  if (recipe.regression && !names.empty()) {
    const Index ahead = horizon(recipe.label);
    std::string text = std::string(task) + " of " + internal::listed(names) + ", " +
                       std::to_string(ahead) + (ahead == 1 ? " row" : " rows") + " ahead";
    if (!levels.empty()) text += ": " + internal::listed(levels);
    return text;
  }
  const std::string text =
      std::visit([](const auto& label) { return internal::question(label); }, recipe.label);
  if (recipe.class_values.size() <= 2) return text;
  return text + "; classes " + internal::listed(names);
}

/// What a run learns from, a line each: rows and gaps in time, features, label or target, windows.
/// `source` is the file, or whatever the rows came from; may be empty. `task` and `levels`: as
/// label_text has them.
template <class Scalar>
TextLines data_lines(const Prepared<Scalar>& data, const std::string& source, std::string_view task,
                     std::span<const double> levels = {}) {
  const Recipe& recipe = data.recipe;
  std::string rows = format_count(data.train.series().rows) + " rows";
  if (!data.times.empty())
    rows += ", " + format_time(data.times.front()) + " to " + format_time(data.times.back());
  TextLines lines{{"data", (source.empty() ? source : source + ": ") + rows}};
  if (!data.times.empty()) lines.emplace_back("gaps", to_string(find_gaps(data.times)));
  lines.emplace_back("features", recipe.features.empty()
                                     ? internal::listed(recipe.columns)
                                     : recipe.features + ", " + std::to_string(data.inputs()));
  const std::vector<std::string> constant = recipe.scaler.constant_columns();
  if (!constant.empty())
    lines.emplace_back("constant", internal::listed(constant) +
                                       ": the same in every training row, carrying no information");
  lines.emplace_back(recipe.regression ? "target" : "label", label_text(recipe, task, levels));
  if (data.missing_targets > 0)
    lines.emplace_back("left out", format_count(data.missing_targets) +
                                       " windows without a target, as its cell is empty");
  if (recipe.whole_series) {
    lines.emplace_back("cases", "whole series of up to " + std::to_string(recipe.length) +
                                    " rows in training: " + format_count(data.train.size()) +
                                    " to train, " + format_count(data.validation.size()) +
                                    " to validate, " + format_count(data.test.size()) + " to test");
    return lines;
  }
  lines.emplace_back(
      "windows", std::to_string(recipe.length) + " rows each: " + format_count(data.train.size()) +
                     " to train, " + format_count(data.validation.size()) + " to validate, " +
                     format_count(data.test.size()) + " to test, " +
                     format_count(data.split.dropped) + " dropped between them");
  return lines;
}

/// What describes a model or a task, as a group of settings.
inline SettingsGroup settings_of(std::string name, const Config& config) {
  SettingsGroup group{std::move(name), {{"kind", config.kind}}};
  for (const auto& [option, value] : config.options)
    group.options.emplace_back(option, internal::value_text(value));
  return group;
}

/// "stopped early after 11 epochs, best was epoch 1".
inline std::string ending_text(const History& history) {
  std::string text = std::string(to_string(history.status)) + " after " +
                     std::to_string(history.epochs.size()) + " epochs";
  if (history.best_epoch > 0) text += ", best was epoch " + std::to_string(history.best_epoch);
  if (history.skipped_steps > 0)
    text += ", " + std::to_string(history.skipped_steps) + " steps skipped";
  return text;
}

/// The curves of the epochs so far; `best_epoch` is from 1, 0: none yet.
inline LossCurves loss_curves(const std::vector<EpochRecord>& history, Index best_epoch,
                              std::string title, std::string subtitle) {
  LossCurves curves{.title = std::move(title),
                    .subtitle = std::move(subtitle),
                    .train = {},
                    .validation = {},
                    .learning_rate = {},
                    .best_epoch = best_epoch - 1};
  for (const EpochRecord& e : history) {
    curves.train.push_back(e.train_loss);
    curves.validation.push_back(e.validation.loss);
    curves.learning_rate.push_back(e.learning_rate);
  }
  return curves;
}

}  // namespace report
}  // namespace TSDL_ABI
}  // namespace tsdl
