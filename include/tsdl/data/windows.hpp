// Sliding windows over a series, as views: which rows end one, and batches of them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "tsdl/core/buffer.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/core/sequence.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/series.hpp"

namespace tsdl::inline TSDL_ABI {

namespace internal {

inline void check_window(Index length, Index stride) {
  if (length < 1) throw ShapeError("windows: expected a length of 1 or more, found ", length);
  if (stride < 1) throw ShapeError("windows: expected a stride of 1 or more, found ", stride);
}

/// Says why no row of a series can end a window.
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
/// (labels may be empty: none is needed). Of each run of consecutive such rows it takes the first
/// and every stride-th after it; a run that starts less than `stride` after the last one taken
/// starts where that distance is reached.
/// Throws: ShapeError when length or stride is below 1 or labels are not one per row; DataError
/// when there is no such row, saying why.
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

/// Windows of one length over a shared series: their last rows and labels, no copy of the data.
template <class Scalar>
class Windows {
 public:
  Windows() = default;

  /// Ends ascend, consecutive ones at least `stride` apart. One label per window, or none at all:
  /// then all are NaN.
  /// Throws: ShapeError when length or stride is below 1, the series is missing, ends are nearer
  /// than the stride or reach outside the series, or the number of labels is another.
  Windows(std::shared_ptr<const Series<Scalar>> series, Index length, Index stride,
          std::vector<Index> ends, std::vector<Scalar> labels)
      : series_(std::move(series)),
        length_(length),
        stride_(stride),
        ends_(std::move(ends)),
        labels_(std::move(labels)) {
    internal::check_window(length, stride);
    if (!series_) throw ShapeError("Windows: no series");
    if (labels_.empty()) labels_.assign(ends_.size(), internal::nan_of<Scalar>);
    if (labels_.size() != ends_.size())
      throw ShapeError("Windows: ", ends_.size(), " windows with ", labels_.size(), " labels");
    for (std::size_t i = 0; i < ends_.size(); ++i) {
      if (ends_[i] < length - 1 || ends_[i] >= series_->rows)
        throw ShapeError("Windows: a window of ", length, " cannot end at row ", ends_[i], " of ",
                         series_->rows);
      if (i > 0 && ends_[i] - ends_[i - 1] < stride)
        throw ShapeError("Windows: rows ", ends_[i - 1], " and ", ends_[i],
                         " are nearer than the stride of ", stride);
    }
  }

  Index size() const noexcept { return static_cast<Index>(ends_.size()); }
  bool empty() const noexcept { return ends_.empty(); }
  Index length() const noexcept { return length_; }
  Index stride() const noexcept { return stride_; }
  Index inputs() const noexcept { return series_ ? series_->features : 0; }
  const Series<Scalar>& series() const noexcept { return *series_; }

  /// The last row of window `i`. Throws: ShapeError when there is no window i.
  Index end_row(Index i) const { return ends_[checked(i)]; }
  /// The label of window `i`, NaN where it is not known. Throws: ShapeError.
  Scalar label(Index i) const { return labels_[checked(i)]; }
  const std::vector<Index>& ends() const noexcept { return ends_; }
  const std::vector<Scalar>& labels() const noexcept { return labels_; }

  /// Windows first, ..., first + count - 1 as a batch. Where their ends are exactly a stride apart
  /// it is a view of the series; otherwise they are gathered into `scratch`. It is valid as long as
  /// this object and, when gathered, until scratch changes.
  /// Shapes: T = length, B = count, I = inputs.
  /// Allocates/threads: only while scratch grows; concurrent calls with separate scratch are safe.
  /// Throws: ShapeError when count is below 1 or a window is outside the set.
  Sequence<const Scalar> batch(Index first, Index count, Buffer<Scalar>& scratch) const {
    if (first < 0 || count < 1 || count > size() - first)
      throw ShapeError("Windows: a batch of ", count, " from window ", first, " in a set of ",
                       size());
    const Index* ends = ends_.data() + first;
    if (count == 1) return Sequence<const Scalar>::dense(start(ends[0]), inputs(), length_, 1);
    // No two ends are nearer than the stride, so the total distance tells all of them.
    if (ends[count - 1] - ends[0] == (count - 1) * stride_)
      return {start(ends[0]), inputs(), length_, count, inputs(), inputs() * stride_};
    return gather_ends(count, scratch, [ends](Index b) { return ends[b]; });
  }

  /// The windows named by `samples`, in that order, copied into `scratch` as a dense batch.
  /// Allocates/threads, Throws: as batch.
  Sequence<const Scalar> gather(std::span<const Index> samples, Buffer<Scalar>& scratch) const {
    if (samples.empty()) throw ShapeError("Windows: a batch of no windows");
    for (const Index sample : samples) checked(sample);
    return gather_ends(static_cast<Index>(samples.size()), scratch, [&](Index b) {
      return ends_[static_cast<std::size_t>(samples[static_cast<std::size_t>(b)])];
    });
  }

 private:
  std::size_t checked(Index i) const {
    if (i < 0 || i >= size()) throw ShapeError("Windows: window ", i, " in a set of ", size());
    return static_cast<std::size_t>(i);
  }

  const Scalar* start(Index end) const noexcept { return series_->column(end - length_ + 1); }

  template <class EndOf>
  Sequence<const Scalar> gather_ends(Index count, Buffer<Scalar>& scratch,
                                     const EndOf& end_of) const {
    scratch.resize(length_ * count * inputs());
    const auto dense = Sequence<Scalar>::dense(scratch.data(), inputs(), length_, count);
    for (Index b = 0; b < count; ++b) {
      const Scalar* from = start(end_of(b));
      for (Index t = 0; t < length_; ++t)
        std::copy_n(from + t * inputs(), inputs(), dense.column(t, b));
    }
    return dense;
  }

  std::shared_ptr<const Series<Scalar>> series_;
  Index length_ = 1;
  Index stride_ = 1;
  std::vector<Index> ends_;
  std::vector<Scalar> labels_;
};

}  // namespace tsdl::inline TSDL_ABI
