#!/usr/bin/env node
// Writes vectors/*.json: what Solidity and Rust must both compute. This is a third, plain implementation of the same
// rules, so that neither side checks itself. `--check` writes nothing and fails if what is committed differs.
// The format is described in README.md.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { floats } from "./float.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { keccak256: sha3 } = createRequire(import.meta.url)("js-sha3");
const check = process.argv.includes("--check");

const bytes = (hex) => Buffer.from(hex.slice(2), "hex");
const keccak = (...parts) => `0x${sha3(Buffer.concat(parts.map((it) => (typeof it === "string" ? bytes(it) : it))))}`;
const text = (it) => Buffer.from(it, "utf8");
/** A big-endian integer of so many bytes; negative ones in two's complement. */
const int = (value, size) => bytes(`0x${BigInt.asUintN(size * 8, BigInt(value)).toString(16).padStart(size * 2, "0")}`);
/** Some 32 bytes that depend on a name. */
const some = (name) => keccak(text(name));
const address = (name) => `0x${some(name).slice(26)}`;
const max = (bits) => (1n << BigInt(bits)) - 1n;

// ── EIP-712 ──

/** Fields of a signed struct, read from its Solidity source. */
function fieldsOf(name) {
  const source = readFileSync(join(root, `src/types/${name}.sol`), "utf8");
  const body = source.match(new RegExp(`struct ${name} \\{(.*?)\\n\\}`, "s"))[1];
  return [...body.matchAll(/^ {4}(\w+) (\w+);$/gm)].map(([, type, field]) => ({ type, field }));
}

/** A field whose type is no word of the language is another struct. */
const isStruct = (type) => /^[A-Z]/.test(type);

/** EIP-712 `encodeType`: the struct itself, then those that it uses by name (no two levels of them here). */
function encodeType(name) {
  const one = (it) => `${it}(${fieldsOf(it).map(({ type, field }) => `${type} ${field}`).join(",")})`;
  const used = fieldsOf(name).map(({ type }) => type).filter(isStruct).sort();
  return [name, ...new Set(used)].map(one).join("");
}

function hashStruct(name, value) {
  const words = fieldsOf(name).map(({ type, field }) => (isStruct(type) ? hashStruct(type, value[field]) : word(type, value[field])));
  return keccak(keccak(text(encodeType(name))), ...words);
}

function word(type, value) {
  if (type === "bool") return int(value ? 1 : 0, 32);
  if (type === "bytes32") return bytes(value);
  return int(BigInt(value), 32);
}

function eip712() {
  const domain = {
    name: "Rialto",
    version: "2",
    chainId: "8453",
    verifyingContract: address("market"),
  };
  const separator = keccak(
    keccak(text("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")),
    keccak(text(domain.name)),
    keccak(text(domain.version)),
    int(domain.chainId, 32),
    word("address", domain.verifyingContract),
  );
  const sample = (name, round, path = name) => {
    const value = {};
    for (const { type, field } of fieldsOf(name)) {
      const at = `${path}.${field}`;
      const bits = type.startsWith("uint") ? Number(type.slice(4)) : 256;
      if (isStruct(type)) value[field] = sample(type, round, at);
      else if (type === "bool") value[field] = round !== "zero";
      else if (round === "zero") value[field] = type === "bytes32" ? `0x${"0".repeat(64)}` : type === "address" ? `0x${"0".repeat(40)}` : "0";
      else if (round === "ones") value[field] = type === "bytes32" ? `0x${"f".repeat(64)}` : type === "address" ? `0x${"f".repeat(40)}` : String(max(bits));
      else value[field] = type === "bytes32" ? some(at) : type === "address" ? address(at) : String(BigInt(some(at)) & max(bits));
    }
    return value;
  };
  const vectors = [];
  for (const name of ["Ask", "Limits", "Deal", "Order", "Ack", "Receipt", "Voucher", "Release", "Cancel", "Game", "Move"]) {
    // All different, all zero, all ones: whatever is swapped, cut or extended with a sign shows.
    for (const round of ["different", "zero", "ones"]) {
      const value = sample(name, round);
      const structHash = hashStruct(name, value);
      vectors.push({ type: name, value, structHash, digest: keccak("0x1901", separator, structHash) });
    }
  }
  return { domain, separator, vectors };
}

// ── pricing ──

const result = (value, bits = 128) => (value >= 0n && value <= max(bits) ? { result: String(value) } : {});

function pricing() {
  const price = [];
  const curves = [[50n, 0n], [0n, 50n], [7n, 7n], [0n, max(128)], [max(128), 0n], [6_000_000n, 2_000_001n]];
  for (const [start, end] of curves) {
    for (const [from, to] of [[100n, 110n], [0n, 1n], [0n, max(64)], [1_800_000_000n, 1_800_086_400n]]) {
      const times = [from - 1n, from, from + 1n, (from + to) / 2n, to - 1n, to].filter((it) => it >= 0n && it <= max(64));
      for (const time of new Set(times)) {
        const inside = time >= from && time < to;
        const span = end >= start ? end - start : start - end;
        const travelled = inside ? (span * (time - from)) / (to - from) : 0n;
        price.push({
          priceStart: String(start), priceEnd: String(end), from: String(from), to: String(to), time: String(time),
          ...(inside ? { result: String(end >= start ? start + travelled : start - travelled) } : {}),
        });
      }
    }
  }
  const fee = [];
  for (const [p, taskFee, fuel, tasks] of [
    [0n, 0n, 0n, 1n], [3n, 5n, 10n ** 12n - 1n, 2n], [3n, 5n, 10n ** 12n, 2n], [4_000_000n, 1_000_000n, 10n ** 13n, 65536n],
    [max(128), 0n, 10n ** 12n, 1n], [max(128), 1n, 10n ** 12n, 1n], [max(128), max(128), max(128), 65536n],
    [1n, max(128), 0n, 1n], [1n, max(128), 10n ** 12n, 1n], [123456789n, 987n, 3_141_592_653_589_793n, 1000n],
  ]) {
    fee.push({
      price: String(p), taskFee: String(taskFee), fuel: String(fuel), tasks: String(tasks),
      ...result((p * fuel) / 10n ** 12n + taskFee * tasks),
    });
  }
  const share = [];
  for (const amount of [0n, 1n, 9_999n, 10_000n, 1_000_000_007n, max(128)]) {
    for (const bps of [0n, 1n, 3_000n, 7_000n, 10_000n, 10_001n, max(32)]) {
      share.push({ amount: String(amount), bps: String(bps), ...result((amount * bps) / 10_000n) });
    }
  }
  return { price, fee, share };
}

// ── receipts ──

const outputHash = (output) => {
  let hash = `0x${"0".repeat(64)}`;
  for (let start = 0; start < output.length; start += 32) {
    const leaf = Buffer.alloc(32);
    output.copy(leaf, 0, start, Math.min(start + 32, output.length));
    hash = keccak(hash, leaf);
  }
  return hash;
};
const empty = { hash: `0x${"0".repeat(64)}`, fuel: 0n };
const leafOf = ({ halted, fuel }) => ({ hash: keccak("0x00", halted, int(fuel, 16)), fuel });
const join2 = (l, r) => ({ hash: keccak("0x01", l.hash, int(l.fuel, 16), r.hash, int(r.fuel, 16)), fuel: l.fuel + r.fuel });
const plain = (node) => ({ hash: node.hash, fuel: String(node.fuel) });

/** Levels of the tree over nodes, padded with `padding`. */
function levelsOf(nodes, padding = empty) {
  let level = [...nodes];
  while ((level.length & (level.length - 1)) !== 0) level.push(padding);
  const levels = [level];
  while (level.length > 1) {
    level = level.flatMap((node, i) => (i % 2 === 0 ? [join2(node, level[i + 1])] : []));
    levels.push(level);
  }
  return levels;
}

const proofOf = (levels, index) => levels.slice(0, -1).map((level, depth) => level[(index >> depth) ^ 1]);

function receipt() {
  const outputs = [0, 1, 31, 32, 33, 64, 100].map((length) => {
    const output = Buffer.from(Array.from({ length }, (_, i) => (i * 37 + 1) & 255));
    return { output: `0x${output.toString("hex")}`, outHash: outputHash(output) };
  });
  const halted = [
    { status: 0, exitCode: 0, outHash: outputs[0].outHash, outLen: 0n, fuelLeft: 0n, digest: 0n, fuelLimit: 10n },
    { status: 0, exitCode: 3, outHash: outputs[4].outHash, outLen: 33n, fuelLeft: 4n, digest: 0n, fuelLimit: 10n },
    { status: 1, exitCode: 0, outHash: outputs[1].outHash, outLen: 1n, fuelLeft: -5n, digest: 0n, fuelLimit: 10n },
    { status: 1, exitCode: 0, outHash: some("out"), outLen: max(64), fuelLeft: -(1n << 63n), digest: max(64), fuelLimit: max(64) },
    { status: 0, exitCode: 0xffffffff, outHash: some("out"), outLen: 1n << 40n, fuelLeft: max(63), digest: 1n, fuelLimit: 10n },
  ].map((it) => ({
    status: String(it.status), exitCode: String(it.exitCode), outHash: it.outHash, outLen: String(it.outLen),
    fuelLeft: String(it.fuelLeft), digest: String(it.digest),
    hash: keccak(
      text("rialto-halt"), int(it.status, 1), int(it.exitCode, 4), it.outHash, int(it.outLen, 8), int(it.fuelLeft, 8),
      int(it.digest, 8),
    ),
    fuelLimit: String(it.fuelLimit),
    fuelUsed: String(it.fuelLeft <= 0n ? it.fuelLimit : it.fuelLeft >= it.fuelLimit ? 0n : it.fuelLimit - it.fuelLeft),
  }));

  const tasksOf = (count) =>
    Array.from({ length: count }, (_, i) => ({ halted: some(`task ${i}`), fuel: i === 0 ? max(64) : BigInt(i) * 1_000_000_007n }));
  const trees = [1, 2, 3, 4, 5, 8, 13, 16, 17].map((count) => {
    const tasks = tasksOf(count);
    const levels = levelsOf(tasks.map(leafOf));
    return {
      tasks: tasks.map(({ halted, fuel }) => ({ halted, fuel: String(fuel) })),
      root: plain(levels.at(-1)[0]),
      proofs: tasks.map((_, index) => proofOf(levels, index).map(plain)),
    };
  });

  // What must not verify: the leaf and proof of task 2 of 5, with one thing wrong each.
  const five = tasksOf(5);
  const levels = levelsOf(five.map(leafOf));
  const good = {
    root: plain(levels.at(-1)[0]), tasks: "5", index: "2", halted: five[2].halted, fuel: String(five[2].fuel),
    siblings: proofOf(levels, 2).map(plain),
  };
  const low = levelsOf(five.slice(0, 2).map(leafOf));
  const high = [...low, [low[1][0], empty], [join2(low[1][0], empty)]];
  const fat = levelsOf(five.map(leafOf), { hash: empty.hash, fuel: 1n });
  const odd = levelsOf(five.map(leafOf), { hash: some("padding"), fuel: 0n });
  const refused = [
    { why: "another halted state", ...good, halted: some("other") },
    { why: "another fuel", ...good, fuel: String(five[2].fuel + 1n) },
    { why: "another index", ...good, index: "3" },
    { why: "index beyond the tasks", ...good, index: "5" },
    { why: "another root", ...good, root: { ...good.root, hash: some("other") } },
    { why: "total too high", ...good, root: { ...good.root, fuel: String(BigInt(good.root.fuel) + 1n) } },
    { why: "proof too short", ...good, siblings: good.siblings.slice(0, -1) },
    { why: "proof too long", ...good, siblings: [...good.siblings, plain(empty)] },
    { why: "siblings in another order", ...good, siblings: [...good.siblings].reverse() },
    { why: "a sibling's fuel", ...good, siblings: good.siblings.map((it, i) => (i === 1 ? { ...it, fuel: "1" } : it)) },
    { why: "fuels that overflow", ...good, siblings: good.siblings.map((it) => ({ ...it, fuel: String(max(128)) })) },
    {
      why: "a tree too low for its tasks", ...good, tasks: "4", index: "2", halted: five[0].halted,
      fuel: String(five[0].fuel), root: plain(low[1][0]), siblings: [plain(low[0][1])],
    },
    {
      why: "a tree too high for its tasks", ...good, tasks: "2", index: "0", halted: five[0].halted,
      fuel: String(five[0].fuel), root: plain(high.at(-1)[0]), siblings: [plain(low[0][1]), plain(empty)],
    },
    {
      // The hashes and sums are right, but leaves 5 to 7 are nobody's tasks.
      why: "padding with fuel", ...good, index: "4", halted: five[4].halted, fuel: String(five[4].fuel),
      root: plain(fat.at(-1)[0]), siblings: proofOf(fat, 4).map(plain),
    },
    {
      // No fuel, but not nothing either: leaf 5 is the sibling.
      why: "a padding leaf with a hash", ...good, index: "4", halted: five[4].halted, fuel: String(five[4].fuel),
      root: plain(odd.at(-1)[0]), siblings: proofOf(odd, 4).map(plain),
    },
    {
      // Leaf 5 is empty, the node over leaves 6 and 7 is not.
      why: "a padding node with a hash", ...good, index: "4", halted: five[4].halted, fuel: String(five[4].fuel),
      ...(([leaf, node, left]) => {
        const right = join2(join2(leafOf(five[4]), leaf), node);
        return { root: plain(join2(left, right)), siblings: [leaf, node, left].map(plain) };
      })([empty, { hash: some("padding"), fuel: 0n }, proofOf(levels, 4)[2]]),
    },
  ];
  return { outputs, halted, trees, refused };
}

mkdirSync(join(root, "vectors"), { recursive: true });
const stale = [];
for (const [name, value] of Object.entries({ eip712: eip712(), pricing: pricing(), receipt: receipt(), float: floats() })) {
  const path = join(root, `vectors/${name}.json`);
  const json = `${JSON.stringify(value, null, 1)}\n`;
  if (!check) writeFileSync(path, json);
  else if (!existsSync(path) || readFileSync(path, "utf8") !== json) stale.push(`${name}.json`);
}
if (stale.length > 0) {
  console.error(`vectors are stale: ${stale.join(", ")}; run node scripts/vectors.mjs and commit`);
  process.exitCode = 1;
}
