// The training loop seen from above: small networks learn, stop, keep their best weights, diverge.
#include "tsdl/train/trainer.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "support/files.hpp"
#include "support/training.hpp"
#include "tsdl/nn/factory.hpp"

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
  check_learns<tsdl::BiLSTMClassifier<double>>({.hidden_size = 6,
                                                .num_layers = 2,
                                                .dropout = 0.1,
                                                .pooling = tsdl::Pooling::each_direction_end});
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

TEST_CASE("training: without validation windows the loss of an epoch's last weights must fall") {
  const auto toy = test::two_classes<float>(100);
  tsdl::LSTMClassifier<float> model({.input_size = 2, .hidden_size = 4, .num_layers = 1});
  tsdl::Trainer trainer(model, options(3, 0.01));
  const tsdl::History history = trainer.fit(toy.windows(5, 90));
  CHECK(history.epochs[2].validation.count == 0);
  CHECK(std::isnan(history.epochs[2].validation.loss));
  CHECK(history.best_epoch == 3);
  CHECK(trainer.state().best_loss == tsdl::evaluate(model, toy.windows(5, 90)).loss);
  CHECK(trainer.state().best_loss < history.epochs[2].train_loss);  // a mean over the epoch's steps
}

TEST_CASE("training: weights that break within an epoch are not kept, with validation or without") {
  const auto toy = test::two_classes<float>(200);
  for (const bool validated : {false, true})
    for (const bool restore : {true, false})
      for (const Index broken_epoch : {1, 2}) {
        CAPTURE(validated);
        CAPTURE(restore);
        CAPTURE(broken_epoch);
        tsdl::LSTMClassifier<float> model({.input_size = 2, .hidden_size = 4, .num_layers = 1}, 6);
        auto o = options(5, 0.01);
        o.batch_size = 16;
        o.restore_best = restore;
        tsdl::Trainer trainer(model, o);
        std::string expected = weight_bytes(model);
        Index improved = 0;
        // From the middle of an epoch on the rate is beyond what a float can hold: the mean loss of
        // the epoch's steps is that of its healthy half.
        trainer.add(tsdl::Observer{.on_batch =
                                       [&](const tsdl::TrainerState& state) {
                                         if (state.epoch + 1 == broken_epoch &&
                                             state.batches % 9 == 4)
                                           trainer.state().learning_rate = 3e38;
                                       },
                                   .on_epoch =
                                       [&](const tsdl::TrainerState& state) {
                                         improved += state.improved;
                                         if (!state.improved) return;
                                         CHECK(test::has_finite_weights(model));
                                         expected = weight_bytes(model);
                                       }});
        const auto history = trainer.fit(toy.windows(5, 144),
                                         validated ? toy.windows(155, 40) : tsdl::Windows<float>());
        CHECK(history.status == tsdl::Status::diverged);
        CHECK(improved == broken_epoch - 1);
        CHECK(history.best_epoch == broken_epoch - 1);
        CHECK(std::isnan(trainer.state().monitored));
        // The best weights, or those that the run began with.
        CHECK((weight_bytes(model) == expected));
        for (const auto& best : trainer.best_weights())
          for (const float weight : best) CHECK(tsdl::is_finite(static_cast<double>(weight)));
      }
}

TEST_CASE("training: a training window that is not finite does not hide the loss of the others") {
  auto toy = test::two_classes<float>(200);
  toy.series->column(20)[1] = std::numeric_limits<float>::infinity();
  tsdl::LSTMClassifier<float> model({.input_size = 2, .hidden_size = 4, .num_layers = 1}, 6);
  tsdl::Trainer trainer(model, options(2, 0.01));
  const auto history = trainer.fit(toy.windows(5, 190));
  CHECK(history.status == tsdl::Status::finished);
  CHECK(history.best_epoch == 2);
  CHECK(tsdl::is_finite(trainer.state().best_loss));
}

TEST_CASE("training: a model of other sizes that took the place of the trained one is refused") {
  const auto toy = test::two_classes<float>(100);
  const auto windows = toy.windows(5, 90);
  const auto made = [](Index hidden, Index layers) {
    return tsdl::LSTMClassifier<float>(
        {.input_size = 2, .hidden_size = hidden, .num_layers = layers}, 1);
  };
  for (const auto& [hidden, layers] : {std::pair<Index, Index>{40, 1}, {4, 3}, {2, 1}}) {
    auto model = made(4, 1);
    tsdl::Trainer trainer(model, options(3, 0.01));
    model = made(hidden, layers);
    CHECK_THROWS_AS(trainer.fit(windows), tsdl::ShapeError);
    tsdl::Buffer<float> scratch;
    CHECK_THROWS_AS(trainer.step(windows.batch(0, 5, scratch),
                                 std::span<const float>(test::labels_of(windows)).first(5)),
                    tsdl::ShapeError);
    // In mid-run too, from a callback.
    auto other = made(4, 1);
    tsdl::Trainer second(other, options(3, 0.01));
    second.add(tsdl::Observer{.on_batch = [&, h = hidden, l = layers](const tsdl::TrainerState&) {
      other = made(h, l);
    }});
    CHECK_THROWS_AS(second.fit(windows), tsdl::ShapeError);
  }
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
                 std::span<const float>(test::labels_of(windows)));
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
    test::end_child_after(5);
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
  CHECK_THROWS_AS(fit(3, three.windows(5, 90), tsdl::BCEWithLogits{}), tsdl::OptionError);
  CHECK_THROWS_AS(fit(3, three.windows(5, 90), tsdl::CrossEntropy{{1.0, 2.0}}), tsdl::OptionError);
  CHECK_THROWS_AS(fit(1, test::two_classes<float>(100, 3).windows(5, 90)), tsdl::ShapeError);
  auto unlabelled = toy;
  unlabelled.labels[50] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_AS(fit(1, unlabelled.windows(5, 90)), tsdl::DataError);
  CHECK_THROWS_AS(fit(1, unlabelled.windows(5, 90), tsdl::MSE{}), tsdl::DataError);
}

TEST_CASE("training: validation windows are checked before the first update") {
  const auto toy = test::two_classes<float>(100);
  auto unlabelled = toy;
  unlabelled.labels[50] = std::numeric_limits<float>::quiet_NaN();
  tsdl::LSTMClassifier<float> model({.input_size = 2, .hidden_size = 3, .num_layers = 1});
  const std::string before = weight_bytes(model);
  tsdl::Trainer trainer(model, options(1, 0.01));
  CHECK_THROWS_AS(trainer.fit(toy.windows(5, 30), unlabelled.windows(40, 30)), tsdl::DataError);
  CHECK((weight_bytes(model) == before));
}

TEST_CASE("training: gradients are of the mean, whatever the weights of classes add up to") {
  const auto toy = test::two_classes<double>(60);
  const auto windows = toy.windows(5, 40);
  const auto epoch = [&](std::vector<double> weights) {
    tsdl::LSTMClassifier<double> model(
        {.input_size = 2, .hidden_size = 3, .num_layers = 1, .outputs = 2}, 8);
    auto o = options(1, 0.0);
    o.loss = tsdl::CrossEntropy{std::move(weights)};
    const auto record = tsdl::Trainer(model, o).fit(windows, windows).epochs[0];
    CHECK(record.validation.loss == doctest::Approx(record.train_loss).epsilon(1e-12));
    CHECK(tsdl::evaluate(model, windows).loss == record.validation.loss);
    return record;
  };
  const auto one = epoch({1, 3}), same = epoch({5, 15});
  CHECK(same.gradient_norm == doctest::Approx(one.gradient_norm).epsilon(1e-12));
  CHECK(same.train_loss == doctest::Approx(one.train_loss).epsilon(1e-12));
  CHECK(epoch({}).train_loss != doctest::Approx(one.train_loss).epsilon(1e-6));
}

TEST_CASE("predictions: a task of other outputs is refused, and half is the second class") {
  const auto windows = test::two_classes<float>(60).windows(5, 40);
  tsdl::LSTMClassifier<float> model({.input_size = 2, .hidden_size = 3, .num_layers = 1});
  model.visit([](auto& parameter) { parameter.value.assign(parameter.size(), 0.0f); });
  model.repack();
  CHECK(tsdl::predict(model, windows)(0, 7) == 0.5);
  CHECK(tsdl::predicted_classes(model, windows) == std::vector<Index>(40, 1));
  CHECK_THROWS_AS(tsdl::evaluate(model, windows, tsdl::Classes{.count = 3}), tsdl::OptionError);
  model.set_task(tsdl::Quantiles{});
  CHECK_THROWS_AS(tsdl::predict(model, windows), tsdl::OptionError);
  CHECK_THROWS_AS(tsdl::evaluate(model, windows), tsdl::OptionError);
}

TEST_CASE("training: a run that has ended is not run again, whatever ended it") {
  const auto toy = test::two_classes<float>(60);
  const auto train = toy.windows(5, 30), validation = toy.windows(40, 20);
  const auto refusal = [&](const auto& add) {
    tsdl::LSTMClassifier<float> model({.input_size = 2, .hidden_size = 3, .num_layers = 1});
    tsdl::Trainer trainer(model, options(3, 0.0));
    add(trainer);
    trainer.fit(train, validation);
    const std::string before = weight_bytes(model);
    const std::string message =
        test::message_of<tsdl::Error>([&] { trainer.fit(train, validation); });
    CHECK((weight_bytes(model) == before));
    CHECK(std::ssize(trainer.state().history) == trainer.state().epoch);
    return message;
  };
  constexpr auto rest =
      " epochs): make another Trainer to train the model further, or resume a state";
  CHECK(refusal([](auto&) {}) ==
        std::string("Trainer: this run has ended (finished after 3") + rest);
  CHECK(refusal([](auto& trainer) { trainer.add(tsdl::EarlyStopping{.patience = 1}); }) ==
        std::string("Trainer: this run has ended (stopped early after 2") + rest);
  CHECK(refusal([](auto& trainer) { trainer.add(tsdl::StopWhen{[] { return true; }}); }) ==
        std::string("Trainer: this run has ended (interrupted after 0") + rest);
  // Another trainer goes on with the model.
  tsdl::LSTMClassifier<float> model({.input_size = 2, .hidden_size = 3, .num_layers = 1});
  for (int run = 0; run < 2; ++run)
    CHECK(tsdl::Trainer(model, options(2, 0.01)).fit(train).status == tsdl::Status::finished);
}

TEST_CASE("training: a trainer stays where it is made") {
  using Trainer = tsdl::Trainer<tsdl::LSTMClassifier<float>>;
  static_assert(!std::is_copy_constructible_v<Trainer> && !std::is_move_constructible_v<Trainer>);
  static_assert(!std::is_copy_assignable_v<Trainer> && !std::is_move_assignable_v<Trainer>);
  // Nor does it take a model that is about to end.
  static_assert(!std::is_constructible_v<Trainer, tsdl::LSTMClassifier<float>>);
}

TEST_CASE("training: a step whose targets do not fit is refused and changes nothing") {
  const auto toy = test::two_classes<float>(60);
  const auto windows = toy.windows(5, 40);
  tsdl::Buffer<float> scratch;
  const auto x = windows.batch(0, 4, scratch);
  tsdl::LSTMClassifier<float> model(
      {.input_size = 2, .hidden_size = 3, .num_layers = 1, .outputs = 3});
  tsdl::Trainer trainer(model, options(1, 0.01));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> good = {0, 2, 1, 0};
  trainer.step(x, good);
  const std::string before = weight_bytes(model);
  const auto unchanged = [&] {
    CHECK((weight_bytes(model) == before));
    CHECK(trainer.state().batches == 1);
    CHECK(trainer.state().skipped_steps == 0);
    CHECK(trainer.optimizer().steps() == 1);
  };
  const auto sizes = [&](const std::vector<float>& labels) {
    const auto message = test::message_of<tsdl::ShapeError>([&] { trainer.step(x, labels); });
    unchanged();
    return message;
  };
  CHECK(sizes({0, 2, 1}) == "Trainer: expected targets of 1 steps of 4 samples, got 1 of 3");
  CHECK(sizes({0, 2, 1, 0, 0}) == "Trainer: expected targets of 1 steps of 4 samples, got 1 of 5");
  CHECK(test::contains(sizes({}), "expected targets of 1 steps of 4 samples, got "));
  const auto values = [&](float bad) {
    const std::vector<float> labels = {0, 2, bad, 0};
    const auto message = test::message_of<tsdl::DataError>([&] { trainer.step(x, labels); });
    unchanged();
    return message;
  };
  CHECK(values(3) == "task classes: target 3 is not one of 3 classes");
  CHECK(values(-1) == "task classes: target -1 is not one of 3 classes");
  CHECK(values(0.5f) == "task classes: target 0.5 is not one of 3 classes");
  CHECK(values(nan) == "task classes: target nan is not one of 3 classes");
  // As a batch: two values a sample, or a target a step, where one is asked.
  const std::vector<double> eight(8, 1.0);
  const auto batch = [&](Index K, Index S, Index B) {
    const auto message = test::message_of<tsdl::ShapeError>([&] {
      trainer.step({x, tsdl::Sequence<const double>::dense(eight.data(), K, S, B)});
    });
    unchanged();
    return message;
  };
  CHECK(batch(2, 1, 4) == "task classes: expected 4 x 1 target values, got 8 in samples of 2");
  CHECK(batch(1, 2, 4) == "Trainer: expected targets of 1 steps of 4 samples, got 2 of 4");
  CHECK(test::contains(
      test::message_of<tsdl::ShapeError>([&] { trainer.step(tsdl::Batch<float>(x)); }),
      "expected targets of 1 steps of 4 samples, got "));
  unchanged();
  trainer.step(x, good);
  CHECK((weight_bytes(model) != before));
}

TEST_CASE("training: the task is that of the options, and must fit the model") {
  tsdl::LSTMClassifier<float> model(
      {.input_size = 2, .hidden_size = 3, .num_layers = 1, .outputs = 3});
  const auto with = [&](std::optional<tsdl::Task> task, std::optional<tsdl::Loss> loss) {
    tsdl::TrainerOptions o = options(1, 0.01);
    o.task = task;
    o.loss = loss;
    tsdl::Trainer trainer(model, o);
    CHECK((trainer.task()->describe() == model.task()->describe()));
    return trainer.task()->describe();
  };
  CHECK(with({}, {}).kind == "classes");
  CHECK(with(tsdl::Regression{.targets = 3}, {}).kind == "regression");
  CHECK(with({}, {}).kind == "regression");  // the model keeps it
  CHECK(with({}, tsdl::CrossEntropy{{1, 2, 3}}).numbers("weights") == std::vector<double>{1, 2, 3});
  CHECK(with(tsdl::Quantiles{}, {}).kind == "quantiles");
  const auto refused = [&](std::optional<tsdl::Task> task, std::optional<tsdl::Loss> loss) {
    return test::message_of<tsdl::OptionError>([&] { with(task, loss); });
  };
  CHECK(refused(tsdl::Quantiles{}, tsdl::MSE{}) == "Trainer: expected a task or a loss, got both");
  CHECK(refused(tsdl::Binary{}, {}) == "task binary: expected a model of 1 outputs, got 3");
  CHECK(refused({}, tsdl::BCEWithLogits{}) == "task binary: expected a model of 1 outputs, got 3");
  CHECK(model.task()->describe().kind == "quantiles");
}

TEST_CASE("training: a model of any type trains to the bits of the one that it holds") {
  const test::ThreadCountGuard guard;
  tsdl::set_thread_count(1);
  const auto toy = test::two_classes<float>(150);
  tsdl::BiLSTMClassifier<float> model(
      {.input_size = 2, .hidden_size = 5, .num_layers = 2, .dropout = 0.3}, 4);
  tsdl::AnyModel<float> any(model);
  auto o = options(2, 0.01);
  o.shuffle = true;
  const auto run = [&](auto& one) {
    return tsdl::Trainer(one, o).fit(toy.windows(5, 100), toy.windows(110, 40));
  };
  const tsdl::History expected = run(model), found = run(any);
  CHECK((weight_bytes(any) == weight_bytes(model)));
  REQUIRE(found.epochs.size() == expected.epochs.size());
  CHECK(found.epochs[1].validation.loss == expected.epochs[1].validation.loss);
  CHECK(found.epochs[1].train_loss == expected.epochs[1].train_loss);
}

TEST_CASE("training: a regression of two targets is learnt and predicted in their own units") {
  // Targets around 1e9 and 0.003: the network sees them by their scale.
  const auto toy = test::make_toy<double>(420, 2, 9, [](double sum) { return sum; });
  tsdl::Targets targets{.count = 2, .values = {}, .last = {}};
  for (const double sum : toy.labels) {
    targets.values.push_back(1e9 + 300 * sum);
    targets.values.push_back(0.003 - 1e-4 * sum);
  }
  const auto shared = std::make_shared<const tsdl::Targets>(targets);
  const auto windows = [&](Index first, Index count) {
    std::vector<Index> ends(static_cast<std::size_t>(count));
    std::iota(ends.begin(), ends.end(), first);
    return tsdl::Windows<double>(toy.series, 6, 1, ends, shared);
  };
  const auto train = windows(5, 305), validation = windows(320, 100);
  const auto scale = tsdl::TargetScale::fit(train.targets(), 2);
  tsdl::LSTMClassifier<double> model(
      {.input_size = 2, .hidden_size = 8, .num_layers = 1, .outputs = 2}, 1);
  auto o = options(15, 0.02);
  o.task = tsdl::Regression{.targets = 2, .scale = scale};
  tsdl::Trainer trainer(model, o);
  const tsdl::History history = trainer.fit(train, validation);
  const tsdl::Metrics figures = tsdl::evaluate(model, validation);
  CHECK(figures.r2 > 0.8);
  CHECK(figures.loss ==
        history.epochs[static_cast<std::size_t>(history.best_epoch) - 1].validation.loss);
  const tsdl::Matrix<double> p = tsdl::predict(model, validation);
  REQUIRE(p.rows() == 2);
  double squares[2] = {};
  for (Index i = 0; i < p.cols(); ++i)
    for (Index k = 0; k < 2; ++k) {
      const double error = p(k, i) - validation.target(i)[static_cast<std::size_t>(k)];
      squares[k] += error * error / 100;
    }
  CHECK(figures.rmse ==
        doctest::Approx((std::sqrt(squares[0]) + std::sqrt(squares[1])) / 2).epsilon(1e-12));
  // The loss is of both, by their deviations on the training windows.
  CHECK(figures.loss == doctest::Approx((squares[0] / (scale.scale[0] * scale.scale[0]) +
                                         squares[1] / (scale.scale[1] * scale.scale[1])) /
                                        2)
                            .epsilon(1e-9));
  CHECK_THROWS_AS(tsdl::predicted_classes(model, validation), tsdl::OptionError);
}

TEST_CASE("training: a target at every step counts at every step") {
  const auto toy = test::two_classes<double>(300);
  tsdl::Targets targets{.count = 1, .values = toy.labels, .last = {}};
  const auto windows = [&](const tsdl::Targets& of, Index first, Index count) {
    std::vector<Index> ends(static_cast<std::size_t>(count));
    std::iota(ends.begin(), ends.end(), first);
    return tsdl::Windows<double>(toy.series, 6, 1, ends, std::make_shared<const tsdl::Targets>(of));
  };
  tsdl::LSTMClassifier<double> model(
      {.input_size = 2, .hidden_size = 4, .num_layers = 1, .pooling = tsdl::Pooling::each}, 1);
  const auto all = windows(targets, 5, 40);
  tsdl::LSTMClassifier<double>::Cache cache;
  tsdl::Buffer<double> scratch;
  const auto logits = model.forward(all.batch(0, 40, scratch), cache);
  double loss = 0;
  for (Index t = 0; t < 6; ++t)
    for (Index b = 0; b < 40; ++b) {
      const double z = logits(0, t * 40 + b), y = toy.labels[static_cast<std::size_t>(b + t)];
      loss += (y > 0 ? tsdl::softplus(-z) : tsdl::softplus(z)) / 240;
    }
  CHECK(tsdl::evaluate(model, all).loss == doctest::Approx(loss).epsilon(1e-12));
  tsdl::Trainer frozen_trainer(model, options(1, 0.0));
  CHECK(frozen_trainer.fit(all).epochs[0].train_loss == doctest::Approx(loss).epsilon(1e-12));
  // Predictions are of the last step.
  const auto p = tsdl::predict(model, all);
  REQUIRE(p.cols() == 40);
  CHECK(p(0, 39) == tsdl::sigmoid(logits(0, 5 * 40 + 39)));
  CHECK(tsdl::predicted_classes(model, all)[39] == (logits(0, 5 * 40 + 39) >= 0 ? 1 : 0));
  targets.values[20] = std::numeric_limits<double>::quiet_NaN();  // no window ends there alone
  const auto hole = windows(targets, 23, 1);
  CHECK_THROWS_AS(tsdl::evaluate(model, hole), tsdl::DataError);
  tsdl::Trainer trainer(model, options(1, 0.01));
  CHECK_THROWS_AS(trainer.fit(hole), tsdl::DataError);
}
