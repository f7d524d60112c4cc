//! The seller, without IO: plain data and [`Core::handle`].
//!
//! Everything that must survive is a row ([`record`]); a handled event writes the rows it changed
//! before any effect that relies on them. What is not a row (sessions, what is running) is lost in
//! a crash and found again: sessions say hello, accepted orders run again, transactions are sent
//! again under the same intent.
//!
//! | module | knows |
//! |---|---|
//! | [`config`] | what is offered and risked |
//! | [`event`] | events in, effects out |
//! | [`record`] | rows |
//! | [`journal`] | rows as keys and bytes |
//! | [`facts`] | what the chain said, and taking it back |
//! | `asks` | offering, signing again, capacity |
//! | [`auction`] | prices that fall while idle |
//! | [`books`] | what was earned, spent, refused |
//! | [`worth`] | what a transaction costs |
//! | `session` | hello, resuming, who speaks for the requester |
//! | `admission` | which orders are accepted |
//! | `preparing` | what a deal may take without paying |
//! | `promise` | until when orders are promised, and which runs next |
//! | `orders` | fetching, cancelling, receipts |
//! | `payment` | vouchers, credit, closing |
//! | `reruns` | results said to be wrong |
//! | `cases` | late notices, demands, claims |
//! | `games` | defending receipts before the court |
//! | `chain` | facts in, transactions out |
//! | [`tower`] | a core of its own: defending others' receipts, and accusing |

mod admission;
mod asks;
pub mod auction;
pub mod books;
mod cases;
mod chain;
pub mod config;
pub mod event;
pub mod facts;
mod games;
pub mod journal;
mod orders;
mod payment;
mod preparing;
mod promise;
pub mod record;
mod reruns;
mod session;
pub mod tower;
pub mod worth;

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::B256;
use alloy_sol_types::Eip712Domain;
use rialto_protocol::{
    AskId, DealId, GameId, OrderId,
    types::{Deal, Order, domain},
    wire::ToRequester,
};
use serde::{Deserialize, Serialize};

pub use books::{Counts, Ledger, Sums};
pub use config::{AskConfig, Config, Limits, Money, Price};
pub use event::{Call, Effect, Event, Outcome, ProviderEvent, Work};
pub use facts::{Fact, Facts, LogId, OnChain, What};
pub use record::{
    AskRow, DealRow, MarketRow, OrderRow, OrderState, Record, Results, Tx, TxState, Verdict,
};
pub use rialto_protocol::refusal::Refusal;
pub use worth::Worth;

/// One provider. Feed it every event with a time that never goes back (it holds the larger), and
/// perform the effects in order.
#[derive(Clone, Debug)]
pub struct Core {
    config: Config,
    domain: Eip712Domain,
    now: u64,

    // Rows.
    market: MarketRow,
    asks: BTreeMap<AskId, AskRow>,
    deals: BTreeMap<DealId, DealRow>,
    orders: BTreeMap<OrderId, OrderRow>,
    books: books::Books,

    // Derived from rows.
    by_deal: BTreeMap<(DealId, u64), OrderId>,
    unfinished: BTreeSet<OrderId>,
    /// Rejected tasks that are to be run again.
    pending: BTreeSet<reruns::TaskId>,

    // Lost in a crash.
    started: bool,
    started_at: u64,
    /// The chain said something since the start.
    heard: bool,
    worth: Worth,
    draining: bool,
    account: u128,
    told_low: bool,
    published_at: Option<u64>,
    signed_at: Option<u64>,
    sessions: BTreeMap<u64, session::Session>,
    taken: preparing::Taken,
    fetching: BTreeSet<OrderId>,
    running: BTreeMap<OrderId, promise::Running>,
    /// The rejected task that is being run again, and the last one that was.
    rerunning: Option<reruns::TaskId>,
    rerun_last: Option<reruns::TaskId>,
    urgent: BTreeSet<OrderId>,
    retries: BTreeMap<OrderId, u32>,
    served: BTreeMap<DealId, u64>,
    turns: u64,
    fuel_seen: BTreeMap<B256, orders::FuelSeen>,
    games: games::Answers,

    // Of the event being handled.
    changed: Changed,
    effects: Vec<Effect>,
}

/// Rows to be written, and deals to be looked at, at the end of an event.
#[derive(Clone, Debug, Default)]
struct Changed {
    market: bool,
    books: bool,
    deals: BTreeSet<DealId>,
    orders: BTreeSet<OrderId>,
    more: Vec<Record>,
}

/// What a provider is doing, for people and tests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Whether new work is refused.
    pub draining: bool,
    /// What is offered now.
    pub offer: Option<Offer>,
    /// Why nothing new is offered.
    pub silent: Option<Silence>,
    /// What transactions cost now.
    pub worth: Worth,
    /// The books.
    pub ledger: Ledger,
    /// Refusals and losses by code.
    pub refusals: Counts,
    /// Unix seconds at which the offered ask ends.
    pub ask_until: Option<u64>,
    /// The account in the market, base units.
    pub account: u128,
    /// Sessions.
    pub sessions: usize,
    /// Orders being fetched or waiting.
    pub waiting: usize,
    /// Orders running.
    pub running: usize,
    /// Cores running tasks, and cores offered.
    pub cores: (u32, u32),
    /// Deals, by id.
    pub deals: BTreeMap<DealId, DealStatus>,
}

/// The ask that is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Base units per Tfuel now.
    pub price: u128,
    /// Base units per Tfuel when it ends.
    pub price_end: u128,
    /// Unix seconds.
    pub to: u64,
    /// Deals it can take.
    pub capacity: u32,
    /// Base units.
    pub min_budget: u128,
    /// Base units.
    pub max_budget: u128,
}

/// Why nothing new is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Silence {
    /// Being shut down.
    #[error("[P-OFR-001] stopping: no new deals are offered")]
    Draining,
    /// As many deals as configured.
    #[error("[P-OFR-002] {open} deals are open, as many as `capacity` allows")]
    Full {
        /// Open.
        open: u32,
    },
    /// The account can't back the smallest deal.
    #[error(
        "[P-OFR-003] the account in the market holds {account}, the smallest deal needs {needed} of collateral: deposit, or lower `min_budget` or `collateral`"
    )]
    LowBalance {
        /// Base units.
        account: u128,
        /// Base units.
        needed: u128,
    },
}

/// One deal in a [`Status`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DealStatus {
    /// Terms.
    pub deal: Deal,
    /// Open on chain.
    pub open: bool,
    /// Orders waiting or running.
    pub unfinished: u32,
    /// When the first of them is due, unix seconds.
    pub due_by: Option<u64>,
    /// Orders delivered.
    pub delivered: u32,
    /// Tasks delivered.
    pub tasks: u64,
    /// Fuel delivered.
    pub fuel: u128,
    /// Fees of what was delivered, base units.
    pub earned: u128,
    /// Best voucher, base units.
    pub voucher: u128,
    /// Paid on chain, base units.
    pub paid: u128,
    /// The most that can be lost in it, base units: unpaid work, and what accepted orders can cost;
    /// the ask's credit bounds it.
    pub at_risk: u128,
    /// What re-running rejected tasks showed.
    pub verdict: Verdict,
}

impl Core {
    /// A core from everything its journal holds (nothing, the first time).
    pub fn restore(config: Config, records: impl IntoIterator<Item = Record>) -> Self {
        let mut core = Self {
            domain: domain(config.chain_id, config.market),
            worth: Worth { redeem: config.money.tx_worth, claim: config.money.tx_worth },
            config,
            now: 0,
            market: MarketRow::default(),
            asks: BTreeMap::new(),
            deals: BTreeMap::new(),
            orders: BTreeMap::new(),
            books: books::Books::default(),
            by_deal: BTreeMap::new(),
            unfinished: BTreeSet::new(),
            pending: BTreeSet::new(),
            started: false,
            started_at: 0,
            heard: false,
            draining: false,
            account: 0,
            told_low: false,
            published_at: None,
            signed_at: None,
            sessions: BTreeMap::new(),
            taken: preparing::Taken::default(),
            fetching: BTreeSet::new(),
            running: BTreeMap::new(),
            rerunning: None,
            rerun_last: None,
            urgent: BTreeSet::new(),
            retries: BTreeMap::new(),
            served: BTreeMap::new(),
            turns: 0,
            fuel_seen: BTreeMap::new(),
            games: games::Answers::default(),
            changed: Changed::default(),
            effects: Vec::new(),
        };
        for record in records {
            match record {
                Record::Market(row) => core.market = *row,
                Record::Ask(hash, row) => drop(core.asks.insert(hash, row)),
                Record::Deal(id, row) => drop(core.deals.insert(id, *row)),
                Record::Order(hash, row) => core.insert_order(hash, *row),
                Record::Day(day, sums) => drop(core.books.days.insert(day, *sums)),
                Record::Refusals(counts) => core.books.counts = *counts,
                Record::Inputs(..)
                | Record::Results(..)
                | Record::ForgetAsk(_)
                | Record::ForgetDeal(_)
                | Record::ForgetOrder(_)
                | Record::ForgetDay(_) => {}
            }
        }
        core
    }

    /// Takes one event in and says what to do about it, in order. `now`: unix seconds.
    pub fn handle(&mut self, now: u64, event: Event) -> Vec<Effect> {
        self.now = self.now.max(now);
        match event {
            Event::Started { from_block, counter, account } => {
                self.start(from_block, counter, account)
            }
            Event::Tick => self.tick(),
            Event::Chain { removed, added, head } => self.chain_moved(removed, added, head),
            Event::Account { account, counter } => self.account_changed(account, counter),
            Event::Connected { session, peer } => self.connected(session, peer),
            Event::Message { session, message } => self.message(session, *message),
            Event::Disconnected { session } => self.disconnected(session),
            Event::Fetched { order, result } => self.fetched(order, result),
            Event::Progress { order, done } => self.progress(order, done),
            Event::Ran { order, result } => self.ran(order, result),
            Event::Reran { order, task, same } => self.reran(order, task, same),
            Event::Played { game, turn, result } => self.played(game, turn, result),
            Event::Transacted { intent, outcome } => self.transacted(&intent, outcome),
            Event::Worth(worth) => self.worth = worth,
            Event::Busy { core_millis } => self.note(|sums| sums.core_millis += core_millis),
            Event::Drain => self.drain(),
        }
        if self.started {
            self.note_idleness();
            self.offer();
            for deal in self.changed.deals.clone() {
                self.transact(deal);
            }
            self.defend();
            self.tend_reruns();
            self.schedule();
        }
        self.finish()
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Chain events up to this block are known.
    pub fn cursor(&self) -> u64 {
        self.market.cursor
    }

    /// Whether nothing accepted is unfinished, and no transaction is under way or wanted.
    pub fn idle(&self) -> bool {
        self.unfinished.is_empty() && self.deals.iter().all(|(id, row)| self.at_rest(*id, row))
    }

    /// Cores that run tasks now.
    pub fn busy_cores(&self) -> u32 {
        self.taken_cores().min(self.config.asks.cores)
    }

    /// Deals that were not seen closed, and those about which a game goes on.
    pub fn live_deals(&self) -> impl Iterator<Item = (DealId, &Deal)> {
        let live = |row: &DealRow| row.closed_at.is_none() || self.plays(row);
        self.deals.iter().filter(move |(_, row)| live(row)).map(|(id, row)| (*id, &row.deal))
    }

    /// Orders of a deal whose receipts we may have to defend, by their place in it.
    pub fn delivered(&self, deal: DealId) -> Vec<OrderId> {
        let done =
            |hash: &OrderId| self.orders.get(hash).is_some_and(|row| row.state.receipt().is_some());
        self.orders_of(deal).filter(done).collect()
    }

    /// Orders whose blobs must stay on disk.
    pub fn kept_orders(&self) -> impl Iterator<Item = (OrderId, &OrderRow)> {
        let kept = |row: &OrderRow| {
            self.deals
                .get(&row.order.value.deal)
                .is_some_and(|d| !d.chain().closed || self.plays(d))
        };
        self.orders.iter().filter(move |(_, row)| kept(row)).map(|(hash, row)| (*hash, row))
    }

    /// Every game known, and the deal that it is about.
    pub fn games(&self) -> Vec<(GameId, DealId)> {
        let of = |(id, row): (&DealId, &DealRow)| {
            row.chain().games.keys().map(|game| (*game, *id)).collect::<Vec<_>>()
        };
        self.deals.iter().flat_map(of).collect()
    }

    /// A deal's row.
    pub fn deal(&self, id: DealId) -> Option<&DealRow> {
        self.deals.get(&id)
    }

    /// An order's row.
    pub fn order(&self, hash: OrderId) -> Option<&OrderRow> {
        self.orders.get(&hash)
    }

    /// Every row, as the journal should hold it.
    pub fn rows(&self) -> Vec<Record> {
        let mut rows = vec![Record::Market(Box::new(self.market.clone()))];
        rows.extend(self.asks.iter().map(|(hash, row)| Record::Ask(*hash, row.clone())));
        rows.extend(self.deals.iter().map(|(id, row)| Record::Deal(*id, Box::new(row.clone()))));
        rows.extend(
            self.orders.iter().map(|(hash, row)| Record::Order(*hash, Box::new(row.clone()))),
        );
        rows.extend(self.books.days.iter().map(|(day, sums)| Record::Day(*day, Box::new(*sums))));
        if !self.books.counts.is_empty() {
            rows.push(Record::Refusals(Box::new(self.books.counts.clone())));
        }
        rows
    }

    /// What it was doing, as of a later time: for a core that is only looked at.
    pub fn status_at(mut self, now: u64) -> Status {
        self.now = self.now.max(now);
        self.status()
    }

    /// What it is doing.
    pub fn status(&self) -> Status {
        let deals = self.deals.iter().map(|(id, row)| (*id, self.deal_status(*id, row))).collect();
        let (ledger, refusals) = self.ledger();
        Status {
            draining: self.draining,
            offer: self.offered(),
            silent: self.silence(),
            worth: self.worth,
            ledger,
            refusals,
            ask_until: self.market.ask.as_ref().map(|ask| ask.to),
            account: self.account,
            sessions: self.sessions.len(),
            waiting: self.unfinished.len() - self.running.len(),
            running: self.running.len(),
            cores: (self.busy_cores(), self.config.asks.cores),
            deals,
        }
    }

    fn deal_status(&self, id: DealId, row: &DealRow) -> DealStatus {
        let chain = row.chain();
        let exposed = self.unpaid(row).saturating_add(self.reserved(id));
        let mut status = DealStatus {
            deal: row.deal.clone(),
            open: chain.open,
            unfinished: 0,
            due_by: None,
            delivered: 0,
            tasks: 0,
            fuel: 0,
            earned: row.earned,
            voucher: row.voucher_amount(),
            paid: chain.paid,
            at_risk: if chain.open { exposed.min(row.limits.credit) } else { 0 },
            verdict: row.verdict,
        };
        for order in self.orders_of(id).filter_map(|hash| self.orders.get(&hash)) {
            if order.state.unfinished() {
                let due = order.order.value.dueBy;
                status.unfinished += 1;
                status.due_by = Some(status.due_by.map_or(due, |first| first.min(due)));
            }
            if let Some(receipt) = order.state.receipt() {
                status.delivered += 1;
                status.tasks += u64::from(order.order.value.tasks);
                status.fuel += receipt.fuel;
            }
        }
        status
    }

    /// Orders of a deal, by sequence number.
    fn orders_of(&self, deal: DealId) -> impl Iterator<Item = OrderId> + '_ {
        self.by_deal.range((deal, 0)..=(deal, u64::MAX)).map(|(_, hash)| *hash)
    }

    fn insert_order(&mut self, hash: OrderId, row: OrderRow) {
        let Order { deal, seq, .. } = row.order.value;
        self.by_deal.insert((deal, seq), hash);
        if row.state.unfinished() {
            self.unfinished.insert(hash);
        }
        let pending = row.rejected.iter().filter(|(_, verdict)| **verdict == Verdict::Pending);
        self.pending.extend(pending.map(|(task, _)| (hash, *task)));
        self.orders.insert(hash, row);
    }

    /// Changes an order's state, keeping the indices.
    fn set_state(&mut self, hash: OrderId, state: OrderState) {
        let Some(row) = self.orders.get_mut(&hash) else { return };
        if state.unfinished() {
            self.unfinished.insert(hash);
        } else {
            self.unfinished.remove(&hash);
            self.urgent.remove(&hash);
        }
        row.state = state;
        self.changed.orders.insert(hash);
    }

    /// Forgets an order entirely.
    fn forget_order(&mut self, hash: OrderId) {
        let Some(row) = self.orders.remove(&hash) else { return };
        self.by_deal.remove(&(row.order.value.deal, row.order.value.seq));
        self.unfinished.remove(&hash);
        self.urgent.remove(&hash);
        self.retries.remove(&hash);
        self.stop(hash);
        self.forget_reruns(hash);
        self.changed.orders.remove(&hash);
        self.changed.more.retain(
            |record| !matches!(record, Record::Inputs(h, _) | Record::Results(h, _) if *h == hash),
        );
        self.changed.more.push(Record::ForgetOrder(hash));
    }

    /// A deal's row, to be changed: it will be written and its transactions looked at.
    fn deal_mut(&mut self, id: DealId) -> Option<&mut DealRow> {
        let row = self.deals.get_mut(&id)?;
        self.changed.deals.insert(id);
        Some(row)
    }

    fn send(&mut self, session: u64, message: ToRequester) {
        self.effects.push(Effect::Send { session, message });
    }

    fn tell(&mut self, event: ProviderEvent) {
        if let ProviderEvent::Refused { why, .. } = &event {
            self.count(why);
        }
        self.effects.push(Effect::Tell(event));
    }

    /// Refuses, on the wire and to the owner.
    fn refuse(&mut self, session: u64, deal: Option<DealId>, order: Option<OrderId>, why: Refusal) {
        self.send(
            session,
            ToRequester::Refuse { order, code: why.code().into(), detail: why.detail() },
        );
        self.tell(ProviderEvent::Refused { deal, order, why });
    }

    /// Everything changed is written first.
    fn finish(&mut self) -> Vec<Effect> {
        let changed = std::mem::take(&mut self.changed);
        let mut records = Vec::new();
        if changed.market {
            records.push(Record::Market(Box::new(self.market.clone())));
        }
        for id in changed.deals {
            if let Some(row) = self.deals.get(&id) {
                records.push(Record::Deal(id, Box::new(row.clone())));
            }
        }
        for hash in changed.orders {
            if let Some(row) = self.orders.get(&hash) {
                records.push(Record::Order(hash, Box::new(row.clone())));
            }
        }
        records.extend(changed.more);
        records.extend(self.books_written(changed.books));
        let mut effects = Vec::with_capacity(self.effects.len() + 1);
        if !records.is_empty() {
            effects.push(Effect::Persist(records));
        }
        effects.append(&mut self.effects);
        effects
    }

    fn start(&mut self, from_block: u64, counter: u64, account: u128) {
        (self.started, self.started_at) = (true, self.now);
        self.heard = false;
        self.forget_facts_from(from_block);
        self.account_changed(account, counter);
        self.resend_transactions();
    }

    fn tick(&mut self) {
        self.drop_stale_sessions();
        self.drop_stale_fetches();
        self.forget_closed_deals();
        self.forget_old_asks();
        if self.started {
            for deal in self.deals.keys().copied().collect::<Vec<_>>() {
                self.transact(deal);
            }
        }
    }

    /// Takes nothing new, and turns vouchers into money.
    fn drain(&mut self) {
        self.draining = true;
        for hash in self.unfinished.clone() {
            if matches!(
                self.orders.get(&hash).map(|row| &row.state),
                Some(OrderState::Fetching { .. })
            ) {
                self.give_up(hash, Refusal::Draining);
            }
        }
        self.tick();
    }
}
