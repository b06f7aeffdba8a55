// The words around a run: classes by their names, the history, predictions; what signals ask for.
#include "../../examples/support/report.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <sstream>
#include <string>
#include <vector>

#include "../../examples/support/data.hpp"
#include "../../examples/support/predictions.hpp"
#include "../../examples/support/signals.hpp"
#include "support/files.hpp"

namespace {

std::size_t widest(const std::string& text) {
  std::istringstream in(text);
  std::size_t most = 0;
  for (std::string line; std::getline(in, line);) most = std::max(most, line.size());
  return most;
}

/// The exit status of a process with the system's own answer to signals, not doctest's.
template <class Action>
int status_with_signals(const Action& action) {
  return test::status_of_child([&] {
    for (const int signal : {SIGINT, SIGTERM}) ::signal(signal, SIG_DFL);
    return action();
  });
}

}  // namespace

TEST_CASE("the report of three classes") {
  const tsdl::Confusion confusion{{{34, 60, 12}, {20, 1200, 44}, {0, 0, 0}}};
  CHECK(examples::class_report(confusion, {"-1", "0", "1"}, 40) ==
        "confusion matrix: rows are labels,\n"
        "columns what the model says\n"
        "            -1      0      1\n"
        "     -1     34     60     12\n"
        "      0     20  1,200     44\n"
        "      1      0      0      0\n"
        "\n"
        "class precision  recall      F1 windows\n"
        "   -1    0.6296  0.3208  0.4250     106\n"
        "    0    0.9524  0.9494  0.9509   1,264\n"
        "    1    0.0000  0.0000  0.0000       0\n");
}

TEST_CASE("a matrix of many classes that does not fit is left out, the classes are not") {
  const std::size_t K = 30;
  tsdl::Confusion confusion{std::vector<std::vector<tsdl::Index>>(K, std::vector<tsdl::Index>(K))};
  std::vector<std::string> names;
  for (std::size_t k = 0; k < K; ++k) names.push_back(std::to_string(k));
  const std::string narrow = examples::class_report(confusion, names, 80);
  CHECK(test::contains(narrow, "30 classes do not fit 80 columns"));
  CHECK(widest(narrow) <= 80);
  CHECK(test::contains(narrow, "\n   29    0.0000"));
  CHECK_FALSE(test::contains(examples::class_report(confusion, names, 220), "do not fit"));
}

TEST_CASE("the history has the task's figures and those of baselines, empty where undefined") {
  tsdl::EpochRecord first;
  first.epoch = 1;
  first.learning_rate = 1e-3, first.gradient_norm = 0.5, first.train_loss = 0.1;
  first.validation.loss = 0.25, first.validation.mae = 1.5;
  tsdl::EpochRecord second = first;
  second.epoch = 2, second.skipped_steps = 3, second.validation.r2 = -0.125;
  CHECK(examples::history_csv({first, second}, {"mae", "r2"}, {{"linear_mae", 1.25}}) ==
        "epoch,learning_rate,gradient_norm,train_loss,skipped_steps,validation_loss,validation_mae,"
        "validation_r2,validation_linear_mae\n"
        "1,0.001,0.5,0.1,0,0.25,1.5,,1.25\n"
        "2,0.001,0.5,0.1,3,0.25,1.5,-0.125,1.25\n");
  CHECK(examples::history_csv({}, {}) ==
        "epoch,learning_rate,gradient_norm,train_loss,skipped_steps,validation_loss\n");
}

TEST_CASE("predictions have a column for each, named by the task") {
  tsdl::Recipe classes;
  classes.class_values = {-1, 0, 1};
  CHECK(examples::predictions_header(tsdl::Binary{}, {}, true) == "time,probability\n");
  CHECK(examples::predictions_header(tsdl::Classes{.count = 3}, classes, false, ",label") ==
        "row,probability_-1,probability_0,probability_1,label\n");
  tsdl::Recipe numbers;
  numbers.label = tsdl::ColumnTargets{.columns = {"close", "volume"}};
  CHECK(examples::predictions_header(tsdl::Regression{.targets = 2}, numbers, true) ==
        "time,predicted_close,predicted_volume\n");
  CHECK(examples::predictions_header(tsdl::Quantiles{.levels = {0.1, 0.9}, .targets = 2}, numbers,
                                     true) ==
        "time,predicted_close_q0.1,predicted_close_q0.9,predicted_volume_q0.1,"
        "predicted_volume_q0.9\n");
  CHECK(examples::predictions_line("7", std::vector<double>{0.5, -1}, ",x") == "7,0.5,-1,x\n");
}

TEST_CASE("synthetic candles for N rows leave exactly N ends of labelled windows") {
  for (const char* label : {"threshold", "triple_barrier", "range", "direction"})
    for (const tsdl::Index length : {1, 60})
      for (const tsdl::Index rows : {1, 37}) {
        CAPTURE(label);
        CAPTURE(length);
        const examples::DataOptions options{
            .features = "technical23", .label = label, .seq_len = length};
        const tsdl::Recipe recipe = examples::recipe_of(options);
        const tsdl::Candles candles = examples::synthetic_candles_for(recipe, rows, 5);
        const auto features = tsdl::engineer_features(candles, tsdl::feature_set(recipe.features));
        const tsdl::Labels labels = tsdl::make_labels(candles, recipe.label);
        CHECK(std::ssize(tsdl::window_ends(features, labels.values, length, 1)) == rows);
      }
}

TEST_CASE("the first signal is a request, the second one kills, and the scope's end restores") {
  CHECK(status_with_signals([] {
          const examples::StopSignals signals;
          if (examples::StopSignals::requested() != 0) return 1;
          ::raise(SIGTERM);
          return examples::StopSignals::requested() == SIGTERM ? 7 : 2;
        }) == 7);
  for (const int first : {SIGINT, SIGTERM})
    for (const int second : {SIGINT, SIGTERM})
      CHECK(status_with_signals([&] {
              const examples::StopSignals signals;
              ::raise(first);
              ::raise(second);
              return 0;
            }) == 128 + second);
  CHECK(status_with_signals([] {
          { const examples::StopSignals signals; }
          ::raise(SIGINT);
          return 0;
        }) == 128 + SIGINT);
  CHECK(status_with_signals([] {  // ignored before, ignored after
          ::signal(SIGINT, SIG_IGN);
          const examples::StopSignals signals;
          ::raise(SIGINT);
          ::raise(SIGINT);
          return examples::StopSignals::requested();
        }) == 0);
}
