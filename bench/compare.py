#!/usr/bin/env python3
"""Runs the contestants in turn and prints who needs how long.

Run by bench/compare, which builds them: compare.py BUILD [options]. A contestant is a program that
reads the name of a piece of work from its standard input and answers with milliseconds a call, over
a slot of about 80 ms (bench/peers/contest.hpp). First all of them compute the same thing, and what
they give is compared. Then, for each piece of work, every contestant has one slot a round, in an
order that rotates. Writes compare.json, with all samples, and compare.svg.
"""
import argparse
import datetime
import json
import math
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import time

from compare_picture import picture

SOURCE = pathlib.Path(__file__).resolve().parent
NETWORKS = [f"{kind}_{network}" for kind in ["train", "infer"] for network in "abg"]
WORK = NETWORKS + ["window_a", "window_b"] + [f"stream_{h}" for h in [8, 16, 32, 64, 128]]
OURS = "tsdl"
OURS_TOO = "tsdl_other"  # the same work given in another way
TOLERANCE = 1e-4
BUSY = 0.05  # share of the machine's cores in use by others above which it shows in the figures


def in_use():
    """The share of the machine's cores that is in use, measured for a second."""
    def clock():
        fields = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
        times = [int(field) for field in fields]
        return sum(times), times[3] + times[4]
    total, idle = clock()
    time.sleep(1)
    later, idle_later = clock()
    return 1 - (idle_later - idle) / max(1, later - total)


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


def commands(build):
    """The contestants that are there, ours first."""
    found = {}
    for name in [OURS, "onednn", "torch", "eigen"]:
        program = build / "bench" / "peers" / f"contest_{name}"
        if program.exists():
            found[name] = [str(program)]
    runtime = build / "onnxruntime"
    if (runtime / "exported").exists():
        found["onnxruntime"] = ["node", str(SOURCE / "peers" / "onnxruntime.mjs"), str(runtime)]
    return found


def check(contestants, work):
    """Holds what the contestants compute against what ours does, and returns the largest
    difference. Exits when it is too large."""
    worst = 0.0
    for name in work:
        ours = contestants[0].numbers("check_" + name)
        for peer in contestants[1:]:
            theirs = peer.numbers("check_" + name)
            if theirs is None:
                continue
            if len(theirs) != len(ours):
                sys.exit(f"{name}: {peer.name} gives {len(theirs)} numbers, {OURS} {len(ours)}")
            for mine, other in zip(ours, theirs):
                difference = abs(mine - other) / max(1.0, abs(mine))
                if not difference <= TOLERANCE:
                    sys.exit(f"{name}: {peer.name} gives {other}, {OURS} {mine}")
                worst = max(worst, difference)
    return worst


def entrants(contestants, name):
    """(key, contestant, what to ask) for a piece of work: ours comes twice, with windows as a dense
    batch, or a stream with weights of half the width."""
    for contestant in contestants:
        yield contestant.name, contestant, name
        if contestant.name == OURS and name in NETWORKS:
            yield OURS_TOO, contestant, name + "_dense"
        if contestant.name == OURS and name.startswith("stream"):
            yield OURS_TOO, contestant, name + "_half"


def measure(contestants, name, rounds, threads):
    """The samples of each contestant that does the work, in ms: one a round."""
    running = []
    for key, contestant, what in entrants(contestants, name):
        if contestant.numbers(what) is not None:  # warms up, and finds the number of calls
            running.append((key, contestant, what))
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


def summary(samples):
    """The fastest peer, the ratio of its median to ours, and the quartiles of the ratio by round."""
    peers = {key: times for key, times in samples.items() if not key.startswith(OURS)}
    if not peers or OURS not in samples:
        return None
    fastest = min(peers, key=lambda key: statistics.median(peers[key]))
    ratio = statistics.median(peers[fastest]) / statistics.median(samples[OURS])
    by_round = [theirs / ours for theirs, ours in zip(peers[fastest], samples[OURS])]
    return {"fastest": fastest, "ratio": ratio, "quartiles": quartiles(by_round)}


def title(name):
    kind, which = name.split("_")
    return {"train": f"train {which.upper()}", "infer": f"infer {which.upper()}, 32 windows",
            "window": f"infer {which.upper()}, 1 window",
            "stream": f"one step, H {which} (us)"}[kind]


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


def run(arguments, found, threads, cores):
    """All the work on one number of threads. Prints the table row by row and returns the samples,
    and the contestants' own words."""
    contestants = []
    for name, command in found.items():
        try:
            contestants.append(Contestant(name, command, threads, cores))
        except RuntimeError as error:
            if name == OURS:
                raise
            print(f"{error}: left out", file=sys.stderr)
    chosen = [name for name in WORK if re.search(arguments.work, name)]
    about = {contestant.name: contestant.about for contestant in contestants}
    names = {key: text.split(",")[0] for key, text in about.items()}
    difference = check(contestants, chosen)
    columns = [key for contestant in contestants for key in
               ([OURS, OURS_TOO] if contestant.name == OURS else [contestant.name])]
    headings = ["ms"] + [names.get(key, "dense, or bf16")
                         for key in columns] + ["fastest peer", "ratio", "quartiles"]
    widths = [max(24 if i == 0 else 12, len(text)) for i, text in enumerate(headings)]
    plural = "threads" if threads > 1 else "thread"
    fewer = ", of which a peer uses one where that is faster" if threads > 1 else ""
    print(f"\n{threads} {plural}{fewer}; all compute the same: largest difference {difference:.0e}\n")
    print(row(headings, widths))
    print(row(["-" * width for width in widths], widths), flush=True)
    results = {}
    for name in chosen:
        samples = measure(contestants, name, arguments.rounds, threads)
        results[name] = samples
        cells = [title(name)] + [cell(name, samples.get(key)) for key in columns]
        ratio = summary(samples)
        if ratio:
            low, high = ratio["quartiles"]
            cells += [names[ratio["fastest"]], f"{ratio['ratio']:.2f}",
                      f"{low:.2f} to {high:.2f}"]
        print(row(cells + ["-"] * (len(headings) - len(cells)), widths), flush=True)
    for contestant in contestants:
        contestant.stop()
    return results, about


def machine(build):
    """What it ran on, and what it was built with."""
    def first_line(command):
        try:
            output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            return output.splitlines()[0]
        except (OSError, subprocess.CalledProcessError, IndexError):
            return "unknown"
    cache = (build / "CMakeCache.txt").read_text()
    compiler = re.search(r"^CMAKE_CXX_COMPILER:\w+=(.*)$", cache, re.M).group(1)
    model = re.search(r"^model name\s*: (.*)$", pathlib.Path("/proc/cpuinfo").read_text(), re.M)
    try:
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        system = platform.platform()
    return {"processor": model.group(1) if model else platform.machine(),
            "cores": os.cpu_count(), "system": system,
            "compiler": first_line([compiler, "--version"]),
            "date": datetime.date.today().isoformat(), "in_use": in_use()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("build", type=pathlib.Path, nargs="?", default=pathlib.Path("build/bench"),
                        help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=15, help="slots of each contestant (15)")
    parser.add_argument("--work", default="", metavar="PATTERN",
                        help="only work whose name this regular expression finds: " + " ".join(WORK))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="1 2")
    parser.add_argument("--peers", nargs="+", metavar="PEER",
                        help="only these: onednn torch eigen onnxruntime")
    arguments = parser.parse_args()
    if arguments.rounds < 1 or min(arguments.threads) < 1:
        parser.error("rounds and threads must be at least 1")
    found = commands(arguments.build)
    if OURS not in found:
        parser.error(f"no contestants in {arguments.build}: run bench/compare")
    unknown = set(arguments.peers or []) - set(found)
    if unknown:
        parser.error("not there: " + " ".join(sorted(unknown)))
    if arguments.peers:
        found = {name: found[name] for name in found if name == OURS or name in arguments.peers}

    if not any(re.search(arguments.work, name) for name in WORK):
        parser.error(f"--work {arguments.work} finds nothing among: " + " ".join(WORK))

    report = {"machine": machine(arguments.build), "rounds": arguments.rounds, "runs": {}}
    print("{processor}, {cores} cores; {system}; {compiler}; {date}".format(**report["machine"]))
    print(f"Medians of {arguments.rounds} rounds ± half the interquartile range; float32; ratio: the "
          "fastest peer's median over ours")
    if report["machine"]["in_use"] > BUSY:
        print("The machine is doing something else besides, with {in_use:.0%} of its cores: do not "
              "trust these figures".format(**report["machine"]))
    cores = sorted(os.sched_getaffinity(0))
    for threads in arguments.threads:
        if threads > len(cores):
            print(f"\n{threads} threads: there are only {len(cores)} cores to run on, left out")
            continue
        samples, about = run(arguments, found, threads, cores[:threads])
        report["contestants"] = about
        report["runs"][str(threads)] = {
            name: {"title": title(name), "ms": times, "summary": summary(times)}
            for name, times in samples.items()}
    print("\n" + "; ".join(report.get("contestants", {}).values()))
    (arguments.build / "compare.json").write_text(json.dumps(report, indent=1) + "\n")
    (arguments.build / "compare.svg").write_text(picture(report))
    print(f"Wrote {arguments.build}/compare.json and compare.svg")


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
