// What a forecaster is worth: its figures on windows whose future is known, beside forecasts that
// need no network.
#pragma once

#include <algorithm>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "forecast_data.hpp"
#include "forecast_model.hpp"
#include "tsdl/io/forecaster.hpp"
#include "tsdl/report/fan_chart.hpp"
#include "tsdl/select/panel_baselines.hpp"
#include "tsdl/task/conformal.hpp"
#include "tsdl/task/forecast_figures.hpp"
#include "tsdl/train/predict.hpp"

namespace examples {

using Windows = tsdl::PanelWindows<float>;

/// Figures in the columns' own units, and of scaled values, which all columns share.
struct Judged {
  std::string name;
  tsdl::ForecastFigures own, scaled;
};

/// The forecasts of a window: H x K each, in the columns' own units.
struct PanelForecast {
  std::vector<double> point, low, high;     ///< low and high: the outermost quantiles
  std::vector<tsdl::Interval> intervals{};  ///< C x H x K
};

/// Runs a forecaster on windows, batch by batch.
class ForecastRunner {
 public:
  ForecastRunner(const Forecaster& model, const Windows& windows,
                 const std::optional<tsdl::IntervalWidths>& widths)
      : model_(model), task_(model.task()), windows_(windows), widths_(widths) {
    const tsdl::Config config = task_->describe();
    if (config.contains("levels")) levels_ = config.numbers("levels");
  }

  /// Calls use(i, forecast) for each window.
  template <class Use>
  void run(const Use& use) {
    const tsdl::Index P = task_->predictions();
    std::vector<double> predictions(static_cast<std::size_t>(P));
    tsdl::internal::for_each_batch(
        model_, windows_, workspace_,
        [&](tsdl::Index first, tsdl::Index count, const tsdl::Buffer<double>& outputs) {
          for (tsdl::Index b = 0; b < count; ++b) {
            task_->decode(outputs.data() + b * task_->outputs(), predictions.data());
            windows_.restore(first + b, predictions);
            use(first + b, forecast_of(first + b, predictions));
          }
        });
  }

  std::vector<double> coverages() const {
    return widths_ ? widths_->coverages : std::vector<double>();
  }

 private:
  PanelForecast forecast_of(tsdl::Index i, const std::vector<double>& predictions) const {
    PanelForecast forecast;
    const std::size_t Q = std::max<std::size_t>(levels_.size(), 1);
    const auto middle =
        static_cast<std::size_t>(levels_.empty() ? 0 : tsdl::internal::nearest_to_median(levels_));
    for (std::size_t at = 0; at < predictions.size(); at += Q) {
      forecast.point.push_back(predictions[at + middle]);
      forecast.low.push_back(predictions[at]);
      forecast.high.push_back(predictions[at + Q - 1]);
    }
    if (!widths_) return forecast;
    std::vector<double> spreads;
    for (tsdl::Index k = 0; k < windows_.data().target_count(); ++k)
      spreads.push_back(windows_.scale(i, k).spread);
    forecast.intervals = tsdl::conformal_intervals(*widths_, forecast.low, forecast.high, spreads);
    return forecast;
  }

  const Forecaster& model_;
  tsdl::Task task_;
  const Windows& windows_;
  const std::optional<tsdl::IntervalWidths>& widths_;
  std::vector<double> levels_{};
  tsdl::internal::PredictionWorkspace<Forecaster> workspace_{};
};

/// The widths of intervals, from windows that nothing else has used. Throws: tsdl::DataError when
/// there are too few.
inline tsdl::Calibration calibrate(const Forecaster& model, const Windows& windows,
                                   const std::vector<double>& coverages) {
  if (windows.empty())
    throw tsdl::DataError("--calibration: no window forecasts its rows alone: give it more rows");
  const tsdl::Index H = windows.horizon(), K = windows.data().target_count();
  tsdl::Calibration calibration;
  const std::optional<tsdl::IntervalWidths> none;
  ForecastRunner runner(model, windows, none);
  runner.run([&](tsdl::Index i, const PanelForecast& forecast) {
    const std::vector<double> truths = windows.truths(i);
    std::vector<double> spreads;
    for (std::size_t at = 0; at < truths.size(); ++at)
      spreads.push_back(windows.scale(i, static_cast<tsdl::Index>(at) % K).spread);
    const std::vector<double> some =
        tsdl::interval_scores(forecast.low, forecast.high, truths, spreads);
    calibration.scores.insert(calibration.scores.end(), some.begin(), some.end());
  });
  calibration.widths =
      tsdl::fit_interval_widths(calibration.scores, H, K, {.coverages = coverages});
  return calibration;
}

/// Windows of which each series' follow each other by `rows` or more.
inline Windows thinned(const Windows& windows, tsdl::Index rows) {
  std::vector<tsdl::Index> ends;
  for (tsdl::Index i = 0; i < windows.size(); ++i) {
    const tsdl::Index end = windows.end_row(i);
    if (ends.empty() || end - ends.back() >= rows ||
        windows.data().series_of(ends.back()) != windows.series(i))
      ends.push_back(end);
  }
  return Windows(windows.shared(), windows.length(), std::move(ends));
}

namespace internal {

inline void add_sample(Judged& judged, const Windows& windows, tsdl::Index i,
                       const PanelForecast& forecast) {
  const tsdl::Index K = windows.data().target_count();
  std::vector<double> truths = windows.truths(i);
  const auto naive = windows.data().naive.begin() + windows.series(i) * K;
  judged.own.add(truths, forecast.point, forecast.intervals, std::vector<double>(naive, naive + K));
  std::vector<double> point = forecast.point;
  for (std::size_t at = 0; at < point.size(); ++at) {
    const tsdl::WindowScale scale = windows.scaler_scale(i, static_cast<tsdl::Index>(at) % K);
    truths[at] = scale.normalised(truths[at]);
    point[at] = scale.normalised(point[at]);
  }
  judged.scaled.add(truths, point);
}

}  // namespace internal

/// The model's figures first, then those of the baselines. `see` gets each of the model's
/// forecasts.
template <class See>
std::vector<Judged> judge_forecaster(const Forecaster& model, const PanelData& data,
                                     const Windows& windows,
                                     const std::optional<tsdl::IntervalWidths>& widths,
                                     const See& see) {
  const tsdl::Index H = windows.horizon(), K = windows.data().target_count();
  ForecastRunner runner(model, windows, widths);
  const auto figures = [&](std::string name, std::vector<double> coverages) {
    return Judged{std::move(name), {H, K, std::move(coverages)}, {H, K}};
  };
  std::vector<Judged> all;
  all.push_back(figures("model", runner.coverages()));
  runner.run([&](tsdl::Index i, const PanelForecast& forecast) {
    internal::add_sample(all.front(), windows, i, forecast);
    see(i, forecast);
  });
  const auto baseline = [&](std::string name, const auto& forecast) {
    Judged judged = figures(std::move(name), {});
    for (tsdl::Index i = 0; i < windows.size(); ++i)
      internal::add_sample(judged, windows, i, {.point = forecast(i), .low = {}, .high = {}});
    all.push_back(std::move(judged));
  };
  baseline("last value", [&](tsdl::Index i) { return tsdl::seasonal_naive(windows, i, 1); });
  if (data.recipe.season > 1)
    baseline("season before",
             [&](tsdl::Index i) { return tsdl::seasonal_naive(windows, i, data.recipe.season); });
  if (!data.validation.empty()) {
    const tsdl::RidgeForecast ridge(data.train, data.validation);
    baseline("ridge on the window", [&](tsdl::Index i) { return ridge.forecast(windows, i); });
  }
  return all;
}

/// A window of target k and its forecast, as a chart shows them.
inline tsdl::report::FanSeries fan_of(const Windows& windows, tsdl::Index i,
                                      const PanelForecast& forecast,
                                      const std::vector<double>& coverages,
                                      const std::vector<std::string>& targets, tsdl::Index k) {
  const auto& data = windows.data();
  const auto series = static_cast<std::size_t>(windows.series(i));
  const tsdl::Index K = data.target_count(), H = windows.horizon();
  const tsdl::Index shown = std::min(windows.row_in_series(i) + 1, std::max(H, tsdl::Index{48}));
  const auto of = [&](const auto& values, tsdl::Index first) {
    std::vector<double> column;
    for (tsdl::Index h = 0; h < H; ++h)
      column.push_back(values[static_cast<std::size_t>(first + h * K + k)]);
    return column;
  };
  tsdl::report::FanSeries fan{
      .name = K > 1 ? targets[static_cast<std::size_t>(k)] + " of " + data.names[series]
                    : data.names[series],
      .history = {},
      .forecast = of(forecast.point, 0)};
  for (tsdl::Index row = windows.end_row(i) - shown + 1; row <= windows.end_row(i); ++row)
    fan.history.push_back(windows.value(row, k));
  for (std::size_t c = 0; c < coverages.size(); ++c) {
    std::vector<double> low, high;
    for (tsdl::Index h = 0; h < H; ++h) {
      const auto at = (c * static_cast<std::size_t>(H) + static_cast<std::size_t>(h)) *
                          static_cast<std::size_t>(K) +
                      static_cast<std::size_t>(k);
      low.push_back(forecast.intervals[at].low);
      high.push_back(forecast.intervals[at].high);
    }
    fan.bands.push_back({coverages[c], std::move(low), std::move(high)});
  }
  const std::vector<double> truths = windows.truths(i);
  if (std::any_of(truths.begin(), truths.end(), [](double y) { return is_finite(y); }))
    fan.truth = of(truths, 0);
  const tsdl::TimeAxis& times = data.times[series];
  const tsdl::Index first = windows.row_in_series(i) - shown + 1;
  for (tsdl::Index row = first; !times.empty() && row < first + shown + H; ++row)
    fan.times.push_back(times.at(row));
  return fan;
}

}  // namespace examples
