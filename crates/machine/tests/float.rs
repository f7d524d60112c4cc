//! The machine's two implementations of floats, compared with each other, with an independent
//! implementation (`rustc_apfloat`) and with the contract's test vectors.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use rialto_machine::float::{compute, fp, native};
use rustc_apfloat::{
    Float, FloatConvert, Round,
    ieee::{Double, Single},
};

/// Random cases of every operation in every format; more by RIALTO_FLOAT_CASES.
const DEFAULT_CASES: u64 = 20_000;

/// Asserts that the software result and the processor's result agree with each other and with
/// `expected`.
fn check(op: u8, wide: bool, a: u64, b: u64, expected: Option<Option<u64>>) {
    let soft = compute(op, wide, a, b);
    assert_eq!(
        soft,
        native(op, wide, a, b),
        "operation {op} wide: {wide} {a:#x} {b:#x}: soft and native"
    );
    if let Some(expected) = expected {
        assert_eq!(soft, expected, "operation {op} wide: {wide} {a:#x} {b:#x}");
    }
}

fn check_both(op: u8, wide: bool, a: u64, b: u64) {
    check(
        op,
        wide,
        a,
        b,
        if wide {
            independent::<Double, Single>(op, a, b)
        } else {
            independent::<Single, Double>(op, a, b)
        },
    );
}

/// Returns the result of `rustc_apfloat`; `None` if it has no such operation. `F` is the format,
/// `G` the other format.
fn independent<F: Float, G: Float + FloatConvert<F>>(
    op: u8,
    a: u64,
    b: u64,
) -> Option<Option<u64>> {
    let mask = u64::MAX >> (64 - F::BITS);
    let [x, y] = [a, b].map(|bits| F::from_bits((bits & mask).into()));
    let float = |value: F| {
        let nan = if F::BITS == 64 { 0x7ff8_0000_0000_0000 } else { 0x7fc0_0000 };
        if value.is_nan() { nan } else { value.to_bits() as u64 }
    };
    let to_int = |kind: u8| {
        let width = if kind & 2 == 0 { 32 } else { 64 };
        let mut exact = false;
        // The sign is extended, and the mask keeps the bits of the type.
        let (value, status) = if kind & 1 == 0 {
            let it = x.to_i128_r(width, Round::TowardZero, &mut exact);
            (it.value as u64, it.status)
        } else {
            let it = x.to_u128_r(width, Round::TowardZero, &mut exact);
            (it.value as u64, it.status)
        };
        (value & u64::MAX >> (64 - width), status.contains(rustc_apfloat::Status::INVALID_OP))
    };
    Some(Some(match op {
        fp::EQ => (x == y).into(),
        fp::NE => (x != y).into(),
        fp::LT => (x < y).into(),
        fp::LE => (x <= y).into(),
        fp::ADD => float((x + y).value),
        fp::SUB => float((x - y).value),
        fp::MUL => float((x * y).value),
        fp::DIV => float((x / y).value),
        fp::MIN => float(x.minimum(y)),
        fp::MAX => float(x.maximum(y)),
        fp::SQRT => return None,
        fp::CEIL => float(x.round_to_integral(Round::TowardPositive).value),
        fp::FLOOR => float(x.round_to_integral(Round::TowardNegative).value),
        fp::TRUNC => float(x.round_to_integral(Round::TowardZero).value),
        fp::NEAREST => float(x.round_to_integral(Round::NearestTiesToEven).value),
        15..=18 => {
            let (value, invalid) = to_int(op - fp::TO_INT);
            return Some((!invalid).then_some(value));
        }
        19..=22 => to_int(op - fp::TO_INT_SAT).0,
        23 => float(F::from_i128((a as i32).into()).value),
        24 => float(F::from_u128((a as u32).into()).value),
        25 => float(F::from_i128((a as i64).into()).value),
        26 => float(F::from_u128(a.into()).value),
        fp::RESIZE => {
            let other = G::from_bits((a & u64::MAX >> (64 - G::BITS)).into());
            float(other.convert(&mut false).value)
        }
        _ => unreachable!(),
    }))
}

/// Returns values of a format around every boundary: each exponent (in the wide format, those near
/// an end, near zero and near the range of a conversion) with significands at both ends and in the
/// middle.
fn boundaries(wide: bool) -> Vec<u64> {
    let (fraction, exponents): (u32, Vec<u64>) = if wide {
        let far = (1..=16).map(|i| 1023 - 8 * i).chain((1..=16).map(|i| 1023 + 8 * i));
        let near = (0..70).chain(890..900).chain(970..1100).chain(1145..1155).chain(1980..2048);
        (52, near.chain(far).collect())
    } else {
        (23, (0..256).collect())
    };
    let ones = (1 << fraction) - 1;
    let fractions = [0, 1, ones >> 1, (ones >> 1) + 1, (ones >> 1) + 2, ones - 1, ones];
    let sign = 1 << (if wide { 63 } else { 31 });
    exponents
        .iter()
        .flat_map(|e| fractions.map(|f| e << fraction | f))
        .flat_map(|magnitude| [magnitude, magnitude | sign])
        .collect()
}

fn operand_is_wide(op: u8, wide: bool) -> bool {
    wide != (op == fp::RESIZE)
}

fn is_from_int(op: u8) -> bool {
    (fp::FROM_INT..fp::RESIZE).contains(&op)
}

#[test]
fn boundaries_of_one_operand() {
    for wide in [false, true] {
        for op in (fp::SQRT..fp::COUNT).filter(|&op| !is_from_int(op)) {
            for a in boundaries(operand_is_wide(op, wide)) {
                check_both(op, wide, a, 0);
            }
        }
        for op in fp::FROM_INT..fp::RESIZE {
            for bit in 0..64 {
                for distance in -3..=3_i64 {
                    let a = (1_u64 << bit).wrapping_add(distance as u64);
                    check_both(op, wide, a, 0);
                    check_both(op, wide, a.wrapping_neg(), 0);
                    check_both(op, wide, a | 1 << 63, 0);
                }
            }
        }
    }
}

#[test]
fn boundaries_of_two_operands() {
    for wide in [false, true] {
        let values = boundaries(wide);
        for op in fp::EQ..=fp::MAX {
            // Each value is paired with a few others, different ones each time, and with itself,
            // its neighbours and its negation.
            for (i, &a) in values.iter().enumerate() {
                for j in 0..12 {
                    check_both(
                        op,
                        wide,
                        a,
                        values[(i * 37 + j * 307 + usize::from(op)) % values.len()],
                    );
                }
                for b in [a, a ^ 1, a.wrapping_add(1), a ^ 1 << (if wide { 63 } else { 31 })] {
                    check_both(op, wide, a, b);
                }
            }
        }
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Returns bits of a float: fully random, near 1, with few ones or zeros in the significand, or
    /// sometimes a boundary value.
    fn float(&mut self, wide: bool, boundaries: &[u64]) -> u64 {
        let (fraction, bias) = if wide { (52, 1023) } else { (23, 127) };
        let random = self.next() & u64::MAX >> (if wide { 0 } else { 32 });
        let significand = match self.next() % 4 {
            0 => self.next() & self.next() & self.next(),
            1 => !(self.next() & self.next() & self.next()),
            2 => u64::MAX << (self.next() % 64),
            _ => self.next(),
        } & ((1 << fraction) - 1);
        let sign = random >> (if wide { 63 } else { 31 }) << (if wide { 63 } else { 31 });
        match self.next() % 8 {
            0 => random,
            1 => boundaries[self.next() as usize % boundaries.len()],
            // Subnormal.
            2 => sign | significand >> (self.next() % fraction),
            3 => random & !((1 << fraction) - 1) | significand,
            _ => sign | (bias - 32 + self.next() % 104) << fraction | significand,
        }
    }
}

#[test]
fn random_cases() {
    let cases =
        std::env::var("RIALTO_FLOAT_CASES").map_or(DEFAULT_CASES, |cases| cases.parse().unwrap());
    let both = [boundaries(false), boundaries(true)];
    for op in 0..fp::COUNT {
        for wide in [false, true] {
            let mut random = Random(u64::from(op) << 1 | u64::from(wide));
            let operand = operand_is_wide(op, wide);
            for _ in 0..cases {
                let a = if is_from_int(op) {
                    random.next() >> (random.next() % 64)
                } else {
                    random.float(operand, &both[usize::from(operand)])
                };
                let mut b = random.float(wide, &both[usize::from(wide)]);
                if random.next().is_multiple_of(8) {
                    // Almost all cancels.
                    b = a
                        ^ (random.next() & 0xf)
                        ^ (random.next() & 1) << (if wide { 63 } else { 31 });
                }
                check_both(op, wide, a, b);
            }
        }
    }
}

/// The bits above a narrow operand are ignored, and narrow results are zero-extended.
#[test]
fn high_bits_of_narrow_operands_count_for_nothing() {
    let above = 0xdead_beef_u64 << 32;
    for op in 0..fp::COUNT {
        for a in boundaries(false) {
            let wide = op == fp::RESIZE;
            let b = 0x4049_0fdb;
            let a = if is_from_int(op) { a >> 3 } else { a };
            if matches!(op, 25 | 26) {
                continue;
            }
            let plain = compute(op, wide, a, b);
            check(op, wide, a | above, b | above, Some(plain));
            assert!(
                wide || (fp::TO_INT..fp::FROM_INT).contains(&op)
                    || plain.is_some_and(|it| it >> 32 == 0)
            );
        }
    }
}

#[test]
fn unknown_operations_trap() {
    for op in fp::COUNT..=u8::MAX {
        for wide in [false, true] {
            assert_eq!((compute(op, wide, 0, 0), native(op, wide, 0, 0)), (None, None), "{op}");
        }
    }
}

/// The 13,072 cases of the contract's own tests (`contracts/README.md` describes the file).
#[test]
fn vectors() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../contracts/vectors/float.json");
    let file: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let bytes = |value: &serde_json::Value| -> Vec<u8> {
        let hex = value.as_str().unwrap().strip_prefix("0x").unwrap();
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    };
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let words = |value| bytes(value).chunks(8).map(number).collect::<Vec<_>>();
    let (floats, integers) =
        ([words(&file["narrow"]), words(&file["wide"])], words(&file["integers"]));
    let mut cases = 0;
    for (i, batch) in file["results"].as_array().unwrap().iter().enumerate() {
        let (op, wide) = (
            batch["op"].as_str().unwrap().parse::<u8>().unwrap(),
            batch["wide"].as_bool().unwrap(),
        );
        assert_eq!(usize::from(op) * 2 + usize::from(wide), i, "every operation in both formats");
        let first = if is_from_int(op) {
            &integers
        } else {
            &floats[usize::from(operand_is_wide(op, wide))]
        };
        let second = if op <= fp::MAX {
            floats[usize::from(wide)].iter().step_by(7).copied().collect()
        } else {
            vec![0]
        };
        let (results, traps) = (bytes(&batch["results"]), bytes(&batch["traps"]));
        let mut results = results.chunks(if wide || op >= fp::TO_INT { 8 } else { 4 });
        let mut traps = traps.into_iter();
        for &a in first {
            for &b in &second {
                let (result, traps) =
                    (number(results.next().unwrap()), traps.next().unwrap_or_default() != 0);
                check(op, wide, a, b, Some((!traps).then_some(result)));
                cases += 1;
            }
        }
        assert!(results.next().is_none() && traps.next().is_none());
    }
    assert_eq!(cases, 13_072);
}
