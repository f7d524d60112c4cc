//! What goes into a core and what comes out.

use alloy_primitives::{Address, B256};
use rialto_protocol::case::CaseId;
use rialto_protocol::refusal::Refusal;
use rialto_protocol::{
    DealId, GameId, OrderId, ReceiptId,
    court::{Answer, GameView},
    types::{Ask, Cancel, Deal, Game, Order, Receipt, Voucher},
    wire::{BlobRef, Signed, ToProvider, ToRequester},
};
use serde::{Deserialize, Serialize};

use super::{
    facts::{Fact, LogId},
    record::{Record, Results, Verdict},
    worth::Worth,
};

/// Something that happened outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The shell runs. First event after [`Core::restore`](super::Core::restore); chain events
    /// follow from `from_block` on, so everything known from there is forgotten and heard again.
    Started {
        /// First block whose events will be told.
        from_block: u64,
        /// The provider's ask counter.
        counter: u64,
        /// The provider's account in the market, base units.
        account: u128,
    },
    /// Time passed. Sent about once a second.
    Tick,
    /// The chain moved.
    Chain {
        /// Taken back by a reorg, newest first.
        removed: Vec<LogId>,
        /// New, oldest first.
        added: Vec<Fact>,
        /// Everything up to this block has been told.
        head: u64,
    },
    /// The provider's account and ask counter, as they are now.
    Account {
        /// Base units.
        account: u128,
        /// Ask counter.
        counter: u64,
    },
    /// A peer connected.
    Connected {
        /// Names the session; never used twice.
        session: u64,
        /// The peer's endpoint.
        peer: B256,
    },
    /// A peer sent something.
    Message {
        /// Session.
        session: u64,
        /// Message.
        message: Box<ToProvider>,
    },
    /// A session is over.
    Disconnected {
        /// Session.
        session: u64,
    },
    /// Answer to [`Effect::Fetch`].
    Fetched {
        /// Order.
        order: OrderId,
        /// Everything is here and is what was signed; or not.
        result: Result<(), Refusal>,
    },
    /// An order got further.
    Progress {
        /// Order.
        order: OrderId,
        /// Tasks done.
        done: u32,
    },
    /// Answer to [`Effect::Run`].
    Ran {
        /// Order.
        order: OrderId,
        /// One result per task, or why this host could not.
        result: Result<Results, Refusal>,
    },
    /// Answer to [`Effect::Rerun`].
    Reran {
        /// Order.
        order: OrderId,
        /// Task.
        task: u32,
        /// Whether the result came out as before; `None`: could not be run.
        same: Option<bool>,
    },
    /// Answer to [`Effect::Play`].
    Played {
        /// Game.
        game: GameId,
        /// The turn ([`GameView::turn`]).
        turn: u8,
        /// The answer; `Nothing`: we are in the wrong. Or why this host could not tell.
        result: Result<Answer, Refusal>,
    },
    /// Answer to [`Effect::Transact`].
    Transacted {
        /// As sent.
        intent: String,
        /// How it ended.
        outcome: Outcome,
    },
    /// What transactions cost now.
    Worth(Worth),
    /// Cores were busy for so long since the last such event, all together.
    Busy {
        /// Milliseconds.
        core_millis: u64,
    },
    /// Take no new work; finish what was accepted.
    Drain,
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Mined and final.
    Mined {
        /// What it cost, wei.
        fee_wei: u128,
    },
    /// The market refused it.
    Reverted,
    /// Not known to be mined; the same intent may be tried again.
    Unsent,
}

/// Something to be done outside, in order. `Persist` comes first: what follows acts on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Write all of this, or nothing, before going on.
    Persist(Vec<Record>),
    /// Send. Signatures of our own structs are left empty: the shell signs.
    Send {
        /// Session.
        session: u64,
        /// Message.
        message: ToRequester,
    },
    /// Send a receipt, signed, with its results from the journal.
    SendReceipt {
        /// Session.
        session: u64,
        /// Deal id.
        deal: DealId,
        /// Receipt.
        receipt: Receipt,
    },
    /// End a session.
    Hangup {
        /// Session.
        session: u64,
    },
    /// Sign and gossip an ask.
    Publish(Ask),
    /// Fetch program, shared input and inputs, check them against the order, prepare the program.
    Fetch(Work),
    /// Run all tasks.
    Run(Work),
    /// Run one task again, without any fault, and compare with the journal's result. There is one
    /// at a time.
    Rerun {
        /// Order.
        work: Work,
        /// Task.
        task: u32,
    },
    /// Stop that: it will be asked for again when there is time.
    StopRerun {
        /// Order.
        order: OrderId,
        /// Task.
        task: u32,
    },
    /// Find our turn in a game: a node of the receipt's tree from the journal's results, or the
    /// answer to a segment by tracing the task. Of those that wait, the one with the earliest
    /// deadline comes first.
    Play {
        /// Order.
        work: Work,
        /// Where the game stands.
        view: Box<GameView>,
    },
    /// No game is about this task any more: what was kept of its trace may go.
    ForgetTrace {
        /// Order.
        order: OrderId,
        /// Task.
        task: u32,
    },
    /// Stop fetching or running an order; its answer is not needed.
    Stop {
        /// Order.
        order: OrderId,
    },
    /// Send a transaction.
    Transact {
        /// Idempotency key.
        intent: String,
        /// What.
        call: Call,
    },
    /// The deal is over: peers lose access to its blobs.
    Release {
        /// Deal id.
        deal: DealId,
        /// Endpoint that had access.
        peer: Option<B256>,
    },
    /// Tell whoever watches.
    Tell(ProviderEvent),
}

/// An order to be fetched or run. Its inputs are in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// Struct hash.
    pub hash: OrderId,
    /// Order.
    pub order: Order,
    /// Program.
    pub program: BlobRef,
    /// Shared input.
    pub shared: Option<BlobRef>,
    /// Who serves the blobs.
    pub peer: Option<B256>,
}

/// What is asked of the market.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Call {
    /// Redeem a voucher.
    Redeem {
        /// Terms.
        deal: Box<Deal>,
        /// With the requester's signature.
        voucher: Signed<Voucher>,
    },
    /// Claim an order's fee.
    Claim {
        /// Terms.
        deal: Box<Deal>,
        /// With the requester's signature.
        order: Box<Signed<Order>>,
        /// Ours.
        receipt: Receipt,
    },
    /// Answer a late notice.
    Answer {
        /// Terms.
        deal: Box<Deal>,
        /// Order.
        order: Box<Order>,
        /// Ours.
        receipt: Receipt,
    },
    /// Stop a late notice about a cancelled order.
    Excuse {
        /// Terms.
        deal: Box<Deal>,
        /// With the requester's signature.
        cancel: Signed<Cancel>,
    },
    /// Reveal a task. The shell adds its end, proof and output from the journal.
    Reveal {
        /// Terms.
        deal: Box<Deal>,
        /// Order.
        order: Box<Order>,
        /// Ours.
        receipt: Receipt,
        /// Index.
        task: u32,
    },
    /// Take our turn in a game.
    Play {
        /// Terms.
        deal: Box<Deal>,
        /// The order that it is about.
        order: Box<Order>,
        /// Where the game stands.
        view: Box<GameView>,
        /// Ours.
        answer: Box<Answer>,
    },
    /// End a game whose turn ran out.
    Timeout {
        /// Terms.
        deal: Box<Deal>,
        /// Game.
        game: Box<Game>,
    },
    /// End a case.
    Settle {
        /// Terms.
        deal: Box<Deal>,
        /// Case.
        case: CaseId,
    },
    /// End a deal after its time.
    Expire {
        /// Terms.
        deal: Box<Deal>,
    },
}

/// Something the owner of a provider may want to know. As JSON: one object, its kind under `event`,
/// amounts in full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ProviderEvent {
    /// A new ask was signed and gossiped.
    AskPublished {
        /// Base units per Tfuel at its start.
        price_start: u128,
        /// Base units per Tfuel at its end.
        price_end: u128,
        /// Deals it can take.
        capacity: u32,
        /// Unix seconds.
        to: u64,
    },
    /// The account can't back the smallest deal: nothing is offered.
    LowBalance {
        /// Base units.
        account: u128,
        /// Base units.
        needed: u128,
    },
    /// A deal was opened with us.
    DealOpened {
        /// Deal id.
        deal: DealId,
        /// By whom.
        requester: Address,
        /// Base units.
        budget: u128,
        /// Base units per Tfuel.
        price: u128,
    },
    /// An order was accepted.
    OrderAccepted {
        /// Deal id.
        deal: DealId,
        /// Order.
        order: OrderId,
        /// Tasks.
        tasks: u32,
    },
    /// Something was refused.
    Refused {
        /// Deal id, if known.
        deal: Option<DealId>,
        /// Order, if it was one.
        order: Option<OrderId>,
        /// Why.
        why: Refusal,
    },
    /// An order got further.
    Progress {
        /// Order.
        order: OrderId,
        /// Tasks done.
        done: u32,
    },
    /// All tasks of an order are done and the receipt is out.
    TasksDone {
        /// Deal id.
        deal: DealId,
        /// Order.
        order: OrderId,
        /// Tasks.
        tasks: u32,
        /// Fuel used.
        fuel: u128,
        /// Base units.
        fee: u128,
    },
    /// A better voucher came.
    Paid {
        /// Deal id.
        deal: DealId,
        /// In all, base units.
        amount: u128,
        /// More than before, base units.
        more: u128,
    },
    /// The requester rejected a task, and we ran it again.
    Rejected {
        /// Deal id.
        deal: DealId,
        /// Order.
        order: OrderId,
        /// Task.
        task: u32,
        /// What that showed.
        verdict: Verdict,
    },
    /// Money arrived on chain.
    Redeemed {
        /// Deal id.
        deal: DealId,
        /// In all, base units.
        paid: u128,
    },
    /// A case was opened against or by us.
    CaseOpened {
        /// Deal id.
        deal: DealId,
        /// Case.
        case: CaseId,
    },
    /// Somebody says before the court that one of our receipts is wrong.
    Accused {
        /// Deal id.
        deal: DealId,
        /// Game.
        game: GameId,
        /// Order.
        order: OrderId,
        /// Until then we must have answered, unix seconds.
        until: u64,
    },
    /// Either side took its turn.
    GameMoved {
        /// Game.
        game: GameId,
        /// The turn that comes now; falls with every one.
        turn: u8,
        /// The task that is in dispute, once the game has come down to one.
        task: Option<u32>,
        /// Until then that turn is to be taken, unix seconds.
        until: u64,
    },
    /// A game is over.
    GameEnded {
        /// Deal id.
        deal: DealId,
        /// Game.
        game: GameId,
        /// Whether we won.
        won: bool,
        /// What we were paid for it, base units.
        received: u128,
        /// Collateral that we lost, base units.
        lost: u128,
    },
    /// A receipt of ours was shown to be wrong without a game.
    Convicted {
        /// Deal id.
        deal: DealId,
        /// Struct hash of the receipt.
        receipt: ReceiptId,
        /// What was wrong with it.
        fault: rialto_protocol::fault::Fault,
        /// Collateral that we lost, base units.
        lost: u128,
    },
    /// The deal is over.
    DealClosed {
        /// Deal id.
        deal: DealId,
        /// In all, base units.
        paid: u128,
        /// Delivered and never paid, base units.
        lost: u128,
    },
    /// Gas money runs low: transactions will soon not be sent.
    LowGas {
        /// Wei.
        balance_wei: u128,
        /// What is comfortable, wei.
        wanted_wei: u128,
    },
    /// What a watchtower needs could not be written; it is tried again.
    DossierFails {
        /// Order; none: the folder of those of deals that are over.
        order: Option<OrderId>,
        /// Why.
        why: String,
    },
    /// A transaction keeps failing; a person should look.
    TransactionFails {
        /// Deal id.
        deal: DealId,
        /// Its id.
        intent: String,
    },
}
