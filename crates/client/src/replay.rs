//! Tracing tasks of ended jobs, or of any program, on this machine: what `rialto replay` shows and
//! `rialto dispute` sends.

use std::sync::Arc;

use rialto_machine::{
    Lowered, Machines, TaskLimits, Tracer, canonicalise, input::Halves, lower, play::Player,
    start_parts,
};
use rialto_protocol::{
    Address, B256, Bytes, OrderId,
    court::{Challenge, PARTS},
    receipt::{Halted, inputs_proof},
    types::{Deal, struct_hash},
    wire::Signed,
};
use rialto_requester::{Evidence, JobContent, JobReport, OrderEvidence};

use crate::class::{Class, Classified};

/// Why a task can't be traced here.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The machine does not take the program.
    #[error(transparent)]
    Gate(#[from] rialto_machine::GateError),
    /// Bytes that are not what was signed.
    #[error(
        "[C-RPL-003] the job's folder holds another {what} than was signed: it was changed since"
    )]
    Changed {
        /// Program or input.
        what: &'static str,
    },
    /// The job never had that task.
    #[error("[C-RPL-002] the job has {tasks} tasks, the first is 0: there is no task {task}")]
    NoTask {
        /// How many there are.
        tasks: usize,
        /// Which was asked for.
        task: u32,
    },
}

impl Classified for ReplayError {
    fn class(&self) -> Class {
        match self {
            Self::NoTask { .. } => Class::Usage,
            Self::Gate(_) | Self::Changed { .. } => Class::Failed,
        }
    }
}

/// A task that can be traced here: every state of its run, and proofs of its steps.
#[derive(Clone, Debug)]
pub struct Replay {
    /// The program.
    pub program: Arc<Lowered>,
    /// Its input.
    pub input: Arc<Halves>,
    /// Seed, fuel and other limits.
    pub limits: TaskLimits,
}

impl Replay {
    /// Of a program, the task's own half of its input, and the half that is shared.
    ///
    /// # Errors
    /// `M-GATE-…`.
    pub fn new(
        wasm: &[u8],
        task: impl Into<Bytes>,
        shared: impl Into<Bytes>,
        limits: TaskLimits,
    ) -> Result<Self, ReplayError> {
        let program = Arc::new(lower(&canonicalise(wasm)?.module));
        Ok(Self { program, input: Arc::new(Halves::new(task.into(), shared.into())), limits })
    }

    /// Of a task that a provider signed something about. Program and input are those of the order,
    /// or this fails.
    ///
    /// # Errors
    /// `M-GATE-…`, `C-RPL-002`, `C-RPL-003`.
    pub fn of(content: &JobContent, signed: &SignedTask) -> Result<Self, ReplayError> {
        let order = &signed.order.order.value;
        let no_task = || ReplayError::NoTask { tasks: content.tasks.len(), task: signed.task };
        let task = content.tasks.get(signed.task as usize).ok_or_else(no_task)?;
        let limits = TaskLimits::of(order, signed.index());
        // Under the rules that it was signed under, whichever are current.
        let program = Machines::default().lower(&content.program, order.program)?;
        let program = program.ok_or(ReplayError::Changed { what: "program" })?;
        let input = Halves::new(task.clone().into(), content.shared.clone().into());
        let replay = Self { program: Arc::new(program), input: Arc::new(input), limits };
        if signed.inputs.get(signed.index() as usize) != Some(&replay.input.root()) {
            return Err(ReplayError::Changed { what: "input" });
        }
        Ok(replay)
    }

    /// The task before its first step.
    pub fn tracer(&self) -> Tracer {
        Tracer::new(self.program.clone(), self.input.clone(), self.limits)
    }

    /// One side of a game over it.
    pub fn player(&self) -> Player {
        Player::new(self.program.clone(), self.input.clone(), self.limits)
    }

    /// After so many steps it has halted, whatever it does.
    pub fn most_steps(&self) -> u64 {
        self.program.parts.most_steps(self.limits.fuel)
    }
}

/// A task of an order, and what its provider signed about it.
#[derive(Clone, Debug)]
pub struct SignedTask {
    /// Task of the job.
    pub task: u32,
    /// The deal's terms.
    pub deal: Deal,
    /// Order, and the receipt if there is one.
    pub order: OrderEvidence,
    /// inputRoots of the order's tasks.
    pub inputs: Vec<B256>,
}

impl SignedTask {
    /// The task's place in its order.
    pub fn index(&self) -> u32 {
        self.task - self.order.first
    }

    /// Who had the order.
    pub fn provider(&self) -> Address {
        self.deal.provider
    }

    /// Struct hash of the order.
    pub fn order_hash(&self) -> OrderId {
        struct_hash(&self.order.order.value)
    }

    /// How the task ended, in the provider's word; `None` if it signed nothing.
    pub fn halted(&self) -> Option<&Halted> {
        self.order.receipt.as_ref()?;
        self.order.results.get(self.index() as usize)
    }

    /// The receipt, and what binds its provider to it: all that an accusation takes. `None` if the
    /// provider signed nothing.
    pub fn accusation(&self) -> Option<rialto_chain::Signed> {
        let Signed { value: receipt, signature } = self.order.receipt.clone()?;
        let (deal, order) = (self.deal.clone(), self.order.order.value.clone());
        Some(rialto_chain::Signed { deal, order, receipt, signature })
    }

    /// The accuser's word on the task, with its states after each sixteenth of the run; `index` is
    /// the task's among the leaves that the provider has shown.
    pub fn challenge(
        &self,
        replay: &Replay,
        index: u32,
        states: [B256; PARTS],
    ) -> Option<Challenge> {
        let place = self.index();
        Some(Challenge {
            index,
            input: *self.inputs.get(place as usize)?,
            input_proof: inputs_proof(&self.inputs, place),
            parts: start_parts(&replay.program, &replay.input).into(),
            states: Box::new(states),
        })
    }
}

/// Every order that a task of an ended job was in, those with a receipt first.
///
/// # Errors
/// `C-RPL-002`.
pub fn signed_tasks(report: &JobReport, task: u32) -> Result<Vec<SignedTask>, ReplayError> {
    let Evidence { deals, orders, inputs, .. } = &report.evidence;
    if task as usize >= inputs.len() {
        return Err(ReplayError::NoTask { tasks: inputs.len(), task });
    }
    let signed = orders.iter().filter_map(|order| {
        let (first, tasks) = (order.first, order.order.value.tasks);
        let there = task.checked_sub(first).is_some_and(|index| index < tasks);
        let deal =
            deals.iter().find(|deal| there && struct_hash(*deal) == order.order.value.deal)?;
        let inputs = inputs.get(first as usize..first as usize + tasks as usize)?.to_vec();
        Some(SignedTask { task, deal: deal.clone(), order: order.clone(), inputs })
    });
    let mut signed: Vec<SignedTask> = signed.collect();
    signed.sort_by_key(|signed| signed.halted().is_none());
    Ok(signed)
}
