"""Writes standard_scaler.csv: input, fitted values and output of sklearn's StandardScaler, and what
its partial_fit holds after each chunk of the same rows beside the exact moments.

Run: python3 standard_scaler.py (needs numpy and scikit-learn). An empty cell is NaN.
"""
import fractions
import pathlib

import numpy as np
from sklearn.preprocessing import StandardScaler

random = np.random.default_rng(2024)
rows = 48
columns = {
    "normal": random.normal(3.0, 2.0, rows),
    "constant": np.full(rows, 0.1),
    "rounding_noise": 0.3 + np.resize([0.0, 2.0**-54, -(2.0**-54)], rows),
    "with_nan": random.normal(-1.0, 0.5, rows),
    # Multiples of 1/1024: sums are exact, so that the reference is too.
    "offset_1e9": 1e9 + np.round(random.normal(0.0, 1.0, rows) * 1024) / 1024,
    "tiny": random.normal(0.0, 1e-9, rows),
    "heavy_tail": random.standard_t(1.5, rows) * 1e6,
    "zero": np.zeros(rows),
}
columns["with_nan"][[0, 7, 8, 47]] = np.nan
data = np.stack(list(columns.values()), axis=1)
scaler = StandardScaler().fit(data)
counts = np.resize(scaler.n_samples_seen_, data.shape[1])


def exact(rows):
    """Mean and variance of each column in rational arithmetic, rounded once."""
    moments = []
    for column in rows.T:
        values = [fractions.Fraction(v) for v in column if not np.isnan(v)]
        mean = sum(values) / len(values)
        moments.append((float(mean), float(sum((v - mean) ** 2 for v in values) / len(values))))
    return zip(*moments)


# Every chunk has a value in every column: without one, sklearn's variance becomes NaN.
ends = [2, 3, 6, 10, 11, 16, 29, 30, 33, 46, 48]


def line(kind, values):
    return ",".join([kind] + ["" if np.isnan(v) else repr(float(v)) for v in values]) + "\n"


with open(pathlib.Path(__file__).with_suffix(".csv"), "w") as out:
    out.write(",".join(["kind", *columns]) + "\n")
    out.writelines(line("input", row) for row in data)
    out.write(line("mean", scaler.mean_))
    out.write(line("variance", scaler.var_))
    out.write(line("scale", scaler.scale_))
    out.write(line("count", counts))
    out.writelines(line("output", row) for row in scaler.transform(data))
    chunks = StandardScaler()
    for first, last in zip([0, *ends], ends):
        chunks.partial_fit(data[first:last])
        out.write(line("rows", np.full(data.shape[1], last)))
        for kind, values in zip(["exact_mean", "exact_variance"], exact(data[:last])):
            out.write(line(kind, values))
        out.write(line("partial_mean", chunks.mean_))
        out.write(line("partial_variance", chunks.var_))
        out.write(line("partial_scale", chunks.scale_))
