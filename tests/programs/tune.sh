#!/usr/bin/env bash
# A search gives the same leaderboard for any number of workers, processes and shards, and however
# often it was killed; the winner is trained and tested; what cannot be searched is refused.
#
# Usage: tune.sh TUNE TRAIN_BILSTM PREDICT CANDLES
#   CANDLES: a CSV file with the columns date,open,high,low,close,volume and 800 rows.
# Where mpirun is missing, several processes are not tested.
set -euo pipefail

tune=$(realpath "$1") train=$(realpath "$2") predict=$(realpath "$3") source=$(realpath "$4")
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$work"
head -n 801 "$source" >candles.csv
cat >space.toml <<'END'
hidden = [4, 6, 8]
lr = { log_uniform = [1e-3, 1e-1] }
seq-len = { integer = [5, 12] }
model = ["lstm", "gru"]
END
data=(--data candles.csv --features ohlcv --folds purged:3)
run=("${data[@]}" --layers 1 --max-epochs 3)
search=("${run[@]}" --space space.toml --trials 6)

study() {  # study DIRECTORY OPTION...
  local dir=$1
  shift
  "$tune" "${search[@]}" --study "$dir" "$@"
}
same_study() {  # same_study NAME DIRECTORY DIRECTORY
  same "$1" "$2/summary.json" "$3/summary.json"
  same "$1" "$2/leaderboard.csv" "$3/leaderboard.csv"
  no_temporaries "$1" "$3"
  [ ! -e "$3/runs" ] || fail "$1: unfinished runs are left in $3/runs"
  passed "$1"
}

succeed "--help" "$tune" --help
[ "$(awk '{ if (length($0) > n) n = length($0) } END { print n }' stdout)" -le 80 ] ||
  fail "--help has lines of more than 80 characters"
succeed "a search" study one --workers 1
[ "$(wc -l <one/leaderboard.csv)" -eq 7 ] || fail "the leaderboard has not 6 trials"
[ "$(cat one/journal-*.jsonl | wc -l)" -eq 18 ] || fail "the journals have not 18 results"
grep -q '^   1 ' stdout || fail "the leaderboard is not printed: $(cat stdout)"
grep -q "Probability that choosing among these trials overfits" stdout || fail "no word of luck"
for workers in 2 4; do
  succeed "$workers workers" study "workers$workers" --workers "$workers"
  same_study "$workers workers" one "workers$workers"
done
succeed "resuming a study that is finished" study one --resume
same_study "a study that was resumed when it was finished" workers2 one

for shard in 3 1 2; do succeed "shard $shard" study shards --shard "$shard/3"; done
same_study "three shards" one shards

if command -v mpirun >/dev/null; then
  # An exit status of mpirun's own where the programs were built without MPI.
  if mpirun --allow-run-as-root --oversubscribe -n 2 "$tune" "${search[@]}" --study mpi \
    >stdout 2>stderr </dev/null; then
    same_study "two processes of mpirun" one mpi
    [ -s mpi/journal-rank-1-w0.jsonl ] || fail "the second process has done nothing"
  elif grep -q "built without MPI" stderr; then
    echo "skipped: a search by mpirun, as the programs are built without MPI"
  else
    fail "a search by mpirun: $(cat stderr)"
  fi
else
  echo "skipped: a search by mpirun, which is not installed"
fi

# Killed again and again, at moments that a clock chooses.
kills=0
long=("${data[@]}" --layers 2 --max-epochs 20 --space space.toml --trials 10)
succeed "a longer search" "$tune" "${long[@]}" --study whole
for try in 1 2 3 4 5 6; do
  setsid "$tune" "${long[@]}" --study killed --resume --workers 2 >stdout 2>stderr </dev/null &
  pid=$!
  sleep "0.$((try * 37 % 50 + 15))"
  status=0
  kill -9 -- "-$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || status=$?
  if [ "$status" -eq 137 ]; then kills=$((kills + 1)); fi
done
succeed "the end of a search that was killed" "$tune" "${long[@]}" --study killed --resume
same_study "a search that was killed $kills times" whole killed

succeed "halving, then the winner" "$tune" "${data[@]}" --layers 1 --space space.toml \
  --search halving --eta 2 --min-epochs 1 --max-epochs 4 --trials 8 --then-train --seed 5 --study halved
[ -s halved/winner/best.safetensors ] && [ -s halved/winner/report.html ] || fail "no winner"
grep -q "^test, " stdout || fail "the winner is not tested: $(cat stdout)"
succeed "predictions of the winner" "$predict" --model halved/winner/best.safetensors \
  --data candles.csv --out p.csv
cut -d, -f5 halved/leaderboard.csv | sed -n '2p;$p' | tr '\n' ' ' >epochs
[ "$(cat epochs)" = "4 1 " ] || fail "halving: the first and last trial have $(cat epochs) epochs"
mkdir cut
cp halved/study.json cut/
cat halved/journal-*.jsonl | grep '"rung":0' | sed 1d >cut/journal-w0.jsonl
succeed "halving, cut off with one run of a rung to do" "$tune" "${data[@]}" --layers 1 \
  --space space.toml --search halving --eta 2 --min-epochs 1 --max-epochs 4 --trials 8 --seed 5 \
  --study cut --resume --workers 4
same_study "halving that was cut off within a rung" halved cut
passed "halving, and the winner trained and tested"

one_epoch=(--data candles.csv --features ohlcv --layers 1 --max-epochs 1)
succeed "a walk-forward with seeds, without a space" "$tune" "${one_epoch[@]}" --seeds 1..2 \
  --folds walk-forward:200,100,expanding --study walk
folds=$(head -n 1 walk/leaderboard.csv | tr , '\n' | grep -c fold_)
[ "$folds" -gt 2 ] && [ "$(grep -c '"fold"' walk/summary.json)" -eq "$((2 * folds))" ] ||
  fail "a walk-forward has not every one of $folds folds with each seed"
succeed "combinatorial folds" "$tune" "${one_epoch[@]}" --folds cpcv:4,2 --embargo 3 --study cpcv
grep -q "6 folds" stdout && grep -q "3 paths" stdout || fail "not the folds of cpcv:4,2"
passed "walk-forward, seeds, combinatorial folds"

# A study in MLflow: a run, a child for each trial, and no more of them when it is resumed.
for try in 1 2; do
  succeed "a tracked search" study tracked --tracking mlruns --then-train --resume
  runs=(mlruns/0/*/tags)
  [ ${#runs[@]} -eq 7 ] || fail "a tracked search has ${#runs[@]} runs, not 1 and 6"
  children=(mlruns/0/*/tags/mlflow.parentRunId)
  [ ${#children[@]} -eq 6 ] || fail "a tracked search has ${#children[@]} children, not 6"
  parent=$(cat "${children[0]}")
  grep -q "^status: 3$" "mlruns/0/$parent/meta.yaml" || fail "the study's run is not finished"
  [ -s "mlruns/0/$parent/metrics/test_accuracy" ] && [ -s "mlruns/0/$parent/metrics/folds_loss" ] ||
    fail "the winner's figures are not on the study's run"
done
passed "a study in MLflow"

# Several seeds at once are the runs of each by itself.
seeds=("${data[@]:0:4}" --layers 1 --hidden 6 --seq-len 10 --max-epochs 3)
for workers in 1 2; do
  succeed "three seeds" "$train" "${seeds[@]}" --seeds 1..3 --workers "$workers" --out "seeds$workers"
  [ "$(wc -l <"seeds$workers/seeds.csv")" -eq 4 ] || fail "seeds.csv has not three seeds"
done
succeed "one seed" "$train" "${seeds[@]}" --seed 2 --out seed2
for workers in 1 2; do
  same "seed 2" seed2/best.safetensors "seeds$workers/seed-2/best.safetensors"
  same "the figures of seeds" seeds1/seeds.csv "seeds$workers/seeds.csv"
done
refused "seeds that are none" '--seeds: expected seeds as in 1..5' "$train" "${seeds[@]}" --seeds 3..1 \
  --out no
passed "several seeds"

# What is refused, without a change to what is there.
before=$(contents one)
refused "an explanation of no model" '--explain has no effect without --then-train' "$tune" "${data[@]}" --max-epochs 3 \
  --explain --study unexplained
refused "a temperature of no model" '--calibrate has no effect without --then-train' "$tune" "${data[@]}" --max-epochs 3 \
  --study new --calibrate
refused "an ensemble" '--ensemble: a trial is one network' "$tune" "${data[@]}" --max-epochs 3 --study new \
  --ensemble lstm,gru
refused "another study" 'study.json: another study: batch-size was 32, and is 16' \
  study one --resume --batch-size 16
refused "a study that is there" 'holds results of this study already' study one
cp -r one damaged
sed -i '3s/"epochs":./"epochs":7/' damaged/journal-w0.jsonl
refused "a damaged line" 'journal-w0.jsonl:3: damaged: .*take this line out' study damaged --resume
sed -i 3d damaged/journal-w0.jsonl
succeed "without the damaged line" study damaged --resume
same_study "a study without a line that was damaged" one damaged
[ "$(contents one)" = "$before" ] || fail "a refusal has changed the study"

space() {  # space NAME PATTERN LINE: a space of this line is refused
  printf '%s\n' 'layers = [1, 2]' "$3" >bad.toml
  refused "$1" "$2" "$tune" "${data[@]}" --max-epochs 3 --space bad.toml --study new
}
space "an unknown option" "bad.toml:2: key 'hiden': no option" 'hiden = [1, 2]'
space "an empty range" "bad.toml:2: key 'lr'" 'lr = { log_uniform = [1e-2, 1e-3] }'
space "an option that changes the question" "bad.toml:2: key 'label': it changes the question" \
  'label = ["range", "direction"]'
space "an option of the program" "bad.toml:2: key 'threads'" 'threads = [1, 2]'
space "a value that the option refuses" "bad.toml:2: key 'hidden': expected a whole number" \
  'hidden = [8, 0]'
space "an option that is given" "bad.toml:2: key 'max-epochs': --max-epochs is given as well" \
  'max-epochs = [1, 2]'
space "options that do not go together" 'trial [0-9]+ \(layers' 'weight-decay = [0.1]
optimizer = ["adam"]'
refused "folds that are none" '--folds: expected purged:K' "$tune" "${one_epoch[@]}" --folds kfold:3 \
  --study new
refused "more folds than windows" '[0-9]+ samples are too few for 900 groups' \
  "$tune" "${one_epoch[@]}" --folds purged:900 --study new
refused "folds too small for a window" 'is left with 0 training' \
  "$tune" "${one_epoch[@]}" --folds purged:2 --seq-len 250 --study new
refused "windows longer than the data" 'fewer than one window' \
  "$tune" "${one_epoch[@]}" --folds purged:2 --seq-len 900 --study new
refused "a figure that the task lacks" '--score: expected one of loss, accuracy' \
  "$tune" "${run[@]}" --score rmse --study new
refused "halving without a space" '--search has no effect without --space' \
  "$tune" "${run[@]}" --search halving --study new
refused "an embargo of a walk-forward" '--embargo has no effect' "$tune" "${one_epoch[@]}" \
  --folds walk-forward:200,100 --embargo 3 --study new
refused "a shard that is none" '--shard: expected I/N' study new --shard 3/2
[ ! -e new ] || fail "a refusal has made a directory"
succeed "more workers than trials" "$tune" "${one_epoch[@]}" --folds purged:3 --workers 64 --study many
passed "what cannot be searched is refused"
