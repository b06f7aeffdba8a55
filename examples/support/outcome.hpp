// What follows a training: the model's figures on the terminal, for the tracker, and as a page.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "models.hpp"
#include "names.hpp"
#include "report.hpp"
#include "tracking.hpp"
#include "training.hpp"
#include "tsdl/report/contents.hpp"
#include "tsdl/report/options.hpp"
#include "tsdl/select/baselines.hpp"
#include "tsdl/train/trainer.hpp"
#include "verdict.hpp"

namespace examples {

/// An app's options with their values, by the groups of its help. Those of tracking are left out:
/// they do not change the run, and an address is not for every reader of a page. So is --config,
/// whose options are here themselves.
inline std::vector<SettingsGroup> settings_of(const CLI::App& app) {
  std::vector<SettingsGroup> groups;
  for (const tsdl::TrackedText& option : option_values(app)) {
    const std::string& name = app.get_option("--" + option.key)->get_group();
    if (name == tracking_group || name.empty() || option.key == "config") continue;
    const CLI::Option* ensemble = app.get_option_no_throw("--ensemble");
    if (option.key == "model" && ensemble && ensemble->count() > 0) continue;  // it has no effect
    auto group = std::find_if(groups.begin(), groups.end(),
                              [&](const SettingsGroup& g) { return g.name == name; });
    if (group == groups.end()) group = groups.insert(group, {name, {}});
    group->options.emplace_back(option.key, option.value);
  }
  return groups;
}

// Defined in outcome.cpp, the one place that compiles linear models and the page.

/// Predictions that need no network, fitted on the training windows.
std::vector<tsdl::Baseline> fit_baselines(const tsdl::Prepared<float>& data,
                                          const tsdl::Task& task);

/// Their figures on the validation windows, for the history: of each the two most telling figures
/// of the task. Of classes the constant one is left out: its figure is there already.
std::vector<TrackedFigure> baseline_figures(const std::vector<tsdl::Baseline>& baselines,
                                            const tsdl::Windows<float>& windows,
                                            const tsdl::Task& task);

/// tsdl::make_report, with an explanation where `explain` asks for one, and tsdl::write_report.
tsdl::Report report_of(const tsdl::AnyModel<float>& model, const tsdl::Prepared<float>& data,
                       const tsdl::History& history, tsdl::ReportOptions options, bool explain);
void write_page(const std::filesystem::path& path, const tsdl::Report& report);

/// Says what a trained model is worth, on the terminal and to the tracker, which takes it at
/// `step`, and writes the page. Returns the figures.
/// Throws: tsdl::Error when the page cannot be written.
inline Evaluation tell_outcome(const tsdl::AnyModel<float>& model,
                               const tsdl::Prepared<float>& data,
                               const std::vector<tsdl::Baseline>& baselines,
                               const TrainingOptions& o, const tsdl::History& history,
                               tsdl::Index step, const CLI::App& app, TrackedRun& tracked) {
  tsdl::Report report = report_of(model, data, history,
                                  {.subject = o.subject,
                                   .subtitle = o.subtitle,
                                   .ending = o.ending,
                                   .summary = o.summary,
                                   .settings = settings_of(app),
                                   .test_option = o.test_option,
                                   .baselines = baselines},
                                  o.explain);
  const Evaluation& e = report.evaluation;
  print_evaluation(e, o.by_class);
  if (!e.tested) say_paragraph(judged_by_validation(o.test_option));
  tracked.log_metrics(final_metrics(e.tested ? "test_" : "best_validation_", e, step));
  write_page(o.files.report(), report);
  return std::move(report.evaluation);
}

/// A line of the log and, where `by_class`, each class by itself.
inline void report_outcome(const Evaluation& result, const tsdl::Prepared<float>& data,
                           bool by_class, Log& log) {
  const bool classes = result.classes() > 0;
  if (classes && by_class)
    std::printf(
        "\n%s",
        class_report(result.confusion, class_names(data.recipe), terminal_width(stdout)).c_str());
  LogFields fields = {{"part", result.part()}, {"windows", result.metrics.count}};
  for (const std::string_view name : result.figures)
    fields.push_back({std::string(name), result.metrics.*tsdl::figure_of(name).value});
  if (classes) fields.push_back({"macro_f1", result.macro_f1});
  fields.push_back({"loss", result.metrics.loss});
  log.info("report", fields);
}

}  // namespace examples
