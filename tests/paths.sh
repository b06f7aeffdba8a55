#!/usr/bin/env bash
# Builds the tests that hang on the processor for each instruction set, with threads and without, and
# runs them: one line a path.
#
# Usage: tests/paths.sh [--short] [NAME...]
#   --short: only the kernels, finite differences of gradients, and safetensors.
#   NAME: sse2, sse2-threads, avx2, avx2-threads, avx512, avx512-threads, aarch64, aarch64-threads;
#   all when none is given.
# The tests are those of core, kernels, tasks, nn, optim, indicators and select, of features and the
# scaler, of same bits, and of reading and writing files (tsdl_path_tests in
# tests/CMakeLists.txt), where PyTorch is installed on random cases of its too, but not in aarch64,
# which qemu runs slowly. Tracking and programs are not among them: run.sh tests those.
#
# Everything is built in build/paths, at -O1 and with assertions. The first time this takes some 5
# minutes of one processor a path, those of aarch64, which qemu runs, 20: an hour and a half for all.
# With --short it is a minute and a half a path, and four for one of aarch64.
# What this processor cannot run is built and not run. The exit status is 0 when no path failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

names=(sse2 sse2-threads avx2 avx2-threads avx512 avx512-threads aarch64 aarch64-threads)
# -march= of each, what version.hpp calls it, and what /proc/cpuinfo must list for it to run.
declare -A march=([sse2]=x86-64 [avx2]=x86-64-v3 [avx512]=x86-64-v4 [aarch64]=armv8-a)
declare -A called=([sse2]=sse2 [avx2]=avx2_fma [avx512]=avx512bw [aarch64]=neon64)
declare -A needs=([sse2]=sse2 [avx2]="avx2 fma bmi2" [avx512]="avx512f avx512bw avx512cd avx512dq avx512vl")
emulator=(qemu-aarch64 -L /usr/aarch64-linux-gnu)

program=tsdl_path_tests
if [ "${1-}" = --short ]; then
  program=tsdl_short_path_tests
  shift
fi
for name in "$@"; do
  [[ " ${names[*]} " == *" $name "* ]] || {
    echo "paths.sh: there is no path '$name': one or more of ${names[*]}" >&2
    exit 2
  }
done
[ $# -eq 0 ] || names=("$@")

source examples/support/packages.sh
need_packages "${build_packages[@]}" doctest-dev openssl binutils
[[ " ${names[*]}" != *" aarch64"* ]] || need_packages g++-aarch64-linux-gnu qemu-user

if [ $program = tsdl_path_tests ] && python=$(command -p -v python3) && "$python" -c "import torch" 2>/dev/null; then
  export TSDL_TORCH_CASES=$PWD/build/paths/torch_cases TSDL_PYTHON=$python
  "$python" tests/goldens/torch_cases.py --out "$TSDL_TORCH_CASES" --seed 1
fi
export OMP_NUM_THREADS=2  # so that work is shared out on any machine

# Options of CMake by which it compiles for aarch64. Headers are anybody's, but Debian keeps what
# CMake knows of some of them where only compilers for this machine look.
cross_options() {
  local known
  known=$(dpkg -L libxsimd-dev | grep -m 1 '/cmake/xsimd$')
  printf '%s\n' -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 \
    -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ -DCMAKE_PREFIX_PATH="${known%/xsimd}"
}

# build FOLDER PATH: the program of one path, for which its symbols must speak.
build() {
  local set=${2%-threads} threads=OFF suffix=_serial spaces options=()
  [ "$2" = "$set" ] || threads=ON suffix=""
  [ "$set" != aarch64 ] || mapfile -t options < <(cross_options)
  cmake -S . -B "$1" -DCMAKE_BUILD_TYPE= -DCMAKE_CXX_FLAGS=-O1 -DTSDL_MARCH="${march[$set]}" \
    -DTSDL_THREADS="$threads" -DTSDL_BUILD_TESTS=ON -DTSDL_BUILD_EXAMPLES=OFF -DTSDL_BUILD_BENCH=OFF \
    "${options[@]}" && cmake --build "$1" --target $program || return 1
  spaces=$(nm -C "$1/tests/$program" | grep -oE 'tsdl::v[0-9]+_[0-9a-z_]+::' | sort -u)
  [[ "$spaces" =~ ^tsdl::v[0-9]+_[0-9]+_[0-9]+_${called[$set]}_[01]+$suffix::$ ]] || {
    echo "built for another path: $spaces"
    return 1
  }
}

runs_here() {
  local set=${1%-threads} flags flag
  [ "$set" != aarch64 ] || return 0
  flags=" $(grep -m 1 '^flags' /proc/cpuinfo) "
  for flag in ${needs[$set]}; do [[ "$flags" == *" $flag "* ]] || return 1; done
}

# run_tests FOLDER PATH
run_tests() {
  local by=()
  [ "${2%-threads}" != aarch64 ] || by=(env -u TSDL_TORCH_CASES -u TSDL_PYTHON "${emulator[@]}")
  "${by[@]}" "$1/tests/$program"
}

# counts LOG: what doctest says of its test cases and assertions.
counts() {
  sed -nE 's/^\[doctest\] (test cases|assertions): *[0-9]+ \| *([0-9]+) passed \| *([0-9]+) failed.*/\2 \1 passed, \3 failed/p' \
    "$1" | paste -sd ';' | sed 's/;/; /'
}

status=0
for name in "${names[@]}"; do
  folder=build/paths/$name
  mkdir -p "$folder"
  verdict=passed what=""
  if ! build "$folder" "$name" >"$folder/build.log" 2>&1; then
    verdict=failed what="not built: $(tail -n 1 "$folder/build.log") ($folder/build.log)"
  elif ! runs_here "$name"; then
    verdict="not run" what="this processor lacks one of: ${needs[${name%-threads}]}"
  elif run_tests "$folder" "$name" >"$folder/test.log" 2>&1; then
    what=$(counts "$folder/test.log")
  else
    verdict=failed what="$(counts "$folder/test.log") ($folder/test.log)"
  fi
  [ "$verdict" != failed ] || status=1
  printf '%-14s %-8s %s\n' "$name" "$verdict" "$what"
done
exit $status
