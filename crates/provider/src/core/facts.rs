//! What the chain said about a deal, and what follows from it. Facts are kept as they came, so that
//! one which a reorg takes back is simply taken out again.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use rialto_protocol::types::Deal;
use serde::{Deserialize, Serialize};

/// Where an event stands in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogId {
    /// Block number.
    pub block: u64,
    /// Index of the log within the block.
    pub index: u64,
    /// Hash of the block.
    pub hash: B256,
}

/// One event of one deal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// Where.
    pub at: LogId,
    /// Deal id.
    pub deal: B256,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// The deal was opened; full terms.
    Opened(Box<Deal>),
    /// Money went to the provider.
    Paid {
        /// In all, base units.
        total: u128,
        /// Orders below this are settled; `None` if the event doesn't change it.
        orders: Option<u64>,
    },
    /// The deal is over.
    Closed,
    /// A case was opened.
    CaseOpened {
        /// Its id.
        case: B256,
        /// What about.
        case_kind: CaseKind,
        /// Struct hash of the order.
        order: B256,
        /// From then on anyone can settle it, unix seconds.
        deadline: u64,
    },
    /// A case is over: settled, answered or revealed.
    CaseEnded {
        /// Its id.
        case: B256,
    },
}

/// What a case is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CaseKind {
    /// We say that we are owed an order's fee.
    Claim,
    /// The requester says that a receipt is late.
    Late,
    /// The requester wants a task revealed.
    Demand {
        /// Its index.
        task: u32,
    },
}

/// An open case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// What about.
    pub kind: CaseKind,
    /// Struct hash of the order.
    pub order: B256,
    /// Unix seconds.
    pub deadline: u64,
}

/// A deal as the chain has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnChain {
    /// Opened and not closed.
    pub open: bool,
    /// Closed.
    pub closed: bool,
    /// Paid to us so far, base units.
    pub paid: u128,
    /// Orders below this can't be claimed.
    pub orders: u64,
    /// Cases under way.
    pub cases: BTreeMap<B256, Case>,
    /// Orders ever claimed.
    pub claimed: Vec<B256>,
}

impl OnChain {
    /// What the facts amount to.
    pub fn of(facts: &[Fact]) -> Self {
        let mut state = Self::default();
        for fact in facts {
            match &fact.what {
                What::Opened(_) => state.open = true,
                What::Paid { total, orders } => {
                    state.paid = state.paid.max(*total);
                    state.orders = state.orders.max(orders.unwrap_or(0));
                }
                What::Closed => state.closed = true,
                What::CaseOpened { case, case_kind, order, deadline } => {
                    state.cases.insert(*case, Case { kind: *case_kind, order: *order, deadline: *deadline });
                    if *case_kind == CaseKind::Claim {
                        state.claimed.push(*order);
                    }
                }
                What::CaseEnded { case } => {
                    state.cases.remove(case);
                }
            }
        }
        state.open &= !state.closed;
        state
    }
}

/// Adds a fact in its place; `false` if it is there already.
pub fn add(facts: &mut Vec<Fact>, fact: Fact) -> bool {
    match facts.binary_search_by_key(&fact.at, |known| known.at) {
        Ok(_) => false,
        Err(at) => {
            facts.insert(at, fact);
            true
        }
    }
}

/// Takes a fact back; `false` if it was not there.
pub fn remove(facts: &mut Vec<Fact>, at: LogId) -> bool {
    let before = facts.len();
    facts.retain(|fact| fact.at != at);
    facts.len() != before
}
