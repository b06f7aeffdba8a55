// A table of vectors, one per entry of a category: torch.nn.Embedding.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "tsdl/core/error.hpp"
#include "tsdl/core/random.hpp"
#include "tsdl/nn/parameter.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Entries 0 ... N - 1 of E numbers each, drawn from N(0, 1) as in PyTorch.
///
///   y = W[e]        dW[e] += dy
template <class ScalarType>
class Embedding {
 public:
  using Scalar = ScalarType;

  /// Draws the weights from random stream `stream` of the seed. Throws: ShapeError when a size is
  /// below 1 or above 10 million.
  Embedding(Index entries, Index size, std::uint64_t seed = 0, const std::string& prefix = "",
            std::uint64_t stream = 0)
      : entries_(entries), size_(size) {
    constexpr Index most = 10'000'000;
    if (entries < 1 || size < 1 || entries > most || size > most)
      throw ShapeError("Embedding: sizes must be 1 to ", most, ", not ", entries, " and ", size);
    weight_ = Parameter<Scalar>::matrix(internal::concatenate(prefix, "weight"), entries, size);
    RandomStream random(seed, stream);
    for (Scalar& value : weight_.value) value = static_cast<Scalar>(random.normal());
  }

  Index entries() const noexcept { return entries_; }
  Index size() const noexcept { return size_; }
  const Parameter<Scalar>& weight() const noexcept { return weight_; }

  template <class F>
  void visit(F&& f) {
    f(weight_);
  }
  template <class F>
  void visit(F&& f) const {
    f(weight_);
  }
  void repack() noexcept {}
  void zero_gradients() noexcept { weight_.zero_gradient(); }

  /// Copies entry `entry` to y. The entry must be one of the table.
  void forward(Scalar* y, Index entry) const noexcept {
    TSDL_ASSERT(entry >= 0 && entry < entries_);
    std::copy_n(weight_.value.data() + entry * size_, size_, y);
  }
  /// Accumulates: the gradient of the entry, which need_gradients() must have made.
  void backward(const Scalar* dy, Index entry) noexcept {
    Scalar* gradient = weight_.gradient.data() + entry * size_;
    for (Index i = 0; i < size_; ++i) gradient[i] += dy[i];
  }
  /// Allocates: the first time.
  void need_gradients() { weight_.need_gradient(); }

 private:
  Index entries_, size_;
  Parameter<Scalar> weight_;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
