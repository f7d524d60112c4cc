//! The gate refuses modules that are made to be expensive, by the sums that compilers' costs depend
//! on, and accepts real programs.
#![allow(clippy::unwrap_used)]

#[path = "bombs/make.rs"]
mod make;

use make::{KINDS, plain};
use rialto_machine::limits::{MAX_WORK, MAX_WORK_PER_BYTE};
use rialto_machine::{GateError, canonicalise, lower};

#[test]
fn every_kind_of_bomb_is_refused_with_the_function_the_count_and_the_limit() {
    for (kind, most, make) in KINDS {
        // Sizes far above are tried, too, unless making such a module would take too long.
        for size in [most + 1, if most < 2000 { most * 8 } else { most + 1 }] {
            let error = canonicalise(&make(size)).map(|_| ()).expect_err(kind);
            match &error {
                GateError::TooMuchWork { place, found, limit, .. } => {
                    assert!(place.starts_with("function #") && found > limit, "{kind}: {error}");
                }
                other => assert!(matches!(other, GateError::TooLarge { .. }), "{kind}: {error}"),
            }
            let message = error.to_string();
            assert!(
                message.contains(error.code()) && message.contains("at most"),
                "{kind}: {message}"
            );
        }
    }
}

/// No intermediate result is larger than the sums allow, and the sums are within the limits for the
/// code's bytes.
#[test]
fn what_is_just_accepted_makes_no_more_than_its_bytes_allow() {
    for (kind, most, make) in KINDS {
        let canonical = canonicalise(&make(most)).unwrap_or_else(|error| panic!("{kind}: {error}"));
        let (work, bytes) = (canonical.work, canonical.code_bytes);
        assert!(work.steps <= MAX_WORK.steps + MAX_WORK_PER_BYTE.steps * bytes, "{kind}");
        assert!(work.alive <= MAX_WORK.alive + MAX_WORK_PER_BYTE.alive * bytes, "{kind}");
        assert!(work.moves <= MAX_WORK.moves + MAX_WORK_PER_BYTE.moves * bytes, "{kind}");
        // Sizes of M' and of its instructions.
        let module = canonical.module.len() as u64;
        let instructions = lower(&canonical.module).code.len() as u64;
        println!("{kind}: {bytes} bytes, {work:?}, M' {module} bytes, {instructions} instructions");
        assert!(module <= 4096 + 16 * bytes, "{kind}: {module} bytes of {bytes}");
        let ways = work.steps + work.moves;
        assert!(instructions <= 4096 + ways, "{kind}: {instructions} instructions of {ways}");
    }
}

#[test]
fn what_lies_anywhere_costs_by_what_there_is() {
    // 4 GiB of memory with a byte at its end, a table of a million entries, and scattered data:
    // without sparse trees each of these would take gigabytes or seconds for a module of a hundred
    // bytes.
    for wasm in
        [plain(0, 1 << 16, 1, 0), plain(1 << 20, 1, 0, 0), plain(1, 1 << 16, 1000, 4_000_000)]
    {
        let canonical = canonicalise(&wasm).unwrap();
        assert_eq!(canonical.module.len() as u64 / (wasm.len() as u64 + 1000), 0);
    }
}

#[test]
fn programs_use_a_fraction_of_what_they_may() {
    for path in [
        "guests/abi",
        "guests/crash",
        "guests/files",
        "guests/rusty",
        "guests/surroundings",
        "guests/work",
        "kernels/kernels",
        "pricing/pricing",
        "raytrace/raytrace",
        "tiny/tiny",
        "words/words",
        "zopfli/zopfli",
    ] {
        let file = format!("{}/../../examples/{path}.wasm", env!("CARGO_MANIFEST_DIR"));
        let canonical = canonicalise(&std::fs::read(file).unwrap()).unwrap();
        let (work, bytes) = (canonical.work, canonical.code_bytes);
        assert!(work.steps > bytes && work.steps < 11 * bytes, "{path}: {work:?} of {bytes} bytes");
        assert!(
            work.alive < 2 * bytes && work.moves < bytes / 4,
            "{path}: {work:?} of {bytes} bytes"
        );
    }
}

/// The sums of small functions, counted by hand.
#[test]
fn sums_are_what_the_rules_say() {
    let work = |body: &str| {
        let text = format!(
            "(module (memory 1) (func (export \"_start\")) (func (param i64) (local i64 i64) {body}))"
        );
        canonicalise(&wat::parse_str(text).unwrap()).unwrap().work
    };
    let nothing = work("");
    // `if` has four edges: its two paths, the end of the arm, and the end of the function.
    // Local 1 is alive on three of them, and meets at the end.
    let one = work(
        "(if (i32.wrap_i64 (local.get 0)) (then (local.set 1 (i64.const 1)))) (drop (local.get 1))",
    );
    assert_eq!((one.alive, one.moves), (3, 2), "{one:?} {nothing:?}");
    // No live local is assigned in between, so nothing meets.
    let none = work(
        "(if (i32.wrap_i64 (local.get 0)) (then (local.set 2 (i64.const 1)))) (drop (local.get 1))",
    );
    assert_eq!((none.alive, none.moves), (3, 0));
    // A local that is live at the top of the outer loop is live in the inner loop, too, because the
    // inner loop branches to the outer one.
    let nested = work(
        "(loop (local.set 2 (local.get 1)) (loop (br_if 1 (i32.wrap_i64 (local.get 0))) (br_if 0 (i32.wrap_i64 (local.get 0)))))",
    );
    assert_eq!(nested.moves, 0, "{nested:?}");
    // Tops 2 and 2 (locals 0 and 1 each), branches to the tops 2 and 2, after the branches 2 and 0,
    // ends 0.
    assert_eq!(nested.alive, 10, "{nested:?}");
}
