// Predictions as a file of them has them, read as directions of the close.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/candles.hpp"
#include "tsdl/data/csv.hpp"
#include "tsdl/data/time.hpp"
#include "tsdl/select/strategy.hpp"

namespace examples {

/// Signals of the rows of candles, as tsdl::positions_of takes them.
struct Directions {
  std::vector<double> signals;  ///< one a candle, NaN where nothing is predicted
  tsdl::Index count = 0;        ///< how many are
  bool numbers = false;         ///< they are returns, not differences of probabilities
  bool by_row = false;          ///< matched by row number, not by time
  std::string reading;          ///< which columns they come from, and how
};

namespace internal {

/// Which columns of a file say a direction: value(first) - value(second), or one alone.
struct DirectionColumns {
  enum class Kind { probability, difference, close_return, close };
  Kind kind = Kind::probability;
  tsdl::Index first = -1, second = -1;
};

/// The column `name`, or of its quantiles, as in name_q0.5, the one nearest to the median; -1.
inline tsdl::Index number_column(const tsdl::CsvReader& csv, const std::string& name) {
  if (const tsdl::Index exact = csv.find(name); exact >= 0) return exact;
  tsdl::Index best = -1;
  double nearest = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < csv.header().size(); ++i) {
    const std::string_view title = csv.header()[i];
    if (!title.starts_with(name + "_q")) continue;
    const std::string_view text = title.substr(name.size() + 2);
    double level = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), level);
    if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) continue;
    if (std::abs(level - 0.5) < nearest) {
      nearest = std::abs(level - 0.5);
      best = static_cast<tsdl::Index>(i);
    }
  }
  return best;
}

/// Throws: FormatError when no column says which way the close will go.
inline DirectionColumns direction_columns(const tsdl::CsvReader& csv) {
  using Kind = DirectionColumns::Kind;
  if (const tsdl::Index p = csv.find("probability"); p >= 0) return {Kind::probability, p};
  const tsdl::Index up = csv.find("probability_1"), down = csv.find("probability_-1");
  if (up >= 0 && down >= 0) return {Kind::difference, up, down};
  if (const tsdl::Index i = number_column(csv, "predicted_close_return"); i >= 0)
    return {Kind::close_return, i};
  if (const tsdl::Index i = number_column(csv, "predicted_close"); i >= 0) return {Kind::close, i};
  throw tsdl::FormatError(
      csv.name(),
      ": no column says which way the close will go: expected probability, probability_-1 and "
      "probability_1, predicted_close_return or predicted_close, or quantiles of these; columns "
      "found: ",
      tsdl::internal::joined(csv.header()));
}

inline std::string reading_of(const tsdl::CsvReader& csv, const DirectionColumns& columns) {
  using Kind = DirectionColumns::Kind;
  const auto name = [&](tsdl::Index i) { return csv.header()[static_cast<std::size_t>(i)]; };
  switch (columns.kind) {
    case Kind::probability:
      return "2 " + name(columns.first) + " - 1";
    case Kind::difference:
      return name(columns.first) + " - " + name(columns.second);
    case Kind::close_return:
      return name(columns.first);
    case Kind::close:
      return name(columns.first) + " / close - 1";
  }
  return {};
}

/// Throws: DataError when the probability is not one.
inline double probability_in(const tsdl::CsvReader& csv, tsdl::Index i) {
  const double p = csv.number(i);
  if (!(p >= 0 && p <= 1))
    csv.fail_field<tsdl::DataError>(i, "expected a probability, found ", csv.field(i).text);
  return p;
}

inline double signal_in(const tsdl::CsvReader& csv, const DirectionColumns& columns, double close) {
  using Kind = DirectionColumns::Kind;
  switch (columns.kind) {
    case Kind::probability:
      return tsdl::signal_of_probability(probability_in(csv, columns.first));
    case Kind::difference:
      return probability_in(csv, columns.first) - probability_in(csv, columns.second);
    case Kind::close_return:
      return csv.number(columns.first);
    case Kind::close:
      break;
  }
  const double price = csv.number(columns.first);
  const double change = price / close - 1;
  if (!tsdl::is_finite(change))
    csv.fail_field<tsdl::DataError>(columns.first, "expected a price, found ",
                                    csv.field(columns.first).text);
  return change;
}

/// Throws: DataError when the file has several series.
inline void refuse_panel(const tsdl::CsvReader& csv) {
  for (const char* name : {"series", "symbol", "ticker", "asset", "instrument"})
    if (csv.find(name) >= 0)
      throw tsdl::DataError(csv.name(), ": the column ", name,
                            " tells several series apart: expected the predictions of one");
}

}  // namespace internal

/// Reads the CSV that `predict` and `stream` write and finds the candle of each row by its time, or
/// by its number where the file has rows in place of times. Rows before `from` (milliseconds since
/// the epoch) are left out.
/// Throws: FormatError, DataError naming file, line and column: as tsdl::CsvReader; when no column
/// says a direction, the file holds several series, times repeat or do not ascend, a number is not
/// finite, or a row is none of the candles'; DataError when nothing is left.
inline Directions read_directions(std::string_view text, const std::string& path,
                                  const tsdl::Candles& candles, const std::string& data,
                                  std::int64_t from) {
  tsdl::CsvReader csv(text, path);
  const std::vector<tsdl::CsvColumn> wanted = {{"time", {"time", "row"}}};
  const tsdl::Index place = csv.read_header(wanted)[0];
  internal::refuse_panel(csv);
  const internal::DirectionColumns columns = internal::direction_columns(csv);
  using Kind = internal::DirectionColumns::Kind;
  Directions result;
  result.signals.assign(candles.rows.size(), std::numeric_limits<double>::quiet_NaN());
  result.numbers = columns.kind == Kind::close_return || columns.kind == Kind::close;
  result.by_row = csv.find("time") < 0;
  result.reading = internal::reading_of(csv, columns);

  std::unordered_map<std::int64_t, tsdl::Index> rows;
  for (tsdl::Index row = 0; row < candles.size(); ++row) rows.emplace(candles[row].time, row);
  tsdl::internal::TimeColumn times;
  std::string before;
  while (csv.next()) {
    const std::string& written = csv.field(place).text;
    if (written == before)
      csv.fail_field<tsdl::DataError>(
          place, written,
          " as in the row above: expected the predictions of one series, a row each");
    before = written;
    tsdl::Index row = 0;
    if (result.by_row) {
      const double number = csv.number(place);
      const bool held = number >= 0 && number == std::floor(number) &&
                        number < static_cast<double>(candles.size());
      if (!held)
        csv.fail_field<tsdl::DataError>(place, data, " has the rows 0 to ", candles.size() - 1,
                                        ", and no row ", written);
      row = static_cast<tsdl::Index>(number);
    } else {
      const std::int64_t time = times.read(csv, place);
      const auto found = rows.find(time);
      if (found == rows.end())
        csv.fail_field<tsdl::DataError>(place, data, " has no candle of ", tsdl::format_time(time));
      row = found->second;
    }
    double& signal = result.signals[static_cast<std::size_t>(row)];
    if (!tsdl::is_nan(signal))
      csv.fail_field<tsdl::DataError>(place, "there is a prediction for row ", row, " already");
    signal = internal::signal_in(csv, columns, candles[row].close);
    ++result.count;
  }
  for (tsdl::Index row = 0; row < candles.size(); ++row) {
    double& signal = result.signals[static_cast<std::size_t>(row)];
    if (candles[row].time >= from || tsdl::is_nan(signal)) continue;
    signal = std::numeric_limits<double>::quiet_NaN();
    --result.count;
  }
  if (result.count == 0)
    throw tsdl::DataError(
        path, ": no prediction",
        from > std::numeric_limits<std::int64_t>::min() ? " from --from on" : " below the header");
  return result;
}

}  // namespace examples
