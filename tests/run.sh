#!/usr/bin/env bash
# Installs what is missing, builds the tests and runs them all. The release preset builds programs only;
# this turns its tests on. Options go to ctest: tests/run.sh -R unit
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source examples/support/packages.sh
need_packages "${build_packages[@]}" doctest-dev doxygen libopenmpi-dev openmpi-bin openssl \
  python3-onnx python3-torch python3-yaml universal-ctags

runtime=$PWD/build/onnxruntime  # ONNX files are run in it where node is there
if command -v node >/dev/null && command -v npm >/dev/null; then
  mkdir -p "$runtime"
  [ -d "$runtime/node_modules/onnxruntime-node" ] ||
    npm install --prefix "$runtime" --ignore-scripts --no-audit --no-fund onnxruntime-node@1.30 >"$runtime/log" 2>&1 ||
    echo "onnxruntime-node could not be installed ($runtime/log): its test is skipped" >&2
  [ ! -d "$runtime/node_modules/onnxruntime-node" ] || export TSDL_ONNXRUNTIME=$runtime
fi

cmake --preset release -DTSDL_BUILD_TESTS=ON
cmake --build --preset release --parallel "$(nproc)"
status=0
ctest --test-dir build/release --output-on-failure --parallel "$(nproc)" "$@" || status=$?
# ctest shows nothing of a test that passes, not even what it could not test here.
grep -ohE '(^|MESSAGE: )(skipped: .*)' build/release/Testing/Temporary/LastTest.log | sed 's/^MESSAGE: //' | sort -u || true
exit $status
