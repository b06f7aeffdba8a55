#!/usr/bin/env python3
"""Integrated gradients by their definition, as safetensors files that
tests/explain/integrated_gradients.cpp compares with.

Rewrites the set in integrated_gradients/ beside this file. One file is one case: a classifier of
torch_cases.py or torch_transformer.py in double, a window, a baseline, and for each output the attributions at the nodes of
numpy.polynomial.legendre.leggauss. nodes.safetensors holds such nodes. Made with PyTorch 1.13 and
NumPy 1.24.
"""
import pathlib

import numpy as np
import torch
from torch_cases import Case, Classifier
from torch_transformer import Transformer

STEPS = 50


def rule(n):
    """The Gauss-Legendre rule on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(n)
    return (1 + nodes) / 2, weights / 2


def attributions(model, x, baseline, k):
    nodes, weights = rule(STEPS)
    total = torch.zeros_like(x)
    for node, weight in zip(nodes, weights):
        inputs = (baseline + node * (x - baseline)).requires_grad_()
        model(inputs)[0, k].backward()
        total += weight * inputs.grad
    return (x - baseline) * total


def case_of(random, network, **config):
    case = Case(random, steps=STEPS, **config)
    model = network(case)
    shape = (config["T"], 1, config["I"])
    x, baseline = case.draw("x", shape), case.draw("baseline", shape)
    case.result("out.y", torch.stack([model(x)[0], model(baseline)[0]]))
    for k in range(config["K"]):
        case.result(f"out.attributions_{k}", attributions(model, x, baseline, k))
    return case


def main():
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    directory = pathlib.Path(__file__).resolve().parent / "integrated_gradients"
    directory.mkdir(exist_ok=True)
    random = np.random.default_rng(5)
    nodes = Case(random)
    for n in (1, 2, 3, 20, 50, 51, 200):
        for name, values in zip(("nodes", "weights"), rule(n)):
            nodes.result(f"{name}_{n}", torch.tensor(values))
    nodes.write(directory, "nodes")
    for cell, D, pooling, L in (("lstm", 1, "last", 2), ("gru", 1, "mean", 1), ("lstm", 2, "last", 2),
                                ("gru", 2, "final", 1)):
        config = dict(kind="classifier", cell=cell, L=L, D=D, I=3, H=5, T=7, B=1, K=2, pooling=pooling)
        case_of(random, Classifier, **config).write(directory, ("bi" if D == 2 else "") + cell)
    # With gelu, which is smooth: a rule of few nodes misses the bends of relu.
    for name, options in (("transformer", dict(norm_first=0, causal=0, final_norm=0, pooling="last")),
                          ("transformer_mean", dict(norm_first=1, causal=1, final_norm=1, pooling="mean"))):
        config = dict(kind="classifier", I=3, d=8, heads=2, F=12, L=2, T=7, B=1, K=2, activation="gelu",
                      **options)
        case_of(random, Transformer, **config).write(directory, name)


if __name__ == "__main__":
    main()
