"""Times a compiler on small programs, in rotation, and prints a table. Run by bench/compile_time."""

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = {
    "empty": "an empty program",
    "eigen": "Eigen/Dense alone",
    "include": "tsdl/bilstm.hpp alone",
    "classifier": "one classifier, inference",
    "training": "the README's training program",
    "torch": "torch/torch.h alone",
}
EIGEN = ["/usr/include/eigen3", "/usr/local/include/eigen3", "/opt/homebrew/include/eigen3"]
TORCH = Path("/usr/include")


def training_program():
    """The README's C++ program that trains."""
    blocks = re.findall(r"^```cpp\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
    found = [block for block in blocks if "trainer.fit" in block]
    if len(found) != 1:
        sys.exit(f"README.md: expected one program that trains, found {len(found)}")
    return found[0]


def command(compiler, flags, source, output, root=ROOT):
    """Compiles `source` with the headers of the checkout `root`."""
    includes = ["-I", str(root / "include")]
    for folder in EIGEN:
        if os.path.isdir(folder):
            includes += ["-isystem", folder]
    if source.stem == "torch":
        includes = ["-isystem", str(TORCH / "torch/csrc/api/include")]
    return [compiler, "-std=c++20", *flags, *includes, "-c", str(source), "-o", str(output)]


def compile_once(arguments):
    """Seconds of processor time, user and system, and the compiler's largest memory in MiB."""
    process = subprocess.Popen(arguments)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit("does not compile: " + " ".join(arguments))
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def in_turn(commands, rounds):
    """What compile_once returns, in each round, by the commands' names."""
    runs = {name: [] for name in commands}
    names = list(commands)
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            runs[name].append(compile_once(commands[name]))
    return runs


def counted(arguments, counts):
    """The command, with the instructions that it takes written to the file `counts`."""
    return ["perf", "stat", "-x", ",", "-e", "instructions", "-o", str(counts), "--append", *arguments]


def instructions(counts):
    """The numbers in a file of `counted`, one a run; none where the machine does not count."""
    lines = counts.read_text().splitlines() if counts.exists() else []
    fields = [line.split(",") for line in lines]
    return [int(line[0]) for line in fields if line[0].isdigit() and "instructions" in line[2]]


def machine_counts(work):
    counts = work / "probe"
    if not shutil.which("perf"):
        return False
    tried = subprocess.run(counted(["true"], counts), capture_output=True)
    return tried.returncode == 0 and len(instructions(counts)) == 1


def compare(other, rounds, compiler, flags, work):
    """Prints what bench/compile/classifier.cpp costs with ours and with the other checkout's headers."""
    roots = {"ours": ROOT, "other": other}
    source = ROOT / "bench/compile/classifier.cpp"
    commands = {name: command(compiler, flags, source, work / f"{name}.o", root)
                for name, root in roots.items()}
    counting = machine_counts(work)
    if counting:
        commands = {name: counted(line, work / name) for name, line in commands.items()}
    runs = in_turn(commands, rounds)
    unit = "G instructions" if counting else "seconds"
    costs = {name: [count / 1e9 for count in instructions(work / name)] if counting else
             [seconds for seconds, _ in runs[name]] for name in roots}
    medians = {name: statistics.median(costs[name]) for name in roots}
    print(f"{PROGRAMS['classifier']:32}{unit:>15}{'least':>9}{'largest':>9}{'MiB':>7}")
    for name, root in roots.items():
        memory = max(mebibytes for _, mebibytes in runs[name])
        print(f"{name + ', ' + str(root):32}{medians[name]:15.2f}{min(costs[name]):9.2f}"
              f"{max(costs[name]):9.2f}{memory:7.0f}")
    print(f"\nother / ours: {medians['other'] / medians['ours']:.3f}; above 1, ours compiles faster")


def package_flags():
    """What the programs' sources need beside our headers."""
    found = subprocess.run(["pkg-config", "--cflags", "cpp-httplib"], capture_output=True, text=True)
    return found.stdout.split() if found.returncode == 0 else []


def examples(other, rounds, compiler, flags, work):
    """Prints what each source of examples/ costs, and where there is one that of another checkout."""
    roots = {"ours": ROOT} | ({"other": other} if other else {})
    commands = {}
    for name, root in roots.items():
        for folder in ("examples", "examples/support"):
            for source in sorted((root / folder).glob("*.cpp")):
                key = (str(source.relative_to(root)), name)
                commands[key] = command(compiler, [*flags, *package_flags()], source, work / "out.o", root)
    runs = in_turn(commands, rounds)
    medians = {key: statistics.median(seconds for seconds, _ in runs[key]) for key in runs}
    print(f"{'seconds':34}" + "".join(f"{name:>8}" for name in roots))
    for source in sorted({source for source, _ in medians}):
        cells = (medians.get((source, name)) for name in roots)
        print(f"{source:34}" + "".join(f"{cell:8.1f}" if cell else f"{'':8}" for cell in cells))
    sums = (sum(time for (_, name), time in medians.items() if name == of) for of in roots)
    print(f"{'all':34}" + "".join(f"{total:8.1f}" for total in sums))


def table(rounds, compiler, flags, work, with_torch):
    """Prints what each of the small programs costs."""
    sources = {name: ROOT / "bench/compile" / f"{name}.cpp" for name in PROGRAMS}
    sources["training"] = work / "training.cpp"
    sources["training"].write_text(training_program())
    if not with_torch:
        del sources["torch"]
        print("libtorch is left out: not installed, or not C++20 for this compiler\n")
    runs = in_turn({name: command(compiler, flags, source, work / "out.o")
                    for name, source in sources.items()}, rounds)
    medians = {name: statistics.median(seconds for seconds, _ in runs[name]) for name in runs}
    print(f"{'':32}{'seconds':>9}{'over Eigen':>12}{'MiB':>7}")
    for name, seconds in medians.items():
        memory = max(mebibytes for _, mebibytes in runs[name])
        over = f"{seconds - medians['eigen']:+12.1f}" if name != "eigen" else " " * 12
        print(f"{PROGRAMS[name]:32}{seconds:9.1f}{over}{memory:7.0f}")


def main():
    against, of_examples = sys.argv[1], sys.argv[2] == "examples"
    rounds, compiler, flags = int(sys.argv[3]), sys.argv[4], sys.argv[5:]
    version = subprocess.run([compiler, "--version"], check=True, capture_output=True, text=True)
    print(f"{version.stdout.splitlines()[0]}, {' '.join(flags)}; {os.cpu_count()} cores;", end=" ")
    print(f"{time.strftime('%F')}, median of rounds: {rounds}\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if of_examples:
            examples(Path(against) if against else None, rounds, compiler, flags, work)
        elif against:
            compare(Path(against), rounds, compiler, flags, work)
        else:
            torch = (TORCH / "torch/csrc/api/include/torch/torch.h").exists()
            table(rounds, compiler, flags, work, torch and "clang" not in version.stdout)


if __name__ == "__main__":
    main()
