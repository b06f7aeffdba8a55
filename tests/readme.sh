#!/usr/bin/env bash
# readme.sh SOURCE_DIR COMPILER: compiles the README's C++ as it stands there, and runs it small.
set -euo pipefail
source_dir=$1 compiler=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
awk '/^```cpp$/ { inside = 1; next } /^```$/ { inside = 0 } inside' "$source_dir/README.md" >"$work/readme.cpp"
grep -q 'int main' "$work/readme.cpp" || { echo "README.md holds no C++ program"; exit 1; }
flags=(-std=c++20 -O1 -Wall -Wextra -Wpedantic -Werror -isystem /usr/include/eigen3 -I"$source_dir/include")
"$compiler" "${flags[@]}" -fsyntax-only "$work/readme.cpp"
sed -i 's/\.hidden_size = [0-9]*/.hidden_size = 4/; s/\.max_epochs = [0-9]*/.max_epochs = 1/' "$work/readme.cpp"
"$compiler" "${flags[@]}" "$work/readme.cpp" -o "$work/readme"
cp "$source_dir/examples/data/sp500-daily.csv" "$work"
(cd "$work" && ./readme) | tee "$work/printed"
grep -q '[0-9]' "$work/printed" || { echo "it printed no number"; exit 1; }
test -s "$work/best.safetensors" || { echo "it wrote no model"; exit 1; }
