// Minimises the loss of logistic regression: by Newton's method, or by L-BFGS where that would be
// slow.
//
//   symbol   shape        meaning
//   Z        (d+1) x n    features about their mean, then a row of ones
//   W, w0    R x d, R     weights and intercept of each of R logits
//   theta    (d+1) x R    (W, w0) transposed
//   lambda   1            the penalty
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "tsdl/core/types.hpp"
#include "tsdl/select/design.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// Computes the log loss of a sample from its R logits, and turns these into probabilities.
/// `target`: the row of its class, or with one logit its class.
inline double logits_to_probabilities(double* z, Index R, Index target) noexcept {
  if (R == 1) {
    const double small = std::exp(-std::abs(z[0]));
    const double loss = std::max(z[0], 0.0) - (target == 1 ? z[0] : 0.0) + std::log1p(small);
    z[0] = (z[0] >= 0 ? 1.0 : small) / (1.0 + small);
    return loss;
  }
  const double largest = *std::max_element(z, z + R), of_target = z[target] - largest;
  double sum = 0;
  for (Index r = 0; r < R; ++r) sum += z[r] = std::exp(z[r] - largest);
  for (Index r = 0; r < R; ++r) z[r] /= sum;
  return std::log(sum) - of_target;
}

/// The sum of products.
inline double dot(const Matrix<double>& a, const Matrix<double>& b) {
  return a.cwiseProduct(b).sum();
}

/// The loss of logistic regression, with its derivatives.
/// Equations, for sample i, p its probabilities, y its class as one-hot:
///   loss = sum over i of the log loss + lambda / 2 |W|^2
///   d theta = sum over i of z_i (p_i - y_i)^T + lambda (W, 0)
///   Hessian of logits k, l = sum over i of p_k ([k = l] - p_l) z_i z_i^T + [k = l] lambda (I, 0)
class LogisticLoss {
 public:
  /// `targets`: one number per sample, as in logits_to_probabilities. Both must outlive this
  /// object.
  LogisticLoss(const Design& design, const std::vector<Index>& targets, Index R)
      : design_(&design), targets_(&targets), probabilities_(R, design.samples()) {}

  void set_penalty(double penalty) noexcept { penalty_ = penalty; }

  /// The loss at theta, and its gradient.
  double evaluate(const Matrix<double>& theta, Matrix<double>& gradient) {
    constexpr Index block = 64;  // columns of Z that stay cached until the gradient needs them
    const Index d = design_->features(), n = design_->samples(), R = theta.cols();
    gradient = penalty_ * theta;
    gradient.row(d).setZero();
    double loss = penalty_ / 2 * theta.topRows(d).squaredNorm();
    Matrix<double> residuals(block, R);  // at first the logits
    for (Index first = 0; first < n; first += block) {
      const Index count = std::min(block, n - first);
      const auto Z = design_->Z.middleCols(first, count);
      for (Index k = 0; k < R; ++k)
        residuals.col(k).head(count).noalias() = Z.transpose() * theta.col(k);
      probabilities_.middleCols(first, count) = residuals.topRows(count).transpose();
      for (Index i = 0; i < count; ++i) {
        const Index target = (*targets_)[static_cast<std::size_t>(first + i)];
        loss += logits_to_probabilities(probabilities_.col(first + i).data(), R, target);
        residuals.row(i) = probabilities_.col(first + i).transpose();
        residuals(i, R == 1 ? 0 : target) -= R == 1 ? static_cast<double>(target) : 1.0;
      }
      for (Index k = 0; k < R; ++k) gradient.col(k).noalias() += Z * residuals.col(k).head(count);
    }
    return loss;
  }

  /// The lower half of the Hessian at the theta evaluated last, with theta's columns stacked. With
  /// several logits it would be singular, since the loss does not change when all intercepts grow
  /// alike: so n / 2 times the square of their mean is added to the loss.
  Matrix<double> hessian() const {
    const Index d = design_->features(), rows = d + 1, R = probabilities_.rows();
    const auto n = static_cast<double>(design_->samples());
    Matrix<double> H(R * rows, R * rows), part(rows, rows), scaled;
    for (Index k = 0; k < R; ++k)
      for (Index l = 0; l <= k; ++l) {
        const auto p = probabilities_.row(k).array(), q = probabilities_.row(l).array();
        const Eigen::RowVectorXd weights = k == l ? (p * (1.0 - p)).eval() : (p * q).eval();
        scaled = design_->Z.array().rowwise() * weights.array().sqrt();
        part.setZero();
        part.selfadjointView<Eigen::Lower>().rankUpdate(scaled, k == l ? 1.0 : -1.0);
        if (k == l) part.diagonal().head(d).array() += penalty_;
        if (R > 1) part(d, d) += n / static_cast<double>(R * R);
        H.block(k * rows, l * rows, rows, rows) = part.selfadjointView<Eigen::Lower>();
      }
    return H;
  }

  /// The mean over samples and logits of p (1 - p) at the theta evaluated last. With several
  /// logits, whose sum does not matter, it divides by one logit less.
  double curvature() const {
    const auto p = probabilities_.array();
    const double sum = (p * (1.0 - p)).sum();
    const Index R = probabilities_.rows();
    return sum / static_cast<double>(probabilities_.cols() * (R == 1 ? 1 : R - 1));
  }

 private:
  const Design* design_;
  const std::vector<Index>* targets_;
  double penalty_ = 0;
  Matrix<double> probabilities_;  // R x n
};

/// The state of a solver.
struct LogisticPoint {
  Matrix<double> theta, gradient;
  double loss = 0;
};

/// Moves along the direction to a point where the loss fell enough and its slope is small enough,
/// trying the full step first; `loss` was then evaluated there. Returns false, without moving, when
/// floating point has no such point. The slope of a convex loss only grows, so its sign says on
/// which side of the minimum a step ends, even where differences of the loss are lost in rounding.
/// Source: Hager and Zhang, A new conjugate gradient method with guaranteed descent and an
/// efficient line search (2005): the approximate Wolfe conditions, delta 0.1 and sigma 0.9.
inline bool descend(LogisticLoss& loss, const Matrix<double>& direction, LogisticPoint& at) {
  const double slope = dot(at.gradient, direction);
  if (!(slope < 0)) return false;
  const double highest = at.loss + 1e-12 * std::abs(at.loss);  // rounding of its sum
  double low = 0, low_slope = slope, high = infinity_of<double>, high_slope = 0, step = 1;
  LogisticPoint next;
  for (int trial = 0; trial < 50; ++trial) {
    next.theta = at.theta + step * direction;
    next.loss = loss.evaluate(next.theta, next.gradient);
    const double next_slope = dot(next.gradient, direction);
    const bool lower = next.loss <= highest;
    if (lower && next_slope >= 0.9 * slope && next_slope <= -0.8 * slope) {
      std::swap(at, next);
      return true;
    }
    if (lower && next_slope < 0) {
      low = step;
      low_slope = next_slope;
    } else {
      high = step;
      high_slope = next_slope;
    }
    if (!is_finite(high)) {
      step *= 4;
      continue;
    }
    const double width = high - low, secant = low_slope / (low_slope - high_slope);
    step = low + width * (secant > 0 && secant < 1 ? std::clamp(secant, 0.1, 0.9) : 0.5);
  }
  return false;
}

/// An approximate inverse of the Hessian, from the changes of the gradient along the last steps.
/// precondition(G) is the product with the initial matrix, which is scaled by equation 7.20 in its
/// own norm.
/// Source: Nocedal and Wright, Numerical Optimization (2006), algorithm 7.4.
class InverseHessian {
 public:
  bool empty() const noexcept { return pairs_.empty(); }
  void clear() noexcept { pairs_.clear(); }

  template <class Precondition>
  void update(Matrix<double> step, Matrix<double> change, const Precondition& precondition) {
    const double curvature = dot(step, change), norm = dot(change, precondition(change));
    if (!(curvature > 0 && norm > 0)) return;
    if (pairs_.size() == 20) pairs_.erase(pairs_.begin());
    pairs_.push_back({std::move(step), std::move(change), curvature});
    scale_ = curvature / norm;
  }

  /// Its product with the gradient.
  template <class Precondition>
  Matrix<double> times(const Matrix<double>& gradient, const Precondition& precondition) const {
    Matrix<double> q = gradient;
    std::vector<double> alpha(pairs_.size());
    for (std::size_t i = pairs_.size(); i-- > 0;) {
      alpha[i] = dot(pairs_[i].step, q) / pairs_[i].curvature;
      q -= alpha[i] * pairs_[i].change;
    }
    Matrix<double> r = precondition(q);
    if (!empty()) r *= scale_;
    for (std::size_t i = 0; i < pairs_.size(); ++i)
      r += (alpha[i] - dot(pairs_[i].change, r) / pairs_[i].curvature) * pairs_[i].step;
    return r;
  }

 private:
  struct Pair {
    Matrix<double> step, change;
    double curvature;
  };
  std::vector<Pair> pairs_;
  double scale_ = 1;
};

/// Minimises LogisticLoss for one penalty after another, each time from the previous result.
class LogisticSolver {
 public:
  /// The largest number of unknowns for Newton's method. It is better where features differ widely
  /// in scale, but a step costs n times the square of the number of unknowns.
  static constexpr Index largest_newton_system = 300;

  /// Theta, (d+1) x R, is the starting point of the first search; targets are as in LogisticLoss.
  /// Design and targets must outlive this object.
  LogisticSolver(const Design& design, const std::vector<Index>& targets, Matrix<double> theta)
      : samples_(static_cast<double>(design.samples())), loss_(design, targets, theta.cols()) {
    at_.theta = std::move(theta);
    if (at_.theta.size() > largest_newton_system) gram_.emplace(design);
  }

  /// Iterates until the gradient's norm is at most 1e-8 n, or until rounding or the limit of steps
  /// allows no further progress. Returns whether the norm was reached.
  bool minimise(double penalty) {
    loss_.set_penalty(penalty);
    at_.loss = loss_.evaluate(at_.theta, at_.gradient);
    gram_ ? minimise_lbfgs(penalty) : minimise_newton();
    return is_minimum();
  }

  const Matrix<double>& theta() const noexcept { return at_.theta; }

 private:
  bool is_minimum() const { return at_.gradient.norm() <= 1e-8 * samples_; }

  void minimise_newton() {
    Eigen::LLT<Matrix<double>> cholesky;
    Matrix<double> direction(at_.theta.rows(), at_.theta.cols());
    for (int step = 0; step < 200 && !is_minimum(); ++step) {
      Matrix<double> H = loss_.hessian();
      factorise(cholesky, H);
      direction.reshaped() = cholesky.solve(-at_.gradient.reshaped());
      if (!descend(loss_, direction, at_)) return;
    }
  }

  /// L-BFGS, starting from the inverse of a Hessian in which p (1 - p) of every sample is replaced
  /// by its mean:
  ///   (curvature C C^T + lambda I)^-1 for weights, 1 / (curvature n) for intercepts
  /// Where features say little, this is close to the Hessian of each logit.
  void minimise_lbfgs(double penalty) {
    const double curvature = std::max(loss_.curvature(), 1e-6);
    gram_->set_shift(std::max(penalty / curvature, gram_->least_shift()));
    const auto precondition = [&](const Matrix<double>& G) {
      const Index d = G.rows() - 1;
      Matrix<double> result = G / (curvature * samples_);
      for (Index k = 0; k < G.cols(); ++k)
        result.col(k).head(d) = gram_->solve(G.col(k).head(d)) / curvature;
      return result;
    };
    InverseHessian inverse;
    for (int step = 0; step < 2000 && !is_minimum(); ++step) {
      LogisticPoint last = at_;
      if (descend(loss_, -inverse.times(at_.gradient, precondition), at_)) {
        inverse.update(at_.theta - last.theta, at_.gradient - last.gradient, precondition);
      } else if (inverse.empty()) {
        return;
      } else {
        inverse.clear();
      }
    }
  }

  double samples_;
  LogisticLoss loss_;
  LogisticPoint at_;
  std::optional<GramSystem> gram_;
};

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
