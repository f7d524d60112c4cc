#!/bin/sh
# Builds pricing.wasm, byte for byte the committed one, with `pip install ziglang==0.17.1` (or ZIG="zig" for any other zig 0.17.1).
set -eu
cd "$(dirname "$0")"
${ZIG:-python3 -m ziglang} cc -target wasm32-wasi -O2 -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -ffp-contract=off -s \
    -Wl,-z,stack-size=65536 pricing.c -o "${1:-pricing.wasm}"
