//! The seam between a node and what runs tasks. A node speaks these traits only: another kind of
//! program (a container, an enclave) is another implementation.

use std::fmt::Debug;
use std::sync::Arc;

use alloy_primitives::B256;
use bytes::Bytes;
use rialto_machine::{Lowered, Machines};
use rialto_protocol::receipt::Halted;

use crate::{AttemptError, CancelFlag, ExecError, Lent, Limits, SharedData};

/// Runs programs of one kind. All methods block.
pub trait Executor: Debug + Send + Sync + 'static {
    /// Returns what this host lends to tasks.
    fn lends(&self) -> Lent;

    /// Checks a new program and makes it ready to run. Returns soon after `cancel` is raised.
    ///
    /// # Errors
    /// The program is refused, or this host can't prepare it.
    fn prepare(&self, program: &[u8], cancel: &CancelFlag) -> Result<Arc<dyn Prepared>, ExecError>;

    /// Like [`Executor::prepare`], under the rules that the program was signed under: those by
    /// which its root is `root`.
    ///
    /// # Errors
    /// Those of [`Executor::prepare`], and [`ExecError::OtherProgram`] if `root` is not its root
    /// under any rules that this executor knows.
    fn prepare_signed(
        &self,
        program: &[u8],
        root: B256,
        cancel: &CancelFlag,
    ) -> Result<Arc<dyn Prepared>, ExecError>;

    /// Checks that an order that names `root` means this program. It makes nothing ready to run.
    ///
    /// # Errors
    /// The program is refused, or [`ExecError::OtherProgram`].
    fn identify(&self, program: &[u8], root: B256) -> Result<(), ExecError>;

    /// Returns the machines whose courts can judge a run. `None`: no court can judge what runs
    /// here, and a deal about it must name none.
    fn machines(&self) -> Option<Machines>;

    /// Returns the program as a court sees it, under the rules that it was signed under. It makes
    /// nothing ready to run.
    ///
    /// # Errors
    /// [`ExecError::NoCourt`] where no court can judge; [`ExecError::Gate`] or
    /// [`ExecError::OtherProgram`] where it is not the program of that root.
    fn judged(&self, program: &[u8], root: B256) -> Result<Lowered, ExecError> {
        let machines = self.machines().ok_or(ExecError::NoCourt)?;
        machines.lower(program, root)?.ok_or(ExecError::OtherProgram { root })
    }
}

/// A program that is ready to run.
pub trait Prepared: Debug + Send + Sync {
    /// Returns what an order names the program by.
    fn root(&self) -> B256;

    /// Checks whether this host can run tasks under `limits` at all.
    ///
    /// # Errors
    /// [`AttemptError::StartPages`] if the program can't start under them anywhere,
    /// [`AttemptError::Memory`] if this host lends less.
    fn check(&self, limits: &Limits) -> Result<(), AttemptError>;

    /// Runs one task. Its output is no longer than the limits allow.
    ///
    /// # Errors
    /// This host could not run it to its end.
    fn run(&self, task: &Task<'_>, cancel: &CancelFlag) -> Result<Outcome, AttemptError>;

    /// Runs all tasks of a batch, as many at a time as this host lends cores. `done` takes every
    /// outcome at once, in any order and from several threads, so that nobody holds all outputs.
    /// The first failure, of a task or of `done`, ends the others.
    ///
    /// # Errors
    /// The first failure.
    fn run_each(
        &self,
        batch: &Batch<'_>,
        cancel: &CancelFlag,
        done: &(dyn Fn(u32, Outcome) -> Result<(), AttemptError> + Sync),
    ) -> Result<(), AttemptError>;
}

/// One task.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// Its own half of the input.
    pub input: &'a [u8],
    /// The half that all tasks of its job share.
    pub shared: &'a SharedData,
    /// What it may use.
    pub limits: Limits,
    /// Its random seed.
    pub seed: u64,
}

/// The tasks of an order.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Each task's own half of the input.
    pub inputs: &'a [Bytes],
    /// The half that all share.
    pub shared: &'a SharedData,
    /// What each may use.
    pub limits: Limits,
    /// The order's seed. Task `i` has the seed `task_seed(seed, i)`.
    pub seed: u64,
}

/// How a task ended, and what it wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The halted state.
    pub halted: Halted,
    /// The output stream; `rialto_machine::output::parse` unpacks it.
    pub output: Bytes,
    /// Memory that the program had at its end, bytes: it never gives any back.
    pub memory_bytes: u64,
}
