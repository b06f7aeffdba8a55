// What a model reads and is judged by.
#pragma once

#include <cstdint>
#include <span>
#include <type_traits>

#include "tsdl/core/sequence.hpp"
#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// B samples as views. A Sequence converts: it is the past, and nothing else is known.
template <class Scalar>
struct Batch {
  Sequence<const Scalar> past;  ///< I x T x B
  /// K x S x B, in the targets' own units: S is 1, or T where every step has a target. No data
  /// where they are not known.
  Sequence<const double> targets{};
  /// The number of each sample, by which dropout knows it wherever it stands: in a batch, or in the
  /// part of one that a thread or a process takes. Empty: 0 ... B - 1.
  std::span<const std::uint32_t> keys{};

  Batch(const Sequence<const Scalar>& its_past, const Sequence<const double>& its_targets = {},
        std::span<const std::uint32_t> its_keys = {}) noexcept
      : past(its_past), targets(its_targets), keys(its_keys) {}
  Batch(const Sequence<std::remove_const_t<Scalar>>& its_past) noexcept : past(its_past) {}

  Index size() const noexcept { return past.batch; }
};

/// The key of sample b where `keys` may be empty.
inline std::uint32_t sample_key(std::span<const std::uint32_t> keys, Index b) noexcept {
  return keys.empty() ? static_cast<std::uint32_t>(b) : keys[static_cast<std::size_t>(b)];
}

}  // namespace TSDL_ABI
}  // namespace tsdl
