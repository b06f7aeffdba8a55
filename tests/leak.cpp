// No number looks ahead: candles that training does not read cannot change what is trained.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "data/helpers.hpp"
#include "support/training.hpp"
#include "tsdl/bilstm.hpp"

namespace {

using test::Index;
using Model = tsdl::BiLSTMClassifier<float>;

struct Setting {
  tsdl::Label label;
  Index stride;
  bool fixed;  ///< two epochs at one rate; else early stopping, plateau and the best weights
};

struct Result {
  std::string scaler, weights, history;
  Index train_reads, validation_reads;  ///< the last row that windows or labels of a part read
  Index test_reads_from;                ///< the first row of the first test window
  bool stopped_early, rate_fell;
};

Result train(const tsdl::Candles& candles, const Setting& setting) {
  const test::ThreadCountGuard guard;
  tsdl::set_thread_count(1);
  const Index length = 12;
  const auto data = tsdl::prepare<float>(
      candles, {.length = length, .label = setting.label, .stride = setting.stride});
  Model model({.input_size = data.inputs(), .hidden_size = 8, .num_layers = 1}, 1);
  tsdl::TrainerOptions options;
  options.max_epochs = setting.fixed ? 2 : 60;
  options.optimizer.lr = setting.fixed ? 1e-3 : 3e-2;
  options.restore_best = !setting.fixed;
  tsdl::Trainer trainer(model, options);
  if (!setting.fixed) {
    trainer.add(tsdl::ReduceLROnPlateau{.patience = 2});
    trainer.add(tsdl::EarlyStopping{.patience = 5});
  }
  const tsdl::History history =
      setting.fixed ? trainer.fit(data.train) : trainer.fit(data.train, data.validation);

  Result result;
  const tsdl::StandardScaler& scaler = data.recipe.scaler;
  for (const auto* values : {&scaler.mean(), &scaler.variance(), &scaler.scale()})
    result.scaler += test::bytes_of(std::span<const double>(*values));
  result.weights = test::weight_bytes(model);
  for (const tsdl::EpochRecord& record : history.epochs) {
    const double figures[] = {record.train_loss, record.learning_rate, record.validation.loss,
                              record.validation.roc_auc};
    result.history += test::bytes_of(std::span<const double>(figures));
  }
  const Index horizon = tsdl::horizon(setting.label);
  result.train_reads = data.split.train.back() + horizon;
  result.validation_reads = data.split.validation.back() + horizon;
  result.test_reads_from = data.split.test.front() - length + 1;
  result.stopped_early = history.status == tsdl::Status::stopped_early;
  result.rate_fell = history.epochs.back().learning_rate < history.epochs.front().learning_rate;
  return result;
}

/// The last 600 of the shipped candles.
tsdl::Candles shipped() {
  const tsdl::Candles& all = test::shipped_candles();
  return {{all.rows.end() - 600, all.rows.end()}, all.has_volume};
}

/// Makes every candle from `first` on another one, prices and volumes.
tsdl::Candles changed_from(tsdl::Candles candles, Index first) {
  tsdl::RandomStream random(9);
  for (Index row = first; row < candles.size(); ++row) {
    tsdl::Candle& candle = candles.rows[static_cast<std::size_t>(row)];
    const double factor = random.uniform(0.5, 2.0);
    candle.open *= factor;
    candle.close *= factor;
    candle.high *= factor * random.uniform(1.0, 1.2);
    candle.low *= factor * random.uniform(0.8, 1.0);
    candle.volume *= random.uniform(0.1, 10.0);
  }
  return candles;
}

/// Gives the label of the row before `row` its other value, by changing candle `row` alone.
tsdl::Candles label_flipped_at(tsdl::Candles candles, Index row, const tsdl::Label& label) {
  const auto before = static_cast<std::size_t>(row - tsdl::horizon(label));
  const double old = tsdl::make_labels(candles, label).values[before];
  tsdl::Candle& candle = candles.rows[static_cast<std::size_t>(row)];
  const double factor = old == 1 ? 0.25 : 4.0;
  if (std::holds_alternative<tsdl::RangeLabel>(label)) {
    const double close = candles.rows[static_cast<std::size_t>(row - 1)].close;
    candle.open = candle.high = candle.low = candle.close = close;
    if (old == 0) candle.high *= factor;
  } else {
    for (double* price : {&candle.open, &candle.high, &candle.low, &candle.close}) *price *= factor;
  }
  REQUIRE(tsdl::make_labels(candles, label).values[before] == 1 - old);
  return candles;
}

const Setting fixed_settings[] = {{tsdl::RangeLabel{}, 1, true},
                                  {tsdl::RangeLabel{}, 3, true},
                                  {tsdl::DirectionLabel{1}, 1, true},
                                  {tsdl::DirectionLabel{4}, 3, true}};
const Setting default_settings[] = {{tsdl::RangeLabel{}, 1, false},
                                    {tsdl::DirectionLabel{3}, 2, false}};

}  // namespace

TEST_CASE(
    "leak: with fixed epochs and rate nothing after the last row that training reads counts") {
  const tsdl::Candles candles = shipped();
  for (const Setting& setting : fixed_settings) {
    CAPTURE(setting.stride);
    const Result reference = train(candles, setting);
    REQUIRE(reference.train_reads < candles.size() - 100);
    const Result after = train(changed_from(candles, reference.train_reads + 1), setting);
    CHECK((after.scaler == reference.scaler));
    CHECK((after.weights == reference.weights));
    CHECK((after.history == reference.history));
  }
}

TEST_CASE("leak: the last row that training reads does count") {
  const tsdl::Candles candles = shipped();
  for (const Setting& setting : fixed_settings) {
    CAPTURE(setting.stride);
    const Result reference = train(candles, setting);
    const Index last = reference.train_reads, horizon = tsdl::horizon(setting.label);
    const Result label = train(label_flipped_at(candles, last, setting.label), setting);
    CHECK((label.scaler == reference.scaler));  // a label's row, no window's
    CHECK((label.weights != reference.weights));
    const Result window = train(changed_from(candles, last - horizon), setting);
    CHECK((window.scaler != reference.scaler));
    CHECK((window.weights != reference.weights));
  }
}

TEST_CASE("leak: in a default run no test candle counts") {
  const tsdl::Candles candles = shipped();
  for (const Setting& setting : default_settings) {
    CAPTURE(setting.stride);
    const Result reference = train(candles, setting);
    REQUIRE(reference.stopped_early);  // else stopping and the rate's fall are not tested here
    REQUIRE(reference.rate_fell);
    CHECK(reference.validation_reads < reference.test_reads_from);
    const Result test = train(changed_from(candles, reference.test_reads_from), setting);
    CHECK((test.scaler == reference.scaler));
    CHECK((test.weights == reference.weights));
    CHECK((test.history == reference.history));
    const Result gap = train(changed_from(candles, reference.validation_reads + 1), setting);
    CHECK((gap.weights == reference.weights));
    CHECK((gap.history == reference.history));

    const Result validation =
        train(label_flipped_at(candles, reference.validation_reads, setting.label), setting);
    CHECK((validation.scaler == reference.scaler));
    CHECK((validation.history != reference.history));
  }
}
