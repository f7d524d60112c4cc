#!/bin/sh
# Builds kernels.wasm, byte for byte the committed one, with `pip install ziglang==0.17.1`.
set -eu
cd "$(dirname "$0")"
${ZIG:-python3 -m ziglang} cc -target wasm32-wasi -O2 -std=c11 -Wall -Wextra -Werror -s -Wl,-z,stack-size=65536 kernels.c -o "${1:-kernels.wasm}"
