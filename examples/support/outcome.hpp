// What follows a training: the model's figures on the terminal, for the tracker, and as a page.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "names.hpp"
#include "report.hpp"
#include "tracking.hpp"
#include "training.hpp"
#include "tsdl/nn/any_model.hpp"
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

/// Says what the trained model is worth, on the terminal and to the tracker, and writes the page.
/// A run that was interrupted, or never had a finite loss, has no result to tell. Returns the
/// figures, without windows where there is no result.
/// Throws: tsdl::Error when the page cannot be written.
template <class Trainer>
Evaluation finish_run(const Trainer& trainer, const tsdl::Prepared<float>& data,
                      const std::vector<tsdl::Baseline>& baselines, const TrainingOptions& o,
                      const tsdl::History& history, const CLI::App& app, TrackedRun& tracked) {
  if (history.status == tsdl::Status::interrupted || history.best_epoch == 0) return {};
  tsdl::Report report = report_of(trainer.model(), data, history,
                                  {.subject = o.subject,
                                   .subtitle = o.subtitle,
                                   .summary = o.summary,
                                   .settings = settings_of(app),
                                   .test_option = o.test_option,
                                   .baselines = baselines},
                                  o.explain);
  const Evaluation& e = report.evaluation;
  print_evaluation(e, o.by_class);
  if (!e.tested) say_paragraph(judged_by_validation(o.test_option));
  tracked.log_metrics(
      final_metrics(e.tested ? "test_" : "best_validation_", e, history.best_epoch));
  write_page(o.files.report(), report);
  return std::move(report.evaluation);
}

}  // namespace examples
