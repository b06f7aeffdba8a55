// The network around an encoder: bits, names, pooling, refusals.
#include "support/network.hpp"

#include <doctest/doctest.h>

#include <utility>

#include "tsdl/nn/factory.hpp"
#include "tsdl/nn/recurrent/encoder.hpp"

namespace {

using test::Index;
using tsdl::Pooling;

constexpr Pooling poolings[] = {Pooling::last, Pooling::each_direction_end, Pooling::mean};

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
      model.forward(view, cache, {.training = true, .dropout = {5, 6}});
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
    const auto model = model_with<tsdl::RecurrentNetwork<Cell, 2>>(pooling, H, 1);
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
    typename tsdl::RecurrentNetwork<Cell, 2>::Cache cache;
    const auto logits = model.forward(test::dense(x, I, T, B), cache);
    for (Index b = 0; b < B; ++b) {
      double expected = values[next + 1][0];
      for (Index j = 0; j < 2 * H; ++j) {
        double pooled = 0.0;
        for (Index t = 0; t < T; ++t) {
          const double value = y[static_cast<std::size_t>((t * B + b) * 2 * H + j)];
          if (pooling == Pooling::mean) pooled += value / static_cast<double>(T);
          if (pooling == Pooling::last && t == T - 1) pooled = value;
          if (pooling == Pooling::each_direction_end && t == (j < H ? T - 1 : 0)) pooled = value;
        }
        expected += values[next][static_cast<std::size_t>(j)] * pooled;
      }
      CHECK(std::abs(logits(0, b) - expected) <= 1e-14);
    }
    CHECK(tsdl::pooling_from(tsdl::to_string(pooling)) == pooling);
  }
  CHECK_THROWS_WITH_AS(tsdl::pooling_from("first"),
                       "pooling: expected one of last, final, mean, each, attention, got 'first'",
                       tsdl::OptionError);
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
  plain.forward(view, one, {.training = true, .dropout = {5, 6}});
  const auto logits = dropped.forward(view, other, {.training = true, .dropout = {5, 6}});
  Index kept = 0;
  for (Index i = 0; i < B * H; ++i) {
    const double whole = one.pooled[i], left = other.pooled[i];
    CHECK((left == 0.0 || left == whole * (1.0 / 0.75)));
    kept += left != 0.0;
  }
  CHECK(std::abs(static_cast<double>(kept) / static_cast<double>(B * H) - 0.75) < 0.05);
  const std::vector<double> first(logits.data(), logits.data() + B);
  // Another update, another mask.
  dropped.forward(view, other, {.training = true, .dropout = {5, 7}});
  CHECK(std::vector<double>(other.outputs.begin(), other.outputs.end()) != first);
}

TEST_CASE("the head's masks are one a step and sample, of the layer after the encoder's") {
  const Index T = 3, B = 4, H = 20;
  tsdl::RandomStream random(1);
  const auto x = test::draw<double>(random, T * B * 3);
  const auto model = model_with<tsdl::LSTMClassifier<double>>(Pooling::each, H, 1);
  tsdl::LSTMClassifier<double>::Cache cache;
  model.forward(test::dense(x, 3, T, B), cache, {.training = true, .dropout = {5, 6}});
  const tsdl::Philox philox(5, tsdl::internal::dropout_stream + 6);
  std::vector<double> ones(H, 1.0), out(H);
  std::vector<std::uint8_t> kept(H);
  for (Index t = 0; t < T; ++t)
    for (Index b = 0; b < B; ++b) {
      tsdl::internal::dropout_column(out.data(), kept.data(), ones.data(), philox, 0.125, Index{2},
                                     t, static_cast<std::uint32_t>(b), Index{1}, H, H);
      CHECK(std::equal(kept.begin(), kept.end(), cache.kept.data() + (t * B + b) * H));
    }
}

TEST_CASE("a gradient enters the columns that were read, one a step or the same for each sample") {
  const Index T = 3, B = 2, width = 4;
  const std::vector<double> values(static_cast<std::size_t>(T * B * width));
  tsdl::Upstream<double> dy{test::dense(values, width, T, B), tsdl::Steps::all};
  for (Index t = 0; t < T; ++t)
    for (Index b = 0; b < B; ++b) {
      dy.steps = tsdl::Steps::all;
      CHECK(dy.at(t, b, T) == values.data() + (t * B + b) * width);
      dy.steps = tsdl::Steps::last;
      CHECK(dy.at(t, b, T) == (t == T - 1 ? values.data() + b * width : nullptr));
    }
  CHECK(tsdl::Upstream<double>().at(0, 0, 1) == nullptr);
}

TEST_CASE("a batch in two parts has the masks of the whole, where samples bring their keys") {
  const Index I = 3, T = 5, B = 11, first = 4, H = 6;
  tsdl::RandomStream random(1);
  const auto x = test::draw<double>(random, T * B * I);
  const auto whole = test::dense(x, I, T, B);
  const auto part = [&](Index from, Index count) {
    return tsdl::Sequence<const double>{x.data() + from * I, I, T, count, B * I, I};
  };
  const auto model = model_with<tsdl::BiLSTMClassifier<double>>(Pooling::mean, H, 3);
  std::vector<std::uint32_t> keys = {7, 8, 9, 10, 90, 91, 4000000000u, 1, 2, 0, 3};
  const tsdl::Pass pass{.training = true, .dropout = {5, 6}};
  tsdl::BiLSTMClassifier<double>::Cache all, left, right, none;
  const auto expected = model.forward({whole, {}, keys}, all, pass);
  const std::span<const std::uint32_t> given(keys);
  CHECK(model.forward({part(0, first), {}, given.first(first)}, left, pass) ==
        expected.leftCols(first));
  CHECK(model.forward({part(first, B - first), {}, given.subspan(first)}, right, pass) ==
        expected.rightCols(B - first));
  const Index width = model.linear().in();
  Index kept = 0;
  for (Index i = 0; i < B * width; ++i) {
    const Index at = i - first * width;
    CHECK(all.kept[i] == (at < 0 ? left.kept[i] : right.kept[at]));
    kept += all.kept[i];
  }
  CHECK(kept > 0);
  CHECK(kept < B * width);
  // By place, where there are no keys: the second part is taken for the first.
  CHECK(model.forward(part(first, B - first), none, pass) != expected.rightCols(B - first));
  for (std::size_t b = 0; b < keys.size(); ++b) keys[b] = static_cast<std::uint32_t>(b);
  CHECK(model.forward(whole, none, pass) == model.forward({whole, {}, keys}, all, pass));
}

TEST_CASE("outputs are a view of a cache, and assigning looks at another") {
  const auto model = model_with<tsdl::BiLSTMClassifier<float>>(Pooling::last, 4, 3);
  tsdl::RandomStream random(1);
  const auto x = test::draw<float>(random, 5 * 4 * 3);
  tsdl::BiLSTMClassifier<float>::Cache one, two;
  auto logits = model.forward(test::dense(x, 3, 5, 4), one);
  const tsdl::Matrix<float> before = logits;
  CHECK(logits.data() == one.outputs.data());
  logits = model.forward(test::dense(x, 3, 5, 2), two);
  CHECK(logits.data() == two.outputs.data());
  CHECK(logits.rows() == 3);
  CHECK(logits.cols() == 2);
  CHECK(tsdl::Outputs<float>(one.outputs.data(), 3, 4) == before);  // nothing was copied there
  tsdl::Outputs<float> none;
  CHECK(none.size() == 0);
  none = logits;
  CHECK(none.data() == two.outputs.data());
  CHECK(none == logits);
}

TEST_CASE("a gradient takes no memory before the first backward pass") {
  auto model = model_with<tsdl::BiLSTMClassifier<float>>(Pooling::mean, 4, 2);
  const auto held = [&] {
    Index values = 0;
    std::as_const(model).visit([&](const tsdl::Parameter<float>& parameter) {
      CHECK((parameter.gradient.empty() || parameter.gradient.size() == parameter.size()));
      values += parameter.gradient.size();
    });
    return values;
  };
  const std::vector<float> x(60, 0.5f), dlogits(8, 1.0f);
  const auto view = test::dense(x, 3, 5, 4);
  tsdl::BiLSTMClassifier<float>::Cache cache;
  CHECK(held() == 0);
  model.forward(view, cache);
  model.zero_gradients();
  model.repack();
  CHECK(held() == 0);
  model.forward(view, cache, {.training = true, .dropout = {1, 2}});
  CHECK(held() == 0);
  auto copy = model;
  model.backward(view, cache, dlogits.data());
  CHECK(held() == model.parameter_count());
  // One that was asked for beforehand accumulates to the same.
  copy.visit([](tsdl::Parameter<float>& parameter) { parameter.need_gradient(); });
  copy.repack();
  copy.forward(view, cache, {.training = true, .dropout = {1, 2}});
  copy.backward(view, cache, dlogits.data());
  CHECK((test::gradients(copy) == test::gradients(model)));
}

TEST_CASE_TEMPLATE("pooling each gives at every step what the last one of a shorter window has",
                   Model, tsdl::LSTMClassifier<float>, tsdl::GRUClassifier<double>) {
  using Scalar = typename Model::Scalar;
  const Index I = 3, T = 6, B = 5, K = 2;
  const auto each = model_with<Model>(Pooling::each, 9, K);
  const auto last = model_with<Model>(Pooling::last, 9, K);
  CHECK(each.target_steps(T) == T);
  CHECK(last.target_steps(T) == 1);
  tsdl::RandomStream random(1);
  const auto x = test::draw<Scalar>(random, T * B * I);
  typename Model::Cache cache, shorter;
  const auto all = each.forward(test::dense(x, I, T, B), cache);
  REQUIRE(all.rows() == K);
  REQUIRE(all.cols() == T * B);
  for (Index t = 0; t < T; ++t)
    CHECK(last.forward(test::dense(x, I, t + 1, B), shorter) == all.middleCols(t * B, B));
}

TEST_CASE("pooling each is refused where a step would have seen the ones after it") {
  CHECK_THROWS_WITH_AS(model_with<tsdl::BiGRUClassifier<float>>(Pooling::each, 4, 1),
                       "Network: pooling each needs a causal encoder, and this one reads the rows "
                       "after a step",
                       tsdl::OptionError);
}

TEST_CASE("the factory makes each kind by name, and refuses others") {
  const tsdl::ClassifierOptions options{
      .input_size = 23, .hidden_size = 64, .num_layers = 2, .dropout = 0.2, .outputs = 3};
  const auto count = [&](const std::string& kind) {
    const tsdl::AnyModel<float> model = tsdl::make_classifier<float>(kind, options, 1);
    CHECK(model.describe().kind == kind);
    return model.parameter_count();
  };
  // As sum(p.numel() for p in module.parameters()) of the PyTorch modules.
  CHECK(count("lstm") == 56259);
  CHECK(count("gru") == 42243);
  CHECK(count("bilstm") == 145283);
  CHECK(count("bigru") == 109059);
  CHECK_THROWS_WITH_AS(tsdl::make_classifier<float>("rnn", options),
                       "make_classifier: expected one of lstm, gru, bilstm, bigru, got 'rnn'",
                       tsdl::OptionError);
  CHECK_THROWS_AS(tsdl::make_classifier<float>("gru", {.input_size = 0}), tsdl::ShapeError);
}

TEST_CASE_TEMPLATE("a configuration makes the model again, and says its tensors beforehand", Model,
                   tsdl::LSTMClassifier<float>, tsdl::GRUClassifier<double>,
                   tsdl::BiLSTMClassifier<double>, tsdl::BiGRUClassifier<float>) {
  for (const Pooling pooling : poolings)
    for (const Index layers : {1, 3}) {
      const Model model({.input_size = 3,
                         .hidden_size = 5,
                         .num_layers = layers,
                         .dropout = 0.25,
                         .head_dropout = 0.125,
                         .pooling = pooling,
                         .outputs = 2,
                         .init = tsdl::Init::orthogonal},
                        17);
      const tsdl::Config config = model.describe();
      CHECK(config.kind == Model::kind());
      const Model again(config, 17);
      CHECK((again.describe() == config));
      std::vector<tsdl::TensorShape> tensors = Model::tensors(config);
      std::size_t next = 0;
      std::vector<std::vector<typename Model::Scalar>> values, same;
      model.visit([&](const auto& parameter) {
        REQUIRE(next < tensors.size());
        CHECK(tensors[next].name == parameter.name);
        CHECK(tensors[next].shape == parameter.shape());
        values.emplace_back(parameter.value.begin(), parameter.value.end());
        ++next;
      });
      CHECK(next == tensors.size());
      again.visit([&](const auto& parameter) {
        same.emplace_back(parameter.value.begin(), parameter.value.end());
      });
      CHECK((same == values));
    }
}

TEST_CASE("a configuration that is none of a network is refused by what is wrong in it") {
  const auto model = model_with<tsdl::LSTMClassifier<float>>(Pooling::last, 4, 1);
  const auto refused = [&](const auto& change) {
    tsdl::Config config = model.describe();
    change(config);
    std::string message;
    try {
      tsdl::make_model<float>(config);
    } catch (const tsdl::OptionError& error) {
      message = error.what();
    }
    return message;
  };
  using tsdl::Config;
  CHECK(refused([](Config&) {}).empty());
  CHECK(refused([](Config& c) { c.kind = "rnn"; }) ==
        "make_model: expected one of lstm, gru, bilstm, bigru, transformer, ensemble, got 'rnn'");
  CHECK(refused([](Config& c) { c.options.erase("hidden_size"); }) ==
        "lstm: option 'hidden_size' is missing");
  CHECK(refused([](Config& c) { c.options["hidden_size"] = 4.5; }) ==
        "lstm: option 'hidden_size': expected a whole number");
  CHECK(refused([](Config& c) { c.options["heads"] = Index{4}; }) ==
        "lstm: option 'heads' is not known");
  CHECK(refused([](Config& c) { c.options["pooling"] = std::string("max"); }) ==
        "pooling: expected one of last, final, mean, each, attention, got 'max'");
  CHECK(refused([](Config& c) { c.options["init"] = std::string("zeros"); }) ==
        "init: expected pytorch or orthogonal, got 'zeros'");
  CHECK(refused([](Config& c) { c.options["dropout"] = 1.0; }) ==
        "LSTM: dropout must be at least 0 and below 1, not 1");
  CHECK(refused([](Config& c) { c.options["head_dropout"] = -0.5; }) ==
        "Network: head_dropout must be at least 0 and below 1, not -0.5");
  CHECK_THROWS_WITH_AS(tsdl::GRUClassifier<float>(model.describe()),
                       "expected a model of kind gru, got lstm", tsdl::OptionError);
  tsdl::Config huge = model.describe();
  huge.options["num_layers"] = Index{1} << 40;
  CHECK_THROWS_AS(tsdl::make_model<float>(huge), tsdl::ShapeError);
  CHECK(tsdl::model_kinds<double>() == "lstm, gru, bilstm, bigru, transformer, ensemble");
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
  CHECK_THROWS_AS(make({.input_size = 3, .hidden_size = 4, .dropout = 1.0}), tsdl::OptionError);
  CHECK_THROWS_AS(make({.input_size = 3, .hidden_size = 4, .dropout = std::nan("")}),
                  tsdl::OptionError);
  for (const double p : {1.0, -0.1, std::nan("")})
    CHECK_THROWS_AS(make({.input_size = 3, .hidden_size = 4, .head_dropout = p}),
                    tsdl::OptionError);

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
  model.forward(view, cache, {.training = true, .dropout = {5, 6}});
  refused(cache, test::dense(x, 3, 5, 1));  // not the x that forward was given
  refused(cache, test::dense(x, 3, 4, 2));
  refused(fresh, view);
  model.forward(view, cache, {.training = true, .dropout = {5, 6}});
  CHECK_NOTHROW(model.backward(view, cache, dlogits.data()));
  model.zero_gradients();
  refused(cache, view);  // consumed
}

TEST_CASE("network: an encoder whose columns are not of the size that it says is refused") {
  struct Longer : tsdl::RecurrentEncoder<tsdl::LSTMCell<float>, 1> {
    using RecurrentEncoder::RecurrentEncoder;
    Index output_size() const noexcept { return RecurrentEncoder::output_size() + 1; }
  };
  const tsdl::Network<Longer> model(tsdl::ClassifierOptions{.input_size = 2, .hidden_size = 3});
  const std::vector<float> x(12, 1.0f);
  tsdl::Network<Longer>::Cache cache;
  CHECK_THROWS_AS(model.forward(tsdl::Sequence<const float>::dense(x.data(), 2, 3, 2), cache),
                  tsdl::ShapeError);
}

TEST_CASE_TEMPLATE("a mean of many steps is summed in double, in batch and carried", Scalar, float,
                   double) {
  using Pooled = tsdl::StandardPooling<Scalar>;
  const Index width = 70, T = 100'000;
  // Values near 1 with a small part that a float's running sum loses.
  std::vector<Scalar> y(static_cast<std::size_t>(width * T));
  tsdl::RandomStream random(3);
  for (Scalar& value : y) value = static_cast<Scalar>(1 + 0.01 * random.uniform());
  const tsdl::Sequence<const Scalar> columns(y.data(), width, T, 1, width, width);
  typename Pooled::Cache cache;
  std::vector<Scalar> row(static_cast<std::size_t>(width));
  Pooled(Pooling::mean, width).forward(row.data(), columns, cache);
  for (Index i = 0; i < width; ++i) {
    long double exact = 0;
    for (Index t = 0; t < T; ++t) exact += static_cast<long double>(columns.column(t, 0)[i]);
    exact /= static_cast<long double>(T);
    const auto error = static_cast<double>(
        std::abs(static_cast<long double>(row[static_cast<std::size_t>(i)]) - exact));
    CHECK(error <= (std::is_same_v<Scalar, float> ? 6.1e-8 : 1e-12));
  }

  tsdl::LSTMClassifier<Scalar> model(
      {.input_size = 1, .hidden_size = 3, .num_layers = 1, .pooling = Pooling::mean}, 2);
  const Index steps = 500;
  std::vector<Scalar> x(static_cast<std::size_t>(steps));
  for (Scalar& value : x) value = static_cast<Scalar>(random.normal());
  typename tsdl::LSTMClassifier<Scalar>::Cache batch;
  tsdl::CarriedOf<tsdl::LSTMClassifier<Scalar>> carried(model);
  std::span<const Scalar> last;
  for (const Scalar& value : x) last = carried.push(model, &value);
  CHECK(last[0] == model.forward(test::dense(x, 1, steps, 1), batch)(0, 0));
}

TEST_CASE("a network refuses a cache that another one filled") {
  using Model = tsdl::GRUClassifier<double>;
  const Index T = 4, B = 3;
  tsdl::RandomStream random(1);
  const auto x = test::draw<double>(random, T * B * 2);
  const std::vector<double> slopes(12, 1.0);
  const auto view = test::dense(x, 2, T, B);
  const tsdl::ClassifierOptions small{.input_size = 2, .hidden_size = 3, .num_layers = 1};
  const auto with = [&](auto change) {
    tsdl::ClassifierOptions options = small;
    change(options);
    return Model(options, 1);
  };
  Model filled(small, 1);
  for (Model other :
       {with([](auto& o) { o.hidden_size = 40; }), with([](auto& o) { o.num_layers = 3; }),
        with([](auto& o) { o.outputs = 4; }), with([](auto& o) { o.head_dropout = 0.5; }),
        with([](auto& o) { o.pooling = Pooling::each; })}) {
    Model::Cache cache;
    filled.forward(view, cache, {.training = true});
    const auto before = test::gradients(other);
    CHECK_THROWS_AS(other.backward(view, cache, slopes.data()), tsdl::ShapeError);
    CHECK(test::gradients(other) == before);
    CHECK_NOTHROW(filled.backward(view, cache, slopes.data()));
  }
  Model::Cache cache;
  CHECK_THROWS_AS(filled.backward(view, cache, slopes.data()), tsdl::Error);
  filled.forward(view, cache, {.training = true});
  CHECK_THROWS_AS(filled.backward(test::dense(x, 2, 2, 2), cache, slopes.data()), tsdl::ShapeError);
}
