#!/usr/bin/env python3
"""State dicts between tsdl and PyTorch; tests/io/state_dict.cpp runs this.

    state_dict.py exchange DIR [--seed N]  checks what tsdl wrote, all of DIR/ours and not one of
                                           DIR/wrong, and writes networks of torch's into DIR/theirs
    state_dict.py --committed              rewrites the goldens beside this file, in
                                           state_dict/CELL_LAYERS_DIRECTIONS/ and, for
                                           tests/io/state_dict_transformer.cpp, transformer_*/

Files go the way that a user's go: torch.save and examples/pth_to_safetensors.py there,
examples/safetensors_to_pth.py and torch.load back, load_state_dict strict.

What is exchanged is one directory a network: weights.safetensors, a state dict, or
model.safetensors, a model file of tsdl's; and windows.safetensors. That holds `x`, N x T x I, and
beside a state dict what the recurrent layers and the whole make of it in float32, `outputs`,
N x T x D*H, and `logits`, N x K, with sizes as its metadata (of a Transformer in float64); beside a model file `probabilities`,
N x K. Made with PyTorch 1.13.
"""
import argparse
import contextlib
import io
import json
import pathlib
import runpy
import struct
import sys

import numpy as np
import torch
from torch import nn

from torch_cases import CELLS, write_safetensors
from torch_transformer import positions

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"


def convert(script, source, target):
    """Runs one of the example scripts; what it said."""
    arguments, sys.argv = sys.argv, [script, str(source), str(target)]
    with contextlib.redirect_stderr(io.StringIO()) as said:
        runpy.run_path(str(EXAMPLES / script), run_name="__main__")
    sys.argv = arguments
    return said.getvalue()


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
    """What a model file of tsdl's says that it is."""

    def __init__(self, config):
        super().__init__()
        self.pooling, self.cell = config["pooling"], config["kind"].removeprefix("bi")
        directions = 2 if config["kind"].startswith("bi") else 1
        inputs, hidden = config["input_size"], config["hidden_size"]
        if config.get("input_projection"):
            self.input = nn.Linear(inputs, hidden)
            inputs = hidden
        self.add_module(self.cell, CELLS[self.cell](
            inputs, hidden, config["num_layers"], batch_first=True,
            bidirectional=directions == 2))
        width = directions * hidden
        if self.pooling == "attention":
            self.attention = nn.Linear(width, config["attention_size"])
            self.score = nn.Linear(config["attention_size"], 1, bias=False)
            width *= 2
        self.fc = nn.Linear(width, config["outputs"])

    def forward(self, x):
        layers = getattr(self, self.cell)
        if hasattr(self, "input"):
            x = torch.tanh(self.input(x))
        out, last = layers(x)
        h_n = last[0] if self.cell == "lstm" else last
        if self.pooling == "last":
            pooled = out[:, -1, :]
        elif self.pooling == "mean":
            pooled = out.mean(dim=1)
        elif self.pooling == "attention":
            weights = torch.softmax(self.score(torch.tanh(self.attention(out))), dim=1)
            pooled = torch.cat([out[:, -1, :], (weights * out).sum(dim=1)], dim=1)
        elif layers.bidirectional:
            pooled = torch.cat([h_n[-2], h_n[-1]], dim=1)
        else:
            pooled = h_n[-1]
        logits = self.fc(pooled)
        return torch.sigmoid(logits) if logits.shape[1] == 1 else torch.softmax(logits, dim=1)


class Network(nn.Module):
    """Somebody's network: other names than ours."""

    def __init__(self, sizes):
        super().__init__()
        I, H, L, D, K = (int(sizes[name]) for name in "IHLDK")
        self.encoder = nn.Module()
        self.encoder.rnn = CELLS[sizes["cell"]](I, H, L, batch_first=True, bidirectional=D == 2)
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(D * H, K))

    def forward(self, x):
        outputs, _ = self.encoder.rnn(x)
        return outputs, self.head(outputs[:, -1, :])


class Attends(nn.Module):
    """Somebody's network with a Transformer, with other names than ours."""

    def __init__(self, sizes):
        super().__init__()
        I, H, L, K = (sizes[name] for name in "IHLK")
        layer = nn.TransformerEncoderLayer(H, sizes["heads"], sizes["F"], 0.0, sizes["activation"],
                                           batch_first=True, norm_first=bool(sizes["norm_first"]))
        self.causal = sizes["causal"]
        self.embed = nn.Linear(I, H)
        self.blocks = nn.TransformerEncoder(layer, L,
                                            nn.LayerNorm(H) if sizes["final_norm"] else None)
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(H, K))

    def forward(self, x):
        T, H = x.shape[1], self.embed.out_features
        mask = torch.ones(T, T, dtype=torch.bool).triu(1) if self.causal else None
        outputs = self.blocks(self.embed(x) + positions(T, H).to(x), mask)
        return outputs, self.head(outputs[:, -1, :])


def difference(computed, expected):
    if computed.shape != expected.shape or expected.size == 0:
        return np.inf
    return np.abs(computed.numpy() - expected).max()


def fault(directory):
    """What is wrong with a network that tsdl wrote, if anything."""
    windows, sizes = read_safetensors(directory / "windows.safetensors")
    x = torch.tensor(windows["x"])
    is_model = (directory / "model.safetensors").exists()
    file = directory / ("model" if is_model else "weights")
    convert("safetensors_to_pth.py", file.with_suffix(".safetensors"), file.with_suffix(".pth"))
    state = torch.load(file.with_suffix(".pth"))
    with torch.no_grad():
        if is_model:
            _, metadata = read_safetensors(file.with_suffix(".safetensors"))
            model = Classifier(json.loads(metadata["tsdl.model"])).double().eval()
            model.load_state_dict(state, strict=True)
            error = difference(model(x.double()), windows["probabilities"])
            return f"predictions differ by {error}" if not error <= 1e-6 else None
        model = Network(sizes).eval()
        model.load_state_dict(state, strict=True)
        for name, value in zip(("outputs", "logits"), model(x)):
            error = difference(value, windows[name])
            if not error <= 2e-6 * max(1, np.abs(windows[name]).max()):
                return f"{name} differ by {error}"
    return None


def write(directory, random, sizes, weights=torch.float32, wrap=False):
    """A network with weights of a float type, in a checkpoint if it is to be wrapped."""
    torch.manual_seed(int(random.integers(1 << 30)))
    model = Network(sizes).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            # Twice as large as they are at first, so that outputs are not all near zero.
            parameter.copy_((2 * parameter).to(weights).to(torch.float32))
        x = torch.randn(sizes["N"], sizes["T"], sizes["I"])
        outputs, logits = model(x)
    directory.mkdir(parents=True, exist_ok=True)
    state = model.to(weights).state_dict()
    if wrap:
        state["head.steps"] = torch.tensor(3)  # an integer, which is to be left out
        state = {"epoch": 7, "state_dict": state}
    save(directory, state, x, outputs, logits, sizes,
         "head.steps: left out, it is torch.int64\n" if wrap else "")


def save(directory, state, x, outputs, logits, sizes, expected=""):
    """Both files, by way of torch.save and the script, which must say what is expected."""
    torch.save(state, directory / "weights.pth")
    said = convert("pth_to_safetensors.py", directory / "weights.pth",
                   directory / "weights.safetensors")
    if said != expected:
        sys.exit(f"pth_to_safetensors.py said: {said}")
    write_safetensors(directory / "windows.safetensors",
                      {"x": x.numpy(), "outputs": outputs.numpy(), "logits": logits.numpy()},
                      {name: str(value) for name, value in sizes.items()})


def write_transformer(directory, random, sizes):
    """In float64, with biases and norms unlike those of a network that was not trained."""
    torch.manual_seed(int(random.integers(1 << 30)))
    model = Attends(sizes).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        x = torch.randn(sizes["N"], sizes["T"], sizes["I"], dtype=torch.float64)
        outputs, logits = model(x)
    directory.mkdir(parents=True, exist_ok=True)
    save(directory, model.state_dict(), x, outputs, logits, sizes)


def architectures():
    for cell in CELLS:
        for layers in (1, 2, 3):
            for directions in (1, 2):
                yield f"{cell}_{layers}_{directions}", {"cell": cell, "L": layers, "D": directions}


def transformers():
    base = {"cell": "transformer", "I": 2, "H": 8, "L": 2, "K": 2, "N": 4, "T": 5}
    yield "transformer_after", base | {"heads": 2, "F": 5, "activation": "gelu", "norm_first": 0,
                                       "causal": 0, "final_norm": 0}
    yield "transformer_first", base | {"heads": 4, "F": 7, "activation": "relu", "norm_first": 1,
                                       "causal": 1, "final_norm": 1}


def exchange(directory, random):
    ours, wrong = (sorted((directory / name).iterdir()) for name in ("ours", "wrong"))
    faults = [f"{path}: {what}" for path in ours if (what := fault(path))]
    faults += [f"{path}: nothing was noticed" for path in wrong if not fault(path)]
    if faults or not ours or not wrong:
        sys.exit("\n".join(faults) or f"{directory}: nothing to check")
    types = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
    for n, (name, sizes) in enumerate(architectures()):
        drawn = {key: int(random.integers(1, most))
                 for key, most in (("I", 24), ("H", 40), ("K", 5), ("N", 20), ("T", 30))}
        write(directory / "theirs" / name, random, sizes | drawn, types[n % 4], wrap=n % 3 == 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--committed", action="store_true", help="rewrite the committed goldens")
    parser.add_argument("command", nargs="?", choices=["exchange"])
    parser.add_argument("path", nargs="?", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.committed == (options.path is not None):
        parser.error("give either exchange DIR or --committed")
    torch.set_num_threads(1)
    random = np.random.default_rng(options.seed)
    if options.path:
        exchange(options.path, random)
        return
    for name, sizes in architectures():
        directory = pathlib.Path(__file__).resolve().parent / "state_dict" / name
        write(directory, random, sizes | {"I": 2, "H": 3, "K": 2, "N": 4, "T": 5})
        (directory / "weights.pth").unlink()
    for name, sizes in transformers():
        directory = pathlib.Path(__file__).resolve().parent / "state_dict" / name
        write_transformer(directory, random, sizes)
        (directory / "weights.pth").unlink()


if __name__ == "__main__":
    main()
