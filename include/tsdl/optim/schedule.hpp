// Learning-rate schedules: state machines over a metric, called once per epoch.
#pragma once

#include <algorithm>
#include <limits>

#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Lowers the rate when the validation loss has stopped falling.
/// Source: torch.optim.lr_scheduler.ReduceLROnPlateau (mode min, threshold relative), except that
/// the default factor and patience suit runs of tens of epochs.
struct ReduceLROnPlateau {
  double factor = 0.5;
  Index patience = 5;
  double threshold = 1e-4;
  Index cooldown = 0;
  double min_lr = 0.0;
  double eps = 1e-8;  ///< a change must be larger than this

  /// Throws: OptionError when a setting is out of range.
  void check() const {
    if (!(is_finite(factor) && factor > 0 && factor < 1))
      throw OptionError("ReduceLROnPlateau: factor must be in (0, 1), not ", factor);
    if (patience < 0 || cooldown < 0)
      throw OptionError("ReduceLROnPlateau: patience and cooldown must not be negative");
    for (const double limit : {min_lr, threshold, eps})
      if (is_nan(limit) || limit < 0)
        throw OptionError("ReduceLROnPlateau: min_lr, threshold and eps must not be negative");
  }
};

/// The state of a ReduceLROnPlateau.
struct PlateauState {
  double best = internal::infinity_of<double>;
  Index bad_epochs = 0;
  Index cooldown_left = 0;

  /// Returns the rate after an epoch that ended with `metric`. NaN is never an improvement.
  double next(const ReduceLROnPlateau& options, double metric, double lr) noexcept {
    if (!is_nan(metric) && metric < best * (1.0 - options.threshold)) {
      best = metric;
      bad_epochs = 0;
    } else {
      ++bad_epochs;
    }
    if (cooldown_left > 0) {
      --cooldown_left;
      bad_epochs = 0;
    }
    if (bad_epochs <= options.patience) return lr;
    cooldown_left = options.cooldown;
    bad_epochs = 0;
    const double lower = std::max(lr * options.factor, options.min_lr);
    return lr - lower > options.eps ? lower : lr;
  }
};

/// Keeps the rate for the first epochs, then multiplies it by a factor after each one.
/// Source: the rule "type3" of the long-horizon forecasting programs (Wu et al. 2021 and later).
struct ExponentialDecay {
  double factor = 0.8;
  Index constant_epochs = 4;  ///< epochs at the first rate

  /// Throws: OptionError when a setting is out of range.
  void check() const {
    if (!(is_finite(factor) && factor > 0 && factor <= 1))
      throw OptionError("ExponentialDecay: factor must be above 0 and at most 1, not ", factor);
    if (constant_epochs < 0)
      throw OptionError("ExponentialDecay: constant_epochs must not be negative");
  }
  /// The rate of the next epoch, once `epochs` have ended.
  double next(Index epochs, double lr) const noexcept {
    return epochs < constant_epochs ? lr : lr * factor;
  }
};

}  // namespace TSDL_ABI
}  // namespace tsdl
