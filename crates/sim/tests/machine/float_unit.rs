//! The committed FloatUnit, compared with the machine's floats. `crates/machine/tests/float.rs`
//! compares those with the processor and an independent implementation.
//!
//! `RIALTO_FLOAT_CASES` is the number of random cases of each operation in each format (default
//! 1000), besides some 70,000 cases at boundaries.

use rand::{Rng, RngCore, SeedableRng, rngs::StdRng};
use rialto_machine::float::{compute, fp};

use crate::{evm, number, vectors};

struct Chain {
    judge: evm::Judge,
    cases: u64,
}

impl Chain {
    fn new() -> Self {
        Self { judge: evm::Judge::new(), cases: 0 }
    }

    fn check(&mut self, op: u8, wide: bool, a: u64, b: u64) {
        self.cases += 1;
        let on_chain = self.judge.float(op, wide, a, b);
        assert_eq!(
            on_chain,
            Ok(compute(op, wide, a, b)),
            "operation {op} wide: {wide} {a:#x} {b:#x}"
        );
    }
}

fn is_from_int(op: u8) -> bool {
    (fp::FROM_INT..fp::RESIZE).contains(&op)
}

/// Returns whether the first operand is wide. The second one has the operation's format.
fn operand_is_wide(op: u8, wide: bool) -> bool {
    wide != (op == fp::RESIZE)
}

/// Returns values around all boundaries: subnormals, one, the ends of integers and of the other
/// format, infinity, NaNs; for each exponent, significands at both ends and in the middle.
fn boundaries(wide: bool, step: usize) -> Vec<u64> {
    let (fraction, bias, top): (u32, u64, u64) =
        if wide { (52, 1023, 2047) } else { (23, 127, 255) };
    let integers =
        [0, 1, 2, 22, 23, 24, 25, 30, 31, 32, 33, 51, 52, 53, 54, 62, 63, 64, 65].map(|e| bias + e);
    let small = [1, 2, 3, 22, 23, 24, 25, 52, 53, 54, 64, 65].map(|e| bias - e);
    // The ends of binary32 in binary64: least and greatest subnormal, greatest exponent, and above.
    let other = [150, 149, 148, 127, 126, 125].map(|e| bias.saturating_sub(e));
    let others = [126, 127, 128, 129].map(|e| (bias + e).min(top));
    let ends = [0, 1, 2, top - 2, top - 1, top];
    let ones = (1 << fraction) - 1;
    let fractions = [
        0,
        1,
        2,
        ones >> 1,
        (ones >> 1) + 1,
        (ones >> 1) + 2,
        ones - 1,
        ones,
        1 << (fraction - 24 % fraction),
    ];
    let sign = 1 << (if wide { 63 } else { 31 });
    let mut exponents: Vec<u64> = [integers.as_slice(), &small, &other, &others, &ends].concat();
    exponents.sort_unstable();
    exponents.dedup();
    exponents
        .iter()
        .flat_map(|e| fractions.map(|f| e << fraction | f))
        .step_by(step)
        .flat_map(|magnitude| [magnitude, magnitude | sign])
        .collect()
}

#[test]
fn one_operand_at_boundaries() {
    let mut chain = Chain::new();
    for wide in [false, true] {
        for op in (fp::SQRT..fp::COUNT).filter(|op| !is_from_int(*op)) {
            for a in boundaries(operand_is_wide(op, wide), 1) {
                chain.check(op, wide, a, 0);
            }
        }
        for op in fp::FROM_INT..fp::RESIZE {
            for bit in 0..64 {
                for distance in -2..=2_i64 {
                    let a = (1_u64 << bit).wrapping_add(distance as u64);
                    chain.check(op, wide, a, 0);
                    chain.check(op, wide, a.wrapping_neg(), 0);
                }
            }
        }
    }
    println!("{} cases", chain.cases);
}

#[test]
fn two_operands_at_boundaries() {
    let mut chain = Chain::new();
    for wide in [false, true] {
        let values = boundaries(wide, 3);
        let sign = 1 << (if wide { 63 } else { 31 });
        for op in fp::EQ..=fp::MAX {
            for (i, a) in values.iter().copied().enumerate() {
                for j in 0..4 {
                    chain.check(
                        op,
                        wide,
                        a,
                        values[(i * 37 + j * 53 + usize::from(op)) % values.len()],
                    );
                }
                for b in [a, a ^ sign, a.wrapping_add(1), sign, 0] {
                    chain.check(op, wide, a, b);
                }
            }
        }
    }
    println!("{} cases", chain.cases);
}

#[test]
fn random_operands() {
    let cases = number("RIALTO_FLOAT_CASES", 1000);
    let mut chain = Chain::new();
    for op in 0..fp::COUNT {
        for wide in [false, true] {
            let mut rng = StdRng::seed_from_u64(u64::from(op) << 1 | u64::from(wide));
            for _ in 0..cases {
                let a = if is_from_int(op) {
                    vectors::integer(&mut rng)
                } else {
                    vectors::float(&mut rng, operand_is_wide(op, wide))
                };
                let b = match rng.random_range(0..8) {
                    // Almost all cancels.
                    0 => {
                        a ^ rng.random_range(0..16)
                            ^ u64::from(rng.next_u32() & 1) << (if wide { 63 } else { 31 })
                    }
                    _ => vectors::float(&mut rng, wide),
                };
                chain.check(op, wide, a, b);
            }
        }
    }
    println!("{} cases", chain.cases);
}

/// Bits above a narrow operand are ignored, and undefined operations trap.
#[test]
fn what_lies_beyond() {
    let mut chain = Chain::new();
    let above = 0xdead_beef_u64 << 32;
    for op in 0..fp::COUNT {
        for wide in [false, true] {
            for a in [0, 0x3f80_0000, 0xff80_0001, 0x8000_0000, 1] {
                chain.check(op, wide, a | above, 0x4049_0fdb | above);
            }
        }
    }
    for op in fp::COUNT..=u8::MAX {
        for wide in [false, true] {
            assert_eq!(chain.judge.float(op, wide, 1, 2), Ok(None), "{op}");
        }
    }
}
