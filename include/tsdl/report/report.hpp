// The page of a run in one call: the trained model judged beside baselines, its losses, its data.
//
//     auto history = trainer.fit(data.train, data.validation);
//     tsdl::write_report("report.html", model, data, history);
//     tsdl::write_report("report.html", model, data, history, {.subject = "a GRU on my data"});
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/file.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/data/prepare.hpp"
#include "tsdl/nn/model.hpp"
#include "tsdl/report/backtest_signals.hpp"
#include "tsdl/report/contents.hpp"
#include "tsdl/report/evaluate.hpp"
#include "tsdl/report/format.hpp"
#include "tsdl/report/options.hpp"
#include "tsdl/report/page.hpp"
#include "tsdl/report/summary.hpp"
#include "tsdl/select/baselines.hpp"
#include "tsdl/train/trainer.hpp"
#include "tsdl/version.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

template <class Scalar>
report::PartContents part_contents(const Windows<Scalar>& windows) {
  if (windows.empty()) return {};
  return {windows.ends(), windows.targets()};
}

template <class M>
report::TextLines summary_of(const M& model, const Prepared<typename M::Scalar>& data,
                             const Evaluation& e) {
  report::TextLines lines = report::data_lines(data, "", e.task, e.levels);
  lines.emplace_back("model", model.describe().kind + ", " +
                                  report::format_count(parameter_count(model)) + " parameters");
  return lines;
}

/// Of the windows that judge the model, the last one for itself; nothing without attention pooling
/// or without prices.
template <class M>
std::optional<report::AttentionContents> attention_of(const M& model,
                                                      const Prepared<typename M::Scalar>& data) {
  const auto& windows = data.test.empty() ? data.validation : data.test;
  if (data.closes.empty()) return {};
  report::AttentionContents contents{windows.ends().back(), {}, {}};
  std::vector<double>& sums = contents.mean;
  const bool attends = for_each_attention(model, windows, [&](Index i, const auto& weights) {
    sums.resize(weights.size(), 0.0);
    for (std::size_t lag = 0; lag < weights.size(); ++lag)
      sums[lag] += static_cast<double>(weights[weights.size() - 1 - lag]);
    if (i + 1 == windows.size()) contents.window.assign(weights.rbegin(), weights.rend());
  });
  if (!attends) return {};
  for (double& sum : sums) sum /= static_cast<double>(windows.size());
  return contents;
}

}  // namespace internal

/// Judges a trained model on the test windows, or where there are none on the validation windows,
/// beside baselines, and gathers what the page tells. Deterministic.
/// Allocates: the times and closes of every row, and the targets of every window.
/// Throws: DataError when there are neither test nor validation windows; ShapeError, DataError,
/// OptionError when windows, model and task do not fit, as evaluate and fit_baselines, or for the
/// cost of trading.
template <Model M>
Report make_report(const M& model, const Prepared<typename M::Scalar>& data, const History& history,
                   ReportOptions options = {}) {
  const FloatModeGuard guard;
  if (data.test.empty() && data.validation.empty())
    throw DataError("report: there are no test or validation windows to judge the model by");
  const Task task = model.task();
  if (options.baselines.empty())
    options.baselines = fit_baselines(data.train, data.validation, task);
  Report result{
      .subject = std::move(options.subject),
      .ending = options.ending.empty() ? report::ending_text(history) : std::move(options.ending),
      .test_option = std::move(options.test_option)};
  result.evaluation = evaluate_beside_baselines(model, data, options.baselines);
  if (result.subject.empty()) result.subject = model.describe().kind;
  if (options.subtitle.empty())
    options.subtitle = "windows of " + std::to_string(data.recipe.length);
  result.curves =
      report::loss_curves(history.epochs, history.best_epoch, "", std::move(options.subtitle));
  result.curves.baseline = report::constant_loss(task, data.validation.targets());
  result.train = internal::part_contents(data.train);
  result.validation = internal::part_contents(data.validation);
  result.test = internal::part_contents(data.test);
  result.times = data.times;
  result.closes = data.closes;
  result.classes = class_names(data.recipe);
  result.horizon = horizon(data.recipe.label);
  result.backtest = report::backtest_of(data, result.evaluation, options.cost_bps);
  result.attention = internal::attention_of(model, data);
  result.summary = options.summary.empty() ? internal::summary_of(model, data, result.evaluation)
                                           : std::move(options.summary);
  result.explanation = std::move(options.explanation);
  result.settings = std::move(options.settings);
  if (result.settings.empty())
    result.settings = {report::settings_of("Model", model.describe()),
                       report::settings_of("Task", task->describe())};
  result.built = options.built.empty() ? std::string("tsdl ") + version + ", " + instruction_set
                                       : std::move(options.built);
  return result;
}

/// Writes the page, whole or not at all. Throws: Error when the file cannot be written.
inline void write_report(const std::filesystem::path& path, const Report& contents) {
  const FloatModeGuard guard;
  write_file(path, html_report(contents));
}

/// Judges a trained model and writes the page of its run: one file of HTML without scripts that
/// asks for nothing, light or dark, for a phone, a screen or paper. The same input gives the same
/// bytes. Throws: as make_report; Error when the file cannot be written.
template <Model M>
void write_report(const std::filesystem::path& path, const M& model,
                  const Prepared<typename M::Scalar>& data, const History& history,
                  ReportOptions options = {}) {
  write_report(path, make_report(model, data, history, std::move(options)));
}

}  // namespace TSDL_ABI
}  // namespace tsdl
