// From what a model says of each row to positions, and from positions to returns after costs.
//
// A signal is what is said at the close of a row of the row(s) after it: above 0 for a rise. It is
// NaN where nothing is said. Names:
//   s[t]  signal of row t                p[t]  position that is decided at the close of row t
//   O, C  open and close of a row        r[t]  return from the close of row t - 1 to that of row t
// s[t], and so p[t], may depend on rows up to t. r[t] is made of C[t - 1], O[t], C[t], p[t - 1] and
// p[t - 2] alone.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/types.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// How a position, from -1 (all short) to 1 (all long), follows from a signal.
enum class PositionRule : std::uint8_t {
  sign,         ///< 1 above 0, -1 below, 0 at 0
  threshold,    ///< 1 above the threshold, -1 below minus the threshold, else 0
  proportional  ///< the signal, cut to -1 and 1; numbers are scaled first (StrategyOptions)
};

/// When a new position is taken: at the close at which it is decided, or at the next row's open.
enum class Fill : std::uint8_t { close, open };

/// How signals become positions, and what trading costs.
struct StrategyOptions {
  PositionRule rule = PositionRule::sign;
  double threshold = 0;
  /// The signals are numbers on a scale of their own, such as returns: `proportional` divides each
  /// by the root mean square of the signals up to it. Else they are differences of probabilities.
  bool numbers = false;
  Fill fill = Fill::close;
  double cost_bps = 0;  ///< of what is traded, in hundredths of a percent
};

/// Open and close of every row; opens may be empty where nothing is filled at the open.
struct Prices {
  std::span<const double> opens, closes;
};

/// The signal of an up probability p, of two classes: 2 p - 1, from -1 to 1. Of classes -1, 0, 1
/// it is P(1) - P(-1), of numbers the forecast return, of quantiles the one nearest to the median.
constexpr double signal_of_probability(double p) noexcept { return 2 * p - 1; }

/// The position of each row: 0 where nothing is said, so that a position is held on from row to row
/// only while the model goes on saying something.
/// Throws: OptionError when the threshold is negative or not finite; DataError naming a row whose
/// signal is infinite.
inline std::vector<double> positions_of(std::span<const double> signals,
                                        const StrategyOptions& options = {}) {
  const FloatModeGuard guard;
  if (!(is_finite(options.threshold) && options.threshold >= 0))
    throw OptionError("positions_of: expected a threshold of 0 or more, not ", options.threshold);
  std::vector<double> positions(signals.size());
  double squares = 0, count = 0;  // of the signals so far
  for (std::size_t t = 0; t < signals.size(); ++t) {
    const double signal = signals[t];
    if (is_nan(signal)) continue;
    if (!is_finite(signal)) throw DataError("positions_of: the signal of row ", t, " is ", signal);
    if (options.rule == PositionRule::proportional) {
      double share = signal;
      if (options.numbers) {
        squares += signal * signal;
        count += 1;
        const double scale = std::sqrt(squares / count);
        share = scale > 0 ? signal / scale : 0.0;
      }
      positions[t] = std::clamp(share, -1.0, 1.0);
    } else {
      const double edge = options.rule == PositionRule::threshold ? options.threshold : 0.0;
      positions[t] = signal > edge ? 1.0 : signal < -edge ? -1.0 : 0.0;
    }
  }
  return positions;
}

namespace internal {

inline void check_prices(const char* where, const Prices& prices, std::size_t rows,
                         const StrategyOptions& options) {
  if (prices.closes.size() != rows)
    throw ShapeError(where, ": ", prices.closes.size(), " closes for ", rows, " rows");
  const bool opens = options.fill == Fill::open;
  if (opens && prices.opens.size() != rows)
    throw ShapeError(where, ": ", prices.opens.size(), " opens for ", rows, " rows");
  if (!(is_finite(options.cost_bps) && options.cost_bps >= 0 && options.cost_bps <= 10000))
    throw OptionError(where, ": expected a cost from 0 to 10000 hundredths of a percent, not ",
                      options.cost_bps);
  const auto usable = [](double price) { return is_finite(price) && price > 0; };
  for (std::size_t t = 0; t < rows; ++t) {
    if (!usable(prices.closes[t]))
      throw DataError(where, ": the close of row ", t, " is ", prices.closes[t],
                      ": expected a price above 0");
    if (opens && !usable(prices.opens[t]))
      throw DataError(where, ": the open of row ", t, " is ", prices.opens[t],
                      ": expected a price above 0");
  }
}

/// r[first + 1] ... r[first + n], n = returns.size(), of prices that were checked.
inline void fill_returns(std::span<double> returns, const Prices& prices,
                         std::span<const double> positions, std::size_t first,
                         const StrategyOptions& options) noexcept {
  const double cost = options.cost_bps * 1e-4;
  double held = 0;
  bool lost = false;
  for (std::size_t i = 0; i < returns.size(); ++i) {
    const std::size_t row = first + 1 + i;
    const double wanted = positions[row - 1], before = prices.closes[row - 1];
    double growth = 1, from = before;
    if (options.fill == Fill::open) {
      from = prices.opens[row];
      growth = std::max(0.0, 1 + held * (from / before - 1));
    }
    growth *= std::max(0.0, 1 - cost * std::abs(wanted - held));
    growth *= std::max(0.0, 1 + wanted * (prices.closes[row] / from - 1));
    returns[i] = lost ? 0.0 : growth - 1;
    lost = lost || !(growth > 0);
    held = wanted;
  }
}

}  // namespace internal

/// The returns of rows first + 1 to last + 1, or to the last row there is, of the positions that
/// are decided at rows `first` to `last`; before, none is held.
/// Equations, with d = |p[t - 1] - p[t - 2]| cost_bps / 10000:
///   fill close: 1 + r[t] = (1 - d) (1 + p[t - 1] (C[t] / C[t - 1] - 1))
///   fill open:  1 + r[t] = (1 + p[t - 2] (O[t] / C[t - 1] - 1)) (1 - d) (1 + p[t - 1] (C[t] / O[t]
///   - 1))
/// A position is a share of what the account holds at each trade and close; restoring that share
/// without a change of position costs nothing, nor does lending. A factor below 0 is 0, and after
/// an account is lost its returns are 0. The last position stays open: leaving it is not charged.
/// Throws: ShapeError when prices and positions differ in number, or rows are out of range;
/// OptionError for the cost; DataError naming a price that is not finite and above 0, or when no
/// row follows `first`.
inline std::vector<double> strategy_returns(const Prices& prices, std::span<const double> positions,
                                            Index first, Index last,
                                            const StrategyOptions& options = {}) {
  const FloatModeGuard guard;
  const auto rows = static_cast<Index>(positions.size());
  internal::check_prices("strategy_returns", prices, positions.size(), options);
  if (first < 0 || last < first || last >= rows)
    throw ShapeError("strategy_returns: expected rows from 0 to ", rows - 1, ", not ", first,
                     " to ", last);
  const Index end = std::min(last + 1, rows - 1);
  if (end == first) throw DataError("strategy_returns: no row follows row ", first);
  std::vector<double> returns(static_cast<std::size_t>(end - first));
  internal::fill_returns(returns, prices, positions, static_cast<std::size_t>(first), options);
  return returns;
}

}  // namespace TSDL_ABI
}  // namespace tsdl
