// The LSTM cell: one step of a tile of samples, forward and backward.
//
// Forward (Hochreiter and Schmidhuber 1997, with Gers' forget gate; gate order and names as in
// https://pytorch.org/docs/stable/generated/torch.nn.LSTM.html):
//
//   a = b_ih + b_hh + W_ih x_t + W_hh h_prev        four blocks a_i a_f a_g a_o
//   i, f, o = sigmoid(a_i, a_f, a_o)    g = tanh(a_g)
//   c = f * c_prev + i * g
//   h = o * tanh(c)
//
// Backward, from dh = dL/dh_t (from above and from step t + 1) and dc = dL/dc_t (from step t + 1):
//
//   da_o = dh * tanh(c) * o'                 dc  += dh * o * (1 - tanh(c)^2)
//   da_i = dc * g * i'    da_f = dc * c_prev * f'    da_g = dc * i * g'
//   dc_prev = dc * f                         dh_prev = W_hh^T da
//
//   symbol            shape (one tile, one step)    meaning
//   gates             [P][tile][4][W]               i f g o; the backward pass leaves da here
//   cells             [P][tile][2][W]               c and tanh(c)
//   weights           [P][I + H][4][W]              W_ih above W_hh, rows in the order of gates
//   bias              [P][4][W]                     b_ih + b_hh
//   h, h_prev, dh     one column a sample           padded to Hp = P * W units
//
// P panels of W hidden units cover H; units beyond H have zero weights and biases, so their g, c
// and h are exactly 0 and so are their gradients.
#pragma once

#include "tsdl/kernels/activation.hpp"
#include "tsdl/kernels/gemm.hpp"

namespace tsdl::inline TSDL_ABI {

template <class Scalar_, class Activation = Accurate>
struct LSTMCell {
  using Scalar = Scalar_;
  using Vec = kernels::Vec<Scalar>;
  static constexpr Index W = kernels::lanes<Scalar>;
  static constexpr Index gates = 4;         ///< row blocks of a weight matrix: i f g o
  static constexpr Index cell_vectors = 2;  ///< saved beside the gates: c, tanh(c)
  static constexpr const char* name = "lstm";

  struct Forward {
    Index samples, tile;  ///< samples in this tile, and its capacity
    Index inputs, hidden, panels;
    const Scalar* x;
    Index x_stride;  ///< from sample to sample
    const Scalar* h_prev;
    Index h_prev_stride;
    const Scalar* cells_prev;
    const Scalar* weights;
    const Scalar* bias;
    Scalar* h;
    Index h_stride;
    Scalar* cells;  ///< may be cells_prev, when nothing is saved
    Scalar* gates;  ///< null: not saved
  };

  struct Backward {
    Index samples, tile, panels;
    const Scalar* cells_prev;
    const Scalar* cells;
    const Scalar* dh;  ///< from step t + 1: [sample][Hp]
    const Scalar* dh_above;
    Index dh_above_stride;  ///< null when nothing above reads this step
    Scalar* dc;             ///< in and out: [P][tile][W]
    Scalar* gates;          ///< in: i f g o; out: their pre-activations' gradients
  };

  /// One step forward. A pre-activation is one chain: bias, x by ascending k, h by ascending k.
  static void forward(const Forward& s) noexcept {
    for (Index p = 0; p < s.panels; ++p)
      for (Index b = 0; b < s.samples; b += kernels::tile_samples)
        kernels::with_constant<kernels::tile_samples>(
            std::min(kernels::tile_samples, s.samples - b),
            [&](auto M) noexcept { forward_tile<M()>(s, p, b); });
  }

  /// One step backward, up to the gradients of the pre-activations.
  static void backward(const Backward& s) noexcept {
    const Index Hp = s.panels * W;
    for (Index p = 0; p < s.panels; ++p)
      for (Index b = 0; b < s.samples; ++b) {
        const Index unit = p * s.tile + b;
        Scalar* gate = s.gates + unit * gates * W;
        Vec dh = kernels::load(s.dh + b * Hp + p * W);
        if (s.dh_above) dh = dh + kernels::load(s.dh_above + b * s.dh_above_stride + p * W);
        const Vec i = kernels::load(gate), f = kernels::load(gate + W),
                  g = kernels::load(gate + 2 * W), o = kernels::load(gate + 3 * W);
        const Vec c_prev = kernels::load(s.cells_prev + unit * cell_vectors * W);
        const Vec tanh_c = kernels::load(s.cells + unit * cell_vectors * W + W);
        const Vec dc =
            kernels::fma(dh * o, Activation::tanh_slope(tanh_c), kernels::load(s.dc + unit * W));
        kernels::store(gate, Vec(dc * g * Activation::sigmoid_slope(i)));
        kernels::store(gate + W, Vec(dc * c_prev * Activation::sigmoid_slope(f)));
        kernels::store(gate + 2 * W, Vec(dc * i * Activation::tanh_slope(g)));
        kernels::store(gate + 3 * W, Vec(dh * tanh_c * Activation::sigmoid_slope(o)));
        kernels::store(s.dc + unit * W, Vec(dc * f));
      }
  }

 private:
  template <Index M>
  static TSDL_INLINE void forward_tile(const Forward& s, Index p, Index b) noexcept {
    const Scalar* panel = s.weights + p * (s.inputs + s.hidden) * gates * W;
    Vec a[M][gates];
    TSDL_UNROLL
    for (Index gate = 0; gate < gates; ++gate) {
      const Vec bias = kernels::load(s.bias + (p * gates + gate) * W);
      TSDL_UNROLL
      for (Index m = 0; m < M; ++m) a[m][gate] = bias;
    }
    kernels::multiply_tile<M, gates>(a, s.x + b * s.x_stride, s.x_stride, panel, s.inputs);
    kernels::multiply_tile<M, gates>(a, s.h_prev + b * s.h_prev_stride, s.h_prev_stride,
                                     panel + s.inputs * gates * W, s.hidden);
    TSDL_UNROLL
    for (Index m = 0; m < M; ++m) {
      const Index unit = p * s.tile + b + m;
      const Vec i = Activation::sigmoid(a[m][0]), f = Activation::sigmoid(a[m][1]),
                g = Activation::tanh(a[m][2]), o = Activation::sigmoid(a[m][3]);
      const Vec c =
          kernels::fma(f, kernels::load(s.cells_prev + unit * cell_vectors * W), Vec(i * g));
      const Vec tanh_c = Activation::tanh(c);
      kernels::store(s.h + (b + m) * s.h_stride + p * W, Vec(o * tanh_c));
      kernels::store(s.cells + unit * cell_vectors * W, c);
      kernels::store(s.cells + unit * cell_vectors * W + W, tanh_c);
      if (s.gates) {
        Scalar* saved = s.gates + unit * gates * W;
        kernels::store(saved, i);
        kernels::store(saved + W, f);
        kernels::store(saved + 2 * W, g);
        kernels::store(saved + 3 * W, o);
      }
    }
  }
};

}  // namespace tsdl::inline TSDL_ABI
