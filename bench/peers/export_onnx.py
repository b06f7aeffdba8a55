#!/usr/bin/env python3
"""Writes the networks of the contest as ONNX files, with the weights that work.hpp gives them.

Run: export_onnx.py DIRECTORY, with Debian's python3-torch. A file has fixed sizes: a network with a
batch of 32 (a.onnx) and of 1 (a_1.onnx), and one step of a stream for each H (stream_8.onnx), which
takes and gives h and c.
"""
import math
import pathlib
import sys

import numpy as np
import torch
from torch import nn

NETWORKS = {  # inputs, hidden, layers, bidirectional, steps, outputs
    "a": (nn.LSTM, 86, 128, 2, True, 50, 1),
    "b": (nn.LSTM, 23, 64, 2, False, 60, 3),
    "g": (nn.GRU, 23, 64, 2, False, 60, 3),
}
TRANSFORMERS = {  # inputs, d, heads, feed-forward, layers, steps, outputs, mean
    "t": (23, 64, 4, 128, 2, 60, 3, False),
    "tm": (23, 64, 4, 128, 2, 60, 3, True),
}
STREAMS = [8, 16, 32, 64, 128]
MASK = np.uint64(0xffffffff)


def numbers(stream, count, scale):
    """As number() of work.hpp."""
    x = (np.uint64(stream * 0x9e3779b9 % 2**32) + np.arange(count, dtype=np.uint64)) & MASK
    x = ((x ^ (x >> np.uint64(16))) * np.uint64(0x7feb352d)) & MASK
    x = ((x ^ (x >> np.uint64(15))) * np.uint64(0x846ca68b)) & MASK
    x ^= x >> np.uint64(16)
    return (x.astype(np.uint32).view(np.int32) / 2**31 * scale).astype(np.float32)


def load(modules, hidden):
    parameters = [parameter for module in modules for parameter in module.parameters()]
    about_one = {id(norm.weight) for module in modules for norm in module.modules()
                 if isinstance(norm, nn.LayerNorm)}
    with torch.no_grad():
        for i, parameter in enumerate(parameters):
            values = numbers(i + 1, parameter.numel(), 1 / math.sqrt(hidden))
            if id(parameter) in about_one:
                values += np.float32(1)
            parameter.copy_(torch.from_numpy(values).reshape(parameter.shape))


class Classifier(nn.Module):
    def __init__(self, cell, inputs, hidden, layers, bidirectional, outputs):
        super().__init__()
        self.recurrent = cell(inputs, hidden, layers, bidirectional=bidirectional)
        self.fc = nn.Linear(hidden * (2 if bidirectional else 1), outputs)
        load([self.recurrent, self.fc], hidden)

    def forward(self, x):
        return self.fc(self.recurrent(x)[0][-1])


class Attention(torch.autograd.Function):
    """All heads' softmax(q k^T / sqrt(s)) v, which ONNX Runtime has as one operator."""
    @staticmethod
    def forward(ctx, x, weight, bias, heads):
        return torch.zeros_like(x)

    @staticmethod
    def symbolic(g, x, weight, bias, heads):
        return g.op("com.microsoft::Attention", x, weight, bias, num_heads_i=heads)


class AddAndNorm(torch.autograd.Function):
    """The layer norm of x + y + bias, which ONNX Runtime has as one operator."""
    @staticmethod
    def forward(ctx, x, y, gamma, beta, bias):
        return torch.zeros_like(x)

    @staticmethod
    def symbolic(g, x, y, gamma, beta, bias):
        return g.op("com.microsoft::SkipLayerNormalization", x, y, gamma, beta, bias, epsilon_f=1e-5)


class Transformer(nn.Module):
    """For windows [batch][steps][inputs]: some 5% faster than PyTorch's own module exported, and the
    same numbers."""
    def __init__(self, inputs, d, heads, feed_forward, layers, steps, outputs, mean):
        super().__init__()
        self.heads, self.mean = heads, mean
        self.input = nn.Linear(inputs, d)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(d, heads, feed_forward), layers)
        self.fc = nn.Linear(d, outputs)
        load([self.input, self.encoder, self.fc], d)
        exponents = torch.arange(d, dtype=torch.float64) // 2 * 2 / d
        angles = torch.arange(steps)[:, None] * torch.exp(-math.log(10000) * exponents)
        even = torch.arange(d) % 2 == 0
        self.positions = torch.where(even, torch.sin(angles), torch.cos(angles)).float()

    def forward(self, x):
        h = self.input(x) + self.positions
        for layer in self.encoder.layers:
            attention = layer.self_attn
            a = Attention.apply(h, attention.in_proj_weight.t(), attention.in_proj_bias, self.heads)
            a = torch.matmul(a, attention.out_proj.weight.t())
            h = AddAndNorm.apply(a, h, layer.norm1.weight, layer.norm1.bias, attention.out_proj.bias)
            f = torch.matmul(torch.relu(layer.linear1(h)), layer.linear2.weight.t())
            h = AddAndNorm.apply(f, h, layer.norm2.weight, layer.norm2.bias, layer.linear2.bias)
        return self.fc(h.mean(1) if self.mean else h[:, -1])


class Step(nn.Module):
    def __init__(self, inputs, hidden):
        super().__init__()
        self.lstm = nn.LSTM(inputs, hidden)
        load([self.lstm], hidden)

    def forward(self, x, h, c):
        _, (h, c) = self.lstm(x, (h, c))
        return h, c


def export(module, inputs, path, input_names, output_names, **options):
    torch.onnx.export(module.eval(), inputs, path, input_names=input_names,
                      output_names=output_names, opset_version=14, **options)


def main():
    directory = pathlib.Path(sys.argv[1])
    for name, (cell, inputs, hidden, layers, bidirectional, steps, outputs) in NETWORKS.items():
        network = Classifier(cell, inputs, hidden, layers, bidirectional, outputs)
        for batch, file in [(32, f"{name}.onnx"), (1, f"{name}_1.onnx")]:
            x = torch.zeros(steps, batch, inputs)
            export(network, (x,), str(directory / file), ["x"], ["logits"])
    for name, sizes in TRANSFORMERS.items():
        for batch, file in [(32, f"{name}.onnx"), (1, f"{name}_1.onnx")]:
            x = torch.zeros(batch, sizes[5], sizes[0])
            export(Transformer(*sizes), (x,), str(directory / file), ["x"], ["logits"],
                   custom_opsets={"com.microsoft": 1})
    for hidden in STREAMS:
        state = torch.zeros(1, 1, hidden)
        export(Step(23, hidden), (torch.zeros(1, 1, 23), state, state),
               str(directory / f"stream_{hidden}.onnx"), ["x", "h", "c"], ["h_next", "c_next"])


if __name__ == "__main__":
    main()
