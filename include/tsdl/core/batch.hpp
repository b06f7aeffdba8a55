// A batch: what a model reads, the targets it is judged by, and the keys of its samples.
#pragma once

#include <cstdint>
#include <span>
#include <type_traits>

#include "tsdl/core/sequence.hpp"
#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// B samples as views. A Sequence converts to a Batch without targets or keys.
template <class Scalar>
struct Batch {
  Sequence<const Scalar> past;  ///< I x T x B
  /// K x S x B, in the targets' own units: S is 1, or T where every step has a target. Null data
  /// when the targets are not known.
  Sequence<const double> targets{};
  /// A number for each sample, from which dropout draws: the same wherever the sample stands in a
  /// batch, and whichever thread or process takes it. Empty: 0 ... B - 1.
  std::span<const std::uint32_t> keys{};

  Batch(const Sequence<const Scalar>& its_past, const Sequence<const double>& its_targets = {},
        std::span<const std::uint32_t> its_keys = {}) noexcept
      : past(its_past), targets(its_targets), keys(its_keys) {}
  Batch(const Sequence<std::remove_const_t<Scalar>>& its_past) noexcept : past(its_past) {}

  Index size() const noexcept { return past.batch; }
};

/// The key of sample b; `keys` may be empty.
inline std::uint32_t sample_key(std::span<const std::uint32_t> keys, Index b) noexcept {
  return keys.empty() ? static_cast<std::uint32_t>(b) : keys[static_cast<std::size_t>(b)];
}

}  // namespace TSDL_ABI
}  // namespace tsdl
