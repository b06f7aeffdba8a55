// How many operations the products of a piece of work really need.
#pragma once

#include <algorithm>

#include "../peers/work.hpp"

namespace bench {

/// The multiply-adds of a Transformer's pass over B samples of T steps. With d columns, F of the
/// feed-forward block, I inputs, K logits and m the steps of a layer that are read, which are T,
/// but one in the top layer where the linear layer is over the last step, they are
///
///   input       d I (T + B - 1)            consecutive windows share their columns; dense: T B
///   q, k, v     d d (m + 2 T) B            in each layer
///   attention   2 d m T B                  scores, and values
///   the rest    (d d + 2 d F) m B          out_proj, linear1, linear2
///   linear      d K B
///
/// A training step needs each three times, but the input's twice.
inline double transformer_operations(const peers::Work& work) {
  using peers::Index;
  const peers::Network& n = work.network;
  const Index B = work.batch, T = n.steps, d = n.hidden, F = n.feed_forward;
  const bool train = work.kind == peers::Kind::train;
  Index sum = d * n.outputs * B;
  for (Index layer = 0; layer < n.layers; ++layer) {
    const Index m = layer + 1 < n.layers || n.mean ? T : 1;
    sum += (d * d * (m + 2 * T) + 2 * d * m * T + (d * d + 2 * d * F) * m) * B;
  }
  const Index input = d * n.inputs * (work.dense ? T * B : T + B - 1);
  return 2.0 * static_cast<double>(train ? 3 * sum + 2 * input : sum + input);
}

/// Operations of one call, two a multiply-add: only those without which the result could not be
/// had. With G gates, H units, I inputs of a layer, D directions, B samples, K logits and S the
/// steps that a direction runs, which are T, but one in the top layer's reverse direction, of which
/// the pooling reads the first step alone, the multiply-adds are
///
///   over x    G H I (S + B - 1)    the first layer: consecutive windows share their columns
///             G H I S B            the first layer on a dense batch, and every other layer
///   over h    G H H (S - 1) B      the first step starts from h = 0; S B where h is carried on
///   linear    D H K B
///
/// A training step needs each three times: forward, for the gradient of the weights, and for that
/// of x or h, but the series has no gradient. Gates, dropout, the loss, clipping and AdamW are not
/// counted.
inline double needed_operations(const peers::Work& work) {
  using peers::Index, peers::Kind;
  const peers::Network& n = work.network;
  if (n.transformer()) return transformer_operations(work);
  const Index B = work.batch, H = n.hidden, passes = work.kind == Kind::train ? 3 : 1;
  Index sum = passes * n.directions * H * n.outputs * B;
  for (Index layer = 0; layer < n.layers; ++layer)
    for (Index direction = 0; direction < n.directions; ++direction) {
      const Index steps = direction == 1 && layer + 1 == n.layers ? 1 : n.steps;
      const Index columns = layer == 0 && !work.dense ? steps + B - 1 : steps * B;
      const Index carried = work.kind == Kind::stream ? steps : steps - 1;
      const Index passes_x = layer == 0 ? std::min<Index>(passes, 2) : passes;
      sum +=
          n.gates() * H * (passes_x * n.layer_inputs(layer) * columns + passes * H * carried * B);
    }
  return 2.0 * static_cast<double>(sum);
}

}  // namespace bench
