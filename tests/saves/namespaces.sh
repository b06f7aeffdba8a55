#!/usr/bin/env bash
# Two programs that are both process 1, as in two containers, save one file in one directory, 400 times
# together from eight threads: every read is whole, and no file that is being written is removed. One
# that is killed leaves a temporary file, which the next removes.
#
# Usage: namespaces.sh SAVES    SAVES: the program of saves.cpp.
# Needs unshare, and a system that lets its user make a namespace of processes; skipped (77) elsewhere.
set -euo pipefail

saves=$(realpath "$1")
. "$(dirname "${BASH_SOURCE[0]}")/../programs/lib.sh"
apart=(unshare --pid --fork --kill-child)
[ "$(id -u)" -eq 0 ] || apart+=(--user --map-root-user)
[ "$("${apart[@]}" sh -c 'echo $$' 2>"$work/why")" = 1 ] || {
  echo "skipped: saves of two namespaces: no namespace of processes can be made here: $(head -n 1 "$work/why")"
  exit 77
}
mkdir "$work/one"
cd "$work"

running=()
for name in first second; do
  "${apart[@]}" "$saves" one 50 2>"$name" &
  running+=($!)
done
status=0
for process in "${running[@]}"; do wait "$process" || status=$?; done
[ "$status" -eq 0 ] || fail "saves of two processes 1: exit status $status: $(cat first second | head -n 5)"
[ "$(ls -A one)" = same.txt ] || fail "left behind: $(ls -A one)"
passed "400 saves from two namespaces"

for ((tries = 0; tries < 20; ++tries)); do
  "$saves" one 1000000 &
  running=$!
  sleep 0.2
  kill -9 "$running"
  wait "$running" 2>/dev/null || true
  [ "$(ls -A one)" = same.txt ] || break
done
[ "$(ls -A one)" != same.txt ] || fail "a process that is killed while it saves leaves nothing"
"${apart[@]}" "$saves" one 1
[ "$(ls -A one)" = same.txt ] || fail "left behind after a kill: $(ls -A one)"
passed "what a killed process leaves is removed by the next"
echo "namespaces: all passed"
