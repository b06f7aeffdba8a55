// What a stack refuses before it does anything: each message says what was expected, what was given
// and, where the cause is an option, which one.
#pragma once

#include "tsdl/core/error.hpp"
#include "tsdl/core/sequence.hpp"
#include "tsdl/nn/recurrent/cache.hpp"
#include "tsdl/nn/recurrent/options.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace internal {

/// Throws: ShapeError when x has no steps, no samples, or other than `inputs` values a column.
template <class Scalar>
void check_input(const char* name, const Sequence<const Scalar>& x, Index inputs) {
  if (x.inputs != inputs)
    throw ShapeError(name, "::forward: inputs per step: expected ", inputs, ", got ", x.inputs);
  if (x.steps < 1 || x.batch < 1)
    throw ShapeError(name, "::forward: a sequence needs at least one step and one sample, got T = ",
                     x.steps, ", B = ", x.batch);
}

/// Throws: ShapeError when a cell state was given, or asked for, where the cell has none.
template <class Cell>
void check_cell_state(const char* function, const char* what, const void* given) {
  if (Cell::cell_vectors == 0 && given)
    throw ShapeError(Cell::name, "::", function, ": ", what, ": there is no cell state");
}

/// What a stack of columns of `inputs` and `outputs` values refuses to go back through.
/// Throws: Error without a training forward; ShapeError when sizes are others than its, dx is not
/// dense, or gradients enter where forward did not run.
template <class Scalar>
void check_backward(const char* name, const Sequence<const Scalar>& x,
                    const StackCache<Scalar>& cache, const BackwardOptions<Scalar>& how,
                    Index inputs, Index outputs) {
  if (!cache.ready)
    throw Error(name, "::backward: no training forward is there to go back through");
  if (x.steps != cache.T || x.batch != cache.B)
    throw ShapeError(name, "::backward: x is not the sequence that forward was given");
  const Sequence<const Scalar>& dy = how.dy;
  if (dy.data) {
    const bool per_step = how.steps == Steps::all && dy.step_stride != 0;
    if (per_step && cache.T > 1 && dy.steps == 1 && dy.batch == cache.B)
      throw ShapeError(name,
                       "::backward: dy has one column a sample, but .steps is Steps::all, "
                       "which takes one for each of T = ",
                       cache.T, ": set .steps = Steps::last for the gradient of the last step");
    if (dy.batch != cache.B || (per_step && dy.steps != cache.T))
      throw ShapeError(name, "::backward: dy: expected T = ", cache.T, ", B = ", cache.B,
                       ", got T = ", dy.steps, ", B = ", dy.batch);
    if (dy.inputs != outputs)
      throw ShapeError(name, "::backward: dy: expected ", outputs, " values a column, got ",
                       dy.inputs);
    if (cache.steps != Steps::all && how.steps != cache.steps)
      throw ShapeError(name,
                       "::backward: dy enters at steps that forward was not asked for: .steps "
                       "must be that of forward");
  }
  if ((how.dh_n || how.dc_n) && !cache.want_h_n)
    throw ShapeError(
        name, "::backward: dh_n or dc_n, but forward was not asked for h_n: .want_h_n = true");
  if (how.dx.data && (!how.dx.is_dense() || how.dx.inputs != inputs || how.dx.steps != cache.T ||
                      how.dx.batch != cache.B))
    throw ShapeError(name, "::backward: dx must be a dense ", cache.T, " x ", cache.B, " x ",
                     inputs, " sequence");
}

}  // namespace internal
}  // namespace TSDL_ABI
}  // namespace tsdl
