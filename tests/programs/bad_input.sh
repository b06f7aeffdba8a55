#!/usr/bin/env bash
# Input that cannot be used: exit status 2, one line on stderr that says what is wrong, and no file
# made, changed or left behind.
#
# Usage: bad_input.sh TRAIN_BILSTM PREDICT CANDLES
#   CANDLES: a CSV file with the columns date,open,high,low,close,adjclose,volume and 500 rows.
set -euo pipefail

train=$(realpath "$1") predict=$(realpath "$2") source=$(realpath "$3")
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
train=$(on_candles_alone "$train")
cd "$work"
mkdir bad out
small=(--hidden 8 --layers 2 --seq-len 10 --max-epochs 2)

# What an earlier run left: `out` must keep it, whatever is asked next.
head -n 161 "$source" >good.csv
succeed "a first run" "$train" --data good.csv "${small[@]}" --out out/earlier
succeed "a first prediction" "$predict" --model out/earlier/best.safetensors --data good.csv \
  --out out/predictions.csv
model=out/earlier/best.safetensors
cp "$model" model.safetensors
before=$(contents out)

unchanged() {
  [ "$(contents out)" = "$before" ] || fail "$1: files were made, changed or removed:
$(diff <(echo "$before") <(contents out))"
}

# A run that began says in its log why it ended.
all_but_log() { contents "$1" | grep -vE '^\./[a-z]+/train\.log '; }

# refuse_training NAME PATTERN OPTION...: into a new directory, and over an earlier run.
refuse_training() {
  refused "$1" "$2" "$train" "${small[@]}" --out out/new "${@:3}"
  refused "$1" "$2" "$train" "${small[@]}" --out out/earlier "${@:3}"
  unchanged "$1"
  passed "$1"
}

refuse_prediction() {
  refused "$1" "$2" "$predict" --out out/new.csv "${@:3}"
  refused "$1" "$2" "$predict" --out out/predictions.csv "${@:3}"
  unchanged "$1"
  passed "$1"
}

# refuse_candles NAME PATTERN FILE: neither trained nor predicted on. PATTERN follows the path.
refuse_candles() {
  refuse_training "$1 (train)" "^train_bilstm: $3:? ?$2" --data "$3"
  refuse_prediction "$1 (predict)" "^predict: $3:? ?$2" --model model.safetensors --data "$3"
}

# refuse_field NAME PATTERN FIELD VALUE: line 60 with that value, its line and column named.
refuse_field() {
  with_field good.csv 60 "$3" "$4" >bad/field.csv
  refuse_candles "$1" "60:$(column_of bad/field.csv 60 "$3"): $2" bad/field.csv
}

# --- candles
refuse_candles "missing file" "no such file$" bad/missing.csv
refuse_candles "a directory as data" "is a directory" bad
: >bad/empty.csv
refuse_candles "empty file" "the file is empty$" bad/empty.csv
head -n 1 good.csv >bad/header.csv
refuse_candles "a header alone" "a header but no candles below it$" bad/header.csv
sed '1s/close,adjclose/last,adjlast/' good.csv >bad/no_close.csv
refuse_candles "no close column" "1:1: no close column; columns found: .*last" bad/no_close.csv
sed 's/^date,/day,/' good.csv >bad/no_date.csv
refuse_candles "no date column" "1:1: no date column" bad/no_date.csv
sed '1s/adjclose/CLOSE/' good.csv >bad/twice.csv
refuse_candles "a column twice" "1:26: .*CLOSE appears twice" bad/twice.csv

refuse_field "a price that is no number" 'close: expected a number, found "abc"' 5 abc
refuse_field "a number with text after it" 'close: expected a number, found "1400.5x"' 5 1400.5x
refuse_field "an empty field" 'close: expected a number, found an empty field' 5 ''
refuse_field "infinity" 'high: expected a finite number, found "inf"' 3 inf
refuse_field "minus infinity" 'low: expected a finite number, found "-Infinity"' 4 -Infinity
refuse_field "nan" 'open: expected a finite number, found "nan"' 2 nan
refuse_field "a volume of infinity" 'volume: expected a finite number, found "inf"' 7 inf
refuse_field "a number beyond a double" 'high: .*1e999.*range' 3 1e999
refuse_field "high below low" 'high 1.5 is below low' 3 1.5
refuse_field "close above high" 'close 99999 is above high' 5 99999
refuse_field "close below low" 'close 0.5 is below low' 5 0.5
refuse_field "open above high" 'open 99999 is above high' 2 99999
refuse_field "a price of zero" 'low 0 is not above zero' 4 0
refuse_field "a negative price" 'low -5 is not above zero' 4 -5
refuse_field "negative volume" 'volume -1 is negative' 7 -1
refuse_field "a date that is none" 'date: expected .*found "2000-02-30"' 1 2000-02-30
refuse_field "another kind of date" 'date: expected .*found "1234567"' 1 1234567
refuse_field "a comma as decimal point" 'expected 7 fields, found 8' 8 '5'

sed '60s/,[^,]*$//' good.csv >bad/few.csv
refuse_candles "too few fields" "60:[0-9]+: expected 7 fields, found 6: no volume" bad/few.csv
sed '60s/^/"unpaired,/' good.csv >bad/quote.csv
refuse_candles "a quote that does not end" "60:1: a quoted field that does not end" bad/quote.csv
sed '60s/^.*$//' good.csv >bad/blank.csv
refuse_candles "a blank line between records" "60:1: a blank line" bad/blank.csv
sed '60p' good.csv >bad/duplicate.csv
refuse_candles "duplicate times" "61:1: date: the time .* appears twice, first in line 60" \
  bad/duplicate.csv
refuse_training "gaps in time" \
  "good.csv: expected no gaps in time, found 5 with 5 candles missing; the largest: 1 between row 9 \(2000-01-14\) and row 10 \(2000-01-18\)" \
  --data good.csv --refuse-gaps
sed -n '60{h;n;p;g};p' good.csv >bad/unordered.csv
refuse_candles "unordered times" "61:1: date: times are out of order" bad/unordered.csv
{ head -n 1 good.csv; tail -n +2 good.csv | tac; } | sed -n '60{h;n;p;g};p' >bad/descending.csv
refuse_candles "unordered times, newest first" "61:1: date: times are out of order" \
  bad/descending.csv
printf 'date,open,high,low,close\n2000-01-03,\0001,2,1,1\n' >bad/zero.csv
refuse_candles "a zero byte" '2:12: open: expected a number' bad/zero.csv

head -n 10 good.csv >bad/short.csv
refuse_training "fewer rows than one window (train)" "9 rows" --data bad/short.csv --label direction
refuse_prediction "fewer rows than one window (predict)" "9 rows are fewer than one window of 10" \
  --model model.safetensors --data bad/short.csv
head -n 26 good.csv >bad/warming.csv
refuse_prediction "fewer complete rows than one window" "too few for a window of 10" \
  --model model.safetensors --data bad/warming.csv
cut -d, -f1-6 good.csv >bad/no_volume.csv
refuse_training "features that need volume (train)" "no volume" --data bad/no_volume.csv
volume=$(printf 'volume_%s, ' adi obv cmf fi em sma_em vpt vwap mfi nvi)
for set in "ta86:${volume}momentum_pvo, momentum_pvo_signal, momentum_pvo_hist" \
  "hybrid:volume_adi.*, volume" "technical23:cmf, mfi, pvo" "ohlcv:volume"; do
  refuse_training "columns of ${set%%:*} that need volume" \
    "the candles have no volume, so ${set%%:*} cannot make: ${set#*:}; use ohlc$" \
    --data bad/no_volume.csv --features "${set%%:*}"
done
refuse_prediction "features that need volume (predict)" "no volume" \
  --model model.safetensors --data bad/no_volume.csv
cut -d, -f1,2,4- good.csv >bad/no_high.csv
refuse_prediction "data that lacks a column" "bad/no_high.csv:1:1: no high column" \
  --model model.safetensors --data bad/no_high.csv

# --- labels and split
refuse_training "horizon beyond the end" "horizon is beyond the end" \
  --data good.csv --label direction --horizon 160
refuse_training "horizon beyond the largest number" "horizon is beyond the end" \
  --data good.csv --label direction --horizon 9223372036854775807
refuse_training "horizon 0" "horizon: expected a whole number of 1 or more, got '0'" \
  --data good.csv --label direction --horizon 0
refuse_training "a split without validation" "validation: expected a number above 0 and below 1, got '0'" \
  --data good.csv --validation 0
refuse_training "a split without training" "fractions" --data good.csv --validation .5 --test .5
refuse_training "a split that is not a number" "validation: expected a number of at least 0 .*got 'nan'" \
  --data good.csv --validation nan
refuse_training "a part that the fractions leave empty" "a part is left empty by the fractions" \
  --data good.csv --validation 0.001
small=(--hidden 8 --layers 2 --max-epochs 2 --seq-len 30)
refuse_training "a part that purging leaves empty" "a part is left empty once windows" \
  --data good.csv
small=(--hidden 8 --layers 2 --max-epochs 2 --seq-len 10)
refuse_training "a part that a long horizon leaves empty" "a part is left empty" \
  --data good.csv --label direction --horizon 100

table=(--feature-columns open,volume --label-column up)
labelled() {  # labelled AWK-EXPRESSION: the candles with a column `up`; n is the row from 1
  awk -F, "{ n = NR - 1; print \$0 \",\" (NR == 1 ? \"up\" : ($1)) }" good.csv
}
labelled 'n < 140 ? 1 : n % 2' >bad/one_class.csv
refuse_training "one class only in the training rows" "one class only in the training rows" \
  --data bad/one_class.csv "${table[@]}"
labelled 'n == 60 ? 3 : n % 2' >bad/label_3.csv
refuse_training "a label of 3" "row 59 .*label 3: expected 0 and 1.*found 0, 1, 3" \
  --data bad/label_3.csv "${table[@]}"
labelled 'n % 2 ? 1 : -1' >bad/label_minus.csv
refuse_training "labels of -1 and 1" "expected 0 and 1.*found -1, 1" \
  --data bad/label_minus.csv "${table[@]}"
labelled 'n == 60 ? 0.5 : n % 2' >bad/label_half.csv
refuse_training "a label of a half" "row 59 .*expected a whole number for a class, found 0.5" \
  --data bad/label_half.csv "${table[@]}"
labelled 'n == 60 ? "yes" : n % 2' >bad/label_text.csv
refuse_training "a label that is text" 'bad/label_text.csv:61:[0-9]+: up: expected a number' \
  --data bad/label_text.csv "${table[@]}"
labelled 'n % 2' >labelled.csv
refuse_training "a label among its row's features" "label column up is among the features" \
  --data labelled.csv --feature-columns open,up --label-column up
refuse_training "a feature column that is missing" "labelled.csv:1:1: no nosuch column" \
  --data labelled.csv --feature-columns open,nosuch --label-column up
refuse_training "a feature column named twice" "named twice" \
  --data labelled.csv --feature-columns open,Open --label-column up
refuse_training "a label offset below 0" "label-offset.*whole number" \
  --data labelled.csv "${table[@]}" --label-offset -1
refuse_training "a label offset beyond the end" "beyond the end" \
  --data labelled.csv "${table[@]}" --label-offset 160
cut -d, -f2- labelled.csv >bad/timeless.csv
refuse_training "gaps in a table without times" "timeless.csv: --refuse-gaps needs a column of times" \
  --data bad/timeless.csv "${table[@]}" --refuse-gaps
refuse_training "feature columns without a label column" "--label-column" \
  --data labelled.csv --feature-columns open
refuse_training "a label column without feature columns" "--feature-columns" \
  --data labelled.csv --label-column up

# --- options
refuse_option() { refuse_training "$1 $2" "$3" --data good.csv "$1" "$2"; }
small=(--hidden 8 --max-epochs 1)
refuse_option --seq-len 0 "--seq-len: expected a whole number of 1 or more, got '0'"
refuse_option --seq-len -1 "seq-len.*whole number.*-1"
refuse_option --seq-len 9223372036854775807 "a length of at most 1000000"
refuse_option --seq-len 10.5 "seq-len"
small=(--seq-len 10 --max-epochs 1)
refuse_option --hidden 0 "--hidden: expected a whole number from 1 to 1000000, got '0'"
refuse_option --hidden -8 "hidden.*whole number.*-8"
refuse_option --hidden abc "hidden"
small=(--seq-len 10 --hidden 8)
refuse_option --layers 0 "--layers: expected a whole number from 1 to 1000, got '0'"
refuse_option --dropout 1 "--dropout: expected a number of at least 0 and below 1, got '1'"
refuse_option --dropout 1.5 "--dropout: expected a number of at least 0 and below 1, got '1.5'"
refuse_option --dropout -0.1 "--dropout: expected a number of at least 0 and below 1, got '-0.1'"
refuse_option --dropout nan "--dropout: expected a number of at least 0 and below 1, got 'nan'"
refuse_option --dropout inf "--dropout: expected a number of at least 0 and below 1, got 'inf'"
refuse_option --lr -0.001 "--lr: expected a number above 0, got '-0.001'"
refuse_option --lr nan "--lr: expected a number above 0, got 'nan'"
refuse_option --lr inf "--lr: expected a number above 0, got 'inf'"
refuse_option --lr 1,5 "lr"
refuse_option --weight-decay -1 "--weight-decay: expected a number of 0 or more, got '-1'"
refuse_option --weight-decay nan "--weight-decay: expected a number of 0 or more, got 'nan'"
refuse_option --clip-norm -1 "--clip-norm: expected a number of 0 or more, got '-1'"
refuse_option --clip-norm nan "--clip-norm: expected a number of 0 or more, got 'nan'"
refuse_option --batch-size 0 "--batch-size: expected a whole number of 1 or more, got '0'"
refuse_option --batch-size -32 "batch-size.*whole number.*-32"
refuse_option --patience -1 "patience.*whole number.*-1"
refuse_option --reduce-lr-patience -1 "reduce-lr-patience.*whole number.*-1"
refuse_option --head-dropout 1 "--head-dropout: expected a number of at least 0 and below 1, got '1'"
refuse_option --attention-size 4 "--attention-size has no effect without --pooling attention"
refuse_option --attention-dropout 0.5 "--attention-dropout has no effect without --pooling attention"
refuse_training "--attention-size 0" "--attention-size: expected a whole number from 1 to 1000000, got '0'" \
  --data good.csv --pooling attention --attention-size 0
refuse_training "--heads 3" "--heads: expected a number that divides --hidden, and 3 does not divide 8" \
  --data good.csv --model transformer --heads 3
refuse_training "each of a transformer" "--pooling each of --model transformer needs --causal" \
  --data good.csv --model transformer --pooling each
refuse_training "--explain of seeds" "--explain does not go with --seeds" --data good.csv --seeds 1,2 --explain
refuse_option --details all "--details: expected one of short, full"
refuse_option --max-epochs 0 "--max-epochs: expected a whole number of 1 or more, got '0'"
refuse_option --stride 0 "--stride: expected a whole number of 1 or more, got '0'"
refuse_option --stride -1 "stride.*whole number.*-1"
refuse_option --threads -1 "threads.*-1"
refuse_option --features nosuch "features.*nosuch"
refuse_option --label nosuch "label.*nosuch"
refuse_option --pooling nosuch "pooling.*nosuch"
refuse_option --init nosuch "init.*nosuch"
refuse_option --no-such-option 1 "no-such-option"
refuse_option --seed abc "seed"
refuse_option --seed -1 "seed.*whole number"
refuse_option --batch-size 99999999999999999999 "batch-size.*whole number"
small=(--hidden 8 --layers 2 --seq-len 10 --max-epochs 2)
refuse_training "no --data" "expected --data FILE or --synthetic N"
refuse_training "an argument that is no option" "stray" --data good.csv stray

# Sizes whose bytes or products pass the largest number are refused before memory is asked for.
small=(--seq-len 10 --layers 1)
for hidden in 4611686018427387904 2305843009213693952 9223372036854775807; do
  refuse_option --hidden "$hidden" "hidden|memory"
done
small=(--hidden 8 --layers 2 --seq-len 10 --max-epochs 2)

refuse_training "a line end in a path" "no such file" --data $'bad/a\nb.csv'
refuse_training "a line end in a column's name" "column" \
  --data labelled.csv --feature-columns $'a\nb' --label-column up

# --- configuration files
refuse_config() {  # refuse_config NAME PATTERN LINE
  printf '%s\n' "$3" >bad/config.toml
  refuse_training "$1" "$2" --data good.csv --config bad/config.toml
}
small=(--seq-len 10 --layers 1 --max-epochs 1)
refuse_config "an unknown key in --config" "hiden" 'hiden = 8'
refuse_config "text for a number in --config" "hidden.*abc" 'hidden = "abc"'
refuse_config "a list for a number in --config" "hidden" 'hidden = [1, 2]'
refuse_config "text for a flag in --config" "shuffle.*maybe" 'shuffle = "maybe"'
refuse_config "a value out of range in --config" "key 'hidden': expected a whole number from 1" 'hidden = 0'
refuse_config "a line that is no setting in --config" "garbage" 'garbage'
refuse_training "a --config that is missing" "bad/none.toml" --data good.csv --config bad/none.toml
small=(--hidden 8 --layers 2 --seq-len 10 --max-epochs 2)

# --- output
refused "an output directory below a file" "good.csv/out.*directory" \
  "$train" --data good.csv "${small[@]}" --out good.csv/out
refused "an output directory that is a file" "good.csv.*directory" \
  "$train" --data good.csv "${small[@]}" --out good.csv
refused "no output directory" "directory" "$train" --data good.csv "${small[@]}" --out ''
refused "predictions below a file" "good.csv/p.csv: cannot be written" \
  "$predict" --model model.safetensors --data good.csv --out good.csv/p.csv
refused "predictions in a directory that is missing" "none/p.csv: cannot be written" \
  "$predict" --model model.safetensors --data good.csv --out none/p.csv
refused "predictions over a directory" "out/earlier: " \
  "$predict" --model model.safetensors --data good.csv --out out/earlier
head -n 161 "$source" | cmp - good.csv || fail "output below a file: the file was changed"
[ ! -e none ] || fail "predictions in a directory that is missing: it was made"
no_temporaries "output that cannot be made" .
unchanged "output that cannot be made"
passed "output that cannot be made"

# --- model files
refuse_model() {  # refuse_model NAME PATTERN FILE
  refuse_prediction "model: $1" "$2" --model "$3" --data good.csv
}
header_bytes=$(od -An -tu8 -N8 model.safetensors | tr -d ' ')
model_bytes=$(stat -c %s model.safetensors)
head -c $((header_bytes + 8)) model.safetensors | tail -c +9 >header.json
tail -c +$((header_bytes + 9)) model.safetensors >data.bin
safetensors header.json data.bin | cmp - model.safetensors || fail "the test's own writer"

refuse_model "missing" "bad/none.safetensors: " bad/none.safetensors
refuse_model "a directory" "bad: " bad
: >bad/m
refuse_model "empty" "bad/m: at least 8 bytes expected, 0 found" bad/m
refuse_model "a CSV file" "good.csv: header: " good.csv
for bytes in 4 8 $((header_bytes / 2)) $((header_bytes + 8)) $((model_bytes - 1)); do
  head -c "$bytes" model.safetensors >bad/m
  refuse_model "truncated to $bytes bytes" "bad/m: .*(expected|declared).*found" bad/m
done
{ cat model.safetensors; printf x; } >bad/m
refuse_model "a trailing byte" "bad/m: .*bytes of data expected" bad/m
{ little_endian 200000000; tail -c +9 model.safetensors; } >bad/m
refuse_model "a header of 200 MB, declared" "bad/m: header: .*200000000 declared" bad/m
truncate -s 200000008 bad/m  # the file is that long now, so only the limit can refuse it
refuse_model "a header of 200 MB" "bad/m: header: at most .*200000000 declared" bad/m
rm bad/m
printf '\xff\xff\xff\xff\xff\xff\xff\xff{}' >bad/m
refuse_model "a header of 2^64 - 1 bytes" "bad/m: header: .*declared" bad/m

# refuse_header NAME PATTERN SED-EXPRESSION: the model with its header edited.
refuse_header() {
  sed "$3" header.json >bad/header.json
  ! cmp -s header.json bad/header.json || fail "model: $1: the test's edit did not match"
  safetensors bad/header.json data.bin >bad/m
  refuse_model "$1" "$2" bad/m
}
first='"fc.bias":{"dtype":"F32","shape":\[1\],"data_offsets":\[0,4\]}'
refuse_header "a header that is no JSON" "bad/m: header: not JSON" 's/"fc.bias"/fc.bias/'
refuse_header "a header that is no object" "bad/m: header: does not start" 's/^{/[/'
refuse_header "overlapping offsets" "bad/m: tensor 'fc.weight': .*overlap" \
  's/"data_offsets":\[4,68\]/"data_offsets":[0,64]/'
refuse_header "a hole in the offsets" "bad/m: tensor 'fc.weight': .*hole" \
  's/"data_offsets":\[4,68\]/"data_offsets":[8,72]/'
refuse_header "offsets beyond the end" "bad/m: tensor 'lstm.weight_ih_l1_reverse': " \
  's/,10564\]/,99999\]/'
refuse_header "a tensor twice" "bad/m: tensor 'fc.bias': appears twice" "s/$first/&,&/"
refuse_header "a field twice" "bad/m: tensor 'fc.bias': shape appears twice" \
  's/"shape":\[1\]/&,&/'
refuse_header "a metadata key twice" "bad/m: .*'tsdl.seed': appears twice" 's/"tsdl.seed":"1"/&,&/'
refuse_header "a dtype that is not known" "bad/m: tensor 'fc.bias': dtype 'F99'" \
  '0,/F32/s/"F32"/"F99"/'
refuse_header "a dtype that is no float" "bad/m: tensor 'fc.bias': .*I32" '0,/F32/s/"F32"/"I32"/'
refuse_header "a missing tensor" "bad/m: tensor 'lstm.bias_hh_l1': missing" \
  's/lstm.bias_hh_l1"/lstm.bias_hh_l9"/'
refuse_header "a wrongly shaped tensor" \
  "bad/m: tensor 'fc.weight': shape \[1, ?16\] expected, \[16, ?1\] found" 's/\[1,16\]/[16,1]/'
refuse_header "recurrent weights of another shape" "bad/m: tensor 'lstm.weight_hh_l0_reverse'" \
  's/\("lstm.weight_hh_l0_reverse":{"dtype":"F32","shape":\)\[32,8\]/\1[8,32]/'
refuse_header "the first recurrent weights of another shape" "bad/m: .*(weight_hh_l0|tsdl.model)" \
  's/\("lstm.weight_hh_l0":{"dtype":"F32","shape":\)\[32,8\]/\1[8,32]/'
refuse_header "a shape whose size overflows" "bad/m: tensor 'fc.bias': shape .*too large" \
  's/"shape":\[1\]/"shape":[4294967296,4294967296,4294967296]/'
sed -E 's/("tsdl.task":"[^}]*}"\}).*/\1}/' header.json >bad/header.json
: >nothing
safetensors bad/header.json nothing >bad/m
refuse_model "no tensors" "bad/m: tensor 'lstm.weight_ih_l0': missing" bad/m
sed 's/}}*$/},"zz.extra":{"dtype":"F32","shape":[1],"data_offsets":[10564,10568]}}/' \
  <(sed 's/ *$//' header.json) >bad/header.json
{ cat data.bin; printf '\0\0\0\0'; } >more.bin
safetensors bad/header.json more.bin >bad/m
refuse_model "an unused tensor" "bad/m: tensor 'zz.extra': not expected" bad/m

# --- what a model file says of itself
refuse_header "no recipe" "bad/m: metadata 'tsdl.recipe': missing" 's/"tsdl.recipe"/"tsdl.other"/'
refuse_header "another format" "bad/m: metadata 'tsdl.format'" \
  's/"tsdl.format":"2"/"tsdl.format":"3"/'
refuse_header "a line end in the format" "bad/m: metadata 'tsdl.format'" \
  's/"tsdl.format":"2"/"tsdl.format":"1\\n2"/'
refuse_header "a kind that is not known" "bad/m: .*(kind|expected one of)" 's/\\"bilstm\\"/\\"other\\"/'
refuse_header "a line end in the kind" "bad/m: .*(kind|expected one of)" 's/\\"bilstm\\"/\\"bi\\\\nlstm\\"/'
refuse_header "a hidden size that is not the tensors'" "bad/m: " \
  's/\(hidden_size\\":\)8/\19/'
refuse_header "fewer layers than tensors" "bad/m: tensors 'lstm.bias_hh_l1'.*not expected" \
  's/\(num_layers\\":\)2/\11/'
refuse_header "dropout 1" "bad/m: .*dropout" 's/\(dropout\\":\)0.2/\11/'
refuse_header "a window of 0" "length" 's/\(length\\":\)10/\10/'
refuse_header "a window of -5" "length" 's/\(length\\":\)10/\1-5/'
refuse_header "a window of 10.7" "length|number" 's/\(length\\":\)10/\110.7/'
refuse_header "a window of 1e30" "length|number" 's/\(length\\":\)10/\11e30/'
refuse_header "a window as text" "bad/m: metadata 'tsdl.recipe'" 's/\(length\\":\)10/\1\\"10\\"/'
refuse_header "a recipe that is no JSON" "bad/m: metadata 'tsdl.recipe'" \
  's/{\\"class_values/{{\\"class_values/'
refuse_header "a scaler with a scale of 0" "bad/m: metadata 'tsdl.recipe'" \
  's/\(scale\\":\[\)[0-9.]*/\10/'
refuse_header "a column of another name" "hi" 's/\(columns\\":\[\\"open\\",\\"\)high/\1hi/'

# A header of a few hundred bytes that claims sizes whose product overflows.
info=$(sed 's/^{"__metadata__":\({.*"tsdl.task":"[^}]*}"}\).*/\1/' header.json)
[ "${#info}" -lt "$(wc -c <header.json)" ] || fail "the metadata was not found"
for hidden in 4611686018427387904 1152921504606846976 9223372036854775807; do
  printf '{"__metadata__":%s,%s}' "${info/hidden_size\\\":8/hidden_size\\\":$hidden}" \
    '"lstm.weight_hh_l0":{"dtype":"F32","shape":[0,'$hidden'],"data_offsets":[0,0]}' |
    sed 's/\(num_layers\\":\)2/\11/' >bad/header.json
  safetensors bad/header.json nothing >bad/m
  refuse_model "a hidden size of $hidden and no weights" "bad/m: |memory" bad/m
done

# --- a disk that fills: here a limit on the size of a file, reached while it is written
limited() {  # limited KILOBYTES COMMAND...
  (
    trap '' XFSZ
    ulimit -f "$1"
    exec "${@:2}"
  )
}
other=("$train" --data good.csv "${small[@]}" --seed 2 --out out/earlier)
before_model=$(all_but_log out)
refused "a full disk (model)" "best.safetensors: .*File too large" limited 8 "${other[@]}"
[ "$(all_but_log out)" = "$before_model" ] || fail "a full disk (model): files were made or changed"
grep -q ' error the run failed error=.*File too large' out/earlier/train.log ||
  fail "a full disk (model): the log does not say why"
before=$(contents out)
passed "a full disk (model)"
head -n 501 "$source" >long.csv
refused "a full disk (predictions)" "predictions.csv: .*File too large" limited 4 \
  "$predict" --model model.safetensors --data long.csv --out out/predictions.csv
unchanged "a full disk (predictions)"
passed "a full disk (predictions)"
cp -r out/earlier full
refused "a full disk (state)" "last.state.safetensors: .*File too large" limited 24 \
  "$train" --data good.csv "${small[@]}" --seed 2 --out full
same "a full disk (state)" full/last.state.safetensors out/earlier/last.state.safetensors
no_temporaries "a full disk (state)" full
passed "a full disk (state)"

# The same on a real file system of 1 MB, where that can be mounted.
mkdir disk
if [ "$(id -u)" -eq 0 ] && mount -t tmpfs -o size=1m tmpfs disk 2>/dev/null; then
  mounted=$work/disk
  cp -r out/earlier disk/run
  head -c 2000000 /dev/zero >disk/filler 2>/dev/null || true
  truncate -s -4096 disk/filler
  before=$(all_but_log disk)
  refused "a full file system" "best.safetensors: .*No space left" \
    "$train" --data good.csv "${small[@]}" --seed 2 --out disk/run
  [ "$(all_but_log disk)" = "$before" ] || fail "a full file system: files were made or changed"
  passed "a full file system"
else
  echo "skipped: a full file system (mounting one needs root)"
fi
echo "bad_input: all passed"
