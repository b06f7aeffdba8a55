// The GRU cell: one step of a tile of samples, forward and backward.
//
// Forward (Cho et al. 2014, in the form whose reset gate comes after the product, as in
// https://pytorch.org/docs/stable/generated/torch.nn.GRU.html):
//
//   r, z = sigmoid(b_ih + b_hh + W_ih x_t + W_hh h_prev)      blocks r and z
//   q    = b_hn + U_n h_prev                                  the n block of W_hh, b_hh
//   n    = tanh(b_in + W_n x_t + r * q)                       the n block of W_ih, b_ih
//   h    = (1 - z) n + z h_prev  =  n + z (h_prev - n)
//
// Backward, from dh = dL/dh_t (from above and from step t + 1):
//
//   da_z = dh * (h_prev - n) * z'     da_n = dh * (1 - z) * n'
//   da_r = da_n * q * r'              dq   = da_n * r
//   dh_prev = dh * z + W_hh^T (da_r, da_z, dq)        dx = W_ih^T (da_r, da_z, da_n)
//
// b_hn stands inside r's product, so n has two chains: over x and over h. Slots: n r z q, and then
// da_n da_r da_z dq: the first three belong to W_ih, the last three to W_hh. No state beside h.
// Shapes and layouts: kernels/cell.hpp.
#pragma once

#include <array>

#include "tsdl/kernels/activation.hpp"
#include "tsdl/kernels/cell.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The arithmetic of one GRU step, for RecurrentStack, and the order of its gates in packs.
template <class Scalar_, class Activation = Accurate, Index Lanes = kernels::lanes<Scalar_>>
struct GRUCell {
  using Scalar = Scalar_;
  using Vec = kernels::SizedVec<Scalar, Lanes>;
  template <Index N>
  using WithLanes = GRUCell<Scalar, Activation, N>;
  static constexpr Index W = Lanes;
  static constexpr const char* name = "GRU";    ///< torch.nn's class
  static constexpr const char* prefix = "gru";  ///< in model files
  static constexpr Index gates = 3, slots = 4, cell_vectors = 0;
  static constexpr std::array<Index, gates> x_slot = {1, 2, 0}, h_slot = {1, 2, 3};  // r z n
  static constexpr bool h_enters = true;

  /// One step forward. A pre-activation is one chain: bias, x by ascending k, h by ascending k; n's
  /// is two, joined by r.
  template <class Step>
  static void forward(const Step& s) noexcept {
    kernels::for_each_block(s, [&](auto M, auto Q, Index p, Index b)
                                   TSDL_INLINE_LAMBDA { forward_block<M(), Q()>(s, p, b); });
  }

  /// One step backward, up to the gradients of the pre-activations; leaves dh * z in dh.
  static void backward(const kernels::BackwardStep<Scalar>& s) noexcept {
    const Vec one(Scalar{1});
    for (Index p = 0; p < s.panels; ++p)
      for (Index b = 0; b < s.samples; ++b) {
        Scalar* gate = s.saved + (p * s.tile + b) * slots * W;
        const Vec dh = kernels::incoming<Vec>(s, p, b);
        const Vec n = load(gate), r = load(gate + W), z = load(gate + 2 * W),
                  q = load(gate + 3 * W);
        const Vec h_prev = load(s.h_prev + b * s.h_prev_stride + p * W);
        const Vec da_n = dh * (one - z) * Activation::tanh_slope(n);
        kernels::store(gate, da_n);
        kernels::store(gate + W, Vec(da_n * q * Activation::sigmoid_slope(r)));
        kernels::store(gate + 2 * W, Vec(dh * (h_prev - n) * Activation::sigmoid_slope(z)));
        kernels::store(gate + 3 * W, Vec(da_n * r));
        kernels::store(s.dh + (b * s.panels + p) * W, Vec(dh * z));
      }
  }

 private:
  static TSDL_INLINE Vec load(const Scalar* aligned) noexcept {
    return kernels::load_as<Vec>(aligned);
  }

  template <Index M, Index Q, class Step>
  static TSDL_INLINE void forward_block(const Step& s, Index p, Index b) noexcept {
    const Scalar* bias = s.bias + p * slots * W;
    kernels::Block<Vec, Q * M, gates> over_x, over_h;  // n r z, then r z q
    kernels::start_chains<M, gates, Q>(over_x, s, bias, slots * W, p, b);
    if (!s.projected) kernels::chains_over_x<M, gates, Q>(over_x, s, p, b);
    TSDL_UNROLL
    for (Index m = 0; m < Q * M; ++m) {
      over_h[m][0] = over_x[m][1];
      over_h[m][1] = over_x[m][2];
      over_h[m][2] = load(bias + (m / M * slots + 3) * W);  // b_hn
    }
    kernels::chains_over_h<M, gates, Q>(over_h, s, p, b);
    kernels::Block<Vec, Q * M, slots> a;  // n r z q
    TSDL_UNROLL
    for (Index m = 0; m < Q * M; ++m) {
      a[m][0] = over_x[m][0];
      TSDL_UNROLL
      for (Index v = 0; v < gates; ++v) a[m][v + 1] = over_h[m][v];
    }
    if constexpr (Step::one_sample) {
      open_gates<M, Q>(s, a, p, b);
      make_h<M, Q>(s, a, p, b);
    } else {
      alignas(64) kernels::Array<Scalar, Q * M * slots * W> units;
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
    kernels::Block<Vec, 1, slots> a;
    Scalar* unit = units;
    for (Index q = 0; q < Q; ++q)
      for (Index m = 0; m < M; ++m, unit += slots * W) {
        kernels::load_all(a, unit);
        open_gates<1, 1>(s, a, p + q, b + m);
        kernels::store_all(unit, a);
      }
    unit = units;
    for (Index q = 0; q < Q; ++q)
      for (Index m = 0; m < M; ++m, unit += slots * W) {
        kernels::load_all(a, unit);
        make_h<1, 1>(s, a, p + q, b + m);
      }
  }

  /// Computes the gates r and z from their pre-activations, and the pre-activation of n.
  template <Index M, Index Q, class Step>
  static TSDL_INLINE void open_gates(const Step&, kernels::Block<Vec, Q * M, slots>& a, Index,
                                     Index) noexcept {
    TSDL_UNROLL
    for (Index m = 0; m < Q * M; ++m) {
      Vec x[2] = {a[m][1], a[m][2]};
      Activation::template apply<2>(x);
      a[m][1] = x[0];
      a[m][2] = x[1];
      a[m][0] = kernels::multiply_add(x[0], a[m][3], a[m][0]);
    }
  }

  /// Computes n and h from what open_gates left in `a`.
  template <Index M, Index Q, class Step>
  static TSDL_INLINE void make_h(const Step& s, const kernels::Block<Vec, Q * M, slots>& a, Index p,
                                 Index b) noexcept {
    kernels::Array<Vec, Q * M> n;
    TSDL_UNROLL
    for (Index m = 0; m < Q * M; ++m) n[m] = a[m][0];
    Activation::template apply<0>(n);
    TSDL_UNROLL
    for (Index m = 0; m < Q * M; ++m) {
      const Index sample = b + m % M, at = p + m / M;
      const Vec h_prev = load(s.h_prev + sample * s.h_prev_stride + at * W);
      kernels::store(s.h + sample * s.h_stride + at * W,
                     kernels::multiply_add(a[m][2], Vec(h_prev - n[m]), n[m]));
      if (s.saved) {
        Scalar* saved = s.saved + (at * s.tile + sample) * slots * W;
        kernels::store(saved, n[m]);
        kernels::store(saved + W, a[m][1]);
        kernels::store(saved + 2 * W, a[m][2]);
        kernels::store(saved + 3 * W, a[m][3]);
      }
    }
  }
};

}  // namespace TSDL_ABI
}  // namespace tsdl
