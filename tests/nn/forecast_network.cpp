// ForecastNetwork: finite differences, a naive forward pass, batches, unknown categories, files.
#include "tsdl/nn/forecast_network.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "support/files.hpp"
#include "tsdl/core/random.hpp"
#include "tsdl/io/forecaster.hpp"

namespace {

using tsdl::Index, tsdl::Sequence, tsdl::WindowNorm;
using GRU = tsdl::ForecastNetwork<tsdl::GRUCell<double>>;
using LSTM = tsdl::ForecastNetwork<tsdl::LSTMCell<double>>;
static_assert(tsdl::Model<GRU>);

tsdl::ForecastOptions options(WindowNorm norm = WindowNorm::last) {
  return {.inputs = 4,
          .future = 2,
          .horizon = 3,
          .outputs = 6,
          .statics = 2,
          .category_sizes = {3, 4},
          .embedding_size = 3,
          .normalise = norm,
          .hidden_size = 5,
          .num_layers = 2,
          .dropout = 0.2,
          .head_dropout = 0.3,
          .unknown_share = 0.3};
}

/// B samples of made-up numbers.
struct Data {
  Index T, B;
  std::vector<double> past, future, statics;
  std::vector<Index> categories;
  std::vector<std::uint32_t> keys;

  Data(Index steps, Index batch, std::uint64_t seed) : T(steps), B(batch) {
    tsdl::RandomStream random(seed);
    const auto draw = [&](std::vector<double>& to, Index count) {
      for (Index i = 0; i < count; ++i) to.push_back(random.normal());
    };
    draw(past, 4 * T * B);
    draw(future, 2 * 3 * B);
    draw(statics, 2 * B);
    for (Index b = 0; b < B; ++b) {
      categories.push_back(static_cast<Index>(random.below(3)));
      categories.push_back(static_cast<Index>(random.below(4)));
      keys.push_back(static_cast<std::uint32_t>(100 + 7 * b));
    }
  }
  /// Samples first ... first + count - 1.
  tsdl::Batch<double> batch(Index first, Index count) const {
    tsdl::Batch<double> batch(
        Sequence<const double>(past.data() + 4 * first, 4, T, count, 4 * B, 4));
    batch.future = {future.data() + 2 * first, 2, 3, count, 2 * B, 2};
    batch.statics = {statics.data() + 2 * first, 2, 1, count, 0, 2};
    batch.categories = {categories.data() + 2 * first, 2, 1, count, 0, 2};
    batch.keys =
        std::span(keys).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count));
    return batch;
  }
  tsdl::Batch<double> all() const { return batch(0, B); }
};

template <class M>
double weighted_sum(const M& model, const Data& data, const std::vector<double>& weights,
                    const tsdl::Pass& pass) {
  typename M::Cache cache;
  const auto outputs = model.forward(data.all(), cache, pass);
  return std::inner_product(weights.begin(), weights.end(), outputs.data(), 0.0);
}

template <class M>
void check_gradients(WindowNorm norm) {
  M model(options(norm), 3);
  const Data data(4, 3, 1);
  tsdl::RandomStream random(2);
  std::vector<double> weights(18);
  for (double& weight : weights) weight = random.normal();
  const tsdl::Pass pass{.training = true, .dropout = {.seed = 5, .update = 6}};
  typename M::Cache cache;
  model.forward(data.all(), cache, pass);
  model.zero_gradients();
  model.backward(data.all(), cache, weights.data());
  std::vector<std::vector<double>> gradients;
  std::as_const(model).visit([&](const auto& parameter) {
    gradients.emplace_back(parameter.gradient.begin(), parameter.gradient.end());
  });
  std::size_t which = 0;
  Index moved = 0;
  std::as_const(model).visit([&](const auto& parameter) {
    const std::vector<double>& gradient = gradients[which];
    REQUIRE(std::ssize(gradient) == parameter.size());
    for (Index i = 0; i < parameter.size(); ++i) {
      const auto shifted = [&](double by) {
        M other = model;
        std::size_t at = 0;
        tsdl::update(other, [&](auto& one) {
          if (at++ == which) one.value[i] += by;
        });
        return weighted_sum(other, data, weights, pass);
      };
      const double expected = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
      CHECK_MESSAGE(
          gradient[static_cast<std::size_t>(i)] == doctest::Approx(expected).epsilon(1e-6).scale(1),
          parameter.name, " ", i);
      moved += std::abs(expected) > 1e-3;
    }
    ++which;
  });
  CHECK(moved > 100);
}

}  // namespace

TEST_CASE("every gradient against finite differences, with dropout and unknown categories") {
  check_gradients<GRU>(WindowNorm::last);
  check_gradients<LSTM>(WindowNorm::instance);
}

TEST_CASE("the outputs are those of a GRU and a linear layer put together by hand") {
  tsdl::ForecastOptions o = options(WindowNorm::instance);
  o.num_layers = 1;
  o.dropout = 0;
  const GRU model(o, 3);
  const Data data(6, 2, 4);
  GRU::Cache cache;
  const auto outputs = model.forward(data.all(), cache);
  std::vector<std::vector<double>> p;
  model.visit([&](const auto& one) { p.emplace_back(one.value.begin(), one.value.end()); });
  // W_ih, W_hh, b_ih, b_hh, two embeddings, fc.weight, fc.bias
  const std::size_t E = 12, H = 5;
  for (std::size_t b = 0; b < 2; ++b) {
    std::vector<double> h(H, 0.0);
    for (std::size_t t = 0; t < 6; ++t) {
      std::vector<double> x;
      for (std::size_t i = 0; i < 4; ++i) {
        double mean = 0, square = 0;
        for (std::size_t s = 0; s < 6; ++s) mean += data.past[(s * 2 + b) * 4 + i] / 6;
        for (std::size_t s = 0; s < 6; ++s)
          square += std::pow(data.past[(s * 2 + b) * 4 + i] - mean, 2) / 6;
        const double value = data.past[(t * 2 + b) * 4 + i];
        x.push_back(i < 2 ? (value - mean) / std::sqrt(square + 1e-5) : value);
      }
      x.insert(x.end(), {data.statics[2 * b], data.statics[2 * b + 1]});
      for (std::size_t c = 0; c < 2; ++c)
        for (std::size_t e = 0; e < 3; ++e)
          x.push_back(p[4 + c][static_cast<std::size_t>(data.categories[2 * b + c]) * 3 + e]);
      REQUIRE(x.size() == E);
      const auto sum = [&](std::size_t which, std::size_t row, const std::vector<double>& v) {
        double total = p[which + 2][row];
        for (std::size_t k = 0; k < v.size(); ++k) total += p[which][row * v.size() + k] * v[k];
        return total;
      };
      std::vector<double> next(H);
      for (std::size_t u = 0; u < H; ++u) {
        const double r = 1 / (1 + std::exp(-sum(0, u, x) - sum(1, u, h)));
        const double z = 1 / (1 + std::exp(-sum(0, H + u, x) - sum(1, H + u, h)));
        const double n = std::tanh(sum(0, 2 * H + u, x) + r * sum(1, 2 * H + u, h));
        next[u] = (1 - z) * n + z * h[u];
      }
      h = next;
    }
    for (std::size_t k = 0; k < 6; ++k) {
      double y = p[7][k];
      for (std::size_t u = 0; u < H; ++u) y += p[6][k * 11 + u] * h[u];
      for (std::size_t s = 0; s < 3; ++s)
        for (std::size_t f = 0; f < 2; ++f)
          y += p[6][k * 11 + H + s * 2 + f] * data.future[(s * 2 + b) * 2 + f];
      CHECK(outputs(static_cast<Index>(k), static_cast<Index>(b)) ==
            doctest::Approx(y).epsilon(1e-12));
    }
  }
}

TEST_CASE("a sample's outputs do not depend on its batch, in training neither") {
  const GRU model(options(), 3);
  const Data data(5, 6, 8);
  GRU::Cache cache, one;
  for (const bool training : {false, true}) {
    const tsdl::Pass pass{.training = training, .dropout = {.seed = 5, .update = 6}};
    const auto all = model.forward(data.all(), cache, pass);
    for (Index b = 0; b < 6; ++b) {
      const auto alone = model.forward(data.batch(b, 1), one, pass);
      CHECK(std::memcmp(all.data() + 6 * b, alone.data(), 6 * sizeof(double)) == 0);
    }
  }
}

TEST_CASE("the unknown entry takes the share of training samples that was asked for") {
  tsdl::ForecastOptions o = options();
  o.unknown_share = 0.25;
  const GRU model(o, 3);
  Data data(2, 2000, 9);
  for (Index& entry : data.categories) entry = std::max<Index>(entry, 1);
  for (std::size_t b = 0; b < data.keys.size(); ++b) data.keys[b] = static_cast<std::uint32_t>(b);
  GRU::Cache cache;
  model.forward(data.all(), cache, {.training = true, .dropout = {.seed = 1, .update = 0}});
  Index unknown = 0;
  for (const Index entry : cache.entries) unknown += entry == 0;
  CHECK(static_cast<double>(unknown) / 4000 == doctest::Approx(0.25).epsilon(0.08));
  model.forward(data.all(), cache);
  CHECK(std::count(cache.entries.begin(), cache.entries.end(), Index{0}) == 0);
}

TEST_CASE("what does not fit is refused") {
  GRU model(options(), 3);
  const Data data(4, 3, 1);
  GRU::Cache cache;
  auto batch = data.all();
  batch.future = {};
  CHECK_THROWS_AS(model.forward(batch, cache), tsdl::ShapeError);
  batch = data.all();
  batch.statics.inputs = 1;
  CHECK_THROWS_AS(model.forward(batch, cache), tsdl::ShapeError);
  Data wrong = data;
  wrong.categories[1] = 4;
  CHECK_THROWS_AS(model.forward(wrong.all(), cache), tsdl::ShapeError);
  CHECK_THROWS_AS(model.forward(data.all(), cache, {.training = true}), tsdl::OptionError);
  CHECK_THROWS_AS(model.backward(data.all(), cache, nullptr), tsdl::Error);
  tsdl::ForecastOptions o = options();
  o.future = 5;
  CHECK_THROWS_AS(GRU{o}, tsdl::ShapeError);
  o = options();
  o.head_dropout = 1;
  CHECK_THROWS_AS(GRU{o}, tsdl::OptionError);
}

TEST_CASE("it is made again from its description, with the tensors that it names") {
  const LSTM model(options(), 3);
  const LSTM again(model.describe(), 3);
  CHECK(again.describe() == model.describe());
  const auto tensors = LSTM::tensors(model.describe());
  std::size_t i = 0;
  model.visit([&](const auto& parameter) {
    REQUIRE(i < tensors.size());
    CHECK(tensors[i].name == parameter.name);
    CHECK(tensors[i].shape == parameter.shape());
    ++i;
  });
  CHECK(i == tensors.size());
}
