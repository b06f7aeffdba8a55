#!/usr/bin/env python3
"""Writes metrics.csv: probabilities, labels, and what sklearn makes of them.

Run: python3 metrics.py (needs numpy and scikit-learn). Each case is a block of lines: `case,name,K`
(K columns of probabilities, 1: of class 1), `labels`, `probabilities` (row by row), then one line a
metric: of one value, of one a class, or (confusion) of a matrix row by row. An empty cell is undefined. Made with scikit-learn 1.2.1.
"""
import pathlib
import warnings

import numpy as np
from sklearn import metrics

warnings.filterwarnings("error")
random = np.random.default_rng(7)


def binary(n, signal, share=0.5, decimals=17):
    labels = (random.random(n) < share).astype(int)
    logits = signal * (labels - 0.5) + random.standard_normal(n)
    return labels, np.round(1 / (1 + np.exp(-logits)), decimals)[:, None]


def several(n, K, signal, classes=None):
    labels = random.choice(K if classes is None else classes, n)
    logits = random.standard_normal((n, K)) + signal * np.eye(K)[labels]
    p = np.exp(logits)
    return labels, p / p.sum(axis=1, keepdims=True)


def figures(labels, p):
    K = p.shape[1]
    one = K == 1
    predicted = (p[:, 0] >= 0.5).astype(int) if one else p.argmax(axis=1)
    classes = np.unique(labels)
    result = {"accuracy": metrics.accuracy_score(labels, predicted),
              "balanced_accuracy": None, "roc_auc": None, "mcc": None,
              "brier": metrics.brier_score_loss(labels, p[:, 0]) if one else
              np.mean(np.sum((p - np.eye(K)[labels]) ** 2, axis=1)),
              "majority_accuracy": np.bincount(labels).max() / len(labels)}
    if len(classes) > 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a predicted class may be absent from the labels
            result["balanced_accuracy"] = metrics.balanced_accuracy_score(labels, predicted)
            result["mcc"] = metrics.matthews_corrcoef(labels, predicted)
        if one:
            result["roc_auc"] = metrics.roc_auc_score(labels, p[:, 0])
        elif len(classes) == K > 2:
            result["roc_auc"] = metrics.roc_auc_score(labels, p, multi_class="ovr")
        else:  # sklearn refuses these: the mean over the classes that occur
            result["roc_auc"] = np.mean([metrics.roc_auc_score(labels == k, p[:, k])
                                         for k in classes])
    return result


def by_class(labels, p):
    K = p.shape[1]
    predicted = (p[:, 0] >= 0.5).astype(int) if K == 1 else p.argmax(axis=1)
    every = np.arange(max(K, 2))
    precision, recall, f1, support = metrics.precision_recall_fscore_support(
        labels, predicted, labels=every, zero_division=0)
    return {"confusion": metrics.confusion_matrix(labels, predicted, labels=every).ravel(),
            "precision": precision, "recall": recall, "f1": f1, "support": support,
            "macro_f1": [metrics.f1_score(labels, predicted, average="macro", zero_division=0)]}


cases = {
    "weak": binary(101, 0.4),
    "strong": binary(40, 4.0),
    "rare": binary(150, 1.0, share=0.08),
    "ties": binary(60, 1.0, decimals=1),
    "two values": binary(30, 1.0, decimals=0),
    "inverted": binary(50, -2.0),
    "constant": (np.array([0, 1, 1, 0, 1]), np.full((5, 1), 0.5)),
    "all negative": (np.array([0, 1, 1, 0, 1, 1]), np.full((6, 1), 0.25)),
    "one class": (np.ones(7, int), np.linspace(0.2, 0.9, 7)[:, None]),
    "one sample": (np.array([0]), np.array([[0.75]])),
    "two columns": several(33, 2, 1.0),
    "three classes": several(90, 3, 1.0),
    "five classes": several(77, 5, 0.5),
    "absent class": several(40, 3, 1.0, classes=[0, 2]),
    "three columns, one class": several(6, 3, 1.0, classes=[1]),
    "three columns, constant": (np.array([0, 1, 2, 2]), np.tile([0.2, 0.5, 0.3], (4, 1))),
}

with open(pathlib.Path(__file__).with_suffix(".csv"), "w") as out:
    for name, (labels, p) in cases.items():
        out.write(f"case,{name.replace(',', '')},{p.shape[1]}\n")
        out.write(",".join(["labels", *map(str, labels)]) + "\n")
        out.write(",".join(["probabilities", *(repr(float(v)) for v in p.ravel())]) + "\n")
        for metric, value in figures(labels, p).items():
            out.write(f"{metric},{'' if value is None else repr(float(value))}\n")
        for metric, values in by_class(labels, p).items():
            out.write(",".join([metric, *(repr(v.item()) for v in np.asarray(values))]) + "\n")
