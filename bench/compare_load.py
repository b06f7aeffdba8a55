"""One core kept busy by another process, for bench/compare --load: what threads cost there.

The contestants may use two cores, on one of which a process counts without end. Each has a process
for one thread and one for two, and all take turns, so that the ratio of two threads to one is of
the same minutes. Two threads that wait for each other pay for the core that one of them has not got.
"""
import os
import re
import statistics
import subprocess
import sys

from contest import NETWORKS, OURS, WINDOWS, Contestant, cell, check, in_turn, quartiles, row, title

THREADS = [1, 2]
WORK_UNDER_LOAD = NETWORKS + WINDOWS  # a step takes one thread
# It ends when this process has ended, in whatever way.
BUSY_LOOP = """import os
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(100000):
        pass
"""


class Load:
    """Keeps a core busy inside a `with`."""

    def __init__(self, core):
        self.command = ["taskset", "-c", str(core), sys.executable, "-c", BUSY_LOOP]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, start_new_session=True)  # Ctrl-C is not for it
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def cores_under_load():
    """The two cores that contestants may use; the last is kept busy."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        raise RuntimeError("--load: there is one core only, two are needed")
    return cores


def two_to_one(samples, key):
    """The ratio of two threads' median to one's, and its quartiles by round. samples: {(key, threads):
    ms}. None where there is no such contestant."""
    one, two = (samples.get((key, threads)) for threads in THREADS)
    if not one or not two:
        return None
    return (statistics.median(two) / statistics.median(one),
            quartiles([b / a for a, b in zip(one, two)]))


def columns_of(samples, key):
    ratio = two_to_one(samples, key)
    if ratio is None:
        return ["-"] * 4
    low, high = ratio[1]
    return [cell("", samples[key, threads]) for threads in THREADS] + [
        f"{ratio[0]:.2f}", f"{low:.2f} to {high:.2f}"]


def compare_under_load(arguments, found, report):
    """Times ours and the peers on one thread and on two, and prints row by row."""
    cores = cores_under_load()
    chosen = [name for name in WORK_UNDER_LOAD if re.search(arguments.work, name)]
    with Load(cores[-1]):
        contestants = []
        for name, command in found.items():
            try:
                pair = [Contestant(name, command, threads, cores) for threads in THREADS]
            except RuntimeError as error:
                if name == OURS:
                    raise
                print(f"{error}: left out", file=sys.stderr)
                continue
            contestants += zip(THREADS, pair)
        check([contestant for _, contestant in contestants], chosen)
        about = {contestant.name: contestant.about for _, contestant in contestants}
        headings = ["ms, one of two cores busy"]
        for text in about.values():
            headings += [text.split(",")[0] + ", 1", "2 threads", "2 / 1", "quartiles"]
        widths = [max(28 if i == 0 else 12, len(text)) for i, text in enumerate(headings)]
        print("\nUnder load: another process keeps one of the two cores busy. 2 / 1: the time on two "
              "threads over that on one,\nabove 1 the second thread hurts. A peer on two threads uses "
              "one where that is faster\n")
        print(row(headings, widths))
        print(row(["-" * width for width in widths], widths), flush=True)
        for name in chosen:
            running = [((contestant.name, threads), contestant, name)
                       for threads, contestant in contestants if contestant.numbers(name) is not None]
            samples = in_turn(running, arguments.rounds, max(THREADS))
            cells = [title(name)] + [part for key in about for part in columns_of(samples, key)]
            print(row(cells, widths), flush=True)
            report.setdefault("load", {})[name] = {
                "title": title(name), "ms": {f"{key}, {threads}": times
                                             for (key, threads), times in samples.items()},
                "two_to_one": {key: two_to_one(samples, key) for key in about}}
        for _, contestant in contestants:
            contestant.stop()
    ours = [entry["two_to_one"][OURS][0] for entry in report["load"].values()]
    print(f"\nOurs, largest 2 / 1: {max(ours):.2f}")
    report["contestants"] = about
