#!/usr/bin/env bash
# fast_math.sh SOURCE_DIR COMPILER: what is not finite is caught in a program built with -ffast-math,
# under which the compiler assumes that there is no infinity and no NaN.
set -euo pipefail

source=$(realpath "$1") compiler=$2
. "$source/tests/programs/lib.sh"
cd "$work"
flags=(-std=c++20 -march=native -I "$source/include" -I "$source/tests" -isystem /usr/include/eigen3)
"$compiler" "${flags[@]}" -O0 -c "$source/tests/main.cpp" -o main.o &
"$compiler" "${flags[@]}" -O2 -ffast-math -c "$source/tests/fast_math.cpp" -o fast_math.o ||
  fail "it does not compile"
wait $! || fail "doctest does not compile"
nm -C fast_math.o | grep 'tsdl::v[0-9a-z_]*_fast::' >/dev/null || fail "no symbol says that it is fast"
"$compiler" -ffast-math main.o fast_math.o -o fast_math
./fast_math || fail "built with -ffast-math by $compiler"
