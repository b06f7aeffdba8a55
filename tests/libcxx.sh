#!/usr/bin/env bash
# Builds the library's tests with clang and LLVM's standard library, as on a Mac, and runs them: with
# threads, and with `serial` without.
#
# Usage: tests/libcxx.sh [serial] [NAME...]
#   NAME: tests by their paths below tests/, as in core/file or nn/network; all of core, kernels,
#   nn, optim, data, train and io when none is given.
# What talks to a server (track/mlflow/) is left out: Debian's cpp-httplib is built with GCC's library.
# Everything is built in build/libcxx, at -O1; the first time this takes half an hour of a processor.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source examples/support/packages.sh
need_packages "${build_packages[@]}" clang libc++-dev libc++abi-dev doctest-dev

threads=(-pthread) out=build/libcxx/threads
if [ "${1:-}" = serial ]; then threads=(-DTSDL_NO_THREADS) out=build/libcxx/serial && shift; fi
names=("$@")
[ $# -gt 0 ] || mapfile -t names < <(cd tests && ls {core,kernels,task,nn,nn/recurrent,optim,data,data/indicators,train,spread,select,track,io}/*.cpp |
  sed 's/\.cpp$//')
flags=(-stdlib=libc++ -std=c++20 -O1 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror
  -march="${MARCH:-native}" -ffp-contract=off "${threads[@]}" -I include -I tests
  -isystem /usr/include/eigen3 -DTSDL_SOURCE_DIR="\"$PWD\"")
mkdir -p "$out"
{
  printf 'objects =%s\n' "$(printf " $out/%s.o" main umbrella "${names[@]//\//.}")"
  printf '%s: $(objects)\n\tclang++ %s $(objects) -o $@\n' "$out/tests" "-stdlib=libc++ ${threads[*]}"
  for name in main umbrella "${names[@]}"; do
    printf '%s: tests/%s.cpp\n\tclang++ %s -MD -c $< -o $@\n' "$out/${name//\//.}.o" "$name" "$(printf '%q ' "${flags[@]}")"
  done
  printf -- '-include %s/*.d\n' "$out"
} >"$out/Makefile"
make -f "$out/Makefile" -j "$(nproc)" "$out/tests"
"$out/tests"
