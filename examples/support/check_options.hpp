// What is refused of a training program's options, and what is put in the place of those that were
// left open.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>
#include <vector>

#include "config.hpp"
#include "describe_model.hpp"
#include "names.hpp"
#include "options.hpp"
#include "tracking.hpp"
#include "tsdl/core/error.hpp"

namespace examples {

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
  refuse_beside(data, data.folds > 0, "--calibrate", "--case-folds");
  if (cases && data.validation == 0 && data.folds == 0 && data.test_file.empty())
    throw tsdl::OptionError("--validation 0: expected --test-data, or nothing would be judged");
  if (!cases && data.validation == 0 && data.is_given("--validation"))
    throw tsdl::OptionError("--validation: expected a number above 0 and below 1, got '0'");
}

/// Refuses what does not go with an ensemble or a temperature.
inline void check_ensemble_options(const TrainOptions& o) {
  const bool ensemble = !o.ensemble.empty();
  refuse_without(o.data, ensemble, "--ensemble-weights", "--ensemble");
  refuse_beside(o.data, ensemble, "--model", "--ensemble, which names the kinds");
  refuse_beside(o.data, ensemble, "--case-folds", "--ensemble");
  std::vector<std::string> kinds = o.ensemble;
  std::sort(kinds.begin(), kinds.end());
  if (std::adjacent_find(kinds.begin(), kinds.end()) != kinds.end())
    throw tsdl::OptionError("--ensemble: a kind stands there twice: --seeds gives several of one");
  const bool without = o.data.uses_cases() && o.data.validation == 0;
  if (ensemble && without && o.ensemble_weights == "fitted")
    throw tsdl::OptionError("--ensemble-weights fitted: expected --validation above 0, or equal");
  if (o.calibrate && without) throw tsdl::OptionError("--calibrate: expected --validation above 0");
  refuse_beside(o.data, o.data.numbers(), "--calibrate", "--target, which is of numbers");
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
  const std::vector<std::string> kinds = o.kinds();
  const auto transformers = std::count(kinds.begin(), kinds.end(), "transformer");
  check_ensemble_options(o);
  for (const char* option : {"--attention-size", "--attention-dropout"})
    refuse_without(o.data, o.data.pooling == "attention", option, "--pooling attention");
  for (const char* option :
       {"--heads", "--feed-forward", "--activation", "--causal", "--norm-first", "--final-norm"})
    refuse_without(o.data, transformers > 0, option, "--model transformer");
  refuse_beside(o.data, transformers == std::ssize(kinds), "--input-projection",
                "--model transformer, which has a linear input of its own");
  if (transformers > 0 && o.hidden % o.heads != 0)
    throw tsdl::OptionError("--heads: expected a number that divides --hidden, and ", o.heads,
                            " does not divide ", o.hidden);
  if (transformers > 0 && o.data.pooling == "each" && !o.causal)
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
  const std::vector<std::string> kinds = o.kinds();
  if (o.data.pooling == "attention" && !o.attention_size && kinds.size() == 1)
    set_applied(app, "--attention-size",
                std::to_string(default_attention_size(kinds.front(), o.hidden)));
  const bool transformer = std::find(kinds.begin(), kinds.end(), "transformer") != kinds.end();
  if (o.layers != 1 || o.dropout == 0 || transformer) return {};
  std::string warning;
  if (!follows && app.count("--dropout") > 0)
    warning = "--dropout " + format_rate(o.dropout) +
              " has no effect with --layers 1: it is between layers";
  set_applied(app, "--dropout", "0");
  return warning;
}

}  // namespace examples
