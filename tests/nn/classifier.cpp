// The classifier around the stack: bits, names, pooling, refusals.
#include "tsdl/nn/classifier.hpp"

#include <doctest/doctest.h>

#include <set>

#include "support/network.hpp"

namespace {

using test::Index;
using tsdl::Pooling;

constexpr Pooling poolings[] = {Pooling::last, Pooling::final_states, Pooling::mean};

template <class Scalar>
tsdl::BiLSTMClassifier<Scalar> model_with(Pooling pooling, Index H, Index outputs) {
  return tsdl::BiLSTMClassifier<Scalar>({.input_size = 3,
                                         .hidden_size = H,
                                         .num_layers = 2,
                                         .dropout = 0.25,
                                         .pooling = pooling,
                                         .outputs = outputs},
                                        17);
}

}  // namespace

TEST_CASE_TEMPLATE("logits do not depend on batch, place, or layout, bit for bit", Scalar, float,
                   double) {
  const Index I = 3, T = 7, N = 40, K = 3;
  for (const Pooling pooling : poolings) {
    INFO("pooling ", tsdl::to_string(pooling));
    const auto model = model_with<Scalar>(pooling, tsdl::kernels::lanes<Scalar> + 3, K);
    typename tsdl::BiLSTMClassifier<Scalar>::Cache cache;
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

TEST_CASE("strided and dense windows train the classifier alike, bit for bit") {
  const Index I = 3, T = 6, B = 20, stride = 3;
  tsdl::RandomStream random(1);
  const auto series = test::draw<float>(random, (T + (B - 1) * stride) * I);
  const auto dlogits = test::draw<float>(random, B);
  const auto strided = test::windows(series.data(), I, T, B, stride);
  const auto copy = test::gathered(strided);
  for (const Pooling pooling : poolings) {
    auto model = model_with<float>(pooling, 19, 1);
    std::vector<std::vector<std::vector<float>>> gradients;
    for (const auto& view : {strided, test::dense(copy, I, T, B)}) {
      tsdl::BiLSTMClassifier<float>::Cache cache;
      model.zero_gradients();
      model.forward_training(view, cache, {5, 6});
      model.backward(view, cache, dlogits.data());
      gradients.push_back(test::gradients(model));
    }
    CHECK(gradients[0] == gradients[1]);
  }
}

TEST_CASE("pooling reads the steps that it names") {
  const Index I = 3, T = 5, B = 4, H = 5;
  tsdl::RandomStream random(1);
  const auto x = test::draw<double>(random, T * B * I);
  for (const Pooling pooling : poolings) {
    INFO("pooling ", tsdl::to_string(pooling));
    const auto model = model_with<double>(pooling, H, 1);
    // The same recurrent weights in a stack of their own, run over all steps.
    tsdl::LSTM<double> lstm(
        {.input_size = I, .hidden_size = H, .num_layers = 2, .bidirectional = true}, 0, "lstm.");
    std::vector<std::vector<double>> values;
    model.visit([&](const tsdl::Parameter<double>& parameter) {
      values.emplace_back(parameter.value.begin(), parameter.value.end());
    });
    std::size_t next = 0;
    lstm.visit([&](tsdl::Parameter<double>& parameter) {
      std::copy(values[next].begin(), values[next].end(), parameter.value.begin());
      ++next;
    });
    lstm.repack();
    REQUIRE(values.size() == next + 2);
    tsdl::StackCache<double> stack;
    lstm.forward(test::dense(x, I, T, B), stack);
    const std::vector<double> y = test::outputs(lstm, stack);
    tsdl::BiLSTMClassifier<double>::Cache cache;
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

TEST_CASE("parameters have PyTorch's names, shapes and order") {
  const tsdl::BiLSTMClassifier<float> model(
      {.input_size = 3, .hidden_size = 5, .num_layers = 2, .outputs = 4});
  std::vector<std::pair<std::string, std::vector<Index>>> expected;
  for (const std::string layer : {"0", "1"})
    for (const std::string side : {"", "_reverse"}) {
      const Index inputs = layer == "0" ? 3 : 10;
      const std::string end = "_l" + layer + side;
      expected.push_back({"lstm.weight_ih" + end, {20, inputs}});
      expected.push_back({"lstm.weight_hh" + end, {20, 5}});
      expected.push_back({"lstm.bias_ih" + end, {20}});
      expected.push_back({"lstm.bias_hh" + end, {20}});
    }
  expected.push_back({"fc.weight", {4, 10}});
  expected.push_back({"fc.bias", {4}});
  std::vector<std::pair<std::string, std::vector<Index>>> actual;
  model.visit([&](const tsdl::Parameter<float>& parameter) {
    actual.push_back({parameter.name, parameter.shape()});
  });
  CHECK(actual == expected);
  CHECK(model.parameter_count() == 2 * 20 * (3 + 5 + 2) + 2 * 20 * (10 + 5 + 2) + 4 * 11);
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

  const auto model = model_with<float>(Pooling::last, 4, 1);
  const std::vector<float> x(60, 0.5f);
  tsdl::BiLSTMClassifier<float>::Cache cache;
  CHECK_THROWS_AS(model.forward(test::dense(x, 2, 5, 2), cache), tsdl::ShapeError);
  CHECK_THROWS_AS(model.forward(test::dense(x, 3, 0, 2), cache), tsdl::ShapeError);
  CHECK_THROWS_AS(model.forward(test::dense(x, 3, 5, 0), cache), tsdl::ShapeError);
}

TEST_CASE("a backward pass that has nothing to go back through changes no gradient") {
  auto model = model_with<float>(Pooling::last, 4, 1);
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
