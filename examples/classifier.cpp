// A classifier on a table of your own columns: is the machine about to fail?
//
// With a file it would be tsdl::read_table("machine.csv", {.feature_columns = {"heat",
// "vibration"}, .label_column = "fails"}); here the rows are made.
#include <cstdio>
#include <tsdl/lstm.hpp>

/// Heat and vibration of a machine. It fails at the end of ten rows in which they were high
/// together.
tsdl::Table machine() {
  constexpr tsdl::Index rows = 4000;
  tsdl::Table table;
  table.features = tsdl::Series<double>::sized({"heat", "vibration"}, rows);
  table.label.resize(rows);
  table.label_name = "fails";
  tsdl::RandomStream random(/*seed=*/1);
  double heat = 0, vibration = 0, strain = 0;
  for (tsdl::Index row = 0; row < rows; ++row) {
    heat = 0.95 * heat + random.normal();
    vibration = 0.8 * vibration + random.normal();
    strain = 0.8 * strain + (heat > 1 && vibration > 0 ? 1 : 0);
    table.features.column(row)[0] = 60 + 5 * heat;
    table.features.column(row)[1] = 0.1 + 0.02 * vibration;
    table.label[static_cast<std::size_t>(row)] = strain > 1.5 ? 1 : 0;
  }
  return table;
}

int main() {
  // Windows of 20 rows, each with the label of the row after it. The scaler sees training rows
  // only.
  const auto data = tsdl::prepare<float>(
      machine(), {.length = 20, .label = tsdl::ColumnLabel{.column = "fails", .offset = 1}},
      {.validation = 0.15, .test = 0.15});

  tsdl::LSTMClassifier<float> model(
      {.input_size = data.inputs(), .hidden_size = 32, .outputs = data.outputs()}, /*seed=*/1);
  tsdl::Trainer trainer(model, {.optimizer = {.lr = 3e-3}, .max_epochs = 20, .task = data.task()});
  trainer.add(tsdl::EarlyStopping{.patience = 5});
  trainer.add(tsdl::Observer{.on_epoch = [](const tsdl::TrainerState& state) {
    const tsdl::EpochRecord& epoch = state.history.back();
    std::printf("epoch %2td  loss %.4f  validation loss %.4f\n", epoch.epoch, epoch.train_loss,
                epoch.validation.loss);
  }});
  trainer.fit(data.train, data.validation);  // ends with the weights of the best epoch

  const tsdl::Metrics test = tsdl::evaluate(model, data.test);
  std::printf("test: accuracy %.3f, always the common answer %.3f, AUC %.3f\n", test.accuracy,
              test.majority_accuracy, test.roc_auc);
}
