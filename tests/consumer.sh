#!/usr/bin/env bash
# Projects that use tsdl as an installed package and as a subdirectory: they build with one include,
# get no flag of ours, need no other party's headers than Eigen's and xsimd's, and run.
#
# Usage: consumer.sh SOURCE_DIR COMPILER
#   SOURCE_DIR: tsdl's own directory. COMPILER: g++ or clang++.
set -euo pipefail

source=$(realpath "$1") compiler=$2
. "$source/tests/programs/lib.sh"
cd "$work"
unset CXXFLAGS CFLAGS LDFLAGS CMAKE_PREFIX_PATH
cp -r "$source/tests/consumer" project
strict="-march=native -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror"

logged() {  # logged NAME COMMAND...: its output only when it fails
  "${@:2}" >"$work/log" 2>&1 || {
    tail -n 40 "$work/log" >&2
    fail "$1"
  }
}

# configure NAME FLAGS OPTION...: in a directory of that name, without what tsdl does not need.
configure() {
  logged "$1: configure" cmake -S project -B "$1" -DCMAKE_CXX_COMPILER="$compiler" \
    -DCMAKE_CXX_FLAGS="$2" -DCMAKE_BUILD_TYPE= -DCMAKE_DISABLE_FIND_PACKAGE_nlohmann_json=ON \
    -DCMAKE_DISABLE_FIND_PACKAGE_CLI11=ON -DCMAKE_DISABLE_FIND_PACKAGE_doctest=ON "${@:3}"
}

# probe NAME: builds the small program and runs it.
probe() {
  logged "$1: build" cmake --build "$1" --target probe
  succeed "$1: run" "$1/probe"
  grep -qE "^tsdl $version 8$" stdout || fail "$1: $(cat stdout)"
  passed "$1: $(cat stdout)"
}

# build NAME: builds the consumer, runs it, and checks what it says and which headers it got.
build() {
  local name=$1 accuracy dependencies
  logged "$name: build" cmake --build "$name" -j 2 --target consumer
  succeed "$name: run" "$name/consumer"
  grep -q "^tsdl $version (" stdout || fail "$name: not version $version: $(cat stdout)"
  grep -q '^finished after 15 epochs$' stdout || fail "$name: $(cat stdout)"
  accuracy=$(sed -n 's/^accuracy \([0-9.]*\),.*/\1/p' stdout)
  awk -v a="$accuracy" 'BEGIN { exit !(a >= 0.9 && a <= 1) }' ||
    fail "$name: it has not learnt: $(cat stdout)"
  dependencies=$(find "$name" -name '*.d' | grep -c 'consumer.dir/.*cpp\.o\.d$') || true
  [ "$dependencies" -eq 2 ] || fail "$name: $dependencies dependency files, not 2"
  find "$name" -path '*consumer.dir*.cpp.o.d' -exec cat {} + >"$name.headers"
  grep -q 'tsdl/bilstm.hpp' "$name.headers" || fail "$name: the dependency files name no header"
  ! grep -qiE 'nlohmann|httplib|spdlog|CLI11|/CLI/|doctest' "$name.headers" || fail "$name: it needs other headers"
  ! grep -q '/tsdl/io/' "$name.headers" || fail "$name: bilstm.hpp includes io/"
  passed "$name: $(tail -n 1 stdout)"
}

# only_standard NAME: the compiler got the language standard and no other flag.
only_standard() {
  local flags
  flags=$(sed -n 's/^CXX_FLAGS = *//p' "$1/CMakeFiles/consumer.dir/flags.make")
  [[ "$flags" =~ ^-std=(gnu|c)\+\+(20|2a)$ ]] || fail "$1: the target brings flags: $flags"
  ! grep -q '^CXX_DEFINES = *[^ ]' "$1/CMakeFiles/consumer.dir/flags.make" ||
    fail "$1: the target brings definitions"
  passed "$1: no flag but the language standard"
}

version=$(sed -n 's/^#define TSDL_VERSION_[A-Z]* \([0-9]*\)$/\1/p' \
  "$source/include/tsdl/version.hpp" | paste -sd .)
[[ "$version" =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || fail "the version in version.hpp: $version"

# nothing_left NAME: the project that took us in has no flag, test or variable of ours, but for those
# that bear our name.
nothing_left() {
  local found
  found=$(grep -vE '^(standard|options|definitions|tests|flags) *$|^variables ' "$1/left.txt") || true
  [ -z "$found" ] || fail "$1: left behind: $found"
  ! grep -E '^TSDL_(BUILD_[A-Z]+|INSTALL):[A-Z]*=ON' "$1/CMakeCache.txt" >&2 || fail "$1: options are on"
  [ -z "$(find "$1" -type d \( -name tests -o -name examples -o -name bench \))" ] ||
    fail "$1: it builds tests, examples or benchmarks of ours"
  [ -z "$(find "$1" -name cmake_install.cmake -exec grep -l 'tsdl/include' {} +)" ] ||
    fail "$1: its install has our headers"
  found=$(sed -n 's/^\([A-Za-z_0-9-]*\):[A-Z]*=.*/\1/p' "$1/CMakeCache.txt" |
    grep -vE '^(_?CMAKE_|_GNUInstallDirs_|CONSUMER_|TSDL_|tsdl_|Eigen3_|xsimd_|FETCHCONTENT_|FIND_PACKAGE_)') || true
  [ -z "$found" ] || fail "$1: cache variables without our name: $found"
  found=$(comm -13 <(tr ' ;' '\n\n' <plain/left.txt | sort -u) <(tr ' ;' '\n\n' <"$1/left.txt" | sort -u) |
    grep -viE '^(CMAKE_|_GNUInstallDirs_|CONSUMER_|TSDL_|FETCHCONTENT_|_+FetchContent|__cmake_|content|tsdl)') || true
  [ -z "$found" ] || fail "$1: variables without our name: $found"
  passed "$1: leaves nothing behind"
}

# Installed into a directory of its own.
logged "install: configure" cmake -S "$source" -B package -DCMAKE_CXX_COMPILER="$compiler" \
  -DTSDL_BUILD_TESTS=OFF -DTSDL_BUILD_EXAMPLES=OFF -DCMAKE_INSTALL_PREFIX="$work/prefix"
logged "install" cmake --install package
[ -f prefix/include/tsdl/bilstm.hpp ] || fail "install: no prefix/include/tsdl/bilstm.hpp"
passed "install"

configure installed "" -DCMAKE_PREFIX_PATH="$work/prefix"
only_standard installed
build installed
grep -q "$work/prefix/include/tsdl/bilstm.hpp" installed.headers ||
  fail "installed: it did not use the installed headers"
# An installed package counts as a system, whose warnings are hidden; a subdirectory does not.
configure strict "$strict" -DTSDL_SOURCE_DIR="$source"
build strict
grep -q -- "-I$source/include" strict/CMakeFiles/consumer.dir/flags.make ||
  fail "strict: our headers count as a system's, so their warnings are hidden"

configure plain "" -DCMAKE_PREFIX_PATH="$work/prefix"
configure subdirectory "" -DTSDL_SOURCE_DIR="$source"
configure fetched "" -DCONSUMER_FETCHES=ON -DFETCHCONTENT_SOURCE_DIR_TSDL="$source" \
  -DFETCHCONTENT_FULLY_DISCONNECTED=ON
for name in subdirectory fetched; do
  only_standard "$name"
  nothing_left "$name"
done
probe fetched

# The five examples, by either way, without a warning under stricter flags.
strict="-O0 -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Werror"
configure examples_installed "$strict" -DCMAKE_PREFIX_PATH="$work/prefix" -DCONSUMER_EXAMPLES="$source/examples"
configure examples_fetched "$strict" -DCONSUMER_FETCHES=ON -DFETCHCONTENT_SOURCE_DIR_TSDL="$source" \
  -DFETCHCONTENT_FULLY_DISCONNECTED=ON -DCONSUMER_EXAMPLES="$source/examples"
# Of those fetched two: the headers and flags are the same.
for pair in installed:layer,classifier,regression,quantiles,live fetched:layer,classifier; do
  name=examples_${pair%%:*}
  for example in $(tr , ' ' <<<"${pair#*:}"); do
    logged "$name: $example" cmake --build "$name" --target "$example"
    grep -rqE -- "-I[^ ]*($work/prefix|$source)/include" "$name/CMakeFiles/$example.dir/flags.make" ||
      fail "$name: our headers count as a system's, so their warnings are hidden"
  done
  passed "$name: ${pair#*:}, without a warning"
done
examples_installed/layer >stdout || fail "layer does not run"
echo "consumer: all passed with $compiler"
