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
  static constexpr std::array<Index, slots> passing = {0, 0, 1, 0};                  // z = 1
  static constexpr bool h_enters = true;

  /// One step forward; n's sums are joined by r.
  template <class Step>
  static void forward(const Step& s) noexcept {
    kernels::for_each_block<GRUCell>(s, [&](auto M, auto Q, Index p, Index b) TSDL_INLINE_LAMBDA {
      forward_block<M(), Q()>(s, p, b);
    });
  }

  /// One step backward, up to the gradients of the pre-activations and of the biases; leaves dh * z
  /// in dh.
  static void backward(const kernels::BackwardStep<Scalar>& s) noexcept {
    kernels::for_each_unit<GRUCell>(s, [&](Index p, Index b,
                                           kernels::Array<Vec, slots>& sums) TSDL_INLINE_LAMBDA {
      const Vec one(Scalar{1});
      Scalar* gate = s.saved + (p * s.tile + b) * slots * W;
      const Vec dh = kernels::incoming<Vec>(s, p, b);
      const Vec n = load(gate), r = load(gate + W), z = load(gate + 2 * W), q = load(gate + 3 * W);
      const Vec h_prev = load(s.h_prev + b * s.h_prev_stride + p * W);
      const Vec da_n = dh * (one - z) * Activation::tanh_slope(n);
      const Vec da[slots] = {da_n, da_n * q * Activation::sigmoid_slope(r),
                             dh * (h_prev - n) * Activation::sigmoid_slope(z), da_n * r};
      kernels::put_gradient(gate, da, sums);
      kernels::store(s.dh + (b * s.panels + p) * W, Vec(dh * z));
    });
  }

 private:
  static TSDL_INLINE Vec load(const Scalar* aligned) noexcept {
    return kernels::load_as<Vec>(aligned);
  }

  /// The gates of a unit, as far as they are known before tanh.
  struct Unit {
    Vec n, r, z, q;  ///< n: its pre-activation
  };

  template <Index M, Index Q, class Step>
  static TSDL_INLINE void forward_block(const Step& s, Index p, Index b) noexcept {
    if constexpr (Step::one_sample) {
      kernels::Block<Vec, Q, gates> over_x, over_h;
      kernels::sum_both<GRUCell, Q>(over_x, over_h, s, p);
      kernels::Array<Unit, Q> units;
      TSDL_UNROLL
      for (Index q = 0; q < Q; ++q) units[q] = open_gates(over_x[q], over_h[q]);
      make_h<Q>(s, units, p, b);
    } else {
      kernels::BlockSums<GRUCell, M, Q> sums(s, p, b);
      activate(s, sums.view(), M, Q, p, b);
    }
  }

  /// Computes h from the sums of M samples and Q panels, unit by unit. One function for blocks of
  /// all shapes, since each copy of the activations takes long to compile. Two loops, so that a
  /// unit's gates do not wait for the tanh of the unit before.
  template <class Step>
  [[gnu::noinline]] static void activate(const Step& s, const kernels::SumsView<Scalar>& sums,
                                         Index M, Index Q, Index p, Index b) noexcept {
    alignas(64) kernels::Array<Scalar, slots * W * kernels::rows_of<gates>> units;
    TSDL_ASSERT(Q * M <= kernels::rows_of<gates>);
    Scalar* unit = units;
    for (Index q = 0; q < Q; ++q)
      for (Index m = 0; m < M; ++m, unit += slots * W) {
        kernels::Array<Vec, gates> over_x, over_h;
        kernels::load_all(over_x, sums.x(q, m));
        kernels::load_all(over_h, sums.over_h + (q * M + m) * gates * W);
        const Unit open = open_gates(over_x, over_h);
        kernels::store(unit, open.n);
        kernels::store(unit + W, open.r);
        kernels::store(unit + 2 * W, open.z);
        kernels::store(unit + 3 * W, open.q);
      }
    unit = units;
    for (Index q = 0; q < Q; ++q)
      for (Index m = 0; m < M; ++m, unit += slots * W)
        make_h<1>(s, {{load(unit), load(unit + W), load(unit + 2 * W), load(unit + 3 * W)}}, p + q,
                  b + m);
  }

  /// Computes a unit's gates r and z, and the pre-activation of n. over_x: n r z; over_h: r z q.
  static TSDL_INLINE Unit open_gates(const kernels::Array<Vec, gates>& over_x,
                                     const kernels::Array<Vec, gates>& over_h) noexcept {
    Vec x[2] = {over_x[1] + over_h[0], over_x[2] + over_h[1]};
    Activation::template gates<2>(x);
    return {kernels::multiply_add(x[0], over_h[2], over_x[0]), x[0], x[1], over_h[2]};
  }

  /// Computes n and h of Q panels.
  template <Index Q, class Step>
  static TSDL_INLINE void make_h(const Step& s, const kernels::Array<Unit, Q>& units, Index p,
                                 Index b) noexcept {
    kernels::Array<Vec, Q> n;
    TSDL_UNROLL
    for (Index q = 0; q < Q; ++q) n[q] = units[q].n;
    Activation::tanh(n);
    TSDL_UNROLL
    for (Index q = 0; q < Q; ++q) {
      const Unit& unit = units[q];
      const Vec h_prev = load(s.h_prev + b * s.h_prev_stride + (p + q) * W);
      kernels::store(s.h + b * s.h_stride + (p + q) * W,
                     kernels::multiply_add(unit.z, Vec(h_prev - n[q]), n[q]));
      if (!s.saved) continue;
      Scalar* saved = s.saved + ((p + q) * s.tile + b) * slots * W;
      kernels::store(saved, n[q]);
      kernels::store(saved + W, unit.r);
      kernels::store(saved + 2 * W, unit.z);
      kernels::store(saved + 3 * W, unit.q);
    }
  }
};

}  // namespace TSDL_ABI
}  // namespace tsdl
