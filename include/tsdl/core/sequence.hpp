// The strided view through which every layer sees a batch of sequences.
#pragma once

#include <algorithm>
#include <type_traits>

#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// A batch of B sequences of T steps with I values each, as a view: it owns nothing and copies
/// nothing. The column of step t of sample b is `data + t * step_stride + b * sample_stride`, and
/// its I values are adjacent.
///
/// A dense batch has step_stride = I * B and sample_stride = I, like a contiguous T x B x I tensor
/// in PyTorch. A batch of consecutive sliding windows is the same view over the series itself, with
/// step_stride = I and sample_stride = I * stride: windows cost no memory. Such views overlap, so
/// gradients with respect to inputs are written to a dense Sequence only.
///
///   Sequence<const double> x(X, T);                      of an Eigen matrix, I x (T B)
///   auto x = Sequence<const double>::dense(p, I, T, B);  of a pointer to T x B x I values
///   Sequence<const double> x(p, I, T, B, step, sample);  with strides of one's own
template <class Scalar>
struct Sequence {
  Scalar* data = nullptr;
  Index inputs = 0;         ///< I
  Index steps = 0;          ///< T
  Index batch = 0;          ///< B
  Index step_stride = 0;    ///< from (t, b) to (t + 1, b), in values
  Index sample_stride = 0;  ///< from (t, b) to (t, b + 1), in values

  constexpr Sequence() noexcept = default;

  /// Both strides are given. There is no constructor without them: a view whose strides are 0 would
  /// read its first column everywhere.
  constexpr Sequence(Scalar* its_data, Index its_inputs, Index its_steps, Index its_batch,
                     Index its_step_stride, Index its_sample_stride) noexcept
      : data(its_data),
        inputs(its_inputs),
        steps(its_steps),
        batch(its_batch),
        step_stride(its_step_stride),
        sample_stride(its_sample_stride) {}

  /// The columns of an Eigen matrix, Map, Ref or Block of whole columns, which must outlive the
  /// view: column t * B + b is (t, b), and B follows from T. Shapes: I x (T B).
  /// Throws: ShapeError when the columns are not `its_steps` times a whole number of samples, or
  /// the values of a column are not adjacent.
  template <class Columns>
  requires std::is_base_of_v<Eigen::EigenBase<std::remove_cvref_t<Columns>>,
                             std::remove_cvref_t<Columns>>
  Sequence(Columns&& columns, Index its_steps) {
    using Plain = std::remove_cvref_t<Columns>;
    constexpr bool same_scalar =
        std::is_same_v<typename Plain::Scalar, std::remove_const_t<Scalar>>;
    constexpr bool has_memory = (Plain::Flags & Eigen::DirectAccessBit) != 0;
    constexpr bool one_row = Plain::RowsAtCompileTime == 1;
    constexpr bool outlives = std::is_lvalue_reference_v<Columns> ||
                              !std::is_base_of_v<Eigen::PlainObjectBase<Plain>, Plain>;
    if constexpr (!same_scalar) {
      static_assert(same_scalar, "Sequence: the matrix has another scalar type");
    } else if constexpr (!has_memory) {
      static_assert(has_memory,
                    "Sequence: an expression has no memory to view: evaluate it to a matrix first");
    } else if constexpr (Plain::IsRowMajor && !one_row) {
      static_assert(one_row,
                    "Sequence: a column's values must be adjacent: use a column-major matrix");
    } else if constexpr (!outlives) {
      static_assert(outlives, "Sequence: a temporary matrix would not outlive the view");
    } else if constexpr (!std::is_convertible_v<decltype(columns.data()), Scalar*>) {
      static_assert(std::is_const_v<Scalar>,
                    "Sequence: the matrix is const: make a Sequence<const Scalar>");
    } else {
      if (its_steps < 1 || columns.cols() < 1 || columns.cols() % its_steps != 0)
        throw ShapeError("Sequence: ", columns.cols(), " columns are not T = ", its_steps,
                         " steps of a whole number of samples");
      if (!one_row && columns.rows() > 1 && columns.innerStride() != 1)
        throw ShapeError("Sequence: the values of a column must be adjacent, and are ",
                         columns.innerStride(), " apart");
      const Index stride = one_row ? columns.innerStride() : columns.outerStride();
      const Index samples = columns.cols() / its_steps;
      *this = {columns.data(), columns.rows(), its_steps, samples, samples * stride, stride};
    }
  }

  /// T x B x I values, adjacent. Throws: ShapeError when a size is negative, or there are more
  /// values than an Index counts.
  static Sequence dense(Scalar* data, Index inputs, Index steps, Index batch) {
    if (inputs < 0 || steps < 0 || batch < 0 ||
        internal::saturated_product(inputs, steps, batch) > internal::most_values)
      throw ShapeError("Sequence: T = ", steps, ", B = ", batch, ", I = ", inputs,
                       ": no memory holds that");
    return {data, inputs, steps, batch, inputs * batch, inputs};
  }

  Scalar* column(Index t, Index b) const noexcept {
    return data + t * step_stride + b * sample_stride;
  }

  bool is_dense() const noexcept {
    return sample_stride == inputs && step_stride == inputs * batch;
  }

  operator Sequence<const Scalar>() const noexcept requires(!std::is_const_v<Scalar>) {
    return {data, inputs, steps, batch, step_stride, sample_stride};
  }
};

/// Copies the columns of a view to dense memory, [T][B][I].
template <class Scalar>
void copy_dense(const Sequence<const Scalar>& from, Scalar* to) noexcept {
  for (Index t = 0; t < from.steps; ++t)
    for (Index b = 0; b < from.batch; ++b, to += from.inputs)
      std::copy_n(from.column(t, b), from.inputs, to);
}

/// The distinct columns behind a view: column (t, b) of the view is distinct column
/// t * step + b * sample. Where windows overlap they share columns, and there are fewer than T * B.
/// In memory they are runs of evenly spaced columns: one run, or one per sample (or step) where
/// there are columns between them that are not the view's.
struct SharedColumns {
  Index unit = 0;  ///< from one column of a run to the next, in values
  Index step = 0, sample = 0;
  Index count = 0;  ///< distinct columns, counted from 0; 0: the view is not evenly spaced
  Index run = 0, run_stride = 0;  ///< columns of a run, and from one run to the next, in values

  Index at(Index t, Index b) const noexcept { return t * step + b * sample; }
  /// Where distinct column i begins, in values from the first.
  Index offset(Index i) const noexcept { return i / run * run_stride + i % run * unit; }
};

/// The distinct columns of a view; none where its strides are negative or no multiples of each
/// other.
template <class Scalar>
SharedColumns shared_columns(const Sequence<Scalar>& x) noexcept {
  const Index t = x.steps > 1 ? x.step_stride : 0, b = x.batch > 1 ? x.sample_stride : 0;
  const Index unit = t == 0 || b == 0 ? std::max(t, b) : std::min(t, b);
  if (t < 0 || b < 0 || unit == 0 || t % unit != 0 || b % unit != 0) return {};
  SharedColumns shared{unit, t / unit, b / unit};
  const Index all = x.steps * x.batch;
  if (shared.step == 1 && shared.sample > x.steps)  // columns between the samples
    return {unit, 1, x.steps, all, x.steps, b};
  if (shared.sample == 1 && shared.step > x.batch)  // columns between the steps
    return {unit, x.batch, 1, all, x.batch, t};
  shared.count = shared.run = shared.at(x.steps - 1, x.batch - 1) + 1;
  return shared;
}

}  // namespace TSDL_ABI
}  // namespace tsdl
