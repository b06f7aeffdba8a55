// Clipping by the global norm of all gradients.
#pragma once

#include <algorithm>
#include <cmath>

#include "tsdl/core/float_mode.hpp"
#include "tsdl/kernels/adamw.hpp"
#include "tsdl/nn/parameter.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The Euclidean norm of all of a model's gradients together.
template <class Model>
double gradient_norm(const Model& model) {
  const FloatModeGuard guard;
  double sum = 0.0;
  model.visit([&](const auto& parameter) {
    sum += kernels::sum_of_squares(parameter.gradient.data(), parameter.gradient.size());
  });
  return std::sqrt(sum);
}

/// The factor that scales gradients of norm `norm` to a norm of at most `max_norm`. A max_norm of 0
/// turns clipping off.
/// Equations: min(1, max_norm / (norm + 1e-6)).
/// Source: torch.nn.utils.clip_grad_norm_.
inline double clip_coefficient(double norm, double max_norm) noexcept {
  return max_norm > 0 ? std::min(1.0, max_norm / (norm + 1e-6)) : 1.0;
}

}  // namespace TSDL_ABI
}  // namespace tsdl
