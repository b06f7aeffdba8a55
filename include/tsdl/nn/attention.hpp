// Additive attention over the steps of an encoder: which steps a head reads, and how much of each.
//
//   symbol    shape          meaning
//   y_t       E              an encoder's column at step t
//   z_t, h_t  A              A attention units
//   s, a      T              scores, and weights that sum to 1
//   pooled    2 E            what the head reads
//   W, b, v   A x E, A, A    parameters attention.weight, attention.bias, score.weight
//
//   z_t = W y_t + b                       after dropout in training: its mask times z_t
//   h_t = tanh(z_t)
//   s_t = v' h_t
//   a   = softmax(s)                      over the sample's own steps
//   pooled = [y_last ; c]                 c = sum_t a_t y_t
//
//   g_t  = dc' y_t                        dL/da_t
//   ds_t = a_t (g_t - sum_k a_k g_k)
//   dv  += sum_t ds_t h_t
//   dz_t = ds_t v (1 - h_t^2)             times the mask
//   dW  += sum_t dz_t y_t'                db += sum_t dz_t
//   dy_t = a_t dc + W' dz_t               and dy_last, at the last step
//
// In PyTorch: attention = nn.Linear(E, A); score = nn.Linear(A, 1, bias=False);
// a = softmax(score(tanh(dropout(attention(y)))), over t).
//
// Source: Bahdanau, Cho and Bengio 2015, "Neural Machine Translation by Jointly Learning to Align
// and Translate", without a query; Qlib's ALSTM (qlib/contrib/model/pytorch_alstm.py).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "tsdl/core/batch.hpp"
#include "tsdl/core/buffer.hpp"
#include "tsdl/core/config.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/parallel.hpp"
#include "tsdl/core/state.hpp"
#include "tsdl/kernels/online_softmax.hpp"
#include "tsdl/kernels/outer.hpp"
#include "tsdl/kernels/product.hpp"
#include "tsdl/nn/init.hpp"
#include "tsdl/nn/module.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Options of attention pooling.
struct AttentionOptions {
  std::optional<Index> size{};  ///< A; without: E / 2, rounded up
  double dropout = 0.0;         ///< before tanh, in training only
  Init init = Init::pytorch;

  static constexpr Index max_size = 1'000'000;
  /// A for an encoder whose columns have E values.
  Index units(Index E) const noexcept { return size.value_or((E + 1) / 2); }
  /// Throws: OptionError when size is below 1 or too large, or dropout is outside [0, 1).
  void check() const {
    if (size && (*size < 1 || *size > max_size))
      throw OptionError("attention pooling: attention_size must be 1 to ", max_size, ", not ",
                        *size);
    if (!(is_finite(dropout) && dropout >= 0.0 && dropout < 1.0))
      throw OptionError("attention pooling: attention_dropout must be at least 0 and below 1, not ",
                        dropout);
  }
};

/// The equations above. Its sums over t run by ascending t with a running maximum
/// (kernels/online_softmax.hpp), so that a live series that carries them gives the same bits.
template <class ScalarType>
class AdditiveAttention {
 public:
  using Scalar = ScalarType;

  /// What a pass computes, and scratch buffers. Ap is A in whole vectors.
  struct Cache {
    Buffer<Scalar> h;        ///< [B][T][Ap]; its gradient dz in the backward pass
    Buffer<Scalar> weights;  ///< [B][T]: a; 0 in padded steps
    Buffer<double> sums;     ///< [B][E]: u of kernels/online_softmax.hpp
    Buffer<std::uint8_t> kept;
    Buffer<Scalar> g, dy, partial, dweights;
    Index T = 0, B = 0;
    bool dropped = false;
  };

  /// The sums that a live series carries from row to row.
  struct State {
    kernels::OnlineSoftmax softmax;
    Buffer<double> sums;  ///< u
    Buffer<Scalar> h;

    void reset() noexcept {
      softmax = {};
      std::fill(sums.begin(), sums.end(), 0.0);
    }
    /// `rows`: how many were taken. The largest score adds 1 to the sum, every other one at most 1.
    void state(StateBytes& bytes, Index rows) {
      bytes.finite(softmax.maximum).within(softmax.sum, 0, 0x1p53).finite(sums);
      if (rows == 0)
        bytes.require(
            same_value(softmax.maximum, kernels::OnlineSoftmax{}.maximum) && is_zero(softmax.sum) &&
                std::all_of(sums.begin(), sums.end(), [](double u) { return is_zero(u); }),
            "attention that has taken no row");
      else
        bytes.require(softmax.sum >= 1 && softmax.sum <= 1.001 * static_cast<double>(rows),
                      "a sum of attention weights from 1 to the number of rows");
    }
  };

  /// Draws weights from random streams `stream` to stream + 2 of the seed. Throws: OptionError.
  AdditiveAttention(Index E, const AttentionOptions& options, std::uint64_t seed,
                    std::uint64_t stream)
      : E_(E), A_((options.check(), options.units(E))), dropout_(options.dropout) {
    const FloatModeGuard guard;
    weight_ = Parameter<Scalar>::matrix("attention.weight", A_, E_);
    bias_ = Parameter<Scalar>::vector("attention.bias", A_);
    score_ = Parameter<Scalar>::matrix("score.weight", 1, A_);
    if (options.init == Init::pytorch) {
      const double bound = 1.0 / std::sqrt(static_cast<double>(E_));
      internal::fill_uniform(weight_, bound, RandomStream(seed, stream));
      internal::fill_uniform(bias_, bound, RandomStream(seed, stream + 1));
      internal::fill_uniform(score_, 1.0 / std::sqrt(static_cast<double>(A_)),
                             RandomStream(seed, stream + 2));
    } else {
      internal::fill_xavier(weight_, RandomStream(seed, stream));
      internal::fill_xavier(score_, RandomStream(seed, stream + 2));
    }
    pack_.assign(kernels::packed_size<Scalar>(E_, A_), Scalar{0});
    bias_pack_.assign(padded(), Scalar{0});
    score_pack_.assign(padded(), Scalar{0});
    repack();
  }

  Index size() const noexcept { return A_; }
  double dropout() const noexcept { return dropout_; }

  static std::vector<TensorShape> tensors(Index E, Index A) {
    return {{"attention.weight", {A, E}}, {"attention.bias", {A}}, {"score.weight", {1, A}}};
  }

  template <class F>
  void visit(F&& f) {
    packed_ = false;
    f(weight_);
    f(bias_);
    f(score_);
  }
  template <class F>
  void visit(F&& f) const {
    f(weight_);
    f(bias_);
    f(score_);
  }
  void zero_gradients() noexcept {
    weight_.zero_gradient();
    bias_.zero_gradient();
    score_.zero_gradient();
  }
  void repack() noexcept {
    if (pack_.empty()) return;  // moved from
    for (Index n = 0; n < A_; ++n)
      kernels::pack_column(pack_.data(), E_, A_, Index{0}, n, weight_.value.data() + n * E_, E_);
    std::copy_n(bias_.value.data(), A_, bias_pack_.data());
    std::copy_n(score_.value.data(), A_, score_pack_.data());
    if (!transposed_pack_.empty()) pack_transposed();
    packed_ = true;
  }
  /// Throws: Error when parameters were visited and repack() was not called.
  void check_packed() const { internal::check_packed(packed_, "attention pooling"); }

  /// Sizes a cache for passes over T steps of B samples.
  void prepare(Cache& cache, Index T, Index B) const {
    cache.T = T;
    cache.B = B;
    cache.h.resize(B * T * padded());
    cache.weights.resize(B * T);
    cache.sums.resize(B * E_);
  }

  /// Shapes: pooled [B][2 E]. Allocates: when the cache must grow. Threads share the samples.
  void forward(Scalar* pooled, const Encoded<Scalar>& y, Cache& cache,
               const PoolingPass& pass) const {
    const Index T = y.columns.steps, B = y.columns.batch;
    prepare(cache, T, B);
    cache.dropped = pass.pass.training && dropout_ > 0;
    if (cache.dropped) cache.kept.resize(B * T * padded());
    internal::parallel_for(B, operations(T, B), [&](Index b) noexcept {
      const FloatModeGuard task_guard;
      pool(pooled + b * 2 * E_, y, b, cache, pass);
    });
  }

  /// Throws: ShapeError when the cache is not of a pass over y by an attention of this size.
  void check_backward(const Encoded<Scalar>& y, const Cache& cache) const {
    const Index T = y.columns.steps, B = y.columns.batch, values = B * T * padded();
    if (cache.T != T || cache.B != B || cache.h.size() != values || cache.weights.size() != B * T ||
        (cache.dropped && cache.kept.size() != values) || cache.dropped != (dropout_ > 0))
      throw ShapeError("attention pooling: the cache is of another network or another batch");
  }

  /// Goes back through the last training forward. Shapes: drows [B][2 E]; the result E x T x B, 0
  /// in padded steps. Accumulates: parameter gradients.
  Sequence<const Scalar> backward(const Scalar* drows, const Encoded<Scalar>& y, Cache& cache) {
    const Index T = cache.T, B = cache.B;
    need_gradients();
    cache.g.resize(B * T);
    cache.dy.resize(T * B * E_);
    cache.partial.assign(B * 2 * padded(), Scalar{0});
    cache.dweights.assign(E_ * padded(), Scalar{0});
    internal::parallel_for(B, 2 * operations(T, B), [&](Index b) noexcept {
      const FloatModeGuard task_guard;
      back(drows + b * 2 * E_, y, b, cache);
    });
    add_gradients(y, cache);
    return Sequence<const Scalar>::dense(cache.dy.data(), E_, T, B);
  }

  /// A state before the first row.
  State state() const {
    State state;
    state.sums.assign(E_, 0.0);
    state.h.assign(padded(), Scalar{0});
    return state;
  }
  /// Takes a live series' next column, y of E values. Shapes: pooled 2 E. Allocates nothing. The
  /// bits are those of forward over all columns so far.
  void push(Scalar* pooled, const Scalar* y, State& state) const noexcept {
    kernels::multiply(kernels::Start::bias, state.h.data(), padded(), {y, E_, 1, E_, 0},
                      pack_.data(), bias_pack_.data(), Index{1}, padded());
    const Scalar score = kernels::additive_score(state.h.data(), score_pack_.data(), padded());
    kernels::add_weighted(state.sums.data(), y, E_, state.softmax.add(static_cast<double>(score)));
    std::copy_n(y, E_, pooled);
    kernels::divide_by_sum(pooled + E_, state.sums.data(), E_, state.softmax.sum);
  }

 private:
  static constexpr Index W = kernels::lanes<Scalar>;
  static constexpr Index rows_at_once = 32;  ///< rows of dW that are one task

  Index padded() const noexcept { return round_up(A_, W); }
  double operations(Index T, Index B) const noexcept {
    return static_cast<double>(T * B) *
           (2.0 * static_cast<double>(E_) * static_cast<double>(padded()) +
            20.0 * static_cast<double>(E_ + A_));
  }

  void pool(Scalar* pooled, const Encoded<Scalar>& y, Index b, Cache& cache,
            const PoolingPass& pass) const noexcept {
    const Index Ap = padded(), T = cache.T, length = sample_length(y.lengths, b, T);
    Scalar* h = cache.h.data() + b * T * Ap;
    kernels::multiply(
        kernels::Start::bias, h, Ap,
        {y.columns.column(0, b), y.columns.step_stride, y.segments, y.width, y.padded},
        pack_.data(), bias_pack_.data(), length, Ap);
    if (cache.dropped) {
      const Philox philox(pass.pass.dropout.seed,
                          internal::dropout_stream + pass.pass.dropout.update);
      for (Index t = 0; t < length; ++t)
        internal::dropout_column(h + t * Ap, cache.kept.data() + (b * T + t) * Ap, h + t * Ap,
                                 philox, dropout_, pass.layer, t, sample_key(pass.keys, b),
                                 Index{1}, A_, Ap);
    }
    Scalar* weights = cache.weights.data() + b * T;
    double* sums = cache.sums.data() + b * E_;
    std::fill_n(sums, E_, 0.0);
    kernels::OnlineSoftmax softmax;
    for (Index t = 0; t < length; ++t) {
      weights[t] = kernels::additive_score(h + t * Ap, score_pack_.data(), Ap);
      const auto step = softmax.add(static_cast<double>(weights[t]));
      for (Index s = 0; s < y.segments; ++s)
        kernels::add_weighted(sums + s * y.width, y.segment(t, b, s), y.width, step);
    }
    softmax.weigh(weights, length);
    std::fill_n(weights + length, T - length, Scalar{0});
    for (Index s = 0; s < y.segments; ++s)
      std::copy_n(y.segment(length - 1, b, s), y.width, pooled + s * y.width);
    kernels::divide_by_sum(pooled + E_, sums, E_, softmax.sum);
  }

  void back(const Scalar* drow, const Encoded<Scalar>& y, Index b, Cache& cache) const noexcept {
    const Index Ap = padded(), T = cache.T, length = sample_length(y.lengths, b, T);
    const Scalar* dc = drow + E_;
    const Scalar* weights = cache.weights.data() + b * T;
    Scalar* g = cache.g.data() + b * T;
    Scalar* dz = cache.h.data() + b * T * Ap;
    Scalar *dv = cache.partial.data() + b * 2 * Ap, *db = dv + Ap;
    double mean = 0;
    for (Index t = 0; t < length; ++t) {
      g[t] = Scalar{0};
      for (Index s = 0; s < y.segments; ++s)
        g[t] += kernels::dot(dc + s * y.width, y.segment(t, b, s), y.width);
      mean += static_cast<double>(weights[t]) * static_cast<double>(g[t]);
    }
    for (Index t = 0; t < length; ++t) {
      const double ds = static_cast<double>(weights[t]) * (static_cast<double>(g[t]) - mean);
      kernels::additive_score_gradient(dz + t * Ap, dv, score_pack_.data(), static_cast<Scalar>(ds),
                                       Ap);
    }
    if (cache.dropped)
      internal::dropout_gradient(dz, cache.kept.data() + b * T * Ap, dropout_, length * Ap);
    std::fill_n(dz + length * Ap, (T - length) * Ap, Scalar{0});
    for (Index i = 0; i < Ap; i += W) kernels::add_rows<1>(db + i, dz + i, Ap, length);

    const Index stride = cache.B * E_;
    Scalar* dy = cache.dy.data() + b * E_;
    for (Index t = 0; t < T; ++t) {
      Scalar* row = dy + t * stride;
      const Scalar weight = weights[t];  // 0 in padded steps
      for (Index i = 0; i < E_; ++i) row[i] = weight * dc[i];
    }
    Scalar* last = dy + (length - 1) * stride;
    for (Index i = 0; i < E_; ++i) last[i] += drow[i];
    kernels::multiply(kernels::Start::previous, dy, stride, {dz, Ap, 1, A_, 0},
                      transposed_pack_.data(), static_cast<const Scalar*>(nullptr), length, E_);
  }

  /// Adds the gradients of the parameters in an order that no number of threads changes.
  void add_gradients(const Encoded<Scalar>& y, Cache& cache) noexcept {
    const Index Ap = padded(), T = cache.T, B = cache.B;
    const Index parts = (y.width + rows_at_once - 1) / rows_at_once;
    internal::parallel_for(y.segments * parts, operations(T, B), [&](Index task) noexcept {
      const FloatModeGuard task_guard;
      const Index s = task / parts, first = task % parts * rows_at_once;
      const kernels::Columns<Scalar> right{cache.h.data(), Ap, T * Ap};
      kernels::add_outer<1, Scalar>(
          {Ap / W, cache.dweights.data() + (s * y.width + first) * W, E_ * W, right, W},
          {y.columns.data + s * y.padded + first, y.columns.step_stride, y.columns.sample_stride},
          T, B, std::min(rows_at_once, y.width - first));
    });
    for (Index n = 0; n < A_; ++n) {
      const Scalar* from = cache.dweights.data() + n / W * E_ * W + n % W;
      for (Index k = 0; k < E_; ++k) weight_.gradient[n * E_ + k] += from[k * W];
    }
    for (Index b = 0; b < B; ++b) {
      const Scalar* partial = cache.partial.data() + b * 2 * Ap;
      for (Index n = 0; n < A_; ++n) {
        score_.gradient[n] += partial[n];
        bias_.gradient[n] += partial[Ap + n];
      }
    }
  }

  void need_gradients() {
    for (Parameter<Scalar>* parameter : {&weight_, &bias_, &score_}) parameter->need_gradient();
    if (!transposed_pack_.empty()) return;
    transposed_pack_.assign(kernels::packed_size<Scalar>(A_, E_), Scalar{0});
    pack_transposed();
  }
  void pack_transposed() noexcept {
    for (Index n = 0; n < A_; ++n)
      kernels::pack_row(transposed_pack_.data(), A_, E_, n, Index{0}, weight_.value.data() + n * E_,
                        E_);
  }

  Index E_, A_;
  double dropout_;
  Parameter<Scalar> weight_, bias_, score_;
  Buffer<Scalar> pack_, bias_pack_, score_pack_;
  Buffer<Scalar> transposed_pack_;  ///< empty until the first backward pass
  bool packed_ = false;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
