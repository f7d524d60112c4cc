//! The deterministic machine: gate, canonicaliser, metering, WASI polyfill, and the encodings of a
//! task's input and output. Pure: no IO, no clock, no randomness.
//!
//! ```text
//! guest.wasm ─ gate ─ canonicalise ─▶ M'   core wasm with four imports; metering, stack limit and WASI inside
//! ```
//!
//! M', never the user's file, is what every engine runs. Its rules are named by [`CANON_VERSION`]; a
//! version's rules never change.
//!
//! # What a host must do (the whole contract)
//!
//! 1. Instantiate M' ([`Canonical::module`]); instantiation never traps and runs no guest code.
//! 2. Set the exported globals `fuel` (i64: the order's limit, at most [`limits::MAX_FUEL`]) and `seed` (i64).
//!    `stackLeft` starts at [`limits::STACK_BUDGET_SLOTS`], `digest` at zero; the host leaves both alone. `stackLeft` changes only
//!    when the stack overflows: then it is negative.
//! 3. Call the export `run`. It returned, or the guest called `exit(code)`: FINISHED, with exit code 0
//!    or `code`. Anything else: TRAP; `fuel < 0` then says that the fuel ran out.
//! 4. Serve the imports from module `rialto` (M' imports only those that it uses):
//!
//! | import | meaning |
//! |---|---|
//! | `inlen() → i64` | low 32 bits: bytes of the task half; high 32 bits: bytes of the shared half |
//! | `in32(i) → (i64 ×4)` | leaf `i` (unsigned) of the input, as four little-endian words. `i < 2^26`: 32-byte leaf `i` of the task half; `2^26 ≤ i < 2^27`: leaf `i − 2^26` of the shared half; past a half's end: zeros; `i ≥ 2^27`: TRAP |
//! | `out32(w0, w1, w2, w3, n)` | appends the first `n` bytes (1..=32, else TRAP) of the leaf to the output. Only the last leaf may be partial: after `n < 32`, another `out32` is a TRAP. `outHash` chains the leaf padded with zeros (M' sends zeros after byte `n`; the host zeroes them all the same) |
//! | `exit(code)` | ends the run; never returns |
//!
//! A run that traps keeps the leaves it had emitted; a leaf still in the polyfill's buffer is lost.
//! An `out32` beyond the order's output limit is a TRAP: part of the result, the same everywhere.
//!
//! `memory.grow` can reach min([`Canonical::max_pages`], the order's page limit); beyond that it returns −1, the same
//! everywhere. A host that can't serve a growth below it aborts the *attempt*: it never lets it return −1.
//! An order whose page limit is below [`Canonical::min_pages`] can't be run at all.
//!
//! The native stack must outlast the injected limit: overflowing it is the attempt's failure, not a result. 64 MiB
//! are plenty for wasmtime: the worst frames that tests know take a fraction of that.
//!
//! # Fuel
//! Injected into M', polyfill included: see `cost` for the prices and `body` for where they are charged. The fuel global is exact whenever a
//! run finishes or runs out of fuel: a run that needs `n` fuel finishes with a limit of `n` and runs out with `n − 1`. Any other
//! trap leaves the fuel less the whole block that it happened in, and less what was prepaid, up to [`limits::PREPAID_FUEL`] in all.
//! All of this is M' itself, so every engine leaves the same value.
//!
//! Functions of M' take and return more than the guest's: what is prepaid and the stack left travel through parameters and
//! results, which engines keep in registers (see `calls` and `emit`).
//!
//! M' carries branch hints (`metadata.code.branch_hint`) that mark the checks as unlikely. Engines may ignore them; wasmtime lays hot
//! loops out much better with `Config::wasm_branch_hinting(true)`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod body;
mod calls;
mod canon;
mod cost;
mod emit;
mod error;
pub mod explain;
pub mod float;
mod gate;
pub mod input;
pub mod ir;
pub mod limits;
mod lower;
pub mod output;
pub mod play;
mod prove;
pub mod step;
mod trace;
mod tree;
mod wasi;
mod work;

pub use canon::{CANON_VERSION, Canonical, canonicalise};
pub use error::GateError;
pub use lower::{Lowered, lower};
pub use prove::{WrongProof, judge};
pub use step::Registers;
pub use trace::{Snapshot, TaskLimits, Tracer, start_parts};
pub use work::Work;
