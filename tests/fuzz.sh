#!/usr/bin/env bash
# Reads model files, training states and snapshots that were changed at random, in a program that is
# built with clang, AddressSanitizer and UndefinedBehaviorSanitizer: only tsdl::Error may come out.
#
# Usage: tests/fuzz.sh [--count N] [--seed S] [--kind model|state|snapshot] [--first NUMBER]
#   --count: 1000000 files when not given: about a quarter of an hour of one processor, and two minutes to build.
#   --first: begins at this file; with --count 1 it makes one file again, which a failure has named.
# Files are written to /dev/shm where there is one. What is built is kept in build/fuzz.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source examples/support/packages.sh
need_packages "${build_packages[@]}" clang libclang-rt-14-dev

out=build/fuzz directory=${TMPDIR:-/tmp}
[ ! -w /dev/shm ] || directory=/dev/shm
options=("$@")
[[ " $* " == *" --count "* ]] || options+=(--count 1000000)
mkdir -p "$out"
flags="-std=c++20 -O1 -g1 -march=${MARCH:-native} -ffp-contract=off -pthread -Wall -Wextra -Werror \
  -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all -fno-omit-frame-pointer \
  -D_GLIBCXX_ASSERTIONS -I include -I tests -isystem /usr/include/eigen3"
{
  printf '%s/fuzz: %s/fuzz.o %s/memory.o\n\tclang++ %s $^ -o $@\n' "$out" "$out" "$out" "$flags"
  for name in fuzz memory; do
    printf '%s/%s.o: tests/fuzz/%s.cpp\n\tclang++ %s -MMD -c $< -o $@\n-include %s/%s.d\n' \
      "$out" "$name" "$name" "$flags" "$out" "$name"
  done
} >"$out/Makefile"
make -f "$out/Makefile" "$out/fuzz"
OMP_NUM_THREADS=1 "$out/fuzz" "${options[@]}" --directory "$directory"
