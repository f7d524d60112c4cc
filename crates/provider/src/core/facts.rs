//! What the chain said about a deal, and what follows from it. Facts are kept as they came, so that
//! one which a reorg takes back is simply taken out again.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Deref,
};

use alloy_primitives::B256;
use rialto_protocol::case::{CaseId, CaseKind};
use rialto_protocol::court::{GameNews, GameStory};
use rialto_protocol::types::{Deal, struct_hash};
use rialto_protocol::{DealId, GameId, OrderId};
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
    pub deal: DealId,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// The deal was opened; full terms.
    Opened(Box<Deal>),
    /// A voucher was redeemed: the new values.
    Redeemed {
        /// Paid in all, base units.
        paid: u128,
        /// Orders below this are settled.
        orders: u64,
    },
    /// The deal is over.
    Closed {
        /// Paid in all, base units.
        paid: u128,
    },
    /// A case was opened.
    CaseOpened {
        /// What about.
        case: CaseId,
        /// The order's place in the deal; 0 for a hold.
        seq: u64,
        /// From then on anyone can settle it, unix seconds.
        deadline: u64,
    },
    /// The deal's court said something about a game.
    Game(GameNews),
    /// A case is over: settled, answered, revealed or lifted.
    CaseEnded {
        /// Which.
        case: CaseId,
        /// What it paid to us, base units: a claim.
        paid: u128,
    },
}

/// An open case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// The order's place in the deal.
    pub seq: u64,
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
    pub cases: BTreeMap<CaseId, Case>,
    /// Orders ever claimed.
    pub claimed: BTreeSet<OrderId>,
    /// Games of the deal's court, by id.
    pub games: BTreeMap<GameId, GameStory>,
}

impl OnChain {
    /// What the facts amount to.
    pub fn of(facts: &[Fact]) -> Self {
        let mut state = Self::default();
        facts.iter().for_each(|fact| state.learn(fact));
        state
    }

    fn learn(&mut self, fact: &Fact) {
        match &fact.what {
            What::Opened(_) => self.open = !self.closed,
            What::Redeemed { paid, orders } => (self.paid, self.orders) = (*paid, *orders),
            What::Closed { paid } => (self.open, self.closed, self.paid) = (false, true, *paid),
            What::CaseOpened { case, seq, deadline } => {
                self.cases.insert(*case, Case { seq: *seq, deadline: *deadline });
                if let CaseId::Claim { order } = case {
                    self.claimed.insert(*order);
                }
            }
            What::Game(GameNews::Accused(view)) => {
                self.games.insert(struct_hash(&view.game), GameStory::new((**view).clone()));
            }
            What::Game(news) => {
                if let Some(game) = news.game().and_then(|game| self.games.get_mut(&game)) {
                    game.learn(news);
                }
            }
            What::CaseEnded { case, paid } => {
                self.cases.remove(case);
                self.paid = self.paid.saturating_add(*paid);
            }
        }
    }

    /// Games that are being played: to their end, also when the deal has closed meanwhile.
    pub fn open_games(&self) -> impl Iterator<Item = (&GameId, &GameStory)> {
        self.games.iter().filter(|(_, game)| game.end.is_none())
    }

    /// Whether a case of one of these kinds is open.
    pub fn any_case(&self, kinds: &[CaseKind]) -> bool {
        self.cases.keys().any(|case| kinds.contains(&case.kind()))
    }
}

/// The facts of a deal in the order of the chain, and what they amount to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Fact>", into = "Vec<Fact>")]
pub struct Facts {
    all: Vec<Fact>,
    chain: OnChain,
}

impl Facts {
    /// The deal as the chain has it.
    pub fn chain(&self) -> &OnChain {
        &self.chain
    }

    /// Adds a fact in its place; `false` if it is there already.
    pub(super) fn add(&mut self, fact: Fact) -> bool {
        match self.all.binary_search_by_key(&fact.at, |known| known.at) {
            Ok(_) => return false,
            Err(at) if at == self.all.len() => {
                self.chain.learn(&fact);
                self.all.push(fact);
            }
            Err(at) => {
                self.all.insert(at, fact);
                self.chain = OnChain::of(&self.all);
            }
        }
        true
    }

    /// Takes facts back; `false` if there were none of these.
    pub(super) fn remove(&mut self, gone: impl Fn(&LogId) -> bool) -> bool {
        let before = self.all.len();
        self.all.retain(|fact| !gone(&fact.at));
        let changed = self.all.len() != before;
        if changed {
            self.chain = OnChain::of(&self.all);
        }
        changed
    }
}

impl Deref for Facts {
    type Target = [Fact];

    fn deref(&self) -> &[Fact] {
        &self.all
    }
}

impl From<Vec<Fact>> for Facts {
    fn from(all: Vec<Fact>) -> Self {
        let chain = OnChain::of(&all);
        Self { all, chain }
    }
}

impl From<Facts> for Vec<Fact> {
    fn from(facts: Facts) -> Self {
        facts.all
    }
}
