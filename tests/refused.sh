#!/usr/bin/env bash
# Programs that must not compile: the compiler says why in one screen.
#
# Usage: refused.sh SOURCE_DIR COMPILER
#   COMPILER: g++ or clang++.
set -euo pipefail

source=$(realpath "$1") compiler=$2
. "$source/tests/programs/lib.sh"
cd "$work"
longest=50  # lines of a screen

start='#include <Eigen/Core>
struct Thing { using Scalar = float; };
double values[24];
Eigen::MatrixXd X(3, 8);
Eigen::Matrix<double, -1, -1, Eigen::RowMajor> rows(3, 8);
const Eigen::MatrixXd fixed(3, 8);
'
header=  # what is included
try() {  # try STATEMENTS: compiles a function of them
  printf '#include <tsdl/%s>\n%s\nvoid tried() {\n%s\n}\n' "$header" "$start" "$1" >tried.cpp
  "$compiler" -std=c++20 -fsyntax-only -I "$source/include" -isystem /usr/include/eigen3 tried.cpp >said 2>&1
}
accept() { try "$1" || fail "what is right does not compile: $(head -n 20 said)"; }
refuse() {  # refuse STATEMENTS TEXT...: they do not compile, and one of the texts tells why
  local statements=$1 text lines
  shift
  ! try "$statements" || fail "it compiles: $statements"
  lines=$(wc -l <said)
  for text; do
    if grep -qE "$text" said; then
      [ "$lines" -le "$longest" ] || fail "$lines lines about: $statements
$(head -n 60 said)"
      passed "refused in $lines lines: $statements"
      return
    fi
  done
  fail "'$*' is not said about: $statements
$(head -n 40 said)"
}

header=core/sequence.hpp
accept 'tsdl::Sequence<const double> x(X, 4); tsdl::Sequence<const double> y(fixed, 4);'
refuse 'tsdl::Sequence<double> x{values, 3, 4, 2};' 'no matching (constructor|function)'
refuse 'tsdl::Sequence<const double> x(rows, 4);' "a column's values must be adjacent: use a column-major"
refuse 'tsdl::Sequence<const double> x(X * 2.0, 4);' 'evaluate it to a matrix first'
refuse 'tsdl::Sequence<const double> x(Eigen::MatrixXd(3, 8), 4);' 'would not outlive the view'
refuse 'tsdl::Sequence<const float> x(X, 4);' 'the matrix has another scalar type'
refuse 'tsdl::Sequence<double> x(fixed, 4);' 'Sequence<const Scalar>'

header=optim/adamw.hpp
refuse 'Thing thing; tsdl::Optimizer optimizer(thing);' 'Module'
refuse 'Thing thing; tsdl::update(thing, [](auto&) {});' 'Module'

header=io/state_dict.hpp
refuse 'Thing thing; tsdl::load_state_dict(thing, "file");' 'Module'
refuse 'Thing thing; tsdl::save_state_dict("file", thing);' 'Module'

header=nn/network.hpp
refuse 'tsdl::Network<Thing>* network;' 'Encoder'

header=train/trainer.hpp
refuse 'Thing thing; tsdl::Trainer trainer(thing);' 'does not keep the contract of a model, tsdl::Model'
refuse 'tsdl::Windows<float> windows; Thing thing; tsdl::evaluate(thing, windows);' 'Model'
refuse 'tsdl::Windows<float> windows; Thing thing; tsdl::predict(thing, windows);' 'Model'

header=lstm.hpp
accept 'tsdl::LSTM<double> lstm({.input_size = 3, .hidden_size = 2}); tsdl::Optimizer optimizer(lstm);
  tsdl::LSTMClassifier<float> model({.input_size = 3, .hidden_size = 2}); tsdl::Trainer trainer(model);
  tsdl::update(model, [](auto&) {}); tsdl::predict(model, tsdl::Windows<float>());'
echo "refused: all passed with $compiler"
