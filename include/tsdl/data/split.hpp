// Training, validation and test parts by time, which read no row in common.
//
// A window that ends at row r reads rows r-T+1 to r and, for its label, rows up to label_end(r).
// With v0 the first end row of the next part, whose windows read from row v0-T+1 on, the earlier
// part keeps r if and only if label_end(r) < v0-T+1. Where every label looks h rows ahead,
// label_end(r) = r+h, this drops T+h-1 end rows at each of the two boundaries. Labels of varying
// length (a touched barrier) drop fewer, and the rows kept near a boundary have holes.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/series.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The rows that a sample reads. In a panel, rows stand for times that all series share.
struct SampleSpan {
  Index first = 0;  ///< the first row of its window
  Index row = 0;    ///< the last row of its window: where it is judged
  Index last = 0;   ///< the last row that its label reads
};

/// The shares of the samples for validation and test; the rest, the earliest, is for training.
struct SplitFractions {
  double validation = 0.15;
  double test = 0.15;  ///< may be 0
};

/// The end rows of each part's windows, ascending, and how many were dropped between the parts.
struct Split {
  std::vector<Index> train;
  std::vector<Index> validation;
  std::vector<Index> test;
  Index dropped = 0;
};

namespace internal {

inline void check(const SplitFractions& fractions) {
  const double validation = fractions.validation;
  const double test = fractions.test;
  if (!is_finite(validation) || !is_finite(test) || validation <= 0 || test < 0 ||
      validation + test >= 1)
    throw DataError("split: expected fractions with validation > 0, test >= 0 and a sum below 1, ",
                    "found validation ", validation, ", test ", test);
}

/// Window ends of one part, and the last row that the label of each reads.
struct LabelledEnds {
  std::span<const Index> ends, label_ends;

  LabelledEnds part(std::size_t first, std::size_t count) const {
    return {ends.subspan(first, count), label_ends.subspan(first, count)};
  }
};

/// The ends of `part` whose windows read nothing that windows from `next_end` on read.
inline std::vector<Index> purged(const LabelledEnds& part, Index next_end, Index length) {
  std::vector<Index> kept;
  for (std::size_t i = 0; i < part.ends.size(); ++i)
    if (part.label_ends[i] < next_end - length + 1) kept.push_back(part.ends[i]);
  return kept;
}

/// The farthest that a label looks ahead of its row. Throws: ShapeError when there is not one end
/// per sample, or a label ends before its row.
inline Index farthest(const LabelledEnds& samples) {
  if (samples.label_ends.size() != samples.ends.size())
    throw ShapeError("split: expected a label end for each of ", samples.ends.size(),
                     " samples, found ", samples.label_ends.size());
  Index most = 0;
  for (std::size_t i = 0; i < samples.ends.size(); ++i) {
    const Index ahead = samples.label_ends[i] - samples.ends[i];
    if (ahead < 0)
      throw ShapeError("split: the label of row ", samples.ends[i], " ends before it, at row ",
                       samples.label_ends[i]);
    most = std::max(most, ahead);
  }
  return most;
}

}  // namespace internal

/// Splits windows by time. The fractions apply to the samples (validation and test take theirs,
/// rounded to the nearest number, from the end). Then the samples near the boundaries are purged,
/// so that no part reads, through inputs or labels, a row that a later part's inputs read. `ends`
/// ascends, as from window_ends; label_ends has the last row that each label reads, as in Labels;
/// length is the windows' length.
/// Throws: DataError when a fraction is out of range or a part is empty (the test part may be, with
/// fraction 0); ShapeError when length is below 1, there is not one label end per sample, or a
/// label ends before its row.
inline Split chronological_split(std::span<const Index> ends, std::span<const Index> label_ends,
                                 Index length, SplitFractions fractions = {}) {
  const FloatModeGuard guard;
  internal::check(fractions);
  if (length < 1) throw ShapeError("split: expected a length of 1 or more, found ", length);
  const internal::LabelledEnds all{ends, label_ends};
  const Index horizon = internal::farthest(all);
  const double samples = static_cast<double>(ends.size());
  const auto validation = static_cast<std::size_t>(std::llround(samples * fractions.validation));
  const auto test = static_cast<std::size_t>(std::llround(samples * fractions.test));
  const std::size_t train = ends.size() - std::min(ends.size(), validation + test);
  const auto require_parts = [&](std::string_view when, std::size_t a, std::size_t b,
                                 std::size_t c) {
    if (a == 0 || b == 0 || (c == 0 && fractions.test > 0))
      throw DataError("split: a part is left empty ", when, ": ", ends.size(), " samples make ", a,
                      " for training, ", b, " for validation, ", c, " for test (window ", length,
                      ", horizon ", horizon, ')');
  };
  require_parts("by the fractions", train, validation, test);

  Split split;
  const auto part = all.part(train, validation);
  split.train = internal::purged(all.part(0, train), part.ends.front(), length);
  split.test.assign(ends.begin() + static_cast<std::ptrdiff_t>(train + validation), ends.end());
  if (split.test.empty())
    split.validation.assign(part.ends.begin(), part.ends.end());
  else
    split.validation = internal::purged(part, split.test.front(), length);
  const std::size_t kept = split.train.size() + split.validation.size() + split.test.size();
  split.dropped = static_cast<Index>(ends.size() - kept);
  require_parts("once windows that overlap the next part are dropped", split.train.size(),
                split.validation.size(), split.test.size());
  return split;
}

/// The same where the label of every row looks `horizon` rows ahead.
/// Throws: as above; ShapeError when horizon is below 0.
inline Split chronological_split(std::span<const Index> ends, Index length, Index horizon,
                                 SplitFractions fractions = {}) {
  if (horizon < 0) throw ShapeError("split: expected a horizon of 0 or more, found ", horizon);
  std::vector<Index> label_ends;
  label_ends.reserve(ends.size());
  const Index last = std::numeric_limits<Index>::max();
  for (const Index end : ends) label_ends.push_back(end > last - horizon ? last : end + horizon);
  return chronological_split(ends, label_ends, length, fractions);
}

}  // namespace TSDL_ABI
}  // namespace tsdl
