// Scales features to zero mean and unit variance, by the mean and variance of the rows it was
// fitted on, at once or chunk by chunk.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/series.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// How a StandardScaler scales.
struct StandardScalerOptions {
  double clip = 0;  ///< largest magnitude after scaling, in standard deviations; 0: no clipping
};

/// Standardises each feature by the mean and standard deviation of the rows it was fitted on.
/// Equations: y = (x - mean) / scale; mean and variance over the n values that are not NaN, divided
/// by n; scale = sqrt(variance), or 1 for a constant feature, whose variance <= n eps variance + (n
/// mean eps)^2. With a clip, y is then limited to [-clip, clip]; fitting ignores it. NaN is left
/// out of the fit and stays NaN in the transform; infinity is refused in both.
/// Source: scikit-learn, sklearn.preprocessing.StandardScaler.
class StandardScaler {
 public:
  /// Not fitted: transform throws.
  StandardScaler() = default;

  /// Not fitted, with options. Throws: DataError when clip is negative or not finite.
  explicit StandardScaler(StandardScalerOptions options) : options_(options) {
    if (!is_finite(options.clip) || options.clip < 0)
      throw DataError("StandardScaler: expected a clip of 0 (none) or more, found ", options.clip);
  }

  /// From stored values, as in a model file; one entry per feature in each. Throws: DataError when
  /// sizes disagree, a value is not finite, a variance is negative, a scale or count is not above
  /// zero, a count is above 2^53, or an option is out of range.
  StandardScaler(std::vector<std::string> names, std::vector<double> mean,
                 std::vector<double> variance, std::vector<double> scale, std::vector<Index> count,
                 StandardScalerOptions options = {})
      : StandardScaler(options) {
    names_ = std::move(names);
    mean_ = std::move(mean);
    variance_ = std::move(variance);
    scale_ = std::move(scale);
    count_ = std::move(count);
    const std::size_t n = names_.size();
    if (n == 0 || mean_.size() != n || variance_.size() != n || scale_.size() != n ||
        count_.size() != n)
      throw DataError("StandardScaler: expected as many of each, found ", n, " names, ",
                      mean_.size(), " means, ", variance_.size(), " variances, ", scale_.size(),
                      " scales, ", count_.size(), " counts");
    for (std::size_t i = 0; i < n; ++i)
      if (!is_finite(mean_[i]) || !is_finite(variance_[i]) || !is_finite(scale_[i]) ||
          variance_[i] < 0 || scale_[i] <= 0 || count_[i] < 1 || count_[i] > most_count)
        throw DataError("StandardScaler: feature ", names_[i], ": mean ", mean_[i], ", variance ",
                        variance_[i], ", scale ", scale_[i], ", count ", count_[i],
                        " cannot come from data");
    mean_rest_.resize(n);
  }

  /// Fits on the rows in `ranges`, which do not overlap; the options stay. After an exception
  /// nothing has changed.
  /// Throws: DataError naming feature and row of an infinity, and the feature when it has no value
  /// in these rows or its variance overflows; ShapeError when a range is outside the series.
  void fit(const Series<double>& series, std::span<const RowRange> ranges) {
    StandardScaler fitted(options_);
    fitted.partial_fit(series, ranges);
    for (std::size_t i = 0; i < fitted.names_.size(); ++i)
      if (fitted.count_[i] == 0)
        throw DataError("StandardScaler: feature ", fitted.names_[i],
                        " has no value in the rows to fit on");
    *this = std::move(fitted);
  }

  /// Fits on every row.
  void fit(const Series<double>& series) {
    const RowRange all{0, series.rows};
    fit(series, std::span<const RowRange>(&all, 1));
  }

  /// Adds the rows in `ranges` to those of earlier calls of fit and partial_fit: other rows of the
  /// same features. The first call is the same as fit. A feature without a value in these rows
  /// stays as it was, and transform refuses it until it has had one. After an exception nothing has
  /// changed.
  /// Equations: of rows a and rows b, n = n_a + n_b, d = mean_b - mean_a:
  ///   mean = mean_a + d n_b / n
  ///   variance = (n_a variance_a + n_b (variance_b + d^2 n_a / n)) / n
  /// The part of a mean that a double cannot hold is kept beside it (model files leave it out), so
  /// that chunks agree with one fit on all rows to 1e-12 even at an offset of 1e9 standard
  /// deviations.
  /// Throws: DataError when the features differ from those before, naming feature and row of an
  /// infinity, and the feature when its variance overflows; ShapeError when a range is outside the
  /// series.
  /// Source: Chan, Golub and LeVeque, Algorithms for computing the sample variance (1983), eq. 1.5.
  void partial_fit(const Series<double>& series, std::span<const RowRange> ranges) {
    const FloatModeGuard guard;
    for (const RowRange& range : ranges)
      if (range.first < 0 || range.last < range.first || range.last > series.rows)
        throw ShapeError("StandardScaler: rows ", range.first, " to ", range.last,
                         " are outside a series of ", series.rows, " rows");
    StandardScaler fitted = *this;
    if (names_.empty())
      fitted.begin(series.names);
    else
      require_names(series.names);
    const std::vector<Moments> added = moments_of(series, ranges);
    for (std::size_t i = 0; i < added.size(); ++i)
      fitted.set_moments(i, merged(fitted.moments(i), added[i]));
    *this = std::move(fitted);
  }

  /// Adds every row to those of earlier calls.
  void partial_fit(const Series<double>& series) {
    const RowRange all{0, series.rows};
    partial_fit(series, std::span<const RowRange>(&all, 1));
  }

  /// The series, standardised and clipped, computed in double and rounded once. Allocates: the
  /// result. Throws: DataError when the scaler is not fitted, was fitted on other features, or a
  /// value is infinite or, once scaled and clipped, beyond Scalar's range (feature and row named).
  template <class Scalar>
  Series<Scalar> transform(const Series<double>& series) const {
    const FloatModeGuard guard;
    require_features(series);
    Series<Scalar> result = Series<Scalar>::sized(series.names, series.rows);
    for (Index row = 0; row < series.rows; ++row) {
      const double* in = series.column(row);
      if (const Index fault = transform_row(in, result.column(row)); fault >= 0)
        throw DataError("StandardScaler: feature ", names_[static_cast<std::size_t>(fault)],
                        ", row ", row, ": ",
                        is_finite(in[fault]) ? "too large once scaled" : "infinite");
    }
    return result;
  }

  /// Transforms one row, for streams; the scaler must be fitted. Returns -1, or the first feature
  /// that is infinite or, once scaled and clipped, beyond Scalar's range: the row is then written
  /// up to that feature. Shapes: in, out names().size().
  template <class Scalar>
  Index transform_row(const double* in, Scalar* out) const noexcept {
    const FloatModeGuard guard;
    constexpr auto largest = static_cast<double>(std::numeric_limits<Scalar>::max());
    const double clip = options_.clip;
    for (std::size_t i = 0; i < names_.size(); ++i) {
      const double value = in[i];
      if (is_nan(value)) {
        out[i] = internal::nan_of<Scalar>;
        continue;
      }
      double scaled = (value - mean_[i]) / scale_[i];
      if (clip > 0 && is_finite(value)) scaled = std::clamp(scaled, -clip, clip);
      if (!is_finite(scaled) || scaled > largest || scaled < -largest) return static_cast<Index>(i);
      out[i] = static_cast<Scalar>(scaled);
    }
    return -1;
  }

  /// The features that are constant over the rows fitted on, by the rule above: their scale is 1,
  /// and they tell a model nothing.
  std::vector<std::string> constant_columns() const {
    const FloatModeGuard guard;
    std::vector<std::string> constant;
    for (std::size_t i = 0; i < names_.size(); ++i)
      if (is_constant(moments(i))) constant.push_back(names_[i]);
    return constant;
  }

  /// Whether transform can be used: every feature has had a value.
  bool is_fitted() const noexcept {
    return !names_.empty() && std::find(count_.begin(), count_.end(), Index{0}) == count_.end();
  }
  const StandardScalerOptions& options() const noexcept { return options_; }
  const std::vector<std::string>& names() const noexcept { return names_; }
  const std::vector<double>& mean() const noexcept { return mean_; }
  const std::vector<double>& variance() const noexcept { return variance_; }
  const std::vector<double>& scale() const noexcept { return scale_; }
  const std::vector<Index>& count() const noexcept { return count_; }

 private:
  /// The moments of one feature over some rows. The mean is mean + rest, rest being below its
  /// rounding.
  struct Moments {
    Index count = 0;
    double mean = 0;
    double rest = 0;
    double variance = 0;
  };

  /// Of each feature, over the values that are not NaN: their number, and the sums of v - center
  /// and of its square.
  struct Sums {
    std::vector<Index> count;
    std::vector<double> differences, squares;
  };

  /// Goes through whole rows, as they lie in memory.
  static Sums sums_about(const std::vector<double>& centers, const Series<double>& series,
                         std::span<const RowRange> ranges) {
    const std::size_t n = centers.size();
    Sums sums{std::vector<Index>(n), std::vector<double>(n), std::vector<double>(n)};
    const double* center = centers.data();
    Index* count = sums.count.data();
    double *differences = sums.differences.data(), *squares = sums.squares.data();
    for (const RowRange& range : ranges)
      for (Index row = range.first; row < range.last; ++row) {
        const double* values = series.column(row);
        for (std::size_t i = 0; i < n; ++i) {  // branchless, so that compilers make vectors of it
          const bool known = !is_nan(values[i]);
          const double difference = known ? values[i] - center[i] : 0.0;
          count[i] += known;
          differences[i] += difference;
          squares[i] += difference * difference;
        }
      }
    return sums;
  }

  /// Each feature's first value in the ranges, or 0 where all are NaN.
  static std::vector<double> first_values(const Series<double>& series,
                                          std::span<const RowRange> ranges) {
    std::vector<double> first(series.names.size());
    std::vector<std::size_t> missing(first.size());
    std::iota(missing.begin(), missing.end(), std::size_t{0});
    for (const RowRange& range : ranges)
      for (Index row = range.first; row < range.last && !missing.empty(); ++row)
        std::erase_if(missing, [&, values = series.column(row)](std::size_t i) {
          if (is_nan(values[i])) return false;
          first[i] = values[i];
          return true;
        });
    return first;
  }

  /// Throws: DataError for the first infinity of a feature in the ranges.
  static void refuse_infinity(const Series<double>& series, std::span<const RowRange> ranges,
                              std::size_t feature) {
    for (const RowRange& range : ranges)
      for (Index row = range.first; row < range.last; ++row) {
        const double value = series.column(row)[feature];
        if (!is_nan(value) && !is_finite(value))
          throw DataError("StandardScaler: feature ", series.names[feature], ", row ", row,
                          ": infinite");
      }
  }

  /// The moments of every feature in the ranges. Both passes add differences (from the first value,
  /// then from the mean), so that a large offset costs no accuracy; the second pass also finds the
  /// rounding error of the mean.
  static std::vector<Moments> moments_of(const Series<double>& series,
                                         std::span<const RowRange> ranges) {
    std::vector<double> means = first_values(series, ranges);
    const Sums about_first = sums_about(means, series, ranges);
    for (std::size_t i = 0; i < means.size(); ++i) {
      const double sum = about_first.differences[i];
      if (!is_finite(sum)) refuse_infinity(series, ranges, i);  // or it overflowed
      if (about_first.count[i] > 0) means[i] += sum / static_cast<double>(about_first.count[i]);
    }
    const Sums about_mean = sums_about(means, series, ranges);
    std::vector<Moments> moments(means.size());
    for (std::size_t i = 0; i < means.size(); ++i) {
      if (about_mean.count[i] == 0) continue;
      const double n = static_cast<double>(about_mean.count[i]);
      const double rest = about_mean.differences[i];
      const double variance = (about_mean.squares[i] - rest * rest / n) / n;
      moments[i] = {about_mean.count[i], means[i], rest / n,
                    is_finite(variance) ? std::max(variance, 0.0) : variance};
    }
    return moments;
  }

  /// The moments of both sets of rows; a side without values leaves the other's bits unchanged.
  static Moments merged(const Moments& a, const Moments& b) {
    if (a.count == 0) return b;
    if (b.count == 0) return a;
    const Index count = a.count + b.count;
    const double n_a = static_cast<double>(a.count);
    const double n_b = static_cast<double>(b.count);
    const double n = static_cast<double>(count);
    const double difference = (b.mean - a.mean) + (b.rest - a.rest);
    const double step = a.rest + difference * (n_b / n);
    const double mean = a.mean + step;
    const double variance =
        (n_a * a.variance + n_b * (b.variance + difference * difference * (n_a / n))) / n;
    return {count, mean, step - (mean - a.mean), variance};
  }

  static bool is_constant(const Moments& m) {
    constexpr double epsilon = std::numeric_limits<double>::epsilon();
    const double n = static_cast<double>(m.count);
    const double noise = n * m.mean * epsilon;
    return m.count > 0 && m.variance <= n * epsilon * m.variance + noise * noise;
  }

  void begin(const std::vector<std::string>& names) {
    if (names.empty()) throw DataError("StandardScaler: a series without features");
    names_ = names;
    mean_.assign(names.size(), 0.0);
    mean_rest_ = variance_ = mean_;
    scale_.assign(names.size(), 1.0);
    count_.assign(names.size(), 0);
  }

  Moments moments(std::size_t i) const {
    return {count_[i], mean_[i], mean_rest_[i], variance_[i]};
  }

  void set_moments(std::size_t i, const Moments& m) {
    if (!is_finite(m.mean) || !is_finite(m.variance))
      throw DataError("StandardScaler: feature ", names_[i], ": its variance overflows");
    count_[i] = m.count;
    mean_[i] = m.mean;
    mean_rest_[i] = m.rest;
    variance_[i] = m.variance;
    scale_[i] = m.count == 0 || is_constant(m) ? 1.0 : std::sqrt(m.variance);
  }

  void require_features(const Series<double>& series) const {
    if (names_.empty()) throw DataError("StandardScaler: it was not fitted");
    require_names(series.names);
    for (std::size_t i = 0; i < names_.size(); ++i)
      if (count_[i] == 0)
        throw DataError("StandardScaler: feature ", names_[i],
                        " has had no value in the rows fitted on");
  }

  void require_names(const std::vector<std::string>& names) const {
    if (names.size() != names_.size())
      throw DataError("StandardScaler: fitted on ", names_.size(), " features, given ",
                      names.size());
    for (std::size_t i = 0; i < names_.size(); ++i)
      if (names[i] != names_[i])
        throw DataError("StandardScaler: feature ", i, ": fitted on ", names_[i], ", given ",
                        names[i]);
  }

  static constexpr Index most_count = Index{1} << 53;  // a double counts so far

  StandardScalerOptions options_;
  std::vector<std::string> names_;
  std::vector<double> mean_;
  std::vector<double> mean_rest_;
  std::vector<double> variance_;
  std::vector<double> scale_;
  std::vector<Index> count_;
};

}  // namespace TSDL_ABI
}  // namespace tsdl
