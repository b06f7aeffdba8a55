#!/usr/bin/env python3
"""Writes forecast_figures.csv: forecasts of several steps, and what numpy and pandas make of them.

Run: python3 forecast_figures.py (needs numpy and pandas). Each case is a block of lines:
`case,n,H,K,C`, then inputs of n samples (truths and forecasts n x H x K, low and high n x C x H x K,
denominators n x K, coverages C) and figures: of each step (H), then of all. Interval figures are
C x (H + 1). The last case is a series with its seasonal naive errors and forecasts. An empty cell is
NaN. Made with numpy 1.24 and pandas 1.5.
"""
import pathlib
import warnings

import numpy as np
import pandas as pd

warnings.simplefilter("ignore", RuntimeWarning)  # of means of nothing
random = np.random.default_rng(3)


def figures(y, x, low, high, d, coverages):
    """The mean over samples of each sample's mean over what it knows: by step, and of all steps."""
    def by_step_and_all(values):  # n x H x K
        n = len(values)
        steps = [np.nanmean([np.nanmean(values[i, h]) for i in range(n)]) for h in range(values.shape[1])]
        return [*steps, np.nanmean([np.nanmean(values[i]) for i in range(n)])]

    error = np.abs(y - x)
    scale = np.broadcast_to(np.where(d > 0, d, np.nan)[:, None, :], y.shape)
    relative = np.where((y == 0) & (x == 0), 0.0, 200 * error / (np.abs(y) + np.abs(x)))
    result = {"mse": by_step_and_all(error**2), "mae": by_step_and_all(error),
              "smape": by_step_and_all(np.where(np.isnan(y), np.nan, relative)),
              "mase": by_step_and_all(error / scale), "coverage": [], "width": [], "msis": []}
    for c, coverage in enumerate(coverages):
        a, L, U = 1 - coverage, low[:, c], high[:, c]
        inside = np.where(np.isnan(y), np.nan, (L <= y) & (y <= U))
        score = (U - L) + 2 / a * (L - y) * (y < L) + 2 / a * (y - U) * (y > U)
        result["coverage"] += by_step_and_all(inside)
        result["width"] += by_step_and_all(np.where(np.isnan(y), np.nan, U - L))
        result["msis"] += by_step_and_all(score / scale)
    return result


def line(name, values):
    cells = ("" if np.isnan(v) else repr(float(v)) for v in np.asarray(values, float).ravel())
    return ",".join([name, *cells]) + "\n"


with open(pathlib.Path(__file__).with_suffix(".csv"), "w") as out:
    for n, H, K, coverages, missing in [(7, 3, 2, [0.5, 0.9], 0.0), (9, 4, 3, [0.8], 0.4), (1, 1, 1, [], 0.0)]:
        C = len(coverages)
        y = np.round(3 * random.standard_normal((n, H, K)), 3)
        x = np.round(y + random.standard_normal(y.shape), 3)
        y[0, 0, 0] = x[0, 0, 0] = 0
        y[random.random(y.shape) < missing] = np.nan
        if missing:
            y[2] = np.nan  # a sample without any truth
            y[:, 1] = np.nan  # a step without any
        half = np.round(random.random((n, C, H, K)) * 2, 3)
        low, high = x[:, None] - half, x[:, None] + half / 2
        d = np.round(0.5 + random.random((n, K)), 3)
        if missing:
            d[3, 1], d[4, 0], d[5] = np.nan, 0, np.nan
        out.write(f"case,{n},{H},{K},{C}\n")
        for name, values in [("truths", y), ("forecasts", x), ("low", low), ("high", high),
                             ("denominators", d), ("coverages", coverages)]:
            out.write(line(name, values))
        for name, values in figures(y, x, low, high, d, coverages).items():
            out.write(line(name, values))
    T, H = 60, 30
    series = pd.Series(np.round(np.cumsum(random.standard_normal(T)), 3))
    series[[5, 17, 36, 58, 59]] = np.nan
    out.write(line("series", series))
    for m in (1, 7, 24):
        out.write(line(f"error_{m}", [(series - series.shift(m)).abs().mean()]))
        # A row's value, or where it has none that of the seasons before.
        filled = series.groupby(series.index % m).ffill()
        ahead = filled.reindex(range(T + H)).groupby(np.arange(T + H) % m).ffill()
        out.write(line(f"naive_{m}", ahead[T:]))
