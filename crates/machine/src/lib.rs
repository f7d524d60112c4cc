//! The deterministic machine: gate, canonicaliser, metering, WASI polyfill, and the encodings of a
//! task's input and output; and the same program in steps, for the court. The crate uses no IO,
//! clock or randomness.
//!
//! ```text
//! guest.wasm ─ gate ─ canonicalise ─▶ M'
//!                                     core wasm: four imports, metering, stack limit, WASI
//! ```
//!
//! Every engine runs M', never the user's file. The rules of a version never change: each version
//! has a folder of its own, and [`version`] finds it by its number. [`CANON_VERSION`] is the
//! current one.
//!
//! # The contract with a host
//! A host must do the following, and nothing else:
//!
//! 1. Instantiate M' ([`Canonical::module`]). Instantiation never traps and runs no guest code.
//! 2. Set the exported globals `fuel` (i64: the order's limit, at most [`limits::MAX_FUEL`]) and
//!    `seed` (i64). `stackLeft` starts at [`limits::STACK_BUDGET_SLOTS`] and `digest` at zero; the
//!    host must not change them. `stackLeft` changes only when the stack overflows, and is then
//!    negative.
//! 3. Call the export `run`. If it returns, the run is FINISHED with exit code 0; if the guest
//!    calls `exit(code)`, it is FINISHED with `code`. Anything else is a TRAP; `fuel < 0` then
//!    means that the fuel ran out.
//! 4. Provide the imports from module `rialto` (M' imports only those that it uses):
//!
//! | import | meaning |
//! |---|---|
//! | `inlen() → i64` | low 32 bits: bytes of the task half; high 32 bits: bytes of the shared half |
//! | `in32(i) → (i64 ×4)` | leaf `i` (unsigned) of the input, as four little-endian words. `i < 2^26`: 32-byte leaf `i` of the task half; `2^26 ≤ i < 2^27`: leaf `i − 2^26` of the shared half; past a half's end: zeros; `i ≥ 2^27`: TRAP |
//! | `out32(w0, w1, w2, w3, n)` | appends the first `n` bytes (1..=32, else TRAP) of the leaf to the output. Only the last leaf may be partial: after `n < 32`, another `out32` is a TRAP. `outHash` chains the leaf padded with zeros (M' sends zeros after byte `n`; the host zeroes them all the same) |
//! | `exit(code)` | ends the run; never returns |
//!
//! A run that traps keeps the leaves that it emitted; a leaf in the polyfill's buffer is lost. An
//! `out32` beyond the order's output limit is a TRAP. It is part of the result, the same
//! everywhere.
//!
//! `memory.grow` can reach min([`Canonical::max_pages`], the order's page limit); beyond that it
//! returns −1, the same everywhere. A host that can't serve a growth below that limit must abort
//! the *attempt* and never let it return −1. An order whose page limit is below
//! [`Canonical::min_pages`] can't be run.
//!
//! The native stack must be large enough for the injected limit: its overflow fails the attempt and
//! is not a result. For wasmtime 64 MiB are plenty; the largest frames in the tests take a fraction
//! of that.
//!
//! # Fuel
//! Metering is injected into M', polyfill included: `cost` has the prices, and `body` says where
//! they are charged. The fuel global is exact whenever a run finishes or runs out of fuel: a run
//! that needs `n` fuel finishes with a limit of `n` and runs out with `n − 1`. Any other trap
//! subtracts the whole block in which it occurs, and forfeits the prepaid fuel, up to
//! [`limits::PREPAID_FUEL`] in all. All of this is code of M' itself, so every engine leaves the
//! same value.
//!
//! Functions of M' take and return more than the guest's: the prepaid fuel and the remaining stack
//! travel through parameters and results, which engines keep in registers (see `calls` and `emit`).
//!
//! M' has branch hints (`metadata.code.branch_hint`) that mark the checks as unlikely. Engines may
//! ignore them; wasmtime arranges hot loops much better with `Config::wasm_branch_hinting(true)`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod error;
pub mod input;
pub mod output;
mod tree;
pub mod v3;
mod version;

pub use error::GateError;
pub use v3::step::Registers;
pub use v3::{
    CANON_VERSION, Canonical, Lowered, Snapshot, TaskLimits, Tracer, Work, WrongProof,
    canonicalise, explain, float, ir, judge, limits, lower, play, start_parts, step,
};
pub use version::{Machine, Machines, version};
