// A trial of a study: the options that it changes, and its training on one fold.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "check_options.hpp"
#include "describe.hpp"
#include "options.hpp"
#include "tsdl/data/prepare.hpp"
#include "tsdl/select/space.hpp"
#include "tsdl/select/study.hpp"

namespace examples {

/// Why a study cannot vary an option; empty when it can. Trials must be judged by the same question
/// on the same rows.
inline std::string refusal_of(const std::string& option) {
  constexpr std::array asked = {"data",
                                "test-data",
                                "case-folds",
                                "synthetic",
                                "feature-columns",
                                "label",
                                "horizon",
                                "label-column",
                                "label-offset",
                                "task",
                                "target",
                                "ahead",
                                "quantiles",
                                "refuse-missing-targets",
                                "refuse-gaps",
                                "stride",
                                "validation",
                                "test"};
  constexpr std::array outside = {"out",        "resume",    "details",  "explain", "calibrate",
                                  "log-format", "log-level", "threads",  "device",  "tracking",
                                  "experiment", "run-name",  "register", "config"};
  const auto is_in = [&](const auto& names) {
    return std::find(names.begin(), names.end(), option) != names.end();
  };
  if (is_in(asked))
    return "it changes the question or the rows that are judged, and trials could not be compared: "
           "make a study for each";
  if (is_in(outside)) return "it does not change what is trained";
  if (option == "ensemble" || option == "ensemble-weights")
    return "a trial is one network: train an ensemble of what the study finds";
  if (option == "seed" || option == "seeds")
    return "use --seeds on the command line, which trains every trial with each";
  return {};
}

/// Describes the trainer's options in `trial`, sets what `app` was given and then the trial's
/// values, and completes them. Returns what a user has to be told, or nothing.
/// Throws: tsdl::OptionError, CLI::Error when a value is refused, or does not go with the others.
inline std::string apply_trial(CLI::App& trial, TrainOptions& o, const CLI::App& app,
                               const tsdl::TrialValues& values) {
  describe(trial, o);
  for (const CLI::Option* given : app.get_options()) {
    if (given->count() == 0 || given->get_lnames().empty()) continue;
    CLI::Option* option = trial.get_option_no_throw("--" + given->get_lnames().front());
    // A file may hold every option, as config.toml does: there a default says nothing.
    if (!option || option == trial.get_config_ptr() || option == trial.get_help_ptr() ||
        given->results() == std::vector<std::string>{given->get_default_str()})
      continue;
    option->add_result(given->results());
    option->run_callback();
  }
  for (const auto& [name, value] : values) set_applied(trial, "--" + name, value);
  check_options(o, trial);
  return apply_options(o, trial);
}

/// The trainer's options of a trial. Throws: as apply_trial.
inline TrainOptions options_of(const TrainOptions& preset, const CLI::App& app,
                               const tsdl::TrialValues& values) {
  TrainOptions o = preset;
  CLI::App trial(app.get_description(), app.get_name());
  apply_trial(trial, o, app, values);
  return o;
}

/// A trial as a message names it: "trial 3 (hidden 64, lr 0.001)".
inline std::string trial_text(tsdl::Index trial, const tsdl::TrialValues& values) {
  std::string text;
  for (const auto& [name, value] : values)
    text += (text.empty() ? " (" : ", ") + name + ' ' + value;
  return "trial " + std::to_string(trial) + text + (text.empty() ? "" : ")");
}

/// What a run of a study needs beside its options.
struct FoldRun {
  const tsdl::Prepared<float>* prepared = nullptr;  ///< in place of the next two
  const tsdl::Dataset* dataset = nullptr;           ///< with the trial's recipe
  const tsdl::Split* split = nullptr;
  std::span<const tsdl::Index> borders{};  ///< of the blocks of rows
  tsdl::StudyUnit unit{};
  tsdl::Index epochs = 0;         ///< of the rung: no more are trained
  std::string figure;             ///< the score
  std::filesystem::path state{};  ///< where the unfinished run is kept; empty: nowhere
  std::filesystem::path best{};   ///< where the best model is kept; empty: nowhere
};

/// Trains a trial on a fold, from where an earlier run was cut off, and judges it on the fold's
/// test windows, or where there are none on those that it is validated on. None when a signal
/// stopped it: what is finished of it is kept. Defined in trial.cpp, which is compiled once.
/// Throws: what data, trainer and files throw.
std::optional<tsdl::UnitResult> train_fold(const TrainOptions& o, const FoldRun& run);

}  // namespace examples
