// The training program. Compiled once: the programs are presets of it.
//
// Read train() from the bottom up: options, data, model, trainer with callbacks, test.
#include "train.hpp"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "data.hpp"
#include "describe.hpp"
#include "logging.hpp"
#include "names.hpp"
#include "outcome.hpp"
#include "program.hpp"
#include "report.hpp"
#include "signals.hpp"
#include "terminal.hpp"
#include "tracking.hpp"
#include "training.hpp"
#include "tsdl/data/gaps.hpp"
#include "tsdl/data/recipe.hpp"
#include "tsdl/io/checkpoint.hpp"
#include "tsdl/nn/factory.hpp"
#include "tsdl/train/trainer.hpp"

namespace examples {
namespace {

using Data = tsdl::Prepared<float>;
using Model = tsdl::AnyModel<float>;

Data read(const TrainOptions& o) {
  if (o.synthetic == 0) return read_data(o.data);
  const tsdl::SplitFractions fractions{.validation = o.data.validation, .test = o.data.test};
  const tsdl::Recipe recipe = recipe_of(o.data);
  const tsdl::Candles candles = synthetic_candles_for(recipe, o.synthetic, o.seed);
  return tsdl::prepare<float>(candles, recipe, fractions);
}

/// The file, or what stands in its place.
std::string source_of(const TrainOptions& o) {
  return o.synthetic > 0 ? "synthetic, seed " + std::to_string(o.seed) : o.data.file;
}

void refuse_gaps(const TrainOptions& o, const std::vector<std::int64_t>& times) {
  if (times.empty()) throw tsdl::DataError(source_of(o), ": --refuse-gaps needs a column of times");
  tsdl::refuse_gaps(tsdl::find_gaps(times), source_of(o));
}

tsdl::Task task_of(const TrainOptions& o, const tsdl::Prepared<float>& data) {
  if (o.class_weights == "none") return task_of(o.data, data);
  const auto classes = std::ssize(data.recipe.class_values);
  const std::vector<double> weights = tsdl::balanced_class_weights(data.train.targets(), classes);
  if (data.outputs() > 1) return tsdl::Classes{.count = classes, .weights = weights};
  return tsdl::Binary{weights[1] / weights[0]};
}

Model make_model(const TrainOptions& o, const tsdl::Prepared<float>& data, const tsdl::Task& task) {
  return tsdl::make_classifier<float>(o.model,
                                      {.input_size = data.inputs(),
                                       .hidden_size = o.hidden,
                                       .num_layers = o.layers,
                                       .dropout = o.dropout,
                                       .head_dropout = o.head_dropout.value_or(o.dropout),
                                       .pooling = tsdl::pooling_from(o.data.pooling),
                                       .outputs = task->outputs(),
                                       .init = tsdl::init_from(o.init)},
                                      o.seed);
}

tsdl::TrainerOptions trainer_options(const TrainOptions& o, const tsdl::Task& task) {
  return {.optimizer = {.lr = o.lr, .weight_decay = o.weight_decay.value_or(0)},
          .batch_size = o.batch_size,
          .max_epochs = o.max_epochs,
          .clip_norm = o.clip_norm,
          .shuffle = o.shuffle,
          .shuffle_batches = o.shuffle_batches,
          .task = task,
          .seed = o.seed};
}

/// A kind of model as people write it.
std::string model_name(const std::string& kind) {
  if (kind == "lstm") return "LSTM";
  if (kind == "gru") return "GRU";
  return kind == "bilstm" ? "BiLSTM" : "BiGRU";
}

TextLines summary(const TrainOptions& o, const Data& data, tsdl::Index parameters) {
  TextLines lines = data_summary(o.data, source_of(o), data);
  std::string dropout = o.layers > 1 ? ", dropout " + format_rate(o.dropout) : "";
  if (const double head = o.head_dropout.value_or(0); head > 0)
    dropout += ", head dropout " + format_rate(head);
  lines.emplace_back("model", model_name(o.model) + ", " + std::to_string(o.layers) + " x " +
                                  std::to_string(o.hidden) + " units" + dropout + ", " +
                                  o.data.pooling + " pooling, " + format_count(parameters) +
                                  " parameters");
  lines.emplace_back("training", std::string(o.optimizer == "adam" ? "Adam" : "AdamW") + ", rate " +
                                     format_rate(o.lr) + ", batch " + std::to_string(o.batch_size) +
                                     ", seed " + std::to_string(o.seed));
  return lines;
}

TrainingOptions training_options(const TrainOptions& o, const CLI::App& app, TextLines summary) {
  const std::string source = o.synthetic > 0
                                 ? "synthetic candles"
                                 : std::filesystem::path(o.data.file).filename().string();
  return {.files = {o.out},
          .patience = o.patience,
          .reduce_lr_patience = o.reduce_lr_patience,
          .resume = o.resume,
          .subject = (o.model == "lstm" ? "an " : "a ") + model_name(o.model) + " on " + source,
          .subtitle = std::to_string(o.layers) + " x " + std::to_string(o.hidden) +
                      " units, windows of " + std::to_string(o.data.seq_len) + ", seed " +
                      std::to_string(o.seed),
          .summary = std::move(summary),
          .test_option = "--test 0.15",
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

/// A line of the log and, where `by_class`, each class by itself.
void report(const Evaluation& result, const tsdl::Prepared<float>& data, bool by_class, Log& log) {
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

/// All that follows once data and options are known to be good.
int fit(tsdl::Trainer<Model>& trainer, const Data& data, const TrainOptions& o, const CLI::App& app,
        const std::string& warning, Log& log) {
  const Model& model = trainer.model();
  TrainingOptions options = training_options(o, app, summary(o, data, model.parameter_count()));
  say_summary(options.summary);
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
  const Evaluation result = finish_run(trainer, data, baselines, options, history, app, tracked);
  if (result.metrics.count > 0) report(result, data, options.by_class, log);
  log.info("end", {{"status", tsdl::to_string(history.status)},
                   {"epochs", history.epochs.size()},
                   {"best_epoch", history.best_epoch}});
  if (history.best_epoch > 0) print_files(options.files);
  end_tracking(tracked, history.status, options.files);
  return exit_status(history.status);
}

int train(TrainOptions& o, CLI::App& app) {
  check_options(o, app);
  const std::string warning = apply_options(o, app);
  if (o.threads > 0) tsdl::set_thread_count(static_cast<int>(o.threads));
  const Data data = read(o);
  if (o.refuse_gaps) refuse_gaps(o, data.times);
  const tsdl::Task task = task_of(o, data);
  Model model = make_model(o, data, task);
  tsdl::Trainer trainer(model, trainer_options(o, task));
  tsdl::make_directories(o.out);
  tsdl::remove_stale_temporaries(o.out);
  Log log(app.get_name());
  try {
    return fit(trainer, data, o, app, warning, log);
  } catch (const std::exception& error) {
    log.fatal("the run failed", {{"error", error.what()}});
    throw;
  }
}

}  // namespace

int train_program(const ProgramText& program, TrainOptions preset, int argc, char** argv) {
  CLI::App app(program.description, program.name);
  describe(app, preset);
  return run_program(app, argc, argv, [&] { return train(preset, app); });
}

}  // namespace examples
