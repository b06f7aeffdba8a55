// Sets of samples, from which training and predictions take their batches: windows of a series
// (windows.hpp), windows of many series (panel_windows.hpp), or a class of your own.
#pragma once

#include <concepts>
#include <cstdint>
#include <span>
#include <vector>

#include "tsdl/core/batch.hpp"
#include "tsdl/core/buffer.hpp"
#include "tsdl/core/sequence.hpp"
#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Which samples of a set a batch has.
struct Samples {
  Index first = 0, count = 0;       ///< samples first, first + 1, ...
  std::span<const Index> chosen{};  ///< if not empty, these samples instead

  Index size() const noexcept { return chosen.empty() ? count : std::ssize(chosen); }
  /// The number in its set of sample i.
  Index at(Index i) const noexcept {
    return chosen.empty() ? first + i : chosen[static_cast<std::size_t>(i)];
  }
  /// Samples from ... from + size - 1 of these.
  Samples part(Index from, Index size) const noexcept {
    if (chosen.empty()) return {first + from, size, {}};
    return {0, size,
            chosen.subspan(static_cast<std::size_t>(from), static_cast<std::size_t>(size))};
  }
};

/// Memory for what a batch cannot view. A reused one stops allocating.
template <class Scalar>
struct BatchScratch {
  Buffer<Scalar> past, future, statics;
  Buffer<double> targets;
  Buffer<Index> categories, lengths;
};

/// Samples with their targets. Calls with separate scratch may run concurrently.
template <class S>
concept SampleSet = requires(const S& set, const Samples& samples, Index steps,
                             BatchScratch<typename S::Scalar>& scratch) {
  typename S::Scalar;
  { set.size() } -> std::convertible_to<Index>;
  { set.empty() } -> std::convertible_to<bool>;
  { set.length() } -> std::convertible_to<Index>;  // T, of the longest sample
  { set.inputs() } -> std::convertible_to<Index>;
  { set.target_count() } -> std::convertible_to<Index>;  // K
  // All that a model reads. A view, or gathered; valid as long as the set, until scratch changes.
  { set.inputs_of(samples, scratch) } -> std::same_as<Batch<typename S::Scalar>>;
  // The targets of the same samples, K x steps x B, for the last `steps` of each one's T steps.
  { set.targets_of(samples, steps, scratch) } -> std::same_as<Sequence<const double>>;
  { set.targets() } -> std::convertible_to<std::vector<double>>;  // of all last steps, n x K
};

/// The inputs and the targets of a batch.
template <SampleSet S>
Batch<typename S::Scalar> batch_of(const S& set, const Samples& samples, Index steps,
                                   BatchScratch<typename S::Scalar>& scratch) {
  Batch<typename S::Scalar> batch = set.inputs_of(samples, scratch);
  batch.targets = set.targets_of(samples, steps, scratch);
  return batch;
}

}  // namespace TSDL_ABI
}  // namespace tsdl
