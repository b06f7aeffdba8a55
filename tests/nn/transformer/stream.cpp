// A causal Transformer row by row: the bits of forward, a full memory, states, what is refused; and
// windows that run again.
#include "tsdl/nn/transformer/stream.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <limits>
#include <span>
#include <vector>

#include "support/network.hpp"
#include "tsdl/nn/transformer/encoder.hpp"
#include "tsdl/nn/window.hpp"

namespace {

using test::Index;

constexpr Index I = 3, d = 10, rows = 41;

template <class Scalar>
tsdl::TransformerOptions options(bool norm_first) {
  return {.input_size = I,
          .hidden_size = d,
          .heads = 5,
          .feed_forward = 7,
          .num_layers = 2,
          .activation = tsdl::FeedForwardActivation::gelu,
          .norm_first = norm_first,
          .causal = true,
          .final_norm = norm_first};
}

}  // namespace

TEST_CASE_TEMPLATE("Transformer stream: forward's bits of the rows so far", Scalar, double, float) {
  tsdl::RandomStream random(8);
  const auto x = test::draw<Scalar>(random, rows * I);
  for (const bool norm_first : {false, true}) {
    tsdl::TransformerEncoder<Scalar> encoder(options<Scalar>(norm_first));
    test::draw_parameters(encoder, random, 0.6);
    tsdl::TransformerStream<Scalar> stream(encoder, rows), again(encoder, rows);
    tsdl::TransformerCache<Scalar> cache;
    std::vector<std::byte> bytes;
    for (Index t = 0; t < rows; ++t) {
      if (t == 17) {  // goes on as another whose state was read
        tsdl::TransformerStream<Scalar> other(encoder, rows);
        tsdl::StateBytes writer(bytes);
        stream.state(writer);
        tsdl::StateBytes reader{std::span<const std::byte>(bytes)};
        other.state(reader);
        CHECK(reader.is_complete());
        stream = other;
      }
      const auto column = stream.push(encoder, x.data() + t * I);
      const auto y = encoder.forward(tsdl::Sequence<const Scalar>::dense(x.data(), I, t + 1, 1),
                                     cache, {.steps = tsdl::Steps::last});
      REQUIRE(std::ssize(column) == d);
      CHECK(std::equal(column.begin(), column.end(), y.segment(t, 0, 0)));
    }
    CHECK(stream.is_full());
    CHECK(stream.push(encoder, x.data()).empty());
    CHECK(stream.steps() == rows);
    stream.reset();
    const auto first = stream.push(encoder, x.data()), same = again.push(encoder, x.data());
    CHECK(std::equal(first.begin(), first.end(), same.begin(), same.end()));
  }
}

TEST_CASE_TEMPLATE("Transformer stream: a state holds the rows since the last reset", Scalar,
                   double, float) {
  tsdl::TransformerEncoder<Scalar> encoder(options<Scalar>(true));
  tsdl::RandomStream random(8);
  test::draw_parameters(encoder, random, 0.6);
  auto x = test::draw<Scalar>(random, rows * I);
  using Stream = tsdl::TransformerStream<Scalar>;
  Stream stream(encoder, 7);
  const auto written = [](Stream& its) {
    std::vector<std::byte> bytes;
    tsdl::StateBytes writer(bytes);
    its.state(writer);
    return bytes;
  };
  const auto read = [](Stream& its, std::span<const std::byte> bytes) {
    tsdl::StateBytes reader{bytes};
    its.state(reader);
    return reader.is_complete();
  };
  std::vector<Scalar> bad(I, std::numeric_limits<Scalar>::quiet_NaN());
  for (int k = 0; k < 4; ++k) stream.push(encoder, bad.data());
  stream.reset();
  Stream reset(encoder, 7);
  CHECK(read(reset, written(stream)));
  for (Index t = 0; t < 3; ++t) stream.push(encoder, x.data() + t * I);
  const std::vector<std::byte> bytes = written(stream);
  Stream other(encoder, 7);
  for (Index t = 0; t < 5; ++t) other.push(encoder, x.data() + (20 + t) * I);
  CHECK(read(other, bytes));
  CHECK(other.steps() == 3);
  for (Index t = 3; t < 7; ++t) {
    const auto a = stream.push(encoder, x.data() + t * I),
               b = other.push(encoder, x.data() + t * I);
    CHECK(std::equal(a.begin(), a.end(), b.begin(), b.end()));
    CHECK(tsdl::is_finite(static_cast<double>(a[0])));
  }
  // Damaged: the stream that refused a state can still be used.
  for (const Index steps : {Index{-1}, Index{8}, Index{1} << 60}) {
    std::vector<std::byte> damaged = bytes;
    std::memcpy(damaged.data(), &steps, sizeof steps);
    Stream its(encoder, 7);
    CHECK_FALSE(read(its, damaged));
    CHECK(its.steps() == 0);
    CHECK(std::ssize(its.push(encoder, x.data())) == d);
  }
  for (const std::size_t size : {std::size_t{0}, std::size_t{7}, sizeof(Index), bytes.size() - 1}) {
    Stream its(encoder, 7);
    CHECK_FALSE(read(its, std::span(bytes).first(size)));
    CHECK(its.steps() <= 3);
    CHECK(std::ssize(its.push(encoder, x.data())) == d);
  }
}

TEST_CASE("Transformer stream: memory in proportion to max_steps") {
  const tsdl::TransformerEncoder<float> encoder({.input_size = 1,
                                                 .hidden_size = 1,
                                                 .heads = 1,
                                                 .feed_forward = 1,
                                                 .num_layers = 2,
                                                 .causal = true});
  const tsdl::TransformerStream<float> stream(encoder, 300'000);  // its square: 360 GB
  CHECK(stream.max_steps() == 300'000);
}

TEST_CASE("Transformer stream: what cannot be streamed is refused") {
  auto o = options<double>(false);
  const tsdl::TransformerEncoder<double> causal(o);
  CHECK_THROWS_AS(tsdl::TransformerStream<double>(causal, 0), tsdl::ShapeError);
  CHECK_THROWS_AS(tsdl::TransformerStream<double>(causal, Index{1} << 60), tsdl::ShapeError);
  CHECK_THROWS_AS(tsdl::TransformerStream<double>(causal, Index{1} << 50), tsdl::ShapeError);
  o.causal = false;
  const tsdl::TransformerEncoder<double> both(o);
  CHECK_THROWS_AS(tsdl::TransformerStream<double>(both, 5), tsdl::OptionError);
}

TEST_CASE_TEMPLATE("Transformer: a window that runs again has forward's bits", Scalar, double,
                   float) {
  using Model = tsdl::TransformerNetwork<Scalar>;
  tsdl::RandomStream random(8);
  const auto x = test::draw<Scalar>(random, rows * I);
  auto o = options<Scalar>(true);
  o.causal = false;
  o.outputs = 2;
  for (const tsdl::Pooling pooling : {tsdl::Pooling::last, tsdl::Pooling::mean}) {
    o.pooling = pooling;
    const Model model(o, 3);
    const Index T = 12;
    tsdl::WindowOf<Model> window(model, T);
    typename Model::Cache cache;
    for (Index t = 0; t < rows; ++t) {
      window.push(model, x.data() + t * I);
      if (t + 1 < T) continue;
      const auto got = window.run(model);
      const auto y = model.forward(
          tsdl::Sequence<const Scalar>::dense(x.data() + (t + 1 - T) * I, I, T, 1), cache);
      CHECK(std::equal(got.begin(), got.end(), y.data(), y.data() + y.size()));
    }
  }
}
