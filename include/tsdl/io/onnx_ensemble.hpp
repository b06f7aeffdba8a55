// How an ensemble's members are combined, as ONNX operators, by the kind of task. In double; the
// equations are those of task/combine.hpp and task/quantiles.hpp.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tsdl/io/onnx_writer.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// Adds what combines the outputs of members, each in float32, and gives it `name`.
using OnnxCombine = std::string (*)(OnnxWriter&, const std::vector<std::string>& members,
                                    const std::vector<double>& weights, const Config& task,
                                    const std::string& name);

inline std::string onnx_double(OnnxWriter& writer, const std::string& x) {
  return writer.graph.node("Cast", {x}, x + "_in_double",
                           {{"to", static_cast<std::int64_t>(OnnxType::f64)}});
}

inline std::string onnx_float(OnnxWriter& writer, const std::string& x, const std::string& name) {
  return writer.graph.node("Cast", {x}, name, {{"to", static_cast<std::int64_t>(OnnxType::f32)}});
}

/// The sum of weights[m] x_m, in double.
inline std::string onnx_weighted_sum(OnnxWriter& writer, const std::vector<std::string>& x,
                                     const std::vector<double>& weights, const std::string& name) {
  std::vector<std::string> weighted;
  for (std::size_t m = 0; m < x.size(); ++m) {
    const std::string number = name + '_' + std::to_string(m);
    const std::string weight = writer.constant("weight_of_" + number, {}, {weights[m]});
    weighted.push_back(writer.graph.node("Mul", {x[m], weight}, "weighted_" + number));
  }
  return writer.graph.node("Sum", weighted, name);
}

inline std::vector<std::string> onnx_doubles(OnnxWriter& writer,
                                             const std::vector<std::string>& members) {
  std::vector<std::string> wide;
  for (const std::string& x : members) wide.push_back(onnx_double(writer, x));
  return wide;
}

inline std::string onnx_combine_numbers(OnnxWriter& writer, const std::vector<std::string>& members,
                                        const std::vector<double>& weights, const Config&,
                                        const std::string& name) {
  return onnx_float(
      writer, onnx_weighted_sum(writer, onnx_doubles(writer, members), weights, "mean_output"),
      name);
}

/// log P - log Q; logits beyond 700 count as 700, so that neither is 0.
inline std::string onnx_combine_binary(OnnxWriter& writer, const std::vector<std::string>& members,
                                       const std::vector<double>& weights, const Config&,
                                       const std::string& name) {
  OnnxGraph& graph = writer.graph;
  const std::string one = writer.constant("one", {}, {1.0});
  const std::string least = writer.constant("least_logit", {}, {-700.0});
  const std::string most = writer.constant("most_logit", {}, {700.0});
  std::vector<std::string> positive, negative;
  for (const std::string& x : onnx_doubles(writer, members)) {
    const std::string held = graph.node("Clip", {x, least, most}, x + "_held");
    const auto sigmoid = [&](const std::string& minus, const std::string& its) {
      const std::string e = graph.node("Exp", {minus}, its + "_exp");
      return graph.node("Div", {one, graph.node("Add", {one, e}, its + "_sum")}, its);
    };
    positive.push_back(sigmoid(graph.node("Neg", {held}, x + "_negated"), x + "_positive"));
    negative.push_back(sigmoid(held, x + "_negative"));
  }
  const auto log = [&](const std::vector<std::string>& of, const std::string& its) {
    return graph.node("Log", {onnx_weighted_sum(writer, of, weights, its)}, "log_" + its);
  };
  return onnx_float(
      writer, graph.node("Sub", {log(positive, "positive"), log(negative, "negative")}, "log_odds"),
      name);
}

inline std::string onnx_combine_classes(OnnxWriter& writer, const std::vector<std::string>& members,
                                        const std::vector<double>& weights, const Config&,
                                        const std::string& name) {
  OnnxGraph& graph = writer.graph;
  std::vector<std::string> shares;
  for (const std::string& x : onnx_doubles(writer, members))
    shares.push_back(graph.node("Softmax", {x}, x + "_shares", {{"axis", std::int64_t{-1}}}));
  const std::string mean = onnx_weighted_sum(writer, shares, weights, "mean_share");
  const std::string least = writer.constant("least_share", {}, {1e-300});
  return onnx_float(
      writer, graph.node("Log", {graph.node("Max", {mean, least}, "held_share")}, "log_share"),
      name);
}

/// Of each target the middle output is a mean; the others are inverses of the softplus of a mean.
inline std::string onnx_combine_quantiles(OnnxWriter& writer,
                                          const std::vector<std::string>& members,
                                          const std::vector<double>& weights, const Config& task,
                                          const std::string& name) {
  OnnxGraph& graph = writer.graph;
  const Index Q = std::ssize(task.numbers("levels")), n = Q * task.index("targets");
  std::vector<double> middle(static_cast<std::size_t>(n)), distance(middle.size(), 1.0);
  for (Index i = (Q - 1) / 2; i < n; i += Q) {
    middle[static_cast<std::size_t>(i)] = 1;
    distance[static_cast<std::size_t>(i)] = 0;
  }
  const std::string one = writer.constant("one", {}, {1.0}),
                    zero = writer.constant("zero", {}, {0});
  const std::vector<std::string> wide = onnx_doubles(writer, members);
  std::vector<std::string> distances;
  for (const std::string& x : wide) {  // max(x, 0) + log(1 + exp(-|x|))
    const std::string size = graph.node("Abs", {x}, x + "_size");
    const std::string e =
        graph.node("Exp", {graph.node("Neg", {size}, x + "_negated")}, x + "_exp");
    const std::string log =
        graph.node("Log", {graph.node("Add", {one, e}, x + "_sum")}, x + "_log");
    distances.push_back(
        graph.node("Add", {graph.node("Max", {x, zero}, x + "_above"), log}, x + "_distance"));
  }
  const std::string mean = onnx_weighted_sum(writer, wide, weights, "mean_output");
  const std::string y = graph.node("Max",
                                   {onnx_weighted_sum(writer, distances, weights, "mean_distance"),
                                    writer.constant("least_distance", {}, {1e-300})},
                                   "held_distance");
  const std::string below = graph.node(
      "Sub", {one, graph.node("Exp", {graph.node("Neg", {y}, "minus_distance")}, "decay")},
      "below_one");
  const std::string held =
      graph.node("Max", {below, writer.constant("least_below", {}, {1e-300})}, "held_below_one");
  const std::string inverse =
      graph.node("Add", {y, graph.node("Log", {held}, "log_below_one")}, "inverse_distance");
  const std::string kept = graph.node(
      "Mul", {mean, writer.constant("combined_is_middle", {n}, middle)}, "combined_middles");
  const std::string added =
      graph.node("Mul", {inverse, writer.constant("combined_is_distance", {n}, distance)},
                 "combined_distances");
  return onnx_float(writer, graph.node("Add", {kept, added}, "combined_parts"), name);
}

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
