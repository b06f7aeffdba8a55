// The named feature sets, and the features of whole series. Every row depends on that row and
// earlier rows only: a series is computed by the same stream that runs live.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tsdl/core/error.hpp"
#include "tsdl/core/float_mode.hpp"
#include "tsdl/core/types.hpp"
#include "tsdl/data/candles.hpp"
#include "tsdl/data/csv.hpp"
#include "tsdl/data/feature_set.hpp"
#include "tsdl/data/indicators/direction.hpp"
#include "tsdl/data/indicators/ichimoku.hpp"
#include "tsdl/data/indicators/momentum.hpp"
#include "tsdl/data/indicators/percentage.hpp"
#include "tsdl/data/indicators/psar.hpp"
#include "tsdl/data/indicators/relative.hpp"
#include "tsdl/data/indicators/trend.hpp"
#include "tsdl/data/indicators/volatility.hpp"
#include "tsdl/data/indicators/volume.hpp"
#include "tsdl/data/series.hpp"

namespace tsdl {
inline namespace TSDL_ABI {

namespace internal {

/// The 86 columns of the Python package `ta` 0.11, with its names, order and window lengths.
///
/// They equal ta's values except where ta looks ahead, or is undefined or not finite:
/// - A column is NaN until its own window is full, where ta gives values of partial windows or 0
///   (bbhi, bbli, kch, kcl, kcp, kchi, kcli, atr, ichimoku_b, adx, adx_pos, adx_neg,
///   psar_*_indicator).
/// - kst, kst_sig, kst_diff, visual_ichimoku_a, visual_ichimoku_b: ta fills the first rows with the
///   mean of the whole series; here they start later.
/// - psar_up and psar_down are both always defined (see PSAR); in ta one of them is missing.
/// - Flat bars and empty volume have a defined value (see each indicator) where ta divides by 0.
/// - stoch_rsi is 0.5 where the RSI stands still, and stc is warm two rows later (see both).
template <class Set>
Set make_ta86() {
  Set set("ta86");
  set.add(AccumulationDistribution(), {"volume_adi"})
      .add(OnBalanceVolume(), {"volume_obv"})
      .add(ChaikinMoneyFlow(20), {"volume_cmf"})
      .add(ForceIndex(13), {"volume_fi"})
      .add(EaseOfMovement(14), {"volume_em", "volume_sma_em"})
      .add(VolumePriceTrend(), {"volume_vpt"})
      .add(VWAP(14), {"volume_vwap"})
      .add(MoneyFlowIndex(14), {"volume_mfi"})
      .add(NegativeVolumeIndex(), {"volume_nvi"});
  set.add(BollingerBands(20, 2),
          {"volatility_bbm", "volatility_bbh", "volatility_bbl", "volatility_bbw", "volatility_bbp",
           "volatility_bbhi", "volatility_bbli"})
      .add(KeltnerChannel(10),
           {"volatility_kcc", "volatility_kch", "volatility_kcl", "volatility_kcw",
            "volatility_kcp", "volatility_kchi", "volatility_kcli"})
      .add(DonchianChannel(20), {"volatility_dcl", "volatility_dch", "volatility_dcm",
                                 "volatility_dcw", "volatility_dcp"})
      .add(ATR(10), {"volatility_atr"})
      .add(UlcerIndex(14), {"volatility_ui"});
  set.add(MACD(26, 12, 9), {"trend_macd", "trend_macd_signal", "trend_macd_diff"})
      .add(SMA(12), {"trend_sma_fast"})
      .add(SMA(26), {"trend_sma_slow"})
      .add(EMA(12), {"trend_ema_fast"})
      .add(EMA(26), {"trend_ema_slow"})
      .add(Vortex(14), {"trend_vortex_ind_pos", "trend_vortex_ind_neg", "trend_vortex_ind_diff"})
      .add(TRIX(15), {"trend_trix"})
      .add(MassIndex(9, 25), {"trend_mass_index"})
      .add(DPO(20), {"trend_dpo"})
      .add(KST(), {"trend_kst", "trend_kst_sig", "trend_kst_diff"})
      .add(Ichimoku(9, 26, 52),
           {"trend_ichimoku_conv", "trend_ichimoku_base", "trend_ichimoku_a", "trend_ichimoku_b"})
      .add(STC(50, 23, 10, 3, 3), {"trend_stc"})
      .add(ADX(14), {"trend_adx", "trend_adx_pos", "trend_adx_neg"})
      .add(CCI(20, 0.015), {"trend_cci"})
      .add(IchimokuCloud(9, 26, 52, 26), {"trend_visual_ichimoku_a", "trend_visual_ichimoku_b"})
      .add(Aroon(25), {"trend_aroon_up", "trend_aroon_down", "trend_aroon_ind"})
      .add(PSAR(0.02, 0.2), {"trend_psar_up", "trend_psar_down", "trend_psar_up_indicator",
                             "trend_psar_down_indicator"});
  set.add(RSI(14), {"momentum_rsi"})
      .add(StochasticRSI(14, 3, 3),
           {"momentum_stoch_rsi", "momentum_stoch_rsi_k", "momentum_stoch_rsi_d"})
      .add(TSI(25, 13), {"momentum_tsi"})
      .add(UltimateOscillator(7, 14, 28), {"momentum_uo"})
      .add(Stochastic(14, 3), {"momentum_stoch", "momentum_stoch_signal"})
      .add(WilliamsR(14), {"momentum_wr"})
      .add(AwesomeOscillator(5, 34), {"momentum_ao"})
      .add(ROC(12), {"momentum_roc"})
      .add(PPO(26, 12, 9), {"momentum_ppo", "momentum_ppo_signal", "momentum_ppo_hist"})
      .add(PVO(26, 12, 9), {"momentum_pvo", "momentum_pvo_signal", "momentum_pvo_hist"})
      .add(KAMA(10, 2, 30), {"momentum_kama"});
  set.add(Returns(), {"others_dr", "others_dlr", "others_cr"});
  return set;
}

/// The same 86 without units, so that years and markets can be compared; a suffix names the change.
/// _to_close: a price as distance from the close, in parts of it; _over_close: in parts of the
/// close; _over_atr: a price difference in units of the ATR; _change_over_volume: a running total's
/// change in units of the mean volume; _over_turnover: price times volume in units of both;
/// _log_change: an index's change in percent. volume_em becomes RelativeEaseOfMovement, and the
/// change since the first candle (others_cr) the change over 63 candles (others_roc63). The other
/// columns have no units.
template <class Set>
Set make_ta86_relative() {
  Set set("ta86_relative");
  set.add(change_over_volume(AccumulationDistribution()), {"volume_adi_change_over_volume"})
      .add(change_over_volume(OnBalanceVolume()), {"volume_obv_change_over_volume"})
      .add(ChaikinMoneyFlow(20), {"volume_cmf"})
      .add(over_turnover(ForceIndex(13)), {"volume_fi_over_turnover"})
      .add(RelativeEaseOfMovement(14), {"volume_em_relative", "volume_sma_em_relative"})
      .add(change_over_volume(VolumePriceTrend()), {"volume_vpt_change_over_volume"})
      .add(to_close(VWAP(14)), {"volume_vwap_to_close"})
      .add(MoneyFlowIndex(14), {"volume_mfi"})
      .add(log_change(NegativeVolumeIndex()), {"volume_nvi_log_change"});
  const BollingerBands bollinger(20, 2);
  const KeltnerChannel keltner(10);
  const DonchianChannel donchian(20);
  set.add(to_close(bollinger), {"volatility_bbm_to_close", "volatility_bbh_to_close",
                                "volatility_bbl_to_close", "", "", "", ""})
      .add(bollinger,
           {"", "", "", "volatility_bbw", "volatility_bbp", "volatility_bbhi", "volatility_bbli"})
      .add(to_close(keltner), {"volatility_kcc_to_close", "volatility_kch_to_close",
                               "volatility_kcl_to_close", "", "", "", ""})
      .add(keltner,
           {"", "", "", "volatility_kcw", "volatility_kcp", "volatility_kchi", "volatility_kcli"})
      .add(to_close(donchian), {"volatility_dcl_to_close", "volatility_dch_to_close",
                                "volatility_dcm_to_close", "", ""})
      .add(donchian, {"", "", "", "volatility_dcw", "volatility_dcp"})
      .add(over_close(ATR(10)), {"volatility_atr_over_close"})
      .add(UlcerIndex(14), {"volatility_ui"});
  set.add(over_atr(MACD(26, 12, 9)),
          {"trend_macd_over_atr", "trend_macd_signal_over_atr", "trend_macd_diff_over_atr"})
      .add(to_close(SMA(12)), {"trend_sma_fast_to_close"})
      .add(to_close(SMA(26)), {"trend_sma_slow_to_close"})
      .add(to_close(EMA(12)), {"trend_ema_fast_to_close"})
      .add(to_close(EMA(26)), {"trend_ema_slow_to_close"})
      .add(Vortex(14), {"trend_vortex_ind_pos", "trend_vortex_ind_neg", "trend_vortex_ind_diff"})
      .add(TRIX(15), {"trend_trix"})
      .add(MassIndex(9, 25), {"trend_mass_index"})
      .add(over_atr(DPO(20)), {"trend_dpo_over_atr"})
      .add(KST(), {"trend_kst", "trend_kst_sig", "trend_kst_diff"})
      .add(to_close(Ichimoku(9, 26, 52)),
           {"trend_ichimoku_conv_to_close", "trend_ichimoku_base_to_close",
            "trend_ichimoku_a_to_close", "trend_ichimoku_b_to_close"})
      .add(STC(50, 23, 10, 3, 3), {"trend_stc"})
      .add(ADX(14), {"trend_adx", "trend_adx_pos", "trend_adx_neg"})
      .add(CCI(20, 0.015), {"trend_cci"})
      .add(to_close(IchimokuCloud(9, 26, 52, 26)),
           {"trend_visual_ichimoku_a_to_close", "trend_visual_ichimoku_b_to_close"})
      .add(Aroon(25), {"trend_aroon_up", "trend_aroon_down", "trend_aroon_ind"})
      .add(to_close(PSAR(0.02, 0.2)),
           {"trend_psar_up_to_close", "trend_psar_down_to_close", "", ""})
      .add(PSAR(0.02, 0.2), {"", "", "trend_psar_up_indicator", "trend_psar_down_indicator"});
  set.add(RSI(14), {"momentum_rsi"})
      .add(StochasticRSI(14, 3, 3),
           {"momentum_stoch_rsi", "momentum_stoch_rsi_k", "momentum_stoch_rsi_d"})
      .add(TSI(25, 13), {"momentum_tsi"})
      .add(UltimateOscillator(7, 14, 28), {"momentum_uo"})
      .add(Stochastic(14, 3), {"momentum_stoch", "momentum_stoch_signal"})
      .add(WilliamsR(14), {"momentum_wr"})
      .add(over_atr(AwesomeOscillator(5, 34)), {"momentum_ao_over_atr"})
      .add(ROC(12), {"momentum_roc"})
      .add(PPO(26, 12, 9), {"momentum_ppo", "momentum_ppo_signal", "momentum_ppo_hist"})
      .add(PVO(26, 12, 9), {"momentum_pvo", "momentum_pvo_signal", "momentum_pvo_hist"})
      .add(to_close(KAMA(10, 2, 30)), {"momentum_kama_to_close"});
  set.add(Returns(), {"others_dr", "others_dlr", ""}).add(ROC(63), {"others_roc63"});
  return set;
}

template <class Set>
Set make_ohlc() {
  return Set("ohlc").add(RelativeCandle(20));
}

template <class Set>
Set make_ohlcv() {
  return Set("ohlcv").add(RelativeCandle(20)).add(RelativeVolume(20));
}

template <class Set>
Set make_hybrid() {
  return Set("hybrid").add(make_ta86_relative<Set>()).add(make_ohlcv<Set>());
}

/// 23 indicators without units; none is a plain difference of two others.
template <class Set>
Set make_technical23() {
  return Set("technical23")
      .add(RSI(14))
      .add(StochasticRSI(14, 3, 3), {"stoch_rsi", "", ""})
      .add(Stochastic(14, 3))
      .add(TSI(25, 13))
      .add(UltimateOscillator(7, 14, 28))
      .add(ROC(12))
      .add(PPO(26, 12, 9), {"ppo", "ppo_signal", ""})
      .add(BollingerBands(20, 2), {"", "", "", "bbw", "bbp", "", ""})
      .add(KeltnerChannel(10), {"", "", "", "", "kcp", "", ""})
      .add(over_close(ATR(14)), {"atr_over_close"})
      .add(UlcerIndex(14))
      .add(ADX(14))
      .add(CCI(20))
      .add(Aroon(25), {"", "", "aroon_ind"})
      .add(ChaikinMoneyFlow(20))
      .add(MoneyFlowIndex(14))
      .add(PVO(26, 12, 9), {"pvo", "", ""})
      .add(Returns(), {"", "dlr", ""});
}

/// All sets. Add a new set here.
template <class Set>
const std::vector<Set>& feature_table() {
  static const std::vector<Set> table = {make_hybrid<Set>(), make_ta86_relative<Set>(),
                                         make_ta86<Set>(),   make_ohlcv<Set>(),
                                         make_ohlc<Set>(),   make_technical23<Set>()};
  return table;
}

}  // namespace internal

/// The names of the feature sets.
template <class Set = FeatureSet>
std::vector<std::string> feature_sets() {
  std::vector<std::string> names;
  for (const Set& set : internal::feature_table<Set>()) names.push_back(set.name());
  return names;
}

/// The set of this name:
///   ta86           the 86 columns of the Python package `ta`, causal and always finite
///   ta86_relative  the same without units: prices relative to the close or the ATR, running totals
///                  of volume as changes
///   ohlcv          the candle itself without units (see RelativeCandle, RelativeVolume)
///   ohlc           the same without volume
///   hybrid         ta86_relative, then ohlcv: 91 features
///   technical23    23 indicators without units
/// Throws: DataError when there is no such set.
template <class Set = FeatureSet>
const Set& feature_set(std::string_view name) {
  std::vector<std::string_view> known;
  for (const Set& set : internal::feature_table<Set>()) {
    if (set.name() == name) return set;
    known.push_back(set.name());
  }
  throw DataError("features: no set is called ", internal::excerpt(name),
                  "; there are: ", internal::joined(known));
}

/// The names of a set's features, in their order. Throws: DataError when there is no such set.
template <class Set = FeatureSet>
std::vector<std::string> feature_names(std::string_view set) {
  return feature_set<Set>(set).names();
}

/// The features of every candle. A number that is not warm yet is NaN; once warm it stays finite.
/// The first n rows have the same bits as the rows of the first n candles alone, and as a
/// FeatureStream gives them one candle at a time.
/// Throws: DataError when the set has no features, when it needs volume and the candles have none
/// (naming the features), when the candles are not valid (see validate), or when a feature is not
/// finite after it was (feature and row named: prices or volumes near the limits of a double).
inline Series<double> engineer_features(const Candles& candles, const FeatureSet& set) {
  const FloatModeGuard guard;
  validate(candles, "engineer_features");
  if (const auto names = set.volume_names(); !candles.has_volume && !names.empty())
    throw DataError("features: the candles have no volume, so ", set.name(),
                    " cannot make: ", internal::joined(names), "; use ohlc");
  FeatureStream stream(set);
  Series<double> series = Series<double>::sized(set.names(), candles.size());
  const auto features = static_cast<std::size_t>(series.features);
  std::vector<bool> is_warm(features, false);
  bool all_warm = false;
  for (Index row = 0; row < series.rows; ++row) {
    double* values = series.column(row);
    stream.push(candles[row], {values, features});
    bool all_finite = true;
    for (std::size_t i = 0; i < features; ++i) all_finite &= is_finite(values[i]);
    if (all_warm && all_finite) continue;  // nearly every row
    all_warm = all_finite;
    for (std::size_t i = 0; i < features; ++i) {
      if (is_finite(values[i]))
        is_warm[i] = true;
      else if (is_warm[i] || !is_nan(values[i]))
        throw DataError("features: ", series.names[i], ", ", internal::row_text(row, {}),
                        ": not finite; prices or volumes are too large or too small");
    }
  }
  return series;
}

/// The same by the set's name. Throws: also DataError when there is no set of that name.
template <class Set = FeatureSet>
Series<double> engineer_features(const Candles& candles, std::string_view set) {
  return engineer_features(candles, feature_set<Set>(set));
}

}  // namespace TSDL_ABI
}  // namespace tsdl
