// Matrices to multiply, and their packs.
#pragma once

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

}  // namespace test
