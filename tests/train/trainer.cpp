// The training loop seen from above: small networks learn, stop, keep their best weights, diverge.
#include "tsdl/train/trainer.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "support/files.hpp"
#include "support/training.hpp"
#include "tsdl/nn/classifier.hpp"

namespace {

using test::Index;
using test::weight_bytes;

tsdl::TrainerOptions options(Index epochs, double lr) {
  tsdl::TrainerOptions o;
  o.max_epochs = epochs;
  o.optimizer.lr = lr;
  return o;
}

/// Leaves all weights alone whatever the rate is.
tsdl::AdamW frozen(double lr) {
  tsdl::AdamW adamw{.lr = lr};
  adamw.groups.push_back({.name = "", .weight_decay = 0.0, .lr_scale = 0.0});
  return adamw;
}

/// A problem on which a network soon knows its training windows by heart: labels are coin flips.
template <class Scalar>
test::Toy<Scalar> coin_flips(Index rows) {
  auto toy = test::two_classes<Scalar>(rows);
  tsdl::RandomStream random(77);
  for (Scalar& label : toy.labels) label = random.uniform() < 0.5 ? 0 : 1;
  return toy;
}

template <class Model>
void check_learns(tsdl::ClassifierOptions model_options) {
  using Scalar = typename Model::Scalar;
  const auto toy = test::two_classes<Scalar>(520);
  model_options.input_size = 2;
  Model model(model_options, 3);
  auto o = options(12, 0.02);
  o.shuffle = true;
  tsdl::Trainer<Model> trainer(model, o);
  const auto validation = toy.windows(360, 150);
  const tsdl::History history = trainer.fit(toy.windows(5, 340), validation);
  CHECK(history.status == tsdl::Status::finished);
  REQUIRE(history.epochs.size() == 12);
  for (std::size_t i = 0; i < 12; ++i) {
    CHECK(history.epochs[i].epoch == static_cast<Index>(i) + 1);
    CHECK(history.epochs[i].learning_rate == 0.02);
    CHECK(history.epochs[i].validation.count == 150);
  }
  CHECK(history.epochs.front().train_loss > 3 * history.epochs.back().train_loss);
  CHECK(history.skipped_steps == 0);
  const tsdl::Metrics metrics = tsdl::evaluate(model, validation);
  CHECK(metrics.accuracy > 0.82);
  CHECK(metrics.roc_auc > 0.9);
  CHECK(metrics.majority_accuracy < 0.6);
}

}  // namespace

TEST_CASE("training: networks learn what can be learnt") {
  const test::ThreadCountGuard guard;
  tsdl::set_thread_count(1);
  check_learns<tsdl::LSTMClassifier<float>>({.hidden_size = 8, .num_layers = 1});
  check_learns<tsdl::GRUClassifier<float>>({.hidden_size = 8, .num_layers = 1});
  check_learns<tsdl::BiLSTMClassifier<double>>(
      {.hidden_size = 6, .num_layers = 2, .dropout = 0.1, .pooling = tsdl::Pooling::final_states});
}

TEST_CASE("training: three classes") {
  const auto toy = test::make_toy<float>(
      420, 2, 9, [](double sum) { return sum < -0.8 ? 0.0 : (sum < 0.8 ? 1.0 : 2.0); });
  tsdl::LSTMClassifier<float> model(
      {.input_size = 2, .hidden_size = 8, .num_layers = 1, .outputs = 3}, 1);
  tsdl::Trainer trainer(model, options(25, 0.02));
  const auto validation = toy.windows(320, 100);
  trainer.fit(toy.windows(5, 305), validation);
  const tsdl::Metrics metrics = tsdl::evaluate(model, validation);
  CHECK(metrics.accuracy > 0.85);
  CHECK(metrics.mcc > 0.75);
  const tsdl::Matrix<double> p = tsdl::predict(model, validation);
  REQUIRE(p.rows() == 3);
  REQUIRE(p.cols() == 100);
  for (Index i = 0; i < 100; ++i)
    CHECK(p(0, i) + p(1, i) + p(2, i) == doctest::Approx(1.0).epsilon(1e-12));
}

TEST_CASE("training: a regression has a loss and no classification metrics") {
  const auto toy = test::make_toy<double>(420, 2, 9, [](double sum) { return 0.3 * sum + 1.0; });
  tsdl::LSTMClassifier<double> model({.input_size = 2, .hidden_size = 8, .num_layers = 1}, 1);
  auto o = options(15, 0.02);
  o.loss = tsdl::MSE{};
  tsdl::Trainer trainer(model, o);
  const tsdl::History history = trainer.fit(toy.windows(5, 305), toy.windows(320, 100));
  const tsdl::EpochRecord& last = history.epochs.back();
  CHECK(last.validation.loss < 0.05);  // the labels' variance is 0.27
  CHECK(last.validation.count == 100);
  CHECK(std::isnan(last.validation.accuracy));
  CHECK(std::isnan(last.validation.roc_auc));
}

TEST_CASE("training: at rate 0 both losses are what the definition gives for the predictions") {
  const auto toy = test::two_classes<double>(60);
  tsdl::BiLSTMClassifier<double> model({.input_size = 2, .hidden_size = 3, .num_layers = 1}, 8);
  const std::string before = weight_bytes(model);
  const auto windows = toy.windows(5, 50);
  tsdl::Trainer trainer(model, options(1, 0.0));
  const tsdl::History history = trainer.fit(windows, windows);
  const tsdl::Matrix<double> p = tsdl::predict(model, windows);
  double loss = 0;
  for (Index i = 0; i < 50; ++i)
    loss -= std::log(windows.label(i) == 1 ? p(0, i) : 1 - p(0, i)) / 50;
  CHECK(history.epochs[0].train_loss == doctest::Approx(loss).epsilon(1e-12));
  CHECK(history.epochs[0].validation.loss == doctest::Approx(loss).epsilon(1e-12));
  CHECK((weight_bytes(model) == before));
}

TEST_CASE("training: the first update of each weight is of the size of the rate") {
  const auto toy = test::two_classes<double>(60);
  for (const double lr : {1e-3, 0.25}) {
    tsdl::LSTMClassifier<double> model({.input_size = 2, .hidden_size = 3, .num_layers = 1}, 8);
    tsdl::LSTMClassifier<double> before = model;
    auto o = options(1, lr);
    o.optimizer.weight_decay = 0;
    o.batch_size = 50;
    o.restore_best = false;
    tsdl::Trainer(model, o).fit(toy.windows(5, 50));
    double largest = 0;
    std::vector<double> old;
    before.visit([&](const tsdl::Parameter<double>& p) {
      old.insert(old.end(), p.value.begin(), p.value.end());
    });
    auto next = old.begin();
    model.visit([&](const tsdl::Parameter<double>& p) {
      for (const double value : p.value) largest = std::max(largest, std::abs(value - *next++));
    });
    CHECK(largest == doctest::Approx(lr).epsilon(1e-4));
  }
}

TEST_CASE("training: early stopping waits for `patience` epochs without improvement") {
  const auto toy = test::two_classes<float>(60);
  for (const Index patience : {1, 3}) {
    tsdl::LSTMClassifier<float> model({.input_size = 2, .hidden_size = 3, .num_layers = 1});
    tsdl::TrainerOptions o = options(20, 0.0);  // the loss never changes: only epoch 1 is better
    tsdl::Trainer trainer(model, o);
    trainer.add(tsdl::EarlyStopping{.patience = patience});
    const tsdl::History history = trainer.fit(toy.windows(5, 30), toy.windows(40, 20));
    CHECK(history.status == tsdl::Status::stopped_early);
    CHECK(static_cast<Index>(history.epochs.size()) == 1 + patience);
    CHECK(history.best_epoch == 1);
  }
  tsdl::LSTMClassifier<float> model({.input_size = 2, .hidden_size = 3, .num_layers = 1});
  tsdl::Trainer trainer(model, options(3, 0.0));
  trainer.add(tsdl::EarlyStopping{.patience = 3});
  CHECK(trainer.fit(toy.windows(5, 30), toy.windows(40, 20)).status == tsdl::Status::finished);
}

TEST_CASE("training: improvements of min_delta or less do not count") {
  const auto toy = test::two_classes<float>(200);
  tsdl::LSTMClassifier<float> model({.input_size = 2, .hidden_size = 4, .num_layers = 1});
  tsdl::Trainer trainer(model, options(20, 0.01));
  trainer.add(tsdl::EarlyStopping{.patience = 4, .min_delta = 10});
  const tsdl::History history = trainer.fit(toy.windows(5, 190));
  CHECK(history.status == tsdl::Status::stopped_early);
  CHECK(history.epochs.size() == 5);
  CHECK(history.best_epoch == 5);  // it was getting better all the time
}

TEST_CASE("training: the best epoch's weights come back, or the last ones where asked for") {
  const auto toy = coin_flips<float>(140);
  const auto train = toy.windows(5, 60), validation = toy.windows(80, 60);
  for (const bool restore : {true, false}) {
    CAPTURE(restore);
    tsdl::LSTMClassifier<float> model({.input_size = 2, .hidden_size = 8, .num_layers = 1}, 2);
    auto o = options(20, 0.02);
    o.restore_best = restore;
    tsdl::Trainer trainer(model, o);
    std::vector<std::string> weights;
    trainer.add(tsdl::Observer{
        .on_epoch = [&](const tsdl::TrainerState&) { weights.push_back(weight_bytes(model)); }});
    const tsdl::History history = trainer.fit(train, validation);
    const auto best = std::min_element(
        history.epochs.begin(), history.epochs.end(),
        [](const auto& a, const auto& b) { return a.validation.loss < b.validation.loss; });
    REQUIRE(history.best_epoch < 20);  // else both cases are one
    CHECK(history.best_epoch == best->epoch);
    const std::size_t kept = restore ? static_cast<std::size_t>(history.best_epoch) - 1 : 19;
    CHECK((weight_bytes(model) == weights[kept]));
    CHECK(tsdl::evaluate(model, validation).loss == history.epochs[kept].validation.loss);
  }
}

TEST_CASE("training: without validation windows the training loss is what must fall") {
  const auto toy = test::two_classes<float>(100);
  tsdl::LSTMClassifier<float> model({.input_size = 2, .hidden_size = 4, .num_layers = 1});
  tsdl::Trainer trainer(model, options(3, 0.01));
  const tsdl::History history = trainer.fit(toy.windows(5, 90));
  CHECK(history.epochs[2].validation.count == 0);
  CHECK(std::isnan(history.epochs[2].validation.loss));
  CHECK(history.best_epoch == 3);
  CHECK(trainer.state().best_loss == history.epochs[2].train_loss);
}

TEST_CASE("training: a plateau lowers the rate from the next epoch on") {
  const auto toy = test::two_classes<float>(60);
  tsdl::LSTMClassifier<float> model({.input_size = 2, .hidden_size = 3, .num_layers = 1});
  tsdl::TrainerOptions o = options(8, 0);
  o.optimizer = frozen(0.5);
  const std::string before = weight_bytes(model);
  tsdl::Trainer trainer(model, o);
  trainer.add(tsdl::ReduceLROnPlateau{.factor = 0.25, .patience = 1});
  const tsdl::History history = trainer.fit(toy.windows(5, 30), toy.windows(40, 20));
  std::vector<double> rates;
  for (const auto& record : history.epochs) rates.push_back(record.learning_rate);
  // Epoch 1 is better than nothing; every second one after it exceeds the patience.
  const std::vector<double> expected = {0.5, 0.5, 0.5, 0.125, 0.125, 0.03125, 0.03125, 0.0078125};
  CHECK(rates == expected);
  CHECK((weight_bytes(model) == before));
}

TEST_CASE("training: equal seeds give equal bits, others do not") {
  const test::ThreadCountGuard guard;
  tsdl::set_thread_count(1);
  const auto toy = test::two_classes<float>(150);
  const auto run = [&](std::uint64_t seed, bool shuffle, double dropout) {
    tsdl::BiLSTMClassifier<float> model(
        {.input_size = 2, .hidden_size = 5, .num_layers = 2, .dropout = dropout}, 4);
    auto o = options(2, 0.01);
    o.seed = seed;
    o.shuffle = shuffle;
    o.restore_best = false;
    tsdl::Trainer(model, o).fit(toy.windows(5, 100), toy.windows(110, 40));
    return weight_bytes(model);
  };
  CHECK((run(1, true, 0.3) == run(1, true, 0.3)));
  CHECK((run(1, true, 0.0) != run(2, true, 0.0)));
  CHECK((run(1, false, 0.3) != run(2, false, 0.3)));
  CHECK((run(1, false, 0.0) == run(2, false, 0.0)));  // then nothing is drawn
  CHECK((run(1, true, 0.0) != run(1, false, 0.0)));
}

TEST_CASE("training: an infinite input is skipped and leaves no trace") {
  auto toy = test::two_classes<float>(100);
  toy.series->column(20)[1] = std::numeric_limits<float>::infinity();
  const tsdl::ClassifierOptions architecture{.input_size = 2, .hidden_size = 4, .num_layers = 2};
  tsdl::Buffer<float> scratch;
  const auto good = toy.windows(40, 8), bad = toy.windows(20, 4);
  const auto step = [&](auto& trainer, const auto& windows) {
    trainer.step(windows.batch(0, windows.size(), scratch),
                 std::span<const float>(windows.labels()));
  };

  tsdl::BiLSTMClassifier<float> model(architecture, 6), other(architecture, 6);
  tsdl::Trainer with(model, options(1, 0.01)), without(other, options(1, 0.01));
  step(with, good);
  step(without, good);
  const std::string before = weight_bytes(model);
  step(with, bad);
  CHECK((weight_bytes(model) == before));
  CHECK(with.state().skipped_steps == 1);
  CHECK(with.state().skipped_in_a_row == 1);
  CHECK(with.optimizer().steps() == 1);
  step(with, good);
  step(without, good);
  CHECK((weight_bytes(model) == weight_bytes(other)));
  CHECK((weight_bytes(model) != before));
  CHECK(with.state().skipped_in_a_row == 0);
  CHECK(with.optimizer().steps() == 2);
}

TEST_CASE("training: a run that diverges ends with its best weights") {
  auto toy = test::two_classes<float>(300);
  const auto healthy = test::two_classes<float>(60, 2, 5);
  tsdl::LSTMClassifier<float> model({.input_size = 2, .hidden_size = 4, .num_layers = 1}, 6);
  tsdl::TrainerOptions o = options(10, 0.01);
  o.batch_size = 16;
  tsdl::Trainer trainer(model, o);
  std::vector<std::string> weights;
  trainer.add(tsdl::Observer{.on_epoch = [&](const tsdl::TrainerState& state) {
    weights.push_back(weight_bytes(model));
    if (state.epoch == 2)
      for (Index row = 100; row < 300; ++row)
        toy.series->column(row)[0] = std::numeric_limits<float>::infinity();
  }});
  const tsdl::History history = trainer.fit(toy.windows(5, 290), healthy.windows(5, 50));
  CHECK(history.status == tsdl::Status::diverged);
  CHECK(history.skipped_steps == 10);
  REQUIRE(history.epochs.size() == 3);
  CHECK(history.epochs[2].skipped_steps == 10);
  REQUIRE(history.best_epoch >= 1);
  CHECK((weight_bytes(model) == weights[static_cast<std::size_t>(history.best_epoch) - 1]));
  CHECK(test::has_finite_weights(model));
}

TEST_CASE("training: nothing but skipped steps leaves the initial weights") {
  auto toy = test::two_classes<double>(60);
  const auto validation = test::two_classes<double>(60, 2, 5).windows(5, 50);
  for (Index row = 0; row < 60; ++row)
    toy.series->column(row)[0] = std::numeric_limits<double>::infinity();
  tsdl::LSTMClassifier<double> model({.input_size = 2, .hidden_size = 4, .num_layers = 1}, 6);
  const std::string before = weight_bytes(model);
  tsdl::TrainerOptions o = options(10, 0.01);
  o.batch_size = 4;
  const tsdl::History history = tsdl::Trainer(model, o).fit(toy.windows(5, 50), validation);
  CHECK(history.status == tsdl::Status::diverged);
  CHECK(std::isnan(history.epochs.back().train_loss));
  CHECK((weight_bytes(model) == before));
}

TEST_CASE("training: a rate that throws the weights out of range ends as diverged") {
  const int status = test::status_of_child([] {
    ::alarm(5);
    tsdl::set_thread_count(1);
    const auto toy = test::two_classes<float>(200);
    tsdl::LSTMClassifier<float> model({.input_size = 2, .hidden_size = 4, .num_layers = 1}, 6);
    tsdl::TrainerOptions o = options(3, 3e38);
    o.batch_size = 8;
    const tsdl::History history =
        tsdl::Trainer(model, o).fit(toy.windows(5, 150), toy.windows(160, 40));
    return history.status == tsdl::Status::diverged ? 0 : 1;
  });
  CHECK(status == 0);
}

TEST_CASE("training: windows and labels that do not fit are refused") {
  const auto toy = test::two_classes<float>(100);
  const auto three = test::make_toy<float>(
      100, 2, 9, [](double sum) { return sum < -0.8 ? 0.0 : (sum < 0.8 ? 1.0 : 2.0); });
  const auto fit = [](Index outputs, const auto& windows, std::optional<tsdl::Loss> loss = {}) {
    tsdl::LSTMClassifier<float> model(
        {.input_size = 2, .hidden_size = 3, .num_layers = 1, .outputs = outputs});
    auto o = options(1, 0.01);
    o.loss = loss;
    tsdl::Trainer(model, o).fit(windows);
  };
  CHECK_NOTHROW(fit(1, toy.windows(5, 90)));
  CHECK_NOTHROW(fit(3, three.windows(5, 90)));
  CHECK_THROWS_AS(fit(1, tsdl::Windows<float>{}), tsdl::DataError);
  CHECK_THROWS_AS(fit(1, three.windows(5, 90)), tsdl::DataError);
  CHECK_THROWS_AS(fit(2, three.windows(5, 90)), tsdl::DataError);
  CHECK_THROWS_AS(fit(3, three.windows(5, 90), tsdl::BCEWithLogits{}), tsdl::ShapeError);
  CHECK_THROWS_AS(fit(3, three.windows(5, 90), tsdl::CrossEntropy{{1.0, 2.0}}), tsdl::ShapeError);
  CHECK_THROWS_AS(fit(1, test::two_classes<float>(100, 3).windows(5, 90)), tsdl::ShapeError);
  auto unlabelled = toy;
  unlabelled.labels[50] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_AS(fit(1, unlabelled.windows(5, 90)), tsdl::DataError);
  CHECK_THROWS_AS(fit(1, unlabelled.windows(5, 90), tsdl::MSE{}), tsdl::DataError);
}
