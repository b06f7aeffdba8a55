// The options of a training program on the command line and in a file: names, help, checks.
#pragma once

#include <CLI/CLI.hpp>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "config.hpp"
#include "describe_model.hpp"
#include "names.hpp"
#include "options.hpp"
#include "tracking.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/data/features.hpp"
#include "validators.hpp"

namespace examples {

inline const std::vector<std::string> label_names = {"range", "direction", "threshold",
                                                     "triple_barrier"};

namespace internal {

/// The columns of a description in help of 80.
inline constexpr std::size_t description_width = 50;

/// Help that names an option once; its aliases end its description.
class TrainHelp : public CLI::Formatter {
 public:
  std::string make_option_name(const CLI::Option* option, bool positional) const override {
    if (option->get_lnames().size() < 2) return Formatter::make_option_name(option, positional);
    return option->get_name();
  }
  std::string make_option_desc(const CLI::Option* option) const override {
    std::string text = option->get_description(), also;
    const std::vector<std::string>& names = option->get_lnames();
    for (std::size_t i = 1; i < names.size(); ++i) also += (i > 1 ? ", --" : "--") + names[i];
    if (also.empty()) return text;
    also = "(also " + also + ')';
    const std::size_t line = text.size() - (text.rfind('\n') + 1);  // npos + 1 is 0
    return text + (line + 1 + also.size() <= description_width ? ' ' : '\n') + also;
  }
};

inline CLI::Validator device() {
  return {[](std::string& name) -> std::string {
            if (name == "cpu") return "";
            if (name == "cuda")
              return "this build is CPU only, so there is no 'cuda': use --device cpu";
            return "expected cpu, got '" + name + "'";
          },
          "", "device"};
}

/// The options of tasks whose targets are numbers.
inline void add_task(CLI::App& app, DataOptions& o) {
  app.add_option("--task", o.task,
                 "classes: --label or --label-column; regression\n"
                 "and quantiles: --target")
      ->check(one_of({"classes", "regression", "quantiles"}))
      ->default_str("");
  app.add_option("--target", o.targets,
                 "Forecast these columns, --ahead rows later. Of\n"
                 "candles: open, high, low, close, volume, and\n"
                 "close_return, the return over those rows")
      ->delimiter(',')
      ->type_name("COLUMN")
      ->default_str("");
  app.add_option("--ahead", o.ahead, "Rows between a window's last one and its target")
      ->check(whole_number(1))
      ->default_str("1");
  app.add_option("--quantiles", o.quantiles, "Predict these: 0.1,0.5,0.9")
      ->delimiter(',')
      ->type_name("Q")
      ->default_str("");
  app.add_option("--loss", o.loss, "Of a regression: mse, mae or huber")
      ->check(one_of({"mse", "mae", "huber"}))
      ->default_str("mse");
  app.add_flag("--refuse-missing-targets", o.refuse_missing_targets,
               "Stop where a target is empty before the last rows,\n"
               "in place of leaving its windows out");
}

inline void add_data(CLI::App& app, TrainOptions& o) {
  CLI::Option* file = app.add_option("--data,--dataset", o.data.file,
                                     "CSV of candles, or of your own columns; or .ts,\n"
                                     "whole series to be classified")
                          ->type_name("FILE");
  app.add_option("--test-data", o.data.test_file, "The series of the test, for a .ts file")
      ->type_name("FILE")
      ->default_str("");
  app.add_option("--case-folds", o.data.folds,
                 "Of a .ts file: no model, but the mean accuracy of\n"
                 "that many folds, each left out in turn")
      ->check(whole_number(2, 1000))
      ->default_str("");
  app.add_option("--synthetic", o.synthetic,
                 "Make candles instead: as many as it takes for\n"
                 "N windows with a label")
      ->check(whole_number(1))
      ->default_str("")
      ->excludes(file);
  app.add_option(
         "--features", o.data.features,
         wrapped("Feature set made from candles: " + CLI::detail::join(tsdl::feature_sets(), ", "),
                 0, description_width))
      ->check(one_of(tsdl::feature_sets()));
  app.add_option("--feature-columns", o.data.feature_columns,
                 "Use these columns of the file, by name, in place\n"
                 "of a feature set")
      ->delimiter(',')
      ->default_str("");
  app.add_option("--label", o.data.label,
                 "range: is the next candle's true range above its\n"
                 "20-candle median?\n"
                 "direction: is the close after --horizon candles\n"
                 "above this close?\n"
                 "threshold: is it above, within or below half a\n"
                 "trailing volatility?\n"
                 "triple_barrier: within --horizon candles, which is\n"
                 "reached first: a gain or a loss of two trailing\n"
                 "volatilities, or neither?")
      ->check(one_of(label_names));
  app.add_option("--horizon", o.data.horizon,
                 "Candles that the label looks ahead:\n"
                 "10 for triple_barrier, else 1")
      ->check(whole_number(1));
  app.add_option("--label-column", o.data.label_column,
                 "Use this column as the label: 0 and 1, or whole\n"
                 "numbers without a gap: -1, 0, 1");
  app.add_option("--label-offset", o.data.label_offset,
                 "0: that label stands on a window's last row;\n"
                 "1: on the row after it")
      ->check(whole_number());
  add_task(app, o.data);
  app.add_option("--clip-features", o.data.clip_features,
                 "Clip standardised features to [-Z, Z];\n"
                 "0: no clipping")
      ->check(number(not_negative))
      ->type_name("Z");
  app.add_flag("--refuse-gaps", o.refuse_gaps, "Stop when candles are missing in time");
  app.add_option("--seq-len", o.data.seq_len, "Rows in a window")->check(whole_number(1));
  app.add_option("--stride", o.data.stride, "Rows between windows")->check(whole_number(1));
  app.add_option("--validation,--validation-split", o.data.validation,
                 "Share of the windows for validation; of a .ts\n"
                 "file, of each class, and may be 0")
      ->check(number(share));
  app.add_option("--test,--test-split", o.data.test,
                 "Share of the windows for the test, the latest\n"
                 "ones; 0: the report is on the validation windows")
      ->check(number(share));
}

inline void add_training(CLI::App& app, TrainOptions& o) {
  app.add_option("--max-epochs,--epochs", o.max_epochs, "Epochs at most")->check(whole_number(1));
  app.add_option("--batch-size", o.batch_size, "Windows per update")->check(whole_number(1));
  app.add_option("--optimizer", o.optimizer, "adam, or adamw with --weight-decay")
      ->check(one_of({"adam", "adamw"}));
  app.add_option("--lr,--learning-rate", o.lr, "Learning rate")->check(number(above_zero));
  app.add_option("--weight-decay", o.weight_decay, "Decoupled, of adamw: 0.01 unless given")
      ->check(number(not_negative));
  app.add_option("--clip-norm", o.clip_norm, "Largest norm of all gradients; 0: no clipping")
      ->check(number(not_negative));
  app.add_option("--class-weights", o.class_weights,
                 "balanced: each class counts the same in the loss;\n"
                 "none: each window does")
      ->check(one_of({"balanced", "none"}));
  app.add_option("--patience", o.patience,
                 "Epochs without improvement before stopping;\n"
                 "0: no early stopping")
      ->check(whole_number());
  app.add_option("--reduce-lr-patience", o.reduce_lr_patience,
                 "Epochs without improvement before the learning\n"
                 "rate is halved; 0: it stays")
      ->check(whole_number());
  app.add_flag("--shuffle", o.shuffle, "A new order of the training windows each epoch");
  app.add_flag("--shuffle-batches", o.shuffle_batches,
               "A new order of batches of consecutive windows,\n"
               "which share computation that --shuffle repeats")
      ->excludes("--shuffle");
  app.add_option("--seed", o.seed,
                 "Of synthetic candles, weights, dropout and\n"
                 "shuffling: same seed, same bits")
      ->check(whole_number());
  app.add_option("--shards", o.shards,
                 "Parts of each batch whose gradients are made one\n"
                 "by one, and shared by the processes that\n"
                 "mpirun -n N starts; same number, same bits")
      ->check(power_of_two());
  app.add_option("--seeds", o.seeds,
                 "Train with each of these instead: 1..5, or 1,2,7;\n"
                 "--workers models at a time")
      ->type_name("SEEDS")
      ->default_str("");
  app.add_option("--workers", o.workers,
                 "Models at a time, of --seeds and tune, each on one\n"
                 "thread; 0: as many as cores. The result does not\n"
                 "depend on it")
      ->check(whole_number(0, 1024));
  app.add_option("--threads", o.threads, "0: all cores; the result does not depend on it")
      ->check(whole_number(0, 1024));
  app.add_option("--device", o.device, "cpu: this build has no other")->check(device());
}

inline void add_output(CLI::App& app, TrainOptions& o) {
  app.add_option("--out", o.out, "Directory for model, history, report and log")->type_name("DIR");
  app.add_flag("--resume", o.resume, "Go on with the run that was cut off in --out");
  app.add_flag("--explain", o.explain, "A section of the report: what the outputs hang on");
  app.add_option("--details", o.details,
                 "What is printed: short, or full: also the loss\n"
                 "before the first update, and each class")
      ->check(one_of({"short", "full"}));
  app.add_option("--log-format", o.log_format, "Lines of train.log: text or json")
      ->check(one_of({"text", "json"}));
  app.add_option("--log-level", o.log_level,
                 "What train.log holds, from this on: debug, info,\n"
                 "warning or error")
      ->check(one_of({"debug", "info", "warning", "error"}));
}

}  // namespace internal

/// The keys of [deep_learning] in a configuration file, and the options that they set.
inline const ConfigTable deep_learning{"deep_learning",
                                       {{"sequence_length", "seq-len"},
                                        {"seq_len", "seq-len"},
                                        {"batch_size", "batch-size"},
                                        {"model", "model"},
                                        {"model_type", "model"},
                                        {"hidden", "hidden"},
                                        {"hidden_dim", "hidden"},
                                        {"layers", "layers"},
                                        {"num_layers", "layers"},
                                        {"dropout", "dropout"},
                                        {"lr", "lr"},
                                        {"learning_rate", "lr"},
                                        {"max_epochs", "max-epochs"},
                                        {"epochs", "max-epochs"},
                                        {"num_epochs", "max-epochs"},
                                        {"validation", "validation"},
                                        {"validation_split", "validation"},
                                        {"test", "test"},
                                        {"test_split", "test"}}};

/// Adds every option; what `o` holds are the defaults.
inline void describe(CLI::App& app, TrainOptions& o) {
  app.formatter(std::make_shared<internal::TrainHelp>());
  add_config(app, {deep_learning});
  app.option_defaults()->always_capture_default()->group("Data");
  internal::add_data(app, o);
  app.option_defaults()->group("Model");
  internal::add_model(app, o);
  app.option_defaults()->group("Training");
  internal::add_training(app, o);
  app.option_defaults()->group("Output");
  internal::add_output(app, o);
  add_tracking(app, o.tracking);
}

/// The names of the options that were given, on the command line or in a file. A file may hold
/// every option, as config.toml does: there a default says nothing.
inline std::vector<std::string> given_options(const CLI::App& app) {
  const bool file = app.get_config_ptr() && app.get_config_ptr()->count() > 0;
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    if (option->count() == 0 || option->get_lnames().empty()) continue;
    if (file && option->results() == std::vector<std::string>{option->get_default_str()}) continue;
    names.push_back("--" + option->get_lnames().front());
  }
  return names;
}

/// Throws: tsdl::OptionError when an option was given that has no effect here.
inline void refuse_without(const DataOptions& o, bool effective, const char* option,
                           const char* needs) {
  if (!effective && o.is_given(option))
    throw tsdl::OptionError(option, " has no effect without ", needs);
}
inline void refuse_beside(const DataOptions& o, bool conflict, const char* option,
                          const char* other) {
  if (conflict && o.is_given(option)) throw tsdl::OptionError(option, " does not go with ", other);
}

/// Refuses options that contradict each other, or would be without effect. Completes the task.
/// Throws: tsdl::OptionError.
inline void check_data_options(DataOptions& o) {
  if (o.task.empty())
    o.task = !o.quantiles.empty() ? "quantiles" : o.numbers() ? "regression" : "classes";
  const bool classes = o.task == "classes";
  if (!o.quantiles.empty() && o.task != "quantiles")
    throw tsdl::OptionError("--quantiles asks for --task quantiles, not ", o.task);
  if (o.task == "quantiles" && o.quantiles.empty())
    throw tsdl::OptionError("--task quantiles: expected --quantiles, as in 0.1,0.5,0.9");
  if (!classes && !o.numbers())
    throw tsdl::OptionError("--task ", o.task, ": expected --target COLUMN");
  if (classes && o.numbers())
    throw tsdl::OptionError("--target is of numbers: --task regression or quantiles");
  const char* numbers = "--target, which is of numbers";
  refuse_beside(o, o.numbers(), "--label", numbers);
  refuse_beside(o, o.numbers(), "--horizon", "--target: use --ahead");
  refuse_beside(o, o.numbers(), "--label-column", numbers);
  refuse_beside(o, o.numbers(), "--class-weights", numbers);
  refuse_without(o, o.numbers(), "--ahead", "--target");
  refuse_without(o, o.numbers(), "--refuse-missing-targets", "--target");
  refuse_without(o, o.task == "regression", "--loss", "--task regression");
  refuse_without(o, !o.label_column.empty(), "--label-offset", "--label-column");
  refuse_beside(o, !o.label_column.empty(), "--label", "--label-column");
  refuse_beside(o, !o.label_column.empty(), "--horizon", "--label-column: use --label-offset");
  refuse_beside(o, o.uses_table(), "--features", "--feature-columns");
  if (o.uses_table() && (o.feature_columns.empty() || (o.label_column.empty() && !o.numbers())))
    throw tsdl::OptionError("--feature-columns and --label-column, or --target, go together");
}

/// Refuses what does not go with whole series, or is only for them.
inline void check_case_options(const TrainOptions& o) {
  const DataOptions& data = o.data;
  const bool cases = data.uses_cases();
  refuse_without(data, cases, "--test-data", "a .ts file as --data");
  refuse_without(data, cases, "--case-folds", "a .ts file as --data");
  for (const char* option :
       {"--features", "--feature-columns", "--label", "--horizon", "--label-column",
        "--label-offset", "--task", "--target", "--ahead", "--quantiles", "--loss",
        "--refuse-missing-targets", "--refuse-gaps", "--seq-len", "--stride", "--shuffle-batches"})
    refuse_beside(data, cases, option, "a .ts file, whose samples are whole series");
  refuse_beside(data, cases, "--test", "a .ts file: use --test-data");
  if (cases && data.pooling == "each")
    throw tsdl::OptionError(
        "--pooling each: whole series have one label each: last, final, mean, "
        "attention");
  refuse_beside(data, data.folds > 0, "--test-data",
                "--case-folds, which tests on what it leaves out");
  refuse_beside(data, data.folds > 0, "--tracking", "--case-folds");
  refuse_beside(data, data.folds > 0, "--resume", "--case-folds");
  refuse_beside(data, data.folds > 0, "--explain", "--case-folds");
  if (cases && data.validation == 0 && data.folds == 0 && data.test_file.empty())
    throw tsdl::OptionError("--validation 0: expected --test-data, or nothing would be judged");
  if (!cases && data.validation == 0 && data.is_given("--validation"))
    throw tsdl::OptionError("--validation: expected a number above 0 and below 1, got '0'");
}

/// Refuses options that contradict each other, or would be without effect; completes the task.
/// `app` has parsed them. Throws: tsdl::OptionError.
inline void check_options(TrainOptions& o, const CLI::App& app) {
  if (app.count("--synthetic") == 0) o.synthetic = 0;  // of a file, when --data wins
  if (app.count("--data") == 0) o.data.file.clear();
  if (o.synthetic == 0 && o.data.file.empty())
    throw tsdl::OptionError("expected --data FILE or --synthetic N (--help lists the options)");
  if (o.synthetic > 0 && o.data.uses_table())
    throw tsdl::OptionError(
        "--synthetic makes candles: --feature-columns and --label-column are for --data");
  if (o.optimizer == "adam" && o.weight_decay.value_or(0) > 0)
    throw tsdl::OptionError("--weight-decay belongs to --optimizer adamw");
  o.data.given = given_options(app);
  for (const char* option : {"--attention-size", "--attention-dropout"})
    refuse_without(o.data, o.data.pooling == "attention", option, "--pooling attention");
  for (const char* option :
       {"--heads", "--feed-forward", "--activation", "--causal", "--norm-first", "--final-norm"})
    refuse_without(o.data, o.is_transformer(), option, "--model transformer");
  refuse_beside(o.data, o.is_transformer(), "--input-projection",
                "--model transformer, which has a linear input of its own");
  if (o.is_transformer() && o.hidden % o.heads != 0)
    throw tsdl::OptionError("--heads: expected a number that divides --hidden, and ", o.heads,
                            " does not divide ", o.hidden);
  if (o.is_transformer() && o.data.pooling == "each" && !o.causal)
    throw tsdl::OptionError("--pooling each of --model transformer needs --causal: a row would ",
                            "else see the targets of earlier rows");
  check_case_options(o);
  check_data_options(o.data);
  check_tracking_options(o.tracking);
}

/// Puts what is applied in the place of what was left open or has no effect, in the options and in
/// `app`, so that files, trackers and reports tell it. Returns what a user has to be told, or
/// nothing.
inline std::string apply_options(TrainOptions& o, CLI::App& app) {
  if (o.optimizer == "adamw" && !o.weight_decay) set_applied(app, "--weight-decay", "0.01");
  const bool follows = !o.head_dropout;
  if (follows) set_applied(app, "--head-dropout", format_exact(o.dropout));
  if (o.data.pooling == "attention" && !o.attention_size)
    set_applied(app, "--attention-size", std::to_string(default_attention_size(o)));
  if (o.layers != 1 || o.dropout == 0 || o.is_transformer()) return {};
  std::string warning;
  if (!follows && app.count("--dropout") > 0)
    warning = "--dropout " + format_rate(o.dropout) +
              " has no effect with --layers 1: it is between layers";
  set_applied(app, "--dropout", "0");
  return warning;
}

}  // namespace examples
