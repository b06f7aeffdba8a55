// Windows over many series with several steps to forecast, as views: a SampleSet.
//
//   T steps of the past, of I columns      H steps to forecast, of K columns
//   F columns of the forecast steps that are known beforehand
//
// All series stand one after the other in one matrix, so that a window is known by its last row
// there, and consecutive windows are a view of the matrix wherever one series has them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/window_norm.hpp"
#include "tsdl/data/panel.hpp"
#include "tsdl/data/samples.hpp"
#include "tsdl/data/series.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The scaled rows of a panel, which its windows share.
template <class Scalar>
struct PanelData {
  Series<Scalar> values{};      ///< columns x rows of all series
  std::vector<Index> starts{};  ///< the first row of each series, then the number of all rows
  std::vector<std::string> names{};
  std::vector<TimeAxis> times{};
  Index inputs = 0;                    ///< I: columns 0 ... I - 1 are read of the past
  Index first_future = 0, future = 0;  ///< these F of them are known of the forecast steps too
  std::vector<Index> targets{};        ///< the K columns that are forecast
  Index horizon = 1;                   ///< H
  WindowNorm normalise = WindowNorm::none;
  Index static_count = 0, category_count = 0;
  std::vector<Scalar> statics{};      ///< series x static_count
  std::vector<Index> categories{};    ///< series x category_count
  std::vector<WindowScale> scales{};  ///< series x K: the scaler's, of the targets
  std::vector<double> naive{};        ///< series x K: the denominator of MASE, in their units

  Index series_of(Index row) const noexcept {
    return std::upper_bound(starts.begin(), starts.end(), row) - starts.begin() - 1;
  }
  Index target_count() const noexcept { return std::ssize(targets); }
  /// One past the last row of the series that has this row.
  Index end_of_series(Index row) const noexcept {
    return starts[static_cast<std::size_t>(series_of(row) + 1)];
  }
};

/// Windows of one length over a shared panel.
template <class ScalarType>
class PanelWindows {
 public:
  using Scalar = ScalarType;
  using Data = PanelData<Scalar>;

  PanelWindows() = default;

  /// `ends` ascend: the last row of each window, in the panel's matrix. Throws: ShapeError when
  /// the panel is missing, length is below 1, or a window would begin before its series or, where
  /// columns are known beforehand, forecast rows beyond its end.
  PanelWindows(std::shared_ptr<const Data> data, Index length, std::vector<Index> ends)
      : data_(std::move(data)), length_(length), ends_(std::move(ends)) {
    if (!data_) throw ShapeError("PanelWindows: no panel");
    if (length < 1 || length > internal::most_rows)
      throw ShapeError("PanelWindows: expected a length of 1 to ", internal::most_rows, ", found ",
                       length);
    for (std::size_t i = 0; i < ends_.size(); ++i) {
      const Index end = ends_[i];
      if (end < 0 || end >= data_->values.rows || (i > 0 && end <= ends_[i - 1]))
        throw ShapeError("PanelWindows: a window cannot end at row ", end, " of ",
                         data_->values.rows);
      if (end - data_->starts[static_cast<std::size_t>(data_->series_of(end))] < length - 1)
        throw ShapeError("PanelWindows: a window of ", length, " that ends at row ", end,
                         " begins before its series");
      if (data_->future > 0 && end + data_->horizon >= data_->end_of_series(end))
        throw ShapeError("PanelWindows: a window that ends at row ", end,
                         " has no known rows to forecast: its series ends");
    }
  }

  Index size() const noexcept { return std::ssize(ends_); }
  bool empty() const noexcept { return ends_.empty(); }
  Index length() const noexcept { return length_; }
  Index inputs() const noexcept { return data_ ? data_->inputs : 0; }
  Index horizon() const noexcept { return data_ ? data_->horizon : 1; }
  /// The values of a target: H x K, the K of one step adjacent.
  Index target_count() const noexcept { return data_ ? horizon() * data_->target_count() : 1; }
  const std::vector<Index>& ends() const noexcept { return ends_; }
  /// Throws: ShapeError when there is none.
  const Data& data() const {
    if (!data_) throw ShapeError("PanelWindows: no panel");
    return *data_;
  }
  std::shared_ptr<const Data> shared() const noexcept { return data_; }
  /// The last row of window i in the panel's matrix; which series it is of, and which row there.
  Index end_row(Index i) const noexcept { return ends_[static_cast<std::size_t>(i)]; }
  Index series(Index i) const noexcept { return data_->series_of(end_row(i)); }
  Index row_in_series(Index i) const noexcept {
    return end_row(i) - data_->starts[static_cast<std::size_t>(series(i))];
  }

  /// What a model reads. The past and the future are views where the windows' ends are evenly
  /// spaced; they are gathered otherwise, as statics and categories are.
  /// Throws: ShapeError when there are no such windows.
  Batch<Scalar> inputs_of(const Samples& samples, BatchScratch<Scalar>& scratch) const {
    check(samples);
    const Data& d = *data_;
    Batch<Scalar> batch(rows_of(samples, 1 - length_, length_, 0, d.inputs, scratch.past));
    if (d.future > 0)
      batch.future = rows_of(samples, 1, d.horizon, d.first_future, d.future, scratch.future);
    batch.statics = of_series<Scalar>(samples, d.statics, d.static_count, scratch.statics);
    batch.categories =
        of_series<Index>(samples, d.categories, d.category_count, scratch.categories);
    return batch;
  }

  /// The numbers to forecast, in the windows' normalised units: H K x 1 x B; NaN beyond the end of
  /// a series. Throws: as inputs_of; ShapeError unless steps is 1.
  Sequence<const double> targets_of(const Samples& samples, Index steps,
                                    BatchScratch<Scalar>& scratch) const {
    check(samples);
    if (steps != 1)
      throw ShapeError("PanelWindows: forecasts have one target per window, not ", steps);
    const Index n = target_count(), B = samples.size();
    scratch.targets.resize(n * B);
    for (Index b = 0; b < B; ++b) write_targets(samples.at(b), scratch.targets.data() + b * n);
    return Sequence<const double>::dense(scratch.targets.data(), n, 1, B);
  }
  std::vector<double> targets() const {
    std::vector<double> all(static_cast<std::size_t>(size() * target_count()));
    for (Index i = 0; i < size(); ++i) write_targets(i, all.data() + i * target_count());
    return all;
  }

  /// What a normalised number of target k stands for in window i, in the column's own units: the
  /// window's scale within the scaler's.
  WindowScale scale(Index i, Index k) const noexcept {
    const WindowScale outer = scaler_scale(i, k), inner = window(i, k);
    return {outer.restored(inner.centre), outer.spread * inner.spread};
  }
  /// Turns predictions in normalised units into those of the columns: any number of values for
  /// each of the H K targets, adjacent. Sizes: a multiple of target_count().
  void restore(Index i, std::span<double> predictions) const noexcept {
    const Index K = data_->target_count();
    const Index each = std::ssize(predictions) / target_count();
    for (Index k = 0; k < K; ++k) {
      const WindowScale scale_k = scale(i, k);
      for (Index h = 0; h < data_->horizon; ++h)
        for (Index q = 0; q < each; ++q) {
          double& x = predictions[static_cast<std::size_t>((h * K + k) * each + q)];
          x = scale_k.restored(x);
        }
    }
  }
  /// What followed window i, in the columns' own units: H x K; NaN where it is not known.
  std::vector<double> truths(Index i) const {
    std::vector<double> all(static_cast<std::size_t>(target_count()));
    write_targets(i, all.data());
    restore(i, all);
    return all;
  }
  /// What a scaled number of target k stands for in the series of window i.
  WindowScale scaler_scale(Index i, Index k) const noexcept {
    return data_->scales[static_cast<std::size_t>(series(i) * data_->target_count() + k)];
  }
  /// The scaled value of target k at `row` of the panel's matrix.
  double scaled_value(Index row, Index k) const noexcept {
    return static_cast<double>(
        data_->values.column(row)[data_->targets[static_cast<std::size_t>(k)]]);
  }
  /// The same in the column's own units.
  double value(Index row, Index k) const noexcept {
    const Data& d = *data_;
    const auto place = static_cast<std::size_t>(d.series_of(row) * d.target_count() + k);
    return d.scales[place].restored(scaled_value(row, k));
  }

 private:
  void check(const Samples& samples) const {
    if (samples.size() < 1) throw ShapeError("PanelWindows: a batch of no windows");
    const auto refuse = [&](Index i) {
      if (i < 0 || i >= size())
        throw ShapeError("PanelWindows: window ", i, " in a set of ", size());
    };
    if (samples.chosen.empty()) {
      refuse(samples.first);
      refuse(samples.first + samples.count - 1);
    }
    for (const Index i : samples.chosen) refuse(i);
  }

  WindowScale window(Index i, Index k) const noexcept {
    const Data& d = *data_;
    const Sequence<const Scalar> past(d.values.column(end_row(i) - length_ + 1), d.values.features,
                                      length_, 1, d.values.features, 0);
    return window_scale(d.normalise, past, 0, d.targets[static_cast<std::size_t>(k)]);
  }

  void write_targets(Index i, double* to) const noexcept {
    const Data& d = *data_;
    const Index K = d.target_count(), after = end_row(i) + 1, end = d.end_of_series(end_row(i));
    for (Index k = 0; k < K; ++k) {
      const WindowScale scale_k = window(i, k);
      const Index column = d.targets[static_cast<std::size_t>(k)];
      for (Index h = 0; h < d.horizon; ++h)
        to[h * K + k] =
            after + h < end
                ? scale_k.normalised(static_cast<double>(d.values.column(after + h)[column]))
                : internal::undefined;
    }
  }

  /// `steps` rows of `width` columns of each window, the first `offset` rows after its last.
  Sequence<const Scalar> rows_of(const Samples& samples, Index offset, Index steps,
                                 Index first_column, Index width, Buffer<Scalar>& scratch) const {
    const Index B = samples.size(), row_size = data_->values.features;
    const auto start = [&](Index b) {
      return data_->values.column(end_row(samples.at(b)) + offset) + first_column;
    };
    if (samples.chosen.empty()) {
      const Index gap = B > 1 ? end_row(samples.first + 1) - end_row(samples.first) : 0;
      bool even = true;
      for (Index b = 2; b < B && even; ++b)
        even = end_row(samples.first + b) - end_row(samples.first + b - 1) == gap;
      if (even) return {start(0), width, steps, B, row_size, B > 1 ? gap * row_size : row_size};
    }
    scratch.resize(steps * B * width);
    const auto dense = Sequence<Scalar>::dense(scratch.data(), width, steps, B);
    for (Index b = 0; b < B; ++b) {
      const Scalar* from = start(b);
      for (Index t = 0; t < steps; ++t) std::copy_n(from + t * row_size, width, dense.column(t, b));
    }
    return dense;
  }

  template <class Value>
  Sequence<const Value> of_series(const Samples& samples, const std::vector<Value>& values,
                                  Index count, Buffer<Value>& scratch) const {
    if (count == 0) return {};
    const Index B = samples.size();
    scratch.resize(count * B);
    for (Index b = 0; b < B; ++b)
      std::copy_n(values.data() + series(samples.at(b)) * count, count, scratch.data() + b * count);
    return Sequence<const Value>::dense(scratch.data(), count, 1, B);
  }

  std::shared_ptr<const Data> data_;
  Index length_ = 1;
  std::vector<Index> ends_;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
