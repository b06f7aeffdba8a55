// From the outputs of T steps to one row a sample, forward and backward.
#pragma once

#include <algorithm>
#include <string_view>

#include "tsdl/core/error.hpp"
#include "tsdl/nn/stack.hpp"

namespace tsdl::inline TSDL_ABI {

/// What a classifier reads of its recurrent layers. A row has D * H values, forward before reverse.
enum class Pooling {
  last,          ///< out[:, -1, :]: of the reverse direction, its first step
  final_states,  ///< each direction's last step: forward's at T - 1, reverse's at 0
  mean           ///< the mean over t
};

inline std::string_view to_string(Pooling pooling) noexcept {
  switch (pooling) {
    case Pooling::last:
      return "last";
    case Pooling::final_states:
      return "final";
    case Pooling::mean:
      return "mean";
  }
  return "";
}

/// Throws: Error when the name is not last, final or mean.
inline Pooling pooling_from(std::string_view name) {
  for (const Pooling pooling : {Pooling::last, Pooling::final_states, Pooling::mean})
    if (name == to_string(pooling)) return pooling;
  throw Error("pooling: expected last, final or mean, got '", name, "'");
}

namespace internal {

inline Steps steps_read_by(Pooling pooling) noexcept {
  switch (pooling) {
    case Pooling::last:
      return Steps::last;
    case Pooling::final_states:
      return Steps::final;
    case Pooling::mean:
      return Steps::all;
  }
  return Steps::all;
}

/// pooled[b] = the D * H values that `pooling` makes of sample b's outputs. Sums run by ascending
/// t.
template <class Cell>
void pool(typename Cell::Scalar* pooled, const RecurrentStack<Cell>& stack,
          const StackCache<typename Cell::Scalar>& cache, Pooling pooling) {
  using Scalar = typename Cell::Scalar;
  const Index H = stack.options().hidden_size, D = stack.directions(), T = cache.T;
  for (Index b = 0; b < cache.B; ++b)
    for (Index d = 0; d < D; ++d) {
      Scalar* row = pooled + (b * D + d) * H;
      const bool mean = pooling == Pooling::mean;
      const bool at_start = mean || (pooling == Pooling::final_states && d == 1);
      std::copy_n(stack.output(cache, at_start ? 0 : T - 1, b, d).data(), H, row);
      if (!mean) continue;
      for (Index t = 1; t < T; ++t) {
        const Scalar* next = stack.output(cache, t, b, d).data();
        for (Index i = 0; i < H; ++i) row[i] += next[i];
      }
      for (Index i = 0; i < H; ++i) row[i] /= static_cast<Scalar>(T);
    }
}

/// The gradient, as one column a sample that enters every step the pooling read (a step stride of
/// 0): d(mean)/dy is 1/T at each of them. Scales dpooled in place.
template <class Scalar>
void unpool(Scalar* dpooled, Index width, const StackCache<Scalar>& cache,
            Pooling pooling) noexcept {
  if (pooling == Pooling::mean)
    for (Index i = 0; i < cache.B * width; ++i) dpooled[i] /= static_cast<Scalar>(cache.T);
}

}  // namespace internal

}  // namespace tsdl::inline TSDL_ABI
