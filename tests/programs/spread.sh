#!/usr/bin/env bash
# Training over shards: the same bytes for every number of processes that shares them, with mpirun and
# without; what cannot be shared is refused once; a process that dies ends the others, and the run goes
# on to the same bytes.
#
# Usage: spread.sh TRAIN_BILSTM TRAIN_BILSTM_SERIAL RANKS CANDLES
#   TRAIN_BILSTM_SERIAL: the same program without threads and without MPI.
#   RANKS: the program of ranks.cpp. CANDLES: as threads.sh takes it.
# Ends with status 77 where Open MPI's mpirun is missing.
set -euo pipefail

train=$(realpath "$1") serial=$(realpath "$2") ranks=$(realpath "$3") source=$(realpath "$4")
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
mpirun --version 2>/dev/null | grep -q 'Open MPI' || {
  echo "skipped: processes need Open MPI's mpirun"
  exit 77
}
# Root in a container; more processes than cores; no messages of mpirun's own.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
together() { timeout 300 mpirun -q --oversubscribe -n "$@"; }
cd "$work"
head -n 301 "$source" >candles.csv

for n in 1 2 3 4; do
  together "$n" "$ranks" >stdout 2>stderr || fail "$n ranks: $(cat stderr)"
done
"$ranks" || fail "one rank without mpirun"
passed "ranks: every call, of 1 to 4"

seconds() { date +%s; }

# fails_soon NAME COMMAND...: it fails within ten seconds; its output is in stdout and stderr.
fails_soon() {
  local name=$1 begin status=0
  shift
  begin=$(seconds)
  "$@" >stdout 2>stderr </dev/null || status=$?
  [ "$status" -ne 0 ] && [ "$status" -ne 124 ] || fail "$name: exit status $status"
  [ $(($(seconds) - begin)) -le 10 ] || fail "$name: it took $(($(seconds) - begin)) seconds"
}
fails_soon "an exception on one rank" together 2 "$ranks" alone
grep -q "rank 1 by itself" stderr || true  # its line may be lost with the process
passed "an exception on one rank ends the others"

run=(--data candles.csv --hidden 12 --layers 2 --seq-len 10 --batch-size 30 --dropout 0.3)

same_files() {  # same_files NAME DIRECTORY DIRECTORY
  local file
  for file in best.safetensors last.state.safetensors history.csv loss.svg; do
    same "$1" "$2/$file" "$3/$file"
  done
  no_temporaries "$1" "$2"
  passed "$1"
}

compare() {  # compare NAME OPTION...
  local name=$1 n
  shift
  rm -rf whole other
  succeed "$name, by itself" "$train" "${run[@]}" --max-epochs 3 --shards 4 "$@" --out whole
  for n in 1 2 4; do
    rm -rf other
    succeed "$name, $n processes" together "$n" "$train" "${run[@]}" --max-epochs 3 --shards 4 "$@" --out other
    [ "$(grep -c '^training' stdout)" -eq 1 ] || fail "$name, $n processes: not one of them speaks"
    same_files "$name, $n processes" other whole
  done
  rm -rf other
  succeed "$name, 3 threads" "$train" "${run[@]}" --max-epochs 3 --shards 4 "$@" --threads 3 --out other
  same_files "$name, 3 threads" other whole
}
compare "in order"
compare "shuffled" --shuffle --stride 2 --patience 1
compare "shuffled batches, every step" --shuffle-batches --model lstm --pooling each

# One shard is no shard; four are other bytes.
succeed "no shards" "$train" "${run[@]}" --max-epochs 3 --out none
succeed "one shard" "$train" "${run[@]}" --max-epochs 3 --shards 1 --out one
for file in best.safetensors last.state.safetensors history.csv; do
  same "one shard" one/$file none/$file
done
succeed "four shards" "$train" "${run[@]}" --max-epochs 3 --shards 4 --out four
differ "four shards" four/best.safetensors none/best.safetensors
passed "one shard is no shard"

# --- refused, once for all processes
refused "no --shards" "--shards 1 cannot be shared between 2 processes: expected --shards 4" \
  together 2 "$train" "${run[@]}" --out refused
refused "three processes" "--shards 4 cannot be shared between 3 processes: expected a number of processes" \
  together 3 "$train" "${run[@]}" --shards 4 --out refused
refused "no power of two" "--shards: expected a power of two" "$train" "${run[@]}" --shards 6 --out refused
refused "an unknown option" "--shard" together 2 "$train" "${run[@]}" --shard 2 --out refused
refused "no such file" "none.csv" together 2 "$train" --data none.csv "${run[@]:2}" --shards 2 --out refused
[ ! -e refused ] || fail "a run that is refused leaves files"
succeed "--help" together 2 "$train" --help
[ "$(grep -c -- '--shards' "$work/stdout")" -eq 1 ] || fail "--help is not printed once"
refused "built without MPI" "built without MPI" together 1 env OMPI_COMM_WORLD_SIZE=2 "$serial" "${run[@]}" \
  --shards 2 --out refused
passed "what cannot be shared is refused by one line"
refused "--resume with other shards" "cannot be resumed: it was written with other data or options" \
  "$train" "${run[@]}" --max-epochs 3 --shards 2 --out four --resume
passed "another number of shards is another run"

# --- one process fails alone
cat >second_fails <<'END'
#!/usr/bin/env bash
[ "$OMPI_COMM_WORLD_RANK" = 0 ] || exec "$@" --data none.csv
exec "$@" --data candles.csv
END
chmod +x second_fails
alone=("${run[@]:2}" --max-epochs 3 --shards 2)
fails_soon "the second fails" together 2 ./second_fails "$train" "${alone[@]}" --out alone
grep -q 'none.csv' stderr || fail "the second fails: nobody says why: $(cat stderr)"
touch file
fails_soon "the first fails" together 2 "$train" "${run[@]}" --shards 2 --out file
[ "$(grep -c '^train_bilstm: ' stderr)" -eq 1 ] || fail "the first fails: $(cat stderr)"
passed "a process that fails alone ends the others, and says why"

# --- one process dies
process_of() {  # process_of RANK: its number, once it is there
  local status pid
  for status in $(grep -lE "^PPid:[[:space:]]*$mpirun$" /proc/[0-9]*/status 2>/dev/null); do
    pid=$(basename "$(dirname "$status")")
    if tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | grep -qx "OMPI_COMM_WORLD_RANK=$1"; then
      echo "$pid"
    fi
  done
}
long=("${run[@]}" --max-epochs 40 --patience 0 --lr 0.001 --shards 4)
succeed "never cut off" "$train" "${long[@]}" --out whole40
# killed RANK OPTION...: a run of two processes, of which one is killed after the first epoch.
killed() {
  local rank=$1 begin status=0 pid
  shift
  mpirun --oversubscribe -n 2 "$train" "${long[@]}" --out cut "$@" >stdout 2>stderr </dev/null &
  mpirun=$!
  while [ ! -e cut/history.csv ] && kill -0 "$mpirun" 2>/dev/null; do sleep 0.01; done
  pid=$(process_of "$rank")
  [ -n "$pid" ] || fail "rank $rank is not to be found: $(cat stderr)"
  begin=$(seconds)
  kill -9 "$pid"
  wait "$mpirun" || status=$?
  [ "$status" -ne 0 ] || fail "rank $rank is killed: mpirun ends with status 0"
  [ $(($(seconds) - begin)) -le 10 ] || fail "rank $rank is killed: the other goes on"
  grep -q "signal 9" stderr || fail "rank $rank is killed: nobody says so: $(cat stderr)"
}
for rank in 1 0; do
  rm -rf cut
  killed "$rank"
  cp -r cut "cut$rank"
  succeed "rank $rank is killed: resume by one process" "$train" "${long[@]}" --out cut --resume
  same_files "rank $rank is killed: resume by one process" cut whole40
done
succeed "resume by four processes" together 4 "$train" "${long[@]}" --out cut1 --resume
same_files "resume by four processes" cut1 whole40
echo "spread: all passed"
