#!/usr/bin/env python3
"""What PyTorch computes, as safetensors files that tests/nn/torch.cpp compares with; the random set
holds those of torch_transformer.py too.

    torch_cases.py --committed             rewrites the small set beside this file, in torch/
    torch_cases.py --out DIR [--seed N]    a larger random set for TSDL_TORCH_CASES=DIR

One file is one case: its configuration stands in the metadata, its inputs as F32, what PyTorch made
of them in double as F64. Inputs are drawn as float32, so a float and a double library read the same
numbers. Made with PyTorch 1.13.
"""
import argparse
import json
import pathlib
import struct

import numpy as np
import torch
from torch import nn


def write_safetensors(path, tensors, metadata):
    """tensors: name -> float32 or float64 array. Written by descending dtype, then name."""
    order = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
    header, offset = {"__metadata__": metadata}, 0
    for name in order:
        value = tensors[name]
        header[name] = {"dtype": {4: "F32", 8: "F64"}[value.dtype.itemsize],
                        "shape": list(value.shape), "data_offsets": [offset, offset + value.nbytes]}
        offset += value.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in order:
            file.write(tensors[name].tobytes())


class Case:
    """Collects one case: draws inputs, keeps what goes into the file."""

    def __init__(self, random, **config):
        self.random, self.config, self.tensors = random, config, {}

    def draw(self, name, shape, scale=1.0):
        value = (self.random.standard_normal(shape) * scale).astype(np.float32)
        return self.keep(name, value)

    def keep(self, name, value):
        self.tensors[name] = np.ascontiguousarray(value, dtype=np.float32)
        assert np.array_equal(self.tensors[name], np.asarray(value, dtype=np.float64))
        return torch.tensor(self.tensors[name], dtype=torch.float64)

    def result(self, name, value):
        self.tensors[name] = np.ascontiguousarray(value.detach().numpy(), dtype=np.float64)

    def weights(self, module, prefix, scale):
        """Draws a module's parameters, uniform in +-scale."""
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                drawn = self.random.uniform(-scale, scale, tuple(parameter.shape))
                parameter.copy_(self.keep(prefix + name, drawn.astype(np.float32)))

    def write(self, directory, name):
        write_safetensors(directory / f"{name}.safetensors", self.tensors,
                          {key: str(value) for key, value in self.config.items()})


CELLS = {"lstm": nn.LSTM, "gru": nn.GRU}


def layers_of(case):
    c = case.config
    inputs = c["H"] if c.get("projection") else c["I"]
    layers = CELLS[c["cell"]](inputs, c["H"], c["L"], bidirectional=c["D"] == 2)
    case.weights(layers, c["cell"] + ".", 1.3 / np.sqrt(c["H"]))
    return layers


def layers_case(random, cell, L, D, I, H, T, B):
    """An nn.LSTM or nn.GRU alone, with a state before, and gradients into every output and state."""
    case = Case(random, kind="layers", cell=cell, L=L, D=D, I=I, H=H, T=T, B=B)
    layers = layers_of(case)
    x = case.draw("x", (T, B, I)).requires_grad_()
    states = ("h", "c") if cell == "lstm" else ("h",)
    first = [case.draw(s + "0", (L * D, B, H), 0.5).requires_grad_() for s in states]
    y, last = layers(x, tuple(first) if cell == "lstm" else first[0])
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


class Classifier(nn.Module):
    """The configuration may have `projection` (0 or 1): tanh(Linear(I, H)) before the layers; and,
    for pooling attention, A."""

    def __init__(self, case):
        super().__init__()
        c = case.config
        self.pooling, self.cell = c["pooling"], c["cell"]
        width = c["D"] * c["H"]
        if c.get("projection"):
            self.input = nn.Linear(c["I"], c["H"])
            case.weights(self.input, "input.", 1.0 / np.sqrt(c["I"]))
        self.add_module(self.cell, layers_of(case))
        if self.pooling == "attention":
            self.attention = nn.Linear(width, c["A"])
            self.score = nn.Linear(c["A"], 1, bias=False)
            case.weights(self.attention, "attention.", 2.0 / np.sqrt(width))
            case.weights(self.score, "score.", 2.0)
            width *= 2
        self.fc = nn.Linear(width, c["K"])
        case.weights(self.fc, "fc.", 1.0 / np.sqrt(width))

    def project(self, x):
        return torch.tanh(self.input(x)) if hasattr(self, "input") else x

    def attend(self, out, lengths=None):
        """sum_t a_t y_t, of each sample's own steps. Shapes: out T x B x E."""
        scores = self.score(torch.tanh(self.attention(out)))[:, :, 0]
        if lengths is not None:
            padding = torch.arange(len(out))[:, None] >= lengths[None, :]
            scores = scores.masked_fill(padding, float("-inf"))
        return (torch.softmax(scores, 0)[:, :, None] * out).sum(0)

    def forward(self, x):
        layers = getattr(self, self.cell)
        out, last = layers(self.project(x))
        if self.pooling == "last":
            pooled = out[-1]
        elif self.pooling == "mean":
            pooled = out.mean(0)
        elif self.pooling == "attention":
            pooled = torch.cat([out[-1], self.attend(out)], dim=1)
        else:
            h_n = last[0] if self.cell == "lstm" else last
            pooled = torch.cat(list(h_n[-2 if layers.bidirectional else -1:]), dim=1)
        return self.fc(pooled)


def loss_of(case):
    """The loss function; its settings go into the case's configuration."""
    c, random = case.config, case.random
    if c["loss"] == "bce":
        c["pos_weight"] = random.choice([0.25, 1.0, 2.5])
        return lambda logits, y: nn.functional.binary_cross_entropy_with_logits(
            logits[:, 0], y, pos_weight=torch.tensor(c["pos_weight"]))
    if c["loss"] == "ce":
        weights = case.keep("class_weights", random.integers(1, 9, c["K"]) / 4)
        return lambda logits, y: nn.functional.cross_entropy(logits, y.long(), weight=weights)
    return lambda logits, y: nn.functional.mse_loss(logits[:, 0], y)


def labels_of(random, loss, K, shape):
    if loss == "mse":
        return random.standard_normal(shape).astype(np.float32)
    return random.integers(0, max(2, K), shape).astype(np.float32)


def classifier_case(random, cell, L, D, I, H, T, B, pooling, loss, K, stride, **more):
    """stride 0: x is dense; else x is B windows over one series, `stride` rows apart."""
    case = Case(random, kind="classifier", cell=cell, L=L, D=D, I=I, H=H, T=T, B=B, pooling=pooling,
                loss=loss, K=K, stride=stride, **more)
    model = Classifier(case)
    if stride == 0:
        x = case.draw("x", (T, B, I))
    else:
        series = case.draw("x", (T + (B - 1) * stride, I))
        x = torch.stack([series[b * stride:b * stride + T] for b in range(B)], 1)
    x = x.clone().requires_grad_()
    labels = case.keep("labels", labels_of(random, loss, K, B))
    logits = model(x)
    value = loss_of(case)(logits, labels)
    value.backward()
    case.result("out.logits", logits)
    case.result("out.loss", value)
    case.result("grad.x", x.grad)
    for name, parameter in model.named_parameters():
        case.result("grad." + name, parameter.grad)
    return case


def training_case(random, cell, L, D, I, H, T, B, pooling, loss, K, decay_biases, steps=10,
                  **more):
    """AdamW with clipping that acts in some steps only, and another rate in each step."""
    case = Case(random, kind="training", cell=cell, L=L, D=D, I=I, H=H, T=T, B=B, pooling=pooling, loss=loss,
                K=K, steps=steps, decay_biases=int(decay_biases), weight_decay=0.05, beta1=0.8,
                beta2=0.99, eps=1e-8, **more)
    return trained(case, Classifier(case))


def trained(case, model):
    """Trains the model of a training case and keeps its losses, norms and last parameters."""
    c, random = case.config, case.random
    T, B, I, K, loss, steps, decay_biases = (
        c[key] for key in ("T", "B", "I", "K", "loss", "steps", "decay_biases"))
    evaluate = loss_of(case)
    x = case.draw("x", (steps, T, B, I))
    labels = case.keep("labels", labels_of(random, loss, K, (steps, B)))
    rates = case.keep("lr", (0.02 * 0.8 ** np.arange(steps)).astype(np.float32))
    start = {name: value.clone() for name, value in model.state_dict().items()}

    def run(max_norm):
        model.load_state_dict(start)
        biases = [p for n, p in model.named_parameters() if "bias" in n]
        others = [p for n, p in model.named_parameters() if "bias" not in n]
        groups = [{"params": others}, {"params": biases}]
        if not decay_biases:
            groups[1]["weight_decay"] = 0.0
        optimizer = torch.optim.AdamW(groups, lr=1.0, betas=(c["beta1"], c["beta2"]), eps=c["eps"],
                                      weight_decay=c["weight_decay"])
        losses, norms = [], []
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = float(rates[step])
            optimizer.zero_grad()
            value = evaluate(model(x[step]), labels[step])
            value.backward()
            norms.append(nn.utils.clip_grad_norm_(model.parameters(), max_norm))
            losses.append(value.detach())
            optimizer.step()
        return torch.stack(losses), torch.stack(norms)

    max_norm = float(run(1e30)[1].median())
    losses, norms = run(max_norm)
    assert (norms > max_norm).any() and (norms < max_norm).any()
    case.config["max_norm"] = repr(max_norm)
    case.result("out.loss", losses)
    case.result("out.norm", norms)
    for name, parameter in model.named_parameters():
        case.result("final." + name, parameter)
    return case


LOSSES = [("bce", 1), ("ce", 3), ("mse", 1), ("ce", 2)]
POOLINGS = ["last", "final", "mean"]


def write_cases(directory, random, cell, size, layer_rounds, classifier_rounds, layers):
    """All of `layers` and directions (and poolings), each with `rounds` random sizes; `size(n)`
    draws the sizes of the n-th case."""
    count = 0
    for n in range(layer_rounds):
        for L, D in [(L, D) for L in layers for D in (1, 2)]:
            layers_case(random, cell, L, D, **size(count, L)).write(
                directory, f"layers_{cell}_{count:03}")
            count += 1
    count = 0
    for n in range(classifier_rounds):
        for pooling, L, D in [(p, L, D) for p in POOLINGS for L in layers for D in (1, 2)]:
            loss, K = LOSSES[int(random.integers(len(LOSSES)))]
            classifier_case(random, cell, L, D, **size(count, L), pooling=pooling, loss=loss, K=K,
                            stride=count % 4).write(directory, f"classifier_{cell}_{count:03}")
            count += 1


def write_training(directory, random, cell, cases):
    for n, (L, D, I, H, T, B, pooling, loss, K, decay) in enumerate(cases):
        training_case(random, cell, L, D, I, H, T, B, pooling, loss, K, decay).write(
            directory, f"training_{cell}_{n:03}")


def committed(directory, random, cell):
    sizes = [(1, 1, 1, 1), (3, 5, 4, 2), (2, 3, 7, 3), (5, 7, 3, 5), (4, 2, 5, 18), (1, 9, 6, 1)]

    def size(n, L):
        return dict(zip("IHTB", sizes[n % len(sizes)]))

    write_cases(directory, random, cell, size, 1, 1, (1, 2))
    layers_case(random, cell, 3, 2, 2, 3, 4, 3).write(directory, f"layers_{cell}_three")
    layers_case(random, cell, 1, 2, 3, 19, 3, 3).write(directory, f"layers_{cell}_wide")
    classifier_case(random, cell, 2, 2, 3, 9, 9, 4, "last", "bce", 1, 1).write(
        directory, f"classifier_{cell}_windows")
    write_training(directory, random, cell, [(1, 1, 3, 5, 4, 6, "mean", "ce", 3, False),
                                             (2, 2, 3, 5, 5, 6, "last", "bce", 1, True)])


def live(directory, random, cell):
    extremes = {"I": 41, "H": 67, "T": 50, "B": 33}

    def size(n, L):
        drawn = {}
        for key, top in extremes.items():
            kind = random.integers(6)  # the least, the largest, or anything, small ones more often
            drawn[key] = 1 if kind == 0 else top if kind == 1 else int(
                round(top ** random.uniform(0, 1)))
        drawn["H"] = min(drawn["H"], 40) if L == 3 else drawn["H"]
        return drawn

    write_cases(directory, random, cell, size, 8, 4, (1, 2))
    layers_case(random, cell, 3, 2, **size(0, 3)).write(directory, f"layers_{cell}_three")
    layers_case(random, cell, 2, 2, 41, 67, 50, 33).write(directory, f"layers_{cell}_largest")
    classifier_case(random, cell, 3, 2, **size(0, 3), pooling="last", loss="bce", K=1,
                    stride=2).write(directory, f"classifier_{cell}_three")
    classifier_case(random, cell, 2, 2, 41, 67, 50, 33, "last", "bce", 1, 1).write(
        directory, f"classifier_{cell}_largest")
    write_training(directory, random, cell, [
        (L, D, int(random.integers(1, 20)), int(random.integers(2, 34)), int(random.integers(1, 20)),
         int(random.integers(2, 34)), pooling, *LOSSES[n % len(LOSSES)], n % 2 == 0)
        for n, (L, D, pooling) in enumerate(
            [(L, D, p) for L in (1, 2) for D in (1, 2) for p in POOLINGS])])


def write_attention(directory, random, cell, rounds, size):
    """Attention pooling, with an input projection and without, and a projection alone."""
    for n in range(rounds):
        for m, (L, D, projection) in enumerate(
                [(L, D, p) for L in (1, 2) for D in (1, 2) for p in (0, 1)]):
            loss, K = LOSSES[int(random.integers(len(LOSSES)))]
            drawn, count = size(8 * n + m), 8 * n + m
            classifier_case(random, cell, L, D, **drawn, pooling="attention", loss=loss, K=K,
                            stride=count % 4, A=int(random.integers(1, drawn["H"] + 2)),
                            projection=projection).write(
                directory, f"classifier_{cell}_attention_{count:02}")
        classifier_case(random, cell, 2, 2 - n % 2, **size(n + 2), pooling="last", loss="mse", K=1,
                        stride=n % 3, projection=1).write(
            directory, f"classifier_{cell}_projection_{n:02}")
    training_case(random, cell, 2, 2, 3, 5, 6, 6, "attention", "ce", 3, True, A=4,
                  projection=1).write(directory, f"training_{cell}_attention_alstm")
    training_case(random, cell, 1, 1, 3, 9, 5, 4, "attention", "bce", 1, False, A=5,
                  projection=0).write(directory, f"training_{cell}_attention_plain")


def attention(directory, random, cell, is_live):
    sizes = [(1, 1, 1, 1), (3, 5, 4, 2), (2, 3, 7, 3), (5, 7, 3, 5), (4, 9, 5, 3), (1, 8, 6, 1)]
    if not is_live:
        write_attention(directory, random, cell, 1,
                        lambda n: dict(zip("IHTB", sizes[n % len(sizes)])))
        return
    write_attention(directory, random, cell, 4, lambda n: {
        key: int(round(top ** random.uniform(0, 1)))
        for key, top in {"I": 41, "H": 67, "T": 60, "B": 33}.items()})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--committed", action="store_true", help="rewrite the committed set")
    parser.add_argument("--out", type=pathlib.Path, help="directory of the random set")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.committed == (options.out is not None):
        parser.error("give either --committed or --out DIR")
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    directory = options.out or pathlib.Path(__file__).resolve().parent / "torch"
    directory.mkdir(parents=True, exist_ok=True)
    if options.committed:
        for old in directory.glob("*.safetensors"):
            old.unlink()
    random = np.random.default_rng(options.seed)
    for cell in CELLS:
        (committed if options.committed else live)(directory, random, cell)
    random = np.random.default_rng([options.seed, 1])
    for cell in CELLS:
        attention(directory, random, cell, not options.committed)
    if options.out:
        import torch_transformer
        torch_transformer.live(directory, random)


if __name__ == "__main__":
    main()
