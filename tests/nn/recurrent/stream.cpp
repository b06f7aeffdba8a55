// A stream against the whole sequence at once: the same bits, whatever the sizes.
#include "nn/recurrent/stream.hpp"

using test::differences, test::FastCell, test::Index, test::make_stack, test::round_weights;

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

TEST_CASE("a bidirectional stack cannot be streamed") {
  const tsdl::LSTM<double> stack({.input_size = 2, .hidden_size = 3, .bidirectional = true}, 1);
  CHECK_THROWS_AS(tsdl::RecurrentStream<tsdl::LSTMCell<double>>{stack}, tsdl::ShapeError);
}
