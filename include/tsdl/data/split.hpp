// Training, validation and test by time, without a row in common between what they read.
//
// A window that ends at row r reads rows r-T+1 to r and, for its label, rows up to r+h. With v0 the
// first end row of the next part, whose windows read from row v0-T+1 on, the earlier part keeps r
// if and only if r+h < v0-T+1: at each of the two boundaries T+h-1 end rows are dropped.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/series.hpp"

namespace tsdl::inline TSDL_ABI {

/// Which part of the samples validates and tests; the rest, the earliest, trains.
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

/// Removes from the end of `part` what would read a row that windows from `next_end` on read.
/// Returns how many were removed.
inline Index purge(std::vector<Index>& part, Index next_end, Index length, Index horizon) {
  const bool none = length > next_end || horizon > next_end;  // also keeps the sums below in range
  const auto kept = std::find_if(part.begin(), part.end(), [&](Index end) {
    return none || end + horizon >= next_end - length + 1;
  });
  const Index removed = static_cast<Index>(part.end() - kept);
  part.erase(kept, part.end());
  return removed;
}

}  // namespace internal

/// Splits windows by time. The fractions apply to the samples (validation and test take theirs,
/// rounded to the nearest number, from the end); then the rows between the parts are purged so that
/// no part reads, through inputs or labels, a row that a later part's inputs read.
/// `ends` ascends, as from window_ends; length and horizon are those of the windows and the label.
/// Throws: DataError when a fraction is out of range or a part is left empty (a test part of
/// fraction 0 may be); ShapeError when length is below 1 or horizon below 0.
inline Split chronological_split(std::span<const Index> ends, Index length, Index horizon,
                                 SplitFractions fractions = {}) {
  internal::check(fractions);
  if (length < 1) throw ShapeError("split: expected a length of 1 or more, found ", length);
  if (horizon < 0) throw ShapeError("split: expected a horizon of 0 or more, found ", horizon);
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
  split.train.assign(ends.begin(), ends.begin() + static_cast<std::ptrdiff_t>(train));
  split.validation.assign(split.train.size() + ends.data(), ends.data() + train + validation);
  split.test.assign(ends.data() + train + validation, ends.data() + ends.size());
  split.dropped = internal::purge(split.train, split.validation.front(), length, horizon);
  if (!split.test.empty())
    split.dropped += internal::purge(split.validation, split.test.front(), length, horizon);
  require_parts("once windows that overlap the next part are dropped", split.train.size(),
                split.validation.size(), split.test.size());
  return split;
}

}  // namespace tsdl::inline TSDL_ABI
