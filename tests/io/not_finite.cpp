// Weights that are not finite are never written: neither as the best model nor as a state.
#include <doctest/doctest.h>

#include <limits>

#include "io/checkpoint_helpers.hpp"
#include "support/files.hpp"

using test::Index;

TEST_CASE("a model whose weights are not finite is not written, and the older file stays") {
  const test::TemporaryDirectory directory;
  const auto data = test::small_data();
  test::BiLSTM model(test::small_options(), 1);
  const auto path = directory.path() / "model.safetensors";
  tsdl::save_model(path, model, data.recipe, 1);
  const std::string before = test::read_bytes(path);
  for (const float bad :
       {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
        std::numeric_limits<float>::quiet_NaN()}) {
    tsdl::update(model, [&](auto& parameter) {
      if (parameter.name == "lstm.bias_hh_l1") parameter.value[2] = bad;
    });
    const std::string message =
        test::message_of<tsdl::DataError>([&] { tsdl::save_model(path, model, data.recipe, 1); });
    CHECK(test::contains(message, "tensor 'lstm.bias_hh_l1'"));
    CHECK(test::contains(message, path.string()));
    CHECK((test::read_bytes(path) == before));
  }
}

TEST_CASE("a run whose weights break leaves the best model and a state to resume from") {
  const test::TemporaryDirectory directory;
  const auto best = directory.path() / "best.safetensors";
  const auto last = directory.path() / "last.safetensors";
  const auto data = test::small_data();
  bool validated = false;
  SUBCASE("with validation windows") { validated = true; }
  SUBCASE("without") {}
  test::BiLSTM model(test::small_options(), 1);
  tsdl::Trainer trainer(model, {.optimizer = {.lr = 0.01}, .batch_size = 16, .max_epochs = 6});
  trainer.add(tsdl::Checkpoint{best, data.recipe, last, "print"});
  std::string best_bytes, last_bytes;
  trainer.add(tsdl::Observer{.on_batch =
                                 [&](const tsdl::TrainerState& state) {
                                   // Two healthy epochs, then a rate beyond any float in mid-epoch.
                                   if (state.epoch == 2 && state.windows_done > 60)
                                     trainer.state().learning_rate = 1e300;
                                 },
                             .on_epoch =
                                 [&](const tsdl::TrainerState& state) {
                                   if (state.epoch != 2) return;
                                   best_bytes = test::read_bytes(best);
                                   last_bytes = test::read_bytes(last);
                                 }});
  const auto history =
      validated ? trainer.fit(data.train, data.validation) : trainer.fit(data.train);
  CHECK(history.status == tsdl::Status::diverged);
  CHECK(history.epochs.size() == 3);
  REQUIRE(!best_bytes.empty());
  CHECK((test::read_bytes(best) == best_bytes));
  CHECK((test::read_bytes(last) == last_bytes));
  CHECK(tsdl::has_finite_parameters(tsdl::load_model<test::BiLSTM>(best).model));

  // From that state another run goes on, with a rate that it can bear.
  test::BiLSTM other(test::small_options(), 1);
  tsdl::Trainer again(other, {.optimizer = {.lr = 0.01}, .batch_size = 16, .max_epochs = 6});
  again.add(tsdl::Checkpoint{best, data.recipe, last, "print"});
  tsdl::resume(last, again, "print");
  CHECK(again.state().epoch == 2);
  CHECK((validated ? again.fit(data.train, data.validation) : again.fit(data.train)).status ==
        tsdl::Status::finished);
}
