// Encoders and their poolings as ONNX operators, by the kind in a configuration: recurrent layers,
// and the list of kinds. A new kind of encoder is added to this list.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/io/onnx_pooling.hpp"
#include "tsdl/io/onnx_transformer.hpp"
#include "tsdl/io/onnx_writer.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// A cell's operator, and the order of its gates: block g of ONNX's weights is block gates[g] of
/// PyTorch's. This is the only place of that permutation.
/// Source: https://onnx.ai/onnx/operators/onnx__LSTM.html (LSTM-14: i o f c; ours i f g o),
/// https://onnx.ai/onnx/operators/onnx__GRU.html (GRU-14: z r h; ours r z n)
struct OnnxCell {
  const char* op;
  const char* prefix;
  std::vector<Index> gates;
};

/// Recurrent layers:
///
///   MatMul, Add, Tanh                     [T, batch, H]     with an input projection
///   LSTM or GRU, each layer               Y [T, D, batch, H], Y_h [D, batch, H]
///   Transpose, Reshape between layers     [T, batch, D * H]
///   last: Gather Y at T - 1; final: Y_h; mean: ReduceMean of Y over T
///                                         [D, batch, H]
///   Transpose, Reshape                    [batch, D * H]
///   each: Transpose, Reshape of Y         [batch, T, D * H]
///   attention: onnx_pooling.hpp, of Y with its directions side by side
class OnnxRecurrent {
 public:
  OnnxRecurrent(OnnxWriter& writer, OnnxCell cell, Index directions)
      : writer_(writer),
        cell_(std::move(cell)),
        D_(directions),
        H_(writer.model().index("hidden_size")),
        pooling_(writer.model().text("pooling")) {}

  /// Adds the operators from scaled windows [batch, T, I] to what the head reads.
  std::string add(const std::string& windows) {
    const Index L = writer_.model().index("num_layers");
    std::string x = writer_.transpose(windows, {1, 0, 2}, "by_step");
    if (is_projected()) x = onnx_tanh_layer(writer_, x, "input");
    for (Index l = 0; l + 1 < L; ++l) x = add_joined(add_layer(l, x, true), l);
    return add_pooling(add_layer(L - 1, x, pooling_ != "final"));
  }

 private:
  bool is_projected() const {
    const Config& model = writer_.model();
    return model.contains("input_projection") && model.flag("input_projection");
  }

  /// Adds a layer's weights, with its directions stacked, and its operator. Returns the name of Y,
  /// every step's output, or of Y_h, each direction's last output.
  std::string add_layer(Index l, const std::string& x, bool every_step) {
    const Index gates = std::ssize(cell_.gates), rows = gates * H_;
    const Index in = l > 0 ? D_ * H_ : is_projected() ? H_ : writer_.model().index("input_size");
    const std::string name = cell_.prefix + std::string("_l") + std::to_string(l);
    std::vector<float> W, R, B;
    for (Index d = 0; d < D_; ++d) {
      const std::string suffix = "_l" + std::to_string(l) + (d == 1 ? "_reverse" : "");
      const std::string prefix = cell_.prefix + std::string(".");
      append_gates(W, prefix + "weight_ih" + suffix);
      append_gates(R, prefix + "weight_hh" + suffix);
      append_gates(B, prefix + "bias_ih" + suffix);
      append_gates(B, prefix + "bias_hh" + suffix);
    }
    std::vector<OnnxAttribute> attributes = {
        {"direction", std::string(D_ == 2 ? "bidirectional" : "forward")},
        {"hidden_size", std::int64_t{H_}}};
    // GRU: b_hn inside r's product, as PyTorch has it.
    if (gates == 3) attributes.push_back({"linear_before_reset", std::int64_t{1}});
    OnnxGraph& graph = writer_.graph;
    const std::vector<std::string> inputs = {x, graph.constant(name + "_W", {D_, rows, in}, W),
                                             graph.constant(name + "_R", {D_, rows, H_}, R),
                                             graph.constant(name + "_B", {D_, 2 * rows}, B)};
    if (every_step)
      graph.add_node(cell_.op, inputs, {name + "_Y"}, attributes);
    else
      graph.add_node(cell_.op, inputs, {"", name + "_Y_h"}, attributes);
    return graph.scoped(name + (every_step ? "_Y" : "_Y_h"));
  }

  /// Puts both directions side by side, as the next layer reads them.
  std::string add_joined(const std::string& y, Index l) {
    const std::string name = "output_l" + std::to_string(l);
    const std::string swapped = writer_.transpose(y, {0, 2, 1, 3}, name + "_by_sample");
    return writer_.graph.node("Reshape",
                              {swapped, writer_.integers(name + "_shape", {0, 0, D_ * H_})}, name);
  }

  /// Turns the top layer's output into one row per sample or, for pooling each, one per step.
  std::string add_pooling(std::string y) {
    OnnxGraph& graph = writer_.graph;
    if (pooling_ == "attention")
      return onnx_attention_pooling(writer_, add_joined(y, writer_.model().index("num_layers") - 1),
                                    0);
    if (pooling_ == "each") {
      y = writer_.transpose(y, {2, 0, 1, 3}, "steps_by_sample");
      return graph.node("Reshape", {y, writer_.integers("pooled_shape", {0, 0, D_ * H_})},
                        "pooled");
    }
    if (pooling_ == "last") y = onnx_last_step(writer_, y, 0);
    if (pooling_ == "mean") y = onnx_mean_step(writer_, y, 0);
    y = writer_.transpose(y, {1, 0, 2}, "pooled_by_sample");
    return graph.node("Reshape", {y, writer_.integers("pooled_shape", {0, D_ * H_})}, "pooled");
  }

  /// Appends a parameter whose rows are blocks, one per gate, in ONNX's order of gates.
  void append_gates(std::vector<float>& out, const std::string& name) const {
    for (const Index gate : cell_.gates) writer_.append_rows(out, name, gate * H_, H_);
  }

  OnnxWriter& writer_;
  OnnxCell cell_;
  Index D_, H_;
  std::string pooling_;
};

inline OnnxCell onnx_lstm() { return {"LSTM", "lstm", {0, 3, 1, 2}}; }
inline OnnxCell onnx_gru() { return {"GRU", "gru", {1, 0, 2}}; }

/// `length` is that of every window, or nothing where it may vary.
struct OnnxEncoder {
  std::string_view kind;
  std::string (*add)(OnnxWriter&, const std::string& windows, std::optional<Index> length);
};

template <Index directions, OnnxCell (*cell)()>
std::string onnx_recurrent(OnnxWriter& writer, const std::string& windows, std::optional<Index>) {
  return OnnxRecurrent(writer, cell(), directions).add(windows);
}
inline std::string onnx_transformer(OnnxWriter& writer, const std::string& windows,
                                    std::optional<Index> length) {
  return OnnxTransformer(writer).add(windows, length);
}

inline constexpr OnnxEncoder onnx_encoders[] = {{"lstm", onnx_recurrent<1, onnx_lstm>},
                                                {"gru", onnx_recurrent<1, onnx_gru>},
                                                {"bilstm", onnx_recurrent<2, onnx_lstm>},
                                                {"bigru", onnx_recurrent<2, onnx_gru>},
                                                {"transformer", onnx_transformer}};

/// Throws: OptionError when a model of this kind has no ONNX form here.
inline const OnnxEncoder& onnx_encoder(const std::string& kind) {
  std::string known;
  for (const OnnxEncoder& encoder : onnx_encoders) {
    if (encoder.kind == kind) return encoder;
    known.append(known.empty() ? "" : ", ").append(encoder.kind);
  }
  throw OptionError("save_onnx: a model of kind ", kind, " has no ONNX form; these have: ", known);
}

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
