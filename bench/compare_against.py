"""Two builds of this library side by side, for bench/compare --against.

They are timed as peers are, slot by slot in turn, but a round goes through all the work: while the
machine is slower, that falls on all rows, and on both builds alike. Where the kernel happened to put
a program's file in memory moves its times by up to 7% for as long as the file stays cached, so
every few rounds both programs are copied and started afresh.
"""
import json
import math
import pathlib
import re
import resource
import shutil
import statistics
import sys
import tempfile
import time

from contest import (BUSY, NETWORKS, PAUSED, STREAMS, WORK, Contestant, cell, check, core_seconds, pause,
                     quartiles, row, title)

OURS, OTHER = "ours", "other"
PROGRAM = "bench/peers/contest_tsdl"  # in a build folder
VARIANTS = [f"{name}_dense" for name in NETWORKS] + [f"{name}_half" for name in STREAMS + PAUSED]
ROUNDS_A_START = 3
SETTINGS = ["CMAKE_BUILD_TYPE", "CMAKE_CXX_COMPILER", "CMAKE_CXX_FLAGS", "TSDL_MARCH", "TSDL_THREADS",
            "TSDL_SANITIZE"]


def settings(build):
    """What a build folder was configured with."""
    cache = build / "CMakeCache.txt"
    lines = re.findall(r"^(\w+):\w+=(.*)$", cache.read_text() if cache.exists() else "", re.M)
    return {name: value for name, value in lines if name in SETTINGS}


def chosen_work(pattern, threads):
    """The work that the pattern finds. A step takes one thread, however many there are."""
    return [name for name in WORK + VARIANTS
            if re.search(pattern, name) and (threads == 1 or not name.startswith("stream"))]


def progress(words):
    if sys.stderr.isatty():
        print(f"\r\033[K{words}", end="", file=sys.stderr, flush=True)


class Others:
    """What other programs take of the cores from here on."""

    def __init__(self, cores):
        self.cores = cores
        self.start = self.now()

    def now(self):
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return *core_seconds(self.cores), children.ru_utime + children.ru_stime

    def share(self):
        """Valid when the contestants have ended."""
        busy, total, own = (later - before for before, later in zip(self.start, self.now()))
        return max(0.0, busy - own) / max(0.01, total)


class Pair:
    """Both builds' processes, from new copies of their programs."""

    def __init__(self, programs, threads, cores):
        self.threads = threads
        with tempfile.TemporaryDirectory() as folder:
            self.contestants = []
            for name, program in programs.items():
                copy = shutil.copy(program, pathlib.Path(folder) / name)
                self.contestants.append(Contestant(name, [copy], threads, cores))

    def does(self, name):
        """Whether both do the work. Warms up."""
        return all(contestant.numbers(name) is not None for contestant in self.contestants)

    def slots(self, name, turn):
        """Milliseconds a call in a slot of each: (build, ms)."""
        first = turn % 2
        for contestant in self.contestants[first:] + self.contestants[:first]:
            time.sleep(pause(self.threads))
            yield contestant.name, contestant.numbers(name)[0]

    def stop(self):
        for contestant in self.contestants:
            contestant.stop()


def measure(programs, work, rounds, threads, cores):
    """The samples of both builds, in ms: {work: {build: one a round}}. And the largest difference
    between what they compute."""
    samples = {}
    difference = 0.0
    for start in range(0, rounds, ROUNDS_A_START):
        pair = Pair(programs, threads, cores)
        if start == 0:
            difference = check(pair.contestants, work)
        common = [name for name in work if pair.does(name)]
        for turn in range(start, min(start + ROUNDS_A_START, rounds)):
            progress(f"threads: {threads}, round {turn + 1} of {rounds}")
            for index, name in enumerate(common):
                times = samples.setdefault(name, {OURS: [], OTHER: []})
                for build, milliseconds in pair.slots(name, turn + index):
                    times[build].append(milliseconds)
        pair.stop()
    progress("")
    return samples, difference


def summary(samples):
    """The ratio of other to ours, which is the median over the rounds, and the ratio of each round. A
    slot and the next share the machine's speed, which two medians of a noisy hour may not."""
    by_round = [theirs / mine for mine, theirs in zip(samples[OURS], samples[OTHER])]
    return {"ratio": statistics.median(by_round), "by_round": by_round}


def print_table(results, threads, difference):
    plural = "threads" if threads > 1 else "thread"
    print(f"\n{threads} {plural}; both compute the same: largest difference {difference:.0e}\n")
    headings = ["ms", OURS, OTHER, "other / ours", "quartiles"]
    widths = [34, 12, 12, 12, 14]
    print(row(headings, widths))
    print(row(["-" * width for width in widths], widths))
    for name, entry in results.items():
        low, high = quartiles(entry["by_round"])
        print(row([title(name), cell(name, entry["ms"][OURS]), cell(name, entry["ms"][OTHER]),
                   f"{entry['ratio']:.3f}", f"{low:.3f} to {high:.3f}"], widths))


def geometric_mean(ratios):
    return math.exp(statistics.mean(math.log(ratio) for ratio in ratios))


def print_means(runs):
    """The geometric mean of all ratios, its quartiles over the rounds, and the least ratio."""
    entries = {(name, threads): entry for threads, run in runs.items() for name, entry in run.items()}
    if not entries:
        return
    mean = geometric_mean([entry["ratio"] for entry in entries.values()])
    rounds = zip(*(entry["by_round"] for entry in entries.values()))
    low, high = quartiles([geometric_mean(ratios) for ratios in rounds])
    name, threads = min(entries, key=lambda key: entries[key]["ratio"])
    plural = "threads" if threads > 1 else "thread"
    print(f"\nGeometric mean of {len(entries)} ratios: {mean:.3f}, quartiles {low:.3f} to {high:.3f}")
    print(f"Least ratio: {entries[name, threads]['ratio']:.3f}, {title(name)}, {threads} {plural}")


def print_two_to_one(runs):
    """Under load, what two threads take over what one takes, of each build."""
    print("\nOne of two cores busy: the time on two threads over that on one\n")
    widths = [34, 12, 12]
    print(row(["two threads / one", OURS, OTHER], widths))
    print(row(["-" * width for width in widths], widths))
    for name in runs.get(2, {}):
        if name in runs.get(1, {}):
            ratios = [statistics.median(runs[2][name]["ms"][build]) /
                      statistics.median(runs[1][name]["ms"][build]) for build in [OURS, OTHER]]
            print(row([title(name)] + [f"{ratio:.2f}" for ratio in ratios], widths))


def print_builds(builds):
    for name, build in builds.items():
        print(f"{name}: {build.resolve()}")
    mine, theirs = settings(builds[OURS]), settings(builds[OTHER])
    for name in sorted(mine.keys() & theirs.keys()):
        if mine[name] != theirs[name]:
            print(f"Built differently: {name} is '{mine[name]}' in ours, '{theirs[name]}' in the other")


def compare_builds(arguments, usable, report):
    """Times our build beside the other and writes what it finds. `usable`: (threads, cores)."""
    builds = {OURS: arguments.build, OTHER: arguments.against}
    programs = {name: build / PROGRAM for name, build in builds.items()}
    print_builds(builds)
    print(f"Medians of {arguments.rounds} rounds ± half the interquartile range; other / ours: the "
          "median of the rounds' ratios, above 1 ours is faster")
    for threads, cores in usable:
        work = chosen_work(arguments.work, threads)
        if not work:
            continue
        others = Others(cores)
        samples, difference = measure(programs, work, arguments.rounds, threads, cores)
        results = {name: {"ms": times, **summary(times)} for name, times in samples.items()}
        if results:
            print_table(results, threads, difference)
        if not arguments.load and others.share() > BUSY:
            print(f"\nOther programs took {others.share():.0%} of the cores meanwhile: do not trust "
                  "these figures")
        missing = [name for name in work if name not in samples]
        if missing:
            print("Left out, not in both builds: " + " ".join(missing))
        sys.stdout.flush()
        report["runs"][threads] = results
    print_means(report["runs"])
    if arguments.load:
        print_two_to_one(report["runs"])
    target = arguments.build / "against.json"
    target.write_text(json.dumps(report, indent=1) + "\n")
    print(f"Wrote {target}")
