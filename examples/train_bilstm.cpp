// Trains a bidirectional LSTM on candles or on a table of your own columns, and tests it.
//
// Read main() from the bottom up: options, data, model, trainer with callbacks, test.
#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <tsdl/bilstm.hpp>
#include <tsdl/io/checkpoint.hpp>
#include <vector>

#include "support/chart.hpp"
#include "support/program.hpp"
#include "support/report.hpp"
#include "support/terminal.hpp"

namespace {

using examples::format_count;
using examples::say;
using tsdl::Index;
using Model = tsdl::BiLSTMClassifier<float>;

struct Options {
  std::string data, out = "out", features = "hybrid", label = "range", label_column,
                    pooling = "last", init = "pytorch";
  std::vector<std::string> feature_columns;
  std::optional<Index> horizon;
  Index label_offset = 0, seq_len = 50, stride = 1, hidden = 128, layers = 2;
  Index batch_size = 32, patience = 10, max_epochs = 100, threads = 0;
  double dropout = 0.2, lr = 1e-3, weight_decay = 1e-2, clip_norm = 1.0, clip_features = 0;
  double validation = 0.15, test = 0.15;
  std::uint64_t seed = 1;
  bool shuffle = false, resume = false, refuse_gaps = false;
};

void describe(CLI::App& app, Options& o) {
  app.set_config("--config", "", "Read options from a TOML file; the command line wins")
      ->check(CLI::ExistingFile);
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.option_defaults()->always_capture_default();

  const char* data = "Data";
  app.add_option("--data", o.data, "CSV of candles, or of your own columns")
      ->required()
      ->group(data);
  app.add_option("--features", o.features, "Feature set made from candles")
      ->check(CLI::IsMember(tsdl::feature_sets()))
      ->group(data);
  app.add_option("--feature-columns", o.feature_columns,
                 "Use these columns of the file, by name, instead of a feature set")
      ->delimiter(',')
      ->group(data);
  app.add_option("--label", o.label,
                 "range: is the next candle's true range above its 20-candle median?\n"
                 "direction: is the close after --horizon candles above this close?\n"
                 "threshold: is it above, within or below half a trailing volatility?\n"
                 "triple_barrier: within --horizon candles, which is reached first:\n"
                 "a gain or a loss of two trailing volatilities, or neither?")
      ->check(CLI::IsMember({"range", "direction", "threshold", "triple_barrier"}))
      ->group(data);
  app.add_option("--horizon", o.horizon,
                 "Candles that the label looks ahead: 10 for triple_barrier, else 1")
      ->check(examples::whole_number())
      ->group(data);
  app.add_option("--label-column", o.label_column,
                 "Use this column as the label: 0 and 1, or more classes")
      ->group(data);
  app.add_option("--label-offset", o.label_offset,
                 "0: that label stands on a window's last row; 1: on the row after it")
      ->check(examples::whole_number())
      ->group(data);
  app.add_option("--clip-features", o.clip_features,
                 "Clip standardised features to [-Z, Z]; 0: no clipping")
      ->type_name("Z")
      ->group(data);
  app.add_flag("--refuse-gaps", o.refuse_gaps, "Stop when candles are missing in time")
      ->group(data);
  app.add_option("--seq-len", o.seq_len, "Rows in a window")
      ->check(examples::whole_number())
      ->group(data);
  app.add_option("--stride", o.stride, "Rows between windows")
      ->check(examples::whole_number())
      ->group(data);
  app.add_option("--validation", o.validation, "Share of the windows for validation")->group(data);
  app.add_option("--test", o.test, "Share of the windows for the test, the latest ones")
      ->group(data);

  const char* model = "Model";
  app.add_option("--hidden", o.hidden, "Hidden units per direction")
      ->check(examples::whole_number())
      ->group(model);
  app.add_option("--layers", o.layers, "Stacked layers")
      ->check(examples::whole_number())
      ->group(model);
  app.add_option("--dropout", o.dropout, "Dropout between layers")->group(model);
  app.add_option("--pooling", o.pooling, "What the linear layer reads: last, final or mean")
      ->check(CLI::IsMember({"last", "final", "mean"}))
      ->group(model);
  app.add_option("--init", o.init, "Initial weights: pytorch or orthogonal")
      ->check(CLI::IsMember({"pytorch", "orthogonal"}))
      ->group(model);

  const char* training = "Training";
  app.add_option("--batch-size", o.batch_size, "Windows per update")
      ->check(examples::whole_number())
      ->group(training);
  app.add_option("--lr", o.lr, "AdamW's learning rate")->group(training);
  app.add_option("--weight-decay", o.weight_decay, "AdamW's decoupled weight decay")
      ->group(training);
  app.add_option("--clip-norm", o.clip_norm, "Largest norm of all gradients; 0: no clipping")
      ->group(training);
  app.add_option("--patience", o.patience, "Epochs without improvement before stopping")
      ->check(examples::whole_number())
      ->group(training);
  app.add_option("--max-epochs", o.max_epochs, "Epochs at most")
      ->check(examples::whole_number())
      ->group(training);
  app.add_flag("--shuffle", o.shuffle, "A new order of the training windows each epoch")
      ->group(training);
  app.add_option("--seed", o.seed, "Of weights, dropout and shuffling: same seed, same bits")
      ->check(examples::whole_number())
      ->group(training);
  app.add_option("--threads", o.threads, "0: all cores; the result does not depend on it")
      ->check(CLI::Range(0, 1024))
      ->group(training);

  const char* output = "Output";
  app.add_option("--out", o.out, "Directory for model, history and chart")->group(output);
  app.add_flag("--resume", o.resume, "Go on with the run that was cut off in --out")->group(output);
}

bool uses_table(const Options& o) { return !o.feature_columns.empty() || !o.label_column.empty(); }

tsdl::Recipe recipe_of(const Options& o) {
  tsdl::Recipe recipe;
  recipe.length = o.seq_len;
  recipe.stride = o.stride;
  recipe.features = o.features;
  recipe.scaler = tsdl::StandardScaler({.clip = o.clip_features});
  if (uses_table(o)) {
    if (o.feature_columns.empty() || o.label_column.empty())
      throw tsdl::DataError("--feature-columns and --label-column go together");
    recipe.features.clear();
    recipe.label = tsdl::ColumnLabel{.column = o.label_column, .offset = o.label_offset};
    return recipe;
  }
  const Index horizon = o.horizon.value_or(o.label == "triple_barrier" ? 10 : 1);
  if (o.label == "range" && horizon != 1)
    throw tsdl::DataError("--label range looks one candle ahead: --horizon ", horizon,
                          " is for the other labels");
  if (o.label == "direction") recipe.label = tsdl::DirectionLabel{.horizon = horizon};
  if (o.label == "threshold") recipe.label = tsdl::ThresholdLabel{.horizon = horizon};
  if (o.label == "triple_barrier") recipe.label = tsdl::TripleBarrierLabel{.horizon = horizon};
  return recipe;
}

tsdl::Prepared<float> read_data(const Options& o) {
  const tsdl::SplitFractions fractions{.validation = o.validation, .test = o.test};
  const tsdl::Recipe recipe = recipe_of(o);
  if (uses_table(o)) {
    const auto table = tsdl::read_table(
        o.data, {.feature_columns = o.feature_columns, .label_column = o.label_column});
    return tsdl::prepare<float>(table, recipe, fractions);
  }
  return tsdl::prepare<float>(tsdl::read_candles(o.data), recipe, fractions);
}

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

void refuse_gaps(const Options& o, const std::vector<std::int64_t>& times) {
  if (times.empty()) throw tsdl::DataError(o.data, ": --refuse-gaps needs a column of times");
  tsdl::refuse_gaps(tsdl::find_gaps(times), o.data);
}

/// What the label asks, and its classes where they are more than no and yes.
std::string label_text(const Options& o, const tsdl::Recipe& recipe) {
  const std::string ahead = std::to_string(horizon(recipe.label));
  std::string text = "next true range above the median of the last 20";
  if (uses_table(o))
    text = "column " + o.label_column;
  else if (o.label == "direction")
    text = "close after " + ahead + " above close now";
  else if (o.label == "threshold")
    text = "close after " + ahead + " below, within or above half a trailing volatility";
  else if (o.label == "triple_barrier")
    text = "loss (-1) or gain (1) of two trailing volatilities within " + ahead + ", or neither";
  if (recipe.class_values.size() <= 2) return text;
  std::string classes;
  for (const double value : recipe.class_values)
    classes += (classes.empty() ? "" : ", ") + std::to_string(static_cast<long>(value));
  return text + "; classes " + classes;
}

void summarise(const Options& o, const tsdl::Prepared<float>& data, const Model& model) {
  std::string rows = format_count(data.train.series().rows) + " rows";
  if (!data.times.empty())
    rows += ", " + tsdl::format_time(data.times.front()) + " to " +
            tsdl::format_time(data.times.back());
  say("data", o.data + ": " + rows);
  if (!data.times.empty()) say("gaps", to_string(tsdl::find_gaps(data.times)));
  say("features", uses_table(o) ? listed(data.recipe.columns)
                                : o.features + ", " + std::to_string(data.inputs()));
  const std::vector<std::string> constant = data.recipe.scaler.constant_columns();
  if (!constant.empty())
    say("constant", listed(constant) + ": the same in every training row, carrying no information");
  say("label", label_text(o, data.recipe));
  say("windows", std::to_string(o.seq_len) + " rows each: " + format_count(data.train.size()) +
                     " to train, " + format_count(data.validation.size()) + " to validate, " +
                     format_count(data.test.size()) + " to test, " +
                     format_count(data.split.dropped) + " dropped between them");
  say("model", "BiLSTM, " + std::to_string(o.layers) + " x " + std::to_string(o.hidden) +
                   " units, " + o.pooling + " pooling, " + format_count(model.parameter_count()) +
                   " parameters");
  say("training", "AdamW, rate " + examples::format_rate(o.lr) + ", batch " +
                      std::to_string(o.batch_size) + ", seed " + std::to_string(o.seed) + ", " +
                      std::to_string(tsdl::thread_count()) + " threads, " + tsdl::instruction_set +
                      "\n");
}

/// The table of epochs, the progress line, history.csv and loss.svg, as the run goes.
class Display {
 public:
  Display(const Options& options, Index windows) : options_(options), windows_(windows) {}

  /// Shows what a resumed run has behind it, in the table and in the files (a kill may have come
  /// just before they were written), and starts the clock.
  void begin(const tsdl::TrainerState& state) {
    for (const tsdl::EpochRecord& record : state.history)
      row(record, tsdl::Metrics::undefined, record.epoch == state.best_epoch);
    if (!state.history.empty()) write_files(state);
    next_epoch(state);
  }

  void batch(const tsdl::TrainerState& state) {
    progress_.update(state.windows_done, state.epoch_loss.mean());
  }

  void epoch(const tsdl::TrainerState& state) {
    progress_.clear();
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - started_;
    row(state.history.back(), elapsed.count(), state.improved);
    write_files(state);
    next_epoch(state);
  }

  void end() { progress_.clear(); }

 private:
  void next_epoch(const tsdl::TrainerState& state) {
    started_ = std::chrono::steady_clock::now();
    if (state.epoch < options_.max_epochs)
      progress_.begin(state.epoch + 1, options_.max_epochs, windows_);
  }

  void row(const tsdl::EpochRecord& e, double seconds, bool best) {
    const double values[] = {static_cast<double>(e.epoch),
                             e.train_loss,
                             e.validation.loss,
                             e.validation.accuracy,
                             e.validation.roc_auc,
                             e.learning_rate,
                             seconds};
    table_.row(values, best);
    if (e.skipped_steps > 0)
      std::printf("       %td steps skipped: their gradient was not finite\n", e.skipped_steps);
  }

  void write_files(const tsdl::TrainerState& state) const {
    const std::filesystem::path out = options_.out;
    tsdl::write_file(out / "history.csv", examples::history_csv(state.history));
    examples::LossCurves curves{
        .title = "Loss of a BiLSTM on " + std::filesystem::path(options_.data).filename().string(),
        .subtitle = std::to_string(options_.layers) + " x " + std::to_string(options_.hidden) +
                    " units, windows of " + std::to_string(options_.seq_len) + ", seed " +
                    std::to_string(options_.seed),
        .train = {},
        .validation = {},
        .learning_rate = {},
        .best_epoch = state.best_epoch - 1};
    for (const tsdl::EpochRecord& e : state.history) {
      curves.train.push_back(e.train_loss);
      curves.validation.push_back(e.validation.loss);
      curves.learning_rate.push_back(e.learning_rate);
    }
    tsdl::write_file(out / "loss.svg", examples::loss_chart(curves));
  }

  const Options& options_;
  Index windows_;
  examples::Progress progress_;
  examples::EpochTable table_;
  std::chrono::steady_clock::time_point started_{};
};

int train(const Options& o) {
  if (o.threads > 0) tsdl::set_thread_count(static_cast<int>(o.threads));
  const tsdl::Prepared<float> data = read_data(o);
  if (o.refuse_gaps) refuse_gaps(o, data.times);
  Model model({.input_size = data.inputs(),
               .hidden_size = o.hidden,
               .num_layers = o.layers,
               .dropout = o.dropout,
               .pooling = tsdl::pooling_from(o.pooling),
               .outputs = data.outputs(),
               .init = tsdl::init_from(o.init)},
              o.seed);
  tsdl::Trainer trainer(model,
                        {.optimizer = tsdl::AdamW{.lr = o.lr, .weight_decay = o.weight_decay},
                         .batch_size = o.batch_size,
                         .max_epochs = o.max_epochs,
                         .clip_norm = o.clip_norm,
                         .shuffle = o.shuffle,
                         .seed = o.seed});
  const std::filesystem::path out = o.out, best = out / "best.safetensors",
                              last = out / "last.state.safetensors";
  const std::string fingerprint =
      tsdl::fingerprint(data, trainer, "patience " + std::to_string(o.patience));
  Display display(o, data.train.size());
  trainer.add(tsdl::ReduceLROnPlateau{.factor = 0.5, .patience = 5});
  trainer.add(tsdl::EarlyStopping{.patience = o.patience});
  trainer.add(tsdl::Checkpoint{best, data.recipe, last, fingerprint});
  trainer.add(tsdl::Observer{.on_batch = [&](const auto& state) { display.batch(state); },
                             .on_epoch = [&](const auto& state) { display.epoch(state); }});

  tsdl::make_directories(out);
  tsdl::remove_stale_temporaries(out);
  summarise(o, data, model);
  if (o.resume && std::filesystem::exists(last)) {
    tsdl::resume(last, trainer, fingerprint);
    say("resumed", "after epoch " + std::to_string(trainer.state().epoch) + "\n");
  } else if (o.resume) {
    say("resumed", "nothing: no epoch was finished, so from the start\n");
  }
  display.begin(trainer.state());
  const tsdl::History history = trainer.fit(data.train, data.validation);
  display.end();

  std::printf("\n%s after %zu epochs", tsdl::to_string(history.status), history.epochs.size());
  if (history.best_epoch > 0) std::printf(", best was epoch %td", history.best_epoch);
  if (history.skipped_steps > 0) std::printf(", %td steps skipped", history.skipped_steps);
  std::puts("");
  if (!data.test.empty()) examples::print_test(tsdl::evaluate(model, data.test));
  std::printf("\nmodel    %s\nhistory  %s\nchart    %s\n", best.c_str(),
              (out / "history.csv").c_str(), (out / "loss.svg").c_str());
  return history.status == tsdl::Status::diverged ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Train a bidirectional LSTM on candles: out comes a model file that predict reads.",
               "train_bilstm");
  Options options;
  describe(app, options);
  return examples::run_program(app, argc, argv, [&] { return train(options); });
}
