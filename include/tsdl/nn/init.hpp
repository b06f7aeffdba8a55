// Initial weights: PyTorch's default, or orthogonal recurrent weights.
#pragma once

#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/random.hpp"
#include "tsdl/nn/parameter.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

enum class Init {
  /// LSTM and GRU: everything uniform in +-1/sqrt(H); Linear: everything uniform in +-1/sqrt(in).
  /// Source: https://pytorch.org/docs/stable/generated/torch.nn.LSTM.html and torch.nn.Linear.html.
  pytorch,
  /// Recurrent weights with orthonormal columns, input and linear weights by Glorot and Bengio's
  /// uniform rule, biases zero. Source: Saxe, McClelland and Ganguli 2014; Glorot and Bengio 2010.
  orthogonal,
};

inline std::string to_string(Init init) {
  return init == Init::orthogonal ? "orthogonal" : "pytorch";
}

/// Throws: OptionError when the name is not pytorch or orthogonal.
inline Init init_from(std::string_view name) {
  for (const Init init : {Init::pytorch, Init::orthogonal})
    if (name == to_string(init)) return init;
  throw OptionError("init: expected pytorch or orthogonal, got '", name, "'");
}

namespace internal {

// Cold: initialisation runs once per model, and code optimised for size compiles faster.
template <class Scalar>
[[gnu::cold]] void fill_uniform(Parameter<Scalar>& parameter, double bound, RandomStream random) {
  for (Scalar& value : parameter.value) value = static_cast<Scalar>(random.uniform(-bound, bound));
}

/// Uniform in +-sqrt(6 / (fan_in + fan_out)).
template <class Scalar>
[[gnu::cold]] void fill_xavier(Parameter<Scalar>& parameter, RandomStream random) {
  const double fans = static_cast<double>(parameter.rows + parameter.cols);
  fill_uniform(parameter, std::sqrt(6.0 / fans), random);
}

/// `count` orthonormal vectors of `size` >= count values, stored one after the other: modified
/// Gram-Schmidt on normal draws, run twice so that they are orthogonal to working precision.
[[gnu::cold]] inline std::vector<double> orthonormal(Index count, Index size, RandomStream random) {
  TSDL_ASSERT(size >= count);
  std::vector<double> basis(static_cast<std::size_t>(count * size));
  const auto dot = [size](const double* a, const double* b) {
    double sum = 0;
    for (Index i = 0; i < size; ++i) sum += a[i] * b[i];
    return sum;
  };
  for (Index j = 0; j < count; ++j) {
    double* vector = basis.data() + j * size;
    for (Index i = 0; i < size; ++i) vector[i] = random.normal();
    for (int pass = 0; pass < 2; ++pass) {
      for (const double* other = basis.data(); other != vector; other += size) {
        const double projection = dot(vector, other);
        for (Index i = 0; i < size; ++i) vector[i] -= projection * other[i];
      }
      const double norm = std::sqrt(dot(vector, vector));
      for (Index i = 0; i < size; ++i) vector[i] /= norm;
    }
  }
  return basis;
}

/// Orthonormal columns (rows >= cols).
template <class Scalar>
[[gnu::cold]] void fill_orthogonal(Parameter<Scalar>& parameter, RandomStream random) {
  const Index rows = parameter.rows, cols = parameter.cols;
  const std::vector<double> columns = orthonormal(cols, rows, random);
  for (Index i = 0; i < rows; ++i)
    for (Index j = 0; j < cols; ++j)
      parameter.value[i * cols + j] =
          static_cast<Scalar>(columns[static_cast<std::size_t>(j * rows + i)]);
}

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
