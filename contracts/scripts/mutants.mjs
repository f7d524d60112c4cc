#!/usr/bin/env node
// Mutation testing of what judges and of what holds the money. One operator, comparison or constant
// of a source is changed at a time, and some test must fail: those of test/machine for StepUnit,
// FloatUnit and Integers, those of test/*.t.sol and test/court for market and court. Works on copies
// in a temporary folder; this tree stays as it is.
//
//   node scripts/mutants.mjs [--group machine|money] [--file Market] [--keys FILE] [--jobs N]
//                            [--sample N] [--seed S] [--skip N] [--list]
//
// `--keys` tries those whose key is part of a line of the file, such as what an earlier run printed.
//
// The seed draws the sample; `--skip` leaves out those that were drawn before. Prints each mutant with
// what became of it: killed (and by which test), SURVIVED, known (it survives, and
// scripts/survivors.txt says why it may), same (the compiler makes the same of it), invalid (does not
// compile). Fails if one survives that is not known, and if survivors.txt names one that is not there.
import { execFile, execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Worker, isMainThread, parentPort } from "node:worker_threads";

const run = promisify(execFile);
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const GROUPS = {
  machine: ["StepUnit", "FloatUnit", "Integers"],
  money: [
    ...["Market", "Accounts", "Tokens", "Court"],
    ...["Constants", "Halted", "Pricing", "Signatures", "SumTree"],
  ],
};
const FILES = Object.values(GROUPS).flat();

// Stages: which tests look at a mutant, and with how many cases of a fuzzed one. A mutant ends at the
// first stage that kills it, so each file begins with the tests that most likely do.
const MARKET_TESTS = "Accounts|Claim|Court|Demand|Late|Limits|Logs|Open|Payment|Signatures";
const COURT_TESTS = "Attacks|Bonds|Clocks|Delegates|Faults|Games";
const machine = (tests) => [[tests, 64], [tests, 1000]];
const money = (first) => [
  [first, 4],
  [`${MARKET_TESTS}|${COURT_TESTS}|Trees`, 64],
];
/** Which bytecodes a file's mutants are in, and its stages. */
const UNITS = {
  StepUnit: [["StepUnit"], machine("StepUnit")],
  Integers: [["StepUnit"], machine("StepUnit")],
  FloatUnit: [["FloatUnit"], machine("FloatUnit|StepUnit")],
  Market: [["Market"], money(MARKET_TESTS)],
  Accounts: [["Market"], money(MARKET_TESTS)],
  Tokens: [["Market"], money(MARKET_TESTS)],
  Court: [["Court"], money(COURT_TESTS)],
  Constants: [["Market", "Court"], money(`${MARKET_TESTS}|Bonds`)],
  Halted: [["Market", "Court"], money("Demand|Faults")],
  Pricing: [["Market", "Court"], money(MARKET_TESTS)],
  Signatures: [["Market", "Court"], money("Signatures|Open|Payment")],
  SumTree: [["Market", "Court"], money("Demand|Faults|Games|Trees")],
};
const MINUTES = 10;

// ─────────────────────────────────────────────── mutants ────────────────────────────────────────────────

const OPERATORS = {
  "+": ["-"], "-": ["+"], "*": ["/"], "/": ["*"], "%": ["/"],
  "<<": [">>"], ">>": ["<<"], "&": ["|"], "|": ["&"], "^": ["&"],
  "<": ["<=", ">="], "<=": ["<", ">"], ">": [">=", "<="], ">=": [">", "<"],
  "==": ["!="], "!=": ["=="], "&&": ["||"], "||": ["&&"], "!": [""], "~": [""],
  "++": ["--"], "--": ["++"], "+=": ["-="], "-=": ["+="], "|=": ["&="], "&=": ["|="], ">>=": ["<<="], "<<=": [">>="],
};
/** Of assembly. */
const WORDS = {
  add: "sub", sub: "add", shl: "shr", shr: "shl", and: "or", or: "and", xor: "and", lt: "gt", gt: "lt", signextend: "byte",
};
const TOKEN = /\/\/.*|\/\*[^]*?\*\/|"[^"\n]*"|0x[0-9a-fA-F_]+|\d[\d_]*|[A-Za-z_$][\w$]*|>>=|<<=|=>|[<>]=|[=!]=|<<|>>|&&|\|\||\+\+|--|[-+*/%&|^]=|\s+|[^]/g;

/** A number as long as it was. */
function literal(text, value) {
  return text.startsWith("0x") ? `0x${value.toString(16).padStart(text.length - 2, "0")}` : value.toString();
}

function numbers(text) {
  const value = BigInt(text.replaceAll("_", ""));
  return value === 0n ? [literal(text, 1n)] : [literal(text, value + 1n), literal(text, value - 1n)];
}

/** Of a hex string each byte by itself. */
function bytes(text) {
  const inner = text.slice(1, -1);
  return Array.from({ length: inner.length / 2 }, (_, i) => {
    const byte = Number.parseInt(inner.slice(2 * i, 2 * i + 2), 16) ^ 1;
    return `"${inner.slice(0, 2 * i)}${byte.toString(16).padStart(2, "0")}${inner.slice(2 * i + 2)}"`;
  });
}

/** All mutants of a source: where, what instead, and a key that stays the same when lines move. */
function mutantsOf(file, source) {
  const mutants = [];
  const lines = source.split("\n");
  const seen = new Map();
  let [at, line, assembly, statement] = [0, 1, false, ""];
  let before = "";
  for (const [token] of source.matchAll(TOKEN)) {
    const blank = /^\s/.test(token) || token.startsWith("//") || token.startsWith("/*");
    if (!blank) {
      if ([";", "{", "}"].includes(token)) statement = "";
      else if (statement === "") statement = token;
      if (token === "assembly") assembly = true;
      // No assembly here has a block that is followed by something of its own.
      if (token === "function") assembly = false;
      let others = [];
      if (["pragma", "import"].includes(statement)) others = [];
      else if (/^\d/.test(token)) others = numbers(token);
      else if (token.startsWith('"') && before === "hex") others = bytes(token);
      else if (token === "-" && /^([-+*/%&|^<>=(,?:!~]|[<>=!]=|<<|>>|&&|\|\||return)$/.test(before)) others = [""];
      else if (token === "true" || token === "false") others = [token === "true" ? "false" : "true"];
      else if (assembly && WORDS[token] && source[at + token.length] === "(") others = [WORDS[token]];
      else if (Object.hasOwn(OPERATORS, token)) others = OPERATORS[token];
      for (const other of others) {
        const text = lines[line - 1].trim();
        const change = `${token} → ${other || "nothing"}`;
        const count = (seen.get(`${text}|${change}`) ?? 0) + 1;
        seen.set(`${text}|${change}`, count);
        mutants.push({ file, line, at, token, other, key: `${file} | ${text} | ${change} | ${count}` });
      }
      // What a condition guards, never done.
      if (token === "if") {
        const end = closing(source, source.indexOf("(", at));
        const text = lines[line - 1].trim();
        const count = (seen.get(`${text}|if`) ?? 0) + 1;
        seen.set(`${text}|if`, count);
        const key = `${file} | ${text} | if → never | ${count}`;
        mutants.push({ file, line, at, token: source.slice(at, end), other: "if (NEVER())", key });
      }
      before = token;
    }
    at += token.length;
    line += token.split("\n").length - 1;
  }
  return mutants;
}

function closing(source, from) {
  for (let [at, open] = [from, 0]; ; ++at) {
    if (source[at] === "(") ++open;
    if (source[at] === ")" && --open === 0) return at + 1;
  }
}

function mutated(source, { at, token, other }) {
  const text = source.slice(0, at) + (other === "if (NEVER())" ? "if (address(0) == address(1))" : other) + source.slice(at + token.length);
  return text;
}

// ─────────────────────────────────────────────── compiling ──────────────────────────────────────────────

/** By contract or library: the path of its source. */
const PATHS = Object.fromEntries(
  readdirSync(join(root, "src"), { recursive: true })
    .filter((it) => it.endsWith(".sol"))
    .map((it) => [basename(it, ".sol"), `src/${it}`]),
);

async function compiler() {
  const { default: solc } = await import(join(root, "node_modules/solc/index.js"));
  return (sources, name, optimized) => {
    const path = PATHS[name];
    const settings = {
      evmVersion: "prague",
      optimizer: { enabled: optimized, runs: 200 },
      metadata: { bytecodeHash: "none", appendCBOR: false },
      outputSelection: { [path]: { [name]: ["evm.bytecode.object"] } },
    };
    const input = Object.entries(sources).map(([at, content]) => [at, { content }]);
    const request = { language: "Solidity", sources: Object.fromEntries(input), settings };
    const output = JSON.parse(solc.compile(JSON.stringify(request)));
    // What does not fit on the stack only without via-IR does not compile either.
    return `0x${output.contracts?.[path]?.[name]?.evm.bytecode.object ?? ""}`;
  };
}

if (!isMainThread) {
  const compile = await compiler();
  parentPort.on("message", ({ sources, name, optimized }) => {
    parentPort.postMessage(compile(sources, name, optimized));
  });
}

// ──────────────────────────────────────────────── testing ───────────────────────────────────────────────

/** A copy of this folder in which the tests use the bytecode that is put there, and a compiler of its own. */
class Bench {
  constructor(folder, original) {
    this.folder = folder;
    this.original = original;
    this.worker = new Worker(fileURLToPath(import.meta.url));
  }

  compile(sources, name, optimized) {
    this.worker.postMessage({ sources, name, optimized });
    return new Promise((resolve) => this.worker.once("message", resolve));
  }

  put(name, bytecode) {
    writeFileSync(join(this.folder, `artifacts/${name}.json`), JSON.stringify({ contractName: name, bytecode }));
  }

  /** The test that fails; none if all pass. */
  async test(only, runs, seed) {
    // Gas and size are not what mutants are about.
    const args = ["test", "--fail-fast", "--mc", `^(${only})(Start)?Test$`];
    args.push("--no-match-test", "size|gas", "--fuzz-seed", String(seed));
    const env = {
      ...process.env,
      RIALTO_ARTIFACT: "true",
      FOUNDRY_FUZZ_RUNS: String(runs),
      FOUNDRY_DENY: "never",
    };
    try {
      await run(join(root, "node_modules/.bin/forge"), args, { cwd: this.folder, env, timeout: MINUTES * 60_000, maxBuffer: 1 << 28 });
      return null;
    } catch (error) {
      if (error.killed) return "time";
      const test = /\[FAIL[^]*?\] (\w+)\(/.exec(error.stdout ?? "");
      if (!test) throw error;
      return test[1];
    }
  }

  /** Without the optimizer a mutant compiles in a fifth of the time. */
  async judge(sources, mutant, seed) {
    const [names, stages] = UNITS[mutant.file];
    const path = PATHS[mutant.file];
    const changed = { ...sources, [path]: mutated(sources[path], mutant) };
    const bytecodes = [];
    for (const name of names) bytecodes.push([name, await this.compile(changed, name, false)]);
    if (bytecodes.some(([, bytecode]) => bytecode === "0x")) return ["invalid"];
    for (const [name, bytecode] of bytecodes) this.put(name, bytecode);
    try {
      for (const [only, runs] of stages) {
        const test = await this.test(only, runs, seed);
        if (test) return ["killed", test];
      }
    } finally {
      for (const name of names) this.put(name, this.original[name]);
    }
    // The optimizer tells that nothing has changed.
    for (const name of names) {
      const original = await this.compile(sources, name, true);
      if ((await this.compile(changed, name, true)) !== original) return ["SURVIVED"];
    }
    return ["same"];
  }
}

/** Mutants in an order that the seed decides. */
function shuffled(mutants, seed) {
  const rank = (it) => createHash("sha256").update(`${seed} ${it.key}`).digest("hex");
  return mutants.map((it) => [rank(it), it]).sort(([a], [b]) => (a < b ? -1 : 1)).map(([, it]) => it);
}

async function main() {
  const option = (name) => (process.argv.includes(name) ? process.argv[process.argv.indexOf(name) + 1] : undefined);
  const [file, seed] = [option("--file"), option("--seed") ?? "1"];
  const chosen = option("--keys") && readFileSync(option("--keys"), "utf8").split("\n");
  const sources = Object.fromEntries(
    Object.values(PATHS).map((path) => [path, readFileSync(join(root, path), "utf8")]),
  );
  const known = new Map();
  for (const text of readFileSync(join(root, "scripts/survivors.txt"), "utf8").split("\n")) {
    const [key, why] = text.split(" # ");
    if (why) known.set(key.trim(), why);
  }
  const keys = new Set(FILES.flatMap((it) => mutantsOf(it, sources[PATHS[it]]).map(({ key }) => key)));
  const stale = [...known.keys()].filter((it) => !keys.has(it)).join("\n");
  if (stale) throw new Error(`survivors.txt names what is not there:\n${stale}`);
  let mutants = (GROUPS[option("--group")] ?? FILES)
    .filter((it) => !file || file.split(",").includes(it))
    .flatMap((it) => mutantsOf(it, sources[PATHS[it]]))
    .filter(({ key }) => !chosen || chosen.some((it) => it.includes(key)));
  const all = mutants.length;
  const skipped = Number(option("--skip") ?? 0);
  mutants = shuffled(mutants, seed).slice(skipped, skipped + Number(option("--sample") ?? all));
  console.log(`${mutants.length} of ${all} mutants, seed ${seed}`);
  if (process.argv.includes("--list")) {
    mutants.forEach((it) => console.log(it.key));
    return;
  }

  const compile = await compiler();
  const names = [...new Set(mutants.flatMap((it) => UNITS[it.file][0]))];
  const original = Object.fromEntries(names.map((name) => [name, compile(sources, name, false)]));
  const temporary = mkdtempSync(join(tmpdir(), "rialto-mutants-"));
  for (const signal of ["SIGINT", "SIGTERM"]) {
    process.once(signal, () => {
      rmSync(temporary, { recursive: true, force: true });
      process.exit(1);
    });
  }
  const benches = [];
  const tally = {};
  try {
    const first = join(temporary, "0");
    // Neither gas nor long searches are what mutants are about.
    const judges = mutants.every((it) => GROUPS.machine.includes(it.file));
    const unwanted = judges
      ? /^(node_modules|out|cache|test\/(court|invariants)|test\/[A-Z]\w+\.t\.sol)$/
      : /^(node_modules|out|cache|test\/(invariants|machine|symbolic)|test\/(Gas|Vectors)\.t\.sol|test\/court\/Court(Gas|Invariants)\.t\.sol|test\/court\/CourtHandler\.sol)$/;
    cpSync(root, first, { recursive: true, filter: (path) => !unwanted.test(path.slice(root.length + 1)) });
    symlinkSync(join(root, "node_modules"), join(first, "node_modules"));
    const env = { ...process.env, FOUNDRY_DENY: "never" };
    execFileSync(join(root, "node_modules/.bin/forge"), ["build"], { cwd: first, env, stdio: "ignore" });
    // Each test asks for the compiler's version, and for nothing else of it: that need not start it.
    const version = execFileSync(join(root, "solc-wrapper"), ["--version"], { encoding: "utf8" });
    writeFileSync(join(first, "solc-wrapper"), `#!/bin/sh\ncat <<'END'\n${version}END\n`);
    for (let i = 0; i < Math.min(Number(option("--jobs") ?? availableParallelism()), mutants.length); ++i) {
      const folder = join(temporary, String(i));
      if (i > 0) cpSync(first, folder, { recursive: true, verbatimSymlinks: true });
      benches.push(new Bench(folder, original));
      for (const name of Object.keys(original)) benches[i].put(name, original[name]);
    }
    for (const only of new Set(mutants.map((it) => UNITS[it.file][1].at(-1)[0]))) {
      const fails = await benches[0].test(only, 64, 1);
      if (fails) throw new Error(`${fails} fails without a mutant`);
    }
    const queue = [...mutants];
    await Promise.all(
      benches.map(async (bench) => {
        for (let mutant = queue.shift(); mutant; mutant = queue.shift()) {
          let [outcome, test] = await bench.judge(sources, mutant, 1);
          if (outcome === "SURVIVED" && known.has(mutant.key)) outcome = "known";
          tally[outcome] = (tally[outcome] ?? 0) + 1;
          console.log(`${outcome.padEnd(8)} ${mutant.key} (line ${mutant.line})${test ? `: ${test}` : ""}`);
        }
      }),
    );
  } finally {
    await Promise.all(benches.map((bench) => bench.worker.terminate()));
    rmSync(temporary, { recursive: true, force: true });
  }
  console.log(Object.entries(tally).map(([outcome, count]) => `${count} ${outcome}`).join(", "));
  if (tally.SURVIVED) process.exitCode = 1;
}

if (isMainThread) await main();
