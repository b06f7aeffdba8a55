// What tests of streams share: stacks to stream, and a stream against the whole sequence at once.
#pragma once

#include <doctest/doctest.h>

#include <string>

#include "support/network.hpp"
#include "tsdl/nn/recurrent/stream.hpp"

namespace test {

using FastCell = tsdl::LSTMCell<float, tsdl::Fast>;

/// What a stream at half the width computes with.
inline void round_weights(auto& stack) {
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
  draw_parameters(stack, random, 0.7);
  return stack;
}

/// Pushes the columns of x twice, with a reset between and some steps prepared, and counts the
/// values that are not those of forward over all of them.
template <class Cell, class Stream>
Index differences(const tsdl::RecurrentStack<Cell>& stack, Stream& stream, Index T) {
  using Scalar = typename Cell::Scalar;
  const Index I = stack.options().input_size, H = stack.options().hidden_size;
  tsdl::RandomStream random(6);
  const auto x = draw<Scalar>(random, I * T);
  typename tsdl::RecurrentStack<Cell>::Cache cache;
  stack.forward(tsdl::Sequence<const Scalar>::dense(x.data(), I, T, 1), cache);
  Index wrong = 0;
  for (int round = 0; round < 2; ++round) {
    for (Index t = 0; t < T; ++t) {
      if (t % 3 == 1) stream.prepare();
      if (t % 5 == 4) stream.prepare();
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

}  // namespace test
