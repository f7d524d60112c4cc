//! An honest provider, alone among buyers that mean it no good.
//!
//! [`shop`] is the shipped core with a shell that does what the service does; [`foe`] holds the buyers' keys and knows what they were
//! told; [`oracle`] watches money, transactions and work from outside.

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

/// The core is told the time so often while a strategist moves, seconds.
const TICK: u64 = 10;
/// And when nobody does any more.
const SLOW_TICK: u64 = 60;
/// No strategist waits for longer than that in all, seconds.
const LONGEST: u64 = 3 * 3600;
/// Everything has to end so long after the last deal's last window, seconds: a game that was begun in it is lost by time.
const PATIENCE: u64 = 3 * 3600;

/// What the honest side can be made to forget: each undoes a reaction of the shipped core, or a rule of the contracts, by keeping
/// it from having an effect. For tests of the search alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Weakness {
    /// Vouchers are redeemed when they close a deal, or shortly before it expires, whatever is opened against it (A1).
    RedeemsAtTheEnd,
    /// A cancellation counts without a signature (A1).
    UnsignedCancel,
    /// A release is given while work is owed, which is then left (A1).
    EasyRelease,
    /// What is promised is what was asked for, whether or not it can be kept at the fuel limit (A1).
    EasyPromise,
    /// Rejected tasks are run again, however many, in the place and before the turn of games (A5).
    RejectionsFirst,
    /// No game goes on when its deal has closed (A6).
    StopsWhenClosed,
    /// The court's clocks know nothing of each other (A6).
    OneClock,
    /// Keys can take a closing voucher back for as long as the deal lasts, and until it is redeemed nothing else is sent for the
    /// deal (A7, A8).
    ClosingShadows,
}

impl Weakness {
    /// All of them.
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

/// A provider and its foes.
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
    /// Whether this is to be forgotten.
    fn weak(&self, weakness: Weakness) -> bool {
        self.weakness == Some(weakness)
    }

    fn saw(&mut self, what: impl std::hash::Hash) {
        self.seen.insert(feature(what));
    }

    /// Lets time pass.
    fn advance(&mut self, until: u64) -> Result<(), Broken> {
        while let Some(at) =
            [self.shop.next(), Some(self.next_tick)].into_iter().flatten().min().filter(|at| *at <= until)
        {
            self.yard.now = self.yard.now.max(at);
            match self.shop.take_due(self.yard.now) {
                Some(due) => self.shop_happens(due)?,
                None => {
                    // Who has something to answer looks often; nobody waits for anything else.
                    let tick = if self.foe.is_at_law() { TICK } else { self.tick };
                    self.next_tick = self.yard.now + tick;
                    self.feed(Event::Tick)?;
                }
            }
        }
        self.yard.now = self.yard.now.max(until);
        self.check_turns()
    }

    /// Sends a call at once; the provider hears what comes of it.
    fn call(&mut self, sender: rialto_protocol::Address, act: &Act) -> Result<Option<Vec<Said>>, Broken> {
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

    /// Moments that matter, from now on.
    fn moments(&self) -> Vec<u64> {
        let mut moments = self.foe.moments();
        let Params { challenge_window, answer_window, grace, .. } = PARAMS;
        for deal in self.foe.deals.iter().map(|known| &known.deal) {
            let end = deal.expiry + grace;
            moments.extend([deal.expiry, end, end + challenge_window, end + 2 * challenge_window + answer_window]);
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
                let at = moments.get(usize::from(which) % moments.len().max(1)).copied().unwrap_or(now);
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
        // A new provider signs its first ask at once.
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
        let last = self.foe.deals.iter().map(|known| known.deal.expiry).max().unwrap_or(self.yard.now);
        let horizon = last.max(self.yard.now) + grace + 2 * challenge_window + answer_window + PATIENCE;
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
        let known = (self.yard.now, &self.yard.ledger, &self.shop.core, self.shop.under_way(), self.foe.knowledge());
        // Writing to a hash does not fail.
        let _ = write!(print, "{known:?}");
        print.value()
    }

    fn roots() -> Vec<Vec<Play<Move>>> {
        foe::roots()
    }
}

impl Street {
    /// How things stand, roughly: what was never seen before is worth to go on from.
    fn look_around(&mut self) {
        let few = |number: u64| number.min(3);
        self.books.look_at_what_is_owed(self.yard.now);
        let deals: Vec<_> = self.foe.deals.iter().map(|known| known.id).collect();
        let machine = (self.shop.broken, self.shop.lag > 1);
        for id in deals {
            let state = self.yard.ledger.market.deal_state(id);
            let cases = (few(state.claims.into()), few(state.lates.into()), few(state.challenges.into()));
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
            .map(|row| (std::mem::discriminant(&row.state), row.cancel.is_some(), row.rejected.len().min(2)))
            .collect();
        states.into_iter().for_each(|state| self.saw((state, machine)));
        let games: Vec<_> = self.yard.ledger.court.games().map(|(_, game)| (game.stage, game.level)).collect();
        self.saw(("games", games.len().min(10)));
        games.into_iter().for_each(|game| self.saw(game));
    }

    /// What a fact says of how near to a loss the provider was.
    fn note_danger(&mut self, what: &What) {
        match what {
            What::CaseOpened { case, deadline, .. } => self.books.owed(case.subject(), case.task(), *deadline),
            What::CaseEnded { case, .. } => self.books.paid_off(self.yard.now, case.subject(), case.task()),
            What::Game(news) => {
                use rialto_protocol::court::GameNews as News;
                let (game, until) = match news {
                    News::Accused(view) => (struct_hash(&view.game), Some(view.deadline)),
                    News::Picked { game, deadline, .. } | News::Challenged { game, deadline, .. } => {
                        (*game, Some(*deadline))
                    }
                    News::Moved { game, deadline, accusers_turn, .. } => (*game, (!accusers_turn).then_some(*deadline)),
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
