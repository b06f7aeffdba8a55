// The Transformer encoder: gradients with dropout against central differences, the same bits for
// any threads, batch and steps, lengths, causality, and what it refuses.
#include "tsdl/nn/transformer/encoder.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <limits>
#include <new>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "support/network.hpp"
#include "support/training.hpp"
#include "tsdl/nn/factory.hpp"

namespace {

using test::Index;
using Values = std::vector<double>;
using tsdl::FeedForwardActivation, tsdl::Steps;

template <class Scalar>
tsdl::TransformerEncoder<Scalar> drawn(const tsdl::TransformerOptions& options,
                                       std::uint64_t seed) {
  tsdl::TransformerEncoder<Scalar> encoder(options);
  tsdl::RandomStream random(seed);
  test::draw_parameters(encoder, random, 0.7);
  tsdl::update(encoder, [](tsdl::Parameter<Scalar>& parameter) {
    if (parameter.name.find("norm") != std::string::npos && parameter.name.ends_with("weight"))
      for (Scalar& value : parameter.value) value += Scalar{1};
  });
  return encoder;
}

/// The columns of the steps that are there, [b][t][d].
template <class Scalar>
std::vector<Scalar> columns(const tsdl::Encoded<Scalar>& y, Index from = 0) {
  std::vector<Scalar> values;
  for (Index b = 0; b < y.columns.batch; ++b)
    for (Index t = from; t < y.columns.steps; ++t)
      values.insert(values.end(), y.segment(t, b, 0), y.segment(t, b, 0) + y.width);
  return values;
}

const tsdl::TransformerOptions plain{.input_size = 3,
                                     .hidden_size = 6,
                                     .heads = 2,
                                     .feed_forward = 5,
                                     .num_layers = 2,
                                     .dropout = 0.3,
                                     .activation = FeedForwardActivation::gelu};

double derivative(double& value, const std::function<double()>& f) {
  constexpr double step = 1e-3;
  const double start = value;
  const auto at = [&](double offset) {
    value = start + offset;
    return f();
  };
  const double slope =
      (8.0 * (at(step) - at(-step)) - (at(2.0 * step) - at(-2.0 * step))) / (12.0 * step);
  value = start;
  return slope;
}

/// Compares dx and the gradients of all parameters with central differences of the loss.
template <class Model>
void compare_gradients(Model& model, Values& x, const Values& dx,
                       const std::function<double()>& loss) {
  const auto check = [&](const std::string& name, std::span<double> values,
                         std::span<const double> gradient) {
    Values numeric;
    for (double& value : values) {
      numeric.push_back(derivative(value, [&] {
        model.repack();
        return loss();
      }));
    }
    model.repack();
    INFO(name);
    CHECK(test::largest_difference(gradient, numeric) <=
          1e-7 * std::max(1.0, test::largest(numeric)));
    CHECK(test::largest(numeric) > 0);
  };
  check("x", x, dx);
  model.visit([&](tsdl::Parameter<double>& parameter) {
    check(parameter.name, parameter.value.span(), parameter.gradient.span());
  });
}

void check_gradients(const tsdl::TransformerOptions& options, Steps steps,
                     const std::vector<Index>& lengths) {
  const Index I = options.input_size, d = options.hidden_size, T = 4, B = 5;
  auto encoder = drawn<double>(options, 3);
  tsdl::RandomStream random(5);
  Values x = test::draw<double>(random, T * B * I), dx(x.size());
  const Index upstream = steps == Steps::all ? T : 1;
  const Values dy = test::draw<double>(random, upstream * B * d);
  const auto view = test::dense(x, I, T, B);
  tsdl::TransformerCache<double> cache;
  const tsdl::EncoderPass pass{
      .steps = steps, .pass = {.training = true, .dropout = {11, 5}}, .lengths = lengths};
  const std::function<double()> loss = [&] {
    const auto y = encoder.forward(view, cache, pass);
    double sum = 0;
    for (Index b = 0; b < B; ++b) {
      const Index n = tsdl::sample_length(lengths, b, T);
      for (Index t = steps == Steps::all ? 0 : n - 1; t < n; ++t)
        for (Index i = 0; i < d; ++i)
          sum += y.segment(t, b, 0)[i] *
                 dy[static_cast<std::size_t>(((steps == Steps::all ? t : 0) * B + b) * d + i)];
    }
    return sum;
  };
  loss();
  encoder.zero_gradients();
  encoder.backward(view, cache, {test::dense(dy, d, upstream, B), steps}, test::dense(dx, I, T, B));
  compare_gradients(encoder, x, dx, loss);
}

/// The same of a network, from its outputs to x.
void check_network_gradients(const tsdl::TransformerOptions& options,
                             const std::vector<Index>& lengths) {
  const Index I = options.input_size, T = 4, B = 5, K = options.outputs;
  tsdl::TransformerNetwork<double> model(options, 3);
  tsdl::RandomStream random(5);
  test::draw_parameters(model, random, 0.7);
  Values x = test::draw<double>(random, T * B * I), dx(x.size());
  const Values dy = test::draw<double>(random, K * T * B);
  tsdl::Batch<double> batch(test::dense(x, I, T, B));
  batch.lengths = lengths;
  tsdl::TransformerNetwork<double>::Cache cache;
  const std::function<double()> loss = [&] {
    const auto y = model.forward(batch, cache, {.training = true, .dropout = {11, 5}});
    return std::inner_product(y.data(), y.data() + y.size(), dy.begin(), 0.0);
  };
  loss();
  model.zero_gradients();
  model.backward(batch, cache, dy.data(), test::dense(dx, I, T, B));
  compare_gradients(model, x, dx, loss);
}

}  // namespace

TEST_CASE("Transformer: every gradient against central differences, with dropout") {
  for (const bool norm_first : {false, true}) {
    tsdl::TransformerOptions options = plain;
    options.norm_first = norm_first;
    options.final_norm = norm_first;
    CAPTURE(norm_first);
    check_gradients(options, Steps::all, {});
    options.causal = true;
    check_gradients(options, Steps::last, {4, 1, 3, 2, 4});
  }
}

TEST_CASE("Transformer: every gradient of a network, through each pooling") {
  using tsdl::Pooling;
  tsdl::TransformerOptions options = plain;
  options.outputs = 2;
  for (const Pooling pooling : {Pooling::last, Pooling::each_direction_end, Pooling::mean,
                                Pooling::each, Pooling::attention}) {
    CAPTURE(tsdl::to_string(pooling));
    options.pooling = pooling;
    options.causal = pooling == Pooling::each;
    options.attention_dropout = pooling == Pooling::attention ? 0.2 : 0.0;
    check_network_gradients(
        options, options.causal ? std::vector<Index>{} : std::vector<Index>{4, 1, 3, 2, 4});
  }
}

TEST_CASE_TEMPLATE("Transformer: steps that are not read change no bit", Scalar, double, float) {
  for (const bool norm_first : {false, true}) {
    tsdl::TransformerOptions options = plain;
    options.norm_first = norm_first;
    options.final_norm = true;
    const auto encoder = drawn<Scalar>(options, 1);
    tsdl::RandomStream random(2);
    const Index I = 3, T = 37, B = 3;
    const auto x = test::draw<Scalar>(random, T * B * I);
    tsdl::TransformerCache<Scalar> all, last;
    for (const bool training : {false, true}) {
      const tsdl::Pass pass{.training = training, .dropout = {4, 2}};
      const auto view = test::dense(x, I, T, B);
      const auto every = encoder.forward(view, all, {.pass = pass});
      const auto one = encoder.forward(view, last, {.steps = Steps::last, .pass = pass});
      CHECK(columns(every, T - 1) == columns(one, T - 1));
    }
  }
}

TEST_CASE_TEMPLATE("Transformer: the same bits for any threads and any batch", Scalar, double,
                   float) {
  const test::ThreadCountGuard guard;
  const Index I = 3, T = 30, B = 73;  // more than 16 groups of 4
  tsdl::TransformerOptions options = plain;
  options.hidden_size = 36;
  options.feed_forward = 70;
  options.heads = 3;
  auto encoder = drawn<Scalar>(options, 1);
  tsdl::RandomStream random(2);
  const auto x = test::draw<Scalar>(random, T * B * I), dy = test::draw<Scalar>(random, T * B * 36);
  std::vector<std::uint32_t> keys(static_cast<std::size_t>(B));
  std::iota(keys.begin(), keys.end(), 100u);
  const tsdl::Pass pass{.training = true, .dropout = {4, 2}};
  std::vector<Scalar> outputs, dx;
  std::vector<std::vector<Scalar>> gradients;
  tsdl::TransformerCache<Scalar> cache;
  for (const int threads : {1, 2, 3, 7}) {
    tsdl::set_thread_count(threads);
    encoder.zero_gradients();
    std::vector<Scalar> its_dx(x.size());
    const auto y =
        columns(encoder.forward(test::dense(x, I, T, B), cache, {.pass = pass, .keys = keys}));
    encoder.backward(test::dense(x, I, T, B), cache, {test::dense(dy, 36, T, B), Steps::all},
                     test::dense(its_dx, I, T, B));
    if (threads == 1) {
      outputs = y;
      dx = its_dx;
      gradients = test::gradients(encoder);
    }
    CHECK(y == outputs);
    CHECK(its_dx == dx);
    CHECK(test::gradients(encoder) == gradients);
  }
  // Two batches, the first of whole groups: as one.
  encoder.zero_gradients();
  for (const auto& [first, count] : {std::pair<Index, Index>{0, 68}, {68, B - 68}}) {
    const tsdl::Sequence<const Scalar> some(x.data() + first * I, I, T, count, B * I, I);
    encoder.forward(some, cache,
                    {.pass = pass,
                     .keys = std::span(keys)
                                 .subspan(static_cast<std::size_t>(first))
                                 .first(static_cast<std::size_t>(count))});
    encoder.backward(some, cache, {{dy.data() + first * 36, 36, T, count, B * 36, 36}, Steps::all},
                     {});
  }
  CHECK(test::gradients(encoder) == gradients);
  // Each sample alone, with its key: as in the batch.
  for (const Index b : {0, 1, 20, 72}) {
    const tsdl::Sequence<const Scalar> one(x.data() + b * I, I, T, 1, B * I, I);
    const std::uint32_t key[] = {keys[static_cast<std::size_t>(b)]};
    const auto y = columns(encoder.forward(one, cache, {.pass = pass, .keys = key}));
    CHECK(std::equal(y.begin(), y.end(), outputs.begin() + b * T * 36));
    std::vector<Scalar> its_dx(static_cast<std::size_t>(T * I));
    encoder.backward(one, cache, {{dy.data() + b * 36, 36, T, 1, B * 36, 36}, Steps::all},
                     test::dense(its_dx, I, T, 1));
    for (Index t = 0; t < T; ++t)
      CHECK(std::equal(its_dx.begin() + t * I, its_dx.begin() + (t + 1) * I,
                       dx.begin() + (t * B + b) * I));
  }
}

TEST_CASE_TEMPLATE("Transformer: a sample with a length is as alone, whatever its padding", Scalar,
                   double, float) {
  const auto encoder = drawn<Scalar>(plain, 1);
  tsdl::RandomStream random(2);
  const Index I = 3, T = 21, B = 4, d = 6;
  auto x = test::draw<Scalar>(random, T * B * I);
  const std::vector<Index> lengths{21, 1, 16, 9};
  for (Index b = 0; b < B; ++b)
    for (Index t = lengths[static_cast<std::size_t>(b)]; t < T; ++t)
      std::fill_n(x.begin() + (t * B + b) * I, I, std::numeric_limits<Scalar>::quiet_NaN());
  tsdl::TransformerCache<Scalar> cache, alone;
  const auto y = encoder.forward(test::dense(x, I, T, B), cache, {.lengths = lengths});
  for (Index b = 0; b < B; ++b) {
    const Index n = lengths[static_cast<std::size_t>(b)];
    const auto its =
        encoder.forward(tsdl::Sequence<const Scalar>(x.data() + b * I, I, n, 1, B * I, I), alone);
    for (Index t = 0; t < T; ++t)
      for (Index i = 0; i < d; ++i)
        CHECK(y.segment(t, b, 0)[i] == (t < n ? its.segment(t, 0, 0)[i] : Scalar{0}));
  }
}

TEST_CASE_TEMPLATE("Transformer: a causal one has the bits of the rows so far", Scalar, double,
                   float) {
  for (const bool causal : {true, false}) {
    tsdl::TransformerOptions options = plain;
    options.causal = causal;
    const auto encoder = drawn<Scalar>(options, 1);
    tsdl::RandomStream random(2);
    const Index I = 3, T = 40;
    const auto x = test::draw<Scalar>(random, T * I);
    tsdl::TransformerCache<Scalar> cache, part;
    const auto whole = columns(encoder.forward(test::dense(x, I, T, 1), cache));
    for (const Index t : {1, 2, 7, 16, 17, 33, 39}) {
      const auto y =
          columns(encoder.forward(tsdl::Sequence<const Scalar>::dense(x.data(), I, t, 1), part));
      CHECK(std::equal(y.begin(), y.end(), whole.begin()) == causal);
    }
  }
}

TEST_CASE("Transformer: its description makes it again, and names its tensors") {
  for (const bool final_norm : {false, true}) {
    tsdl::TransformerOptions options = plain;
    options.final_norm = final_norm;
    options.norm_first = options.causal = true;
    options.outputs = 3;
    options.pooling = tsdl::Pooling::each;
    const tsdl::TransformerNetwork<double> network(options, 7);
    const tsdl::Config config = network.describe();
    CHECK(config.kind == "transformer");
    const tsdl::AnyModel<double> again = tsdl::make_model<double>(config, 7);
    CHECK(again.describe() == config);
    std::vector<tsdl::TensorShape> shapes = tsdl::TransformerNetwork<double>::tensors(config);
    std::size_t i = 0;
    network.visit([&](const tsdl::Parameter<double>& parameter) {
      REQUIRE(i < shapes.size());
      CHECK(shapes[i].name == parameter.name);
      CHECK(shapes[i].shape == parameter.shape());
      ++i;
    });
    CHECK(i == shapes.size());
  }
}

TEST_CASE("Transformer: one that was moved from says so") {
  auto encoder = drawn<double>(plain, 1);
  const auto taken = std::move(encoder);
  encoder.repack();
  encoder.need_gradients();
  tsdl::TransformerCache<double> cache;
  const Values x(24);
  CHECK_THROWS_WITH_AS(encoder.forward(test::dense(x, 3, 4, 2), cache),
                       "Transformer: it was moved from, and has no layers", tsdl::Error);
  taken.forward(test::dense(x, 3, 4, 2), cache);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("Transformer: a training forward without memory leaves nothing to go back through") {
  auto encoder = drawn<double>(plain, 1);
  tsdl::TransformerCache<double> cache;
  const Values x(3);
  const tsdl::Sequence<const double> all(x.data(), 3, 1, Index{1} << 44, 0, 0);
  const tsdl::EncoderPass pass{.pass = {.training = true, .dropout = {1, 1}}};
  encoder.forward(test::dense(x, 3, 1, 1), cache, pass);
  CHECK_THROWS_AS(encoder.forward(all, cache, pass), std::bad_alloc);
  CHECK_THROWS_WITH_AS(encoder.backward(all, cache, {}, {}),
                       "Transformer::backward: no training forward is there to go back through",
                       tsdl::Error);
}
#endif

TEST_CASE("Transformer: a cache that another encoder filled is refused") {
  auto encoder = drawn<double>(plain, 1);
  tsdl::TransformerCache<double> cache;
  const Values x(24), dy(48);
  const auto view = test::dense(x, 3, 4, 2);
  const auto refusal = [&](const std::function<void(tsdl::TransformerOptions&)>& change) {
    tsdl::TransformerOptions options = plain;
    change(options);
    tsdl::TransformerEncoder<double>(options).forward(
        view, cache, {.pass = {.training = true, .dropout = {1, 1}}});
    try {
      encoder.backward(view, cache, {test::dense(dy, 6, 4, 2), Steps::all}, {});
    } catch (const tsdl::ShapeError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  const std::string start = "Transformer::backward: the cache was filled by another encoder: ";
  CHECK(refusal([](auto&) {}).empty());
  CHECK(refusal([](auto& o) { o.activation = FeedForwardActivation::relu; }) ==
        start + "activation: expected gelu, got relu");
  CHECK(refusal([](auto& o) { o.dropout = 0.25; }) == start + "dropout: expected 0.3, got 0.25");
  CHECK(refusal([](auto& o) { o.feed_forward = 8; }) == start + "feed_forward: expected 5, got 8");
  CHECK(refusal([](auto& o) { o.causal = true; }).starts_with(start + "causal"));
}

TEST_CASE("Transformer: options and arguments out of range are refused") {
  using Network = tsdl::TransformerNetwork<float>;
  CHECK_THROWS_WITH_AS(Network({.input_size = 2, .hidden_size = 10, .heads = 4}),
                       "Transformer: heads must divide hidden_size; 4 heads do not divide 10",
                       tsdl::OptionError);
  CHECK_THROWS_AS(Network({.input_size = 0}), tsdl::ShapeError);
  CHECK_THROWS_AS(Network({.input_size = 1, .dropout = 1.0}), tsdl::OptionError);
  CHECK_THROWS_WITH_AS(Network({.input_size = 1, .pooling = tsdl::Pooling::each}),
                       "Network: pooling each needs a causal encoder, and this one reads the rows "
                       "after a step",
                       tsdl::OptionError);
  CHECK_THROWS_WITH_AS(tsdl::activation_from("tanh"),
                       "activation: expected relu or gelu, got 'tanh'", tsdl::OptionError);
  auto encoder = drawn<double>(plain, 1);
  tsdl::TransformerCache<double> cache;
  Values x(24), dy(48);
  const auto view = test::dense(x, 3, 4, 2);
  CHECK_THROWS_AS(encoder.forward(test::dense(x, 4, 3, 2), cache), tsdl::ShapeError);
  CHECK_THROWS_AS(encoder.forward(view, cache, {.pass = {.training = true}}), tsdl::OptionError);
  const std::vector<Index> lengths{4, 5};
  CHECK_THROWS_AS(encoder.forward(view, cache, {.lengths = lengths}), tsdl::ShapeError);
  CHECK_THROWS_AS(encoder.backward(view, cache, {test::dense(dy, 6, 4, 2), Steps::all}, {}),
                  tsdl::Error);
  encoder.forward(view, cache,
                  {.steps = Steps::last, .pass = {.training = true, .dropout = {1, 1}}});
  CHECK_THROWS_AS(encoder.backward(view, cache, {test::dense(dy, 6, 4, 2), Steps::all}, {}),
                  tsdl::ShapeError);
  encoder.visit([](tsdl::Parameter<double>&) {});
  CHECK_THROWS_AS(encoder.forward(view, cache), tsdl::Error);
}
