// Centred features with a row of ones, and linear systems with their Gram matrix.
//
// Only products of a matrix with a vector or with its own transpose are used: Eigen runs these on
// the calling thread, so that results do not depend on the number of threads.
//
//   symbol   shape        meaning
//   X        d x n        features, one column a sample
//   C        d x n        X about the mean of each feature
//   Z        (d+1) x n    C, then a row of ones, whose weight is the intercept
#pragma once

#include <Eigen/Cholesky>
#include <algorithm>
#include <limits>

#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// The mean of each row; exact for a row of equal values.
inline Vector<double> row_means(const Matrix<double>& X) {
  const Vector<double> first = X.col(0);
  return first + (X.colwise() - first).rowwise().mean();
}

/// Features prepared for fitting.
struct Design {
  explicit Design(const Matrix<double>& X) : mean(row_means(X)), Z(X.rows() + 1, X.cols()) {
    Z.topRows(X.rows()) = X.colwise() - mean;
    Z.bottomRows(1).setOnes();
  }

  Index features() const noexcept { return mean.size(); }
  Index samples() const noexcept { return Z.cols(); }
  auto centred() const { return Z.topRows(mean.size()); }

  Vector<double> mean;
  Matrix<double> Z;
};

/// The Cholesky factors of A (its lower half is read), which is positive definite except for
/// rounding. Where rounding makes it indefinite, as with large collinear columns, the diagonal
/// grows by the smallest power of ten of epsilon that is enough.
inline void factorise(Eigen::LLT<Matrix<double>>& cholesky, Matrix<double>& A) {
  double growth = std::numeric_limits<double>::epsilon();
  for (cholesky.compute(A); cholesky.info() != Eigen::Success && growth < 1; growth *= 10) {
    A.diagonal() *= 1 + growth;
    cholesky.compute(A);
  }
}

/// Solves systems with the matrix C C^T + shift I, C being the centred features; factorises the
/// smaller of C C^T and C^T C. The design must outlive it.
class GramSystem {
 public:
  explicit GramSystem(const Design& design)
      : design_(&design), wide_(design.features() > design.samples()) {
    const Index size = std::min(design.features(), design.samples());
    gram_.setZero(size, size);
    if (wide_)
      gram_.selfadjointView<Eigen::Lower>().rankUpdate(design.centred().transpose());
    else
      gram_.selfadjointView<Eigen::Lower>().rankUpdate(design.centred());
  }

  void set_shift(double shift) {
    shift_ = shift;
    Matrix<double> shifted = gram_;
    shifted.diagonal().array() += shift;
    factorise(cholesky_, shifted);
  }

  /// The smallest shift for which solve is accurate: with more features than samples it takes a
  /// difference, which rounding would spoil for a much smaller shift.
  double least_shift() const { return wide_ ? 1e-10 * gram_.diagonal().maxCoeff() : 0.0; }

  /// (C C^T + shift I)^-1 b.
  /// Equations: with more features than samples, (b - C (C^T C + shift I)^-1 C^T b) / shift.
  Vector<double> solve(const Vector<double>& b) const {
    if (!wide_) return cholesky_.solve(b);
    const Vector<double> inner = cholesky_.solve(design_->centred().transpose() * b);
    return (b - design_->centred() * inner) / shift_;
  }

  /// (C C^T + shift I)^-1 C b, which is C (C^T C + shift I)^-1 b.
  Vector<double> solve_product(const Vector<double>& b) const {
    if (!wide_) return cholesky_.solve(design_->centred() * b);
    return design_->centred() * cholesky_.solve(b);
  }

 private:
  const Design* design_;
  bool wide_;
  double shift_ = 0;
  Matrix<double> gram_;  // the lower half
  Eigen::LLT<Matrix<double>> cholesky_;
};

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
