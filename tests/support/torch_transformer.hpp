// The Transformer of a case of tests/goldens/torch_transformer.py.
#pragma once

#include "support/torch_case.hpp"
#include "tsdl/nn/transformer/encoder.hpp"

namespace test {

template <class Scalar>
tsdl::TransformerOptions transformer_options(const Case<Scalar>& c) {
  tsdl::TransformerOptions options{.input_size = c.number("I"),
                                   .hidden_size = c.number("d"),
                                   .heads = c.number("heads"),
                                   .feed_forward = c.number("F"),
                                   .num_layers = c.number("L"),
                                   .activation = tsdl::activation_from(c.text("activation")),
                                   .norm_first = c.number("norm_first") != 0,
                                   .causal = c.number("causal") != 0,
                                   .final_norm = c.number("final_norm") != 0};
  if (c.text("kind") != "columns") {
    options.pooling = tsdl::pooling_from(c.text("pooling"));
    options.outputs = c.number("K");
  }
  return options;
}

}  // namespace test
