#!/usr/bin/env python3
"""Writes task_losses.csv: PyTorch's values and gradients of the losses of numbers and quantiles.

Run: task_losses.py [OUT.csv], with a python that has torch (Debian: python3-torch).
A row is name, K targets, Q outputs a target, then blocks joined by ';': parameter or levels, mean and
scale of each target, outputs [n][K][Q], targets [n][K], the loss, its gradient by outputs.
"""
import pathlib
import sys

import torch

torch.manual_seed(20)
double = torch.float64


def text(values):
    return ';'.join(repr(float(v)) for v in torch.as_tensor(values, dtype=double).flatten())


def quantiles(x):
    """[n][K][Q] outputs: the middle one is free, the others are distances to their neighbour."""
    m = (x.shape[-1] - 1) // 2
    steps = torch.nn.functional.softplus(x)
    up = x[..., m:m + 1] + torch.cumsum(steps[..., m + 1:], -1)
    down = x[..., m:m + 1] - torch.flip(torch.cumsum(torch.flip(steps[..., :m], [-1]), -1), [-1])
    return torch.cat([down, x[..., m:m + 1], up], -1)


def row(name, parameter, K, Q, n, loss_of):
    mean = torch.randn(K, dtype=double) * 100
    scale = torch.rand(K, dtype=double) * 10 + 0.1
    x = (2 * torch.randn(n, K, Q, dtype=double)).requires_grad_()
    y = mean + scale * torch.randn(n, K, dtype=double)
    loss = loss_of(x, (y - mean) / scale)
    loss.backward()
    return ','.join([name, str(K), str(Q), text(parameter), text(mean), text(scale), text(x.detach()),
                     text(y), text(loss.detach()), text(x.grad)])


def pinball(levels):
    q = torch.tensor(levels, dtype=double)

    def loss(x, y):
        e = y[..., None] - quantiles(x)
        return torch.maximum(q * e, (q - 1) * e).mean()
    return loss


def numbers(loss):
    return lambda x, y: loss(x[..., 0], y)


lines = ['name,targets,outputs,parameter,mean,scale,x,y,loss,gradient']
for n, K in [(1, 1), (7, 1), (5, 3)]:
    lines.append(row('mse', [0.0], K, 1, n, numbers(torch.nn.MSELoss())))
    lines.append(row('mae', [0.0], K, 1, n, numbers(torch.nn.L1Loss())))
    for delta in [0.3, 1.0, 2.5]:
        lines.append(row('huber', [delta], K, 1, n, numbers(torch.nn.HuberLoss(delta=delta))))
    for levels in [[0.5], [0.1, 0.9], [0.1, 0.5, 0.9], [0.01, 0.2, 0.35, 0.6, 0.8, 0.99]]:
        lines.append(row('quantiles', levels, K, len(levels), n, pinball(levels)))
out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).with_suffix('.csv'))
out.write_text('\n'.join(lines) + '\n')
