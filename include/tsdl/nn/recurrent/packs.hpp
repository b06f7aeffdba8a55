// The weights of one direction of a layer, in the order in which its passes read them.
//
// The forward pack has rows of x and h and columns of gates. The transposed packs are for the
// products dh_prev = W_hh^T da and dx = W_ih^T da. All are derived from PyTorch's matrices. A
// gradient is computed in the order of the forward pack and added to PyTorch's matrices.
//
//   symbol                 shape              meaning
//   weights                [P][I + H][G][W]   W_ih above W_hh, columns in the cell's order of slots
//   bias                   [P][S][W]          b_ih and b_hh, summed where they share a slot
//   weights_ih_transposed  packed P*G*W x I   rows (p, gate, lane)
//   weights_hh_transposed  packed P*G*W x Hp
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#include "tsdl/core/buffer.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/kernels/cell.hpp"
#include "tsdl/kernels/gemm.hpp"
#include "tsdl/nn/parameter.hpp"
#include "tsdl/nn/recurrent/cache.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The weights and biases that a forward pass reads.
template <class Cell>
class ForwardPack {
 public:
  using Scalar = typename Cell::Scalar;
  static constexpr Index W = Cell::W;
  static constexpr Index gate_width = Cell::gates * W, slot_width = Cell::slots * W;
  /// The first slot of the products with h; the slots of the products with x begin at 0.
  static constexpr Index first_h_slot = Cell::slots - Cell::gates;

  Buffer<Scalar> weights, bias;

  ForwardPack(InputLayout inputs, Index H) : inputs_(inputs), hidden_(H) {
    weights.assign((inputs.columns() + H) * panels() * gate_width, Scalar{0});
    bias.assign(panels() * slot_width, Scalar{0});
  }

  const InputLayout& inputs() const noexcept { return inputs_; }
  Index hidden() const noexcept { return hidden_; }
  Index panels() const noexcept { return round_up(hidden_, W) / W; }

  /// Derives all panels.
  void derive(const Parameter<Scalar>& weight_ih, const Parameter<Scalar>& weight_hh,
              const Parameter<Scalar>& bias_ih, const Parameter<Scalar>& bias_hh) noexcept {
    for (Index p = 0; p < panels(); ++p) derive(weight_ih, weight_hh, bias_ih, bias_hh, p);
  }

  /// Derives panel p.
  void derive(const Parameter<Scalar>& weight_ih, const Parameter<Scalar>& weight_hh,
              const Parameter<Scalar>& bias_ih, const Parameter<Scalar>& bias_hh,
              Index p) noexcept {
    const FloatModeGuard guard;  // biases are added
    const Index H = hidden_, I = inputs_.columns();
    Scalar* sums = bias.data() + p * slot_width;
    std::fill_n(sums, slot_width, Scalar{0});
    for (std::size_t gate = 0; gate < Cell::gates; ++gate) {
      const Index row = static_cast<Index>(gate) * H + p * W, units = std::min(W, H - p * W);
      const Index over_x = Cell::x_slot[gate], over_h = Cell::h_slot[gate] - first_h_slot;
      Scalar* panel = weights.data() + p * (I + H) * gate_width;
      for (Index segment = 0; segment < inputs_.segments; ++segment)
        kernels::transpose(
            panel + segment * inputs_.padded * gate_width + over_x * W, gate_width,
            weight_ih.value.data() + row * inputs_.values() + segment * inputs_.width,
            inputs_.values(), units, inputs_.width);
      kernels::transpose(panel + I * gate_width + over_h * W, gate_width,
                         weight_hh.value.data() + row * H, H, units, H);
      for (Index unit = 0; unit < units; ++unit) {
        sums[Cell::x_slot[gate] * W + unit] += bias_ih.value[row + unit];
        sums[Cell::h_slot[gate] * W + unit] += bias_hh.value[row + unit];
      }
    }
  }

 private:
  InputLayout inputs_;
  Index hidden_;
};

/// The packs of forward and backward passes.
template <class Cell>
class RecurrentPacks {
 public:
  using Scalar = typename Cell::Scalar;
  using Forward = ForwardPack<Cell>;
  static constexpr Index W = Cell::W;
  static constexpr Index gate_width = Forward::gate_width, slot_width = Forward::slot_width;
  static constexpr Index first_h_slot = Forward::first_h_slot;

  Forward forward;
  Buffer<Scalar> weights_hh_transposed, weights_ih_transposed;  ///< empty before any backward pass

  RecurrentPacks(InputLayout inputs, Index H) : forward(inputs, H) {}

  /// Creates the transposed packs if they are missing. Returns whether it did: derive_transposed()
  /// must then fill them. Allocates: the first time.
  bool need_transposed() {
    if (!weights_hh_transposed.empty()) return false;
    const Index N = panels() * gate_width;
    weights_hh_transposed.assign(kernels::packed_size<Scalar>(N, panels() * W), Scalar{0});
    weights_ih_transposed.assign(kernels::packed_size<Scalar>(N, inputs().columns()), Scalar{0});
    return true;
  }

  const InputLayout& inputs() const noexcept { return forward.inputs(); }
  Index hidden() const noexcept { return forward.hidden(); }
  Index panels() const noexcept { return forward.panels(); }

  /// Derives panel p of all packs.
  void derive(const Parameter<Scalar>& weight_ih, const Parameter<Scalar>& weight_hh,
              const Parameter<Scalar>& bias_ih, const Parameter<Scalar>& bias_hh,
              Index p) noexcept {
    forward.derive(weight_ih, weight_hh, bias_ih, bias_hh, p);
    if (!weights_hh_transposed.empty()) derive_transposed(weight_ih, weight_hh, p);
  }

  /// Derives the rows of panel p of the transposed packs.
  void derive_transposed(const Parameter<Scalar>& weight_ih, const Parameter<Scalar>& weight_hh,
                         Index p) noexcept {
    const InputLayout& from = inputs();
    const Index H = hidden(), I = from.columns(), N = panels() * gate_width;
    for (std::size_t gate = 0; gate < Cell::gates; ++gate) {
      const Index units = std::min(W, H - p * W);
      const Index over_x = p * gate_width + Cell::x_slot[gate] * W;
      const Index over_h = p * gate_width + (Cell::h_slot[gate] - first_h_slot) * W;
      for (Index unit = 0; unit < units; ++unit) {
        const Index row = static_cast<Index>(gate) * H + p * W + unit;
        for (Index segment = 0; segment < from.segments; ++segment)
          kernels::pack_row(
              weights_ih_transposed.data(), N, I, over_x + unit, segment * from.padded,
              weight_ih.value.data() + row * from.values() + segment * from.width, from.width);
        kernels::pack_row(weights_hh_transposed.data(), N, panels() * W, over_h + unit, Index{0},
                          weight_hh.value.data() + row * H, H);
      }
    }
  }

  /// Adds `count` rows of panel p of a packed gradient to columns `column` ... of PyTorch's matrix.
  /// `first_slot`: the slot of the first vector in a row.
  void add_gradient(Parameter<Scalar>& parameter, Index column, const Scalar* rows, Index count,
                    Index p, const std::array<Index, Cell::gates>& slots,
                    Index first_slot) const noexcept {
    const Index units = std::min(W, hidden() - p * W);
    for (std::size_t gate = 0; gate < slots.size(); ++gate)
      kernels::add_transposed(
          parameter.gradient.data() +
              (static_cast<Index>(gate) * hidden() + p * W) * parameter.cols + column,
          parameter.cols, rows + (slots[gate] - first_slot) * W, gate_width, units, count);
  }
};

}  // namespace TSDL_ABI
}  // namespace tsdl
