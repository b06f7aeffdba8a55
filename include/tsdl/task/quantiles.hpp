// Quantiles of numbers, which cannot cross by construction.
//
// For each target the middle output is free; every other output is the distance to its neighbour:
//
//   q[m] = x[m]                              m = (Q - 1) / 2
//   q[j] = q[j - 1] + softplus(x[j])         j > m
//   q[j] = q[j + 1] - softplus(x[j])         j < m
//
//   dL/dx[m] = sum over all j of dL/dq[j]
//   dL/dx[j] =  sigmoid(x[j]) sum over i >= j of dL/dq[i]     j > m
//   dL/dx[j] = -sigmoid(x[j]) sum over i <= j of dL/dq[i]     j < m
//
// Several models are averaged in quantiles: their middle outputs are, and their distances, of which
// the combined output is the inverse,
//
//   z[m] = sum_i w_i x_i[m]      z[j] = log(exp(sum_i w_i softplus(x_i[j])) - 1)
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tsdl/core/float_mode.hpp"
#include "tsdl/task/numbers.hpp"
#include "tsdl/task/task.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {
template <class Options>
class QuantilesTask;
}

/// K targets with Q quantiles each, from [K][Q] outputs. Predicts these quantiles in the targets'
/// own units, ascending. Loss: pinball, the mean over samples, targets and levels, with targets in
/// units of their training deviation.
/// Source: Koenker and Bassett 1978.
struct Quantiles {
  std::vector<double> levels = {0.1, 0.5, 0.9};  ///< ascending, each between 0 and 1
  Index targets = 1;                             ///< K
  TargetScale scale{};                           ///< prepare fits it

  using Kind = internal::QuantilesTask<Quantiles>;  ///< throws OptionError when an option
                                                    ///< is out of range
};

namespace internal {

/// The level that stands for the forecast itself: of two as near to 0.5, the lower one.
inline Index nearest_to_median(std::span<const double> levels) noexcept {
  std::size_t best = 0;
  for (std::size_t j = 1; j < levels.size(); ++j)
    if (std::abs(levels[j] - 0.5) < std::abs(levels[best] - 0.5)) best = j;
  return static_cast<Index>(best);
}

template <class Options>
class QuantilesTask final : public TaskKind {
 public:
  explicit QuantilesTask(const Options& options) : options_(options) {
    if (options.levels.empty()) throw OptionError("task quantiles: expected 1 or more levels");
    if (options.levels.size() > most_levels)
      throw OptionError("task quantiles: expected at most ", most_levels, " levels, got ",
                        options.levels.size());
    double before = 0;
    for (const double level : options.levels) {
      if (!(is_finite(level) && level > 0 && level < 1))
        throw OptionError("task quantiles: a level must be above 0 and below 1, not ", level);
      if (level <= before)
        throw OptionError("task quantiles: levels must ascend, but ", level, " follows ", before);
      before = level;
    }
    if (options.targets < 1)
      throw OptionError("task quantiles: expected 1 or more targets, got ", options.targets);
    options_.scale.check(options.targets);
  }

  Config describe() const override {
    Config config("quantiles", {{"levels", options_.levels}, {"targets", options_.targets}});
    options_.scale.describe(config);
    return config;
  }
  Index targets() const noexcept override { return options_.targets; }
  Index outputs() const noexcept override { return options_.targets * levels(); }
  Index predictions() const noexcept override { return outputs(); }
  std::vector<std::string> names(const std::vector<std::string>& targets) const override {
    std::vector<std::string> names;
    for (std::size_t k = 0; k < static_cast<std::size_t>(options_.targets); ++k)
      for (const double level : options_.levels)
        names.push_back(concatenate(
            "predicted_", k < targets.size() ? targets[k] : std::to_string(k), "_q", level));
    return names;
  }

  void check(std::span<const double> targets) const override {
    check_numbers(targets, "quantiles");
  }

  LossSum loss(const double* outputs, const double* targets, Index n,
               double* slopes) const noexcept override {
    const FloatModeGuard guard;
    const Index K = options_.targets, Q = levels(), m = middle();
    LossSum total;
    double q[most_levels], dq[most_levels];
    for (Index i = 0; i < n * K; ++i) {
      const double* x = outputs + i * Q;
      const double y = options_.scale.scaled(i % K, targets[i]);
      stack_up(x, q);
      for (Index j = 0; j < Q; ++j) {
        const LossPoint point = pinball_of(level(j), q[j], y);
        total.sum += point.value;
        dq[j] = point.slope;
      }
      if (!slopes) continue;
      double* dx = slopes + i * Q;
      double above = 0, below = 0;
      for (Index j = Q; --j > m;) dx[j] = sigmoid(x[j]) * (above += dq[j]);
      for (Index j = 0; j < m; ++j) dx[j] = -sigmoid(x[j]) * (below += dq[j]);
      dx[m] = dq[m] + above + below;
    }
    total.weight = static_cast<double>(n * K * Q);
    return total;
  }

  void decode(const double* outputs, double* out) const noexcept override {
    const FloatModeGuard guard;
    const Index Q = levels();
    for (Index k = 0; k < options_.targets; ++k) {
      stack_up(outputs + k * Q, out + k * Q);
      for (Index j = 0; j < Q; ++j) out[k * Q + j] = options_.scale.restored(k, out[k * Q + j]);
    }
  }

  std::vector<std::string_view> figures() const override {
    return {"pinball", "coverage", "mae", "rmse", "r2", "mase"};
  }
  /// The figures of numbers are those of the quantile nearest to the median.
  Metrics measure(std::span<const double> predictions,
                  std::span<const double> targets) const override {
    const FloatModeGuard guard;
    check(targets);
    const Index K = options_.targets, Q = levels();
    const std::size_t centre = static_cast<std::size_t>(nearest_to_median(options_.levels));
    if (std::ssize(predictions) != std::ssize(targets) * Q)
      throw ShapeError("metrics: ", targets.size(), " numbers with ", predictions.size(),
                       " quantiles of ", Q, " levels");
    std::vector<double> medians;
    double sum = 0, covered = 0;
    for (std::size_t i = 0; i < targets.size(); ++i) {
      const double* q = predictions.data() + i * static_cast<std::size_t>(Q);
      medians.push_back(q[centre]);
      covered += q[0] <= targets[i] && targets[i] <= q[Q - 1];
      for (Index j = 0; j < Q; ++j) sum += pinball(level(j), q[j], targets[i]);
    }
    Metrics result = measure_numbers(medians, targets, K, options_.scale);
    const auto n = static_cast<double>(targets.size());
    if (targets.empty() || !is_finite(sum)) return result;
    result.pinball = sum / (n * static_cast<double>(Q));
    result.coverage = covered / n;
    return result;
  }

  void combine(const MemberOutputs& members, double* out) const noexcept override {
    const FloatModeGuard guard;
    const Index K = outputs(), Q = levels();
    for (Index k = 0; k < K; ++k) {
      const bool free = k % Q == middle();
      double sum = 0;
      for (Index i = 0; i < members.count; ++i) {
        const double x = members.outputs[i * K + k];
        sum += members.weights[i] * (free ? x : softplus(x));
      }
      out[k] = free ? sum : inverse_softplus(sum);
    }
  }
  void combine_backward(const MemberOutputs& members, const double* out, const double* dout,
                        double* doutputs, double* dweights) const noexcept override {
    const FloatModeGuard guard;
    const Index K = outputs(), Q = levels();
    for (Index k = 0; k < K; ++k) {
      const bool free = k % Q == middle();
      const double dsum = free ? dout[k] : dout[k] / sigmoid(out[k]);
      for (Index i = 0; i < members.count; ++i) {
        const double x = members.outputs[i * K + k];
        doutputs[i * K + k] = members.weights[i] * dsum * (free ? 1 : sigmoid(x));
        if (dweights) dweights[i] += dsum * (free ? x : softplus(x));
      }
    }
  }

 private:
  static constexpr std::size_t most_levels = 99;

  Index levels() const noexcept { return std::ssize(options_.levels); }
  Index middle() const noexcept { return (levels() - 1) / 2; }
  double level(Index j) const noexcept { return options_.levels[static_cast<std::size_t>(j)]; }
  /// The x of which y is the softplus; of a distance too small to tell from 0 the least that is
  /// one.
  static double inverse_softplus(double y) noexcept {
    return y > 0 ? y + std::log(-std::expm1(-y)) : std::log(std::numeric_limits<double>::min());
  }
  /// Turns one target's outputs into its quantiles.
  void stack_up(const double* x, double* q) const noexcept {
    const Index Q = levels(), m = middle();
    q[m] = x[m];
    for (Index j = m + 1; j < Q; ++j) q[j] = q[j - 1] + softplus(x[j]);
    for (Index j = m; j-- > 0;) q[j] = q[j + 1] - softplus(x[j]);
  }

  Options options_;
};

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
