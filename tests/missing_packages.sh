#!/usr/bin/env bash
# missing_packages.sh SOURCE_DIR COMPILER: where a package is missing, configuring ends with one message that
# names it as Debian does, and the scripts that install what is missing know that name.
set -euo pipefail
source=$(realpath "$1") compiler=$2
. "$source/tests/programs/lib.sh"
cd "$work"
unset CXXFLAGS CFLAGS LDFLAGS CMAKE_PREFIX_PATH
mapfile -t files < <(cd "$source" && find . -name CMakeLists.txt -not -path './build*' -not -path './tests/consumer/*')

configure() {  # configure OPTION...: everything that is ours
  rm -rf build
  cmake -S "$source" -B build -DCMAKE_CXX_COMPILER="$compiler" -DTSDL_BUILD_TESTS=ON -DTSDL_BUILD_EXAMPLES=ON \
    -DTSDL_BUILD_BENCH=ON "$@" >log 2>&1
}

# missing PACKAGE OPTION...: without it there is that one error.
missing() {
  local package=$1 told
  shift
  ! configure "$@" || fail "$package: configuring goes on without it"
  told=$(grep -A 3 '^CMake Error' log | grep -oE '[A-Za-z][A-Za-z0-9.+ -]* is missing: apt-get install [a-z0-9.+-]+$') ||
    fail "$package: the error does not say what to install: $(tail -n 20 log)"
  [ "$(grep -c '^CMake Error' log)" -eq 1 ] || fail "$package: more than one error: $(cat log)"
  [[ "$told" == *"apt-get install $package" ]] || fail "$package: it says '$told'"
  grep -qE "(^|[( ])$package( |\)|$)" "$source"/{examples/support/packages.sh,tests/run.sh,bench/compare} ||
    fail "$package: no script installs it"
  passed "$told"
}

disable=-DCMAKE_DISABLE_FIND_PACKAGE_
hidden="-DCMAKE_IGNORE_PATH=/usr/include;/usr/local/include"
missing libeigen3-dev ${disable}Eigen3=ON
missing libxsimd-dev ${disable}xsimd=ON
missing nlohmann-json3-dev ${disable}nlohmann_json=ON
missing libcli11-dev ${disable}CLI11=ON
missing libprotozero-dev "$hidden"
missing libspdlog-dev ${disable}spdlog=ON
missing libcpp-httplib-dev ${disable}PkgConfig=ON "$hidden" -DTSDL_PROTOZERO_INCLUDE=/usr/include
missing libtomlplusplus-dev "$hidden" -DTSDL_PROTOZERO_INCLUDE=/usr/include
missing doctest-dev ${disable}doctest=ON -DTSDL_BUILD_BENCH=OFF  # where Google Benchmark is missing too
missing libbenchmark-dev ${disable}benchmark=ON

# None is left out above, but for libomp-dev, which peers of bench/compare need with clang: what is
# asked for with tsdl_need is what was tested, and nothing is REQUIRED.
! (cd "$source" && grep -nE '^[^#]*find_(package|path|library|program)\(.*REQUIRED' "${files[@]}") >&2 ||
  fail "REQUIRED: CMake's own message names no package"
untested=$(cd "$source" && grep -hoE 'tsdl_need\([^)]*\)' "${files[@]}" | grep -oE '[a-z0-9.+-]+\)$' | tr -d ')' |
  sort -u | grep -vxE 'package|libc6-dev|libomp-dev' | while read -r package; do
  grep -q "^missing $package " "$source/tests/missing_packages.sh" || echo "$package"
done)
[ -z "$untested" ] || fail "not tested here: $untested"
echo "missing_packages: all passed"
