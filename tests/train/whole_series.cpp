// Training and prediction on whole series of unequal length: in this process, in shards and over
// ranks, and from a file.
#include "tsdl/data/whole_series.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "support/files.hpp"
#include "support/network.hpp"
#include "support/ranks.hpp"
#include "support/training.hpp"
#include "tsdl/io/checkpoint.hpp"
#include "tsdl/nn/factory.hpp"
#include "tsdl/spread/sharded_stepper.hpp"
#include "tsdl/train/trainer.hpp"

namespace {

using test::Index;
using Any = tsdl::AnyModel<float>;

/// Three classes of noisy waves, told by their period, of 4 to 24 rows.
tsdl::TsCases waves(Index count, std::uint64_t seed) {
  tsdl::RandomStream random(seed);
  tsdl::TsCases cases;
  cases.name = "waves.ts";
  cases.dimensions = 2;
  cases.class_names = {"slow", "medium", "fast"};
  for (Index i = 0; i < count; ++i) {
    tsdl::TsCase one;
    one.label = i % 3;
    one.values.resize(2, 4 + static_cast<Index>(random.below(21)));
    const double phase = random.uniform(0, 6.28), rate = 0.4 * static_cast<double>(1 + one.label);
    for (Index t = 0; t < one.values.cols(); ++t) {
      one.values(0, t) = std::sin(phase + rate * static_cast<double>(t)) + 0.1 * random.normal();
      one.values(1, t) = 50 + random.normal();
    }
    cases.cases.push_back(one);
  }
  return cases;
}

const tsdl::ClassifierOptions network{.input_size = 2,
                                      .hidden_size = 10,
                                      .num_layers = 2,
                                      .dropout = 0.1,
                                      .head_dropout = 0.1,
                                      .pooling = tsdl::Pooling::mean,
                                      .outputs = 3};

tsdl::TrainerOptions options(Index epochs, bool shuffle) {
  return {.optimizer = {.lr = 0.01},
          .batch_size = 16,
          .max_epochs = epochs,
          .shuffle = shuffle,
          .task = tsdl::Task(tsdl::Classes{.count = 3}),
          .seed = 5};
}

/// Every weight after training, and the history's losses.
template <class Trainer>
std::string bits(Trainer& trainer, const tsdl::Prepared<float>& data) {
  const tsdl::History history = trainer.fit(data.train, data.validation);
  std::string all;
  std::as_const(trainer).model().visit([&](const tsdl::Parameter<float>& parameter) {
    all.append(reinterpret_cast<const char*>(parameter.value.data()),
               parameter.value.span().size_bytes());
  });
  for (const tsdl::EpochRecord& record : history.epochs)
    all.append(reinterpret_cast<const char*>(&record.validation.loss), sizeof(double));
  return all;
}

}  // namespace

TEST_CASE("whole series: a network learns them, and predicts each as alone") {
  const tsdl::TsCases train = waves(150, 1), test = waves(90, 2);
  const auto data = tsdl::prepare_cases<float>(train, tsdl::stratified_split(train, 0.2, 1), &test);
  Any model = tsdl::make_classifier<float>("bigru", network, 1);
  tsdl::Trainer<Any> trainer(model, options(60, true));
  trainer.fit(data.train, data.validation);
  const tsdl::Metrics metrics = tsdl::evaluate(model, data.test);
  CHECK(metrics.accuracy > 0.85);
  CHECK(metrics.count == 90);

  // Each by itself, as a batch without lengths.
  const tsdl::Matrix<double> together = tsdl::predict(model, data.test);
  tsdl::Buffer<float> scratch;
  Any::Cache cache;
  Index different = 0;
  for (Index i = 0; i < data.test.size(); ++i) {
    const auto one = data.test.batch(i, 1, scratch);
    REQUIRE(one.steps == test.cases[static_cast<std::size_t>(i)].length());
    const auto outputs = model.forward(one, cache, {});
    const std::vector<double> logits(outputs.data(), outputs.data() + 3);
    double p[3];
    model.task()->decode(logits.data(), p);
    for (Index k = 0; k < 3; ++k) different += p[k] != together(k, i);
  }
  CHECK(different == 0);

  // And after a file, with the names of the classes.
  const test::TemporaryDirectory directory;
  tsdl::save_model(directory / "m.safetensors", model, data.recipe, 1);
  const auto loaded = tsdl::load_any_model<float>(directory / "m.safetensors");
  CHECK(loaded.recipe.whole_series);
  CHECK(tsdl::class_names(loaded.recipe) == train.class_names);
  CHECK(tsdl::predict(loaded.model, tsdl::apply_cases<float>(loaded.recipe, test)) == together);
}

TEST_CASE("whole series: one shard has LocalStepper's bits, and four of them those of any ranks") {
  const tsdl::TsCases train = waves(75, 3);
  const auto data = tsdl::prepare_cases<float>(train, tsdl::stratified_split(train, 0.3, 1));
  const auto run = [&](bool shuffle, auto&&... arguments) {
    Any model = tsdl::make_classifier<float>("bilstm", network, 1);
    using Stepper = std::conditional_t<sizeof...(arguments) == 0, tsdl::LocalStepper<Any>,
                                       tsdl::ShardedStepper<Any>>;
    tsdl::Trainer<Any, Stepper> trainer(model, options(3, shuffle), arguments...);
    return bits(trainer, data);
  };
  for (const bool shuffle : {false, true}) {
    CHECK((run(shuffle) == run(shuffle, Index{1})));
    const std::string four = run(shuffle, Index{4});
    CHECK((four != run(shuffle)));
    for (const Index ranks : {2, 4})
      for (const std::string& one : test::on_ranks<std::string>(
               ranks, [&](tsdl::Communicator& all) { return run(shuffle, Index{4}, all); }))
        CHECK((one == four));
  }
}

TEST_CASE("whole series: a sharded batch of one's own keeps its lengths") {
  const tsdl::TsCases train = waves(12, 4);
  const auto data = tsdl::prepare_cases<float>(train, tsdl::stratified_split(train, 0, 1));
  tsdl::Buffer<float> scratch;
  tsdl::Buffer<double> targets;
  tsdl::Batch<float> batch(data.train.batch(0, 12, scratch),
                           data.train.batch_targets(0, 12, 1, targets));
  batch.lengths = data.train.lengths(0, 12);
  const auto losses = [&](Index shards, bool lengths) {
    tsdl::Batch<float> given = batch;
    if (!lengths) given.lengths = {};
    Any model = tsdl::make_classifier<float>("bigru", network, 1);
    model.set_task(tsdl::Classes{.count = 3});
    tsdl::ShardedStepper<Any> stepper(model, {}, shards);
    return stepper.step(given, {.learning_rate = 0.01, .dropout = {1, 1}}).loss.mean();
  };
  CHECK(losses(4, true) == doctest::Approx(losses(1, true)).epsilon(1e-12));
  CHECK(losses(4, true) != doctest::Approx(losses(4, false)).epsilon(1e-6));
}

TEST_CASE("recipes: the texts of classes must be as many as the classes") {
  const tsdl::TsCases train = waves(6, 4);
  const auto data = tsdl::prepare_cases<float>(train, tsdl::stratified_split(train, 0, 1));
  const auto json = tsdl::internal::recipe_to_json(data.recipe);
  CHECK(tsdl::internal::recipe_from_json(json).class_texts == train.class_names);
  auto wrong = json;
  wrong["class_texts"] = {"slow", "fast"};
  CHECK_THROWS_AS(tsdl::internal::recipe_from_json(wrong), tsdl::Error);
  CHECK_FALSE(tsdl::internal::recipe_to_json(tsdl::Recipe()).contains("whole_series"));
}
