// Candles: open, high, low, close and volume per period, read from CSV and checked.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/system.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/csv.hpp"
#include "tsdl/data/series.hpp"
#include "tsdl/data/time.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

/// One period of trading. Prices are positive, and low <= open, close <= high.
struct Candle {
  std::int64_t time = 0;  ///< milliseconds since the epoch, UTC
  double open = 0;
  double high = 0;
  double low = 0;
  double close = 0;
  double volume = 0;  ///< 0 where the candles have no volume
};

namespace internal {

/// max(high - low, |high - previous close|, |low - previous close|)
inline double true_range(const Candle& candle, double previous_close) noexcept {
  return std::max(candle.high, previous_close) - std::min(candle.low, previous_close);
}

/// ln(a / b) of two prices, also where the quotient is too large or too small for a double.
inline double log_ratio(double a, double b) noexcept {
  const double ratio = a / b;
  constexpr double least = std::numeric_limits<double>::min();
  return is_finite(ratio) && ratio >= least ? std::log(ratio) : std::log(a) - std::log(b);
}

inline double typical_price(const Candle& candle) noexcept {
  return (candle.high + candle.low + candle.close) / 3;
}

}  // namespace internal

/// Candles in strictly ascending order of time.
struct Candles {
  std::vector<Candle> rows;
  bool has_volume = false;

  Index size() const noexcept { return static_cast<Index>(rows.size()); }
  const Candle& operator[](Index row) const noexcept { return rows[static_cast<std::size_t>(row)]; }
};

namespace internal {

enum class CandleField : std::uint8_t { open, high, low, close, volume };

/// A fault of a candle: the field, and what is wrong with it.
struct CandleFault {
  enum class Kind : std::uint8_t { not_finite, not_positive, negative, below_low, above_high };
  CandleField field;
  Kind kind;
};

/// Open and close may lie outside low and high by a relative 1e-9: prices that were scaled (for
/// splits, between currencies) carry rounding errors.
inline std::optional<CandleFault> find_fault(const Candle& candle, bool has_volume) noexcept {
  using Kind = CandleFault::Kind;
  constexpr double tolerance = 1e-9;
  const struct {
    CandleField field;
    double value;
  } prices[] = {{CandleField::open, candle.open},
                {CandleField::high, candle.high},
                {CandleField::low, candle.low},
                {CandleField::close, candle.close}};
  for (const auto& price : prices) {
    if (!is_finite(price.value)) return CandleFault{price.field, Kind::not_finite};
    if (price.value <= 0) return CandleFault{price.field, Kind::not_positive};
  }
  if (candle.high < candle.low) return CandleFault{CandleField::high, Kind::below_low};
  for (const auto& price : {prices[0], prices[3]}) {
    if (price.value > candle.high && price.value - candle.high > tolerance * candle.high)
      return CandleFault{price.field, Kind::above_high};
    if (price.value < candle.low && candle.low - price.value > tolerance * candle.low)
      return CandleFault{price.field, Kind::below_low};
  }
  if (!has_volume) return {};
  if (!is_finite(candle.volume)) return CandleFault{CandleField::volume, Kind::not_finite};
  if (candle.volume < 0) return CandleFault{CandleField::volume, Kind::negative};
  return {};
}

/// "high 3 is below low 4"
inline std::string fault_text(const Candle& candle, const CandleFault& fault) {
  const double values[] = {candle.open, candle.high, candle.low, candle.close, candle.volume};
  constexpr const char* names[] = {"open", "high", "low", "close", "volume"};
  const auto field = static_cast<std::size_t>(fault.field);
  const std::string name = names[field];
  const auto is = [&] { return name + ' ' + number_text(values[field]) + " is "; };
  switch (fault.kind) {
    case CandleFault::Kind::not_finite:
      return name + " is not finite";
    case CandleFault::Kind::not_positive:
      return is() + "not above zero";
    case CandleFault::Kind::negative:
      return is() + "negative";
    case CandleFault::Kind::below_low:
      return is() + "below low " + number_text(candle.low);
    case CandleFault::Kind::above_high:
      return is() + "above high " + number_text(candle.high);
  }
  return name;
}

/// The index of the volume column: `volume`, else the first whose name starts with it, else -1.
inline Index find_volume(const CsvReader& csv) {
  if (const Index exact = csv.find("volume"); exact >= 0) return exact;
  for (std::size_t i = 0; i < csv.header().size(); ++i)
    if (ascii_lower(csv.header()[i]).starts_with("volume")) return static_cast<Index>(i);
  return -1;
}

}  // namespace internal

/// Checks candles that did not come from read_candles.
/// Throws: DataError naming the first row with a price that is not finite and positive, a high
/// below its low, an open or close outside them (beyond a relative 1e-9), a volume that is negative
/// or not finite, or a time that is not above the one before it.
inline void validate(const Candles& candles, std::string_view name = "candles") {
  const FloatModeGuard guard;
  const auto row_name = [&](Index row) {
    return "row " + std::to_string(row) + " (" + format_time(candles[row].time) + ")";
  };
  for (Index row = 0; row < candles.size(); ++row) {
    if (const auto fault = internal::find_fault(candles[row], candles.has_volume))
      throw DataError(name, ": ", row_name(row), ": ", internal::fault_text(candles[row], *fault));
    if (row > 0 && candles[row].time <= candles[row - 1].time)
      throw DataError(name, ": ", row_name(row), ": its time is not after that of ",
                      row_name(row - 1));
  }
}

/// Reads candles from CSV text; messages start with `name`.
///
/// The header's names may be in any case and order, below up to 19 banner lines. Required: open,
/// high, low, close and a time, called date, time, timestamp, datetime, open time, unix or similar.
/// Optional: volume, or else the first column whose name starts with it. Other columns are ignored.
/// Times: YYYY-MM-DD or YYYY/MM/DD, alone or with T or a space and HH:MM[:SS[.fff]] and a zone
/// (`Z`, `+00:00`; UTC when there is none), `2019-10-17 09-AM`, YYYYMMDD, or epoch seconds or
/// milliseconds. Rows with the newest first are reversed.
/// Throws: FormatError when a column, field or number is missing or malformed; DataError when a
/// value is invalid (see validate), or times repeat or are not in order. Both name line and column.
inline Candles parse_candles(std::string_view text, std::string_view name) {
  const FloatModeGuard guard;
  CsvReader csv(text, name);
  const std::vector<CsvColumn> wanted = {internal::time_column(),
                                         {"open", {"open"}},
                                         {"high", {"high"}},
                                         {"low", {"low"}},
                                         {"close", {"close"}}};
  const std::vector<Index> place = csv.read_header(wanted);
  const Index volume = internal::find_volume(csv);
  const Index value_place[] = {place[1], place[2], place[3], place[4], volume};
  Candles candles;
  candles.has_volume = volume >= 0;
  internal::TimeColumn times;
  while (csv.next()) {
    Candle candle;
    candle.time = times.read(csv, place[0]);
    candle.open = csv.number(place[1]);
    candle.high = csv.number(place[2]);
    candle.low = csv.number(place[3]);
    candle.close = csv.number(place[4]);
    if (candles.has_volume) candle.volume = csv.number(volume);
    if (const auto fault = internal::find_fault(candle, candles.has_volume))
      csv.fail<DataError>(value_place[static_cast<std::size_t>(fault->field)],
                          internal::fault_text(candle, *fault));
    candles.rows.push_back(candle);
  }
  if (candles.rows.empty()) throw FormatError(name, ": a header but no candles below it");
  if (times.descending()) std::reverse(candles.rows.begin(), candles.rows.end());
  return candles;
}

/// Reads candles from a CSV file; see parse_candles.
/// Throws: Error when the file cannot be read, and what parse_candles throws.
inline Candles read_candles(const std::filesystem::path& path) {
  return parse_candles(internal::read_text(path), internal::path_text(path));
}

}  // namespace TSDL_ABI
}  // namespace tsdl
