//! The engine.
use crate::{AttemptError, CancelFlag, Config, ExecError, Limits, SharedData};
use alloy_primitives::B256;
use bytes::Bytes;
use rialto_protocol::receipt::Halted;
use std::sync::Arc;

/// A prepared program.
#[derive(Debug)]
pub struct Program {
    root: B256,
    min_pages: u32,
    max_pages: u32,
}

impl Program {
    /// What an order names it by.
    pub fn root(&self) -> B256 {
        self.root
    }
    /// Pages it starts with.
    pub fn min_pages(&self) -> u32 {
        self.min_pages
    }
    /// Its own maximum of pages.
    pub fn max_pages(&self) -> u32 {
        self.max_pages
    }
}

/// How a task ended, and what it wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The halted state.
    pub halted: Halted,
    /// The output stream: records of stdout, stderr and created files (`rialto_machine::output`).
    pub output: Bytes,
}

/// Runs programs; clones share everything.
#[derive(Clone, Debug)]
pub struct Engine {
    config: Arc<Config>,
}

impl Engine {
    /// Starts an engine.
    pub fn new(config: Config) -> Result<Self, ExecError> {
        Ok(Self { config: Arc::new(config) })
    }
    /// Checks, canonicalises and compiles a program, or takes it from a cache. Blocking, seconds for large programs.
    pub fn prepare(&self, _wasm: &[u8]) -> Result<Arc<Program>, ExecError> {
        Err(ExecError::Config(format!("not there yet: {:?}", self.config)))
    }
    /// Runs one task. Blocking.
    pub fn run(
        &self,
        program: &Program,
        task_input: &[u8],
        shared: &SharedData,
        limits: &Limits,
        seed: u64,
    ) -> Result<Outcome, AttemptError> {
        let _ = (program, task_input, shared, limits, seed);
        Err(AttemptError::Cancelled)
    }
    /// Runs task `i` of an order on `inputs[i]` with seed `task_seed(order_seed, i)`, over all cores. Blocking.
    /// `progress` is told the number of tasks done so far. The first attempt that fails cancels the rest.
    #[allow(clippy::too_many_arguments)]
    pub fn run_batch(
        &self,
        program: &Program,
        inputs: &[Bytes],
        shared: &SharedData,
        limits: &Limits,
        order_seed: u64,
        cancel: &CancelFlag,
        progress: &(dyn Fn(u32) + Sync),
    ) -> Result<Vec<Outcome>, AttemptError> {
        let _ = (program, inputs, shared, limits, order_seed, cancel, progress);
        Err(AttemptError::Cancelled)
    }
}
