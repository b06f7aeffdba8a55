// Features to zero mean and unit variance, with the mean and variance of the rows it was fitted on.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/series.hpp"

namespace tsdl::inline TSDL_ABI {

/// Standardises each feature by the mean and standard deviation of the rows it was fitted on.
/// Equations: y = (x - mean) / scale; mean and variance over the n values that are not NaN, divided
/// by n; scale = sqrt(variance), or 1 for a constant feature, one with
/// variance <= n eps variance + (n mean eps)^2.
/// NaN is left out of the fit and stays NaN in the transform; infinity is refused in both.
/// Source: scikit-learn, sklearn.preprocessing.StandardScaler.
class StandardScaler {
 public:
  /// Not fitted: transform throws.
  StandardScaler() = default;

  /// From stored values, as in a model file; one entry per feature in each.
  /// Throws: DataError when sizes disagree, a value is not finite, a variance is negative, or a
  /// scale or count is not above zero.
  StandardScaler(std::vector<std::string> names, std::vector<double> mean,
                 std::vector<double> variance, std::vector<double> scale, std::vector<Index> count)
      : names_(std::move(names)),
        mean_(std::move(mean)),
        variance_(std::move(variance)),
        scale_(std::move(scale)),
        count_(std::move(count)) {
    const std::size_t n = names_.size();
    if (n == 0 || mean_.size() != n || variance_.size() != n || scale_.size() != n ||
        count_.size() != n)
      throw DataError("StandardScaler: expected as many of each, found ", n, " names, ",
                      mean_.size(), " means, ", variance_.size(), " variances, ", scale_.size(),
                      " scales, ", count_.size(), " counts");
    for (std::size_t i = 0; i < n; ++i)
      if (!is_finite(mean_[i]) || !is_finite(variance_[i]) || !is_finite(scale_[i]) ||
          variance_[i] < 0 || scale_[i] <= 0 || count_[i] < 1)
        throw DataError("StandardScaler: feature ", names_[i], ": mean ", mean_[i], ", variance ",
                        variance_[i], ", scale ", scale_[i], ", count ", count_[i],
                        " cannot come from data");
  }

  /// Fits on the rows in `ranges`, which do not overlap. On an exception nothing changes.
  /// Throws: DataError naming feature and row for infinity, and the feature when it has no value in
  /// these rows or its variance overflows; ShapeError when a range is outside the series.
  void fit(const Series<double>& series, std::span<const RowRange> ranges) {
    for (const RowRange& range : ranges)
      if (range.first < 0 || range.last < range.first || range.last > series.rows)
        throw ShapeError("StandardScaler: rows ", range.first, " to ", range.last,
                         " are outside a series of ", series.rows, " rows");
    StandardScaler fitted;
    fitted.names_ = series.names;
    for (Index i = 0; i < series.features; ++i) fitted.append_moments(series, ranges, i);
    if (fitted.names_.empty()) throw DataError("StandardScaler: a series without features");
    *this = std::move(fitted);
  }

  /// Fits on every row.
  void fit(const Series<double>& series) {
    const RowRange all{0, series.rows};
    fit(series, std::span<const RowRange>(&all, 1));
  }

  /// The series, standardised, computed in double and rounded once.
  /// Allocates: the result.
  /// Throws: DataError when the scaler is not fitted, was fitted on other features, or a value is
  /// infinite or leaves the range of Scalar (feature and row named).
  template <class Scalar>
  Series<Scalar> transform(const Series<double>& series) const {
    require_features(series);
    Series<Scalar> result = Series<Scalar>::sized(series.names, series.rows);
    const double largest = std::numeric_limits<Scalar>::max();
    for (Index row = 0; row < series.rows; ++row) {
      const double* in = series.column(row);
      Scalar* out = result.column(row);
      for (std::size_t i = 0; i < names_.size(); ++i) {
        const double value = in[i];
        if (is_nan(value)) {
          out[i] = std::numeric_limits<Scalar>::quiet_NaN();
          continue;
        }
        const double scaled = (value - mean_[i]) / scale_[i];
        if (!is_finite(scaled) || scaled > largest || scaled < -largest)
          throw DataError("StandardScaler: feature ", names_[i], ", row ", row, ": ",
                          is_finite(value) ? "too large once scaled" : "infinite");
        out[i] = static_cast<Scalar>(scaled);
      }
    }
    return result;
  }

  bool is_fitted() const noexcept { return !names_.empty(); }
  const std::vector<std::string>& names() const noexcept { return names_; }
  const std::vector<double>& mean() const noexcept { return mean_; }
  const std::vector<double>& variance() const noexcept { return variance_; }
  const std::vector<double>& scale() const noexcept { return scale_; }
  const std::vector<Index>& count() const noexcept { return count_; }

 private:
  /// Calls use(value) for each value of a feature in the ranges that is not NaN.
  template <class Use>
  static void for_each_value(const Series<double>& series, std::span<const RowRange> ranges,
                             Index feature, const Use& use) {
    for (const RowRange& range : ranges)
      for (Index row = range.first; row < range.last; ++row) {
        const double value = series.column(row)[feature];
        if (is_nan(value)) continue;
        if (!is_finite(value))
          throw DataError("StandardScaler: feature ",
                          series.names[static_cast<std::size_t>(feature)], ", row ", row,
                          ": infinite");
        use(value);
      }
  }

  /// Adds a feature's mean, variance, scale and count. Both passes add differences (from the first
  /// value, then from the mean), so that a large offset costs no accuracy; the second also removes
  /// what rounding left in the mean.
  void append_moments(const Series<double>& series, std::span<const RowRange> ranges,
                      Index feature) {
    const std::string& name = names_[static_cast<std::size_t>(feature)];
    Index count = 0;
    double first = 0;
    double sum = 0;
    for_each_value(series, ranges, feature, [&](double value) {
      if (count++ == 0) first = value;
      sum += value - first;
    });
    if (count == 0)
      throw DataError("StandardScaler: feature ", name, " has no value in the rows to fit on");
    const double n = static_cast<double>(count);
    const double mean = first + sum / n;
    double squares = 0;
    double rest = 0;
    for_each_value(series, ranges, feature, [&](double value) {
      const double difference = value - mean;
      squares += difference * difference;
      rest += difference;
    });
    double variance = (squares - rest * rest / n) / n;
    if (!is_finite(mean) || !is_finite(variance))
      throw DataError("StandardScaler: feature ", name, ": its variance overflows");
    variance = std::max(variance, 0.0);
    constexpr double epsilon = std::numeric_limits<double>::epsilon();
    const double noise = n * mean * epsilon;
    const bool constant = variance <= n * epsilon * variance + noise * noise;
    mean_.push_back(mean);
    variance_.push_back(variance);
    scale_.push_back(constant ? 1.0 : std::sqrt(variance));
    count_.push_back(count);
  }

  void require_features(const Series<double>& series) const {
    if (!is_fitted()) throw DataError("StandardScaler: it was not fitted");
    if (series.names.size() != names_.size())
      throw DataError("StandardScaler: fitted on ", names_.size(), " features, given ",
                      series.names.size());
    for (std::size_t i = 0; i < names_.size(); ++i)
      if (series.names[i] != names_[i])
        throw DataError("StandardScaler: feature ", i, ": fitted on ", names_[i], ", given ",
                        series.names[i]);
  }

  std::vector<std::string> names_;
  std::vector<double> mean_;
  std::vector<double> variance_;
  std::vector<double> scale_;
  std::vector<Index> count_;
};

}  // namespace tsdl::inline TSDL_ABI
