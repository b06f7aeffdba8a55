#!/usr/bin/env bash
# docs.sh SOURCE_DIR: doxygen makes the pages of the public headers without a warning, and on the
# pages are the classes that users meet, under the names that they write.
set -euo pipefail
source_dir=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$source_dir"

fail() {
  printf 'docs: %s\n' "$*" >&2
  exit 1
}

pages() {  # pages INPUT...: makes them, and prints the warnings
  { cat .doxyfile && printf '%s\n' "OUTPUT_DIRECTORY = $work/docs" "INPUT = $*" "WARN_LOGFILE = $work/log"; } |
    doxygen - >/dev/null 2>"$work/errors" || cat "$work/errors"
  # A member that needs no words has none: a size, an element, a figure whose name says it.
  grep -vE 'Member .* of (class|struct) .* is not documented' "$work/log" || true
}

read -ra inputs < <(sed -n 's/^INPUT *= //p' .doxyfile)
found=$(pages "${inputs[@]}")
[ -z "$found" ] || fail "$(head -n 20 <<<"$found")"
for page in classtsdl_1_1RecurrentStack classtsdl_1_1RecurrentEncoder classtsdl_1_1Network classtsdl_1_1AnyModel \
  classtsdl_1_1BasicConfig classtsdl_1_1Task classtsdl_1_1TaskKind structtsdl_1_1Regression classtsdl_1_1Trainer \
  classtsdl_1_1StreamingPredictor structtsdl_1_1Recipe classtsdl_1_1FloatModeGuard; do
  test -s "$work/docs/html/$page.html" || fail "there is no page $page.html"
done
grep -q '<b>Throws:</b>' "$work/docs/html/classtsdl_1_1Trainer.html" || fail "no Throws: on the Trainer's page"
! grep -rq 'inline TSDL_ABI' "$work/docs/html" || fail "the inline namespace is on the pages"
internal=$(find "$work/docs/html" -name '*internal*')
[ -z "$internal" ] || fail "internal names have pages: $internal"

# It sees what is planted.
plant() {
  rm -rf "$work/planted"
  mkdir "$work/planted"
  printf '%s\n' '/// @file' "$1" >"$work/planted/planted.hpp"
  [ -n "$(pages "$work/planted")" ] || fail "not seen: $1"
}
plant 'namespace tsdl { struct Plain { int a; }; }'
plant 'namespace tsdl { int plain(int x); }'
plant 'namespace tsdl { enum class Plain { a }; }'
plant 'namespace tsdl { /** See \ref Missing. */ struct Documented {}; }'
plant 'namespace tsdl { /** A <tag>. */ struct Documented {}; }'
echo "docs: no warnings"
