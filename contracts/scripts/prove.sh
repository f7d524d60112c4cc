#!/usr/bin/env bash
# Proves test/symbolic for all inputs, with halmos (`pip install halmos` brings its solver). test.sh
# does not run it: it takes minutes.
#
#   HALMOS=/path/to/halmos scripts/prove.sh [options of halmos]
set -euo pipefail
cd "$(dirname "$0")/.."
# A folder of its own: halmos wants syntax trees, and only what is proven is compiled.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp -r foundry.toml solc-wrapper src "$folder"
rm -r "$folder"/src/{court,machine}
mkdir -p "$folder/test/base"
cp test/base/Vm.sol "$folder/test/base"
cp -r test/symbolic "$folder/test/proofs"
ln -s "$PWD/node_modules" "$folder/node_modules"
ln -s "$(readlink -f node_modules/.bin/forge)" "$folder/forge"
export FOUNDRY_DENY=never FOUNDRY_LINT_LINT_ON_BUILD=false FOUNDRY_OPTIMIZER=true
PATH="$folder:$PATH" "${HALMOS:-halmos}" --root "$folder" --storage-layout solidity \
  --solver-timeout-assertion 0 --loop 4 "$@"
