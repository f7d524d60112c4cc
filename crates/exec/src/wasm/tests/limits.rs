//! Limits that are part of a result, and limits that never are.

use std::time::Duration;

use rialto_machine::input::MAX_HALF_BYTES;
use rialto_machine::limits::MAX_FUEL;

use super::*;

/// Like all loops of M', it writes its fuel.
const FOREVER: &str =
    "(loop $again (global.set $fuel (i64.sub (global.get $fuel) (i64.const 1))) (br $again))";

#[test]
fn the_write_that_exceeds_the_output_limit_traps() {
    let bench = Bench::new();
    let body = "(loop $again (call $out32 (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4) (i32.const 32)) (br $again))";
    for (limit, leaves) in [(0, 0), (31, 0), (32, 1), (100, 3)] {
        let outcome = bench.run(body, &Limits { out_bytes: limit, ..PLENTY }).unwrap();
        assert_eq!(
            (outcome.halted.status, outcome.output.len()),
            (Status::Trap, leaves * 32),
            "limit {limit}"
        );
        assert_eq!(outcome.halted.out_hash, output_hash(&outcome.output));
    }
    let exact = Limits { out_bytes: 8, ..PLENTY };
    assert_eq!(
        bench.run("(call $write (i64.const 1))", &exact).unwrap().halted.status,
        Status::Finished
    );
}

#[test]
fn memory_grows_to_the_smaller_maximum_and_then_answers_minus_one() {
    let bench = Bench::new();
    let grow = |by: u32, limits: &Limits| {
        word(
            &bench
                .run(
                    &format!("(call $write (i64.extend_i32_s (memory.grow (i32.const {by}))))"),
                    limits,
                )
                .unwrap(),
        )
    };
    // the order's limit, then the program's own
    for (max_pages, room) in [(16, 15), (1000, 31)] {
        let limits = Limits { max_pages, ..PLENTY };
        assert_eq!(grow(room, &limits), 1);
        assert_eq!(grow(room + 1, &limits), -1);
        assert_eq!(grow(u32::MAX, &limits), -1);
    }
}

#[test]
fn what_this_host_cannot_promise_is_an_attempt_that_never_starts() {
    let bench = Bench::with(|config| config.max_memory_bytes = 8 * crate::PAGE_BYTES);
    let program = bench.program("");
    let check = |max_pages| bench.engine.check(&program, &Limits { max_pages, ..PLENTY });
    assert_eq!(check(8), Ok(()));
    let refused = AttemptError::Memory { needed: 9 << 16, lent: 8 << 16 };
    assert_eq!(check(9), Err(refused.clone()));
    assert_eq!(bench.run("", &Limits { max_pages: 9, ..PLENTY }), Err(refused));
    assert_eq!(check(0), Err(AttemptError::StartPages { needed: 1, limit: 0 }));
    let fuel = MAX_FUEL as u64;
    assert!(bench.run("", &Limits { fuel, max_pages: 1, ..PLENTY }).is_ok());
    assert_eq!(
        bench.run("", &Limits { fuel: fuel + 1, max_pages: 1, ..PLENTY }),
        Err(AttemptError::FuelLimit(fuel + 1))
    );
}

#[test]
fn an_input_half_beyond_its_tree_is_refused() {
    let bench = Bench::new();
    let file = tempfile::NamedTempFile::new().unwrap();
    for (bytes, fits) in [(MAX_HALF_BYTES, true), (MAX_HALF_BYTES + 1, false)] {
        file.as_file().set_len(bytes).unwrap();
        let shared = SharedData::file(file.path()).unwrap();
        let result = bench.engine.run(
            &bench.program("(call $write (call $inlen))"),
            b"",
            &shared,
            &PLENTY,
            0,
        );
        match fits {
            true => assert_eq!(word(&result.unwrap()) as u64 >> 32, MAX_HALF_BYTES),
            false => assert_eq!(result, Err(AttemptError::InputTooLarge(bytes))),
        }
    }
}

#[test]
fn a_shared_file_that_cannot_be_read_is_not_a_result() {
    let bench = Bench::new();
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(64).unwrap();
    let shared = SharedData::file(file.path()).unwrap();
    file.as_file().set_len(0).unwrap();
    let program = bench.program("(call $out32 (call $in32 (i32.const 0x4000000)) (i32.const 32))");
    let result = bench.engine.run(&program, b"", &shared, &PLENTY, 0);
    assert!(matches!(result, Err(AttemptError::SharedInput(_))), "{result:?}");
}

#[test]
fn the_safety_stop_yields_no_result() {
    let max_wall = Duration::from_millis(30);
    let bench = Bench::with(|config| config.max_wall = max_wall);
    assert_eq!(bench.run(FOREVER, &PLENTY), Err(AttemptError::WallTime(max_wall)));
    assert_eq!(bench.outcome("").halted.status, Status::Finished);
}

#[test]
fn a_raised_flag_ends_running_and_waiting_tasks() {
    let bench = Bench::new();
    let program = bench.program(FOREVER);
    let cancel = CancelFlag::new();
    let result = std::thread::scope(|scope| {
        let batch = scope.spawn(|| {
            let inputs = vec![Default::default(); 50];
            bench.engine.run_batch(
                &program,
                &inputs,
                &SharedData::none(),
                &PLENTY,
                0,
                &cancel,
                &|_| {},
            )
        });
        std::thread::sleep(Duration::from_millis(30));
        cancel.cancel();
        batch.join().unwrap()
    });
    assert_eq!(result, Err(AttemptError::Cancelled));
}

#[test]
fn exhausting_the_native_stack_is_the_engines_fault() {
    assert_eq!(
        Bench::new().run("(drop (call $recurse (i64.const 0)))", &PLENTY),
        Err(AttemptError::NativeStack)
    );
}

#[test]
fn modules_of_another_shape_are_refused() {
    let bench = Bench::new();
    let refuse = |text: &str| {
        let module = wat::parse_str(text).unwrap();
        let canonical = Canonical {
            program_root: alloy_primitives::keccak256(&module),
            module,
            min_pages: 0,
            max_pages: 0,
            work: Default::default(),
            code_bytes: 0,
        };
        bench.engine.prepare_canonical(&canonical).unwrap_err().to_string()
    };
    let globals = r#"(memory 1) (func) (global (export "fuel") (mut i64) (i64.const 0)) (global (export "seed") (mut i64) (i64.const 0))
        (global (export "digest") (mut i64) (i64.const 0))"#;
    assert!(refuse("(module)").contains("[X-PRG-002]"));
    assert!(
        refuse(&format!(r#"(module {globals} (func (export "run") (param i32)))"#))
            .contains("`run`")
    );
    let constant = globals.replacen("(mut i64)", "i64", 1);
    assert!(refuse(&format!(r#"(module {constant} (func (export "run")))"#)).contains("`fuel`"));
    let foreign = format!(r#"(module (import "env" "f" (func)) {globals} (func (export "run")))"#);
    assert!(refuse(&foreign).contains("[X-PRG-002]"));
    for feature in [
        "(drop (v128.const i64x2 0 0))",
        "(return_call $write (i64.const 0))",
        "(drop (ref.null extern))",
    ] {
        let text = format!(
            r#"(module {globals} (func $write (param i64)) (func (export "run") {feature}))"#
        );
        assert!(refuse(&text).contains("[X-PRG-002]"), "{feature}");
    }
    assert!(matches!(bench.engine.prepare(b"\0asm\x01\0\0\0"), Err(crate::ExecError::Gate(_))));
}
