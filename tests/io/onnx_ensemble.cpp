// The ONNX form of an ensemble: each member's network once, under a name of its own, and what
// combines them. What it computes is for tests/onnx to see.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "io/onnx_helpers.hpp"
#include "tsdl/nn/factory.hpp"

namespace {

using test::Index;
using Any = tsdl::AnyModel<float>;

Any recurrent(const char* kind, Index outputs) {
  return tsdl::make_classifier<float>(
      kind, {.input_size = 3, .hidden_size = 4, .num_layers = 1, .outputs = outputs}, 5);
}

}  // namespace

TEST_CASE("ONNX: an ensemble's members stand side by side, each with its own weights") {
  const tsdl::TransformerNetwork<float> transformer(
      {.input_size = 3, .hidden_size = 4, .heads = 2, .feed_forward = 5, .causal = true});
  tsdl::Ensemble<float> ensemble(
      {recurrent("lstm", 1), recurrent("gru", 1), transformer, transformer}, {0.25, 0.25, 0.5, 0});
  ensemble.set_task(ensemble.task().with_temperature(2.5));
  const auto file = test::exported(ensemble, test::small_recipe(3));
  test::check_order(file);
  const auto count = [&](const std::string& op) {
    return std::count_if(file.nodes.begin(), file.nodes.end(),
                         [&](const auto& node) { return node.op == op; });
  };
  CHECK(count("LSTM") == 1);
  CHECK(count("GRU") == 1);
  CHECK(count("Gemm") == 4);
  CHECK(count("Sum") == 2);      // log P and log Q
  CHECK(count("Sigmoid") == 1);  // at the end, of what is divided by the temperature
  for (const char* name : {"member_0_fc_weight", "member_1_fc_weight", "member_2_fc_weight"})
    CHECK(file.constants.contains(name));
  CHECK(file.outputs.size() == 2);
  CHECK(file.outputs[0].name == "logits");
  CHECK(file.outputs[1].name == "probabilities");
}

TEST_CASE("ONNX: an ensemble with a member that has no form is refused") {
  tsdl::Config config = tsdl::Ensemble<float>({recurrent("lstm", 1)}).describe();
  config.options["members.0.kind"] = "own";
  CHECK(test::message_of<tsdl::OptionError>([&] { tsdl::internal::check_onnx_kinds(config); }) ==
        "save_onnx: a model of kind own has no ONNX form; these have: lstm, gru, bilstm, bigru, "
        "transformer");
}
