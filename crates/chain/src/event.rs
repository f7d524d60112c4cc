//! The market's and courts' logs as events of the protocol.

use alloy_primitives::{Address, B256, Log};
use alloy_sol_types::SolEventInterface;
use rialto_protocol::case::CaseId;
use rialto_protocol::event::{CourtEvent, MarketEvent};
use rialto_protocol::receipt::SumNode;

use crate::bindings::IMarket::IMarketEvents as Raw;

/// Most siblings of a leaf. An order has at most 2^16 tasks.
const MAX_DEPTH: usize = 16;

/// What a log can be read as.
pub trait FromLog: Sized {
    /// None if it is no such event, or none that the contract can emit.
    fn decode(log: &Log) -> Option<Self>;
}

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

/// Decodes a log of `market` or of a court that `is_court` accepts. Returns `None` for
/// everything else. The address decides which events are decoded, so that a court cannot
/// imitate the market.
pub(crate) fn market_or_court(
    log: &Log,
    market: Address,
    is_court: impl Fn(Address) -> bool,
) -> Option<MarketEvent> {
    if log.address == market {
        return MarketEvent::decode(log);
    }
    if !is_court(log.address) {
        return None;
    }
    Some(MarketEvent::Court { court: log.address, event: CourtEvent::decode(log)? })
}

impl FromLog for MarketEvent {
    fn decode(log: &Log) -> Option<MarketEvent> {
        let raw = Raw::decode_raw_log(log.topics(), &log.data.data).ok()?;
        Some(match raw {
            Raw::Deposited(e) => {
                MarketEvent::Deposited { account: e.account, from: e.from, amount: e.amount }
            }
            Raw::Withdrawn(e) => {
                MarketEvent::Withdrawn { account: e.account, to: e.to, amount: e.amount }
            }
            Raw::Allowed(e) => {
                MarketEvent::Allowed { owner: e.owner, spender: e.spender, amount: e.amount }
            }
            Raw::Transferred(e) => {
                MarketEvent::Transferred { from: e.from, to: e.to, amount: e.amount }
            }
            Raw::Announced(e) => {
                MarketEvent::Announced { provider: e.provider, endpoint: e.endpoint }
            }
            Raw::AsksCancelled(e) => {
                MarketEvent::AsksCancelled { provider: e.provider, counter: e.counter }
            }
            Raw::DealOpened(e) => {
                MarketEvent::DealOpened { id: e.id.into(), deal: (&e.deal).into() }
            }
            Raw::Redeemed(e) => {
                MarketEvent::Redeemed { deal: e.deal.into(), paid: e.paid, orders: e.orders }
            }
            Raw::DealClosed(e) => MarketEvent::DealClosed {
                deal: e.deal.into(),
                ending: e.ending.known()?,
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
            Raw::Answered(e) => MarketEvent::Answered {
                deal: e.deal.into(),
                order: e.order.into(),
                receipt: (&e.receipt).into(),
            },
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
            Raw::Held(e) => {
                MarketEvent::Held { deal: e.deal.into(), game: e.game.into(), deadline: e.deadline }
            }
            Raw::Lifted(e) => MarketEvent::Lifted { deal: e.deal.into(), game: e.game.into() },
            Raw::CaseSettled(e) => MarketEvent::CaseSettled {
                deal: e.deal.into(),
                case: CaseId::new(e.kind.known()?, e.subject, e.task),
                outcome: e.outcome.known()?,
                amount: e.amount,
            },
        })
    }
}
