// The contracts: what a module, a model and an encoder are. A network of one's own is a class that
// keeps them; training, files, predictions and streams then work with it unchanged.
//
//   Encoder   columns in, columns out: recurrent layers, or what takes their place
//   Model     windows in, outputs out; a Network is an encoder, a pooling and a linear layer
//
// tests/own_encoder.cpp and tests/own_model.cpp are one of each.
#pragma once

#include <algorithm>
#include <concepts>
#include <new>
#include <string>
#include <type_traits>
#include <utility>

#include "tsdl/core/batch.hpp"
#include "tsdl/core/config.hpp"
#include "tsdl/core/sequence.hpp"
#include "tsdl/nn/dropout.hpp"
#include "tsdl/nn/parameter.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// How a forward pass is run.
struct Pass {
  bool training = false;  ///< keep what backward needs, and apply dropout
  DropoutKey dropout{};   ///< names the masks, when training
};

/// What a model gives: K x n, a column a sample, or where every step has a target one a step and
/// sample, [T][B]. A view of the model's cache; assigning makes it view something else.
template <class Scalar>
class Outputs : public Eigen::Map<const Matrix<Scalar>> {
 public:
  using View = Eigen::Map<const Matrix<Scalar>>;
  Outputs() noexcept : View(nullptr, 0, 0) {}
  Outputs(const Scalar* data, Index K, Index n) noexcept : View(data, K, n) {}
  Outputs(const Outputs&) noexcept = default;
  Outputs& operator=(const Outputs& other) noexcept {  // as Eigen's manual does it
    new (static_cast<View*>(this)) View(other.data(), other.rows(), other.cols());
    return *this;
  }
};

/// Which columns of an encoder a caller reads, or sends gradients into.
enum class Steps {
  all,                ///< every t
  last,               ///< t = T - 1, of both directions: PyTorch's out[:, -1, :]
  each_direction_end  ///< where each direction ends: t = T - 1 forward, t = 0 in reverse
};

/// What an encoder gives: columns over (t, b), each of `segments` runs of `width` values, `padded`
/// values apart. From `reverse` on they are of a direction that runs from the end to the start. A
/// Sequence converts: one run, forward.
template <class Scalar>
struct Encoded {
  Sequence<const Scalar> columns;
  Index segments = 0, width = 0, padded = 0;
  Index reverse = 0;

  Encoded() noexcept = default;
  Encoded(const Sequence<const Scalar>& of, Index its_segments, Index its_width, Index its_padded,
          Index its_reverse) noexcept
      : columns(of),
        segments(its_segments),
        width(its_width),
        padded(its_padded),
        reverse(its_reverse) {}
  Encoded(const Sequence<const Scalar>& of) noexcept : Encoded(of, 1, of.inputs, of.inputs, 1) {}
  Encoded(const Sequence<std::remove_const_t<Scalar>>& of) noexcept
      : Encoded(Sequence<const Scalar>(of)) {}

  const Scalar* segment(Index t, Index b, Index s) const noexcept {
    return columns.column(t, b) + s * padded;
  }
};

/// What an encoder's forward pass is asked for.
struct EncoderPass {
  Steps steps = Steps::all;  ///< the others need not be computed
  Pass pass{};
  std::span<const std::uint32_t> keys{};  ///< as in Batch
};

/// The gradient that enters an encoder's columns: dL/d column, of output_size() values each.
template <class Scalar>
struct Upstream {
  /// One column a sample unless the steps are all; then also, with a step_stride of 0, one that
  /// enters every step.
  Sequence<const Scalar> dy{};
  Steps steps = Steps::all;

  /// The gradient of the column at (t, b) of an encoder that runs forward, or null where it is
  /// zero.
  const Scalar* at(Index t, Index b, Index T) const noexcept {
    if (!dy.data || (steps != Steps::all && t + 1 != T)) return nullptr;
    return steps == Steps::all ? dy.column(t, b) : dy.column(0, b);
  }
};

/// Has parameters. visit(f) calls f(Parameter&) for each, in the order of files, and its const form
/// f(const Parameter&); after values have changed, repack() derives what passes read from them.
template <class M>
concept Module = requires(M& module, const M& fixed) {
  typename M::Scalar;
  module.visit([](Parameter<typename M::Scalar>&) {});
  fixed.visit([](const Parameter<typename M::Scalar>&) {});
  module.repack();
  module.zero_gradients();
};

/// Changes parameters: calls f(Parameter&) for each, then derives what passes read from them, also
/// when f throws.
template <Module M, class F>
void update(M& module, F&& f) {
  struct Repack {
    M& module;
    ~Repack() { module.repack(); }
  };
  const Repack afterwards{module};
  module.visit(std::forward<F>(f));
}

/// Columns to columns. Its Cache is the caller's; forward is const. It may have static tensors():
/// the names and shapes that a configuration asks for, known before anything is allocated.
template <class E>
concept Encoder = Module<E> &&
    requires(E& encoder, const E& fixed, const Sequence<const typename E::Scalar>& x,
             typename E::Cache& cache, const EncoderPass& pass,
             const Upstream<typename E::Scalar>& dy, const Sequence<typename E::Scalar>& dx,
             Config& config) {
  { fixed.forward(x, cache, pass) } -> std::convertible_to<Encoded<typename E::Scalar>>;
  encoder.backward(x, cache, dy, dx);
  { fixed.input_size() } -> std::convertible_to<Index>;
  { fixed.output_size() } -> std::convertible_to<Index>;
  fixed.describe(config);                              // sets config.kind, and adds its options
  { fixed.is_causal() } -> std::convertible_to<bool>;  // column t depends on no later one
};

/// From an encoder's columns to the rows that a head reads, of output_size() values each: one a
/// sample. Its Cache is the caller's; forward is const. backward gets the columns of that forward
/// and may change the rows' gradient; what it returns may view the rows, or the cache.
///
/// What else it may have:
///   visit, repack, zero_gradients    when it has parameters: then it is a Module
///   P(const Config&, Index width)    so that files can be loaded, from the encoder's output_size()
///   rows(T)                          T where it gives a row a step, [T][B]; 1 without
template <class P>
concept PoolingModule = requires(P& pooling, const P& fixed, const Encoded<typename P::Scalar>& y,
                                 typename P::Cache& cache, typename P::Scalar* rows,
                                 Config& config) {
  { fixed.steps() } -> std::same_as<Steps>;  // the columns that it reads
  { fixed.output_size() } -> std::convertible_to<Index>;
  fixed.forward(rows, y, cache);
  { pooling.backward(rows, y, cache) } -> std::convertible_to<Upstream<typename P::Scalar>>;
  fixed.describe(config);  // sets config.options["pooling"], and adds its options
};

}  // namespace TSDL_ABI
}  // namespace tsdl
