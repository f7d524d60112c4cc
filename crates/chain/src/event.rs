//! Events of the market, in the protocol's own types. `IMarket.sol` specifies each.

use alloy_primitives::{Address, B256, Bytes, Log};
use alloy_sol_types::SolEventInterface;
use rialto_protocol::case::CaseId;
use rialto_protocol::receipt::{Halted, SumNode};
use rialto_protocol::types::{Deal, Receipt};
use rialto_protocol::{DealId, GameId, OrderId, ReceiptId};

use crate::bindings::{CaseOutcome, Ending, IMarket::IMarketEvents as Raw};
use crate::court_event::CourtEvent;

/// Most siblings of a leaf. An order has at most 2^16 tasks.
const MAX_DEPTH: usize = 16;

/// Position of a log on chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogMeta {
    /// Number of the block.
    pub block: u64,
    /// Index of the log in the block.
    pub index: u64,
    /// Hash of the block.
    pub block_hash: B256,
    /// Hash of the transaction.
    pub tx: B256,
}

/// One event of the market. Sums are in base units, times in Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // `IMarket.sol` explains the fields
pub enum MarketEvent {
    /// The balance of `account` grew by `amount`.
    Deposited { account: Address, from: Address, amount: u128 },
    /// The balance of `account` fell by `amount`.
    Withdrawn { account: Address, to: Address, amount: u128 },
    /// `spender` may take up to `amount` from the account of `owner`.
    Allowed { owner: Address, spender: Address, amount: u128 },
    /// `amount` moved from the account of `from` to that of `to`.
    Transferred { from: Address, to: Address, amount: u128 },
    /// A provider announced its endpoint. Any account can announce anything, so this is only a
    /// hint.
    Announced { provider: Address, endpoint: Bytes },
    /// The provider revoked all of its asks with another counter.
    AsksCancelled { provider: Address, counter: u64 },
    /// A deal was opened.
    DealOpened { id: DealId, deal: Deal },
    /// A voucher was redeemed: the deal's new `paid` and watermark.
    Redeemed { deal: DealId, paid: u128, orders: u64 },
    /// A deal was closed.
    DealClosed { deal: DealId, ending: Ending, paid: u128, to_requester: u128, to_provider: u128, burned: u128 },
    /// A claim was opened for `receipt.fee`.
    Claimed { deal: DealId, order: OrderId, seq: u64, deadline: u64, receipt: Receipt },
    /// A late notice was opened.
    LateNoticed { deal: DealId, order: OrderId, seq: u64, deadline: u64, bond: u128 },
    /// A late notice was answered.
    Answered { deal: DealId, order: OrderId, receipt: Receipt },
    /// A late notice ended because its order was cancelled.
    Excused { deal: DealId, order: OrderId },
    /// A demand was opened; `receipt` is the receipt's struct hash.
    Demanded { deal: DealId, receipt: ReceiptId, task: u32, seq: u64, deadline: u64, bond: u128 },
    /// A demand was answered. `proof` has the leaf's siblings from the bottom up. `output` is empty
    /// if it is longer than the contract's limit.
    Revealed {
        deal: DealId,
        receipt: ReceiptId,
        task: u32,
        fuel: u64,
        halted: Halted,
        proof: Vec<SumNode>,
        output: Bytes,
    },
    /// The court placed a hold on the deal.
    Held { deal: DealId, game: GameId, deadline: u64 },
    /// The court lifted a hold.
    Lifted { deal: DealId, game: GameId },
    /// A case ended by `settle`.
    CaseSettled { deal: DealId, case: CaseId, outcome: CaseOutcome, amount: u128 },
    /// A court emitted an event. [`CourtEvent`] says for which deals it counts.
    Court { court: Address, event: CourtEvent },
}

impl MarketEvent {
    /// Decodes a log of `market` or of a court that `is_court` accepts. Returns `None` for
    /// everything else. The address decides which events are decoded, so that a court cannot
    /// imitate the market.
    pub(crate) fn decode_from(log: &Log, market: Address, is_court: impl Fn(Address) -> bool) -> Option<MarketEvent> {
        if log.address == market {
            return MarketEvent::decode(log);
        }
        if !is_court(log.address) {
            return None;
        }
        Some(MarketEvent::Court { court: log.address, event: CourtEvent::decode(log)? })
    }

    /// Decodes a log of the market. Returns `None` if it is no event of `IMarket`.
    pub fn decode(log: &Log) -> Option<MarketEvent> {
        let raw = Raw::decode_raw_log(log.topics(), &log.data.data).ok()?;
        Some(match raw {
            Raw::Deposited(e) => MarketEvent::Deposited { account: e.account, from: e.from, amount: e.amount },
            Raw::Withdrawn(e) => MarketEvent::Withdrawn { account: e.account, to: e.to, amount: e.amount },
            Raw::Allowed(e) => MarketEvent::Allowed { owner: e.owner, spender: e.spender, amount: e.amount },
            Raw::Transferred(e) => MarketEvent::Transferred { from: e.from, to: e.to, amount: e.amount },
            Raw::Announced(e) => MarketEvent::Announced { provider: e.provider, endpoint: e.endpoint },
            Raw::AsksCancelled(e) => MarketEvent::AsksCancelled { provider: e.provider, counter: e.counter },
            Raw::DealOpened(e) => MarketEvent::DealOpened { id: e.id.into(), deal: (&e.deal).into() },
            Raw::Redeemed(e) => MarketEvent::Redeemed { deal: e.deal.into(), paid: e.paid, orders: e.orders },
            Raw::DealClosed(e) => MarketEvent::DealClosed {
                deal: e.deal.into(),
                ending: e.ending,
                paid: e.paid,
                to_requester: e.toRequester,
                to_provider: e.toProvider,
                burned: e.burned,
            },
            Raw::Claimed(e) => MarketEvent::Claimed {
                deal: e.deal.into(),
                order: e.order.into(),
                seq: e.seq,
                deadline: e.deadline,
                receipt: (&e.receipt).into(),
            },
            Raw::LateNoticed(e) => MarketEvent::LateNoticed {
                deal: e.deal.into(),
                order: e.order.into(),
                seq: e.seq,
                deadline: e.deadline,
                bond: e.bond,
            },
            Raw::Answered(e) => {
                MarketEvent::Answered { deal: e.deal.into(), order: e.order.into(), receipt: (&e.receipt).into() }
            }
            Raw::Excused(e) => MarketEvent::Excused { deal: e.deal.into(), order: e.order.into() },
            Raw::Demanded(e) => MarketEvent::Demanded {
                deal: e.deal.into(),
                receipt: e.receipt.into(),
                task: e.task,
                seq: e.seq,
                deadline: e.deadline,
                bond: e.bond,
            },
            Raw::Revealed(e) if e.proof.len() > MAX_DEPTH => return None,
            Raw::Revealed(e) => MarketEvent::Revealed {
                deal: e.deal.into(),
                receipt: e.receipt.into(),
                task: e.task,
                fuel: e.fuel,
                halted: (&e.halted).into(),
                proof: e.proof.iter().map(SumNode::from).collect(),
                output: e.output,
            },
            Raw::Held(e) => MarketEvent::Held { deal: e.deal.into(), game: e.game.into(), deadline: e.deadline },
            Raw::Lifted(e) => MarketEvent::Lifted { deal: e.deal.into(), game: e.game.into() },
            Raw::CaseSettled(e) => MarketEvent::CaseSettled {
                deal: e.deal.into(),
                case: CaseId::new(e.kind.known()?, e.subject, e.task),
                outcome: e.outcome,
                amount: e.amount,
            },
        })
    }

    /// Returns the deal that the event is about, if any.
    pub fn deal(&self) -> Option<DealId> {
        match self {
            MarketEvent::DealOpened { id, .. } => Some(*id),
            MarketEvent::Redeemed { deal, .. }
            | MarketEvent::DealClosed { deal, .. }
            | MarketEvent::Claimed { deal, .. }
            | MarketEvent::LateNoticed { deal, .. }
            | MarketEvent::Answered { deal, .. }
            | MarketEvent::Excused { deal, .. }
            | MarketEvent::Demanded { deal, .. }
            | MarketEvent::Revealed { deal, .. }
            | MarketEvent::Held { deal, .. }
            | MarketEvent::Lifted { deal, .. }
            | MarketEvent::CaseSettled { deal, .. } => Some(*deal),
            MarketEvent::Deposited { .. }
            | MarketEvent::Withdrawn { .. }
            | MarketEvent::Allowed { .. }
            | MarketEvent::Transferred { .. }
            | MarketEvent::Announced { .. }
            | MarketEvent::AsksCancelled { .. } => None,
            MarketEvent::Court { event, .. } => event.deal(),
        }
    }
}
