//! An honest provider against hostile buyers.
//!
//! [`shop`] is the shipped core with a shell that acts like the service. [`foe`] holds the buyers'
//! keys and everything that they have received. [`oracle`] checks money, transactions and work from
//! outside.

pub mod foe;
pub mod oracle;
pub mod shop;

use std::collections::BTreeSet;
use std::fmt::Write;

use rialto_protocol::{model::Params, types::struct_hash};
use rialto_provider::core::{Event, LogId, What};

use self::{
    foe::{Foe, Move},
    oracle::Books,
    shop::{CREDIT, Shop},
};
use super::{
    Arena, Play, When, feature,
    scope::{Print, Small},
    yard::{BEGIN, PARAMS, Yard},
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
/// Seconds after the last deal's last window by which everything must have ended. Within it, a
/// dispute that began in that window times out.
const PATIENCE: u64 = 3 * 3600;

/// Defects that the honest side can be given. Each removes the effect of one reaction of the
/// shipped core or of one rule of the contracts. They exist only to test the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Weakness {
    /// Redeems vouchers only to close a deal or shortly before it expires, even if a case is opened
    /// against the deal (A1).
    RedeemsAtTheEnd,
    /// Accepts a cancellation with an invalid signature (A1).
    UnsignedCancel,
    /// Signs a release while it still owes work, and abandons that work (A1).
    EasyRelease,
    /// Acks every requested due time, even if it cannot keep it at the fuel limit (A1).
    EasyPromise,
    /// Runs every rejected task again, however many there are, before the traces that disputes need
    /// (A5).
    RejectionsFirst,
    /// Stops answering a dispute when its deal closes (A6).
    StopsWhenClosed,
    /// The court grants time for each dispute as if the provider had no other (A6).
    OneClock,
    /// A requester's key can revoke a closing voucher while the deal is open, and the provider
    /// sends nothing else for the deal until that voucher is redeemed (A7, A8).
    ClosingShadows,
}

impl Weakness {
    /// All defects.
    pub const ALL: [Self; 8] = [
        Self::RedeemsAtTheEnd,
        Self::UnsignedCancel,
        Self::EasyRelease,
        Self::EasyPromise,
        Self::RejectionsFirst,
        Self::StopsWhenClosed,
        Self::OneClock,
        Self::ClosingShadows,
    ];
}

/// World of an honest provider and hostile buyers.
#[derive(Clone)]
pub struct Street {
    yard: Yard,
    shop: Shop,
    foe: Foe,
    books: Books,
    weakness: Option<Weakness>,
    seen: BTreeSet<u64>,
    next_tick: u64,
    tick: u64,
}

impl Street {
    /// Returns whether this defect is put in.
    fn weak(&self, weakness: Weakness) -> bool {
        self.weakness == Some(weakness)
    }

    fn saw(&mut self, what: impl std::hash::Hash) {
        self.seen.insert(feature(what));
    }

    /// Advances the clock to `until`, and handles everything that is due by then.
    fn advance(&mut self, until: u64) -> Result<(), Broken> {
        while let Some(at) = [self.shop.next(), Some(self.next_tick)]
            .into_iter()
            .flatten()
            .min()
            .filter(|at| *at <= until)
        {
            self.yard.now = self.yard.now.max(at);
            match self.shop.take_due(self.yard.now) {
                Some(due) => self.shop_happens(due)?,
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
        self.check_turns()
    }

    /// Sends a call at once. The provider receives its events later.
    fn call(
        &mut self,
        sender: rialto_protocol::Address,
        act: &Act,
    ) -> Result<Option<Vec<Said>>, Broken> {
        if self.weak(Weakness::OneClock) {
            self.yard.ledger.court.forget_queue();
        }
        let outcome = self.yard.call(sender, act);
        let who = if sender == self.shop.account { "provider" } else { "foe" };
        self.yard.tell(|| match &outcome {
            Ok(_) => format!("chain: {} by the {who}", act.kind()),
            Err(code) => format!("chain refuses: {} by the {who}: {code}", act.kind()),
        });
        self.books.called(who == "provider", outcome.is_ok());
        self.saw((who, act.kind(), outcome.as_ref().err()));
        let Ok(said) = outcome else { return Ok(None) };
        self.yard.conserved()?;
        let facts = self.yard.facts(&said);
        for fact in &facts {
            self.note_danger(&fact.what);
            self.foe.learn(fact);
            self.check_fact(&fact.what)?;
        }
        self.shop.hear_later(self.yard.now, facts);
        self.check_now()?;
        Ok(Some(said))
    }

    /// Returns the deadlines that lie ahead.
    fn moments(&self) -> Vec<u64> {
        let mut moments = self.foe.moments();
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
}

impl Arena for Street {
    type Move = Move;
    type Weakness = Weakness;

    fn new(weakness: Option<Weakness>, story: bool) -> Self {
        let (shop, foe) = (Shop::new(), Foe::new());
        let everybody = std::iter::once(shop.account).chain(foe.accounts()).collect();
        let mut street = Self {
            yard: Yard::new(everybody, story),
            shop,
            foe,
            books: Books::default(),
            weakness,
            seen: BTreeSet::new(),
            next_tick: BEGIN + TICK,
            tick: TICK,
        };
        let account = street.yard.ledger.market.account(street.shop.account).balance;
        let started = Event::Started { from_block: 0, counter: 0, account };
        let heard = Event::Chain { removed: Vec::<LogId>::new(), added: Vec::new(), head: 0 };
        // A new provider signs its first ask on these events.
        let begun = street.feed(started).and_then(|()| street.feed(heard));
        begun.expect("nothing has happened yet");
        street
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
        let Params { challenge_window, answer_window, grace, .. } = PARAMS;
        let last =
            self.foe.deals.iter().map(|known| known.deal.expiry).max().unwrap_or(self.yard.now);
        let horizon =
            last.max(self.yard.now) + grace + 2 * challenge_window + answer_window + PATIENCE;
        while !self.at_rest() {
            if self.yard.now > horizon {
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

impl Small for Street {
    fn choices(&self) -> Vec<Play<Move>> {
        foe::choices(self)
    }

    fn fingerprint(&self) -> u64 {
        let mut print = Print::default();
        let known = (
            self.yard.now,
            &self.yard.ledger,
            &self.shop.core,
            self.shop.under_way(),
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

impl Street {
    /// Adds a rough summary of the state to the features. A sequence with a new one is kept.
    fn look_around(&mut self) {
        let few = |number: u64| number.min(3);
        self.books.look_at_what_is_owed(self.yard.now);
        let deals: Vec<_> = self.foe.deals.iter().map(|known| known.id).collect();
        let machine = (self.shop.broken, self.shop.lag > 1);
        for id in deals {
            let state = self.yard.ledger.market.deal_state(id);
            let cases =
                (few(state.claims.into()), few(state.lates.into()), few(state.challenges.into()));
            let row = self.shop.core.deal(id);
            let ours = row.map(|row| {
                let unredeemed = row.voucher_amount().saturating_sub(row.chain().paid) * 4 / CREDIT;
                (
                    row.verdict as u8,
                    row.closing(),
                    row.released.is_some(),
                    unredeemed.min(8),
                    row.earned > row.voucher_amount(),
                )
            });
            let owed = |placed: &&foe::Placed| placed.order.deal == id && placed.is_owed();
            let owed = self.foe.orders.iter().filter(owed).count().min(2);
            self.saw((state.status as u8, cases, ours, machine, owed));
        }
        let states: Vec<_> = self
            .foe
            .orders
            .iter()
            .filter_map(|placed| self.shop.core.order(placed.hash))
            .map(|row| {
                (
                    std::mem::discriminant(&row.state),
                    row.cancel.is_some(),
                    row.rejected.len().min(2),
                )
            })
            .collect();
        states.into_iter().for_each(|state| self.saw((state, machine)));
        let games: Vec<_> =
            self.yard.ledger.court.games().map(|(_, game)| (game.stage, game.level)).collect();
        self.saw(("games", games.len().min(10)));
        games.into_iter().for_each(|game| self.saw(game));
    }

    /// Updates the danger with a fact.
    fn note_danger(&mut self, what: &What) {
        match what {
            What::CaseOpened { case, deadline, .. } => {
                self.books.owed(case.subject(), case.task(), *deadline)
            }
            What::CaseEnded { case, .. } => {
                self.books.paid_off(self.yard.now, case.subject(), case.task())
            }
            What::Game(news) => {
                use rialto_protocol::court::GameNews as News;
                let (game, until) = match news {
                    News::Accused(view) => (struct_hash(&view.game), Some(view.deadline)),
                    News::Picked { game, deadline, .. }
                    | News::Challenged { game, deadline, .. } => (*game, Some(*deadline)),
                    News::Moved { game, deadline, accusers_turn, .. } => {
                        (*game, (!accusers_turn).then_some(*deadline))
                    }
                    News::Unfolded { game, .. } | News::Ended { game, .. } => (*game, None),
                    News::Stepped { .. } | News::Convicted { .. } => return,
                };
                match until {
                    Some(until) => self.books.owed(game.into(), u32::MAX, until),
                    None => self.books.paid_off(self.yard.now, game.into(), u32::MAX),
                }
            }
            What::Opened(_) | What::Redeemed { .. } | What::Closed { .. } => {}
        }
    }
}
