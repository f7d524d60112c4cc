//! Runs programs fast and safely: limits that are part of the result (fuel, output, pages) and
//! limits that never are (wall time, this host's memory).
//!
//! A node speaks [`Executor`] and [`Prepared`]. Canonical WebAssembly ([`wasm`]) is the one
//! implementation.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod error;
mod executor;
mod limits;
mod map;
mod shared;
pub mod wasm;

pub use error::{AttemptError, ExecError};
pub use executor::{Batch, Executor, Outcome, Prepared, Task};
pub use limits::{CancelFlag, Lent, Limits, PAGE_BYTES};
pub use map::map_file;
pub use shared::{SharedData, SharedFiles};
pub use wasm::{Config, Engine, Program, worker};
