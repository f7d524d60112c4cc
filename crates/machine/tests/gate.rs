//! The gate's refusals with their messages, and the validity of M' for the modules that it accepts.
#![allow(clippy::unwrap_used)]

mod host;

use proptest::prelude::*;
use rialto_machine::{GateError, canonicalise};
use wasmparser::{ExternalKind, Parser, Payload, Validator, WasmFeatures};

fn refused(text: &str) -> GateError {
    let wasm = wat::parse_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    canonicalise(&wasm).map(|_| ()).expect_err(text)
}

fn start(body: &str) -> String {
    format!("(module (memory 1) (func $main (export \"_start\") {body}))")
}

#[test]
fn features_are_named_with_the_function_and_the_fix() {
    let shared = "(module (memory 1 1 shared) (func (export \"_start\")))";
    for (text, feature) in [
        (start("(drop (v128.const i64x2 0 0))"), "SIMD"),
        (start("(drop (i32.atomic.load (i32.const 0)))"), "threads"),
        (start("(return_call 0)"), "tail calls"),
        (start("(drop (i64.add128 (i64.const 0) (i64.const 0) (i64.const 0) (i64.const 0)))"), "wide arithmetic"),
        (start("(drop (ref.null func))"), "reference types"),
        (start("(drop (ref.func 0))"), "reference types"),
        (
            start("(memory.init 0 (i32.const 0) (i32.const 0) (i32.const 0))").replace("(func", "(data \"x\") (func"),
            "bulk memory",
        ),
        ("(module (memory 1) (data \"passive\") (func (export \"_start\")))".into(), "bulk memory"),
        (
            "(module (table 1 funcref) (func (export \"_start\") (table.set (i32.const 0) (ref.null func))))".into(),
            "reference",
        ),
        ("(module (table 1 externref) (func (export \"_start\")))".into(), "reference types"),
        ("(module (table 1 funcref) (table 1 funcref) (func (export \"_start\")))".into(), "reference types"),
        ("(module (memory 1) (memory 1) (func (export \"_start\")))".into(), "several memories"),
        ("(module (memory i64 1) (func (export \"_start\")))".into(), "64-bit memory"),
        (shared.into(), "threads"),
        ("(module (tag) (func (export \"_start\") (throw 0)))".into(), "exceptions"),
        ("(module (type (struct)) (func (export \"_start\")))".into(), "garbage"),
        ("(module (global i32 (i32.add (i32.const 1) (i32.const 2))) (func (export \"_start\")))".into(), "extended"),
    ] {
        let error = refused(&text);
        let message = error.to_string();
        assert_eq!(error.code(), "M-GATE-003", "{text}: {message}");
        assert!(message.starts_with("[M-GATE-003]"));
        let GateError::Feature { place, feature: named, fix } = error else { panic!("{message}") };
        assert!(named.contains(feature), "{text}: {message}");
        assert!(!fix.is_empty());
        if text.contains("$main") {
            assert_eq!(place, "function `main` (#0)");
        }
    }
}

#[test]
fn what_is_no_program_is_refused() {
    for (bytes, code) in [
        (b"".to_vec(), "M-GATE-001"),
        (b"\x7fELF....".to_vec(), "M-GATE-001"),
        (b"\0asm\x0d\0\x01\0".to_vec(), "M-GATE-001"),
        (b"(module)".to_vec(), "M-GATE-001"),
        (b"\0asm\x01\0\0\0\xff".to_vec(), "M-GATE-002"),
    ] {
        assert_eq!(canonicalise(&bytes).unwrap_err().code(), code, "{bytes:?}");
    }
    for (text, code, says) in [
        ("(module)", "M-GATE-007", "_start"),
        ("(module (func (export \"_initialize\")))", "M-GATE-007", "reactor"),
        ("(module (func (export \"_start\") (param i32)))", "M-GATE-007", "() -> ()"),
        ("(module (memory (export \"_start\") 1))", "M-GATE-007", "_start"),
        (
            "(module (import \"env\" \"puts\" (func)) (func (export \"_start\")))",
            "M-GATE-005",
            "undefined",
        ),
        (
            "(module (import \"env\" \"memory\" (memory 1)) (func (export \"_start\")))",
            "M-GATE-005",
            "memory",
        ),
        (
            "(module (import \"rialto\" \"exit\" (func (param i32))) (func (export \"_start\")))",
            "M-GATE-005",
            "reserved",
        ),
        (
            "(module (import \"wasi_unstable\" \"fd_write\" (func)) (func (export \"_start\")))",
            "M-GATE-005",
            "preview 0",
        ),
        (
            "(module (import \"wasi_snapshot_preview1\" \"rialto_init\" (func)) (func (export \"_start\")))",
            "M-GATE-005",
            "",
        ),
        (
            "(module (import \"wasi_snapshot_preview1\" \"memory\" (func)) (func (export \"_start\")))",
            "M-GATE-005",
            "",
        ),
        (
            "(module (import \"wasi_snapshot_preview1\" \"fd_write\" (func)) (func (export \"_start\")))",
            "M-GATE-006",
            "fd_write",
        ),
        (
            "(module (memory 1) (data (i32.const 65535) \"ab\") (func (export \"_start\")))",
            "M-GATE-008",
            "data segment 0",
        ),
        (
            "(module (memory 1) (data (i32.const -1) \"\") (func (export \"_start\")))",
            "M-GATE-008",
            "",
        ),
        (
            "(module (table 1 funcref) (elem (i32.const 1) 0) (func (export \"_start\")))",
            "M-GATE-008",
            "element segment 0",
        ),
    ] {
        let error = refused(text);
        assert_eq!(error.code(), code, "{text}: {error}");
        assert!(error.to_string().contains(says), "{text}: {error}");
    }
    let invalid = wat::parse_str("(module (func $broken (export \"_start\") i32.add))").unwrap();
    let message = canonicalise(&invalid).unwrap_err().to_string();
    assert!(message.contains("[M-GATE-002] function `broken`"), "{message}");
}

#[test]
fn sizes_are_bounded() {
    let globals = "(global (mut i64) (i64.const 0))".repeat(1021);
    let nested = format!("{}{}", "block ".repeat(17_000), "end ".repeat(17_000));
    for text in [
        format!("(module {globals} (func (export \"_start\")))"),
        start(&format!("(local {})", "i64 ".repeat(16_385))),
        start(&format!("{}{}", "i32.const 0 ".repeat(16_385), "drop ".repeat(16_385))),
        start(&nested),
        "(module (table 1048577 funcref) (func (export \"_start\")))".into(),
    ] {
        let error = refused(&text);
        assert_eq!(error.code(), "M-GATE-004", "{error}");
    }
    assert_eq!(canonicalise(&vec![0; (32 << 20) + 1]).unwrap_err().code(), "M-GATE-004");
    // as many globals as fit
    let globals = "(global (mut i64) (i64.const 0))".repeat(1020);
    assert!(
        canonicalise(
            &wat::parse_str(format!("(module {globals} (func (export \"_start\")))")).unwrap()
        )
        .is_ok()
    );
}

/// Asserts that M' uses only the features that it needs, imports only the machine's functions, and
/// exports the items that hosts expect.
fn check_canonical(module: &[u8]) {
    let features = WasmFeatures::WASM1
        | WasmFeatures::SIGN_EXTENSION
        | WasmFeatures::SATURATING_FLOAT_TO_INT
        | WasmFeatures::MULTI_VALUE
        | WasmFeatures::BULK_MEMORY_OPT;
    Validator::new_with_features(features).validate_all(module).unwrap();
    for payload in Parser::new(0).parse_all(module) {
        match payload.unwrap() {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import.unwrap();
                    assert_eq!(import.module, "rialto");
                    assert!(["inlen", "in32", "out32", "exit"].contains(&import.name));
                }
            }
            Payload::ExportSection(section) => {
                let exports: Vec<_> = section
                    .into_iter()
                    .map(|export| export.unwrap())
                    .map(|e| (e.name, e.kind))
                    .collect();
                let global = |name| (name, ExternalKind::Global);
                let system = ["fuel", "stackLeft", "digest", "seed"].map(global);
                assert_eq!(
                    exports[..2],
                    [("run", ExternalKind::Func), ("memory", ExternalKind::Memory)]
                );
                assert_eq!(exports[2..], system);
            }
            Payload::StartSection { .. } => {
                panic!("a start section runs before the host sets the fuel")
            }
            _ => {}
        }
    }
}

#[test]
fn guests_become_valid_canonical_modules() {
    for name in ["surroundings", "files", "work", "crash", "rusty"] {
        check_canonical(&host::guest(name).module);
    }
}

#[test]
fn only_what_is_imported_is_injected() {
    let size = |import: &str| {
        let text = format!("(module {import} (memory 1) (func (export \"_start\")))");
        let module = canonicalise(&wat::parse_str(text).unwrap()).unwrap().module;
        check_canonical(&module);
        module.len()
    };
    let none = size("");
    let random = size(
        "(import \"wasi_snapshot_preview1\" \"random_get\" (func (param i32 i32) (result i32)))",
    );
    let open = size(
        "(import \"wasi_snapshot_preview1\" \"path_open\" (func (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))",
    );
    assert!(none < 300 && none < random && random < open, "{none} {random} {open}");
}

#[test]
fn start_functions_run_first_and_are_metered() {
    let text = "(module (memory 1) (global $g (mut i32) (i32.const 0)) (start $s)
        (func $s (global.set $g (i32.const 1)))
        (func (export \"_start\") (if (i32.eqz (global.get $g)) (then unreachable))))";
    let run = host::run_wat(text, host::PLENTY);
    assert_eq!((run.exit, host::PLENTY - run.fuel_left), (Some(0), 8 + 2 + 3));
}

#[test]
fn multiple_values_and_odd_shapes_survive() {
    let text = "(module (type $pair (func (param i32 i32) (result i32 i32)))
        (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32))) (memory 1)
        (func $swap (type $pair) (local.get 1) (local.get 0))
        (func $count (param i32) (result i32 i32)
          (local.get 0) (i32.const 0)
          (loop (type $pair) (i32.const 1) i32.add (call $swap) (i32.const 1) i32.sub (call $swap)
            (br_if 0 (i32.lt_u (i32.load (i32.const 0)) (i32.const 0)))))
        (func $tight (param i32) (result i32 i32) (local i32)
          (loop (local.set 1 (i32.add (local.get 1) (local.get 0))) (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
          (return (local.get 1) (i32.const 3)))
        (func (export \"_start\") (call $count (i32.const 5)) (call $tight (i32.const 10)) i32.add i32.add i32.add (call $exit)))";
    // count(5) = (4, 1), tight(10) = (55, 3)
    assert_eq!(host::run_wat(text, host::PLENTY).exit, Some(63));
}

#[test]
fn a_module_without_memory_or_maximum_gets_one() {
    let of = |memory: &str| {
        let canonical = canonicalise(
            &wat::parse_str(format!("(module {memory} (func (export \"_start\")))")).unwrap(),
        )
        .unwrap();
        check_canonical(&canonical.module);
        (canonical.min_pages, canonical.max_pages)
    };
    assert_eq!(of(""), (0, 0));
    assert_eq!(of("(memory 3)"), (3, 65536));
    assert_eq!(of("(memory 3 7)"), (3, 7));
}

#[test]
fn names_and_debug_sections_do_not_change_the_program() {
    let with =
        wat::parse_str("(module $m (memory 1) (func $named (export \"_start\") (local $x i32)))")
            .unwrap();
    let without =
        wat::parse_str("(module (memory 1) (func (export \"_start\") (local i32)))").unwrap();
    assert_ne!(with, without);
    assert_eq!(canonicalise(&with), canonicalise(&without));
}

fn guest_bytes() -> Vec<u8> {
    std::fs::read(format!("{}/../../examples/guests/surroundings.wasm", env!("CARGO_MANIFEST_DIR")))
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = canonicalise(&bytes);
        let _ = canonicalise(&[b"\0asm\x01\0\0\0".as_slice(), &bytes].concat());
    }

    #[test]
    fn mutilated_programs_never_panic(edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), cut in any::<prop::sample::Index>(), whole in any::<bool>()) {
        let mut wasm = guest_bytes();
        for (at, byte) in edits {
            let at = at.index(wasm.len());
            wasm[at] = byte;
        }
        if !whole {
            wasm.truncate(cut.index(wasm.len()));
        }
        if let Ok(canonical) = canonicalise(&wasm) {
            check_canonical(&canonical.module);
        }
    }
}
