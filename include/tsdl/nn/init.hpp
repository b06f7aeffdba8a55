// Initial weights: PyTorch's default, or orthogonal recurrent weights.
#pragma once

#include <cmath>
#include <vector>

#include "tsdl/core/random.hpp"
#include "tsdl/nn/parameter.hpp"

namespace tsdl::inline TSDL_ABI {

enum class Init {
  /// LSTM and GRU: everything uniform in +-1/sqrt(H); Linear: everything uniform in +-1/sqrt(in).
  /// Source: https://pytorch.org/docs/stable/generated/torch.nn.LSTM.html and torch.nn.Linear.html.
  pytorch,
  /// Recurrent weights with orthonormal columns, input and linear weights by Glorot and Bengio's
  /// uniform rule, biases zero. Source: Saxe, McClelland and Ganguli 2014; Glorot and Bengio 2010.
  orthogonal,
};

namespace internal {

template <class Scalar>
void fill_uniform(Parameter<Scalar>& parameter, double bound, RandomStream random) {
  for (Scalar& value : parameter.value) value = static_cast<Scalar>(random.uniform(-bound, bound));
}

/// Uniform in +-sqrt(6 / (fan_in + fan_out)).
template <class Scalar>
void fill_xavier(Parameter<Scalar>& parameter, RandomStream random) {
  const double fans = static_cast<double>(parameter.rows + parameter.cols);
  fill_uniform(parameter, std::sqrt(6.0 / fans), random);
}

/// Orthonormal columns (rows >= cols): modified Gram-Schmidt on normal draws, run twice so that the
/// columns are orthogonal to working precision.
template <class Scalar>
void fill_orthogonal(Parameter<Scalar>& parameter, RandomStream random) {
  const Index rows = parameter.rows, cols = parameter.cols;
  TSDL_ASSERT(rows >= cols);
  std::vector<std::vector<double>> basis(static_cast<std::size_t>(cols));
  const auto dot = [&](const std::vector<double>& a, const std::vector<double>& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
  };
  for (std::size_t j = 0; j < basis.size(); ++j) {
    basis[j].resize(static_cast<std::size_t>(rows));
    for (double& value : basis[j]) value = random.normal();
    for (int pass = 0; pass < 2; ++pass) {
      for (std::size_t k = 0; k < j; ++k) {
        const double projection = dot(basis[j], basis[k]);
        for (std::size_t i = 0; i < basis[j].size(); ++i) basis[j][i] -= projection * basis[k][i];
      }
      const double norm = std::sqrt(dot(basis[j], basis[j]));
      for (double& value : basis[j]) value /= norm;
    }
  }
  for (Index i = 0; i < rows; ++i)
    for (Index j = 0; j < cols; ++j)
      parameter.value[i * cols + j] =
          static_cast<Scalar>(basis[static_cast<std::size_t>(j)][static_cast<std::size_t>(i)]);
}

}  // namespace internal

}  // namespace tsdl::inline TSDL_ABI
