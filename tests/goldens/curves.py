#!/usr/bin/env python3
"""Writes curves.csv: scores, labels, and sklearn's ROC and calibration curves of them.

Run: python3 curves.py (needs numpy and scikit-learn). Each case is a block of eight lines: `case,name,bins`,
`labels`, `scores`, then `false_positive_rate`, `true_positive_rate` and `threshold` of the ROC curve's points (the
first threshold, which versions of sklearn write differently, as inf), and `share_positive` and
`mean_probability` of the bins that hold samples. Made with scikit-learn 1.2.1.
"""
import pathlib

import numpy as np
from sklearn import calibration, metrics

random = np.random.default_rng(11)


def binary(n, signal, share=0.5, decimals=17):
    labels = (random.random(n) < share).astype(int)
    logits = signal * (labels - 0.5) + random.standard_normal(n)
    return labels, np.round(1 / (1 + np.exp(-logits)), decimals)


cases = {
    "weak": (*binary(80, 0.4), 10),
    "strong": (*binary(40, 4.0), 10),
    "rare": (*binary(120, 1.0, share=0.08), 5),
    "ties": (*binary(60, 1.0, decimals=1), 10),  # each score is the edge of two bins
    "two values": (*binary(30, 1.0, decimals=0), 10),
    "inverted": (*binary(50, -2.0), 7),
    "perfect": (np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.7, 0.9]), 4),
    "constant": (np.array([0, 1, 1, 0, 1]), np.full(5, 0.5), 10),
    "one bin": (*binary(20, 1.0), 1),
}

with open(pathlib.Path(__file__).with_suffix(".csv"), "w") as out:
    for name, (labels, scores, bins) in cases.items():
        fpr, tpr, thresholds = metrics.roc_curve(labels, scores, drop_intermediate=False)
        share, mean = calibration.calibration_curve(labels, scores, n_bins=bins)
        thresholds[0] = np.inf
        out.write(f"case,{name},{bins}\n")
        for key, values in {"labels": labels, "scores": scores, "false_positive_rate": fpr,
                            "true_positive_rate": tpr, "threshold": thresholds,
                            "share_positive": share, "mean_probability": mean}.items():
            out.write(",".join([key, *(repr(v.item()) for v in values)]) + "\n")
