#!/usr/bin/env bash
# readme.sh SOURCE_DIR COMPILER: compiles each of the README's C++ programs as it stands there, and
# runs it small.
set -euo pipefail
source_dir=$1 compiler=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
awk '/^```cpp$/ { inside = 1; ++n; next } /^```$/ { inside = 0 } inside { print >("readme" n ".cpp") }' \
  "$source_dir/README.md"
[ "$(ls readme*.cpp | wc -l)" -eq 2 ] || { echo "README.md holds not two C++ programs"; exit 1; }
cp "$source_dir/examples/data/sp500-daily.csv" .
flags=(-std=c++20 -O1 -Wall -Wextra -Wpedantic -Werror -isystem /usr/include/eigen3 -I"$source_dir/include")
for program in readme*.cpp; do
  sed -i 's/\.hidden_size = [0-9]*/.hidden_size = 4/; s/\.max_epochs = [0-9]*/.max_epochs = 1/' "$program"
  "$compiler" "${flags[@]}" "$program" -o readme
  ./readme | tee -a printed
done
grep -q 'accuracy 0\.[0-9]' printed || { echo "it printed no accuracy"; exit 1; }
test -s best.safetensors || { echo "it wrote no model"; exit 1; }
