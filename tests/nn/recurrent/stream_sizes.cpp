// Streams whose sizes are known when compiling: the same bits, and no other stack.
#include <type_traits>

#include "nn/recurrent/stream.hpp"

namespace {

using test::differences, test::FastCell, test::Index, test::make_stack, test::round_weights;

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

TEST_CASE_TEMPLATE("sizes known when compiling, and narrow vectors, leave the bits", Cell,
                   tsdl::LSTMCell<float>, tsdl::LSTMCell<double>, tsdl::GRUCell<float>) {
  using Scalar = typename Cell::Scalar;
  check_known_sizes<Cell, Scalar, 3, 1>();
  check_known_sizes<Cell, Scalar, 23, 8>();
  check_known_sizes<Cell, Scalar, 2, 11>();
  check_known_sizes<Cell, Scalar, 5, 33>();
}

TEST_CASE("sizes known when compiling: other activations, and weights of half the width") {
  check_known_sizes<FastCell, float, 23, 8>();
  check_known_sizes<tsdl::LSTMCell<float>, tsdl::BFloat16, 5, 6>();
  check_known_sizes<tsdl::GRUCell<float>, tsdl::BFloat16, 2, 20>();
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
