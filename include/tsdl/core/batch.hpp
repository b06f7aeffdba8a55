// A batch: what a model reads, the targets it is judged by, and the keys of its samples.
//
//   B samples, T steps of I inputs each; H forecast steps of F inputs known beforehand
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "tsdl/core/sequence.hpp"
#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// B samples as views. A Sequence converts to a Batch of nothing else. A model says in its
/// documentation which of the optional views it reads; a view without data is absent.
template <class Scalar>
struct Batch {
  Sequence<const Scalar> past;  ///< I x T x B
  /// K x S x B, in the targets' own units: S is 1, or T where every step has a target. Null data
  /// when the targets are not known.
  Sequence<const double> targets{};
  /// A number for each sample, from which dropout draws: the same wherever the sample stands in a
  /// batch, and whichever thread or process takes it. Empty: 0 ... B - 1.
  std::span<const std::uint32_t> keys{};
  /// The steps of each sample, 1 to T, that are there; its other steps are padding. Empty: all.
  std::span<const Index> lengths{};
  Sequence<const Scalar> future{};     ///< F x H x B: inputs of the steps that are forecast
  Sequence<const Scalar> statics{};    ///< S x 1 x B: numbers that belong to a whole series
  Sequence<const Index> categories{};  ///< C x 1 x B: rows of embeddings

  Batch(const Sequence<const Scalar>& its_past, const Sequence<const double>& its_targets = {},
        std::span<const std::uint32_t> its_keys = {}) noexcept
      : past(its_past), targets(its_targets), keys(its_keys) {}
  Batch(const Sequence<std::remove_const_t<Scalar>>& its_past) noexcept : past(its_past) {}

  Index size() const noexcept { return past.batch; }
};

/// The steps of sample b that are there, of T; `lengths` may be empty.
inline Index sample_length(std::span<const Index> lengths, Index b, Index T) noexcept {
  return lengths.empty() ? T : lengths[static_cast<std::size_t>(b)];
}

/// The key of sample b; `keys` may be empty.
inline std::uint32_t sample_key(std::span<const std::uint32_t> keys, Index b) noexcept {
  return keys.empty() ? static_cast<std::uint32_t>(b) : keys[static_cast<std::size_t>(b)];
}

}  // namespace TSDL_ABI
}  // namespace tsdl
