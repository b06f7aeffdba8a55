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
  static constexpr std::array<Index, slots> passing = {0, 1, 0, 0};  // f = 1
  static constexpr bool h_enters = false;

  /// One step forward.
  template <class Step>
  static void forward(const Step& s) noexcept {
    kernels::for_each_block<LSTMCell>(s, [&](auto M, auto Q, Index p, Index b) TSDL_INLINE_LAMBDA {
      forward_block<M(), Q()>(s, p, b);
    });
  }

  /// One step backward, up to the gradients of the pre-activations and of the biases.
  static void backward(const kernels::BackwardStep<Scalar>& s) noexcept {
    kernels::for_each_unit<LSTMCell>(s, [&](Index p, Index b,
                                            kernels::Array<Vec, slots>& sums) TSDL_INLINE_LAMBDA {
      const Index unit = p * s.tile + b;
      Scalar* gate = s.saved + unit * slots * W;
      const Vec dh = kernels::incoming<Vec>(s, p, b);
      const Vec i = load(gate), f = load(gate + W), g = load(gate + 2 * W), o = load(gate + 3 * W);
      const Vec c_prev = load(s.cells_prev + unit * cell_vectors * W);
      const Vec tanh_c = load(s.cells + unit * cell_vectors * W + W);
      const Vec dc =
          kernels::multiply_add(dh * o, Activation::tanh_slope(tanh_c), load(s.dc + unit * W));
      const Vec da[slots] = {
          dc * g * Activation::sigmoid_slope(i), dc * c_prev * Activation::sigmoid_slope(f),
          dc * i * Activation::tanh_slope(g), dh * tanh_c * Activation::sigmoid_slope(o)};
      kernels::put_gradient(gate, da, sums);
      kernels::store(s.dc + unit * W, Vec(dc * f));
    });
  }

 private:
  static TSDL_INLINE Vec load(const Scalar* aligned) noexcept {
    return kernels::load_as<Vec>(aligned);
  }

  template <Index M, Index Q, class Step>
  static TSDL_INLINE void forward_block(const Step& s, Index p, Index b) noexcept {
    if constexpr (Step::one_sample) {
      kernels::Block<Vec, Q, gates> over_x, over_h;
      kernels::sum_both<LSTMCell, Q>(over_x, over_h, s, p);
      kernels::Array<Vec, Q> c, o;
      TSDL_UNROLL
      for (Index q = 0; q < Q; ++q) open_gates(s, over_x[q], over_h[q], p + q, b, c[q], o[q]);
      make_h<Q>(s, c, o, p, b);
    } else {
      kernels::BlockSums<LSTMCell, M, Q> sums(s, p, b);
      activate(s, sums.view(), M, Q, p, b);
    }
  }

  /// Computes h from the sums of M samples and Q panels, unit by unit. One function for blocks of
  /// all shapes, since each copy of the activations takes long to compile. Two loops, so that a
  /// unit's gates do not wait for the tanh of the unit before.
  template <class Step>
  [[gnu::noinline]] static void activate(const Step& s, const kernels::SumsView<Scalar>& sums,
                                         Index M, Index Q, Index p, Index b) noexcept {
    Scalar* o = sums.over_h;  // one vector a unit, which is read before
    for (Index q = 0; q < Q; ++q)
      for (Index m = 0; m < M; ++m, o += W) {
        kernels::Array<Vec, gates> over_x, over_h;
        kernels::load_all(over_x, sums.x(q, m));
        kernels::load_all(over_h, sums.over_h + (q * M + m) * gates * W);
        Vec c, open;
        open_gates(s, over_x, over_h, p + q, b + m, c, open);
        kernels::store(o, open);
      }
    o = sums.over_h;
    for (Index q = 0; q < Q; ++q)
      for (Index m = 0; m < M; ++m, o += W) {
        const Index unit = (p + q) * s.tile + b + m;
        make_h<1>(s, {load(s.cells + unit * cell_vectors * W)}, {load(o)}, p + q, b + m);
      }
  }

  /// Computes a unit's gates i f g o and c.
  template <class Step>
  static TSDL_INLINE void open_gates(const Step& s, const kernels::Array<Vec, gates>& over_x,
                                     const kernels::Array<Vec, gates>& over_h, Index p, Index b,
                                     Vec& c, Vec& o) noexcept {
    const Index unit = p * s.tile + b;
    kernels::Array<Vec, gates> x;
    TSDL_UNROLL
    for (Index v = 0; v < gates; ++v) x[order[v]] = over_x[v] + over_h[v];
    Activation::template gates<3>(x);
    const Vec i = x[0], f = x[1], g = x[3];
    o = x[2];
    c = kernels::multiply_add(f, load(s.cells_prev + unit * cell_vectors * W), Vec(i * g));
    kernels::store(s.cells + unit * cell_vectors * W, c);
    if (!s.saved) return;
    Scalar* saved = s.saved + unit * slots * W;
    kernels::store(saved, i);
    kernels::store(saved + W, f);
    kernels::store(saved + 2 * W, g);
    kernels::store(saved + 3 * W, o);
  }

  /// Computes h of Q panels from c and o.
  template <Index Q, class Step>
  static TSDL_INLINE void make_h(const Step& s, const kernels::Array<Vec, Q>& c,
                                 const kernels::Array<Vec, Q>& o, Index p, Index b) noexcept {
    kernels::Array<Vec, Q> tanh_c;
    TSDL_UNROLL
    for (Index q = 0; q < Q; ++q) tanh_c[q] = c[q];
    Activation::tanh(tanh_c);
    TSDL_UNROLL
    for (Index q = 0; q < Q; ++q) {
      kernels::store(s.h + b * s.h_stride + (p + q) * W, Vec(o[q] * tanh_c[q]));
      if (s.saved)
        kernels::store(s.cells + ((p + q) * s.tile + b) * cell_vectors * W + W, tanh_c[q]);
    }
  }

  /// Where gate v of i f g o stands among the arguments of Activation::gates: sigmoids first.
  static constexpr Index order[gates] = {0, 1, 3, 2};
};

}  // namespace TSDL_ABI
}  // namespace tsdl
