//! The honest side: the provider's core with its disk and its machine, and the relevant part of the
//! service. The strategist chooses how many seconds later transactions are mined and the chain is
//! read, within the limits that docs/threat-model.md sets for a provider.

use std::collections::{BTreeMap, BTreeSet};

use alloy_signer_local::PrivateKeySigner;
use rialto_protocol::{
    Address, DealId, OrderId, keccak256,
    types::{Ask, Order, struct_hash},
    wire::{Payload, ToProvider, ToRequester},
};
use rialto_provider::core::{
    AskConfig, Call, Config, Core, Effect, Event, Fact, Limits, Money, OrderState, Outcome, Price,
    ProviderEvent, Refusal, Work,
};

use super::{Street, Weakness};
use crate::{
    check::Broken,
    compute::{self, FUEL_LIMIT},
    desk::{Desk, results},
    ledger::Act,
    search::yard::{COURT, PARAMS, key, sign},
    world::{CHAIN_ID, MARKET},
};

/// Number of cores that the provider sells.
pub const CORES: u32 = 2;
/// Measured speed of one core, in fuel per second. At this speed, the orders of two deals at their
/// limits take longer than an answer window.
const FUEL_PER_SECOND: u64 = 60_000_000;
/// Speed of tracing, in fuel per second. A task at the limit takes a quarter of the time that the
/// court allows.
const TRACED_PER_SECOND: u64 = 50_000_000;
/// Most traces that are kept between turns. A real trace may take a gigabyte.
const MAX_TRACES: usize = 2;
/// Most unpaid work in a deal, in base units: five tasks at the limit.
pub const CREDIT: u128 = 20_000;
/// Cost of a transaction, in base units.
pub const TX_WORTH: u128 = 10;
/// Price in base units per Tfuel.
pub const PRICE: u128 = 1_000_000;
/// Most deals at a time.
pub const CAPACITY: u32 = 4;

/// One scheduled event of the provider's side.
#[derive(Clone, Debug)]
pub(super) enum Due {
    /// The inputs of an order arrived.
    Fetched { order: OrderId, job: u64 },
    /// The tasks of an order have run.
    Ran { order: OrderId, job: u64 },
    /// A transaction is mined.
    Mined { intent: String, act: Box<Act> },
    /// The sender learns the outcome of a transaction.
    Known { intent: String, outcome: Outcome },
    /// The core receives facts of the chain.
    Heard(Vec<Fact>, u64),
    /// Wanted data is ready.
    Done(Box<Wanted>),
    /// The tracing core is free.
    Free,
}

/// Data that the core asked for: an answer in a dispute, or a re-run of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Play { work: Box<Work>, view: Box<rialto_protocol::court::GameView> },
    Rerun { work: Box<Work>, task: u32, asked: bool },
}

impl Wanted {
    /// Returns the task that must be run for it.
    fn task(&self) -> (OrderId, Option<u32>) {
        match self {
            Self::Play { work, view } => (work.hash, view.question.task()),
            Self::Rerun { work, task, .. } => (work.hash, Some(*task)),
        }
    }
}

/// One core that traces tasks for disputes. It takes the earliest deadline first, and serves all
/// turns over one task together.
#[derive(Clone, Debug, Default)]
struct Place {
    waiting: Vec<Wanted>,
    busy: Vec<Wanted>,
    /// Kept traces, oldest first.
    traces: Vec<(OrderId, u32)>,
}

/// The honest provider.
#[derive(Clone)]
pub struct Shop {
    /// The provider's account on chain.
    pub account: Address,
    /// Key with which the provider signs.
    pub key: PrivateKeySigner,
    /// The provider's core.
    pub core: Core,
    /// The ask that the provider last published.
    pub ask: Option<rialto_protocol::wire::Signed<Ask>>,
    /// Seconds until a transaction is mined, and again until its events are read.
    pub lag: u64,
    /// The provider's disk.
    pub desk: Desk,
    queue: BTreeMap<(u64, u64), Due>,
    serial: u64,
    jobs: BTreeMap<OrderId, u64>,
    place: Place,
    head: u64,
    /// All facts of the chain so far, to be read again after a restart.
    said: Vec<Fact>,
    /// Whether the machine cannot run tasks now; below, whether it ever could not.
    pub(super) broken: bool,
    pub(super) failed: bool,
    /// Orders that a provider with a defect abandoned.
    abandoned: BTreeSet<OrderId>,
}

fn config(account: Address, key: Address) -> Config {
    Config {
        provider: account,
        key,
        endpoint: keccak256("the shop"),
        chain_id: CHAIN_ID,
        market: MARKET,
        grace_seconds: PARAMS.grace,
        challenge_seconds: PARAMS.challenge_window,
        asks: AskConfig {
            price: Price::Constant(PRICE),
            min_budget: 1_000,
            max_budget: 60_000,
            collateral_bps: 5_000,
            late_penalty_bps: 5_000,
            max_deal_seconds: 3_600,
            capacity: CAPACITY,
            cores: CORES,
            fuel_per_second: FUEL_PER_SECOND,
            court: COURT,
            valid_seconds: 4 * 3600,
            republish_seconds: 3_600,
            ..AskConfig::default()
        },
        limits: Limits {
            order_tasks: 4,
            task_fuel: FUEL_LIMIT,
            traced_fuel: FUEL_LIMIT,
            deal_orders: 4,
            fetch_seconds: 60,
            ..Limits::default()
        },
        money: Money {
            credit_window: CREDIT,
            tx_worth: TX_WORTH,
            redeem_pause_seconds: 300,
            redeem_every_seconds: 3_600,
            redeem_margin_seconds: 300,
            claim_after_seconds: 300,
            reorg_quiet_seconds: 20,
            keep_closed_seconds: 600,
            ..Money::default()
        },
    }
}

impl Shop {
    /// Returns a provider that has not been started yet.
    pub fn new() -> Self {
        let (owner, signer) = (key("the provider"), key("the provider's key"));
        let account = owner.address();
        Self {
            account,
            core: Core::restore(config(account, signer.address()), Vec::new()),
            key: signer,
            ask: None,
            lag: 1,
            desk: Desk::default(),
            queue: BTreeMap::new(),
            serial: 0,
            jobs: BTreeMap::new(),
            place: Place::default(),
            head: 0,
            said: Vec::new(),
            broken: false,
            failed: false,
            abandoned: BTreeSet::new(),
        }
    }

    /// Returns the time of the next event.
    pub(super) fn next(&self) -> Option<u64> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// Removes and returns one event that is due.
    pub(super) fn take_due(&mut self, now: u64) -> Option<Due> {
        let first = self.queue.first_entry().filter(|first| first.key().0 <= now)?;
        Some(first.remove())
    }

    fn later(&mut self, at: u64, due: Due) {
        self.serial += 1;
        self.queue.insert((at, self.serial), due);
    }

    pub(super) fn hear_later(&mut self, now: u64, facts: Vec<Fact>) {
        self.said.extend(facts.iter().cloned());
        let head = self.said.last().map_or(self.head, |fact| fact.at.block);
        self.later(now + self.lag, Due::Heard(facts, head));
    }

    /// Returns the scheduled events without their serial numbers, for the state's hash.
    pub(super) fn under_way(&self) -> impl std::fmt::Debug + '_ {
        let queue: Vec<_> = self.queue.iter().map(|((at, _), due)| (at, due)).collect();
        (queue, &self.place, self.jobs.keys().collect::<Vec<_>>(), self.lag)
    }

    /// Returns whether nothing is scheduled or waiting.
    pub(super) fn quiet(&self) -> bool {
        self.queue.is_empty() && self.place.waiting.is_empty() && self.core.idle()
    }
}

impl Default for Shop {
    fn default() -> Self {
        Self::new()
    }
}

impl Street {
    /// Schedules the arrival of an order's inputs, if they are being fetched.
    pub(super) fn serve(&mut self, order: OrderId) {
        if let Some(job) = self.shop.jobs.get(&order).copied()
            && self
                .shop
                .core
                .order(order)
                .is_some_and(|row| matches!(row.state, OrderState::Fetching { .. }))
        {
            let at = self.yard.now + 1;
            self.shop.later(at, Due::Fetched { order, job });
        }
    }

    /// Feeds an event to the core and executes the effects, until none is left.
    pub(super) fn feed(&mut self, event: Event) -> Result<(), Broken> {
        let now = self.yard.now;
        for effect in self.shop.core.handle(now, event) {
            self.perform(effect)?;
        }
        Ok(())
    }

    pub(super) fn shop_happens(&mut self, due: Due) -> Result<(), Broken> {
        match due {
            Due::Fetched { order, job } if self.shop.jobs.get(&order) == Some(&job) => {
                self.shop.jobs.remove(&order);
                self.feed(Event::Fetched { order, result: Ok(()) })
            }
            Due::Ran { order, job } if self.shop.jobs.get(&order) == Some(&job) => {
                self.shop.jobs.remove(&order);
                self.ran(order)
            }
            Due::Fetched { .. } | Due::Ran { .. } => Ok(()),
            Due::Mined { intent, act } => {
                let outcome = match self.call(self.shop.account, &act)? {
                    Some(_) => Outcome::Mined { fee_wei: 0 },
                    None => Outcome::Reverted,
                };
                let at = self.yard.now + self.shop.lag;
                self.shop.later(at, Due::Known { intent, outcome });
                Ok(())
            }
            Due::Known { intent, outcome } => self.feed(Event::Transacted { intent, outcome }),
            Due::Heard(facts, head) => {
                let deal = |fact: &Fact| self.shop.core.deal(fact.deal).is_some();
                let moved = facts.iter().any(deal);
                self.shop.head = self.shop.head.max(head);
                self.feed(Event::Chain { removed: Vec::new(), added: facts, head })?;
                if moved { self.look_at_account() } else { Ok(()) }
            }
            Due::Done(wanted) => self.done(*wanted),
            Due::Free => self.place_is_free(),
        }
    }

    pub(super) fn look_at_account(&mut self) -> Result<(), Broken> {
        let account = self.yard.ledger.market.account(self.shop.account);
        self.feed(Event::Account { account: account.balance, counter: account.counter })
    }

    /// Stops the provider and starts it again at once.
    pub(super) fn restart(&mut self) -> Result<(), Broken> {
        let shop = &mut self.shop;
        shop.core = Core::restore(shop.core.config().clone(), shop.desk.rows());
        shop.jobs.clear();
        shop.place = Place::default();
        // Sent transactions are still mined, but nobody waits for their outcomes.
        shop.queue.retain(|_, due| matches!(due, Due::Mined { .. }));
        self.foe.sessions_end();
        let (from_block, now) = (self.shop.core.cursor().saturating_sub(4), self.yard.now);
        let account = self.yard.ledger.market.account(self.shop.account);
        let started =
            Event::Started { from_block, counter: account.counter, account: account.balance };
        self.feed(started)?;
        let again: Vec<_> =
            self.shop.said.iter().filter(|fact| fact.at.block >= from_block).cloned().collect();
        let (head, lag) = (self.yard.block, self.shop.lag);
        self.shop.later(now + lag, Due::Heard(again, head));
        Ok(())
    }

    fn perform(&mut self, effect: Effect) -> Result<(), Broken> {
        let now = self.yard.now;
        match effect {
            Effect::Persist(records) => {
                records.iter().for_each(|record| drop(self.shop.desk.write(record)))
            }
            Effect::Send { session, message } => self.say(session, message),
            Effect::SendReceipt { session, deal, receipt } => {
                let Some(known) = self.shop.desk.results(receipt.order) else {
                    return Err(format!("{} is delivered without results on disk", receipt.order));
                };
                self.books.delivered(deal, &receipt);
                let receipt = sign(&self.shop.key, receipt);
                let message =
                    ToRequester::Receipt { receipt, results: known.halted, outputs: known.outputs };
                self.books.messages_out += 1;
                self.foe.hear(session, message);
            }
            Effect::Hangup { session } => self.foe.hung_up(session),
            Effect::Publish(ask) => {
                let owner = key("the provider");
                self.shop.ask = Some(sign(&owner, ask));
            }
            Effect::Fetch(work) => {
                let job = self.begin(work.hash);
                if self.foe.serves(work.hash) {
                    self.shop.later(now + 1, Due::Fetched { order: work.hash, job });
                }
            }
            Effect::Run(work) => {
                let job = self.begin(work.hash);
                let Some(inputs) = self.shop.desk.inputs(&work.order, work.hash) else {
                    return Err(format!("{} runs without inputs", work.hash));
                };
                let outcomes = compute::run_order(&inputs, &work.order);
                let fuel: u64 =
                    outcomes.iter().map(|(halted, _)| halted.fuel_used(work.order.fuelLimit)).sum();
                let slow = if self.foe.is_slow(work.hash) { 2 } else { 1 };
                let wide = u64::from(CORES.min(work.order.tasks));
                let seconds = 1 + slow * fuel / FUEL_PER_SECOND / wide;
                if !self.shop.abandoned.contains(&work.hash) {
                    self.shop.later(now + seconds, Due::Ran { order: work.hash, job });
                }
            }
            Effect::Rerun { work, task } => {
                let wanted = Wanted::Rerun { work: Box::new(work), task, asked: true };
                if self.weak(Weakness::RejectionsFirst) {
                    self.shop.place.waiting.push(wanted);
                    self.begin_next();
                } else {
                    let seconds = self.seconds(&wanted);
                    self.shop.later(now + seconds, Due::Done(Box::new(wanted)));
                }
            }
            Effect::StopRerun { order, task } => {
                let this = |due: &Due| match due {
                    Due::Done(wanted) => {
                        matches!(&**wanted, Wanted::Rerun { work, task: other, .. }
                        if work.hash == order && *other == task)
                    }
                    _ => false,
                };
                self.shop.queue.retain(|_, due| !this(due));
            }
            Effect::Play { work, view } => {
                let closed =
                    self.shop.core.deal(view.game.deal).is_some_and(|row| row.chain().closed);
                if closed && self.weak(Weakness::StopsWhenClosed) {
                    return Ok(());
                }
                let wanted = Wanted::Play { work: Box::new(work), view };
                if wanted.task().1.is_some() || self.weak(Weakness::RejectionsFirst) {
                    self.shop.place.waiting.push(wanted);
                    self.begin_next();
                } else {
                    self.shop.later(now + 1, Due::Done(Box::new(wanted)));
                }
            }
            Effect::ForgetTrace { order, task } => {
                self.shop.place.traces.retain(|known| *known != (order, task))
            }
            Effect::Stop { order } => drop(self.shop.jobs.remove(&order)),
            Effect::Transact { intent, call } => return self.transact(intent, call),
            Effect::Release { .. } => {}
            Effect::Tell(event) => self.told(&event),
        }
        Ok(())
    }

    fn told(&mut self, event: &ProviderEvent) {
        if let ProviderEvent::Refused { why, .. } = event {
            self.saw(("refused", why.code().to_string()));
        }
        self.yard.tell(|| format!("provider: {event:?}"));
    }

    fn say(&mut self, session: u64, message: ToRequester) {
        let key = &self.shop.key;
        let message = match message {
            ToRequester::Ack(mut ack) => {
                if self.weakness == Some(Weakness::EasyPromise) {
                    let order =
                        self.shop.core.order(ack.value.order).map(|row| row.order.value.dueBy);
                    ack.value.dueBy = order.unwrap_or(ack.value.dueBy);
                }
                ToRequester::Ack(sign(key, ack.value))
            }
            ToRequester::Release(release) => ToRequester::Release(sign(key, release.value)),
            other => other,
        };
        self.books.messages_out += 1;
        self.yard.tell(|| format!("to the foe: {}", name(&message)));
        self.foe.hear(session, message);
    }

    fn begin(&mut self, order: OrderId) -> u64 {
        self.shop.serial += 1;
        self.shop.jobs.insert(order, self.shop.serial);
        self.shop.serial
    }

    fn ran(&mut self, hash: OrderId) -> Result<(), Broken> {
        let Some(order) = self.shop.core.order(hash).map(|row| row.order.value.clone()) else {
            return Ok(());
        };
        if self.shop.broken {
            return self.feed(Event::Ran {
                order: hash,
                result: Err(Refusal::Attempt("no memory".into())),
            });
        }
        let Some(inputs) = self.shop.desk.inputs(&order, hash) else { return Ok(()) };
        let outcomes = compute::run_order(&inputs, &order);
        let outputs: Vec<u8> =
            outcomes.iter().flat_map(|(_, output)| output.iter().copied()).collect();
        let result = Ok(results(&outcomes, Payload::Inline(outputs.into())));
        self.feed(Event::Ran { order: hash, result })
    }

    fn transact(&mut self, intent: String, call: Call) -> Result<(), Broken> {
        let now = self.yard.now;
        if let Some(outcome) = self.withheld(&call) {
            let at = now + 1;
            self.shop.later(at, Due::Known { intent, outcome });
            return Ok(());
        }
        let Some(act) = self.shop.desk.act(call) else {
            return Err(format!("{intent}: the disk lacks what belongs to it"));
        };
        self.yard.tell(|| format!("provider sends {}", act.kind()));
        if let Act::Market(rialto_protocol::model::Call::Claim { deal, receipt, .. }) = &act {
            self.books.delivered(struct_hash(deal), receipt);
        }
        let act = Box::new(act);
        self.shop.later(now + self.shop.lag, Due::Mined { intent, act });
        Ok(())
    }

    /// Returns the outcome of a call that a provider with a defect does not send.
    fn withheld(&self, call: &Call) -> Option<Outcome> {
        let closing = |id: DealId| self.shop.core.deal(id).is_some_and(|row| row.closing());
        let closed = |id: DealId| self.shop.core.deal(id).is_some_and(|row| row.chain().closed);
        let hold = match self.weakness? {
            Weakness::RedeemsAtTheEnd => match call {
                Call::Redeem { deal, voucher } => {
                    !voucher.value.close && self.yard.now + 60 < deal.expiry
                }
                _ => false,
            },
            Weakness::UnsignedCancel => match call {
                Call::Excuse { cancel, .. } => self.foe.cancelled_unsigned(cancel.value.order),
                _ => false,
            },
            Weakness::StopsWhenClosed => match call {
                Call::Play { deal, .. } | Call::Timeout { deal, .. } => {
                    closed(struct_hash(&**deal))
                }
                _ => false,
            },
            Weakness::ClosingShadows => match call {
                Call::Redeem { deal, voucher } => {
                    voucher.value.close && self.yard.now < deal.expiry
                }
                Call::Claim { deal, .. }
                | Call::Answer { deal, .. }
                | Call::Excuse { deal, .. }
                | Call::Reveal { deal, .. }
                | Call::Play { deal, .. } => closing(struct_hash(&**deal)),
                _ => false,
            },
            _ => false,
        };
        hold.then_some(Outcome::Unsent)
    }

    /// Returns whether a provider with a defect signs a release that it should refuse. It then
    /// abandons the work.
    pub(super) fn releases_easily(&mut self, deal: DealId, amount: u128) -> bool {
        let Some(row) = self.shop.core.deal(deal).filter(|row| row.chain().open) else {
            return false;
        };
        if !self.weak(Weakness::EasyRelease)
            || amount < row.earned.max(row.voucher_amount())
            || amount > row.deal.budget
        {
            return false;
        }
        let of_deal = |order: &&OrderId| {
            self.shop.core.order(**order).is_some_and(|row| row.order.value.deal == deal)
        };
        let left: Vec<OrderId> = self.shop.jobs.keys().filter(of_deal).copied().collect();
        for order in left {
            self.shop.jobs.remove(&order);
            self.shop.abandoned.insert(order);
        }
        true
    }

    /// Makes a provider with a defect run every rejected task again.
    pub(super) fn rejection(&mut self, message: &ToProvider) {
        let ToProvider::Reject { order, task, .. } = message else { return };
        let row = self.shop.core.order(*order).filter(|row| row.state.receipt().is_some());
        let Some(order) = row.map(|row| row.order.value.clone()) else { return };
        if self.weak(Weakness::RejectionsFirst) && *task < order.tasks {
            let hash = struct_hash(&order);
            let blob = rialto_protocol::wire::BlobRef { hash: [0; 32], size: 0 };
            let work = Box::new(Work { hash, order, program: blob, shared: None, peer: None });
            self.shop.place.waiting.push(Wanted::Rerun { work, task: *task, asked: false });
            self.begin_next();
        }
    }

    /// Returns how many seconds the wanted data takes.
    fn seconds(&mut self, wanted: &Wanted) -> u64 {
        match (wanted, wanted.task()) {
            (Wanted::Rerun { work, task, .. }, _) => {
                let seconds =
                    1 + self.shop.desk.fuel(&work.order, work.hash, *task) / FUEL_PER_SECOND;
                self.books.reran(&work.order);
                seconds
            }
            (Wanted::Play { work, .. }, (order, Some(task))) => {
                let traces = &mut self.shop.place.traces;
                let kept = traces.contains(&(order, task));
                traces.retain(|other| *other != (order, task));
                traces.push((order, task));
                if traces.len() > MAX_TRACES {
                    traces.remove(0);
                }
                let trace = self.shop.desk.fuel(&work.order, work.hash, task) / TRACED_PER_SECOND;
                let seconds = 1 + if kept { 0 } else { trace };
                self.books.traced_seconds += seconds;
                seconds
            }
            (Wanted::Play { .. }, (_, None)) => 1,
        }
    }

    /// Begins the next wanted trace, if the tracing core is free.
    fn begin_next(&mut self) {
        let fifo = self.weak(Weakness::RejectionsFirst);
        let place = &mut self.shop.place;
        if !place.busy.is_empty() || place.waiting.is_empty() {
            return;
        }
        let deadline = |wanted: &Wanted| match wanted {
            Wanted::Rerun { .. } => u64::MAX,
            Wanted::Play { view, .. } => view.deadline,
        };
        let first = (0..place.waiting.len())
            .min_by_key(|at| if fifo { 0 } else { deadline(&place.waiting[*at]) });
        let task = place.waiting[first.unwrap_or(0)].task();
        let all = std::mem::take(&mut place.waiting).into_iter();
        let together = |wanted: &Wanted| wanted.task() == task && task.1.is_some() && !fifo;
        let (now, later): (Vec<_>, Vec<_>) =
            all.enumerate().partition(|(at, wanted)| Some(*at) == first || together(wanted));
        place.waiting = later.into_iter().map(|(_, wanted)| wanted).collect();
        place.busy = now.into_iter().map(|(_, wanted)| wanted).collect();
        let wanted = place.busy[0].clone();
        let at = self.yard.now + self.seconds(&wanted);
        self.shop.later(at, Due::Free);
    }

    fn place_is_free(&mut self) -> Result<(), Broken> {
        let done = std::mem::take(&mut self.shop.place.busy);
        self.begin_next();
        done.into_iter().try_for_each(|wanted| self.done(wanted))
    }

    fn done(&mut self, wanted: Wanted) -> Result<(), Broken> {
        match wanted {
            Wanted::Rerun { work, task, asked: true } => {
                let same = self.same(&work.order, work.hash, task);
                self.feed(Event::Reran { order: work.hash, task, same })
            }
            Wanted::Rerun { .. } => Ok(()),
            Wanted::Play { work, view } => {
                let answer = self.shop.desk.answer(&work.order, &view);
                let result =
                    answer.ok_or_else(|| Refusal::Attempt("nothing is known of it".into()));
                self.feed(Event::Played {
                    game: struct_hash(&view.game),
                    turn: view.turn(),
                    result,
                })
            }
        }
    }

    fn same(&self, order: &Order, hash: OrderId, task: u32) -> Option<bool> {
        let (inputs, before) = (self.shop.desk.inputs(order, hash)?, self.shop.desk.results(hash)?);
        let right = compute::run_order(&inputs, order);
        Some(right.get(task as usize)?.0 == *before.halted.get(task as usize)?)
    }
}

fn name(message: &ToRequester) -> String {
    match message {
        ToRequester::Refuse { code, detail, .. } => format!("refused, {code} {detail}"),
        ToRequester::Ack(ack) => {
            format!("ack, due by {}", ack.value.dueBy - crate::search::yard::BEGIN)
        }
        other => format!("{other:?}").split([' ', '(', '{']).next().unwrap_or_default().to_owned(),
    }
}
