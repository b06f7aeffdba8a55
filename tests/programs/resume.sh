#!/usr/bin/env bash
# A run that is killed and resumed, however often, ends in the bytes of one that was never cut off;
# a state of other data or options is refused; what a kill left behind is removed.
#
# Usage: resume.sh TRAIN_BILSTM PREDICT CANDLES
#   CANDLES: a CSV file with the columns date,open,high,low,close,volume and 800 rows.
set -euo pipefail

train=$(realpath "$1") predict=$(realpath "$2") source=$(realpath "$3")
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
train=$(on_candles_alone "$train")
cd "$work"
head -n 801 "$source" >candles.csv
kills=0
files="best.safetensors last.state.safetensors history.csv loss.svg"

# Epochs long enough to be hit in the middle; the rate is high, so that the best epoch is not the
# last and the plateau's and early stopping's counts are in use.
run=(--data candles.csv --hidden 24 --layers 2 --seq-len 20 --dropout 0.3 --lr 0.01)

same_files() {  # same_files NAME DIRECTORY DIRECTORY
  local file
  for file in $files; do same "$1" "$2/$file" "$3/$file"; done
  no_temporaries "$1" "$2"
  passed "$1"
}

mark() { stat -c '%i %Y' "$1" 2>/dev/null || echo none; }  # changes when a file is replaced

# kill_when FILE COMMAND...: starts it, and kills it as soon as FILE is there, or another than it
# was. Returns whether it was killed: a run may also have ended before.
kill_when() {
  local file=$1 old pid status=0
  old=$(mark "$file")
  shift
  "$@" >stdout 2>stderr </dev/null &
  pid=$!
  while [ "$(mark "$file")" = "$old" ] && kill -0 "$pid" 2>/dev/null; do :; done
  kill -9 "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || status=$?
  case $status in
    137) kills=$((kills + 1)) ;;
    0) return 1 ;;
    *) fail "a run to be killed ended with status $status: $(cat stderr)" ;;
  esac
}

epochs() { tail -n +2 "$1/history.csv" 2>/dev/null | wc -l; }

# cut_off NAME EPOCHS OPTION...: an uninterrupted run, and three that are killed.
cut_off() {
  local name=$1 epochs=$2 try
  shift 2
  local command=("$train" "${run[@]}" --max-epochs "$epochs" "$@")
  rm -rf whole cut
  succeed "$name" "${command[@]}" --out whole
  [ "$(epochs whole)" -eq "$epochs" ] || fail "$name: $(epochs whole) epochs, not $epochs"

  # In the very first epoch, before there is a state: --resume starts afresh.
  # The kill may come too late on a busy machine, so it has several tries.
  for try in 1 2 3 4 5; do
    rm -rf cut
    kill_when cut "${command[@]}" --out cut || true
    if [ ! -e cut/last.state.safetensors ]; then break; fi
  done
  [ ! -e cut/last.state.safetensors ] || fail "$name: the kill came after the first epoch"
  succeed "$name: resume after a kill in the first epoch" "${command[@]}" --out cut --resume
  same_files "$name: killed in the first epoch" cut whole

  # At each new state, in the epoch after it, until a run comes to its end.
  rm -rf cut
  kills=0
  while kill_when cut/last.state.safetensors "${command[@]}" --out cut --resume; do :; done
  [ "$kills" -ge 2 ] || fail "$name: only $kills runs were killed"
  same_files "$name: killed at each new state, $kills times" cut whole

  # Once the best weights are written, when the state is still that of the epoch before.
  rm -rf cut
  kills=0
  kill_when cut/best.safetensors "${command[@]}" --out cut || true
  kill_when cut/history.csv "${command[@]}" --out cut --resume || true
  [ "$kills" -ge 1 ] || fail "$name: no run was killed"
  succeed "$name: the last resume" "${command[@]}" --out cut --resume
  same_files "$name: killed while an epoch's files are written" cut whole

  # In the middle of an epoch: a third and two thirds of one after its start.
  rm -rf cut
  kill_when cut/history.csv "${command[@]}" --out cut || true
  kill_within 3 "${command[@]}" --out cut --resume
  kill_within 1.5 "${command[@]}" --out cut --resume
  succeed "$name: the last resume" "${command[@]}" --out cut --resume
  same_files "$name: killed in mid-epoch" cut whole
}

now() { date +%s%N; }

# kill_within PART COMMAND...: kills it a PART-th of an epoch after it wrote its first one.
kill_within() {
  local part=$1 old pid start first until
  shift
  old=$(mark cut/history.csv)
  "$@" >stdout 2>stderr </dev/null &
  pid=$!
  start=$(now)
  while [ "$(mark cut/history.csv)" = "$old" ] && kill -0 "$pid" 2>/dev/null; do :; done
  first=$(now)
  until=$(awk -v a="$start" -v b="$first" -v part="$part" \
    'BEGIN { printf "%.0f", b + (b - a) / part }')
  while [ "$(now)" -lt "$until" ] && kill -0 "$pid" 2>/dev/null; do :; done
  kill -9 "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
}

cut_off "in order" 6
cut_off "shuffled" 6 --shuffle --stride 2 --batch-size 16

# --- a finished run
cp -r whole finished
succeed "--resume of a finished run" "$train" "${run[@]}" --max-epochs 6 --shuffle --stride 2 \
  --batch-size 16 --out finished --resume
same_files "--resume of a finished run" finished whole

# A kill can come after the last state is written and before the history and the chart are.
rm finished/history.csv finished/loss.svg
succeed "--resume of a finished run without history" "$train" "${run[@]}" --max-epochs 6 \
  --shuffle --stride 2 --batch-size 16 --out finished --resume
same_files "--resume when only history and chart were not written yet" finished whole

# --- a run that stopped early, by patience
early=("$train" "${run[@]}" --max-epochs 30 --patience 2)
rm -rf whole cut
succeed "stopped early" "${early[@]}" --out whole
grep -q "^stopped early" stdout || fail "stopped early: the run was not"
kill_when cut/last.state.safetensors "${early[@]}" --out cut || true
kill_when cut/last.state.safetensors "${early[@]}" --out cut --resume || true
succeed "stopped early" "${early[@]}" --out cut --resume
grep -q "^stopped early" stdout || fail "stopped early: the resumed run was not"
same_files "a run that stops early" cut whole

# --- another run's state is refused
refuse_resume() {  # refuse_resume NAME OPTION...
  refused "--resume with $1" "last.state.safetensors: cannot be resumed: .*other data or options" \
    "${early[@]}" "${@:2}" --out cut --resume
  [ "$(contents cut)" = "$before" ] || fail "--resume with $1: files were made or changed"
  passed "--resume with $1 is refused"
}
before=$(contents cut)
refuse_resume "another seed" --seed 2
refuse_resume "another weight decay" --weight-decay 0.02
refuse_resume "another label" --label direction
refuse_resume "another window" --stride 2
refuse_resume "another batch size" --batch-size 16
refuse_resume "another order" --shuffle
refuse_resume "another pooling" --pooling mean
refuse_resume "other initial weights" --init orthogonal
refuse_resume "other features" --features ohlc
refuse_resume "another split" --test 0.1
early=("$train" "${run[@]}" --max-epochs 30 --patience 3)
refuse_resume "another patience"
early=("$train" "${run[@]}" --max-epochs 31 --patience 2)
refuse_resume "another number of epochs"
other_run() { early=("$train" "${run[@]/$1/$2}" --max-epochs 30 --patience 2); }
other_run 0.01 0.02
refuse_resume "another rate"
other_run 0.3 0.2
refuse_resume "another dropout"
awk -F, -v OFS=, 'NR == 400 { $6 = $6; $5 = ($3 + $4) / 2 } { print }' candles.csv >other.csv
! cmp -s candles.csv other.csv || fail "the test's own other data"
other_run candles.csv other.csv
refuse_resume "other data"
head -n 800 candles.csv >shorter.csv
other_run candles.csv shorter.csv
refuse_resume "one row less"

# The same data under another name is the same data.
cp candles.csv renamed.csv
other_run candles.csv renamed.csv
succeed "--resume with the data moved" "${early[@]}" --out cut --resume
same "--resume with the data moved" cut/best.safetensors whole/best.safetensors
passed "--resume with the data moved"

# A state that is damaged is refused, and kept.
early=("$train" "${run[@]}" --max-epochs 30 --patience 2)
truncate -s -1 cut/last.state.safetensors
before=$(contents cut)
refused "--resume with a truncated state" "last.state.safetensors: " \
  "${early[@]}" --out cut --resume
cp whole/best.safetensors cut/last.state.safetensors
before=$(contents cut)
refused "--resume with a model as state" "last.state.safetensors: metadata 'tsdl.training_state'" \
  "${early[@]}" --out cut --resume
[ "$(contents cut)" = "$before" ] || fail "--resume with a model as state: files were changed"
passed "--resume with a damaged state is refused"

# --- temporaries; those of earlier versions had the process in their names, and go after a day
tiny=(--hidden 8 --layers 1 --seq-len 10 --max-epochs 1)
dead=$(bash -c 'echo $$')
! kill -0 "$dead" 2>/dev/null || fail "the test's own dead process"
mkdir left
for file in best.safetensors last.state.safetensors history.csv loss.svg; do
  echo half >"left/$file.$dead.tsdl-tmp"
done
echo mine >left/notes.tsdl-tmp
echo busy >"left/other.csv.$$.tsdl-tmp"  # of a process that runs: this one
touch -d "2 days ago" left/*
succeed "a run after a kill" "$train" --data candles.csv "${tiny[@]}" --out left
[ -z "$(find left -name "*.$dead.tsdl-tmp")" ] || fail "temporaries of a killed run are still there"
[ -e "left/other.csv.$$.tsdl-tmp" ] || fail "the temporary of a process that runs was removed"
[ -e left/notes.tsdl-tmp ] || fail "a file of the user's was removed"
passed "temporaries of a killed run are removed by the next"
echo half >"left/predictions.csv.$dead.tsdl-tmp"
touch -d "2 days ago" "left/predictions.csv.$dead.tsdl-tmp"
succeed "a prediction after a kill" "$predict" --model left/best.safetensors --data candles.csv \
  --out left/predictions.csv
[ ! -e "left/predictions.csv.$dead.tsdl-tmp" ] ||
  fail "the temporary of a killed prediction is still there after the next"
passed "the temporary of a killed prediction is removed by the next"
echo "resume: all passed"
