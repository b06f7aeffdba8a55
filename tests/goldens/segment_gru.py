#!/usr/bin/env python3
"""What PyTorch computes of a SegRNN, as safetensors files that tests/nn/segment_gru.cpp compares with.

Rewrites the set in segment_gru/ beside this file. One file is one case: outputs and every gradient of
one pass, then the losses and parameters of some steps of AdamW. Numbers as in torch_cases.py. Made
with PyTorch 1.13.
"""
import pathlib

import numpy as np
import torch
from torch import nn
from torch_cases import Case


class SegRNN(nn.Module):
    """As in the repository of Lin et al. 2023, one channel a sample; Q numbers a step."""

    def __init__(self, case):
        super().__init__()
        c = self.c = case.config
        C, w, H, d, Q = (c[name] for name in "CwHdQ")
        self.embed = nn.Linear(w, d)
        self.gru = nn.GRU(d, d, batch_first=True)
        self.position = nn.Parameter(torch.empty(H // w, d // 2))
        self.channel = nn.Parameter(torch.empty(C, d // 2))
        self.predict = nn.Linear(d, w * Q)
        case.weights(self, "", 1.0)

    def forward(self, x):  # T x B x C
        C, T, w, H, d, Q = (self.c[name] for name in "CTwHdQ")
        x = x.permute(1, 2, 0)  # B x C x T
        if self.c["normalise"] == "last":
            x = x - x[:, :, -1:]
        elif self.c["normalise"] == "instance":
            variance = x.var(-1, unbiased=False, keepdim=True)
            x = (x - x.mean(-1, keepdim=True)) / torch.sqrt(variance + 1e-5)
        B, M = len(x), H // w
        h = self.gru(torch.relu(self.embed(x.reshape(B * C, T // w, w))))[1]  # 1 x BC x d
        inputs = torch.cat([self.position.unsqueeze(0).repeat(C, 1, 1),
                            self.channel.unsqueeze(1).repeat(1, M, 1)], dim=-1).view(-1, 1, d)
        states = self.gru(inputs.repeat(B, 1, 1), h.repeat(1, 1, M).view(1, -1, d))[1]
        y = self.predict(states).view(B, C, M * w, Q)
        return y.permute(0, 2, 1, 3).reshape(B, H * C * Q)


def case_of(random, steps=5, rate=0.01, **config):
    case = Case(random, steps=steps, rate=rate, **config)
    model = SegRNN(case)
    C, T, B, H, Q = (config[name] for name in "CTBHQ")
    x = case.draw("x", (T, B, C))
    y = model(x)
    y.backward(case.draw("dy", (B, H * C * Q)))
    case.result("out.y", y)
    for name, parameter in model.named_parameters():
        case.result("grad." + name, parameter.grad.clone())
    xs, targets = case.draw("xs", (steps, T, B, C)), case.draw("targets", (steps, B, H * C * Q))
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.02)
    losses = []
    for x, target in zip(xs, targets):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    case.result("out.losses", torch.stack(losses))
    for name, parameter in model.named_parameters():
        case.result("final." + name, parameter)
    return case


def main():
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    directory = pathlib.Path(__file__).resolve().parent / "segment_gru"
    directory.mkdir(exist_ok=True)
    random = np.random.default_rng(3)
    cases = {
        "last": dict(C=3, T=12, w=4, H=8, d=6, Q=1, B=5, normalise="last"),
        "numbers": dict(C=3, T=12, w=4, H=8, d=10, Q=3, B=4, normalise="instance"),
        "one": dict(C=1, T=4, w=4, H=4, d=8, Q=1, B=1, normalise="none"),
        "wide": dict(C=2, T=6, w=3, H=9, d=38, Q=1, B=37, normalise="last"),
    }
    for name, config in cases.items():
        case_of(random, **config).write(directory, name)


if __name__ == "__main__":
    main()
