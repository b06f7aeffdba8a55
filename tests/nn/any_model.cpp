// A model whose type is known at run time only does what the one that it holds does.
#include "tsdl/nn/any_model.hpp"

#include <doctest/doctest.h>

#include <utility>

#include "support/network.hpp"
#include "support/training.hpp"
#include "tsdl/nn/factory.hpp"

namespace {

using test::Index;
using Any = tsdl::AnyModel<float>;
using LSTM = tsdl::LSTMClassifier<float>;
using BiGRU = tsdl::BiGRUClassifier<float>;

static_assert(tsdl::Model<Any> && tsdl::Model<LSTM> && tsdl::Model<BiGRU>);

tsdl::ClassifierOptions options(tsdl::Pooling pooling) {
  return {.input_size = 3,
          .hidden_size = 5,
          .num_layers = 2,
          .dropout = 0.25,
          .head_dropout = 0.125,
          .pooling = pooling,
          .outputs = 2};
}

/// Outputs and gradients of one training pass.
template <class M>
std::pair<std::vector<float>, std::vector<std::vector<float>>> trained_pass(
    M& model, typename M::Cache& cache, Index T, Index B) {
  tsdl::RandomStream random(2);
  const auto x = test::draw<float>(random, T * B * 3);
  const auto view = test::dense(x, 3, T, B);
  const auto outputs = model.forward(view, cache, {.training = true, .dropout = {5, 6}});
  const auto doutputs = test::draw<float>(random, outputs.size());
  std::vector<float> values(outputs.data(), outputs.data() + outputs.size());
  model.zero_gradients();
  model.backward(view, cache, doutputs.data());
  return {values, test::gradients(model)};
}

}  // namespace

TEST_CASE_TEMPLATE("any model: passes, figures and task of the one that it holds", M, LSTM, BiGRU) {
  for (const tsdl::Pooling pooling :
       {tsdl::Pooling::last, tsdl::Pooling::mean, tsdl::Pooling::each}) {
    if (pooling == tsdl::Pooling::each && M::kind().starts_with("bi")) continue;
    M model(options(pooling), 3);
    Any any(model);
    CHECK((any.describe() == model.describe()));
    CHECK(any.inputs() == 3);
    CHECK(any.outputs() == 2);
    CHECK(any.parameter_count() == model.parameter_count());
    CHECK(any.target_steps(7) == model.target_steps(7));
    CHECK(tsdl::target_steps(any, 7) == model.target_steps(7));
    CHECK((any.task()->describe() == model.task()->describe()));
    typename M::Cache cache;
    Any::Cache any_cache;
    for (const Index B : {1, 6}) {
      const auto expected = trained_pass(model, cache, 4, B),
                 found = trained_pass(any, any_cache, 4, B);
      CHECK((found == expected));
      CHECK(test::largest(found.second[0]) > 0);
    }
    any.set_task(tsdl::Regression{.targets = 2});
    CHECK(any.task()->describe().kind == "regression");
    CHECK(any.template get_if<M>()->task()->describe().kind == "regression");
    CHECK(model.task()->describe().kind == "classes");
  }
}

TEST_CASE("any model: a copy is its own, and knows its type") {
  Any one = LSTM(options(tsdl::Pooling::last), 3);
  Any two = one;
  CHECK((test::weight_bytes(one) == test::weight_bytes(two)));
  two.visit([](auto& parameter) { parameter.value[0] += 1; });
  two.repack();
  CHECK((test::weight_bytes(one) != test::weight_bytes(two)));
  CHECK(one.get_if<LSTM>() != nullptr);
  CHECK(one.get_if<BiGRU>() == nullptr);
  two = one;
  CHECK((test::weight_bytes(one) == test::weight_bytes(two)));
  two = Any(BiGRU(options(tsdl::Pooling::last), 3));
  CHECK(two.get_if<BiGRU>() != nullptr);
  const Any moved = std::move(two);
  CHECK(moved.describe().kind == "bigru");
}

TEST_CASE("any model: a cache goes from one kind of model to another") {
  Any one = LSTM(options(tsdl::Pooling::last), 3), two = BiGRU(options(tsdl::Pooling::last), 3);
  Any::Cache fresh, other, shared;
  const auto first = trained_pass(one, fresh, 4, 3), second = trained_pass(two, other, 4, 3);
  for (int round = 0; round < 2; ++round) {
    CHECK((trained_pass(one, shared, 4, 3) == first));
    CHECK((trained_pass(two, shared, 4, 3) == second));
  }
  // Its windows and states are those of the model.
  Any::Cache unused;
  const std::vector<float> x(12, 0.5f), doutputs(2, 1.0f);
  CHECK_THROWS_AS(one.backward(test::dense(x, 3, 4, 1), unused, doutputs.data()), tsdl::Error);
}

namespace {

/// A model whose cache is another than a network's: a text, which must not be taken for buffers.
class Talker : public tsdl::ModelBase<float> {
 public:
  struct Cache {
    std::string said = "a text that is long enough to stand in memory of its own";
    float output = 0;
  };
  Talker() : ModelBase(1) {}
  tsdl::Config describe() const { return tsdl::Config("talker"); }
  Index inputs() const { return 2; }
  Index outputs() const { return 1; }
  void visit(auto&&) {}
  void visit(auto&&) const {}
  void repack() {}
  void zero_gradients() {}
  tsdl::Outputs<float> forward(const tsdl::Batch<float>& batch, Cache& cache,
                               const tsdl::Pass&) const {
    cache.output = static_cast<float>(cache.said.size());
    return {&cache.output, 1, batch.size()};
  }
  void backward(const tsdl::Batch<float>&, Cache&, const float*) {}
};

}  // namespace

TEST_CASE("any model: a cache that another type of model has used is made anew") {
  const tsdl::AnyModel<float> talker{Talker()};
  const auto network = tsdl::make_classifier<float>("gru", {.input_size = 2, .hidden_size = 3});
  const std::vector<float> x = {0.5f, -1, 2, 0.25f};
  const auto one = tsdl::Sequence<const float>::dense(x.data(), 2, 2, 1);
  tsdl::AnyModel<float>::Cache shared, fresh;
  const float expected = network.forward(one, fresh)(0, 0);
  for (int round = 0; round < 2; ++round) {
    CHECK(talker.forward(one, shared)(0, 0) == 56);
    CHECK(network.forward(one, shared)(0, 0) == expected);
  }
}
