#!/usr/bin/env bash
# readme_commands.sh: types what README.md says, from its top: every command of its shell blocks, in order, as it stands
# there. It stops at the first that fails, and prints how long each took and its last lines.
#
# Usage: readme_commands.sh [--skip REGEX] ROOT [SUITE [MIRROR]]
#        readme_commands.sh [--skip REGEX] --here
#   ROOT: a directory to be made, in which a fresh Debian system is installed that has nothing but what the commands
#   install. Needs root, debootstrap and the network.
#   --here: on this machine, in a copy of the checkout in a temporary directory, which is removed at the end.
#   --skip: leaves out the commands that the extended regular expression finds, and says so.
# The reader's own file, my.csv, is a copy of the shipped candles.
# There is no terminal and no locale, and the commands read nothing. tests/run.sh alone takes half an hour.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  echo "usage: readme_commands.sh [--skip REGEX] (--here | ROOT [SUITE [MIRROR]])" >&2
  exit 2
}
skip=
if [ "${1-}" = --skip ]; then
  [ $# -ge 3 ] || usage
  skip=$2
  shift 2
fi
[ $# -ge 1 ] || usage

work=$(mktemp -d)
mounted=()
cleanup() {
  local place
  for place in "${mounted[@]}"; do umount --recursive --lazy "$place"; done
  rm -rf "$work"
}
trap cleanup EXIT

# One command a line, where the README breaks a line with a backslash too.
awk '/^```sh$/ { inside = 1; next } /^```/ { inside = 0 } inside && !/^ *(#|$)/' README.md |
  sed -e ':a' -e '/\\$/N; s/ *\\\n */ /; ta' >"$work/commands"
[ -s "$work/commands" ] || {
  echo "readme_commands.sh: README.md has no shell blocks" >&2
  exit 1
}

# What is run where the commands are typed: in one shell, so that cd and variables last.
cat >"$work/follow" <<'END'
cd "$1"
commands=$2 skip=$3 log=$4 typed=0
mapfile -t lines <"$commands"
for line in "${lines[@]}"; do
  printf '\n$ %s\n' "$line"
  if [ -n "$skip" ] && [[ "$line" =~ $skip ]]; then
    echo "    (left out)"
    continue
  fi
  begin=$SECONDS status=0
  eval "$line" >"$log" 2>&1 </dev/null || status=$?
  if [ "$status" -ne 0 ]; then
    tail -n 60 "$log"
    echo "readme_commands: exit status $status after $((SECONDS - begin)) s: $line"
    exit 1
  fi
  tail -n 5 "$log" | sed 's/^/    /'
  echo "    ($((SECONDS - begin)) s)"
  typed=$((typed + 1))
done
echo
echo "readme_commands: $typed of ${#lines[@]} commands succeeded in $SECONDS s"
END

copy() {  # copy DIRECTORY: the checkout, what git ignores left out
  mkdir -p "$1"
  git ls-files -z -co --exclude-standard | xargs -0 cp --parents -t "$1"
  cp examples/data/sp500-daily.csv "$1/my.csv"
}

if [ "$1" = --here ]; then
  [ $# -eq 1 ] || usage
  copy "$work/tsdl"
  env -i HOME="$work" PATH="$PATH" bash "$work/follow" "$work/tsdl" "$work/commands" "$skip" "$work/log"
  exit
fi

root=$1 suite=${2:-bookworm} mirror=${3:-http://deb.debian.org/debian}
[ ! -e "$root" ] || {
  echo "readme_commands.sh: $root exists" >&2
  exit 2
}
debootstrap --variant=minbase "$suite" "$root" "$mirror"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
for place in proc dev; do  # as every running system has them
  mount --rbind "/$place" "$root/$place" && mount --make-rslave "$root/$place" && mounted+=("$root/$place") ||
    echo "readme_commands.sh: no /$place in $root" >&2
done
copy "$root/root/tsdl"
cp "$work/follow" "$work/commands" "$root/tmp"
env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  chroot "$root" bash /tmp/follow /root/tsdl /tmp/commands "$skip" /tmp/log
