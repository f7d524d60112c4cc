//! Runs canonical programs fast and safely on wasmtime: a fresh pooled instance per task, all cores,
//! limits that are part of the result (fuel, output, pages) and limits that never are (wall time, this host's memory).
//!
//! ```text
//! Engine::prepare(wasm) ─ disk cache, or in a worker: canonicalise ─▶ M' ─ tune and Cranelift ─▶ Program
//! Engine::run*(Program, inputs, Limits) ─▶ Outcome { halted, output }      the same on every host
//!                                       └▶ AttemptError                    this host's trouble: never a result
//! ```
//!
//! What a program can reach is the four functions of `rialto_machine`'s contract, in `host`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod artifact;
mod cache;
mod compile;
mod engine;
mod error;
mod host;
mod limits;
mod map;
mod program;
mod run;
mod shared;
mod slots;
#[cfg(test)]
mod tests;
mod tune;
mod underway;
pub mod worker;

pub use engine::Engine;
pub use error::{AttemptError, ExecError};
pub use limits::{CancelFlag, Config, Limits, PAGE_BYTES};
pub use map::map_file;
pub use program::Program;
pub use run::Outcome;
pub use shared::{SharedData, SharedFiles};
