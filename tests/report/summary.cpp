// A run in words: what is asked of each window, what it learns from, how it ended.
#include "tsdl/report/summary.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <vector>

#include "data/helpers.hpp"
#include "support/files.hpp"

namespace {

namespace report = tsdl::report;
using test::contains;

std::string asked(tsdl::Label label, std::vector<double> classes = {0, 1}) {
  tsdl::Recipe recipe;
  recipe.label = std::move(label);
  recipe.class_values = std::move(classes);
  return report::label_text(recipe);
}

/// What a line of the summary says, or nothing.
std::string line_of(const report::TextLines& lines, const std::string& name) {
  for (const auto& [its_name, text] : lines)
    if (its_name == name) return text;
  return {};
}

}  // namespace

TEST_CASE("what each label asks, with the options that it has") {
  CHECK(asked(tsdl::RangeLabel{}) == "next true range above the median of the last 20");
  CHECK(asked(tsdl::RangeLabel{.lookback = 7}) == "next true range above the median of the last 7");
  CHECK(asked(tsdl::DirectionLabel{.horizon = 3}) == "close after 3 above close now");
  const std::vector<double> three = {-1, 0, 1};
  CHECK(asked(tsdl::ThresholdLabel{}, three) ==
        "close after 1 below, within or above half a trailing volatility; classes -1, 0, 1");
  CHECK(contains(asked(tsdl::ThresholdLabel{.width = 1}, three), "above one trailing volatility;"));
  CHECK(contains(asked(tsdl::ThresholdLabel{.width = 0.7}, three), "0.7 trailing volatilities;"));
  CHECK(
      asked(tsdl::TripleBarrierLabel{}, three) ==
      "loss (-1) or gain (1) of two trailing volatilities within 10, or neither; classes -1, 0, 1");
  CHECK(asked(tsdl::TripleBarrierLabel{.take_profit = 3, .stop_loss = 1}) ==
        "loss (-1) of one trailing volatility or gain (1) of 3 trailing volatilities within 10, or "
        "neither");
  CHECK(asked(tsdl::ColumnLabel{.column = "y"}) == "column y");
}

TEST_CASE("what is forecast: columns, how far ahead, quantiles") {
  tsdl::Recipe recipe;
  recipe.regression = true;
  recipe.label = tsdl::ColumnTargets{.columns = {"close", "volume"}, .ahead = 1};
  CHECK(report::label_text(recipe) == "regression of close, volume, 1 row ahead");
  recipe.label = tsdl::ColumnTargets{.columns = {"close"}, .ahead = 5};
  CHECK(report::label_text(recipe, "quantiles", std::vector<double>{0.1, 0.5}) ==
        "quantiles of close, 5 rows ahead: 0.1, 0.5");
}

TEST_CASE("the lines of the data name what was read, and leave out what there is not") {
  const auto candles = test::random_candles(300, 3);
  const auto data = tsdl::prepare<double>(candles, {.features = "ohlcv", .length = 10});
  const report::TextLines lines = report::data_lines(data, "my.csv", "classes");
  CHECK(line_of(lines, "data") == "my.csv: 300 rows, " + tsdl::format_time(data.times.front()) +
                                      " to " + tsdl::format_time(data.times.back()));
  CHECK(line_of(report::data_lines(data, "", "classes"), "data").starts_with("300 rows, "));
  CHECK(line_of(lines, "features") == "ohlcv, 5");
  CHECK(line_of(lines, "label") == asked(tsdl::RangeLabel{}));
  CHECK(line_of(lines, "windows") == "10 rows each: " + std::to_string(data.train.size()) +
                                         " to train, " + std::to_string(data.validation.size()) +
                                         " to validate, " + std::to_string(data.test.size()) +
                                         " to test, " + std::to_string(data.split.dropped) +
                                         " dropped between them");
  CHECK(line_of(lines, "gaps") != "");

  tsdl::Table table;
  table.features = tsdl::Series<double>::sized({"a", "b"}, 100);
  table.targets = tsdl::Series<double>::sized({"y"}, 100);
  for (tsdl::Index row = 0; row < 100; ++row) {
    table.features.column(row)[0] = static_cast<double>(row % 7);
    table.features.column(row)[1] = 3;
    table.targets.column(row)[0] = static_cast<double>(row % 5);
  }
  table.targets.column(50)[0] = std::numeric_limits<double>::quiet_NaN();
  const auto own = tsdl::prepare<float>(
      table, {.length = 4, .label = tsdl::ColumnTargets{.columns = {"y"}, .ahead = 1}});
  const report::TextLines told = report::data_lines(own, "", "regression");
  CHECK(line_of(told, "data") == "100 rows");
  CHECK(line_of(told, "gaps") == "");
  CHECK(line_of(told, "features") == "a, b");
  CHECK(line_of(told, "constant").starts_with("b: the same in every training row"));
  CHECK(line_of(told, "target") == "regression of y, 1 row ahead");
  CHECK(line_of(told, "left out").starts_with("1 windows without a target"));
}

TEST_CASE("a configuration is a group of settings, values as text") {
  const tsdl::Config config("gru", {{"hidden_size", 8},
                                    {"dropout", 0.25},
                                    {"bias", true},
                                    {"pooling", "last"},
                                    {"weights", std::vector<double>{1, 2.5}}});
  const report::SettingsGroup group = report::settings_of("Model", config);
  CHECK(group.name == "Model");
  CHECK(group.options == report::TextLines{{"kind", "gru"},
                                           {"bias", "true"},
                                           {"dropout", "0.25"},
                                           {"hidden_size", "8"},
                                           {"pooling", "last"},
                                           {"weights", "1, 2.5"}});
}

TEST_CASE("how a training ended, and its curves") {
  tsdl::History history;
  history.epochs.resize(2);
  history.epochs[0].train_loss = 0.5, history.epochs[1].train_loss = 0.4;
  history.epochs[0].validation.loss = 0.6, history.epochs[1].validation.loss = 0.7;
  history.epochs[0].learning_rate = history.epochs[1].learning_rate = 1e-3;
  history.status = tsdl::Status::stopped_early;
  CHECK(report::ending_text(history) == "stopped early after 2 epochs");
  history.best_epoch = 1, history.skipped_steps = 3;
  CHECK(report::ending_text(history) ==
        "stopped early after 2 epochs, best was epoch 1, 3 steps skipped");
  const report::LossCurves curves =
      report::loss_curves(history.epochs, history.best_epoch, "title", "subtitle");
  CHECK(curves.train == std::vector<double>{0.5, 0.4});
  CHECK(curves.validation == std::vector<double>{0.6, 0.7});
  CHECK(curves.learning_rate == std::vector<double>{1e-3, 1e-3});
  CHECK(curves.best_epoch == 0);
  CHECK(report::loss_curves({}, 0, "", "").best_epoch == -1);
}
