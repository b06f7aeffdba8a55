#!/usr/bin/env bash
# The same candles in other clothes give the same model and the same predictions, byte for byte;
# a table of columns and a configuration file work as the options say.
#
# Usage: good_input.sh TRAIN_BILSTM PREDICT CANDLES
#   CANDLES: a CSV file with the columns date,open,high,low,close,adjclose,volume and 300 rows,
#   dates as YYYY-MM-DD, oldest first.
set -euo pipefail

train=$(realpath "$1") predict=$(realpath "$2") source=$(realpath "$3")
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
plain=$train train=$(on_candles_alone "$train")
cd "$work"
small=(--hidden 8 --layers 2 --seq-len 10 --max-epochs 2)
environment=()  # variables to set for the programs

run_training() {  # run_training NAME OUT OPTION...
  succeed "$1 (train)" env "${environment[@]}" "$train" "${small[@]}" --out "$2" "${@:3}"
}
run_prediction() {  # run_prediction NAME OUT OPTION...
  succeed "$1 (predict)" env "${environment[@]}" "$predict" --out "$2" "${@:3}"
}

head -n 301 "$source" >reference.csv
run_training reference reference --data reference.csv
self_contained "the report" reference/report.html
for what in "Training of a BiLSTM on reference.csv" "<h2>Calibration</h2>" "<h2>Probability over price</h2>"; do
  grep -q "$what" reference/report.html || fail "the report does not say '$what'"
done
run_prediction reference reference.predictions --data reference.csv \
  --model reference/best.safetensors

# The predictions name the last row of each window, from the 20 rows of warm-up on.
awk -F, 'NR == 1 { print "time" } NR > 30 { print $1 }' reference.csv >expected
cut -d, -f1 reference.predictions >found
same "the times of predictions" expected found
awk -F, 'NR > 1 && !($2 > 0 && $2 < 1) { exit 1 }' reference.predictions ||
  fail "predictions are probabilities"
[ "$(head -n 1 reference.predictions)" = time,probability ] || fail "the header of predictions"
passed "predictions: times and probabilities"

# ALSTM: the weights of each window, oldest row first, sum to 1; the summary and the page name the parts.
run_training alstm alstm --data reference.csv --model lstm --pooling attention --attention-dropout 0.1 --input-projection
grep -qE '^model +LSTM, 2 x 8 units, input projection, dropout 0.2, attention pooling of 4 units, attention dropout 0.1,' \
  stdout || fail "the summary of ALSTM: $(cat stdout)"
grep -q "<h2>Attention over price</h2>" alstm/report.html || fail "the report of ALSTM draws no weights"
! grep -q "<h2>Attention over price</h2>" reference/report.html || fail "the report of a BiLSTM draws weights"
grep -qx 'attention-size = 4' alstm/config.toml || fail "config.toml: $(grep attention alstm/config.toml)"
run_prediction alstm alstm.predictions --data reference.csv --model alstm/best.safetensors --attention weights.csv
grep -qx 'attention weights in weights.csv' stdout || fail "nothing tells where the weights are: $(cat stdout)"
[ "$(head -n 1 weights.csv)" = time,lag_9,lag_8,lag_7,lag_6,lag_5,lag_4,lag_3,lag_2,lag_1,lag_0 ] ||
  fail "the header of weights: $(head -n 1 weights.csv)"
cut -d, -f1 weights.csv >found
same "the times of weights" expected found
awk -F, 'NR > 1 { sum = 0; for (i = 2; i <= NF; ++i) { if (!($i > 0)) exit 1; sum += $i }
                  if (NF != 11 || sum < .999999 || sum > 1.000001) exit 1 }' weights.csv || fail "weights sum to 1"
refused "weights of a BiLSTM" "--attention: the model of reference/best.safetensors has no attention pooling" \
  "$predict" --data reference.csv --model reference/best.safetensors --out never --attention never.csv
refused "weights in the predictions" "--attention: ./never is also --out" \
  "$predict" --data reference.csv --model alstm/best.safetensors --out never --attention ./never
refused "no such directory" "none/weights.csv: cannot be written" \
  "$predict" --data reference.csv --model alstm/best.safetensors --out never --attention none/weights.csv
[ ! -e never ] && [ ! -e never.csv ] || fail "a refused prediction wrote a file"
passed "attention: weights, report and summary"

# same_as_reference NAME FILE: trains and predicts on FILE.
same_as_reference() {
  rm -rf run
  run_training "$1" run --data "$2"
  same "$1" run/best.safetensors reference/best.safetensors
  same "$1" run/last.state.safetensors reference/last.state.safetensors
  same "$1" run/history.csv reference/history.csv
  run_prediction "$1" predictions --data "$2" --model run/best.safetensors
  same "$1" predictions reference.predictions
  passed "$1"
}

dressed() {  # dressed NAME: candles on stdin
  cat >dressed.csv
  ! cmp -s dressed.csv reference.csv || fail "$1: the test's candles are the plain ones"
  same_as_reference "$1" dressed.csv
}
# dates_as COMMAND...: the candles with each date replaced by what COMMAND makes of all of them.
dates_as() {
  paste -d, <(echo Date; tail -n +2 reference.csv | cut -d, -f1 | "$@") \
    <(cut -d, -f2- reference.csv)
}
as_seconds() { date -u -f - +%s; }
as_milliseconds() { as_seconds | sed 's/$/000/'; }

same_as_reference "the same file" reference.csv
sed '1s/.*/DATE,Open,HIGH,lOw,Close,Adj Close,VOLUME/' reference.csv |
  dressed "names in another case"
awk -F, -v OFS=, '{ print $7, $5, $4, $1, $3, $2 }' reference.csv |
  dressed "columns in another order"
{ printf '\xef\xbb\xbf'; cat reference.csv; } | dressed "a byte order mark"
sed 's/$/\r/' reference.csv | dressed "CRLF"
{ printf '\xef\xbb\xbf'; sed 's/$/\r/' reference.csv; } | dressed "a byte order mark and CRLF"
{ head -n 1 reference.csv; tail -n +2 reference.csv | tac; } | dressed "newest first"
{ echo "https://www.example.com/candles"; cat reference.csv; } | dressed "a banner line"
{ printf 'S&P 500, daily\n"by ""nobody"", ever"\n\n'; cat reference.csv; } |
  dressed "three banner lines"
head -c -1 reference.csv | dressed "no line end after the last row"
{ cat reference.csv; printf '\n\n'; } | dressed "blank lines at the end"
sed 's/[^,]*/"&"/g' reference.csv | dressed "quoted fields"
sed 's/,/ ,  /g' reference.csv | dressed "spaces around fields"
dates_as as_seconds | dressed "epoch seconds"
dates_as as_milliseconds | dressed "epoch milliseconds"
dates_as as_milliseconds | sed '1s/Date/Open Time/' | dressed "epoch milliseconds as Open Time"
dates_as sed 's/$/ 00:00:00/' | dressed "YYYY-MM-DD 00:00:00"
dates_as sed 's/$/T00:00:00Z/' | dressed "YYYY-MM-DDT00:00:00Z"
dates_as sed 's/$/ 02:00:00.000+02:00/' | dressed "a zone"
dates_as sed 's/$/ 12-AM/' | dressed "YYYY-MM-DD 12-AM"
dates_as tr - / | dressed "YYYY/MM/DD"
dates_as tr -d - | dressed "YYYYMMDD"
awk -F, -v OFS=, 'NR > 1 { for (i = 2; i <= 5; ++i) $i = sprintf("%.10e", $i) } { print }' \
  reference.csv | dressed "exponents"
{
  echo "bitcoin archive"
  echo "Volume X,CLOSE,open,Low,high,Date"
  awk -F, -v OFS=, 'NR > 1 { print $7, $5, $2, $4, $3, $1 " 12-AM" }' reference.csv | tac
} | sed 's/$/\r/' | dressed "all at once"

# A locale whose decimal sign is a comma: one that the system has, or one made here. Where there is
# none, every program would run in the C locale, and bash would say so on stderr.
locale=$(locale -a | grep -iE '^(de|fr|es|it)_.*utf-?8$' | head -n 1 || true)
if [ -z "$locale" ] && localedef -i de_DE -f UTF-8 ./de_DE.UTF-8 2>localedef.log; then
  environment=("LOCPATH=$work")
  locale=de_DE.UTF-8
fi
if [ -n "$locale" ]; then
  environment+=("LC_ALL=$locale" "LANG=$locale")
  same_as_reference "a locale with a decimal comma" reference.csv
  environment=()
else
  echo "skipped: a locale with a decimal comma: none is installed, and none can be made"
fi

# --- without volume
cut -d, -f1-5 reference.csv >no_volume.csv
run_training "no volume" ohlc --data no_volume.csv --features ohlc
run_prediction "no volume" ohlc.predictions --data no_volume.csv --model ohlc/best.safetensors
run_training "volume that is not asked for" ohlc_of_all --data reference.csv --features ohlc
same "volume that is not asked for" ohlc/best.safetensors ohlc_of_all/best.safetensors
same "predictions without volume: as many" <(cut -d, -f1 ohlc.predictions) found
passed "--features ohlc without volume"

# --- gaps in time: counted, and none where there are none
# The eleven exchange holidays from January 2000 to March 2001.
run_training "gaps" run --data reference.csv
grep -qE '^gaps +11 in time, 11 candles missing, the largest 1 after 2000-01-14$' stdout ||
  fail "gaps are not counted: $(grep '^gaps' stdout)"
dates_as awk '{ print 1500000000 + 3600 * NR }' >hourly.csv
run_training "no gaps" hourly --data hourly.csv --refuse-gaps
grep -qE '^gaps +none$' stdout || fail "hourly candles have no gaps"
same "times do not change the model" hourly/best.safetensors reference/best.safetensors
passed "gaps"

# --- prices and volumes multiplied by a power of two: features are relative, so nothing changes
awk -F, -v OFS=, 'NR > 1 { for (i = 2; i <= 5; ++i) $i = sprintf("%.17g", $i * 4); $7 *= 2 }
  { print }' reference.csv | dressed "prices times 4, volumes times 2"

# --- a table of columns
awk -F, -v OFS=, 'NR == 1 { print $0, "Up"; next } { print $0, ($5 > $2) + 0 }' reference.csv \
  >table.csv
table=(--feature-columns open,volume --label-column up)
for offset in 0 1; do
  name="a table, label offset $offset"
  run_training "$name" table$offset --data table.csv "${table[@]}" --label-offset $offset
  run_prediction "$name" table$offset.predictions --data reference.csv \
    --model table$offset/best.safetensors
  awk -F, 'NR == 1 { print "time" } NR > 10 { print $1 }' reference.csv >expected
  same "$name: a prediction for each window, the label column missing" \
    expected <(cut -d, -f1 table$offset.predictions)
  passed "$name"
done
differ "label offsets" table0/best.safetensors table1/best.safetensors

awk -F, -v OFS=, '{ print $8, $7, $1, $2 }' table.csv >reordered.csv
run_training "a table in another order" reordered --data reordered.csv "${table[@]}"
same "a table in another order" reordered/best.safetensors table0/best.safetensors
cut -d, -f2- table.csv >timeless.csv
run_training "a table without time" timeless --data timeless.csv "${table[@]}"
same "a table without time" timeless/best.safetensors table0/best.safetensors
run_prediction "a table without time" timeless.predictions --data timeless.csv \
  --model timeless/best.safetensors
{ echo row; seq 9 299; } >expected
same "a table without time: rows by number" expected <(cut -d, -f1 timeless.predictions)
same "a table without time: the same probabilities" <(cut -d, -f2 timeless.predictions) \
  <(cut -d, -f2 table0.predictions)
passed "a table in another order, and without time"

# --- a configuration file
cat >config.toml <<'TOML'
# a run
data = "reference.csv"
hidden = 12
layers = 1
seq-len = 12
max-epochs = 2
lr = 2e-3
shuffle = true
pooling = "mean"
out = "from_config"
TOML
succeed "a configuration file" "$train" --config config.toml
succeed "the same as options" "$train" --data reference.csv --hidden 12 --layers 1 --seq-len 12 \
  --max-epochs 2 --lr 2e-3 --shuffle --pooling mean --out from_options
same "a configuration file" from_config/best.safetensors from_options/best.safetensors
same "a configuration file" from_config/last.state.safetensors from_options/last.state.safetensors
succeed "an option beside the file" "$train" --config config.toml --hidden 8 --out mixed
succeed "the same as options" "$train" --data reference.csv --hidden 8 --layers 1 --seq-len 12 \
  --max-epochs 2 --lr 2e-3 --shuffle --pooling mean --out mixed_options
same "an option wins over the file" mixed/best.safetensors mixed_options/best.safetensors
differ "an option wins over the file" mixed/best.safetensors from_config/best.safetensors
cat >table.toml <<'TOML'
feature-columns = ["open", "volume"]
label-column = "up"
label-offset = 1
TOML
train=$plain run_training "columns in a configuration file" from_table --data table.csv --config table.toml
same "columns in a configuration file" from_table/best.safetensors table1/best.safetensors
passed "configuration files"

# --- help, on stdout
for program in "$train" "$predict"; do
  succeed "--help" "$program" --help
  for option in --data --out --help; do
    grep -qe "$option" stdout || fail "--help of $program does not name $option"
  done
  [ "$(awk '{ if (length($0) > n) n = length($0) } END { print n }' stdout)" -le 100 ] ||
    fail "--help of $program has lines of more than 100 characters"
done
succeed "--help" "$train" --help
for option in features feature-columns label-column label-offset label horizon seq-len stride \
  hidden layers dropout batch-size lr weight-decay patience max-epochs shuffle shuffle-batches pooling seed \
  threads resume config refuse-gaps; do
  grep -qE -- "--$option( |,|$)" stdout || fail "--help does not name --$option"
done
passed "--help"
echo "good_input: all passed"
