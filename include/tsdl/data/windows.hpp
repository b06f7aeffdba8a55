// Sliding windows over a series, as views: the rows that end a window, and batches of windows.
#pragma once

#include <algorithm>
#include <concepts>
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

/// The targets of each row of a series: `count` numbers, NaN where they are not known. In double,
/// whatever type a network computes in.
struct Targets {
  Index count = 1;             ///< K
  std::vector<double> values;  ///< rows x K, the values of one row adjacent
  std::vector<double> last;    ///< the same, the values known at the row itself; may be empty

  std::span<const double> row(Index r) const noexcept {
    return {values.data() + r * count, static_cast<std::size_t>(count)};
  }
};

/// Windows of one length over a shared series: their last rows and targets, without a copy of the
/// data.
template <class Scalar>
class Windows {
 public:
  Windows() = default;

  /// Ends ascend, consecutive ones at least `stride` apart. One label per window, or no labels:
  /// then all are NaN. Throws: ShapeError when length or stride is below 1, the series is missing,
  /// ends are closer than the stride or outside the series, or there is not one label per window.
  Windows(std::shared_ptr<const Series<Scalar>> series, Index length, Index stride,
          std::vector<Index> ends, const std::vector<Scalar>& labels)
      : Windows(std::move(series), length, stride, std::move(ends),
                std::shared_ptr<const Targets>()) {
    if (labels.empty()) return;
    if (labels.size() != ends_.size())
      throw ShapeError("Windows: ", ends_.size(), " windows with ", labels.size(), " labels");
    Targets targets;
    targets.values.assign(static_cast<std::size_t>(series_->rows), internal::nan_of<double>);
    for (std::size_t i = 0; i < labels.size(); ++i)
      targets.values[static_cast<std::size_t>(ends_[i])] = static_cast<double>(labels[i]);
    targets_ = std::make_shared<const Targets>(std::move(targets));
  }

  /// The same with shared targets for every row of the series; null: no target is known. Throws:
  /// also ShapeError when there are not K values for each row.
  template <std::convertible_to<std::shared_ptr<const Targets>> Shared>  // {} means no labels
  Windows(std::shared_ptr<const Series<Scalar>> series, Index length, Index stride,
          std::vector<Index> ends, Shared targets)
      : series_(std::move(series)),
        targets_(std::move(targets)),
        length_(length),
        stride_(stride),
        ends_(std::move(ends)) {
    internal::check_window(length, stride);
    if (!series_) throw ShapeError("Windows: no series");
    if (targets_ &&
        (targets_->count < 1 || std::ssize(targets_->values) != series_->rows * targets_->count))
      throw ShapeError("Windows: ", series_->rows, " rows with ", targets_->values.size(),
                       " target values, ", targets_->count, " a row");
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
  /// Throws: ShapeError when there is none: of Windows{}, or of what was moved from.
  const Series<Scalar>& series() const {
    if (!series_) throw ShapeError("Windows: no series");
    return *series_;
  }

  /// The last row of window `i`. Throws: ShapeError when there is no window i.
  Index end_row(Index i) const { return ends_[checked(i)]; }
  const std::vector<Index>& ends() const noexcept { return ends_; }

  /// The number of values of a target: K; 1 where none are known.
  Index target_count() const noexcept { return targets_ ? targets_->count : 1; }
  /// The target of window `i`, that is, of its last row: K values; empty where none are known.
  /// Throws: ShapeError when there is no window i.
  std::span<const double> target(Index i) const {
    const Index end = ends_[checked(i)];
    return targets_ ? targets_->row(end) : std::span<const double>();
  }
  /// The first value of that target, NaN where it is not known. Throws: ShapeError.
  double label(Index i) const {
    const std::span<const double> values = target(i);
    return values.empty() ? internal::nan_of<double> : values.front();
  }
  /// The targets of all windows, n x K; NaN where they are not known.
  std::vector<double> targets() const { return of_ends(targets_ ? &targets_->values : nullptr); }
  /// The values of the targets known at the windows' last rows: n x K, or none.
  std::vector<double> last_known() const {
    if (!targets_ || targets_->last.empty()) return {};
    return of_ends(&targets_->last);
  }

  /// Windows first, ..., first + count - 1 as a batch. Where their ends are exactly a stride apart
  /// it is a view of the series; otherwise they are gathered into `scratch`. Valid as long as this
  /// object and, when gathered, until scratch changes.
  /// Shapes: T = length, B = count, I = inputs.
  /// Allocates/threads: only while scratch grows; concurrent calls with separate scratch are safe.
  /// Throws: ShapeError when count is below 1 or a window is outside the set.
  Sequence<const Scalar> batch(Index first, Index count, Buffer<Scalar>& scratch) const {
    check_batch(first, count);
    return view_or_gather({series_->values.data(), inputs()}, first, count, length_, scratch);
  }

  /// The targets of the same windows, for the last `steps` rows of each: a view or gathered, as
  /// batch. Shapes: T = steps, B = count, I = K.
  /// Throws: as batch; ShapeError when no targets are known, or a window has fewer steps.
  Sequence<const double> batch_targets(Index first, Index count, Index steps,
                                       Buffer<double>& scratch) const {
    check_batch(first, count);
    check_steps(steps);
    return view_or_gather(target_rows(), first, count, steps, scratch);
  }

  /// The windows named by `samples`, in that order, copied into `scratch` as a dense batch.
  /// Allocates/threads, Throws: as batch.
  Sequence<const Scalar> gather(std::span<const Index> samples, Buffer<Scalar>& scratch) const {
    return gather_samples(Rows<Scalar>{series().values.data(), inputs()}, samples, length_,
                          scratch);
  }
  Sequence<const double> gather_targets(std::span<const Index> samples, Index steps,
                                        Buffer<double>& scratch) const {
    check_steps(steps);
    return gather_samples(target_rows(), samples, steps, scratch);
  }

 private:
  std::size_t checked(Index i) const {
    if (i < 0 || i >= size()) throw ShapeError("Windows: window ", i, " in a set of ", size());
    return static_cast<std::size_t>(i);
  }

  void check_batch(Index first, Index count) const {
    if (first < 0 || count < 1 || count > size() - first)
      throw ShapeError("Windows: a batch of ", count, " from window ", first, " in a set of ",
                       size());
  }
  void check_steps(Index steps) const {
    if (!targets_) throw ShapeError("Windows: no targets are known");
    if (steps < 1 || steps > length_)
      throw ShapeError("Windows: targets of ", steps, " steps of windows of ", length_);
  }

  std::vector<double> of_ends(const std::vector<double>* rows) const {
    const Index K = target_count();
    std::vector<double> all;
    all.reserve(static_cast<std::size_t>(size() * K));
    for (const Index end : ends_)
      for (Index k = 0; k < K; ++k)
        all.push_back(rows ? (*rows)[static_cast<std::size_t>(end * K + k)]
                           : internal::nan_of<double>);
    return all;
  }

  /// A matrix whose rows, one per time, are `width` adjacent values.
  template <class Value>
  struct Rows {
    const Value* data;
    Index width;
    const Value* first(Index end, Index steps) const noexcept {
      return data + (end - steps + 1) * width;
    }
  };
  Rows<double> target_rows() const noexcept { return {targets_->values.data(), targets_->count}; }

  /// The last `steps` rows of each of these windows.
  template <class Value>
  Sequence<const Value> view_or_gather(Rows<Value> rows, Index first, Index count, Index steps,
                                       Buffer<Value>& scratch) const {
    const Index* ends = ends_.data() + first;
    const Value* start = rows.first(ends[0], steps);
    if (count == 1) return Sequence<const Value>::dense(start, rows.width, steps, 1);
    // No two ends are closer than the stride, so the total distance decides for all of them.
    if (ends[count - 1] - ends[0] == (count - 1) * stride_)
      return {start, rows.width, steps, count, rows.width, rows.width * stride_};
    return gather_ends(rows, count, steps, scratch, [ends](Index b) { return ends[b]; });
  }

  template <class Value>
  Sequence<const Value> gather_samples(Rows<Value> rows, std::span<const Index> samples,
                                       Index steps, Buffer<Value>& scratch) const {
    if (samples.empty()) throw ShapeError("Windows: a batch of no windows");
    for (const Index sample : samples) checked(sample);
    return gather_ends(rows, static_cast<Index>(samples.size()), steps, scratch, [&](Index b) {
      return ends_[static_cast<std::size_t>(samples[static_cast<std::size_t>(b)])];
    });
  }

  template <class Value, class EndOf>
  Sequence<const Value> gather_ends(Rows<Value> rows, Index count, Index steps,
                                    Buffer<Value>& scratch, const EndOf& end_of) const {
    scratch.resize(steps * count * rows.width);
    const auto dense = Sequence<Value>::dense(scratch.data(), rows.width, steps, count);
    for (Index b = 0; b < count; ++b) {
      const Value* from = rows.first(end_of(b), steps);
      for (Index t = 0; t < steps; ++t)
        std::copy_n(from + t * rows.width, rows.width, dense.column(t, b));
    }
    return dense;
  }

  std::shared_ptr<const Series<Scalar>> series_;
  std::shared_ptr<const Targets> targets_;
  Index length_ = 1;
  Index stride_ = 1;
  std::vector<Index> ends_;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
