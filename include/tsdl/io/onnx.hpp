// Models as ONNX files, for ONNX Runtime and other readers of ONNX. Needs protozero and what
// io/json.hpp needs.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/file.hpp"
#include "tsdl/core/system.hpp"
#include "tsdl/data/recipe.hpp"
#include "tsdl/io/json.hpp"
#include "tsdl/io/onnx_encoders.hpp"
#include "tsdl/io/onnx_graph.hpp"
#include "tsdl/io/onnx_tasks.hpp"
#include "tsdl/io/onnx_writer.hpp"
#include "tsdl/nn/ensemble.hpp"
#include "tsdl/nn/model.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// What an ONNX file is to hold.
struct OnnxOptions {
  /// The file takes raw features in float64 and scales them by the recipe. Without, it takes scaled
  /// features in float32: for runtimes that have no float64, such as a browser's GPU.
  bool include_scaler = true;
  /// Windows may have any length. Without, only recipe.length, with which the model was trained: a
  /// runtime then refuses a window of the wrong length. A Transformer's file then computes its
  /// positions in float64; without, they are constants.
  bool dynamic_length = false;
};

namespace internal {

/// Protobuf holds 2 GiB per message: 4 bytes per weight, and some room for the rest.
inline constexpr Index max_onnx_parameters = 500'000'000;

inline void check_onnx_size(Index parameters) {
  if (parameters > max_onnx_parameters)
    throw ShapeError("save_onnx: at most ", max_onnx_parameters, " parameters fit a file, not ",
                     parameters);
}

/// Throws: OptionError when a model, or a member of an ensemble, has no ONNX form.
inline void check_onnx_kinds(const Config& model) {
  if (model.kind != Ensemble<float>::kind()) return void(onnx_encoder(model.kind));
  for (const Config& member : member_configs(model)) onnx_encoder(member.kind);
}

/// Writes a model as a graph, from its configuration and tensors:
///
///   features                              [batch, T, I]     double with the scaler, else float
///   Sub mean, Mul 1 / scale, Clip, Cast   [batch, T, I]     with the scaler: double, then float;
///                                                           Clip where the recipe clips
///   encoder and pooling                   [batch, E]        onnx_encoders.hpp; [batch, T, E] where
///                                                           every step is read
///   Gemm, or MatMul and Add               [batch, K]        outputs
///   the task's operators                  [batch, P]        onnx_tasks.hpp
///
/// Of an ensemble, encoder, pooling and outputs stand once for each member, and the task's
/// operators that combine outputs (onnx_ensemble.hpp) behind them.
///
/// The batch may vary. So may T, of recurrent layers and, with dynamic_length, of a Transformer.
class OnnxExport {
 public:
  /// Throws: as save_onnx.
  OnnxExport(Config model, Config task, std::map<std::string, OnnxTensor> tensors,
             const Recipe& recipe, const OnnxOptions& options, Index predictions)
      : task_kind_(onnx_task(task.kind)),
        task_(std::move(task)),
        recipe_(recipe),
        options_(options),
        predictions_(predictions),
        model_(model),
        members_(model.kind == Ensemble<float>::kind() ? member_configs(model)
                                                       : std::vector<Config>{model}),
        inputs_(members_.front().index("input_size")),
        outputs_(members_.front().index("outputs")),
        each_(members_.front().text("pooling") == "each"),
        writer_(std::move(model), std::move(tensors)) {
    check();
  }

  /// The bytes of the file.
  std::string bytes() {
    add_values();
    const std::string x = options_.include_scaler ? add_scaler("features") : "features";
    task_kind_.add(writer_, !is_ensemble() ? add_network(x) : add_members(x), task_);
    return onnx_model(writer_.graph, {"tsdl", version, doc(), metadata()});
  }

 private:
  bool is_ensemble() const { return model_.kind == Ensemble<float>::kind(); }

  /// One network, from windows to outputs.
  std::string add_network(const std::string& x) {
    return add_head(onnx_encoder(writer_.model().kind).add(writer_, x, fixed_length()));
  }

  /// The networks of an ensemble side by side, and what combines them.
  std::string add_members(const std::string& x) {
    std::vector<std::string> outputs;
    for (std::size_t m = 0; m < members_.size(); ++m) {
      writer_.enter(members_[m], member_prefix(static_cast<Index>(m)),
                    "member_" + std::to_string(m) + '_');
      outputs.push_back(add_network(x));
    }
    writer_.enter(model_, "", "");
    return task_kind_.combine(writer_, outputs, model_.numbers("weights"), task_,
                              task_kind_.outputs);
  }

  void check() const {
    if (std::ssize(recipe_.columns) != inputs_)
      throw ShapeError("save_onnx: a model of ", inputs_, " inputs, but a recipe of ",
                       recipe_.columns.size(), " columns");
    if (recipe_.length < 1)
      throw ShapeError("save_onnx: recipe.length must be at least 1, not ", recipe_.length);
    if (recipe_.whole_series)
      throw OptionError(
          "save_onnx: the recipe is of whole series of unequal length, and the graph ",
          "reads windows of one length");
    check_class_values(recipe_.class_values, recipe_.regression);
    const Index classes = std::ssize(recipe_.class_values);
    if (recipe_.regression == task_kind_.shows_outputs)
      throw ShapeError("save_onnx: a task of kind ", task_.kind, ", but a recipe of ",
                       recipe_.regression ? "numbers" : "classes");
    if (!recipe_.regression && outputs_ != classes && !(outputs_ == 1 && classes == 2))
      throw ShapeError("save_onnx: a model of ", outputs_, " outputs, but a recipe of ", classes,
                       " classes");
    if (!options_.include_scaler) return;
    if (!recipe_.scaler.is_fitted())
      throw DataError("save_onnx: the recipe's scaler is not fitted");
    if (recipe_.scaler.names() != recipe_.columns)
      throw DataError(
          "save_onnx: the recipe's scaler was fitted on other features than its columns");
  }

  std::optional<Index> fixed_length() const {
    return options_.dynamic_length ? std::nullopt : std::optional<Index>(recipe_.length);
  }

  /// "batch" and, where every step has an output, the steps of a window.
  std::vector<std::variant<Index, std::string>> rows(bool steps) const {
    std::vector<std::variant<Index, std::string>> shape = {"batch"};
    if (steps && options_.dynamic_length) shape.emplace_back("length");
    if (steps && !options_.dynamic_length) shape.emplace_back(recipe_.length);
    return shape;
  }

  /// Declares input and outputs.
  void add_values() {
    OnnxValue features{.name = "features", .type = OnnxType::f32, .shape = rows(true), .doc = {}};
    features.doc = "Windows of rows, oldest first; a row holds metadata tsdl.columns in order, ";
    if (options_.include_scaler) {
      features.type = OnnxType::f64;
      features.doc += "as they are";
    } else {
      features.doc += "scaled: (value - mean) / scale of metadata tsdl.recipe";
    }
    features.shape.emplace_back(inputs_);
    writer_.graph.add_input(features);
    const auto output = [&](const OnnxPrediction& what, Index count) {
      OnnxValue value{.name = what.name, .type = what.type, .shape = rows(each_), .doc = what.doc};
      value.shape.emplace_back(count);
      writer_.graph.add_output(value);
    };
    if (task_kind_.shows_outputs)
      output({task_kind_.outputs, OnnxType::f32, "Before sigmoid or softmax"}, outputs_);
    output(task_kind_.prediction, predictions_);
  }

  /// StandardScaler::transform in double and rounded once, with a product with the reciprocal in
  /// place of the division: that moves a value by 2^-52 of itself before it becomes a float.
  std::string add_scaler(std::string x) {
    const StandardScaler& scaler = recipe_.scaler;
    const std::vector<Index> shape = {inputs_};
    std::vector<double> factor;
    for (std::size_t i = 0; i < scaler.scale().size(); ++i) {
      factor.push_back(1.0 / scaler.scale()[i]);
      if (!is_finite(factor.back()))
        throw DataError("save_onnx: feature ", scaler.names()[i], ": a scale of ",
                        scaler.scale()[i], " is too small");
    }
    x = writer_.graph.node("Sub", {x, writer_.graph.constant("mean", shape, scaler.mean())},
                           "centred");
    x = writer_.graph.node("Mul", {x, writer_.graph.constant("reciprocal_scale", shape, factor)},
                           "scaled");
    if (const double clip = scaler.options().clip; clip > 0)
      x = writer_.graph.node("Clip",
                             {x, writer_.graph.constant("least", {}, std::vector<double>{-clip}),
                              writer_.graph.constant("most", {}, std::vector<double>{clip})},
                             "clipped");
    const auto to = static_cast<std::int64_t>(OnnxType::f32);
    return writer_.graph.node("Cast", {x}, "scaled_features", {{"to", to}});
  }

  std::string add_head(const std::string& pooled) {
    const Index K = outputs_;
    std::vector<float> weight, bias;
    writer_.append_rows(weight, "fc.weight", 0, K);
    writer_.append_rows(bias, "fc.bias", 0, K);
    OnnxGraph& graph = writer_.graph;
    const Index width = std::ssize(weight) / K;
    const std::string b = graph.constant("fc_bias", {K}, bias);
    const std::string W = graph.constant("fc_weight", {K, width}, weight);
    if (!each_)
      return graph.node("Gemm", {pooled, W, b}, task_kind_.outputs, {{"transB", std::int64_t{1}}});
    const std::string product = graph.node(
        "MatMul", {pooled, writer_.transpose(W, {1, 0}, "fc_weight_transposed")}, "without_bias");
    return graph.node("Add", {product, b}, task_kind_.outputs);
  }

  std::string doc() const {
    return (is_ensemble() ? "An ensemble of " + std::to_string(members_.size()) + " networks"
                          : "A " + model_.kind + " network") +
           " for a task of kind " + task_.kind + " over windows of " +
           (options_.dynamic_length ? "any number of" : std::to_string(recipe_.length)) +
           " rows of " + std::to_string(inputs_) + " features";
  }

  /// The metadata of a model file and, each as JSON of its own for readers without the recipe's
  /// format, the feature columns and class values.
  std::map<std::string, std::string> metadata() const {
    return {{"tsdl.version", version},
            {"tsdl.model", to_text(config_to_json(model_))},
            {"tsdl.task", to_text(config_to_json(task_))},
            {"tsdl.recipe", to_text(recipe_to_json(recipe_))},
            {"tsdl.columns", to_text(Json(recipe_.columns))},
            {"tsdl.class_values", to_text(Json(recipe_.class_values))}};
  }

  OnnxTask task_kind_;
  Config task_;
  const Recipe& recipe_;
  OnnxOptions options_;
  Index predictions_;
  Config model_;
  std::vector<Config> members_;  ///< of an ensemble; else the model alone
  Index inputs_, outputs_;
  bool each_;
  OnnxWriter writer_;
};

}  // namespace internal

/// Writes a model as an ONNX file (operator set 17, weights in float32), completely or not at all.
/// Equal models, recipes and options give equal bytes.
/// Shapes: input "features" is batch x T x I. A model of classes has the outputs "logits" and
/// "probabilities", batch x K; a model of numbers or quantiles "prediction", in float64 and the
/// targets' own units. Where every step has a target, they are batch x T x K.
/// Largest error: a runtime gives predict's numbers to 1e-5, those of a target to 1e-5 of its
/// scale. It does not refuse what transform refuses, such as an infinite feature.
/// Throws: Error when it cannot be written, or a weight is beyond float's range; OptionError when
/// the model or its task has no ONNX form; ShapeError when model and recipe disagree about columns
/// or classes, or there are too many parameters for a file; DataError when the scaler is wanted but
/// not fitted on the recipe's columns, or for class_values as prepare.
/// Source: https://onnx.ai/onnx/repo-docs/IR.html
template <Model M>
void save_onnx(const std::filesystem::path& path, const M& model, const Recipe& recipe,
               const OnnxOptions& options = {}) {
  using Scalar = typename M::Scalar;
  const Config config = model.describe();
  internal::check_onnx_kinds(config);  // throws before anything is copied
  internal::check_onnx_size(parameter_count(model));
  std::map<std::string, internal::OnnxTensor> tensors;
  model.visit([&](const Parameter<Scalar>& parameter) {
    internal::OnnxTensor& tensor = tensors[parameter.name];
    tensor.rows = parameter.rows;
    tensor.cols = parameter.cols;
    for (Index i = 0; i < parameter.size(); ++i) {
      const Scalar value = parameter.value[i];
      if (!internal::fits_float(static_cast<double>(value)))
        throw Error(internal::path_text(path), ": tensor ", internal::quoted_name(parameter.name),
                    ": value ", i, " is ", value, ", beyond F32's range");
      tensor.values.push_back(static_cast<float>(value));
    }
  });
  internal::OnnxExport file(config, model.task()->describe(), std::move(tensors), recipe, options,
                            model.task()->predictions());
  write_file(path, file.bytes());
}

}  // namespace TSDL_ABI
}  // namespace tsdl
