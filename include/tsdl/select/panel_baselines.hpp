// Forecasts of a panel that need no network: the last value, the season before, and a linear model
// on the window.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/data/panel_windows.hpp"
#include "tsdl/select/linear_models.hpp"
#include "tsdl/task/forecast_figures.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The last `rows` rows of the targets before and with window i's last one, as many as its series
/// has, in the columns' own units. Shapes: result rows x K.
template <class Scalar>
std::vector<double> history_of(const PanelWindows<Scalar>& windows, Index i, Index rows) {
  const Index K = windows.data().target_count(), end = windows.end_row(i);
  std::vector<double> history;
  for (Index row = end + 1 - std::min(rows, windows.row_in_series(i) + 1); row <= end; ++row)
    for (Index k = 0; k < K; ++k) history.push_back(windows.value(row, k));
  return history;
}

/// The seasonal_naive forecast of window i, from its last four seasons; with a season of 1 the last
/// value. Steps whose seasons are all missing have the last value that
/// is known. Shapes: result H x K.
template <class Scalar>
std::vector<double> seasonal_naive(const PanelWindows<Scalar>& windows, Index i, Index season) {
  const Index K = windows.data().target_count(), H = windows.horizon();
  std::vector<double> forecast = seasonal_naive(history_of(windows, i, 4 * season), K, season, H);
  for (Index at = 0; at < H * K; ++at)
    if (double& value = forecast[static_cast<std::size_t>(at)]; is_nan(value))
      for (Index row = windows.end_row(i), back = windows.row_in_series(i);
           is_nan(value) && back >= 0; --row, --back)
        value = windows.value(row, at % K);
  return forecast;
}

/// Ridge regression of a target's next H values on its own last T, one model for all targets and
/// series, on scaled values in windows' normalised units: those of the panel or, where they are not
/// normalised, less the last value. The penalty is the one that does best on the validation
/// windows.
class RidgeForecast {
 public:
  /// Fits on at most `samples` pairs of a window and a target, evenly chosen. Throws: ShapeError
  /// when there are no training or validation windows; DataError as choose_penalty.
  template <class Scalar>
  RidgeForecast(const PanelWindows<Scalar>& train, const PanelWindows<Scalar>& validation,
                Index samples = 20000)
      : norm_(train.data().normalise == WindowNorm::none ? WindowNorm::last
                                                         : train.data().normalise) {
    if (train.empty() || validation.empty())
      throw ShapeError("RidgeForecast: expected training and validation windows");
    const auto [X, Y] = design(train, samples);
    const auto [X_validation, Y_validation] = design(validation, samples / 4);
    model_ = choose_penalty(X, Y, X_validation, Y_validation).model;
  }

  /// Shapes: result H x K, in the columns' own units.
  template <class Scalar>
  std::vector<double> forecast(const PanelWindows<Scalar>& windows, Index i) const {
    const Index K = windows.data().target_count(), H = windows.horizon();
    Matrix<double> x(windows.length(), K);
    std::vector<WindowScale> scales;
    for (Index k = 0; k < K; ++k) scales.push_back(write_past(windows, i, k, x.col(k).data()));
    const Matrix<double> y = model_.outputs(x);
    std::vector<double> forecast(static_cast<std::size_t>(H * K));
    for (Index h = 0; h < H; ++h)
      for (Index k = 0; k < K; ++k)
        forecast[static_cast<std::size_t>(h * K + k)] = windows.scaler_scale(i, k).restored(
            scales[static_cast<std::size_t>(k)].restored(y(h, k)));
    return forecast;
  }

  double penalty() const noexcept { return model_.penalty; }

 private:
  /// Writes the normalised past of target k, and returns what undoes that.
  template <class Scalar>
  WindowScale write_past(const PanelWindows<Scalar>& windows, Index i, Index k, double* to) const {
    const Index T = windows.length(), first = windows.end_row(i) - T + 1;
    for (Index t = 0; t < T; ++t) {  // a target that is not read may have empty cells
      to[t] = windows.scaled_value(first + t, k);
      if (is_nan(to[t])) to[t] = t > 0 ? to[t - 1] : 0.0;
    }
    const auto past = Sequence<const double>::dense(to, 1, T, 1);
    const WindowScale scale = window_scale(norm_, past, 0, 0);
    for (Index t = 0; t < T; ++t) to[t] = scale.normalised(to[t]);
    return scale;
  }

  template <class Scalar>
  std::pair<Matrix<double>, Matrix<double>> design(const PanelWindows<Scalar>& windows,
                                                   Index samples) const {
    const Index K = windows.data().target_count(), H = windows.horizon();
    const Index all = windows.size() * K, n = std::min(all, std::max(samples, Index{1}));
    Matrix<double> X(windows.length(), n), Y(H, n);
    for (Index s = 0; s < n; ++s) {
      const Index pair = s * (all / n) + s * (all % n) / n, i = pair / K, k = pair % K;
      const WindowScale scale = write_past(windows, i, k, X.col(s).data());
      const Index after = windows.end_row(i) + 1;
      for (Index h = 0; h < H; ++h) Y(h, s) = scale.normalised(windows.scaled_value(after + h, k));
    }
    return {std::move(X), std::move(Y)};
  }

  WindowNorm norm_;
  LinearModel model_;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
