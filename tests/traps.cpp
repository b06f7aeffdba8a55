// What a newcomer to the layers gets wrong first: each gives the right number, or an error that
// names cause and cure. What must not compile: tests/refused.sh.
#include <doctest/doctest.h>

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <string>
#include <tsdl/tsdl.hpp>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/files.hpp"

namespace {

using test::contains;
using test::message_of;
using tsdl::Index;
using tsdl::Sequence;

using LSTM = tsdl::LSTM<double>;

/// The last output of the first unit of each sample.
std::vector<double> outputs(const LSTM& lstm, const Sequence<const double>& x) {
  LSTM::Cache cache;
  lstm.forward(x, cache);
  std::vector<double> all;
  for (Index b = 0; b < x.batch; ++b) all.push_back(lstm.output(cache, x.steps - 1, b, 0)[0]);
  return all;
}

void shift(tsdl::Parameter<double>& parameter) { parameter.values().array() += 0.1; }

template <class Module>
std::string stale(Module& module, const auto& use) {
  module.visit([](auto& parameter) { parameter.value[0] += 1; });
  const std::string message = message_of<tsdl::Error>(use);
  module.repack();
  return message;
}

}  // namespace

TEST_CASE("traps: a sequence has no form without strides") {
  static_assert(!std::is_constructible_v<Sequence<double>, double*, Index, Index, Index>);
  static_assert(!std::is_constructible_v<Sequence<double>, double*, Index, Index, Index, Index>);
  static_assert(std::is_default_constructible_v<Sequence<double>>);
}

TEST_CASE("traps: a sequence from Eigen has the numbers of a dense one, whatever it is a view of") {
  constexpr Index I = 3, T = 4, B = 2;
  const Eigen::MatrixXd X = Eigen::MatrixXd::Random(I, T * B);
  const LSTM lstm({.input_size = I, .hidden_size = 5}, 1);
  const auto expected = outputs(lstm, Sequence<const double>::dense(X.data(), I, T, B));
  CHECK(outputs(lstm, {X, T}) == expected);
  const Eigen::Ref<const Eigen::MatrixXd> ref = X;
  CHECK(outputs(lstm, {ref, T}) == expected);
  CHECK(outputs(lstm, {Eigen::Map<const Eigen::MatrixXd>(X.data(), I, T * B), T}) == expected);
  Eigen::MatrixXd large = Eigen::MatrixXd::Random(I + 2, T * B + 1);
  large.block(1, 1, I, T * B) = X;
  CHECK(outputs(lstm, {large.block(1, 1, I, T * B), T}) == expected);  // columns 5 values apart

  const LSTM narrow({.input_size = 1, .hidden_size = 5}, 1);
  const Eigen::RowVectorXd row = X.row(0);
  const Eigen::MatrixXd matrix = row;
  CHECK(outputs(narrow, {row, T}) == outputs(narrow, {matrix, T}));
  CHECK(outputs(narrow, {X.row(0), T}) == outputs(narrow, {matrix, T}));  // values 3 apart

  Eigen::MatrixXd dx(I, T * B);
  const Sequence<double> writable(dx, T);
  CHECK(writable.is_dense());
  CHECK(writable.column(1, 1) == dx.col(B + 1).data());
}

TEST_CASE("traps: a matrix that is no sequence is refused") {
  const Eigen::MatrixXd X = Eigen::MatrixXd::Random(3, 8);
  for (const Index T : {Index{3}, Index{0}, Index{-1}, Index{9}})
    CHECK(contains(message_of<tsdl::ShapeError>([&] { Sequence<const double>(X, T); }),
                   "8 columns are not T = " + std::to_string(T) + " steps"));
  const Eigen::Map<const Eigen::MatrixXd, 0, Eigen::InnerStride<2>> spread(X.data(), 3, 4);
  CHECK(contains(message_of<tsdl::ShapeError>([&] { Sequence<const double>(spread, 2); }),
                 "must be adjacent, and are 2 apart"));
}

TEST_CASE("traps: values that were changed and not repacked are not passed over") {
  const std::string cure = "call repack(), or change them in tsdl::update(module, f)";
  const Eigen::MatrixXd X = Eigen::MatrixXd::Random(3, 8);
  LSTM lstm({.input_size = 3, .hidden_size = 5}, 1);
  CHECK(contains(stale(lstm, [&] { outputs(lstm, {X, 4}); }), cure));
  CHECK(contains(stale(lstm, [&] { tsdl::RecurrentStream stream(lstm); }), cure));
  LSTM::Cache cache;
  lstm.forward({X, 4}, cache, {.training = true});
  CHECK(contains(stale(lstm, [&] { lstm.backward({X, 4}, cache, {}); }), cure));

  tsdl::Linear<double> linear(3, 2, /*seed=*/1);
  double y[2];
  CHECK(contains(stale(linear, [&] { linear.forward(y, X.data(), 1); }), cure));

  tsdl::BiLSTMClassifier<double> model({.input_size = 3, .hidden_size = 5}, 1);
  tsdl::BiLSTMClassifier<double>::Cache whole;
  const Sequence<const double> x(X, 4);
  CHECK(contains(stale(model, [&] { model.forward(x, whole); }), cure));
  CHECK(contains(
      stale(model, [&] { tsdl::WindowOf<tsdl::BiLSTMClassifier<double>> window(model, 4); }),
      cure));
  CHECK_NOTHROW(model.forward(x, whole));

  // Reading does no harm, and update() leaves nothing to do.
  LSTM one({.input_size = 3, .hidden_size = 5}, 1), two = one;
  const auto before = outputs(one, {X, 4});
  std::as_const(one).visit([](const auto& parameter) { CHECK(parameter.values().size() > 0); });
  CHECK(outputs(one, {X, 4}) == before);
  tsdl::update(one, shift);
  two.visit(shift);
  two.repack();
  CHECK(outputs(one, {X, 4}) != before);
  CHECK(outputs(one, {X, 4}) == outputs(two, {X, 4}));
}

TEST_CASE("traps: an update that throws leaves packs of the values that there are") {
  LSTM one({.input_size = 1, .hidden_size = 5}, 1), two = one;
  const Eigen::MatrixXd X = Eigen::MatrixXd::Random(1, 8);
  const auto half = [](tsdl::Parameter<double>& parameter) {
    if (parameter.name == "weight_hh_l0") throw tsdl::Error("no further");
    shift(parameter);
  };
  CHECK_THROWS_AS(tsdl::update(one, half), tsdl::Error);
  tsdl::update(two, [](auto& parameter) {
    if (parameter.name == "weight_ih_l0") shift(parameter);
  });
  CHECK(outputs(one, {X, 4}) == outputs(two, {X, 4}));
}

TEST_CASE("traps: gradients are read from a const module, once there are any") {
  LSTM lstm({.input_size = 1, .hidden_size = 2}, 1);
  const auto read = [&] {
    double largest = 0;
    std::as_const(lstm).visit([&](const auto& parameter) {
      largest = std::max(largest, std::abs(parameter.gradients()(0, 0)));
    });
    return largest;
  };
  CHECK(contains(message_of<tsdl::Error>(read),
                 "weight_ih_l0: it has no gradient before the first backward pass"));
  const Eigen::MatrixXd X = Eigen::MatrixXd::Random(1, 3), dy = Eigen::MatrixXd::Random(2, 1);
  LSTM::Cache cache;
  lstm.forward({X, 3}, cache, {.steps = tsdl::Steps::last, .training = true});
  lstm.backward({X, 3}, cache, {.dy = {dy, 1}, .steps = tsdl::Steps::last});
  CHECK(read() > 0);
}

TEST_CASE("traps: an optimizer refuses another model, and changes nothing") {
  tsdl::Linear<double> small(3, 2, 1), large(5, 4, 1);
  tsdl::GRU<double> gru({.input_size = 2, .hidden_size = 2}, 1);
  tsdl::Optimizer optimizer(small);
  const auto value = large.weight().value[0];
  CHECK(contains(message_of<tsdl::ShapeError>([&] { optimizer.step(large); }),
                 "another model: parameter 0 (weight) has 20 values, expected 6"));
  CHECK(contains(message_of<tsdl::ShapeError>([&] { optimizer.step(gru); }), "another model"));
  CHECK(large.weight().value[0] == value);
  CHECK(optimizer.steps() == 0);
}

TEST_CASE("traps: a step without a rate takes that of the options") {
  tsdl::Linear<double> one(3, 2, 1), two(3, 2, 1);
  for (auto* layer : {&one, &two})
    layer->visit([](auto& parameter) { parameter.gradients().setConstant(0.5); });
  tsdl::Optimizer(one, tsdl::AdamW{.lr = 0.25}).step(one);
  tsdl::Optimizer(two).step(two, 0.25);
  CHECK(one.weight().values() == two.weight().values());
  CHECK(one.bias().values() == two.bias().values());
}

TEST_CASE("traps: dropout without a key is refused where it would repeat its masks") {
  const Eigen::MatrixXd X = Eigen::MatrixXd::Random(3, 8);
  const Sequence<const double> x(X, 4);
  const LSTM two({.input_size = 3, .hidden_size = 5, .num_layers = 2, .dropout = 0.5}, 1);
  const LSTM one({.input_size = 3, .hidden_size = 5, .dropout = 0.5}, 1);  // between layers: none
  LSTM::Cache cache;
  CHECK(contains(message_of<tsdl::OptionError>([&] { two.forward(x, cache, {.training = true}); }),
                 ".dropout = {.seed = 1, .update = n}"));
  CHECK_NOTHROW(two.forward(x, cache, {.training = true, .dropout = {.seed = 1, .update = 0}}));
  CHECK_NOTHROW(two.forward(x, cache));
  CHECK_NOTHROW(one.forward(x, cache, {.training = true}));

  const tsdl::GRUClassifier<double> head({.input_size = 3, .hidden_size = 5, .head_dropout = 0.5},
                                         1);
  tsdl::GRUClassifier<double>::Cache whole;
  CHECK_THROWS_AS(head.forward(x, whole, {.training = true}), tsdl::OptionError);
  CHECK_NOTHROW(head.forward(x, whole, {.training = true, .dropout = {.seed = 1, .update = 7}}));
}

TEST_CASE("traps: one gradient a sample, sent into every step, is told what .steps does") {
  const Eigen::MatrixXd X = Eigen::MatrixXd::Random(1, 10), dy = Eigen::MatrixXd::Random(2, 2);
  LSTM lstm({.input_size = 1, .hidden_size = 2}, 1);
  LSTM::Cache cache;
  lstm.forward({X, 5}, cache, {.training = true});
  const std::string message = message_of<tsdl::ShapeError>([&] {
    lstm.backward({X, 5}, cache, {.dy = {dy, 1}});
  });
  CHECK(contains(message, "one column per sample, but .steps is Steps::all"));
  CHECK(contains(message, "set .steps = Steps::last"));
  CHECK_NOTHROW(lstm.backward({X, 5}, cache, {.dy = {dy, 1}, .steps = tsdl::Steps::last}));
}

TEST_CASE("traps: a linear layer takes a seed, and the same one gives the same weights") {
  const tsdl::Linear<float> one(7, 3, 5), same(7, 3, 5), other(7, 3, 6);
  CHECK(one.weight().values() == same.weight().values());
  CHECK(one.weight().values() != other.weight().values());
  for (const float value : one.weight().value)  // as PyTorch's
    CHECK(std::abs(value) <= 1 / std::sqrt(7.0f));
}
