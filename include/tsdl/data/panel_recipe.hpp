// The recipe by which a panel becomes the inputs and targets of a forecaster: plain data that
// prepare_panel completes and model files hold.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/core/window_norm.hpp"
#include "tsdl/data/panel.hpp"
#include "tsdl/data/standard_scaler.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// The rows on which columns are scaled.
enum class ScaleBy {
  all,    ///< one scaler for all series
  series  ///< each series by itself; one that was not trained on by the scaler for all
};

inline std::string_view to_string(ScaleBy by) noexcept {
  return by == ScaleBy::all ? "all" : "series";
}
/// Throws: OptionError when the name is not all or series.
inline ScaleBy scale_by_from(std::string_view name) {
  for (const ScaleBy by : {ScaleBy::all, ScaleBy::series})
    if (name == to_string(by)) return by;
  throw OptionError("scale: expected all or series, got '", name, "'");
}

/// The mean and the scale of each column in one series.
struct SeriesScale {
  std::string series;
  std::vector<double> mean{}, scale{};
};

/// How a panel becomes what a forecaster reads. The first group is the user's, the second is
/// filled in by prepare_panel.
struct PanelRecipe {
  Index length = 96;                    ///< T: rows that a window reads
  Index horizon = 24;                   ///< H: rows that it forecasts
  std::vector<std::string> targets{};   ///< columns to forecast; empty: all columns read
  std::vector<std::string> past{};      ///< columns read of the past; empty: all but the future's
  std::vector<std::string> future{};    ///< columns known of the forecast rows too
  std::vector<std::string> calendar{};  ///< calendar_names whose columns are made: future as well
  Index stride = 1;                     ///< rows between training windows
  WindowNorm normalise = WindowNorm::none;  ///< of past columns, not of those known beforehand
  ScaleBy scale_by = ScaleBy::all;
  Index season = 1;           ///< rows of a season, for MASE and the seasonal-naive forecast
  bool embed_series = false;  ///< the series itself is a category

  /// The matrix's columns: those read of the past, the future's last among them, then targets that
  /// are not read.
  std::vector<std::string> columns{};
  Index inputs = 0;  ///< I: how many of them are read
  StandardScaler scaler{};
  std::vector<SeriesScale> series_scales{};
  std::vector<std::string> static_columns{}, category_columns{};
  StandardScaler statics_scaler{};
  /// The known entries of each category; entry k has number k + 1, and 0 is what is not known.
  std::vector<std::vector<std::string>> vocabularies{};

  /// F: the columns known of the forecast rows.
  Index future_count() const noexcept { return std::ssize(future) + 2 * std::ssize(calendar); }
  Index first_future() const noexcept { return inputs - future_count(); }

  /// Throws: OptionError when an option is out of range.
  void check() const {
    const auto positive = [](const char* what, Index value) {
      if (value < 1 || value > internal::most_rows)
        throw OptionError("panel recipe: ", what, " must be 1 to ", internal::most_rows, ", not ",
                          value);
    };
    positive("length", length);
    positive("horizon", horizon);
    positive("stride", stride);
    positive("season", season);
    if (scaler.options().clip > 0)
      throw OptionError("panel recipe: a panel's scaler does not clip");
  }
  /// The position of a target among the columns.
  std::vector<Index> target_places() const {
    std::vector<Index> places;
    for (const std::string& name : targets) places.push_back(Panel::place(columns, name, "column"));
    return places;
  }
  /// Whether it forecasts the columns that it reads, all of them in their order.
  bool forecasts_inputs() const {
    const std::vector<Index> places = target_places();
    for (std::size_t k = 0; k < places.size(); ++k)
      if (places[k] != static_cast<Index>(k)) return false;
    return std::ssize(places) == inputs;
  }
  /// The size of each category's vocabulary, with the unknown entry.
  std::vector<Index> category_sizes() const {
    std::vector<Index> sizes;
    for (const auto& entries : vocabularies) sizes.push_back(std::ssize(entries) + 1);
    return sizes;
  }
};

}  // namespace TSDL_ABI
}  // namespace tsdl
