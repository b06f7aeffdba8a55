#!/usr/bin/env bash
# The program that trades on predictions: returns that awk finds too, each kind of prediction read as
# the direction that it is, nothing from later rows, and input that cannot be used refused without a
# trace.
#
# Usage: backtest.sh BACKTEST CANDLES
#   CANDLES: a CSV file with the columns date,open,high,low,close,adjclose,volume and 600 rows,
#   dates as YYYY-MM-DD, oldest first.
set -euo pipefail

program=$(realpath "$1") source=$(realpath "$2")
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$work"
head -n 601 "$source" >candles.csv

# predictions FIRST LAST HEADER EXPRESSION: a file for rows FIRST to LAST of the candles, by an awk
# expression of the row (from 1), the close, and u, a number from 0 to 1 that looks random.
predictions() {
  echo "time,$3"
  awk -F, -v OFS=, -v first="$1" -v last="$2" '
    NR > 1 { row = NR - 1; close_now = $5; u = sin(row * 12.9898) * 43758.5453; u -= int(u); if (u < 0) u += 1
             if (row >= first && row <= last) print $1, '"$4"' }' candles.csv
}

test_rows() { succeed "$1" "$program" --predictions "$2" --data candles.csv --out "$3" "${@:4}"; }

# by_awk PREDICTIONS SIGNAL FILL COST THRESHOLD: time,position,return of each period of the rules
# sign and threshold. SIGNAL: an awk expression of the fields of the predictions.
by_awk() {
  awk -F, -v OFS=, -v fill="$3" -v cost="$4" -v threshold="$5" '
    FNR == 1 { next }
    NR == FNR { said[$1] = '"$2"'; if (first == "") first = $1; final = $1; next }
    {
      if (started) {
        change = wanted > held ? wanted - held : held - wanted
        paid = 1 - cost / 10000 * change
        if (fill == "close") growth = paid * (1 + wanted * ($5 / before - 1))
        else growth = (1 + held * ($2 / before - 1)) * paid * (1 + wanted * ($5 / $2 - 1))
        printf "%s,%d,%.12f\n", $1, wanted, growth - 1
        held = wanted
      }
      if (over) exit
      if ($1 == first) started = 1
      over = $1 == final
      before = $5
      wanted = !($1 in said) ? 0 : said[$1] > threshold ? 1 : said[$1] < -threshold ? -1 : 0
    }' "$1" candles.csv
}

# --- help
succeed "--help" "$program" --help
for option in --predictions --data --out --from --rule --threshold --fill --cost-bps --permutations --seed \
  --periods-per-year --trials --trials-variance; do
  grep -qe "$option" stdout || fail "--help does not name $option"
done
[ "$(awk '{ if (length($0) > n) n = length($0) } END { print n }' stdout)" -le 100 ] ||
  fail "--help has lines of more than 100 characters"

# --- returns, with a hole in the predictions
predictions 100 500 probability u | grep -v -e '^2000-09-1' >two.csv
for fill in close open; do
  for rule in "sign 0" "threshold 0.3"; do
    read -r rule threshold <<<"$rule"
    given=()
    [ "$rule" = sign ] || given=(--threshold "$threshold")
    test_rows "$rule, $fill" two.csv out --rule "$rule" --fill "$fill" --cost-bps 7 --permutations 9 "${given[@]}"
    by_awk two.csv '2 * $2 - 1' "$fill" 7 "$threshold" >expected
    [ "$(wc -l <expected)" -eq 401 ] || fail "$rule, $fill: awk has $(wc -l <expected) rows"
    tail -n +2 out/returns.csv | awk -F, '{ printf "%s,%d,%.12f\n", $1, $2, $3 }' | sed 's/-0\.0\{12\}/0.000000000000/' >found
    sed -i 's/-0\.0\{12\}/0.000000000000/' expected
    same "$rule, $fill" expected found
    self_contained "$rule, $fill" out/report.html
    no_temporaries "$rule, $fill" out
  done
done
awk -F, 'NR > 1 { equity = (NR == 2 ? 1 : equity) * (1 + $3); if (($4 - equity) ^ 2 > 1e-24) exit 1 }' out/returns.csv ||
  fail "the equity does not follow from the returns"
passed "returns by another program"

# --- every kind of prediction says the same directions
predictions 100 500 predicted_close_return 'u - .5' >number.csv
predictions 100 500 probability_-1,probability_0,probability_1 '.6 - u / 2, .1, .3 + u / 2 - .2' |
  awk -F, -v OFS=, 'NR > 1 { $4 = 1 - $2 - $3 } { print }' >three.csv
predictions 100 500 predicted_close '(u + .5) * close_now' >price.csv
predictions 100 500 predicted_close_return_q0.1,predicted_close_return_q0.5,predicted_close_return_q0.9 \
  '-1, u - .5, 1' >quantiles.csv
predictions 100 500 predicted_volume,predicted_close_q0.25,predicted_close_q0.6,class '1, 1, (u + .5) * close_now, 1' >prices.csv
predictions 100 500 probability u >two.csv
test_rows "probabilities" two.csv two --permutations 5
for kind in number three price quantiles prices; do
  test_rows "$kind" $kind.csv $kind --permutations 5
  if [ $kind != three ]; then
    same "$kind" two/returns.csv $kind/returns.csv
  fi
done
by_awk three.csv '$4 - $2' close 1 0 | cut -d, -f1,2 >expected
tail -n +2 three/returns.csv | cut -d, -f1,2 >found
same "three classes" expected found
grep -qE '^predicted +number.csv, 401 rows; a direction is predicted_close_return$' <(test_rows again number.csv number; cat stdout) ||
  fail "the summary does not say how directions are read: $(cat stdout)"
{ sed 1s/time/row/ two.csv | awk -F, -v OFS=, 'NR > 1 { $1 = NR + 97 } { print }'; } >rows.csv
test_rows "rows" rows.csv rows --permutations 5
same "rows" two/returns.csv rows/returns.csv
passed "kinds of predictions"

# --- nothing looks ahead: other candles after row 300 change no return before
awk -F, -v OFS=, 'NR > 301 { for (i = 2; i <= 5; ++i) $i *= 3 } { print }' candles.csv >other.csv
for rule in sign proportional; do
  for fill in close open; do
    test_rows "ahead" number.csv here --rule $rule --fill $fill --permutations 0
    succeed "ahead" "$program" --predictions number.csv --data other.csv --out there --rule $rule --fill $fill --permutations 0
    same "$rule, $fill: looks ahead" <(head -n 201 here/returns.csv) <(head -n 201 there/returns.csv)
    differ "$rule, $fill" here/returns.csv there/returns.csv
  done
done
passed "nothing looks ahead"

# --- skill, luck, a part of the rows, the same bytes
awk -F, -v OFS=, 'NR == 2 { before = $5; day = $1 } NR == 1 { print "time,predicted_close_return" }
  NR > 2 { print day, $5 / before - 1; day = $1; before = $5 }' candles.csv >skill.csv
test_rows "skill" skill.csv skill --permutations 99
tr '\n' ' ' <stdout | grep -qE 'in 0 of 99 cases \(p = 0.0100\): when they were made matters' || fail "skill: $(cat stdout)"
test_rows "luck" two.csv luck --permutations 99 --trials 100 --trials-variance 0.01
grep -qE '^  deflated Sharpe ratio +under 0.1%$' stdout || fail "no deflated Sharpe ratio: $(cat stdout)"
[ "$(awk '/^  / { if (length($0) > n) n = length($0) } END { print n }' stdout)" -le 80 ] ||
  fail "the table is wider than 80 columns: $(cat stdout)"
cp luck/report.html page.html
test_rows "again" two.csv luck --permutations 99 --trials 100 --trials-variance 0.01
same "again" page.html luck/report.html
test_rows "--from" two.csv from --from 2001-01-01
[ "$(sed -n 2p from/returns.csv | cut -d, -f1)" = 2001-01-03 ] || fail "--from: $(sed -n 2p from/returns.csv)"
COLUMNS=50 test_rows "narrow" two.csv narrow
[ "$(awk '{ if (length($0) > n) n = length($0) } END { print n }' stdout)" -le 50 ] || fail "wider than 50 columns: $(cat stdout)"
passed "skill and luck"

# --- what cannot be used
run=("$program" --data candles.csv --out never --predictions)
refused "no file" 'none.csv: no such file' "${run[@]}" none.csv
refused "an unknown time" 'candles.csv has no candle of 1999-12-31' "${run[@]}" <(sed '2s/^[^,]*/1999-12-31/' two.csv)
sed '5s/,.*/,nan/' two.csv >bad.csv
refused "nan" 'bad.csv:5:12: probability: expected a finite number' "${run[@]}" bad.csv
sed '5s/,.*/,inf/' number.csv >bad.csv
refused "inf" 'bad.csv:5:12: predicted_close_return: expected a finite number' "${run[@]}" bad.csv
sed '5s/,.*/,/' two.csv >bad.csv
refused "empty" 'bad.csv:5:12: probability: expected a number' "${run[@]}" bad.csv
sed '5s/,.*/,1.5/' two.csv >bad.csv
refused "no probability" 'bad.csv:5:12: probability: expected a probability, found 1.5' "${run[@]}" bad.csv
sed 5p two.csv >bad.csv
refused "a time twice" 'bad.csv:6:1: time: .* as in the row above: expected the predictions of one series' "${run[@]}" bad.csv
{ cat two.csv; tail -n +2 two.csv; } >bad.csv
refused "two series" 'bad.csv:[0-9]*:1: time: times are out of order' "${run[@]}" bad.csv
sed '1s/$/,symbol/; 2,$s/$/,A/' two.csv >bad.csv
refused "a panel" 'bad.csv: the column symbol tells several series apart' "${run[@]}" bad.csv
sed 1s/probability/predicted_volume/ two.csv >bad.csv
refused "no direction" 'bad.csv: no column says which way the close will go: .*columns found: time, predicted_volume' "${run[@]}" bad.csv
sed '5s/^[^,]*/600/' rows.csv >bad.csv
refused "an unknown row" 'candles.csv has the rows 0 to 599, and no row 600' "${run[@]}" bad.csv
sed '5s/^[^,]*/100/' rows.csv >bad.csv
refused "a row twice" 'there is a prediction for row 100 already' "${run[@]}" bad.csv
head -n 1 two.csv >bad.csv
refused "no predictions" 'bad.csv: no prediction below the header' "${run[@]}" bad.csv
refused "--from" 'no prediction from --from on' "${run[@]}" two.csv --from 2020-01-01
refused "--from" "expected a date or a date and time, got 'soon'" "${run[@]}" two.csv --from soon
predictions 599 600 probability u >bad.csv
refused "one period" 'only one row follows' "${run[@]}" bad.csv
refused "--rule" 'expected one of sign, threshold, proportional' "${run[@]}" two.csv --rule coin
refused "--threshold" 'rule threshold needs a --threshold' "${run[@]}" two.csv --rule threshold
refused "--threshold" 'is for --rule threshold, not for --rule sign' "${run[@]}" two.csv --threshold 1
refused "--threshold" 'expected a number of 0 or more' "${run[@]}" two.csv --rule threshold --threshold -1
refused "--cost-bps" 'expected a number from 0 to 10000' "${run[@]}" two.csv --cost-bps -1
refused "--fill" 'expected one of close, open' "${run[@]}" two.csv --fill never
refused "--trials" 'belong together' "${run[@]}" two.csv --trials 5
refused "--trials" 'belong together' "${run[@]}" two.csv --trials-variance 5
refused "--trials" 'expected a number of 1 or more' "${run[@]}" two.csv --trials 0 --trials-variance 5
refused "--permutations" 'expected a whole number' "${run[@]}" two.csv --permutations -1
[ ! -e never ] || fail "a refused run left $(ls never)"
touch file
refused "--out" 'file is no directory' "$program" --data candles.csv --predictions two.csv --out file
passed "what cannot be used"
