#!/usr/bin/env bash
# readme.sh SOURCE_DIR COMPILER: the README's code as it stands there. Every C++ block is compiled,
# and run where it is a program, made small; every CMake block is a project that builds.
set -euo pipefail
source_dir=$1 compiler=$2
readme=$source_dir/README.md
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

fail() {
  echo "README.md: $*" >&2
  exit 1
}

# Block n of a language becomes LANGUAGE<n>. What is C++ and stands in no block is not seen here.
awk '/^```[a-z]+$/ { name = substr($0, 4) (++count[substr($0, 4)]); next }
     /^```$/ { name = ""; next }
     /```/ { print "a fence that is none: " $0 >"wrong"; next }
     name != "" { print >name; next }
     /#include|tsdl::.*;$|find_package/ { print "code in no block: " $0 >"wrong" }' "$readme"
[ ! -e wrong ] || fail "$(head -n 3 wrong)"
shopt -s nullglob
programs=(cpp*) projects=(cmake*)
[ "$((${#programs[@]} + ${#projects[@]}))" -eq "$(grep -c '^```[a-z]' "$readme")" ] ||
  fail "a block is neither cpp nor cmake"
[ "${#programs[@]}" -ge 2 ] && [ "${#projects[@]}" -ge 1 ] || fail "blocks are missing"

cp "$source_dir/examples/data/sp500-daily.csv" .
flags=(-std=c++20 -O1 -Wall -Wextra -Wpedantic -Werror -isystem /usr/include/eigen3 -I"$source_dir/include")
touch printed
for program in "${programs[@]}"; do
  mv "$program" "$program.cpp"
  if grep -q '^int main' "$program.cpp"; then
    sed -i 's/\.hidden_size = [0-9]*/.hidden_size = 4/; s/\.max_epochs = [0-9]*/.max_epochs = 1/' "$program.cpp"
    "$compiler" "${flags[@]}" "$program.cpp" -o program || fail "its program $program does not compile"
    timeout 300 ./program </dev/null | tee -a printed || fail "its program $program failed"
  else
    "$compiler" "${flags[@]}" -fsyntax-only "$program.cpp" || fail "its block $program does not compile"
  fi
done
grep -q 'accuracy 0\.[0-9]' printed || fail "no program printed an accuracy"
test -s best.safetensors || fail "no program wrote a model"

cmake -S "$source_dir" -B build -DCMAKE_INSTALL_PREFIX="$work/prefix" -DCMAKE_CXX_COMPILER="$compiler" \
  -DTSDL_BUILD_TESTS=OFF -DTSDL_BUILD_EXAMPLES=OFF -DTSDL_BUILD_BENCH=OFF >log 2>&1 &&
  cmake --install build >>log 2>&1 || fail "the library cannot be installed: $(tail -n 20 log)"
for project in "${projects[@]}"; do
  mkdir "$project.d"
  echo '#include <tsdl/version.hpp>
int main() { return tsdl::version[0] == 0; }' >"$project.d/main.cpp"
  { printf '%s\n' 'cmake_minimum_required(VERSION 3.22)' 'project(my_project LANGUAGES CXX)' \
    'add_executable(my_program main.cpp)' && cat "$project"; } >"$project.d/CMakeLists.txt"
  cmake -S "$project.d" -B "$project.b" -DCMAKE_PREFIX_PATH="$work/prefix" -DCMAKE_CXX_COMPILER="$compiler" \
    -DFETCHCONTENT_SOURCE_DIR_TSDL="$source_dir" >log 2>&1 && cmake --build "$project.b" >>log 2>&1 &&
    "$project.b/my_program" || fail "its project $project does not build: $(tail -n 20 log)"
done
echo "readme: ${#programs[@]} C++ blocks and ${#projects[@]} CMake blocks"
