// GRU steps that start from one state with inputs of few kinds: the sums over h are made once for
// all steps from that state, and the sums over x once for all steps with that input. A step is then
// its gates alone. For the decoder of nn/segment_decoder.hpp.
//
// Equations and order of gates: kernels/gru_cell.hpp. A unit has the same bits as in a GRUCell.
//
//   symbol          shape       meaning
//   over_x          [P][3][W]   sums over x, with their biases: n r z
//   over_h          [P][3][W]   sums over h, with q's bias: r z q
//   h_prev, h, dh   [P][W]      states and their gradients
#pragma once

#include <cstddef>

#include "tsdl/kernels/activation.hpp"
#include "tsdl/kernels/simd.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace kernels {

/// A step of one sample: the sums that it is made of, aligned.
template <class Scalar>
struct GRUBranch {
  const Scalar *over_x, *over_h, *h_prev;
};

/// The gradient that enters a step, and those that leave it. Accumulates: all but dh.
template <class Scalar>
struct GRUBranchGradient {
  const Scalar* dh;
  Scalar *dover_x, *dover_h, *dh_prev;  ///< dh_prev: without the part that goes through over_h
};

namespace internal {

/// The gates of N panels of units.
template <Index N, class V>
struct BranchGates {
  Array<V, N> n, r, z, q;
};

/// Computes the gates of panels p ... p + N - 1.
template <class Activation, Index N, class Scalar>
TSDL_INLINE void open_branch(BranchGates<N, Vec<Scalar>>& gates, const GRUBranch<Scalar>& s,
                             Index p) noexcept {
  constexpr Index W = lanes<Scalar>, width = 3 * W;
  Array<Vec<Scalar>, 2 * N> x;
  TSDL_UNROLL
  for (Index i = 0; i < N; ++i) {
    const Scalar *over_x = s.over_x + (p + i) * width, *over_h = s.over_h + (p + i) * width;
    x[i] = load(over_x + W) + load(over_h);
    x[N + i] = load(over_x + 2 * W) + load(over_h + W);
    gates.q[i] = load(over_h + 2 * W);
  }
  Activation::template gates<static_cast<std::size_t>(2 * N)>(x);
  TSDL_UNROLL
  for (Index i = 0; i < N; ++i) {
    gates.r[i] = x[i];
    gates.z[i] = x[N + i];
    gates.n[i] = multiply_add(x[i], gates.q[i], load(s.over_x + (p + i) * width));
  }
  Activation::tanh(gates.n);
}

template <class Activation, Index N, class Scalar>
TSDL_INLINE void branch_forward(Scalar* h, const GRUBranch<Scalar>& s, Index p) noexcept {
  constexpr Index W = lanes<Scalar>;
  BranchGates<N, Vec<Scalar>> gates;
  open_branch<Activation, N>(gates, s, p);
  TSDL_UNROLL
  for (Index i = 0; i < N; ++i) {
    const Vec<Scalar> h_prev = load(s.h_prev + (p + i) * W);
    store(h + (p + i) * W, multiply_add(gates.z[i], Vec<Scalar>(h_prev - gates.n[i]), gates.n[i]));
  }
}

/// memory += value.
template <class Scalar>
TSDL_INLINE void add_to(Scalar* aligned, const Vec<Scalar>& value) noexcept {
  store(aligned, Vec<Scalar>(load(aligned) + value));
}

template <class Activation, Index N, class Scalar>
TSDL_INLINE void branch_backward(Scalar* h, const GRUBranch<Scalar>& s,
                                 const GRUBranchGradient<Scalar>& d, Index p) noexcept {
  using V = Vec<Scalar>;
  constexpr Index W = lanes<Scalar>;
  BranchGates<N, V> gates;
  open_branch<Activation, N>(gates, s, p);
  TSDL_UNROLL
  for (Index i = 0; i < N; ++i) {
    const V one(Scalar{1}), n = gates.n[i], r = gates.r[i], z = gates.z[i], q = gates.q[i];
    const V h_prev = load(s.h_prev + (p + i) * W), dh = load(d.dh + (p + i) * W);
    const V off = h_prev - n;
    store(h + (p + i) * W, multiply_add(z, off, n));
    const V da_n = dh * (one - z) * Activation::tanh_slope(n);
    const V da_r = da_n * q * Activation::sigmoid_slope(r);
    const V da_z = dh * off * Activation::sigmoid_slope(z);
    Scalar *over_x = d.dover_x + (p + i) * 3 * W, *over_h = d.dover_h + (p + i) * 3 * W;
    add_to(over_x, da_n);
    add_to(over_x + W, da_r);
    add_to(over_x + 2 * W, da_z);
    add_to(over_h, da_r);
    add_to(over_h + W, da_z);
    add_to(over_h + 2 * W, V(da_n * r));
    add_to(d.dh_prev + (p + i) * W, V(dh * z));
  }
}

}  // namespace internal

/// Computes h of `panels` panels of units.
template <class Activation, class Scalar>
void gru_branch(Scalar* h, const GRUBranch<Scalar>& s, Index panels) noexcept {
  Index p = 0;
  for (; p + 2 <= panels; p += 2) internal::branch_forward<Activation, 2>(h, s, p);
  if (p < panels) internal::branch_forward<Activation, 1>(h, s, p);
}

/// Computes h again, and goes back through the step.
template <class Activation, class Scalar>
void gru_branch_backward(Scalar* h, const GRUBranch<Scalar>& s, const GRUBranchGradient<Scalar>& d,
                         Index panels) noexcept {
  Index p = 0;
  for (; p + 2 <= panels; p += 2) internal::branch_backward<Activation, 2>(h, s, d, p);
  if (p < panels) internal::branch_backward<Activation, 1>(h, s, d, p);
}

}  // namespace kernels
}  // namespace TSDL_ABI
}  // namespace tsdl
