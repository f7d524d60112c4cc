//! What the chain said about a deal, and what it adds up to. Only final events come here, each
//! perhaps several times (after a restart the chain is heard again from the [`Cursor`] on), so
//! learning one twice changes nothing.

use std::collections::BTreeMap;

use rialto_protocol::case::{CaseId, CaseKind};
use rialto_protocol::{
    B256, DealId, GameId, OrderId, ReceiptId,
    court::{GameNews, GameStory},
    fault::Fault,
    receipt::Halted,
    types::{Receipt, struct_hash},
};
use serde::{Deserialize, Serialize};

use super::job::TxNote;

/// The last block whose events are all known. It was final when it was written; if the chain has
/// another block at this height, history was rewritten below finality, and everything is heard
/// again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Number.
    pub block: u64,
    /// Hash.
    pub hash: B256,
}

/// One final event of one deal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// Deal id.
    pub deal: DealId,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // each variant says what its fields are
pub enum What {
    /// This account opened it.
    Opened { tx: TxNote },
    /// A voucher was redeemed: the new values.
    Redeemed { paid: u128, orders: u64 },
    /// The deal is over.
    Closed { paid: u128, tx: TxNote },
    /// The provider says that it is owed an order's fee.
    Claimed { order: OrderId, seq: u64, deadline: u64, receipt: Receipt },
    /// We called an order late.
    LateNoticed { order: OrderId, seq: u64, deadline: u64 },
    /// The provider answered a late notice.
    Answered { order: OrderId, receipt: Receipt },
    /// We demanded to see a task's end; `receipt` is the receipt's struct hash.
    Demanded { receipt: ReceiptId, task: u32, seq: u64, deadline: u64 },
    /// The provider showed it. A claim of this receipt can't be settled before `until`, unix
    /// seconds.
    Revealed { receipt: ReceiptId, task: u32, halted: Halted, until: u64 },
    /// The deal's court is at work.
    Held { game: GameId, deadline: u64 },
    /// The deal's court said something about a game.
    Game(GameNews),
    /// A case was settled or lifted; a claim paid so much.
    Ended { case: CaseId, paid: u128 },
}

/// A case, open or ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// The order's place in the deal; 0 for a hold.
    pub seq: u64,
    /// From then on anyone can settle it, unix seconds.
    pub deadline: u64,
    /// Whether it is under way.
    pub open: bool,
    /// What a claim asserts, or a late notice was answered with.
    pub receipt: Option<Receipt>,
    /// What a demand brought to light.
    pub revealed: Option<Halted>,
}

/// A deal as the chain has it, as far as it is final.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnChain {
    /// Paid to the provider so far, base units.
    pub paid: u128,
    /// Orders below this can't be claimed, called late or demanded.
    pub orders: u64,
    /// Every case there ever was: none can be opened again.
    pub cases: BTreeMap<CaseId, Case>,
    /// Games of the deal's court, by id.
    pub games: BTreeMap<GameId, GameStory>,
    /// What was wrong with a receipt by which that court ended the deal without a game.
    pub convicted: Option<Fault>,
}

impl OnChain {
    /// Adds what happened. Returns whether that is news.
    pub fn learn(&mut self, what: &What) -> bool {
        match what {
            What::Opened { .. } => false,
            What::Redeemed { paid, orders } => {
                let news = *paid > self.paid || *orders > self.orders;
                (self.paid, self.orders) = (self.paid.max(*paid), self.orders.max(*orders));
                news
            }
            What::Closed { paid, .. } => {
                self.paid = self.paid.max(*paid);
                // Bonds have to be fetched; everything else ended with the deal.
                let ended = |kind| matches!(kind, CaseKind::Claim | CaseKind::Hold);
                self.cases
                    .iter_mut()
                    .filter(|(case, _)| ended(case.kind()))
                    .for_each(|(_, case)| case.open = false);
                true
            }
            What::Claimed { order, seq, deadline, receipt } => {
                self.open(CaseId::Claim { order: *order }, *seq, *deadline, Some(receipt.clone()))
            }
            What::LateNoticed { order, seq, deadline } => {
                self.open(CaseId::Late { order: *order }, *seq, *deadline, None)
            }
            What::Demanded { receipt, task, seq, deadline } => {
                self.open(CaseId::Demand { receipt: *receipt, task: *task }, *seq, *deadline, None)
            }
            What::Held { game, deadline } => {
                self.open(CaseId::Hold { game: *game }, 0, *deadline, None)
            }
            What::Answered { order, receipt } => self.end(CaseId::Late { order: *order }, |case| {
                case.receipt = Some(receipt.clone());
            }),
            What::Revealed { receipt, task, halted, until } => {
                let news = self.end(CaseId::Demand { receipt: *receipt, task: *task }, |case| {
                    case.revealed = Some(*halted)
                });
                let claims = self
                    .cases
                    .iter_mut()
                    .filter(|(id, case)| id.kind() == CaseKind::Claim && case.open);
                for (_, claim) in claims.filter(|_| news) {
                    if claim
                        .receipt
                        .as_ref()
                        .is_some_and(|asserted| struct_hash(asserted) == *receipt)
                    {
                        claim.deadline = claim.deadline.max(*until);
                    }
                }
                news
            }
            What::Game(GameNews::Accused(view)) => {
                let id = struct_hash(&view.game);
                let news = !self.games.contains_key(&id);
                if news {
                    self.games.insert(id, GameStory::new((**view).clone()));
                }
                news
            }
            What::Game(GameNews::Convicted { fault, .. }) => {
                self.convicted.replace(*fault) != Some(*fault)
            }
            What::Game(news) => news
                .game()
                .and_then(|game| self.games.get_mut(&game))
                .is_some_and(|game| game.learn(news)),
            What::Ended { case, paid } => {
                let news = self.end(*case, |_| {});
                if news {
                    self.paid = self.paid.saturating_add(*paid);
                }
                news
            }
        }
    }

    fn open(&mut self, id: CaseId, seq: u64, deadline: u64, receipt: Option<Receipt>) -> bool {
        if self.cases.contains_key(&id) {
            return false;
        }
        self.cases.insert(id, Case { seq, deadline, open: true, receipt, revealed: None });
        true
    }

    fn end(&mut self, id: CaseId, how: impl FnOnce(&mut Case)) -> bool {
        let Some(case) = self.cases.get_mut(&id).filter(|case| case.open) else { return false };
        case.open = false;
        how(case);
        true
    }

    /// Games under way.
    pub fn open_games(&self) -> impl Iterator<Item = (&GameId, &GameStory)> {
        self.games.iter().filter(|(_, game)| game.end.is_none())
    }

    /// Cases under way.
    pub fn open_cases(&self) -> impl Iterator<Item = (&CaseId, &Case)> {
        self.cases.iter().filter(|(_, case)| case.open)
    }

    /// Whether a case of one of these kinds is under way.
    pub fn any_open(&self, kinds: &[CaseKind]) -> bool {
        self.open_cases().any(|(case, _)| kinds.contains(&case.kind()))
    }
}
