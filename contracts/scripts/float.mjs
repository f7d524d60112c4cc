// The floats of vectors/float.json by JavaScript's own arithmetic, which is the processor's: binary64 as it is; binary32 as
// binary64 rounded once more, which is exact for + − × ÷ √ (binary64 has more than twice the bits).

const view = new DataView(new ArrayBuffer(8));
const NARROW_NAN = 0x7fc00000n;
const WIDE_NAN = 0x7ff8000000000000n;

function decode(wide, bits) {
  view.setBigUint64(0, wide ? bits : (bits & 0xffffffffn) << 32n);
  return wide ? view.getFloat64(0) : view.getFloat32(0);
}

/** Bits of a number in this format, rounded to it; NaNs are canonical. */
function encode(wide, value) {
  if (Number.isNaN(value)) return wide ? WIDE_NAN : NARROW_NAN;
  if (wide) view.setFloat64(0, value);
  else view.setFloat32(0, value);
  return wide ? view.getBigUint64(0) : BigInt(view.getUint32(0));
}

function nearest(x) {
  const down = Math.floor(x);
  // −0 and what has no fraction stay; elsewhere ties go to the even one.
  if (down === x || Number.isNaN(x)) return x;
  const rest = x - down;
  const rounded = rest > 0.5 || (rest === 0.5 && down % 2 !== 0) ? down + 1 : down;
  return rounded === 0 && x < 0 ? -0 : rounded;
}

/** `kind`: bit 0 unsigned, bit 1 64 bits. Null: trap. */
function toInt(kind, saturating, x) {
  const bits = kind & 2 ? 64 : 32;
  if (Number.isNaN(x)) return saturating ? 0n : null;
  const [low, high] = kind & 1 ? [0n, (1n << BigInt(bits)) - 1n] : [-(1n << BigInt(bits - 1)), (1n << BigInt(bits - 1)) - 1n];
  const whole = Number.isFinite(x) ? BigInt(Math.trunc(x)) : x > 0 ? high + 1n : low - 1n;
  if (whole >= low && whole <= high) return BigInt.asUintN(bits, whole);
  return saturating ? BigInt.asUintN(bits, whole < low ? low : high) : null;
}

function fromInt(kind, wide, a) {
  const bits = kind & 2 ? 64 : 32;
  let value = kind & 1 ? BigInt.asUintN(bits, a) : BigInt.asIntN(bits, a);
  if (!wide) {
    // To odd in 53 bits first: then the second rounding sees what the first dropped.
    const size = value < 0n ? -value : value;
    const odd = size >> 53n ? ((size >> 12n) << 12n) | (size & 0xfffn ? 0x800n : 0n) : size;
    value = value < 0n ? -odd : odd;
  }
  return encode(wide, Number(value));
}

/** Result of an operation on bits, as `compute` in src/FloatUnit.sol; null: trap. */
export function compute(op, wide, a, b) {
  const [x, y] = [decode(op === 27 ? !wide : wide, a), decode(wide, b)];
  const to = (value) => encode(wide, value);
  const flag = (value) => (value ? 1n : 0n);
  if (op >= 15 && op < 19) return toInt(op - 15, false, x);
  if (op >= 19 && op < 23) return toInt(op - 19, true, x);
  if (op >= 23 && op < 27) return fromInt(op - 23, wide, a);
  switch (op) {
    case 0: return flag(x === y);
    case 1: return flag(x !== y);
    case 2: return flag(x < y);
    case 3: return flag(x <= y);
    case 4: return to(x + y);
    case 5: return to(x - y);
    case 6: return to(x * y);
    case 7: return to(x / y);
    // JavaScript's own tell −0 from +0, and give NaN for NaN.
    case 8: return to(Math.min(x, y));
    case 9: return to(Math.max(x, y));
    case 10: return to(Math.sqrt(x));
    case 11: return to(Math.ceil(x));
    case 12: return to(Math.floor(x));
    case 13: return to(Math.trunc(x));
    case 14: return to(nearest(x));
    case 27: return to(x);
    default: return null;
  }
}

/** Values around every boundary of a format with this many bits of fraction and exponent. */
function boundaries(fraction, exponent) {
  const [f, e] = [BigInt(fraction), BigInt(exponent)];
  const one = ((1n << (e - 1n)) - 1n) << f;
  const ulp = 1n << f;
  const inf = ((1n << e) - 1n) << f;
  const magnitudes = [
    0n, 1n, ulp - 1n, ulp, ulp + 1n, one - 1n, one, one + 1n, one + (ulp >> 1n), one + 3n * (ulp >> 2n), one + ulp,
    one + (3n * ulp) / 2n, one + f * ulp + 1n, one + (f + 1n) * ulp, one + 31n * ulp - 1n, one + 31n * ulp,
    one + 32n * ulp, one + 63n * ulp - 1n, one + 63n * ulp, one + 64n * ulp - 1n, one + 64n * ulp, inf - 1n, inf, inf + 1n,
    inf | (ulp >> 1n), inf | (ulp - 1n), one - ulp, one - 2n * ulp + 5n, one - (f + 1n) * ulp, 0x1234567n,
  ];
  return magnitudes.flatMap((it) => [it, it | (1n << (e + f))]);
}

/** All operations on these values: one operand by each value, two by each value and every seventh one. */
export function floats() {
  const values = { narrow: boundaries(23, 8), wide: boundaries(52, 11) };
  const integers = [0n, 1n, 2n, 3n, 0x7fffffffn, 0x80000000n, 0x80000001n, 0xffffffffn, 0x1000001n, 0x1000003n]
    .concat([24n, 25n, 31n, 32n, 52n, 53n, 54n, 62n, 63n].flatMap((it) => [(1n << it) - 1n, 1n << it, (1n << it) + 1n]))
    .flatMap((it) => [it, BigInt.asUintN(64, -it)]);
  const results = [];
  for (let op = 0; op < 28; ++op) {
    for (const wide of [false, true]) {
      const own = wide ? values.wide : values.narrow;
      const other = wide ? values.narrow : values.wide;
      const first = op >= 23 && op < 27 ? integers : op === 27 ? other : own;
      const second = op < 10 ? own.filter((_, i) => i % 7 === 0) : [0n];
      let [words, traps] = ["", ""];
      for (const a of first) {
        for (const b of second) {
          const result = compute(op, wide, a, b);
          words += (result ?? 0n).toString(16).padStart(wide || op >= 15 ? 16 : 8, "0");
          traps += result === null ? "01" : "00";
        }
      }
      results.push({ op: String(op), wide, results: `0x${words}`, traps: `0x${traps.includes("1") ? traps : ""}` });
    }
  }
  const hex = (list) => `0x${list.map((it) => it.toString(16).padStart(16, "0")).join("")}`;
  return { narrow: hex(values.narrow), wide: hex(values.wide), integers: hex(integers), results };
}
