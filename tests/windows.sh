#!/usr/bin/env bash
# Builds the library's tests for Windows with MinGW-w64 and runs them under Wine, lets two programs save
# one file, and compiles each header alone.
#
# Usage: tests/windows.sh [NAME...]
#   NAME: tests by their paths below tests/, as in core/file or nn/network; all of core, kernels, task,
#   nn, optim, data, train and io when none is given. The rest is done in that case only.
# Left out: what talks to a server, by cpp-httplib, and the programs, which call POSIX.
#
# Everything is built in build/windows, at -O1 and linked statically; the first time this
# takes half an hour of a processor. MARCH is x86-64-v2 when not set: GCC does not align the stack of a
# 64-bit Windows to the 32 bytes that it then relies on for AVX (its bug 54412). With
# MARCH=x86-64-v3 the assembler is told to write moves that need no alignment.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source examples/support/packages.sh
need_packages "${build_packages[@]}" g++-mingw-w64-x86-64-posix wine wine64 doctest-dev

names=("$@")
[ $# -gt 0 ] || mapfile -t names < <(cd tests && ls {core,kernels,task,nn,nn/recurrent,optim,data,data/indicators,train,io}/*.cpp |
  sed 's/\.cpp$//')
march=${MARCH:-x86-64-v2}
out=build/windows/$march
compiler=x86_64-w64-mingw32-g++-posix
flags=(-std=c++20 -O1 -march="$march" -ffp-contract=off -I include -I tests
  -isystem build/windows/include -isystem /usr/include/eigen3 "-DTSDL_SOURCE_DIR=\"$PWD\"")
case $march in
  x86-64 | x86-64-v2) ;;
  *) flags+=(-Wa,-muse-unaligned-vector-move) ;;
esac
warnings=(-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)

# The headers of other libraries without those of this system, which lie beside them.
mkdir -p "$out" build/windows/include
for library in doctest nlohmann protozero xsimd; do
  ln -sfn "/usr/include/$library" "build/windows/include/$library"
done

{
  printf 'objects =%s\n' "$(printf " $out/%s.o" main "${names[@]//\//.}")"
  printf '%s: $(objects)\n\t%s -static $(objects) -o $@\n' "$out/tests.exe" "$compiler"
  for name in main "${names[@]}"; do
    printf '%s: tests/%s.cpp\n\t%s %s -MD -c $< -o $@\n' "$out/${name//\//.}.o" "$name" "$compiler" \
      "$(printf '%q ' "${flags[@]}" "${warnings[@]}")"
  done
  printf -- '-include %s/*.d\n' "$out"
} >"$out/Makefile"
begin=$SECONDS
make -f "$out/Makefile" -j "$(nproc)" "$out/tests.exe"
echo "windows: built in $((SECONDS - begin)) s"

begin=$SECONDS status=0
export WINEPREFIX=$PWD/build/windows/wine WINEDEBUG=-all WINEDLLOVERRIDES="mscoree=;mshtml="
wine "$out/tests.exe" >"$out/log" 2>"$out/wine.log" </dev/null || status=$?
[ "$status" -eq 0 ] || {
  cat "$out/log"
  tail -n 5 "$out/wine.log"
  echo "windows: FAILED, exit status $status" >&2
  exit 1
}
grep '^\[doctest\]' "$out/log"
grep -o 'skipped: .*' "$out/log" || true
ran=$(sed -nE 's/^\[doctest\] test cases: *([0-9]+).*/\1/p' "$out/log")
left=$(cd tests && cat "${names[@]/%/.cpp}" |
  awk '/^#ifndef _WIN32/ { inside = 1 } /^#endif/ { inside = 0 } inside && /^TEST_CASE/ { ++n } END { print n + 0 }')
echo "windows: $ran cases passed for $march under $(wine --version) in $((SECONDS - begin)) s; $left that need fork," \
  "named pipes or limits of a process are not compiled for Windows"
[ $# -eq 0 ] || exit 0

# Two programs save one file, and then one is killed while it does.
begin=$SECONDS
fail() {
  echo "windows: FAILED: $*" >&2
  exit 1
}
"$compiler" "${flags[@]}" "${warnings[@]}" -static tests/saves/saves.cpp -o "$out/saves.exe"
saves() { exec wine "$out/saves.exe" "$out/one" "$1" 2>&1; }
rm -rf "$out/one"
mkdir "$out/one"
(saves 25) >"$out/first" &
(saves 25) >"$out/second" || fail "saves: $(cat "$out/second")"
wait $! || fail "saves: $(cat "$out/first")"
[ "$(ls -A "$out/one")" = same.txt ] || fail "saves left $(ls -A "$out/one")"
for ((tries = 0; tries < 20; ++tries)); do
  (saves 1000000) >"$out/first" &
  sleep 2
  kill -9 $!
  wait $! 2>/dev/null || true
  [ "$(ls -A "$out/one")" = same.txt ] || break
done
[ "$(ls -A "$out/one")" != same.txt ] || fail "a killed process leaves nothing"
(saves 1) || fail "saves after a kill"
[ "$(ls -A "$out/one")" = same.txt ] || fail "left behind after a kill: $(ls -A "$out/one")"
echo "windows: 200 saves of two processes, and what a killed one leaves, in $((SECONDS - begin)) s"

# Alone, and all together after windows.h, whose macros some programs have.
begin=$SECONDS
compile() {
  local what
  what=$(x86_64-w64-mingw32-g++-posix -fsyntax-only -x c++ "${@:2}" - 2>&1 <<<"#include \"$1\"") || {
    printf '%s does not compile alone:\n%s\n' "$1" "$(head -n 20 <<<"$what")"
    return 1
  }
}
export -f compile
headers=$(cd include && find tsdl -name '*.hpp' | grep -vE '(track/mlflow/(client|spool|upload|rest)|spread/mpi)\.hpp' | sort)  # these need cpp-httplib or MPI
xargs -P "$(nproc)" -I {} bash -c 'compile "$@"' - {} "${flags[@]}" "${warnings[@]}" <<<"$headers" >"$out/headers" ||
  fail "$(cat "$out/headers")"
{
  printf '#define NOMINMAX\n#include <windows.h>\n'
  sed 's/.*/#include "&"/' <<<"$headers"
} >"$out/all.cpp"
"$compiler" "${flags[@]}" "${warnings[@]}" -fsyntax-only "$out/all.cpp"
echo "windows: $(wc -l <<<"$headers") headers compile alone, and after windows.h, in $((SECONDS - begin)) s"
