// The argument checks of a TransformerEncoder, before it does any work.
#pragma once

#include <span>
#include <type_traits>

#include "tsdl/core/error.hpp"
#include "tsdl/core/sequence.hpp"
#include "tsdl/nn/module.hpp"
#include "tsdl/nn/transformer/cache.hpp"
#include "tsdl/nn/transformer/options.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace internal {

/// Throws: ShapeError when x has no steps, no samples, other than the encoder's inputs, or is so
/// long that its cache could not be counted; or when there are lengths, but not one for each
/// sample, 1 to T.
template <class Scalar>
void check_transformer_input(const Sequence<const Scalar>& x, const TransformerOptions& o,
                             std::span<const Index> lengths) {
  if (x.inputs != o.input_size)
    throw ShapeError("Transformer::forward: inputs per step: expected ", o.input_size, ", got ",
                     x.inputs);
  if (x.steps < 1 || x.batch < 1)
    throw ShapeError(
        "Transformer::forward: a sequence needs at least one step and one sample, got T = ",
        x.steps, ", B = ", x.batch);
  const Index widest = 64 * (o.hidden_size + o.feed_forward + 64);
  if (saturated_product(x.steps, x.batch, widest) > most_values ||
      saturated_product(saturated_product(x.steps + 64, x.steps + 64), x.batch, o.heads) >
          most_values)
    throw ShapeError("Transformer::forward: T = ", x.steps, ", B = ", x.batch,
                     ": no memory holds that");
  if (lengths.empty()) return;
  if (std::ssize(lengths) != x.batch)
    throw ShapeError("Transformer::forward: lengths: expected one for each of ", x.batch,
                     " samples, got ", lengths.size());
  for (Index b = 0; b < x.batch; ++b) {
    const Index length = lengths[static_cast<std::size_t>(b)];
    if (length < 1 || length > x.steps)
      throw ShapeError("Transformer::forward: lengths: expected 1 to T = ", x.steps, ", got ",
                       length, " for sample ", b);
  }
}

/// Throws: ShapeError when an option that a pass depends on differs from that of the encoder which
/// filled the cache.
inline void check_same_encoder(const TransformerOptions& of, const TransformerOptions& o) {
  const auto check = [](const char* what, const auto& its, const auto& expected) {
    bool same = false;
    if constexpr (std::is_same_v<decltype(its), const double&>)
      same = same_value(its, expected);
    else
      same = its == expected;
    if (!same)
      throw ShapeError("Transformer::backward: the cache was filled by another encoder: ", what,
                       ": expected ", expected, ", got ", its);
  };
  check("input_size", of.input_size, o.input_size);
  check("hidden_size", of.hidden_size, o.hidden_size);
  check("heads", of.heads, o.heads);
  check("feed_forward", of.feed_forward, o.feed_forward);
  check("num_layers", of.num_layers, o.num_layers);
  check("dropout", of.dropout, o.dropout);
  check("activation", to_string(of.activation), to_string(o.activation));
  check("norm_first", of.norm_first, o.norm_first);
  check("causal", of.causal, o.causal);
  check("final_norm", of.final_norm, o.final_norm);
}

/// Throws: Error without a training forward; ShapeError when the cache is another encoder's, sizes
/// differ from those of forward, dx is not dense, or gradients enter at steps that forward did not
/// compute.
template <class Scalar>
void check_transformer_backward(const Sequence<const Scalar>& x,
                                const TransformerCache<Scalar>& cache, const TransformerOptions& o,
                                const Upstream<Scalar>& upstream, const Sequence<Scalar>& dx) {
  if (!cache.ready)
    throw Error("Transformer::backward: no training forward is there to go back through");
  check_same_encoder(cache.of, o);
  if (x.steps != cache.T || x.batch != cache.B || x.inputs != o.input_size)
    throw ShapeError("Transformer::backward: x is not the sequence that forward was given");
  const Sequence<const Scalar>& dy = upstream.dy;
  if (dy.data) {
    const bool per_step = upstream.steps == Steps::all && dy.step_stride != 0;
    if (dy.batch != cache.B || (per_step && dy.steps != cache.T))
      throw ShapeError("Transformer::backward: dy: expected T = ", cache.T, ", B = ", cache.B,
                       ", got T = ", dy.steps, ", B = ", dy.batch);
    if (dy.inputs != o.hidden_size)
      throw ShapeError("Transformer::backward: dy: expected ", o.hidden_size,
                       " values per column, got ", dy.inputs);
    if (cache.steps != Steps::all && upstream.steps == Steps::all)
      throw ShapeError(
          "Transformer::backward: dy enters at steps that forward was not asked for: .steps must "
          "be that of forward");
  }
  if (dx.data &&
      (!dx.is_dense() || dx.inputs != o.input_size || dx.steps != cache.T || dx.batch != cache.B))
    throw ShapeError("Transformer::backward: dx must be a dense ", cache.T, " x ", cache.B, " x ",
                     o.input_size, " sequence");
}

}  // namespace internal
}  // namespace TSDL_ABI
}  // namespace tsdl
