"""Writes features.csv: the `ohlcv` features and the labels of some rows of the shipped candles.

Run: python3 features.py (needs numpy and pandas). An empty cell is undefined.
"""
import pathlib

import numpy as np
import pandas as pd

here = pathlib.Path(__file__)
candles = pd.read_csv(here.parents[2] / "examples" / "data" / "sp500-daily.csv")
previous = candles.close.shift(1)
high = candles.high.where(~(previous > candles.high), previous)
low = candles.low.where(~(previous < candles.low), previous)
log_range = np.log(high / low).where(previous.notna())
true_range = (high - low).where(previous.notna())


def trailing(values, function):
    result = np.full(len(values), np.nan)
    for row in range(19, len(values)):
        result[row] = function(values.iloc[row - 19 : row + 1].to_numpy())
    return result


mean_range = trailing(log_range, np.mean)
frame = pd.DataFrame({"row": np.arange(len(candles))})
for name in ["open", "high", "low", "close"]:
    frame[name] = np.log(candles[name] / previous) / mean_range
frame["volume"] = np.log1p(candles.volume / trailing(candles.volume, np.mean))

next_range = true_range.shift(-1)
median = pd.Series(trailing(true_range, np.median))
frame["range"] = (next_range > median).astype(float).where(next_range.notna() & median.notna())
for ahead in [1, 5]:
    later = candles.close.shift(-ahead)
    frame[f"direction{ahead}"] = (later > candles.close).astype(float).where(later.notna())

n = len(frame)
rows = [r for r in range(n) if r < 30 or r % 40 == 0 or r >= n - 8]
frame.iloc[rows].to_csv(here.with_suffix(".csv"), index=False, float_format="%.17g")
