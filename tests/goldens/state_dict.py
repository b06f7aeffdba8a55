#!/usr/bin/env python3
"""State dicts between tsdl and PyTorch; tests/io/checkpoint_state_dict.cpp runs this.

    state_dict.py check DIR ...            loads DIR/model.safetensors, a model file of tsdl's, into
                                           torch, strictly, and compares its predictions with those
                                           in DIR/windows.safetensors to 1e-6
    state_dict.py write DIR [--kind KIND] [--seed N]
                                           writes DIR/weights.safetensors, a state_dict of torch's,
                                           and DIR/windows.safetensors
    state_dict.py --committed              rewrites the goldens beside this file, in
                                           state_dict/KIND/

windows.safetensors holds `x`, N x T x I, and `probabilities`, N x K. Made with PyTorch 1.13.
"""
import argparse
import json
import pathlib
import struct
import sys

import numpy as np
import torch
from torch import nn

from torch_cases import CELLS, write_safetensors


def read_safetensors(path):
    """Tensors by name, and the metadata."""
    data = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        values = np.frombuffer(data[8 + length + begin:8 + length + end],
                               dtype={"F32": "<f4", "F64": "<f8"}[entry["dtype"]])
        tensors[name] = values.reshape(entry["shape"])
    return tensors, metadata


class Classifier(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.pooling, self.cell = config["pooling"], config["kind"].removeprefix("bi")
        directions = 2 if config["kind"].startswith("bi") else 1
        self.add_module(self.cell, CELLS[self.cell](
            config["input_size"], config["hidden_size"], config["num_layers"], batch_first=True,
            bidirectional=directions == 2))
        self.fc = nn.Linear(directions * config["hidden_size"], config["outputs"])

    def forward(self, x):
        layers = getattr(self, self.cell)
        out, last = layers(x)
        h_n = last[0] if self.cell == "lstm" else last
        if self.pooling == "last":
            pooled = out[:, -1, :]
        elif self.pooling == "mean":
            pooled = out.mean(dim=1)
        elif layers.bidirectional:
            pooled = torch.cat([h_n[-2], h_n[-1]], dim=1)
        else:
            pooled = h_n[-1]
        logits = self.fc(pooled)
        return torch.sigmoid(logits) if logits.shape[1] == 1 else torch.softmax(logits, dim=1)


def check(directory):
    weights, metadata = read_safetensors(directory / "model.safetensors")
    windows, _ = read_safetensors(directory / "windows.safetensors")
    model = Classifier(json.loads(metadata["tsdl.model"])).double().eval()
    model.load_state_dict({name: torch.tensor(value) for name, value in weights.items()},
                          strict=True)
    with torch.no_grad():
        predicted = model(torch.tensor(windows["x"], dtype=torch.float64)).numpy()
    expected = windows["probabilities"]
    if predicted.shape != expected.shape or expected.size == 0:
        sys.exit(f"{directory}: shapes {predicted.shape} and {expected.shape}")
    error = np.abs(predicted - expected).max()
    if not error <= 1e-6:
        sys.exit(f"{directory}: predictions differ by {error}")


def write(directory, kind, seed):
    """A fixed architecture, which the C++ side repeats."""
    torch.manual_seed(seed)
    model = Classifier({"kind": kind, "input_size": 3, "hidden_size": 5, "num_layers": 2,
                        "outputs": 2, "pooling": "last"})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)  # so that predictions are not all near one half
    x = torch.randn(9, 7, 3)
    with torch.no_grad():
        probabilities = model(x).numpy()
    directory.mkdir(parents=True, exist_ok=True)
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    write_safetensors(directory / "weights.safetensors", state, {"format": "pt"})
    write_safetensors(directory / "windows.safetensors",
                      {"x": x.numpy(), "probabilities": probabilities}, {})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--committed", action="store_true", help="rewrite the committed golden")
    parser.add_argument("command", nargs="?", choices=["check", "write"])
    parser.add_argument("paths", nargs="*", type=pathlib.Path)
    parser.add_argument("--kind", default="bilstm", choices=["lstm", "gru", "bilstm", "bigru"])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.committed:
        for kind in ("bilstm", "bigru"):
            write(pathlib.Path(__file__).resolve().parent / "state_dict" / kind, kind, options.seed)
    elif options.command == "check" and options.paths:
        for path in options.paths:
            check(path)
    elif options.command == "write" and len(options.paths) == 1:
        write(options.paths[0], options.kind, options.seed)
    else:
        parser.error("give check DIR ..., write DIR or --committed")


if __name__ == "__main__":
    main()
