// What stands in an ONNX file, read back field by field. That it runs is tests/onnx's business.
#include "tsdl/io/onnx.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "io/onnx_helpers.hpp"
#include "support/files.hpp"
#include "support/network.hpp"
#include "tsdl/nn/factory.hpp"

namespace {

using test::check_order;
using test::contains;
using test::exported;
using test::Index;
using test::message_of;
using test::OnnxFile;
using test::parameter;
using test::small_recipe;
using test::TemporaryDirectory;
using tsdl::Pooling;

const tsdl::ClassifierOptions small{.input_size = 3, .hidden_size = 5, .num_layers = 2};

template <class Model>
Model drawn(const tsdl::ClassifierOptions& options) {
  Model model(options);
  tsdl::RandomStream random(4);
  test::draw_parameters(model, random, 0.8);
  return model;
}

template <class Model>
const bool is_lstm = Model::kind().ends_with("lstm");
template <class Model>
const Index directions = Model::kind().starts_with("bi") ? 2 : 1;

/// Every weight of every layer stands where ONNX wants it: in[d][g * H + j][k] is PyTorch's value
/// of the gate of that letter. The letters are the documents' own.
template <class Model>
void check_weights(const Model& model, const OnnxFile& file) {
  const bool lstm = is_lstm<Model>;
  const std::string theirs = lstm ? "iofc" : "zrh", ours = lstm ? "ifco" : "rzh";
  const std::string cell = lstm ? "lstm" : "gru";
  const Index H = model.options().hidden_size, D = directions<Model>, G = lstm ? 4 : 3;
  Index compared = 0;
  for (Index l = 0; l < model.options().num_layers; ++l) {
    const std::string layer = cell + "_l" + std::to_string(l);
    const Index in = l == 0 ? model.options().input_size : D * H;
    const auto& W = file.constants.at(layer + "_W");
    const auto& R = file.constants.at(layer + "_R");
    const auto& B = file.constants.at(layer + "_B");
    CHECK((W.shape == std::vector<std::int64_t>{D, G * H, in}));
    CHECK((R.shape == std::vector<std::int64_t>{D, G * H, H}));
    CHECK((B.shape == std::vector<std::int64_t>{D, 2 * G * H}));
    CHECK(W.type == 1);
    const auto w = W.values<float>(), r = R.values<float>(), b = B.values<float>();
    for (Index d = 0; d < D; ++d)
      for (Index g = 0; g < G; ++g)
        for (Index j = 0; j < H; ++j) {
          const std::string name = "_l" + std::to_string(l) + (d == 1 ? "_reverse" : "");
          const auto of = [&](const char* kind) -> const auto& {
            return parameter(model, cell + "." + kind + name);
          };
          const Index row =
              static_cast<Index>(ours.find(theirs[static_cast<std::size_t>(g)])) * H + j;
          const auto at = [](const std::vector<float>& values, Index i) {
            return values.at(static_cast<std::size_t>(i));
          };
          for (Index k = 0; k < in; ++k)
            compared += at(w, ((d * G + g) * H + j) * in + k) ==
                        static_cast<float>(of("weight_ih").value[row * in + k]);
          for (Index k = 0; k < H; ++k)
            compared += at(r, ((d * G + g) * H + j) * H + k) ==
                        static_cast<float>(of("weight_hh").value[row * H + k]);
          compared +=
              at(b, d * 2 * G * H + g * H + j) == static_cast<float>(of("bias_ih").value[row]);
          compared += at(b, d * 2 * G * H + (G + g) * H + j) ==
                      static_cast<float>(of("bias_hh").value[row]);
        }
  }
  const auto& fc = parameter(model, "fc.weight");
  const auto weight = file.constants.at("fc_weight").values<float>();
  const auto bias = file.constants.at("fc_bias").values<float>();
  CHECK((file.constants.at("fc_weight").shape == std::vector<std::int64_t>{fc.rows, fc.cols}));
  for (Index i = 0; i < fc.size(); ++i)
    compared += weight.at(static_cast<std::size_t>(i)) == static_cast<float>(fc.value[i]);
  for (Index k = 0; k < fc.rows; ++k)
    compared += bias.at(static_cast<std::size_t>(k)) ==
                static_cast<float>(parameter(model, "fc.bias").value[k]);
  CHECK(compared == model.parameter_count());
}

}  // namespace

TEST_CASE_TEMPLATE("onnx: weights stand in ONNX's order of gates", Model,
                   tsdl::LSTMClassifier<float>, tsdl::GRUClassifier<float>,
                   tsdl::BiLSTMClassifier<double>, tsdl::BiGRUClassifier<double>) {
  for (const Index layers : {1, 3}) {
    auto options = small;
    options.num_layers = layers;
    const Model model = drawn<Model>(options);
    const OnnxFile file = exported(model, small_recipe(3));
    check_order(file);
    check_weights(model, file);
    const bool lstm = is_lstm<Model>;
    const auto& node = file.node(lstm ? "LSTM" : "GRU");
    CHECK(node.attributes.at("hidden_size") == "5");
    CHECK(node.attributes.at("direction") ==
          (directions<Model> == 2 ? "bidirectional" : "forward"));
    CHECK(node.attributes.contains("linear_before_reset") == !lstm);
    if (!lstm) CHECK(node.attributes.at("linear_before_reset") == "1");
    CHECK_FALSE(node.attributes.contains("layout"));
  }
}

TEST_CASE("onnx: the graph of two layers in two directions, and what a file says of itself") {
  const auto model = drawn<tsdl::BiLSTMClassifier<float>>(small);
  const tsdl::Recipe recipe = small_recipe(3);
  const OnnxFile file = exported(model, recipe);
  CHECK(file.ops() ==
        "Sub Mul Cast Transpose LSTM Transpose Reshape LSTM Gather Transpose Reshape Gemm Sigmoid");
  CHECK(file.ir_version == 8);
  CHECK((file.operators == std::vector<std::pair<std::string, std::int64_t>>{{"", 17}}));
  CHECK(file.producer == "tsdl");
  CHECK(file.producer_version == tsdl::version);
  CHECK(file.graph == "bilstm");
  CHECK(file.doc ==
        "A bilstm network for a task of kind binary over windows of 6 rows of 3 features");

  REQUIRE(file.inputs.size() == 1);
  CHECK(file.inputs[0].name == "features");
  CHECK(file.inputs[0].type == 11);
  CHECK((file.inputs[0].shape == std::vector<std::string>{"batch", "6", "3"}));
  REQUIRE(file.outputs.size() == 2);
  CHECK(file.outputs[0].name == "logits");
  CHECK(file.outputs[1].name == "probabilities");
  for (const auto& output : file.outputs) {
    CHECK(output.type == 1);
    CHECK((output.shape == std::vector<std::string>{"batch", "1"}));
  }

  CHECK(file.nodes[3].attributes.at("perm") == "[1, 0, 2]");
  CHECK(file.nodes[5].attributes.at("perm") == "[0, 2, 1, 3]");
  CHECK((file.constants.at(file.nodes[6].inputs[1]).values<std::int64_t>() ==
         std::vector<std::int64_t>{0, 0, 10}));
  CHECK(file.nodes[9].attributes.at("perm") == "[1, 0, 2]");
  CHECK((file.constants.at(file.nodes[10].inputs[1]).values<std::int64_t>() ==
         std::vector<std::int64_t>{0, 10}));
  CHECK(file.node("Gemm").attributes.at("transB") == "1");

  const auto said = [&](const char* key) {
    return tsdl::internal::Json::parse(file.metadata.at(key));
  };
  CHECK(file.metadata.size() == 6);
  CHECK(file.metadata.at("tsdl.version") == tsdl::version);
  CHECK((said("tsdl.columns").get<std::vector<std::string>>() == recipe.columns));
  CHECK((said("tsdl.class_values").get<std::vector<double>>() == recipe.class_values));
  CHECK(said("tsdl.model").at("kind") == "bilstm");
  CHECK((tsdl::internal::config_from_json(said("tsdl.model")) == model.describe()));
  CHECK((tsdl::internal::config_from_json(said("tsdl.task")) == model.task()->describe()));
  const tsdl::Recipe again = tsdl::internal::recipe_from_json(said("tsdl.recipe"));
  CHECK((again.scaler.mean() == recipe.scaler.mean()));
  CHECK((again.scaler.scale() == recipe.scaler.scale()));
  CHECK(again.length == 6);
}

TEST_CASE("onnx: each pooling reads its steps") {
  auto options = small;
  options.outputs = 3;
  tsdl::Recipe recipe = small_recipe(3);
  recipe.class_values = {-1, 0, 1};
  const auto with = [&](Pooling pooling) {
    options.pooling = pooling;
    return exported(drawn<tsdl::BiGRUClassifier<float>>(options), recipe,
                    {.include_scaler = false});
  };
  const std::string before = "Transpose GRU Transpose Reshape GRU ";
  const std::string after = "Transpose Reshape Gemm Softmax";

  const OnnxFile last = with(Pooling::last);
  CHECK(last.ops() == before + "Gather " + after);
  CHECK((last.nodes[4].outputs == std::vector<std::string>{"gru_l1_Y"}));
  CHECK(last.nodes[5].inputs[0] == "gru_l1_Y");
  CHECK(last.nodes[5].attributes.at("axis") == "0");
  const auto& index = last.constants.at(last.nodes[5].inputs[1]);
  CHECK(index.shape.empty());
  CHECK((index.values<std::int64_t>() == std::vector<std::int64_t>{-1}));
  CHECK(last.node("Softmax").attributes.at("axis") == "-1");
  CHECK((last.outputs[1].shape == std::vector<std::string>{"batch", "3"}));

  const OnnxFile states = with(Pooling::each_direction_end);
  CHECK(states.ops() == before + after);
  CHECK((states.nodes[4].outputs == std::vector<std::string>{"", "gru_l1_Y_h"}));
  CHECK(states.nodes[5].inputs[0] == "gru_l1_Y_h");

  const OnnxFile mean = with(Pooling::mean);
  CHECK(mean.ops() == before + "ReduceMean " + after);
  CHECK(mean.nodes[5].inputs[0] == "gru_l1_Y");
  CHECK(mean.nodes[5].attributes.at("axes") == "[0]");
  CHECK(mean.nodes[5].attributes.at("keepdims") == "0");

  options.pooling = Pooling::each;
  const OnnxFile each = exported(drawn<tsdl::GRUClassifier<float>>(options), recipe);
  CHECK(each.ops().ends_with("GRU Transpose Reshape Transpose MatMul Add Softmax"));
  CHECK(each.nodes[each.nodes.size() - 6].attributes.at("perm") == "[2, 0, 1, 3]");
  for (const auto& output : each.outputs)
    CHECK((output.shape == std::vector<std::string>{"batch", "6", "3"}));
}

TEST_CASE("onnx: the scaler works in float64, by option") {
  const auto model = drawn<tsdl::LSTMClassifier<float>>(small);
  const tsdl::Recipe recipe = small_recipe(3, 4.5);
  const OnnxFile raw = exported(model, recipe);
  CHECK(contains(raw.ops(), "Sub Mul Clip Cast Transpose"));
  const auto constant_of = [&](const char* op, std::size_t input) {
    return raw.constants.at(raw.node(op).inputs.at(input));
  };
  CHECK(constant_of("Sub", 1).type == 11);
  CHECK((constant_of("Sub", 1).values<double>() == recipe.scaler.mean()));
  CHECK(constant_of("Mul", 1).type == 11);
  for (std::size_t i = 0; i < 3; ++i)
    CHECK(constant_of("Mul", 1).values<double>()[i] == 1.0 / recipe.scaler.scale()[i]);
  CHECK((constant_of("Clip", 1).values<double>() == std::vector<double>{-4.5}));
  CHECK((constant_of("Clip", 2).values<double>() == std::vector<double>{4.5}));
  CHECK(raw.node("Sub").inputs[0] == "features");
  CHECK(raw.node("Cast").attributes.at("to") == "1");
  CHECK(raw.node("Transpose").inputs[0] == raw.node("Cast").outputs[0]);

  const OnnxFile scaled = exported(model, recipe, {.include_scaler = false});
  CHECK_FALSE(contains(scaled.ops(), "Sub"));
  CHECK(scaled.inputs[0].type == 1);
  CHECK(scaled.node("Transpose").inputs[0] == "features");
  CHECK((scaled.metadata == raw.metadata));
  tsdl::Recipe unfitted = recipe;
  unfitted.scaler = {};
  CHECK(exported(model, unfitted, {.include_scaler = false}).nodes.size() == scaled.nodes.size());
}

TEST_CASE("onnx: a length that may vary, a regression, two outputs for two classes") {
  auto model = drawn<tsdl::GRUClassifier<float>>(small);
  tsdl::Recipe recipe = small_recipe(3);
  const OnnxFile any = exported(model, recipe, {.dynamic_length = true});
  CHECK((any.inputs[0].shape == std::vector<std::string>{"batch", "length", "3"}));
  CHECK(any.doc ==
        "A gru network for a task of kind binary over windows of any number of rows of 3 features");

  recipe.class_values.clear();
  recipe.regression = true;
  model.set_task(tsdl::Regression{.scale = {{100.0 / 3}, {0.7}}});
  const OnnxFile regression = exported(model, recipe);
  CHECK(regression.ops().ends_with("Reshape Gemm Cast Mul Add"));
  REQUIRE(regression.outputs.size() == 1);
  CHECK(regression.outputs[0].name == "prediction");
  CHECK(regression.outputs[0].type == 11);
  const auto& mul = regression.nodes[regression.nodes.size() - 2];
  const auto& add = regression.nodes.back();
  CHECK((regression.constants.at(mul.inputs[1]).values<double>() == std::vector<double>{0.7}));
  CHECK(
      (regression.constants.at(add.inputs[1]).values<double>() == std::vector<double>{100.0 / 3}));
  check_order(regression);

  auto options = small;
  options.outputs = 2;
  const OnnxFile two = exported(drawn<tsdl::GRUClassifier<float>>(options), small_recipe(3));
  CHECK(two.ops().ends_with("Gemm Softmax"));
  CHECK((two.outputs[1].shape == std::vector<std::string>{"batch", "2"}));
}

TEST_CASE("onnx: the constants of quantiles make of outputs what the task does") {
  auto options = small;
  options.outputs = 8;
  auto model = drawn<tsdl::GRUClassifier<float>>(options);
  tsdl::Recipe recipe = small_recipe(3);
  recipe.class_values.clear();
  recipe.regression = true;
  const tsdl::Task task = tsdl::Quantiles{
      .levels = {0.1, 0.3, 0.6, 0.9}, .targets = 2, .scale = {{100.0 / 3, -2}, {0.7, 30}}};
  model.set_task(task);
  const OnnxFile file = exported(model, recipe);
  check_order(file);
  CHECK(file.ops().ends_with("Gemm Cast Softplus Cast Mul Mul Add MatMul Mul Add"));
  REQUIRE(file.outputs.size() == 1);
  CHECK((file.outputs[0].shape == std::vector<std::string>{"batch", "8"}));
  const auto constant = [&](std::size_t from_last) {
    return file.constants.at(file.nodes[file.nodes.size() - from_last].inputs[1]).values<double>();
  };
  const auto middle = constant(6), distance = constant(5), sums = constant(3), scale = constant(2),
             mean = constant(1);
  REQUIRE(sums.size() == 64);
  const std::vector<double> x = {0.3, -1.2, 0.4, 2.0, -0.7, 1.1, 0.9, -3.0};
  std::vector<double> expected(8);
  task->decode(x.data(), expected.data());
  for (std::size_t j = 0; j < 8; ++j) {
    double sum = 0;
    for (std::size_t i = 0; i < 8; ++i)
      sum += (x[i] * middle[i] + tsdl::softplus(x[i]) * distance[i]) * sums[i * 8 + j];
    CHECK(sum * scale[j] + mean[j] == doctest::Approx(expected[j]).epsilon(1e-14));
  }
}

TEST_CASE("onnx: equal models give equal bytes, whatever they are held in") {
  const TemporaryDirectory directory;
  const tsdl::Recipe recipe = small_recipe(3);
  const auto single = drawn<tsdl::BiLSTMClassifier<float>>(small);
  const auto twice = drawn<tsdl::BiLSTMClassifier<double>>(small);
  tsdl::save_onnx(directory / "a", single, recipe);
  tsdl::save_onnx(directory / "b", single, recipe);
  tsdl::save_onnx(directory / "c", twice, recipe);
  tsdl::save_onnx(directory / "d", tsdl::AnyModel<float>(single), recipe);
  const std::string bytes = test::read_bytes(directory / "a");
  for (const char* name : {"b", "c", "d"}) CHECK((test::read_bytes(directory / name) == bytes));
  auto other = single;
  other.visit([](auto& one) {
    if (one.name == "fc.bias") one.value[0] += 1.0f;
  });
  tsdl::save_onnx(directory / "e", other, recipe);
  CHECK((test::read_bytes(directory / "e") != bytes));
}

TEST_CASE("onnx: what cannot be exported is refused, and an older file stays") {
  const TemporaryDirectory directory;
  const auto path = directory / "model.onnx";
  test::write_bytes(path, "older");
  using Model = tsdl::LSTMClassifier<double>;
  const Model model = drawn<Model>(small);
  const tsdl::Recipe good = small_recipe(3);
  const auto refusal = [&]<class Expected>(std::type_identity<Expected>, const Model& with,
                                           const auto& change) {
    tsdl::Recipe recipe = good;
    change(recipe);
    return message_of<Expected>([&] { tsdl::save_onnx(path, with, recipe); });
  };
  const std::type_identity<tsdl::ShapeError> shape;
  const std::type_identity<tsdl::DataError> data;
  const std::type_identity<tsdl::Error> error;

  CHECK(refusal(shape, model, [](auto& recipe) { recipe.columns.pop_back(); }) ==
        "save_onnx: a model of 3 inputs, but a recipe of 2 columns");
  CHECK(refusal(shape, model, [](auto& recipe) { recipe.length = 0; }) ==
        "save_onnx: recipe.length must be at least 1, not 0");
  CHECK(refusal(shape, model, [](auto& recipe) {
          recipe.class_values = {0, 1, 2};
        }) == "save_onnx: a model of 1 outputs, but a recipe of 3 classes");
  CHECK(refusal(shape, model, [](auto& recipe) {
          recipe.class_values.clear();
          recipe.regression = true;
        }) == "save_onnx: a task of kind binary, but a recipe of numbers");
  CHECK(contains(refusal(data, model, [](auto& recipe) { recipe.class_values.clear(); }),
                 "2 or more class_values"));
  CHECK(refusal(data, model, [](auto& recipe) { recipe.scaler = {}; }) ==
        "save_onnx: the recipe's scaler is not fitted");
  CHECK(refusal(data, model, [](auto& recipe) {
          std::swap(recipe.columns[0], recipe.columns[1]);
        }) == "save_onnx: the recipe's scaler was fitted on other features than its columns");
  CHECK(refusal(data, model, [](auto& recipe) {
          recipe.scaler = {recipe.columns, {0, 0, 0}, {0, 0, 0}, {1, 1e-310, 1}, {9, 9, 9}};
        }) == "save_onnx: feature column 1: a scale of 1e-310 is too small");
  CHECK(contains(refusal(error, model, [](auto& recipe) { recipe.features = "\xff"; }), "UTF-8"));

  Model wide = model;
  wide.visit([](auto& one) {
    if (one.name == "lstm.bias_hh_l1") one.value[3] = -1e39;
  });
  CHECK(refusal(error, wide, [](auto&) {}) ==
        path.string() + ": tensor 'lstm.bias_hh_l1': value 3 is -1e+39, beyond F32's range");
  CHECK(message_of<tsdl::OptionError>([] { tsdl::internal::onnx_encoder("rnn"); }) ==
        "save_onnx: a model of kind rnn has no ONNX form; these have: lstm, gru, bilstm, bigru, "
        "transformer");
  CHECK(message_of<tsdl::ShapeError>([] { tsdl::internal::check_onnx_size(500'000'001); }) ==
        "save_onnx: at most 500000000 parameters fit a file, not 500000001");
  tsdl::internal::check_onnx_size(500'000'000);
  CHECK(contains(
      message_of<tsdl::Error>([&] { tsdl::save_onnx(directory / "away" / "x", model, good); }),
      "x: cannot be written: "));
  CHECK(directory.count() == 1);
  CHECK(test::read_bytes(path) == "older");
  tsdl::save_onnx(path, model, good);
  CHECK(test::read_onnx(path).nodes.size() > 0);
}
