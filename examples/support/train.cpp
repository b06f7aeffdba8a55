// The training program. Compiled once: the programs are presets of it.
//
// Read it from the bottom up: train() has options and data, train_on() the model and its trainer,
// fit() callbacks and test.
#include "train.hpp"

#include <cmath>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "check_options.hpp"
#include "data.hpp"
#include "describe.hpp"
#include "ensemble.hpp"
#include "logging.hpp"
#include "model.hpp"
#include "names.hpp"
#include "outcome.hpp"
#include "program.hpp"
#include "report.hpp"
#include "seeds.hpp"
#include "signals.hpp"
#include "spread.hpp"
#include "terminal.hpp"
#include "tracking.hpp"
#include "training.hpp"
#include "tsdl/data/prepare.hpp"
#include "tsdl/io/checkpoint.hpp"
#include "tsdl/spread/sharded_stepper.hpp"
#include "tsdl/train/trainer.hpp"

namespace examples {
namespace {

using Data = tsdl::Prepared<float>;
using Trainer = tsdl::Trainer<Model, tsdl::ShardedStepper<Model>>;

TextLines summary(const TrainOptions& o, const Data& data, tsdl::Index parameters) {
  TextLines lines = data_summary(o.data, source_of(o), data);
  const bool drops = o.layers > 1 || (o.is_transformer() && o.dropout > 0);
  std::string dropout = drops ? ", dropout " + format_rate(o.dropout) : "";
  if (const double head = o.head_dropout.value_or(0); head > 0)
    dropout += ", head dropout " + format_rate(head);
  std::string pooling = o.data.pooling + " pooling";
  if (o.attention_size) pooling += " of " + std::to_string(*o.attention_size) + " units";
  if (o.attention_dropout > 0) pooling += ", attention dropout " + format_rate(o.attention_dropout);
  std::string form = " units";
  if (o.is_transformer())
    form = " values, " + std::to_string(o.heads) + " heads, feed-forward " +
           std::to_string(o.feed_forward) + " (" + o.activation + ")" +
           (o.causal ? ", causal" : "") + (o.norm_first ? ", norms first" : "") +
           (o.final_norm ? ", a last norm" : "");
  if (o.input_projection) form += ", input projection";
  lines.emplace_back("model", model_name(o.model) + ", " + std::to_string(o.layers) + " x " +
                                  std::to_string(o.hidden) + form + dropout + ", " + pooling +
                                  ", " + format_count(parameters) + " parameters");
  lines.emplace_back("training",
                     std::string(o.optimizer == "adam" ? "Adam" : "AdamW") + ", rate " +
                         format_rate(o.lr) + ", batch " + std::to_string(o.batch_size) +
                         (o.shards == 1 ? "" : ", " + std::to_string(o.shards) + " shards") +
                         ", seed " + std::to_string(o.seed));
  return lines;
}

TrainingOptions training_options(const TrainOptions& o, const CLI::App& app, TextLines summary) {
  return {
      .files = {o.out},
      .patience = o.patience,
      .reduce_lr_patience = o.reduce_lr_patience,
      .shards = o.shards,
      .resume = o.resume,
      .subject = (o.model == "lstm" ? "an " : "a ") + model_name(o.model) + " on " + source_name(o),
      .subtitle =
          std::to_string(o.layers) + " x " + std::to_string(o.hidden) + " units, " +
          (o.data.uses_cases() ? "whole series" : "windows of " + std::to_string(o.data.seq_len)) +
          ", seed " + std::to_string(o.seed),
      .summary = std::move(summary),
      .test_option = o.data.uses_cases() ? "--test-data FILE" : "--test 0.15",
      .explain = o.explain,
      .by_class = o.details == "full",
      .config = app.config_to_str(true)};
}

/// Says what the model is worth before it has learnt anything: of K classes ln K, which is what it
/// loses that cannot tell them apart.
void print_start(const Model& model, const tsdl::Prepared<float>& data, Log& log) {
  const double loss = tsdl::evaluate(model, data.train, model.task().unweighted()).loss;
  if (data.recipe.regression) {
    say("start",
        "loss " + format_fixed(loss, 4) + " before the first update, on the training windows");
    log.info("start", {{"loss", loss}});
    return;
  }
  const double even = std::log(static_cast<double>(data.recipe.class_values.size()));
  say("start", "cross-entropy " + format_fixed(loss, 4) +
                   " before the first update, on the training windows; ln " +
                   std::to_string(data.recipe.class_values.size()) + " is " +
                   format_fixed(even, 4));
  log.info("start", {{"cross_entropy", loss}, {"even_odds", even}});
}

void log_start(const TrainOptions& o, const Data& data, const Model& model, Log& log) {
  log.info("run", {{"model", o.model},
                   {"data", source_of(o)},
                   {"train_windows", data.train.size()},
                   {"validation_windows", data.validation.size()},
                   {"test_windows", data.test.size()},
                   {"parameters", model.parameter_count()},
                   {"seed", o.seed}});
}

/// A signal that one process of several gets ends the run of all, after the same batch.
void stop_together(TrainingOptions& options, tsdl::Communicator& ranks) {
  if (ranks.size() == 1) return;
  options.stop = [&ranks] { return tsdl::any_rank(ranks, StopSignals::requested() != 0); };
}

/// The part of a process that is not the first of a run.
int follow(Trainer& trainer, const Data& data, const TrainOptions& o, const CLI::App& app,
           tsdl::Communicator& ranks) {
  TrainingOptions options = training_options(o, app, {});
  stop_together(options, ranks);
  const StopSignals signals;
  return exit_status(follow_training(trainer, data, options).status);
}

/// All that follows once data and options are known to be good.
int fit(Model& model, Trainer& trainer, const Data& data, const TrainOptions& o,
        const CLI::App& app, const std::string& warning, tsdl::Communicator& ranks,
        const TextLines& chosen, Log& log, Evaluation* evaluation) {
  TextLines lines = summary(o, data, model.parameter_count());
  lines.insert(lines.end() - 1, chosen.begin(), chosen.end());
  TrainingOptions options = training_options(o, app, std::move(lines));
  say_summary(options.summary);
  if (ranks.size() > 1) say("processes", std::to_string(ranks.size()) + ", started by mpirun");
  stop_together(options, ranks);
  const std::vector<tsdl::Baseline> baselines = fit_baselines(data, trainer.task());
  options.beside = baseline_figures(baselines, data.validation, trainer.task());
  options.on_start = [&] {
    log.open(options.files.log(), o.log_format == "json", spdlog::level::from_str(o.log_level));
    log_start(o, data, model, log);
    if (!warning.empty()) log.warn(warning);
    if (options.by_class && trainer.state().epoch == 0) print_start(model, data, log);
  };
  const StopSignals signals;
  TrackedRun tracked(o.tracking, app, o.model + ", seed " + std::to_string(o.seed),
                     options.files.out, log);
  const tsdl::History history = run_training(trainer, data, options, tracked, log);
  Evaluation result;  // an interrupted run, or one whose loss was never finite, has none
  if (history.status != tsdl::Status::interrupted && history.best_epoch > 0) {
    if (calibrate(model, o, data))
      log.info("calibration", {{"temperature", model.task()->temperature()}});
    // Also where there is no temperature: a run that is gone on with may have had one.
    tsdl::save_model(options.files.best(), model, data.recipe, o.seed);
    result =
        tell_outcome(model, data, baselines, options, history, history.best_epoch, app, tracked);
  }
  if (result.metrics.count > 0) report_outcome(result, data, options.by_class, log);
  if (evaluation) *evaluation = result;
  log.info("end", {{"status", tsdl::to_string(history.status)},
                   {"epochs", history.epochs.size()},
                   {"best_epoch", history.best_epoch}});
  if (history.best_epoch > 0) print_files(options.files);
  end_tracking(tracked, history.status, options.files);
  return exit_status(history.status);
}

int train(TrainOptions& o, CLI::App& app, Ranks& ranks) {
  check_options(o, app);
  const std::string warning = apply_options(o, app);
  ranks.check(o);
  ranks.set_threads(o);
  if (!o.ensemble.empty()) {
    if (ranks.all().size() > 1)
      throw tsdl::OptionError("--ensemble: its members are trained by one process, --workers at ",
                              "a time");
    return train_ensemble(o, app, warning);
  }
  if (!o.seeds.empty() || o.data.folds > 0) {
    if (ranks.all().size() > 1)
      throw tsdl::OptionError("--seeds: tune --seeds spreads seeds over processes");
    return train_seeds(o);
  }
  return train_on(read_data(o), o, app, warning, ranks.all());
}

}  // namespace

int train_on(const tsdl::Prepared<float>& data, const TrainOptions& o, const CLI::App& app,
             const std::string& warning, tsdl::Communicator& ranks, const TextLines& chosen,
             Evaluation* evaluation) {
  const tsdl::Task task = task_of(o, data);
  Model model = make_model(o, data, task);
  Trainer trainer(model, trainer_options(o, task), o.shards, ranks);
  if (ranks.rank() > 0) return follow(trainer, data, o, app, ranks);
  tsdl::make_directories(o.out);
  tsdl::remove_stale_temporaries(o.out);
  Log log(app.get_name());
  try {
    return fit(model, trainer, data, o, app, warning, ranks, chosen, log, evaluation);
  } catch (const std::exception& error) {
    log.fatal("the run failed", {{"error", error.what()}});
    throw;
  }
}

int train_program(const ProgramText& program, TrainOptions preset, int argc, char** argv) {
  Ranks ranks(program.name);
  CLI::App app(program.description, program.name);
  describe(app, preset);
  return ranks.end(run_program(app, argc, argv, [&] { return train(preset, app, ranks); }));
}

}  // namespace examples
