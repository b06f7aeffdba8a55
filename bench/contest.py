"""Contestants for bench/compare: asks them, checks that they compute the same, shows their times.

A contestant is a program that reads the name of a piece of work from its standard input and answers
with milliseconds a call, over a slot of about 80 ms (bench/peers/contest.hpp).
"""
import math
import os
import pathlib
import statistics
import subprocess
import sys
import time

NETWORKS = [f"{kind}_{network}" for kind in ["train", "infer"] for network in ["a", "b", "g", "t", "tm"]]
STREAMS = [f"stream_{h}" for h in [8, 16, 32, 64, 128]]
PAUSED = [f"{name}_paused" for name in STREAMS]  # with other work before each step
WINDOWS = ["window_a", "window_b", "window_t", "window_tm"]
WORK = NETWORKS + WINDOWS + STREAMS + PAUSED
OURS = "tsdl"
TOLERANCE = 1e-4
BUSY = 0.05  # share of the cores in use by others above which it shows in the figures


def core_seconds(cores=None):
    """How long the cores, all or these, have been busy since the machine started, and that with the
    time that they were idle."""
    names = ["cpu"] if cores is None else [f"cpu{core}" for core in cores]
    lines = [line.split() for line in pathlib.Path("/proc/stat").read_text().splitlines()]
    ticks = [[int(field) for field in line[1:9]] for line in lines if line[0] in names]
    total = sum(sum(times) for times in ticks)
    idle = sum(times[3] + times[4] for times in ticks)
    return (total - idle) / os.sysconf("SC_CLK_TCK"), total / os.sysconf("SC_CLK_TCK")


def pause(threads):
    """Seconds between slots: the threads of the one that was just timed spin for a while before they
    sleep, GNU OpenMP's for some ms and those of some builds of OpenBLAS for 30."""
    return 0.005 if threads == 1 else 0.06


class Contestant:
    """A contestant's process, which lives through all the work on one number of threads."""

    def __init__(self, name, command, threads, cores):
        self.name = name
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads),
                           GLIBC_TUNABLES="glibc.malloc.hugetlb=1")  # helps all a little
        for variable in ["OMP_WAIT_POLICY", "OMP_PROC_BIND", "GOMP_SPINCOUNT", "OPENBLAS_NUM_THREADS"]:
            environment.pop(variable, None)  # as the libraries' users have it
        pinned = ["taskset", "-c", ",".join(map(str, cores))]
        self.process = subprocess.Popen(
            pinned + command + ["--threads", str(threads)], text=True, env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.about = self.ask("about")

    def ask(self, what):
        try:
            self.process.stdin.write(what + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline().strip()
        except BrokenPipeError:
            answer = ""
        if not answer or answer.startswith("error"):
            raise RuntimeError(f"{self.name}, asked for {what}: {answer or 'no answer'}")
        return answer

    def numbers(self, what):
        """The numbers of an answer, or None where it does not do that."""
        answer = self.ask(what)
        return None if answer == "none" else [float(number) for number in answer.split()]

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def check(contestants, work):
    """Holds what the contestants compute against what the first does, and returns the largest
    difference. Exits when it is too large."""
    worst = 0.0
    first = contestants[0]
    for name in work:
        ours = first.numbers("check_" + name)
        for peer in contestants[1:]:
            theirs = peer.numbers("check_" + name)
            if theirs is None:
                continue
            if len(theirs) != len(ours):
                sys.exit(f"{name}: {peer.name} gives {len(theirs)} numbers, {first.name} {len(ours)}")
            for mine, other in zip(ours, theirs):
                difference = abs(mine - other) / max(1.0, abs(mine))
                if not difference <= TOLERANCE:
                    sys.exit(f"{name}: {peer.name} gives {other}, {first.name} {mine}")
                worst = max(worst, difference)
    return worst


def in_turn(running, rounds, threads):
    """A slot of each a round, in an order that rotates: {key: ms, one a round}. running: (key,
    contestant, what to ask)."""
    samples = {key: [] for key, _, _ in running}
    for turn in range(rounds):
        first = turn % len(running)
        for key, contestant, what in running[first:] + running[:first]:
            time.sleep(pause(threads))
            samples[key].append(contestant.numbers(what)[0])
    return samples


def quartiles(samples):
    if len(samples) < 2:
        return samples[0], samples[0]
    low, _, high = statistics.quantiles(samples, n=4, method="inclusive")
    return low, high


def title(name):
    """A piece of work in words, with its variant after a comma: a pause before each step, and of
    ours dense windows, or weights of half the width."""
    kind, which, *variant = name.split("_")
    words = {"train": f"train {which.upper()}", "infer": f"infer {which.upper()}, 32 windows",
             "window": f"infer {which.upper()}, 1 window", "stream": f"one step, H {which}"}[kind]
    words = ", ".join([words] + [{"half": "bf16"}.get(word, word) for word in variant])
    return words + (" (us)" if kind == "stream" else "")


def significant(value):
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}" if value > 0 else "0"


def cell(name, times):
    if times is None:
        return "-"
    low, high = quartiles(times)
    median = statistics.median(times)
    scale = 1000 if name.startswith("stream") else 1
    return f"{significant(median * scale)} ± {(high - low) / 2 / median * 100:.0f}%"


def row(cells, widths):
    return "| " + " | ".join(text.ljust(width) for text, width in zip(cells, widths)) + " |"
