#!/usr/bin/env bash
# Regression and quantiles from the command line: both trainers, predict, stream and export_onnx;
# what is printed, tracked and written beside what a constant answer, the last value and a linear
# model get; options that contradict each other or would be without effect.
#
# Usage: numbers.sh TRAIN_BILSTM TRAIN_BASELINE PREDICT STREAM EXPORT_ONNX CANDLES
#   CANDLES: a CSV file with dates, oldest first.
set -euo pipefail

bilstm=$(realpath "$1") baseline=$(realpath "$2") predict=$(realpath "$3") stream=$(realpath "$4")
export_onnx=$(realpath "$5") candles=$(realpath "$6")
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$work"
head -n 701 "$candles" >candles.csv
small=(--features ohlcv --seq-len 10)

# says NAME PATTERN...: lines of what was printed match.
says() {
  local name=$1
  shift
  for pattern in "$@"; do
    grep -qE -- "$pattern" printed || fail "$name does not say '$pattern': $(cat printed)"
  done
}

# trained NAME PROGRAM OPTION...: it trains; what it prints is in `printed`.
trained() {
  local name=$1
  shift
  "$@" >printed 2>said || fail "$name: $(cat said)"
  [ ! -s said ] || fail "$name: it says $(cat said)"
}

# header FILE TEXT: the first line of a CSV.
header() {
  [ "$(head -n 1 "$1")" = "$2" ] || fail "$1: the header is $(head -n 1 "$1")"
}

# --- a regression of the return over five candles
trained "regression" "$bilstm" --data candles.csv "${small[@]}" --hidden 8 --max-epochs 2 --task regression \
  --target close_return --ahead 5 --tracking mlruns --out return
says "regression" '^target +regression of close_return, 5 rows ahead$' 'valid MAE +valid R2' \
  '^ +network +constant +last value +ridge$' '^  MAE ' '^  R2 ' '^  RMSE ' '^  MASE ' \
  'Beside always answering with the training mean' 'Beside the last known value' 'Beside the ridge regression'
header return/history.csv "epoch,learning_rate,gradient_norm,train_loss,skipped_steps,validation_loss,validation_mae,validation_rmse,validation_r2,validation_mase,validation_constant_mae,validation_constant_r2,validation_last_mae,validation_last_r2,validation_linear_mae,validation_linear_r2"
self_contained "regression" return/report.html
grep -q 'Forecast over time' return/report.html || fail "no forecast on the page"
! grep -q 'Confusion matrix' return/report.html || fail "classes on the page of a regression"
for figure in test_mae test_mase test_last_mae test_linear_mae validation_mae; do
  [ -s "$(echo mlruns/0/*/metrics/$figure)" ] || fail "$figure is not tracked"
done
succeed "predict" "$predict" --model return/best.safetensors --data candles.csv --out return.csv
header return.csv "time,predicted_close_return"
"$stream" --model return/best.safetensors --data candles.csv >streamed.csv 2>/dev/null || fail "stream"
same "the stream of a regression" return.csv streamed.csv
awk -F, 'NR > 1 && ($2 > 0.5 || $2 < -0.5) { exit 1 }' return.csv || fail "these are no returns"
refused "classes of a regression" 'a task of kind regression, which has no classes' "$predict" \
  --model return/best.safetensors --data candles.csv --out no.csv --classes
[ ! -e no.csv ] || fail "no.csv was written"
passed "regression"

# --- each loss is another network, and a run goes on where it was cut off
for loss in mae huber; do
  trained "$loss" "$bilstm" --data candles.csv "${small[@]}" --hidden 8 --max-epochs 2 --target close_return \
    --ahead 5 --loss $loss --out $loss
  differ "$loss" $loss/best.safetensors return/best.safetensors
done
long=("$bilstm" --data candles.csv "${small[@]}" --hidden 8 --max-epochs 60 --patience 0 \
  --target close_return --ahead 5)
trained "a whole run" "${long[@]}" --out whole
"${long[@]}" --out cut >/dev/null 2>said &
pid=$!
until [ -e cut/history.csv ]; do kill -0 $pid 2>/dev/null || break; done
kill -TERM $pid || fail "a run to be cut off had ended: $(cat said)"
status=0
wait $pid || status=$?
[ "$status" -eq 143 ] || fail "a run that was cut off: exit status $status, not 143: $(cat said)"
[ "$(wc -l <cut/history.csv)" -lt 61 ] || fail "a run that was cut off has all its epochs"
trained "resumed" "${long[@]}" --out cut --resume
says "resumed" '^resumed +after epoch [0-9]+$'
for file in best.safetensors last.state.safetensors history.csv; do
  same "a run that was cut off" whole/$file cut/$file
done
passed "losses, and resuming"

# --- quantiles of two targets, in order
trained "quantiles" "$baseline" --data candles.csv "${small[@]}" --hidden 8 --max-epochs 2 --model gru \
  --test 0.2 --target close_return,volume --ahead 2 --quantiles 0.1,0.5,0.9 --out q
says "quantiles" '^target +quantiles of close_return, volume, 2 rows ahead: 0.1, 0.5, 0.9$' '^  pinball loss ' '^  coverage '
succeed "predict" "$predict" --model q/best.safetensors --data candles.csv --out q.csv
header q.csv "time,predicted_close_return_q0.1,predicted_close_return_q0.5,predicted_close_return_q0.9,predicted_volume_q0.1,predicted_volume_q0.5,predicted_volume_q0.9"
awk -F, 'NR > 1 && !($2 <= $3 && $3 <= $4 && $5 <= $6 && $6 <= $7) { exit 1 }' q.csv || fail "quantiles cross"
"$stream" --model q/best.safetensors --data candles.csv >streamed.csv 2>/dev/null || fail "stream"
same "the stream of quantiles" q.csv streamed.csv
succeed "export" "$export_onnx" q/best.safetensors q.onnx
grep -qF 'to prediction [batch, 6] float64' stdout || fail "export: $(cat stdout)"
passed "quantiles"

# --- a target for every row of a window
trained "every step" "$baseline" --data candles.csv "${small[@]}" --hidden 8 --max-epochs 1 --pooling each \
  --target close_return --ahead 1 --out each
succeed "predict" "$predict" --model each/best.safetensors --data candles.csv --out each.csv
"$stream" --model each/best.safetensors --data candles.csv >streamed.csv 2>/dev/null || fail "stream"
same "the stream of a target for every row" each.csv streamed.csv
trained "every step, classes" "$baseline" --data candles.csv "${small[@]}" --hidden 8 --max-epochs 1 --pooling each \
  --label direction --out each-classes
refused "every step both ways" 'pooling each needs a causal encoder' "$baseline" --data candles.csv \
  "${small[@]}" --model bigru --pooling each --target close_return --out no
passed "every step"

# --- a table: a target that is a feature too, and one that is empty in places
awk -F, -v OFS=, 'NR == 1 { print "date,a,b,y" } NR > 1 { print $1, $2 / $3, $4 / $5, NR % 100 == 7 ? "" : $5 }' candles.csv >table.csv
table=(--feature-columns a,b,y --seq-len 5)
trained "a table" "$bilstm" --data <(awk -F, -v OFS=, '{ if ($4 == "") $4 = 1400; print }' table.csv) "${table[@]}" --hidden 4 \
  --max-epochs 1 --target y --ahead 3 --out table
table=(--feature-columns a,b --seq-len 5 --target y --ahead 3 --hidden 4 --max-epochs 1)
trained "empty targets" "$bilstm" --data table.csv "${table[@]}" --out holes
says "empty targets" '^left out +6 windows without a target, as its cell is empty$'
refused "empty targets, to be refused" 'table.csv: 6 windows have no target, as a cell is empty' "$bilstm" --data table.csv \
  "${table[@]}" --refuse-missing-targets --out no
passed "tables"

# --- options that contradict each other, or would do nothing
bad() {  # bad PATTERN OPTION...
  local pattern=$1
  shift
  refused "$*" "$pattern" "$bilstm" --data candles.csv "${small[@]}" "$@" --out no
  [ ! -e no ] || fail "$*: something was written"
}
bad '--label does not go with --target' --target close --label range
bad '--horizon does not go with --target: use --ahead' --target close --horizon 2
bad '--target is of numbers' --target close --task classes
bad '--task regression: expected --target' --task regression
bad '--task quantiles: expected --quantiles' --task quantiles --target close
bad '--quantiles asks for --task quantiles' --task regression --target close --quantiles 0.5
bad 'levels must ascend, but 0.5 follows 0.9' --target close --quantiles 0.9,0.5
bad 'must be above 0 and below 1, not 0' --target close --quantiles 0,0.5
bad 'must be above 0 and below 1, not 1' --target close --quantiles 0.5,1
bad 'no column nosuch to forecast; they have open, high, low, close, volume, close_return' --target nosuch
bad 'named twice' --target close,CLOSE
bad 'beyond the end' --target close --ahead 700
bad 'ahead.*whole number' --target close --ahead 0
bad '--ahead has no effect without --target' --ahead 2
bad '--loss has no effect without --task regression' --loss mae
bad '--loss has no effect without --task regression' --target close --quantiles 0.5 --loss mae
bad '--label-offset has no effect without --label-column' --label-offset 1
bad '--register has no effect without --tracking' --register me
bad '--run-name has no effect without --tracking' --run-name me
refused "class weights of numbers" '--class-weights does not go with --target' "$baseline" --data candles.csv \
  "${small[@]}" --target close --class-weights balanced --out no
passed "options"

# --- dropout between layers where there is one is said, and reported as what it is
"$bilstm" --data candles.csv "${small[@]}" --hidden 8 --layers 1 --dropout 0.5 --max-epochs 1 --out one >printed 2>said ||
  fail "one layer"
[ "$(cat said)" = "train_bilstm: warning: --dropout 0.5 has no effect with --layers 1: it is between layers" ] ||
  fail "one layer: it says $(cat said)"
grep -A1 -F '<dt>dropout</dt>' one/report.html | grep -qF '<dd>0</dd>' || fail "the page reports a dropout"
trained "no dropout" "$bilstm" --data candles.csv "${small[@]}" --hidden 8 --layers 1 --dropout 0 --max-epochs 1 --out none
same "dropout with one layer" one/best.safetensors none/best.safetensors
passed "dropout of one layer"
echo "numbers: all passed"
