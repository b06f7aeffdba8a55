#!/usr/bin/env bash
# What tests/run.sh checks with the compiler that it builds with, checked with another one: that every
# header compiles alone, projects of users, programs of mixed flags and under -ffast-math, and what
# must not compile. The unit tests themselves: CXX=clang++ cmake --preset dev.
#
# Usage: other_compiler.sh [COMPILER]   clang++ when not given
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
compiler=${1:-clang++}
for script in structure consumer fast_math mixed_flags refused; do
  "tests/$script.sh" "$PWD" "$compiler"
done
