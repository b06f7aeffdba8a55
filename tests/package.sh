#!/usr/bin/env bash
# The installed files: complete, movable, free of paths of the machine that built them, found by
# CMake in the right versions and by pkg-config; and the Debian package that cpack makes of them.
#
# Usage: package.sh SOURCE_DIR COMPILER
# Needs cmake and pkg-config; without dpkg-deb it leaves the Debian package out.
set -euo pipefail

source=$(realpath "$1") compiler=$2
. "$source/tests/programs/lib.sh"
cd "$work"
unset CXXFLAGS CFLAGS LDFLAGS CMAKE_PREFIX_PATH PKG_CONFIG_PATH DESTDIR
cp -r "$source/tests/consumer" project
version=$(sed -n 's/^#define TSDL_VERSION_[A-Z]* \([0-9]*\)$/\1/p' \
  "$source/include/tsdl/version.hpp" | paste -sd .)

logged() {  # logged NAME COMMAND...: its output only when it fails
  "${@:2}" >"$work/log" 2>&1 || {
    tail -n 40 "$work/log" >&2
    fail "$1"
  }
}

# complete PREFIX: every header and each file that a package has, none of which knows where it was
# made.
complete() {
  diff -r "$source/include/tsdl" "$1/include/tsdl" >&2 || fail "$1: headers are missing"
  for file in share/cmake/tsdl/tsdl-config.cmake share/cmake/tsdl/tsdl-config-version.cmake \
    share/cmake/tsdl/tsdl-targets.cmake share/pkgconfig/tsdl.pc share/doc/tsdl/LICENSE; do
    [ -s "$1/$file" ] || fail "$1: no $file"
  done
  for path in "$source" "$work" "$HOME/"; do
    ! grep -rF -- "$path" "$1/share/cmake" "$1/share/pkgconfig" >&2 || fail "$1: it names $path"
  done
}

# by_pkg_config PREFIX: the small program, compiled with what pkg-config says of this prefix.
by_pkg_config() {
  local flags
  export PKG_CONFIG_PATH=$1/share/pkgconfig
  logged "$1: pkg-config" pkg-config --validate --print-errors tsdl
  [ "$(pkg-config --modversion tsdl)" = "$version" ] || fail "$1: $(pkg-config --modversion tsdl)"
  ! pkg-config --exists 'tsdl >= 9' || fail "$1: pkg-config finds version 9"
  [ -z "$(pkg-config --libs tsdl)" ] || fail "$1: something to link: $(pkg-config --libs tsdl)"
  flags=$(pkg-config --cflags tsdl)
  # shellcheck disable=SC2086  # several flags
  logged "$1: compile" "$compiler" -std=c++20 $flags -MD -MF by_pkg_config.d project/probe.cpp -o by_pkg_config
  succeed "$1: run" ./by_pkg_config
  grep -qE "^tsdl $version 8$" stdout || fail "$1: $(cat stdout)"
  sed 's/ \\$//' by_pkg_config.d | tr ' ' '\n' | grep 'tsdl/version.hpp' | xargs realpath |
    grep -q "^$(realpath "$1")/" || fail "$1: not its headers"
  passed "pkg-config: $1"
}

# by_cmake NAME PREFIX: the same with find_package.
by_cmake() {
  logged "$1: configure" cmake -S project -B "$1" -DCMAKE_CXX_COMPILER="$compiler" \
    -DCMAKE_PREFIX_PATH="$2"
  grep -q "^tsdl_DIR:PATH=$2/share/cmake/tsdl$" "$1/CMakeCache.txt" || fail "$1: not the one in $2"
  logged "$1: build" cmake --build "$1" --target probe
  succeed "$1: run" "$1/probe"
  passed "find_package: $1"
}

# Staged for /usr, as a packager does, and then moved to where a user unpacks it.
logged "configure" cmake -S "$source" -B build -DCMAKE_CXX_COMPILER="$compiler" \
  -DTSDL_BUILD_TESTS=OFF -DTSDL_BUILD_EXAMPLES=OFF -DCMAKE_INSTALL_PREFIX=/usr
logged "install" env DESTDIR="$work/stage" cmake --install build
[ "$(ls stage)" = usr ] || fail "install: it leaves DESTDIR: $(ls stage)"
mv stage/usr "moved"
complete "$work/moved"
passed "install: $(find moved -type f | wc -l) files"
by_cmake moved_cmake "$work/moved"
by_pkg_config "$work/moved"

# wanted VERSION...: whether find_package(tsdl VERSION...) finds it.
wanted() {
  cmake -S project -B moved_cmake -DCONSUMER_WANTS="${*// /;}" -U 'tsdl_DIR' >"$work/log" 2>&1
}
patch=${version##*.} minor=${version%.*}
for good in "$version" "$minor" "$minor.0" "$version;EXACT"; do
  wanted "$good" || fail "find_package(tsdl $good) fails: $(tail -n 20 "$work/log")"
done
for bad in 99 9 "${version%%.*}.99" "${minor%.*}.$((${minor#*.} + 1))" \
  "$minor.$((patch + 1))" "$minor.$((patch + 1));EXACT" 0.0; do
  ! wanted "$bad" || fail "find_package(tsdl $bad) works"
  grep -q 'tsdl' "$work/log" || fail "find_package(tsdl $bad): the message does not name tsdl"
done
passed "find_package asks for the version"

command -v dpkg-deb >/dev/null || {
  echo "skipped: no dpkg-deb, so no Debian package"
  echo "package: all passed with $compiler"
  exit 0
}
(cd build && logged "cpack" cpack -G DEB)
deb=$(echo build/*.deb)
[ "$deb" = "build/libtsdl-dev_${version}_all.deb" ] || fail "cpack made $deb"
expect() {  # expect FIELD PATTERN
  dpkg-deb -f "$deb" "$1" | grep -qE "$2" || fail "$1: $(dpkg-deb -f "$deb" "$1")"
}
expect Package '^libtsdl-dev$'
expect Version "^${version//./\\.}$"
expect Architecture '^all$'
expect Depends '^libeigen3-dev \(>= 3\.4\), libxsimd-dev \(>= 8\.1\)$'
expect Recommends '^nlohmann-json3-dev$'
expect Suggests '^libcpp-httplib-dev, libprotozero-dev$'
expect Section '^libdevel$'
expect Maintainer '^The tsdl authors <.*@.*>$'
dpkg-deb -x "$deb" unpacked
[ "$(ls unpacked)" = usr ] || fail "the package is not under /usr: $(ls unpacked)"
[ -z "$(find unpacked -type f ! -perm 644)" ] || fail "modes: $(find unpacked -type f ! -perm 644)"
diff -r moved unpacked/usr | grep -vx 'Only in unpacked/usr/share/doc: libtsdl-dev' >&2 &&
  fail "the package is not what was installed"
same "copyright" "$source/LICENSE" unpacked/usr/share/doc/libtsdl-dev/copyright
by_pkg_config "$work/unpacked/usr"
passed "$(basename "$deb")"
echo "package: all passed with $compiler"
