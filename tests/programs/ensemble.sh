#!/usr/bin/env bash
# Ensembles and temperatures: one command trains members of three kinds; its model file predicts the
# weighted mean of theirs, streams it, goes on where it was cut off; a temperature changes
# probabilities and no class; what cannot be asked is refused.
#
# Usage: ensemble.sh TRAIN_BILSTM PREDICT STREAM EXPLAIN CANDLES
#   CANDLES: a CSV file with dates, oldest first.
set -euo pipefail

train=$(realpath "$1") predict=$(realpath "$2") stream=$(realpath "$3") explain=$(realpath "$4")
source=$(realpath "$5")
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$work"
head -n 901 "$source" >candles.csv
small=(--data candles.csv --features ohlcv --seq-len 12 --hidden 8)
three=(--ensemble lstm,gru,transformer --heads 2 --feed-forward 12)

# --- three kinds
succeed "train" "$train" "${small[@]}" "${three[@]}" --max-epochs 3 --calibrate --test 0.2 --explain --out all
grep -q '^ensemble   LSTM, GRU, Transformer; 3 members, fitted weights' stdout || fail "the summary: $(cat stdout)"
[ "$(cut -d, -f1,2 all/members.csv | tr '\n' ' ')" = "model,seed lstm,1 gru,1 transformer,1 ensemble, constant, linear, " ] ||
  fail "members.csv: $(cat all/members.csv)"
awk -F, 'NR > 1 { sum += $3; if ($3 < 0) exit 1 } END { exit sum < 1 - 1e-9 || sum > 1 + 1e-9 }' all/members.csv ||
  fail "weights: $(cat all/members.csv)"
self_contained "report" all/report.html
for text in '<dt>member' 'before' 'The temperature of' 'What the model looks at: columns'; do
  grep -q "$text" all/report.html || fail "report.html has no '$text'"
done
succeed "predict" "$predict" --model all/best.safetensors --data candles.csv --out all.csv
"$stream" --model all/best.safetensors --data candles.csv >streamed.csv 2>said || fail "stream: $(cat said)"
same "the stream's predictions" all.csv streamed.csv
succeed "explain" "$explain" all/best.safetensors candles.csv --split test --out explained
[ -s explained/columns.csv ] || fail "no explanation"
passed "three kinds"

# --- what it predicts: the temperature's sigmoid of the logit of the weighted mean
columns=$(head -n 1 all.csv)
for kind in lstm gru transformer; do
  succeed "predict $kind" "$predict" --model all/members/$kind-1/best.safetensors --data candles.csv --out $kind.csv
  [ "$(head -n 1 $kind.csv)" = "$columns" ] || fail "columns of $kind"
done
temperature=$(head -c 100000 all/best.safetensors | grep -aoE 'temperature\\":[0-9.e+-]+' | head -n 1 | sed 's/.*://')
[ -n "$temperature" ] || fail "no temperature in the model file"
paste -d, lstm.csv gru.csv transformer.csv all.csv |
  awk -F, -v t="$temperature" '
    NR == FNR { if (FNR > 1) w[FNR - 1] = $3; next }
    FNR > 1 {
      p = w[1] * $2 + w[2] * $4 + w[3] * $6
      q = 1 / (1 + exp(-log(p / (1 - p)) / t)); d = q - $8
      if (d < -2e-6 || d > 2e-6) { print "row " FNR ": " q " and " $8; exit 1 }
      ++rows
    }
    END { exit rows < 500 }' all/members.csv - >wrong || fail "not the mean: $(cat wrong)"
passed "the mean"

# --- the same bits again, on one worker and after a cut
succeed "again" "$train" "${small[@]}" "${three[@]}" --max-epochs 3 --calibrate --test 0.2 --workers 1 --out again
same "the model file" all/best.safetensors again/best.safetensors
# Cut off when the first member is done and the second is on its way.
long=("${small[@]}" "${three[@]}" --max-epochs 150 --patience 0)
"$train" "${long[@]}" --workers 1 --out cut >cut.said 2>&1 &
running=$!
until [ -e cut/members/gru-1/last.state.safetensors ] || ! kill -0 $running 2>/dev/null; do sleep 0.02; done
kill -TERM $running
status=0
wait $running || status=$?
[ "$status" -eq 143 ] || fail "a cut ensemble: exit status $status: $(cat cut.said)"
grep -q '^stopped; --resume goes on with every member' cut.said || fail "a cut ensemble says: $(cat cut.said)"
[ -s cut/members/lstm-1/best.safetensors ] && [ ! -e cut/best.safetensors ] || fail "a cut ensemble left: $(ls cut cut/members)"
succeed "resumed" "$train" "${long[@]}" --resume --out cut
succeed "whole" "$train" "${long[@]}" --out whole
same "the resumed model file" whole/best.safetensors cut/best.safetensors
passed "the same bits"

# --- several seeds of one kind, equal weights, tracked
succeed "seeds" "$train" "${small[@]}" --max-epochs 2 --ensemble gru --seeds 1..3 --ensemble-weights equal \
  --tracking mlruns --out seeds
awk -F, '$1 == "gru" && ($3 < 0.333 || $3 > 0.334) { exit 1 }' seeds/members.csv || fail "weights: $(cat seeds/members.csv)"
[ "$(grep -c '^gru,' seeds/members.csv)" -eq 3 ] || fail "members.csv: $(cat seeds/members.csv)"
grep -q '^status: 3$' mlruns/0/*/meta.yaml || fail "the tracked run is not finished"
ls mlruns/0/*/artifacts | grep -q members.csv || fail "members.csv is no artifact"
passed "seeds"

# --- a temperature of one model
succeed "plain" "$train" "${small[@]}" --max-epochs 3 --out plain
succeed "calibrated" "$train" "${small[@]}" --max-epochs 3 --calibrate --out calibrated
for model in plain calibrated; do
  succeed "predict" "$predict" --model $model/best.safetensors --data candles.csv --classes --out $model.csv
done
differ "probabilities" plain.csv calibrated.csv
same "classes" <(cut -d, -f1,3 plain.csv) <(cut -d, -f1,3 calibrated.csv)
grep -q 'The temperature of' calibrated/report.html || fail "no temperature on the page"
! grep -q 'The temperature of' plain/report.html || fail "a temperature that nobody asked for"
passed "a temperature"

# --- refused, in one line
refuse() {
  local name=$1 pattern=$2
  shift 2
  refused "$name" "$pattern" "$train" "${small[@]}" "$@" --out refused
  [ ! -e refused/best.safetensors ] || fail "$name: a model was written"
}
refuse "one kind" 'expected 2 to 1000 members, got 1' --ensemble gru
refuse "one kind and seed" 'expected 2 to 1000 members, got 1' --ensemble gru --seeds 3
refuse "too many" 'expected 2 to 1000 members, got 2000' --ensemble gru,lstm --seeds 1..1000
refuse "twice" 'a kind stands there twice' --ensemble gru,gru
refuse "unknown" "'?rnn'?" --ensemble gru,rnn
refuse "--model" '--model does not go with --ensemble' --ensemble gru,lstm --model gru
refuse "--heads" '--heads has no effect without --model transformer' --ensemble gru,lstm --heads 2
refuse "weights" '--ensemble-weights has no effect without --ensemble' --ensemble-weights equal
refuse "numbers" '--calibrate does not go with --target' --calibrate --target close --task regression
refuse "seeds" '--calibrate does not go with --seeds' --calibrate --seeds 1..2
passed "refusals"
