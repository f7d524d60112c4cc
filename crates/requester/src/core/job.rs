//! A job: what a user submits, what is told while it runs, and the report at its end.

use std::{collections::BTreeSet, fmt};

use rialto_protocol::{
    Address, B256, DealId, GameId, OrderId,
    court::{GameEnd, JudgedStep},
    fault::Fault,
    receipt::{Halted, task_seed},
};
use serde::{Deserialize, Serialize};

use super::{matching::Excluded, policy::PPM};

/// Most tasks of a job.
pub const MAX_JOB_TASKS: usize = 1 << 20;
/// Longest name of a job, bytes.
pub const MAX_NAME_BYTES: usize = 128;
/// Most replicas per task.
pub const MAX_REPLICAS: u32 = 16;

/// Names a job. Random, so that no two jobs of a key ever share a chain intent or a deal's salt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobId(pub u64);

impl std::str::FromStr for JobId {
    type Err = std::num::ParseIntError;

    /// Reads what `Display` writes: hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Most bytes that the length of an input takes in a message, and that of a list of them.
const MAX_LENGTH_BYTES: u64 = 5;

/// An input with its length.
fn carried(bytes: u32) -> u64 {
    u64::from(bytes) + MAX_LENGTH_BYTES
}

/// How results are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Policy {
    /// Each task runs once; only the receipt's arithmetic is checked.
    Trust,
    /// Each task runs on `n` providers with distinct owners, and every result is compared.
    Replicate {
        /// Providers per task, ≥ 1.
        n: u32,
    },
    /// Each task runs once; a secret sample of every provider's results is run again, by this
    /// machine, or, where it may not or can't, by another provider (whole batches then).
    Audit {
        /// Part of the tasks that is checked, parts per million, ≥ 1.
        rate_ppm: u32,
    },
    /// Each task runs once; how much of a provider's results is run again depends on what is known
    /// of it: everything at first, less the more was right, everything again after a fault.
    Adaptive {
        /// Smallest part that is checked, parts per million, ≥ 1.
        floor_ppm: u32,
    },
}

impl Policy {
    /// Distinct providers per task.
    pub fn replicas(&self) -> u32 {
        match self {
            Self::Trust | Self::Audit { .. } | Self::Adaptive { .. } => 1,
            Self::Replicate { n } => *n,
        }
    }
}

/// What the user allows and asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Constraints {
    /// Most that may be locked in deals at any time, base units; nobody is ever paid beyond it.
    pub budget: u128,
    /// Highest price, base units per Tfuel.
    pub max_price: u128,
    /// Unix seconds by which the work must be done.
    pub deadline: u64,
    /// Smallest collateral, in 1/10_000 of a deal's budget.
    pub min_collateral_bps: u32,
    /// Fewest providers wanted, for speed and fail-over; fewer are taken where there are not as
    /// many.
    pub min_providers: u32,
    /// Most providers at a time.
    pub max_providers: u32,
    /// Providers not to use.
    pub exclude: BTreeSet<Address>,
    /// Fuel one task is expected to use, if known: only then offers are excluded for being slow.
    pub expected_fuel: Option<u64>,
    /// Whether this machine may run tasks itself: to settle a mismatch, or when nobody is left to
    /// run them.
    pub run_locally: bool,
}

/// A job as the core knows it: hashes and numbers; the shell keeps the bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// Its name.
    pub id: JobId,
    /// What its user calls it; need not be unique.
    pub name: String,
    /// programRoot.
    pub program: B256,
    /// inputRoot of every task.
    pub inputs: Vec<B256>,
    /// The program as its user gave it, bytes.
    pub program_bytes: u64,
    /// The input that all tasks share, bytes.
    pub shared_bytes: u64,
    /// Every task's own input, bytes.
    pub input_bytes: Vec<u32>,
    /// Fuel limit of each task.
    pub fuel_limit: u64,
    /// Output limit of each task, bytes.
    pub out_limit: u64,
    /// Memory limit of each task, 64 KiB pages.
    pub max_pages: u32,
    /// From which every batch's random seed is derived.
    pub seed: u64,
    /// From which samples are drawn. Nobody else ever learns it.
    pub secret: B256,
    /// How results are checked.
    pub policy: Policy,
    /// Limits on money, time and providers.
    pub constraints: Constraints,
}

impl JobSpec {
    /// Number of tasks.
    pub fn tasks(&self) -> u32 {
        self.inputs.len() as u32
    }

    /// What a provider fetches before it can answer its first order, bytes.
    pub fn carried_bytes(&self) -> u64 {
        self.program_bytes.saturating_add(self.shared_bytes)
    }

    /// What an order of these tasks carries as their own inputs, bytes: no less than a provider
    /// counts.
    pub fn carried_inputs(&self, first: u32, count: u32) -> u64 {
        let tasks = self.input_bytes.iter().skip(first as usize).take(count as usize);
        tasks.map(|bytes| carried(*bytes)).fold(MAX_LENGTH_BYTES, u64::saturating_add)
    }

    /// The same of the task with the largest.
    pub fn largest_input(&self) -> u64 {
        self.input_bytes
            .iter()
            .map(|bytes| carried(*bytes))
            .max()
            .unwrap_or(0)
            .saturating_add(MAX_LENGTH_BYTES)
    }

    /// Checks the bounds that the core relies on.
    pub fn check(&self) -> Result<(), JobError> {
        let replicas = self.policy.replicas();
        if self.inputs.is_empty()
            || self.inputs.len() > MAX_JOB_TASKS
            || self.inputs.len() != self.input_bytes.len()
        {
            return Err(JobError::Tasks { tasks: self.inputs.len(), most: MAX_JOB_TASKS });
        }
        if replicas == 0 || replicas > MAX_REPLICAS {
            return Err(JobError::Replicas { replicas, most: MAX_REPLICAS });
        }
        if let Policy::Audit { rate_ppm: rate } | Policy::Adaptive { floor_ppm: rate } = self.policy
            && !(1..=PPM).contains(&rate)
        {
            return Err(JobError::Rate { rate, most: PPM });
        }
        if self.name.len() > MAX_NAME_BYTES {
            return Err(JobError::Name { most: MAX_NAME_BYTES });
        }
        if self.fuel_limit == 0 || self.fuel_limit > i64::MAX as u64 {
            return Err(JobError::FuelLimit);
        }
        Ok(())
    }

    /// Random seed of the batch that begins with task `first`: the same for every replica of the
    /// batch.
    pub fn batch_seed(&self, first: u32) -> u64 {
        task_seed(self.seed, first)
    }
}

/// Why a job was refused or failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[allow(missing_docs)] // each variant says what its fields are
pub enum JobError {
    /// Number of tasks out of range.
    #[error("[R-JOB-001] a job has 1 to {most} tasks, not {tasks}")]
    Tasks { tasks: usize, most: usize },
    /// Number of replicas out of range.
    #[error("[R-JOB-002] 1 to {most} replicas, not {replicas}")]
    Replicas { replicas: u32, most: u32 },
    /// Fuel limit out of range.
    #[error("[R-JOB-003] the fuel limit must be between 1 and 2^63 - 1")]
    FuelLimit,
    /// A job with this name exists.
    #[error("[R-JOB-004] a job with this id exists")]
    Duplicate,
    /// The job's name is too long.
    #[error("[R-JOB-005] a job's name has at most {most} bytes")]
    Name { most: usize },
    /// Rate or floor out of range.
    #[error("[R-JOB-008] a rate or floor of 1 to {most} parts per million, not {rate}")]
    Rate { rate: u32, most: u32 },
    /// Only a job that ended without all its results can be taken up again.
    #[error(
        "[R-JOB-006] the job {state}: only one that ended without all its results can be resumed"
    )]
    NotResumable { state: String },
    /// No set of providers does it. The text says what to change.
    #[error("{0}")]
    NoMatch(String),
    /// The deadline passed.
    #[error(
        "[R-JOB-020] deadline passed with {verified} of {tasks} tasks verified: move the deadline or allow more providers"
    )]
    Deadline { verified: u64, tasks: u64 },
    /// Providers fell away and nobody replaces them.
    #[error("[R-JOB-021] {left} tasks found no provider before the deadline: {why}")]
    Stranded { left: u64, why: String },
    /// The chain refused to open a deal for a reason that no other provider cures.
    #[error("[R-JOB-022] deals could not be opened: {0}")]
    Open(String),
    /// Cancelled by the user.
    #[error("[R-JOB-023] cancelled")]
    Cancelled,
    /// The account would not hold the bonds of the accusations that its deals may need. Nothing was
    /// opened.
    #[error(
        "[R-JOB-026] opening deals takes {takes} base units, and {bonds} have to stay for the bonds of accusations; \
         the market account holds {holds}: deposit {} more, or use fewer providers",
        .takes.saturating_add(*.bonds).saturating_sub(*.holds)
    )]
    Bonds { holds: u128, takes: u128, bonds: u128 },
}

/// How a job ended.
pub type Outcome = Result<(), JobError>;

/// A task for which a provider signed a wrong result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrongTask {
    /// Task of the job.
    pub task: u32,
    /// What the provider signed.
    pub theirs: Halted,
    /// What is right.
    pub right: Halted,
}

/// The story of a job, as it happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // each variant says what its fields are
pub enum JobEvent {
    /// An offer was heard while looking for providers.
    AskHeard {
        provider: Address,
        price: Option<u128>,
        task_fee: u128,
        cores: u32,
        fuel_per_second: u64,
    },
    /// An offer was left out.
    Excluded(Excluded),
    /// What the chosen offers will cost; nothing is spent yet.
    Quote { providers: u32, cost: u128, locked: u128, seconds: u64 },
    /// A deal is open on chain.
    DealOpened {
        provider: Address,
        deal: DealId,
        price: u128,
        budget: u128,
        collateral: u128,
        tx: B256,
        gas: u64,
    },
    /// A batch of tasks was ordered.
    OrderSent { provider: Address, order: OrderId, first: u32, count: u32 },
    /// Results of a batch arrived, not yet verified.
    TasksDone { provider: Address, first: u32, count: u32, fuel: u128 },
    /// A batch is verified as the policy demands.
    TasksVerified { first: u32, count: u32 },
    /// Results of one task differ.
    Mismatch { task: u32, results: Vec<(Address, Halted)> },
    /// This machine runs tasks itself, to find out who is right or because nobody else is left.
    LocalRun { first: u32, tasks: u32 },
    /// A provider signed wrong results.
    Cheater { provider: Address, deal: DealId, tasks: Vec<WrongTask> },
    /// A deal is not used any more; its unfinished tasks go elsewhere.
    ProviderDropped { provider: Address, deal: DealId, code: String, why: String },
    /// A provider that was dropped is back.
    ProviderBack { provider: Address, deal: DealId },
    /// A voucher was signed: `amount` is all that the provider has earned in this deal.
    Paid { provider: Address, deal: DealId, amount: u128, closing: bool },
    /// A provider was accused before the deal's court: its receipt for `count` tasks from `first`
    /// on is wrong.
    Accused { provider: Address, deal: DealId, game: GameId, first: u32, count: u32, bond: u128 },
    /// A turn over the receipt's tree: the provider showed nodes so many levels over the leaves, or
    /// (`ours`) one of them was picked.
    TreeNarrowed { game: GameId, height: u8, ours: bool },
    /// How a task went was challenged; its run spans 16^level steps.
    TaskChallenged { game: GameId, task: u32, level: u8 },
    /// A move in a game: what is in dispute begins at step `position` and spans 16^level steps.
    GameMoved { game: GameId, level: u8, position: u64, ours: bool },
    /// The court judged a step: what the loser said that follows, and what does.
    StepJudged { game: GameId, position: u64, claimed: B256, right: B256 },
    /// A game is over.
    GameEnded { provider: Address, game: GameId, won: bool, end: GameEnd },
    /// A provider asserts a receipt on chain, for `claimed` base units, that is wrong by what this
    /// machine found; by a run of all its tasks here `right` would be due.
    FalseReceipt {
        provider: Address,
        deal: DealId,
        order: OrderId,
        claimed: u128,
        right: Option<u128>,
    },
    /// A provider gave a receipt whose fuel does not add up: told without running anything.
    Misstated { provider: Address, deal: DealId, order: OrderId, fault: Fault },
    /// The court found a receipt wrong without a game: of the collateral so much came to us, base
    /// units.
    Convicted { provider: Address, deal: DealId, fault: Fault, compensation: u128 },
    /// A deal is over on chain.
    DealClosed { provider: Address, deal: DealId, paid: u128, tx: B256, gas: Option<u64> },
    /// How far the job is.
    Progress(Progress),
    /// All work is over (or given up); payments are being settled.
    Settling { outcome: Outcome },
    /// Something a person should know.
    Note { code: String, text: String },
}

/// Counts of tasks and money.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Tasks of the job.
    pub tasks: u64,
    /// Tasks run by at least one provider.
    pub done: u64,
    /// Tasks whose result is verified.
    pub verified: u64,
    /// Verified tasks for which a provider is paid.
    pub paid: u64,
    /// Base units owed by vouchers.
    pub spent: u128,
    /// Task runs that were lost and had to be given to somebody: refused, wrong, not used, or with
    /// a provider that fell away.
    pub retries: u64,
    /// Times that a provider fell away: silent, unreachable, refusing, or caught.
    pub failovers: u64,
}

/// Where a job stands, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobPhase {
    /// Looking for providers, or being worked on.
    Running,
    /// Work is over (or given up); payments are being settled.
    Settling,
    /// Reported.
    Ended,
}

/// A job in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobStatus {
    /// The job.
    pub id: JobId,
    /// What its user calls it.
    pub name: String,
    /// Where it stands.
    pub phase: JobPhase,
    /// How its work ended, once it has.
    pub outcome: Option<Outcome>,
    /// When it was submitted, unix seconds.
    pub submitted: u64,
    /// By when its work must be done, unix seconds.
    pub deadline: u64,
    /// When its work ended, unix seconds.
    pub ended: Option<u64>,
    /// How results are checked.
    pub policy: Policy,
    /// Most that may be locked or paid, base units.
    pub budget: u128,
    /// Deals it used so far.
    pub deals: u32,
    /// Counts.
    pub progress: Progress,
    /// Why it waits for providers, if it does.
    pub waits: Option<String>,
}

/// Where the output of a task lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // each variant says what its fields are
pub enum Source {
    /// In the stream of outputs of an order, at this byte.
    Order { order: OrderId, offset: u64 },
    /// From a run on this machine.
    Local,
}

/// A verified result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskResult {
    /// Its end.
    pub halted: Halted,
    /// Where its output is.
    pub source: Source,
    /// Providers that gave this result, and 1 more if this machine did.
    pub votes: u32,
}

/// How a provider's part in a job ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // each variant says what its fields are
pub enum ProviderStatus {
    /// Paid; the deal is closed on chain, or stays open for later jobs.
    Settled,
    /// Signed wrong results; deal closed or not.
    Cheated,
    /// Stopped answering, refused or broke the protocol.
    Dropped { code: String },
    /// Holds a closing voucher that is not redeemed yet.
    Unsettled,
}

/// A provider's part in a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderReport {
    /// Its account.
    pub provider: Address,
    /// The deal.
    pub deal: DealId,
    /// Price, base units per Tfuel.
    pub price: u128,
    /// Base units per task.
    pub task_fee: u128,
    /// Budget that was locked.
    pub budget: u128,
    /// Task runs that were accepted.
    pub tasks: u64,
    /// Fuel that was accepted.
    pub fuel: u128,
    /// What the vouchers say it earned.
    pub earned: u128,
    /// What the chain says it was paid; absent until the deal is closed.
    pub paid: Option<u128>,
    /// How it ended.
    pub status: ProviderStatus,
    /// What it signed that was wrong.
    pub wrong: Vec<WrongTask>,
}

/// A transaction of, or about, a job's deals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TxNote {
    /// "open", "close", "expire", "late" (ours) or "redeem" (the provider's).
    pub kind: String,
    /// Transaction hash.
    pub tx: B256,
    /// Gas used, where known.
    pub gas: Option<u64>,
    /// Deals it opened or closed.
    pub deals: u32,
}

/// What was checked, what that cost, and what it leaves unseen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checks {
    /// Verified tasks that were run more than once, by providers or this machine, with equal
    /// results.
    pub checked: u64,
    /// Tasks that this machine ran.
    pub own_runs: u64,
    /// Fuel it burned for them.
    pub own_fuel: u128,
    /// Accepted task runs beyond the first of each task.
    pub repeated: u64,
    /// Base units for them.
    pub repeated_fees: u128,
    /// Batches that were doubtful because their provider was caught elsewhere, and were run again.
    pub doubted: u64,
    /// For 1, 10, 100 … tasks: the probability, in parts per million, that a provider of the least
    /// checked kind of this job falsified so many of its tasks and stayed unseen, at most.
    pub unseen: Vec<(u64, u32)>,
}

/// Everything about an ended job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The job.
    pub job: JobId,
    /// How it ended.
    pub outcome: Outcome,
    /// Result of every task; `None` where there is no verified one.
    pub tasks: Vec<Option<TaskResult>>,
    /// Everybody who had a deal.
    pub providers: Vec<ProviderReport>,
    /// Base units owed to all providers together.
    pub requester_paid: u128,
    /// Transactions known.
    pub transactions: Vec<TxNote>,
    /// Final counts.
    pub progress: Progress,
    /// What was checked.
    pub checks: Checks,
    /// What went to court.
    pub disputes: Vec<Dispute>,
}

/// A game about one of a job's deals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispute {
    /// Game id.
    pub game: GameId,
    /// Deal id.
    pub deal: DealId,
    /// The court.
    pub court: Address,
    /// Who signed the receipt.
    pub provider: Address,
    /// Who says that it is wrong.
    pub accuser: Address,
    /// Task of the job that it came down to, if it did.
    pub task: Option<u32>,
    /// Moves made, the accusation not counted.
    pub moves: u32,
    /// The accuser's bond, base units.
    pub bond: u128,
    /// The step that was judged.
    pub step: Option<JudgedStep>,
    /// How it ended.
    pub end: Option<GameEnd>,
    /// Of the provider's collateral, to the requester, base units.
    pub compensation: u128,
    /// Of the provider's collateral, burned, base units.
    pub burned: u128,
}
