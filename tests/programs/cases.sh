#!/usr/bin/env bash
# Whole series in .ts files, as a user trains on them and predicts: one run, several seeds, folds,
# predictions of a model file, and what is refused.
#
# Usage: cases.sh TRAIN_BASELINE PREDICT
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

train=$(realpath "$1") predict=$(realpath "$2")
cd "$work"

# waves COUNT SEED: cases of three classes, told by the waves' period, of 4 to 20 rows.
waves() {
  awk -v count="$1" -v seed="$2" 'BEGIN {
    print "# made\n@problemName Waves\n@timeStamps false\n@missing true\n@univariate false"
    print "@dimensions 2\n@equalLength false\n@classLabel true slow medium fast\n@data"
    split("slow medium fast", names, " ")
    srand(seed)
    for (i = 0; i < count; ++i) {
      k = i % 3; length_ = 4 + int(17 * rand()); phase = 6.28 * rand(); one = two = ""
      for (t = 0; t < length_; ++t) {
        one = one (t ? "," : "") sprintf("%.4f", sin(phase + 0.5 * (k + 1) * t) + 0.1 * rand())
        two = two (t ? "," : "") (rand() < 0.05 ? "?" : sprintf("%.4f", 50 + rand()))
      }
      print one ":" two ":" names[k + 1]
    }
  }'
}
waves 90 1 >train.ts
waves 60 2 >test.ts
options=(--hidden 8 --layers 1 --dropout 0 --optimizer adamw --lr 0.01 --batch-size 16 --shuffle)
small=(--data train.ts --model bigru "${options[@]}")

# --- one run
succeed "a run" "$train" "${small[@]}" --test-data test.ts --max-epochs 40 --out run
grep -qE '^cases +whole series of up to [0-9]+ rows in training: 72 to train, 18 to validate, 60 to test' \
  stdout || fail "the summary: $(cat stdout)"
for file in best.safetensors history.csv loss.svg report.html config.toml; do
  [ -s "run/$file" ] || fail "run/$file is missing"
done
self_contained "report" run/report.html
succeed "the same run" "$train" "${small[@]}" --test-data test.ts --max-epochs 40 --out again
same "same seed, same bits" run/best.safetensors again/best.safetensors
succeed "with two threads" "$train" "${small[@]}" --threads 2 --test-data test.ts --max-epochs 40 --out two
same "threads" run/best.safetensors two/best.safetensors
passed "a run, twice, and with two threads"

# --- predictions
succeed "predict" "$predict" --model run/best.safetensors --data test.ts --classes --out p.csv
[ "$(head -n 1 p.csv)" = "case,probability_slow,probability_medium,probability_fast,class" ] ||
  fail "p.csv begins with $(head -n 1 p.csv)"
[ "$(wc -l <p.csv)" -eq 61 ] || fail "p.csv has $(wc -l <p.csv) lines"
right=$(paste -d, <(sed 1d p.csv) <(grep -v '^[@#]' test.ts | sed 's/.*://') |
  awk -F, '$5 == $6 { ++n } END { print n + 0 }')
[ "$right" -ge 40 ] || fail "$right of 60 are right"
# Without labels, the predictions are the same.
sed -e 's/^@classLabel.*/@classLabel false/' -e 's/:[a-z]*$//' test.ts >bare.ts
succeed "predict without labels" "$predict" --model run/best.safetensors --data bare.ts --classes --out bare.csv
same "labels change no prediction" p.csv bare.csv
passed "predictions: $right of 60 right"

# --- seeds and folds
succeed "seeds" "$train" "${small[@]}" --test-data test.ts --max-epochs 3 --seeds 1..3 --out seeds
grep -qE '^majority +0\.3333' stdout || fail "seeds: $(cat stdout)"
grep -qE '^ +mean' stdout || fail "seeds: $(cat stdout)"
[ "$(wc -l <seeds/seeds.csv)" -eq 4 ] || fail "seeds.csv: $(cat seeds/seeds.csv)"
[ -s seeds/seed-3/best.safetensors ] || fail "no model of seed 3"
succeed "folds" "$train" "${small[@]}" --max-epochs 3 --case-folds 5 --validation 0 --out folds
grep -qE '^ +1/5' stdout || grep -qE '^ +[0-9]+/5 ' stdout || fail "folds: $(cat stdout)"
[ "$(wc -l <folds/folds.csv)" -eq 6 ] || fail "folds.csv: $(cat folds/folds.csv)"
[ ! -e folds/best.safetensors ] || fail "folds leave a model"
succeed "folds of seeds" "$train" "${small[@]}" --max-epochs 1 --case-folds 2 --seeds 1,2 --workers 2 --out both
[ "$(cut -d, -f1,2 both/folds.csv | tr '\n' ' ')" = "seed,fold 1,1 1,2 2,1 2,2 " ] ||
  fail "folds of seeds: $(cat both/folds.csv)"
passed "seeds, folds, folds of seeds"

# --- refusals
refused "another option of windows" "--seq-len does not go with a .ts file" \
  "$train" "${small[@]}" --seq-len 10 --out none
refused "a label" "--label does not go with a .ts file" "$train" "${small[@]}" --label range --out none
refused "a share for the test" "use --test-data" "$train" "${small[@]}" --test 0.2 --out none
refused "every step" "--pooling each: whole series have one label each" \
  "$train" --data train.ts --model gru "${options[@]}" --pooling each --out none
refused "folds and a test file" "--test-data does not go with --case-folds" \
  "$train" "${small[@]}" --case-folds 3 --test-data test.ts --out none
refused "folds explained" "--explain does not go with --case-folds" \
  "$train" "${small[@]}" --case-folds 3 --explain --out none
refused "folds of candles" "--case-folds has no effect without a .ts file" \
  "$train" --data candles.csv --case-folds 3 --out none
refused "nothing to judge by" "--validation 0: expected --test-data" \
  "$train" "${small[@]}" --validation 0 --out none
refused "no validation of candles" "--validation: expected a number above 0 and below 1, got '0'" \
  "$train" --data candles.csv --validation 0 --out none
sed 's/:fast$/:quick/' train.ts >wrong.ts
refused "a label that is no class" 'wrong.ts:12:[0-9]+: label "quick" is not one of @classLabel' \
  "$train" --data wrong.ts "${options[@]}" --out none
sed 's/slow medium fast/slow medium fast other/' test.ts >other.ts
refused "another class" 'other.ts: @classLabel: the class "other" is not one of the training' \
  "$train" "${small[@]}" --test-data other.ts --out none
printf 'row,a\n1,2\n' >table.csv
refused "predict of a table" "table.csv:1:1: expected a line that begins with @ or #" \
  "$predict" --model run/best.safetensors --data table.csv --out none.csv
[ ! -e none ] || fail "a refused run leaves files"
passed "refusals"
echo "cases: all passed"
