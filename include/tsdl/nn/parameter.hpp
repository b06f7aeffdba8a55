// A learned tensor and its gradient, with the name that PyTorch's state_dict gives it.
//
// Accumulation, here and everywhere: a backward pass adds to the gradients of parameters (+=) and
// assigns the gradients of inputs and states (=).
//
// A gradient is allocated by the first backward pass; a model used only for inference has none.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/buffer.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// One tensor of a layer, row-major as in PyTorch: a matrix of `rows` x `cols`, or a vector of
/// `rows`.
template <class Scalar>
struct Parameter {
  std::string name;
  Index rows = 0;
  Index cols = 1;
  bool is_vector = false;  ///< biases
  Buffer<Scalar> value;
  Buffer<Scalar> gradient;  ///< empty until need_gradient()

  static Parameter matrix(std::string name, Index rows, Index cols) {
    return {std::move(name), rows, cols, false, Buffer<Scalar>(rows * cols), {}};
  }
  static Parameter vector(std::string name, Index rows) {
    return {std::move(name), rows, 1, true, Buffer<Scalar>(rows), {}};
  }

  Index size() const noexcept { return value.size(); }
  std::vector<Index> shape() const {
    return is_vector ? std::vector<Index>{rows} : std::vector<Index>{rows, cols};
  }

  /// Creates a gradient of zeros if there is none. Allocates: the first time.
  void need_gradient() {
    if (gradient.size() != value.size()) gradient.assign(value.size(), Scalar{0});
  }
  void zero_gradient() noexcept { std::fill(gradient.begin(), gradient.end(), Scalar{0}); }

  /// The value and the gradient as Eigen matrices. Change values only inside update()
  /// (nn/module.hpp), or call the module's repack() afterwards.
  using Map = Eigen::Map<RowMajorMatrix<Scalar>>;
  using ConstMap = Eigen::Map<const RowMajorMatrix<Scalar>>;
  Map values() noexcept { return {value.data(), rows, cols}; }
  ConstMap values() const noexcept { return {value.data(), rows, cols}; }
  Map gradients() {
    need_gradient();
    return {gradient.data(), rows, cols};
  }
  /// Throws: Error before the first backward pass.
  ConstMap gradients() const {
    if (gradient.size() != value.size())
      throw Error("parameter ", name, ": it has no gradient before the first backward pass");
    return {gradient.data(), rows, cols};
  }
};

namespace internal {

/// Throws: Error when the parameters may have changed since their packs were derived.
inline void check_packed(bool packed, const char* where) {
  if (!packed)
    throw Error(where,
                ": its parameters were visited and may have changed: call repack(), or change them "
                "in tsdl::update(module, f); to read them, visit a const module");
}

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
