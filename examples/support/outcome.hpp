// What follows a training: the model's figures on the terminal, for the tracker, and as a page.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data.hpp"
#include "display.hpp"
#include "evaluation.hpp"
#include "html_report.hpp"
#include "report.hpp"
#include "tracking.hpp"
#include "training.hpp"
#include "tsdl/core/file.hpp"
#include "tsdl/train/trainer.hpp"
#include "tsdl/version.hpp"
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

/// Says what the trained model is worth, on the terminal and to the tracker, and writes the page.
/// A run that was interrupted, or never had a finite loss, has no result to tell. Returns the
/// figures, without windows where there is no result.
/// Throws: tsdl::Error when the page cannot be written.
template <class Trainer>
Evaluation finish_run(const Trainer& trainer, const RunData& data,
                      const std::vector<tsdl::Baseline>& baselines, const TrainingOptions& o,
                      const tsdl::History& history, const CLI::App& app, TrackedRun& tracked) {
  if (history.status == tsdl::Status::interrupted || history.best_epoch == 0) return {};
  Evaluation e = evaluate_model(trainer.model(), data, baselines);
  print_evaluation(e, o.by_class);
  if (!e.tested) say_paragraph(judged_by_validation(o.test_option));
  tracked.log_metrics(
      final_metrics(e.tested ? "test_" : "best_validation_", e, history.best_epoch));
  RunReport run{.subject = o.subject,
                .ending = ending_text(history),
                .test_option = o.test_option,
                .curves = loss_curves(history.epochs, history.best_epoch, "", o.subtitle),
                .evaluation = std::move(e),
                .summary = o.summary,
                .settings = settings_of(app),
                .built = std::string("tsdl ") + tsdl::version + ", " + tsdl::instruction_set};
  run.curves.baseline = constant_loss(trainer.task(), data.validation.targets());
  tsdl::write_file(o.files.report(), html_report(run, data));
  return std::move(run.evaluation);
}

}  // namespace examples
