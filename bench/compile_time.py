"""Times a compiler on small programs, in rotation, and prints a table. Run by bench/compile_time."""

import os
import re
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


def command(compiler, flags, source, output):
    includes = ["-I", str(ROOT / "include")]
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


def main():
    rounds, compiler, flags = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    version = subprocess.run([compiler, "--version"], check=True, capture_output=True, text=True)
    print(f"{version.stdout.splitlines()[0]}, {' '.join(flags)}; {os.cpu_count()} cores;", end=" ")
    print(f"{time.strftime('%F')}, median of rounds: {rounds}\n", flush=True)
    with tempfile.TemporaryDirectory() as work:
        sources = {name: ROOT / "bench/compile" / f"{name}.cpp" for name in PROGRAMS}
        sources["training"] = Path(work) / "training.cpp"
        sources["training"].write_text(training_program())
        if "clang" in version.stdout or not (TORCH / "torch/csrc/api/include/torch/torch.h").exists():
            del sources["torch"]
            print("libtorch is left out: not installed, or not C++20 for this compiler\n")
        runs = {name: [] for name in sources}
        names = list(sources)
        for turn in range(rounds):
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                runs[name].append(compile_once(command(compiler, flags, sources[name], Path(work) / "out.o")))
    medians = {name: statistics.median(seconds for seconds, _ in runs[name]) for name in runs}
    print(f"{'':32}{'seconds':>9}{'over Eigen':>12}{'MiB':>7}")
    for name, seconds in medians.items():
        memory = max(mebibytes for _, mebibytes in runs[name])
        over = f"{seconds - medians['eigen']:+12.1f}" if name != "eigen" else " " * 12
        print(f"{PROGRAMS[name]:32}{seconds:9.1f}{over}{memory:7.0f}")


if __name__ == "__main__":
    main()
