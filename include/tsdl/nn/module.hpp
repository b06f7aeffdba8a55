// The concepts Module, Encoder and PoolingModule; Model is in nn/model.hpp. A class of yours that
// satisfies them works with training, files, predictions and streams unchanged.
//
//   Encoder   columns in, columns out: recurrent layers, or your own
//   Model     windows in, outputs out; a Network is an encoder, a pooling and a linear layer
//
// Examples: tests/own_encoder.cpp and tests/own_model.cpp.
#pragma once

#include <algorithm>
#include <concepts>
#include <new>
#include <span>
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
  DropoutKey dropout{};   ///< identifies the masks, when training
};

/// A model's outputs: K x n, one column per sample, or one per step and sample, [T][B], where every
/// step has a target. A view into the cache; assignment makes it view other data.
template <class Scalar>
class Outputs : public Eigen::Map<const Matrix<Scalar>> {
 public:
  using View = Eigen::Map<const Matrix<Scalar>>;
  Outputs() noexcept : View(nullptr, 0, 0) {}
  Outputs(const Scalar* data, Index K, Index n) noexcept : View(data, K, n) {}
  Outputs(const Outputs&) noexcept = default;
  Outputs& operator=(const Outputs& other) noexcept {  // the way Eigen's manual rebinds a Map
    new (static_cast<View*>(this)) View(other.data(), other.rows(), other.cols());
    return *this;
  }
};

/// Which columns of an encoder a caller reads, or sends gradients into. Where samples have lengths,
/// T is the sample's own.
enum class Steps {
  all,                ///< every t
  last,               ///< t = T - 1, of both directions: PyTorch's out[:, -1, :]
  each_direction_end  ///< where each direction ends: t = T - 1 forward, t = 0 in reverse
};

/// An encoder's output: columns over (t, b), each of `segments` runs of `width` values, `padded`
/// values apart. Segments from `reverse` on belong to the reverse direction. A Sequence converts to
/// one forward segment.
template <class Scalar>
struct Encoded {
  Sequence<const Scalar> columns;
  Index segments = 0, width = 0, padded = 0;
  Index reverse = 0;
  /// As in Batch; the columns of padded steps are 0. Set by an encoder that takes lengths.
  std::span<const Index> lengths{};

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

/// Options of an encoder's forward pass.
struct EncoderPass {
  Steps steps = Steps::all;  ///< other steps need not be computed
  Pass pass{};
  std::span<const std::uint32_t> keys{};  ///< as in Batch
  std::span<const Index> lengths{};       ///< as in Batch
};

/// What the forward pass of a pooling may read beside the columns.
struct PoolingPass {
  Pass pass{};
  std::span<const std::uint32_t> keys{};  ///< as in Batch
  Index layer = 0;                        ///< the layer number of its dropout masks
};

/// The gradient of an encoder's columns: dL/d column, of output_size() values each.
template <class Scalar>
struct Upstream {
  /// One column per step and sample for Steps::all, otherwise one per sample. With Steps::all and a
  /// step_stride of 0, one column per sample enters every step.
  Sequence<const Scalar> dy{};
  Steps steps = Steps::all;

  /// The gradient of column (t, b) of an encoder that runs forward in time, or null where that is
  /// zero.
  const Scalar* at(Index t, Index b, Index T) const noexcept {
    if (!dy.data || (steps != Steps::all && t + 1 != T)) return nullptr;
    return steps == Steps::all ? dy.column(t, b) : dy.column(0, b);
  }
};

/// A class with parameters. visit(f) calls f(Parameter&) for each, in file order; the const
/// visit(f) calls f(const Parameter&). After values have changed, repack() derives the packed
/// weights that passes read.
template <class M>
concept Module = requires(M& module, const M& fixed) {
  typename M::Scalar;
  module.visit([](Parameter<typename M::Scalar>&) {});
  fixed.visit([](const Parameter<typename M::Scalar>&) {});
  module.repack();
  module.zero_gradients();
};

/// Changes parameters: calls f(Parameter&) for each, then repack(), even when f throws.
template <Module M, class F>
void update(M& module, F&& f) {
  struct Repack {
    M& module;
    ~Repack() { module.repack(); }
  };
  const Repack afterwards{module};
  module.visit(std::forward<F>(f));
}

/// A Module from columns to columns. forward is const and works in a Cache that the caller owns.
/// Optional: static tensors(config), the names and shapes of its tensors, which loading checks
/// before it allocates anything; static takes_lengths = true, if it reads EncoderPass::lengths and
/// sets Encoded::lengths. A Network of another encoder refuses lengths.
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
  { fixed.is_causal() } -> std::convertible_to<bool>;  // column t depends on no later input
};

/// From an encoder's columns to the rows that a head reads: one per sample, of output_size()
/// values. forward is const and works in a Cache that the caller owns. backward gets the columns of
/// that forward and may overwrite the gradient of the rows; the Upstream that it returns may view
/// this gradient or the cache.
///
/// Optional members:
///   visit, repack, zero_gradients    if it has parameters: it is then a Module
///   P(const Config&, Index width)    needed to load it; width: the encoder's output_size(). A seed
///                                    may follow
///   forward(rows, y, cache, PoolingPass)   if it drops units in training; dropout() is then their
///                                    probability
///   check_packed()                   if it has packs; throws Error when they are not current
///   check_backward(y, cache)         throws before any gradient has changed
///   rows(T)                          T if it returns one row per step, [T][B]; 1 if absent
///   static takes_lengths = true      if it reads Encoded::lengths; a Network refuses them
///   otherwise
template <class P>
concept PoolingModule = requires(P& pooling, const P& fixed, const Encoded<typename P::Scalar>& y,
                                 typename P::Cache& cache, typename P::Scalar* rows,
                                 Config& config) {
  { fixed.steps() } -> std::same_as<Steps>;  // the steps that it reads
  { fixed.output_size() } -> std::convertible_to<Index>;
  fixed.forward(rows, y, cache);
  { pooling.backward(rows, y, cache) } -> std::convertible_to<Upstream<typename P::Scalar>>;
  fixed.describe(config);  // sets config.options["pooling"], and adds its options
};

namespace internal {

template <class Part>
inline constexpr bool takes_lengths = false;
template <class Part>
requires requires { Part::takes_lengths; }
inline constexpr bool takes_lengths<Part> = Part::takes_lengths;

/// For a batch whose samples have lengths, in a model of encoder E and pooling P that has `rows`
/// rows of outputs a sample. Throws: OptionError when a part does not read lengths, or every step
/// has an output: padded steps have no target.
template <class E, class P, class Scalar>
void check_takes_lengths(const Batch<Scalar>& batch, Index rows) {
  if (batch.lengths.empty()) return;
  if (!takes_lengths<E>)
    throw OptionError("Network: samples have lengths, which this encoder does not take");
  if (!takes_lengths<P>)
    throw OptionError("Network: samples have lengths, which this pooling does not take");
  if (rows != 1)
    throw OptionError("Network: samples have lengths, and pooling each has an output for every ",
                      "step, also for those that are padding");
}

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
