#!/usr/bin/env bash
# Builds the unit tests with another Eigen or another xsimd than Debian's, and runs them.
#
# Usage: tests/newest.sh [--eigen DIRECTORY] [--xsimd DIRECTORY] [OPTION OF THE TEST PROGRAM...]
#   --eigen: a checkout of Eigen, which holds Eigen/Core.
#   --xsimd: a checkout of xsimd, which holds include/xsimd/xsimd.hpp.
# One that is not given is Debian's. As in: tests/newest.sh --xsimd ~/xsimd -tc="*activation*"
# Everything is built in build/newest, at -O1 and with assertions: some ten minutes of a processor
# the first time. The exit status is 0 when every test passed.
set -euo pipefail
top=$(dirname "${BASH_SOURCE[0]}")/..
flags=-O1

refuse() {
  echo "newest.sh: $*" >&2
  exit 2
}
while [ $# -gt 0 ]; do
  case $1 in
    --eigen)
      [ -f "${2-}/Eigen/Core" ] || refuse "--eigen: no Eigen/Core in '${2-}'"
      flags+=" -isystem $(realpath "$2")"
      ;;
    --xsimd)
      [ -f "${2-}/include/xsimd/xsimd.hpp" ] || refuse "--xsimd: no include/xsimd/xsimd.hpp in '${2-}'"
      flags+=" -isystem $(realpath "$2")/include"
      ;;
    *) break ;;
  esac
  shift 2
done
cd "$top"
source examples/support/packages.sh
need_packages "${build_packages[@]}" doctest-dev openssl

# The versions that the tests' own compiler options find. (Eigen 5 calls itself 3, 5, 0, 1.)
read -r -d '' -a seen < <(printf '%s\n' '#include "tsdl/kernels/simd.hpp"' \
  'EIGEN_WORLD_VERSION EIGEN_MAJOR_VERSION EIGEN_MINOR_VERSION' \
  'XSIMD_VERSION_MAJOR XSIMD_VERSION_MINOR XSIMD_VERSION_PATCH' |
  g++ -std=c++20 -march=native $flags -I include -isystem /usr/include/eigen3 -E -P -x c++ - | tail -n 2) || true
[ "${seen[1]}" -lt 5 ] || seen=("${seen[1]}" "${seen[2]}" x "${seen[@]:3}")
echo "Eigen ${seen[0]}.${seen[1]}.${seen[2]}, xsimd ${seen[3]}.${seen[4]}.${seen[5]}"

cmake -S . -B build/newest -DCMAKE_BUILD_TYPE= -DCMAKE_CXX_FLAGS="$flags" -DTSDL_BUILD_TESTS=ON \
  -DTSDL_BUILD_EXAMPLES=OFF -DTSDL_BUILD_BENCH=OFF
cmake --build build/newest --parallel "$(nproc)" --target tsdl_tests
build/newest/tests/tsdl_tests "$@"
