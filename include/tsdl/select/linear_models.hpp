// Ridge and logistic regression in double: the linear models with which networks are compared.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/select/design.hpp"
#include "tsdl/select/logistic_solver.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// A fitted linear model: outputs = weights X + bias.
struct LinearModel {
  Matrix<double> weights;  ///< K x d; for two classes one row, the logits of class 1
  Vector<double> bias;     ///< K
  double penalty = 0;      ///< the penalty of the fit
  /// Whether the gradient fell below the solver's tolerance. False: it stopped at the precision of
  /// double, as can happen with values far from 1, or at its limit of iterations.
  bool converged = true;

  /// Shapes: X d x n, result K x n. Allocates: the result. Throws: ShapeError when X has other
  /// features than d.
  Matrix<double> outputs(const Matrix<double>& X) const {
    const FloatModeGuard guard;
    if (X.rows() != weights.cols())
      throw ShapeError("LinearModel: expected ", weights.cols(), " features, found ", X.rows());
    Matrix<double> result(weights.rows(), X.cols());
    for (Index k = 0; k < weights.rows(); ++k) {
      result.row(k).noalias() = weights.row(k) * X;
      result.row(k).array() += bias[k];
    }
    return result;
  }
};

/// The penalties that choose_penalty tries, ascending.
inline constexpr std::array<double, 9> penalty_grid = {1e-2, 1e-1, 1e0, 1e1, 1e2,
                                                       1e3,  1e4,  1e5, 1e6};

/// The model with the penalty that did best on validation data.
struct PenaltyChoice {
  LinearModel model;                                    ///< its `penalty` is the one chosen
  double loss = 0;                                      ///< of the model on the validation data
  std::array<double, penalty_grid.size()> losses = {};  ///< on validation data, by penalty_grid
};

namespace internal {

/// Throws: ShapeError when there is no feature or no sample; DataError naming feature and sample of
/// a value that is not finite.
inline void check_features(const char* where, const Matrix<double>& X) {
  if (X.rows() < 1 || X.cols() < 1)
    throw ShapeError(where, ": expected a feature and a sample or more, found ", X.rows(),
                     " features of ", X.cols(), " samples");
  for (Index i = 0; i < X.cols(); ++i)
    for (Index j = 0; j < X.rows(); ++j)
      if (!is_finite(X(j, i)))
        throw DataError(where, ": feature ", j, " of sample ", i, " is ", X(j, i));
}

/// Throws: ShapeError when there are not K outputs for each of n samples; DataError naming output
/// and sample of a value that is not finite.
inline void check_targets(const char* where, const Matrix<double>& Y, Index K, Index n) {
  if (Y.rows() != K || Y.cols() != n || K < 1)
    throw ShapeError(where, ": expected ", std::max(K, Index{1}), " x ", n, " targets, found ",
                     Y.rows(), " x ", Y.cols());
  for (Index i = 0; i < n; ++i)
    for (Index k = 0; k < K; ++k)
      if (!is_finite(Y(k, i)))
        throw DataError(where, ": target ", k, " of sample ", i, " is ", Y(k, i));
}

/// Throws: ShapeError when there is not one class for each of n samples; DataError naming a sample
/// whose class is not one of 0 ... K - 1.
inline void check_classes(const char* where, std::span<const Index> classes, Index K, Index n) {
  if (static_cast<Index>(classes.size()) != n)
    throw ShapeError(where, ": ", n, " samples with ", classes.size(), " classes");
  for (std::size_t i = 0; i < classes.size(); ++i)
    if (classes[i] < 0 || classes[i] >= K)
      throw DataError(where, ": sample ", i, " is of class ", classes[i], ", not one of ", K);
}

inline void check_penalty(const char* where, double penalty) {
  if (!is_finite(penalty) || penalty <= 0)
    throw OptionError(where, ": expected a penalty above 0, found ", penalty);
}

[[noreturn]] inline void throw_too_large(const char* where) {
  throw DataError(where, ": values too large to fit");
}

/// Throws: as check_features; DataError when the features' squares add to infinity.
inline Design checked_design(const char* where, const Matrix<double>& X) {
  check_features(where, X);
  Design design(X);
  if (!is_finite(design.centred().squaredNorm())) throw_too_large(where);
  return design;
}

/// Throws: DataError when a weight or bias is not finite.
inline void check_fitted(const char* where, const LinearModel& model) {
  const auto is_number = [](double value) { return is_finite(value); };
  if (!std::all_of(model.weights.data(), model.weights.data() + model.weights.size(), is_number) ||
      !std::all_of(model.bias.begin(), model.bias.end(), is_number))
    throw_too_large(where);
}

/// Ridge regressions on the same data with one penalty after another.
class RidgeFit {
 public:
  RidgeFit(const char* where, const Matrix<double>& X, const Matrix<double>& Y)
      : where_(where), design_(checked_design(where, X)), system_(design_) {
    check_targets(where, Y, Y.rows(), X.cols());
    mean_ = row_means(Y);
    targets_ = (Y.colwise() - mean_).transpose();
  }
  RidgeFit(const RidgeFit&) = delete;
  RidgeFit& operator=(const RidgeFit&) = delete;

  LinearModel fit(double penalty) {
    check_penalty(where_, penalty);
    system_.set_shift(penalty);
    LinearModel model;
    model.penalty = penalty;
    model.weights.resize(targets_.cols(), design_.features());
    for (Index k = 0; k < targets_.cols(); ++k)
      model.weights.row(k) = system_.solve_product(targets_.col(k)).transpose();
    model.bias = mean_ - model.weights * design_.mean;
    check_fitted(where_, model);
    return model;
  }

 private:
  const char* where_;
  Design design_;
  GramSystem system_;
  Vector<double> mean_;     // of the targets
  Matrix<double> targets_;  // n x K, about their mean
};

/// Logistic regressions on the same data with one penalty after another, each starting from the
/// previous result.
class LogisticFit {
 public:
  LogisticFit(const char* where, const Matrix<double>& X, std::span<const Index> classes, Index K)
      : where_(where), K_(K), design_(checked_design(where, X)) {
    if (K < 2) throw OptionError(where, ": expected 2 classes or more, not ", K);
    check_classes(where, classes, K, X.cols());
    std::vector<double> counts(static_cast<std::size_t>(K));
    for (const Index c : classes) ++counts[static_cast<std::size_t>(c)];
    std::vector<Index> row_of(counts.size());
    for (std::size_t c = 0; c < counts.size(); ++c) {
      row_of[c] = static_cast<Index>(present_.size());
      if (counts[c] > 0) present_.push_back(static_cast<Index>(c));
    }
    if (present_.size() == 1) return;
    Matrix<double> theta =
        Matrix<double>::Zero(X.rows() + 1, K == 2 ? 1 : static_cast<Index>(present_.size()));
    for (Index r = 0; r < theta.cols(); ++r)  // the best intercepts of weights 0
      theta(X.rows(), r) =
          std::log(counts[static_cast<std::size_t>(present_[static_cast<std::size_t>(r)])]);
    if (K == 2) theta(X.rows(), 0) = std::log(counts[1] / counts[0]);
    for (const Index c : classes)
      targets_.push_back(K == 2 ? c : row_of[static_cast<std::size_t>(c)]);
    solver_.emplace(design_, targets_, std::move(theta));
  }
  LogisticFit(const LogisticFit&) = delete;
  LogisticFit& operator=(const LogisticFit&) = delete;

  LinearModel fit(double penalty) {
    check_penalty(where_, penalty);
    const Index d = design_.features();
    const double half_a_sample = std::log(0.5 / static_cast<double>(design_.samples()));
    LinearModel model;
    model.penalty = penalty;
    model.weights.setZero(K_ == 2 ? 1 : K_, d);
    model.bias.setConstant(model.weights.rows(), half_a_sample);
    if (K_ == 2 && !solver_) {
      if (present_[0] == 1) model.bias[0] = -half_a_sample;
      return model;
    }
    Matrix<double> theta = Matrix<double>::Zero(d + 1, 1);
    if (solver_) {
      model.converged = solver_->minimise(penalty);
      theta = solver_->theta();
    }
    // A number added to all logits changes nothing; with several logits, their sum is set to 0.
    if (K_ > 2) {
      theta.colwise() -= theta.rowwise().mean().eval();
      model.bias.array() += std::log(theta.row(d).array().exp().sum());
    }
    for (Index r = 0; r < theta.cols(); ++r) {
      const Index row = K_ == 2 ? 0 : present_[static_cast<std::size_t>(r)];
      model.weights.row(row) = theta.col(r).head(d).transpose();
      model.bias[row] = theta(d, r) - theta.col(r).head(d).dot(design_.mean);
    }
    check_fitted(where_, model);
    return model;
  }

 private:
  const char* where_;
  Index K_;
  Design design_;
  std::vector<Index> present_;  // the classes that occur
  std::vector<Index> targets_;
  std::optional<LogisticSolver> solver_;  // none where only one class occurs
};

/// The model with the penalty in penalty_grid of least loss; loss(model) is the loss on validation
/// data.
template <class Fit, class Loss>
PenaltyChoice choose_penalty_of(Fit& fit, const Loss& loss) {
  PenaltyChoice choice;
  choice.loss = infinity_of<double>;
  for (std::size_t i = penalty_grid.size(); i-- > 0;) {
    LinearModel model = fit.fit(penalty_grid[i]);
    choice.losses[i] = loss(model);
    if (i + 1 < penalty_grid.size() && !(choice.losses[i] < choice.loss * (1 - 1e-9))) continue;
    choice.loss = choice.losses[i];
    choice.model = std::move(model);
  }
  return choice;
}

}  // namespace internal

/// Ridge regression of K targets.
/// Equations: weights W and bias b minimise
///   sum over i of |y_i - W x_i - b|^2 + penalty |W|^2
/// Shapes: X d x n, Y K x n. Columns may be constant or collinear. Allocates: a copy of X and the
/// square of the smaller of d and n. On the calling thread.
/// Throws: OptionError when the penalty is not above 0 or not finite; ShapeError without a feature,
/// sample or target, or when sizes disagree; DataError when a value is not finite or too large.
/// Source: sklearn.linear_model.Ridge with alpha = penalty.
inline LinearModel fit_ridge(const Matrix<double>& X, const Matrix<double>& Y, double penalty) {
  const FloatModeGuard guard;
  return internal::RidgeFit("fit_ridge", X, Y).fit(penalty);
}

/// Logistic regression of K classes: one logit for two classes, that of class 1; else K logits,
/// whose softmax are the probabilities.
/// Equations: weights W and bias b minimise
///   sum over i of -log p(class_i | x_i) + penalty / 2 |W|^2
/// A class that does not occur in `classes` would have a bias of minus infinity. It gets weights of
/// 0 and the bias that gives it, at the mean of X, the odds of half a sample, 1 / (2 n); the others
/// are fitted as if it did not exist. Their logits sum to 0.
/// Shapes: X d x n.
/// Allocates: copies of X and, for up to 300 unknowns, the square of their number, else of the
/// smaller of d and n. On the calling thread.
/// Throws: as fit_ridge; OptionError when K is below 2; DataError when a class is not one of 0 ...
/// K - 1.
/// Source: sklearn.linear_model.LogisticRegression with C = 1 / penalty, and
/// multi_class="multinomial" for three classes or more.
inline LinearModel fit_logistic(const Matrix<double>& X, std::span<const Index> classes, Index K,
                                double penalty) {
  const FloatModeGuard guard;
  return internal::LogisticFit("fit_logistic", X, classes, K).fit(penalty);
}

/// The mean over samples of |y - outputs|^2. Throws: as fit_ridge.
inline double mean_squared_error(const LinearModel& model, const Matrix<double>& X,
                                 const Matrix<double>& Y) {
  const FloatModeGuard guard;
  internal::check_features("mean_squared_error", X);
  internal::check_targets("mean_squared_error", Y, model.weights.rows(), X.cols());
  return (Y - model.outputs(X)).squaredNorm() / static_cast<double>(X.cols());
}

/// The mean over samples of -log p(class) of a logistic model. Throws: as fit_logistic.
inline double mean_log_loss(const LinearModel& model, const Matrix<double>& X,
                            std::span<const Index> classes) {
  const FloatModeGuard guard;
  const Index R = model.weights.rows();
  internal::check_features("mean_log_loss", X);
  internal::check_classes("mean_log_loss", classes, R == 1 ? 2 : R, X.cols());
  Matrix<double> logits = model.outputs(X);
  double sum = 0;
  for (Index i = 0; i < X.cols(); ++i)
    sum += internal::logits_to_probabilities(logits.col(i).data(), R,
                                             classes[static_cast<std::size_t>(i)]);
  return sum / static_cast<double>(X.cols());
}

/// Ridge regression with the penalty in penalty_grid of least squared error on validation data.
/// Losses within 1e-9 of each other are ties, in which the larger penalty wins. Shapes, allocates,
/// throws: as fit_ridge.
inline PenaltyChoice choose_penalty(const Matrix<double>& X, const Matrix<double>& Y,
                                    const Matrix<double>& validation_X,
                                    const Matrix<double>& validation_Y) {
  const FloatModeGuard guard;
  internal::RidgeFit fit("choose_penalty", X, Y);
  return internal::choose_penalty_of(fit, [&](const LinearModel& model) {
    return mean_squared_error(model, validation_X, validation_Y);
  });
}

/// Logistic regression with the penalty in penalty_grid of least log loss on validation data, ties
/// as above. Fits from the largest penalty down, each time starting from the result before. Shapes,
/// allocates, throws: as fit_logistic.
inline PenaltyChoice choose_penalty(const Matrix<double>& X, std::span<const Index> classes,
                                    Index K, const Matrix<double>& validation_X,
                                    std::span<const Index> validation_classes) {
  const FloatModeGuard guard;
  internal::LogisticFit fit("choose_penalty", X, classes, K);
  return internal::choose_penalty_of(fit, [&](const LinearModel& model) {
    return mean_log_loss(model, validation_X, validation_classes);
  });
}

}  // namespace TSDL_ABI
}  // namespace tsdl
