#!/usr/bin/env bash
# train_baseline as a user runs it: synthetic candles, the shipped ones and a prepared table; its
# configuration file, its log, tracked runs and how they end, and predictions by class. Also
# train_bilstm's tracked runs.
#
# Usage: baseline.sh TRAIN_BASELINE TRAIN_BILSTM PREDICT TRACK_UPLOAD CANDLES
#   CANDLES: a CSV file with the columns date,open,high,low,close,adjclose,volume and 900 rows,
#   dates as YYYY-MM-DD, oldest first.
set -euo pipefail

train=$(realpath "$1") bilstm=$(realpath "$2") predict=$(realpath "$3") upload=$(realpath "$4")
source=$(realpath "$5")
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$work"

column() {  # column FILE NAME: a column of a CSV file, without its name
  awk -F, -v name="$2" 'NR == 1 { for (i = 1; i <= NF; ++i) if ($i == name) at = i; next }
    { print $at }' "$1"
}
says() { grep -qE -- "$2" stdout || fail "$1: stdout does not say '$2': $(cat stdout)"; }
epochs() { tail -n +2 "$1/history.csv" 2>/dev/null | wc -l; }
status_of() { sed -n 's/^status: //p' "$1/meta.yaml"; }

# --- synthetic candles: 1,001 rows before the purge, a start at even odds, a loss that falls
synthetic=(--synthetic 1430 --validation-split 0.3 --epochs 5 --seed 42)
declare -A parameters=([lstm]=56,259 [gru]=42,243)
declare -A near=([lstm]=0.02 [gru]=0.1)  # a GRU's states are not damped by an output gate
# The LSTM's training loss falls in every epoch; a GRU's, for the same reason, falls from the first to
# the last, with a few thousandths up in one epoch for some seeds.
for type in lstm gru; do
  name="synthetic, $type"
  succeed "$name" "$train" "${synthetic[@]}" --model-type $type --out $type
  says "$name" "^features +technical23, 23$"
  says "$name" "^windows +60 rows each: 941 to train, 429 to validate, 0 to test, 60 dropped"
  says "$name" "^model +$type, 2 x 64 units, dropout 0.2, ${parameters[$type]} parameters$"
  start=$(sed -n 's/^start *cross-entropy \([0-9.]*\) before the first update.*/\1/p' stdout)
  awk -v loss="$start" -v near="${near[$type]}" \
    'BEGIN { d = loss - log(3); exit !(loss > 0 && d < near && d > -near) }' ||
    fail "$name: the cross-entropy before the first update is $start, not ln 3"
  column $type/history.csv train_loss >losses
  [ "$(wc -l <losses)" -eq 5 ] || fail "$name: not five epochs"
  awk -v type=$type 'NR == 1 { first = $1 } NR > 1 && $1 >= before { ++rises }
    { before = $1 } END { exit before > first - 0.04 || (type == "lstm" && rises > 0) }' losses ||
    fail "$name: the training loss does not fall: $(cat losses)"
  says "$name" "^validation, 429 windows$"
  says "$name" "^  macro F1 +0\.[0-9]{4}$"
  says "$name" "^  majority class +[0-9.]+%"
  says "$name" "^These windows also chose the best epoch"
  says "$name" "^ +-1 +0 +1$"
  awk '/^class precision/ { while ((getline line) > 0 && line != "") { split(line, f); n += f[5] } }
    END { exit n != 429 }' stdout || fail "$name: the classes' windows are not 429 together"
  passed "$name: even odds at the start ($start), a loss that falls"
done
succeed "the same seed again" "$train" "${synthetic[@]}" --out again --threads 1
for file in best.safetensors last.state.safetensors history.csv loss.svg; do
  same "the same seed again" lstm/$file again/$file
done
succeed "another seed" "$train" "${synthetic[@]/42/43}" --out other
differ "another seed" lstm/history.csv other/history.csv
self_contained "the report" lstm/report.html
says_page() { grep -q -- "$2" "$1" || fail "$1 does not say '$2'"; }
says_page lstm/report.html "Training of lstm on synthetic candles"
says_page lstm/report.html "<h2>Probability over price</h2>"
says_page lstm/report.html "These windows also chose the best epoch"
but_for_place() { sed '/<dt>\(out\|threads\)</,+1d' "$1"; }
same "the report of the same seed" <(but_for_place lstm/report.html) \
  <(but_for_place again/report.html)
passed "the same seed gives the same bytes, whatever the threads"

# --- the shipped candles, each type; a test part; class weights; an optimizer with decay
head -n 901 "$source" >candles.csv
small=(--hidden-dim 8 --seq-len 10 --epochs 1)
for type in lstm gru bilstm bigru; do
  succeed "candles, $type" "$train" --dataset candles.csv "${small[@]}" --model-type $type \
    --test-split 0.2 --out candles_$type
  says "candles, $type" "^test, [0-9]+ windows$"
  says "candles, $type" "^label .*; classes -1, 0, 1$"
  if grep -q "chose the best epoch" stdout; then fail "candles, $type: the test chose nothing"; fi
  succeed "candles, $type (predict)" "$predict" --model candles_$type/best.safetensors \
    --data candles.csv --out predictions.csv
  [ "$(head -n 1 predictions.csv)" = time,probability_-1,probability_0,probability_1 ] ||
    fail "candles, $type: the header of predictions: $(head -n 1 predictions.csv)"
  awk -F, 'NR > 1 { s = $2 + $3 + $4; if (s < 0.999999 || s > 1.000001) exit 1 }' predictions.csv ||
    fail "candles, $type: probabilities do not sum to 1"
done
succeed "balanced" "$train" --dataset candles.csv "${small[@]}" --test-split 0.2 \
  --class-weights balanced --out balanced
differ "balanced class weights" balanced/history.csv candles_lstm/history.csv
succeed "adamw" "$train" --dataset candles.csv "${small[@]}" --test-split 0.2 --optimizer adamw \
  --weight-decay 0.5 --out adamw
differ "adamw" adamw/best.safetensors candles_lstm/best.safetensors
refused "decay without adamw" "weight-decay belongs to --optimizer adamw" "$train" \
  --dataset candles.csv "${small[@]}" --weight-decay 0.5 --out none
succeed "two classes" "$train" --dataset candles.csv "${small[@]}" --label direction \
  --class-weights balanced --out two
succeed "two classes (predict)" "$predict" --model two/best.safetensors --data candles.csv \
  --out predictions.csv
[ "$(head -n 1 predictions.csv)" = time,probability ] || fail "two classes: the header"
passed "candles, each type"

# --- a prepared table with labels -1, 0, 1
awk -F, -v OFS=, 'NR == 1 { print "date,a,b,y"; next }
  { print $1, $5 / $2, $3 / $4, (NR % 5 == 0) - (NR % 3 == 0) }' candles.csv >table.csv
succeed "a table" "$train" --dataset table.csv --feature-columns a,b --label-column y \
  "${small[@]}" --out table
says "a table" "^features +a, b$"
says "a table" "^label +column y; classes -1, 0, 1$"
self_contained "a table" table/report.html
says_page table/report.html "no price is known"
succeed "a table (predict)" "$predict" --model table/best.safetensors --data table.csv \
  --out predictions.csv
[ "$(head -n 1 predictions.csv)" = time,probability_-1,probability_0,probability_1 ] ||
  fail "a table: the header of predictions"
# The label stands on the window's last row, so the first window is that of the tenth row.
[ "$(sed -n 2p predictions.csv | cut -d, -f1)" = "$(sed -n 11p table.csv | cut -d, -f1)" ] ||
  fail "a table: the first prediction"
passed "a prepared table"

# --- the configuration file
cat >run.toml <<'TOML'
# The baseline, smaller.
dataset = "candles.csv"
test-split = 0.2
out = "from_file"

[deep_learning]
sequence_length = 10
batch_size = 16
model_type = "gru"
hidden_dim = 8
num_layers = 1
dropout = 0.1
learning_rate = 0.002
num_epochs = 1
validation_split = 0.25
TOML
options=(--dataset candles.csv --test-split 0.2 --seq-len 10 --batch-size 16 --model-type gru
  --num-layers 1 --dropout 0.1 --learning-rate 0.002 --epochs 1 --validation-split 0.25)
succeed "a configuration file" "$train" --config run.toml
succeed "the same as options" "$train" "${options[@]}" --hidden-dim 8 --out from_options
same "a configuration file" from_file/best.safetensors from_options/best.safetensors
same "a configuration file" from_file/history.csv from_options/history.csv
succeed "flags beside the file" "$train" --config run.toml --hidden-dim 9 --out mixed
succeed "the same as options" "$train" "${options[@]}" --hidden-dim 9 --out mixed_options
same "flags win over the file" mixed/best.safetensors mixed_options/best.safetensors
succeed "what a run wrote as its configuration" "$train" --config mixed/config.toml --out rerun
same "what a run wrote as its configuration" rerun/best.safetensors mixed/best.safetensors
succeed "--synthetic wins over the file's dataset" "$train" --config run.toml --synthetic 200 \
  --out synthetic
says "--synthetic wins over the file's dataset" "^data +synthetic, seed 42"
passed "configuration files"

refuse_config() {  # refuse_config NAME PATTERN LINE...
  printf '%s\n' "${@:3}" >bad.toml
  refused "$1" "^train_baseline: bad.toml:$2" "$train" --dataset candles.csv "${small[@]}" \
    --config bad.toml --out none
}
refuse_config "an unknown key" "2: key 'hiden-dim': no option" '# one' 'hiden-dim = 8'
refuse_config "an unknown key in a table" "3: key 'hiden_dim': not known in \[deep_learning\]" \
  '[deep_learning]' 'batch_size = 8' 'hiden_dim = 8'
refuse_config "an unknown table" "2: key 'a': the table \[learning\] is not known" '[learning]' 'a = 1'
refuse_config "another type" "1: key 'epochs': expected a whole number, got 'five'" \
  'epochs = "five"'
refuse_config "another type in a table" "2: key 'num_layers': expected a whole number, got '1.5'" \
  '[deep_learning]' 'num_layers = 1.5'
refuse_config "out of range" "1: key 'learning-rate': expected a number above 0, got '0'" \
  'learning-rate = 0'
refuse_config "out of range in a table" "2: key 'dropout': expected a number of at least 0 and below 1, got '1'" \
  '[deep_learning]' 'dropout = 1'
refuse_config "a model that is not known" "2: key 'model_type': expected one of lstm, gru, bilstm, bigru, got 'rnn'" \
  '[deep_learning]' 'model_type = "rnn"'
refuse_config "cuda in a file" "1: key 'device': this build is CPU only" 'device = "cuda"'
refuse_config "a line that is no setting" "1: key 'garbage': expected key = value" 'garbage'
refused "a file that is missing" "^train_baseline: --config: .*none.toml" "$train" \
  --dataset candles.csv --config none.toml --out none
refused "a directory as file" "^train_baseline: --config: .*lstm" "$train" \
  --dataset candles.csv --config lstm --out none
passed "configuration files that are refused"

# --- options that are refused, by name
refuse_option() {  # refuse_option OPTION VALUE PATTERN
  refused "$1 $2" "^train_baseline: $1: $3" "$train" --dataset candles.csv "$1" "$2" --out none
}
refuse_option --device cuda "this build is CPU only"
refuse_option --device gpu "expected cpu, got 'gpu'"
refuse_option --seq-len 0 "expected a whole number of 1 or more, got '0'"
refuse_option --hidden-dim 0 "expected a whole number from 1 to 1000000, got '0'"
refuse_option --num-layers 1001 "expected a whole number from 1 to 1000"
refuse_option --dropout 1 "expected a number of at least 0 and below 1"
refuse_option --learning-rate -1 "expected a number above 0"
refuse_option --learning-rate nan "expected a number above 0"
refuse_option --validation-split 0 "expected a number above 0 and below 1"
refuse_option --test-split 1 "expected a number of at least 0 and below 1"
refuse_option --epochs 0 "expected a whole number of 1 or more"
refuse_option --model-type rnn "expected one of lstm, gru"
refuse_option --log-level loud "expected one of debug"
refuse_option --threads 1025 "expected a whole number from 0 to 1024"
refused "no data" "expected --dataset FILE or --synthetic N" "$train" --out none
refused "data and synthetic data" "excludes" "$train" --dataset candles.csv --synthetic 100 --out none
refused "a table without a label" "go together" "$train" --dataset table.csv --feature-columns a \
  --out none
refused "splits without training" "fractions" "$train" --dataset candles.csv "${small[@]}" \
  --validation-split 0.5 --test-split 0.5 --out none
refused "tracking somewhere else" "expected a folder or http" "$train" --dataset candles.csv \
  "${small[@]}" --tracking sqlite:///x.db --out refused
[ ! -e none ] || fail "options that are refused: files were made"
passed "options that are refused"

# --- the log
grep -qE '^[0-9T:.-]+Z info epoch epoch=1 train_loss=[0-9.]+ ' lstm/train.log || fail "train.log"
succeed "a JSON log" "$train" --dataset candles.csv "${small[@]}" --log-format json --out json
grep -qE '^\{"time":"[^"]+Z","level":"info","message":"epoch","epoch":1,' json/train.log ||
  fail "a JSON log: $(cat json/train.log)"
succeed "a log of errors alone" "$train" --dataset candles.csv "${small[@]}" --log-level error \
  --out quiet
[ ! -s quiet/train.log ] || fail "a log of errors alone: $(cat quiet/train.log)"
passed "train.log"

# --- tracking: two runs of an experiment, one of them killed
tracked=(--dataset candles.csv --hidden-dim 8 --seq-len 10 --tracking mlruns --experiment tests)
succeed "a tracked run" "$train" "${tracked[@]}" --epochs 2 --run-name first --register baseline \
  --out tracked
first=$(sed -n 's/^tracking //p' stdout)
[ "$(status_of "$first")" = 3 ] || fail "a tracked run: status $(status_of "$first"), not 3"
[ "$(cat "$first/params/hidden-dim")" = 8 ] || fail "a tracked run: its parameters"
[ "$(cat "$first/params/learning-rate")" = 0.001 ] || fail "a tracked run: a default parameter"
[ "$(cat "$first/tags/mlflow.runName")" = first ] || fail "a tracked run: its name"
[ "$(wc -l <"$first/metrics/train_loss")" -eq 2 ] || fail "a tracked run: its training loss"
column tracked/history.csv validation_loss |
  cmp -s - <(cut -d' ' -f2 "$first/metrics/validation_loss") || fail "a tracked run: its losses"
[ -s "$first/metrics/best_validation_macro_f1" ] || fail "a tracked run: its last figures"
for file in best.safetensors history.csv loss.svg report.html config.toml; do
  same "a tracked run: artifacts" tracked/$file "$first/artifacts/$file"
done
[ -d mlruns/models/baseline/version-1 ] || fail "a tracked run: its registered model"

# A shell's background jobs ignore SIGINT, and so would the program.
for signal in TERM INT; do
  rm -rf cut
  mkdir cut
  echo "of an earlier run" >cut/report.html
  env --default-signal=INT "$train" "${tracked[@]}" --epochs 100000 --run-name $signal --out cut >stdout 2>stderr &
  pid=$!
  for _ in $(seq 600); do
    [ "$(epochs cut)" -lt 2 ] || break
    sleep 0.1
  done
  kill -$signal $pid
  status=0
  wait $pid || status=$?
  case $signal in TERM) expected=143 ;; INT) expected=130 ;; esac
  [ "$status" -eq "$expected" ] || fail "SIG$signal: exit status $status: $(cat stderr)"
  says "SIG$signal" "^interrupted after [0-9]+ epochs"
  run=$(sed -n 's/^tracking //p' stdout)
  [ "$(status_of "$run")" = 5 ] || fail "SIG$signal: status $(status_of "$run"), not 5 (KILLED)"
  [ -s cut/best.safetensors ] && [ -s "$run/artifacts/history.csv" ] || fail "SIG$signal: files"
  [ "$(wc -l <"$run/metrics/train_loss")" -eq $(($(wc -l <cut/history.csv) - 1)) ] ||
    fail "SIG$signal: what was logged is not what was run"
  no_temporaries "SIG$signal" cut
  [ ! -e cut/report.html ] || fail "SIG$signal: a report, of a run that was not tested"
done
[ "$(find mlruns -mindepth 1 -maxdepth 1 -type d -regex '.*/[0-9]+' | wc -l)" -eq 2 ] ||
  fail "three runs are not in one experiment beside Default"

# An exception in mid-run: FAILED, and the program says why. Its state cannot be written any more.
rm -rf broken
refused "an exception in mid-run" "broken" bash -c '
  "$@" & pid=$!
  while [ ! -e broken/history.csv ]; do sleep 0.02; done
  mv broken moved; : >broken
  wait $pid' bash "$train" "${tracked[@]}" --epochs 100000 --run-name broken --out broken
run=$(dirname "$(dirname "$(grep -lrx broken mlruns --include=mlflow.runName)")")
[ "$(status_of "$run")" = 4 ] || fail "an exception: status $(status_of "$run"), not 4 (FAILED)"

# A loss that is no number any more: FAILED too, and exit status 1.
status=0
"$train" "${tracked[@]}" --epochs 9 --learning-rate 1e300 --clip-norm 0 --run-name diverged \
  --out diverged >stdout 2>stderr || status=$?
[ "$status" -eq 1 ] || fail "a run that diverges: exit status $status, not 1: $(cat stderr)"
says "a run that diverges" "^diverged after [0-9]+ epochs"
run=$(sed -n 's/^tracking //p' stdout)
[ "$(status_of "$run")" = 4 ] || fail "a run that diverges: status $(status_of "$run"), not 4"
passed "tracked runs end as finished, killed and failed"

# --- train_bilstm tracks in the same way
bilstm_run=("$bilstm" --data candles.csv --features ohlcv --hidden 8 --seq-len 10 --tracking both)
succeed "train_bilstm, tracked" "${bilstm_run[@]}" --max-epochs 1 --out both_finished
run=$(sed -n 's/^tracking //p' stdout)
[ "$(status_of "$run")" = 3 ] || fail "train_bilstm, tracked: status $(status_of "$run"), not 3"
[ "$(cat "$run/params/hidden")" = 8 ] && [ -s "$run/metrics/test_accuracy" ] ||
  fail "train_bilstm, tracked: its parameters and figures"
same "train_bilstm, tracked" both_finished/best.safetensors "$run/artifacts/best.safetensors"
"${bilstm_run[@]}" --max-epochs 100000 --patience 100000 --out both_killed >stdout 2>stderr &
pid=$!
for _ in $(seq 600); do
  [ "$(epochs both_killed)" -lt 2 ] || break
  sleep 0.1
done
kill -TERM $pid
status=0
wait $pid || status=$?
[ "$status" -eq 143 ] || fail "train_bilstm, SIGTERM: exit status $status: $(cat stderr)"
run=$(sed -n 's/^tracking //p' stdout)
[ "$(status_of "$run")" = 5 ] || fail "train_bilstm, SIGTERM: status $(status_of "$run"), not 5"
passed "train_bilstm's tracked runs"

# --- a server that is not there: said once, the run ends well, and its record waits in the spool
status=0
"$train" "${tracked[@]/mlruns/http://127.0.0.1:9}" --epochs 2 --out away >stdout 2>stderr ||
  status=$?
[ "$status" -eq 0 ] || fail "a server that is not there: exit status $status: $(cat stderr)"
grep -q "^train_baseline: warning: tracking: " stderr || fail "a server that is not there: silence"
[ "$(wc -l <stderr)" -le 2 ] || fail "a server that is not there: $(cat stderr)"
[ -n "$(find away/tracking-spool -type f)" ] || fail "a server that is not there: no spool"
status=0
"$upload" away/tracking-spool >stdout 2>stderr || status=$?
[ "$status" -eq 1 ] || fail "track_upload without a server: exit status $status: $(cat stderr)"
grep -q "127.0.0.1:9" stdout stderr || fail "track_upload without a server: it does not say why"
[ -n "$(find away/tracking-spool -type f)" ] || fail "track_upload without a server: the spool is gone"
passed "a server that is not there"

# --- interrupted, then resumed: the bytes of a run that was not
long=(--dataset candles.csv --hidden-dim 8 --seq-len 10 --epochs 12)
succeed "a whole run" "$train" "${long[@]}" --out whole
rm -rf cut
"$train" "${long[@]}" --out cut >stdout 2>stderr &
pid=$!
for _ in $(seq 600); do [ -e cut/history.csv ] && break; sleep 0.02; done
kill -TERM $pid 2>/dev/null || true
wait $pid || true
succeed "resumed" "$train" "${long[@]}" --out cut --resume
for file in best.safetensors last.state.safetensors history.csv loss.svg; do
  same "interrupted and resumed" cut/$file whole/$file
done
self_contained "interrupted and resumed" cut/report.html
refused "resumed with other options" "cannot be resumed" "$train" "${long[@]}" --seed 1 \
  --out cut --resume --tracking none
[ ! -e none ] || fail "a resume that is refused: it was tracked"
passed "interrupted and resumed"

# --- early stopping, and widths
succeed "early stopping" "$train" --dataset candles.csv --hidden-dim 8 --seq-len 10 --epochs 500 \
  --learning-rate 0.02 --patience 2 --out early
says "early stopping" "^stopped early after [0-9]+ epochs"
for columns in 40 80 200; do
  succeed "$columns columns" env COLUMNS=$columns "$train" --dataset candles.csv "${small[@]}" \
    --out w
  awk -v n=$columns 'length($0) > n && !/^(model|history|chart) /{ print; exit 1 }' stdout ||
    fail "$columns columns: a line is wider"
done
succeed "--help" "$train" --help
[ "$(awk '{ if (length($0) > n) n = length($0) } END { print n }' stdout)" -le 80 ] ||
  fail "--help has lines of more than 80 characters"
for default in epochs.*=5 batch-size.*=32 seq-len.*=60 hidden-dim.*=64 num-layers.*=2 dropout.*=0.2 \
  learning-rate.*=0.001 model-type.*=lstm validation-split.*=0.2 device.*=cpu seed.*=42; do
  says "--help shows defaults" "--$default"
done
passed "early stopping, widths, help"
echo "baseline: all passed"
