// Dropout: rate, scale, keys, and where in the network the masks stand.
#include "tsdl/nn/dropout.hpp"

#include <doctest/doctest.h>

#include "support/network.hpp"
#include "tsdl/nn/recurrent/stack.hpp"

namespace {

using test::Index;
using tsdl::DropoutKey;

using Mask = std::vector<std::uint8_t>;

/// The mask of one column, units only.
Mask column_mask(DropoutKey key, double p, Index layer, Index t, Index b, Index D = 1, Index H = 64,
                 Index Hp = 64) {
  const tsdl::Philox philox(key.seed, tsdl::internal::dropout_stream + key.update);
  const std::vector<double> in(static_cast<std::size_t>(D * Hp), 1.0);
  std::vector<double> out(in.size());
  Mask kept(in.size());
  tsdl::internal::dropout_column(out.data(), kept.data(), in.data(), philox, p, layer, t,
                                 static_cast<std::uint32_t>(b), D, H, Hp);
  return kept;
}

tsdl::LSTM<double> network(double dropout, Index layers = 2) {
  tsdl::LSTM<double> lstm({.input_size = 3,
                           .hidden_size = 5,
                           .num_layers = layers,
                           .bidirectional = true,
                           .dropout = dropout},
                          9);
  return lstm;
}

std::vector<double> run(const tsdl::LSTM<double>& lstm, const std::vector<double>& x, Index T,
                        Index B, bool training, DropoutKey key,
                        tsdl::StackCache<double>* used = nullptr) {
  tsdl::StackCache<double> cache;
  tsdl::StackCache<double>& target = used ? *used : cache;
  lstm.forward(test::dense(x, 3, T, B), target, {.training = training, .dropout = key});
  return test::outputs(lstm, target);
}

}  // namespace

TEST_CASE("units are kept at the rate 1 - p, within four standard deviations") {
  for (const double p : {0.1, 0.2, 0.5, 0.9}) {
    INFO("p ", p);
    double kept = 0.0, columns = 0.0;
    std::vector<double> by_unit(64, 0.0);
    for (Index layer = 0; layer < 2; ++layer)
      for (Index t = 0; t < 40; ++t)
        for (Index b = 0; b < 32; ++b, ++columns) {
          const Mask mask = column_mask({7, 3}, p, layer, t, b);
          for (std::size_t j = 0; j < mask.size(); ++j) {
            kept += mask[j];
            by_unit[j] += mask[j];
          }
        }
    const double n = columns * 64.0;
    CHECK(std::abs(kept - n * (1.0 - p)) <= 4.0 * std::sqrt(n * p * (1.0 - p)));
    for (const double unit : by_unit)
      CHECK(std::abs(unit - columns * (1.0 - p)) <= 5.0 * std::sqrt(columns * p * (1.0 - p)));
  }
}

TEST_CASE("masks of neighbouring places agree no more often than chance") {
  const double p = 0.5;
  double same_t = 0, same_b = 0, same_layer = 0, same_update = 0, same_seed = 0, n = 0;
  for (Index t = 0; t < 30; ++t)
    for (Index b = 0; b < 30; ++b) {
      const Mask here = column_mask({7, 3}, p, 0, t, b);
      const auto agreement = [&](const Mask& other) {
        double count = 0;
        for (std::size_t j = 0; j < here.size(); ++j) count += here[j] == other[j];
        return count;
      };
      same_t += agreement(column_mask({7, 3}, p, 0, t + 1, b));
      same_b += agreement(column_mask({7, 3}, p, 0, t, b + 1));
      same_layer += agreement(column_mask({7, 3}, p, 1, t, b));
      same_update += agreement(column_mask({7, 4}, p, 0, t, b));
      same_seed += agreement(column_mask({8, 3}, p, 0, t, b));
      n += 64.0;
    }
  for (const double same : {same_t, same_b, same_layer, same_update, same_seed})
    CHECK(std::abs(same - 0.5 * n) <= 4.0 * std::sqrt(0.25 * n));
}

TEST_CASE("kept units are scaled by 1 / (1 - p), dropped ones and padding are zero") {
  const Index D = 2, H = 5, Hp = 8;
  const double p = 0.25;
  const tsdl::Philox philox(1, 2);
  std::vector<double> in(16, 3.0), out(16, 9.0);
  Mask kept(16, 9);
  tsdl::internal::dropout_column(out.data(), kept.data(), in.data(), philox, p, Index{0}, Index{0},
                                 0u, D, H, Hp);
  Index count = 0;
  for (std::size_t j = 0; j < 16; ++j) {
    const bool padding = j % 8 >= 5;
    CHECK(kept[j] <= (padding ? 0 : 1));
    CHECK(out[j] == (kept[j] ? 3.0 / (1.0 - p) : 0.0));
    count += kept[j];
  }
  CHECK(count > 0);
  std::vector<double> gradient(16, 6.0);
  tsdl::internal::dropout_gradient(gradient.data(), kept.data(), p, Index{16});
  for (std::size_t j = 0; j < 16; ++j) CHECK(gradient[j] == (kept[j] ? 6.0 / (1.0 - p) : 0.0));
}

TEST_CASE("the padding of a column does not move its mask") {
  const Mask tight = column_mask({1, 1}, 0.5, 1, 2, 3, 2, 5, 5),
             wide = column_mask({1, 1}, 0.5, 1, 2, 3, 2, 5, 16);
  for (std::size_t d = 0; d < 2; ++d)
    for (std::size_t j = 0; j < 5; ++j) CHECK(tight[d * 5 + j] == wide[d * 16 + j]);
}

TEST_CASE("a network draws masks by key: the same again, another for another update or seed") {
  const Index T = 4, B = 3;
  tsdl::RandomStream random(1);
  const auto x = test::draw<double>(random, T * B * 3);
  const auto lstm = network(0.5);
  const auto once = run(lstm, x, T, B, true, {1, 1});
  CHECK(once == run(lstm, x, T, B, true, {1, 1}));
  CHECK(once != run(lstm, x, T, B, true, {1, 2}));
  CHECK(once != run(lstm, x, T, B, true, {2, 1}));
  CHECK(once != run(lstm, x, T, B, false, {1, 1}));
}

TEST_CASE("inference ignores dropout, and so does the only or the last layer") {
  const Index T = 4, B = 3;
  tsdl::RandomStream random(1);
  const auto x = test::draw<double>(random, T * B * 3);
  CHECK(run(network(0.5), x, T, B, false, {1, 1}) == run(network(0.0), x, T, B, false, {}));
  CHECK(run(network(0.5, 1), x, T, B, true, {1, 1}) == run(network(0.0, 1), x, T, B, true, {}));
}

TEST_CASE("a slot's mask does not depend on how many samples there are") {
  const Index T = 4;
  tsdl::RandomStream random(1);
  const auto x = test::draw<double>(random, T * 20 * 3);
  const auto lstm = network(0.5);
  const auto all = run(lstm, x, T, 20, true, {1, 1});
  for (const Index B : {1, 3, 17}) {
    const auto first = test::gathered(tsdl::Sequence<const double>{x.data(), 3, T, B, 20 * 3, 3});
    const auto some = run(lstm, first, T, B, true, {1, 1});
    Index different = 0;
    for (Index t = 0; t < T; ++t)
      different += !std::equal(some.begin() + t * B * 10, some.begin() + (t + 1) * B * 10,
                               all.begin() + t * 20 * 10);
    CHECK(different == 0);
  }
}

TEST_CASE("a sample's key names its mask, wherever it stands") {
  const Index T = 4, B = 9, first = 5;
  tsdl::RandomStream random(1);
  const auto x = test::draw<double>(random, T * B * 3);
  const auto lstm = network(0.5);
  const std::vector<std::uint32_t> keys = {3, 1, 4, 100, 5, 9, 2, 6, 4294967295u};
  const auto run_part = [&](Index from, Index count, std::span<const std::uint32_t> given) {
    const tsdl::Sequence<const double> part{x.data() + from * 3, 3, T, count, B * 3, 3};
    tsdl::StackCache<double> cache;
    lstm.forward(part, cache, {.training = true, .dropout = {1, 1}, .keys = given});
    return test::outputs(lstm, cache);
  };
  const std::span<const std::uint32_t> all(keys);
  const auto whole = run_part(0, B, all), left = run_part(0, first, all.first(first)),
             right = run_part(first, B - first, all.subspan(first));
  Index different = 0;
  for (Index t = 0; t < T; ++t) {
    const auto row = whole.begin() + t * B * 10;
    different += !std::equal(row, row + first * 10, left.begin() + t * first * 10);
    different += !std::equal(row + first * 10, row + B * 10, right.begin() + t * (B - first) * 10);
  }
  CHECK(different == 0);
  CHECK(whole != run_part(0, B, {}));
  // The mask is dropout_column's of that key.
  tsdl::StackCache<double> cache;
  lstm.forward(test::dense(x, 3, T, B), cache, {.training = true, .dropout = {1, 1}, .keys = keys});
  const Index Hp = std::ssize(cache.layers[0].kept) / (T * B * 2);
  const Mask expected = column_mask({1, 1}, 0.5, 0, 2, keys[3], 2, 5, Hp);
  CHECK(std::equal(expected.begin(), expected.end(),
                   cache.layers[0].kept.data() + (2 * B + 3) * 2 * Hp));
}

TEST_CASE("masks stand between the layers, one for each step") {
  const Index T = 4, B = 3, H = 5;
  const double p = 0.4;
  tsdl::RandomStream random(1);
  const auto x = test::draw<double>(random, T * B * 3);
  const auto both = network(p);
  std::vector<std::vector<double>> values;
  both.visit([&](const tsdl::Parameter<double>& parameter) {
    values.emplace_back(parameter.value.begin(), parameter.value.end());
  });
  // The two layers as networks of their own, a mask of dropout_column's between them.
  tsdl::LSTM<double> lower({.input_size = 3, .hidden_size = H, .bidirectional = true}),
      upper({.input_size = 2 * H, .hidden_size = H, .bidirectional = true});
  std::size_t next = 0;
  const auto load = [&](tsdl::Parameter<double>& parameter) {
    std::copy(values[next].begin(), values[next].end(), parameter.value.begin());
    ++next;
  };
  lower.visit(load);
  upper.visit(load);
  lower.repack();
  upper.repack();
  const DropoutKey key{4, 2};
  auto between = run(lower, x, T, B, false, {});
  Index distinct = 0;
  for (Index t = 0; t < T; ++t)
    for (Index b = 0; b < B; ++b) {
      const Mask mask = column_mask(key, p, 0, t, b, 2, H, H);
      distinct += mask != column_mask(key, p, 0, 0, b, 2, H, H);
      for (Index j = 0; j < 2 * H; ++j) {
        double& value = between[static_cast<std::size_t>((t * B + b) * 2 * H + j)];
        const double drawn = std::round(p * 65536) / 65536;
        value = mask[static_cast<std::size_t>(j)] ? value / (1.0 - drawn) : 0.0;
      }
    }
  CHECK(distinct > 0);
  tsdl::StackCache<double> cache;
  upper.forward(test::dense(between, 2 * H, T, B), cache);
  CHECK(test::largest_difference(run(both, x, T, B, true, key), test::outputs(upper, cache)) <=
        1e-14);
}

TEST_CASE(
    "kept units are scaled by the rate at which units are dropped, not by the rate asked for") {
  // 0.3 is drawn as 19661 / 65536, and what is nearly 1 as 65535 / 65536.
  const struct {
    double p, drawn;
  } rates[] = {{0.3, 19661 / 65536.0}, {0.999999, 65535 / 65536.0}, {1e-6, 0.0}, {0.25, 0.25}};
  for (const auto& rate : rates) {
    const double p = rate.p, drawn = rate.drawn;
    CAPTURE(p);
    const tsdl::Philox philox(1, 2);
    const std::vector<double> in(4096, 1.0);
    std::vector<double> out(in.size());
    Mask kept(in.size());
    tsdl::internal::dropout_column(out.data(), kept.data(), in.data(), philox, p, Index{0},
                                   Index{0}, 0u, Index{1}, Index{4096}, Index{4096});
    std::vector<double> gradient(in.size(), 1.0);
    tsdl::internal::dropout_gradient(gradient.data(), kept.data(), p, Index{4096});
    for (std::size_t j = 0; j < in.size(); ++j) {
      CHECK(out[j] == (kept[j] ? 1.0 / (1.0 - drawn) : 0.0));
      CHECK(gradient[j] == out[j]);
    }
  }
}
