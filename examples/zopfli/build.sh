#!/bin/sh
# Fetches zopfli's unmodified upstream source from Debian's source packages and builds zopfli.wasm, byte for byte the committed one, with
# `pip install ziglang==0.17.1`. The source packages are those of this machine's own Debian mirror (apt's settings stay as they are).
# With NATIVE=path it also compiles the same source for this machine. Exits with 77, saying why, where the source or a compiler is missing.
set -eu
cd "$(dirname "$0")"
out=$(realpath -m "${1:-zopfli.wasm}")
version=1.0.3
zig=${ZIG:-python3 -m ziglang}
[ "$($zig version 2>/dev/null)" = 0.17.1 ] || { echo "skipped: needs pip install ziglang==0.17.1"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/lists"
sources=/etc/apt/sources.list.d/debian.sources
[ -f $sources ] || { echo "skipped: no $sources"; exit 77; }
sed 's/^Types: deb$/Types: deb-src/' $sources >"$work/debian.sources"
apt="apt-get -qq -o Dir::Etc::sourcelist=$work/debian.sources -o Dir::Etc::sourceparts=- -o Dir::State::lists=$work/lists -o APT::Sandbox::User=root"
(cd "$work" && $apt update && $apt source --download-only zopfli) >"$work/log" 2>&1 || { echo "skipped: $(tail -1 "$work/log")"; exit 77; }
archive=$work/zopfli_$version.orig.tar.gz
[ -f "$archive" ] || { echo "skipped: this Debian has another version than $version"; exit 77; }
tar xzf "$archive" -C "$work"
cd "$work"/zopfli-*/
$zig cc -target wasm32-wasi -O2 -std=c99 -w -s src/zopfli/*.c -lm -o "$out"
[ -z "${NATIVE:-}" ] || cc -O2 -std=c99 -w -ffp-contract=off src/zopfli/*.c -lm -o "$NATIVE"
