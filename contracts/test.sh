#!/usr/bin/env bash
# Everything about the contracts that decides whether a change lands. Fails if anything fails.
set -euo pipefail
cd "$(dirname "$0")"
MAX_MARKET_LINES=700

step() { printf '\n== %s\n' "$1"; }

step "tools"
# The lock file decides; a second run finds everything there.
if ! cmp -s package-lock.json node_modules/.rialto-lock; then
  npm ci
  cp package-lock.json node_modules/.rialto-lock
fi
forge=node_modules/.bin/forge
"$forge" --version | head -n 1

step "format"
"$forge" fmt --check src test

step "lines"
lines=$(wc -l < src/market/Market.sol)
echo "src/market/Market.sol: $lines lines"
if ((lines > MAX_MARKET_LINES)); then
  echo "more than $MAX_MARKET_LINES" >&2
  exit 1
fi

step "vectors"
node scripts/vectors.mjs --check

step "artifacts and sizes"
node scripts/artifacts.mjs --check

step "tests of the committed bytecode, with gas snapshots"
FOUNDRY_PROFILE=artifact RIALTO_ARTIFACT=true FORGE_SNAPSHOT_CHECK=true "$forge" test

if [[ -n "${RIALTO_MUTANTS:-}" ]]; then
  step "mutants"
  node scripts/mutants.mjs --sample "$RIALTO_MUTANTS"
fi
