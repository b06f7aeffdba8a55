#!/usr/bin/env bash
# The program that explains a model: shares that add up, the column and the lag that tell, constant
# columns, one window and its heat map, the same bytes on any number of threads, and windows and
# options that cannot be used.
#
# Usage: explain.sh EXPLAIN TRAIN_BILSTM CANDLES
#   CANDLES: a CSV file with dates, oldest first.
set -euo pipefail

explain=$(realpath "$1") train=$(realpath "$2") source=$(realpath "$3")
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$work"
head -n 601 "$source" >candles.csv

# A table whose label is the sign of column b two rows before; one column never changes.
awk -v OFS=, 'BEGIN {
  srand(3); print "time,a,b,flat,c,label"
  for (row = 0; row < 900; ++row) {
    for (k = 0; k < 3; ++k) x[k] = rand() - 0.5
    day = sprintf("2020-%02d-%02dT%02d:00", 1 + int(row / 672), 1 + int(row % 672 / 24), row % 24)
    print day, x[0], x[1], 0.3, x[2], (before2 > 0 ? 1 : 0)
    before2 = before1; before1 = x[1]
  }
}' >table.csv
columns=(--feature-columns a,b,flat,c --label-column label)
"$train" --data table.csv "${columns[@]}" --model gru --seq-len 8 --hidden 8 --layers 1 --lr 0.02 --shuffle \
  --max-epochs 25 --out table >trained 2>&1 || fail "training on the table: $(cat trained)"
"$train" --data candles.csv --features ohlcv --seq-len 10 --hidden 8 --max-epochs 2 --explain --out ohlcv >trained 2>&1 ||
  fail "training on candles: $(cat trained)"
self_contained "--explain" ohlcv/report.html
for heading in 'What the model looks at: columns' 'What the model looks at: rows' 'One window: '; do
  grep -q "$heading" ohlcv/report.html || fail "--explain: no '$heading' on the page"
done
! grep -q 'What the model looks at' table/report.html || fail "an explanation that nobody asked for"
table=table/best.safetensors ohlcv=ohlcv/best.safetensors

"$explain" --help >help || fail "--help"
[ "$(awk '{ if (length($0) > n) n = length($0) } END { print n }' help)" -le 80 ] || fail "--help is wider than 80 columns"
for option in --method --window --split --baseline --steps --output --figure --repeats --seed --out; do
  grep -qE -- "^ +$option " help || fail "--help has no $option"
done

# first FILE: the name in the line with the largest second field.
first() { tail -n +2 "$1" | sort -t, -k2,2gr | head -n 1 | cut -d, -f1; }
# sum FILE: of the second field.
sum() { awk -F, 'NR > 1 { sum += $2 } END { printf "%.9f\n", sum }' "$1"; }
field() { awk -F, -v name="$2" '$1 == name { print $2 }' "$1"; }

# --- gradients of a split
succeed "gradients" "$explain" $table table.csv --split test --out gradients
[ "$(head -n 1 gradients/columns.csv)" = column,share ] || fail "the header of columns.csv"
[ "$(head -n 1 gradients/lags.csv)" = lag,share ] || fail "the header of lags.csv"
[ "$(cut -d, -f1 gradients/columns.csv | tr '\n' ' ')" = "column a b flat c " ] || fail "columns: $(cat gradients/columns.csv)"
[ "$(wc -l <gradients/lags.csv)" -eq 9 ] || fail "lags: $(cat gradients/lags.csv)"
for file in columns lags; do
  [ "$(sum gradients/$file.csv)" = 1.000000000 ] || fail "the shares of $file.csv add up to $(sum gradients/$file.csv)"
  grep -q '^<svg xmlns' gradients/$file.svg || fail "$file.svg is no picture"
done
[ "$(first gradients/columns.csv)" = b ] || fail "the column that tells is not first: $(cat gradients/columns.csv)"
[ "$(first gradients/lags.csv)" = 2 ] || fail "the lag that tells is not first: $(cat gradients/lags.csv)"
[ "$(field gradients/columns.csv flat)" = 0 ] || fail "a constant column scores $(field gradients/columns.csv flat)"
grep -qE '^method +integrated gradients of the logit of class 1, from zeros$' stdout || fail "the method: $(cat stdout)"
grep -qE '^sums +50 nodes; the sums miss' stdout || fail "no delta: $(cat stdout)"
succeed "mean" "$explain" $table table.csv --split test --baseline mean --most-steps 3200 --out mean
differ "mean" gradients/columns.csv mean/columns.csv
[ "$(field mean/columns.csv flat)" = 0 ] || fail "a constant column scores $(field mean/columns.csv flat)"
[ "$(first mean/columns.csv)" = b ] && [ "$(first mean/lags.csv)" = 2 ] || fail "from the mean window"
passed "gradients of a split"

# --- one window: its cells add up to the change of the output
succeed "window" "$explain" $ohlcv candles.csv --window "$(sed -n 401p candles.csv | cut -d, -f1)" --out window
[ "$(head -n 1 window/window.csv)" = time,lag,open,high,low,close,volume ] || fail "window.csv: $(head -n 1 window/window.csv)"
cut -d, -f1 window/window.csv | tail -n +2 >found
sed -n 392,401p candles.csv | cut -d, -f1 >expected
same "the rows of the window" found expected
awk -F, 'NR == FNR { if (FNR > 1) for (i = 3; i <= NF; ++i) sum += $i; next }
  { d = sum - ($2 - $6); if (d < -1e-6 || d > 1e-6) exit 1 }' \
  window/window.csv <(tr '\n' ' ' <stdout | tr -s ' ' | sed -E 's/.*output ([^ ]+) at the window, ([^ ]+) at the baseline.*/x,\1,,,,\2\n/') ||
  fail "the cells do not add up: $(cat stdout)"
grep -q 'Attributions of the window' window/window.svg || fail "no heat map"
time=$(sed -n 401p candles.csv | cut -d, -f1)
succeed "epoch seconds" "$explain" $ohlcv candles.csv --window "$(date -u -d "$time" +%s)" --out seconds
same "epoch seconds" window/window.csv seconds/window.csv
succeed "YYYYMMDD" "$explain" $ohlcv candles.csv --window "${time//-/}" --out compact
same "YYYYMMDD" window/window.csv compact/window.csv
passed "one window"

# --- permutation
succeed "permutation" "$explain" $table table.csv --method permutation --figure accuracy --block 1 --repeats 4 --out permutation
[ "$(head -n 1 permutation/columns.csv)" = column,mean,deviation ] || fail "the header of columns.csv"
[ "$(first permutation/columns.csv)" = b ] || fail "the column that tells is not first: $(cat permutation/columns.csv)"
tail -n +2 permutation/lags.csv | sort -t, -k3,3gr | head -n 1 | grep -q '^2,2,' || fail "the lag: $(cat permutation/lags.csv)"
grep -qx 'flat,0,0' permutation/columns.csv || fail "a constant column: $(cat permutation/columns.csv)"
succeed "blocks" "$explain" $ohlcv candles.csv --method permutation --block 4 --repeats 2 --split all --out blocks
[ "$(cut -d, -f1,2 blocks/lags.csv | tr '\n' ' ')" = "first_lag,last_lag 0,3 4,7 8,9 " ] || fail "blocks: $(cat blocks/lags.csv)"
passed "permutation"

# --- the same bytes again, on any number of threads; another seed permutes anew. The model is so large
# that threads share its work.
"$train" --data candles.csv --features ohlcv --seq-len 10 --hidden 64 --max-epochs 1 --out wide >trained 2>&1 ||
  fail "training on candles: $(cat trained)"
for method in gradients permutation; do
  part=(wide/best.safetensors candles.csv --method $method)
  if [ $method = gradients ]; then part+=(--most-windows 8); else part+=(--repeats 2); fi
  succeed "$method" "$explain" "${part[@]}" --out once
  OMP_NUM_THREADS=1 succeed "$method" "$explain" "${part[@]}" --out one
  OMP_NUM_THREADS=3 succeed "$method" "$explain" "${part[@]}" --out three
  for file in columns.csv lags.csv columns.svg lags.svg; do
    same "$method" once/$file one/$file
    same "$method" once/$file three/$file
  done
done
succeed "seed" "$explain" "${part[@]}" --seed 7 --out seed
differ "seed" once/columns.csv seed/columns.csv
no_temporaries "explain" once
passed "the same bytes"

# --- windows that cannot be explained
run=("$explain" $table --out never)
refused "too early" 'not complete: it is too early, and the first complete window of table.csv ends at 2020-01-01T07:00' \
  "${run[@]}" table.csv --window 2020-01-01T03:00
refused "before all" 'has no row of that time; its first row is 2020-01-01' "${run[@]}" table.csv --window 2019-12-31
refused "between" 'no row of that time; the row before is 2020-01-01T03:00.*, the next one 2020-01-01T04:00' \
  "${run[@]}" table.csv --window 2020-01-01T03:30
refused "after all" 'no row of that time; the row before is .*, its last one' "${run[@]}" table.csv --window 2021-01-01
refused "no time" "expected a date, a date and time, or epoch seconds or milliseconds, as in .*, got 'noon'" "${run[@]}" table.csv --window noon
with_field table.csv 101 3 '' >gap.csv
refused "a gap" 'not complete: a value is missing in them; the last one before ends at 2020-01-05T02:00.*, the next one at 2020-01-05T11:00' \
  "${run[@]}" gap.csv --window 2020-01-05T05:00
head -n 6 table.csv >short.csv
refused "no window" '5 rows are fewer than one window of 8' "${run[@]}" short.csv --window 2020-01-01T03:00
cut -d, -f2- table.csv >rows.csv
refused "rows" 'has no times: expected a row from 0 to 899' "${run[@]}" rows.csv --window 900
succeed "rows" "$explain" $table rows.csv --window 100 --out rows
passed "windows that cannot be explained"

# --- options that cannot be used
run+=(table.csv)
refused "--output" 'output 1 of a model that has 1' "${run[@]}" --output 1
refused "--steps" 'expected a whole number from 1 to 10000' "${run[@]}" --steps 0
refused "--method" 'expected one of gradients, permutation' "${run[@]}" --method guess
refused "--split" 'expected one of train, validation, test, all' "${run[@]}" --split some
refused "--test 0" 'no window is in the split test' "${run[@]}" --split test --test 0
refused "--figure" "expected one of loss, accuracy, .*, got 'rmse'" "${run[@]}" --method permutation --figure rmse
refused "--block" 'block: expected 0 to 8 rows, got 9' "${run[@]}" --method permutation --block 9
refused "--repeats" 'has no effect on --method gradients' "${run[@]}" --repeats 3
refused "--window" 'has no effect on --method permutation' "${run[@]}" --method permutation --window 2020-01-05
refused "--split" 'has no effect on one --window' "${run[@]}" --window 2020-01-05 --split test
for option in --validation --test; do
  refused "$option" "$option has no effect on --split all" "${run[@]}" --split all $option 0.3
  refused "$option" "$option has no effect on one --window" "${run[@]}" --window 2020-01-05 $option 0.3
done
refused "--most-steps" 'expected 0, or at least twice the 50 of --steps, got 99' "${run[@]}" --most-steps 99
refused "no model" 'none.safetensors' "$explain" none.safetensors table.csv
refused "other data" "candles.csv:1:1: no a, b, flat, c" "$explain" $table candles.csv --out never
cut -d, -f1-5 table.csv >unlabelled.csv
refused "no labels" 'label' "$explain" $table unlabelled.csv --method permutation --out never
succeed "no labels" "$explain" $table unlabelled.csv --split all --out unlabelled
[ ! -e never ] || fail "a refused run left $(ls never)"
# Of quantiles the middle output is a level, the others are steps.
"$train" --data candles.csv --features ohlcv --seq-len 10 --hidden 2 --max-epochs 1 --target close_return \
  --quantiles 0.1,0.5,0.9 --out quantiles >trained 2>&1 || fail "training of quantiles: $(cat trained)"
succeed "quantiles" "$explain" quantiles/best.safetensors candles.csv --output 1 --most-windows 2 --out steps
grep -qE '^method .*of the median of close_return, from zeros$' stdout || fail "the median: $(cat stdout)"
succeed "quantiles" "$explain" quantiles/best.safetensors candles.csv --output 2 --most-windows 2 --out steps
grep -qE 'of the step from level 0.5 to 0.9 of close_return, before softplus' stdout || fail "a step: $(cat stdout)"
touch file
refused "--out" 'file is no directory' "$explain" $table table.csv --out file
passed "options that cannot be used"
