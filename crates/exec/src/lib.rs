//! Runs canonical programs fast and safely on wasmtime.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod engine;
mod error;
mod limits;
mod shared;

pub use engine::{Engine, Outcome, Program};
pub use error::{AttemptError, ExecError};
pub use limits::{CancelFlag, Config, Limits, PAGE_BYTES};
pub use shared::SharedData;
