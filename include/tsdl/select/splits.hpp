// Folds for cross-validation in which no training sample reads what a test sample reads.
//
// A sample reads rows first ... last: its window and then its label (SampleSpan). A training sample
// is purged when these rows meet those of a test sample, before and behind the test block, or the
// embargo, which is the `embargo` rows after the last row that the block reads. With F the smallest
// `first` of a block and E the largest `last`, a training sample
//
//   before the block is kept if and only if  last < F
//   behind the block is kept if and only if  first > E + embargo
//
// What purging cannot take away: features with memory (an EMA, OBV) of rows behind a test block
// remember the block, more weakly with every row. Samples behind it are trained on in purged K-fold
// and combinatorial folds, and never in a walk-forward.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/series.hpp"
#include "tsdl/data/split.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// K groups of consecutive samples; each is tested once, by what the others trained.
struct PurgedKFold {
  Index folds = 5;
};

/// N groups of consecutive samples; each choice of k of them is tested by what the others trained.
/// That makes C(N, k) folds, in which every group is tested C(N-1, k-1) times: so many paths cross
/// all samples.
/// Source: Lopez de Prado, Advances in Financial Machine Learning, 2018, ch. 12.
struct CombinatorialPurged {
  Index groups = 6;
  Index test_groups = 2;
};

/// Trains on `train` samples, tests on the `test` samples that follow, then moves on by `test`. An
/// incomplete last test is left out. Nothing is trained on what lies behind its test.
struct WalkForward {
  Index train = 0;
  Index test = 0;
  bool expanding = false;  ///< train on all samples before the test, from the first on
};

using FoldScheme = std::variant<PurgedKFold, CombinatorialPurged, WalkForward>;

/// One fold: positions in the samples, ascending.
struct Fold {
  std::vector<Index> train;  ///< without those that were purged
  std::vector<Index> test;
  std::vector<Index> groups;  ///< which groups are tested, ascending
  Index purged = 0;           ///< training samples that were left out
};

/// The folds of a scheme, and how their tests make paths through all samples.
struct Folds {
  std::vector<Fold> folds;
  /// The fold that tests group g on path p. Every path tests each group once.
  /// Shapes: groups x paths.
  std::vector<std::vector<Index>> tested_in;

  Index groups() const noexcept { return std::ssize(tested_in); }
  Index paths() const noexcept { return tested_in.empty() ? 0 : std::ssize(tested_in.front()); }
};

namespace internal {

/// Samples begin, ..., end - 1.
using SampleRange = RowRange;

/// Throws: ShapeError when spans do not ascend or a span is reversed.
inline void check_spans(std::span<const SampleSpan> samples) {
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const SampleSpan& s = samples[i];
    if (s.first > s.row || s.row > s.last || (i > 0 && s.row < samples[i - 1].row))
      throw ShapeError("make_folds: sample ", i, " reads rows ", s.first, " to ", s.last,
                       " and ends at row ", s.row,
                       ": expected first <= row <= last, and rows that ascend");
  }
}

/// The first sample, at `at` or after it, that ends at a later row than the one before: series of a
/// panel share rows, and no border may go through one.
inline Index next_border(std::span<const SampleSpan> samples, Index at) noexcept {
  const Index n = std::ssize(samples);
  while (at > 0 && at < n &&
         samples[static_cast<std::size_t>(at)].row == samples[static_cast<std::size_t>(at - 1)].row)
    ++at;
  return at;
}

/// Cuts the samples into groups of equal numbers; the first n % count have one more.
inline std::vector<SampleRange> equal_groups(std::span<const SampleSpan> samples, Index count) {
  const Index n = std::ssize(samples);
  std::vector<SampleRange> groups;
  Index first = 0;
  for (Index g = 1; g <= count; ++g) {
    const Index last = next_border(samples, g * (n / count) + std::min(g, n % count));
    groups.push_back({first, std::max(first, last)});
    first = groups.back().last;
  }
  return groups;
}

/// What the samples of a block read: rows first ... last.
struct BlockSpan {
  SampleRange block;
  Index first, last;
};

inline BlockSpan block_span(std::span<const SampleSpan> samples, SampleRange block) noexcept {
  BlockSpan span{block, std::numeric_limits<Index>::max(), std::numeric_limits<Index>::min()};
  for (Index i = block.first; i < block.last; ++i) {
    span.first = std::min(span.first, samples[static_cast<std::size_t>(i)].first);
    span.last = std::max(span.last, samples[static_cast<std::size_t>(i)].last);
  }
  return span;
}

/// The samples of `from` that no block makes impossible to train on.
inline std::vector<Index> without_blocks(std::span<const SampleSpan> samples, SampleRange from,
                                         const std::vector<BlockSpan>& blocks, Index embargo,
                                         Index& purged) {
  std::vector<Index> kept;
  for (Index i = from.first; i < from.last; ++i) {
    const SampleSpan& s = samples[static_cast<std::size_t>(i)];
    bool tested = false, apart = true;
    for (const BlockSpan& b : blocks) {
      tested = tested || (i >= b.block.first && i < b.block.last);
      apart = apart && (i < b.block.first ? s.last < b.first : s.first - b.last > embargo);
    }
    if (tested) continue;
    apart ? kept.push_back(i) : void(++purged);
  }
  return kept;
}

inline std::vector<BlockSpan> block_spans(std::span<const SampleSpan> samples,
                                          const std::vector<SampleRange>& groups,
                                          const std::vector<Index>& chosen) {
  std::vector<BlockSpan> blocks;
  for (const Index g : chosen)
    blocks.push_back(block_span(samples, groups[static_cast<std::size_t>(g)]));
  return blocks;
}

/// Adds the fold that tests the blocks, trained on what is left of `from`.
/// Throws: DataError when a part is empty.
inline void add_fold(Folds& folds, std::span<const SampleSpan> samples,
                     const std::vector<BlockSpan>& blocks, std::vector<Index> groups,
                     SampleRange from, Index embargo) {
  Fold fold;
  fold.groups = std::move(groups);
  for (const BlockSpan& b : blocks)
    for (Index i = b.block.first; i < b.block.last; ++i) fold.test.push_back(i);
  fold.train = without_blocks(samples, from, blocks, embargo, fold.purged);
  if (fold.test.empty() || fold.train.empty())
    throw DataError("make_folds: fold ", folds.folds.size() + 1, " is left with ",
                    fold.train.size(), " training and ", fold.test.size(), " test samples of ",
                    samples.size(), "; ", fold.purged,
                    " were purged, as they read what its test reads: ",
                    "expected fewer folds, shorter windows or labels, or more data");
  const Index number = std::ssize(folds.folds);
  for (const Index g : fold.groups) folds.tested_in[static_cast<std::size_t>(g)].push_back(number);
  folds.folds.push_back(std::move(fold));
}

/// Moves on to the next choice of k numbers below n, in lexicographic order; false after the last.
inline bool next_choice(std::vector<Index>& chosen, Index n) noexcept {
  const Index k = std::ssize(chosen);
  for (Index i = k; i-- > 0;) {
    Index& last = chosen[static_cast<std::size_t>(i)];
    if (last >= n - k + i) continue;
    std::iota(chosen.begin() + i, chosen.end(), last + 1);
    return true;
  }
  return false;
}

inline double choices(Index n, Index k) noexcept {
  double count = 1;
  for (Index i = 1; i <= k; ++i)
    count = std::round(count * static_cast<double>(n - k + i) / static_cast<double>(i));
  return count;
}

inline void check(const PurgedKFold& scheme) {
  if (scheme.folds < 2)
    throw OptionError("PurgedKFold: expected 2 folds or more, got ", scheme.folds);
}
inline void check(const CombinatorialPurged& scheme) {
  constexpr double most = 10'000;
  if (scheme.groups < 2 || scheme.test_groups < 1 || scheme.test_groups >= scheme.groups)
    throw OptionError("CombinatorialPurged: expected 1 or more test groups, and more groups than ",
                      "these, got ", scheme.test_groups, " of ", scheme.groups);
  if (choices(scheme.groups, scheme.test_groups) > most)
    throw OptionError("CombinatorialPurged: ", scheme.test_groups, " of ", scheme.groups,
                      " groups make more than ", most, " folds");
}
inline void check(const WalkForward& scheme) {
  if (scheme.train < 1 || scheme.test < 1)
    throw OptionError("WalkForward: expected 1 or more samples to train on and to test, got ",
                      scheme.train, " and ", scheme.test);
}

/// Every choice of k groups, each tested in turn.
inline Folds combinatorial(std::span<const SampleSpan> samples, Index count, Index k,
                           Index embargo) {
  const Index n = std::ssize(samples);
  if (n < count) throw DataError("make_folds: ", n, " samples are too few for ", count, " groups");
  const std::vector<SampleRange> groups = equal_groups(samples, count);
  Folds folds;
  folds.tested_in.resize(static_cast<std::size_t>(count));
  std::vector<Index> chosen(static_cast<std::size_t>(k));
  std::iota(chosen.begin(), chosen.end(), Index{0});
  do add_fold(folds, samples, block_spans(samples, groups, chosen), chosen, {0, n}, embargo);
  while (next_choice(chosen, count));
  return folds;
}

inline Folds folds_of(const PurgedKFold& scheme, std::span<const SampleSpan> samples,
                      Index embargo) {
  return combinatorial(samples, scheme.folds, 1, embargo);
}
inline Folds folds_of(const CombinatorialPurged& scheme, std::span<const SampleSpan> samples,
                      Index embargo) {
  return combinatorial(samples, scheme.groups, scheme.test_groups, embargo);
}
inline Folds folds_of(const WalkForward& scheme, std::span<const SampleSpan> samples,
                      Index embargo) {
  const Index n = std::ssize(samples);
  if (scheme.train >= n || scheme.test > n - scheme.train)
    throw DataError("make_folds: ", n, " samples are too few for a walk-forward that trains on ",
                    scheme.train, " and tests ", scheme.test);
  Folds folds;
  for (Index test = scheme.train; test <= n - scheme.test; test += scheme.test) {
    const SampleRange block{next_border(samples, test), next_border(samples, test + scheme.test)};
    const SampleRange from{scheme.expanding ? 0 : next_border(samples, test - scheme.train),
                           block.first};
    folds.tested_in.emplace_back();
    add_fold(folds, samples, {block_span(samples, block)}, {std::ssize(folds.folds)}, from,
             embargo);
  }
  return folds;
}

}  // namespace internal

/// Makes the folds of a scheme. `samples` ascend by row; samples of several series may share one,
/// and no border of a group then goes through it. A walk-forward needs no embargo: nothing behind a
/// test is trained on.
/// Throws: OptionError when the scheme or the embargo is out of range; ShapeError when the samples
/// do not ascend; DataError when there are too few, or purging leaves a fold nothing to train on.
/// Source: Lopez de Prado, Advances in Financial Machine Learning, 2018, ch. 7 and 12.
inline Folds make_folds(const FoldScheme& scheme, std::span<const SampleSpan> samples,
                        Index embargo = 0) {
  if (embargo < 0 || embargo > internal::most_rows)
    throw OptionError("make_folds: expected an embargo of 0 to ", internal::most_rows,
                      " rows, got ", embargo);
  internal::check_spans(samples);
  return std::visit(
      [&](const auto& one) {
        internal::check(one);
        return internal::folds_of(one, samples, embargo);
      },
      scheme);
}

/// A fold as the windows of a training run: the last `validation` of its training samples, in time,
/// are kept for early stopping and whatever else is chosen while training. The samples before these
/// are purged of what they read. Rows, as prepare takes them.
/// Throws: OptionError when the share is not above 0 and below 1; DataError when a part is left
/// empty.
inline Split split_of(const Fold& fold, std::span<const SampleSpan> samples, double validation) {
  if (!(is_finite(validation) && validation > 0 && validation < 1))
    throw OptionError("split_of: expected a share for validation above 0 and below 1, got ",
                      validation);
  const auto span_of = [&](Index i) -> const SampleSpan& {
    return samples[static_cast<std::size_t>(i)];
  };
  const Index n = std::ssize(fold.train);
  const auto kept = static_cast<Index>(std::llround(static_cast<double>(n) * validation));
  Index border = n - std::clamp<Index>(kept, std::min<Index>(n, 1), n);
  while (border > 0 && border < n &&
         span_of(fold.train[static_cast<std::size_t>(border)]).row ==
             span_of(fold.train[static_cast<std::size_t>(border - 1)]).row)
    ++border;
  Split split;
  Index earliest = std::numeric_limits<Index>::max();
  for (Index i = border; i < n; ++i) {
    const SampleSpan& s = span_of(fold.train[static_cast<std::size_t>(i)]);
    earliest = std::min(earliest, s.first);
    split.validation.push_back(s.row);
  }
  for (Index i = 0; i < border; ++i)
    if (const SampleSpan& s = span_of(fold.train[static_cast<std::size_t>(i)]); s.last < earliest)
      split.train.push_back(s.row);
  for (const Index i : fold.test) split.test.push_back(span_of(i).row);
  if (split.train.empty() || split.validation.empty())
    throw DataError("split_of: of ", n, " training samples a validation share of ", validation,
                    " leaves ", split.train.size(), " to train on and ", split.validation.size(),
                    " to validate on: windows and labels that overlap are left out");
  split.dropped = fold.purged + border - std::ssize(split.train);
  return split;
}

}  // namespace TSDL_ABI
}  // namespace tsdl
