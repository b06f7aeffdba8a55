// What stands in the ONNX file of a Transformer. That it runs is tests/onnx's business.
#include "tsdl/io/onnx_transformer.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include "io/onnx_helpers.hpp"
#include "tsdl/nn/factory.hpp"

namespace {

using test::check_order;
using test::contains;
using test::exported;
using test::Index;
using test::OnnxFile;
using test::small_recipe;
using tsdl::Pooling;

constexpr Index T = 6, d = 6;
const tsdl::TransformerOptions plain{
    .input_size = 3, .hidden_size = d, .heads = 2, .feed_forward = 5, .num_layers = 1};

template <class Scalar = float>
tsdl::TransformerNetwork<Scalar> drawn(const tsdl::TransformerOptions& options) {
  tsdl::TransformerNetwork<Scalar> model(options);
  tsdl::RandomStream random(4);
  test::draw_parameters(model, random, 0.8);
  return model;
}

OnnxFile file_of(const tsdl::TransformerOptions& options, bool any_length = false) {
  const OnnxFile file = exported(drawn(options), small_recipe(3),
                                 {.include_scaler = false, .dynamic_length = any_length});
  check_order(file);
  return file;
}

/// The constant of a parameter: "encoder.layers.1.linear2.weight" is l1_linear2_weight.
std::string constant_of(std::string parameter) {
  const std::string layers = "encoder.layers.";
  if (parameter.starts_with(layers)) parameter.replace(0, layers.size(), "l");
  if (parameter.starts_with("encoder.")) parameter.replace(0, 8, "final_");
  if (const auto at = parameter.find("self_attn."); at != parameter.npos) parameter.erase(at, 10);
  for (char& letter : parameter)
    if (letter == '.') letter = '_';
  return parameter;
}

const std::string input = "MatMul Add Add";
const std::string attention =
    " MatMul Add Reshape Transpose Split Mul Transpose MatMul Softmax MatMul Transpose Reshape "
    "MatMul Add";
const std::string relu = " MatMul Add Relu MatMul Add", norm = " LayerNormalization", sum = " Add";
const std::string head = " Gather Gemm Sigmoid";

}  // namespace

TEST_CASE("onnx, Transformer: each weight stands in the file once, as MatMul reads it") {
  for (const Pooling pooling : {Pooling::last, Pooling::attention}) {
    tsdl::TransformerOptions options = plain;
    options.num_layers = 2;
    options.activation = tsdl::FeedForwardActivation::gelu;
    options.causal = options.final_norm = true;
    options.pooling = pooling;
    const auto model = drawn(options);
    const OnnxFile file = exported(model, small_recipe(3), {.include_scaler = false});
    Index floats = 0, weights = 0;
    for (const auto& [name, constant] : file.constants)
      if (constant.type == 1) floats += std::ssize(constant.values<float>());
    std::as_const(model).visit([&](const tsdl::Parameter<float>& parameter) {
      INFO(parameter.name);
      const auto& constant = file.constants.at(constant_of(parameter.name));
      const auto values = constant.values<float>();
      weights += parameter.size();
      REQUIRE(std::ssize(values) == parameter.size());
      const bool is_transposed = parameter.cols > 1 && parameter.name != "fc.weight";
      const Index rows = parameter.rows, cols = parameter.cols;
      if (is_transposed)
        CHECK((constant.shape == std::vector<std::int64_t>{cols, rows}));
      else
        CHECK(constant.shape.front() == rows);
      bool same = true;
      for (Index r = 0; r < rows; ++r)
        for (Index c = 0; c < cols; ++c) {
          const Index at = is_transposed ? c * rows + r : r * cols + c;
          same &= values[static_cast<std::size_t>(at)] == parameter.value[r * cols + c];
        }
      CHECK(same);
    });
    CHECK(floats == weights + T * d + 5);  // positions; the numbers of attention and of gelu
  }
}

TEST_CASE("onnx, Transformer: the graph of each option") {
  CHECK(file_of(plain).ops() == input + attention + sum + norm + relu + sum + norm + head);
  auto options = plain;
  options.norm_first = options.final_norm = true;
  CHECK(file_of(options).ops() == input + norm + attention + sum + norm + relu + sum + norm + head);

  options = plain;
  options.activation = tsdl::FeedForwardActivation::gelu;
  options.num_layers = 2;
  const std::string gelu = " MatMul Add Div Erf Add Mul Mul MatMul Add";
  const std::string layer = attention + sum + norm + gelu + sum + norm;
  const OnnxFile two = file_of(options);
  CHECK(two.ops() == input + layer + layer + head);
  CHECK((two.constants.at("root_of_2").values<float>() ==
         std::vector<float>{static_cast<float>(std::numbers::sqrt2)}));

  const OnnxFile one = file_of(plain);
  CHECK((one.constants.at("query_scale").values<float>() ==
         std::vector<float>{static_cast<float>(1 / std::sqrt(3.0))}));
  CHECK((one.constants.at("heads_shape").values<std::int64_t>() ==
         std::vector<std::int64_t>{0, 0, 6, 3}));
  CHECK((one.constants.at("columns_shape").values<std::int64_t>() ==
         std::vector<std::int64_t>{0, 0, 6}));
  CHECK((one.node("Split").outputs == std::vector<std::string>{"l0_q", "l0_k", "l0_v"}));
  CHECK(one.node("Split").attributes.at("axis") == "1");
  CHECK(one.node("Softmax").attributes.at("axis") == "-1");
  CHECK(one.node("LayerNormalization").attributes.at("axis") == "-1");
  CHECK(one.node("LayerNormalization").attributes.at("epsilon").starts_with("10.0000"));
  CHECK(one.doc ==
        "A transformer network for a task of kind binary over windows of 6 rows of 3 features");
  for (const auto& [name, constant] : one.constants) CHECK(constant.type != 11);
}

TEST_CASE("onnx, Transformer: causal scores") {
  auto options = plain;
  options.causal = true;
  const OnnxFile file = file_of(options);
  CHECK(file.ops().starts_with("MatMul Add Unsqueeze LessOrEqual Add"));
  CHECK(contains(file.ops(), "Transpose MatMul Where Softmax"));
  CHECK((file.node("LessOrEqual").inputs == std::vector<std::string>{"steps", "steps_down"}));
  CHECK((file.node("Where").inputs ==
         std::vector<std::string>{"is_seen", "l0_scores", "minus_infinity"}));
  CHECK((file.constants.at("steps").values<std::int64_t>() ==
         std::vector<std::int64_t>{0, 1, 2, 3, 4, 5}));
  CHECK(std::isinf(file.constants.at("minus_infinity").values<float>().at(0)));
}

TEST_CASE("onnx, Transformer: positions of one length, and of any") {
  for (const Index columns : {d, Index{9}}) {
    auto options = plain;
    options.hidden_size = columns;
    options.heads = 3;
    const OnnxFile fixed = file_of(options), any = file_of(options, true);
    const auto& positions = fixed.constants.at("positions");
    CHECK((positions.shape == std::vector<std::int64_t>{T, columns}));
    CHECK_FALSE(any.constants.contains("positions"));
    CHECK(
        any.ops().starts_with("MatMul Add Shape Gather Range Unsqueeze Cast Mul Add Sin Cast Add"));
    CHECK((any.inputs[0].shape == std::vector<std::string>{"batch", "length", "3"}));
    CHECK(any.node("Cast").attributes.at("to") == "11");
    const auto values = positions.values<float>();
    const auto frequencies = any.constants.at("frequencies").values<double>();
    const auto phases = any.constants.at("phases").values<double>();
    for (Index t = 0; t < T; ++t)
      for (Index i = 0; i < columns; ++i) {
        const auto column = static_cast<std::size_t>(i);
        const double exponent = static_cast<double>(i - i % 2) / static_cast<double>(columns);
        const double angle = static_cast<double>(t) / std::pow(10000, exponent);
        const double expected = i % 2 == 0 ? std::sin(angle) : std::cos(angle);
        CHECK(values.at(static_cast<std::size_t>(t * columns) + column) ==
              doctest::Approx(expected).epsilon(1e-7));
        CHECK(std::sin(static_cast<double>(t) * frequencies.at(column) + phases.at(column)) ==
              doctest::Approx(expected).epsilon(1e-14));
      }
  }
}

TEST_CASE("onnx, Transformer: each pooling reads its steps") {
  const auto with = [&](Pooling pooling) {
    auto options = plain;
    options.pooling = pooling;
    options.causal = true;
    return file_of(options);
  };
  const OnnxFile last = with(Pooling::last), mean = with(Pooling::mean);
  CHECK(last.ops().ends_with(norm + " Gather Gemm Sigmoid"));
  CHECK(last.node("Gather").attributes.at("axis") == "1");
  CHECK((last.constants.at("last").values<std::int64_t>() == std::vector<std::int64_t>{-1}));
  CHECK(with(Pooling::each_direction_end).ops() == last.ops());
  CHECK(mean.ops().ends_with(norm + " ReduceMean Gemm Sigmoid"));
  CHECK(mean.node("ReduceMean").attributes.at("axes") == "[1]");
  CHECK(mean.node("ReduceMean").attributes.at("keepdims") == "0");
  const OnnxFile each = with(Pooling::each);
  CHECK(each.ops().ends_with(norm + " Transpose MatMul Add Sigmoid"));
  CHECK((each.outputs[0].shape == std::vector<std::string>{"batch", "6", "1"}));
  const OnnxFile attends = with(Pooling::attention);
  CHECK(attends.ops().ends_with(
      norm + " MatMul Add Tanh MatMul Softmax Mul ReduceSum Gather Concat Gemm Sigmoid"));
  CHECK(attends.nodes[attends.nodes.size() - 7].attributes.at("axis") == "1");
  CHECK(
      (attends.constants.at("over_steps").values<std::int64_t>() == std::vector<std::int64_t>{1}));
}

TEST_CASE("onnx, Transformer: equal models give equal bytes, whatever they are held in") {
  const test::TemporaryDirectory directory;
  const tsdl::Recipe recipe = small_recipe(3);
  auto options = plain;
  options.causal = true;
  tsdl::save_onnx(directory / "a", drawn(options), recipe);
  tsdl::save_onnx(directory / "b", drawn<double>(options), recipe);
  tsdl::save_onnx(directory / "c", tsdl::AnyModel<float>(drawn(options)), recipe);
  const std::string bytes = test::read_bytes(directory / "a");
  for (const char* name : {"b", "c"}) CHECK((test::read_bytes(directory / name) == bytes));
}
