// A stream against the whole sequence at once: the same bits, whatever the sizes.
#include "tsdl/nn/stream.hpp"

#include <doctest/doctest.h>

#include "support/network.hpp"

using test::Index;

TEST_CASE_TEMPLATE("a stream has the bits of forward", Cell, tsdl::LSTMCell<float>,
                   tsdl::LSTMCell<double>, tsdl::GRUCell<float>, tsdl::GRUCell<double>) {
  using Scalar = typename Cell::Scalar;
  constexpr Index W = Cell::W, T = 7;
  for (const Index H : {Index{1}, W - 1, W, W + 1, 2 * W, 3 * W + 1, 4 * W})
    for (const Index L : {1, 3})
      for (const Index I : {1, 5}) {
        if (H == 0) continue;
        INFO("H ", H, " L ", L, " I ", I);
        tsdl::RecurrentStack<Cell> stack({.input_size = I, .hidden_size = H, .num_layers = L}, 3);
        tsdl::RandomStream random(5);
        test::draw_parameters(stack, random, 0.7);
        const auto x = test::draw<Scalar>(random, I * T);
        typename tsdl::RecurrentStack<Cell>::Cache cache;
        stack.forward(tsdl::Sequence<const Scalar>::dense(x.data(), I, T, 1), cache);
        tsdl::RecurrentStream<Cell> stream(stack);
        for (int round = 0; round < 2; ++round) {  // the second time after a reset
          Index wrong = 0;
          for (Index t = 0; t < T; ++t) {
            const auto h = stream.push(x.data() + t * I);
            REQUIRE(std::ssize(h) == H);
            const auto expected = stack.output(cache, t, 0, 0);
            for (Index unit = 0; unit < H; ++unit)
              wrong += h[static_cast<std::size_t>(unit)] != expected[unit];
          }
          CHECK(wrong == 0);
          stream.reset();
        }
      }
}

TEST_CASE("a bidirectional stack cannot be streamed") {
  const tsdl::LSTM<double> stack({.input_size = 2, .hidden_size = 3, .bidirectional = true}, 1);
  CHECK_THROWS_AS(tsdl::RecurrentStream<tsdl::LSTMCell<double>>{stack}, tsdl::ShapeError);
}
