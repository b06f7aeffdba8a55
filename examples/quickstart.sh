#!/usr/bin/env bash
# Installs what is missing, builds the examples, trains on 20 years of the S&P 500 and predicts.
# Options go to train_bilstm: examples/quickstart.sh --label direction --seed 7
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source examples/support/packages.sh
need_packages "${build_packages[@]}"

echo "Building"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { cmake --preset release -DTSDL_BUILD_TESTS=OFF &&
  cmake --build --preset release --parallel "$(nproc)" --target train_bilstm predict features; } >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi

programs=build/release/examples
"$programs/train_bilstm" --data examples/data/sp500-daily.csv --out out "$@"
"$programs/predict" --model out/best.safetensors --data examples/data/sp500-daily.csv \
  --out out/predictions.csv
