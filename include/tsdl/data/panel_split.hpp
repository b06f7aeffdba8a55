// The parts of a panel: training, validation, calibration and test, one after the other in time.
//
// A part has the windows whose H forecast rows all lie in it; the T rows that they read may lie in
// the part before, as a forecaster knows them by then. So a part's forecasts begin after every row
// that an earlier part is judged by, in every series.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/data/panel.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// How a panel is cut.
struct PanelSplit {
  enum class By {
    time,  ///< at times that all series share: the parts are shares of all rows
    tail,  ///< the last rows of each series: the parts are numbers of rows
    rows   ///< the first `train` rows of each series, and so on; rows after the test are not used
  };
  By by = By::time;
  double validation = 0.1, calibration = 0.0, test = 0.2;
  Index train = 0;  ///< of `rows`
};

/// The rows first, ..., last - 1 of a series in each part.
struct PanelParts {
  RowRange train, validation, calibration, test;
};

namespace internal {

/// The earliest time before which at least this share of all rows lies.
template <class = void>
std::int64_t time_of_share(const Panel& panel, double share) {
  const auto wanted = static_cast<Index>(std::llround(share * static_cast<double>(panel.rows())));
  std::int64_t first = panel.series.front().times.at(0), last = first;
  for (const PanelSeries& one : panel.series) {
    first = std::min(first, one.times.at(0));
    last = std::max(last, one.times.at(one.times.rows() - 1));
  }
  ++last;
  while (first < last) {
    const std::int64_t middle = first + (last - first) / 2;
    Index before = 0;
    for (const PanelSeries& one : panel.series) before += one.times.rows_before(middle);
    if (before < wanted)
      first = middle + 1;
    else
      last = middle;
  }
  return first;
}

inline Index whole_rows(double rows, const char* part) {
  if (!(is_finite(rows) && rows >= 0 && rows == std::floor(rows) && rows <= 1e9))
    throw DataError("panel split: expected a whole number of rows for ", part, ", found ", rows);
  return static_cast<Index>(rows);
}

}  // namespace internal

/// The parts of every series. Throws: DataError when shares are negative or leave nothing to train
/// on, rows are not whole, or the panel has no times to split by.
template <class = void>
std::vector<PanelParts> split_panel(const Panel& panel, const PanelSplit& split) {
  const FloatModeGuard guard;
  const bool by_time = split.by == PanelSplit::By::time;
  std::int64_t at[3] = {};
  Index rows[3] = {};
  const double sizes[3] = {split.validation, split.calibration, split.test};
  const char* names[3] = {"validation", "calibration", "test"};
  if (by_time) {
    if (!panel.has_times())
      throw DataError("panel split: the series have no times: split by tail or by rows");
    for (const double share : sizes)
      if (!(is_finite(share) && share >= 0 && share < 1))
        throw DataError("panel split: expected shares from 0 to below 1, found ", share);
    double left = 1 - split.validation - split.calibration - split.test;
    if (!(left > 0)) throw DataError("panel split: nothing is left for training");
    for (int i = 0; i < 3; ++i) {
      at[i] = internal::time_of_share(panel, left);
      left += sizes[i];
    }
  } else {
    for (int i = 0; i < 3; ++i) rows[i] = internal::whole_rows(sizes[i], names[i]);
    if (split.by == PanelSplit::By::rows && split.train < 1)
      throw DataError("panel split: expected 1 or more rows for training, found ", split.train);
  }
  std::vector<PanelParts> parts;
  for (const PanelSeries& one : panel.series) {
    const Index n = one.values.rows;
    Index begin[4];
    for (int i = 0; i < 3; ++i) {
      Index before =
          split.by == PanelSplit::By::tail ? n - rows[0] - rows[1] - rows[2] : split.train;
      for (int part = 0; part < i; ++part) before += rows[part];
      begin[i] = std::clamp(by_time ? one.times.rows_before(at[i]) : before, Index{0}, n);
    }
    begin[3] = split.by == PanelSplit::By::rows ? std::min(n, begin[2] + rows[2]) : n;
    parts.push_back(
        {{0, begin[0]}, {begin[0], begin[1]}, {begin[1], begin[2]}, {begin[2], begin[3]}});
  }
  return parts;
}

}  // namespace TSDL_ABI
}  // namespace tsdl
