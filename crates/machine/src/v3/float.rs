//! The machine's floats: IEEE 754 binary32 and binary64, round to nearest even, canonical NaN
//! results. Every operation is total.
//!
//! [`compute`] mirrors `contracts/src/machine/FloatUnit.sol`, function by function; keep them
//! alike. [`native`] computes the same with the processor's floats, for speed. Tests hold both
//! equal (`crates/machine/tests/float.rs`).
//!
//! A finite value is ±m·2^e. Every operation computes an exact m, or one whose lowest bit says that
//! bits below it are missing (sticky), and rounds once. No m has more than 127 bits and no e more
//! than 13, so nothing overflows.

/// Operations. The format (`wide`: binary64, else binary32) is that of the result. For comparisons
/// and conversions to integers it is that of the operand. Any other number is a trap.
pub mod fp {
    #![allow(missing_docs)] // named as in WebAssembly
    pub const EQ: u8 = 0;
    pub const NE: u8 = 1;
    pub const LT: u8 = 2;
    pub const LE: u8 = 3;
    pub const ADD: u8 = 4;
    pub const SUB: u8 = 5;
    pub const MUL: u8 = 6;
    pub const DIV: u8 = 7;
    pub const MIN: u8 = 8;
    pub const MAX: u8 = 9;
    pub const SQRT: u8 = 10;
    pub const CEIL: u8 = 11;
    pub const FLOOR: u8 = 12;
    pub const TRUNC: u8 = 13;
    pub const NEAREST: u8 = 14;
    /// To i32 signed, i32 unsigned, i64 signed, i64 unsigned: traps on NaN and out of range.
    pub const TO_INT: u8 = 15;
    /// The same, saturating; NaN is 0.
    pub const TO_INT_SAT: u8 = 19;
    /// From i32 signed, i32 unsigned, i64 signed, i64 unsigned.
    pub const FROM_INT: u8 = 23;
    /// From the other format: f32.demote_f64, or wide f64.promote_f32.
    pub const RESIZE: u8 = 27;

    /// Number of operations.
    pub const COUNT: u8 = 28;
}

/// Bits of a format: those of its significand, with the hidden bit, and those of its exponent.
#[derive(Clone, Copy)]
struct Format {
    precision: u32,
    exponent: u32,
}

const NARROW: Format = Format { precision: 24, exponent: 8 };
const WIDE: Format = Format { precision: 53, exponent: 11 };

/// Returns the result of an operation ([`fp`]) on the low bits of `a` and `b`, as many as its
/// operands have. `None` is a trap, also for an unknown operation. Uses integers only.
pub fn compute(op: u8, wide: bool, a: u64, b: u64) -> Option<u64> {
    let format = if wide { WIDE } else { NARROW };
    let (a, b) = (u128::from(a), u128::from(b));
    let value = match op {
        fp::EQ..=fp::LE => compare(op, format, a, b).into(),
        fp::ADD => add(format, a, b),
        fp::SUB => add(format, a, b ^ format.sign_bit()),
        fp::MUL => mul(format, a, b),
        fp::DIV => div(format, a, b),
        fp::MIN | fp::MAX => extreme(op, format, a, b),
        fp::SQRT => sqrt(format, a),
        fp::CEIL..=fp::NEAREST => integral(op, format, a),
        fp::TO_INT..fp::TO_INT_SAT => to_int(op - fp::TO_INT, false, format, a)?,
        fp::TO_INT_SAT..fp::FROM_INT => to_int(op - fp::TO_INT_SAT, true, format, a)?,
        fp::FROM_INT..fp::RESIZE => from_int(op - fp::FROM_INT, format, a),
        fp::RESIZE => resize(if wide { NARROW } else { WIDE }, format, a),
        _ => return None,
    };
    Some(value as u64)
}

// ─────────────────────────────────────────────── formats
// ────────────────────────────────────────────────

impl Format {
    /// Infinity: an exponent of ones only.
    fn infinity(self) -> u128 {
        ((1 << self.exponent) - 1) << (self.precision - 1)
    }

    fn nan(self) -> u128 {
        self.infinity() | 1 << (self.precision - 2)
    }

    fn sign_bit(self) -> u128 {
        1 << (self.precision + self.exponent - 1)
    }

    /// Splits off the sign.
    fn split(self, bits: u128) -> (bool, u128) {
        let bit = self.sign_bit();
        (bits & bit != 0, bits & (bit - 1))
    }

    fn sign(self, negative: bool, magnitude: u128) -> u128 {
        if negative { self.sign_bit() | magnitude } else { magnitude }
    }

    /// Exponent of the lowest bit of a subnormal.
    fn least(self) -> i32 {
        3 - (1 << (self.exponent - 1)) - self.precision as i32
    }

    /// Returns m and e of a finite magnitude.
    fn unpack(self, magnitude: u128) -> (u128, i32) {
        let field = (magnitude >> (self.precision - 1)) as i32;
        let hidden = 1 << (self.precision - 1);
        let m = magnitude & (hidden - 1);
        if field == 0 { (m, self.least()) } else { (m | hidden, self.least() + field - 1) }
    }

    /// Returns the float nearest to ±m·2^e, ties to even.
    fn round(self, negative: bool, m: u128, e: i32) -> u128 {
        if m == 0 {
            return self.sign(negative, 0);
        }
        let lowest = (e + bit_length(m) - self.precision as i32).max(self.least());
        let kept = shift_half_even(m, lowest - e);
        // The hidden bit adds one to the exponent field, and so does a carry out of the
        // significand.
        let magnitude = (((lowest - self.least()) as u128) << (self.precision - 1)) + kept;
        self.sign(negative, magnitude.min(self.infinity()))
    }
}

// ────────────────────────────────────────────── functions
// ───────────────────────────────────────────────

fn compare(op: u8, format: Format, a: u128, b: u128) -> bool {
    let ((na, ma), (nb, mb)) = (format.split(a), format.split(b));
    if ma > format.infinity() || mb > format.infinity() {
        return op == fp::NE;
    }
    let ka = if na { -(ma as i128) } else { ma as i128 };
    let kb = if nb { -(mb as i128) } else { mb as i128 };
    match op {
        fp::EQ => ka == kb,
        fp::NE => ka != kb,
        fp::LT => ka < kb,
        _ => ka <= kb,
    }
}

fn extreme(op: u8, format: Format, a: u128, b: u128) -> u128 {
    let ((na, ma), (nb, mb)) = (format.split(a), format.split(b));
    if ma > format.infinity() || mb > format.infinity() {
        return format.nan();
    }
    // −0 is less than +0.
    let less = match (na, nb) {
        (true, true) => ma > mb,
        (false, false) => ma < mb,
        _ => na,
    };
    if less == (op == fp::MIN) { format.sign(na, ma) } else { format.sign(nb, mb) }
}

fn add(format: Format, a: u128, b: u128) -> u128 {
    let ((mut na, mut ma), (mut nb, mut mb)) = (format.split(a), format.split(b));
    let infinity = format.infinity();
    if ma > infinity || mb > infinity || (ma == infinity && mb == infinity && na != nb) {
        return format.nan();
    }
    if ma == infinity {
        return format.sign(na, ma);
    }
    if mb == infinity {
        return format.sign(nb, mb);
    }
    let both_negative = na && nb;
    // The greater magnitude has an exponent at least as great.
    if ma < mb {
        (na, ma, nb, mb) = (nb, mb, na, ma);
    }
    let (mut h, eh) = format.unpack(ma);
    let (mut l, mut e) = format.unpack(mb);
    if eh - e > 64 {
        // The smaller operand is far below the last bit, so only its sticky bit counts.
        h <<= 64;
        l = (l != 0).into();
        e = eh - 64;
    } else {
        h <<= eh - e;
    }
    let m = if na == nb { h + l } else { h - l };
    // An exact zero is −0 only if both operands are negative.
    format.round(if m == 0 { both_negative } else { na }, m, e)
}

fn mul(format: Format, a: u128, b: u128) -> u128 {
    let ((na, ma), (nb, mb)) = (format.split(a), format.split(b));
    let infinity = format.infinity();
    if ma > infinity || mb > infinity || (ma == infinity && mb == 0) || (ma == 0 && mb == infinity)
    {
        return format.nan();
    }
    if ma == infinity || mb == infinity {
        return format.sign(na != nb, infinity);
    }
    let ((x, ex), (y, ey)) = (format.unpack(ma), format.unpack(mb));
    format.round(na != nb, x * y, ex + ey)
}

fn div(format: Format, a: u128, b: u128) -> u128 {
    let ((na, ma), (nb, mb)) = (format.split(a), format.split(b));
    let infinity = format.infinity();
    if ma > infinity || mb > infinity || (ma == mb && (ma == 0 || ma == infinity)) {
        return format.nan();
    }
    if ma == infinity || mb == 0 {
        return format.sign(na != nb, infinity);
    }
    if ma == 0 || mb == infinity {
        return format.sign(na != nb, 0);
    }
    let ((x, ex), (y, ey)) = (format.unpack(ma), format.unpack(mb));
    // The quotient has at least 127 − 53 bits.
    let shift = 127 - bit_length(x);
    let x = x << shift;
    format.round(na != nb, (x / y) | u128::from(!x.is_multiple_of(y)), ex - ey - shift)
}

fn sqrt(format: Format, a: u128) -> u128 {
    let (negative, magnitude) = format.split(a);
    if magnitude == 0 {
        return format.sign(negative, 0);
    }
    if negative || magnitude > format.infinity() {
        return format.nan();
    }
    if magnitude == format.infinity() {
        return magnitude;
    }
    let (m, e) = format.unpack(magnitude);
    // m gets 125 or 126 bits, whichever makes the exponent even, so the root has 63 bits.
    let mut shift = 126 - bit_length(m);
    shift -= (e - shift) & 1;
    let m = m << shift;
    let root = root_of(m);
    format.round(false, root | u128::from(root * root != m), (e - shift) / 2)
}

fn integral(op: u8, format: Format, a: u128) -> u128 {
    let (negative, magnitude) = format.split(a);
    if magnitude > format.infinity() {
        return format.nan();
    }
    let (m, e) = format.unpack(magnitude);
    if e >= 0 {
        return format.sign(negative, magnitude);
    }
    let shift = (-e).min(64);
    let down = m >> shift;
    let up = if down << shift != m { down + 1 } else { down };
    let m = match op {
        fp::CEIL if negative => down,
        fp::CEIL => up,
        fp::FLOOR if negative => up,
        fp::FLOOR | fp::TRUNC => down,
        _ => shift_half_even(m, shift),
    };
    format.round(negative, m, 0)
}

/// Converts to an integer. `kind`: bit 0 is set if it is unsigned, bit 1 if it has 64 bits.
fn to_int(kind: u8, saturating: bool, format: Format, a: u128) -> Option<u128> {
    let (negative, magnitude) = format.split(a);
    if magnitude > format.infinity() {
        return saturating.then_some(0);
    }
    let (m, e) = format.unpack(magnitude);
    // Infinity has the greatest exponent, so it is out of range like other large values.
    let mut m = if e >= 0 { m << e.min(64) } else { m >> (-e).min(64) };
    let bits = if kind & 2 == 0 { 32 } else { 64 };
    let most = match (kind & 1 == 0, negative) {
        (true, true) => 1 << (bits - 1),
        (true, false) => (1 << (bits - 1)) - 1,
        (false, true) => 0,
        (false, false) => (1 << bits) - 1,
    };
    if m > most {
        if !saturating {
            return None;
        }
        m = most;
    }
    Some(if negative { m.wrapping_neg() } else { m } & ((1 << bits) - 1))
}

/// Converts from an integer; `kind` as in [`to_int`].
fn from_int(kind: u8, format: Format, a: u128) -> u128 {
    let bits = if kind & 2 == 0 { 32 } else { 64 };
    let a = a & ((1 << bits) - 1);
    let negative = kind & 1 == 0 && a >> (bits - 1) != 0;
    format.round(negative, if negative { (1 << bits) - a } else { a }, 0)
}

fn resize(from: Format, to: Format, a: u128) -> u128 {
    let (negative, magnitude) = from.split(a);
    if magnitude > from.infinity() {
        return to.nan();
    }
    if magnitude == from.infinity() {
        return to.sign(negative, to.infinity());
    }
    let (m, e) = from.unpack(magnitude);
    to.round(negative, m, e)
}

// ─────────────────────────────────────────────── integers
// ───────────────────────────────────────────────

/// Returns m·2^−shift, rounded to the nearest integer, ties to even. A negative shift is exact.
fn shift_half_even(m: u128, shift: i32) -> u128 {
    if shift <= 0 {
        return m << -shift;
    }
    if shift > 127 {
        return 0;
    }
    let down = m >> shift;
    let rest = m - (down << shift);
    let half = 1 << (shift - 1);
    down + u128::from(rest > half || (rest == half && down & 1 == 1))
}

fn bit_length(m: u128) -> i32 {
    (u128::BITS - m.leading_zeros()) as i32
}

/// Returns ⌊√n⌋ of an n with 125 or 126 bits, by Newton's method from above: each iteration doubles
/// the number of right bits.
fn root_of(n: u128) -> u128 {
    let mut root = 1 << 63;
    for _ in 0..7 {
        root = (root + n / root) >> 1;
    }
    // The iteration may end one above the root.
    if root * root > n { root - 1 } else { root }
}

// ─────────────────────────────────────────── the processor's own
// ────────────────────────────────────────

/// Returns the same as [`compute`], by the processor's floats.
#[inline]
pub fn native(op: u8, wide: bool, a: u64, b: u64) -> Option<u64> {
    if wide { native64(op, a, b, a) } else { native32(op, a as u32, b as u32, a) }
}

/// Returns the value without its fraction if it is strictly between the bounds; NaN never is.
fn whole_between(low: f64, value: f64, high: f64) -> Option<f64> {
    (low < value && value < high).then(|| value.trunc())
}

macro_rules! native {
    ($name:ident, $float:ty, $bits:ty, $nan:literal, $resized:expr) => {
        /// `whole` is the operand of a conversion from another format.
        #[inline]
        fn $name(op: u8, a: $bits, b: $bits, whole: u64) -> Option<u64> {
            let (x, y) = (<$float>::from_bits(a), <$float>::from_bits(b));
            // −2^63 itself is in range; this is the next lower binary64.
            let below_i64 = -9_223_372_036_854_777_856.0;
            let value: $float = match op {
                fp::EQ => return Some((x == y).into()),
                fp::NE => return Some((x != y).into()),
                fp::LT => return Some((x < y).into()),
                fp::LE => return Some((x <= y).into()),
                fp::ADD => x + y,
                fp::SUB => x - y,
                fp::MUL => x * y,
                fp::DIV => x / y,
                fp::MIN | fp::MAX if x.is_nan() || y.is_nan() => <$float>::NAN,
                // Of two zeros, −0 is the lesser.
                fp::MIN if x == y => <$float>::from_bits(a | b),
                fp::MAX if x == y => <$float>::from_bits(a & b),
                fp::MIN => x.min(y),
                fp::MAX => x.max(y),
                fp::SQRT => x.sqrt(),
                fp::CEIL => x.ceil(),
                fp::FLOOR => x.floor(),
                fp::TRUNC => x.trunc(),
                fp::NEAREST => x.round_ties_even(),
                15 => {
                    return whole_between(-2_147_483_649.0, x.into(), 2_147_483_648.0)
                        .map(|v| v as i32 as u32 as u64)
                }
                16 => {
                    return whole_between(-1.0, x.into(), 4_294_967_296.0).map(|v| v as u32 as u64)
                }
                17 => {
                    return whole_between(below_i64, x.into(), 9_223_372_036_854_775_808.0)
                        .map(|v| v as i64 as u64)
                }
                18 => {
                    return whole_between(-1.0, x.into(), 18_446_744_073_709_551_616.0)
                        .map(|v| v as u64)
                }
                19 => return Some(x as i32 as u32 as u64),
                20 => return Some(x as u32 as u64),
                21 => return Some(x as i64 as u64),
                22 => return Some(x as u64),
                23 => whole as i32 as $float,
                24 => whole as u32 as $float,
                25 => whole as i64 as $float,
                26 => whole as $float,
                fp::RESIZE => $resized(whole),
                _ => return None,
            };
            Some(if value.is_nan() { $nan } else { value.to_bits().into() })
        }
    };
}
native!(native32, f32, u32, 0x7fc0_0000, |bits| f64::from_bits(bits) as f32);
native!(native64, f64, u64, 0x7ff8_0000_0000_0000, |bits| f64::from(f32::from_bits(bits as u32)));

/// Returns the name of an operation, for people.
pub fn name(op: u8) -> &'static str {
    const NAMES: [&str; 28] = [
        "eq",
        "ne",
        "lt",
        "le",
        "add",
        "sub",
        "mul",
        "div",
        "min",
        "max",
        "sqrt",
        "ceil",
        "floor",
        "trunc",
        "nearest",
        "to_i32_s",
        "to_i32_u",
        "to_i64_s",
        "to_i64_u",
        "sat_i32_s",
        "sat_i32_u",
        "sat_i64_s",
        "sat_i64_u",
        "from_i32_s",
        "from_i32_u",
        "from_i64_s",
        "from_i64_u",
        "resize",
    ];
    NAMES.get(usize::from(op)).copied().unwrap_or("trap")
}
