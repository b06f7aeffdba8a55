#!/usr/bin/env bash
# The number of threads, and whether there are threads at all, change no bit of what training writes.
#
# Usage: threads.sh TRAIN_BILSTM TRAIN_BILSTM_SERIAL CANDLES
#   TRAIN_BILSTM_SERIAL: the same program, same compiler and flags, built with -DTSDL_NO_THREADS.
#   CANDLES: a CSV file with the columns date,open,high,low,close,volume and 300 rows.
set -euo pipefail

train=$(realpath "$1") serial=$(realpath "$2") source=$(realpath "$3")
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$work"
head -n 301 "$source" >candles.csv

# Large enough for every parallel region to be entered: a layer's pass is 32 x 20 x 2 x 4 x 32 x 37
# multiply-adds, some 12 million operations, and one batch is several tiles of samples.
size=(--data candles.csv --hidden 32 --layers 2 --seq-len 20 --batch-size 32 --max-epochs 2)

# most_threads COMMAND...: runs it and prints the largest number of threads that it was seen with.
most_threads() {
  local most=0 now pid
  "$@" >stdout 2>stderr </dev/null &
  pid=$!
  while now=$(awk '/^Threads:/ { print $2 }' /proc/$pid/status 2>/dev/null) && [ -n "$now" ]; do
    if [ "$now" -gt "$most" ]; then most=$now; fi
  done
  wait "$pid" || fail "$*: $(cat stderr)"
  echo "$most"
}

same_files() {  # same_files NAME DIRECTORY DIRECTORY
  local file
  for file in best.safetensors last.state.safetensors history.csv loss.svg; do
    same "$1" "$2/$file" "$3/$file"
  done
  passed "$1"
}

# compare NAME OPTION...: with 1, 2, 4 and 3 threads, and without threads.
compare() {
  local name=$1 threads seen
  shift
  rm -rf one other
  OMP_NUM_THREADS=1 succeed "$name, one thread" "$train" "${size[@]}" "$@" --out one
  for threads in 2 4; do
    rm -rf other
    seen=$(OMP_NUM_THREADS=$threads most_threads "$train" "${size[@]}" "$@" --out other)
    [ "$seen" -eq "$threads" ] || fail "$name, OMP_NUM_THREADS=$threads: $seen threads ran"
    same_files "$name, OMP_NUM_THREADS=$threads" one other
  done
  rm -rf other
  OMP_NUM_THREADS=1 succeed "$name, --threads 3" "$train" "${size[@]}" "$@" --threads 3 --out other
  same_files "$name, --threads 3" one other
  rm -rf other
  seen=$(most_threads "$serial" "${size[@]}" "$@" --out other)
  [ "$seen" -eq 1 ] || fail "$name: the serial program ran $seen threads"
  same_files "$name, without threads" one other
}

compare "plain"
compare "shuffled, mean pooling" --shuffle --pooling mean --stride 3
size=(--data candles.csv --hidden 33 --layers 1 --seq-len 21 --batch-size 29 --max-epochs 2)
compare "final states, one layer, odd sizes" --pooling final
cp -r one before

# The comparisons above can fail: another seed gives other bytes.
size+=(--pooling final)
succeed "another seed" "$train" "${size[@]}" --seed 2 --out seed2
differ "another seed" before/best.safetensors seed2/best.safetensors
differ "another seed" before/history.csv seed2/history.csv
passed "another seed gives other bytes"
echo "threads: all passed"
