// No fold leaks: rows that neither its training nor its validation samples read cannot change its
// scaler, class weights or model. Of candles the same holds for what lies behind a walk-forward's
// training.
#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "data/helpers.hpp"
#include "support/training.hpp"
#include "tsdl/bilstm.hpp"
#include "tsdl/data/synthetic.hpp"
#include "tsdl/select/splits.hpp"

namespace {

using test::Index;

/// A table of features and labels that end at uneven rows, with holes in both.
tsdl::Dataset table(Index rows, Index length, Index stride, std::uint64_t seed) {
  tsdl::RandomStream random(seed);
  auto features = tsdl::Series<double>::sized({"a", "b"}, rows);
  for (double& value : features.values)
    value = random.uniform() < 0.004 ? tsdl::internal::undefined : random.normal();
  tsdl::Labels labels;
  for (Index row = 0; row < rows; ++row) {
    const bool known = random.uniform() > 0.05;
    labels.values.push_back(known ? static_cast<double>(random.below(2))
                                  : tsdl::internal::undefined);
    labels.ends.push_back(known ? row + static_cast<Index>(random.below(9)) : row);
  }
  tsdl::Dataset dataset;
  dataset.recipe = {.features = "",
                    .length = length,
                    .label = tsdl::ColumnLabel{.column = "y"},
                    .stride = stride,
                    .class_values = {0, 1},
                    .columns = {"a", "b"}};
  dataset.features = std::make_shared<const tsdl::Series<double>>(std::move(features));
  dataset.labels = std::make_shared<const tsdl::Labels>(std::move(labels));
  return dataset;
}

/// Everything that a fold fits, as bytes.
std::string fitted(const tsdl::Dataset& dataset, const tsdl::Split& split) {
  const test::ThreadCountGuard guard;
  tsdl::set_thread_count(1);
  const auto data = tsdl::prepare<float>(dataset, split);
  const tsdl::StandardScaler& scaler = data.recipe.scaler;
  std::string bytes;
  for (const auto* values : {&scaler.mean(), &scaler.variance(), &scaler.scale()})
    bytes += test::bytes_of(std::span<const double>(*values));
  const std::vector<double> weights = tsdl::balanced_class_weights(data.train.targets(), 2);
  bytes += test::bytes_of(std::span<const double>(weights));
  tsdl::BiLSTMClassifier<float> model(
      {.input_size = data.inputs(), .hidden_size = 4, .num_layers = 1}, 1);
  tsdl::Trainer trainer(
      model,
      {.optimizer = {.lr = 1e-2}, .max_epochs = 4, .task = tsdl::Binary{weights[1] / weights[0]}});
  trainer.add(tsdl::ReduceLROnPlateau{.patience = 1});
  trainer.add(tsdl::EarlyStopping{.patience = 2});
  const tsdl::History history = trainer.fit(data.train, data.validation);
  for (const tsdl::EpochRecord& epoch : history.epochs)
    bytes += test::bytes_of(std::span<const double>(&epoch.validation.loss, 1));
  return bytes + test::weight_bytes(model);
}

/// Whether each row is read by a sample that is trained or validated on.
std::vector<char> rows_read(const tsdl::Split& split, const std::vector<tsdl::SampleSpan>& samples,
                            Index rows) {
  std::vector<char> read(static_cast<std::size_t>(rows), 0);
  for (const tsdl::SampleSpan& sample : samples)
    for (const auto* part : {&split.train, &split.validation})
      if (std::binary_search(part->begin(), part->end(), sample.row))
        std::fill(read.begin() + sample.first, read.begin() + std::min(sample.last, rows - 1) + 1,
                  1);
  return read;
}

/// Other features and labels in every row that `read` leaves out; holes stay holes.
tsdl::Dataset changed(const tsdl::Dataset& dataset, const std::vector<char>& read) {
  auto features = std::make_shared<tsdl::Series<double>>(*dataset.features);
  auto labels = std::make_shared<tsdl::Labels>(*dataset.labels);
  for (std::size_t row = 0; row < read.size(); ++row) {
    if (read[row]) continue;
    for (Index i = 0; i < features->features; ++i)
      features->column(static_cast<Index>(row))[i] =
          100 - 7 * features->column(static_cast<Index>(row))[i];
    labels->values[row] = 1 - labels->values[row];
  }
  tsdl::Dataset other = dataset;
  other.features = features;
  other.labels = labels;
  return other;
}

}  // namespace

TEST_CASE("what a fold fits depends on the rows that its training and validation samples read") {
  const tsdl::FoldScheme schemes[] = {tsdl::PurgedKFold{.folds = 4},
                                      tsdl::CombinatorialPurged{.groups = 4, .test_groups = 2},
                                      tsdl::WalkForward{.train = 80, .test = 40}};
  Index others = 0, sensitive = 0, folds = 0;
  for (const Index stride : {1, 3})
    for (const Index length : {1, 6}) {
      const Index rows = 240 * stride;
      const tsdl::Dataset dataset =
          table(rows, length, stride, static_cast<std::uint64_t>(10 * stride + length));
      const auto samples = tsdl::sample_spans(dataset);
      for (const tsdl::FoldScheme& scheme : schemes)
        for (const tsdl::Fold& fold : tsdl::make_folds(scheme, samples, 4).folds) {
          ++folds;
          const tsdl::Split split = tsdl::split_of(fold, samples, 0.25);
          std::vector<char> read = rows_read(split, samples, rows);
          others += std::count(read.begin(), read.end(), 0);
          const std::string expected = fitted(dataset, split);
          CHECK(fitted(changed(dataset, read), split) == expected);
          // A row that the first training sample reads does matter, or the above shows nothing.
          read[static_cast<std::size_t>(split.train.front())] = 0;
          sensitive += fitted(changed(dataset, read), split) != expected;
        }
    }
  CHECK(others > 1000);
  CHECK(folds >= 2 * 2 * (4 + 6 + 2));
  CHECK(sensitive == folds);
}

TEST_CASE("on candles, nothing behind a walk-forward's training changes what it fits") {
  const tsdl::Candles candles = tsdl::synthetic_candles(500, {}, 11);
  tsdl::Recipe recipe{
      .features = "hybrid", .length = 8, .label = tsdl::DirectionLabel{.horizon = 2}};
  const tsdl::Dataset dataset = tsdl::make_dataset(candles, recipe);
  const auto samples = tsdl::sample_spans(dataset);
  for (const bool expanding : {false, true})
    for (const tsdl::Fold& fold :
         tsdl::make_folds(tsdl::WalkForward{.train = 150, .test = 60, .expanding = expanding},
                          samples)
             .folds) {
      const tsdl::Split split = tsdl::split_of(fold, samples, 0.2);
      const std::string expected = fitted(dataset, split);
      for (const Index from : {split.validation.back() + 3, split.validation.back() - 60}) {
        tsdl::Candles other = candles;
        for (Index row = from; row < other.size(); ++row) {
          tsdl::Candle& candle = other.rows[static_cast<std::size_t>(row)];
          const double factor = 1.0 + 0.3 * static_cast<double>(row % 7) / 7;
          for (double* price : {&candle.open, &candle.high, &candle.low, &candle.close})
            *price *= factor;
          candle.volume *= 2;
        }
        const bool same = fitted(tsdl::make_dataset(other, recipe), split) == expected;
        CHECK(same == (from > split.validation.back()));
      }
    }
}
