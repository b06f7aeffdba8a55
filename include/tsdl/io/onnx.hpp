// Classifiers as ONNX files, which ONNX Runtime and whatever else reads ONNX can run. Needs
// protozero beside what io/json.hpp needs.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/file.hpp"
#include "tsdl/data/recipe.hpp"
#include "tsdl/io/json.hpp"
#include "tsdl/io/onnx_graph.hpp"
#include "tsdl/nn/factory.hpp"

namespace tsdl::inline TSDL_ABI {

/// What a file is to hold.
struct OnnxOptions {
  /// The file takes features as they are, in float64, and scales them as the recipe says. Without,
  /// it takes scaled ones in float32: for runtimes that have no float64, such as a browser's GPU.
  bool include_scaler = true;
  /// Windows may have any length. Without, recipe.length only: what the model has learnt, and a
  /// runtime refuses a window that was cut wrongly.
  bool dynamic_length = false;
};

namespace internal {

/// The operator that runs a cell, and its gates: block g of ONNX's weights is block gates[g] of
/// PyTorch's. The only place of that permutation.
/// Source: https://onnx.ai/onnx/operators/onnx__LSTM.html (LSTM-14: i o f c; ours i f g o),
/// https://onnx.ai/onnx/operators/onnx__GRU.html (GRU-14: z r h; ours r z n)
template <class Cell>
struct OnnxCell;

template <class Scalar>
struct OnnxCell<LSTMCell<Scalar>> {
  static constexpr const char* op = "LSTM";
  static constexpr std::array<Index, 4> gates = {0, 3, 1, 2};
};

template <class Scalar>
struct OnnxCell<GRUCell<Scalar>> {
  static constexpr const char* op = "GRU";
  static constexpr std::array<Index, 3> gates = {1, 0, 2};
};

/// Protobuf holds 2 GiB a message; 4 bytes a weight, and some room for what is said about them.
inline constexpr Index max_onnx_parameters = 500'000'000;

inline void check_onnx_size(Index parameters) {
  if (parameters > max_onnx_parameters)
    throw ShapeError("save_onnx: at most ", max_onnx_parameters, " parameters fit a file, not ",
                     parameters);
}

/// Writes one classifier as a graph:
///
///   features                              [batch, T, I]     double with the scaler, else float
///   Sub mean, Mul 1 / scale, Clip, Cast   [batch, T, I]     with the scaler: double, then float;
///                                                           Clip where the recipe clips
///   Transpose                             [T, batch, I]     the layout that runtimes run
///   LSTM or GRU, each layer               Y [T, D, batch, H], Y_h [D, batch, H]
///   Transpose, Reshape between layers     [T, batch, D * H]
///   last: Gather Y at T - 1; final_states: Y_h; mean: ReduceMean of Y over T
///                                         [D, batch, H]
///   Transpose, Reshape                    [batch, D * H]
///   Gemm                                  [batch, K]        logits
///   Sigmoid for K = 1, else Softmax       [batch, K]        probabilities
///
/// No shape in it depends on the batch or on T, so either may vary.
template <class Cell, Index Directions>
class OnnxExport {
 public:
  using Scalar = typename Cell::Scalar;
  using Model = Classifier<Cell, Directions>;

  /// Throws: as save_onnx. `path` only names the file in messages.
  OnnxExport(const Model& model, const Recipe& recipe, const OnnxOptions& options, std::string path)
      : model_(model),
        recipe_(recipe),
        options_(options),
        path_(std::move(path)),
        graph_(Model::kind()) {
    check();
    model.visit([&](const Parameter<Scalar>& parameter) {
      parameters_.emplace(parameter.name, &parameter);
    });
  }

  /// The bytes of the file.
  std::string bytes() {
    const ClassifierOptions& o = model_.options();
    add_values();
    std::string x = options_.include_scaler ? add_scaler("features") : "features";
    x = graph_.node("Transpose", {x}, "by_step", {{"perm", std::vector<std::int64_t>{1, 0, 2}}});
    for (Index l = 0; l + 1 < o.num_layers; ++l) x = add_joined(add_layer(l, x, true), l);
    const bool states = o.pooling == Pooling::final_states;
    const std::string y = add_layer(o.num_layers - 1, x, !states);
    add_head(add_pooling(y));
    return onnx_model(graph_, {"tsdl", version, doc(), metadata()});
  }

 private:
  static constexpr Index D = Directions;

  void check() const {
    const ClassifierOptions& o = model_.options();
    check_onnx_size(model_.parameter_count());
    if (std::ssize(recipe_.columns) != o.input_size)
      throw ShapeError("save_onnx: a model of ", o.input_size, " inputs, but a recipe of ",
                       recipe_.columns.size(), " columns");
    if (recipe_.length < 1)
      throw ShapeError("save_onnx: recipe.length must be at least 1, not ", recipe_.length);
    check_class_values(recipe_.class_values, recipe_.regression);
    const Index classes = std::ssize(recipe_.class_values);
    if (!recipe_.regression && o.outputs != classes && !(o.outputs == 1 && classes == 2))
      throw ShapeError("save_onnx: a model of ", o.outputs, " outputs, but a recipe of ", classes,
                       " classes");
    if (!options_.include_scaler) return;
    if (!recipe_.scaler.is_fitted())
      throw DataError("save_onnx: the recipe's scaler is not fitted");
    if (recipe_.scaler.names() != recipe_.columns)
      throw DataError(
          "save_onnx: the recipe's scaler was fitted on other features than its columns");
  }

  /// Declares input and outputs.
  void add_values() {
    const ClassifierOptions& o = model_.options();
    OnnxValue features{.name = "features", .type = OnnxType::f32, .shape = {"batch"}, .doc = {}};
    features.doc = "Windows of rows, oldest first; a row holds metadata tsdl.columns in order, ";
    if (options_.include_scaler) {
      features.type = OnnxType::f64;
      features.doc += "as they are";
    } else {
      features.doc += "scaled: (value - mean) / scale of metadata tsdl.recipe";
    }
    if (options_.dynamic_length)
      features.shape.emplace_back("length");
    else
      features.shape.emplace_back(recipe_.length);
    features.shape.emplace_back(o.input_size);
    graph_.add_input(features);
    const auto output = [&](const std::string& name, const std::string& what) {
      graph_.add_output(
          {.name = name, .type = OnnxType::f32, .shape = {"batch", o.outputs}, .doc = what});
    };
    if (recipe_.regression) return output("prediction", "What the label is predicted to be");
    output("logits", "Before sigmoid or softmax");
    output("probabilities",
           o.outputs == 1 ? "Of the second of metadata tsdl.class_values"
                          : "Of each of metadata tsdl.class_values, in order; their sum is 1");
  }

  /// StandardScaler::transform in double and rounded once, but for the division, which is a product
  /// with the reciprocal: that moves a value by 2^-52 of itself before it becomes a float.
  std::string add_scaler(std::string x) {
    const StandardScaler& scaler = recipe_.scaler;
    const std::vector<Index> shape = {model_.options().input_size};
    std::vector<double> factor;
    for (std::size_t i = 0; i < scaler.scale().size(); ++i) {
      factor.push_back(1.0 / scaler.scale()[i]);
      if (!is_finite(factor.back()))
        throw DataError("save_onnx: feature ", scaler.names()[i], ": a scale of ",
                        scaler.scale()[i], " is too small");
    }
    x = graph_.node("Sub", {x, graph_.constant("mean", shape, scaler.mean())}, "centred");
    x = graph_.node("Mul", {x, graph_.constant("reciprocal_scale", shape, factor)}, "scaled");
    if (const double clip = scaler.options().clip; clip > 0)
      x = graph_.node("Clip",
                      {x, graph_.constant("least", {}, std::vector<double>{-clip}),
                       graph_.constant("most", {}, std::vector<double>{clip})},
                      "clipped");
    const auto to = static_cast<std::int64_t>(OnnxType::f32);
    return graph_.node("Cast", {x}, "scaled_features", {{"to", to}});
  }

  /// Adds a layer's weights, both directions of each stacked, and its operator. Returns the name of
  /// Y, every step's output, or of Y_h, each direction's last one.
  std::string add_layer(Index l, const std::string& x, bool every_step) {
    const ClassifierOptions& o = model_.options();
    const Index H = o.hidden_size, in = l == 0 ? o.input_size : D * H, rows = Model::gates * H;
    const std::string name = Model::cell_name() + "_l" + std::to_string(l);
    std::vector<float> W, R, B;
    for (Index d = 0; d < D; ++d) {
      const std::string suffix = "_l" + std::to_string(l) + (d == 1 ? "_reverse" : "");
      const std::string prefix = Model::cell_name() + ".";
      append_gates(W, prefix + "weight_ih" + suffix);
      append_gates(R, prefix + "weight_hh" + suffix);
      append_gates(B, prefix + "bias_ih" + suffix);
      append_gates(B, prefix + "bias_hh" + suffix);
    }
    std::vector<OnnxAttribute> attributes = {
        {"direction", std::string(D == 2 ? "bidirectional" : "forward")},
        {"hidden_size", std::int64_t{H}}};
    // GRU: b_hn inside r's product, as PyTorch has it.
    if (Model::gates == 3) attributes.push_back({"linear_before_reset", std::int64_t{1}});
    const std::vector<std::string> inputs = {x, graph_.constant(name + "_W", {D, rows, in}, W),
                                             graph_.constant(name + "_R", {D, rows, H}, R),
                                             graph_.constant(name + "_B", {D, 2 * rows}, B)};
    if (every_step)
      graph_.add_node(OnnxCell<Cell>::op, inputs, {name + "_Y"}, attributes);
    else
      graph_.add_node(OnnxCell<Cell>::op, inputs, {"", name + "_Y_h"}, attributes);
    return name + (every_step ? "_Y" : "_Y_h");
  }

  /// Both directions side by side, as the next layer reads them.
  std::string add_joined(const std::string& y, Index l) {
    const std::string name = "output_l" + std::to_string(l);
    const std::string swapped = graph_.node("Transpose", {y}, name + "_by_sample",
                                            {{"perm", std::vector<std::int64_t>{0, 2, 1, 3}}});
    const std::string shape =
        graph_.constant(name + "_shape", {3}, std::vector<std::int64_t>{0, 0, width()});
    return graph_.node("Reshape", {swapped, shape}, name);
  }

  /// From what the top layer gives to one row a sample.
  std::string add_pooling(std::string y) {
    const std::vector<std::int64_t> first_axis = {0};
    if (model_.options().pooling == Pooling::last)
      y = graph_.node("Gather", {y, graph_.constant("last", {}, std::vector<std::int64_t>{-1})},
                      "last_step", {{"axis", std::int64_t{0}}});
    if (model_.options().pooling == Pooling::mean)
      y = graph_.node("ReduceMean", {y}, "mean_step",
                      {{"axes", first_axis}, {"keepdims", std::int64_t{0}}});
    y = graph_.node("Transpose", {y}, "pooled_by_sample",
                    {{"perm", std::vector<std::int64_t>{1, 0, 2}}});
    const std::string shape =
        graph_.constant("pooled_shape", {2}, std::vector<std::int64_t>{0, width()});
    return graph_.node("Reshape", {y, shape}, "pooled");
  }

  void add_head(const std::string& pooled) {
    const Index K = model_.options().outputs;
    std::vector<float> weight, bias;
    append_rows(weight, "fc.weight", 0, K);
    append_rows(bias, "fc.bias", 0, K);
    const std::string logits = graph_.node(
        "Gemm",
        {pooled, graph_.constant("fc_weight", {K, D * model_.options().hidden_size}, weight),
         graph_.constant("fc_bias", {K}, bias)},
        recipe_.regression ? "prediction" : "logits", {{"transB", std::int64_t{1}}});
    if (recipe_.regression) return;
    if (K == 1)
      graph_.node("Sigmoid", {logits}, "probabilities");
    else
      graph_.node("Softmax", {logits}, "probabilities", {{"axis", std::int64_t{-1}}});
  }

  std::int64_t width() const { return D * model_.options().hidden_size; }

  /// Appends a parameter whose rows are blocks, one a gate, in ONNX's order of gates.
  void append_gates(std::vector<float>& out, const std::string& name) const {
    const Index H = model_.options().hidden_size;
    for (const Index gate : OnnxCell<Cell>::gates) append_rows(out, name, gate * H, H);
  }

  /// Appends `count` rows of a parameter as float32.
  void append_rows(std::vector<float>& out, const std::string& name, Index first,
                   Index count) const {
    const Parameter<Scalar>& parameter = *parameters_.at(name);
    const Index end = (first + count) * parameter.cols;
    for (Index i = first * parameter.cols; i < end; ++i) {
      const Scalar value = parameter.value[i];
      if (!fits_float(static_cast<double>(value)))
        throw Error(path_, ": tensor ", quoted_name(name), ": value ", i, " is ", value,
                    ", beyond F32's range");
      out.push_back(static_cast<float>(value));
    }
  }

  std::string doc() const {
    return "A " + Model::kind() + " classifier over windows of " +
           (options_.dynamic_length ? "any number of" : std::to_string(recipe_.length)) +
           " rows of " + std::to_string(model_.options().input_size) + " features";
  }

  /// What a model file says too, and what a reader of features needs most by itself, as JSON.
  std::map<std::string, std::string> metadata() const {
    return {{"tsdl.version", version},
            {"tsdl.model", to_text(options_to_json(Model::kind(), model_.options()))},
            {"tsdl.recipe", to_text(recipe_to_json(recipe_))},
            {"tsdl.columns", to_text(Json(recipe_.columns))},
            {"tsdl.class_values", to_text(Json(recipe_.class_values))}};
  }

  const Model& model_;
  const Recipe& recipe_;
  OnnxOptions options_;
  std::string path_;
  OnnxGraph graph_;
  std::map<std::string, const Parameter<Scalar>*> parameters_;
};

}  // namespace internal

/// Writes a classifier as an ONNX file (operator set 17, weights in float32), whole or not at all.
/// Equal models, recipes and options give equal bytes.
/// Shapes: input "features" is batch x T x I; outputs "logits" and "probabilities" are batch x K;
/// for a regression there is one output instead, "prediction".
/// Range: a runtime gives predict's probabilities to 1e-5. It does not refuse what transform
/// refuses, such as an infinite feature.
/// Throws: Error when it cannot be written, or a weight is beyond float's range; ShapeError when
/// model and recipe disagree about columns or classes, or there are too many parameters for a file;
/// DataError when the scaler is wanted but not fitted on the recipe's columns, or for class_values
/// as prepare.
/// Source: https://onnx.ai/onnx/repo-docs/IR.html
template <class Cell, Index Directions>
void save_onnx(const std::filesystem::path& path, const Classifier<Cell, Directions>& model,
               const Recipe& recipe, const OnnxOptions& options = {}) {
  internal::OnnxExport<Cell, Directions> network(model, recipe, options, path.string());
  write_file(path, network.bytes());
}

/// The same for a classifier of any kind.
template <class Scalar>
void save_onnx(const std::filesystem::path& path, const AnyClassifier<Scalar>& model,
               const Recipe& recipe, const OnnxOptions& options = {}) {
  std::visit([&](const auto& one) { save_onnx(path, one, recipe, options); }, model);
}

}  // namespace tsdl::inline TSDL_ABI
