// The work that the contestants are timed on: networks, and their weights and inputs by a formula.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace peers {

using Index = std::ptrdiff_t;

/// Recurrent layers of one size and, over the last step's outputs, a linear layer. Or with heads, a
/// linear layer, sinusoidal positions and the layers of a Transformer encoder, with PyTorch's
/// defaults: relu, and layer norms after each block.
struct Network {
  Index inputs, hidden, layers, directions, steps, outputs;  ///< outputs 0: no linear layer
  bool gru = false;
  Index heads = 0, feed_forward = 0;  ///< of a Transformer
  bool mean = false;                  ///< the linear layer is over the mean of all steps

  bool transformer() const { return heads > 0; }
  Index gates() const { return gru ? 3 : 4; }
  Index layer_inputs(Index layer) const { return layer == 0 ? inputs : directions * hidden; }
};

inline constexpr Network network_a{86, 128, 2, 2, 50, 1};
inline constexpr Network network_b{23, 64, 2, 1, 60, 3};
inline constexpr Network network_g{23, 64, 2, 1, 60, 3, true};
inline constexpr Network network_t{23, 64, 2, 1, 60, 3, false, 4, 128};
inline constexpr Network network_tm{23, 64, 2, 1, 60, 3, false, 4, 128, true};
inline constexpr Network stream(Index hidden) { return {23, hidden, 1, 1, 1, 0}; }

enum class Kind {
  train,  ///< forward, loss, backward, clipping to norm 1, AdamW: one update
  infer,  ///< logits
  stream  ///< one step of one sample, h and c carried
};

/// A piece of work by name: train_a, infer_b, window_a (inference of one window), stream_8 and so
/// on. At the end, "_dense": our own library is to be given windows as a dense batch; "_half": its
/// weights of a stream are bfloat16; "_paused": there is other work before each step of a stream.
struct Work {
  Kind kind;
  Network network;
  Index batch;
  bool dense = false;
  bool half_width = false;  ///< weights of a stream: bfloat16
  bool paused = false;      ///< only the step itself is timed, not the pause before it
  bool check = false;       ///< to be compared with the other contestants, not timed

  /// Between the layers, in training, and where a Transformer's layers have it. Off where numbers
  /// are compared.
  double dropout() const { return check ? 0.0 : 0.2; }
  /// Small where time is measured, so that the loss, and with it the gradients, do not vanish.
  double learning_rate() const { return check ? 1e-3 : 1e-5; }
};

/// A piece of work, set up.
class Job {
 public:
  virtual ~Job() = default;
  virtual void call() = 0;
  /// What can be done in a pause before the next call, before its input is there.
  virtual void prepare() {}
  /// What the last call gave. Training: loss before the update, gradient norm before clipping;
  /// inference: logits [batch][outputs]; streaming: h.
  virtual std::vector<double> result() = 0;
};

inline std::optional<Work> find_work(std::string_view name) {
  const auto take = [&](std::string_view part) {
    if (!name.starts_with(part)) return false;
    name.remove_prefix(part.size());
    return true;
  };
  const auto take_end = [&](std::string_view part) {
    if (!name.ends_with(part)) return false;
    name.remove_suffix(part.size());
    return true;
  };
  Work work{};
  work.check = take("check_");
  work.dense = take_end("_dense");
  work.half_width = take_end("_half");
  work.paused = take_end("_paused");
  if (take("stream_")) {
    Index hidden = 0;
    const auto [end, error] = std::from_chars(name.begin(), name.end(), hidden);
    if (error != std::errc() || end != name.end() || work.dense) return std::nullopt;
    work.kind = Kind::stream;
    work.network = stream(hidden);
    work.batch = 1;
    return work;
  }
  if (work.half_width || work.paused) return std::nullopt;
  const bool train = take("train_"), window = !train && take("window_");
  if (!train && !window && !take("infer_")) return std::nullopt;
  work.kind = train ? Kind::train : Kind::infer;
  work.batch = window ? 1 : 32;
  if (name == "a")
    work.network = network_a;
  else if (name == "b")
    work.network = network_b;
  else if (name == "g")
    work.network = network_g;
  else if (name == "t")
    work.network = network_t;
  else if (name == "tm")
    work.network = network_tm;
  else
    return std::nullopt;
  return work;
}

/// Number i of a stream of numbers in [-1, 1): multiplication and shifts of 32-bit integers, so
/// that every language makes the same ones.
inline double number(std::uint32_t stream, std::uint32_t i) {
  std::uint32_t x = stream * 0x9e3779b9u + i;
  x = (x ^ (x >> 16)) * 0x7feb352du;
  x = (x ^ (x >> 15)) * 0x846ca68bu;
  x ^= x >> 16;
  return static_cast<double>(static_cast<std::int32_t>(x)) / 0x1p31;
}

inline std::vector<float> numbers(std::uint32_t stream, Index count, double scale) {
  std::vector<float> out(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = static_cast<float>(number(stream, static_cast<std::uint32_t>(i)) * scale);
  return out;
}

/// A tensor of a network, row-major.
struct Tensor {
  Index rows, cols;  ///< a bias has one column
  std::vector<float> values;
};

/// A network's tensors in the order and layout of PyTorch's state_dict: of each layer and direction
/// weight_ih, weight_hh, bias_ih, bias_hh, with gates i f g o or r z n; then the linear layer's. Of
/// a Transformer weight and bias of its input, and of each layer in_proj, out_proj, linear1,
/// linear2, norm1 and norm2; then the linear layer's. The weights of norms are about 1.
inline std::vector<Tensor> tensors(const Network& n) {
  std::vector<Tensor> out;
  const auto add = [&](Index rows, Index cols) {
    const auto stream = static_cast<std::uint32_t>(out.size() + 1);
    const double scale = 1.0 / std::sqrt(static_cast<double>(n.hidden));
    out.push_back({rows, cols, numbers(stream, rows * cols, scale)});
  };
  const auto add_linear = [&](Index rows, Index cols) {
    add(rows, cols);
    add(rows, 1);
  };
  if (n.transformer()) {
    const Index d = n.hidden, F = n.feed_forward;
    add_linear(d, n.inputs);
    for (Index l = 0; l < n.layers; ++l) {
      add_linear(3 * d, d);
      add_linear(d, d);
      add_linear(F, d);
      add_linear(d, F);
      for (int norm = 0; norm < 2; ++norm) {
        add(d, 1);
        for (float& value : out.back().values) value += 1.0f;
        add(d, 1);
      }
    }
    add_linear(n.outputs, d);
    return out;
  }
  const Index rows = n.gates() * n.hidden;
  for (Index l = 0; l < n.layers; ++l)
    for (Index d = 0; d < n.directions; ++d) {
      add(rows, n.layer_inputs(l));
      add(rows, n.hidden);
      add(rows, 1);
      add(rows, 1);
    }
  if (n.outputs > 0) add_linear(n.outputs, n.directions * n.hidden);
  return out;
}

/// A series with mean 0 and variance 1. Shapes: [columns][inputs].
inline std::vector<float> series(const Network& n, Index columns) {
  return numbers(1000, columns * n.inputs, std::sqrt(3.0));
}

/// All windows of a series of steps + batch - 1 columns, copied. Shapes: [steps][batch][inputs].
inline std::vector<float> windows(const Network& n, Index batch) {
  const std::vector<float> from = series(n, n.steps + batch - 1);
  std::vector<float> out;
  out.reserve(static_cast<std::size_t>(n.steps * batch * n.inputs));
  for (Index t = 0; t < n.steps; ++t)
    out.insert(out.end(), from.begin() + t * n.inputs, from.begin() + (t + batch) * n.inputs);
  return out;
}

/// The same windows one after the other. Shapes: [batch][steps][inputs].
inline std::vector<float> samples(const Network& n, Index batch) {
  const std::vector<float> from = series(n, n.steps + batch - 1);
  std::vector<float> out;
  out.reserve(static_cast<std::size_t>(n.steps * batch * n.inputs));
  for (Index b = 0; b < batch; ++b)
    out.insert(out.end(), from.begin() + b * n.inputs, from.begin() + (b + n.steps) * n.inputs);
  return out;
}

/// The positions that a Transformer adds to its columns: sin(t w_i) and cos(t w_i) by turns, with
/// w_i = 10000^(-2 i / d). Shapes: [steps][d].
inline std::vector<float> positions(const Network& n) {
  std::vector<float> out;
  for (Index t = 0; t < n.steps; ++t)
    for (Index i = 0; i < n.hidden; ++i) {
      const double exponent = static_cast<double>(i / 2 * 2) / static_cast<double>(n.hidden);
      const double angle = static_cast<double>(t) * std::exp(-std::log(10000.0) * exponent);
      out.push_back(static_cast<float>(i % 2 == 0 ? std::sin(angle) : std::cos(angle)));
    }
  return out;
}

/// Classes: of two when there is one output.
inline std::vector<int> labels(const Network& n, Index batch) {
  std::vector<int> out(static_cast<std::size_t>(batch));
  const int classes = std::max(2, static_cast<int>(n.outputs));
  for (std::size_t b = 0; b < out.size(); ++b) out[b] = static_cast<int>(b * b / 2) % classes;
  return out;
}

/// The series that streaming steps go through, over and over.
inline constexpr Index stream_columns = 64;

}  // namespace peers
