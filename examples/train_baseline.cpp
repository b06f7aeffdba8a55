// Trains an LSTM or GRU on candles, on a table of your own columns or on synthetic candles.
//
// Read main() from the bottom up: options, data, model, trainer with callbacks, report.
#include <cmath>
#include <exception>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <tsdl/gru.hpp>
#include <tsdl/io/checkpoint.hpp>
#include <tsdl/nn/factory.hpp>
#include <utility>
#include <vector>

#include "support/config.hpp"
#include "support/data.hpp"
#include "support/logging.hpp"
#include "support/outcome.hpp"
#include "support/program.hpp"
#include "support/report.hpp"
#include "support/tracking.hpp"
#include "support/training.hpp"
#include "support/validators.hpp"

namespace {

using examples::format_count;
using examples::say;
using tsdl::Index;

struct Options {
  examples::DataOptions data{.features = "technical23",
                             .label = "threshold",
                             .seq_len = 60,
                             .validation = 0.2,
                             .pooling = "final"};
  examples::TrackingOptions tracking;
  Index synthetic = 0;
  std::string model_type = "lstm", init = "orthogonal", optimizer = "adam", class_weights = "none";
  std::string device = "cpu", out = "out";
  Index hidden_dim = 64, num_layers = 2, batch_size = 32, epochs = 5, patience = 0, threads = 0;
  double dropout = 0.2, learning_rate = 1e-3, clip_norm = 1.0;
  std::optional<double> weight_decay;
  std::uint64_t seed = 42;
  bool shuffle = false, resume = false;
  std::string log_format = "text", log_level = "info";
};

/// The keys of [deep_learning] in a configuration file, and the options that they set.
const examples::ConfigTable deep_learning{"deep_learning",
                                          {{"sequence_length", "seq-len"},
                                           {"batch_size", "batch-size"},
                                           {"model_type", "model-type"},
                                           {"hidden_dim", "hidden-dim"},
                                           {"num_layers", "num-layers"},
                                           {"dropout", "dropout"},
                                           {"learning_rate", "learning-rate"},
                                           {"num_epochs", "epochs"},
                                           {"validation_split", "validation-split"}}};

CLI::Validator device() {
  return {[](std::string& name) -> std::string {
            if (name == "cpu") return "";
            if (name == "cuda")
              return "this build is CPU only, so there is no 'cuda': use --device cpu";
            return "expected cpu, got '" + name + "'";
          },
          "", "device"};
}

void describe_data(CLI::App& app, Options& o) {
  const char* group = "Data";
  CLI::Option* dataset =
      app.add_option("--dataset", o.data.file, "CSV of candles, or a prepared table of columns")
          ->type_name("FILE")
          ->group(group);
  app.add_option("--synthetic", o.synthetic,
                 "Make candles instead: as many as it takes for\n"
                 "N windows with a label")
      ->check(examples::whole_number(1))
      ->default_str("")
      ->excludes(dataset)
      ->group(group);
  app.add_option("--features", o.data.features, "Feature set made from candles")
      ->check(examples::one_of(tsdl::feature_sets()))
      ->group(group);
  app.add_option("--label", o.data.label,
                 "What is asked about the candles ahead:\n"
                 "range, direction, threshold, triple_barrier")
      ->check(examples::one_of(examples::label_names))
      ->group(group);
  app.add_option("--horizon", o.data.horizon,
                 "Candles that the label looks ahead:\n"
                 "10 for triple_barrier, else 1")
      ->check(examples::whole_number(1))
      ->group(group);
  app.add_option("--feature-columns", o.data.feature_columns,
                 "The table's columns to learn from, by name")
      ->delimiter(',')
      ->group(group);
  app.add_option("--label-column", o.data.label_column,
                 "The table's label, of a window's last row:\n"
                 "0 and 1, or whole numbers without a gap: -1, 0, 1")
      ->group(group);
  examples::add_task(app, o.data, group);
  app.add_option("--seq-len", o.data.seq_len, "Rows in a window")
      ->check(examples::whole_number(1))
      ->group(group);
  app.add_option("--stride", o.data.stride, "Rows between windows")
      ->check(examples::whole_number(1))
      ->group(group);
  app.add_option("--validation-split", o.data.validation, "Share of the windows for validation")
      ->check(examples::number(examples::share_above_zero))
      ->group(group);
  app.add_option("--test-split", o.data.test,
                 "Share of the windows for the test, the latest\n"
                 "ones; 0: the report is on the validation windows")
      ->check(examples::number(examples::share))
      ->group(group);
}

void describe_model(CLI::App& app, Options& o) {
  const char* group = "Model";
  app.add_option("--model-type", o.model_type, "lstm, gru, or both ways: bilstm, bigru")
      ->check(examples::one_of({"lstm", "gru", "bilstm", "bigru"}))
      ->group(group);
  app.add_option("--hidden-dim", o.hidden_dim, "Hidden units per direction")
      ->check(examples::whole_number(1, 1000000))
      ->group(group);
  app.add_option("--num-layers", o.num_layers, "Stacked layers")
      ->check(examples::whole_number(1, 1000))
      ->group(group);
  app.add_option("--dropout", o.dropout, "Between layers, and before the linear layer")
      ->check(examples::number(examples::share))
      ->group(group);
  app.add_option("--pooling", o.data.pooling,
                 "What the linear layer reads: last, final, mean,\n"
                 "or each, a target for every row of a window:\n"
                 "of lstm and gru")
      ->check(examples::one_of({"last", "final", "mean", "each"}))
      ->group(group);
  app.add_option("--init", o.init, "Initial weights: pytorch or orthogonal")
      ->check(examples::one_of({"pytorch", "orthogonal"}))
      ->group(group);
}

void describe_training(CLI::App& app, Options& o) {
  const char* group = "Training";
  app.add_option("--epochs", o.epochs, "Epochs at most")
      ->check(examples::whole_number(1))
      ->group(group);
  app.add_option("--batch-size", o.batch_size, "Windows per update")
      ->check(examples::whole_number(1))
      ->group(group);
  app.add_option("--learning-rate", o.learning_rate, "The optimizer's step size")
      ->check(examples::number(examples::above_zero))
      ->group(group);
  app.add_option("--optimizer", o.optimizer, "adam, or adamw with --weight-decay")
      ->check(examples::one_of({"adam", "adamw"}))
      ->group(group);
  app.add_option("--weight-decay", o.weight_decay, "Decoupled, of adamw: 0.01 unless given")
      ->check(examples::number(examples::not_negative))
      ->group(group);
  app.add_option("--clip-norm", o.clip_norm, "Largest norm of the gradient; 0: no clipping")
      ->check(examples::number(examples::not_negative))
      ->group(group);
  app.add_option("--class-weights", o.class_weights,
                 "balanced: each class counts the same in the loss;\n"
                 "none: each window does")
      ->check(examples::one_of({"balanced", "none"}))
      ->group(group);
  app.add_option("--patience", o.patience,
                 "Epochs without improvement before stopping;\n"
                 "0: no early stopping")
      ->check(examples::whole_number())
      ->group(group);
  app.add_flag("--shuffle", o.shuffle, "A new order of the training windows each epoch")
      ->group(group);
  app.add_option("--seed", o.seed, "Of synthetic data, weights, dropout and shuffling")
      ->check(examples::whole_number())
      ->group(group);
  app.add_option("--threads", o.threads, "0: all cores; the result does not depend on it")
      ->check(examples::whole_number(0, 1024))
      ->group(group);
  app.add_option("--device", o.device, "cpu: this build has no other")
      ->check(device())
      ->group(group);
}

void describe_output(CLI::App& app, Options& o) {
  const char* group = "Output";
  app.add_option("--out", o.out, "Directory for model, history, chart and log")
      ->type_name("DIR")
      ->group(group);
  app.add_flag("--resume", o.resume, "Go on with the run that was cut off in --out")->group(group);
  app.add_option("--log-format", o.log_format, "Lines of train.log: text or json")
      ->check(examples::one_of({"text", "json"}))
      ->group(group);
  app.add_option("--log-level", o.log_level,
                 "What train.log holds, from this on: debug, info,\n"
                 "warning or error")
      ->check(examples::one_of({"debug", "info", "warning", "error"}))
      ->group(group);
}

void describe(CLI::App& app, Options& o) {
  examples::add_config(app, {deep_learning});
  app.option_defaults()->always_capture_default();
  describe_data(app, o);
  describe_model(app, o);
  describe_training(app, o);
  describe_output(app, o);
  examples::add_tracking(app, o.tracking);
}

tsdl::Prepared<float> read_data(const Options& o) {
  if (o.synthetic == 0) return examples::read_data(o.data);
  const tsdl::SplitFractions fractions{.validation = o.data.validation, .test = o.data.test};
  const tsdl::Recipe recipe = examples::recipe_of(o.data);
  const tsdl::Candles candles = examples::synthetic_candles_for(recipe, o.synthetic, o.seed);
  return tsdl::prepare<float>(candles, recipe, fractions);
}

tsdl::Task task_of(const Options& o, const tsdl::Prepared<float>& data) {
  if (o.class_weights == "none") return examples::task_of(o.data, data);
  const auto classes = std::ssize(data.recipe.class_values);
  const std::vector<double> weights = tsdl::balanced_class_weights(data.train.targets(), classes);
  if (data.outputs() > 1) return tsdl::Classes{.count = classes, .weights = weights};
  return tsdl::Binary{weights[1] / weights[0]};
}

tsdl::TrainerOptions trainer_options(const Options& o, const tsdl::Task& task) {
  if (o.optimizer == "adam" && o.weight_decay.value_or(0) > 0)
    throw tsdl::OptionError("--weight-decay belongs to --optimizer adamw");
  const double decay = o.optimizer == "adam" ? 0 : o.weight_decay.value_or(0.01);
  return {.optimizer = {.lr = o.learning_rate, .weight_decay = decay},
          .batch_size = o.batch_size,
          .max_epochs = o.epochs,
          .clip_norm = o.clip_norm,
          .shuffle = o.shuffle,
          .task = task,
          .seed = o.seed};
}

tsdl::AnyModel<float> make_model(const Options& o, const tsdl::Prepared<float>& data,
                                 const tsdl::Task& task) {
  return tsdl::make_classifier<float>(o.model_type,
                                      {.input_size = data.inputs(),
                                       .hidden_size = o.hidden_dim,
                                       .num_layers = o.num_layers,
                                       .dropout = o.num_layers > 1 ? o.dropout : 0,
                                       .head_dropout = o.dropout,
                                       .pooling = tsdl::pooling_from(o.data.pooling),
                                       .outputs = task->outputs(),
                                       .init = tsdl::init_from(o.init)},
                                      o.seed);
}

std::string source_of(const Options& o) {
  return o.synthetic > 0 ? "synthetic, seed " + std::to_string(o.seed) : o.data.file;
}

examples::TextLines summary(const Options& o, const tsdl::Prepared<float>& data, Index parameters) {
  examples::TextLines lines = examples::data_summary(o.data, source_of(o), data);
  lines.emplace_back("model", o.model_type + ", " + std::to_string(o.num_layers) + " x " +
                                  std::to_string(o.hidden_dim) + " units, dropout " +
                                  examples::format_rate(o.dropout) + ", " +
                                  format_count(parameters) + " parameters");
  lines.emplace_back("training", o.optimizer + ", rate " + examples::format_rate(o.learning_rate) +
                                     ", batch " + std::to_string(o.batch_size) + ", seed " +
                                     std::to_string(o.seed));
  return lines;
}

/// Says what the model is worth before it has learnt anything: of K classes ln K, which is what it
/// loses that cannot tell them apart.
void print_start(const tsdl::AnyModel<float>& model, const tsdl::Prepared<float>& data,
                 examples::Log& log) {
  const double loss = tsdl::evaluate(model, data.train, model.task().unweighted()).loss;
  if (data.recipe.regression) {
    say("start", "loss " + examples::format_fixed(loss, 4) +
                     " before the first update, on the training windows\n");
    log.info("start", {{"loss", loss}});
    return;
  }
  const double even = std::log(static_cast<double>(data.recipe.class_values.size()));
  say("start", "cross-entropy " + examples::format_fixed(loss, 4) +
                   " before the first update, on the training windows; ln " +
                   std::to_string(data.recipe.class_values.size()) + " is " +
                   examples::format_fixed(even, 4) + "\n");
  log.info("start", {{"cross_entropy", loss}, {"even_odds", even}});
}

/// Each class by itself, and a line of the log.
void report(const examples::Evaluation& result, const tsdl::Prepared<float>& data,
            examples::Log& log) {
  const bool classes = result.classes() > 0;
  if (classes)
    std::printf("\n%s", examples::class_report(result.confusion, examples::class_names(data.recipe),
                                               examples::terminal_width(stdout))
                            .c_str());
  examples::LogFields fields = {{"part", result.part()}, {"windows", result.metrics.count}};
  for (const std::string_view name : result.figures)
    fields.push_back({std::string(name), result.metrics.*tsdl::figure_of(name).value});
  if (classes) fields.push_back({"macro_f1", result.macro_f1});
  fields.push_back({"loss", result.metrics.loss});
  log.info("report", fields);
}

examples::TrainingOptions training_options(const Options& o, const CLI::App& app,
                                           examples::TextLines summary) {
  const std::string source = o.synthetic > 0
                                 ? "synthetic candles"
                                 : std::filesystem::path(o.data.file).filename().string();
  return {.files = {o.out},
          .patience = o.patience,
          .reduce_rate = false,
          .resume = o.resume,
          .subject = o.model_type + " on " + source,
          .subtitle = std::to_string(o.num_layers) + " x " + std::to_string(o.hidden_dim) +
                      " units, windows of " + std::to_string(o.data.seq_len) + ", seed " +
                      std::to_string(o.seed),
          .summary = std::move(summary),
          .test_option = "--test-split 0.15",
          .by_class = true,
          .config = app.config_to_str(true)};
}

/// All that follows once data and options are known to be good, in the run's log.
int train(tsdl::Trainer<tsdl::AnyModel<float>>& trainer, const tsdl::Prepared<float>& data,
          const Options& o, const CLI::App& app, examples::Log& log) {
  const tsdl::AnyModel<float>& model = trainer.model();
  examples::TrainingOptions options =
      training_options(o, app, summary(o, data, model.parameter_count()));
  examples::say_summary(options.summary);
  const std::vector<tsdl::Baseline> baselines = examples::fit_baselines(data, trainer.task());
  options.beside = examples::baseline_figures(baselines, data.validation, trainer.task());
  const examples::StopSignals signals;
  examples::TrackedRun tracked(o.tracking, app, o.model_type + ", seed " + std::to_string(o.seed),
                               options.files.out, log);
  print_start(model, data, log);
  const tsdl::History history = examples::run_training(trainer, data, options, tracked, log);
  const examples::Evaluation result =
      examples::finish_run(trainer, data, baselines, options, history, app, tracked);
  if (result.metrics.count > 0) report(result, data, log);
  log.info("end", {{"status", tsdl::to_string(history.status)},
                   {"epochs", history.epochs.size()},
                   {"best_epoch", history.best_epoch}});
  if (history.best_epoch > 0) examples::print_files(options.files);
  examples::end_tracking(tracked, history.status, options.files);
  return examples::exit_status(history.status);
}

int prepare_and_train(const tsdl::Prepared<float>& data, const Options& o, const CLI::App& app) {
  const tsdl::Task task = task_of(o, data);
  tsdl::AnyModel<float> model = make_model(o, data, task);
  tsdl::Trainer trainer(model, trainer_options(o, task));
  const std::filesystem::path out = o.out;
  tsdl::make_directories(out);
  tsdl::remove_stale_temporaries(out);
  examples::Log log(app.get_name(), out / "train.log", o.log_format == "json",
                    spdlog::level::from_str(o.log_level));
  log.info("run", {{"model_type", o.model_type},
                   {"data", source_of(o)},
                   {"train_windows", data.train.size()},
                   {"validation_windows", data.validation.size()},
                   {"test_windows", data.test.size()},
                   {"parameters", model.parameter_count()},
                   {"seed", o.seed}});
  try {
    return train(trainer, data, o, app, log);
  } catch (const std::exception& error) {
    log.fatal("the run failed", {{"error", error.what()}});
    throw;
  }
}

int run(Options& o, const CLI::App& app) {
  if (o.synthetic == 0 && o.data.file.empty())
    throw tsdl::Error("expected --dataset FILE or --synthetic N (--help lists the options)");
  if (o.synthetic > 0 && o.data.uses_table())
    throw tsdl::Error(
        "--synthetic makes candles: --feature-columns and --label-column are for "
        "--dataset");
  o.data.given = examples::given_options(app);
  examples::check_data_options(o.data);
  examples::check_tracking_options(o.tracking);
  if (o.threads > 0) tsdl::set_thread_count(static_cast<int>(o.threads));
  return prepare_and_train(read_data(o), o, app);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Train an LSTM or GRU on candles: out comes a model file that predict reads.",
               "train_baseline");
  Options options;
  describe(app, options);
  return examples::run_program(app, argc, argv, [&] {
    if (app.count("--synthetic") == 0) options.synthetic = 0;  // of a file, when --dataset wins
    if (app.count("--dataset") == 0) options.data.file.clear();
    return run(options, app);
  });
}
