// What any model must do, whoever wrote it: learn, be saved and loaded, predict, stream.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <memory>
#include <string>
#include <tsdl/tsdl.hpp>
#include <vector>

#include "support/files.hpp"
#include "support/training.hpp"

namespace test {

/// A table of two random columns, and a target that the last three rows of the first tell.
inline tsdl::Table own_table() {
  tsdl::Table table;
  table.features = tsdl::Series<double>::sized({"a", "b"}, 400);
  table.targets = tsdl::Series<double>::sized({"target"}, 400);
  tsdl::RandomStream random(5);
  for (double& value : table.features.values) value = 1000 + 3 * random.normal();
  for (Index row = 0; row < 400; ++row) {
    double sum = 0;
    for (Index t = std::max<Index>(0, row - 2); t <= row; ++t)
      sum += table.features.column(t)[0] - 1000;
    table.targets.column(row)[0] = 1e6 + 500 * sum + 100 * random.normal();
  }
  return table;
}

/// Trains on it to forecast the target of each window's last row, saves, loads, and compares what
/// is predicted and streamed. The model reads two inputs and has one output.
template <class Model>
void check_own_model(Model& model, bool every_step) {
  using Scalar = typename Model::Scalar;
  const TemporaryDirectory directory;
  const auto file = directory.path() / "own.safetensors";
  const tsdl::Table table = own_table();
  const auto data =
      tsdl::prepare<Scalar>(table, {.features = "",
                                    .length = 4,
                                    .label = tsdl::ColumnTargets{.columns = {"target"}, .ahead = 0},
                                    .every_step = every_step});
  tsdl::Trainer trainer(
      model, {.optimizer = tsdl::AdamW{.lr = 0.05}, .max_epochs = 15, .task = data.task()});
  trainer.add(tsdl::Checkpoint{file, data.recipe});
  const tsdl::History history = trainer.fit(data.train, data.validation);
  CHECK(history.epochs.back().train_loss < 0.9 * history.epochs.front().train_loss);
  CHECK(history.epochs.back().validation.r2 > 0.1);

  auto loaded = tsdl::load_model<Model>(file);
  CHECK(weight_bytes(loaded.model) == weight_bytes(model));
  CHECK(loaded.model.describe() == model.describe());
  const tsdl::Matrix<double> predicted = tsdl::predict(model, data.test);
  CHECK(predicted == tsdl::predict(loaded.model, data.test));
  CHECK(tsdl::evaluate(loaded.model, data.test).mae < 3000);  // deviation of the target: 2600

  tsdl::StreamingPredictor stream(std::move(loaded.model), loaded.recipe);
  Index wrong = 0, next = 0;
  for (Index row = 0; row < table.size(); ++row) {
    const auto prediction = stream.push_features({table.features.column(row), 2});
    if (next < data.test.size() && row == data.test.end_row(next))
      wrong += !prediction || prediction.values[0] != predicted(0, next++);
  }
  CHECK(next == data.test.size());
  CHECK(wrong == 0);
}

}  // namespace test
