// Temperature: logits are divided by it before they become probabilities. Above 1 it makes a model
// less sure of itself, below 1 surer; which class is the likeliest stays the same.
//
// Source: Guo et al. 2017, "On Calibration of Modern Neural Networks".
#pragma once

#include "tsdl/core/config.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {
namespace internal {

/// Throws: OptionError.
inline void check_temperature(double temperature) {
  if (!(is_finite(temperature) && temperature >= 1e-6 && temperature <= 1e6))
    throw OptionError("task: a temperature must be from 1e-6 to 1e6, not ", temperature);
}

/// Adds a temperature other than 1.
inline void describe_temperature(Config& config, double temperature) {
  if (!same_value(temperature, 1.0)) config.options["temperature"] = temperature;
}

}  // namespace internal
}  // namespace TSDL_ABI
}  // namespace tsdl
