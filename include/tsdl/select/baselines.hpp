// Baselines: predictions without learning, and of a linear model on a window's last row, with which
// a network's predictions are compared.
//
//   constant   classes: their shares in the training windows; numbers: their mean or quantiles
//   last       numbers: the last known value, plus quantiles of its errors
//   linear     logistic or ridge regression on the window's last row, with the power of ten as
//              penalty that does best on the validation windows; plus quantiles of its errors
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/data/windows.hpp"
#include "tsdl/select/bootstrap.hpp"
#include "tsdl/select/linear_models.hpp"
#include "tsdl/task/tasks.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// A prediction without a network, fitted on training windows. Plain data.
struct Baseline {
  enum class Kind { constant, last, linear };

  Kind kind = Kind::constant;
  std::string name;                ///< in files and trackers: "constant", "last", "linear"
  std::string title;               ///< for people: "logistic regression, penalty 1000"
  std::vector<double> constant{};  ///< the constant prediction, P values
  TargetScale scale{};             ///< for numbers: the linear model's units
  /// Added to a number for each of its predictions: 0, or quantiles of the residuals. K x Q.
  std::vector<double> offsets{};
  LinearModel linear{};
};

namespace internal {

/// Features of each window's last row. Shapes: I x N.
template <class Scalar>
Matrix<double> last_rows(const Windows<Scalar>& windows) {
  Matrix<double> X(windows.inputs(), windows.size());
  for (Index i = 0; i < windows.size(); ++i) {
    const Scalar* row = windows.series().column(windows.end_row(i));
    for (Index j = 0; j < X.rows(); ++j) X(j, i) = static_cast<double>(row[j]);
  }
  return X;
}

/// For each of K targets the quantiles of its values; 0 when there are no quantiles. Shapes: values
/// n x K; K x Q.
inline std::vector<double> quantiles_of(std::span<const double> values, Index K,
                                        const std::vector<double>& levels) {
  std::vector<double> all;
  for (Index k = 0; k < K; ++k) {
    std::vector<double> sorted = every(values, k, K);
    std::erase_if(sorted, [](double value) { return !is_finite(value); });
    std::sort(sorted.begin(), sorted.end());
    for (const double level : levels)
      all.push_back(sorted.empty() ? 0.0 : quantile_of_sorted(sorted, level));
  }
  return all;
}

/// A baseline's P / K predictions for each of K numbers.
inline void add_offsets(const Baseline& baseline, const double* numbers, Index K, double* out) {
  const Index Q = std::ssize(baseline.offsets) / K;
  for (Index k = 0; k < K; ++k)
    for (Index j = 0; j < Q; ++j)
      out[k * Q + j] = numbers[k] + baseline.offsets[static_cast<std::size_t>(k * Q + j)];
}

/// The logits of a task's outputs; with two classes and two outputs, the logit of class 0 is 0.
inline LinearModel with_outputs(LinearModel model, Index outputs) {
  if (model.weights.rows() == outputs) return model;
  Matrix<double> weights = Matrix<double>::Zero(outputs, model.weights.cols());
  Vector<double> bias = Vector<double>::Zero(outputs);
  weights.row(1) = model.weights.row(0);
  bias[1] = model.bias[0];
  model.weights = std::move(weights);
  model.bias = std::move(bias);
  return model;
}

inline std::string penalty_text(double penalty) {
  if (penalty < 1) return concatenate(", penalty ", penalty);
  return ", penalty " + std::to_string(std::llround(penalty));
}

}  // namespace internal

/// Predictions of every window. Shapes: task.predictions() x N; NaN where the last value is not
/// known.
/// Throws: ShapeError when the windows have other features than those it was fitted on.
template <class Scalar>
Matrix<double> predict(const Baseline& baseline, const Windows<Scalar>& windows, const Task& task) {
  const FloatModeGuard guard;
  Matrix<double> result(task->predictions(), windows.size());
  const Index K = task->targets();
  std::vector<double> last;
  Matrix<double> outputs;
  if (baseline.kind == Baseline::Kind::last) last = windows.last_known();
  if (baseline.kind == Baseline::Kind::linear && !windows.empty())
    outputs = baseline.linear.outputs(internal::last_rows(windows));
  std::vector<double> numbers(static_cast<std::size_t>(K), internal::nan_of<double>);
  for (Index i = 0; i < windows.size(); ++i) {
    double* out = result.data() + i * result.rows();
    switch (baseline.kind) {
      case Baseline::Kind::constant:
        std::copy(baseline.constant.begin(), baseline.constant.end(), out);
        break;
      case Baseline::Kind::last:
        if (!last.empty()) std::copy_n(last.data() + i * K, K, numbers.data());
        internal::add_offsets(baseline, numbers.data(), K, out);
        break;
      case Baseline::Kind::linear:
        if (task->classes() > 0) {
          task.uncalibrated()->decode(outputs.data() + i * outputs.rows(), out);
        } else {
          for (Index k = 0; k < K; ++k)
            numbers[static_cast<std::size_t>(k)] = baseline.scale.restored(k, outputs(k, i));
          internal::add_offsets(baseline, numbers.data(), K, out);
        }
        break;
    }
  }
  return result;
}

namespace internal {

/// Class indices; a probability as target counts as the nearer class.
inline std::vector<Index> class_indices(const std::vector<double>& targets) {
  std::vector<Index> indices;
  for (const double value : targets) indices.push_back(static_cast<Index>(std::llround(value)));
  return indices;
}

/// The quantiles that a task predicts of each target; of numbers, the median.
inline std::vector<double> levels_of(const Task& task) {
  const bool quantiles = task->predictions() != task->targets();
  return quantiles ? task->describe().numbers("levels") : std::vector<double>{0.5};
}

/// The best prediction of a task that knows the training targets y alone. Shapes: y n x K.
inline Baseline constant_of(const std::vector<double>& y, const Task& task) {
  const Index K = task->targets(), classes = task->classes();
  Baseline constant{.kind = Baseline::Kind::constant, .name = "constant", .title = "class shares"};
  if (classes > 0) {
    const std::vector<Index> labels = class_indices(y);
    for (Index k = task->predictions() == 1 ? 1 : 0; k < classes; ++k)
      constant.constant.push_back(static_cast<double>(std::count(labels.begin(), labels.end(), k)) /
                                  static_cast<double>(labels.size()));
  } else if (task->predictions() != K) {
    constant.title = "quantiles of the training windows";
    constant.constant = quantiles_of(y, K, levels_of(task));
  } else {
    constant.title = "training mean";
    constant.constant = TargetScale::fit(y, K).mean;
  }
  return constant;
}

}  // namespace internal

/// The baseline that knows the training targets alone: shares of the classes, means or quantiles.
/// Throws: DataError, ShapeError when windows have no targets, or targets that the task does not
/// accept.
template <class Scalar>
Baseline fit_constant(const Windows<Scalar>& train, const Task& task) {
  const FloatModeGuard guard;
  if (train.empty()) throw DataError("fit_constant: there are no training windows");
  const std::vector<double> y = train.targets();
  task.check_targets(y, train.target_count(), train.size());
  return internal::constant_of(y, task);
}

/// The baselines of a task, each fitted on the training windows: constant; last, where last values
/// are known; linear. Deterministic.
/// Allocates: the last rows in double.
/// Throws: DataError, ShapeError when windows have no targets, or targets that the task does not
/// accept.
template <class Scalar>
std::vector<Baseline> fit_baselines(const Windows<Scalar>& train, const Windows<Scalar>& validation,
                                    const Task& task) {
  const FloatModeGuard guard;
  if (train.empty()) throw DataError("fit_baselines: there are no training windows");
  const Windows<Scalar>& judge = validation.empty() ? train : validation;
  const std::vector<double> y = train.targets(), judged = judge.targets();
  task.check_targets(y, train.target_count(), train.size());
  task.check_targets(judged, judge.target_count(), judge.size());
  const Index K = task->targets(), classes = task->classes();
  const Matrix<double> X = internal::last_rows(train), judge_X = internal::last_rows(judge);
  std::vector<Baseline> all = {internal::constant_of(y, task)};
  if (classes > 0) {
    PenaltyChoice choice = choose_penalty(X, internal::class_indices(y), classes, judge_X,
                                          internal::class_indices(judged));
    all.push_back({.kind = Baseline::Kind::linear,
                   .name = "linear",
                   .title = "logistic regression" + internal::penalty_text(choice.model.penalty),
                   .linear = internal::with_outputs(std::move(choice.model), task->outputs())});
    return all;
  }

  const bool quantiles = task->predictions() != K;
  const std::vector<double> levels = internal::levels_of(task);
  const TargetScale scale = TargetScale::fit(y, K);
  const std::vector<double> none(static_cast<std::size_t>(K), 0.0);
  const auto offsets = [&](const std::vector<double>& residuals) {
    return quantiles ? internal::quantiles_of(residuals, K, levels) : none;
  };
  std::vector<double> residuals = train.last_known();
  if (!residuals.empty()) {
    for (std::size_t i = 0; i < y.size(); ++i) residuals[i] = y[i] - residuals[i];
    all.push_back({.kind = Baseline::Kind::last,
                   .name = "last",
                   .title = "last known value",
                   .offsets = offsets(residuals)});
  }
  const auto scaled = [&](const std::vector<double>& of) {
    Matrix<double> Y(K, std::ssize(of) / K);
    for (Index i = 0; i < Y.size(); ++i)
      Y.data()[i] = scale.scaled(i % K, of[static_cast<std::size_t>(i)]);
    return Y;
  };
  PenaltyChoice choice = choose_penalty(X, scaled(y), judge_X, scaled(judged));
  Baseline linear{.kind = Baseline::Kind::linear,
                  .name = "linear",
                  .title = "ridge regression" + internal::penalty_text(choice.model.penalty),
                  .scale = scale,
                  .linear = std::move(choice.model)};
  const Matrix<double> fitted = linear.linear.outputs(X);
  residuals.resize(y.size());
  for (std::size_t i = 0; i < y.size(); ++i) {
    const auto at = static_cast<Index>(i);
    residuals[i] = y[i] - scale.restored(at % K, fitted(at % K, at / K));
  }
  linear.offsets = offsets(residuals);
  all.push_back(std::move(linear));
  return all;
}

/// The mistake of each prediction, lower being better: 0 or 1 for a class, the absolute error of a
/// number, the pinball loss of quantiles; of several targets the mean, each in units of its scale.
/// Shapes: predictions P x N; targets n x K.
/// Throws: ShapeError when sizes disagree.
inline std::vector<double> mistakes(const Task& task, const Matrix<double>& predictions,
                                    std::span<const double> targets) {
  const FloatModeGuard guard;
  const Index P = task->predictions(), K = task->targets(), N = predictions.cols();
  if (predictions.rows() != P || std::ssize(targets) != N * K)
    throw ShapeError("mistakes: ", predictions.rows(), " x ", N, " predictions with ",
                     targets.size(), " target values");
  const bool classes = task->classes() > 0;
  const Config config = task->describe();
  const std::vector<double> levels =
      P != K && !classes ? config.numbers("levels") : std::vector<double>{};
  const TargetScale scale = classes ? TargetScale{} : TargetScale::from(config);
  std::vector<double> all;
  for (Index i = 0; i < N; ++i) {
    const double* p = predictions.data() + i * P;
    const double* y = targets.data() + i * K;
    double sum = 0;
    if (classes) {
      const Index taken = P == 1 ? Index{p[0] >= 0.5} : std::max_element(p, p + P) - p;
      sum = same_value(static_cast<double>(taken), y[0]) ? 0 : 1;
    }
    for (Index k = 0; k < K && !classes; ++k) {
      const Index Q = P / K;
      double off = 0;
      for (Index j = 0; j < Q; ++j)
        off += levels.empty() ? std::abs(y[k] - p[k])
                              : pinball(levels[static_cast<std::size_t>(j)], p[k * Q + j], y[k]);
      sum += off / static_cast<double>(Q) / (K > 1 ? scale.scale_of(k) : 1.0);
    }
    all.push_back(sum / static_cast<double>(K));
  }
  return all;
}

/// By how much smaller one prediction's mistakes are than another's on the same windows: the mean
/// of `others` minus `ours`, and its 95% interval by a block bootstrap, since neighbouring windows
/// are not independent.
/// Throws: ShapeError when sizes disagree; as block_bootstrap_mean.
inline MeanInterval paired_gain(std::span<const double> ours, std::span<const double> others,
                                const BlockBootstrapOptions& options = {}) {
  const FloatModeGuard guard;
  if (ours.size() != others.size())
    throw ShapeError("paired_gain: ", ours.size(), " windows with ", others.size());
  std::vector<double> gain;
  for (std::size_t i = 0; i < ours.size(); ++i) gain.push_back(others[i] - ours[i]);
  return block_bootstrap_mean(gain, options);
}

}  // namespace TSDL_ABI
}  // namespace tsdl
