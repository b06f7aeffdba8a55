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
// Slots: i f g o, and then their da. Cells: c, tanh(c). Shapes and layouts: kernels/cell.hpp.
#pragma once

#include <array>

#include "tsdl/kernels/activation.hpp"
#include "tsdl/kernels/cell.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The arithmetic of one LSTM step, for RecurrentStack, and the order of its gates in packs.
template <class Scalar_, class Activation = Accurate, Index Lanes = kernels::lanes<Scalar_>>
struct LSTMCell {
  using Scalar = Scalar_;
  using Vec = kernels::SizedVec<Scalar, Lanes>;
  template <Index N>
  using WithLanes = LSTMCell<Scalar, Activation, N>;
  static constexpr Index W = Lanes;
  static constexpr const char* name = "LSTM";    ///< torch.nn's class
  static constexpr const char* prefix = "lstm";  ///< in model files
  static constexpr Index gates = 4, slots = 4, cell_vectors = 2;
  static constexpr std::array<Index, gates> x_slot = {0, 1, 2, 3}, h_slot = {0, 1, 2, 3};
  static constexpr bool h_enters = false;

  /// One step forward. A pre-activation is one chain: bias, x by ascending k, h by ascending k.
  template <class Step>
  static void forward(const Step& s) noexcept {
    kernels::for_each_block(s, [&](auto M, auto Q, Index p, Index b)
                                   TSDL_INLINE_LAMBDA { forward_block<M(), Q()>(s, p, b); });
  }

  /// One step backward, up to the gradients of the pre-activations.
  static void backward(const kernels::BackwardStep<Scalar>& s) noexcept {
    for (Index p = 0; p < s.panels; ++p)
      for (Index b = 0; b < s.samples; ++b) {
        const Index unit = p * s.tile + b;
        Scalar* gate = s.saved + unit * slots * W;
        const Vec dh = kernels::incoming<Vec>(s, p, b);
        const Vec i = load(gate), f = load(gate + W), g = load(gate + 2 * W),
                  o = load(gate + 3 * W);
        const Vec c_prev = load(s.cells_prev + unit * cell_vectors * W);
        const Vec tanh_c = load(s.cells + unit * cell_vectors * W + W);
        const Vec dc =
            kernels::multiply_add(dh * o, Activation::tanh_slope(tanh_c), load(s.dc + unit * W));
        kernels::store(gate, Vec(dc * g * Activation::sigmoid_slope(i)));
        kernels::store(gate + W, Vec(dc * c_prev * Activation::sigmoid_slope(f)));
        kernels::store(gate + 2 * W, Vec(dc * i * Activation::tanh_slope(g)));
        kernels::store(gate + 3 * W, Vec(dh * tanh_c * Activation::sigmoid_slope(o)));
        kernels::store(s.dc + unit * W, Vec(dc * f));
      }
  }

 private:
  static TSDL_INLINE Vec load(const Scalar* aligned) noexcept {
    return kernels::load_as<Vec>(aligned);
  }

  template <Index M, Index Q, class Step>
  static TSDL_INLINE void forward_block(const Step& s, Index p, Index b) noexcept {
    kernels::Block<Vec, Q * M, gates> a;
    kernels::start_chains<M, gates, Q>(a, s, s.bias + p * slots * W, slots * W, p, b);
    kernels::chains_over_both<M, gates, Q>(a, s, p, b);
    if constexpr (Step::one_sample) {
      open_gates<M, Q>(s, a, p, b);
      make_h<M, Q>(s, a, p, b);
    } else {
      alignas(64) kernels::Array<Scalar, Q * M * gates * W> units;
      kernels::store_all(units, a);
      activate(s, units, M, Q, p, b);
    }
  }

  /// Computes h from the pre-activations of M samples and Q panels, unit by unit. One function for
  /// blocks of all shapes, since each copy of the activations takes long to compile. Two loops, so
  /// that a unit's gates do not wait for the tanh of the unit before.
  template <class Step>
  [[gnu::noinline]] static void activate(const Step& s, Scalar* units, Index M, Index Q, Index p,
                                         Index b) noexcept {
    kernels::Block<Vec, 1, gates> a;
    Scalar* unit = units;
    for (Index q = 0; q < Q; ++q)
      for (Index m = 0; m < M; ++m, unit += gates * W) {
        kernels::load_all(a, unit);
        open_gates<1, 1>(s, a, p + q, b + m);
        kernels::store_all(unit, a);
      }
    unit = units;
    for (Index q = 0; q < Q; ++q)
      for (Index m = 0; m < M; ++m, unit += gates * W) {
        kernels::load_all(a, unit);
        make_h<1, 1>(s, a, p + q, b + m);
      }
  }

  /// Computes the gates i f g o from their pre-activations, and c, which replaces i in `a`.
  template <Index M, Index Q, class Step>
  static TSDL_INLINE void open_gates(const Step& s, kernels::Block<Vec, Q * M, gates>& a, Index p,
                                     Index b) noexcept {
    TSDL_UNROLL
    for (Index m = 0; m < Q * M; ++m) {
      const Index unit = (p + m / M) * s.tile + b + m % M;
      kernels::Array<Vec, gates> x = {a[m][0], a[m][1], a[m][3], a[m][2]};
      Activation::template apply<3>(x);
      const Vec i = x[0], f = x[1], o = x[2], g = x[3];
      const Vec c =
          kernels::multiply_add(f, load(s.cells_prev + unit * cell_vectors * W), Vec(i * g));
      kernels::store(s.cells + unit * cell_vectors * W, c);
      if (s.saved) {
        Scalar* saved = s.saved + unit * slots * W;
        kernels::store(saved, i);
        kernels::store(saved + W, f);
        kernels::store(saved + 2 * W, g);
        kernels::store(saved + 3 * W, o);
      }
      a[m][0] = c;
      a[m][3] = o;
    }
  }

  /// Computes h from the c and o that open_gates left in `a`.
  template <Index M, Index Q, class Step>
  static TSDL_INLINE void make_h(const Step& s, const kernels::Block<Vec, Q * M, gates>& a, Index p,
                                 Index b) noexcept {
    kernels::Array<Vec, Q * M> tanh_c;
    TSDL_UNROLL
    for (Index m = 0; m < Q * M; ++m) tanh_c[m] = a[m][0];
    Activation::template apply<0>(tanh_c);
    TSDL_UNROLL
    for (Index m = 0; m < Q * M; ++m) {
      const Index sample = b + m % M, at = p + m / M;
      kernels::store(s.h + sample * s.h_stride + at * W, Vec(a[m][3] * tanh_c[m]));
      kernels::store(s.cells + (at * s.tile + sample) * cell_vectors * W + W, tanh_c[m]);
    }
  }
};

}  // namespace TSDL_ABI
}  // namespace tsdl
