//! What goes into a core and what comes out.

use rialto_protocol::case::CaseId;
use rialto_protocol::{
    Address, B256, Bytes, DealId, GameId, OrderId,
    court::{Answer, GameView, PARTS, Segment},
    fault::FaultProof,
    receipt::Halted,
    types::{Ack, Cancel, Deal, Game, Order, Receipt, Release, Voucher},
    wire::{Payload, PeerAddr, Signed, ToRequester},
};

use super::{
    book::Offer,
    facts::{Cursor, Fact},
    job::{JobEvent, JobId, JobSpec, Summary, TxNote},
    journal::{Record, Terms},
};

/// Something that happened outside.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each variant says what its fields are
#[allow(clippy::large_enum_variant)] // few are there at a time, and each is looked at once
pub enum Event {
    /// The shell runs: first event after [`Core::restore`](super::Core::restore). What was under
    /// way is taken up again.
    Started,
    /// Time passed. Sent about once a second.
    Tick,
    /// An ask was heard, and the shell found it valid.
    Heard(Offer),
    /// A user submits a job.
    Submit(JobSpec),
    /// A user wants a job to end.
    Cancel(JobId),
    /// A user wants a job that ended without all its results to go on, until a new deadline, with
    /// as much money or another budget. What is verified and paid stays so.
    Resume { job: JobId, deadline: u64, budget: Option<u128> },
    /// A user wants a provider to be used again although it was caught.
    Forgive(Address),
    /// The session of a deal is up. Answer to [`Effect::Connect`].
    Connected { deal: DealId },
    /// The session of a deal is over, or could not be made.
    Disconnected { deal: DealId, why: String },
    /// The provider of a deal sent something.
    Message { deal: DealId, message: ToRequester },
    /// Answer to [`Effect::Store`].
    Stored { order: OrderId, result: Stored },
    /// Answer to [`Effect::RunLocally`]: the end of every task asked for, or why this host could
    /// not.
    RanLocally { job: JobId, batch: u32, result: Result<Vec<(u32, Halted)>, String> },
    /// Answer to [`Effect::Trace`]: what was found, or why this host could not.
    Traced { key: TraceKey, result: Result<Traced, String> },
    /// Answer to [`Effect::Transact`].
    Transacted { intent: String, outcome: Transacted },
    /// The chain moved: events of deals that this account opened, their openings included, that are
    /// final now, in order; and a final block up to which everything was told, where its hash is
    /// known.
    Chain { facts: Vec<Fact>, cursor: Option<Cursor> },
}

/// What became of an order's outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each variant says what its fields are
pub enum Stored {
    /// They are what the results say, and on disk.
    Right,
    /// They are not what the results say, from this task of the order on.
    Wrong { task: u32 },
    /// They could not be fetched or written.
    Missing { why: String },
}

/// How a transaction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each variant says what its fields are
pub enum Transacted {
    /// Mined and final; with the ids of the deals it opened.
    Mined { tx: TxNote, opened: Vec<DealId> },
    /// The market refuses it.
    Reverted { code: String, reason: String },
    /// Not known to be mined; the same intent is tried again.
    Unsent { reason: String },
    /// Not sent: the account holds what the call takes, but not the bonds of accusations beside it
    /// ([`Core::accusables`](super::Core::accusables)).
    Short { holds: u128, takes: u128, bonds: u128 },
}

impl Call {
    /// What it takes from the account in the market, base units. `case_bond`: of a late notice or
    /// demand. The bond of an accusation is what the rest is kept for.
    pub fn takes(&self, case_bond: u128) -> u128 {
        match self {
            Self::Open(terms) => {
                terms.iter().map(|terms| terms.deal.budget).fold(0, u128::saturating_add)
            }
            Self::Late { .. } | Self::Demand { .. } => case_bond,
            Self::Close { .. }
            | Self::Expire { .. }
            | Self::Settle { .. }
            | Self::Accuse(_)
            | Self::Play { .. }
            | Self::Timeout { .. }
            | Self::Convict(_) => 0,
        }
    }
}

/// Something to be done outside, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each variant says what its fields are
pub enum Effect {
    /// Write all of this, or nothing, before going on: what follows acts on it.
    Persist(Vec<Record>),
    /// Open a deal's session.
    Connect { deal: DealId, peer: PeerAddr },
    /// End a deal's session.
    Hangup { deal: DealId },
    /// Send on a deal's session. The shell signs.
    Send { deal: DealId, message: Outgoing },
    /// Get an order's outputs to disk while checking them against its results
    /// ([`super::verify::OutputCheck`]).
    Store { deal: DealId, order: OrderId, results: Vec<Halted>, outputs: Payload },
    /// Run tasks of a batch on this machine. Outputs of those that end otherwise than is stored
    /// already are kept.
    RunLocally { job: JobId, batch: u32, tasks: Vec<LocalRun> },
    /// Trace a task, for a game.
    Trace(Box<Trace>),
    /// A game is over: what was kept for it may go.
    ForgetTrace { order: OrderId, task: u32 },
    /// Send a transaction.
    Transact { intent: String, call: Box<Call> },
    /// A deal is over: its provider loses access to blobs.
    Release { deal: DealId },
    /// Tell whoever watches a job.
    Tell { job: JobId, event: JobEvent },
    /// A job is over: its report.
    Finished(Box<Summary>),
}

/// A task for this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalRun {
    /// Index within the batch.
    pub index: u32,
    /// Task of the job.
    pub task: u32,
    /// Its random seed.
    pub seed: u64,
    /// A result whose output is stored already.
    pub stored: Option<Halted>,
}

/// A message to a provider, not yet signed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each variant says what its fields are
pub enum Outgoing {
    /// First message of a session.
    Hello(Deal),
    /// An order; its inputs are tasks `first ..` of the job.
    Order { job: JobId, first: u32, order: Order },
    /// A payment.
    Voucher(Voucher),
    /// A result was wrong.
    Reject { order: OrderId, task: u32, expected: B256 },
    /// An order is not needed any more, and will not be called late.
    Cancel(Cancel),
    /// A wish to close.
    AskRelease { amount: u128 },
}

/// What is asked of the market.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each variant says what its fields are
pub enum Call {
    /// Open deals, all or none.
    Open(Vec<Terms>),
    /// Close with the provider's consent.
    Close { deal: Deal, release: Signed<Release> },
    /// End a deal after its time.
    Expire { deal: Deal },
    /// Call a promised order late.
    Late { deal: Deal, order: Order, ack: Signed<Ack> },
    /// Demand to see a task of a receipt that was claimed on chain.
    Demand { deal: Deal, order: Order, receipt: Receipt, task: u32 },
    /// End a case whose time is up.
    Settle { deal: Deal, case: CaseId },
    /// Accuse a receipt before the deal's court.
    Accuse(Box<Accusation>),
    /// Make the next turn of a game, which is over a receipt of this order.
    Play { deal: Deal, order: Box<Order>, view: Box<GameView>, answer: Box<Answer> },
    /// End a game whose turn ran out.
    Timeout { deal: Deal, game: Box<Game> },
    /// Show the deal's court that a receipt contradicts itself.
    Convict(Box<Conviction>),
}

/// Names something to be found by tracing a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)] // each variant says what its fields are
pub enum TraceKey {
    /// What shows how a task of an order went: the first segment of a challenge.
    Open { order: OrderId, task: u32 },
    /// The answer to the segment of this turn of a game.
    Answer { game: GameId, turn: u8 },
}

/// A task to be traced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// What is wanted.
    pub key: TraceKey,
    /// Job whose task it is.
    pub job: JobId,
    /// The order.
    pub order: Order,
    /// First task of the job in it.
    pub first: u32,
    /// Index within the order.
    pub task: u32,
    /// The segment to be answered: level, steps before it, state hashes.
    pub segment: Option<(u8, u64, Box<Segment>)>,
}

/// What tracing a task found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Traced {
    /// How the task went, and what shows where it begins.
    First(Box<FirstSegment>),
    /// An answer; `Nothing`: the segment is right.
    Answer(Answer),
}

/// What an accuser says of a task, as far as it comes from the task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstSegment {
    /// The task's inputRoot.
    pub input: B256,
    /// Its siblings under the order's inputs from the bottom up.
    pub input_proof: Vec<B256>,
    /// What program's and input's root are hashes of.
    pub parts: Bytes,
    /// State hashes after each sixteenth of the padded run; the last is H(halted).
    pub states: Box<[B256; PARTS]>,
}

/// An accusation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accusation {
    /// Terms.
    pub deal: Deal,
    /// Order.
    pub order: Order,
    /// The provider's receipt; its signature is empty if it asserted it on chain.
    pub receipt: Signed<Receipt>,
}

/// A receipt that a court finds wrong without a game.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conviction {
    /// Terms.
    pub deal: Deal,
    /// Order.
    pub order: Order,
    /// The provider's receipt; its signature is empty if it asserted it on chain.
    pub receipt: Signed<Receipt>,
    /// What shows it.
    pub proof: FaultProof,
}
