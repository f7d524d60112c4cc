#!/usr/bin/env node
// Writes artifacts/*.json (ABI and bytecode, all that Rust reads) from the release build.
// `--check` writes nothing and fails if what is committed differs.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const contracts = ["Court", "FloatUnit", "ICourt", "IMarket", "IStepUnit", "Market", "StepUnit", "TestToken"];
// EIP-170.
const MAX_BYTES = 24576;
const check = process.argv.includes("--check");

execFileSync(join(root, "node_modules/.bin/forge"), ["build", "src", "--force"], {
  cwd: root,
  env: { ...process.env, FOUNDRY_PROFILE: "release" },
  stdio: ["ignore", "inherit", "inherit"],
});

mkdirSync(join(root, "artifacts"), { recursive: true });
const stale = readdirSync(join(root, "artifacts")).filter((file) => !contracts.includes(file.replace(/\.json$/, "")));
for (const name of contracts) {
  const built = JSON.parse(readFileSync(join(root, `out/release/${name}.sol/${name}.json`), "utf8"));
  const artifact = {
    contractName: name,
    abi: built.abi,
    bytecode: built.bytecode.object,
    deployedBytecode: built.deployedBytecode.object,
  };
  const text = `${JSON.stringify(artifact, null, 2)}\n`;
  const path = join(root, `artifacts/${name}.json`);
  if (!check) writeFileSync(path, text);
  else if (!existsSync(path) || readFileSync(path, "utf8") !== text) stale.push(`${name}.json`);
  const size = (artifact.deployedBytecode.length - 2) / 2;
  if (size > 0) console.log(`${name}: ${size} bytes`);
  if (size >= MAX_BYTES) {
    console.error(`${name} is too large: EIP-170 allows less than ${MAX_BYTES} bytes`);
    process.exitCode = 1;
  }
}
if (check && stale.length > 0) {
  console.error(`artifacts are stale: ${stale.join(", ")}; run node scripts/artifacts.mjs and commit`);
  process.exitCode = 1;
}
