// Pooling: from an encoder's columns to the rows that a head reads, forward and backward.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>

#include "tsdl/core/config.hpp"
#include "tsdl/core/error.hpp"
#include "tsdl/nn/module.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Which of an encoder's columns the head reads: one row per sample, or one per step and sample. A
/// row has the encoder's output_size() values, the forward direction before the reverse.
enum class Pooling {
  last,                ///< out[:, -1, :], the first step of the reverse direction
  each_direction_end,  ///< each direction's last step: forward's at T - 1, reverse's at 0
  mean,                ///< the mean over t
  each                 ///< every step, of a causal encoder: rows are [T][B]
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
  }
  return "";
}

inline constexpr Pooling poolings[] = {Pooling::last, Pooling::each_direction_end, Pooling::mean,
                                       Pooling::each};

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

/// The poolings above, chosen at run time. They have no parameters. Sums run over ascending t, in
/// double.
///
///   last, each_direction_end   row = y[t]            dy[t] = drow
///   mean                       row = sum_t y[t] / T  dy[t] = drow / T at every t
///   each                       row[t] = y[t]         dy[t] = drow[t]
///
/// Where samples have lengths, t and T are those of the sample's own steps. each reads padded steps
/// too; a Network refuses that.
template <class ScalarType>
class StandardPooling {
 public:
  using Scalar = ScalarType;
  struct Cache {};
  static constexpr bool takes_lengths = true;

  /// For an encoder whose columns have `width` values.
  StandardPooling(Pooling kind, Index width) noexcept : kind_(kind), width_(width) {}
  /// From a configuration that describe() made. Throws: OptionError when its pooling is unknown.
  StandardPooling(const Config& config, Index width)
      : StandardPooling(pooling_from(config.text("pooling")), width) {}
  void describe(Config& config) const { config.options["pooling"] = std::string(to_string(kind_)); }

  Pooling kind() const noexcept { return kind_; }
  Index output_size() const noexcept { return width_; }
  Steps steps() const noexcept {
    if (kind_ == Pooling::last) return Steps::last;
    return kind_ == Pooling::each_direction_end ? Steps::each_direction_end : Steps::all;
  }
  /// Rows per sample.
  Index rows(Index T) const noexcept { return kind_ == Pooling::each ? T : 1; }
  /// The pooling for a live series, which needs only the last step of a window.
  StandardPooling live() const noexcept {
    return {kind_ == Pooling::each ? Pooling::last : kind_, width_};
  }

  /// Shapes: pooled [B][width], or [T][B][width] for each.
  void forward(Scalar* pooled, const Encoded<Scalar>& y, Cache&) const noexcept {
    const Index width = y.width, B = y.columns.batch;
    for (Index r = 0; r < rows(y.columns.steps) * B; ++r)
      for (Index s = 0; s < y.segments; ++s) {
        // Plain loops: the symbols of Eigen's functions do not encode the instruction set.
        const Index b = r % B;
        Scalar* row = pooled + (r * y.segments + s) * width;
        if (kind_ == Pooling::mean) {
          average(row, y, b, s);
          continue;
        }
        const bool from_start = kind_ == Pooling::each_direction_end && s >= y.reverse;
        const Index end = sample_length(y.lengths, b, y.columns.steps) - 1;
        const Index t = kind_ == Pooling::each ? r / B : from_start ? 0 : end;
        std::copy_n(y.segment(t, b, s), width, row);
      }
  }

  /// Returns one gradient per sample, which enters every step that was read; for Pooling::each, one
  /// per step and sample.
  Upstream<Scalar> backward(Scalar* drows, const Encoded<Scalar>& y, Cache&) const noexcept {
    const Index T = y.columns.steps, B = y.columns.batch;
    if (kind_ == Pooling::mean)
      for (Index i = 0; i < B * width_; ++i)
        drows[i] = internal::mean_of<Scalar>(drows[i], sample_length(y.lengths, i / width_, T));
    const Index step = kind_ == Pooling::each ? B * width_ : 0;
    return {{drows, width_, T, B, step, width_}, steps()};
  }

 private:
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
};

}  // namespace TSDL_ABI
}  // namespace tsdl
