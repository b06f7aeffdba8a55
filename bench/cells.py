#!/usr/bin/env python3
"""Times the pieces of LSTM and GRU layers and prints what a step takes, size by size.

Run by bench/cells, which builds the program that measures (bench/nn/cells.cpp): cells.py BUILD
[options]. Writes cells.json, with all figures, and cells.svg into BUILD.
"""
import argparse
import json
import pathlib
import subprocess
import sys

from cells_picture import picture
from compare import machine
from contest import BUSY, significant

HIDDEN = [8, 16, 32, 64, 128, 256, 512]
BATCH = [1, 4, 16, 32, 64, 256]
INPUTS = 23
PASSES = 3
PIECES = {"forward": "forward, inference", "training": "forward, training", "backward": "backward",
          "weights": "weight gradient"}
LEGEND = """\
us       microseconds that one step of B samples takes on one thread: the median of repeats, each of
         8 to 64 steps one after another, in tiles of samples as the library runs them; of three
         passes through all sizes the one in the middle
GFLOP/s  operations of the piece's matrix products (a multiply-add counts as two) over that time;
         the time of sigmoid, tanh and the rest of the gates is in it, their operations are not
peak     the same as a share of what this core can do, measured beside it: {peak:.0f} GFLOP/s
forward, inference    the gates' product with h, sigmoid and tanh: what a prediction takes
forward, training     the same, and the gates are kept for the way back
backward              gradients of the gates, and their product with W_hh that gives dh of the step before
weight gradient       dW_hh and the biases' gradients, summed over steps and samples"""
WITH = """\
with the input product: forward also multiplies x ({inputs} inputs) by W_ih, backward gives dx, the weight
gradient has dW_ih: a whole layer on a batch in which no two samples share anything"""
ALONE = """\
without the input product: x's part of the gates is already there, as for overlapping windows, which
share it"""
STREAMS = """\
in a loop       step after step without a rest: time from x to h, for a stream that catches up
after a pause   time from x to h when some 20 us of other work came before, which went through 64 KiB
                of memory: what a live feed sees
compile time    RecurrentStream<Cell, float, {compiled}, H>: the compiler knows the sizes
run time        RecurrentStream<Cell>: it does not"""


class Figure:
    """What one measurement gave."""

    def __init__(self, seconds, operations, peak):
        self.us = float(seconds) * 1e6
        self.gflops = float(operations) / float(seconds) / 1e9 if float(seconds) > 0 else 0.0
        self.peak = float(peak) / 1e9

    @property
    def share(self):
        return self.gflops / self.peak

    def text(self):
        return f"{significant(self.us):>8} {self.gflops:7.1f} {self.share:5.0%}"


def measured(program, cell, arguments):
    """(key, Figure) for each size and piece, as the last pass meets them."""
    passes = 1 if arguments.quick else PASSES
    command = [program, cell, str(arguments.inputs), str(passes),
               ",".join(map(str, arguments.hidden)), ",".join(map(str, arguments.batch))]
    found = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            *key, seconds, operations, peak = line.split()
            of_passes = found.setdefault(tuple(key), [])
            of_passes.append(Figure(seconds, operations, peak))
            if len(of_passes) == passes:
                yield tuple(key), sorted(of_passes, key=lambda figure: figure.us)[passes // 2]
    if process.returncode:
        raise RuntimeError(f"{program} failed")


def print_heading(cell, inputs, product):
    words = f"with the input product, {inputs} inputs" if product == "with" else "without the input product"
    print(f"\n{cell.upper()} layer, {words}: a step of B samples\n")
    print(" " * 10 + "".join(f"  {title:^22}" for title in PIECES.values()))
    print(f"{'H':>5}{'B':>5}" + f"  {'us':>8} {'GFLOP/s':>7} {'peak':>5}" * len(PIECES))


def print_streams(cell, inputs, streams):
    """streams: {(H, sizes, way): Figure}."""
    columns = [(sizes, way) for sizes in ["compiled", "any"] for way in ["loop", "paused"]
               if any(key[1:] == (sizes, way) for key in streams)]
    titles = {"compiled": "compile time", "any": "run time", "loop": "in a loop",
              "paused": "after a pause"}
    print(f"\n{cell.upper()} stream, {inputs} inputs: a step of one sample, us and share of the peak\n")
    print(" " * 5 + "".join(f"  {titles[sizes]:>19}" for sizes, _ in columns))
    print(f"{'H':>5}" + "".join(f"  {titles[way]:>19}" for _, way in columns))
    for hidden in sorted({key[0] for key in streams}):
        figures = [streams[hidden, *column] for column in columns]
        print(f"{hidden:5}" + "".join(f"  {significant(figure.us):>13} {figure.share:5.0%}"
                                      for figure in figures))


def run(program, cell, arguments):
    """Measures one kind of cell and prints its tables row by row. Returns the figures by key."""
    figures, streams, heading = {}, {}, None
    for key, figure in measured(program, cell, arguments):
        figures[key] = figure
        if key[0] == "stream":
            streams[int(key[1]), key[2], key[3]] = figure
            continue
        _, hidden, batch, product, piece = key
        if product != heading:
            heading = product
            print_heading(cell, arguments.inputs, product)
        if piece == list(PIECES)[-1]:  # the last piece of this size
            row = [figures["layer", hidden, batch, product, piece] for piece in PIECES]
            print(f"{hidden:>5}{batch:>5}" + "".join("  " + figure.text() for figure in row), flush=True)
    if streams:
        print_streams(cell, arguments.inputs, streams)
    return figures


def parse():
    def positive(text):
        number = int(text)
        if number < 1:
            raise ValueError
        return number
    parser = argparse.ArgumentParser(prog="bench/cells", description=__doc__.split("\n")[0])
    parser.add_argument("build", type=pathlib.Path, nargs="?", default=pathlib.Path("build/bench"),
                        help=argparse.SUPPRESS)
    parser.add_argument("--cell", choices=["lstm", "gru"], help="only this one; otherwise both")
    parser.add_argument("--hidden", type=positive, nargs="+", default=HIDDEN, metavar="H",
                        help="hidden units: " + " ".join(map(str, HIDDEN)) + "; streams have those up to 128")
    parser.add_argument("--batch", type=positive, nargs="+", default=BATCH, metavar="B",
                        help="samples: " + " ".join(map(str, BATCH)))
    parser.add_argument("--inputs", type=positive, default=INPUTS, metavar="I", help=f"inputs: {INPUTS}")
    parser.add_argument("--quick", action="store_true", help="one pass instead of three: a rough look")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE",
                        help="write the figures here as well")
    return parser.parse_args()


def main():
    arguments = parse()
    program = arguments.build / "bench" / "bench_cells"
    if not program.exists():
        sys.exit(f"{program} is not there: run bench/cells")
    about = machine(arguments.build)
    print("{processor}, {cores} cores; {system}; {compiler}; {date}; float32".format(**about))
    if about["in_use"] > BUSY:
        print("The machine is doing something else besides, with {in_use:.0%} of its cores: do not "
              "trust these figures".format(**about))
    cells = [arguments.cell] if arguments.cell else ["lstm", "gru"]
    figures = {cell: run(program, cell, arguments) for cell in cells}
    peak = max(figure.peak for part in figures.values() for figure in part.values())
    print("\n" + LEGEND.format(peak=peak))
    print(WITH.format(inputs=arguments.inputs) + "\n" + ALONE)
    if any(key[0] == "stream" for part in figures.values() for key in part):
        print("\n" + STREAMS.format(compiled=INPUTS))
    report = {"machine": about, "inputs": arguments.inputs, "peak_gflops": peak, "cells": {
        cell: [{"what": " ".join(key), "us": figure.us, "gflops": figure.gflops,
                "share_of_peak": figure.share} for key, figure in part.items()]
        for cell, part in figures.items()}}
    for target in {arguments.build / "cells.json", arguments.json or arguments.build / "cells.json"}:
        target.write_text(json.dumps(report, indent=1) + "\n")
    (arguments.build / "cells.svg").write_text(picture(report))
    print(f"\nWrote {arguments.build}/cells.json and cells.svg")


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
