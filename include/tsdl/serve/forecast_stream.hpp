// A forecaster on one live series: after each row the next H, with intervals that adapt.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/buffer.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/state.hpp"
#include "tsdl/data/panel_prepare.hpp"
#include "tsdl/nn/model.hpp"
#include "tsdl/task/adaptive_conformal.hpp"
#include "tsdl/task/quantiles.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The series of a ForecastStream.
struct StreamedSeries {
  std::string name{};                     ///< whose scaler and embedding are used
  std::vector<double> statics{};          ///< one per static column, in their own units
  std::vector<std::string> categories{};  ///< one per category column
  /// Whether a category that training has not seen is read as the unknown entry (ApplyOptions).
  bool allow_unknown = true;
};

/// What a stream says after a row, in the columns' own units; valid until the next push.
struct StreamedForecast {
  std::span<const double> point;        ///< H x K: the numbers, or the quantile nearest the median
  std::span<const double> low, high;    ///< H x K: the outermost quantiles; both are point without
  std::span<const Interval> intervals;  ///< C x H x K; none without calibration scores
};

/// Forecasts of one series, row by row: those of predict() for the same windows. Model and recipe
/// must outlive it.
///
///     tsdl::ForecastStream stream(loaded.model, loaded.recipe, {.name = "shop 7"}, loaded.scores);
///     if (const auto ahead = stream.push(row)) use(ahead->intervals);
///
/// Not safe from two threads at once.
template <Model M>
class ForecastStream {
 public:
  using Scalar = typename M::Scalar;

  /// `scores`: those of calibration windows, n x H x K, divided by the windows' spreads; empty: no
  /// intervals. Throws: DataError, OptionError when recipe, series or scores do not fit.
  ForecastStream(const M& model, const PanelRecipe& recipe, StreamedSeries series,
                 std::span<const double> scores = {}, AdaptiveOptions options = {})
      : model_(model), recipe_(recipe), task_(model.task()) {
    const FloatModeGuard guard;
    if (!recipe.scaler.is_fitted() || recipe.scaler.names().size() != recipe.columns.size())
      throw DataError("ForecastStream: the recipe is not fitted");
    if (model.inputs() != recipe.inputs ||
        task_->targets() != recipe.horizon * std::ssize(recipe.targets))
      throw ShapeError("ForecastStream: the model is not one of this recipe");
    task_.check_outputs(model.outputs());
    const internal::ColumnScale scale = internal::scale_of(recipe, series.name);
    mean_ = scale.mean;
    scale_ = scale.scale;
    targets_ = recipe.target_places();
    read_facts(series);
    const Index K = std::ssize(targets_);
    rows_.assign(2 * recipe.length * recipe.inputs, Scalar{0});
    future_.assign(recipe.horizon * recipe.future_count(), Scalar{0});
    outputs_.assign(task_->outputs(), 0.0);
    predictions_.assign(task_->predictions(), 0.0);
    const Index n = recipe.horizon * K;
    for (Buffer<double>* one : {&point_, &low_, &high_}) one->assign(n, 0.0);
    truth_.assign(K, 0.0);
    spreads_.assign(K, 0.0);
    quantiles_ = task_->predictions() / n;
    const Config config = task_->describe();
    if (config.contains("levels")) middle_ = internal::nearest_to_median(config.numbers("levels"));
    if (!scores.empty()) intervals_.emplace(scores, recipe.horizon, K, std::move(options));
  }

  /// Deleted: temporaries would not outlive the stream.
  ForecastStream(M&&, const PanelRecipe&, StreamedSeries, std::span<const double> = {},
                 AdaptiveOptions = {}) = delete;
  ForecastStream(const M&, PanelRecipe&&, StreamedSeries, std::span<const double> = {},
                 AdaptiveOptions = {}) = delete;

  /// Takes the next row: recipe.columns, in their own units; NaN where one is missing. `known`: the
  /// columns known beforehand of the H rows after it, H x F, step by step. Returns the forecasts,
  /// once T rows in a row were complete. Throws: ShapeError when sizes disagree; what the model's
  /// forward and AdaptiveIntervals throw.
  std::optional<StreamedForecast> push(std::span<const double> row,
                                       std::span<const double> known = {}) {
    const FloatModeGuard guard;
    if (std::ssize(row) != std::ssize(recipe_.columns))
      throw ShapeError("ForecastStream: expected a row of ", recipe_.columns.size(),
                       " columns, got ", row.size());
    if (std::ssize(known) != future_.size())
      throw ShapeError("ForecastStream: expected ", recipe_.horizon, " rows of ",
                       recipe_.future_count(), " columns known beforehand, got ", known.size(),
                       " values");
    for (std::size_t k = 0; k < targets_.size(); ++k)
      truth_[static_cast<Index>(k)] = row[static_cast<std::size_t>(targets_[k])];
    if (intervals_) intervals_->observe(truth_.span());
    run_ = take(row) ? std::min(run_ + 1, recipe_.length) : 0;
    if (run_ < recipe_.length || !take_known(known)) return std::nullopt;
    forecast();
    StreamedForecast said{
        std::as_const(point_).span(), std::as_const(low_).span(), std::as_const(high_).span(), {}};
    if (intervals_)
      said.intervals = intervals_->forecast(std::as_const(low_).span(), std::as_const(high_).span(),
                                            std::as_const(spreads_).span());
    return said;
  }

  /// The spreads of the last forecast's window, one for each target, in the columns' own units.
  std::span<const double> spreads() const noexcept { return std::as_const(spreads_).span(); }
  const std::optional<AdaptiveIntervals>& intervals() const noexcept { return intervals_; }

  /// Reads or writes everything that a row changes. The reader must have been constructed with the
  /// same arguments.
  void state(StateBytes& bytes) {
    bytes(rows_).within(next_, 0, recipe_.length - 1).within(run_, 0, recipe_.length);
    if (intervals_) intervals_->state(bytes);
  }

 private:
  void read_facts(const StreamedSeries& series) {
    if (series.statics.size() != recipe_.static_columns.size() ||
        series.categories.size() != recipe_.category_columns.size())
      throw DataError("ForecastStream: expected ", recipe_.static_columns.size(),
                      " static values and ", recipe_.category_columns.size(), " categories, got ",
                      series.statics.size(), " and ", series.categories.size());
    statics_.assign(std::ssize(series.statics), Scalar{0});
    if (!series.statics.empty() &&
        recipe_.statics_scaler.transform_row(series.statics.data(), statics_.data()) >= 0)
      throw DataError("ForecastStream: a static value too large once scaled");
    std::vector<std::string> categories = series.categories;
    if (recipe_.embed_series) categories.insert(categories.begin(), series.name);
    for (std::size_t c = 0; c < categories.size(); ++c) {
      categories_.push_back(internal::entry_of(recipe_.vocabularies[c], categories[c]));
      if (categories_.back() == 0 && !series.allow_unknown)
        internal::refuse_unknown(series.name, categories[c]);
    }
  }

  bool scale_into(Scalar* to, const double* from, Index first, Index count) const noexcept {
    for (Index i = 0; i < count; ++i) {
      const auto at = static_cast<std::size_t>(first + i);
      to[i] = static_cast<Scalar>((from[i] - mean_[at]) / scale_[at]);
      if (!is_finite(to[i])) return false;
    }
    return true;
  }

  /// Puts a row into the ring, which is stored twice, one copy after the other, so that any T rows
  /// are contiguous. Returns whether it is complete.
  bool take(std::span<const double> row) noexcept {
    const Index I = recipe_.inputs;
    Scalar* to = rows_.data() + next_ * I;
    const bool complete = scale_into(to, row.data(), 0, I);
    std::copy_n(to, I, to + recipe_.length * I);
    next_ = next_ + 1 == recipe_.length ? 0 : next_ + 1;
    return complete;
  }
  bool take_known(std::span<const double> known) noexcept {
    const Index F = recipe_.future_count();
    for (Index h = 0; F > 0 && h < recipe_.horizon; ++h)
      if (!scale_into(future_.data() + h * F, known.data() + h * F, recipe_.first_future(), F))
        return false;
    return true;
  }

  void forecast() {
    const Index T = recipe_.length, I = recipe_.inputs, H = recipe_.horizon;
    const Index K = std::ssize(targets_), Q = quantiles_;
    Batch<Scalar> batch(
        Sequence<const Scalar>::dense(std::as_const(rows_).data() + next_ * I, I, T, 1));
    if (!future_.empty())
      batch.future = Sequence<const Scalar>::dense(std::as_const(future_).data(),
                                                   recipe_.future_count(), H, 1);
    if (!statics_.empty())
      batch.statics =
          Sequence<const Scalar>::dense(std::as_const(statics_).data(), statics_.size(), 1, 1);
    if (!categories_.empty())
      batch.categories =
          Sequence<const Index>::dense(categories_.data(), std::ssize(categories_), 1, 1);
    const Outputs<Scalar> outputs = model_.forward(batch, cache_, Pass{});
    check_outputs(model_, outputs, T, 1);
    for (Index i = 0; i < outputs.size(); ++i) outputs_[i] = static_cast<double>(outputs.data()[i]);
    task_->decode(outputs_.data(), predictions_.data());
    for (Index k = 0; k < K; ++k) {
      const Index column = targets_[static_cast<std::size_t>(k)];
      const auto at = static_cast<std::size_t>(column);
      const WindowScale inner =
          window_scale(recipe_.normalise, batch.past, 0, column < I ? column : Index{0});
      const WindowScale scale{mean_[at] + scale_[at] * inner.centre, scale_[at] * inner.spread};
      spreads_[k] = scale.spread;
      for (Index h = 0; h < H; ++h) {
        const double* x = predictions_.data() + (h * K + k) * Q;
        point_[h * K + k] = scale.restored(x[middle_]);
        low_[h * K + k] = scale.restored(x[0]);
        high_[h * K + k] = scale.restored(x[Q - 1]);
      }
    }
  }

  const M& model_;
  const PanelRecipe& recipe_;
  Task task_;
  std::vector<double> mean_, scale_;
  std::vector<Index> targets_, categories_;
  Index quantiles_ = 1, middle_ = 0;
  Index next_ = 0;  ///< the slot of the next row, which holds the oldest
  Index run_ = 0;   ///< complete rows in a row, up to T
  Buffer<Scalar> rows_, future_, statics_;
  Buffer<double> outputs_, predictions_, point_, low_, high_, truth_, spreads_;
  std::optional<AdaptiveIntervals> intervals_;
  typename M::Cache cache_{};
};

}  // namespace TSDL_ABI
}  // namespace tsdl
