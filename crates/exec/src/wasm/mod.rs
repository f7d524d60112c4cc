//! Canonical WebAssembly on wasmtime: a fresh pooled instance per task, all cores.
//!
//! ```text
//! Engine::prepare(wasm) ─ disk cache, or in a worker: canonicalise ─▶ M' ─ tune and Cranelift ─▶ Program
//! Engine::run*(Program, inputs, Limits) ─▶ Outcome { halted, output }      the same on every host
//!                                       └▶ AttemptError                    this host's trouble: never a result
//! ```
//!
//! What a program can reach is the four functions of `rialto_machine`'s contract, in `host`.

mod artifact;
mod cache;
mod compile;
mod config;
mod engine;
mod executor;
mod host;
mod program;
mod run;
mod slots;
#[cfg(test)]
mod tests;
mod tune;
mod underway;
pub mod worker;

pub use config::Config;
pub use engine::Engine;
pub use program::Program;
