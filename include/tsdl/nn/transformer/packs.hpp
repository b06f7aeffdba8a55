// The weights of a Transformer as its products read them: linear maps and layer norms, padded to
// whole vectors.
#pragma once

#include <algorithm>
#include <string>

#include "tsdl/core/buffer.hpp"
#include "tsdl/kernels/normalisation.hpp"
#include "tsdl/kernels/product.hpp"
#include "tsdl/nn/parameter.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// One linear map, or several that read the same rows and write theirs side by side, each padded:
///
///   y = W x + b        dx = W^T dy
///
///   x    [J][in_p]             in_p: in, padded to whole vectors
///   y    [J][parts * part_p]   part_p: part, padded; 0 beyond each part
///   W    [parts * part][in]    rows of a parameter
template <class Scalar>
class LinearPack {
 public:
  static constexpr Index W = kernels::lanes<Scalar>;

  LinearPack(Index in, Index part, Index parts = 1)
      : in_(in),
        part_(part),
        parts_(parts),
        pack_(kernels::packed_size<Scalar>(in, out_padded())),
        bias_(out_padded()) {}

  Index in_padded() const noexcept { return round_up(in_, W); }
  Index part_padded() const noexcept { return round_up(part_, W); }
  Index out_padded() const noexcept { return parts_ * part_padded(); }

  /// Packs rows of W and b. Shapes: weight [parts * part][in], bias [parts * part].
  void derive(const Scalar* weight, const Scalar* bias) noexcept {
    for (Index p = 0; p < parts_; ++p)
      for (Index i = 0; i < part_; ++i) {
        const Index row = p * part_ + i, column = p * part_padded() + i;
        kernels::pack_column(pack_.data(), in_, out_padded(), Index{0}, column, weight + row * in_,
                             in_);
        bias_[column] = bias[row];
        if (!transposed_.empty())
          kernels::pack_row(transposed_.data(), out_padded(), in_padded(), column, Index{0},
                            weight + row * in_, in_);
      }
  }

  /// Makes room for the transposed pack; derive() fills it. Returns whether it was missing.
  /// Allocates: the first time.
  bool need_transposed() {
    if (!transposed_.empty()) return false;
    transposed_.assign(kernels::packed_size<Scalar>(out_padded(), in_padded()), Scalar{0});
    return true;
  }

  /// y = W x + b for J rows.
  void apply(Scalar* y, const Scalar* x, Index J) const noexcept {
    kernels::multiply(kernels::Start::bias, y, out_padded(), {x, in_padded(), 1, in_, 0},
                      pack_.data(), bias_.data(), J, out_padded());
  }

  /// dx = W^T dy, or where `start` says so += of it. The values of dy beyond each part are finite.
  void apply_transposed(kernels::Start start, Scalar* dx, const Scalar* dy,
                        Index J) const noexcept {
    kernels::multiply(start, dx, in_padded(), {dy, out_padded(), 1, out_padded(), 0},
                      transposed_.data(), static_cast<const Scalar*>(nullptr), J, in_padded());
  }

  const Scalar* pack() const noexcept { return pack_.data(); }
  const Scalar* bias() const noexcept { return bias_.data(); }
  const Scalar* transposed() const noexcept { return transposed_.data(); }

 private:
  Index in_, part_, parts_;
  Buffer<Scalar> pack_, bias_;
  Buffer<Scalar> transposed_;  ///< empty until the first backward pass
};

/// The scale and shift of a layer norm: a torch.nn.LayerNorm of eps 1e-5.
template <class Scalar>
struct NormWeights {
  Parameter<Scalar> weight, bias;
  Buffer<Scalar> gamma, beta;  ///< padded

  NormWeights(const std::string& name, Index size)
      : weight(Parameter<Scalar>::vector(name + "weight", size)),
        bias(Parameter<Scalar>::vector(name + "bias", size)),
        gamma(round_up(size, kernels::lanes<Scalar>)),
        beta(gamma.size()) {
    std::fill(weight.value.begin(), weight.value.end(), Scalar{1});
  }
  Index size() const noexcept { return weight.rows; }
  void repack() noexcept {
    std::copy(weight.value.begin(), weight.value.end(), gamma.begin());
    std::copy(bias.value.begin(), bias.value.end(), beta.begin());
  }
  /// Adds the padded gradients.
  void add_gradients(const Scalar* dgamma, const Scalar* dbeta) noexcept {
    for (Index i = 0; i < size(); ++i) {
      weight.gradient[i] += dgamma[i];
      bias.gradient[i] += dbeta[i];
    }
  }
};

}  // namespace TSDL_ABI
}  // namespace tsdl
