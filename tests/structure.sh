#!/usr/bin/env bash
# The shape of include/tsdl: which floor includes which, who may include other parties' headers, no
# cycle, where the system is called, no printing or exiting, #pragma once, length, macros that begin
# with TSDL_, no concrete model where any is meant, classes that ctags and editors can find, and that
# every header compiles alone under the strictest warnings that a user may have.
#
# Usage: structure.sh SOURCE_DIR [COMPILER [EIGEN_INCLUDE_DIR]]
#   COMPILER: g++ when not given. EIGEN_INCLUDE_DIR: /usr/include/eigen3 when not given.
# Needs bash, coreutils, findutils, grep, sed and awk; Universal Ctags for the check of classes.
set -euo pipefail

source=$(realpath "$1") compiler=${2:-g++} eigen=${3:-/usr/include/eigen3}
export LC_ALL=C
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What each floor may include, beside itself and version.hpp.
declare -A below=(
  [core]=""
  [kernels]="core"
  [task]="core"
  [nn]="core kernels task"
  [optim]="core kernels task nn"
  [data]="core task"
  [explain]="core kernels nn task data"
  [train]="core kernels task nn optim data"
  [spread]="core kernels task nn optim data train"
  [select]="core task nn data train spread"
  [track]="core task train"
  [io]="core kernels task nn optim data train select"
  [report]="core task nn data train select"
  [serve]="core kernels task nn optim data train select io"
)
faces="bilstm.hpp lstm.hpp gru.hpp tsdl.hpp"  # may include anything
longest=400                                   # lines of a header
calls='v?f?printf|f?puts|f?putc|putchar|perror|exit|_Exit|_exit|quick_exit|abort|terminate'
forbidden="std::(cout|cerr|clog)|<iostream>|(^|[^[:alnum:]_])($calls)[[:space:]]*\\("

# Each check prints what it finds wrong in a tree; it passes when it prints nothing. The argument is
# the directory that holds tsdl/.

headers() { (cd "$1" && find tsdl -type f | sort); }

# includes DIRECTORY: one line "file what-it-includes" an #include, its quotes or brackets kept.
includes() {
  (cd "$1" && find tsdl -type f -exec grep -HE '^[[:space:]]*#[[:space:]]*include' {} +) |
    sed -E 's/^([^:]*):[[:space:]]*#[[:space:]]*include[[:space:]]*([<"][^>"]*[>"]).*/\1 \2/'
}

floor_of() {  # floor_of PATH: its directory, or the name of a file that is in none
  local path=${1#tsdl/}
  echo "${path%%/*}"
}

check_edges() {
  local file what target from to
  while read -r file what; do
    target=${what:1:-1}
    case $what in
      '"tsdl/'*) ;;
      '<tsdl/'*)
        echo "$file includes $what: use quotes"
        continue
        ;;
      '"'*)
        echo "$file includes $what: paths start with tsdl/"
        continue
        ;;
      *) continue ;;
    esac
    from=$(floor_of "$file") to=$(floor_of "$target")
    [ -f "$1/$target" ] || echo "$file includes $what, which does not exist"
    [ "$target" != tsdl/version.hpp ] || [ "$from" = version.hpp ] || continue
    if [ "$from" = version.hpp ]; then
      echo "version.hpp includes $what"
    elif [[ " $faces " == *" $from "* ]]; then
      continue
    elif [ -z "${below[$from]+set}" ]; then
      echo "$file is on no floor"
    elif [ "$from" != "$to" ] && [[ " ${below[$from]} " != *" $to "* ]]; then
      echo "$file includes $what: $from may include: ${below[$from]:-nothing but itself}"
    fi
  done < <(includes "$1")
}

check_places() {
  local file rest floor
  for file in $(headers "$1"); do
    rest=${file#tsdl/} floor=$(floor_of "$file")
    [[ "$file" == *.hpp ]] || echo "$file is not a header"
    if [[ "$rest" != */* ]]; then
      [[ " $faces version.hpp " == *" $rest "* ]] || echo "$file is no face"
    elif [ -z "${below[$floor]+set}" ]; then
      echo "$file is on no floor"
    fi
  done
}

check_parties() {
  local file what
  while read -r file what; do
    case $what in
      *xsimd*) [ "$file" = tsdl/kernels/simd.hpp ] || echo "$file includes $what" ;;
      *nlohmann*) [[ "$file" == tsdl/io/* || "$file" == tsdl/track/mlflow/* ]] || echo "$file includes $what" ;;
      *httplib*) [ "$file" = tsdl/track/mlflow/client.hpp ] || echo "$file includes $what" ;;
      *protozero*) [[ "$file" == tsdl/io/* ]] || echo "$file includes $what" ;;
      *Eigen/*) [[ "$file" != tsdl/kernels/* ]] || echo "$file includes $what" ;;
      *omp.h*) echo "$file includes $what" ;;
      *mpi.h*) [[ "$file" == tsdl/spread/* ]] || echo "$file includes $what" ;;
      *immintrin.h* | *x86intrin.h* | *arm_neon.h*)
        [ "$file" = tsdl/kernels/simd.hpp ] || echo "$file includes $what"
        ;;
    esac
  done < <(includes "$1")
}

# What not every system has stands in one place, in a form for each: its headers in core/system.hpp
# (pthread.h in core/system_thread.hpp), its functions in core/system*.hpp.
check_system() {
  local file what
  while read -r file what; do
    case $what in
      *pthread.h*)
        [[ "$file" == tsdl/core/system_thread.hpp ]] || echo "$file includes $what"
        ;;
      *immintrin.h* | *x86intrin.h* | *arm_neon.h* | *omp.h* | *httplib.h* | *mpi.h*) ;;
      '<'*.h'>' | '<sys/'*)
        [[ "$file" == tsdl/core/system.hpp ]] || echo "$file includes $what"
        ;;
    esac
  done < <(includes "$1")
  for file in $(headers "$1"); do
    [[ "$file" != tsdl/core/system*.hpp ]] || continue
    sed -E 's/"([^"\\]|\\.)*"//g; s://.*::' "$1/$file" |
      grep -nE '(^|[^:_<>[:alnum:]])::[a-z_]+ ?[({]|(^|[^_[:alnum:]])_WIN32|__(unix|linux|APPLE)__' |
      sed "s:^:$file\::" || true
  done
}

check_cycles() {
  includes "$1" | sed -n 's/^\(.*\) "\(tsdl\/.*\)"$/\1 \2/p' >"$work/edges"
  tsort "$work/edges" 2>&1 >"$work/order" | sed 's/^tsort: [^:]*: //' || true
}

# The library never prints, exits or aborts. Comments and strings may speak of it.
check_calls() {
  local file
  for file in $(headers "$1"); do
    sed -E 's/"([^"\\]|\\.)*"//g; s://.*::' "$1/$file" |
      grep -nE "$forbidden" |
      sed "s:^:$file\::" || true
  done
}

check_guards() {
  local file
  for file in $(headers "$1"); do
    grep -qx '#pragma once' "$1/$file" || echo "$file has no #pragma once"
    head -n 1 "$1/$file" | grep -q '^// .' || echo "$file does not start with what it is for"
  done
}

check_lengths() {
  local file lines
  for file in $(headers "$1"); do
    lines=$(wc -l <"$1/$file")
    [ "$lines" -le "$longest" ] || echo "$file has $lines lines, more than $longest"
  done
}

# Macros have no namespace: each name begins with TSDL_, and none of another party's is taken away.
check_macros() {
  local macro='^[[:space:]]*#[[:space:]]*(define|undef)[[:space:]]+'
  (cd "$1" && find tsdl -type f -exec grep -HnE "$macro" {} +) |
    grep -vE '#[[:space:]]*(define|undef)[[:space:]]+TSDL_[A-Z0-9_]+' |
    grep -v '^tsdl/track/mlflow/client.hpp:[0-9]*:#undef _res ' |  # the system's, in Eigen's way
    grep -vE '^tsdl/core/system.hpp:[0-9]*:#define (NOMINMAX|WIN32_LEAN_AND_MEAN)$' || true  # ask windows.h for less
}

# Files, streams and what comes after them take models by their contract. Comments and strings may
# speak of a concrete one; the factory lists them.
models='(^|[^[:alnum:]_])((Bi)?(LSTM|GRU)Classifier|(LSTM|GRU)Cell|RecurrentStack|RecurrentNetwork|RecurrentEncoder|Transformer(Network|Encoder|Layer))($|[^[:alnum:]_])'
model_headers='tsdl/nn/(recurrent|transformer)/[a-z_/]*\.hpp'
check_names() {
  local file code
  for file in $(headers "$1"); do
    case $file in
      tsdl/io/* | tsdl/serve/* | tsdl/track/* | tsdl/report/*) ;;
      *) continue ;;
    esac
    grep -nE "^[[:space:]]*#[[:space:]]*include[[:space:]]*[<\"]$model_headers" "$1/$file" |
      sed "s:^:$file\::" || true
    code=$(sed -E 's/"([^"\\]|\\.)*"//g; s://.*::' "$1/$file")
    grep -nE "$models" <<<"$code" | sed "s:^:$file\::" || true
  done
}

# Every class and struct at namespace scope is found by Universal Ctags, and so by editors: the nested
# form of an inline namespace, for one, hides what is in it. A definition there begins its line.
check_tags() {
  (cd "$1" && find tsdl -type f -exec grep -HE '^(class|struct) [[:alnum:]_]+' {} +) |
    grep -vE '^[^{]*;' | sed -E 's/^([^:]*):(class|struct) ([[:alnum:]_]+).*/\1 \3/' | sort -u >"$work/classes"
  (cd "$1" && ctags -R --languages=C++ --kinds-C++=cs --langmap=C++:+.hpp -f - tsdl) |
    awk -F '\t' '!/^!/ { print $2, $1 }' | sort -u >"$work/tags"
  [ "$(wc -l <"$work/classes")" -ge 100 ] || echo "only $(wc -l <"$work/classes") classes found: is the pattern right?"
  comm -23 "$work/classes" "$work/tags" | sed 's/$/ is not found by ctags/'
}

checks="check_edges check_places check_parties check_system check_cycles check_calls check_guards check_lengths
  check_macros check_names"
if ctags --version 2>/dev/null | grep -q 'Universal Ctags'; then
  checks+=" check_tags"
else
  echo "skipped: check_tags needs Universal Ctags"
fi

fail() {
  printf 'FAILED: %s\n' "$*" >&2
  exit 1
}

include=$source/include
[ "$(headers "$include" | wc -l)" -ge 20 ] || fail "no headers in $include/tsdl"
for check in $checks; do
  found=$("$check" "$include")
  [ -z "$found" ] || fail "$check:
$found"
  echo "ok: $check"
done

# Each check finds what is planted in a copy of the tree, and nothing once it is taken out.
plant() {  # plant CHECK FILE LINE: adds a line to a copy of a header, made when it is not there
  local tree=$work/planted
  rm -rf "$tree"
  cp -r "$include" "$tree"
  mkdir -p "$(dirname "$tree/$2")"
  printf '%s\n' "$3" >>"$tree/$2"
  [ -n "$("$1" "$tree")" ] || fail "$1 does not see '$3' in $2"
}
first() { (cd "$include" && find "tsdl/$1" -name '*.hpp' | sort | head -n 1); }
plant check_edges "$(first core)" '#include "tsdl/kernels/simd.hpp"'
plant check_edges "$(first kernels)" '#include "tsdl/nn/parameter.hpp"'
plant check_edges "$(first nn)" '#include "tsdl/optim/adamw.hpp"'
plant check_edges "$(first optim)" '#include "tsdl/data/windows.hpp"'
plant check_edges "$(first task)" '#include "tsdl/kernels/simd.hpp"'
plant check_edges "$(first task)" '#include "tsdl/nn/model.hpp"'
plant check_edges "$(first task)" '#include "tsdl/data/windows.hpp"'
plant check_edges "$(first select)" '#include "tsdl/io/json.hpp"'
plant check_edges "$(first select)" '#include "tsdl/optim/adamw.hpp"'
plant check_edges "$(first report)" '#include "tsdl/io/json.hpp"'
plant check_edges "$(first train)" '#include "tsdl/select/design.hpp"'
plant check_edges "$(first data)" '#include "tsdl/nn/parameter.hpp"'
plant check_edges "$(first data)" '#  include "tsdl/kernels/simd.hpp"  // spaced'
plant check_edges "$(first train)" '#include "tsdl/io/safetensors.hpp"'
plant check_edges "$(first train)" '#include "tsdl/track/tracker.hpp"'
plant check_edges "$(first train)" '#include "tsdl/spread/communicator.hpp"'
plant check_edges "$(first spread)" '#include "tsdl/io/json.hpp"'
plant check_edges "$(first track)" '#include "tsdl/io/json.hpp"'
plant check_edges "$(first explain)" '#include "tsdl/train/predict.hpp"'
plant check_edges "$(first track)" '#include "tsdl/select/baselines.hpp"'
plant check_edges "$(first io)" '#include "tsdl/bilstm.hpp"'
plant check_edges "$(first io)" '#include "safetensors.hpp"'
plant check_edges "$(first io)" '#include <tsdl/core/types.hpp>'
plant check_edges "$(first io)" '#include "tsdl/io/missing.hpp"'
plant check_edges tsdl/version.hpp '#include "tsdl/core/types.hpp"'
plant check_edges tsdl/serve/new.hpp '#include "tsdl/bilstm.hpp"'
plant check_places tsdl/attic/new.hpp '#pragma once'
plant check_places tsdl/other.hpp '#pragma once'
plant check_places tsdl/core/new.cpp 'int x;'
plant check_parties "$(first nn)" '#include <xsimd/xsimd.hpp>'
plant check_parties "$(first data)" '#include <nlohmann/json.hpp>'
plant check_parties tsdl/track/tracker.hpp '#include <nlohmann/json.hpp>'
plant check_parties tsdl/track/mlflow/rest.hpp '#include <httplib.h>'
plant check_parties "$(first io)" '#include <httplib.h>'
plant check_parties "$(first train)" '#include <protozero/pbf_writer.hpp>'
plant check_parties "$(first kernels)" '#include <Eigen/Core>'
plant check_parties "$(first nn)" '#include <immintrin.h>'
plant check_parties "$(first nn)" '#include <omp.h>'
plant check_parties "$(first train)" '#include <mpi.h>'
for header in unistd.h fcntl.h sched.h signal.h dirent.h windows.h sys/stat.h sys/mman time.h; do
  plant check_system "$(first data)" "#include <$header>"
done
plant check_system "$(first core)" '#  include <unistd.h>'
plant check_system tsdl/core/system_file.hpp '#include <fcntl.h>'
plant check_system "$(first nn)" 'inline int here() { return ::getpid(); }'
plant check_system "$(first nn)" 'inline const int there = ::getpid();'
plant check_system "$(first io)" '#ifdef _WIN32'
plant check_system "$(first io)" '#if defined(__linux__)'
plant check_cycles tsdl/core/types.hpp '#include "tsdl/core/buffer.hpp"'
plant check_calls "$(first core)" 'inline void say() { std::cout << 1; }'
plant check_calls "$(first core)" 'inline void say() { std::printf("x"); }'
plant check_calls "$(first core)" 'inline void stop() { std::exit(1); }'
plant check_calls "$(first core)" 'inline void stop() { abort(); }'
plant check_guards tsdl/core/new.hpp '// No guard.'
plant check_guards tsdl/core/new.hpp '#pragma once'
plant check_lengths "$(first core)" "$(seq "$longest")"
plant check_macros "$(first nn)" '#define EIGEN_MAX_ALIGN_BYTES 64'
plant check_macros "$(first nn)" '#  undef assert'
plant check_macros "$(first nn)" '#define NOMINMAX'
plant check_macros "$(first nn)" '#define tsdl_join(a, b) a##b'
for model in 'BiLSTMClassifier<float>' 'LSTMClassifier<float>' 'GRUClassifier<double>' 'BiGRUClassifier<T>' \
  'LSTMCell<float>' 'GRUCell<double>' 'RecurrentStack<Cell>' 'RecurrentNetwork<Cell, 2>' \
  'RecurrentEncoder<Cell, 1>' 'TransformerNetwork<float>' 'TransformerEncoder<T>'; do
  plant check_names "$(first io)" "void use(const $model& model);  // one of them"
  plant check_names tsdl/report/new.hpp "using Any = tsdl::$model;"
done
for header in recurrent/stack recurrent/encoder recurrent/stream transformer/encoder; do
  plant check_names "$(first serve)" "#include \"tsdl/nn/$header.hpp\""
  plant check_names tsdl/track/new.hpp "#  include <tsdl/nn/$header.hpp>"
done
# It lets comments and strings speak, and other names that contain these.
spoken=$work/spoken/tsdl/io
mkdir -p "$spoken"
printf '%s\n' '// A BiLSTMClassifier, or another.' 'int a;  // see RecurrentStack, tsdl/nn/recurrent/stack.hpp' \
  'const char* text = "a GRUClassifier, \"RecurrentNetwork\"";' 'class StreamingClassifier;' \
  'OnnxCell onnx_lstm();' '#include "tsdl/nn/factory.hpp"' >"$spoken/new.hpp"
[ -z "$(check_names "$work/spoken")" ] || fail "check_names finds too much: $(check_names "$work/spoken")"
if [[ "$checks" == *check_tags* ]]; then
  plant check_tags tsdl/core/new.hpp $'namespace tsdl::inline TSDL_ABI {\nclass Hidden {};\n}'
fi
echo "ok: each check finds what is planted"

# Every header compiles alone, without a warning. Eigen and xsimd, which most of them include by way
# of others, are read once: before a header that includes them all the same. Not asked for is clang's
# -Wweak-vtables: it warns of every polymorphic class of a library that has no source files.
warnings="-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wdouble-promotion"
if "$compiler" -dM -E -x c++ /dev/null | grep -q __clang__; then
  warnings+=" -Wfloat-equal"
fi
mpi=  # the flags that find mpi.h
if command -v mpicc >/dev/null; then
  for directory in $(mpicc --showme:incdirs); do mpi+=" -isystem $directory"; done
else
  echo "skipped: spread/mpi.hpp needs an MPI library to compile"
fi
suffix=gch
if "$compiler" -dM -E -x c++ /dev/null | grep -q __clang__; then suffix=pch; fi
printf '#include <Eigen/Core>\n' >"$work/eigen.hpp"
printf '#include <Eigen/Core>\n#include <xsimd/xsimd.hpp>\n' >"$work/both.hpp"
for parties in eigen both; do
  # shellcheck disable=SC2086  # several flags
  "$compiler" -std=c++20 -x c++-header $warnings -isystem "$eigen" "$work/$parties.hpp" \
    -o "$work/$parties.hpp.$suffix" || fail "Eigen or xsimd does not compile"
done
# reaching HEADER: the headers that include it, by way of others too.
reaching() {
  awk -v goal="$1" '{ from[NR] = $1; to[NR] = $2 }
    END { for (reached[goal] = more = 1; more;)
            for (i = more = 0; ++i <= NR;)
              if (reached[to[i]] && !reached[from[i]]) reached[from[i]] = more = 1
          for (header in reached) if (reached[header]) print header }' "$work/edges"
}
check_cycles "$include" >/dev/null  # writes the edges
reaching tsdl/core/types.hpp >"$work/with_eigen"
reaching tsdl/kernels/simd.hpp >"$work/with_xsimd"
compile() {
  local what parties=()
  if grep -qxF "$1" "$work/with_xsimd"; then
    parties=(-include "$work/both.hpp")
  elif grep -qxF "$1" "$work/with_eigen"; then
    parties=(-include "$work/eigen.hpp")
  fi
  [ -n "$mpi" ] || [ "$1" != tsdl/spread/mpi.hpp ] || return 0
  what=$(echo "#include \"$1\"" | "$compiler" -std=c++20 -fsyntax-only -x c++ $warnings \
    -Werror "${parties[@]}" -I "$include" -isystem "$eigen" $mpi -DOMPI_SKIP_MPICXX - 2>&1) ||
    {
      printf '%s does not compile alone:\n%s\n' "$1" "$(head -n 20 <<<"$what")"
      return 1
    }
}
export -f compile
export compiler include eigen warnings mpi work
headers "$include" | xargs -P 2 -I {} bash -c 'compile {}' >"$work/compiled" ||
  fail "$(cat "$work/compiled")"
echo "ok: every header compiles alone with $compiler"
echo "structure: all passed"
