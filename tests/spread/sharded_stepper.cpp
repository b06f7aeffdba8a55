// Updates over shards: the same bits for any number of ranks and threads, and the gradients of the
// whole batch.
#include "tsdl/spread/sharded_stepper.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "support/network.hpp"
#include "support/ranks.hpp"
#include "support/training.hpp"
#include "tsdl/nn/factory.hpp"
#include "tsdl/train/trainer.hpp"

namespace {

using test::Index;

template <class Model>
using Sharded = tsdl::Trainer<Model, tsdl::ShardedStepper<Model>>;

tsdl::ClassifierOptions network(tsdl::Pooling pooling = tsdl::Pooling::last) {
  return {.input_size = 3,
          .hidden_size = 6,
          .num_layers = 2,
          .dropout = 0.25,
          .head_dropout = 0.2,
          .pooling = pooling};
}

tsdl::TrainerOptions options() {
  tsdl::TrainerOptions o;
  o.max_epochs = 2;
  o.batch_size = 19;
  o.optimizer.lr = 0.01;
  o.seed = 5;
  return o;
}

/// Everything that a run decides, as bytes.
template <class Trainer, class Windows>
std::string run(Trainer& trainer, const Windows& train, const Windows& validation) {
  const tsdl::History history = trainer.fit(train, validation);
  std::string bytes = test::weight_bytes(trainer.model()) + test::bytes_of(trainer.best_weights());
  for (const tsdl::EpochRecord& record : history.epochs) {
    const double figures[] = {record.train_loss,         record.gradient_norm,
                              record.validation.loss,    record.validation.brier,
                              trainer.state().best_loss, trainer.state().monitored};
    bytes += test::bytes_of(std::span<const double>(figures));
  }
  return bytes;
}

/// A run over `shards` on each of `ranks` ranks: one result a rank. 0 shards: LocalStepper.
template <class Model>
std::vector<std::string> trained(Index shards, Index ranks, const tsdl::TrainerOptions& training,
                                 bool validates = true, int threads = 1) {
  using Scalar = typename Model::Scalar;
  const auto toy = test::two_classes<Scalar>(330, 3);
  const auto train = toy.windows(7, 150),
             validation = validates ? toy.windows(170, 150) : tsdl::Windows<Scalar>();
  const auto fit = [&](auto&&... arguments) {
    tsdl::set_thread_count(threads);
    Model model(network(), 21);
    using Stepper = std::conditional_t<sizeof...(arguments) == 0, tsdl::LocalStepper<Model>,
                                       tsdl::ShardedStepper<Model>>;
    tsdl::Trainer<Model, Stepper> trainer(model, training, arguments...);
    return run(trainer, train, validation);
  };
  if (shards == 0) return {fit()};
  if (ranks == 0) return {fit(shards)};
  return test::on_ranks<std::string>(
      ranks, [&](tsdl::Communicator& communicator) { return fit(shards, communicator); });
}

/// The gradients that one update makes of a batch, with the weights left alone.
template <class Model, class... Arguments>
auto gradients_of(const Model& made, const tsdl::Batch<typename Model::Scalar>& batch,
                  const tsdl::Task& task, Arguments&&... arguments) {
  using Stepper = std::conditional_t<sizeof...(arguments) == 0, tsdl::LocalStepper<Model>,
                                     tsdl::ShardedStepper<Model>>;
  Model model = made;
  model.set_task(task);
  Stepper stepper(model, tsdl::AdamW{.lr = 0.0}, arguments...);
  const tsdl::UpdateResult result =
      stepper.step(batch, {.learning_rate = 0.0, .dropout = {.seed = 3, .update = 7}});
  CHECK(result.applied);
  return std::pair(test::gradients(model), result);
}

/// A batch of B random samples with targets that `of` draws.
template <class Scalar>
struct RandomBatch {
  std::vector<Scalar> x;
  std::vector<double> targets;
  std::vector<std::uint32_t> keys;
  Index I, T, B;

  RandomBatch(Index inputs, Index steps, Index samples, Index classes)
      : I(inputs), T(steps), B(samples) {
    tsdl::RandomStream random(17);
    x = test::draw<Scalar>(random, I * T * B);
    for (Index b = 0; b < B; ++b) {
      targets.push_back(static_cast<double>(random.below(static_cast<std::uint64_t>(classes))));
      keys.push_back(static_cast<std::uint32_t>(random.below(1000)));
    }
  }
  tsdl::Batch<Scalar> batch(bool keyed = false) const {
    tsdl::Batch<Scalar> all(test::dense(x, I, T, B),
                            tsdl::Sequence<const double>::dense(targets.data(), 1, 1, B));
    if (keyed) all.keys = keys;
    return all;
  }
};

/// One weight in float; the gradient of sample b is x_b times the slope: what tells orders apart.
class OneWeight : public tsdl::ModelBase<float> {
 public:
  struct Cache {
    tsdl::Buffer<float> outputs;
  };
  OneWeight() : ModelBase(1), weight_(tsdl::Parameter<float>::vector("weight", 1)) {}
  tsdl::Config describe() const { return tsdl::Config("one_weight"); }
  Index inputs() const { return 1; }
  Index outputs() const { return 1; }
  void visit(auto&& f) { f(weight_); }
  void visit(auto&& f) const { f(weight_); }
  void repack() {}
  void zero_gradients() { weight_.zero_gradient(); }
  tsdl::Outputs<float> forward(const tsdl::Batch<float>& batch, Cache& cache,
                               const tsdl::Pass&) const {
    cache.outputs.resize(batch.size());
    for (Index b = 0; b < batch.size(); ++b)
      cache.outputs[b] = weight_.value[0] * batch.past.column(0, b)[0];
    return {cache.outputs.data(), 1, batch.size()};
  }
  void backward(const tsdl::Batch<float>& batch, Cache&, const float* doutputs) {
    for (Index b = 0; b < batch.size(); ++b)
      weight_.gradient[0] += doutputs[b] * batch.past.column(0, b)[0];
  }
  float gradient() const { return weight_.gradient[0]; }

 private:
  tsdl::Parameter<float> weight_;
};
static_assert(tsdl::Model<OneWeight>);

/// The gradient of OneWeight, at weight 0 and targets -B / 2, is the sum of x: its slopes are 1.
float sum_of(const std::vector<float>& x, Index shards, tsdl::Communicator& ranks) {
  OneWeight model;
  model.set_task(tsdl::Regression{});
  const std::vector<double> targets(x.size(), -0.5 * static_cast<double>(x.size()));
  const Index B = std::ssize(x);
  tsdl::ShardedStepper<OneWeight> stepper(model, tsdl::AdamW{.lr = 0.0}, shards, ranks);
  stepper.step({tsdl::Sequence<const float>::dense(x.data(), 1, 1, B),
                tsdl::Sequence<const double>::dense(targets.data(), 1, 1, B)},
               {});
  return model.gradient();
}

}  // namespace

TEST_CASE("shards: one shard has LocalStepper's bits") {
  const test::ThreadCountGuard guard;
  for (const int order : {0, 1, 2}) {
    tsdl::TrainerOptions training = options();
    training.shuffle = order == 1;
    training.shuffle_batches = order == 2;
    CHECK((trained<tsdl::BiLSTMClassifier<float>>(1, 0, training) ==
           trained<tsdl::BiLSTMClassifier<float>>(0, 0, training)));
  }
  CHECK((trained<tsdl::GRUClassifier<double>>(1, 0, options(), false) ==
         trained<tsdl::GRUClassifier<double>>(0, 0, options(), false)));
}

TEST_CASE("shards: one, two and four ranks train the same bits") {
  const test::ThreadCountGuard guard;
  using Model = tsdl::BiLSTMClassifier<float>;
  for (const bool shuffle : {false, true})
    for (const bool validates : {true, false}) {
      tsdl::TrainerOptions training = options();
      training.shuffle = shuffle;
      const std::string alone = trained<Model>(4, 0, training, validates).at(0);
      for (const Index ranks : {1, 2, 4})
        for (const std::string& bytes : trained<Model>(4, ranks, training, validates))
          CHECK((bytes == alone));
    }
  // Another number of shards adds in another order, and shuffling is another run.
  tsdl::TrainerOptions shuffled = options();
  shuffled.shuffle = true;
  const auto four = trained<Model>(4, 0, options());
  CHECK((trained<Model>(2, 0, options()) != four));
  CHECK((trained<Model>(4, 0, shuffled) != four));
  // In double, and where the parts are of 2 and 3 samples.
  const auto eight = trained<tsdl::LSTMClassifier<double>>(8, 0, options()).at(0);
  for (const Index ranks : {2, 8})
    for (const std::string& bytes : trained<tsdl::LSTMClassifier<double>>(8, ranks, options()))
      CHECK((bytes == eight));
}

TEST_CASE("shards: the number of threads changes no bit") {
  const test::ThreadCountGuard guard;
  using Model = tsdl::GRUClassifier<float>;
  const auto one = trained<Model>(2, 0, options());
  CHECK((trained<Model>(2, 0, options(), true, 4) == one));
  CHECK((trained<Model>(2, 2, options(), true, 3) == std::vector(2, one[0])));
}

TEST_CASE("shards: parts are added in one binary tree") {
  // At S = 4, tree and sequence differ; parts of two samples each, added within a part in order.
  const std::vector<float> x{16777216.0f, 0.0f, 1.0f, 0.0f, 0.25f, 0.75f, 0.0f, -16777216.0f};
  const float tree = ((x[0] + x[1]) + (x[2] + x[3])) + ((x[4] + x[5]) + (x[6] + x[7]));
  CHECK(tree != std::accumulate(x.begin(), x.end(), 0.0f));
  for (const Index ranks : {1, 2, 4})
    for (const float sum :
         test::on_ranks<float>(ranks, [&](tsdl::Communicator& its) { return sum_of(x, 4, its); }))
      CHECK(sum == tree);
  // S = 8 of 11 samples: the parts end at floor(i 11 / 8), and three of them have two samples.
  tsdl::RandomStream random(4);
  std::vector<float> eleven;
  for (int i = 0; i < 11; ++i)
    eleven.push_back(static_cast<float>(std::exp(8 * random.normal()) * random.normal()));
  std::vector<float> sums;
  for (std::size_t i = 0; i < 8; ++i) {
    float part = 0;
    for (std::size_t b = i * 11 / 8; b < (i + 1) * 11 / 8; ++b) part += eleven[b];
    sums.push_back(part);
  }
  const float expected =
      ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
  for (const Index ranks : {1, 2, 4, 8})
    for (const float sum : test::on_ranks<float>(
             ranks, [&](tsdl::Communicator& its) { return sum_of(eleven, 8, its); }))
      CHECK(sum == expected);
}

TEST_CASE("shards: loss and gradients are those of the whole batch, by keys as well") {
  // Dropout would differ if a part's samples were counted from 0, and class weights make the parts
  // weigh differently.
  auto o = network();
  o.outputs = 3;
  const tsdl::BiLSTMClassifier<double> model(o, 9);
  const tsdl::Task task = tsdl::Classes{.count = 3, .weights = {0.2, 1.0, 3.5}};
  for (const Index B : {1, 3, 13, 40}) {
    const RandomBatch<double> random(3, 5, B, 3);
    for (const bool keyed : {false, true}) {
      const auto [whole, loss] = gradients_of(model, random.batch(keyed), task);
      for (const Index shards : {1, 2, 4, 8, 32}) {
        INFO("B ", B, ", shards ", shards);
        const auto [parts, sharded] = gradients_of(model, random.batch(keyed), task, shards);
        CHECK(sharded.loss.sum == doctest::Approx(loss.loss.sum).epsilon(1e-13));
        CHECK(sharded.loss.weight == doctest::Approx(loss.loss.weight).epsilon(1e-14));
        CHECK(sharded.norm == doctest::Approx(loss.norm).epsilon(1e-12));
        REQUIRE(parts.size() == whole.size());
        for (std::size_t i = 0; i < parts.size(); ++i)
          CHECK(test::largest_difference(parts[i], whole[i]) <=
                1e-13 + 1e-12 * test::largest(whole[i]));
      }
    }
  }
  // The keys are in use: others give other masks.
  const RandomBatch<double> random(3, 5, 13, 3);
  CHECK(gradients_of(model, random.batch(true), task, 2).first !=
        gradients_of(model, random.batch(false), task, 2).first);
}

TEST_CASE("shards: every step with a target") {
  auto o = network(tsdl::Pooling::each);
  const tsdl::LSTMClassifier<double> model(o, 9);
  const RandomBatch<double> random(3, 4, 7, 2);
  std::vector<double> targets;
  for (Index i = 0; i < 4 * 7; ++i) targets.push_back(static_cast<double>(i % 3 == 0));
  tsdl::Batch<double> batch(test::dense(random.x, 3, 4, 7),
                            tsdl::Sequence<const double>::dense(targets.data(), 1, 4, 7));
  const auto [whole, loss] = gradients_of(model, batch, tsdl::Binary{});
  const auto [parts, sharded] = gradients_of(model, batch, tsdl::Binary{}, 4);
  CHECK(sharded.loss.weight == 28);
  CHECK(sharded.loss.sum == doctest::Approx(loss.loss.sum).epsilon(1e-13));
  for (std::size_t i = 0; i < parts.size(); ++i)
    CHECK(test::largest_difference(parts[i], whole[i]) <= 1e-13 + 1e-12 * test::largest(whole[i]));
}

TEST_CASE("shards: gradients of float models are the naive sums in double, to rounding") {
  // A linear model of which every derivative can be written down: dL/dw = sum 2 (w x - y) x / B.
  const Index B = 21;
  tsdl::RandomStream random(31);
  const auto x = test::draw<float>(random, B);
  std::vector<double> y;
  for (Index b = 0; b < B; ++b) y.push_back(random.normal());
  const tsdl::Batch<float> batch(tsdl::Sequence<const float>::dense(x.data(), 1, 1, B),
                                 tsdl::Sequence<const double>::dense(y.data(), 1, 1, B));
  OneWeight model;
  tsdl::update(model, [](auto& parameter) { parameter.value[0] = 0.75f; });
  double naive = 0, loss = 0;
  for (std::size_t b = 0; b < x.size(); ++b) {
    const double e = 0.75 * static_cast<double>(x[b]) - y[b];
    naive += 2 * e * static_cast<double>(x[b]) / static_cast<double>(B);
    loss += e * e;
  }
  for (const Index shards : {1, 2, 8, 64}) {
    const auto [gradients, result] = gradients_of(model, batch, tsdl::Regression{}, shards);
    CHECK(static_cast<double>(gradients[0][0]) == doctest::Approx(naive).epsilon(1e-5));
    CHECK(result.loss.sum == doctest::Approx(loss).epsilon(1e-6));
    CHECK(result.loss.weight == static_cast<double>(B));
  }
}

TEST_CASE("shards: an update that is not finite is skipped, and the model can still be used") {
  tsdl::LSTMClassifier<float> model(network(), 9);
  const std::string before = test::weight_bytes(model);
  RandomBatch<float> random(3, 5, 6, 2);
  Sharded<tsdl::LSTMClassifier<float>> trainer(model, options(), 2);
  random.x[4] = std::numeric_limits<float>::quiet_NaN();
  trainer.step(random.batch());
  CHECK(trainer.state().skipped_steps == 1);
  CHECK((test::weight_bytes(model) == before));
  random.x[4] = 0;
  trainer.step(random.batch());
  CHECK(trainer.state().skipped_steps == 1);
  CHECK((test::weight_bytes(model) != before));
}

TEST_CASE("shards: what cannot be shared is refused") {
  using Model = tsdl::LSTMClassifier<float>;
  Model model(network(), 9);
  for (const Index shards : {-4, 0, 3, 6, 12})
    CHECK_THROWS_AS(Sharded<Model>(model, options(), shards), tsdl::OptionError);
  const auto on = [&](Index size, Index shards) {
    test::on_ranks<int>(size, [&](tsdl::Communicator& ranks) {
      Model own = model;
      const Sharded<Model> trainer(own, options(), shards, ranks);
      return 0;
    });
  };
  on(2, 4);
  CHECK_THROWS_AS(on(4, 2), tsdl::OptionError);
  CHECK_THROWS_AS(on(3, 4), tsdl::OptionError);
}

TEST_CASE("shards: ranks with different weights are told at the first update") {
  using Model = tsdl::LSTMClassifier<float>;
  const auto step = [&](std::uint64_t second_seed) {
    return test::on_ranks<int>(2, [&](tsdl::Communicator& ranks) {
      Model model(network(), ranks.rank() == 0 ? 1 : second_seed);
      Sharded<Model> trainer(model, options(), 2, ranks);
      trainer.step(RandomBatch<float>(3, 5, 6, 2).batch());
      return 1;
    });
  };
  CHECK(step(1) == std::vector<int>{1, 1});
  CHECK_THROWS_WITH_AS(step(2), doctest::Contains("rank 1 begins with other weights"), tsdl::Error);
}

TEST_CASE("shards: targets that one rank would refuse are refused by all") {
  using Model = tsdl::LSTMClassifier<float>;
  RandomBatch<float> random(3, 5, 8, 2);
  random.targets[7] = 2;  // of the last part, which rank 1 has
  const auto refused = test::on_ranks<int>(2, [&](tsdl::Communicator& ranks) {
    Model model(network(), 1);
    Sharded<Model> trainer(model, options(), 2, ranks);
    try {
      trainer.step(random.batch());
    } catch (const tsdl::DataError&) {
      return 1;
    }
    return 0;
  });
  CHECK(refused == std::vector<int>{1, 1});
}
