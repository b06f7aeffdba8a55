// Options of a stack of recurrent layers, and of its forward and backward passes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "tsdl/core/error.hpp"
#include "tsdl/core/sequence.hpp"
#include "tsdl/nn/dropout.hpp"
#include "tsdl/nn/init.hpp"
#include "tsdl/nn/module.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Options of a RecurrentStack.
struct RecurrentOptions {
  Index input_size = 0;   ///< I
  Index hidden_size = 0;  ///< H
  Index num_layers = 1;   ///< L
  bool bidirectional = false;
  double dropout = 0.0;  ///< on each layer's output except the last, in training only
  Init init = Init::pytorch;

  static constexpr Index max_size = 1'000'000;  ///< so that no product of sizes overflows
  static constexpr Index max_layers = 1'000;

  /// Throws: ShapeError when a size is below 1 or above its maximum; OptionError when dropout is
  /// outside [0, 1).
  void check(const char* where) const {
    const auto check_size = [&](const char* what, Index value, Index most) {
      if (value < 1 || value > most)
        throw ShapeError(where, ": ", what, " must be 1 to ", most, ", not ", value);
    };
    check_size("input_size", input_size, max_size);
    check_size("hidden_size", hidden_size, max_size);
    check_size("num_layers", num_layers, max_layers);
    if (!(is_finite(dropout) && dropout >= 0.0 && dropout < 1.0))
      throw OptionError(where, ": dropout must be at least 0 and below 1, not ", dropout);
  }
};

namespace internal {

/// data + by, or null.
template <class T>
T* offset(T* data, Index by) noexcept {
  return data ? data + by : nullptr;
}

/// PyTorch's name of a layer's tensor.
inline std::string tensor_name(const std::string& prefix, const char* what, Index layer,
                               bool reverse) {
  return concatenate(prefix, what, "_l", layer, reverse ? "_reverse" : "");
}

}  // namespace internal

/// Options of a forward pass.
template <class Scalar>
struct ForwardOptions {
  Steps steps = Steps::all;
  bool training = false;                  ///< keep what backward needs, and apply dropout
  DropoutKey dropout{};                   ///< identifies the masks, when training
  bool want_h_n = false;                  ///< run all steps, for final_state() to read h_n and c_n
  const Scalar* h0 = nullptr;             ///< L * D x B x H, as in PyTorch; null: zeros
  const Scalar* c0 = nullptr;             ///< as h0; only for a cell with a cell state
  std::span<const std::uint32_t> keys{};  ///< one per sample, for dropout (core/batch.hpp)
  /// The steps of each sample, 1 to T; empty: all T. As PyTorch's pack_padded_sequence and
  /// pad_packed_sequence: outputs of padded steps are 0, the reverse direction begins at a sample's
  /// own last step, and h_n and c_n are those at its own end. What stands in the padding of x does
  /// not matter.
  std::span<const Index> lengths{};
};

/// Upstream gradients in, input gradients out. A null gradient in is zero; a null gradient out is
/// not computed.
template <class Scalar>
struct BackwardOptions {
  /// dL/d output: columns of D * H values over (t, b). For Steps::last and
  /// Steps::each_direction_end there is one column per sample. A step_stride of 0 sends the same
  /// gradient into every step. Columns of padded steps are not read.
  Sequence<const Scalar> dy{};
  Steps steps = Steps::all;
  const Scalar* dh_n = nullptr;  ///< L * D x B x H
  const Scalar* dc_n = nullptr;  ///< dc_n, dc0: only for a cell with a cell state
  Sequence<Scalar> dx{};         ///< dense, T x B x I; 0 in padded steps
  Scalar* dh0 = nullptr;         ///< L * D x B x H
  Scalar* dc0 = nullptr;

  /// The times [from, to) at which dy enters direction d of the top layer.
  std::pair<Index, Index> entry(Index T, Index d) const noexcept {
    if (!dy.data) return {0, 0};
    if (steps == Steps::all) return {0, T};
    if (steps == Steps::each_direction_end && d == 1) return {0, 1};
    return {T - 1, T};
  }
};

}  // namespace TSDL_ABI
}  // namespace tsdl
