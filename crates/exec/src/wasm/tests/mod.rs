//! Hand-written modules of the shape of M', each made for one question; `tests/guests.rs` has real
//! programs.

mod cache;
mod compile;
mod contract;
mod limits;
mod pool;
mod tune;

use rialto_machine::Canonical;
use rialto_protocol::receipt::{Status, output_hash};

use crate::wasm::{Config, Engine, Program};
use crate::{AttemptError, CancelFlag, Limits, Outcome, SharedData};

const PLENTY: Limits = Limits { fuel: 1_000_000, out_bytes: 1 << 20, max_pages: 16 };

/// An engine with a cache folder of its own.
struct Bench {
    engine: Engine,
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config { cores: 2, ..Config::new(dir.path().join("cache")) };
        change(&mut config);
        Self { engine: Engine::new(config).unwrap(), dir }
    }

    fn program(&self, body: &str) -> Program {
        self.engine.prepare_canonical(&canonical(body)).unwrap()
    }

    fn run(&self, body: &str, limits: &Limits) -> Result<Outcome, AttemptError> {
        self.engine.run(&self.program(body), b"", &SharedData::none(), limits, 0)
    }

    fn outcome(&self, body: &str) -> Outcome {
        self.run(body, &PLENTY).unwrap()
    }
}

/// A module like M' whose `run` is the given text; it starts with 1 page and can grow to 32.
fn canonical(run: &str) -> Canonical {
    let text = format!(
        r#"(module
            (import "rialto" "inlen" (func $inlen (result i64)))
            (import "rialto" "in32" (func $in32 (param i32) (result i64 i64 i64 i64)))
            (import "rialto" "out32" (func $out32 (param i64 i64 i64 i64 i32)))
            (import "rialto" "exit" (func $exit (param i32)))
            (memory (export "memory") 1 32)
            (table 4 funcref)
            (global $fuel (export "fuel") (mut i64) (i64.const 0))
            (global $stack (export "stackLeft") (mut i64) (i64.const 1000))
            (global $digest (export "digest") (mut i64) (i64.const 0))
            (global $seed (export "seed") (mut i64) (i64.const 0))
            (global $own (mut i64) (i64.const 5))
            (func $recurse (param i64) (result i64)
                (i64.add (local.get 0) (call $recurse (i64.add (local.get 0) (i64.const 1)))))
            (func $write (param i64)
                (call $out32 (local.get 0) (i64.const 0) (i64.const 0) (i64.const 0) (i32.const 8)))
            (func (export "run") (local $i i32) (local $n i64) {run})
            (data (i32.const 100) "data"))"#
    );
    let module = wat::parse_str(text).unwrap();
    Canonical {
        program_root: alloy_primitives::keccak256(&module),
        module,
        min_pages: 1,
        max_pages: 32,
        work: Default::default(),
        code_bytes: 0,
    }
}

/// The first eight bytes of the output.
fn word(outcome: &Outcome) -> i64 {
    i64::from_le_bytes(outcome.output[..8].try_into().unwrap())
}
