// The 86 features of ta86: names, order and values, against the Python package `ta` and against an
// independent computation (tests/goldens/indicators.py).
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "data/helpers.hpp"
#include "tsdl/data/features.hpp"

using tsdl::Index;

namespace {

enum Kind {
  equal,          ///< ta's value wherever ta has one, and undefined where ta's is
  after_warm_up,  ///< ta's value from a row on; before it ta's is not what the definition says
  deviates,       ///< not ta's: checked against the independent computation only
};

struct Column {
  const char* name;
  Kind kind;
  Index first;        ///< the first row with a value
  Index first_equal;  ///< from which row on it is ta's; a deviating one, where ta has a value
  const char* why;    ///< what ta does otherwise
};

// clang-format off
const Column columns[] = {
    {"volume_adi", equal, 0, 0, ""},
    {"volume_obv", equal, 0, 0, ""},
    {"volume_cmf", equal, 19, 19, ""},
    {"volume_fi", equal, 13, 13, ""},
    {"volume_em", equal, 1, 1, ""},
    {"volume_sma_em", equal, 14, 14, ""},
    {"volume_vpt", equal, 1, 1, ""},
    {"volume_vwap", equal, 13, 13, ""},
    {"volume_mfi", equal, 13, 13, ""},
    {"volume_nvi", equal, 0, 0, ""},
    {"volatility_bbm", equal, 19, 19, ""},
    {"volatility_bbh", equal, 19, 19, ""},
    {"volatility_bbl", equal, 19, 19, ""},
    {"volatility_bbw", equal, 19, 19, ""},
    {"volatility_bbp", equal, 19, 19, ""},
    {"volatility_bbhi", after_warm_up, 19, 19, "ta gives 0 before"},
    {"volatility_bbli", after_warm_up, 19, 19, "ta gives 0 before"},
    {"volatility_kcc", equal, 9, 9, ""},
    {"volatility_kch", after_warm_up, 9, 9, "ta averages fewer rows before"},
    {"volatility_kcl", after_warm_up, 9, 9, "ta averages fewer rows before"},
    {"volatility_kcw", equal, 9, 9, ""},
    {"volatility_kcp", after_warm_up, 9, 9, "ta averages fewer rows before"},
    {"volatility_kchi", after_warm_up, 9, 9, "ta averages fewer rows before"},
    {"volatility_kcli", after_warm_up, 9, 9, "ta averages fewer rows before"},
    {"volatility_dcl", equal, 19, 19, ""},
    {"volatility_dch", equal, 19, 19, ""},
    {"volatility_dcm", equal, 19, 19, ""},
    {"volatility_dcw", equal, 19, 19, ""},
    {"volatility_dcp", equal, 19, 19, ""},
    {"volatility_atr", after_warm_up, 9, 9, "ta gives 0 before"},
    {"volatility_ui", equal, 13, 13, ""},
    {"trend_macd", equal, 25, 25, ""},
    {"trend_macd_signal", equal, 33, 33, ""},
    {"trend_macd_diff", equal, 33, 33, ""},
    {"trend_sma_fast", equal, 11, 11, ""},
    {"trend_sma_slow", equal, 25, 25, ""},
    {"trend_ema_fast", equal, 11, 11, ""},
    {"trend_ema_slow", equal, 25, 25, ""},
    {"trend_vortex_ind_pos", equal, 14, 14, ""},
    {"trend_vortex_ind_neg", equal, 14, 14, ""},
    {"trend_vortex_ind_diff", equal, 14, 14, ""},
    {"trend_trix", equal, 43, 43, ""},
    {"trend_mass_index", equal, 40, 40, ""},
    {"trend_dpo", equal, 19, 19, ""},
    {"trend_kst", after_warm_up, 44, 44, "ta looks ahead before"},
    {"trend_kst_sig", after_warm_up, 52, 52, "ta looks ahead before"},
    {"trend_kst_diff", after_warm_up, 52, 52, "ta looks ahead before"},
    {"trend_ichimoku_conv", equal, 8, 8, ""},
    {"trend_ichimoku_base", equal, 25, 25, ""},
    {"trend_ichimoku_a", equal, 25, 25, ""},
    {"trend_ichimoku_b", after_warm_up, 51, 51, "ta takes fewer rows before"},
    {"trend_stc", after_warm_up, 71, 72, "ta starts one row later"},
    {"trend_adx", after_warm_up, 27, 27, "ta gives 0 before"},
    {"trend_adx_pos", after_warm_up, 14, 15, "ta gives 0 before"},
    {"trend_adx_neg", after_warm_up, 14, 15, "ta gives 0 before"},
    {"trend_cci", equal, 19, 19, ""},
    {"trend_visual_ichimoku_a", after_warm_up, 51, 51, "ta looks ahead before"},
    {"trend_visual_ichimoku_b", after_warm_up, 77, 77, "ta looks ahead before"},
    {"trend_aroon_up", equal, 25, 25, ""},
    {"trend_aroon_down", equal, 25, 25, ""},
    {"trend_aroon_ind", equal, 25, 25, ""},
    {"trend_psar_up", deviates, 2, 2, "ta leaves it out in a down-trend"},
    {"trend_psar_down", deviates, 2, 2, "ta leaves it out in an up-trend"},
    {"trend_psar_up_indicator", after_warm_up, 2, 2, "ta gives 0 before"},
    {"trend_psar_down_indicator", after_warm_up, 2, 2, "ta gives 0 before"},
    {"momentum_rsi", equal, 13, 13, ""},
    {"momentum_stoch_rsi", equal, 26, 26, ""},
    {"momentum_stoch_rsi_k", equal, 28, 28, ""},
    {"momentum_stoch_rsi_d", equal, 30, 30, ""},
    {"momentum_tsi", equal, 37, 37, ""},
    {"momentum_uo", equal, 28, 28, ""},
    {"momentum_stoch", equal, 13, 13, ""},
    {"momentum_stoch_signal", equal, 15, 15, ""},
    {"momentum_wr", equal, 13, 13, ""},
    {"momentum_ao", equal, 33, 33, ""},
    {"momentum_roc", equal, 12, 12, ""},
    {"momentum_ppo", equal, 25, 25, ""},
    {"momentum_ppo_signal", equal, 33, 33, ""},
    {"momentum_ppo_hist", equal, 33, 33, ""},
    {"momentum_pvo", equal, 25, 25, ""},
    {"momentum_pvo_signal", equal, 33, 33, ""},
    {"momentum_pvo_hist", equal, 33, 33, ""},
    {"momentum_kama", equal, 9, 9, ""},
    {"others_dr", equal, 1, 1, ""},
    {"others_dlr", equal, 1, 1, ""},
    {"others_cr", equal, 0, 0, ""},
};
// clang-format on

double deviation_of(const tsdl::Series<double>& series, std::size_t column) {
  double sum = 0, squares = 0, count = 0;
  for (Index row = 0; row < series.rows; ++row)
    if (const double x = series.column(row)[column]; !std::isnan(x)) {
      sum += x;
      ++count;
    }
  for (Index row = 0; row < series.rows; ++row)
    if (const double x = series.column(row)[column]; !std::isnan(x))
      squares += (x - sum / count) * (x - sum / count);
  return std::sqrt(squares / count);
}

/// Compares rows of ta's values (column `row` first) with ours; returns how many were compared.
int compare_with_ta(const std::vector<std::vector<std::string>>& lines) {
  const tsdl::Series<double> series = tsdl::engineer_features(test::shipped_candles(), "ta86");
  int compared = 0;
  for (std::size_t i = 0; i < 86; ++i) {
    const Column& column = columns[i];
    CAPTURE(column.name);
    CHECK(lines[0][i + 1] == column.name);
    const double spread = deviation_of(series, i);
    for (std::size_t line = 1; line < lines.size(); ++line) {
      const auto row = static_cast<Index>(test::golden_number(lines[line][0]));
      CAPTURE(row);
      const double expected = test::golden_number(lines[line][i + 1]);
      const double actual = series.column(row)[i];
      CHECK(std::isnan(actual) == (row < column.first));
      if (column.kind == equal) CHECK(std::isnan(expected) == std::isnan(actual));
      if (row < column.first_equal) continue;
      if (column.kind == after_warm_up) CHECK_FALSE(std::isnan(expected));
      if (std::isnan(expected)) continue;
      CHECK(std::abs(actual - expected) <= 1e-9 * std::max(std::abs(expected), spread));
      ++compared;
    }
  }
  return compared;
}

/// Compares every row of a golden with ours. Where a column's own size is far from that of the
/// prices around a row, errors are measured by the greater of its value and a part of these.
int compare_with_oracle(const tsdl::Candles& candles, const std::string& golden,
                        double stochastic_rsi) {
  const tsdl::Series<double> series = tsdl::engineer_features(candles, "ta86");
  const auto lines = test::golden_lines("indicators/" + golden);
  const std::size_t skip = lines[0][0] == "row" ? 1 : 0;
  int compared = 0;
  for (std::size_t line = 1; line < lines.size(); ++line) {
    const auto row = skip == 1 ? static_cast<Index>(test::golden_number(lines[line][0]))
                               : static_cast<Index>(line - 1);
    double highest = 0;
    for (Index t = std::max(Index{0}, row - 100); t <= row; ++t)
      highest = std::max(highest, candles[t].high);
    for (std::size_t i = 0; i < 86; ++i) {
      const std::string& name = series.names[i];
      CAPTURE(golden);
      CAPTURE(row);
      CAPTURE(name);
      const double expected = test::golden_number(lines[line][i + skip]);
      const double actual = series.column(row)[i];
      REQUIRE(std::isnan(expected) == std::isnan(actual));
      if (std::isnan(expected)) continue;
      const bool is_price_difference =
          name.find("_macd") != std::string::npos || name == "trend_dpo" || name == "momentum_ao";
      const double size = is_price_difference ? highest : 0;
      const double slack = name.find("stoch_rsi") != std::string::npos ? stochastic_rsi : 1e-10;
      CHECK(std::abs(actual - expected) <= 1e-9 * std::max(std::abs(expected), size) + slack);
      ++compared;
    }
  }
  return compared;
}

}  // namespace

TEST_CASE("ta86 has the 86 names in order") {
  const std::vector<std::string> names = tsdl::feature_names("ta86");
  REQUIRE(names.size() == 86);
  REQUIRE(std::size(columns) == 86);
  for (std::size_t i = 0; i < 86; ++i) {
    CHECK(names[i] == columns[i].name);
    CHECK((columns[i].kind == equal) == (columns[i].why[0] == '\0'));
  }
}

TEST_CASE("ta86 equals ta on the shipped candles, column by column") {
  CHECK(compare_with_ta(test::golden_lines("indicators/ta86_reference.csv")) > 4400);
  if (const char* all = std::getenv("TSDL_TA_REFERENCE"))
    CHECK(compare_with_ta(test::csv_lines(test::read_bytes(all))) > 20000);
}

TEST_CASE("ta86 equals an independent computation, deviating columns included") {
  const auto candles = [](const char* name) {
    return tsdl::read_candles(std::string(TSDL_SOURCE_DIR "/tests/goldens/indicators/") + name);
  };
  CHECK(compare_with_oracle(test::shipped_candles(), "ta86.csv", 1e-10) > 4500);
  // Flat candles, no volume, prices that halve and double, and that jump to 1e-9 and to 1e9, after
  // which the RSI moves by some millionths of a point only: both sides keep few digits of that.
  CHECK(compare_with_oracle(candles("hostile.csv"), "hostile_ta86.csv", 1e-7) > 20000);
  CHECK(compare_with_oracle(candles("flat_start.csv"), "flat_start_ta86.csv", 1e-10) > 6000);
}
