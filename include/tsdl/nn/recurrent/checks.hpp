// The argument checks of a stack, before it does any work. Each message says what was expected,
// what was given and, if an option is the cause, which option.
#pragma once

#include <span>

#include "tsdl/core/error.hpp"
#include "tsdl/core/sequence.hpp"
#include "tsdl/nn/recurrent/cache.hpp"
#include "tsdl/nn/recurrent/options.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace internal {

/// Throws: ShapeError when x has no steps, no samples, or other than the shape's inputs per
/// column, or is so long that its cache, of `slots` values a unit, could not be counted.
template <class Scalar>
void check_input(const char* name, const Sequence<const Scalar>& x, const StackShape& shape,
                 Index slots) {
  if (x.inputs != shape.inputs)
    throw ShapeError(name, "::forward: inputs per step: expected ", shape.inputs, ", got ",
                     x.inputs);
  if (x.steps < 1 || x.batch < 1)
    throw ShapeError(name, "::forward: a sequence needs at least one step and one sample, got T = ",
                     x.steps, ", B = ", x.batch);
  const Index samples = x.batch > most_values ? most_values : x.batch + Extent::most_samples;
  if (saturated_product(x.steps, samples, shape.widest(slots)) > most_values)
    throw ShapeError(name, "::forward: T = ", x.steps, ", B = ", x.batch, ": no memory holds that");
}

/// Throws: ShapeError when there are lengths, but not one for each of B samples, or one is not 1 to
/// T.
inline void check_lengths(const char* name, std::span<const Index> lengths, Index T, Index B) {
  if (lengths.empty()) return;
  if (std::ssize(lengths) != B)
    throw ShapeError(name, "::forward: lengths: expected one for each of ", B, " samples, got ",
                     lengths.size());
  for (Index b = 0; b < B; ++b) {
    const Index length = lengths[static_cast<std::size_t>(b)];
    if (length < 1 || length > T)
      throw ShapeError(name, "::forward: lengths: expected 1 to T = ", T, ", got ", length,
                       " for sample ", b);
  }
}

/// Throws: Error when no forward has filled the cache; ShapeError when that of another stack did.
template <class Scalar>
void check_cache(const char* name, const char* function, const StackCache<Scalar>& cache,
                 const StackShape& shape) {
  if (cache.layers.empty())
    throw Error(name, "::", function, ": no forward has run with this cache");
  if (cache.shape != shape)
    throw ShapeError(name, "::", function,
                     ": the cache was filled by a stack of other sizes: ", cache.shape.cell, " of ",
                     cache.shape.layers, " x ", cache.shape.directions, " layers of ",
                     cache.shape.hidden, " units on ", cache.shape.inputs, " inputs");
}

/// Throws: ShapeError when a cell state is given or requested and the cell has none.
template <class Cell>
void check_cell_state(const char* function, const char* what, const void* given) {
  if (Cell::cell_vectors == 0 && given)
    throw ShapeError(Cell::name, "::", function, ": ", what, ": there is no cell state");
}

/// Throws: ShapeError when the cache has no column (t, b) of direction d.
template <class Scalar>
void check_column(const char* name, const StackCache<Scalar>& cache, Index t, Index b, Index d) {
  if (t < 0 || t >= cache.T || b < 0 || b >= cache.B || d < 0 || d >= cache.shape.directions)
    throw ShapeError(name, "::output: (t, b, d) = (", t, ", ", b, ", ", d, ") of T = ", cache.T,
                     ", B = ", cache.B, ", D = ", cache.shape.directions);
}

/// Checks the arguments of backward, for a stack of `shape` with output columns of `outputs`
/// values. Throws: Error without a training forward; ShapeError when the cache is another stack's,
/// sizes differ from those of forward, dx is not dense, or gradients enter at steps that forward
/// did not run.
template <class Scalar>
void check_backward(const char* name, const Sequence<const Scalar>& x,
                    const StackCache<Scalar>& cache, const BackwardOptions<Scalar>& options,
                    const StackShape& shape, Index outputs) {
  if (!cache.ready)
    throw Error(name, "::backward: no training forward is there to go back through");
  check_cache(name, "backward", cache, shape);
  const Index inputs = shape.inputs;
  if (x.steps != cache.T || x.batch != cache.B)
    throw ShapeError(name, "::backward: x is not the sequence that forward was given");
  const Sequence<const Scalar>& dy = options.dy;
  if (dy.data) {
    const bool per_step = options.steps == Steps::all && dy.step_stride != 0;
    if (per_step && cache.T > 1 && dy.steps == 1 && dy.batch == cache.B)
      throw ShapeError(name,
                       "::backward: dy has one column per sample, but .steps is Steps::all, "
                       "which takes one for each of T = ",
                       cache.T, ": set .steps = Steps::last for the gradient of the last step");
    if (dy.batch != cache.B || (per_step && dy.steps != cache.T))
      throw ShapeError(name, "::backward: dy: expected T = ", cache.T, ", B = ", cache.B,
                       ", got T = ", dy.steps, ", B = ", dy.batch);
    if (dy.inputs != outputs)
      throw ShapeError(name, "::backward: dy: expected ", outputs, " values per column, got ",
                       dy.inputs);
    if (cache.steps != Steps::all && options.steps != cache.steps)
      throw ShapeError(name,
                       "::backward: dy enters at steps that forward was not asked for: .steps "
                       "must be that of forward");
  }
  if ((options.dh_n || options.dc_n) && !cache.want_h_n)
    throw ShapeError(
        name, "::backward: dh_n or dc_n, but forward was not asked for h_n: .want_h_n = true");
  if (options.dx.data && (!options.dx.is_dense() || options.dx.inputs != inputs ||
                          options.dx.steps != cache.T || options.dx.batch != cache.B))
    throw ShapeError(name, "::backward: dx must be a dense ", cache.T, " x ", cache.B, " x ",
                     inputs, " sequence");
}

}  // namespace internal
}  // namespace TSDL_ABI
}  // namespace tsdl
