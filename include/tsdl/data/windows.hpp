// Sliding windows over a series, as views.
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
#include "tsdl/data/samples.hpp"
#include "tsdl/data/series.hpp"
#include "tsdl/data/window_ends.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

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
template <class ScalarType>
class Windows {
 public:
  using Scalar = ScalarType;
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

  /// Windows of their own lengths: window i is the lengths[i] rows that end at ends[i]. A batch of
  /// them begins at each window's first row, and is padded with zeros to the longest of the batch.
  /// Throws: also ShapeError when there is not one length for each window, from 1 to all rows up to
  /// its end.
  static Windows of_lengths(std::shared_ptr<const Series<Scalar>> series, std::vector<Index> ends,
                            std::vector<Index> lengths, std::shared_ptr<const Targets> targets) {
    Windows windows(std::move(series), 1, 1, std::move(ends), std::move(targets));
    if (lengths.size() != windows.ends_.size())
      throw ShapeError("Windows: ", windows.ends_.size(), " windows with ", lengths.size(),
                       " lengths");
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      if (lengths[i] < 1 || lengths[i] > windows.ends_[i] + 1)
        throw ShapeError("Windows: a window of ", lengths[i], " cannot end at row ",
                         windows.ends_[i]);
      windows.length_ = std::max(windows.length_, lengths[i]);
    }
    windows.lengths_ = std::move(lengths);
    return windows;
  }

  Index size() const noexcept { return static_cast<Index>(ends_.size()); }
  bool empty() const noexcept { return ends_.empty(); }
  Index length() const noexcept { return length_; }  ///< the longest, if they have their own
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

  /// As a SampleSet. Throws: as batch and batch_targets.
  Batch<Scalar> inputs_of(const Samples& samples, BatchScratch<Scalar>& scratch) const {
    if (!samples.chosen.empty()) {
      Batch<Scalar> chosen(gather(samples.chosen, scratch.past));
      chosen.lengths = gather_lengths(samples.chosen, scratch.lengths);
      return chosen;
    }
    Batch<Scalar> successive(batch(samples.first, samples.count, scratch.past));
    successive.lengths = lengths(samples.first, samples.count);
    return successive;
  }
  Sequence<const double> targets_of(const Samples& samples, Index steps,
                                    BatchScratch<Scalar>& scratch) const {
    return samples.chosen.empty()
               ? batch_targets(samples.first, samples.count, steps, scratch.targets)
               : gather_targets(samples.chosen, steps, scratch.targets);
  }
  /// The lengths of windows first, ..., first + count - 1, and of those named by `samples`: a view,
  /// or gathered into `scratch`. Empty when all windows have one length. Throws: as batch.
  std::span<const Index> lengths(Index first, Index count) const {
    check_batch(first, count);
    if (lengths_.empty()) return {};
    return std::span(lengths_).subspan(static_cast<std::size_t>(first),
                                       static_cast<std::size_t>(count));
  }
  std::span<const Index> gather_lengths(std::span<const Index> samples,
                                        Buffer<Index>& scratch) const {
    if (lengths_.empty()) return {};
    scratch.resize(std::ssize(samples));
    for (std::size_t b = 0; b < samples.size(); ++b)
      scratch[static_cast<Index>(b)] = lengths_[checked(samples[b])];
    return std::as_const(scratch).span();
  }

  /// Windows first, ..., first + count - 1 as a batch. Where their ends are exactly a stride apart
  /// it is a view of the series; otherwise they are gathered into `scratch`. Valid as long as this
  /// object and, when gathered, until scratch changes.
  /// Shapes: T = length, or the longest of the batch; B = count; I = inputs.
  /// Allocates/threads: only while scratch grows; concurrent calls with separate scratch are safe.
  /// Throws: ShapeError when count is below 1 or a window is outside the set.
  Sequence<const Scalar> batch(Index first, Index count, Buffer<Scalar>& scratch) const {
    check_batch(first, count);
    if (!lengths_.empty())
      return gather_padded(count, scratch, [first](Index b) { return first + b; });
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
    if (!lengths_.empty()) {
      if (samples.empty()) throw ShapeError("Windows: a batch of no windows");
      for (const Index sample : samples) checked(sample);
      return gather_padded(std::ssize(samples), scratch,
                           [&](Index b) { return samples[static_cast<std::size_t>(b)]; });
    }
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

  /// Windows of their own lengths, from their first rows on, with zeros after their last.
  template <class WindowOf>
  Sequence<const Scalar> gather_padded(Index count, Buffer<Scalar>& scratch,
                                       const WindowOf& window_of) const {
    const auto at = [&](Index b) { return static_cast<std::size_t>(window_of(b)); };
    const Rows<Scalar> rows{series().values.data(), inputs()};
    Index T = 1;
    for (Index b = 0; b < count; ++b) T = std::max(T, lengths_[at(b)]);
    scratch.resize(T * count * rows.width);
    const auto dense = Sequence<Scalar>::dense(scratch.data(), rows.width, T, count);
    for (Index b = 0; b < count; ++b) {
      const Index length = lengths_[at(b)];
      const Scalar* from = rows.first(ends_[at(b)], length);
      for (Index t = 0; t < T; ++t)
        if (t < length)
          std::copy_n(from + t * rows.width, rows.width, dense.column(t, b));
        else
          std::fill_n(dense.column(t, b), rows.width, Scalar{0});
    }
    return dense;
  }

  std::shared_ptr<const Series<Scalar>> series_;
  std::shared_ptr<const Targets> targets_;
  Index length_ = 1;
  Index stride_ = 1;
  std::vector<Index> ends_;
  std::vector<Index> lengths_;  ///< of each window; empty: all length_
};

}  // namespace TSDL_ABI
}  // namespace tsdl
