// Ensembles: the mean of their members' predictions, gradients, batches, streams, files, refusals.
#include "tsdl/nn/ensemble.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <numeric>
#include <vector>

#include "data/helpers.hpp"
#include "support/files.hpp"
#include "support/network.hpp"
#include "support/training.hpp"
#include "tsdl/data/prepare.hpp"
#include "tsdl/io/checkpoint.hpp"
#include "tsdl/nn/factory.hpp"
#include "tsdl/serve/streaming.hpp"
#include "tsdl/train/predict.hpp"

namespace {

using test::Index;
using Values = std::vector<double>;
using tsdl::Pooling;
using tsdl::Task;

static_assert(tsdl::Model<tsdl::Ensemble<float>> && tsdl::Model<tsdl::Ensemble<double>>);

/// One member of each of three kinds, their weights drawn.
template <class Scalar>
std::vector<tsdl::AnyModel<Scalar>> three_kinds(Index inputs, const Task& task, Pooling pooling,
                                                double scale = 0.5, double dropout = 0) {
  using Any = tsdl::AnyModel<Scalar>;
  const Index K = task->outputs();
  const auto recurrent = [&](const char* kind, Index hidden) {
    return tsdl::make_classifier<Scalar>(kind,
                                         {.input_size = inputs,
                                          .hidden_size = hidden,
                                          .num_layers = 2,
                                          .dropout = dropout,
                                          .head_dropout = dropout,
                                          .pooling = pooling,
                                          .outputs = K},
                                         1);
  };
  std::vector<Any> members = {recurrent("lstm", 7), recurrent("gru", 5),
                              tsdl::TransformerNetwork<Scalar>({.input_size = inputs,
                                                                .hidden_size = 6,
                                                                .heads = 2,
                                                                .feed_forward = 9,
                                                                .num_layers = 1,
                                                                .dropout = dropout,
                                                                .causal = true,
                                                                .pooling = pooling,
                                                                .outputs = K})};
  tsdl::RandomStream random(17);
  for (Any& member : members) {
    test::draw_parameters(member, random, scale);
    member.set_task(task);
  }
  return members;
}

const Values three_weights = {0.5, 0.2, 0.3};

template <class Scalar>
tsdl::Ensemble<Scalar> ensemble_of(Index inputs, const Task& task, Pooling pooling) {
  return tsdl::Ensemble<Scalar>(three_kinds<Scalar>(inputs, task, pooling), three_weights);
}

}  // namespace

TEST_CASE("ensemble: it predicts the weighted mean, and loses at most the mean of the losses") {
  const auto toy = test::two_classes<double>(120);
  const std::vector<Task> tasks = {tsdl::Binary{}, tsdl::Classes{.count = 2}, tsdl::Regression{},
                                   tsdl::Quantiles{}};
  for (const Task& task : tasks)
    for (const double scale : {0.3, 2.0}) {
      CAPTURE(task->describe().kind);
      const auto windows = toy.windows(10, 90);
      const auto members = three_kinds<double>(2, task, Pooling::last, scale);
      const tsdl::Ensemble<double> ensemble(members, {5, 2, 3});
      CHECK(test::largest_difference(ensemble.weights(), three_weights) <= 1e-16);
      tsdl::Matrix<double> mean = tsdl::Matrix<double>::Zero(task->predictions(), windows.size());
      double loss = 0;
      for (std::size_t m = 0; m < 3; ++m) {
        mean += three_weights[m] * tsdl::predict(members[m], windows);
        loss += three_weights[m] * tsdl::evaluate(members[m], windows).loss;
      }
      CHECK((tsdl::predict(ensemble, windows) - mean).cwiseAbs().maxCoeff() <= 1e-14 * (1 + scale));
      const double its = tsdl::evaluate(ensemble, windows).loss;
      CHECK(its <= loss * (1 + 1e-14));
      if (task->describe().kind != "quantiles")
        CHECK(its < loss);  // their loss is straight between
    }
}

TEST_CASE("ensemble: finite differences of every parameter and input, with dropout") {
  const Index I = 3, T = 4, B = 3;
  const std::vector<std::pair<Task, Values>> kinds = {
      {tsdl::Binary{}, {0, 1, 1}},
      {tsdl::Classes{.count = 3}, {2, 0, 1}},
      {tsdl::Quantiles{.levels = {0.2, 0.5, 0.9}}, {0.3, -1, 2}}};
  for (const auto& kind : kinds)
    for (const Pooling pooling : {Pooling::last, Pooling::each}) {
      const Task& task = kind.first;
      const Values& targets = kind.second;
      CAPTURE(task->describe().kind);
      tsdl::Ensemble<double> ensemble(three_kinds<double>(I, task, pooling, 0.5, 0.25),
                                      three_weights);
      tsdl::RandomStream random(3);
      auto x = test::draw<double>(random, T * B * I);
      const auto view = test::dense(x, I, T, B);
      const tsdl::Batch<double> batch(tsdl::Sequence<const double>(view.data, I, T, B, B * I, I));
      tsdl::Ensemble<double>::Cache cache;
      const tsdl::Pass pass{.training = true, .dropout = {5, 6}};
      const Index S = ensemble.target_steps(T), n = S * B;
      Values wanted;
      for (Index s = 0; s < S; ++s) wanted.insert(wanted.end(), targets.begin(), targets.end());
      Values slopes(static_cast<std::size_t>(n * task->outputs()));
      const std::function<double()> loss = [&] {
        const auto outputs = ensemble.forward(batch, cache, pass);
        return task->loss(outputs.data(), wanted.data(), n, slopes.data()).sum;
      };
      loss();
      Values dx(x.size(), 9);
      ensemble.zero_gradients();
      ensemble.backward(batch, cache, slopes.data(), test::dense(dx, I, T, B));
      const auto gradients = test::gradients(ensemble);
      const auto slope_of = [&](double& value) {
        const double before = value, step = 1e-3;
        const auto at = [&](double offset) {
          value = before + offset;
          ensemble.repack();
          const double result = loss();
          value = before;
          ensemble.repack();
          return result;
        };
        return (8 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) / (12 * step);
      };
      std::size_t tensor = 0;
      ensemble.visit([&](tsdl::Parameter<double>& parameter) {
        INFO(parameter.name);
        Values numeric;
        for (double& value : parameter.value) numeric.push_back(slope_of(value));
        CHECK(test::largest_difference(gradients[tensor], numeric) <=
              1e-7 * std::max(test::largest(numeric), 1e-3));
        ++tensor;
      });
      ensemble.repack();
      Values numeric;
      for (double& value : x) numeric.push_back(slope_of(value));
      CHECK(test::largest(numeric) > 1e-3);
      CHECK(test::largest_difference(dx, numeric) <= 1e-7 * test::largest(numeric));
    }
}

TEST_CASE("ensemble: the same bits for any batch and any number of threads") {
  const test::ThreadCountGuard guard;
  const auto ensemble = ensemble_of<float>(3, tsdl::Classes{.count = 3}, Pooling::mean);
  const Index I = 3, T = 9, B = 33;
  tsdl::RandomStream random(6);
  const auto x = test::draw<float>(random, T * B * I);
  tsdl::Ensemble<float>::Cache cache;
  tsdl::set_thread_count(1);
  const tsdl::Matrix<float> expected = ensemble.forward(test::dense(x, I, T, B), cache);
  tsdl::set_thread_count(3);
  CHECK((ensemble.forward(test::dense(x, I, T, B), cache) == expected));
  for (Index b = 0; b < B; b += 7) {
    const tsdl::Sequence<const float> one(x.data() + b * I, I, T, 1, B * I, I);
    CHECK((ensemble.forward(one, cache) == expected.col(b)));
  }
}

TEST_CASE("ensemble: files hold kinds, weights and task; streams have the bits of predictions") {
  const auto data = tsdl::prepare<float>(test::random_candles(260, 3),
                                         {.length = 8, .label = tsdl::RangeLabel{}});
  const Task task = data.task();
  const Index I = data.inputs();
  tsdl::Ensemble<float> ensemble(three_kinds<float>(I, task, Pooling::last), {1, 0.3, 0.9});
  ensemble.set_task(task.with_temperature(1.75));
  const auto predictions = tsdl::predict(ensemble, data.validation);

  const test::TemporaryDirectory directory;
  const auto path = directory / "ensemble.safetensors", again = directory / "again.safetensors";
  tsdl::save_model(path, ensemble, data.recipe, 5);
  const auto loaded = tsdl::load_any_model<float>(path);
  CHECK((loaded.model.describe() == ensemble.describe()));
  CHECK(loaded.model.task()->temperature() == 1.75);
  CHECK((tsdl::predict(loaded.model, data.validation) == predictions));
  tsdl::save_model(again, loaded.model, loaded.recipe, loaded.seed);
  CHECK(test::read_bytes(again) == test::read_bytes(path));

  // A member is a model of its own again.
  const auto* held = loaded.model.get_if<tsdl::Ensemble<float>>();
  REQUIRE(held != nullptr);
  const auto members = three_kinds<float>(I, task, Pooling::last);
  for (Index m = 0; m < held->size(); ++m) {
    const auto one = held->member(m);
    CHECK(test::weight_bytes(one) == test::weight_bytes(members[static_cast<std::size_t>(m)]));
    std::string name;
    one.visit([&](const auto& parameter) {
      if (name.empty()) name = parameter.name;
    });
    CHECK(!name.starts_with("members."));
    CHECK((one.task()->describe() == task->describe()));
  }

  const auto candles = test::random_candles(260, 3);
  for (const tsdl::StreamMode mode : {tsdl::StreamMode::rerun, tsdl::StreamMode::carry}) {
    tsdl::StreamingPredictor stream(loaded.model, loaded.recipe, tsdl::StreamOptions(mode, 300));
    const auto windows = tsdl::apply<float>(loaded.recipe, candles);
    const auto expected = tsdl::predict(ensemble, windows);
    Index next = 0, same = 0;
    for (Index row = 0; row < candles.size(); ++row) {
      const auto prediction = stream.push(candles[row]);
      if (next == windows.size() || windows.end_row(next) != row) continue;
      REQUIRE(prediction);
      same += test::same_bits(prediction.values[0], expected(0, next));
      ++next;
    }
    CHECK(next == windows.size());
    CHECK(same == (mode == tsdl::StreamMode::rerun ? next : 1));  // carry: the first window's rows
  }
}

TEST_CASE("ensemble: a carried stream gives what each member's does, and a snapshot goes on") {
  const auto ensemble = ensemble_of<float>(2, tsdl::Binary{}, Pooling::last);
  const Index T = 12;
  tsdl::RandomStream random(4);
  const auto x = test::draw<float>(random, T * 2);
  tsdl::Ensemble<float>::Carried<> stream(ensemble, T - 1);
  tsdl::Ensemble<float>::Cache cache;
  for (Index t = 0; t < T - 1; ++t) {
    CHECK(!stream.is_full());
    stream.prepare(ensemble);
    const auto out = stream.push(ensemble, x.data() + 2 * t);
    REQUIRE(out.size() == 1);
    CHECK(out[0] == ensemble.forward(test::dense(x, 2, t + 1, 1), cache)(0, 0));
  }
  CHECK(stream.is_full());  // the Transformer keeps T - 1 rows
  CHECK(stream.push(ensemble, x.data()).empty());
  stream.reset();
  CHECK(stream.push(ensemble, x.data())[0] ==
        ensemble.forward(test::dense(x, 2, 1, 1), cache)(0, 0));
}

TEST_CASE("ensemble: what is refused") {
  using Ensemble = tsdl::Ensemble<float>;
  using Any = tsdl::AnyModel<float>;
  const auto members = three_kinds<float>(3, tsdl::Binary{}, Pooling::last);
  CHECK_THROWS_WITH_AS(Ensemble({}), "ensemble: expected 1 to 1000 members, got 0",
                       tsdl::OptionError);
  CHECK_THROWS_WITH_AS(Ensemble(members, {1, 2}), "ensemble: expected 3 weights, got 2",
                       tsdl::ShapeError);
  CHECK_THROWS_WITH_AS(Ensemble(members, {1, -2, 1}),
                       "ensemble: a weight must be finite and at least 0, not -2",
                       tsdl::OptionError);
  CHECK_THROWS_AS(Ensemble(members, {0, 0, 0}), tsdl::OptionError);
  auto others = members;
  others[1].set_task(Task(tsdl::Binary{}).with_temperature(2));
  CHECK_THROWS_WITH_AS(Ensemble{others},
                       "ensemble: member 1 has a temperature; calibrate the ensemble, not its "
                       "members",
                       tsdl::OptionError);
  others[1].set_task(tsdl::Binary{.pos_weight = 2});
  CHECK_THROWS_WITH_AS(Ensemble{others}, "ensemble: member 1 has another task than member 0",
                       tsdl::OptionError);
  Ensemble sized(members);
  CHECK_THROWS_AS(sized.set_task(tsdl::Classes{.count = 5}), tsdl::OptionError);
  others = members;
  others[2] = Any(Ensemble(members));
  CHECK_THROWS_WITH_AS(Ensemble{others},
                       "ensemble: member 2 is an ensemble: give its members instead",
                       tsdl::OptionError);
  others = members;
  others[1] = three_kinds<float>(4, tsdl::Binary{}, Pooling::last)[1];
  CHECK_THROWS_WITH_AS(
      Ensemble{others},
      "ensemble: member 1 has 4 inputs and 1 outputs for 1 of 2 steps, member 0 has 3, 1 and 1",
      tsdl::ShapeError);
  others[1] = three_kinds<float>(3, tsdl::Binary{}, Pooling::each)[1];
  CHECK_THROWS_AS(Ensemble{others}, tsdl::ShapeError);
  Ensemble ensemble(members);
  Ensemble::Cache cache;
  const std::vector<float> x(12);
  CHECK_THROWS_AS(ensemble.backward(test::dense(x, 3, 2, 2), cache, x.data()), tsdl::Error);
  CHECK_THROWS_AS(ensemble.member(3), tsdl::OptionError);

  // Configurations that no ensemble wrote.
  const tsdl::Config good = Ensemble(members).describe();
  const auto refusal = [&](const auto& change) {
    tsdl::Config config = good;
    change(config.options);
    return test::message_of<tsdl::OptionError>([&] { tsdl::make_model<float>(config); });
  };
  CHECK(refusal([](auto& options) { options["members"] = Index{0}; }) ==
        "ensemble: option 'members': expected 1 to 1000, got 0");
  CHECK(refusal([](auto& options) { options["members"] = Index{2}; }) ==
        "ensemble: option 'members.2.activation' is not known");
  CHECK(refusal([](auto& options) { options["members"] = Index{4}; }) ==
        "ensemble: option 'members.3.kind' is missing");
  CHECK(refusal([](auto& options) { options["members.01.hidden_size"] = Index{4}; }) ==
        "ensemble: option 'members.01.hidden_size' is not known");
  CHECK(refusal([](auto& options) { options["members.1.kind"] = "ensemble"; }) ==
        "ensemble: member 1 is an ensemble");
  CHECK(refusal([](auto& options) { options["members.1.kind"] = "rnn"; }) ==
        "make_model: expected one of lstm, gru, bilstm, bigru, transformer, ensemble, got 'rnn'");
}
