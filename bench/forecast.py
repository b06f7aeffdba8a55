#!/usr/bin/env python3
"""Times training steps of a SegmentGRU beside the same network in PyTorch: bench/forecast runs it.

A step draws a batch of windows, and runs forward, mean squared error, backward and Adam. Ours and
PyTorch's take turns on the same cores; shown is the median of the rounds. Sizes are those of ETTh1,
whose numbers are made up unless --data names the file.
"""
import argparse
import os
import statistics
import subprocess
import tempfile
import time

import numpy as np
import torch
from torch import nn

CHANNELS, LENGTH, ROWS, BATCH, SEGMENT, SIZE = 7, 96, 8640, 256, 24, 512


class SegRNN(nn.Module):
    """As its authors wrote it: channels are samples, and the decoder is one call of nn.GRU."""

    def __init__(self, horizon):
        super().__init__()
        self.horizon, self.segments = horizon, horizon // SEGMENT
        self.embed = nn.Sequential(nn.Linear(SEGMENT, SIZE), nn.ReLU())
        self.gru = nn.GRU(SIZE, SIZE, batch_first=True)
        self.position = nn.Parameter(torch.randn(self.segments, SIZE // 2))
        self.channel = nn.Parameter(torch.randn(CHANNELS, SIZE // 2))
        self.predict = nn.Sequential(nn.Dropout(0.5), nn.Linear(SIZE, SEGMENT))

    def forward(self, x):  # B x T x C
        last = x[:, -1:, :].detach()
        x = (x - last).permute(0, 2, 1).reshape(-1, LENGTH // SEGMENT, SEGMENT)
        _, h = self.gru(self.embed(x))
        inputs = torch.cat([self.position.unsqueeze(0).repeat(CHANNELS, 1, 1),
                            self.channel.unsqueeze(1).repeat(1, self.segments, 1)], dim=-1)
        inputs = inputs.view(-1, 1, SIZE).repeat(len(last), 1, 1)
        _, states = self.gru(inputs, h.repeat(1, 1, self.segments).view(1, -1, SIZE))
        y = self.predict(states).view(-1, CHANNELS, self.horizon)
        return y.permute(0, 2, 1) + last


class PyTorch:
    def __init__(self, series, horizon):
        self.series, self.horizon = torch.from_numpy(series), horizon
        self.model = SegRNN(horizon)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3)

    def step(self):
        first = torch.randint(ROWS - LENGTH - self.horizon + 1, (BATCH, 1))
        rows = self.series[first + torch.arange(LENGTH + self.horizon)]
        self.optimizer.zero_grad()
        loss = nn.functional.mse_loss(self.model(rows[:, :LENGTH]), rows[:, LENGTH:])
        loss.backward()
        self.optimizer.step()

    def milliseconds(self, steps, threads):
        torch.set_num_threads(threads)
        start = time.perf_counter()
        for _ in range(steps):
            self.step()
        return (time.perf_counter() - start) * 1e3 / steps


class Ours:
    def __init__(self, program, path, horizon, threads):
        sizes = [ROWS, CHANNELS, LENGTH, horizon, BATCH, threads]
        self.process = subprocess.Popen([program, path, *map(str, sizes)], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def milliseconds(self, steps):
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def series_of(data):
    if data is None:
        random = np.random.default_rng(1)
        return random.standard_normal((ROWS, CHANNELS)).cumsum(0).astype(np.float32) / 30
    rows = np.genfromtxt(data, delimiter=",", skip_header=1, max_rows=ROWS)
    rows = rows[:, -CHANNELS:]
    assert rows.shape == (ROWS, CHANNELS), f"{data}: expected {ROWS} rows of {CHANNELS} numbers"
    return ((rows - rows.mean(0)) / rows.std(0)).astype(np.float32)


def numbers(text):
    return [int(number) for number in text.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", help="bench_forecast")
    parser.add_argument("--horizons", type=numbers, default=[96, 720])
    parser.add_argument("--threads", type=numbers, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=8, help="steps a round")
    parser.add_argument("--data", help="ETTh1.csv")
    options = parser.parse_args()
    series = series_of(options.data)
    print(f"PyTorch {torch.__version__}; C {CHANNELS}, T {LENGTH}, batch {BATCH}, {os.cpu_count()} cores")
    print("| horizon | threads | ours, ms a step | PyTorch, ms a step | times as fast | ours, s an epoch |")
    print("|--:|--:|--:|--:|--:|--:|")
    with tempfile.NamedTemporaryFile() as file:
        file.write(np.ascontiguousarray(series).tobytes())
        file.flush()
        for horizon in options.horizons:
            theirs = PyTorch(series, horizon)
            for threads in options.threads:
                ours = Ours(options.program, file.name, horizon, threads)
                ours.milliseconds(1), theirs.milliseconds(1, threads)
                a, b = [], []
                for _ in range(options.rounds):
                    a.append(ours.milliseconds(options.steps))
                    b.append(theirs.milliseconds(options.steps, threads))
                ours.close()
                mine, other = statistics.median(a), statistics.median(b)
                batches = (ROWS - LENGTH - horizon + 1) // BATCH + 1
                print(f"| {horizon} | {threads} | {mine:.0f} | {other:.0f} | {other / mine:.2f} | "
                      f"{mine * batches / 1e3:.1f} |", flush=True)


if __name__ == "__main__":
    main()
