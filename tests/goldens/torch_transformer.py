#!/usr/bin/env python3
"""What PyTorch computes of a torch.nn.TransformerEncoder behind a linear layer and sinusoidal
positions, as files that tests/nn/transformer/torch.cpp compares with.

    torch_transformer.py     rewrites torch_transformer/ beside this file

torch_cases.py --out DIR makes a larger random set. The files are those of torch_cases.py; samples of
unequal length have their lengths as a tensor. Made with PyTorch 1.13.
"""
import pathlib

import numpy as np
import torch
from torch import nn

from torch_cases import LOSSES, Case, labels_of, loss_of, trained


def positions(T, d):
    t, i = torch.arange(T)[:, None].double(), torch.arange(d).double()
    angle = t * torch.exp(-np.log(10000.0) * (i // 2 * 2) / d)
    return torch.where(i % 2 == 0, torch.sin(angle), torch.cos(angle))


class Transformer(nn.Module):
    """With a pooling and a head `fc` where the case's configuration has a pooling."""

    def __init__(self, case):
        super().__init__()
        c = self.config = case.config
        d = c["d"]
        layer = nn.TransformerEncoderLayer(d, c["heads"], c["F"], 0.0, c["activation"], 1e-5, True,
                                           bool(c["norm_first"]))
        norm = nn.LayerNorm(d, eps=1e-5) if c["final_norm"] else None
        self.input = nn.Linear(c["I"], d)
        self.encoder = nn.TransformerEncoder(layer, c["L"], norm)
        for name, module in (("input.", self.input), ("encoder.", self.encoder)):
            case.weights(module, name, 1.3 / np.sqrt(d))
        for name, module in self.encoder.named_modules():
            if isinstance(module, nn.LayerNorm):
                weight = case.keep(f"encoder.{name}.weight",
                                   case.random.uniform(0.5, 1.5, d).astype(np.float32))
                module.weight.data.copy_(weight)
        if "pooling" in c:
            self.fc = nn.Linear(d, c["K"])
            case.weights(self.fc, "fc.", 1.0 / np.sqrt(d))

    def columns(self, x, lengths=None):
        T, B = x.shape[:2]
        h = self.input(x).transpose(0, 1) + positions(T, self.config["d"]).to(x)
        mask = torch.ones(T, T, dtype=torch.bool).triu(1) if self.config["causal"] else None
        padding = None if lengths is None else torch.arange(T)[None] >= lengths[:, None]
        return self.encoder(h, mask, padding).transpose(0, 1)

    def forward(self, x, lengths=None):
        T, B = x.shape[:2]
        y = self.columns(x, lengths)
        n = torch.full((B,), T) if lengths is None else lengths
        if self.config["pooling"] == "last":
            return self.fc(y[n - 1, torch.arange(B)])
        there = torch.arange(T)[:, None] < n[None]
        return self.fc((y * there[:, :, None]).sum(0) / n[:, None])


def lengths_of(case):
    c = case.config
    if not c["lengths"]:
        return None
    lengths = case.random.integers(1, c["T"] + 1, c["B"])
    return case.keep("lengths", lengths).long()


def parameter_gradients(case, model):
    for name, parameter in model.named_parameters():
        gradient = parameter.grad
        case.result("grad." + name, torch.zeros_like(parameter) if gradient is None else gradient)


def columns_case(random, **config):
    """The encoder alone, with a gradient into every column."""
    case = Case(random, kind="columns", **config)
    c = case.config
    lengths = lengths_of(case)
    model = Transformer(case)
    x = case.draw("x", (c["T"], c["B"], c["I"])).requires_grad_()
    y = model.columns(x, lengths)
    if lengths is not None:
        y = y * (torch.arange(c["T"])[:, None] < lengths[None])[:, :, None]
    y.backward(case.draw("dy", tuple(y.shape)))
    case.result("out.y", y)
    case.result("grad.x", x.grad)
    parameter_gradients(case, model)
    return case


def classifier_case(random, **config):
    case = Case(random, kind="classifier", **config)
    c = case.config
    lengths = lengths_of(case)
    model = Transformer(case)
    x = case.draw("x", (c["T"], c["B"], c["I"])).requires_grad_()
    labels = case.keep("labels", labels_of(random, c["loss"], c["K"], c["B"]))
    logits = model(x, lengths)
    value = loss_of(case)(logits, labels)
    value.backward()
    case.result("out.logits", logits)
    case.result("out.loss", value)
    case.result("grad.x", x.grad)
    parameter_gradients(case, model)
    return case


def training_case(random, **config):
    case = Case(random, kind="training", steps=10, weight_decay=0.05, beta1=0.8, beta2=0.99,
                eps=1e-8, **config)
    return trained(case, Transformer(case))


def sizes(I, d, heads, F, L, T, B):
    return dict(I=I, d=d, heads=heads, F=F, L=L, T=T, B=B)


def options(activation="relu", norm_first=0, causal=0, final_norm=0, lengths=0):
    return dict(activation=activation, norm_first=norm_first, causal=causal, final_norm=final_norm,
                lengths=lengths)


def head(random, pooling):
    loss, K = LOSSES[int(random.integers(len(LOSSES)))]
    return dict(pooling=pooling, loss=loss, K=K)


def committed(directory, random):
    cases = [(sizes(1, 1, 1, 1, 1, 1, 1), options()), (sizes(3, 6, 2, 5, 2, 4, 2), options("gelu")),
             (sizes(2, 9, 3, 7, 1, 6, 3), options("relu", 1, 1)),
             (sizes(4, 8, 8, 11, 2, 5, 2), options("gelu", 1, 0, 1)),
             (sizes(2, 5, 1, 3, 3, 7, 4), options("gelu", 0, 1, 1, 1)),
             (sizes(3, 4, 2, 6, 2, 9, 5), options("relu", 1, 0, 0, 1)),
             (sizes(3, 36, 4, 35, 1, 18, 2), options("relu", 0, 0, 0, 0))]
    for n, (size, how) in enumerate(cases):
        columns_case(random, **size, **how).write(directory, f"columns_{n:03}")
        if n < 6:
            for pooling in ("last", "mean"):
                classifier_case(random, **size, **how, **head(random, pooling)).write(
                    directory, f"classifier_{n:03}_{pooling}")
    training_case(random, **sizes(3, 6, 2, 5, 2, 5, 6), **options("gelu"), pooling="last",
                  loss="bce", K=1, decay_biases=1).write(directory, "training_000")
    training_case(random, **sizes(3, 6, 3, 5, 1, 5, 6), **options("relu", 1, 1, 1), pooling="mean",
                  loss="ce", K=3, decay_biases=0).write(directory, "training_001")


def live(directory, random):
    """Every choice of activation, order of norms, causality and lengths, each with random sizes."""
    def drawn(top):
        kind = random.integers(6)
        return 1 if kind == 0 else top if kind == 1 else int(round(top ** random.uniform(0, 1)))

    count = 0
    for activation in ("relu", "gelu"):
        for norm_first in (0, 1):
            for causal in (0, 1):
                for lengths in (0, 1):
                    for L in (1, 2, 3):
                        how = options(activation, norm_first, causal, int(random.integers(2)), lengths)
                        heads = int(random.integers(1, 9))
                        # Of one value a layer norm is 0, and PyTorch's gradients are roundings.
                        d = max(2, heads * drawn(9))
                        size = sizes(drawn(20), d, heads if d % heads == 0 else 1, drawn(70), L,
                                     drawn(60), drawn(33 if L < 3 else 5))
                        columns_case(random, **size, **how).write(
                            directory, f"transformer_columns_{count:03}")
                        classifier_case(random, **size, **how, **head(
                            random, ("last", "mean")[count % 2])).write(
                                directory, f"transformer_classifier_{count:03}")
                        if count % 6 == 0:
                            size["B"] += 1
                            training_case(random, **size, **(how | {"lengths": 0}),
                                          **head(random, ("last", "mean")[count // 6 % 2]),
                                          decay_biases=count // 6 % 2).write(
                                              directory, f"transformer_training_{count:03}")
                        count += 1


def main():
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    directory = pathlib.Path(__file__).resolve().parent / "torch_transformer"
    directory.mkdir(exist_ok=True)
    for old in directory.glob("*.safetensors"):
        old.unlink()
    committed(directory, np.random.default_rng(0))


if __name__ == "__main__":
    main()
