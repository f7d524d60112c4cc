//! An honest requester against hostile sellers.
//!
//! [`house`] is the shipped core with a shell that acts like the service. [`foe`] holds the
//! sellers' keys and everything that they have received. [`oracle`] checks money, transactions and
//! work from outside.

pub mod foe;
pub mod house;
pub mod oracle;

use std::collections::BTreeSet;
use std::fmt::Write;

use rialto_protocol::case::{CaseId, CaseKind};
use rialto_protocol::{
    Address, DealId, OrderId,
    model::{Call, CaseStatus, Params},
    types::struct_hash,
};
use rialto_requester::core::Event;

use self::{
    foe::{Foe, Move},
    house::House,
    oracle::Books,
};
use super::{
    Arena, Play, When, feature,
    scope::{Print, Small},
    yard::{BEGIN, DEPOSIT, PARAMS, Yard},
};
use crate::{
    check::Broken,
    ledger::{Act, Said},
    random::Random,
};

/// Interval in seconds at which the core receives the time while the strategist moves.
const TICK: u64 = 10;
/// The same interval, in seconds, once the strategist has stopped.
const SLOW_TICK: u64 = 60;
/// Longest time in seconds for which a strategist can wait in all.
const LONGEST: u64 = 3 * 3600;
/// Seconds after the last deal's last window by which everything must have ended.
const PATIENCE: u64 = 3 * 3600;

/// Defects that the honest side can be given, only to test the search; see
/// [`super::provider::Weakness`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Weakness {
    /// Does not verify receipts that exist only as claims on chain (A2).
    ClaimsUnjudged,
    /// Does not verify the claim of an order that a voucher already pays for (A3).
    PaidIsPaid,
    /// Accuses nobody after the deal's expiry (A4).
    AccusesUntilExpiry,
    /// A revelation does not extend the claim's challenge window (A9).
    RevealIsNoNews,
    /// Opens deals with money that the bond of an accusation would need.
    BondsUnkept,
}

impl Weakness {
    /// All defects.
    pub const ALL: [Self; 5] = [
        Self::ClaimsUnjudged,
        Self::PaidIsPaid,
        Self::AccusesUntilExpiry,
        Self::RevealIsNoNews,
        Self::BondsUnkept,
    ];
}

/// World of an honest requester and hostile sellers.
#[derive(Clone)]
pub struct Alley {
    yard: Yard,
    house: House,
    foe: Foe,
    books: Books,
    weakness: Option<Weakness>,
    seen: BTreeSet<u64>,
    next_tick: u64,
    tick: u64,
}

impl Alley {
    fn weak(&self, weakness: Weakness) -> bool {
        self.weakness == Some(weakness)
    }

    fn saw(&mut self, what: impl std::hash::Hash) {
        self.seen.insert(feature(what));
    }

    fn advance(&mut self, until: u64) -> Result<(), Broken> {
        while let Some(at) = [self.house.next(), Some(self.next_tick)]
            .into_iter()
            .flatten()
            .min()
            .filter(|at| *at <= until)
        {
            self.yard.now = self.yard.now.max(at);
            match self.house.take_due(self.yard.now) {
                Some(due) => self.house_happens(due)?,
                None => {
                    // While a case or a dispute is open, the core needs the time often, to answer
                    // before deadlines.
                    let tick = if self.foe.is_at_law() { TICK } else { self.tick };
                    self.next_tick = self.yard.now + tick;
                    self.feed(Event::Tick)?;
                }
            }
        }
        self.yard.now = self.yard.now.max(until);
        Ok(())
    }

    /// Sends the calls of one transaction at once. The requester receives the events later.
    fn call(&mut self, sender: Address, acts: &[Act]) -> Result<Option<Vec<Said>>, Broken> {
        let before = self.yard.ledger.clone();
        let claims = self.claim_deadlines();
        let who = if sender == self.house.account { "requester" } else { "foe" };
        let mut all = Vec::new();
        for act in acts {
            let outcome = self.yard.call(sender, act);
            self.yard.tell(|| match &outcome {
                Ok(_) => format!("chain: {} by the {who}", act.kind()),
                Err(code) => format!("chain refuses: {} by the {who}: {code}", act.kind()),
            });
            self.saw((who, act.kind(), outcome.as_ref().err()));
            match outcome {
                Ok(said) => all.extend(said),
                Err(_) => {
                    self.yard.ledger = before;
                    self.books.called(who == "requester", false);
                    return Ok(None);
                }
            }
        }
        if self.weak(Weakness::RevealIsNoNews) && matches!(acts, [Act::Market(Call::Reveal { .. })])
        {
            for (deal, order, deadline) in claims {
                self.yard.ledger.market.forget_new_deadline(deal, order, deadline);
            }
        }
        if let [Act::Market(Call::Reveal { receipt, reveal, .. })] = acts
            && !self.is_right(receipt.order, reveal.task, &reveal.halted)
        {
            self.books.showed_wrong(receipt.order);
        }
        self.books.called(who == "requester", true);
        self.yard.conserved()?;
        let facts = self.yard.facts(&all);
        for fact in &facts {
            self.check_fact(fact)?;
            self.foe.learn(fact);
        }
        self.house.hear_later(self.yard.now, self.yard.block, &all);
        Ok(Some(all))
    }

    fn claim_deadlines(&self) -> Vec<(DealId, OrderId, u64)> {
        let open = self.foe.orders.iter().map(|order| (order.deal(), order.hash)).filter_map(
            |(deal, hash)| {
                let case = self.yard.ledger.market.case(deal, CaseId::Claim { order: hash });
                (case.status == CaseStatus::Open).then_some((deal, hash, case.deadline))
            },
        );
        open.collect()
    }

    fn moments(&self) -> Vec<u64> {
        let mut moments = self.foe.moments();
        moments.extend(self.claim_deadlines().into_iter().map(|(.., deadline)| deadline));
        let Params { challenge_window, answer_window, grace, .. } = PARAMS;
        for deal in self.foe.deals.iter().map(|known| &known.deal) {
            let end = deal.expiry + grace;
            moments.extend([
                deal.expiry,
                end,
                end + challenge_window,
                end + 2 * challenge_window + answer_window,
            ]);
        }
        moments.retain(|at| *at > self.yard.now + 1);
        moments.sort_unstable();
        moments.dedup();
        moments
    }

    fn time_of(&self, when: When) -> u64 {
        let now = self.yard.now;
        let at = match when {
            When::Now => now,
            When::Later(seconds) => now + u64::from(seconds),
            When::Edge { which, shift } => {
                let moments = self.moments();
                let at =
                    moments.get(usize::from(which) % moments.len().max(1)).copied().unwrap_or(now);
                at.saturating_add_signed(shift.into())
            }
        };
        at.clamp(now, (BEGIN + LONGEST).max(now))
    }

    /// Adds a rough summary of the state to the features.
    fn look_around(&mut self) {
        self.look_at_danger();
        let few = |number: u64| number.min(3);
        let deals: Vec<_> = self.foe.deals.iter().map(|known| known.id).collect();
        let demands =
            self.foe.cases().iter().filter(|(_, case, _)| case.kind() == CaseKind::Demand).count();
        let means = (self.house.weary, self.house.had < DEPOSIT, few(demands as u64));
        for id in deals {
            let state = self.yard.ledger.market.deal_state(id);
            let cases =
                (few(state.claims.into()), few(state.lates.into()), few(state.challenges.into()));
            let ours = self.house.core.state().deals.get(&id).map(|deal| {
                let standing = std::mem::discriminant(&deal.standing);
                (
                    standing,
                    deal.closing.is_some(),
                    deal.release.is_some(),
                    !deal.denied.is_empty(),
                    few(deal.done),
                )
            });
            self.saw((state.status as u8, cases, ours, means));
        }
        let games: Vec<_> =
            self.yard.ledger.court.games().map(|(_, game)| (game.stage, game.level)).collect();
        games.into_iter().for_each(|game| self.saw(game));
    }
}

impl Arena for Alley {
    type Move = Move;
    type Weakness = Weakness;

    fn new(weakness: Option<Weakness>, story: bool) -> Self {
        let (house, foe) = (House::new(), Foe::new());
        let everybody = std::iter::once(house.account).chain(foe.accounts()).collect();
        let mut alley = Self {
            yard: Yard::new(everybody, story),
            house,
            foe,
            books: Books::default(),
            weakness,
            seen: BTreeSet::new(),
            next_tick: BEGIN + TICK,
            tick: TICK,
        };
        alley.feed(Event::Started).expect("nothing has happened yet");
        alley
    }

    fn play(&mut self, play: &Play<Move>) -> Result<(), Broken> {
        let at = self.time_of(play.when);
        self.advance(at)?;
        self.make(&play.what)?;
        self.look_around();
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Broken> {
        self.yard.tell(|| "the foes stop".into());
        self.tick = SLOW_TICK;
        self.next_tick = self.next_tick.min(self.yard.now + TICK);
        self.foe.stop();
        let Params { challenge_window, answer_window, grace, .. } = PARAMS;
        let last = |alley: &Self| {
            alley.foe.deals.iter().map(|known| known.deal.expiry).max().unwrap_or(alley.yard.now)
        };
        while !self.at_rest() {
            let horizon = last(self).max(self.yard.now.min(BEGIN + LONGEST));
            if self.yard.now > horizon + grace + 2 * challenge_window + answer_window + PATIENCE {
                return Err(self.unfinished());
            }
            let next = self.yard.now + TICK;
            self.advance(next)?;
        }
        self.verdict()
    }

    fn seen(&self) -> &BTreeSet<u64> {
        &self.seen
    }

    fn danger(&self) -> u64 {
        self.books.danger
    }

    fn story(&self) -> Vec<String> {
        self.yard.story.clone().unwrap_or_default()
    }

    fn draw(random: &mut Random) -> Move {
        Move::draw(random)
    }

    fn suggest(&self, random: &mut Random) -> Vec<Play<Move>> {
        if random.percent(10) {
            return vec![Play { when: When::Now, what: Move::draw(random) }];
        }
        super::weighed(foe::temptations(self), random)
    }

    fn vary(it: &Move, random: &mut Random) -> Move {
        it.vary(random)
    }

    fn openings() -> Vec<Vec<Play<Move>>> {
        foe::openings()
    }
}

impl Small for Alley {
    fn choices(&self) -> Vec<Play<Move>> {
        foe::choices(self)
    }

    fn fingerprint(&self) -> u64 {
        let mut print = Print::default();
        let known = (
            self.yard.now,
            &self.yard.ledger,
            &self.house.core,
            self.house.under_way(),
            self.foe.knowledge(),
        );
        // Writing to a hash cannot fail.
        let _ = write!(print, "{known:?}");
        print.value()
    }

    fn roots() -> Vec<Vec<Play<Move>>> {
        foe::roots()
    }
}

/// One opened deal.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    pub id: DealId,
    pub deal: rialto_protocol::types::Deal,
    /// Index of the seller.
    pub who: usize,
}

impl Opened {
    fn new(deal: &rialto_protocol::types::Deal, who: usize) -> Self {
        Self { id: struct_hash(deal), deal: deal.clone(), who }
    }
}
