// A panel: many series of one set of columns, of different lengths and dates.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/csv.hpp"
#include "tsdl/data/series.hpp"
#include "tsdl/data/time.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The times of a series' rows, ascending, in milliseconds since the epoch (UTC). Evenly spaced
/// times take no memory per row.
class TimeAxis {
 public:
  /// No times: rows are known by their number.
  TimeAxis() = default;
  /// Throws: DataError when times do not ascend.
  explicit TimeAxis(std::vector<std::int64_t> times) : rows_(std::ssize(times)) {
    if (times.empty()) return;
    first_ = times.front();
    for (std::size_t row = 1; row < times.size(); ++row)
      if (times[row] <= times[row - 1])
        throw DataError("times: ", internal::row_text(static_cast<Index>(row), times),
                        ": its time is not after that of the row before");
    step_ = times.size() > 1 ? times.back() - times[times.size() - 2] : 0;
    for (std::size_t row = 1; row < times.size(); ++row)
      if (times[row] - times[row - 1] != step_) {
        irregular_ = std::move(times);
        return;
      }
  }

  bool empty() const noexcept { return rows_ == 0; }
  /// Whether two rows or more are evenly spaced, so that later times follow.
  bool is_even() const noexcept { return rows_ > 1 && irregular_.empty(); }
  Index rows() const noexcept { return rows_; }
  /// The time of a row; beyond the last one, as the last two rows go on.
  std::int64_t at(Index row) const noexcept {
    if (irregular_.empty()) return first_ + row * step_;
    if (row < rows_) return irregular_[static_cast<std::size_t>(row)];
    return irregular_.back() + (row - rows_ + 1) * step_;
  }
  /// The number of rows before `time`.
  Index rows_before(std::int64_t time) const noexcept {
    Index first = 0, last = rows_;
    while (first < last) {
      const Index middle = first + (last - first) / 2;
      if (at(middle) < time)
        first = middle + 1;
      else
        last = middle;
    }
    return first;
  }
  /// The same axis with `rows` rows more.
  TimeAxis extended(Index rows) const {
    TimeAxis longer = *this;
    if (!irregular_.empty())
      for (Index i = 0; i < rows; ++i) longer.irregular_.push_back(at(rows_ + i));
    if (!empty()) longer.rows_ += rows;
    return longer;
  }

 private:
  Index rows_ = 0;
  std::int64_t first_ = 0, step_ = 0;
  std::vector<std::int64_t> irregular_;  ///< empty where times are evenly spaced
};

/// One series of a panel.
struct PanelSeries {
  std::string name;
  TimeAxis times{};
  Series<double> values{};        ///< the panel's columns x rows; NaN where a cell was empty
  std::vector<double> statics{};  ///< one per static column
  std::vector<std::string> categories{};  ///< one per category column
};

/// Many series of the same columns.
struct Panel {
  std::vector<std::string> columns{};
  std::vector<std::string> static_columns{}, category_columns{};
  std::vector<PanelSeries> series{};

  Index rows() const noexcept {
    Index total = 0;
    for (const PanelSeries& one : series) total += one.values.rows;
    return total;
  }
  /// Whether the rows have times; then they all have.
  bool has_times() const noexcept { return !series.empty() && !series.front().times.empty(); }
  /// The position of a column. Throws: DataError when there is none of this name (any case), with
  /// those that there are.
  Index column(std::string_view name) const { return place(columns, name, "column"); }

  /// The position of a name in a list, in any case.
  static Index place(const std::vector<std::string>& names, std::string_view name,
                     const char* what) {
    const std::string lower = internal::ascii_lower(internal::trimmed(name));
    for (std::size_t i = 0; i < names.size(); ++i)
      if (internal::ascii_lower(names[i]) == lower) return static_cast<Index>(i);
    throw DataError("panel: no ", what, " is named ", name, "; there are ",
                    internal::joined(names));
  }
};

/// Checks a panel that did not come from a file. Throws: ShapeError when sizes disagree, DataError
/// when there is no series, two have one name, or a static value is not finite.
template <class = void>
void validate(const Panel& panel, std::string_view name = "panel") {
  if (panel.series.empty()) throw DataError(name, ": it has no series");
  if (panel.columns.empty()) throw DataError(name, ": it has no columns");
  std::vector<std::string_view> names;
  for (const PanelSeries& one : panel.series) {
    const auto refuse = [&](const char* what, auto expected, auto found) {
      throw ShapeError(name, ": series ", one.name, ": expected ", expected, ' ', what, ", found ",
                       found);
    };
    names.push_back(one.name);
    if (one.values.features != std::ssize(panel.columns))
      refuse("columns", panel.columns.size(), one.values.features);
    if (one.values.values.size() != one.values.features * one.values.rows)
      refuse("values", one.values.features * one.values.rows, one.values.values.size());
    if (one.times.empty() == panel.has_times() ||
        (!one.times.empty() && one.times.rows() != one.values.rows))
      refuse("times", panel.has_times() ? one.values.rows : 0, one.times.rows());
    if (one.statics.size() != panel.static_columns.size())
      refuse("static values", panel.static_columns.size(), one.statics.size());
    for (const double value : one.statics)
      if (!is_finite(value))
        throw DataError(name, ": series ", one.name, ": a static value of ", value);
    if (one.categories.size() != panel.category_columns.size())
      refuse("categories", panel.category_columns.size(), one.categories.size());
  }
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) throw DataError(name, ": two series are named ", *twice);
}

}  // namespace TSDL_ABI
}  // namespace tsdl
