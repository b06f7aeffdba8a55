// What indicators are made of: rolling windows, exponential averages and delays, fed one number at
// a time.
//
// A rolling window is cut into blocks of its own length n. It keeps the folds of the last full
// block's tails and one running fold of the block that is being filled; the window is the tail that
// is still inside joined with the running fold:
//
//     ... | a b c d e f g h | i j k ...      n = 8, k is the newest
//                 |--tail--| |-run-|
//
// A push joins twice on average, whatever the operation and the length, and nothing is ever
// subtracted: a sum after a million pushes is as good as one made afresh from the window's n
// values, and a window of equal values has a deviation of exactly zero.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string_view>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/series.hpp"

namespace tsdl::inline TSDL_ABI {

namespace internal {

/// `window` itself. Throws: ShapeError when it is below 1 or above ten million.
inline Index checked_window(std::string_view name, Index window) {
  constexpr Index longest = 10'000'000;
  if (window < 1 || window > longest)
    throw ShapeError(name, ": expected a window of 1 to ", longest, ", found ", window);
  return window;
}

}  // namespace internal

/// The fold of the last `window` values by an associative operation, oldest first.
/// Fold has a type Value and a static Value join(const Value& older, const Value& newer).
/// Allocates: on construction only.
template <class Fold>
class RollingFold {
 public:
  using Value = typename Fold::Value;

  /// Throws: ShapeError when the window is below 1.
  explicit RollingFold(Index window)
      : window_(internal::checked_window("RollingFold", window)),
        tails_(static_cast<std::size_t>(window)) {}

  void push(const Value& value) noexcept {
    run_ = filled_ == 0 ? value : Fold::join(run_, value);
    tails_[static_cast<std::size_t>(filled_)] = value;
    if (++filled_ < window_) {
      fold_ = is_warm_ ? Fold::join(tails_[static_cast<std::size_t>(filled_)], run_) : run_;
      return;
    }
    for (std::size_t i = tails_.size() - 1; i-- > 0;)
      tails_[i] = Fold::join(tails_[i], tails_[i + 1]);
    fold_ = run_;
    filled_ = 0;
    is_warm_ = true;
  }

  /// Whether the window is full.
  bool is_warm() const noexcept { return is_warm_; }
  /// The fold of the window, or of all values while there are fewer. At least one was pushed.
  const Value& fold() const noexcept { return fold_; }
  Index window() const noexcept { return window_; }

 private:
  Index window_;
  Index filled_ = 0;  ///< values in the block that is being filled
  bool is_warm_ = false;
  Value run_{};  ///< the fold of that block's values
  Value fold_{};
  std::vector<Value> tails_;  ///< tails_[i], i >= filled_: the fold of the last block from i on
};

namespace internal {

struct Sum {
  using Value = double;
  static double join(double older, double newer) noexcept { return older + newer; }
};

struct Largest {
  using Value = double;
  static double join(double older, double newer) noexcept { return std::max(older, newer); }
};

struct Smallest {
  using Value = double;
  static double join(double older, double newer) noexcept { return std::min(older, newer); }
};

/// Count and mean. Joining equal means gives that mean exactly, which a sum divided does not.
struct Mean {
  struct Value {
    double count = 0;
    double mean = 0;
  };
  static Value join(const Value& older, const Value& newer) noexcept {
    const double count = older.count + newer.count;
    return {count, older.mean + (newer.mean - older.mean) * (newer.count / count)};
  }
};

/// Count, mean and sum of squared deviations.
/// Source: Chan, Golub and LeVeque (1983), Algorithms for Computing the Sample Variance.
struct Moments {
  struct Value {
    double count = 0;
    double mean = 0;
    double squares = 0;
  };
  static Value join(const Value& older, const Value& newer) noexcept {
    const double count = older.count + newer.count;
    const double share = newer.count / count;
    const double difference = newer.mean - older.mean;
    return {count, older.mean + difference * share,
            older.squares + newer.squares + difference * difference * older.count * share};
  }
};

}  // namespace internal

/// The sum of the last `window` values; NaN until there are that many.
/// Largest error: window * 2^-53 times the sum of the values' sizes, after any number of pushes.
class RollingSum {
 public:
  explicit RollingSum(Index window) : fold_(window) {}
  double push(double x) noexcept {
    fold_.push(x);
    return value();
  }
  bool is_warm() const noexcept { return fold_.is_warm(); }
  double value() const noexcept { return is_warm() ? fold_.fold() : internal::undefined; }

 private:
  RollingFold<internal::Sum> fold_;
};

/// The mean of the last `window` values; NaN until there are that many. Equal values have their own
/// value as mean, exactly.
class RollingMean {
 public:
  explicit RollingMean(Index window) : fold_(window) {}
  double push(double x) noexcept {
    fold_.push({1, x});
    return value();
  }
  bool is_warm() const noexcept { return fold_.is_warm(); }
  double value() const noexcept { return is_warm() ? fold_.fold().mean : internal::undefined; }

 private:
  RollingFold<internal::Mean> fold_;
};

/// The largest of the last `window` values; NaN until there are that many.
class RollingMax {
 public:
  explicit RollingMax(Index window) : fold_(window) {}
  double push(double x) noexcept {
    fold_.push(x);
    return value();
  }
  bool is_warm() const noexcept { return fold_.is_warm(); }
  double value() const noexcept { return is_warm() ? fold_.fold() : internal::undefined; }
  /// The largest so far while there are fewer values than the window holds.
  double partial() const noexcept { return fold_.fold(); }

 private:
  RollingFold<internal::Largest> fold_;
};

/// The smallest of the last `window` values; NaN until there are that many.
class RollingMin {
 public:
  explicit RollingMin(Index window) : fold_(window) {}
  double push(double x) noexcept {
    fold_.push(x);
    return value();
  }
  bool is_warm() const noexcept { return fold_.is_warm(); }
  double value() const noexcept { return is_warm() ? fold_.fold() : internal::undefined; }

 private:
  RollingFold<internal::Smallest> fold_;
};

/// Mean and standard deviation (divided by n) of the last `window` values; NaN until there are that
/// many. Equal values have a deviation of exactly 0.
class RollingDeviation {
 public:
  explicit RollingDeviation(Index window) : fold_(window) {}
  void push(double x) noexcept { fold_.push({1, x, 0}); }
  bool is_warm() const noexcept { return fold_.is_warm(); }
  double mean() const noexcept { return is_warm() ? fold_.fold().mean : internal::undefined; }
  double deviation() const noexcept {
    return is_warm() ? std::sqrt(fold_.fold().squares / fold_.fold().count) : internal::undefined;
  }

 private:
  RollingFold<internal::Moments> fold_;
};

/// The value pushed `steps` pushes before the last one; NaN until there is one.
class Delay {
 public:
  /// Throws: ShapeError when steps is below 1.
  explicit Delay(Index steps)
      : ring_(static_cast<std::size_t>(internal::checked_window("Delay", steps)),
              internal::undefined) {}

  double push(double x) noexcept {
    const double delayed = ring_[at_];
    ring_[at_] = x;
    if (++at_ == ring_.size()) at_ = 0;
    return delayed;
  }

 private:
  std::vector<double> ring_;
  std::size_t at_ = 0;
};

/// An exponential average, y += alpha (x - y), that starts at its first value and is NaN until it
/// has had `warm_up` of them. Equal values leave it exactly where it is.
/// Source: pandas, ewm(adjust=False, min_periods=warm_up).
class ExponentialAverage {
 public:
  /// alpha = 2 / (span + 1), warm after `span` values. Throws: ShapeError when span is below 1.
  explicit ExponentialAverage(Index span)
      : ExponentialAverage(2.0 / (static_cast<double>(span) + 1.0), span) {}
  /// Throws: ShapeError when warm_up is below 1 or alpha is not in (0, 1].
  ExponentialAverage(double alpha, Index warm_up)
      : alpha_(alpha), missing_(internal::checked_window("ExponentialAverage", warm_up)) {
    if (!(alpha > 0 && alpha <= 1))
      throw ShapeError("ExponentialAverage: expected 0 < alpha <= 1, found ", alpha);
  }

  double push(double x) noexcept {
    average_ = has_started_ ? average_ + alpha_ * (x - average_) : x;
    has_started_ = true;
    if (missing_ > 0) --missing_;
    return value();
  }
  bool is_warm() const noexcept { return missing_ == 0; }
  double value() const noexcept { return is_warm() ? average_ : internal::undefined; }

 private:
  double alpha_;
  Index missing_;  ///< values until it is warm
  bool has_started_ = false;
  double average_ = 0;
};

/// Wilder's average: the mean of the first n values, then y += (x - y) / n.
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
      average_ += (x - average_) * share_;
    }
    return value();
  }
  bool is_warm() const noexcept { return count_ == size_; }
  double value() const noexcept { return is_warm() ? average_ : internal::undefined; }

 private:
  Index size_;
  double share_;
  Index count_ = 0;
  double average_ = 0;
};

namespace internal {

/// numerator / denominator where the denominator is above 0, else `otherwise`.
inline double ratio_or(double otherwise, double numerator, double denominator) noexcept {
  return denominator > 0 ? numerator / denominator : otherwise;
}

}  // namespace internal

}  // namespace tsdl::inline TSDL_ABI
