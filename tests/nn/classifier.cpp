// The classifier around the stack: bits, names, pooling, refusals.
#include "tsdl/nn/classifier.hpp"

#include <doctest/doctest.h>

#include <set>

#include "support/network.hpp"
#include "tsdl/nn/factory.hpp"

namespace {

using test::Index;
using tsdl::Pooling;

constexpr Pooling poolings[] = {Pooling::last, Pooling::final_states, Pooling::mean};

template <class Model>
Model model_with(Pooling pooling, Index H, Index outputs) {
  return Model({.input_size = 3,
                .hidden_size = H,
                .num_layers = 2,
                .dropout = 0.25,
                .head_dropout = 0.125,
                .pooling = pooling,
                .outputs = outputs},
               17);
}

}  // namespace

TEST_CASE_TEMPLATE("logits do not depend on batch, place, or layout, bit for bit", Model,
                   tsdl::BiLSTMClassifier<float>, tsdl::BiLSTMClassifier<double>,
                   tsdl::BiGRUClassifier<float>, tsdl::BiGRUClassifier<double>) {
  using Scalar = typename Model::Scalar;
  const Index I = 3, T = 7, N = 40, K = 3;
  for (const Pooling pooling : poolings) {
    INFO("pooling ", tsdl::to_string(pooling));
    const auto model = model_with<Model>(pooling, tsdl::kernels::lanes<Scalar> + 3, K);
    typename Model::Cache cache;
    tsdl::RandomStream random(1);
    const auto series = test::draw<Scalar>(random, (T + N - 1) * I);
    const auto logits_of = [&](const tsdl::Sequence<const Scalar>& x) {
      const auto logits = model.forward(x, cache);
      return std::vector<Scalar>(logits.data(), logits.data() + logits.size());
    };
    std::vector<Scalar> alone;
    for (Index b = 0; b < N; ++b) {
      const auto one = logits_of(test::windows(series.data() + b * I, I, T, 1, 1));
      alone.insert(alone.end(), one.begin(), one.end());
    }
    for (Index B = 1; B <= N; ++B)
      for (const Index first : {Index{0}, N - B}) {
        const auto strided = test::windows(series.data() + first * I, I, T, B, 1);
        const auto copy = test::gathered(strided);
        const std::vector<Scalar> expected(alone.begin() + first * K,
                                           alone.begin() + (first + B) * K);
        CHECK(logits_of(strided) == expected);
        CHECK(logits_of(test::dense(copy, I, T, B)) == expected);
      }
  }
}

TEST_CASE_TEMPLATE("strided and dense windows train the classifier alike", Model,
                   tsdl::BiLSTMClassifier<float>, tsdl::BiGRUClassifier<float>) {
  const Index I = 3, T = 6, B = 20, stride = 3;
  tsdl::RandomStream random(1);
  const auto series = test::draw<float>(random, (T + (B - 1) * stride) * I);
  const auto dlogits = test::draw<float>(random, B);
  const auto strided = test::windows(series.data(), I, T, B, stride);
  const auto copy = test::gathered(strided);
  for (const Pooling pooling : poolings) {
    auto model = model_with<Model>(pooling, 19, 1);
    std::vector<std::vector<std::vector<float>>> gradients;
    for (const auto& view : {strided, test::dense(copy, I, T, B)}) {
      typename Model::Cache cache;
      model.zero_gradients();
      model.forward_training(view, cache, {5, 6});
      model.backward(view, cache, dlogits.data());
      gradients.push_back(test::gradients(model));
    }
    CHECK(test::check_shared_gradients(model, gradients[0], gradients[1]) > 0);
  }
}

TEST_CASE_TEMPLATE("pooling reads the steps that it names", Cell, tsdl::LSTMCell<double>,
                   tsdl::GRUCell<double>) {
  const Index I = 3, T = 5, B = 4, H = 5;
  tsdl::RandomStream random(1);
  const auto x = test::draw<double>(random, T * B * I);
  for (const Pooling pooling : poolings) {
    INFO("pooling ", tsdl::to_string(pooling));
    const auto model = model_with<tsdl::Classifier<Cell, 2>>(pooling, H, 1);
    // The same recurrent weights in a stack of their own, run over all steps.
    tsdl::RecurrentStack<Cell> layers(
        {.input_size = I, .hidden_size = H, .num_layers = 2, .bidirectional = true});
    std::vector<std::vector<double>> values;
    model.visit([&](const tsdl::Parameter<double>& parameter) {
      values.emplace_back(parameter.value.begin(), parameter.value.end());
    });
    std::size_t next = 0;
    layers.visit([&](tsdl::Parameter<double>& parameter) {
      std::copy(values[next].begin(), values[next].end(), parameter.value.begin());
      ++next;
    });
    layers.repack();
    REQUIRE(values.size() == next + 2);
    tsdl::StackCache<double> stack;
    layers.forward(test::dense(x, I, T, B), stack);
    const std::vector<double> y = test::outputs(layers, stack);
    typename tsdl::Classifier<Cell, 2>::Cache cache;
    const auto logits = model.forward(test::dense(x, I, T, B), cache);
    for (Index b = 0; b < B; ++b) {
      double expected = values[next + 1][0];
      for (Index j = 0; j < 2 * H; ++j) {
        double pooled = 0.0;
        for (Index t = 0; t < T; ++t) {
          const double value = y[static_cast<std::size_t>((t * B + b) * 2 * H + j)];
          if (pooling == Pooling::mean) pooled += value / static_cast<double>(T);
          if (pooling == Pooling::last && t == T - 1) pooled = value;
          if (pooling == Pooling::final_states && t == (j < H ? T - 1 : 0)) pooled = value;
        }
        expected += values[next][static_cast<std::size_t>(j)] * pooled;
      }
      CHECK(std::abs(logits(0, b) - expected) <= 1e-14);
    }
    CHECK(tsdl::pooling_from(tsdl::to_string(pooling)) == pooling);
  }
  CHECK_THROWS_AS(tsdl::pooling_from("first"), tsdl::Error);
}

TEST_CASE_TEMPLATE("parameters have PyTorch's names, shapes and order", Model,
                   tsdl::BiLSTMClassifier<float>, tsdl::BiGRUClassifier<float>) {
  const bool lstm = Model::kind() == "bilstm";
  const std::string prefix = lstm ? "lstm." : "gru.";
  const Index rows = lstm ? 20 : 15;
  const Model model({.input_size = 3, .hidden_size = 5, .num_layers = 2, .outputs = 4});
  std::vector<std::pair<std::string, std::vector<Index>>> expected;
  for (const std::string layer : {"0", "1"})
    for (const std::string side : {"", "_reverse"}) {
      const Index inputs = layer == "0" ? 3 : 10;
      const std::string end = "_l" + layer + side;
      expected.push_back({prefix + "weight_ih" + end, {rows, inputs}});
      expected.push_back({prefix + "weight_hh" + end, {rows, 5}});
      expected.push_back({prefix + "bias_ih" + end, {rows}});
      expected.push_back({prefix + "bias_hh" + end, {rows}});
    }
  expected.push_back({"fc.weight", {4, 10}});
  expected.push_back({"fc.bias", {4}});
  std::vector<std::pair<std::string, std::vector<Index>>> actual;
  model.visit([&](const tsdl::Parameter<float>& parameter) {
    actual.push_back({parameter.name, parameter.shape()});
  });
  CHECK(actual == expected);
  CHECK(model.parameter_count() == 2 * rows * (3 + 5 + 2) + 2 * rows * (10 + 5 + 2) + 4 * 11);
}

TEST_CASE("dropout before the linear layer acts in training only, and scales what it keeps") {
  const Index I = 3, T = 5, B = 64, H = 20;
  tsdl::RandomStream random(1);
  const auto x = test::draw<double>(random, T * B * I);
  const auto view = test::dense(x, I, T, B);
  tsdl::GRUClassifier<double> plain({.input_size = I, .hidden_size = H, .num_layers = 1}, 3);
  tsdl::GRUClassifier<double> dropped(
      {.input_size = I, .hidden_size = H, .num_layers = 1, .head_dropout = 0.25}, 3);
  tsdl::GRUClassifier<double>::Cache one, other;
  CHECK(plain.forward(view, one) == dropped.forward(view, other));
  plain.forward_training(view, one, {5, 6});
  const auto logits = dropped.forward_training(view, other, {5, 6});
  Index kept = 0;
  for (Index i = 0; i < B * H; ++i) {
    const double whole = one.pooled[i], left = other.pooled[i];
    CHECK((left == 0.0 || left == whole * (1.0 / 0.75)));
    kept += left != 0.0;
  }
  CHECK(std::abs(static_cast<double>(kept) / static_cast<double>(B * H) - 0.75) < 0.05);
  const std::vector<double> first(logits.data(), logits.data() + B);
  dropped.forward_training(view, other, {5, 7});  // another update, another mask
  CHECK(std::vector<double>(other.logits.begin(), other.logits.end()) != first);
}

TEST_CASE("the factory makes each kind by name, and refuses others") {
  const tsdl::ClassifierOptions options{
      .input_size = 23, .hidden_size = 64, .num_layers = 2, .dropout = 0.2, .outputs = 3};
  const auto count = [&](const std::string& kind) {
    return std::visit(
        [&](const auto& model) {
          CHECK(model.kind() == kind);
          return model.parameter_count();
        },
        tsdl::make_classifier<float>(kind, options, 1));
  };
  // As sum(p.numel() for p in module.parameters()) of the PyTorch modules.
  CHECK(count("lstm") == 56259);
  CHECK(count("gru") == 42243);
  CHECK(count("bilstm") == 145283);
  CHECK(count("bigru") == 109059);
  CHECK_THROWS_WITH_AS(tsdl::make_classifier<float>("rnn", options),
                       "make_classifier: expected one of lstm, gru, bilstm, bigru, got 'rnn'",
                       tsdl::Error);
  CHECK_THROWS_AS(tsdl::make_classifier<float>("gru", {.input_size = 0}), tsdl::ShapeError);
}

TEST_CASE("a classifier refuses options and inputs out of range") {
  const auto make = [](const tsdl::ClassifierOptions& options) {
    tsdl::BiLSTMClassifier<float> model(options);
  };
  CHECK_NOTHROW(make({.input_size = 3, .hidden_size = 4}));
  CHECK_THROWS_AS(make({}), tsdl::ShapeError);
  CHECK_THROWS_AS(make({.input_size = 3, .hidden_size = 0}), tsdl::ShapeError);
  CHECK_THROWS_AS(make({.input_size = 3, .hidden_size = 4, .num_layers = 0}), tsdl::ShapeError);
  CHECK_THROWS_AS(make({.input_size = 3, .hidden_size = 4, .outputs = 0}), tsdl::ShapeError);
  CHECK_THROWS_AS(make({.input_size = 3, .hidden_size = 4, .dropout = 1.0}), tsdl::ShapeError);
  CHECK_THROWS_AS(make({.input_size = 3, .hidden_size = 4, .dropout = std::nan("")}),
                  tsdl::ShapeError);
  for (const double p : {1.0, -0.1, std::nan("")})
    CHECK_THROWS_AS(make({.input_size = 3, .hidden_size = 4, .head_dropout = p}), tsdl::ShapeError);

  const auto model = model_with<tsdl::BiLSTMClassifier<float>>(Pooling::last, 4, 1);
  const std::vector<float> x(60, 0.5f);
  tsdl::BiLSTMClassifier<float>::Cache cache;
  CHECK_THROWS_AS(model.forward(test::dense(x, 2, 5, 2), cache), tsdl::ShapeError);
  CHECK_THROWS_AS(model.forward(test::dense(x, 3, 0, 2), cache), tsdl::ShapeError);
  CHECK_THROWS_AS(model.forward(test::dense(x, 3, 5, 0), cache), tsdl::ShapeError);
}

TEST_CASE("a backward pass that has nothing to go back through changes no gradient") {
  auto model = model_with<tsdl::BiLSTMClassifier<float>>(Pooling::last, 4, 1);
  const std::vector<float> x(60, 0.5f), dlogits(4, 1.0f);
  const auto view = test::dense(x, 3, 5, 2);
  tsdl::BiLSTMClassifier<float>::Cache cache, fresh;
  const auto refused = [&](auto& used, const tsdl::Sequence<const float>& given) {
    CHECK_THROWS_AS(model.backward(given, used, dlogits.data()), tsdl::Error);
    for (const auto& gradient : test::gradients(model)) REQUIRE(test::largest(gradient) == 0.0);
  };
  model.forward(view, cache);  // inference
  refused(cache, view);
  model.forward_training(view, cache, {});
  refused(cache, test::dense(x, 3, 5, 1));  // not the x that forward was given
  refused(cache, test::dense(x, 3, 4, 2));
  refused(fresh, view);
  model.forward_training(view, cache, {});
  CHECK_NOTHROW(model.backward(view, cache, dlogits.data()));
  model.zero_gradients();
  refused(cache, view);  // consumed
}
