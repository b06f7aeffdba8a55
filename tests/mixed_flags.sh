#!/usr/bin/env bash
# One program of translation units with different -m flags: each computes, bit for bit, what it does
# in a program of its own, no symbol of tsdl's is shared, and where qemu plays an old processor, the
# unit built for it runs there although the others stand beside it.
#
# Usage: mixed_flags.sh SOURCE_DIR COMPILER [PART...]
#   PART: v1, v3 or v4, for -march=x86-64, x86-64-v3, x86-64-v4; v1 and v3 when none is given.
# Parts that this processor cannot run are linked and not run. Needs binutils.
set -euo pipefail

source=$(realpath "$1") compiler=$2
. "$source/tests/programs/lib.sh"
cd "$work"
parts=("${@:3}")
[ ${#parts[@]} -gt 0 ] || parts=(v1 v3)
declare -A march=([v1]=x86-64 [v3]=x86-64-v3 [v4]=x86-64-v4)
declare -A needs=([v1]=sse2 [v3]="avx2 fma bmi2" [v4]="avx512f avx512bw avx512cd avx512dq avx512vl")
includes=(-I "$source/include" -isystem /usr/include/eigen3)

# The namespace that a set of flags leads to.
abi() { echo TSDL_ABI | "$compiler" -std=c++20 "$@" -E -P -x c++ -include tsdl/version.hpp "${includes[@]}" - | tail -n 1; }
if [ "$(uname -m)" != x86_64 ]; then
  echo "skipped: mixed flags: not an x86-64 processor"
  exit 0
fi
flags=(-march=x86-64 -msse3 -mssse3 -msse4.1 -msse4.2 -mavx "-mavx -mfma" -mavx2 -march=x86-64-v3
  "-mavx2 -mfma" -mavx512f -march=x86-64-v4 "-march=x86-64-v4 -mno-avx512vl" -march=cascadelake
  -march=icelake-server -march=sapphirerapids "-march=x86-64-v3 -mavxvnni" -DTSDL_NO_THREADS
  -ffast-math -ffinite-math-only "-DTSDL_NO_THREADS -ffast-math")
for set in "${flags[@]}"; do
  # shellcheck disable=SC2086  # several flags
  printf '%s %s\n' "$(abi $set)" "${set// /,}"
done >spaces
grep -vE '^v[0-9]+_[0-9]+_[0-9]+_[a-z0-9_]+ ' spaces && fail "a namespace that is not a name"
[ "$(abi -ffast-math)" = "$(abi -ffinite-math-only)" ] || fail "two namespaces without NaN"
sed -i '/-ffinite-math-only$/d' spaces
[ -z "$(cut -d ' ' -f 1 spaces | sort | uniq -d)" ] ||
  fail "different flags, one namespace: $(sort spaces | uniq -D -w "$(abi | wc -c)")"
passed "each set of flags has its namespace"

# At -O0 every function is a symbol of its own.
common=(-std=c++20 -O0 -ffp-contract=off -DEIGEN_MAX_ALIGN_BYTES=64)
build() {
  "$compiler" "${common[@]}" -march="${march[$1]}" -DTSDL_TEST_PART="part_$1" "${includes[@]}" \
    -c "$source/tests/mixed_flags/part.cpp" -o "$1.o"
}
built=()
for part in "${parts[@]}"; do
  build "$part" &
  built+=($!)
  [ $((${#built[@]} % 2)) -eq 1 ] || wait "${built[@]:(-2)}" || fail "a part does not compile"
done
wait "${built[@]}" || fail "a part does not compile"
"$compiler" "${common[@]}" -c "$source/tests/mixed_flags/main.cpp" -o main.o
for part in "${parts[@]}"; do "$compiler" main.o "$part.o" -o "alone_$part"; done
objects=("${parts[@]/%/.o}")
"$compiler" main.o "${objects[@]}" -o program_mixed
mapfile -t reversed < <(printf '%s\n' "${objects[@]}" | tac)
"$compiler" main.o "${reversed[@]}" -o program_reversed

# untagged FILE NAMESPACE: the symbols in which tsdl:: stands without the namespace, and those with
# C's names that are neither the part's own nor the compiler's.
untagged() {
  nm -C --defined-only "$1" | cut -c 18- | grep 'tsdl::' |
    sed "s/tsdl::$2::/OURS/g" | grep 'tsdl::' || true
  nm --defined-only "$1" | awk '$2 ~ /[A-TV-Zu]/ && $3 !~ /^(_Z|DW\.ref\.|__clang_call_terminate$|part_)/ { print $3 }'
}
for part in "${parts[@]}"; do
  space=$(abi -march="${march[$part]}")
  [ -z "$(untagged "$part.o" "$space")" ] ||
    fail "$part: symbols without $space: $(untagged "$part.o" "$space" | head)"
  nm --defined-only "$part.o" | awk '/4tsdl/ { print $3 }' | sort -u >"$part.ours"
  [ "$(wc -l <"$part.ours")" -ge 500 ] || fail "$part: only $(wc -l <"$part.ours") symbols of tsdl"
done
[ -z "$(cat ./*.ours | sort | uniq -d)" ] || fail "shared: $(cat ./*.ours | sort | uniq -d | head)"
passed "$(cat ./*.ours | wc -l) symbols of tsdl's, none shared by ${parts[*]}"

runs_here() {
  local flags flag
  flags=" $(grep -m 1 '^flags' /proc/cpuinfo) "
  for flag in ${needs[$1]}; do [[ "$flags" == *" $flag "* ]] || return 1; done
}
here=()
for part in "${parts[@]}"; do
  if runs_here "$part"; then here+=("$part"); else echo "not run, the processor lacks it: $part"; fi
done
head -n 300 "$source/examples/data/sp500-daily.csv" >candles.csv
run() {  # run DIRECTORY PROGRAM PART...
  mkdir -p "$1"
  (cd "$1" && "../$2" ../candles.csv "${@:3}") || fail "$1: exit status $?"
}
for part in "${here[@]}"; do run alone "alone_$part" "$part"; done
for program in mixed reversed; do
  run "$program" "program_$program" "${here[@]}"
  for part in "${here[@]}"; do same "$program" "alone/$part" "$program/$part"; done
done
[ "$(sort -u alone/* | grep -cE '^(sse2|avx2_fma|avx512bw)$')" -eq ${#here[@]} ] ||
  fail "the parts were not built for different instruction sets"
grep -qx 'bad:2:18: close: expected a finite number, found "nan"' alone/v1 || fail "$(cat alone/v1)"
passed "each of ${here[*]} computes what it does alone"

# Functions of Eigen's and the standard library's that are not inlined are shared, and the linker
# takes the first: with the least instruction set first, its unit runs where the others do not.
if [ "${parts[0]}" = v1 ] && command -v qemu-x86_64 >/dev/null; then
  mkdir qemu
  (cd qemu && qemu-x86_64 -cpu Nehalem ../program_mixed ../candles.csv v1) || fail "qemu: v1 does not run"
  same "qemu" alone/v1 qemu/v1
  passed "the unit for SSE2, linked first, runs on a processor without AVX"
else
  echo "skipped: qemu-x86_64 is not here, so no processor without AVX"
fi
echo "mixed_flags: all passed with $compiler"
