#!/usr/bin/env bash
# The examples to read first, run as they are: each learns what it says that it learns.
#
# Usage: first.sh DIRECTORY CANDLES
#   DIRECTORY: where layer, classifier, regression, quantiles and live were built.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

programs=$(realpath "$1") candles=$(realpath "$2")
cd "$work"

# holds NAME CONDITION NUMBER...: an awk condition on $1, $2, ...
holds() {
  awk "{ exit !($2) }" <<<"${*:3}" || fail "$1: not $2: ${*:3}
$(cat stdout)"
  passed "$1: $2 (${*:3})"
}
# number PATTERN: what the pattern's group matches in the output.
number() { sed -nE "s/.*$1.*/\1/p" stdout | tail -n 1; }

"$programs/layer" >stdout
first=$(sed -nE 's/^update +0, loss (.*)/\1/p' stdout) last=$(number 'update 300, loss (.*)')
holds layer '$2 < $1 / 500' "$first" "$last"

"$programs/classifier" >stdout
holds classifier '$1 > $2 + 0.15 && $3 > 0.95' "$(number 'accuracy ([0-9.]+)')" \
  "$(number 'common answer ([0-9.]+)')" "$(number 'AUC ([0-9.]+)')"

"$programs/regression" "$candles" >stdout
holds regression '$1 > 0.4 && $2 < 1' "$(number 'R2 ([0-9.]+)')" "$(number ', ([0-9.]+) of that')"

"$programs/quantiles" "$candles" >stdout
holds quantiles '$1 > 70 && $1 < 90' "$(number '; ([0-9.]+)% of the returns')"

"$programs/live" "$candles" >stdout
grep -qE '^5105 candles, 50[0-9]{2} predictions' stdout || fail "live: $(cat stdout)"
[ "$(grep -cE '^probability .*: (0\.[0-9]{4}), restarted \1$' stdout)" -eq 3 ] || fail "live: $(cat stdout)"
passed "live: a restarted stream goes on with the same predictions"

for program in regression quantiles live; do
  ! "$programs/$program" missing.csv >stdout 2>stderr || fail "$program: a missing file is taken"
  grep -q 'missing.csv' stderr || fail "$program: the missing file is not named: $(cat stderr)"
done
passed "a missing file is named"
echo "first: all passed"
