# What the scripts beside it share: a directory of their own, and checks that say what they check.
# Sourced, not run. Needs bash, coreutils, findutils, grep, sed and awk.

export LC_ALL=C
unset OMP_NUM_THREADS
work=$(mktemp -d)
mounted=
cleanup() {
  if [ -n "$mounted" ]; then umount "$mounted"; fi
  rm -rf "$work"
}
trap cleanup EXIT

fail() {
  printf 'FAILED: %s\n' "$*" >&2
  exit 1
}

passed() { printf 'ok: %s\n' "$*"; }

# on_candles_alone PROGRAM: prints the path of a program that runs train_bilstm on the set `ohlcv`
# where the options name no features: it is warm after 20 candles, so small files suffice.
on_candles_alone() {
  cat >"$work/train_on_candles" <<END
#!/usr/bin/env bash
for option; do
  [[ \$option != --feature* ]] || exec $(printf %q "$1") "\$@"
done
exec $(printf %q "$1") --features ohlcv "\$@"
END
  chmod +x "$work/train_on_candles"
  echo "$work/train_on_candles"
}

# same NAME FILE FILE: the files hold the same bytes.
same() {
  cmp "$2" "$3" >&2 || fail "$1: $2 and $3 differ"
}

# differ NAME FILE FILE: both files are there and do not hold the same bytes.
differ() {
  [ -f "$2" ] && [ -f "$3" ] || fail "$1: $2 or $3 is missing"
  ! cmp -s "$2" "$3" || fail "$1: $2 and $3 are the same"
}

# succeed NAME COMMAND...: it exits with 0 and says nothing on stderr.
succeed() {
  local name=$1 status=0
  shift
  "$@" >"$work/stdout" 2>"$work/stderr" </dev/null || status=$?
  if [ "$status" -ne 0 ] || [ -s "$work/stderr" ]; then
    fail "$name: exit status $status: $(cat "$work/stderr")"
  fi
}

# refused NAME PATTERN COMMAND...: it exits with 2 and puts one line on stderr, which matches the
# extended regular expression.
refused() {
  local name=$1 pattern=$2 status=0 lines
  shift 2
  "$@" >"$work/stdout" 2>"$work/stderr" </dev/null || status=$?
  [ "$status" -eq 2 ] || fail "$name: exit status $status, not 2: $(cat "$work/stderr")"
  lines=$(wc -l <"$work/stderr")
  [ "$lines" -eq 1 ] || fail "$name: $lines lines on stderr, not 1: $(cat "$work/stderr")"
  grep -qE -- "$pattern" "$work/stderr" ||
    fail "$name: stderr does not say '$pattern': $(cat "$work/stderr")"
}

# contents DIRECTORY: everything in it, with inode, time of change and checksum.
contents() {
  (cd "$1" && find . ! -type f -printf '%p %y\n' -o -printf '%p %i %T@ %s ' -exec cksum {} \;) |
    sort
}

# no_temporaries NAME DIRECTORY: no unfinished file is left there.
no_temporaries() {
  local left
  left=$(find "$2" -name '*.tsdl-tmp')
  [ -z "$left" ] || fail "$1: left behind: $left"
}

# self_contained NAME FILE: a whole page, which runs nothing and asks nobody for anything.
self_contained() {
  [ "$(head -n 1 "$2")" = "<!DOCTYPE html>" ] && [ "$(tail -n 1 "$2")" = "</html>" ] ||
    fail "$1: $2 is no whole page"
  if grep -nE 'https?://|src=|href=|url\(|@import|<(script|link|iframe|object)' "$2" >&2; then
    fail "$1: $2 refers to something outside"
  fi
}

# with_field FILE LINE FIELD VALUE: a CSV file with one field of one line replaced.
with_field() {
  awk -F, -v OFS=, -v line="$2" -v field="$3" -v value="$4" \
    'NR == line { $field = value } { print }' "$1"
}

# column_of FILE LINE FIELD: the byte, from 1, at which a field of a CSV file starts.
column_of() {
  awk -F, -v line="$2" -v field="$3" \
    'NR == line { at = 1; for (i = 1; i < field; ++i) at += length($i) + 1; print at }' "$1"
}

# safetensors HEADER DATA: the file of a header (a file of JSON) and data (another file).
safetensors() {
  little_endian "$(stat -c %s "$1")"
  cat "$1" "$2"
}

# little_endian NUMBER: eight bytes.
little_endian() {
  local i
  for i in 0 1 2 3 4 5 6 7; do
    printf "\\x$(printf %02x $((($1 >> (8 * i)) & 255)))"
  done
}
