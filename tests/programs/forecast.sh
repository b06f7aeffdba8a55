#!/usr/bin/env bash
# The program forecast, as a user runs it: many series in one file, in a file each and in a wide
# table; intervals; a model file on new rows, and row by row; the same bits; what is refused.
#
# Usage: forecast.sh FORECAST PREDICT
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

forecast=$(realpath "$1") predict=$(realpath "$2")
cd "$work"

# shops ROWS: a file of four shops, hour by hour, whose rows are mixed. Sales follow the hour of the
# day; `promo` is known beforehand and adds to them.
shops() {
  awk -v rows="$1" 'BEGIN {
    srand(5)
    print "time,shop,sales,promo,region,size"
    for (t = 0; t < rows; ++t)
      for (s = 1; s <= 4; ++s) {
        if (s == 4 && t < 30) continue          # a later start
        promo = (t * 7 + s) % 11 == 0
        sales = 100 * s * (1 + 0.5 * sin(6.2832 * t / 24) + 0.3 * promo) + s * rand()
        printf "2024-01-%02d %02d:00:00,s%d,%.4f,%d,%s,%d\n", 1 + int(t / 24), t % 24, s, sales, promo,
               s % 2 ? "north" : "south", 10 * s
      }
  }'
}
shops 400 >shops.csv
panel=(--data shops.csv --series-column shop --target sales --future-columns promo --calendar hour
  --static-columns size --category-columns region --embed-series)
small=(--length 24 --horizon 6 --hidden 12 --batch-size 32 --lr 0.01 --season 24
  --scale series --normalise last)
intervals=(--intervals 0.8,0.9 --calibration 0.2)

# --- one run
succeed "a run" "$forecast" "${panel[@]}" "${small[@]}" "${intervals[@]}" --rolling --max-epochs 6 --threads 2 --out run
grep -qE '^data +shops.csv, 4 series, 1,570 rows' stdout || fail "the summary: $(cat stdout)"
for file in best.safetensors forecasts.csv history.csv loss.svg report.html config.toml train.log; do
  [ -s "run/$file" ] || fail "run/$file is missing"
done
self_contained "report" run/report.html
for name in model "last value" "season before" "ridge on the window" "80% interval covers"; do
  grep -q "^  $name" stdout || fail "no line of '$name': $(cat stdout)"
done
[ "$(head -n 1 run/forecasts.csv)" = "series,time,step,target,forecast,low_80,high_80,low_90,high_90,truth" ] ||
  fail "forecasts.csv begins with $(head -n 1 run/forecasts.csv)"
awk -F, 'NR > 1 && !($6 <= $5 && $5 <= $7 && $8 <= $6 && $7 <= $9) { exit 1 }' run/forecasts.csv ||
  fail "an interval that is not around its forecast, or within a wider one"
passed "a run with intervals"

succeed "one thread" "$forecast" "${panel[@]}" "${small[@]}" "${intervals[@]}" --rolling --max-epochs 6 --threads 1 --out one
same "threads" run/best.safetensors one/best.safetensors
same "threads" run/forecasts.csv one/forecasts.csv
succeed "a finished run, resumed" "$forecast" "${panel[@]}" "${small[@]}" "${intervals[@]}" --rolling --max-epochs 6 --threads 2 \
  --resume --out one
same "resumed" run/best.safetensors one/best.safetensors
same "resumed" run/forecasts.csv one/forecasts.csv
passed "the same bits with one thread and resumed"

# --- the model on new rows
head -n 1201 shops.csv >known.csv
awk -F, -v OFS=, 'NR > 1201 && NR <= 1225 { $3 = "" ; print }' shops.csv >>known.csv  # the future's promo
succeed "on new rows" "$forecast" --load run/best.safetensors --data known.csv --series-column shop --out new
[ "$(wc -l <new/forecasts.csv)" -eq 25 ] || fail "$(wc -l <new/forecasts.csv) lines of forecasts"
grep -q '^s1,2024-01-13 *' new/forecasts.csv || grep -q '^s1,2024-01-13T' new/forecasts.csv ||
  fail "forecasts of other rows: $(head -n 2 new/forecasts.csv)"
head -n 1201 shops.csv >short.csv
refused "the horizon goes beyond the end" 'series s[1-4]: the horizon of 6 rows goes beyond the end: columns known beforehand \(promo, hour_sin, hour_cos\)' \
  "$forecast" --load run/best.safetensors --data short.csv --series-column shop --out new
refused "predict says who reads it" 'a forecaster of a panel: the program forecast' \
  "$predict" --model run/best.safetensors --data shops.csv
sed 's/,north,/,west,/' known.csv >west.csv
{ cat shops.csv; awk -F, -v OFS=, '$2 == "s1" && ++n > 300 { $2 = "late"; print }' shops.csv; } >late.csv
succeed "an unknown category with a learnt entry" "$forecast" --load run/best.safetensors --data west.csv \
  --series-column shop --out new
succeed "no entry for unknown ones" "$forecast" "${panel[@]}" "${small[@]}" --max-epochs 1 --unknown-share 0 --out strict
refused "an unknown category without one" 'series s[13]: the category west is unknown to the model' \
  "$forecast" --load strict/best.safetensors --data west.csv --series-column shop --out new
refused "row by row without an entry" 'columns known beforehand come with the rows' \
  "$forecast" --load run/best.safetensors --data west.csv --series-column shop --follow --out new
refused "a category that training lacks" "--unknown-share 0: the series late has a category that no training window has" \
  "$forecast" --data late.csv --series-column shop --target sales --past-columns sales --embed-series --unknown-share 0 \
  "${small[@]}" --out bad
refused "options of training" "--horizon has no effect with --load" \
  "$forecast" --load run/best.safetensors --data known.csv --series-column shop --horizon 3 --out new
passed "a model file on new rows"

# --- other models, quantiles, other files
awk -F, 'NR == 1 { print "time,sales,promo"; next } $2 == "s1" { print $1 "," $3 "," $4 }' shops.csv >s1.csv
awk -F, 'NR == 1 { print "time,sales,promo"; next } $2 == "s2" { print $1 "," $3 "," $4 }' shops.csv >s2.csv
segments=(--model segments --segment 6 --length 24 --horizon 6 --hidden 8 --max-epochs 3 --normalise instance)
succeed "segments, a file for each series" "$forecast" --data s1.csv s2.csv --past-columns sales --target sales \
  "${segments[@]}" --intervals 0.8,0.9 --split tail --validation 48 --calibration 60 --test 48 --rolling --out files
grep -qE '^data +s1.csv and 1 more, 2 series' stdout || fail "the summary: $(cat stdout)"
succeed "quantiles" "$forecast" --data s1.csv --past-columns sales --target sales --length 24 --horizon 6 --hidden 8 \
  --model lstm --calendar hour --max-epochs 2 --quantiles 0.1,0.5,0.9 "${intervals[@]}" --out q
succeed "row by row" "$forecast" --load files/best.safetensors --data s1.csv --follow --out live
grep -qE '^  80% covers +[0-9.]+% +[0-9.]+%' stdout || fail "--follow: $(cat stdout)"
awk -F, 'NR == 1 { print "id,a,b,c"; next } NR <= 4 { printf "H%d", NR; for (i = 0; i < 90; ++i) printf ",%.3f", 50 * NR + 9 * sin(i / 4); print "" }' \
  shops.csv | sed '1s/.*/&/' >rows.txt
{ printf 'id'; for i in $(seq 90); do printf ',V%d' "$i"; done; echo; sed 1d rows.txt; } >wide.csv
{ echo "id,V1,V2,V3,V4,V5,V6"; echo "H2,100,101,102,101,100,99"; echo "H3,150,150,150,150,150,150"; echo "H4,1,2,3,4,5,6"; } >after.csv
succeed "a wide table and the rows after it" "$forecast" --data wide.csv --wide --test-data after.csv --split tail \
  --validation 6 --test 6 "${segments[@]}" --out wide
grep -q '^test, 3 forecasts' stdout || fail "wide: $(cat stdout)"
succeed "row by row, with a calendar" "$forecast" --load q/best.safetensors --data s1.csv --follow --gamma 0.05 --out live
passed "segments, quantiles, a stream, files for each series, a wide table"

# --- bad input
base=("$forecast" "${small[@]}" --out bad)
{ cat shops.csv; tail -n 1 shops.csv; } >twice.csv
refused "a time twice in a series" "twice.csv:1572:1: time: the time 2024-01-17T15:00:00Z appears twice, first in line 1571" \
  "${base[@]}" --data twice.csv --series-column shop --target sales --past-columns sales
cut -d, -f1,3 s2.csv >unsold.csv
refused "a target that one file lacks" "unsold.csv:1:1: no sales column; columns found: time, promo" \
  "${base[@]}" --data s1.csv unsold.csv --target sales --past-columns sales
{ cat shops.csv; for i in 1 2 3; do echo "2024-01-02 0$i:00:00,tiny,1,0,north,1"; done; } >tiny.csv
succeed "a series that is too short" "${base[@]}" --data tiny.csv --series-column shop --target sales \
  --past-columns sales --max-epochs 1
grep -q '1 too short for a window: tiny' stdout || fail "not named: $(cat stdout)"
head -n 40 s1.csv >few.csv
refused "nothing to train on" "no series has a training window: 24 rows to read and 6 to forecast" \
  "${base[@]}" --data few.csv --target sales --past-columns sales
refused "no such column" "no column is named profit; there are sales, promo" "${base[@]}" --data s1.csv --target profit
refused "no such series" "no series is named s9; there are s1, s2, s3, s4" \
  "${base[@]}" --data shops.csv --series-column shop --series s9 --target sales --past-columns sales
refused "intervals without rows" "--intervals needs --calibration" "${base[@]}" --data s1.csv --intervals 0.9
refused "too few to calibrate" "--intervals 0.99 needs at least 99 calibration windows, got" \
  "${base[@]}" --data s1.csv --target sales --past-columns sales --intervals 0.99 --calibration 0.1
refused "segments that do not divide" "segments of 7 steps do not divide" \
  "${base[@]}" --data s1.csv --past-columns sales --target sales --model segments --segment 7
refused "segments of other columns" "--model segments forecasts every column that it reads, in their order \(sales, promo\)" \
  "${base[@]}" --data s1.csv --target promo,sales --model segments --segment 6
refused "calibration for nothing" "--calibration has no effect without --intervals" \
  "${base[@]}" --data s1.csv --calibration 0.1
refused "90 for 90%" "--intervals: expected a number above 0 and below 1, got '90'" \
  "${base[@]}" --data s1.csv --intervals 90 --calibration 0.1
refused "an option of another model" "--calendar is for gru and lstm" \
  "${base[@]}" --data s1.csv --model segments --calendar hour
refused "rows without times" "the series have no times: split by tail or by rows" \
  "${base[@]}" --data wide.csv --wide
refused "shares of a tail" "expected a whole number of rows for validation, found 0.1" \
  "${base[@]}" --data wide.csv --wide --split tail
refused "no model file" "s1.csv: header: at most" "$forecast" --load s1.csv --data s1.csv --out bad
passed "bad input"
