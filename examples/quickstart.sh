#!/usr/bin/env bash
# Installs what is missing, trains on 20 years of the S&P 500, predicts, and builds the other programs.
# Options go to train_bilstm: examples/quickstart.sh --label direction --seed 7
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source examples/support/packages.sh
need_packages "${build_packages[@]}"

log=$(mktemp)
trap 'rm -f "$log"' EXIT
logged() {  # logged COMMAND...: its output only when it fails
  "$@" >"$log" 2>&1 || {
    cat "$log" >&2
    exit 1
  }
}
build=(cmake --build --preset release --parallel "$(nproc)")

echo "Building"
logged cmake --preset release
logged "${build[@]}" --target train_bilstm predict

programs=build/release/examples
"$programs/train_bilstm" --data examples/data/sp500-daily.csv --out out "$@"
"$programs/predict" --model out/best.safetensors --data examples/data/sp500-daily.csv \
  --out out/predictions.csv

printf '\nBuilding the other programs in %s\n' "$programs"
logged "${build[@]}"
