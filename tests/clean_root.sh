#!/usr/bin/env bash
# clean_root.sh ROOT [SUITE [MIRROR]]: makes a fresh Debian system in the directory ROOT, installs the
# package that cpack makes and nothing but what it depends on, and builds and runs the consumer there,
# found by CMake and by pkg-config. Needs root, debootstrap and the network; takes some minutes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$1 suite=${2:-bookworm} mirror=${3:-http://deb.debian.org/debian}
[ ! -e "$root" ] || {
  echo "clean_root.sh: $root exists" >&2
  exit 2
}
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
cmake -S . -B "$build" -DTSDL_BUILD_TESTS=OFF -DTSDL_BUILD_EXAMPLES=OFF
(cd "$build" && cpack -G DEB)
debootstrap --variant=minbase "$suite" "$root" "$mirror"
cp "$build"/libtsdl-dev_*_all.deb "$root/tmp/libtsdl-dev.deb"
cp -r tests/consumer "$root/tmp/consumer"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
chroot "$root" bash -euc '
  export DEBIAN_FRONTEND=noninteractive LC_ALL=C
  apt-get update -q
  apt-get install -q -y --no-install-recommends /tmp/libtsdl-dev.deb
  apt-get install -q -y --no-install-recommends g++ make cmake pkg-config
  cd /tmp
  g++ -std=c++20 $(pkg-config --cflags tsdl) consumer/probe.cpp -o by_pkg_config
  ./by_pkg_config
  cmake -S consumer -B build
  cmake --build build
  build/probe
  build/consumer
  apt-get remove -q -y libtsdl-dev
  [ ! -e /usr/include/tsdl ]'
echo "clean_root: installed, built, run and removed in $root"
