#!/usr/bin/env python3
"""Runs the contestants in turn and prints who needs how long.

Run by bench/compare, which builds them: compare.py BUILD [options]. First all of them compute the
same thing, and what they give is compared. Then, for each piece of work, every contestant has one
slot a round, in an order that rotates. Writes compare.json, with all samples, and compare.svg. With
--against two builds of this library take turns instead (compare_against.py), and with --load another
process keeps a core busy meanwhile (compare_load.py).
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys
import time

from compare_against import PROGRAM, VARIANTS, compare_builds
from compare_load import WORK_UNDER_LOAD, Load, compare_under_load, cores_under_load
from compare_picture import picture
from contest import (BUSY, NETWORKS, OURS, WORK, Contestant, cell, check, core_seconds, in_turn, quartiles,
                     row, title)

SOURCE = pathlib.Path(__file__).resolve().parent
OURS_TOO = "tsdl_other"  # the same work given in another way
PROGRAMS = [OURS, "onednn", "onednn3", "torch", "torch2", "eigen", "rtneural"]
MORE_THREADS = [4, 8, 16]  # where there are as many cores


def in_use():
    """The share of the machine's cores that is in use, measured for a second."""
    busy, total = core_seconds()
    time.sleep(1)
    busy_later, total_later = core_seconds()
    return (busy_later - busy) / max(0.01, total_later - total)


def commands(build):
    """The contestants that are there, ours first."""
    found = {}
    for name in PROGRAMS:
        program = build / "bench" / "peers" / f"contest_{name}"
        if program.exists():
            found[name] = [str(program)]
    runtime = build / "onnxruntime"
    if (runtime / "exported").exists():
        found["onnxruntime"] = ["node", str(SOURCE / "peers" / "onnxruntime.mjs"), str(runtime)]
    return found


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
    return in_turn(running, rounds, threads)


def summary(samples):
    """The fastest peer, the ratio of its median to ours, and the quartiles of the ratio by round."""
    peers = {key: times for key, times in samples.items() if not key.startswith(OURS)}
    if not peers or OURS not in samples:
        return None
    fastest = min(peers, key=lambda key: statistics.median(peers[key]))
    ratio = statistics.median(peers[fastest]) / statistics.median(samples[OURS])
    by_round = [theirs / ours for theirs, ours in zip(peers[fastest], samples[OURS])]
    return {"fastest": fastest, "ratio": ratio, "quartiles": quartiles(by_round)}


def chosen_work(pattern, threads):
    """The work that the pattern finds. A step takes one thread, however many there are."""
    return [name for name in WORK if re.search(pattern, name)
            and (threads == 1 or not name.startswith("stream"))]


def run(arguments, found, chosen, threads, cores):
    """The chosen work on one number of threads. Prints the table row by row and returns the samples,
    and the contestants' own words."""
    contestants = []
    for name, command in found.items():
        try:
            contestants.append(Contestant(name, command, threads, cores))
        except RuntimeError as error:
            if name == OURS:
                raise
            print(f"{error}: left out", file=sys.stderr)
    about = {contestant.name: contestant.about for contestant in contestants}
    names = {key: text.split(",")[0] for key, text in about.items()}
    difference = check(contestants, chosen)
    columns = [key for contestant in contestants for key in
               ([OURS, OURS_TOO] if contestant.name == OURS else [contestant.name])]
    headings = ["ms"] + [names.get(key, "dense, or bf16")
                         for key in columns] + ["fastest peer", "ratio", "quartiles"]
    widths = [max(28 if i == 0 else 12, len(text)) for i, text in enumerate(headings)]
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


def usable(threads_list):
    """(threads, cores) for each number of threads that there are cores for."""
    cores = sorted(os.sched_getaffinity(0))
    for threads in threads_list:
        if threads > len(cores):
            print(f"\n{threads} threads: there are only {len(cores)} cores to run on, left out")
        else:
            yield threads, cores[:threads]


def compare_peers(arguments, found, report):
    """Times ours beside the peers, and writes what it finds."""
    print(f"Medians of {arguments.rounds} rounds ± half the interquartile range; float32; ratio: the "
          "fastest peer's median over ours")
    for threads, cores in usable(arguments.threads):
        chosen = chosen_work(arguments.work, threads)
        if not chosen:
            continue
        samples, about = run(arguments, found, chosen, threads, cores)
        report["contestants"] = about
        report["runs"][str(threads)] = {
            name: {"title": title(name), "ms": times, "summary": summary(times)}
            for name, times in samples.items()}
    write(arguments.build / "compare.json", report)
    (arguments.build / "compare.svg").write_text(picture(report))
    print(f"Wrote {arguments.build / 'compare.svg'}")


def write(target, report):
    """Names the contestants, and writes the report."""
    print("\n" + "; ".join(report.get("contestants", {}).values()))
    target.write_text(json.dumps(report, indent=1) + "\n")
    print(f"Wrote {target}")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        epilog="-DNAME=VALUE goes to CMake. More peers: -DTSDL_RTNEURAL=DIR (its sources), "
        "-DTSDL_DNNL3=PREFIX (oneDNN 3, installed), -DTSDL_TORCH2=PREFIX (libtorch 2, unpacked)")
    parser.add_argument("build", type=pathlib.Path, nargs="?", default=pathlib.Path("build/bench"),
                        help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=15, help="slots of each contestant (15)")
    parser.add_argument("--work", default="", metavar="PATTERN",
                        help="only work whose name this regular expression finds: " + " ".join(WORK))
    cores = len(os.sched_getaffinity(0))
    parser.add_argument("--threads", type=int, nargs="+",
                        default=[1, 2] + [threads for threads in MORE_THREADS if threads <= cores],
                        help="1 2 and, where there are as many cores, 4 8 16")
    parser.add_argument("--load", action="store_true",
                        help="keep one of two cores busy, and compare one thread with two")
    parser.add_argument("--peers", nargs="+", metavar="PEER",
                        help="only these: " + " ".join(PROGRAMS[1:]) + " onnxruntime")
    parser.add_argument("--against", type=pathlib.Path, metavar="BUILD",
                        help="no peers, but another build of this library: a checkout of it, which "
                        "is built, or a folder that one is built in")
    arguments = parser.parse_args()
    if arguments.rounds < 1 or min(arguments.threads) < 1:
        parser.error("rounds and threads must be at least 1")
    if arguments.against and arguments.peers:
        parser.error("--against runs no peers")
    if arguments.against and not (arguments.against / PROGRAM).exists():
        parser.error(f"no {PROGRAM} in {arguments.against}: run bench/compare")
    found = commands(arguments.build)
    if OURS not in found:
        parser.error(f"no contestants in {arguments.build}: run bench/compare")
    unknown = set(arguments.peers or []) - set(found)
    if unknown:
        parser.error("not there: " + " ".join(sorted(unknown)))
    if arguments.peers:
        found = {name: found[name] for name in found if name == OURS or name in arguments.peers}
    names = WORK_UNDER_LOAD if arguments.load else WORK
    if arguments.against:
        names = names + VARIANTS
    if not any(re.search(arguments.work, name) for name in names):
        parser.error(f"--work {arguments.work} finds nothing among: " + " ".join(names))

    report = {"machine": machine(arguments.build), "rounds": arguments.rounds, "runs": {}}
    print("{processor}, {cores} cores; {system}; {compiler}; {date}".format(**report["machine"]))
    if report["machine"]["in_use"] > BUSY:
        print("The machine is doing something else besides, with {in_use:.0%} of its cores: do not "
              "trust these figures".format(**report["machine"]))
    if arguments.against and arguments.load:
        cores = cores_under_load()
        with Load(cores[-1]):
            compare_builds(arguments, [(1, cores), (2, cores)], report)
    elif arguments.against:
        compare_builds(arguments, usable(arguments.threads), report)
    elif arguments.load:
        compare_under_load(arguments, found, report)
        write(arguments.build / "load.json", report)
    else:
        compare_peers(arguments, found, report)


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
