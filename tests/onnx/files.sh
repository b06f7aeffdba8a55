#!/usr/bin/env bash
# Writes the ONNX files that check.py and run.mjs read: of every combination with drawn weights, and
# of models that the trainers made from the shipped candles. On the way, export_onnx as a user runs
# it.
#
# Usage: files.sh DIRECTORY CASES EXPORT_ONNX TRAIN_BILSTM TRAIN_BASELINE CANDLES
#   DIRECTORY: is made anew. CASES: tsdl_onnx_cases.
set -euo pipefail

out=$1 cases=$(realpath "$2") export=$(realpath "$3") bilstm=$(realpath "$4")
baseline=$(realpath "$5") candles=$(realpath "$6")
. "$(dirname "${BASH_SOURCE[0]}")/../programs/lib.sh"
rm -rf "$out"
mkdir -p "$out"
out=$(realpath "$out")
cd "$work"

succeed "combinations" "$cases" "$out"
count=$(find "$out" -name '*.onnx' | wc -l)
[ "$count" -ge 300 ] || fail "$count combinations, not 300 or more"
passed "$count combinations"

# Trained a little: enough for weights that are no longer the initial ones.
succeed "train_bilstm" "$bilstm" --data "$candles" --hidden 16 --max-epochs 1 --out trained
succeed "train_baseline" "$baseline" --dataset "$candles" --model-type gru --hidden-dim 16 \
  --epochs 1 --out baseline
succeed "train_bilstm: quantiles" "$bilstm" --data "$candles" --hidden 16 --max-epochs 1 \
  --target close_return --ahead 5 --quantiles 0.1,0.5,0.9 --out quantiles
succeed "train_bilstm: transformer" "$bilstm" --data "$candles" --model transformer --hidden 16 \
  --max-epochs 1 --out transformer
succeed "train_bilstm: causal transformer" "$bilstm" --data "$candles" --model transformer \
  --hidden 24 --heads 3 --feed-forward 20 --layers 1 --activation gelu --norm-first --final-norm \
  --causal --pooling attention --max-epochs 1 --out causal
succeed "train_bilstm: ensemble" "$bilstm" --data "$candles" --ensemble lstm,bigru,transformer --hidden 16 \
  --max-epochs 1 --calibrate --out ensemble
for run in trained baseline quantiles transformer causal ensemble; do
  succeed "$run: raw" "$export" $run/best.safetensors "$out/${run}_raw.onnx"
  cp stdout $run.said
  succeed "$run: scaled" "$export" $run/best.safetensors "$out/${run}_scaled.onnx" --no-scaler
  succeed "$run: cases" "$cases" "$out" $run $run/best.safetensors "$candles"
done
grep -qF "${out}/trained_raw.onnx: features [batch, 50, 91] float64 to logits and probabilities [batch, 1] float32" \
  trained.said || fail "export_onnx says: $(cat trained.said)"
[ "$(wc -l <trained.said)" -eq 1 ] || fail "export_onnx says more than a line: $(cat trained.said)"
succeed "again" "$export" trained/best.safetensors again.onnx
same "the same model twice" again.onnx "$out/trained_raw.onnx"
differ "raw and scaled" "$out/trained_raw.onnx" "$out/trained_scaled.onnx"
succeed "any length" "$export" trained/best.safetensors any.onnx --any-length
grep -qF 'features [batch, length, 91]' stdout || fail "any length: $(cat stdout)"
differ "any length" any.onnx again.onnx
for run in transformer causal; do
  succeed "$run: any length" "$export" $run/best.safetensors "$out/${run}_any_length_raw.onnx" --any-length
  cp "$out/${run}_raw.json" "$out/${run}_any_length_raw.json"
done
passed "models of both trainers"

# What cannot be exported is refused in a line, and an older file stays.
mkdir kept
cp again.onnx kept/model.onnx
before=$(contents kept)
printf 'not a model' >nothing.safetensors
head -c 2000 trained/best.safetensors >cut.safetensors
refused "no such model" 'missing.safetensors: cannot be read' "$export" missing.safetensors kept/model.onnx
refused "no model" 'nothing.safetensors' "$export" nothing.safetensors kept/model.onnx
refused "cut off" 'cut.safetensors' "$export" cut.safetensors kept/model.onnx
refused "no directory" 'away/model.onnx: cannot be written' "$export" trained/best.safetensors away/model.onnx
refused "a directory" 'kept: cannot be' "$export" trained/best.safetensors kept
refused "no OUT" 'OUT' "$export" trained/best.safetensors
refused "unknown option" '--opset' "$export" trained/best.safetensors kept/model.onnx --opset 18
[ "$(contents kept)" = "$before" ] || fail "a refused export changed what was there"
no_temporaries "refusals" .
passed "refusals"
echo "onnx files: all passed"
