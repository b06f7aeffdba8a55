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

# build NAME FLAGS OPTION...: configures and builds the consumer in a directory of that name, runs
# it, and checks what it says.
build() {
  local name=$1 flags=$2 accuracy
  shift 2
  logged "$name: configure" cmake -S project -B "$name" -DCMAKE_CXX_COMPILER="$compiler" \
    -DCMAKE_CXX_FLAGS="$flags" -DCMAKE_BUILD_TYPE= -DCMAKE_DISABLE_FIND_PACKAGE_nlohmann_json=ON \
    -DCMAKE_DISABLE_FIND_PACKAGE_CLI11=ON -DCMAKE_DISABLE_FIND_PACKAGE_doctest=ON \
    -DCMAKE_DISABLE_FIND_PACKAGE_OpenMP=ON "$@"
  logged "$name: build" cmake --build "$name" -j 2
  succeed "$name: run" "$name/consumer"
  grep -q "^tsdl $version (" stdout || fail "$name: not version $version: $(cat stdout)"
  grep -q '^finished after 15 epochs$' stdout || fail "$name: $(cat stdout)"
  accuracy=$(sed -n 's/^accuracy \([0-9.]*\),.*/\1/p' stdout)
  awk -v a="$accuracy" 'BEGIN { exit !(a >= 0.9 && a <= 1) }' ||
    fail "$name: it has not learnt: $(cat stdout)"

  # Which headers and flags it got.
  local dependencies
  dependencies=$(find "$name" -name '*.d' | grep -c 'cpp\.o\.d$') || true
  [ "$dependencies" -eq 2 ] || fail "$name: $dependencies dependency files, not 2"
  find "$name" -name '*.cpp.o.d' -exec cat {} + >"$name.headers"
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

# Installed into a directory of its own.
logged "install: configure" cmake -S "$source" -B package -DCMAKE_CXX_COMPILER="$compiler" \
  -DTSDL_BUILD_TESTS=OFF -DTSDL_BUILD_EXAMPLES=OFF -DCMAKE_INSTALL_PREFIX="$work/prefix"
logged "install" cmake --install package
[ -f prefix/include/tsdl/bilstm.hpp ] || fail "install: no prefix/include/tsdl/bilstm.hpp"
diff -r "$source/include/tsdl" prefix/include/tsdl >&2 || fail "install: headers are missing"
! grep -rqF "$source" prefix || fail "install: it names the source directory"
passed "install"

build installed "" -DCMAKE_PREFIX_PATH="$work/prefix"
only_standard installed
grep -q "$work/prefix/include/tsdl/bilstm.hpp" installed.headers ||
  fail "installed: it did not use the installed headers"
build subdirectory "" -DTSDL_SOURCE_DIR="$source"
only_standard subdirectory
[ ! -e subdirectory/tsdl/tests ] && [ ! -e subdirectory/tsdl/examples ] ||
  fail "subdirectory: it builds tests or examples of ours"
# An installed package counts as a system, whose warnings are hidden; a subdirectory does not.
build strict "$strict -O1" -DTSDL_SOURCE_DIR="$source"
grep -q -- "-I$source/include" strict/CMakeFiles/consumer.dir/flags.make ||
  fail "strict: our headers count as a system's, so their warnings are hidden"

# wanted VERSION: whether find_package(tsdl VERSION) finds it.
wanted() {
  rm -rf "versions"
  cmake -S project -B versions -DCMAKE_CXX_COMPILER="$compiler" -DTSDL_WANTED_VERSION="$1" \
    -DCMAKE_PREFIX_PATH="$work/prefix" >"$work/log" 2>&1
}
wanted "$version" || fail "find_package(tsdl $version) fails: $(tail -n 20 "$work/log")"
wanted "${version%.*}" || fail "find_package(tsdl ${version%.*}) fails"
! wanted 99 || fail "find_package(tsdl 99) works"
grep -q 'tsdl' "$work/log" || fail "find_package(tsdl 99): the message does not name tsdl"
! wanted "${version%%.*}.99" || fail "find_package(tsdl ${version%%.*}.99) works"
passed "find_package asks for the version"
echo "consumer: all passed with $compiler"
