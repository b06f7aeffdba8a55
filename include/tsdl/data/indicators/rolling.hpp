// The building blocks of indicators: rolling windows, exponential averages and delays, which take
// one number at a time.
//
// A rolling window is cut into blocks of its own length n. It keeps the folds of all tails of the
// last full block, and a running fold of the block that is being filled; the window's fold joins
// the tail that is still inside with the running fold:
//
//     ... | a b c d e f g h | i j k ...      n = 8, k is the newest
//                 |--tail--| |-run-|
//
// A push joins twice on average, whatever the operation and the length, and nothing is ever
// subtracted: a sum after a million pushes is as exact as one computed afresh from the window's n
// values, and a window of equal values has a deviation of exactly zero.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <string_view>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/state.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/series.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// Returns `window`. Throws: ShapeError when it is below 1 or above ten million.
inline Index checked_window(std::string_view name, Index window) {
  constexpr Index longest = 10'000'000;
  if (window < 1 || window > longest)
    throw ShapeError(name, ": expected a window of 1 to ", longest, ", found ", window);
  return window;
}

}  // namespace internal

namespace internal {

/// 1 / n and (n - 1) / n for small n: a division takes longer than all the rest of joining means.
template <bool AllButOne>
constexpr auto make_shares() noexcept {
  std::array<double, 256> shares{};
  for (std::size_t n = 1; n < shares.size(); ++n)
    shares[n] = static_cast<double>(AllButOne ? n - 1 : 1) / static_cast<double>(n);
  return shares;
}
template <bool AllButOne>
inline constexpr auto small_shares = make_shares<AllButOne>();

/// The share of one value, or of all but one, among n.
template <bool AllButOne = false>
double share_among(Index n) noexcept {
  constexpr const auto& small = small_shares<AllButOne>;
  if (n < static_cast<Index>(small.size())) return small[static_cast<std::size_t>(n)];
  return static_cast<double>(AllButOne ? n - 1 : 1) / static_cast<double>(n);
}

}  // namespace internal

/// The fold of the last `window` values by an associative operation, oldest first. Fold has a type
/// Value and a static Value join(older, newer, n_older, n_newer, share); n_older and n_newer are
/// the numbers of values folded on either side, and share is n_newer / (n_older + n_newer), if
/// `static constexpr bool weighs` asks for it. Allocates: on construction only.
template <class Fold>
class RollingFold {
 public:
  using Value = typename Fold::Value;

  /// Throws: ShapeError when the window is below 1.
  explicit RollingFold(Index window)
      : window_(internal::checked_window("RollingFold", window)),
        tails_(static_cast<std::size_t>(window)) {
    if constexpr (Fold::weighs) {
      shares_.resize(tails_.size());
      for (std::size_t i = 0; i < shares_.size(); ++i)
        shares_[i] = static_cast<double>(i) / static_cast<double>(window);
    }
  }
  // Copies only, so that an indicator that was moved from, to itself too, can still be pushed to.
  RollingFold(const RollingFold&) = default;
  RollingFold& operator=(const RollingFold&) = default;

  void push(const Value& value) noexcept {
    run_ = filled_ == 0 ? value
                        : Fold::join(run_, value, filled_, 1, internal::share_among(filled_ + 1));
    tails_[static_cast<std::size_t>(filled_)] = value;
    if (++filled_ < window_) {
      fold_ = is_warm_ ? Fold::join(tails_[static_cast<std::size_t>(filled_)], run_,
                                    window_ - filled_, filled_, share_of_run())
                       : run_;
      return;
    }
    finish_block();
    fold_ = run_;
    filled_ = 0;
    is_warm_ = true;
  }

  /// Whether the window is full.
  bool is_warm() const noexcept { return is_warm_; }
  /// The fold of the window, or of all values while there are fewer. Needs at least one value.
  const Value& fold() const noexcept { return fold_; }
  Index window() const noexcept { return window_; }

  void state(StateBytes& bytes) {
    bytes.within(filled_, 0, window_ - 1);
    bytes(is_warm_, run_, fold_, tails_);
  }

 private:
  /// Folds the tails of the block that is full.
  void finish_block() noexcept {
    Value tail = tails_.back();
    for (Index i = window_ - 1; i-- > 0;) {
      Value& one = tails_[static_cast<std::size_t>(i)];
      one = tail =
          Fold::join(one, tail, 1, window_ - 1 - i, internal::share_among<true>(window_ - i));
    }
  }

  double share_of_run() const noexcept {
    if constexpr (Fold::weighs)
      return shares_[static_cast<std::size_t>(filled_)];
    else
      return 0;
  }

  Index window_;
  Index filled_ = 0;  ///< values in the block that is being filled
  bool is_warm_ = false;
  Value run_{};  ///< the fold of that block's values
  Value fold_{};
  std::vector<Value> tails_;    ///< tails_[i], i >= filled_: the fold of the last block from i on
  std::vector<double> shares_;  ///< shares_[i]: i / window, where the fold weighs
};

/// A number folded over the last `window` values; NaN until the window is full.
template <class Fold>
class Rolling {
 public:
  /// Throws: ShapeError when the window is below 1.
  explicit Rolling(Index window) : fold_(window) {}
  double push(double x) noexcept {
    fold_.push(x);
    return value();
  }
  bool is_warm() const noexcept { return fold_.is_warm(); }
  double value() const noexcept { return is_warm() ? fold_.fold() : internal::undefined; }
  /// The fold of all values while the window is not full. Needs at least one value.
  double partial() const noexcept { return fold_.fold(); }

  void state(StateBytes& bytes) { bytes(fold_); }

 private:
  RollingFold<Fold> fold_;
};

namespace internal {

struct Sum {
  using Value = double;
  static constexpr bool weighs = false;
  static double join(double older, double newer, Index, Index, double) noexcept {
    return older + newer;
  }
};

struct Largest {
  using Value = double;
  static constexpr bool weighs = false;
  static double join(double older, double newer, Index, Index, double) noexcept {
    return std::max(older, newer);
  }
};

struct Smallest {
  using Value = double;
  static constexpr bool weighs = false;
  static double join(double older, double newer, Index, Index, double) noexcept {
    return std::min(older, newer);
  }
};

/// Joining equal means gives that mean exactly; dividing a sum would not.
struct Mean {
  using Value = double;
  static constexpr bool weighs = true;
  static double join(double older, double newer, Index, Index, double share) noexcept {
    return older + (newer - older) * share;
  }
};

/// Mean and sum of squared deviations.
/// Source: Chan, Golub and LeVeque (1983), Algorithms for Computing the Sample Variance.
struct Moments {
  struct Value {
    double mean = 0;
    double squares = 0;
  };
  static constexpr bool weighs = true;
  static Value join(const Value& older, const Value& newer, Index n_older, Index,
                    double share) noexcept {
    const double difference = newer.mean - older.mean;
    return {older.mean + difference * share,
            older.squares + newer.squares +
                difference * difference * (static_cast<double>(n_older) * share)};
  }
};

}  // namespace internal

/// The sum of the last `window` values.
/// Largest error: window * 2^-53 times the sum of the absolute values, after any number of pushes.
using RollingSum = Rolling<internal::Sum>;
/// The mean of the last `window` values; of equal values it is exactly their value.
using RollingMean = Rolling<internal::Mean>;
/// The largest and the smallest of the last `window` values.
using RollingMax = Rolling<internal::Largest>;
using RollingMin = Rolling<internal::Smallest>;

/// Mean and standard deviation (divided by n) of the last `window` values; NaN until the window is
/// full. Equal values have a deviation of exactly 0.
class RollingDeviation {
 public:
  /// Throws: ShapeError when the window is below 1.
  explicit RollingDeviation(Index window) : fold_(window) {}
  void push(double x) noexcept { fold_.push({x, 0}); }
  bool is_warm() const noexcept { return fold_.is_warm(); }
  double mean() const noexcept { return is_warm() ? fold_.fold().mean : internal::undefined; }
  double deviation() const noexcept {
    return is_warm() ? std::sqrt(fold_.fold().squares / static_cast<double>(fold_.window()))
                     : internal::undefined;
  }

  void state(StateBytes& bytes) { bytes(fold_); }

 private:
  RollingFold<internal::Moments> fold_;
};

/// The value pushed `steps` pushes before the last one; NaN until there is such a value.
class Delay {
 public:
  /// Throws: ShapeError when steps is below 1.
  explicit Delay(Index steps)
      : ring_(static_cast<std::size_t>(internal::checked_window("Delay", steps)),
              internal::undefined) {}
  Delay(const Delay&) = default;  // copies only, as RollingFold
  Delay& operator=(const Delay&) = default;

  double push(double x) noexcept {
    const double delayed = ring_[at_];
    ring_[at_] = x;
    if (++at_ == ring_.size()) at_ = 0;
    return delayed;
  }

  void state(StateBytes& bytes) {
    bytes(ring_);
    bytes.within(at_, 0, ring_.size() - 1);
  }

 private:
  std::vector<double> ring_;
  std::size_t at_ = 0;
};

namespace internal {

/// Where a market stands still, averages of its changes shrink with every candle and never reach
/// zero: after some thousands of candles they are denormals, whose ratios are noise. So an average
/// that has decayed below `negligible` becomes exactly 0, and a ratio of averages is neutral once
/// its denominator is below `settled`. Between the two lie ten decimal digits: a numerator that has
/// become 0 cannot show in a ratio.
inline constexpr double negligible = 1e-100, settled = 1e-90;

/// An average after a push of x.
inline double decayed(double average, double x) noexcept {
  if (std::abs(average) < negligible)
      [[unlikely]]  // a jump: a selection would wait for the average
    if (is_zero(x)) return 0;
  return average;
}

}  // namespace internal

/// An exponential average, y += alpha (x - y), that starts at its first value and is NaN until it
/// has had `warm_up` values. A value equal to y leaves y unchanged, bit for bit. Zeros after a
/// value bring it to exactly 0 once it is below 1e-100.
/// Source: pandas, ewm(adjust=False, min_periods=warm_up).
class ExponentialAverage {
 public:
  /// alpha = 2 / (span + 1), warm after `span` values. Throws: ShapeError when span is below 1.
  explicit ExponentialAverage(Index span)
      : ExponentialAverage(2.0 / (static_cast<double>(span) + 1.0), span) {}
  /// Throws: ShapeError when warm_up is below 1 or alpha is not in (0, 1].
  ExponentialAverage(double alpha, Index warm_up)
      : alpha_(alpha),
        warm_up_(internal::checked_window("ExponentialAverage", warm_up)),
        missing_(warm_up) {
    if (!(is_finite(alpha) && alpha > 0 && alpha <= 1))
      throw ShapeError("ExponentialAverage: expected 0 < alpha <= 1, found ", alpha);
  }

  double push(double x) noexcept {
    if (is_warm()) [[likely]]
      return average_ = next(x);
    average_ = has_started_ ? next(x) : x;
    has_started_ = true;
    --missing_;
    return value();
  }
  bool is_warm() const noexcept { return missing_ == 0; }
  double value() const noexcept { return is_warm() ? average_ : internal::undefined; }

  void state(StateBytes& bytes) {
    bytes.within(missing_, 0, warm_up_);
    bytes(has_started_);
    bytes.require(has_started_ == (missing_ < warm_up_), "an average that has started, or not");
    bytes.finite(average_);
  }

 private:
  double next(double x) const noexcept {
    return internal::decayed(average_ + alpha_ * (x - average_), x);
  }

  double alpha_;
  Index warm_up_;
  Index missing_;  ///< values until it is warm
  bool has_started_ = false;
  double average_ = 0;
};

/// Wilder's average: the mean of the first n values, then y += (x - y) / n. As ExponentialAverage,
/// it becomes exactly 0.
/// Source: Wilder (1978), New Concepts in Technical Trading Systems.
class WilderAverage {
 public:
  /// Throws: ShapeError when n is below 1.
  explicit WilderAverage(Index n)
      : size_(internal::checked_window("WilderAverage", n)), share_(1 / static_cast<double>(n)) {}

  double push(double x) noexcept {
    if (count_ < size_) {
      average_ += x * share_;
      ++count_;
    } else {
      average_ = internal::decayed(average_ + (x - average_) * share_, x);
    }
    return value();
  }
  bool is_warm() const noexcept { return count_ == size_; }
  double value() const noexcept { return is_warm() ? average_ : internal::undefined; }

  void state(StateBytes& bytes) {
    bytes.within(count_, 0, size_);
    bytes.finite(average_);
  }

 private:
  Index size_;
  double share_;
  Index count_ = 0;
  double average_ = 0;
};

namespace internal {

/// `yes` or `no` without a jump: where markets rise or fall, jumps are guessed wrong half the time.
inline double chosen(bool condition, double yes, double no) noexcept {
  const double values[] = {no, yes};
  return values[condition];
}

/// numerator / denominator where the denominator is above 0, else `otherwise`.
inline double ratio_or(double otherwise, double numerator, double denominator) noexcept {
  return denominator > 0 ? numerator / denominator : otherwise;
}

/// The same for averages that decay: `otherwise` once the denominator has settled to 0.
inline double decayed_ratio_or(double otherwise, double numerator, double denominator) noexcept {
  return denominator >= settled ? numerator / denominator : otherwise;
}

}  // namespace internal

}  // namespace TSDL_ABI
}  // namespace tsdl
