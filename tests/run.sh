#!/usr/bin/env bash
# Installs what is missing, builds the tests and runs them all.
# Options go to ctest: tests/run.sh -R unit
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source examples/support/packages.sh
need_packages "${build_packages[@]}" clang libomp-dev doctest-dev openssl python3-torch python3-yaml

cmake --preset release -DTSDL_BUILD_TESTS=ON -DTSDL_BUILD_BENCH=OFF
cmake --build --preset release --parallel "$(nproc)"
# Tests run side by side: a thread that waits must not hold the core that another test needs.
export OMP_WAIT_POLICY=passive
ctest --test-dir build/release --output-on-failure --parallel "$(nproc)" "$@"
