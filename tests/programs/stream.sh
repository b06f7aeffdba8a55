#!/usr/bin/env bash
# The program that predicts candle by candle: the same bytes as predict, from a file or line by line
# as they come, cut off and gone on from a snapshot; what it cannot read it says and leaves out.
#
# Usage: stream.sh STREAM TRAIN_BILSTM TRAIN_BASELINE PREDICT CANDLES
#   CANDLES: a CSV file with dates, oldest first.
set -euo pipefail

stream=$(realpath "$1") train=$(realpath "$2") baseline=$(realpath "$3") predict=$(realpath "$4")
candles=$(realpath "$5")
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$work"
head -n 701 "$candles" >candles.csv

"$train" --data candles.csv --hidden 12 --layers 2 --seq-len 20 --max-epochs 1 --out bi \
  >/dev/null 2>&1 || fail "train_bilstm"
"$baseline" --data candles.csv --model gru --hidden 12 --seq-len 20 --max-epochs 1 \
  --out gru >/dev/null 2>&1 || fail "train_baseline"
bi=bi/best.safetensors
gru=$(find gru -name 'best.safetensors')
[ -s "$bi" ] && [ -s "$gru" ] || fail "no model files"

# run OUT OPTION...: exit status 0; predictions in OUT, what is said in said.
run() {
  local out=$1
  shift
  "$stream" "$@" >"$out" 2>said || fail "stream $*: $(cat said)"
}

succeed "--help" "$stream" --help
[ "$(awk '{ if (length($0) > n) n = length($0) } END { print n }' stdout)" -le 100 ] ||
  fail "--help has lines of more than 100 characters"

# --- a file: the bytes of predict, and a table and a picture of times
for model in "$bi" "$gru"; do
  succeed "predict" "$predict" --model "$model" --data candles.csv --out expected.csv
  run out.csv --model "$model" --data candles.csv --histogram times.svg
  same "replay of $model" expected.csv out.csv
  grep -qxE '700 rows, [1-9][0-9]+ predictions' said || fail "rows and predictions: $(cat said)"
  for row in p50 p99 p99.9 max; do
    grep -qxE "  $row +[0-9.,]+ us" said || fail "no $row: $(cat said)"
  done
  grep -q '<title>Time from candle to prediction</title>' times.svg || fail "no picture"
  run in.csv --model "$model" <candles.csv
  same "standard input of $model" expected.csv in.csv
done
passed "replay"

# --- a state that is carried gives other numbers, and goes on from a snapshot
run carried.csv --model "$gru" --data candles.csv --mode carry
differ "carry" carried.csv out.csv
[ "$(wc -l <carried.csv)" -eq "$(wc -l <out.csv)" ] || fail "carry: other rows"
for mode in rerun carry; do
  run whole.csv --model "$gru" --mode $mode <candles.csv
  head -n 400 candles.csv | run first.csv --model "$gru" --mode $mode --snapshot stream.state
  { head -n 1 candles.csv; tail -n +401 candles.csv; } |
    run second.csv --model "$gru" --mode $mode --restore stream.state
  cat first.csv <(tail -n +2 second.csv) >both.csv
  same "$mode, cut off" whole.csv both.csv
  cp stream.state $mode.state
done
refused "the snapshot of another mode" 'snapshot: of a stream with another model' \
  "$stream" --model "$gru" --mode rerun --restore carry.state
refused "no snapshot" 'these bytes are not a snapshot' \
  "$stream" --model "$gru" --restore candles.csv
refused "no file" 'nothing: cannot be read' "$stream" --model "$gru" --restore nothing
refused "carry in two directions" 'bidirectional' "$stream" --model "$bi" --mode carry
refused "another mode" 'mode' "$stream" --model "$bi" --mode fast
passed "snapshots"

# --- lines that are wrong are said and left out; the rest is as without them
bad() { awk -v line="$1" -v text="$2" '{ print } NR == line { print text }' candles.csv; }
run expected.csv --model "$gru" <candles.csv
while IFS='|' read -r text said_as; do
  bad 650 "$text" >bad.csv
  run out.csv --model "$gru" <bad.csv
  same "'$text'" expected.csv out.csv
  grep -qE "^stream: standard input:651:$said_as" said || fail "'$text': $(cat said)"
  grep -qxE '700 rows, [0-9]+ predictions, 1 refused' said || fail "'$text': $(cat said)"
done <<'END'
nonsense|9: expected 7 fields, found 1
2002-08-08,1,2,3,4,5,6|[0-9]+: .*
2002-08-08,900,920,890,x,910,1000|[0-9]+: .*
2001-01-01,900,920,890,910,910,1000| .*: its time is not after that of the last candle
END
printf 'a,b\n1,2\n' >wrong.csv
refused "another header" "^stream: standard input:1:" \
  bash -c '"$1" --model "$2" <wrong.csv' - "$stream" "$gru"
refused "nothing" "standard input: it is empty" "$stream" --model "$gru"
passed "bad lines"

# --- each prediction comes before the next candle is given; a signal ends with the table
mkfifo candles answers
"$stream" --model "$gru" <candles >answers 2>said &
process=$!
exec 3>candles 4<answers
read -r header <&4
[ "$header" = "$(head -n 1 expected.csv)" ] || fail "the header: $header"
head -n 600 candles.csv >&3
count=$(awk -F, -v last="$(sed -n 600p candles.csv | cut -d, -f1)" \
  'NR > 1 && $1 <= last' expected.csv | wc -l)
for ((i = 2; i <= count + 1; ++i)); do
  read -r -t 60 line <&4 || fail "line $i did not come"
done
[ "$line" = "$(sed -n "$((count + 1))p" expected.csv)" ] || fail "the last line: $line"
sed -n 601p candles.csv >&3
read -r -t 60 line <&4 || fail "the next prediction did not come"
[ "$line" = "$(sed -n "$((count + 2))p" expected.csv)" ] || fail "the next line: $line"
kill -TERM $process  # SIGINT is ignored by what a script starts beside itself
wait $process || fail "after SIGTERM: exit status $?: $(cat said)"
grep -q '^600 rows' said || fail "after SIGTERM: $(cat said)"
exec 3>&- 4<&-
passed "live"

# --- a Transformer keeps as many rows as it is told, and then stops
"$train" --data candles.csv --model transformer --causal --hidden 8 --heads 2 --feed-forward 8 --layers 1 \
  --seq-len 20 --max-epochs 1 --out attends >/dev/null 2>&1 || fail "train a Transformer"
attends=attends/best.safetensors
status=0
"$stream" --model "$attends" --data candles.csv --mode carry >out.csv 2>said || status=$?
[ $status -eq 2 ] && grep -q -- '--max-steps' said || fail "without --max-steps: $status: $(cat said)"
status=0
"$stream" --model "$attends" --data candles.csv --mode carry --max-steps 60 >out.csv 2>said || status=$?
[ $status -eq 1 ] && grep -q 'no more than --max-steps 60 rows' said || fail "full: $status: $(cat said)"
[ "$(wc -l <out.csv)" -eq 42 ] || fail "60 rows: $(wc -l <out.csv) lines"  # the first at row 20
succeed "predict" "$predict" --model "$attends" --data candles.csv --out expected.csv
[ "$(sed -n 2p expected.csv)" = "$(sed -n 2p out.csv)" ] || fail "the first window: $(sed -n 2p out.csv)"
run out.csv --model "$attends" --data candles.csv
same "replay of a Transformer" expected.csv out.csv
passed "a Transformer"

# --- a table of one's own columns
awk -F, 'NR == 1 { print "date,a,b,y"; next }
         { print $1 "," $5 / $2 "," $3 / $4 "," ($5 > $2 ? 1 : 0) }' candles.csv >table.csv
"$train" --data table.csv --feature-columns a,b --label-column y --label-offset 1 --hidden 6 \
  --layers 1 --seq-len 10 --max-epochs 1 --out table >/dev/null 2>&1 || fail "train on a table"
succeed "predict" "$predict" --model table/best.safetensors --data table.csv --out expected.csv
run out.csv --model table/best.safetensors --data table.csv
same "replay of a table" expected.csv out.csv
run out.csv --model table/best.safetensors <table.csv
same "a table line by line" expected.csv out.csv
passed "a table"
echo "stream: all passed"
