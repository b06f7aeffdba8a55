// Attention pooling as ONNX operators, for every encoder, and the layer that it begins with.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tsdl/io/onnx_writer.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// tanh of the linear layer `name`, on the last axis of x.
inline std::string onnx_tanh_layer(OnnxWriter& writer, const std::string& x,
                                   const std::string& name) {
  return writer.graph.node("Tanh", {writer.linear(x, name + ".", name)}, name + "_tanh");
}

/// The step at T - 1 of y, whose steps are `axis`.
inline std::string onnx_last_step(OnnxWriter& writer, const std::string& y, std::int64_t axis) {
  return writer.graph.node("Gather", {y, writer.integer("last", -1)}, "last_step",
                           {{"axis", axis}});
}

/// The mean over `axis`, which holds the steps of y.
inline std::string onnx_mean_step(OnnxWriter& writer, const std::string& y, std::int64_t axis) {
  return writer.graph.node(
      "ReduceMean", {y}, "mean_step",
      {{"axes", std::vector<std::int64_t>{axis}}, {"keepdims", std::int64_t{0}}});
}

/// Attention pooling of y, [T, batch, E] with its steps on axis 0 or [batch, T, E] on axis 1:
///
///   MatMul, Add, Tanh, MatMul, Softmax    [T, batch, 1]     the weights, over T
///   Mul with y, ReduceSum over T          [batch, E]
///   Concat with Gather of y at T - 1      [batch, 2 E]
inline std::string onnx_attention_pooling(OnnxWriter& writer, const std::string& y,
                                          std::int64_t axis) {
  OnnxGraph& graph = writer.graph;
  const std::string units = onnx_tanh_layer(writer, y, "attention");
  const std::string scores = graph.node(
      "MatMul", {units, writer.transposed("score.weight", "score_weight")}, "attention_scores");
  const std::string weights =
      graph.node("Softmax", {scores}, "attention_weights", {{"axis", axis}});
  const std::string weighted = graph.node("Mul", {weights, y}, "weighted_steps");
  const std::string sum = graph.node("ReduceSum", {weighted, writer.integers("over_steps", {axis})},
                                     "weighted_sum", {{"keepdims", std::int64_t{0}}});
  return graph.node("Concat", {onnx_last_step(writer, y, axis), sum}, "pooled",
                    {{"axis", std::int64_t{1}}});
}

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
