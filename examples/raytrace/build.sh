#!/bin/sh
# Builds raytrace.wasm, byte for byte the committed one, with the pinned compiler of `pip install ziglang==0.17.1`
# (or any other zig 0.17.1: ZIG=zig ./build.sh). Writes to the path given, else next to the source.
set -eu
cd "$(dirname "$0")"
${ZIG:-python3 -m ziglang} cc -target wasm32-wasi -O3 -std=c11 -Wall -Wextra -Werror -ffp-contract=off -fno-math-errno -s \
    -Wl,-z,stack-size=65536 raytrace.c -o "${1:-raytrace.wasm}"
