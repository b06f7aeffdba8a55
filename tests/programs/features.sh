#!/usr/bin/env bash
# The program that writes features: a CSV that says what the candles say, a picture of every column,
# and input or output that cannot be used refused without a trace.
#
# Usage: features.sh FEATURES CANDLES
#   CANDLES: a CSV file with the columns date,open,high,low,close,adjclose,volume and 600 rows,
#   dates as YYYY-MM-DD, oldest first.
set -euo pipefail

program=$(realpath "$1") source=$(realpath "$2")
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$work"
mkdir bad out
head -n 601 "$source" >candles.csv
cut -d, -f1-5 candles.csv >no_volume.csv

make() { succeed "$1" "$program" --data "$2" --features "$3" --out "$4" "${@:5}"; }

# --- every set: a row per candle, the time first, rows complete once one is
succeed "--help" "$program" --help
for option in --data --features --out --picture --refuse-gaps; do
  grep -qe "$option" stdout || fail "--help does not name $option"
done
[ "$(awk '{ if (length($0) > n) n = length($0) } END { print n }' stdout)" -le 100 ] ||
  fail "--help has lines of more than 100 characters"
sets=$(sed -n 's/.*--features TEXT:{\([^}]*\)}.*/\1/p' stdout | tr , ' ')
[[ " $sets " == *" ohlcv "* && " $sets " == *" ohlc "* ]] || fail "--help lists no sets: $sets"
cut -d, -f1 candles.csv | sed 1s/date/time/ >times
for set in $sets; do
  make "$set" candles.csv "$set" "$set.csv" --picture "$set.svg"
  cp stdout "$set.summary"
  same "$set: times" times <(cut -d, -f1 "$set.csv")
  awk -F, -v name="$set" '
    NR == 1 { fields = NF; next }
    NF != fields { print name ": line " NR " has " NF " fields, not " fields; exit 1 }
    { empty = 0; for (i = 2; i <= NF; ++i) empty += $i == "" }
    empty > 0 && complete { print name ": line " NR " is not complete, an earlier one is"; exit 1 }
    empty == 0 { complete = 1 }
    tolower($0) ~ /nan|inf/ { print name ": line " NR " is not a number"; exit 1 }
    END { if (!complete) { print name ": no complete row"; exit 1 } }' "$set.csv" ||
    fail "$set: the CSV"
  columns=$(head -n 1 "$set.csv" | cut -d, -f2- | sed 's/,/, /g')
  grep -qxE "features +$set, [0-9]+: $columns" "$set.summary" || fail "$set: columns in the summary"
  for column in ${columns//,/}; do
    [ "$(grep -c "<title>$column: " "$set.svg")" -eq 1 ] || fail "$set: no panel for $column"
  done
  grep -q 'prefers-color-scheme:dark' "$set.svg" || fail "$set: the picture knows no dark"
  passed "$set"
done
first=$(awk -F, 'NR > 1 && $2 != "" { print NR - 2 " (" $1 ")"; exit }' ohlcv.csv)
grep -qxE "complete +from row ${first/(*/}\\(.*\\) on, 580 rows" ohlcv.summary ||
  fail "the first complete row is not $first: $(cat ohlcv.summary)"
grep -qxE 'gaps +[1-9][0-9]* in time, .*' ohlcv.summary || fail "gaps are not reported"
grep -qxE 'data +candles.csv: 600 rows, 2000-01-03 to .*' ohlcv.summary || fail "the data's line"

# --- the values, by their definition
paste -d, ohlcv.csv <(cut -d, -f3-5,7 candles.csv) | awk -F, '
  function max(a, b) { return a > b ? a : b }
  function min(a, b) { return a < b ? a : b }
  NR == 1 { next }
  {
    high = $7; low = $8; close_now = $9; volume[NR] = $10
    if (NR > 2) range[NR] = log(max(high, before) / min(low, before))
    if (NR > 21) {
      ranges = volumes = 0
      for (i = NR - 19; i <= NR; ++i) { ranges += range[i] / 20; volumes += volume[i] / 20 }
      wrong = max(wrong, ($3 - log(high / before) / ranges) ^ 2)
      wrong = max(wrong, ($5 - log(close_now / before) / ranges) ^ 2)
      wrong = max(wrong, ($6 - log(1 + $10 / volumes)) ^ 2)
      ++rows
    }
    before = close_now
  }
  END { exit !(rows == 580 && wrong < 1e-24) }' || fail "ohlcv is not what it is defined to be"
passed "ohlcv by its definition"

# --- the same candles, the same bytes
make "again" candles.csv ohlcv again.csv --picture again.svg
same "again" again.csv ohlcv.csv
same "again" again.svg ohlcv.svg
{ head -n 1 candles.csv; tail -n +2 candles.csv | tac; } >newest.csv
make "newest first" newest.csv ohlcv again.csv
same "newest first" again.csv ohlcv.csv
make "without volume" no_volume.csv ohlc again.csv
same "without volume" again.csv ohlc.csv
# The first rows of all are all that the first candles give.
head -n 301 candles.csv >half.csv
make "the first half" half.csv ohlcv again.csv
same "the first half" again.csv <(head -n 301 ohlcv.csv)
awk -F, -v OFS=, 'NR > 1 { $1 = 1500000000 + 3600 * NR } { print }' candles.csv >hourly.csv
make "no gaps" hourly.csv ohlcv again.csv --refuse-gaps
grep -qxE 'gaps +none' stdout || fail "hourly candles have no gaps: $(grep '^gaps' stdout)"
sed -n 2p again.csv | grep -qE '^2017-07-14T04:40:00Z,' || fail "times of hours: $(sed -n 2p again.csv)"
same "times do not change the values" <(cut -d, -f2- again.csv) <(cut -d, -f2- ohlcv.csv)
passed "the same candles"

# --- refusals: nothing made or changed, nothing left behind
cp candles.csv ohlcv.csv out
ln -s candles.csv out/link.csv
ln out/candles.csv out/hard.csv
before=$(contents out)
refuse() {  # refuse NAME PATTERN OPTION...
  refused "$1" "^features: .*$2" "$program" "${@:3}"
  [ "$(contents out)" = "$before" ] || fail "$1: files were made, changed or removed:
$(diff <(echo "$before") <(contents out))"
  passed "refused: $1"
}
ohlcv=(--features ohlcv --data out/candles.csv)
refuse "gaps in time" \
  "out/candles.csv: expected no gaps in time, found 22 with 25 candles missing; the largest: 4 between row 425 \\(2001-09-10\\) and row 426 \\(2001-09-17\\)" \
  "${ohlcv[@]}" --out out/ohlcv.csv --refuse-gaps
for name in out/candles.csv out/../out/candles.csv "$PWD/out/candles.csv" out/link.csv out/hard.csv; do
  refuse "data as output: $name" "--data and --out name the same file: $name" \
    "${ohlcv[@]}" --out "$name"
  refuse "data as picture: $name" "--data and --picture name the same file: $name" \
    "${ohlcv[@]}" --out out/new.csv --picture "$name"
done
refuse "one file for both" "--out and --picture name the same file: out/new.csv" \
  "${ohlcv[@]}" --out out/new.csv --picture out/new.csv
refuse "output over a directory" "out: is a directory" "${ohlcv[@]}" --out out
refuse "a picture over a directory" "out: is a directory" "${ohlcv[@]}" --out out/new.csv --picture out
refuse "output in a directory that is missing" "none/x.csv: cannot be written" \
  "${ohlcv[@]}" --out none/x.csv
refuse "a picture in a directory that is missing" "none/x.svg: cannot be written" \
  "${ohlcv[@]}" --out out/ohlcv.csv --picture none/x.svg
refuse "no such file" "bad/none.csv: no such file" \
  --features ohlcv --data bad/none.csv --out out/new.csv
refuse "an unknown set" "features.*nosuch.*ohlcv" \
  --features nosuch --data out/candles.csv --out out/new.csv
for option in data features out; do
  options=(--data out/candles.csv --features ohlcv --out out/new.csv)
  case $option in
    data) options=("${options[@]:2}") ;;
    features) options=("${options[@]:0:2}" "${options[@]:4}") ;;
    out) options=("${options[@]:0:4}") ;;
  esac
  refuse "no --$option" "--$option is required" "${options[@]}"
done

refuse_field() {  # refuse_field NAME PATTERN FIELD VALUE: line 60 with that value
  with_field candles.csv 60 "$3" "$4" >bad/field.csv
  refuse "$1" "bad/field.csv:60:$(column_of bad/field.csv 60 "$3"): $2" \
    --features ohlcv --data bad/field.csv --out out/ohlcv.csv
}
refuse_field "a price of zero" "low 0 is not above zero" 4 0
refuse_field "a negative price" "close -5 is not above zero" 5 -5
refuse_field "nan" "high: expected a finite number" 3 nan
refuse_field "a time twice" "date: the time 2000-03-24 appears twice, first in line 59" 1 \
  "$(sed -n 59p candles.csv | cut -d, -f1)"
refuse "columns that need volume" \
  "the candles have no volume, so ohlcv cannot make: volume; use ohlc" \
  --features ohlcv --data no_volume.csv --out out/ohlcv.csv
(
  trap '' XFSZ
  ulimit -f 8
  refuse "a full disk (CSV)" "ohlcv.csv: .*File too large" "${ohlcv[@]}" --out out/ohlcv.csv
)
no_temporaries "the end" .
[ ! -e none ] || fail "a directory that was missing was made"
echo "features: all passed"
