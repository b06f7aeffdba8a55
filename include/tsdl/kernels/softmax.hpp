// Softmax over rows, forward and backward, of numbers that a factor scales:
//
//   p_s = exp(c (x_s - max_r x_r)) / sum_r exp(c (x_r - max_r x_r))        s < n, 0 beyond
//   dx_s = c p_s (dp_s - sum_r p_r dp_r)
//
// A row's bits depend on no other row, and on what is beyond its n values neither: the sum runs
// over vectors of lanes, vector v in chain v mod 2.
#pragma once

#include <limits>

#include "tsdl/kernels/activation.hpp"
#include "tsdl/kernels/simd.hpp"

TSDL_INTRINSICS_BEGIN
namespace tsdl {
inline namespace TSDL_ABI {
namespace kernels {

/// In place: the first n of `padded` values become their softmax, the others 0; all n are NaN where
/// one is. Shapes: padded a multiple of W, aligned; 1 <= n <= padded. Largest error of p: 4 eps (1
/// + c max|x|), relative, where p is a normal number, with eps the distance from 1 to the next
/// number.
template <class Scalar>
void softmax(Scalar* x, Index n, Index padded, Scalar c) noexcept {
  using V = Vec<Scalar>;
  constexpr Index W = lanes<Scalar>;
  const Index last = (n - 1) / W * W;  // where the last vector begins
  const auto inside = first_lanes<V>(n - last);
  const V lowest(std::numeric_limits<Scalar>::lowest());
  const V end = xsimd::select(inside, load(x + last), lowest);
  store(x + last, end);
  V largest = end;
  for (Index s = 0; s < last; s += W) largest = at_least(largest, load(x + s));
  const V factor(c), shift(largest_of_lanes(largest));
  V sums[2] = {V(Scalar{0}), V(Scalar{0})};
  Index s = 0;
  for (; s < last; s += 2 * W) {
    V e[2] = {(load(x + s) - shift) * factor, (load(x + s + W) - shift) * factor};
    internal::exp_of_negative(e);
    if (s + W == last) e[1] = xsimd::select(inside, e[1], V(Scalar{0}));
    store(x + s, e[0]);
    store(x + s + W, e[1]);
    sums[0] = sums[0] + e[0];
    sums[1] = sums[1] + e[1];
  }
  if (s == last) {
    V e[1] = {(end - shift) * factor};
    internal::exp_of_negative(e);
    e[0] = xsimd::select(inside, e[0], V(Scalar{0}));
    store(x + s, e[0]);
    sums[0] = sums[0] + e[0];
  }
  const V inverse(Scalar{1} / sum_of_lanes(V(sums[0] + sums[1])));
  for (s = 0; s <= last; s += W) store(x + s, V(load(x + s) * inverse));
  for (; s < padded; s += W) store(x + s, V(Scalar{0}));
}

/// In place: dp becomes dx. Shapes: as softmax; p is 0 beyond its n values. Largest error, where p
/// is softmax's and c at most 1: 20 eps (1 + c max|x|) max|dp|.
template <class Scalar>
void softmax_backward(Scalar* dp, const Scalar* p, Index padded, Scalar c) noexcept {
  using V = Vec<Scalar>;
  constexpr Index W = lanes<Scalar>;
  V dot(Scalar{0});
  for (Index s = 0; s < padded; s += W) dot = multiply_add(load(p + s), load(dp + s), dot);
  const V mean(sum_of_lanes(dot)), factor(c);
  for (Index s = 0; s < padded; s += W)
    store(dp + s, V(load(p + s) * (load(dp + s) - mean) * factor));
}

}  // namespace kernels
}  // namespace TSDL_ABI
}  // namespace tsdl

TSDL_INTRINSICS_END
