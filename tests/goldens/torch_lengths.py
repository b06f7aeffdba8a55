#!/usr/bin/env python3
"""What PyTorch computes of samples of unequal length, as files that tests/nn/recurrent/lengths.cpp
compares with: pack_padded_sequence, an nn.LSTM or nn.GRU, pad_packed_sequence.

    torch_lengths.py     rewrites torch_lengths/ beside this file

The files are those of torch_cases.py, with the lengths as a tensor. Made with PyTorch 1.13.
"""
import pathlib

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from torch_cases import CELLS, POOLINGS, Case, Classifier, layers_of, loss_of

T, I = 7, 3
LENGTHS = [7, 1, 4, 6, 2, 5]  # of B = 6 samples, not sorted


def run(layers, x, lengths, state=None):
    packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
    y, last = layers(packed, state)
    return pad_packed_sequence(y, total_length=len(x))[0], last


def layers_case(random, cell, L, D, H):
    B = len(LENGTHS)
    case = Case(random, cell=cell, L=L, D=D, I=I, H=H, T=T, B=B)
    lengths = case.keep("lengths", np.array(LENGTHS)).long()
    layers = layers_of(case)
    x = case.draw("x", (T, B, I)).requires_grad_()
    states = ("h", "c") if cell == "lstm" else ("h",)
    first = [case.draw(s + "0", (L * D, B, H), 0.5).requires_grad_() for s in states]
    y, last = run(layers, x, lengths, tuple(first) if cell == "lstm" else first[0])
    last = last if cell == "lstm" else (last,)
    outputs = [("y", y)] + [(s + "_n", value) for s, value in zip(states, last)]
    upstream = [case.draw("d" + name, tuple(out.shape)) for name, out in outputs]
    torch.autograd.backward([out for _, out in outputs], upstream)
    for name, value in outputs:
        case.result("out." + name, value)
    case.result("grad.x", x.grad)
    for s, value in zip(states, first):
        case.result(f"grad.{s}0", value.grad)
    for name, parameter in layers.named_parameters():
        case.result(f"grad.{cell}.{name}", parameter.grad)
    return case


def classifier_case(random, cell, L, D, H, pooling, **more):
    B, K = len(LENGTHS), 3
    case = Case(random, cell=cell, L=L, D=D, I=I, H=H, T=T, B=B, K=K, pooling=pooling, loss="ce",
                **more)
    lengths = case.keep("lengths", np.array(LENGTHS)).long()
    model = Classifier(case)
    x = case.draw("x", (T, B, I)).requires_grad_()
    labels = case.keep("labels", random.integers(0, K, B).astype(np.float32))
    out, last = run(getattr(model, cell), model.project(x), lengths)
    if pooling == "last":
        pooled = out[lengths - 1, torch.arange(B)]
    elif pooling == "mean":
        pooled = out.sum(0) / lengths[:, None]
    elif pooling == "attention":
        pooled = torch.cat([out[lengths - 1, torch.arange(B)], model.attend(out, lengths)], dim=1)
    else:
        h_n = last[0] if cell == "lstm" else last
        pooled = torch.cat(list(h_n[-D:]), dim=1)
    logits = model.fc(pooled)
    value = loss_of(case)(logits, labels)
    value.backward()
    case.result("out.logits", logits)
    case.result("out.loss", value)
    case.result("grad.x", x.grad)
    for name, parameter in model.named_parameters():
        case.result("grad." + name, parameter.grad)
    return case


def main():
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    directory = pathlib.Path(__file__).resolve().parent / "torch_lengths"
    directory.mkdir(exist_ok=True)
    random = np.random.default_rng(0)
    for cell in CELLS:
        for L, D in [(1, 1), (1, 2), (2, 1), (2, 2)]:
            layers_case(random, cell, L, D, 5).write(directory, f"layers_{cell}_{L}{D}")
            for pooling in POOLINGS:
                classifier_case(random, cell, L, D, 3, pooling).write(
                    directory, f"classifier_{cell}_{L}{D}_{pooling}")
    random = np.random.default_rng(1)
    for cell in CELLS:
        for L, D, projection in [(1, 1, 1), (1, 2, 0), (2, 1, 0), (2, 2, 1)]:
            classifier_case(random, cell, L, D, 3, "attention", A=2, projection=projection).write(
                directory, f"classifier_{cell}_{L}{D}_attention")


if __name__ == "__main__":
    main()
