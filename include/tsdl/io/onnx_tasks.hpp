// Decoding of a model's outputs as ONNX operators, by the kind of task. A new kind of task is added
// to this list.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/io/onnx_ensemble.hpp"
#include "tsdl/io/onnx_writer.hpp"
#include "tsdl/task/target_scale.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// An output of the graph that a task adds.
struct OnnxPrediction {
  std::string name;
  OnnxType type;
  std::string doc;
};

/// Applies mean and scale to each output in double: `each` outputs per target.
inline std::string onnx_restored(OnnxWriter& writer, const std::string& x, const Config& task,
                                 Index each) {
  const TargetScale scale = TargetScale::from(task);
  std::vector<double> mean, factor;
  for (Index i = 0; i < task.index("targets") * each; ++i) {
    mean.push_back(scale.mean_of(i / each));
    factor.push_back(scale.scale_of(i / each));
  }
  const std::vector<Index> shape = {std::ssize(mean)};
  const std::string scaled =
      writer.graph.node("Mul", {x, writer.constant("target_scale", shape, factor)}, "from_mean");
  return writer.graph.node("Add", {scaled, writer.constant("target_mean", shape, mean)},
                           "prediction");
}

/// Logits divided by the task's temperature, if it has one.
inline std::string onnx_tempered(OnnxWriter& writer, const std::string& logits,
                                 const Config& task) {
  if (!task.contains("temperature")) return logits;
  const std::vector<float> temperature = {static_cast<float>(task.number("temperature"))};
  return writer.graph.node("Div", {logits, writer.graph.constant("temperature", {}, temperature)},
                           "calibrated_logits");
}

inline void onnx_binary(OnnxWriter& writer, const std::string& outputs, const Config& task) {
  writer.graph.node("Sigmoid", {onnx_tempered(writer, outputs, task)}, "probabilities");
}
inline void onnx_classes(OnnxWriter& writer, const std::string& outputs, const Config& task) {
  writer.graph.node("Softmax", {onnx_tempered(writer, outputs, task)}, "probabilities",
                    {{"axis", std::int64_t{-1}}});
}
inline void onnx_regression(OnnxWriter& writer, const std::string& outputs, const Config& task) {
  onnx_restored(writer, onnx_double(writer, outputs), task, 1);
}

/// The middle output of each target is free, and softplus of the others are distances; a product
/// with a matrix of 0, 1 and -1 adds them (task/quantiles.hpp).
inline void onnx_quantiles(OnnxWriter& writer, const std::string& outputs, const Config& task) {
  const Index Q = std::ssize(task.numbers("levels")), K = task.index("targets"), n = K * Q;
  const Index m = (Q - 1) / 2;
  std::vector<double> free(static_cast<std::size_t>(n)), distance(free.size(), 1.0);
  std::vector<double> sums(static_cast<std::size_t>(n * n));
  for (Index k = 0; k < K; ++k)
    for (Index j = 0; j < Q; ++j) {
      if (j == m) {
        free[static_cast<std::size_t>(k * Q + j)] = 1;
        distance[static_cast<std::size_t>(k * Q + j)] = 0;
      }
      for (Index from = std::min(j, m); from <= std::max(j, m); ++from)
        sums[static_cast<std::size_t>((k * Q + from) * n + k * Q + j)] = from == m ? 1
                                                                         : j > m   ? 1
                                                                                   : -1;
    }
  OnnxGraph& graph = writer.graph;
  const std::string x = onnx_double(writer, outputs);
  const std::string distances = onnx_double(writer, graph.node("Softplus", {outputs}, "distances"));
  const std::string kept =
      graph.node("Mul", {x, writer.constant("is_middle", {n}, free)}, "middles");
  const std::string added = graph.node(
      "Mul", {distances, writer.constant("is_distance", {n}, distance)}, "other_distances");
  const std::string parts = graph.node("Add", {kept, added}, "parts");
  const std::string stacked =
      graph.node("MatMul", {parts, writer.constant("sums", {n, n}, sums)}, "scaled_quantiles");
  onnx_restored(writer, stacked, task, Q);
}

struct OnnxTask {
  std::string_view kind;
  const char* outputs;  ///< the name of the head's outputs
  void (*add)(OnnxWriter&, const std::string& outputs, const Config& task);
  OnnxCombine combine;  ///< of an ensemble's members (onnx_ensemble.hpp)
  OnnxPrediction prediction;
  bool shows_outputs;  ///< whether they are an output of the graph too
};

/// Throws: OptionError when a task of this kind has no ONNX form here.
inline OnnxTask onnx_task(const std::string& kind) {
  if (kind == "binary")
    return {kind,
            "logits",
            onnx_binary,
            onnx_combine_binary,
            {"probabilities", OnnxType::f32, "Of the second of metadata tsdl.class_values"},
            true};
  if (kind == "classes")
    return {kind,
            "logits",
            onnx_classes,
            onnx_combine_classes,
            {"probabilities", OnnxType::f32,
             "Of each of metadata tsdl.class_values, in order; their sum is 1"},
            true};
  if (kind == "regression")
    return {kind,
            "scaled_prediction",
            onnx_regression,
            onnx_combine_numbers,
            {"prediction", OnnxType::f64, "Of each target, in its own units"},
            false};
  if (kind == "quantiles")
    return {kind,
            "quantile_parts",
            onnx_quantiles,
            onnx_combine_quantiles,
            {"prediction", OnnxType::f64, "Each target's quantiles, ascending, in its own units"},
            false};
  throw OptionError("save_onnx: a task of kind ", kind,
                    " has no ONNX form; these have: binary, classes, regression, quantiles");
}

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
