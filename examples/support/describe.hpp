// The options of a training program on the command line and in a file: names, help.
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
  app.add_flag("--calibrate", o.calibrate,
               "Afterwards divide logits by a temperature, with\n"
               "which probabilities lose least on the validation\n"
               "windows");
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
                 "Models at a time, of --seeds, --ensemble and tune,\n"
                 "each on one thread; 0: as many as cores. The\n"
                 "result does not depend on it")
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

}  // namespace examples
