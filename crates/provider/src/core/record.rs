//! What is written down: rows, keyed, the newest value of a key counts. A core is its rows.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use rialto_protocol::case::CaseId;
use rialto_protocol::refusal::Refusal;
use rialto_protocol::{
    AskId, DealId, GameId, OrderId,
    receipt::Halted,
    types::{Ack, Ask, Cancel, Deal, Limits, Order, Receipt, Voucher},
    wire::{BlobRef, Payload, Signed},
};
use serde::{Deserialize, Serialize};

use super::{
    books::{Booked, Counts, Sums},
    event::Call,
    facts::{Facts, OnChain},
};

/// The provider as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarketRow {
    /// Chain events up to this block are in the deals' facts.
    pub cursor: u64,
    /// The ask that is being offered.
    pub ask: Option<Ask>,
    /// Asks signed so far.
    pub asks: u64,
    /// Where the window of the last one begins, unix seconds.
    pub asked_from: u64,
    /// The provider's counter on chain.
    pub counter: u64,
    /// Since when there has been little to do; only kept for prices that fall while idle.
    pub idle_since: Option<u64>,
}

/// An ask that was signed, for as long as a deal can be opened under it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskRow {
    /// What it says about the size of orders.
    pub limits: Limits,
    /// End of its window, unix seconds.
    pub to: u64,
}

/// One deal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DealRow {
    /// Terms.
    pub deal: Deal,
    /// Those of the ask that it was opened under: no order within them is refused for its size.
    pub limits: Limits,
    /// What the chain said of it, oldest first.
    pub facts: Facts,
    /// Endpoint that last proved to speak for the requester.
    pub endpoint: Option<B256>,
    /// One above the highest sequence number ever seen signed.
    pub next_seq: u64,
    /// Best voucher.
    pub voucher: Option<Signed<Voucher>>,
    /// A closing voucher that pays less than is owed, held until a rejected task was re-run.
    pub held: Option<Signed<Voucher>>,
    /// Amount of the release that was given, if any.
    pub released: Option<u128>,
    /// What re-running rejected tasks showed.
    pub verdict: Verdict,
    /// Fees of all orders delivered.
    pub earned: u128,
    /// Fees of delivered orders below the best voucher's watermark.
    pub settled: u128,
    /// Most that was ever seen redeemed or paid on chain, base units.
    pub redeemed: u128,
    /// When that was, unix seconds.
    pub redeemed_at: u64,
    /// Transactions sent for, not yet visible in the facts.
    pub txs: BTreeMap<Action, Tx>,
    /// Times a reorg took an event of this deal back.
    pub reorgs: u32,
    /// No transactions before this time.
    pub quiet_until: u64,
    /// When it was first seen closed.
    pub closed_at: Option<u64>,
    /// What of it is in the books.
    pub booked: Booked,
}

/// Whose fault a rejected result is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Verdict {
    /// Nothing was rejected, or it could not be re-run.
    #[default]
    Clean,
    /// A rejected task is being re-run.
    Pending,
    /// Our result reproduces: defend it, take nothing less.
    Reproduced,
    /// Our result was wrong: take what the requester offers.
    Differs,
}

/// One accepted order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRow {
    /// Order, signed by the requester.
    pub order: Signed<Order>,
    /// Program, as fetched.
    pub program: BlobRef,
    /// Shared input.
    pub shared: Option<BlobRef>,
    /// Where it stands.
    pub state: OrderState,
    /// Rejected tasks and what re-running them showed.
    pub rejected: BTreeMap<u32, Verdict>,
    /// The requester's word that it need not be done: what a late notice is answered with.
    pub cancel: Option<Signed<Cancel>>,
    /// When a task of it was last revealed on chain: its claim stays open for a challenge window
    /// from then. Unix seconds.
    pub revealed_at: u64,
}

/// Where an order stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderState {
    /// Program and inputs are being fetched.
    Fetching {
        /// Unix seconds.
        since: u64,
    },
    /// Acked: waits or runs.
    Accepted {
        /// Our promise.
        ack: Ack,
    },
    /// Done, the receipt is the requester's.
    Done {
        /// Our promise.
        ack: Ack,
        /// Our result.
        receipt: Receipt,
        /// Unix seconds.
        at: u64,
    },
    /// Acked, then cancelled by the requester, or given up by its closing voucher. Without a signed
    /// cancellation it is run after all if the requester calls it late on chain.
    Cancelled {
        /// Our promise.
        ack: Ack,
    },
    /// Acked, but could not be run here.
    Failed {
        /// Our promise.
        ack: Ack,
        /// Why.
        why: Refusal,
    },
}

/// What a transaction is for; at most one is under way for each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Action {
    /// Redeem the voucher of this amount.
    Redeem {
        /// Cumulative.
        amount: u128,
        /// Watermark.
        orders: u64,
        /// Whether it ends the deal.
        close: bool,
    },
    /// Claim an order.
    Claim {
        /// Struct hash.
        order: OrderId,
    },
    /// Answer a late notice.
    Answer {
        /// Case.
        case: CaseId,
    },
    /// Stop a late notice with the requester's cancellation.
    Excuse {
        /// Case.
        case: CaseId,
    },
    /// Answer a demand.
    Reveal {
        /// Case.
        case: CaseId,
    },
    /// End a case whose deadline passed.
    Settle {
        /// Case.
        case: CaseId,
    },
    /// Take our turn in a game.
    Play {
        /// Game.
        game: GameId,
        /// The turn ([`GameView::turn`](rialto_protocol::court::GameView::turn)).
        turn: u8,
    },
    /// End a game whose turn ran out.
    Timeout {
        /// Game.
        game: GameId,
    },
    /// End the deal after its time.
    Expire,
}

/// A transaction under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tx {
    /// Its id: the same intent is never sent twice.
    pub intent: String,
    /// What it does.
    pub call: Call,
    /// Attempts before this one that reverted.
    pub reverted: u32,
    /// Where it stands.
    pub state: TxState,
}

/// Where a transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TxState {
    /// Handed to the sender.
    Sent,
    /// Mined; its event has not come yet.
    Mined,
    /// Reverted or not sent; to be tried again at this time.
    Retry(u64),
}

/// One write to the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// The provider.
    Market(Box<MarketRow>),
    /// A signed ask, by struct hash.
    Ask(AskId, AskRow),
    /// No deal can be opened under that ask any more.
    ForgetAsk(AskId),
    /// A deal, by id.
    Deal(DealId, Box<DealRow>),
    /// An order, by struct hash.
    Order(OrderId, Box<OrderRow>),
    /// An order's task inputs. Kept out of the core's memory.
    Inputs(OrderId, Payload),
    /// An order's results. Kept out of the core's memory.
    Results(OrderId, Results),
    /// The deal's row is not needed any more.
    ForgetDeal(DealId),
    /// The order's rows are not needed any more: order, inputs and results.
    ForgetOrder(OrderId),
    /// A day of the books.
    Day(u32, Box<Sums>),
    /// That day is part of the older days' sum now.
    ForgetDay(u32),
    /// Refusals and losses by code.
    Refusals(Box<Counts>),
}

/// What running an order gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Results {
    /// Every task's end, in order.
    pub halted: Vec<Halted>,
    /// Every task's output, concatenated in order.
    pub outputs: Payload,
}

impl OrderRow {
    /// An order that was just admitted.
    pub fn new(order: Signed<Order>, program: BlobRef, shared: Option<BlobRef>, now: u64) -> Self {
        let state = OrderState::Fetching { since: now };
        Self {
            order,
            program,
            shared,
            state,
            rejected: BTreeMap::new(),
            cancel: None,
            revealed_at: 0,
        }
    }

    /// Whether the requester could call it late on chain and we would have to work: promised, not
    /// done, and no word of the requester that it need not be.
    pub fn owed(&self) -> bool {
        let undone = !matches!(self.state, OrderState::Fetching { .. } | OrderState::Done { .. });
        undone && self.cancel.is_none()
    }
}

impl OrderState {
    /// The promise, once given.
    pub fn ack(&self) -> Option<&Ack> {
        match self {
            Self::Fetching { .. } => None,
            Self::Accepted { ack }
            | Self::Done { ack, .. }
            | Self::Cancelled { ack }
            | Self::Failed { ack, .. } => Some(ack),
        }
    }

    /// The receipt, once made.
    pub fn receipt(&self) -> Option<&Receipt> {
        match self {
            Self::Done { receipt, .. } => Some(receipt),
            _ => None,
        }
    }

    /// Whether it still takes a place in the queue.
    pub fn unfinished(&self) -> bool {
        matches!(self, Self::Fetching { .. } | Self::Accepted { .. })
    }
}

impl DealRow {
    /// A deal that the chain just showed.
    pub fn new(deal: Deal, limits: Limits) -> Self {
        Self {
            deal,
            limits,
            facts: Facts::default(),
            endpoint: None,
            next_seq: 0,
            voucher: None,
            held: None,
            released: None,
            verdict: Verdict::Clean,
            earned: 0,
            settled: 0,
            redeemed: 0,
            redeemed_at: 0,
            txs: BTreeMap::new(),
            reorgs: 0,
            quiet_until: 0,
            closed_at: None,
            booked: Booked::default(),
        }
    }

    /// The deal as the chain has it.
    pub fn chain(&self) -> &OnChain {
        self.facts.chain()
    }

    /// Amount of the best voucher.
    pub fn voucher_amount(&self) -> u128 {
        self.voucher.as_ref().map_or(0, |voucher| voucher.value.amount)
    }

    /// Orders below this are settled by the best voucher.
    pub fn watermark(&self) -> u64 {
        self.voucher.as_ref().map_or(0, |voucher| voucher.value.orders)
    }

    /// Whether the best voucher ends the deal.
    pub fn closing(&self) -> bool {
        self.voucher.as_ref().is_some_and(|voucher| voucher.value.close)
    }
}
