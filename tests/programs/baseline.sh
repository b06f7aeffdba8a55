#!/usr/bin/env bash
# train_baseline as a user runs it: synthetic candles, the shipped ones and a prepared table; its
# configuration file, its log, tracked runs and how they end, and predictions by class. Also
# train_bilstm's tracked runs, and what both programs share: options, their names, files.
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
synthetic=(--synthetic 1430 --validation 0.3 --max-epochs 5 --seed 42)
declare -A parameters=([lstm]=56,259 [gru]=42,243)
declare -A near=([lstm]=0.02 [gru]=0.1)  # a GRU's states are not damped by an output gate
# The LSTM's training loss falls in every epoch; a GRU's, for the same reason, falls from the first to
# the last, with a few thousandths up in one epoch for some seeds.
for type in lstm gru; do
  name="synthetic, $type"
  succeed "$name" "$train" "${synthetic[@]}" --model $type --out $type
  says "$name" "^features +technical23, 23$"
  says "$name" "^windows +60 rows each: 941 to train, 429 to validate, 0 to test, 60 dropped"
  says "$name" "^model +${type^^}, 2 x 64 units, dropout 0.2, head dropout 0.2, final pooling,"
  says "$name" "^model .* ${parameters[$type]} parameters$"
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
says_page lstm/report.html "Training of an LSTM on synthetic candles"
says_page lstm/report.html "<h2>Probability over price</h2>"
says_page lstm/report.html "These windows also chose the best epoch"
but_for_place() { sed '/<dt>\(out\|threads\)</,+1d' "$1"; }
same "the report of the same seed" <(but_for_place lstm/report.html) \
  <(but_for_place again/report.html)
passed "the same seed gives the same bytes, whatever the threads"

# --- the shipped candles, each type; a test part; class weights; an optimizer with decay
head -n 901 "$source" >candles.csv
small=(--hidden 8 --seq-len 10 --max-epochs 1)
for type in lstm gru bilstm bigru; do
  succeed "candles, $type" "$train" --data candles.csv "${small[@]}" --model $type \
    --test 0.2 --out candles_$type
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
succeed "balanced" "$train" --data candles.csv "${small[@]}" --test 0.2 \
  --class-weights balanced --out balanced
differ "balanced class weights" balanced/history.csv candles_lstm/history.csv
succeed "adamw" "$train" --data candles.csv "${small[@]}" --test 0.2 --optimizer adamw \
  --weight-decay 0.5 --out adamw
differ "adamw" adamw/best.safetensors candles_lstm/best.safetensors
refused "decay without adamw" "weight-decay belongs to --optimizer adamw" "$train" \
  --data candles.csv "${small[@]}" --weight-decay 0.5 --out none
succeed "two classes" "$train" --data candles.csv "${small[@]}" --label direction \
  --class-weights balanced --out two
succeed "two classes (predict)" "$predict" --model two/best.safetensors --data candles.csv \
  --out predictions.csv
[ "$(head -n 1 predictions.csv)" = time,probability ] || fail "two classes: the header"
passed "candles, each type"

# --- a prepared table with labels -1, 0, 1
awk -F, -v OFS=, 'NR == 1 { print "date,a,b,y"; next }
  { print $1, $5 / $2, $3 / $4, (NR % 5 == 0) - (NR % 3 == 0) }' candles.csv >table.csv
succeed "a table" "$train" --data table.csv --feature-columns a,b --label-column y \
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
options=(--data candles.csv --test 0.2 --seq-len 10 --batch-size 16 --model gru
  --layers 1 --dropout 0.1 --lr 0.002 --max-epochs 1 --validation 0.25)
succeed "a configuration file" "$train" --config run.toml
succeed "the same as options" "$train" "${options[@]}" --hidden 8 --out from_options
same "a configuration file" from_file/best.safetensors from_options/best.safetensors
same "a configuration file" from_file/history.csv from_options/history.csv
succeed "flags beside the file" "$train" --config run.toml --hidden 9 --out mixed
succeed "the same as options" "$train" "${options[@]}" --hidden 9 --out mixed_options
same "flags win over the file" mixed/best.safetensors mixed_options/best.safetensors
succeed "what a run wrote as its configuration" "$train" --config mixed/config.toml --out rerun
same "what a run wrote as its configuration" rerun/best.safetensors mixed/best.safetensors
succeed "--synthetic wins over the file's dataset" "$train" --config run.toml --synthetic 200 \
  --out synthetic
says "--synthetic wins over the file's dataset" "^data +synthetic, seed 42"
passed "configuration files"

refuse_config() {  # refuse_config NAME PATTERN LINE...
  printf '%s\n' "${@:3}" >bad.toml
  refused "$1" "^train_baseline: bad.toml:$2" "$train" --data candles.csv "${small[@]}" \
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
refuse_config "a model that is not known" "2: key 'model_type': expected one of lstm, gru, bilstm, bigru, transformer, got 'rnn'" \
  '[deep_learning]' 'model_type = "rnn"'
refuse_config "cuda in a file" "1: key 'device': this build is CPU only" 'device = "cuda"'
refuse_config "a line that is no setting" "1: key 'garbage': expected key = value" 'garbage'
refused "a file that is missing" "^train_baseline: --config: .*none.toml" "$train" \
  --data candles.csv --config none.toml --out none
refused "a directory as file" "^train_baseline: --config: .*lstm" "$train" \
  --data candles.csv --config lstm --out none
passed "configuration files that are refused"

# --- options that are refused, by name
refuse_option() {  # refuse_option OPTION VALUE PATTERN
  refused "$1 $2" "^train_baseline: $1: $3" "$train" --data candles.csv "$1" "$2" --out none
}
refuse_option --device cuda "this build is CPU only"
refuse_option --device gpu "expected cpu, got 'gpu'"
refuse_option --seq-len 0 "expected a whole number of 1 or more, got '0'"
refuse_option --hidden 0 "expected a whole number from 1 to 1000000, got '0'"
refuse_option --layers 1001 "expected a whole number from 1 to 1000"
refuse_option --dropout 1 "expected a number of at least 0 and below 1"
refuse_option --lr -1 "expected a number above 0"
refuse_option --lr nan "expected a number above 0"
refuse_option --validation 0 "expected a number above 0 and below 1"
refuse_option --test 1 "expected a number of at least 0 and below 1"
refuse_option --max-epochs 0 "expected a whole number of 1 or more"
refuse_option --model rnn "expected one of lstm, gru"
refuse_option --log-level loud "expected one of debug"
refuse_option --threads 1025 "expected a whole number from 0 to 1024"
refused "no data" "expected --data FILE or --synthetic N" "$train" --out none
refused "data and synthetic data" "excludes" "$train" --data candles.csv --synthetic 100 --out none
refused "a table without a label" "go together" "$train" --data table.csv --feature-columns a \
  --out none
refused "splits without training" "fractions" "$train" --data candles.csv "${small[@]}" \
  --validation 0.5 --test 0.5 --out none
refused "tracking somewhere else" "expected a folder or http" "$train" --data candles.csv \
  "${small[@]}" --tracking sqlite:///x.db --out refused
refused "a model's name" "may not hold" "$train" --data candles.csv "${small[@]}" \
  --tracking none --register a/b --out none
[ ! -e none ] || fail "options that are refused: files were made"
passed "options that are refused"

# --- the log
grep -qE '^[0-9T:.-]+Z info epoch epoch=1 train_loss=[0-9.]+ ' lstm/train.log || fail "train.log"
succeed "a JSON log" "$train" --data candles.csv "${small[@]}" --log-format json --out json
grep -qE '^\{"time":"[^"]+Z","level":"info","message":"epoch","epoch":1,' json/train.log ||
  fail "a JSON log: $(cat json/train.log)"
succeed "a log of errors alone" "$train" --data candles.csv "${small[@]}" --log-level error \
  --out quiet
[ ! -s quiet/train.log ] || fail "a log of errors alone: $(cat quiet/train.log)"
passed "train.log"

# --- tracking: two runs of an experiment, one of them killed
tracked=(--data candles.csv --hidden 8 --seq-len 10 --tracking mlruns --experiment tests)
succeed "a tracked run" "$train" "${tracked[@]}" --max-epochs 2 --run-name first --register baseline \
  --out tracked
first=$(sed -n 's/^tracking //p' stdout)
[ "$(status_of "$first")" = 3 ] || fail "a tracked run: status $(status_of "$first"), not 3"
[ "$(cat "$first/params/hidden")" = 8 ] || fail "a tracked run: its parameters"
[ "$(cat "$first/params/lr")" = 0.001 ] || fail "a tracked run: a default parameter"
[ "$(cat "$first/tags/mlflow.runName")" = first ] || fail "a tracked run: its name"
[ "$(wc -l <"$first/metrics/train_loss")" -eq 2 ] || fail "a tracked run: its training loss"
column tracked/history.csv validation_loss |
  cmp -s - <(cut -d' ' -f2 "$first/metrics/validation_loss") || fail "a tracked run: its losses"
[ -s "$first/metrics/best_validation_macro_f1" ] || fail "a tracked run: its last figures"
for file in best.safetensors history.csv loss.svg report.html config.toml; do
  same "a tracked run: artifacts" tracked/$file "$first/artifacts/$file"
done
grep -q "^source: .*/artifacts/model\"\$" mlruns/models/baseline/version-1/meta.yaml &&
  grep -q '^    data: "best.safetensors"$' "$first/artifacts/model/MLmodel" ||
  fail "a tracked run: its registered model"
same "a tracked run: its registered model" tracked/best.safetensors "$first/artifacts/model/best.safetensors"

# A shell's background jobs ignore SIGINT, and so would the program.
for signal in TERM INT; do
  rm -rf cut
  mkdir cut
  echo "of an earlier run" >cut/report.html
  env --default-signal=INT "$train" "${tracked[@]}" --max-epochs 100000 --run-name $signal --out cut >stdout 2>stderr &
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
  wait $pid' bash "$train" "${tracked[@]}" --max-epochs 100000 --run-name broken --out broken
run=$(dirname "$(dirname "$(grep -lrx broken mlruns --include=mlflow.runName)")")
[ "$(status_of "$run")" = 4 ] || fail "an exception: status $(status_of "$run"), not 4 (FAILED)"

# A loss that is no number any more: FAILED too, and exit status 1.
status=0
"$train" "${tracked[@]}" --max-epochs 9 --lr 1e300 --clip-norm 0 --run-name diverged \
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
"$train" "${tracked[@]/mlruns/http://127.0.0.1:9}" --max-epochs 2 --out away >stdout 2>stderr ||
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
long=(--data candles.csv --hidden 8 --seq-len 10 --max-epochs 12)
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
succeed "early stopping" "$train" --data candles.csv --hidden 8 --seq-len 10 --max-epochs 500 \
  --lr 0.02 --patience 2 --out early
says "early stopping" "^stopped early after [0-9]+ epochs"
for columns in 40 80 200; do
  succeed "$columns columns" env COLUMNS=$columns "$train" --data candles.csv "${small[@]}" \
    --out w
  awk -v n=$columns 'length($0) > n && !/^(model|history|chart) /{ print; exit 1 }' stdout ||
    fail "$columns columns: a line is wider"
done
succeed "--help" "$train" --help
[ "$(awk '{ if (length($0) > n) n = length($0) } END { print n }' stdout)" -le 80 ] ||
  fail "--help has lines of more than 80 characters"
for default in max-epochs.*=5 batch-size.*=32 seq-len.*=60 hidden.*=64 layers.*=2 dropout.*=0.2 \
  lr.*=0.001 model.*=lstm validation.*=0.2 device.*=cpu seed.*=42 patience.*=0; do
  says "--help shows defaults" "--$default"
done
passed "early stopping, widths, help"

# --- both programs have the same options, and the names that either had before
names_of() { grep -oE '^  (-h,)?--[a-z-]+|also --[a-z-]+' stdout; }
succeed "--help" "$train" --help
names_of >baseline.names
succeed "--help" "$bilstm" --help
names_of >bilstm.names
same "the options of both programs" baseline.names bilstm.names
[ "$(wc -l <bilstm.names)" -gt 50 ] || fail "the options of both programs: $(cat bilstm.names)"
[ "$(awk '{ if (length($0) > n) n = length($0) } END { print n }' stdout)" -le 80 ] ||
  fail "--help has lines of more than 80 characters"

head -n 801 candles.csv >fewer.csv
cat >base.toml <<'TOML'
data = "candles.csv"
features = "ohlcv"
seq-len = 10
model = "lstm"
hidden = 4
layers = 1
lr = 0.001
max-epochs = 1
validation = 0.2
test = 0.2
TOML
for program in "$train" "$bilstm"; do
  succeed "the options of a file" "$program" --config base.toml --out base
  while read -r name other value toml; do
    grep -qx "also --$other" bilstm.names || fail "--help does not name --$other"
    succeed "--$name" "$program" --config base.toml --"$name" "$value" --out by_name
    differ "--$name" base/history.csv by_name/history.csv
    succeed "--$other" "$program" --config base.toml --"$other"="$value" --out by_other
    same "--$other is --$name" by_name/best.safetensors by_other/best.safetensors
    same "--$other is --$name" by_name/history.csv by_other/history.csv
    { sed "/^$name =/d" base.toml; echo "$other = $toml"; } >other.toml
    succeed "$other in a file" "$program" --config other.toml --out by_other
    same "$other in a file is --$name" by_name/best.safetensors by_other/best.safetensors
    refused "--$name and --$other" "--$name and --$other are one option: give one of them" \
      "$program" --config base.toml --"$name" "$value" --"$other" "$value" --out none
    refused "--$other and --$name" "--$other and --$name are one option: give one of them" \
      "$program" --"$other" "$value" --config base.toml --"$name"="$value" --out none
    { cat base.toml; echo "$other = $toml"; } >twice.toml
    refused "$name and $other in a file" \
      "twice.toml:11: key '$other': it sets --$name, as '$name' in line [0-9]+ does" \
      "$program" --config twice.toml --out none
    [ "$name" != data ] || continue
    for key in "${name//-/_}" "${other//-/_}"; do
      { sed "/^$name =/d" base.toml; printf '[deep_learning]\n%s = %s\n' "$key" "$toml"; } >other.toml
      succeed "$key in [deep_learning]" "$program" --config other.toml --out by_other
      same "$key in [deep_learning] is --$name" by_name/best.safetensors by_other/best.safetensors
    done
  done <<'END'
data dataset fewer.csv "fewer.csv"
model model-type gru "gru"
hidden hidden-dim 6 6
layers num-layers 2 2
lr learning-rate 0.01 0.01
max-epochs epochs 2 2
validation validation-split 0.3 0.3
test test-split 0.1 0.1
END
done
[ ! -e none ] || fail "an option by two names: files were made"
passed "names of options"

# --- a run's config.toml holds every default, so the other program goes the same way with it
for pair in "$train:$bilstm" "$bilstm:$train"; do
  first=${pair%:*} second=${pair#*:}
  succeed "a run" "$first" --data candles.csv --hidden 8 --features ohlcv --seq-len 10 --max-epochs 9 \
    --lr 0.01 --out first
  succeed "the other program" "$second" --config first/config.toml --out second
  for file in best.safetensors last.state.safetensors history.csv loss.svg; do
    same "both programs with the same options" first/$file second/$file
  done
  for file in config.toml train.log report.html; do
    [ -s first/$file ] && [ -s second/$file ] || fail "both programs: $file is missing"
  done
done
succeed "train_bilstm --model gru" "$bilstm" --config base.toml --model gru --out gru_of_bilstm
says "train_bilstm --model gru" "^model +GRU, 1 x 4 units, last pooling"
if grep -q "^start" stdout; then fail "details that were not asked for"; fi
succeed "--details full" "$bilstm" --config base.toml --details full --out full
says "--details full" "^start +cross-entropy"
says "--details full" "^class precision"
passed "one training program"

# --- a configuration that train_baseline wrote before its options were renamed
cat >old.toml <<'TOML'
dataset = "candles.csv"
features = "technical23"
label = "threshold"
ahead = 1
loss = "mse"
seq-len = 10
stride = 1
validation-split = 0.2
test-split = 0
model-type = "gru"
hidden-dim = 4
num-layers = 1
dropout = 0.3
pooling = "final"
init = "orthogonal"
epochs = 2
batch-size = 32
learning-rate = 0.001
optimizer = "adam"
clip-norm = 1
class-weights = "none"
patience = 0
seed = 42
threads = 0
device = "cpu"
out = "old"
log-format = "text"
log-level = "info"
experiment = "Default"
TOML
succeed "an old configuration" "$train" --config old.toml
succeed "the same as options" "$train" --data candles.csv --seq-len 10 --model gru --hidden 4 --layers 1 \
  --dropout 0 --head-dropout 0.3 --max-epochs 2 --out new
same "an old configuration" old/best.safetensors new/best.safetensors
same "an old configuration" old/history.csv new/history.csv
succeed "what its run wrote" "$train" --config old/config.toml --out new
same "what its run wrote" old/best.safetensors new/best.safetensors
passed "an old configuration"
echo "baseline: all passed"
