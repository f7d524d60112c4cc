//! The contract between M' and its host, clause by clause.

use super::*;

/// Copies input leaf `$from + k` to the output, for each k below `count`.
fn copy(from: &str, count: u32) -> String {
    format!(
        "(loop $again
            (call $out32 (call $in32 (i32.add (i32.const {from}) (local.get $i))) (i32.const 32))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $again (i32.lt_u (local.get $i) (i32.const {count}))))"
    )
}

#[test]
fn both_halves_are_read_leaf_by_leaf_with_zeros_past_the_end() {
    let bench = Bench::new();
    let (task, shared): (Vec<u8>, Vec<u8>) = ((1..=70).collect(), (101..=140).collect());
    let data = SharedData::bytes(shared.clone().into());
    for (from, bytes) in [("0", task.clone()), ("0x4000000", shared.clone())] {
        let program = bench.program(&copy(from, 5));
        let outcome = bench.engine.run(&program, &task, &data, &PLENTY, 0).unwrap();
        let mut expected = bytes;
        expected.resize(5 * 32, 0);
        assert_eq!(outcome.output, expected);
        assert_eq!(outcome.halted.out_hash, output_hash(&expected));
        assert_eq!((outcome.halted.status, outcome.halted.out_len), (Status::Finished, 160));
    }
    let program = bench.program("(call $write (call $inlen))");
    let outcome = bench.engine.run(&program, &task, &data, &PLENTY, 0).unwrap();
    assert_eq!(word(&outcome), rialto_machine::input::inlen(70, 40));
}

#[test]
fn the_ends_of_the_halves_are_zeros_and_beyond_them_is_a_trap() {
    let bench = Bench::new();
    let read = |leaf: &str| {
        bench.outcome(&format!("(call $out32 (call $in32 (i32.const {leaf})) (i32.const 32))"))
    };
    for last in ["0x3ffffff", "0x7ffffff"] {
        assert_eq!(read(last).output, [0; 32].as_slice());
    }
    for beyond in ["0x8000000", "-1"] {
        assert_eq!(read(beyond).halted.status, Status::Trap);
    }
}

#[test]
fn a_partial_leaf_is_cut_padded_with_zeros_and_the_last() {
    let bench = Bench::new();
    let leaf = |n: u32| {
        format!(
            "(call $out32 (i64.const -1) (i64.const -1) (i64.const -1) (i64.const -1) (i32.const {n}))"
        )
    };
    for n in [1, 8, 31] {
        let outcome = bench.outcome(&leaf(n));
        let expected = vec![0xff; n as usize];
        assert_eq!(
            (&outcome.output[..], outcome.halted.out_hash),
            (&expected[..], output_hash(&expected))
        );
        let more = bench.outcome(&(leaf(n) + &leaf(32)));
        assert_eq!((more.halted.status, more.output), (Status::Trap, outcome.output));
    }
    let two = bench.outcome(&(leaf(32) + &leaf(3)));
    assert_eq!((two.halted.status, two.output.len()), (Status::Finished, 35));
    assert_eq!(two.halted.out_hash, output_hash(&[0xff; 35]));
    for n in [0, 33, u32::MAX] {
        assert_eq!(bench.outcome(&leaf(n)).halted.status, Status::Trap);
    }
}

#[test]
fn exit_ends_the_run_with_its_code_and_keeps_the_output() {
    let bench = Bench::new();
    for code in [0, 1, u32::MAX] {
        let outcome = bench.outcome(&format!(
            "(call $write (i64.const 3)) (call $exit (i32.const {code})) unreachable"
        ));
        assert_eq!((outcome.halted.status, outcome.halted.exit_code), (Status::Finished, code));
        assert_eq!(word(&outcome), 3);
    }
}

#[test]
fn fuel_and_digest_are_read_after_every_end() {
    let bench = Bench::new();
    let set = "(global.set $fuel (i64.sub (global.get $fuel) (i64.const 7))) (global.set $digest (i64.const 9))";
    let ends = [
        ("", Status::Finished),
        ("unreachable", Status::Trap),
        ("(call $exit (i32.const 2))", Status::Finished),
    ];
    for (end, status) in ends {
        let halted = bench.outcome(&format!("{set} {end}")).halted;
        assert_eq!(
            (halted.status, halted.fuel_left, halted.digest),
            (status, PLENTY.fuel as i64 - 7, 9)
        );
    }
    let spent = bench.outcome("(global.set $fuel (i64.const -3)) unreachable").halted;
    assert_eq!(
        (spent.status, spent.fuel_left, spent.fuel_used(PLENTY.fuel)),
        (Status::Trap, -3, PLENTY.fuel)
    );
}

#[test]
fn the_seed_is_the_tasks() {
    let bench = Bench::new();
    let program = bench.program("(call $write (global.get $seed))");
    let seed = 0xfedc_ba98_7654_3210;
    let outcome = bench.engine.run(&program, b"", &SharedData::none(), &PLENTY, seed).unwrap();
    assert_eq!(word(&outcome) as u64, seed);
}

#[test]
fn every_trap_of_wasm_is_the_same_trap() {
    let bench = Bench::new();
    let traps = [
        "unreachable",
        "(drop (i32.div_u (i32.const 1) (local.get $i)))",
        "(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))",
        "(drop (i32.trunc_f32_s (f32.const nan)))",
        "(drop (i64.trunc_f64_u (f64.const 1e30)))",
        "(drop (i32.load (i32.const 65533)))",
        "(i64.store (i32.const -1) (i64.const 0))",
        "(memory.fill (i32.const 65530) (i32.const 1) (i32.const 10))",
        "(call_indirect (i32.const 0))",
        "(call_indirect (i32.const 99))",
    ];
    for body in traps {
        let outcome = bench.outcome(&format!("(call $write (i64.const 1)) {body}"));
        let halted = outcome.halted;
        assert_eq!(
            (halted.status, halted.exit_code, halted.out_len),
            (Status::Trap, 0, 8),
            "{body}"
        );
        assert_eq!(halted.fuel_left, PLENTY.fuel as i64);
    }
}

#[test]
fn nans_are_canonical() {
    let bench = Bench::new();
    let outcome = bench.outcome(
        "(call $write (i64.reinterpret_f64 (f64.add (f64.const 1) (f64.const nan:0x123))))",
    );
    assert_eq!(word(&outcome), 0x7ff8_0000_0000_0000);
    let zero_by_zero =
        bench.outcome("(call $write (i64.reinterpret_f64 (f64.div (f64.const 0) (f64.convert_i64_u (local.get $n)))))");
    assert_eq!(word(&zero_by_zero), 0x7ff8_0000_0000_0000);
}
