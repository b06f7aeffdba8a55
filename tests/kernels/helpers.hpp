// Matrices to multiply, and their packs.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "support/network.hpp"
#include "tsdl/core/buffer.hpp"
#include "tsdl/kernels/pack.hpp"

namespace test {

template <class Scalar>
tsdl::RowMajorMatrix<Scalar> random_matrix(tsdl::RandomStream& random, Index rows, Index cols) {
  tsdl::RowMajorMatrix<Scalar> matrix(rows, cols);
  for (Scalar& value : matrix.reshaped()) value = static_cast<Scalar>(random.uniform(-1.0, 1.0));
  return matrix;
}

template <Index V = tsdl::kernels::panel_vectors, class Scalar>
tsdl::Buffer<Scalar> packed_by_columns(const tsdl::RowMajorMatrix<Scalar>& b) {
  tsdl::Buffer<Scalar> packed(tsdl::kernels::packed_size<Scalar>(b.rows(), b.cols()));
  for (Index n = 0; n < b.cols(); ++n) {
    const tsdl::Vector<Scalar> column = b.col(n);
    tsdl::kernels::pack_column<V>(packed.data(), b.rows(), b.cols(), Index{0}, n, column.data(),
                                  b.rows());
  }
  return packed;
}

template <class Scalar>
inline constexpr double unit = std::numeric_limits<Scalar>::epsilon();

/// The largest difference from a reference in double, in units of rounding and of the sum's length.
template <class Scalar>
double error_of(const tsdl::RowMajorMatrix<Scalar>& actual, const tsdl::Matrix<double>& expected,
                Index length) {
  double top = 0.0;
  for (Index i = 0; i < actual.rows(); ++i)
    for (Index j = 0; j < actual.cols(); ++j)
      top = std::max(top, std::abs(static_cast<double>(actual(i, j)) - expected(i, j)));
  return top / (unit<Scalar> * static_cast<double>(length + 1));
}

}  // namespace test
