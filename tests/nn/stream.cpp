// A stream against the whole sequence at once: the same bits, whatever the sizes.
#include "tsdl/nn/stream.hpp"

#include <doctest/doctest.h>

#include "support/network.hpp"

using test::Index;

namespace {

using FastCell = tsdl::LSTMCell<float, tsdl::Fast>;

/// What a stream at half the width computes with.
void round_weights(auto& stack) {
  stack.visit([](tsdl::Parameter<float>& parameter) {
    if (parameter.name.find("weight") == std::string::npos) return;
    for (float& value : parameter.value) value = static_cast<float>(tsdl::BFloat16(value));
  });
  stack.repack();
}

template <class Cell>
tsdl::RecurrentStack<Cell> make_stack(Index I, Index H, Index L) {
  tsdl::RecurrentStack<Cell> stack({.input_size = I, .hidden_size = H, .num_layers = L}, 3);
  tsdl::RandomStream random(5);
  test::draw_parameters(stack, random, 0.7);
  return stack;
}

/// Pushes the columns of x twice, with a reset between, and counts the values that are not those of
/// forward over all of them.
template <class Cell, class Stream>
Index differences(const tsdl::RecurrentStack<Cell>& stack, Stream& stream, Index T) {
  using Scalar = typename Cell::Scalar;
  const Index I = stack.options().input_size, H = stack.options().hidden_size;
  tsdl::RandomStream random(6);
  const auto x = test::draw<Scalar>(random, I * T);
  typename tsdl::RecurrentStack<Cell>::Cache cache;
  stack.forward(tsdl::Sequence<const Scalar>::dense(x.data(), I, T, 1), cache);
  Index wrong = 0;
  for (int round = 0; round < 2; ++round) {
    for (Index t = 0; t < T; ++t) {
      const auto h = stream.push(x.data() + t * I);
      REQUIRE(std::ssize(h) == H);
      const auto expected = stack.output(cache, t, 0, 0);
      for (Index unit = 0; unit < H; ++unit)
        wrong += h[static_cast<std::size_t>(unit)] != expected[unit];
    }
    stream.reset();
  }
  return wrong;
}

template <class Cell, class Weight, Index I, Index H>
void check_known_sizes() {
  INFO("H ", H, " I ", I);
  for (const Index L : {1, 2}) {
    auto stack = make_stack<Cell>(I, H, L);
    tsdl::RecurrentStream<Cell, Weight, I, H> stream(stack);
    if constexpr (!std::is_same_v<Weight, typename Cell::Scalar>) round_weights(stack);
    CHECK(differences(stack, stream, 7) == 0);
  }
}

}  // namespace

TEST_CASE_TEMPLATE("a stream has the bits of forward", Cell, tsdl::LSTMCell<float>,
                   tsdl::LSTMCell<double>, tsdl::GRUCell<float>, tsdl::GRUCell<double>, FastCell) {
  for (Index H = 1; H <= 67; H += 2)
    for (const Index L : {1, 3})
      for (const Index I : {1, 4, 5}) {
        INFO("H ", H, " L ", L, " I ", I);
        const auto stack = make_stack<Cell>(I, H, L);
        tsdl::RecurrentStream<Cell> stream(stack);
        CHECK(differences(stack, stream, 3) == 0);
      }
}

TEST_CASE_TEMPLATE("sizes known when compiling, and narrow vectors, leave the bits", Cell,
                   tsdl::LSTMCell<float>, tsdl::LSTMCell<double>, tsdl::GRUCell<float>,
                   tsdl::GRUCell<double>, FastCell) {
  using Scalar = typename Cell::Scalar;
  check_known_sizes<Cell, Scalar, 3, 1>();
  check_known_sizes<Cell, Scalar, 1, 4>();
  check_known_sizes<Cell, Scalar, 23, 8>();
  check_known_sizes<Cell, Scalar, 2, 11>();
  check_known_sizes<Cell, Scalar, 5, 33>();
}

TEST_CASE_TEMPLATE("a stream with bfloat16 weights has the bits of a stack that was rounded", Cell,
                   tsdl::LSTMCell<float>, tsdl::GRUCell<float>) {
  for (const Index H : {1, 2, 7, 16, 17, 33, 64})
    for (const Index I : {1, 2, 5})
      for (const Index L : {1, 2}) {
        INFO("H ", H, " I ", I, " L ", L);
        auto stack = make_stack<Cell>(I, H, L);
        tsdl::RecurrentStream<Cell, tsdl::BFloat16> stream(stack);
        CHECK(differences(stack, stream, 3) != 0);
        round_weights(stack);
        CHECK(differences(stack, stream, 3) == 0);
      }
  check_known_sizes<Cell, tsdl::BFloat16, 5, 6>();
  check_known_sizes<Cell, tsdl::BFloat16, 2, 20>();
}

TEST_CASE("a stream keeps the weights that the stack had") {
  auto stack = make_stack<tsdl::LSTMCell<double>>(2, 5, 1);
  tsdl::RecurrentStream<tsdl::LSTMCell<double>> stream(stack);
  const auto before = stack;
  stack.visit([](auto& parameter) { parameter.value[0] += 1.0; });
  stack.repack();
  CHECK(differences(before, stream, 4) == 0);
  CHECK(differences(stack, stream, 4) != 0);
}

TEST_CASE("a stream of known sizes refuses another stack") {
  using Cell = tsdl::LSTMCell<float>;
  const auto stack = make_stack<Cell>(3, 8, 1);
  using Inputs = tsdl::RecurrentStream<Cell, float, 4, 8>;
  using Units = tsdl::RecurrentStream<Cell, float, 3, 7>;
  CHECK_THROWS_WITH_AS(Inputs{stack},
                       "LSTM stream: expected 4 inputs and 8 hidden units, got 3 and 8",
                       tsdl::ShapeError);
  CHECK_THROWS_AS(Units{stack}, tsdl::ShapeError);
}

TEST_CASE("a bidirectional stack cannot be streamed") {
  const tsdl::LSTM<double> stack({.input_size = 2, .hidden_size = 3, .bidirectional = true}, 1);
  CHECK_THROWS_AS(tsdl::RecurrentStream<tsdl::LSTMCell<double>>{stack}, tsdl::ShapeError);
}
