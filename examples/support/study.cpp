// Runs a study. Read it from the bottom up: folder, work, what came of it, the winner.
#include "study.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "logging.hpp"
#include "names.hpp"
#include "report.hpp"
#include "signals.hpp"
#include "study_display.hpp"
#include "study_plan.hpp"
#include "tracking.hpp"
#include "train.hpp"
#include "training.hpp"
#include "trial.hpp"
#include "tsdl/io/study_folder.hpp"
#include "tsdl/select/search.hpp"
#include "tsdl/spread/communicator.hpp"

namespace examples {
namespace {

using tsdl::Index;

// The work.

/// The folder of the study: the first process has it alone, and the others share it with it.
tsdl::StudyFolder open_folder(const tsdl::StudyIdentity& identity, const TrainOptions& given,
                              const StudyOptions& s, tsdl::Communicator& ranks) {
  using Hold = tsdl::StudyFolder::Hold;
  if (!s.shard.empty()) {
    std::string part = "shard-" + s.shard;
    std::replace(part.begin(), part.end(), '/', '-');
    return {s.study, identity, given.resume, Hold::shared, part};
  }
  if (ranks.rank() > 0) {
    ranks.barrier();  // until the first has begun it
    return {s.study, identity, true, Hold::shared, "rank-" + std::to_string(ranks.rank())};
  }
  tsdl::StudyFolder folder(s.study, identity, given.resume, Hold::alone);
  ranks.barrier();
  return folder;
}

/// Adds what the journals hold. Every process then knows what the first one has read.
void read_results(tsdl::Study& study, const tsdl::StudyFolder& folder, tsdl::Communicator& ranks) {
  std::string text;
  if (ranks.rank() == 0) text = tsdl::results_to_text(folder.read());
  for (tsdl::UnitResult& result : tsdl::results_from_text(ranks.broadcast(text)))
    study.add(std::move(result));
}

/// Where runs that are not finished are kept.
std::filesystem::path state_of(const StudyOptions& s, const tsdl::StudyUnit& unit,
                               std::uint64_t seed) {
  return std::filesystem::path(s.study) / "runs" /
         ("trial-" + std::to_string(unit.trial) + "-fold-" + std::to_string(unit.fold + 1) +
          "-seed-" + std::to_string(seed) + ".state.safetensors");
}

std::optional<tsdl::UnitResult> run_unit(const StudyRun& plan, const StudyOptions& s,
                                         const tsdl::StudyUnit& unit) {
  TrainOptions o = plan.trials[static_cast<std::size_t>(unit.trial)];
  o.seed = plan.seeds[static_cast<std::size_t>(unit.seed)];
  const tsdl::Dataset dataset = plan.data.dataset_of(o);
  try {
    return train_fold(o, {.dataset = &dataset,
                          .split = &plan.data.splits[static_cast<std::size_t>(unit.fold)],
                          .borders = plan.data.borders,
                          .unit = unit,
                          .epochs = plan.study.rungs[static_cast<std::size_t>(unit.rung)],
                          .figure = plan.figure,
                          .state = state_of(s, unit, o.seed)});
  } catch (const tsdl::Error& error) {
    throw tsdl::Error(trial_text(unit.trial, plan.values[static_cast<std::size_t>(unit.trial)]),
                      ", fold ", unit.fold + 1, ": ", error.what());
  }
}

tsdl::SearchStatus run_trials(tsdl::Study& study, const StudyRun& plan, const StudyOptions& s,
                              Index workers, tsdl::StudyFolder& folder, tsdl::Communicator& ranks) {
  // Not of the units that are open now: a rung that is nearly done has fewer than the next.
  const Index runs = std::ssize(plan.values) * plan.study.folds * plan.study.seeds;
  folder.open_journals(std::min(workers, runs));
  tsdl::make_directories(std::filesystem::path(s.study) / "runs");
  tsdl::SearchOptions options{.workers = workers,
                              .stop = [] { return StopSignals::requested() != 0; }};
  if (!s.shard.empty())
    options.is_ours = [shard = shard_from(s.shard)](const tsdl::StudyUnit& unit) {
      return unit.trial % shard.count == shard.number - 1;
    };
  std::mutex mutex;
  StudyProgress progress(std::ssize(study.results()),
                         std::ssize(study.results()) + std::ssize(study.open()));
  if (ranks.rank() == 0) progress.paint();
  return tsdl::run_study(
      study, options, ranks,
      [&](const tsdl::StudyUnit& unit, Index) { return run_unit(plan, s, unit); },
      [&](const tsdl::UnitResult& result, Index worker) {
        folder.record(worker, result);
        if (result.unit.rung + 1 == std::ssize(plan.study.rungs)) {
          std::error_code code;
          std::filesystem::remove(
              state_of(s, result.unit, plan.seeds[static_cast<std::size_t>(result.unit.seed)]),
              code);
        }
        const std::lock_guard lock(mutex);
        if (ranks.rank() == 0) progress.advance();
      },
      [&](const std::vector<tsdl::UnitResult>& results) {
        std::vector<tsdl::UnitResult> all;
        for (const std::string& text : ranks.all_gather(tsdl::results_to_text(results)))
          for (tsdl::UnitResult& result : tsdl::results_from_text(text))
            all.push_back(std::move(result));
        return all;
      });
}

// What came of it.

/// How the winner was chosen, for its page.
TextLines chosen_lines(const tsdl::Study& study, const StudyRun& plan, const StudyOptions& s) {
  const tsdl::TrialResult best = study.leaderboard().front();
  std::string text = "trial " + std::to_string(best.trial) + " (" +
                     short_values(plan.values[static_cast<std::size_t>(best.trial)]) +
                     "), the best of " + format_count(std::ssize(plan.values)) + " by " +
                     plan.figure + " on the tests of " + s.folds + ": " +
                     score_text(plan.figure, best.score) + '.';
  for (const std::string& luck : luck_texts(study.luck())) text += ' ' + luck;
  return {{"chosen", text}};
}

/// One process trains it: the others have nothing left to do.
int train_winner(const StudyRun& plan, Index trial, const TrainOptions& preset,
                 const StudyOptions& s, const CLI::App& app, bool resume, const TextLines& chosen,
                 Evaluation& evaluation) {
  const tsdl::TrialValues& values = plan.values[static_cast<std::size_t>(trial)];
  std::printf("\ntraining the winner, trial %td, on all but the test windows\n\n", trial);
  TrainOptions o = preset;
  CLI::App winner(app.get_description(), app.get_name());
  const std::string warning = apply_trial(winner, o, app, values);
  set_applied(winner, "--out", (std::filesystem::path(s.study) / "winner").string());
  if (resume) set_applied(winner, "--resume", "true");
  o.tracking = {};  // the study's run has its figures
  if (o.threads > 0) tsdl::set_thread_count(static_cast<int>(o.threads));
  const tsdl::Split split =
      tsdl::split_of(plan.data.final, plan.data.samples, plan.data.validation);
  tsdl::SingleProcess alone;
  return train_on(tsdl::prepare<float>(plan.data.dataset_of(o), split), o, winner, warning, alone,
                  chosen, &evaluation);
}

// The study as MLflow shows it: a run, and a child for each trial.

/// The key by which the run of a study is found again, drawn once and kept in its folder: two equal
/// studies are two runs.
std::string run_key(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "mlflow-run";
  std::string key;
  if (std::ifstream in(file); in >> key) return key;
  key = tsdl::new_run_key();
  tsdl::write_file(file, key + '\n');
  return key;
}

void track_trials(TrackedRun& tracked, const tsdl::Study& study, const StudyRun& plan) {
  for (const tsdl::TrialResult& one : study.leaderboard()) {
    if (one.rung < 0) continue;
    const auto number = std::to_string(one.trial);
    tsdl::ChildRun child{.id = number, .name = "trial " + number};
    for (const auto& [name, value] : plan.values[static_cast<std::size_t>(one.trial)])
      child.params.push_back({name, value});
    const auto add = [&](const std::string& key, double value, std::int64_t step = 0) {
      if (is_finite(value)) child.metrics.push_back({key, value, step});
    };
    add("folds_" + plan.figure, one.score);
    add("folds_" + plan.figure + "_deviation", one.deviation);
    for (std::size_t fold = 0; fold < one.fold_scores.size(); ++fold)
      add("fold_" + plan.figure, one.fold_scores[fold], static_cast<std::int64_t>(fold) + 1);
    add("mean_gain", one.gains.mean);
    add("sharpe_of_gains", one.gains.sharpe);
    if (tsdl::is_nan(one.score)) child.status = tsdl::RunStatus::failed;
    tracked.log_child(child);
  }
}

void track_winner(TrackedRun& tracked, const tsdl::Study& study, const StudyRun& plan,
                  const Evaluation& evaluation) {
  const tsdl::TrialResult best = study.leaderboard().front();
  if (tsdl::is_nan(best.score)) return;
  const tsdl::StudyLuck luck = study.luck();
  std::vector<tsdl::TrackedMetric> metrics = evaluation.metrics.count > 0
                                                 ? final_metrics("test_", evaluation, 0)
                                                 : std::vector<tsdl::TrackedMetric>();
  const auto add = [&](const std::string& key, double value) {
    if (is_finite(value)) metrics.push_back({key, value, 0});
  };
  add("best_trial", static_cast<double>(best.trial));
  add("folds_" + plan.figure, best.score);
  add("probabilistic_sharpe_ratio", luck.probability);
  add("deflated_sharpe_ratio", luck.deflated_probability);
  if (luck.overfitting.splits > 0) add("probability_of_overfitting", luck.overfitting.probability);
  tracked.log_metrics(metrics);
}

int conclude(const tsdl::Study& study, const StudyRun& plan, const tsdl::StudyFolder& folder) {
  folder.write_summary(study, plan.figure, plan.seeds);
  std::error_code code;
  std::filesystem::remove_all(folder.path() / "runs", code);
  print_leaderboard(study, plan.figure);
  const bool scored = is_finite(study.leaderboard().front().score);
  if (scored)
    for (const std::string& text : luck_texts(study.luck())) {
      std::puts("");
      say_paragraph(text);
    }
  else
    std::puts("\nno trial has a score: every one diverged");
  std::printf("\nleaderboard  %s\nsummary      %s\n", (folder.path() / "leaderboard.csv").c_str(),
              (folder.path() / "summary.json").c_str());
  return scored ? 0 : 1;
}

void say_plan(const StudyRun& plan, const TrainOptions& given, const StudyOptions& s,
              const tsdl::Study& study) {
  const auto count = [](std::size_t n) { return format_count(static_cast<Index>(n)); };
  say("data", source_of(given));
  for (const auto& [label, text] : fold_lines(plan.data, s.folds)) say(label, text);
  std::string text = count(plan.values.size()) + (plan.values.size() == 1 ? " trial" : " trials");
  if (!s.space.empty()) text += " of a " + s.search + " search";
  if (plan.seeds.size() > 1) text += ", each with " + count(plan.seeds.size()) + " seeds";
  if (plan.study.rungs.size() > 1) {
    text += ", compared after";
    for (const Index rung : plan.study.rungs) text += ' ' + std::to_string(rung);
    text += " epochs";
  }
  say("study",
      text + ", by " + std::string(tsdl::figure_of(plan.figure).title) + " on the folds' tests");
  if (!study.results().empty()) say("resumed", count(study.results().size()) + " runs are done");
}

}  // namespace

int run_study_program(const TrainOptions& preset, const TrainOptions& given, const StudyOptions& s,
                      const CLI::App& app, Ranks& ranks) {
  if (!s.shard.empty()) {
    shard_from(s.shard);
    if (s.search == "halving") throw tsdl::OptionError("--shard: halving compares all trials");
    if (s.then_train) throw tsdl::OptionError("--shard and --then-train: train when all are done");
    if (ranks.all().size() > 1) throw tsdl::OptionError("--shard is for processes without mpirun");
    if (!given.tracking.target.empty())
      throw tsdl::OptionError(
          "--shard and --tracking: record the study when all are done, by --resume");
  }
  ranks.set_threads(given);
  check_tracking_options(given.tracking);
  if (!given.tracking.model_name.empty() && !s.then_train)
    throw tsdl::OptionError("--register has no effect without --then-train");
  if (given.explain && !s.then_train)
    throw tsdl::OptionError("--explain has no effect without --then-train");
  if (given.calibrate && !s.then_train)
    throw tsdl::OptionError("--calibrate has no effect without --then-train");
  if (!given.ensemble.empty())
    throw tsdl::OptionError("--ensemble: a trial is one network: train an ensemble of what the ",
                            "study finds");
  const StudyRun plan = make_plan(preset, given, s, app);
  if (s.then_train && plan.data.final.test.empty())
    throw tsdl::OptionError("--then-train tests the winner: expected --test above 0");
  const tsdl::StudyIdentity identity = identity_of(plan, s, app);
  tsdl::StudyFolder folder = open_folder(identity, given, s, ranks.all());
  tsdl::Study study(plan.study);
  read_results(study, folder, ranks.all());
  say_plan(plan, given, s, study);
  std::fflush(stdout);
  Log log(app.get_name());
  TrackedRun tracked(given.tracking, app,
                     "study of " + std::to_string(plan.values.size()) + " trials", s.study, log);
  if (ranks.is_first() && !given.tracking.target.empty())
    tracked.start(run_key(folder.path()), {std::begin(outside_study), std::end(outside_study)});
  const StopSignals signals;
  const Index workers = given.workers > 0 ? given.workers : tsdl::thread_count();
  const tsdl::SearchStatus status = run_trials(study, plan, s, workers, folder, ranks.all());
  if (status == tsdl::SearchStatus::stopped) {
    std::puts("\nstopped; --resume goes on with the study");
    tracked.end(tsdl::RunStatus::killed, {});
    return 128 + StopSignals::requested();
  }
  if (!s.shard.empty()) read_results(study, folder, ranks.all());  // those of other shards
  if (!study.is_finished()) {
    std::printf("\nthis shard is done; %s runs are with the others\n",
                format_count(std::ssize(study.open())).c_str());
    return 0;
  }
  if (!ranks.is_first()) return 0;
  int exit = conclude(study, plan, folder);
  track_trials(tracked, study, plan);
  Evaluation evaluation;
  if (exit == 0 && s.then_train)
    exit = train_winner(plan, study.leaderboard().front().trial, preset, s, app, given.resume,
                        chosen_lines(study, plan, s), evaluation);
  track_winner(tracked, study, plan, evaluation);
  const RunFiles winner{folder.path() / "winner"};
  tracked.end(exit == 0    ? tsdl::RunStatus::finished
              : exit > 128 ? tsdl::RunStatus::killed
                           : tsdl::RunStatus::failed,
              {folder.path() / "leaderboard.csv", folder.path() / "summary.json", winner.best(),
               winner.report()},
              winner.best());
  if (const std::string location = tracked.location(); !location.empty())
    std::printf("tracking     %s\n", location.c_str());
  return exit;
}

}  // namespace examples
