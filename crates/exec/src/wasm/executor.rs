//! The engine behind the seam.

use std::sync::Arc;

use alloy_primitives::B256;
use rialto_machine::Machines;

use crate::wasm::{Config, Engine, Program};
use crate::{
    AttemptError, Batch, CancelFlag, ExecError, Executor, Lent, Limits, Outcome, Prepared, Task,
};

/// A program with the engine that runs it.
#[derive(Debug)]
struct Ready {
    engine: Engine,
    program: Arc<Program>,
}

impl Engine {
    fn ready(&self, program: Arc<Program>) -> Arc<dyn Prepared> {
        Arc::new(Ready { engine: self.clone(), program })
    }
}

impl Executor for Engine {
    fn lends(&self) -> Lent {
        let Config { cores, max_memory_bytes, max_wall, .. } = *self.config();
        Lent { cores, memory_bytes: max_memory_bytes, max_wall }
    }

    fn prepare(&self, program: &[u8], cancel: &CancelFlag) -> Result<Arc<dyn Prepared>, ExecError> {
        Ok(self.ready(self.prepare_unless(program, cancel)?))
    }

    fn prepare_signed(
        &self,
        program: &[u8],
        root: B256,
        cancel: &CancelFlag,
    ) -> Result<Arc<dyn Prepared>, ExecError> {
        Ok(self.ready(self.prepare_root(program, root, cancel)?))
    }

    fn identify(&self, program: &[u8], root: B256) -> Result<(), ExecError> {
        let found = self.config().machines.find(program, root)?;
        found.map(drop).ok_or(ExecError::OtherProgram { root })
    }

    fn machines(&self) -> Option<Machines> {
        Some(self.config().machines)
    }
}

impl Prepared for Ready {
    fn root(&self) -> B256 {
        self.program.root()
    }

    fn check(&self, limits: &Limits) -> Result<(), AttemptError> {
        self.engine.check(&self.program, limits)
    }

    fn run(&self, task: &Task<'_>, cancel: &CancelFlag) -> Result<Outcome, AttemptError> {
        let Task { input, shared, limits, seed } = task;
        self.engine.run_until(&self.program, input, shared, limits, *seed, cancel)
    }

    fn run_each(
        &self,
        batch: &Batch<'_>,
        cancel: &CancelFlag,
        done: &(dyn Fn(u32, Outcome) -> Result<(), AttemptError> + Sync),
    ) -> Result<(), AttemptError> {
        let Batch { inputs, shared, limits, seed } = batch;
        self.engine.run_each(&self.program, inputs, shared, limits, *seed, cancel, done)
    }
}

impl From<Engine> for Arc<dyn Executor> {
    fn from(engine: Engine) -> Self {
        Arc::new(engine)
    }
}
