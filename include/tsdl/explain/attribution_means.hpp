// What the attributions of many windows have in common: the mean share of each column, and of each
// lag.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/explain/integrated_gradients.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// Means of |a| over windows. Lag 0 is a window's last row, whatever its length. Divide by total()
/// for shares: those of all columns, and those of all lags, add up to 1.
struct AttributionMeans {
  Index windows = 0, inputs = 0;
  std::vector<double> columns{};  ///< I: the mean over windows of the sum over t of |a|
  std::vector<double> lags{};     ///< T: the mean over windows of the sum over i of |a|
  double largest_delta = 0;       ///< the largest relative_delta()

  double total() const noexcept {
    double sum = 0;
    for (const double column : columns) sum += column;
    return sum;
  }
};

/// The means over these windows; longer ones have more lags. Throws: DataError when there are none;
/// ShapeError when they have different numbers of inputs.
inline AttributionMeans attribution_means(std::span<const Attribution> all) {
  if (all.empty()) throw DataError("attribution_means: there are no windows");
  AttributionMeans means{std::ssize(all), all.front().inputs};
  means.columns.assign(static_cast<std::size_t>(means.inputs), 0.0);
  const auto n = static_cast<double>(all.size());
  for (const Attribution& one : all) {
    if (one.inputs != means.inputs)
      throw ShapeError("attribution_means: windows of ", means.inputs, " and of ", one.inputs,
                       " inputs");
    if (std::ssize(means.lags) < one.steps)
      means.lags.resize(static_cast<std::size_t>(one.steps), 0.0);
    for (Index t = 0; t < one.steps; ++t)
      for (Index i = 0; i < one.inputs; ++i) {
        const double size = std::abs(one.at(t, i));
        means.columns[static_cast<std::size_t>(i)] += size / n;
        means.lags[static_cast<std::size_t>(one.steps - 1 - t)] += size / n;
      }
    means.largest_delta = std::max(means.largest_delta, one.relative_delta());
  }
  return means;
}

}  // namespace TSDL_ABI
}  // namespace tsdl
