#!/usr/bin/env bash
# readme.sh SOURCE_DIR COMPILER: what the pages say, as it stands there. Every C++ block is compiled and run, its
# networks made small; every CMake block is a project that builds; every link, script and program that is named exists;
# each kind of task has a C++ block.
set -euo pipefail
source_dir=$(realpath "$1") compiler=$2
pages=(README.md examples/README.md tests/README.md bench/README.md)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

fail() {
  echo "readme: $*" >&2
  exit 1
}

# slugs PAGE: the anchors of its headings.
slugs() {
  awk '/^```/ { inside = !inside } !inside && /^#+ /' "$1" |
    sed -E 's/^#+ //' | tr '[:upper:]' '[:lower:]' | sed -E 's/[^a-z0-9 _-]//g; s/ /-/g'
}

# check_links PAGE: what it links to is there, and so is the heading.
check_links() {
  local target file
  while read -r target; do
    [[ "$target" != http* ]] || continue
    file=$source_dir/$1
    [ -z "${target%%#*}" ] || file=$(dirname "$file")/${target%%#*}
    [ -e "$file" ] || fail "$1 links to $target, which is not there"
    [[ "$target" != *"#"* ]] || slugs "$file" | grep -qx -- "${target#*#}" ||
      fail "$1 links to $target: there is no such heading"
  done < <(grep -oE '\]\([^)]+\)' "$source_dir/$1" | sed 's/^](//; s/)$//')
}

# check_commands PAGE BLOCK: scripts that it runs are there, and programs are built under that name.
check_commands() {
  local word
  while read -r word; do
    case $word in
      build/release/examples/*)
        grep -qE "[( ]${word##*/}[ )]" "$source_dir/examples/CMakeLists.txt" || fail "$1: no program is called $word"
        ;;
      *.toml) [ -f "$source_dir/$word" ] || fail "$1 reads $word, which is not there" ;;
      *) [ -x "$source_dir/$word" ] || fail "$1 runs $word, which is not there" ;;
    esac
  done < <(sed 's/#.*//' "$2" | tr ' \t' '\n\n' |
    grep -E '^(build/release/)?(examples|tests|bench)/[a-z_/.]+$' | grep -v '\.csv$')
}

# Block n of a language and page becomes LANGUAGE.PAGE.n.
for page in "${pages[@]}"; do
  [ "$(grep -c '^```' "$source_dir/$page")" -gt 0 ] || fail "$page has no blocks"
  awk -v page="${page%/*}" \
    '/^```(cpp|cmake|sh|toml|text)$/ && name == "" { l = substr($0, 4); name = l "." page "." (++count[l]); next }
     /^```$/ && name != "" { close(name); name = ""; next }
     /```/ { print "a fence that is none: " $0 >"wrong"; next }
     name != "" { print >name; next }
     /#include|tsdl::.*;$|find_package/ { print "code in no block: " $0 >"wrong" }
     END { if (name != "") print "a block without an end: " name >"wrong" }' "$source_dir/$page"
  [ ! -e wrong ] || fail "$page: $(head -n 3 wrong)"
  check_links "$page"
done
shopt -s nullglob
for block in sh.*; do check_commands "$block" "$block"; done
programs=(cpp.README.md.* cpp.examples.* cpp.tests.* cpp.bench.*) projects=(cmake.*)
[ "${#programs[@]}" -eq "$(cat "${pages[@]/#/$source_dir/}" | grep -c '^```cpp$')" ] || fail "a C++ block is lost"
[ -e cpp.README.md.1 ] && [ ! -e cpp.README.md.2 ] || fail "README.md has one C++ block"
[ "${#projects[@]}" -ge 2 ] || fail "CMake blocks are missing"

# Each kind of task that model files may name is shown at work.
kinds=$(sed -nE 's/.*\{"([a-z]+)", [a-z]+_from\}.*/\u\1/p' "$source_dir/include/tsdl/task/make_task.hpp")
[ "$(grep -c . <<<"$kinds")" -ge 4 ] || fail "the kinds of task are not found"
for kind in $kinds; do
  grep -qE "tsdl::$kind( [a-z]+)?\{" "${programs[@]}" || fail "no C++ block has a task tsdl::$kind{...}"
done

flags=(-std=c++20 -O1 -Wall -Wextra -Wpedantic -Werror -isystem /usr/include/eigen3 -I"$source_dir/include")
for program in "${programs[@]}"; do
  grep -q '^int main' "$program" || fail "$program is no program"
  mkdir "run.$program"
  sed 's/\.hidden_size = [0-9]*/.hidden_size = 4/; s/\.max_epochs = [0-9]*/.max_epochs = 1/' "$program" >"$program.cpp"
  "$compiler" "${flags[@]}" "$program.cpp" -o "$program.out" || fail "$program does not compile"
  cp "$source_dir/examples/data/sp500-daily.csv" "run.$program"
  if grep -q 'load_model.*"best.safetensors"' "$program"; then  # README.md's program made it
    cp run.cpp.README.md.1/best.safetensors "run.$program" || fail "README.md's program writes no model"
  fi
  (cd "run.$program" && timeout 300 "../$program.out" </dev/null >printed) ||
    fail "$program failed: $(tail -n 5 "run.$program/printed")"
  ! grep -q 'std::printf\|std::puts' "$program" || [ -s "run.$program/printed" ] || fail "$program printed nothing"
done
grep -q 'accuracy 0\.[0-9]' run.cpp.README.md.1/printed || fail "README.md's program printed no accuracy"

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
    -DCMAKE_EXPORT_COMPILE_COMMANDS=ON \
    -DFETCHCONTENT_SOURCE_DIR_TSDL="$source_dir" >log 2>&1 && cmake --build "$project.b" >>log 2>&1 &&
    "$project.b/my_program" || fail "$project does not build: $(tail -n 20 log)"
  grep -qE -- "-isystem ($source_dir|$work/prefix)/include" "$project.b/compile_commands.json" ||
    fail "$project: warnings in our headers would be its user's"
done
echo "readme: ${#programs[@]} C++ blocks and ${#projects[@]} CMake blocks on ${#pages[@]} pages"
