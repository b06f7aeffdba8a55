#!/usr/bin/env python3
"""Computes the 86 features of set `ta86` a second way, and writes the goldens of its tests.

Run: python3 indicators.py --out indicators [--reference FILE] [--table FILE]
(needs numpy and pandas). FILE holds rows of what `ta` 0.11 makes of the shipped candles
(add_all_ta_features, fillna=False), column `row` first; an empty cell is undefined. With it, the
definitions below are checked against ta, and ta86_reference.csv is written anew.

`tsdl(candles)` is the set as the library defines it: causal, undefined until a column's window is
full, finite ever after. `as_ta(candles)` starts from it and puts back what ta does otherwise. All
is done over whole columns, each window afresh and summed exactly, so that nothing is shared with a
candle-by-candle implementation: not its order of operations, and not its drift.

Files: ta86_reference.csv (figures of ta) and ta86.csv (of `tsdl`) on some rows of the shipped
candles; hostile.csv and flat_start.csv (candles), and `tsdl` on all their rows in *_ta86.csv.
"""
import argparse
import math
import pathlib

import numpy as np
import pandas as pd

ROWS = [*range(10), 11, 12, 13, 14, 15, 16, 19, 20, 25, 26, 27, 28, 30, 31, 33, 34, 35, 36, 37,
        40, 43, 44, 45, 51, 52, 53, 58, 62, 71, 72, 73, 76, 77, 78, 100, 120, 140, 240, 480,
        720, 1000, 1080, 1120, 1280, 1480, 1960, 2200, 2240, 2480, 3000, 3480, 4000, 4480, 4960,
        5000, 5085, 5096, 5104]

# The range of an RSI window, in its points, under which the stochastic RSI sees rounding only.
RSI_RANGE = 1e-6


# Windows. `over` gives undefined rows wherever a window is short or holds an undefined value.


def over(window, function, *columns):
    result = np.full(len(columns[0]), np.nan)
    data = [column.to_numpy(float) for column in columns]
    for end in range(window, len(result) + 1):
        parts = [values[end - window : end] for values in data]
        if all(np.isfinite(part).all() for part in parts):
            result[end - 1] = function(*parts)
    return pd.Series(result)


def exact_mean(part):
    """Correctly rounded but for the division; of equal values, that value."""
    return part[0] if part.min() == part.max() else math.fsum(part) / len(part)


def total(column, window):
    return over(window, math.fsum, column)


def mean(column, window):
    return over(window, exact_mean, column)


def deviation(column, window):
    return over(window, lambda part: math.sqrt(exact_mean((part - exact_mean(part)) ** 2)), column)


def mean_deviation(column, window):
    return over(window, lambda part: exact_mean(abs(part - exact_mean(part))), column)


def highest(column, window):
    return over(window, np.max, column)


def lowest(column, window):
    return over(window, np.min, column)


def ema(column, span):
    return column.ewm(span=span, adjust=False, min_periods=span).mean()


def wilder(column, window):
    """Wilder's average: the mean of the first `window` inputs, then 1 / window of each new."""
    first = column.first_valid_index() + window - 1
    seeded = column.where(column.index > first)
    seeded[first] = exact_mean(column[first - window + 1 : first + 1].to_numpy())
    return seeded.ewm(alpha=1 / window, adjust=False).mean()


def ratio(above, below, otherwise):
    """above / below; `otherwise` where `below` is 0; undefined where either is."""
    quotient = above / below.where(below != 0)
    return quotient.where(below != 0, otherwise).where(above.notna() & below.notna())


def position(values, low, high, otherwise):
    """Where `values` stand between `low` (0) and `high` (1); `otherwise` where the two are one."""
    return ratio(values - low, high - low, otherwise)


# The indicators, group by group. Each function adds its columns to `out`, a dict.


def volume_columns(c, out):
    typical = (c.high + c.low + c.close) / 3
    money = c.volume * ratio((c.close - c.low) - (c.high - c.close), c.high - c.low, 0)
    change = c.close.diff()
    out["volume_adi"] = money.cumsum()
    out["volume_obv"] = (c.volume * np.where(change < 0, -1, 1)).cumsum()
    out["volume_cmf"] = ratio(total(money, 20), total(c.volume, 20), 0)
    out["volume_fi"] = ema(change * c.volume, 13)
    moved = (c.high.diff() + c.low.diff()) / 2 * (c.high - c.low)
    out["volume_em"] = ratio(1e8 * moved, c.volume, 0)
    out["volume_sma_em"] = mean(out["volume_em"], 14)
    out["volume_vpt"] = (c.volume * (change / c.close.shift())).cumsum()
    traded = total(c.volume, 14)
    out["volume_vwap"] = ratio(total(typical * c.volume, 14), traded, 0).where(
        traded != 0, mean(typical, 14))
    # ta counts row 0 into the window as a row without flow.
    flow, before = typical * c.volume, typical.shift()
    up = total(flow.where(typical > before, 0), 14)
    down = total(flow.where(typical < before, 0), 14)
    out["volume_mfi"] = 100 * ratio(up, up + down, 0.5)
    growth = (c.close / c.close.shift()).where(c.volume < c.volume.shift(), 1)
    out["volume_nvi"] = 1000 * growth.cumprod()


def bollinger_columns(c, out):
    middle, width = mean(c.close, 20), 2 * deviation(c.close, 20)
    high, low = middle + width, middle - width
    known = middle.notna()
    out["volatility_bbm"], out["volatility_bbh"], out["volatility_bbl"] = middle, high, low
    out["volatility_bbw"] = 100 * (2 * width) / middle
    out["volatility_bbp"] = ratio(c.close - low, 2 * width, 0.5)
    out["volatility_bbhi"] = (c.close > high).astype(float).where(known)
    out["volatility_bbli"] = (c.close < low).astype(float).where(known)


def keltner_columns(c, out):
    def band(on_high, on_low):
        return mean((on_high * c.high + on_low * c.low + c.close) / 3, 10)

    def above(on_high, on_low):
        """Band minus the row's close, from differences of prices: exactly 0 on equal prices."""
        return over(10, lambda h, l, p: exact_mean(
            on_high * (h - p[-1]) + on_low * (l - p[-1]) + (p - p[-1])) / 3, c.high, c.low, c.close)

    middle, width = band(1, 1), 2 * mean(c.high - c.low, 10)
    upper, lower = above(4, -2), above(-2, 4)
    known = middle.notna()
    out["volatility_kcc"], out["volatility_kch"] = middle, band(4, -2)
    out["volatility_kcl"] = band(-2, 4)
    out["volatility_kcw"] = 100 * width / middle
    out["volatility_kcp"] = ratio(-lower, width, 0.5)
    out["volatility_kchi"] = (upper < 0).astype(float).where(known)
    out["volatility_kcli"] = (lower > 0).astype(float).where(known)


def other_volatility_columns(c, out):
    high, low = highest(c.high, 20), lowest(c.low, 20)
    out["volatility_dcl"], out["volatility_dch"] = low, high
    out["volatility_dcm"] = low + (high - low) / 2
    out["volatility_dcw"] = 100 * (high - low) / mean(c.close, 20)
    out["volatility_dcp"] = position(c.close, low, high, 0.5)
    out["volatility_atr"] = wilder(true_range(c).fillna(c.high - c.low), 10)
    # The first 13 rows look back as far as there are rows.
    top = c.close.rolling(14, min_periods=1).max()
    drawdown = 100 * (c.close - top) / top
    out["volatility_ui"] = mean(drawdown**2, 14) ** 0.5


def true_range(c):
    before = c.close.shift()
    return (np.maximum(c.high, before) - np.minimum(c.low, before)).where(before.notna())


def average_columns(c, out):
    fast, slow = ema(c.close, 12), ema(c.close, 26)
    out["trend_macd"] = fast - slow
    out["trend_macd_signal"] = ema(out["trend_macd"], 9)
    out["trend_macd_diff"] = out["trend_macd"] - out["trend_macd_signal"]
    out["trend_sma_fast"], out["trend_sma_slow"] = mean(c.close, 12), mean(c.close, 26)
    out["trend_ema_fast"], out["trend_ema_slow"] = fast, slow
    thrice = ema(ema(ema(c.close, 15), 15), 15)
    out["trend_trix"] = 100 * (thrice - thrice.shift()) / thrice.shift()
    once = ema(c.high - c.low, 9)
    out["trend_mass_index"] = total(ratio(once, ema(once, 9), 1), 25)
    out["trend_dpo"] = c.close.shift(11) - mean(c.close, 20)

    def average_change(rows, window):
        return mean((c.close - c.close.shift(rows)) / c.close.shift(rows), window)

    kst = 100 * sum(weight * average_change(rows, window) for weight, rows, window in
                    [(1, 10, 10), (2, 15, 10), (3, 20, 10), (4, 30, 15)])
    out["trend_kst"], out["trend_kst_sig"] = kst, mean(kst, 9)
    out["trend_kst_diff"] = kst - out["trend_kst_sig"]
    out["trend_stc"] = schaff(c.close)


def schaff(close):
    def smoothed(values):
        """A place without range is missing: ewm leaves the average, and its successor weighs more."""
        low, high = lowest(values, 10), highest(values, 10)
        average = (100 * position(values, low, high, np.nan)).ewm(span=3, adjust=False).mean()
        return average.fillna(50).where(high.shift(2).notna())

    return smoothed(smoothed(ema(close, 23) - ema(close, 50)))


def vortex_columns(c, out):
    ranges = total(true_range(c), 14)
    out["trend_vortex_ind_pos"] = ratio(total(abs(c.high - c.low.shift()), 14), ranges, 1)
    out["trend_vortex_ind_neg"] = ratio(total(abs(c.low - c.high.shift()), 14), ranges, 1)
    out["trend_vortex_ind_diff"] = out["trend_vortex_ind_pos"] - out["trend_vortex_ind_neg"]


def ichimoku_columns(c, out):
    def middle(window):
        return (highest(c.high, window) + lowest(c.low, window)) / 2

    out["trend_ichimoku_conv"], out["trend_ichimoku_base"] = middle(9), middle(26)
    out["trend_ichimoku_a"] = (middle(9) + middle(26)) / 2
    out["trend_ichimoku_b"] = middle(52)
    out["trend_visual_ichimoku_a"] = out["trend_ichimoku_a"].shift(26)
    out["trend_visual_ichimoku_b"] = out["trend_ichimoku_b"].shift(26)


def directional_columns(c, out):
    rise, fall = c.high.diff(), -c.low.diff()
    known = rise.notna()
    ranges = wilder(true_range(c), 14)
    for name, move, other in [("pos", rise, fall), ("neg", fall, rise)]:
        kept = move.where((move > other) & (move > 0), 0).where(known)
        out["trend_adx_" + name] = 100 * ratio(wilder(kept, 14), ranges, 0)
    pos, neg = out["trend_adx_pos"], out["trend_adx_neg"]
    out["trend_adx"] = wilder(100 * ratio(abs(pos - neg), pos + neg, 0), 14)


def other_trend_columns(c, out):
    typical = (c.high + c.low + c.close) / 3
    out["trend_cci"] = ratio(typical - mean(typical, 20), 0.015 * mean_deviation(typical, 20), 0)
    # Of equal extremes the oldest counts, as argmax and argmin have it.
    out["trend_aroon_up"] = over(26, lambda part: 100 * np.argmax(part) / 25, c.high)
    out["trend_aroon_down"] = over(26, lambda part: 100 * np.argmin(part) / 25, c.low)
    out["trend_aroon_ind"] = out["trend_aroon_up"] - out["trend_aroon_down"]
    sar, extreme, up = parabolic(c)
    starts = up.ne(up.shift())
    known = sar.notna()
    out["trend_psar_up"] = sar.where(up, extreme)
    out["trend_psar_down"] = extreme.where(up, sar)
    out["trend_psar_up_indicator"] = (starts & up).astype(float).where(known)
    out["trend_psar_down_indicator"] = (starts & ~up).astype(float).where(known)
    for name in ["up", "down"]:  # no trend before row 2: the first one starts there
        out[f"trend_psar_{name}_indicator"][2] = float(up[2] == (name == "up"))


def parabolic(c):
    """Parabolic SAR trend by trend: its values, the trend's extreme so far, whether it is up.

    A falling trend is a rising one of the negated prices. The first trend is taken to rise from the
    close of row 1, with the high of row 0 as its extreme.
    """
    n = len(c)
    sar, extremes, ups = np.full(n, np.nan), np.full(n, np.nan), np.zeros(n, bool)
    sign, begin, level, extreme = 1, 2, c.close[1], c.high[0]
    while begin < n:
        top, bottom = (c.high, c.low) if sign > 0 else (-c.low, -c.high)
        step = 0.02
        for row in range(begin, n):
            level += step * (extreme - level)
            if bottom[row] < level:
                break
            if top[row] > extreme:
                extreme, step = top[row], min(step + 0.02, 0.2)
            # ta bounds it by the low of two rows ago, or else of the last row: not by the lower.
            level = next((b for b in (bottom[row - 2], bottom[row - 1]) if b < level), level)
            sar[row], extremes[row], ups[row] = sign * level, sign * extreme, sign > 0
        else:
            break
        # The row that broke the trend opens the next: its SAR is the extreme of the old one.
        sign, level, extreme, begin = -sign, -extreme, -bottom[row], row + 1
        sar[row], extremes[row], ups[row] = sign * level, sign * extreme, sign > 0
    return pd.Series(sar), pd.Series(extremes), pd.Series(ups)


def momentum_columns(c, out):
    change = c.close.diff().fillna(0)
    ups, downs = (part.ewm(alpha=1 / 14, adjust=False, min_periods=14).mean()
                  for part in [change.clip(lower=0), (-change).clip(lower=0)])
    rsi = 100 * ratio(ups, ups + downs, 0.5)
    low, high = lowest(rsi, 14), highest(rsi, 14)
    place = position(rsi, low, high, 0.5).where((high - low > RSI_RANGE) | high.isna(), 0.5)
    out["momentum_rsi"], out["momentum_stoch_rsi"] = rsi, place
    out["momentum_stoch_rsi_k"] = mean(place, 3)
    out["momentum_stoch_rsi_d"] = mean(out["momentum_stoch_rsi_k"], 3)
    change = c.close.diff()
    out["momentum_tsi"] = 100 * ratio(ema(ema(change, 25), 13), ema(ema(abs(change), 25), 13), 0)
    out["momentum_uo"] = ultimate(c)
    low, high = lowest(c.low, 14), highest(c.high, 14)
    out["momentum_stoch"] = 100 * position(c.close, low, high, 0.5)
    out["momentum_stoch_signal"] = mean(out["momentum_stoch"], 3)
    out["momentum_wr"] = -100 * position(c.close, high, low, 0.5)
    middle = (c.high + c.low) / 2
    out["momentum_ao"] = mean(middle, 5) - mean(middle, 34)
    out["momentum_roc"] = 100 * (c.close - c.close.shift(12)) / c.close.shift(12)
    for name, column in [("ppo", c.close), ("pvo", c.volume)]:
        slow = ema(column, 26)
        line = 100 * ratio(ema(column, 12) - slow, slow, 0)
        signal = ema(line, 9)
        out["momentum_" + name], out[f"momentum_{name}_signal"] = line, signal
        out[f"momentum_{name}_hist"] = line - signal
    out["momentum_kama"] = kaufman(c.close)


def ultimate(c):
    ranges = true_range(c)
    pressure = (c.close - np.minimum(c.low, c.close.shift())).where(ranges.notna())
    averages = [ratio(total(pressure, n), total(ranges, n), 0.5) for n in (7, 14, 28)]
    return 100 * (4 * averages[0] + 2 * averages[1] + averages[2]) / 7


def kaufman(close):
    efficiency = ratio(abs(close - close.shift(10)), total(abs(close.diff()), 10), 0)
    smoothing = (efficiency * (2 / 3 - 2 / 31) + 2 / 31) ** 2
    result = pd.Series(np.nan, close.index)
    result[9] = close[9]
    for row in range(10, len(close)):
        result[row] = result[row - 1] * (1 - smoothing[row]) + smoothing[row] * close[row]
    return result


def other_columns(c, out):
    growth = c.close / c.close.shift()
    out["others_dr"] = 100 * (growth - 1)
    out["others_dlr"] = 100 * np.log(growth)
    out["others_cr"] = 100 * (c.close / c.close[0] - 1)


ORDER = """
volume_adi volume_obv volume_cmf volume_fi volume_em volume_sma_em volume_vpt volume_vwap
volume_mfi volume_nvi volatility_bbm volatility_bbh volatility_bbl volatility_bbw volatility_bbp
volatility_bbhi volatility_bbli volatility_kcc volatility_kch volatility_kcl volatility_kcw
volatility_kcp volatility_kchi volatility_kcli volatility_dcl volatility_dch volatility_dcm
volatility_dcw volatility_dcp volatility_atr volatility_ui trend_macd trend_macd_signal
trend_macd_diff trend_sma_fast trend_sma_slow trend_ema_fast trend_ema_slow trend_vortex_ind_pos
trend_vortex_ind_neg trend_vortex_ind_diff trend_trix trend_mass_index trend_dpo trend_kst
trend_kst_sig trend_kst_diff trend_ichimoku_conv trend_ichimoku_base trend_ichimoku_a
trend_ichimoku_b trend_stc trend_adx trend_adx_pos trend_adx_neg trend_cci trend_visual_ichimoku_a
trend_visual_ichimoku_b trend_aroon_up trend_aroon_down trend_aroon_ind trend_psar_up
trend_psar_down trend_psar_up_indicator trend_psar_down_indicator momentum_rsi momentum_stoch_rsi
momentum_stoch_rsi_k momentum_stoch_rsi_d momentum_tsi momentum_uo momentum_stoch
momentum_stoch_signal momentum_wr momentum_ao momentum_roc momentum_ppo momentum_ppo_signal
momentum_ppo_hist momentum_pvo momentum_pvo_signal momentum_pvo_hist momentum_kama others_dr
others_dlr others_cr
""".split()


def tsdl(candles):
    """Every column of the set, causal; undefined until its window is full and finite ever after."""
    out = {}
    for group in [volume_columns, bollinger_columns, keltner_columns, other_volatility_columns,
                  average_columns, vortex_columns, ichimoku_columns, directional_columns,
                  other_trend_columns, momentum_columns, other_columns]:
        group(candles, out)
    frame = pd.DataFrame({name: out.pop(name) for name in ORDER})
    assert not out, sorted(out)
    for name in frame:
        known = np.isfinite(frame[name])
        assert (known == known.cummax()).all() and not np.isinf(frame[name]).any(), name
    return frame


def as_ta(c):
    """What ta 0.11 makes of candles without flat bars and zero volumes, look-ahead included."""
    f = tsdl(c)

    def partial(prices, window):
        return prices.rolling(window, min_periods=1)

    # Before the window is full: zeros, or what there is of the window.
    zeros = {"volatility_atr": 9, "volatility_bbhi": 19, "volatility_bbli": 19, "trend_adx": 27,
             "trend_adx_pos": 15, "trend_adx_neg": 15, "trend_psar_up_indicator": 2,
             "trend_psar_down_indicator": 2}
    for name, rows in zeros.items():
        f.loc[: rows - 1, name] = 0
    upper = partial((4 * c.high - 2 * c.low + c.close) / 3, 10).mean()
    lower = partial((4 * c.low - 2 * c.high + c.close) / 3, 10).mean()
    for name, values in {"kch": upper, "kcl": lower, "kchi": c.close > upper,
                         "kcli": c.close < lower,
                         "kcp": (c.close - lower) / (upper - lower)}.items():
        f["volatility_" + name] = values.astype(float)
    f.trend_ichimoku_b = (partial(c.high, 52).max() + partial(c.low, 52).min()) / 2

    # Looks ahead: rows before the first are filled with the mean of the whole series.
    kst = 0
    for weight, rows, window in [(1, 10, 10), (2, 15, 10), (3, 20, 10), (4, 30, 15)]:
        before = c.close.shift(rows, fill_value=c.close.mean())
        kst += weight * 100 * ((c.close - before) / before).rolling(window).mean()
    f.trend_kst, f.trend_kst_sig = kst, partial(kst, 9).mean()
    f.trend_kst_diff = f.trend_kst - f.trend_kst_sig
    for name in "ab":
        span = f["trend_ichimoku_" + name]
        f["trend_visual_ichimoku_" + name] = span.shift(26, fill_value=span.mean())

    # A stochastic without range is undefined, and so the averages over it start later.
    smooth = ema(c.close, 23) - ema(c.close, 50)
    for _ in range(2):
        low, high = lowest(smooth, 10), highest(smooth, 10)
        smooth = ema(100 * position(smooth, low, high, np.nan), 3)
    f.trend_stc = smooth

    # Either the rising or the falling line is undefined.
    _, _, up = parabolic(c)
    f.trend_psar_up, f.trend_psar_down = f.trend_psar_up.where(up), f.trend_psar_down.where(~up)
    f.loc[:1, "trend_psar_down"] = np.nan
    return f


# Candles to be hostile with.


def hostile():
    random = np.random.default_rng(86)
    rows = []
    before = 100.0

    def add(count, change, volume, scale=None, flat=False):
        """`count` candles from `before` on; `change(k)` is the factor from close to close."""
        nonlocal before
        before = before if scale is None else scale
        for k in range(count):
            close = float(f"{before * change(k):.6g}")
            wick = 1 if flat else 1 + random.uniform(0.001, 0.02, 2)
            high, low = max(before, close) * wick, min(before, close) / wick
            high, low = (high, low) if flat else (high[0], low[1])
            rows.append([before, float(f"{high:.7g}"), float(f"{low:.7g}"), close, volume(k)])
            before = close

    def walk(_):
        return math.exp(random.normal(0, 0.012))

    def some(_):
        return int(random.integers(500_000, 2_000_000))

    add(80, walk, some)
    add(1, lambda _: 103.37 / before, some)
    add(40, lambda _: 1, lambda _: 1_000_000, flat=True)
    add(15, walk, some)
    add(30, walk, lambda _: 0)
    add(6, walk, some)
    add(24, lambda k: 2 if k % 2 else 0.5, some)
    add(6, walk, some)
    add(20, walk, some, scale=1e-9)
    add(20, walk, some, scale=1e9)
    add(40, walk, some, scale=100.0)
    return named(rows)


def flat_start():
    """Candles of one price without volume, then moving ones: what is 0 only at the start."""
    random = np.random.default_rng(9)
    rows = [[3.1, 3.1, 3.1, 3.1, 0]] * 80
    for _ in range(30):
        opened = rows[-1][3]
        close = round(opened * math.exp(random.normal(0, 0.01)), 3)
        high, low = max(opened, close) + 0.01, min(opened, close) - 0.02
        rows.append([opened, round(high, 3), round(low, 3), close, int(random.integers(100, 900))])
    return named(rows)


def named(rows):
    candles = pd.DataFrame(rows, columns=["open", "high", "low", "close", "volume"])
    body = candles[["open", "close"]]
    assert (candles.low > 0).all() and (candles.low <= body.min(axis=1)).all()
    assert (candles.high >= body.max(axis=1)).all()
    assert candles.volume.ge(0).all()
    candles.insert(0, "time", pd.date_range("2020-01-01", periods=len(rows)).strftime("%Y-%m-%d"))
    return candles


# Files and the comparison with ta.


def write(frame, path, digits="%.17g"):
    frame.to_csv(path, index=False, float_format=digits, lineterminator="\n")


def close_to(values, reference, spread):
    near = abs(values - reference) <= 1e-9 * np.maximum(abs(reference), spread)
    return near | (values.isna() & reference.isna())


def compare(ours, theirs, reference):
    """Checks as_ta against ta, and says of each column where ours starts to equal it."""
    table = []
    for name in ORDER:
        spread = theirs[name].std()
        known = reference[name].dropna()
        good = close_to(theirs[name][reference.index], reference[name], spread)
        assert good.all(), f"{name}: not ta's on rows {list(good.index[~good])}"
        shared = theirs[name].notna() & ours[name].notna()
        bad = np.flatnonzero(shared & ~close_to(ours[name], theirs[name], spread))
        defined = ours[name].first_valid_index()
        equal = max(defined, bad[-1] + 1) if len(bad) else defined
        later = known[known.index >= equal]
        assert close_to(ours[name][later.index], later, spread).all(), name
        if ours[name][equal:].notna().ne(theirs[name][equal:].notna()).any():
            kind = "deviating"
        elif equal > defined or theirs[name].first_valid_index() != defined:
            kind = "equal_after_warm_up"
        else:
            kind = "equal"
        table.append(f"{name} {defined} {equal} {kind}")
    return table


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--out", required=True, type=pathlib.Path)
    arguments.add_argument("--reference", type=pathlib.Path)
    arguments.add_argument("--table", type=pathlib.Path)
    options = arguments.parse_args()
    source = pathlib.Path(__file__).parents[2] / "examples" / "data" / "sp500-daily.csv"
    candles = pd.read_csv(source, float_precision="round_trip")
    features = tsdl(candles)
    if options.reference:
        theirs = pd.read_csv(options.reference, index_col="row", float_precision="round_trip")
        table = compare(features, as_ta(candles), theirs)
        if options.table:
            options.table.write_text("\n".join(table) + "\n")
        lines = options.reference.read_text().splitlines()
        kept = [line for line in lines[1:] if int(line.split(",")[0]) in ROWS]
        assert len(kept) == len(ROWS)
        (options.out / "ta86_reference.csv").write_text("\n".join([lines[0], *kept]) + "\n")
    features.insert(0, "row", features.index)
    write(features.loc[ROWS], options.out / "ta86.csv")
    for name, made in [("hostile", hostile()), ("flat_start", flat_start())]:
        write(made, options.out / f"{name}.csv", digits=None)
        write(tsdl(made), options.out / f"{name}_ta86.csv")


if __name__ == "__main__":
    main()
