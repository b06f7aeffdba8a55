// A loss of one's own, a callable: a Gaussian's negative log-likelihood, of two outputs for one
// target, its mean and the logarithm of its variance.
#include "support/own.hpp"

namespace {

tsdl::CustomLoss gaussian(const tsdl::TargetScale& scale) {
  return {.name = "gaussian_nll",
          .loss =
              [](std::span<const double> x, std::span<const double> y, std::span<double> dx) {
                const double e = x[0] - y[0], precision = std::exp(-x[1]);
                dx[0] = e * precision;
                dx[1] = 0.5 * (1 - e * e * precision);
                return 0.5 * (x[1] + e * e * precision);
              },
          .outputs = 2,
          .scale = scale};
}

}  // namespace

TEST_CASE("a loss of one's own trains, is kept in the file by name, and predicts") {
  const auto data = tsdl::prepare<double>(
      test::own_table(), {.length = 4, .label = tsdl::ColumnTargets{{"target"}, 0}});
  const tsdl::Task task = gaussian(data.scale);
  tsdl::GRUClassifier<double> model({.input_size = 2, .hidden_size = 8, .outputs = 2}, 1);
  tsdl::Trainer trainer(model, {.optimizer = {.lr = 0.02}, .max_epochs = 15, .task = task});
  const test::TemporaryDirectory directory;
  trainer.add(tsdl::Checkpoint{directory / "own.safetensors", data.recipe});
  const auto history = trainer.fit(data.train, data.validation);
  CHECK(history.epochs.back().train_loss < history.epochs.front().train_loss - 0.3);

  const auto file = directory / "own.safetensors";
  const auto loaded = tsdl::load_model<tsdl::GRUClassifier<double>>(file, task);
  CHECK(tsdl::predict(loaded.model, data.test) == tsdl::predict(model, data.test));
  CHECK(tsdl::evaluate(loaded.model, data.test).r2 > 0.5);
  CHECK_THROWS_WITH_AS(tsdl::load_model<tsdl::GRUClassifier<double>>(file),
                       doctest::Contains("the loss 'gaussian_nll' is a function"),
                       tsdl::FormatError);
}
