// Pooling: from an encoder's columns to the rows that a head reads, forward and backward.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tsdl/core/config.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/nn/attention.hpp"
#include "tsdl/nn/module.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Which of an encoder's columns the head reads: one row per sample, or one per step and sample. A
/// row has the encoder's output_size() values, the forward direction before the reverse; twice as
/// many for attention.
enum class Pooling {
  last,                ///< out[:, -1, :], the first step of the reverse direction
  each_direction_end,  ///< each direction's last step: forward's at T - 1, reverse's at 0
  mean,                ///< the mean over t
  each,                ///< every step, of a causal encoder: rows are [T][B]
  attention            ///< last, and beside it the sum over t by learnt weights (attention.hpp)
};

inline std::string_view to_string(Pooling pooling) noexcept {
  switch (pooling) {
    case Pooling::last:
      return "last";
    case Pooling::each_direction_end:
      return "final";
    case Pooling::mean:
      return "mean";
    case Pooling::each:
      return "each";
    case Pooling::attention:
      return "attention";
  }
  return "";
}

inline constexpr Pooling poolings[] = {Pooling::last, Pooling::each_direction_end, Pooling::mean,
                                       Pooling::each, Pooling::attention};

/// Throws: OptionError when the name is none of these.
inline Pooling pooling_from(std::string_view name) {
  std::string known;
  for (const Pooling pooling : poolings) {
    if (name == to_string(pooling)) return pooling;
    known.append(known.empty() ? "" : ", ").append(to_string(pooling));
  }
  throw OptionError("pooling: expected one of ", known, ", got '", name, "'");
}

namespace internal {

/// sum / T, rounded once. Means are summed in double: a float's sum of 2,000 steps is off by 3e-6,
/// and one that a live stream carries for days by more than 1%.
template <class Scalar>
Scalar mean_of(double sum, Index T) noexcept {
  return static_cast<Scalar>(sum / static_cast<double>(T));
}

}  // namespace internal

/// The poolings above, chosen at run time. Only attention has parameters. Sums run over ascending
/// t, in double.
///
///   last, each_direction_end   row = y[t]            dy[t] = drow
///   mean                       row = sum_t y[t] / T  dy[t] = drow / T at every t
///   each                       row[t] = y[t]         dy[t] = drow[t]
///   attention                  as in attention.hpp
///
/// Where samples have lengths, t and T are those of the sample's own steps. each reads padded steps
/// too; a Network refuses that.
template <class ScalarType>
class StandardPooling {
 public:
  using Scalar = ScalarType;
  using Attention = AdditiveAttention<Scalar>;
  /// Used by attention only.
  using Cache = typename Attention::Cache;
  static constexpr bool takes_lengths = true;

  /// For an encoder whose columns have `width` values. `attention` and the seed of its weights are
  /// used by Pooling::attention only. Throws: OptionError when one of its options is out of range.
  StandardPooling(Pooling kind, Index width, const AttentionOptions& attention = {},
                  std::uint64_t seed = 0)
      : kind_(kind), width_(width) {
    if (kind_ == Pooling::attention) attention_.emplace(width, attention, seed, attention_stream);
  }
  /// From a configuration that describe() made. Throws: OptionError when its pooling is unknown, or
  /// an option of attention is missing, out of range, or there without attention.
  StandardPooling(const Config& config, Index width, std::uint64_t seed = 0)
      : StandardPooling(pooling_from(config.text("pooling")), width, options_from(config), seed) {}

  void describe(Config& config) const {
    config.options["pooling"] = std::string(to_string(kind_));
    if (!attention_) return;
    config.options["attention_size"] = attention_->size();
    config.options["attention_dropout"] = attention_->dropout();
  }
  /// The tensors of a pooling with this configuration, in the order of visit(). Throws: as the
  /// constructor.
  static std::vector<TensorShape> tensors(const Config& config, Index width) {
    if (pooling_from(config.text("pooling")) != Pooling::attention) return {};
    return Attention::tensors(width, options_from(config).units(width));
  }
  /// output_size() of a pooling with this configuration.
  static Index output_size(const Config& config, Index width) {
    return size_of(pooling_from(config.text("pooling")), width);
  }

  Pooling kind() const noexcept { return kind_; }
  Index output_size() const noexcept { return size_of(kind_, width_); }
  /// The attention, or null for another pooling.
  const Attention* attention() const noexcept { return attention_ ? &*attention_ : nullptr; }
  Steps steps() const noexcept { return steps_of(kind_); }
  /// Rows per sample.
  Index rows(Index T) const noexcept { return kind_ == Pooling::each ? T : 1; }

  /// The pooling for a live series, which needs only the last step of a window: a view.
  class Live {
   public:
    explicit Live(const StandardPooling& of) noexcept
        : of_(of), kind_(of.kind_ == Pooling::each ? Pooling::last : of.kind_) {}
    Steps steps() const noexcept { return steps_of(kind_); }
    /// Sizes a cache for windows of T steps.
    void prepare(Cache& cache, Index T) const {
      if (of_.attention_) of_.attention_->prepare(cache, T, 1);
    }
    void forward(Scalar* pooled, const Encoded<Scalar>& y, Cache& cache) const {
      of_.pool(kind_, pooled, y, cache, {});
    }

   private:
    const StandardPooling& of_;
    Pooling kind_;
  };
  Live live() const noexcept { return Live(*this); }

  template <class F>
  void visit(F&& f) {
    if (attention_) attention_->visit(f);
  }
  template <class F>
  void visit(F&& f) const {
    if (attention_) attention_->visit(f);
  }
  void repack() noexcept {
    if (attention_) attention_->repack();
  }
  void zero_gradients() noexcept {
    if (attention_) attention_->zero_gradients();
  }
  /// Throws: Error when parameters were visited and repack() was not called.
  void check_packed() const {
    if (attention_) attention_->check_packed();
  }
  /// The probability of dropout, for which a training pass needs a key.
  double dropout() const noexcept { return attention_ ? attention_->dropout() : 0.0; }

  /// Shapes: pooled [B][output_size()], or [T][B][width] for each. Allocates: when the cache must
  /// grow.
  void forward(Scalar* pooled, const Encoded<Scalar>& y, Cache& cache,
               const PoolingPass& pass = {}) const {
    pool(kind_, pooled, y, cache, pass);
  }

  /// Throws: ShapeError when the cache is not of a pass over y by a pooling of this kind and size.
  void check_backward(const Encoded<Scalar>& y, const Cache& cache) const {
    if (attention_) attention_->check_backward(y, cache);
  }

  /// Returns one gradient per sample, which enters every step that was read; for Pooling::each and
  /// attention, one per step and sample. Accumulates: the gradients of attention.
  Upstream<Scalar> backward(Scalar* drows, const Encoded<Scalar>& y, Cache& cache) {
    const Index T = y.columns.steps, B = y.columns.batch;
    if (attention_) return {attention_->backward(drows, y, cache), Steps::all};
    if (kind_ == Pooling::mean)
      for (Index i = 0; i < B * width_; ++i)
        drows[i] = internal::mean_of<Scalar>(drows[i], sample_length(y.lengths, i / width_, T));
    const Index step = kind_ == Pooling::each ? B * width_ : 0;
    return {{drows, width_, T, B, step, width_}, steps()};
  }

 private:
  static constexpr std::uint64_t attention_stream = (1u << 20) + 2;  // after those of the head

  static AttentionOptions options_from(const Config& config) {
    if (pooling_from(config.text("pooling")) == Pooling::attention)
      return {.size = config.index("attention_size"),
              .dropout = config.number("attention_dropout"),
              .init = init_from(config.text("init"))};
    for (const char* name : {"attention_size", "attention_dropout"})
      if (config.contains(name))
        throw OptionError(config.kind, ": option '", name, "' needs pooling attention, not ",
                          config.text("pooling"));
    return {};
  }
  static Index size_of(Pooling kind, Index width) noexcept {
    return kind == Pooling::attention ? 2 * width : width;
  }
  static Steps steps_of(Pooling kind) noexcept {
    if (kind == Pooling::last) return Steps::last;
    return kind == Pooling::each_direction_end ? Steps::each_direction_end : Steps::all;
  }

  void pool(Pooling kind, Scalar* pooled, const Encoded<Scalar>& y, Cache& cache,
            const PoolingPass& pass) const {
    if (kind == Pooling::attention) return attention_->forward(pooled, y, cache, pass);
    const Index width = y.width, B = y.columns.batch,
                T = kind == Pooling::each ? y.columns.steps : 1;
    for (Index r = 0; r < T * B; ++r)
      for (Index s = 0; s < y.segments; ++s) {
        // Plain loops: the symbols of Eigen's functions do not encode the instruction set.
        const Index b = r % B;
        Scalar* row = pooled + (r * y.segments + s) * width;
        if (kind == Pooling::mean) {
          average(row, y, b, s);
          continue;
        }
        const bool from_start = kind == Pooling::each_direction_end && s >= y.reverse;
        const Index end = sample_length(y.lengths, b, y.columns.steps) - 1;
        const Index t = kind == Pooling::each ? r / B : from_start ? 0 : end;
        std::copy_n(y.segment(t, b, s), width, row);
      }
  }

  /// row = the mean over t of segment s of sample b.
  static void average(Scalar* row, const Encoded<Scalar>& y, Index b, Index s) noexcept {
    constexpr Index at_once = 64;
    const Index T = sample_length(y.lengths, b, y.columns.steps);
    for (Index first = 0; first < y.width; first += at_once) {
      const Index count = std::min(at_once, y.width - first);
      double sums[at_once] = {};
      for (Index t = 0; t < T; ++t) {
        const Scalar* column = y.segment(t, b, s) + first;
        for (Index i = 0; i < count; ++i) sums[i] += static_cast<double>(column[i]);
      }
      for (Index i = 0; i < count; ++i) row[first + i] = internal::mean_of<Scalar>(sums[i], T);
    }
  }

  Pooling kind_;
  Index width_;
  std::optional<Attention> attention_;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
