#!/usr/bin/env bash
# A search of 60 trials on the shipped candles, killed at 20 random moments, its whole process group,
# ends in the same bytes as one that was never interrupted; so does it for 1, 2 and 4 workers and for
# 1, 2 and 3 processes of mpirun, one of which is killed as well.
#
# Usage: [TUNE=PROGRAM] tune_kills.sh [SEED]   of the moments; the clock's when none is given
# Takes a few minutes on two cores. Needs the programs of the release preset, util-linux and, for
# several processes, Open MPI.
set -euo pipefail

root=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
tune=${TUNE:-$root/build/release/examples/tune}
RANDOM=${1:-$(date +%s)}
. "$root/tests/programs/lib.sh"
cd "$work"
cat >space.toml <<'END'
hidden = { integer = [8, 24], step = 8 }
lr = { log_uniform = [3e-4, 3e-2] }
seq-len = [8, 16, 24]
dropout = { uniform = [0.0, 0.4] }
model = ["gru", "lstm", "bigru"]
END
search=("$tune" --data "$root/examples/data/sp500-daily.csv" --space space.toml --trials 60
  --layers 1 --max-epochs 4 --folds purged:3)
mpi=(mpirun -q --allow-run-as-root --oversubscribe)

same_study() {  # same_study NAME DIRECTORY
  same "$1" whole/summary.json "$2/summary.json"
  same "$1" whole/leaderboard.csv "$2/leaderboard.csv"
  passed "$1"
}

start=$SECONDS
succeed "a search" "${search[@]}" --study whole
tail -n +3 stdout | head -n 16
length=$((SECONDS - start))
echo "$(sha256sum <whole/summary.json | cut -c1-16), $length s"

kills=0
while [ "$kills" -lt 20 ]; do
  setsid "${search[@]}" --study killed --resume --workers 2 >stdout 2>stderr </dev/null &
  pid=$!
  sleep "$((RANDOM % (length / 25 + 1))).$((RANDOM % 8 + 2))"
  if ! kill -9 -- "-$pid" 2>/dev/null; then break; fi
  wait "$pid" 2>/dev/null || true
  kills=$((kills + 1))
done
succeed "the rest of a search that was killed" "${search[@]}" --study killed --resume
same_study "killed $kills times" killed

for workers in 1 2 4; do
  succeed "$workers workers" "${search[@]}" --study "w$workers" --workers "$workers"
  same_study "$workers workers" "w$workers"
done

command -v mpirun >/dev/null || {
  echo "skipped: processes of mpirun, which is not installed"
  exit 0
}
for ranks in 1 2 3; do
  succeed "$ranks processes" "${mpi[@]}" -n "$ranks" "${search[@]}" --study "r$ranks" --workers 1
  same_study "$ranks processes" "r$ranks"
done
"${mpi[@]}" -n 2 "${search[@]}" --study cut --workers 1 >stdout 2>stderr </dev/null &
pid=$!
sleep "$((length / 3 + 1))"
pkill -9 -n -P "$pid" tune
SECONDS=0
wait "$pid" && fail "a search went on without a process"
[ "$SECONDS" -le 10 ] || fail "the other process has run for $SECONDS s after one was killed"
succeed "a search of which a process was killed" "${search[@]}" --study cut --resume
same_study "a process of two killed, then one process" cut
