// A layer of oneDNN 2 or 3: one RNN primitive for both directions, forward and backward.
//
// Parameters are kept as [direction][input][gate][unit], in training with the gaps between rows
// that the forward primitive wants, so that only the backward one's copies are made after an
// update. For inference the primitive's copy is made before the timing. There are two biases a
// gate, as in PyTorch, of which oneDNN is given the sum.
#pragma once

#include <algorithm>
#include <array>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>
#include <vector>

#include "work.hpp"

namespace peers::onednn {

using dnnl::memory;
using Arguments = std::unordered_map<int, memory>;
using Format = memory::format_tag;

inline dnnl::engine& engine() {
  static dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}
inline dnnl::stream& queue() {
  static dnnl::stream stream(engine());
  return stream;
}

inline memory::desc describe(const memory::dims& dims, Format format) {
  return {dims, memory::data_type::f32, format};
}

inline memory zeros(const memory::desc& description) {
  memory tensor(description, engine());
  std::fill_n(static_cast<float*>(tensor.get_data_handle()), description.get_size() / sizeof(float),
              0.0f);
  return tensor;
}

/// What describes a primitive: from version 3 on without a struct of its own for the arguments.
template <class Primitive, class... Arguments>
typename Primitive::primitive_desc describe_forward(const Arguments&... arguments) {
#if DNNL_VERSION_MAJOR < 3
  return {typename Primitive::desc(arguments...), engine()};
#else
  return {engine(), arguments...};
#endif
}
template <class Primitive, class Hint, class... Arguments>
typename Primitive::primitive_desc describe_backward(const Hint& hint,
                                                     const Arguments&... arguments) {
#if DNNL_VERSION_MAJOR < 3
  return {typename Primitive::desc(dnnl::prop_kind::backward, arguments...), engine(), hint};
#else
  return {engine(), dnnl::prop_kind::backward, arguments..., hint};
#endif
}

inline memory::dims strides_of(const memory::desc& format) {
#if DNNL_VERSION_MAJOR < 3
  const auto& strides = format.data.format_desc.blocking.strides;
  return {strides, strides + format.data.ndims};
#else
  return format.get_strides();
#endif
}

/// Whether strides say all of a format.
inline bool is_strided(const memory::desc& format) {
#if DNNL_VERSION_MAJOR < 3
  return format.data.format_kind == dnnl_blocked &&
         format.data.format_desc.blocking.inner_nblks == 0;
#else
  return format.get_format_kind() == memory::format_kind::blocked && format.get_inner_nblks() == 0;
#endif
}

/// What a layer's primitives are made of, apart from the cell.
struct Shapes {
  Shapes(const Network& n, Index layer, Index B, Kind kind) {
    const Index D = n.directions, H = n.hidden, I = n.layer_inputs(layer);
    direction = D == 2 ? dnnl::rnn_direction::bidirectional_concat
                       : dnnl::rnn_direction::unidirectional_left2right;
    source = describe({n.steps, B, I}, Format::tnc);
    output = describe({n.steps, B, D * H}, Format::tnc);
    const auto state = describe({1, D, B, H}, Format::ldnc);
    if (kind != Kind::infer) state_in = state;
    if (kind == Kind::stream) state_out = state;
    for (const Format format : {Format::ldigo, Format::any}) {
      auto& [w, u] = format == Format::any ? wanted : stored;
      w = describe({1, D, I, n.gates(), H}, format);
      u = describe({1, D, H, n.gates(), H}, format);
    }
    bias = describe({1, D, 4, H}, Format::ldgo);
  }
  dnnl::rnn_direction direction;
  memory::desc source, output, bias;
  /// Training is given zeros to begin with: without them oneDNN 2.6 gets the recurrent weights'
  /// gradient of an LSTM in one direction wrong.
  memory::desc state_in, state_out;
  std::array<memory::desc, 2> stored, wanted;  ///< W and U: as parameters, and for primitives
};

struct LSTM {
  using Forward = dnnl::lstm_forward;
  using Backward = dnnl::lstm_backward;

  static Forward::primitive_desc forward(const Shapes& s, dnnl::prop_kind kind) {
    return describe_forward<Forward>(kind, s.direction, s.source, s.state_in, s.state_in,
                                     s.wanted[0], s.wanted[1], s.bias, s.output, s.state_out,
                                     s.state_out);
  }
  static Backward::primitive_desc backward(const Shapes& s, const Forward::primitive_desc& hint) {
    return describe_backward<Backward>(hint, s.direction, s.source, s.state_in, s.state_in,
                                       s.wanted[0], s.wanted[1], s.bias, s.output, s.state_out,
                                       s.state_out, s.source, s.state_in, s.state_in, s.stored[0],
                                       s.stored[1], s.bias, s.output, s.state_out, s.state_out);
  }
};

struct GRU {
  using Forward = dnnl::lbr_gru_forward;
  using Backward = dnnl::lbr_gru_backward;

  static Forward::primitive_desc forward(const Shapes& s, dnnl::prop_kind kind) {
    return describe_forward<Forward>(kind, s.direction, s.source, s.state_in, s.wanted[0],
                                     s.wanted[1], s.bias, s.output, s.state_out);
  }
  static Backward::primitive_desc backward(const Shapes& s, const Forward::primitive_desc& hint) {
    return describe_backward<Backward>(
        hint, s.direction, s.source, s.state_in, s.wanted[0], s.wanted[1], s.bias, s.output,
        s.state_out, s.source, s.state_in, s.stored[0], s.stored[1], s.bias, s.output, s.state_out);
  }
};

/// Whether a format is ldigo, perhaps with something between its rows: then it can be that of the
/// parameters, which an update goes through without a look at what is in between.
inline bool is_ldigo(const memory::desc& format) {
  if (!is_strided(format)) return false;
  const memory::dims strides = strides_of(format);
  return strides[4] == 1 && strides[2] > strides[3];
}

inline Index count(const memory::desc& format) {
  return static_cast<Index>(format.get_size() / sizeof(float));
}

/// oneDNN's gate number `g` among PyTorch's: i f g o is the same, u r o is r z n in another order.
inline Index pytorch_gate(const Network& n, Index g) {
  constexpr std::array<Index, 3> gru{1, 0, 2};
  return n.gru ? gru[static_cast<std::size_t>(g)] : g;
}

/// A tensor in the format of the parameters, and in one that a primitive asked for, unless that is
/// the same.
class Packed {
 public:
  Packed(const memory::desc& stored, float* values, const memory::desc& wanted)
      : stored_(stored, engine(), values),
        wanted_(stored == wanted ? stored_ : memory(wanted, engine())) {
    if (stored != wanted) reorder_ = dnnl::reorder(stored_, wanted_);
  }
  void pack() {
    if (reorder_) reorder_.execute(queue(), stored_, wanted_);
  }
  const memory& get() const { return wanted_; }

 private:
  memory stored_, wanted_;
  dnnl::reorder reorder_;
};

/// One layer, both directions. First it is made, then connected to its parameters and neighbours.
template <class Cell>
class Layer {
 public:
  memory output, doutput;
  memory h, c;  ///< of a stream: what comes in and what goes out

  Layer(const Network& n, Index layer, const Work& work)
      : n_(n), work_(work), shapes_(n, layer, work.batch, work.kind) {
    const bool training = work.kind == Kind::train;
    forward_description_ = Cell::forward(
        shapes_, training ? dnnl::prop_kind::forward_training : dnnl::prop_kind::forward_inference);
    forward_ = typename Cell::Forward(forward_description_);
    if (!training) return;
    const memory::desc w = forward_description_.weights_layer_desc(),
                       u = forward_description_.weights_iter_desc();
    if (is_ldigo(w) && is_ldigo(u)) shapes_.stored = {w, u};
    backward_description_ = Cell::backward(shapes_, forward_description_);
    backward_ = typename Cell::Backward(backward_description_);
  }

  /// Of all its parameters: W, U, and for each direction and gate the two biases.
  Index size() const { return bias_place(2); }

  /// Reads `input` and, in training, writes the gradient of that to `dinput`. The parameters are to
  /// begin at `values` and `gradients`. `tensors` goes on to the next layer's.
  void connect(float* values, float* gradients, const memory& input, const memory& dinput,
               std::vector<Tensor>::const_iterator& tensors) {
    values_ = values;
    gradients_ = gradients;
    load(tensors);
    bias_ = memory(shapes_.bias, engine());
    output = memory(shapes_.output, engine());
    forward_arguments_ = {
        {DNNL_ARG_SRC_LAYER, input},
        {DNNL_ARG_WEIGHTS_LAYER, packed(0, forward_description_.weights_layer_desc())},
        {DNNL_ARG_WEIGHTS_ITER, packed(1, forward_description_.weights_iter_desc())},
        {DNNL_ARG_BIAS, bias_},
        {DNNL_ARG_DST_LAYER, output}};
    if (work_.kind != Kind::infer) start_states();
    if (work_.kind == Kind::train) connect_backward(input, dinput);
    pack();
  }

  void forward() { forward_.execute(queue(), forward_arguments_); }

  /// Adds to the gradients of the weights, which are 0.
  void backward() {
    float* sums = static_cast<float*>(dbias_.get_data_handle());
    std::fill_n(sums, n_.directions * 4 * n_.hidden, 0.0f);
    backward_.execute(queue(), backward_arguments_);
    float *of_w = gradients_ + bias_place(0), *of_u = gradients_ + bias_place(1);
    each_bias([&](Index sum, Index at, bool with_w, bool with_u) {
      if (with_w) of_w[at] = sums[sum];
      if (with_u) of_u[at] = sums[sum];
    });
  }

  /// Brings what the primitives read up to date with the parameters.
  void pack() {
    for (Packed& tensor : packed_) tensor.pack();
    float* sums = static_cast<float*>(bias_.get_data_handle());
    const float *of_w = values_ + bias_place(0), *of_u = values_ + bias_place(1);
    each_bias([&](Index sum, Index at, bool with_w, bool with_u) {
      sums[sum] = (with_w ? of_w[at] : 0.0f) + (with_u ? of_u[at] : 0.0f);
    });
  }

 private:
  Index weights_place(std::size_t which) const { return which == 0 ? 0 : count(shapes_.stored[0]); }
  Index bias_place(Index which) const {
    return count(shapes_.stored[0]) + count(shapes_.stored[1]) +
           which * n_.directions * n_.gates() * n_.hidden;
  }

  memory packed(std::size_t which, const memory::desc& wanted) {
    float* values = values_ + weights_place(which);
    return packed_.emplace_back(shapes_.stored[which], values, wanted).get();
  }

  /// Takes a weight or bias of direction d, whose places are strides[0] apart for each input and
  /// strides[1] for each gate.
  void load(const Tensor& tensor, float* out, std::array<Index, 2> strides) const {
    for (Index i = 0; i < tensor.cols; ++i)
      for (Index g = 0; g < n_.gates(); ++g)
        for (Index j = 0; j < n_.hidden; ++j)
          out[i * strides[0] + g * strides[1] + j] = tensor.values[static_cast<std::size_t>(
              (pytorch_gate(n_, g) * n_.hidden + j) * tensor.cols + i)];
  }

  void load(std::vector<Tensor>::const_iterator& tensor) const {
    for (Index d = 0; d < n_.directions; ++d) {
      for (const std::size_t which : {0u, 1u}) {
        const memory::dims strides = strides_of(shapes_.stored[which]);
        load(*tensor++, values_ + weights_place(which) + d * strides[1], {strides[2], strides[3]});
      }
      for (const Index which : {0, 1})
        load(*tensor++, values_ + bias_place(which) + d * n_.gates() * n_.hidden, {0, n_.hidden});
    }
  }

  /// From 0; a stream writes its states where it read them.
  void start_states() {
    h = zeros(shapes_.state_in);
    forward_arguments_.insert({DNNL_ARG_SRC_ITER, h});
    if (!n_.gru) c = zeros(shapes_.state_in);
    if (!n_.gru) forward_arguments_.insert({DNNL_ARG_SRC_ITER_C, c});
    if (shapes_.state_out == memory::desc()) return;
    forward_arguments_.insert({{DNNL_ARG_DST_ITER, h}, {DNNL_ARG_DST_ITER_C, c}});
  }

  void connect_backward(const memory& input, const memory& dinput) {
    const memory workspace(forward_description_.workspace_desc(), engine());
    forward_arguments_.insert({DNNL_ARG_WORKSPACE, workspace});
    dbias_ = memory(shapes_.bias, engine());
    doutput = zeros(shapes_.output);
    const auto gradient = [&](std::size_t which) {
      return memory(shapes_.stored[which], engine(), gradients_ + weights_place(which));
    };
    backward_arguments_ = {
        {DNNL_ARG_SRC_LAYER, input},
        {DNNL_ARG_WEIGHTS_LAYER, packed(0, backward_description_.weights_layer_desc())},
        {DNNL_ARG_WEIGHTS_ITER, packed(1, backward_description_.weights_iter_desc())},
        {DNNL_ARG_BIAS, bias_},
        {DNNL_ARG_DST_LAYER, output},
        {DNNL_ARG_WORKSPACE, workspace},
        {DNNL_ARG_DIFF_DST_LAYER, doutput},
        {DNNL_ARG_DIFF_SRC_LAYER, dinput},
        {DNNL_ARG_DIFF_WEIGHTS_LAYER, gradient(0)},
        {DNNL_ARG_DIFF_WEIGHTS_ITER, gradient(1)},
        {DNNL_ARG_DIFF_BIAS, dbias_},
        {DNNL_ARG_SRC_ITER, h},
        {DNNL_ARG_DIFF_SRC_ITER, memory(shapes_.state_in, engine())}};
    if (n_.gru) return;
    backward_arguments_.insert(
        {{DNNL_ARG_SRC_ITER_C, c}, {DNNL_ARG_DIFF_SRC_ITER_C, memory(shapes_.state_in, engine())}});
  }

  /// Calls f with the place of each of oneDNN's biases, that of the parameters, and which of the
  /// two parameters are in it. A GRU's candidate has its two apart.
  template <class F>
  void each_bias(const F& f) const {
    const Index G = n_.gates(), H = n_.hidden;
    for (Index d = 0; d < n_.directions; ++d)
      for (Index g = 0; g < 4; ++g) {
        const bool apart = n_.gru && g >= 2;
        for (Index j = 0; j < H; ++j)
          f((d * 4 + g) * H + j, (d * G + std::min(g, G - 1)) * H + j, !apart || g == 2,
            !apart || g == 3);
      }
  }

  Network n_;
  Work work_;
  Shapes shapes_;
  float *values_ = nullptr, *gradients_ = nullptr;
  memory bias_, dbias_;
  typename Cell::Forward::primitive_desc forward_description_;
  typename Cell::Backward::primitive_desc backward_description_;
  typename Cell::Forward forward_;
  typename Cell::Backward backward_;
  Arguments forward_arguments_, backward_arguments_;
  std::vector<Packed> packed_;
};

}  // namespace peers::onednn
