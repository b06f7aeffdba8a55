// How a Network runs on a live series: over its last rows again, or with its state carried.
#pragma once

#include <algorithm>
#include <span>
#include <utility>

#include "tsdl/core/buffer.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/state.hpp"
#include "tsdl/nn/module.hpp"
#include "tsdl/nn/pooling.hpp"
#include "tsdl/nn/window.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

template <Encoder EncoderType,
          PoolingModule PoolingType = StandardPooling<typename EncoderType::Scalar>>
class Network;  // nn/network.hpp

/// The window of a network whose encoder has a Window: it runs the last T rows of a live series
/// again after each new row. The outputs are those of forward for the same rows.
template <class EncoderType, class PoolingType>
class NetworkWindow {
 public:
  using Scalar = typename EncoderType::Scalar;
  using Model = Network<EncoderType, PoolingType>;

  /// Allocates: only here.
  /// Throws: ShapeError when T is below 1; Error when parameters were visited and not repacked.
  NetworkWindow(const Model& model, Index T)
      : encoder_(model.encoder(), T, live(model).steps()),
        pooled_(model.linear().in()),
        outputs_(model.outputs()) {
    model.linear().check_packed();
    if constexpr (requires { live(model).prepare(pooling_, T); }) live(model).prepare(pooling_, T);
  }

  /// Takes the next row; the oldest row leaves the window. Shapes: x I.
  void push(const Model& model, const Scalar* x) noexcept { encoder_.push(model.encoder(), x); }

  /// Returns the last step's outputs, valid until the next call. T rows must have been pushed.
  std::span<const Scalar> run(const Model& model) noexcept {
    const FloatModeGuard guard;
    const Encoded<Scalar> y = encoder_.run(model.encoder());
    live(model).forward(pooled_.data(), y, pooling_);
    model.linear().apply(outputs_.data(), pooled_.data(), 1);
    return std::as_const(outputs_).span();
  }

  /// Does nothing: the T rows that must be pushed before the next run replace all earlier rows.
  void reset() noexcept {}
  void state(StateBytes& bytes) { encoder_.state(bytes); }
  /// To be called after state() has read a saved state.
  void restore(const Model& model) noexcept { encoder_.restore(model.encoder()); }

 private:
  static decltype(auto) live(const Model& model) noexcept {
    if constexpr (requires { model.pooling().live(); })
      return model.pooling().live();
    else
      return (model.pooling());
  }
  typename EncoderType::Window encoder_;
  typename PoolingType::Cache pooling_;
  Buffer<Scalar> pooled_, outputs_;
};

/// Carries the state of a causal network with a standard pooling from row to row. The outputs are
/// those of forward for all rows so far. Template arguments: those of the encoder's Carried.
template <class EncoderType, class Weight, Index Input, Index Hidden>
class NetworkCarried {
 public:
  using Scalar = typename EncoderType::Scalar;
  using Model = Network<EncoderType>;

  /// max_steps: the most rows, for an encoder that keeps something of each. Throws: ShapeError when
  /// the encoder cannot carry its state, has other sizes than Input and Hidden, or max_steps is out
  /// of range; OptionError when the encoder is not causal; Error when parameters were visited and
  /// not repacked.
  explicit NetworkCarried(const Model& model, Index max_steps = 0)
      : encoder_(stream_of(model.encoder(), max_steps)),
        pooled_(model.linear().in()),
        outputs_(model.outputs()) {
    model.linear().check_packed();
    if (const auto* attention = model.pooling().attention())
      attended_ = attention->state();
    else
      sum_.assign(model.linear().in(), 0);
  }

  /// Whether the encoder holds max_steps rows: push() then returns nothing, and changes nothing.
  bool is_full() const noexcept { return internal::is_full(encoder_); }

  /// Takes the next row, x of I values, and returns the outputs, valid until the next call.
  std::span<const Scalar> push(const Model& model, const Scalar* x) noexcept {
    const FloatModeGuard guard;
    if (is_full()) return {};
    const std::span<const Scalar> h = encoder_.push(model.encoder(), x);
    ++rows_;
    if (const auto* attention = model.pooling().attention())
      attention->push(pooled_.data(), h.data(), attended_);
    else if (model.pooling().kind() != Pooling::mean)
      std::copy(h.begin(), h.end(), pooled_.begin());
    else
      for (Index i = 0; i < sum_.size(); ++i) {
        const auto value = static_cast<double>(h[static_cast<std::size_t>(i)]);
        sum_[i] = (rows_ == 1 ? 0.0 : sum_[i]) + value;
        pooled_[i] = internal::mean_of<Scalar>(sum_[i], rows_);
      }
    model.linear().apply(outputs_.data(), pooled_.data(), 1);
    return std::as_const(outputs_).span();
  }

  /// Does what the next push can do before its row is known, where the encoder has such a part.
  void prepare(const Model& model) noexcept {
    if constexpr (requires { encoder_.prepare(model.encoder()); })
      encoder_.prepare(model.encoder());
  }

  void reset() noexcept {
    rows_ = 0;
    std::fill(sum_.begin(), sum_.end(), 0.0);  // a state holds finite sums only
    attended_.reset();
    encoder_.reset();
  }
  void state(StateBytes& bytes) {
    bytes.count(rows_);
    bytes.finite(sum_);
    if (!attended_.sums.empty()) attended_.state(bytes, rows_);
    bytes(encoder_);
  }
  void restore(const Model&) noexcept {}

 private:
  using Stream = typename EncoderType::template Carried<Weight, Input, Hidden>;

  static Stream stream_of(const EncoderType& encoder, Index max_steps) {
    if constexpr (requires { Stream::borrowing(encoder, max_steps); })
      return Stream::borrowing(encoder, max_steps);
    else
      return Stream::borrowing(encoder);
  }

  Stream encoder_;
  Index rows_ = 0;
  Buffer<Scalar> pooled_, outputs_;
  Buffer<double> sum_;                                           ///< of Pooling::mean
  typename StandardPooling<Scalar>::Attention::State attended_;  ///< of Pooling::attention
};

namespace internal {

template <class P>
concept gives_one_row_live = requires(const P& pooling) {
  pooling.live();
}
|| !requires(const P& pooling) { pooling.rows(Index{1}); };

template <class E, class P>
requires(gives_one_row_live<P>&& requires {
  typename E::Window;
}) struct WindowType<Network<E, P>> {
  using type = NetworkWindow<E, P>;
};

template <class E, class Weight, Index Input, Index Hidden>
requires requires { typename E::template Carried<Weight, Input, Hidden>; }
struct CarriedType<Network<E>, Weight, Input, Hidden> {
  using type = NetworkCarried<E, Weight, Input, Hidden>;
};

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
