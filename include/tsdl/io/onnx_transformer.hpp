// A Transformer encoder and its poolings as ONNX operators.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/buffer.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/io/onnx_pooling.hpp"
#include "tsdl/io/onnx_writer.hpp"
#include "tsdl/kernels/normalisation.hpp"
#include "tsdl/nn/positions.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// A Transformer of d columns, H heads and F units (nn/transformer/encoder.hpp):
///
///   MatMul, Add                           [batch, T, d]     the linear input
///   Add of positions                      [batch, T, d]
///   attention, feed-forward, two LayerNormalization, of each layer, and final_norm's
///                                         [batch, T, d]
///   last, final: Gather at T - 1; mean: ReduceMean over T
///                                         [batch, d]
///   each: nothing                         [batch, T, d]
///   attention: onnx_pooling.hpp           [batch, 2 d]
///
/// Attention of a layer, for a u:
///
///   MatMul, Add, Reshape, Transpose       [batch, 3 H, T, d / H]
///   Split, Transpose of k                 q, v [batch, H, T, d / H], k [batch, H, d / H, T]
///   Mul q, MatMul, Softmax                [batch, H, T, T]  with causal, Where sets later keys'
///                                                           scores to -infinity
///   MatMul, Transpose, Reshape            [batch, T, d]     the heads, side by side
///   MatMul, Add                           [batch, T, d]
///
/// Feed-forward: MatMul, Add, Relu or the operators of gelu, MatMul, Add.
///
/// Positions are a constant [T, d] where every window has one length. Where it may vary, they are
/// computed from Shape, in float64: a float's angle is too coarse at a late step.
class OnnxTransformer {
 public:
  explicit OnnxTransformer(OnnxWriter& writer)
      : writer_(writer),
        graph_(writer.graph),
        d_(writer.model().index("hidden_size")),
        heads_(writer.model().index("heads")),
        is_gelu_(writer.model().text("activation") == "gelu"),
        is_causal_(writer.model().flag("causal")),
        pooling_(writer.model().text("pooling")) {}

  /// Adds the operators from scaled windows [batch, T, I] to what the head reads.
  std::string add(const std::string& windows, std::optional<Index> length) {
    const std::string input = writer_.linear(windows, "input.", "input");
    add_constants(windows, length);
    std::string x = graph_.node("Add", {input, add_positions(length)}, "embedded");
    for (Index l = 0; l < writer_.model().index("num_layers"); ++l) x = add_layer(l, x);
    if (writer_.model().flag("final_norm")) x = add_norm(x, "encoder.norm.", "final_norm");
    return add_pooling(x);
  }

 private:
  using Integers = std::vector<std::int64_t>;

  /// The name that a constant or an output has in the graph.
  std::string at(const std::string& name) const { return graph_.scoped(name); }

  std::string number(const char* name, double value) {
    return graph_.constant(name, {}, std::vector<float>{static_cast<float>(value)});
  }

  /// Adds what all layers share, of that what they use.
  void add_constants(const std::string& windows, std::optional<Index> length) {
    const Index head = d_ / heads_;
    writer_.integers("heads_shape", {0, 0, 3 * heads_, head});
    writer_.integers("columns_shape", {0, 0, d_});
    number("query_scale", 1 / std::sqrt(static_cast<double>(head)));
    if (is_gelu_) {
      number("one", 1);
      number("half", 0.5);
      number("root_of_2", std::numbers::sqrt2);
    }
    if (length && !is_causal_) return;
    add_steps(windows, length);
    graph_.node("Unsqueeze", {at("steps"), writer_.integers("last_axis", {1})}, "steps_down");
    if (!is_causal_) return;
    number("minus_infinity", -infinity_of<double>);
    graph_.node("LessOrEqual", {at("steps"), at("steps_down")}, "is_seen");  // [query][key]
  }

  /// 0 ... T - 1.
  void add_steps(const std::string& windows, std::optional<Index> length) {
    if (length) {
      Integers steps(static_cast<std::size_t>(*length));
      std::iota(steps.begin(), steps.end(), std::int64_t{0});
      writer_.integers("steps", steps);
      return;
    }
    const std::string shape = graph_.node("Shape", {windows}, "windows_shape");
    const std::string T = graph_.node("Gather", {shape, writer_.integer("axis_of_steps", 1)},
                                      "length", {{"axis", std::int64_t{0}}});
    graph_.node("Range", {writer_.integer("first_step", 0), T, writer_.integer("each_step", 1)},
                "steps");
  }

  /// [T, d]. Where T varies, cos(a) of the odd columns is sin(a + pi / 2).
  std::string add_positions(std::optional<Index> length) {
    if (length) {
      Buffer<float> padded;
      fill_positions(padded, *length, d_);
      const Index dp = padded.size() / *length;
      std::vector<float> positions;
      for (Index t = 0; t < *length; ++t)
        positions.insert(positions.end(), padded.data() + t * dp, padded.data() + t * dp + d_);
      return graph_.constant("positions", {*length, d_}, positions);
    }
    std::vector<double> frequencies, phases;
    for (Index i = 0; i < d_; ++i) {
      frequencies.push_back(position_frequency(i, d_));
      phases.push_back(i % 2 == 0 ? 0 : std::numbers::pi / 2);
    }
    const auto cast = [&](const char* x, const char* name, OnnxType type) {
      return graph_.node("Cast", {at(x)}, name, {{"to", static_cast<std::int64_t>(type)}});
    };
    const std::string t = cast("steps_down", "steps_in_double", OnnxType::f64);
    const std::string turned = graph_.node(
        "Mul", {t, writer_.constant("frequencies", {d_}, frequencies)}, "angles_of_sines");
    graph_.node("Sin",
                {graph_.node("Add", {turned, writer_.constant("phases", {d_}, phases)}, "angles")},
                "positions_in_double");
    return cast("positions_in_double", "positions", OnnxType::f32);
  }

  std::string add_layer(Index l, const std::string& x) {
    const std::string parameters = concatenate("encoder.layers.", l, ".");
    const std::string name = concatenate("l", l, "_");
    const auto norm = [&](const std::string& of, const char* which) {
      return add_norm(of, parameters + which + ".", name + which);
    };
    if (writer_.model().flag("norm_first")) {
      const std::string attended = add_attention(norm(x, "norm1"), parameters, name);
      const std::string s = graph_.node("Add", {x, attended}, name + "with_attended");
      const std::string fed = add_feed_forward(norm(s, "norm2"), parameters, name);
      return graph_.node("Add", {s, fed}, name + "output");
    }
    const std::string attended = add_attention(x, parameters, name);
    const std::string s = norm(graph_.node("Add", {x, attended}, name + "with_attended"), "norm1");
    const std::string fed = add_feed_forward(s, parameters, name);
    return norm(graph_.node("Add", {s, fed}, name + "with_fed"), "norm2");
  }

  std::string add_norm(const std::string& x, const std::string& parameters,
                       const std::string& name) {
    return graph_.node(
        "LayerNormalization",
        {x, writer_.vector(parameters + "weight", name + "_weight"),
         writer_.vector(parameters + "bias", name + "_bias")},
        name + "_output",
        {{"axis", std::int64_t{-1}}, {"epsilon", static_cast<float>(kernels::norm_eps)}});
  }

  std::string add_attention(const std::string& u, const std::string& parameters,
                            const std::string& name) {
    const std::string packed =
        writer_.linear(u, parameters + "self_attn.in_proj_", name + "in_proj");
    const std::string apart =
        graph_.node("Reshape", {packed, at("heads_shape")}, name + "heads_apart");
    const std::string heads = writer_.transpose(apart, {0, 2, 1, 3}, name + "heads");
    graph_.add_node("Split", {heads}, {name + "q", name + "k", name + "v"},
                    {{"axis", std::int64_t{1}}});
    const std::string q = at(name + "q"), k = at(name + "k"), v = at(name + "v");
    const std::string scaled = graph_.node("Mul", {q, at("query_scale")}, name + "scaled_q");
    std::string scores =
        graph_.node("MatMul", {scaled, writer_.transpose(k, {0, 1, 3, 2}, name + "k_transposed")},
                    name + "scores");
    if (is_causal_)
      scores =
          graph_.node("Where", {at("is_seen"), scores, at("minus_infinity")}, name + "seen_scores");
    const std::string weights =
        graph_.node("Softmax", {scores}, name + "weights", {{"axis", std::int64_t{-1}}});
    const std::string values = graph_.node("MatMul", {weights, v}, name + "values");
    const std::string by_step = writer_.transpose(values, {0, 2, 1, 3}, name + "values_by_step");
    const std::string joined =
        graph_.node("Reshape", {by_step, at("columns_shape")}, name + "joined_values");
    return writer_.linear(joined, parameters + "self_attn.out_proj.", name + "out_proj");
  }

  /// gelu(x) = x (1 + erf(x / sqrt(2))) / 2.
  std::string add_feed_forward(const std::string& u, const std::string& parameters,
                               const std::string& name) {
    const std::string x = writer_.linear(u, parameters + "linear1.", name + "linear1");
    std::string f;
    if (is_gelu_) {
      const std::string over = graph_.node("Div", {x, at("root_of_2")}, name + "over_root");
      const std::string erf = graph_.node("Erf", {over}, name + "erf");
      const std::string twice =
          graph_.node("Mul", {x, graph_.node("Add", {erf, at("one")}, name + "one_and_erf")},
                      name + "twice_gelu");
      f = graph_.node("Mul", {twice, at("half")}, name + "gelu");
    } else {
      f = graph_.node("Relu", {x}, name + "relu");
    }
    return writer_.linear(f, parameters + "linear2.", name + "linear2");
  }

  std::string add_pooling(const std::string& y) {
    if (pooling_ == "attention") return onnx_attention_pooling(writer_, y, 1);
    if (pooling_ == "each") return y;
    return pooling_ == "mean" ? onnx_mean_step(writer_, y, 1) : onnx_last_step(writer_, y, 1);
  }

  OnnxWriter& writer_;
  OnnxGraph& graph_;
  Index d_, heads_;
  bool is_gelu_, is_causal_;
  std::string pooling_;
};

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
