// Attention pooling and the input projection of recurrent networks: gradients, weights, the same
// bits in every batch and stream, and what is refused. tests/nn/torch.cpp and
// tests/nn/recurrent/lengths.cpp compare them with PyTorch.
#include "tsdl/nn/attention.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>

#include "support/loss.hpp"
#include "support/network.hpp"
#include "support/training.hpp"
#include "tsdl/nn/factory.hpp"
#include "tsdl/nn/recurrent/encoder.hpp"

namespace {

using test::Index;
using tsdl::Pooling;
using Values = std::vector<double>;
using Lengths = std::vector<Index>;

tsdl::ClassifierOptions options_of(Index I, Index H, bool projection, Index outputs = 2) {
  return {.input_size = I,
          .hidden_size = H,
          .num_layers = 2,
          .pooling = Pooling::attention,
          .outputs = outputs,
          .input_projection = projection};
}

/// A model with drawn parameters.
template <class Model>
Model drawn(const tsdl::ClassifierOptions& options, double scale = 0.7) {
  Model model(options, 1);
  tsdl::RandomStream random(3);
  test::draw_parameters(model, random, scale);
  return model;
}

/// |e| <= 1e-7 of the tensor's largest magnitude, by the five-point formula.
void check_gradient(const std::string& name, std::span<double> values,
                    std::span<const double> gradient, const std::function<double()>& f) {
  constexpr double step = 1e-3;
  Values numeric;
  for (double& value : values) {
    const double start = value;
    const auto at = [&](double offset) {
      value = start + offset;
      return f();
    };
    numeric.push_back((8.0 * (at(step) - at(-step)) - (at(2 * step) - at(-2 * step))) /
                      (12.0 * step));
    value = start;
  }
  INFO(name);
  CHECK(test::largest_difference(gradient, numeric) <= 1e-7 * test::largest(numeric));
  CHECK(test::largest(numeric) > 0.0);
}

/// With every dropout, and samples of unequal length if `lengths` are given.
template <class Model>
void check_differences(bool projection, const Lengths& lengths) {
  const Index I = 3, T = 4, B = 3, K = 2;
  INFO("projection ", projection, " lengths ", lengths.size());
  tsdl::ClassifierOptions options = options_of(I, 3, projection, K);
  options.dropout = 0.3;
  options.head_dropout = 0.3;
  options.attention_dropout = 0.4;
  options.attention_size = 5;
  Model model = drawn<Model>(options, 0.8);
  tsdl::RandomStream random(8);
  Values x = test::draw<double>(random, T * B * I), dx(x.size());
  const Values weights = test::draw<double>(random, B * K);
  tsdl::Batch<double> batch(test::dense(std::as_const(x), I, T, B));
  batch.lengths = lengths;
  typename Model::Cache cache;
  const std::function<double()> loss = [&] {
    model.repack();
    const auto y = model.forward(batch, cache, {.training = true, .dropout = {1, 2}});
    return std::inner_product(y.data(), y.data() + B * K, weights.begin(), 0.0);
  };
  loss();
  model.backward(batch, cache, weights.data(), test::dense(dx, I, T, B));
  check_gradient("x", x, dx, loss);
  std::vector<tsdl::Parameter<double>*> parameters;
  model.visit([&](tsdl::Parameter<double>& parameter) { parameters.push_back(&parameter); });
  for (tsdl::Parameter<double>* parameter : parameters)
    check_gradient(parameter->name, parameter->value.span(), parameter->gradient.span(), loss);
}

/// softmax(v' tanh(W y + b)) and the sum that it weighs, by the definition, in long double.
struct Oracle {
  std::vector<long double> weights, sum;
  Oracle(const tsdl::AdditiveAttention<double>& attention, const tsdl::Encoded<double>& y, Index b,
         Index length) {
    std::vector<const tsdl::Parameter<double>*> p;
    attention.visit([&](const tsdl::Parameter<double>& parameter) { p.push_back(&parameter); });
    const Index E = y.segments * y.width;
    const auto value = [&](Index t, Index k) {
      return static_cast<long double>(y.segment(t, b, k / y.width)[k % y.width]);
    };
    long double top = -std::numeric_limits<long double>::infinity(), total = 0;
    for (Index t = 0; t < length; ++t) {
      long double score = 0;
      for (Index a = 0; a < attention.size(); ++a) {
        long double z = p[1]->value[a];
        for (Index k = 0; k < E; ++k) z += p[0]->value[a * E + k] * value(t, k);
        score += p[2]->value[a] * std::tanh(z);
      }
      weights.push_back(score);
      top = std::max(top, score);
    }
    for (long double& weight : weights) total += weight = std::exp(weight - top);
    sum.assign(static_cast<std::size_t>(E), 0);
    for (Index t = 0; t < length; ++t) {
      weights[static_cast<std::size_t>(t)] /= total;
      for (Index k = 0; k < E; ++k)
        sum[static_cast<std::size_t>(k)] += weights[static_cast<std::size_t>(t)] * value(t, k);
    }
  }
};

template <class Model>
using ScalarOf = typename Model::Scalar;

/// Everything that a training pass gives, but for the outputs of other samples.
template <class Model>
std::string pass_bytes(Model& model, const tsdl::Batch<ScalarOf<Model>>& batch) {
  using Scalar = ScalarOf<Model>;
  const auto& x = batch.past;
  typename Model::Cache cache;
  std::vector<Scalar> dx(static_cast<std::size_t>(x.steps * x.batch * x.inputs));
  model.zero_gradients();
  const auto y = model.forward(batch, cache, {.training = true, .dropout = {4, 5}});
  const std::vector<Scalar> outputs(y.data(), y.data() + y.size());
  model.backward(batch, cache, outputs.data(), test::dense(dx, x.inputs, x.steps, x.batch));
  std::string bytes = test::bytes_of(std::span<const Scalar>(outputs)) +
                      test::bytes_of(std::span<const Scalar>(dx)) +
                      test::bytes_of(model.attention(cache));
  for (const auto& gradient : test::gradients(model))
    bytes += test::bytes_of(std::span<const Scalar>(gradient));
  return bytes;
}

}  // namespace

TEST_CASE_TEMPLATE("attention: finite differences with every dropout, projected and not", Cell,
                   tsdl::LSTMCell<double>, tsdl::GRUCell<double>) {
  for (const bool projection : {false, true})
    for (const Lengths& lengths : {Lengths{}, Lengths{4, 1, 3}}) {
      check_differences<tsdl::RecurrentNetwork<Cell, 1>>(projection, lengths);
      check_differences<tsdl::RecurrentNetwork<Cell, 2>>(projection, lengths);
    }
}

TEST_CASE("attention: weights and the sum are those of the definition") {
  using Attention = tsdl::AdditiveAttention<double>;
  tsdl::RandomStream random(2);
  struct Sizes {
    Index E, A, T, B;
    double scale;
  };
  for (const Sizes& c : {Sizes{1, 1, 1, 1, 1}, Sizes{6, 3, 5, 2, 1}, Sizes{10, 9, 70, 3, 4},
                         Sizes{8, 4, 9, 3, 700}}) {
    CAPTURE(c.scale);
    const Index width = c.E > 1 ? c.E / 2 : 1, steps = c.T, batch = c.B, size = c.E;
    Attention attention(size, {.size = c.A}, 1, 0);
    attention.visit([&](tsdl::Parameter<double>& parameter) {
      for (double& value : parameter.value)
        value = random.uniform(-1, 1) * (parameter.name == "score.weight" ? c.scale : 1);
    });
    attention.repack();
    // Segments of `width` values, three apart; samples of unequal length.
    const Index segments = size / width, padded = width + 3;
    const auto values = test::draw<double>(random, steps * batch * segments * padded, 2.0);
    tsdl::Encoded<double> y(test::dense(values, segments * padded, steps, batch), segments, width,
                            padded, 1);
    Lengths lengths(static_cast<std::size_t>(batch), steps);
    lengths.back() = (steps + 1) / 2;
    y.lengths = lengths;
    std::vector<double> pooled(static_cast<std::size_t>(2 * size * batch));
    Attention::Cache cache;
    attention.forward(pooled.data(), y, cache, {});
    for (Index b = 0; b < batch; ++b) {
      const Index length = lengths[static_cast<std::size_t>(b)];
      const Oracle oracle(attention, y, b, length);
      double sum = 0;
      for (Index t = 0; t < steps; ++t) {
        const double weight = cache.weights[b * steps + t];
        if (t >= length)
          CHECK(weight == 0.0);
        else
          CHECK(std::abs(weight - static_cast<double>(
                                      oracle.weights[static_cast<std::size_t>(t)])) <= 1e-12);
        sum += weight;
      }
      CHECK(std::abs(sum - 1) <= 1e-14);
      for (Index k = 0; k < size; ++k) {
        const double* row = pooled.data() + b * 2 * size;
        CHECK(row[k] == y.segment(length - 1, b, k / width)[k % width]);
        CHECK(std::abs(row[size + k] -
                       static_cast<double>(oracle.sum[static_cast<std::size_t>(k)])) <= 2e-12);
      }
    }
  }
}

TEST_CASE_TEMPLATE("attention: a window has the same bits in every batch and view", Model,
                   tsdl::LSTMClassifier<float>, tsdl::GRUClassifier<double>,
                   tsdl::BiLSTMClassifier<double>, tsdl::BiGRUClassifier<float>) {
  using Scalar = ScalarOf<Model>;
  const Index I = 3, T = 11, B = 37, stride = 2;
  for (const bool projection : {false, true}) {
    CAPTURE(projection);
    const Model model = drawn<Model>(options_of(I, 19, projection));
    tsdl::RandomStream random(5);
    const auto series = test::draw<Scalar>(random, (T + (B - 1) * stride) * I);
    const auto view = test::windows(series.data(), I, T, B, stride);
    const auto copy = test::gathered(view);
    typename Model::Cache together, single;
    const auto all = model.forward(view, together);
    CHECK(model.forward(test::dense(copy, I, T, B), single) == all);
    Index different = 0;
    for (const Index count : {1, 4, 36})
      for (Index b = 0; b + count <= B; b += count) {
        const auto some = test::windows(series.data() + b * stride * I, I, T, count, stride);
        different += model.forward(some, single) != all.middleCols(b, count);
        const auto weights = model.attention(single);
        different +=
            !std::equal(weights.begin(), weights.end(), model.attention(together).begin() + b * T);
      }
    CHECK(different == 0);
  }
}

TEST_CASE_TEMPLATE("attention: threads change no bit, and neither does padding", Model,
                   tsdl::LSTMClassifier<float>, tsdl::BiGRUClassifier<double>) {
  using Scalar = ScalarOf<Model>;
  const test::ThreadCountGuard guard;
  const Index I = 5, T = 40, B = 48, H = 40;
  tsdl::RandomStream random(5);
  std::vector<Scalar> x = test::draw<Scalar>(random, T * B * I);
  Lengths lengths;
  for (Index b = 0; b < B; ++b) lengths.push_back(1 + (7 * b) % T);
  tsdl::ClassifierOptions options = options_of(I, H, true);
  options.attention_dropout = 0.25;
  Model model = drawn<Model>(options, 0.3);
  tsdl::Batch<Scalar> batch(test::dense(std::as_const(x), I, T, B));
  for (const bool unequal : {false, true}) {
    if (unequal) batch.lengths = lengths;
    tsdl::set_thread_count(1);
    const std::string one = pass_bytes(model, batch);
    for (const int threads : {2, 3, 7}) {
      tsdl::set_thread_count(threads);
      CHECK((pass_bytes(model, batch) == one));
    }
    if (!unequal) continue;
    for (Index t = 0; t < T; ++t)
      for (Index b = 0; b < B; ++b)
        if (t >= lengths[static_cast<std::size_t>(b)])
          std::fill_n(x.begin() + (t * B + b) * I, I, std::numeric_limits<Scalar>::quiet_NaN());
    CHECK((pass_bytes(model, batch) == one));
  }
}

TEST_CASE_TEMPLATE("attention: a carried state and a window run again have forward's bits", Model,
                   tsdl::LSTMClassifier<float>, tsdl::LSTMClassifier<double>,
                   tsdl::GRUClassifier<float>, tsdl::GRUClassifier<double>) {
  using Scalar = ScalarOf<Model>;
  const Index I = 3, rows = 90, T = 12;
  for (const bool projection : {false, true})
    for (const double scale : {0.5, 3.0}) {  // scores that rise seldom and often
      CAPTURE(projection);
      const Model model = drawn<Model>(options_of(I, 9, projection), scale);
      tsdl::RandomStream random(6);
      const auto x = test::draw<Scalar>(random, rows * I);
      tsdl::CarriedOf<Model> carried(model);
      tsdl::WindowOf<Model> window(model, T);
      typename Model::Cache cache;
      Index different = 0;
      for (int again = 0; again < 2; ++again, carried.reset())
        for (Index row = 0; row < rows; ++row) {
          const Scalar* next = x.data() + row * I;
          const auto outputs = carried.push(model, next);
          const auto all =
              model.forward(tsdl::Sequence<const Scalar>(x.data(), I, row + 1, 1, I, I), cache);
          for (Index k = 0; k < all.size(); ++k)
            different += outputs[static_cast<std::size_t>(k)] != all(k, 0);
          window.push(model, next);
          if (row + 1 < T) continue;
          const auto seen =
              model.forward(tsdl::Sequence<const Scalar>(next - (T - 1) * I, I, T, 1, I, I), cache);
          const auto last = window.run(model);
          for (Index k = 0; k < seen.size(); ++k)
            different += last[static_cast<std::size_t>(k)] != seen(k, 0);
        }
      CHECK(different == 0);
    }
}

TEST_CASE("attention: a carried state is saved and restored, and damaged bytes are refused") {
  using Model = tsdl::GRUClassifier<float>;
  const Model model = drawn<Model>(options_of(2, 5, true));
  tsdl::RandomStream random(6);
  const auto x = test::draw<float>(random, 40);
  using Carried = tsdl::CarriedOf<Model>;
  Carried carried(model), other(model);
  for (Index row = 0; row < 12; ++row) carried.push(model, x.data() + 2 * row);
  std::vector<std::byte> saved;
  tsdl::StateBytes writer(saved);
  carried.state(writer);
  tsdl::StateBytes reader{std::span<const std::byte>(saved)};
  other.state(reader);
  CHECK(reader.is_complete());
  for (Index row = 12; row < 20; ++row) {
    const auto expected = carried.push(model, x.data() + 2 * row);
    const auto found = other.push(model, x.data() + 2 * row);
    CHECK(std::equal(expected.begin(), expected.end(), found.begin()));
  }
  // Numbers that no series gives: rows, then maximum, then sum.
  const auto refused = [&](std::size_t at, double value) {
    std::vector<std::byte> bytes = saved;
    std::memcpy(bytes.data() + at, &value, sizeof value);
    tsdl::StateBytes reading{std::span<const std::byte>(bytes)};
    Carried(model).state(reading);
    return !reading.is_complete();
  };
  double sum = 0;
  std::memcpy(&sum, saved.data() + 16, sizeof sum);
  CHECK(sum >= 1);
  CHECK(sum <= 12);
  CHECK_FALSE(refused(16, sum));
  CHECK(refused(16, 0));
  CHECK(refused(16, 0.99));
  CHECK(refused(16, 12.1));
  CHECK(refused(0, 0));  // no rows, and a sum
  Carried fresh(model);
  std::vector<std::byte> first;
  tsdl::StateBytes first_writer(first);
  fresh.state(first_writer);
  tsdl::StateBytes first_reader{std::span<const std::byte>(first)};
  other.state(first_reader);
  CHECK(first_reader.is_complete());
  // The maximum follows the count of rows.
  std::fill_n(saved.begin() + 8, 8, std::byte{0xff});
  tsdl::StateBytes damaged{std::span<const std::byte>(saved)};
  other.state(damaged);
  CHECK(!damaged.is_complete());
}

TEST_CASE("attention: dropout acts in training only, and its masks are its own") {
  using Model = tsdl::LSTMClassifier<double>;
  const Index I = 2, T = 6, B = 4;
  tsdl::ClassifierOptions options = options_of(I, 8, false);
  tsdl::RandomStream random(6);
  const auto x = test::draw<double>(random, T * B * I);
  const auto view = test::dense(x, I, T, B);
  const Model plain = drawn<Model>(options);
  options.attention_dropout = 0.5;
  const Model dropping = drawn<Model>(options);
  Model::Cache a, b;
  CHECK(plain.forward(view, a) == dropping.forward(view, b));
  const tsdl::Matrix<double> inference = plain.forward(view, a);
  const tsdl::Matrix<double> first =
      dropping.forward(view, b, {.training = true, .dropout = {1, 2}});
  CHECK(first != inference);
  CHECK(dropping.forward(view, b, {.training = true, .dropout = {1, 2}}) == first);
  CHECK(dropping.forward(view, b, {.training = true, .dropout = {1, 3}}) != first);
  CHECK_THROWS_AS(dropping.forward(view, b, {.training = true}), tsdl::OptionError);
  // The masks of 4 units: of the attention at layer 3, of the head at layer 2.
  std::vector<std::uint8_t> kept(8);
  std::vector<double> ones(8, 1.0), out(8);
  const tsdl::Philox philox(1, tsdl::internal::dropout_stream + 2);
  dropping.forward(view, b, {.training = true, .dropout = {1, 2}});
  for (Index t = 0; t < T; ++t) {
    tsdl::internal::dropout_column(out.data(), kept.data(), ones.data(), philox, 0.5, 3, t, 1,
                                   Index{1}, Index{4}, Index{4});
    CHECK(std::equal(
        kept.begin(), kept.begin() + 4,
        b.pooling.kept.data() + (1 * T + t) * tsdl::round_up(4, tsdl::kernels::lanes<double>)));
  }
}

TEST_CASE("attention: a network is described, listed and made again") {
  tsdl::ClassifierOptions options = options_of(3, 5, true);
  options.attention_dropout = 0.25;
  const tsdl::BiLSTMClassifier<double> model(options, 7);
  CHECK(model.options().attention_size == 5);  // half of 2 H
  CHECK(model.options().input_projection);
  const tsdl::Config config = model.describe();
  CHECK(config.index("attention_size") == 5);
  CHECK(config.number("attention_dropout") == 0.25);
  CHECK(config.flag("input_projection"));
  std::vector<std::string> names;
  const auto shapes = tsdl::BiLSTMClassifier<double>::tensors(config);
  model.visit([&](const tsdl::Parameter<double>& parameter) {
    REQUIRE(names.size() < shapes.size());
    CHECK(shapes[names.size()].name == parameter.name);
    CHECK(shapes[names.size()].shape == parameter.shape());
    names.push_back(parameter.name);
  });
  CHECK(names.size() == shapes.size());
  CHECK(names.front() == "input.weight");
  CHECK(std::vector(names.end() - 5, names.end()) ==
        std::vector<std::string>{"attention.weight", "attention.bias", "score.weight", "fc.weight",
                                 "fc.bias"});
  const tsdl::AnyModel<double> again = tsdl::make_model<double>(config, 7);
  CHECK(again.describe() == config);
  std::vector<Values> values, others;
  model.visit([&](const auto& p) { values.emplace_back(p.value.begin(), p.value.end()); });
  again.visit([&](const auto& p) { others.emplace_back(p.value.begin(), p.value.end()); });
  CHECK((values == others));
  const tsdl::Config plain =
      tsdl::GRUClassifier<float>({.input_size = 3, .hidden_size = 5}).describe();
  CHECK(!plain.contains("attention_size"));
  CHECK(!plain.contains("input_projection"));
  CHECK(tsdl::GRUClassifier<float>(options_of(3, 7, false)).options().attention_size == 4);
  CHECK(tsdl::GRUClassifier<float>(options_of(3, 1, false)).options().attention_size == 1);
}

TEST_CASE("attention: a cache that served attention gives no weights of another pooling") {
  using Model = tsdl::GRUClassifier<float>;
  tsdl::RandomStream random(6);
  const auto x = test::draw<float>(random, 4 * 3);
  const auto view = test::dense(x, 3, 4, 1);
  const Model attends(options_of(3, 5, false));
  const Model last({.input_size = 3, .hidden_size = 5, .num_layers = 2, .outputs = 2});
  Model::Cache cache;
  attends.forward(view, cache);
  CHECK(attends.attention(cache).size() == 4);
  last.forward(view, cache);
  CHECK(last.attention(cache).empty());
}

TEST_CASE("attention: options that are out of range or without effect are refused") {
  using Model = tsdl::GRUClassifier<float>;
  const auto refused = [](auto change) -> std::string {
    tsdl::ClassifierOptions options = options_of(3, 5, false);
    change(options);
    try {
      Model model(options);
    } catch (const tsdl::OptionError& error) {
      return error.what();
    }
    return "nothing";
  };
  CHECK(refused([](auto& o) { o.attention_size = 0; }) ==
        "attention pooling: attention_size must be 1 to 1000000, not 0");
  CHECK(refused([](auto& o) { o.attention_dropout = 1; }) ==
        "attention pooling: attention_dropout must be at least 0 and below 1, not 1");
  CHECK(refused([](auto& o) {
          o.pooling = Pooling::each;
          o.attention_size = 3;
        }) == "Network: attention_size needs pooling attention, and this is each");
  CHECK(refused([](auto& o) {
          o.pooling = Pooling::mean;
          o.attention_dropout = 0.5;
        }) == "Network: attention_dropout needs pooling attention, and this is mean");
  CHECK(refused([](auto&) {}) == "nothing");

  tsdl::Config config = Model(options_of(3, 5, false)).describe();
  config.options["attention_size"] = 0;
  CHECK_THROWS_AS(tsdl::make_model<float>(config), tsdl::OptionError);
  config.options.erase("attention_size");
  CHECK_THROWS_AS(tsdl::make_model<float>(config), tsdl::OptionError);
  config.options["attention_size"] = 3;
  config.options["pooling"] = std::string("last");
  CHECK_THROWS_WITH_AS(tsdl::make_model<float>(config),
                       "gru: option 'attention_size' needs pooling attention, not last",
                       tsdl::OptionError);
}

TEST_CASE("attention: a cache of another network, and inputs of other sizes, are refused") {
  using Model = tsdl::GRUClassifier<double>;
  const Index I = 5, T = 4, B = 3;
  tsdl::RandomStream random(1);
  const auto x = test::draw<double>(random, T * B * I);
  const Values slopes(12, 1.0);
  const auto view = test::dense(x, I, T, B);
  Model filled(options_of(I, 5, true), 1);
  for (int n = 0; n < 3; ++n) {
    tsdl::ClassifierOptions options = options_of(I, 5, true);
    if (n == 0) options.attention_size = 30;
    if (n == 1) options.attention_dropout = 0.5;
    if (n == 2) options.input_projection = false;
    Model other(options, 1);
    Model::Cache cache;
    filled.forward(view, cache, {.training = true});
    if (n < 2) CHECK_THROWS_AS(other.backward(view, cache, slopes.data()), tsdl::ShapeError);
    CHECK_NOTHROW(filled.backward(view, cache, slopes.data()));
    if (n < 2) continue;
    Model::Cache plain;
    other.forward(view, plain, {.training = true});
    CHECK_THROWS_AS(filled.backward(view, plain, slopes.data()), tsdl::ShapeError);
  }
  Model::Cache cache;
  CHECK_THROWS_AS(filled.forward(test::dense(x, 3, T, B), cache), tsdl::ShapeError);
  CHECK_THROWS_AS(filled.forward(test::dense(x, I, 0, B), cache), tsdl::ShapeError);
  filled.visit([](const auto&) {});
  CHECK_THROWS_AS(filled.forward(view, cache), tsdl::Error);
}
