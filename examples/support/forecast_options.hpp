// The options of the program forecast: as plain data, and on the command line.
#pragma once

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "check_options.hpp"
#include "describe.hpp"
#include "tracking.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"
#include "validators.hpp"

namespace examples {

/// Each member is an option.
struct ForecastRun {
  std::vector<std::string> files{}, more_files{};
  bool wide = false;
  std::string series_column{}, series{};
  std::vector<std::string> targets{}, past{}, future{}, calendar{}, statics{}, categories{};
  bool embed_series = false;

  tsdl::Index length = 96, horizon = 24, stride = 1, season = 1;
  std::string normalise = "last", scale = "all";
  std::string split = "time";
  tsdl::Index train_rows = 0;
  double validation = 0.1, calibration = 0, test = 0.2;

  std::string model = "gru";
  tsdl::Index hidden = 128, layers = 1, segment = 24, embedding = 8;
  double dropout = 0, head_dropout = 0;
  std::string loss = "mse";
  std::vector<double> quantiles{}, intervals{};

  tsdl::Index max_epochs = 30, batch_size = 64;
  double lr = 1e-3, weight_decay = 0, clip_norm = 1, decay = 1;
  tsdl::Index constant_epochs = 4, patience = 10;
  std::uint64_t seed = 1;
  tsdl::Index threads = 0;

  std::string load{};   ///< a model file: forecast with it, and train nothing
  bool follow = false;  ///< row by row, with intervals that adapt
  double gamma = 0.01, unknown_share = 0.05;
  bool rolling = false;
  std::string out = "forecast", log_format = "text", log_level = "info";
  bool resume = false;
  TrackingOptions tracking{};
};

namespace internal {

inline void add_panel(CLI::App& app, ForecastRun& o) {
  const auto names = [&](const char* name, std::vector<std::string>& to, const char* text) {
    app.add_option(name, to, text)->delimiter(',')->type_name("COLUMN")->default_str("");
  };
  app.add_option("--data", o.files,
                 "CSV: one file of several series, with\n"
                 "--series-column, or a file for each series")
      ->type_name("FILE")
      ->required();
  app.add_option("--test-data", o.more_files,
                 "Rows that follow those of --data, in such files:\n"
                 "with --split tail, the test")
      ->type_name("FILE")
      ->default_str("");
  app.add_flag("--wide", o.wide, "Each line is a series: its name, then its values");
  app.add_option("--series-column", o.series_column, "The column that names a row's series")
      ->default_str("");
  app.add_option("--series", o.series, "Only this series of the column")->default_str("");
  names("--target", o.targets, "Forecast these columns; otherwise all that are\nread");
  names("--past-columns", o.past, "Read these; otherwise all that are not known\nbeforehand");
  names("--future-columns", o.future, "Known of the forecast rows too");
  app.add_option("--calendar", o.calendar,
                 "Make such columns: hour, weekday, day (of the\nmonth), month")
      ->delimiter(',')
      ->type_name("NAME")
      ->default_str("");
  names("--static-columns", o.statics, "Numbers that belong to a whole series");
  names("--category-columns", o.categories, "Texts that do, each with a learnt vector");
  app.add_flag("--embed-series", o.embed_series, "A learnt vector for each series, too");
}

inline void add_windows(CLI::App& app, ForecastRun& o) {
  app.add_option("--length", o.length, "Rows that a window reads")->check(whole_number(1, 1000000));
  app.add_option("--horizon", o.horizon, "Rows that it forecasts")->check(whole_number(1, 100000));
  app.add_option("--stride", o.stride, "Rows between training windows")
      ->check(whole_number(1, 1000000));
  app.add_option("--normalise", o.normalise,
                 "Of each window: less its last row, by its own mean\nand deviation, or not")
      ->check(one_of({"last", "instance", "none"}));
  app.add_option("--scale", o.scale,
                 "Columns by the training rows of all series, or of\neach series by itself")
      ->check(one_of({"all", "series"}));
  app.add_option("--season", o.season, "Rows of a season, for MASE and its forecast")
      ->check(whole_number(1, 1000000));
  app.add_option("--split", o.split,
                 "time: at times that all series share, by shares of\n"
                 "the rows; tail: by the last rows of each series;\n"
                 "rows: by its first rows, with --train")
      ->check(one_of({"time", "tail", "rows"}));
  app.add_option("--train", o.train_rows, "Of --split rows: rows for training")
      ->check(whole_number(0));
  app.add_option("--validation", o.validation, "A share, or rows, for validation")
      ->check(number(not_negative));
  app.add_option("--calibration", o.calibration, "The same for the widths of intervals")
      ->check(number(not_negative));
  app.add_option("--test", o.test, "The same for the test")->check(number(not_negative));
}

inline void add_forecaster(CLI::App& app, ForecastRun& o) {
  app.add_option("--model", o.model, "gru, lstm, or segments: a GRU over segments of\neach column")
      ->check(one_of({"gru", "lstm", "segments"}));
  app.add_option("--hidden", o.hidden, "Units of a layer")->check(whole_number(1, 100000));
  app.add_option("--layers", o.layers, "Layers of gru and lstm")->check(whole_number(1, 100));
  app.add_option("--segment", o.segment, "Rows of a segment")->check(whole_number(1, 100000));
  app.add_option("--embedding", o.embedding, "Numbers of a learnt vector")
      ->check(whole_number(1, 10000));
  app.add_option("--unknown-share", o.unknown_share,
                 "Of training windows, whose categories are taken\n"
                 "for unknown ones; 0: unknown ones are refused")
      ->check(number(share));
  app.add_option("--dropout", o.dropout, "Between layers; of segments before the last layer")
      ->check(number(share));
  app.add_option("--head-dropout", o.head_dropout, "Of gru and lstm, before the last layer")
      ->check(number(share));
  app.add_option("--loss", o.loss, "mse, mae or huber")->check(one_of({"mse", "mae", "huber"}));
  app.add_option("--quantiles", o.quantiles, "Forecast these instead: 0.05,0.5,0.95")
      ->delimiter(',')
      ->type_name("Q")
      ->default_str("");
  app.add_option("--intervals", o.intervals,
                 "Conformal intervals of these coverages: 0.9.\nNeeds --calibration")
      ->check(number(share_above_zero))
      ->delimiter(',')
      ->type_name("SHARE")
      ->default_str("");
}

inline void add_forecast_training(CLI::App& app, ForecastRun& o) {
  app.add_option("--max-epochs", o.max_epochs, "Epochs at most")->check(whole_number(1, 1000000));
  app.add_option("--batch-size", o.batch_size, "Windows per update")
      ->check(whole_number(1, 1000000));
  app.add_option("--lr", o.lr, "Learning rate")->check(number(above_zero));
  app.add_option("--weight-decay", o.weight_decay, "0: Adam; above 0: AdamW")
      ->check(number(not_negative));
  app.add_option("--clip-norm", o.clip_norm, "Largest norm of all gradients; 0: no clipping")
      ->check(number(not_negative));
  app.add_option("--decay", o.decay,
                 "Multiply the rate by this after each epoch from\n--constant-epochs on")
      ->check(number({0, 1, true, false, "above 0 and at most 1"}));
  app.add_option("--constant-epochs", o.constant_epochs, "Epochs at the first rate, with --decay")
      ->check(whole_number(0, 1000000));
  app.add_option("--patience", o.patience, "Epochs without improvement; 0: no early stopping")
      ->check(whole_number());
  app.add_option("--seed", o.seed, "Of weights, order and dropout")->check(whole_number());
  app.add_option("--threads", o.threads, "0: all cores")->check(whole_number(0, 4096));
}

}  // namespace internal

/// Describes the options of the program.
inline void describe(CLI::App& app, ForecastRun& o) {
  app.option_defaults()->always_capture_default();
  app.formatter(std::make_shared<internal::TrainHelp>());
  app.option_defaults()->group("Data");
  internal::add_panel(app, o);
  app.option_defaults()->group("Windows");
  internal::add_windows(app, o);
  app.option_defaults()->group("Model");
  internal::add_forecaster(app, o);
  app.option_defaults()->group("Training");
  internal::add_forecast_training(app, o);
  app.option_defaults()->group("Output");
  app.add_option("--load", o.load, "A model file: forecast what follows --data, and\ntrain nothing")
      ->type_name("MODEL")
      ->default_str("");
  app.add_flag("--follow", o.follow,
               "With --load: take the rows of --data one by one,\n"
               "forecast after each, with intervals that adapt")
      ->needs("--load");
  app.add_option("--gamma", o.gamma, "How fast these intervals adapt")
      ->check(number({0, 1, true, false, "above 0 and at most 1"}));
  app.add_flag("--rolling", o.rolling,
               "Test from every row; otherwise from rows that are\n--horizon apart");
  app.add_option("--out", o.out, "Directory of all that is written");
  app.add_flag("--resume", o.resume, "Go on with the run in --out");
  app.add_option("--log-format", o.log_format, "Of train.log: text or json")
      ->check(one_of({"text", "json"}));
  app.add_option("--log-level", o.log_level, "Of train.log")
      ->check(one_of({"debug", "info", "warn", "error"}));
  add_tracking(app, o.tracking);
}

/// Throws: OptionError when an option was given that is neither used with --load nor part of it.
inline void check_load(const CLI::App& app) {
  const std::vector<std::string> used = {"--data",   "--wide", "--series-column",
                                         "--series", "--load", "--follow",
                                         "--gamma",  "--out",  "--threads"};
  for (const std::string& name : given_options(app))
    if (std::find(used.begin(), used.end(), name) == used.end())
      throw tsdl::OptionError(name, " has no effect with --load: the model file says it");
  if (app.count("--gamma") > 0 && app.count("--follow") == 0)
    throw tsdl::OptionError("--gamma has no effect without --follow");
}

/// Throws: OptionError when options contradict each other, or have no effect.
inline void check_together(const CLI::App& app, const ForecastRun& o) {
  if (!o.load.empty()) return check_load(app);
  const auto given = [&](const char* name) { return app.count(name) > 0; };
  const auto refuse_without = [&](const char* name, bool effective, const char* needs) {
    if (given(name) && !effective) throw tsdl::OptionError(name, " has no effect without ", needs);
  };
  if (o.wide && (given("--series-column") || given("--calendar") || given("--future-columns") ||
                 given("--static-columns") || given("--category-columns")))
    throw tsdl::OptionError("--wide: a line has a name and values, and no other columns");
  if (given("--train") != (o.split == "rows"))
    throw tsdl::OptionError("--train and --split rows belong together");
  if (!o.intervals.empty() && !(o.calibration > 0))
    throw tsdl::OptionError("--intervals needs --calibration: rows that nothing else uses");
  refuse_without("--calibration", !o.intervals.empty(), "--intervals");
  refuse_without("--test-data", o.split == "tail", "--split tail, which tests on the last rows");
  refuse_without("--gamma", false, "--load and --follow");
  refuse_without("--constant-epochs", o.decay < 1, "--decay below 1");
  if (o.model == "segments") {
    for (const char* name : {"--layers", "--head-dropout", "--future-columns", "--calendar",
                             "--static-columns", "--category-columns", "--embed-series"})
      if (given(name))
        throw tsdl::OptionError(name,
                                " is for gru and lstm: --model segments reads each column by "
                                "itself");
  } else {
    refuse_without("--segment", false, "--model segments");
    refuse_without("--dropout", o.layers > 1, "--layers 2 or more: it is between layers");
  }
  const bool categories = !o.categories.empty() || o.embed_series;
  refuse_without("--embedding", categories, "--category-columns or --embed-series");
  refuse_without("--unknown-share", categories, "--category-columns or --embed-series");
  if (!o.quantiles.empty() && given("--loss"))
    throw tsdl::OptionError("--loss is for point forecasts, not for --quantiles");
}

}  // namespace examples
