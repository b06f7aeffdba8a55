#!/usr/bin/env python3
"""Makes the columns of bench_features with pandas, checks and times them, and prints both times.

Run: features_pandas.py time DIRECTORY ROUND    checks and times; writes pandas_ROUND.json
     features_pandas.py table DIRECTORY         prints the table of all rounds
DIRECTORY holds what bench_features --write makes and, for the table, its ours_ROUND.json. Times are
of one thread's processor time. Columns are written as one does who knows pandas: whole columns with
rolling, ewm and shift. CCI and Aroon need rolling.apply, which is timed on fewer rows.
"""
import json
import os
import pathlib
import statistics
import sys
import time

for library in ["OMP", "OPENBLAS", "MKL", "NUMEXPR"]:
    os.environ[library + "_NUM_THREADS"] = "1"

import numpy as np
import pandas as pd

FEW = 50_000   # rows for rolling.apply, and to check what drifts in pandas
WARM_UP = 1000 # rows, after which no average shows how it was started
STEP = 17      # bench_features writes every 17th row
CANDLE = 48    # bytes
NUMBER = 8
TIME = 0.2     # seconds an indicator is repeated for
NAMED = ["RSI", "Bollinger", "MACD", "ATR", "Stochastic", "CCI"]


def ema(column, span):
    return column.ewm(span=span, min_periods=span, adjust=False).mean()


def wilder(column, window):
    return column.ewm(alpha=1 / window, min_periods=window, adjust=False).mean()


def mean(column, window):
    return column.rolling(window).mean()


def total(column, window):
    return column.rolling(window).sum()


def true_range(c):
    before = c.close.shift()
    return np.maximum(c.high, before) - np.minimum(c.low, before)


def typical(c):
    return (c.high + c.low + c.close) / 3


def change(column, rows=1):
    before = column.shift(rows)
    return (column - before) / before


def rsi(c):
    moved = c.close.diff()
    up, down = wilder(np.maximum(moved, 0), 14), wilder(np.maximum(-moved, 0), 14)
    return {"rsi": 100 * up / (up + down)}


def channel(c, middle, high, low, name):
    width = high - low
    return {name + "c": middle, name + "h": high, name + "l": low, name + "w": width / middle * 100,
            name + "p": (c.close - low) / width, name + "hi": (c.close > high).astype(float),
            name + "li": (c.close < low).astype(float)}


def bollinger(c):
    window = c.close.rolling(20)
    middle, width = window.mean(), 2 * window.std(ddof=0)
    out = channel(c, middle, middle + width, middle - width, "bb")
    out["bbm"] = out.pop("bbc")
    return out


def keltner(c):
    return channel(c, mean(typical(c), 10), mean((4 * c.high - 2 * c.low + c.close) / 3, 10),
                   mean((4 * c.low - 2 * c.high + c.close) / 3, 10), "kc")


def donchian(c):
    low, high = c.low.rolling(20).min(), c.high.rolling(20).max()
    width = high - low
    return {"dcl": low, "dch": high, "dcm": low + width / 2,
            "dcw": width / mean(c.close, 20) * 100, "dcp": (c.close - low) / width}


def macd(c):
    line = ema(c.close, 12) - ema(c.close, 26)
    signal = ema(line, 9)
    return {"macd": line, "macd_signal": signal, "macd_diff": line - signal}


def atr(c):
    return {"atr": wilder(true_range(c), 10)}


def stochastic(c):
    low, high = c.low.rolling(14).min(), c.high.rolling(14).max()
    line = 100 * (c.close - low) / (high - low)
    return {"stoch": line, "stoch_signal": mean(line, 3)}


def cci(c):
    price = typical(c)
    window = price.rolling(20)
    distance = window.apply(lambda part: np.mean(np.abs(part - np.mean(part))), raw=True)
    return {"cci": (price - window.mean()) / (0.015 * distance)}


def sma(c):
    return {"sma": mean(c.close, 26)}


def exponential(c):
    return {"ema": ema(c.close, 26)}


def ulcer(c):
    top = c.close.rolling(14, min_periods=1).max()
    drawdown = 100 * (c.close - top) / top
    return {"ui": np.sqrt(mean(drawdown * drawdown, 14))}


def vortex(c):
    ranges = total(true_range(c), 14)
    up = total((c.high - c.low.shift()).abs(), 14) / ranges
    down = total((c.low - c.high.shift()).abs(), 14) / ranges
    return {"vortex_ind_pos": up, "vortex_ind_neg": down, "vortex_ind_diff": up - down}


def trix(c):
    return {"trix": 100 * change(ema(ema(ema(c.close, 15), 15), 15))}


def mass_index(c):
    once = ema(c.high - c.low, 9)
    return {"mass_index": total(once / ema(once, 9), 25)}


def dpo(c):
    return {"dpo": c.close.shift(11) - mean(c.close, 20)}


def kst(c):
    line = 100 * (mean(change(c.close, 10), 10) + 2 * mean(change(c.close, 15), 10) +
                  3 * mean(change(c.close, 20), 10) + 4 * mean(change(c.close, 30), 15))
    signal = mean(line, 9)
    return {"kst": line, "kst_sig": signal, "kst_diff": line - signal}


def ichimoku(c):
    def line(window):
        return (c.high.rolling(window).max() + c.low.rolling(window).min()) / 2

    conversion, base = line(9), line(26)
    return {"ichimoku_conv": conversion, "ichimoku_base": base,
            "ichimoku_a": (conversion + base) / 2, "ichimoku_b": line(52)}


def cloud(c):
    lines = ichimoku(c)
    return {"visual_ichimoku_" + end: lines["ichimoku_" + end].shift(26) for end in "ab"}


def stc(c):
    column = ema(c.close, 23) - ema(c.close, 50)
    for _ in range(2):
        window = column.rolling(10)
        low, high = window.min(), window.max()
        column = ema(100 * (column - low) / (high - low), 3)
    return {"stc": column}


def adx(c):
    up, down = c.high.diff(), -c.low.diff()
    ranges = wilder(true_range(c), 14)
    pos = 100 * wilder(up.where((up > down) & (up > 0), 0), 14) / ranges
    neg = 100 * wilder(down.where((down > up) & (down > 0), 0), 14) / ranges
    return {"adx": wilder(100 * (pos - neg).abs() / (pos + neg), 14), "adx_pos": pos,
            "adx_neg": neg}


def aroon(c):
    up = c.high.rolling(26).apply(np.argmax, raw=True) * 4
    down = c.low.rolling(26).apply(np.argmin, raw=True) * 4
    return {"aroon_up": up, "aroon_down": down, "aroon_ind": up - down}


def stochastic_rsi(c):
    line = rsi(c)["rsi"]
    window = line.rolling(14)
    low = window.min()
    place = (line - low) / (window.max() - low)
    smooth = mean(place, 3)
    return {"stoch_rsi": place, "stoch_rsi_k": smooth, "stoch_rsi_d": mean(smooth, 3)}


def tsi(c):
    moved = c.close.diff()
    return {"tsi": 100 * ema(ema(moved, 25), 13) / ema(ema(moved.abs(), 25), 13)}


def ultimate(c):
    pressure = c.close - np.minimum(c.low, c.close.shift())
    ranges = true_range(c)
    fast, middle, slow = (total(pressure, n) / total(ranges, n) for n in (7, 14, 28))
    return {"uo": 100 * (4 * fast + 2 * middle + slow) / 7}


def williams(c):
    low, high = c.low.rolling(14).min(), c.high.rolling(14).max()
    return {"wr": -100 * (high - c.close) / (high - low)}


def awesome(c):
    middle = (c.high + c.low) / 2
    return {"ao": mean(middle, 5) - mean(middle, 34)}


def roc(c):
    return {"roc": 100 * change(c.close, 12)}


def percentage(column, name):
    slow = ema(column, 26)
    line = 100 * (ema(column, 12) - slow) / slow
    signal = ema(line, 9)
    return {name: line, name + "_signal": signal, name + "_hist": line - signal}


def location(c):
    return ((c.close - c.low) - (c.high - c.close)) / (c.high - c.low)


def obv(c):
    signed = np.where(c.close < c.close.shift(), -c.volume, c.volume)
    return {"obv": pd.Series(signed).cumsum()}


def cmf(c):
    return {"cmf": total(location(c) * c.volume, 20) / total(c.volume, 20)}


def ease(c):
    moved = (c.high.diff() + c.low.diff()) * (c.high - c.low)
    em = 1e8 * moved / (2 * c.volume)
    return {"em": em, "sma_em": mean(em, 14)}


def vwap(c):
    return {"vwap": total(typical(c) * c.volume, 14) / total(c.volume, 14)}


def mfi(c):
    price = typical(c)
    moved, flow = price.diff(), price * c.volume
    up, down = total(flow.where(moved > 0, 0), 14), total(flow.where(moved < 0, 0), 14)
    return {"mfi": 100 * up / (up + down)}


def nvi(c):
    growth = (c.close / c.close.shift()).where(c.volume < c.volume.shift(), 1)
    return {"nvi": 1000 * growth.cumprod()}


def returns(c):
    growth = c.close / c.close.shift()
    return {"dr": 100 * (growth - 1), "dlr": 100 * np.log(growth),
            "cr": 100 * (c.close / c.close[0] - 1)}


INDICATORS = {
    "RSI": rsi, "Bollinger": bollinger, "MACD": macd, "ATR": atr, "Stochastic": stochastic,
    "CCI": cci, "SMA": sma, "EMA": exponential, "Keltner": keltner, "Donchian": donchian,
    "UlcerIndex": ulcer, "Vortex": vortex, "TRIX": trix, "MassIndex": mass_index, "DPO": dpo,
    "KST": kst, "Ichimoku": ichimoku, "IchimokuCloud": cloud, "STC": stc, "ADX": adx,
    "Aroon": aroon, "StochasticRSI": stochastic_rsi, "TSI": tsi, "Ultimate": ultimate,
    "WilliamsR": williams, "Awesome": awesome, "ROC": roc,
    "PPO": lambda c: percentage(c.close, "ppo"), "PVO": lambda c: percentage(c.volume, "pvo"),
    "ADI": lambda c: {"adi": (location(c) * c.volume).cumsum()}, "OBV": obv, "CMF": cmf,
    "ForceIndex": lambda c: {"fi": ema(c.close.diff() * c.volume, 13)}, "EaseOfMovement": ease,
    "VPT": lambda c: {"vpt": (change(c.close) * c.volume).cumsum()}, "VWAP": vwap, "MFI": mfi,
    "NVI": nvi, "Returns": returns,
}
APPLIED = {"CCI", "Aroon"}
# Made of averages, exponential or of a window, each of whose values waits for the one before.
AVERAGES = {"RSI", "Bollinger", "MACD", "ATR", "SMA", "EMA", "Keltner", "Donchian", "UlcerIndex", "TRIX",
            "MassIndex", "DPO", "KST", "STC", "ADX", "StochasticRSI", "TSI", "Awesome", "PPO", "PVO",
            "ForceIndex", "EaseOfMovement", "VWAP"}
DRIFTING = {"Bollinger"}  # rolling.std: over these million candles pandas goes 2e-4 astray


def check(name, columns, ours):
    """That bench_features computes the same: within 1e-6 of the value or of the spread."""
    for column, values in columns.items():
        reference = values.to_numpy()[::STEP]
        known = np.arange(len(reference)) * STEP >= WARM_UP
        found = ours.pop(column)[: len(reference)][known]
        reference = reference[known]
        bound = 1e-6 * np.maximum(np.abs(reference), np.std(reference))
        wrong = np.flatnonzero(~(np.abs(found - reference) <= bound))
        if len(wrong):
            first = wrong[0]
            sys.exit(f"{name}: {column} differs from ours in {len(wrong)} of {len(found)} rows, "
                     f"first {reference[first]} and {found[first]}")


def seconds(function, candles):
    """The processor time of one run, the median of those that fit TIME; at least one."""
    times = []
    while sum(times) < TIME:
        start = time.process_time()
        function(candles)
        times.append(time.process_time() - start)
    return statistics.median(times)


def time_all(directory, number):
    candles = pd.DataFrame(np.fromfile(directory / "candles.bin").reshape(-1, 5),
                           columns=["open", "high", "low", "close", "volume"])
    # Each column on its own, as it is after reading a CSV or Parquet file.
    whole = pd.DataFrame({name: candles[name].to_numpy().copy() for name in candles}, copy=False)
    few = whole.iloc[:FEW].copy()
    names = (directory / "columns.txt").read_text().split()
    written = np.fromfile(directory / "columns.bin").reshape(-1, len(names))
    ours = {name: written[:, i] for i, name in enumerate(names)}
    result = {}
    for name, function in INDICATORS.items():
        part = few if name in APPLIED else whole
        check(name, function(few if name in DRIFTING else part), ours)
        result[name] = 1e9 * seconds(function, part) / len(part)
    if ours:
        sys.exit(f"not made with pandas: {', '.join(ours)}")
    (directory / f"pandas_{number}.json").write_text(json.dumps(result))


def print_table(directory):
    theirs, ours = [], []
    for path in sorted(directory.glob("pandas_*.json")):
        theirs.append(json.loads(path.read_text()))
        other = json.loads((directory / path.name.replace("pandas", "ours")).read_text())
        ours.append({run["name"].split("/")[0]: run for run in other["benchmarks"]})

    def median(name, key="s_per_candle"):
        return statistics.median(round[name][key] for round in ours)

    print(f"{'':16}{'columns':>8}{'pandas':>10}{'tsdl':>10}{'ratio':>8}   ns per candle")
    times = {}
    for name in INDICATORS:
        times[name] = statistics.median(round[name] for round in theirs), 1e9 * median(name)
        columns = median(name, "columns")
        marks = ["*"] * (name in APPLIED)
        goal = times[name][0] / 5
        if times[name][1] > goal:  # what makes it impossible
            one_pass = 1e9 * median("Nothing") * (CANDLE + NUMBER * columns) / (CANDLE + NUMBER)
            marks += ["m"] * (goal < one_pass)
            marks += ["a"] * (name in AVERAGES and goal < 1e9 * median("OneAverage"))
        print_line(name, columns, times[name], " ".join(marks))
    for title, names in [("first six", NAMED), ("without CCI", [n for n in NAMED if n != "CCI"]),
                         ("all", INDICATORS)]:
        print_line(title, sum(median(name, "columns") for name in names),
                   [sum(side) for side in zip(*(times[name] for name in names))])
    least = min(times, key=lambda name: times[name][0] / times[name][1])
    print(f"least ratio: {least}, {times[least][0] / times[least][1]:.1f}")
    print(f"* rolling.apply, timed on {FEW:,} candles")
    print("m no program that reads whole candles and writes these numbers can be 5 times as fast as pandas: "
          f"a pass\n  takes {1e9 * median('Nothing'):.1f} ns for one number, "
          f"{(CANDLE + NUMBER) / 1e9 / median('Nothing'):.0f} GB/s")
    print("a nor can y += a (x - y), each of which waits for the one before: "
          f"{1e9 * median('OneAverage'):.1f} ns\n")
    for name in ["ta86", "hybrid", "technical23"]:
        print(f"{name:16}{median(name, 'columns'):8.0f}{1e9 * median(name):20.0f} ns per candle"
              f"{median(name, 'candle_columns_per_s') / 1e6:8.1f} million candle-columns per s")
    print(f"one push of ta86: median {median('push_ta86', 'median_ns'):.0f} ns, 99 in 100 below "
          f"{median('push_ta86', 'p99_ns'):.0f} ns")


def print_line(name, columns, times, mark=""):
    theirs, ours = times
    print(f"{name:16}{columns:8.0f}{theirs:10.1f}{ours:10.1f}{theirs / ours:8.1f} {mark}".rstrip())
    if name == NAMED[-1]:
        print()


def main():
    if len(sys.argv) == 4 and sys.argv[1] == "time":
        time_all(pathlib.Path(sys.argv[2]), sys.argv[3])
    elif len(sys.argv) == 3 and sys.argv[1] == "table":
        print_table(pathlib.Path(sys.argv[2]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
