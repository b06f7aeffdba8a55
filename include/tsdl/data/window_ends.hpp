// The rows of a series that end a window, and the rows that windows cover.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/series.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

inline void check_window(Index length, Index stride) {
  const auto check = [](const char* what, Index value) {
    if (value < 1) throw ShapeError("windows: expected a ", what, " of 1 or more, found ", value);
    if (value > most_rows)
      throw ShapeError("windows: expected a ", what, " of at most ", most_rows, ", found ", value);
  };
  check("length", length);
  check("stride", stride);
}

/// The reason why no row of a series can end a window.
template <class Scalar>
[[noreturn]] void throw_no_window(const Series<Scalar>& series, std::span<const double> labels,
                                  Index length) {
  Index complete = 0;
  Index run = 0;
  Index longest = 0;
  Index first = -1;
  for (Index row = 0; row < series.rows; ++row) {
    run = series.is_complete(row) ? run + 1 : 0;
    if (run == 0) continue;
    if (first < 0) first = row;
    ++complete;
    longest = std::max(longest, run);
  }
  if (complete == 0)
    throw DataError("windows: no row of ", series.rows,
                    " has every feature (the first rows are needed to warm up)");
  if (longest < length)
    throw DataError("windows: of ", series.rows, " rows ", complete,
                    " have every feature, the first at row ", first, ", at most ", longest,
                    " in a run: too few for a window of ", length);
  const auto labelled =
      std::count_if(labels.begin(), labels.end(), [](double label) { return is_finite(label); });
  throw DataError("windows: of ", series.rows, " rows ", complete, " have every feature and ",
                  labelled, " a label, but no row with a label ends a complete window of ", length);
}

}  // namespace internal

/// The rows that end a window: those where all `length` rows are finite and the label is defined
/// (`labels` may be empty: no label is needed). Each run of consecutive such rows gives its first
/// row and every stride-th row after it; a run that starts less than `stride` after the last row
/// taken starts where that distance is reached.
/// Throws: ShapeError when length or stride is not 1 to a million or labels are not one per row;
/// DataError when there is no such row, with the reason.
template <class Scalar>
std::vector<Index> window_ends(const Series<Scalar>& series, std::span<const double> labels,
                               Index length, Index stride) {
  internal::check_window(length, stride);
  if (!labels.empty() && static_cast<Index>(labels.size()) != series.rows)
    throw ShapeError("windows: ", series.rows, " rows with ", labels.size(), " labels");
  if (series.rows < length)
    throw DataError("windows: ", series.rows, " rows are fewer than one window of ", length);
  std::vector<Index> ends;
  Index complete = 0;
  for (Index row = 0; row < series.rows; ++row) {
    complete = series.is_complete(row) ? complete + 1 : 0;
    const bool labelled = labels.empty() || is_finite(labels[static_cast<std::size_t>(row)]);
    const bool spaced = ends.empty() || row - ends.back() >= stride;
    if (complete >= length && labelled && spaced) ends.push_back(row);
  }
  if (ends.empty()) internal::throw_no_window(series, labels, length);
  return ends;
}

/// The rows that the windows ending at `ends` (ascending) cover, each once.
inline std::vector<RowRange> covered_rows(std::span<const Index> ends, Index length) {
  std::vector<RowRange> ranges;
  for (const Index end : ends) {
    const RowRange window{end - length + 1, end + 1};
    if (!ranges.empty() && window.first <= ranges.back().last)
      ranges.back().last = window.last;
    else
      ranges.push_back(window);
  }
  return ranges;
}

}  // namespace TSDL_ABI
}  // namespace tsdl
