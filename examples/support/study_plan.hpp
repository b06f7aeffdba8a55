// The plan of a study: its trials as options, the figure that compares them, its rows, and what it
// is known by.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "data.hpp"
#include "describe.hpp"
#include "model.hpp"
#include "names.hpp"
#include "seeds.hpp"
#include "space.hpp"
#include "study_data.hpp"
#include "study_options.hpp"
#include "tracking.hpp"
#include "trial.hpp"
#include "tsdl/core/fingerprint.hpp"
#include "tsdl/io/study_folder.hpp"
#include "tsdl/select/study.hpp"

namespace examples {

inline constexpr tsdl::Index study_blocks = 16;  // of rows in time, by which overfitting is judged

/// Everything that is known before the first trial runs.
struct StudyRun {
  std::string space;  ///< as text, for the fingerprint
  std::vector<tsdl::TrialValues> values;
  std::vector<TrainOptions> trials;
  std::vector<std::uint64_t> seeds;
  std::string figure;
  StudyData data;
  tsdl::StudyPlan study;
};

// The trials.

inline std::string dimension_text(const tsdl::Dimension& dimension) {
  struct Text {
    std::string operator()(const tsdl::Choice& c) const {
      return "choice " + CLI::detail::join(c.values, " ");
    }
    std::string operator()(const tsdl::IntegerRange& r) const {
      return "integer " + std::to_string(r.low) + ' ' + std::to_string(r.high) + ' ' +
             std::to_string(r.step) + (r.log ? " log" : "");
    }
    std::string operator()(const tsdl::UniformRange& r) const {
      return "uniform " + format_exact(r.low) + ' ' + format_exact(r.high);
    }
    std::string operator()(const tsdl::LogUniformRange& r) const {
      return "log_uniform " + format_exact(r.low) + ' ' + format_exact(r.high);
    }
  };
  return std::visit(Text{}, dimension);
}

/// Refuses names that are no options, that a study cannot vary, or that are given as well.
inline void check_names(const SpaceFile& file, const CLI::App& app) {
  TrainOptions scratch;
  CLI::App trainer("", "");
  describe(trainer, scratch);
  for (std::size_t i = 0; i < file.space.dimensions.size(); ++i) {
    const std::string& name = file.space.dimensions[i].first;
    const CLI::Option* option = trainer.get_option_no_throw("--" + name);
    if (!option) file.refuse(i, "no option of the trainers has this name (train_bilstm --help)");
    if (const std::string& first = option->get_lnames().front(); first != name)
      file.refuse(i, "call it '" + first + "', as config.toml does");
    if (const std::string why = refusal_of(name); !why.empty()) file.refuse(i, why);
    if (app.count("--" + name) > 0) file.refuse(i, "--" + name + " is given as well: which is it?");
  }
}

/// The options of each trial. Throws: tsdl::Error that names the trial when options do not go
/// together; "FILE:LINE: key 'x'" when an option refuses a value.
inline std::vector<TrainOptions> options_of_trials(const StudyRun& plan, const SpaceFile& file,
                                                   const TrainOptions& preset,
                                                   const CLI::App& app) {
  std::vector<TrainOptions> trials;
  for (std::size_t t = 0; t < plan.values.size(); ++t) {
    try {
      trials.push_back(options_of(preset, app, plan.values[t]));
    } catch (const CLI::Error& error) {
      const std::string_view what = error.what();
      for (std::size_t i = 0; i < file.space.dimensions.size(); ++i)
        if (const std::string start = "--" + file.space.dimensions[i].first;
            what.starts_with(start))
          file.refuse(i, std::string(what.substr(std::min(what.size(), start.size() + 2))));
      throw;
    } catch (const tsdl::Error& error) {
      if (plan.values[t].empty()) throw;
      throw tsdl::OptionError(trial_text(static_cast<tsdl::Index>(t), plan.values[t]), ": ",
                              error.what());
    }
  }
  return trials;
}

inline void add_trials(StudyRun& plan, const TrainOptions& preset, const TrainOptions& given,
                       const StudyOptions& s, const CLI::App& app) {
  SpaceFile file;
  if (s.space.empty()) {
    for (const char* option : {"--search", "--trials", "--eta", "--min-epochs"})
      if (app.count(option) > 0) throw tsdl::OptionError(option, " has no effect without --space");
    plan.values = {{}};
  } else {
    file = read_space(s.space);
    check_names(file, app);
    for (const auto& [name, dimension] : file.space.dimensions)
      plan.space += name + ": " + dimension_text(dimension) + '\n';
    if (s.search == "grid" && app.count("--trials") > 0)
      throw tsdl::OptionError("--trials has no effect with --search grid, which takes all");
    for (const char* option : {"--eta", "--min-epochs"})
      if (s.search != "halving" && app.count(option) > 0)
        throw tsdl::OptionError(option, " has no effect without --search halving");
    plan.values = s.search == "grid" ? tsdl::grid_trials(file.space)
                                     : tsdl::random_trials(file.space, given.seed, s.trials);
  }
  plan.trials = options_of_trials(plan, file, preset, app);
}

// The plan.

/// The figure by which trials are compared. Throws: tsdl::OptionError when the task has none of
/// this name, or trials would be compared by different losses.
inline std::string figure_of_study(const StudyRun& plan, const StudyOptions& s) {
  const TrainOptions& first = plan.trials.front();
  const tsdl::Prepared<float> data =
      tsdl::prepare<float>(plan.data.dataset_of(first), plan.data.splits.front());
  refuse_holes(first, data);
  const tsdl::Task task = task_of(first, data);
  std::vector<std::string> names = {"loss"};
  for (const std::string_view name : task->figures()) names.emplace_back(name);
  if (s.score.empty()) return first.data.task == "regression" ? "rmse" : "loss";
  if (std::find(names.begin(), names.end(), s.score) == names.end())
    throw tsdl::OptionError("--score: expected one of ", CLI::detail::join(names, ", "), ", got '",
                            s.score, "'");
  for (const TrainOptions& o : plan.trials)
    if (s.score == "loss" && o.data.loss != first.data.loss)
      throw tsdl::OptionError("--score loss: trials differ in their --loss");
  return s.score;
}

inline std::vector<tsdl::Index> rungs_of(const StudyRun& plan, const StudyOptions& s) {
  tsdl::Index epochs = 0;
  bool differ = false;
  for (const TrainOptions& o : plan.trials) {
    differ = differ || (epochs > 0 && o.max_epochs != epochs);
    epochs = std::max(epochs, o.max_epochs);
  }
  if (s.search != "halving" || s.space.empty()) return {epochs};
  if (differ) throw tsdl::OptionError("--search halving sets the epochs itself: not in --space");
  return tsdl::halving_rungs(std::ssize(plan.trials), epochs, s.min_epochs, s.eta);
}

inline StudyRun make_plan(const TrainOptions& preset, const TrainOptions& given,
                          const StudyOptions& s, const CLI::App& app) {
  StudyRun plan;
  const tsdl::FoldScheme scheme = folds_from(s.folds);
  if (std::holds_alternative<tsdl::WalkForward>(scheme) && s.embargo > 0)
    throw tsdl::OptionError(
        "--embargo has no effect with walk-forward: nothing behind a test is trained on");
  plan.seeds = given.seeds.empty() ? std::vector{given.seed} : seeds_from(given.seeds);
  add_trials(plan, preset, given, s, app);
  TrainOptions longest = plan.trials.front();
  for (const TrainOptions& o : plan.trials)
    longest.data.seq_len = std::max(longest.data.seq_len, o.data.seq_len);
  plan.data = make_study_data(read_source(longest, recipe_of(longest.data)), plan.trials, scheme,
                              s.embargo, study_blocks);
  plan.figure = figure_of_study(plan, s);
  plan.study = {.trials = plan.values,
                .folds = std::ssize(plan.data.folds.folds),
                .seeds = std::ssize(plan.seeds),
                .rungs = rungs_of(plan, s),
                .eta = s.eta,
                .lower_is_better = tsdl::figure_of(plan.figure).lower_is_better,
                .blocks = study_blocks,
                .paths = plan.data.folds.paths()};
  return plan;
}

/// The options that say how a study is run, and nothing of what it finds.
inline constexpr const char* outside_study[] = {
    "workers",  "study",      "shard",     "resume", "then-train", "threads",          "details",
    "explain",  "log-format", "log-level", "config", "device",     "tracking",         "experiment",
    "run-name", "register",   "space",     "data",   "ensemble",   "ensemble-weights", "calibrate"};

/// What makes two studies the same. Random trials follow from space and seed: a study may go on
/// with more of them.
inline tsdl::StudyIdentity identity_of(const StudyRun& plan, const StudyOptions& s,
                                       const CLI::App& app) {
  tsdl::StudyIdentity identity;
  for (const tsdl::TrackedText& option : option_values(app)) {
    if (std::find(std::begin(outside_study), std::end(outside_study), option.key) !=
        std::end(outside_study))
      continue;
    if (option.key == "trials" && s.search == "random") continue;
    identity.options.emplace_back(option.key, option.value);
  }
  identity.options.emplace_back("the space", plan.space);
  tsdl::Fingerprint print;
  for (const auto& [name, value] : identity.options) print.add_text(name).add_text(value);
  for (const auto& [name, dataset] : plan.data.datasets) {
    print.add_text(name).add(dataset.features->values.span());
    print.add(std::span<const double>(dataset.labels->values));
    print.add(std::span<const tsdl::Index>(dataset.labels->ends));
  }
  for (const tsdl::SampleSpan& sample : plan.data.samples) print.add(&sample, sizeof sample);
  identity.fingerprint = print.text();
  return identity;
}

}  // namespace examples
