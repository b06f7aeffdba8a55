// The parameters of one direction of a layer, their packs, and the layout of its cache.
//
//   symbol      shape                       meaning
//   s           0 ... steps - 1             a step, in the order in which this direction runs
//   t           s, or T - 1 - s in reverse  the time of step s
//   tile        4, 8 or 16 samples          run through all steps by one thread, unless threads
//                                           share the units of each step (nn/recurrent/stack.hpp)
//   G, S, C                                 a cell's gates, slots and cell_vectors
//   saved       [tile][s][P][b][S][W]       gates, from forward; backward replaces them by da
//   cells       [tile][s][P][b][C][W]       the cell's state beside h (LSTM: c, tanh(c))
//   dweights    [P][I + H][G][W]            the gradient in the order of the forward pack
//   dbias       [B / 4][P][S][W]            the biases' gradients, of 4 samples each: every tile
//   has
//                                           a whole number of them
//   projection  [column][P][G][W]           bias + W_ih x, where computed ahead of the steps
//   dcolumns    [column][P][G][W]           da summed over the windows that share a column
#pragma once

#include <cmath>
#include <cstdint>
#include <string>

#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/sequence.hpp"
#include "tsdl/kernels/outer.hpp"
#include "tsdl/kernels/product.hpp"
#include "tsdl/nn/init.hpp"
#include "tsdl/nn/parameter.hpp"
#include "tsdl/nn/recurrent/cache.hpp"
#include "tsdl/nn/recurrent/packs.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// What RecurrentLayer and WeightGradient (nn/recurrent/weight_gradient.hpp) share.
template <class Cell>
class LayerWeights {
 public:
  using Scalar = typename Cell::Scalar;
  using Cache = DirectionCache<Scalar>;
  using Packs = RecurrentPacks<Cell>;
  static constexpr Index W = Cell::W;
  static constexpr Index gate_width = Packs::gate_width, slot_width = Packs::slot_width;

  Parameter<Scalar> weight_ih, weight_hh, bias_ih, bias_hh;

  LayerWeights(const std::string& prefix, Index layer, bool reverse, InputLayout inputs, Index H)
      : weight_ih(
            Parameter<Scalar>::matrix(internal::tensor_name(prefix, "weight_ih", layer, reverse),
                                      Cell::gates * H, inputs.values())),
        weight_hh(Parameter<Scalar>::matrix(
            internal::tensor_name(prefix, "weight_hh", layer, reverse), Cell::gates * H, H)),
        bias_ih(Parameter<Scalar>::vector(internal::tensor_name(prefix, "bias_ih", layer, reverse),
                                          Cell::gates * H)),
        bias_hh(Parameter<Scalar>::vector(internal::tensor_name(prefix, "bias_hh", layer, reverse),
                                          Cell::gates * H)),
        packs_(inputs, H),
        reverse_(reverse) {}

  Index hidden() const noexcept { return packs_.hidden(); }
  Index panels() const noexcept { return packs_.panels(); }
  Index padded_hidden() const noexcept { return panels() * W; }  ///< Hp
  const InputLayout& inputs() const noexcept { return packs_.inputs(); }

  /// Draws the initial weights, each tensor from the next random stream.
  void initialise(Init init, std::uint64_t seed, std::uint64_t& stream) {
    const FloatModeGuard guard;
    if (init == Init::pytorch) {
      const double bound = 1.0 / std::sqrt(static_cast<double>(hidden()));
      visit([&](Parameter<Scalar>& parameter) {
        internal::fill_uniform(parameter, bound, RandomStream(seed, stream++));
      });
    } else {
      internal::fill_xavier(weight_ih, RandomStream(seed, stream++));
      internal::fill_orthogonal(weight_hh, RandomStream(seed, stream++));
    }
  }

  template <class F>
  void visit(F&& f) {
    f(weight_ih);
    f(weight_hh);
    f(bias_ih);
    f(bias_hh);
  }

  template <class F>
  void visit(F&& f) const {
    f(weight_ih);
    f(weight_hh);
    f(bias_ih);
    f(bias_hh);
  }

  /// Derives panel p of the packs from the parameters.
  void repack(Index p) noexcept { packs_.derive(weight_ih, weight_hh, bias_ih, bias_hh, p); }

  const ForwardPack<Cell>& forward_pack() const noexcept { return packs_.forward; }

  /// Creates the gradients and the transposed packs if they are missing. Allocates: the first time.
  void need_gradients() {
    visit([](Parameter<Scalar>& parameter) { parameter.need_gradient(); });
    if (!packs_.need_transposed()) return;
    for (Index p = 0; p < panels(); ++p) packs_.derive_transposed(weight_ih, weight_hh, p);
  }

  /// The time of step s, and the step at time s.
  Index time(const Extent& e, Index s) const noexcept { return reverse_ ? e.T - 1 - s : s; }
  /// The number of values of one state vector in one tile and step.
  Index state_block(const Cache& cache) const noexcept {
    return panels() * cache.extent.tile() * W;
  }
  /// The index of sample b and the unit's panel in [tile][P][b].
  Index cell_offset(const Cache& cache, Index b, Index unit) const noexcept {
    const Index tile = b / cache.extent.tile_size;
    return (tile * panels() + unit / W) * cache.extent.tile() + b - cache.extent.first(tile);
  }
  Scalar* saved(Cache& cache, Index tile, Index s) const noexcept {
    return cache.saved.data() + (tile * cache.extent.steps + s) * state_block(cache) * Cell::slots;
  }
  const Scalar* saved(const Cache& cache, Index tile, Index s) const noexcept {
    return saved(const_cast<Cache&>(cache), tile, s);
  }
  /// da of one tile and step, `gates` slots from `slot` on, as the left operand of a product over
  /// (p, slot, lane).
  kernels::Rows<Scalar> gate_rows(const Cache& cache, Index tile, Index s,
                                  Index slot) const noexcept {
    return {saved(cache, tile, s) + slot * W, slot_width, panels(), gate_width,
            cache.extent.tile() * slot_width};
  }
  /// da of one tile and panel, from step s and `slot` on, as columns over (step, sample).
  kernels::Columns<Scalar> gate_columns(const Cache& cache, Index tile, Index s, Index p,
                                        Index slot) const noexcept {
    return {saved(cache, tile, s) + p * cache.extent.tile() * slot_width + slot * W,
            state_block(cache) * Cell::slots, slot_width};
  }
  const Packs& packs() const noexcept { return packs_; }
  bool is_reverse() const noexcept { return reverse_; }

 private:
  Packs packs_;
  bool reverse_;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
