// Trains a bidirectional LSTM on candles or on a table of your own columns, and tests it.
//
// Read main() from the bottom up: options, data, model, trainer with callbacks, test.
#include <cstdio>
#include <filesystem>
#include <string>
#include <tsdl/bilstm.hpp>
#include <tsdl/io/checkpoint.hpp>
#include <tsdl/nn/factory.hpp>
#include <utility>
#include <vector>

#include "support/config.hpp"
#include "support/data.hpp"
#include "support/outcome.hpp"
#include "support/program.hpp"
#include "support/report.hpp"
#include "support/tracking.hpp"
#include "support/training.hpp"
#include "support/validators.hpp"

namespace {

using examples::format_count;
using tsdl::Index;
using Model = tsdl::AnyModel<float>;

struct Options {
  examples::DataOptions data{.features = "hybrid",
                             .label = "range",
                             .seq_len = 50,
                             .validation = 0.15,
                             .test = 0.15,
                             .pooling = "last"};
  examples::TrackingOptions tracking;
  std::string out = "out", init = "pytorch";
  Index hidden = 128, layers = 2, batch_size = 32, patience = 10, max_epochs = 100, threads = 0;
  double dropout = 0.2, lr = 1e-3, weight_decay = 1e-2, clip_norm = 1.0;
  std::uint64_t seed = 1;
  bool shuffle = false, resume = false, refuse_gaps = false;
};

void describe(CLI::App& app, Options& o) {
  examples::add_config(app);
  app.option_defaults()->always_capture_default();

  const char* data = "Data";
  app.add_option("--data", o.data.file, "CSV of candles, or of your own columns")
      ->required()
      ->group(data);
  app.add_option("--features", o.data.features, "Feature set made from candles")
      ->check(CLI::IsMember(tsdl::feature_sets()))
      ->group(data);
  app.add_option("--feature-columns", o.data.feature_columns,
                 "Use these columns of the file, by name, instead of a feature set")
      ->delimiter(',')
      ->group(data);
  app.add_option("--label", o.data.label,
                 "range: is the next candle's true range above its 20-candle median?\n"
                 "direction: is the close after --horizon candles above this close?\n"
                 "threshold: is it above, within or below half a trailing volatility?\n"
                 "triple_barrier: within --horizon candles, which is reached first:\n"
                 "a gain or a loss of two trailing volatilities, or neither?")
      ->check(CLI::IsMember(examples::label_names))
      ->group(data);
  app.add_option("--horizon", o.data.horizon,
                 "Candles that the label looks ahead: 10 for triple_barrier, else 1")
      ->check(examples::whole_number())
      ->group(data);
  app.add_option("--label-column", o.data.label_column,
                 "Use this column as the label: 0 and 1, or more classes")
      ->group(data);
  app.add_option("--label-offset", o.data.label_offset,
                 "0: that label stands on a window's last row; 1: on the row after it")
      ->check(examples::whole_number())
      ->group(data);
  examples::add_task(app, o.data, data);
  app.add_option("--clip-features", o.data.clip_features,
                 "Clip standardised features to [-Z, Z]; 0: no clipping")
      ->type_name("Z")
      ->group(data);
  app.add_flag("--refuse-gaps", o.refuse_gaps, "Stop when candles are missing in time")
      ->group(data);
  app.add_option("--seq-len", o.data.seq_len, "Rows in a window")
      ->check(examples::whole_number())
      ->group(data);
  app.add_option("--stride", o.data.stride, "Rows between windows")
      ->check(examples::whole_number())
      ->group(data);
  app.add_option("--validation", o.data.validation, "Share of the windows for validation")
      ->group(data);
  app.add_option("--test", o.data.test, "Share of the windows for the test, the latest ones")
      ->group(data);

  const char* model = "Model";
  app.add_option("--hidden", o.hidden, "Hidden units per direction")
      ->check(examples::whole_number())
      ->group(model);
  app.add_option("--layers", o.layers, "Stacked layers")
      ->check(examples::whole_number())
      ->group(model);
  app.add_option("--dropout", o.dropout, "Dropout between layers")->group(model);
  app.add_option("--pooling", o.data.pooling, "What the linear layer reads: last, final or mean")
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
  examples::add_tracking(app, o.tracking);
}

void refuse_gaps(const Options& o, const std::vector<std::int64_t>& times) {
  if (times.empty()) throw tsdl::DataError(o.data.file, ": --refuse-gaps needs a column of times");
  tsdl::refuse_gaps(tsdl::find_gaps(times), o.data.file);
}

examples::TextLines summary(const Options& o, const tsdl::Prepared<float>& data,
                            const Model& model) {
  examples::TextLines lines = examples::data_summary(o.data, o.data.file, data);
  lines.emplace_back("model", "BiLSTM, " + std::to_string(o.layers) + " x " +
                                  std::to_string(o.hidden) + " units, " + o.data.pooling +
                                  " pooling, " + format_count(model.parameter_count()) +
                                  " parameters");
  lines.emplace_back("training", "AdamW, rate " + examples::format_rate(o.lr) + ", batch " +
                                     std::to_string(o.batch_size) + ", seed " +
                                     std::to_string(o.seed));
  return lines;
}

examples::TrainingOptions training_options(const Options& o, const CLI::App& app,
                                           examples::TextLines summary) {
  return {.files = {o.out},
          .patience = o.patience,
          .resume = o.resume,
          .subject = "a BiLSTM on " + std::filesystem::path(o.data.file).filename().string(),
          .subtitle = std::to_string(o.layers) + " x " + std::to_string(o.hidden) +
                      " units, windows of " + std::to_string(o.data.seq_len) + ", seed " +
                      std::to_string(o.seed),
          .summary = std::move(summary),
          .test_option = "--test 0.15",
          .config = o.tracking.target.empty() ? "" : app.config_to_str(true)};
}

/// What was given without effect is said, and reported as what it is.
void apply_dropout(Options& o, CLI::App& app, examples::Log& log) {
  if (o.layers != 1 || o.dropout == 0) return;
  if (app.count("--dropout") > 0)
    log.warn("--dropout " + examples::format_rate(o.dropout) +
             " has no effect with --layers 1: it is between layers");
  examples::set_applied(app, "--dropout", "0");
}

int train(Options& o, CLI::App& app) {
  if (o.patience < 1)
    throw tsdl::OptionError("EarlyStopping: patience must be at least 1, not ", o.patience);
  o.data.given = examples::given_options(app);
  examples::check_data_options(o.data);
  examples::check_tracking_options(o.tracking);
  examples::Log log(app.get_name());
  apply_dropout(o, app, log);
  if (o.threads > 0) tsdl::set_thread_count(static_cast<int>(o.threads));
  const tsdl::Prepared<float> data = examples::read_data(o.data);
  if (o.refuse_gaps) refuse_gaps(o, data.times);
  const tsdl::Task task = examples::task_of(o.data, data);
  Model model = tsdl::make_classifier<float>("bilstm",
                                             {.input_size = data.inputs(),
                                              .hidden_size = o.hidden,
                                              .num_layers = o.layers,
                                              .dropout = o.dropout,
                                              .pooling = tsdl::pooling_from(o.data.pooling),
                                              .outputs = task->outputs(),
                                              .init = tsdl::init_from(o.init)},
                                             o.seed);
  tsdl::Trainer trainer(model,
                        {.optimizer = tsdl::AdamW{.lr = o.lr, .weight_decay = o.weight_decay},
                         .batch_size = o.batch_size,
                         .max_epochs = o.max_epochs,
                         .clip_norm = o.clip_norm,
                         .shuffle = o.shuffle,
                         .task = task,
                         .seed = o.seed});
  examples::TrainingOptions options = training_options(o, app, summary(o, data, model));
  const examples::RunFiles& files = options.files;
  tsdl::make_directories(files.out);
  tsdl::remove_stale_temporaries(files.out);
  examples::say_summary(options.summary);
  std::puts("");

  const std::vector<tsdl::Baseline> baselines = examples::fit_baselines(data, task);
  options.beside = examples::baseline_figures(baselines, data.validation, task);
  const examples::StopSignals signals;
  examples::TrackedRun tracked(o.tracking, app, "bilstm, seed " + std::to_string(o.seed), files.out,
                               log);
  const tsdl::History history = examples::run_training(trainer, data, options, tracked, log);
  examples::finish_run(trainer, data, baselines, options, history, app, tracked);
  examples::print_files(files);
  examples::end_tracking(tracked, history.status, files);
  return examples::exit_status(history.status);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Train a bidirectional LSTM on candles: out comes a model file that predict reads.",
               "train_bilstm");
  Options options;
  describe(app, options);
  return examples::run_program(app, argc, argv, [&] { return train(options, app); });
}
