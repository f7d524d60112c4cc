//! The buyer, without IO: plain data and [`Core::handle`].
//!
//! Everything that must survive is a [`Record`]; an event's records are persisted before any effect
//! that relies on them, and replaying them gives the same [`State`]. What is not recorded (the
//! order book, sessions, what is under way) is lost in a crash and found again: after every event
//! the core looks at each job and deal and does whatever is due.
//!
//! | module | knows |
//! |---|---|
//! | [`event`] | events in, effects out |
//! | [`job`] | what is submitted, told and reported |
//! | [`journal`] | records, and the state they add up to |
//! | [`book`] | offers heard |
//! | [`policy`] | what policies find and cost, and drawing what is checked: pure |
//! | `lease` | deals that outlive a job and serve the next one |
//! | [`matching`] | the cheapest set of offers under constraints, and why not the others |
//! | [`verify`] | receipts, replicas, outputs: pure checks |
//! | `buying` | opening deals, and more of them when providers fall away |
//! | `orders` | cutting tasks into batches, and who gets which |
//! | [`bonds`] | what stays in the account for accusations |
//! | `rest` | providers that take no work now, and when they are asked again |
//! | `session` | hello, resuming, messages in, who is silent |
//! | [`facts`] | what the chain said about deals |
//! | `cases` | late notices, demands, and which transactions are wanted |
//! | `claims` | whether what a provider asserts on chain is right, and what is at stake |
//! | `games` | taking wrong receipts to court |
//! | `accept` | comparing, judging, catching cheaters, accepting |
//! | `payment` | vouchers, closing, releases, expiry |
//! | `report` | progress and the final report |

mod accept;
pub mod bonds;
pub mod book;
mod buying;
mod cases;
mod claims;
pub mod event;
pub mod facts;
mod games;
pub mod job;
pub mod journal;
mod lease;
pub mod matching;
mod orders;
mod payment;
pub mod policy;
mod reach;
mod report;
mod rest;
mod session;
#[cfg(test)]
pub(crate) mod tests;
pub mod verify;

use std::collections::{BTreeMap, BTreeSet};

use alloy_sol_types::Eip712Domain;
use rialto_protocol::{Address, DealId, OrderId, receipt::Halted, types::domain, wire::Signed};

pub use bonds::{Accusable, Accusables};
pub use book::{Book, Offer};
pub use claims::Exposure;
pub use event::{
    Accusation, Call, Conviction, Effect, Event, FirstSegment, LocalRun, Outgoing, Stored, Trace,
    TraceKey, Traced, Transacted,
};
pub use facts::{Cursor, Fact, What};
pub use job::{
    Checks, Constraints, Dispute, JobError, JobEvent, JobId, JobPhase, JobSpec, JobStatus,
    MAX_JOB_TASKS, Outcome, Policy, Progress, ProviderReport, ProviderStatus, Source, Summary,
    TaskResult, TxNote, WrongTask,
};
pub use journal::{Phase, Record, State, Terms};
pub use matching::{Excluded, NoMatch, Plan, Why};
pub use policy::{BadPolicy, History, Price, detection_probability, price_of};

/// What a core has to know from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The account that buys.
    pub requester: Address,
    /// Signs its orders, cancellations and vouchers.
    pub key: Address,
    /// Chain of the market.
    pub chain_id: u64,
    /// The market.
    pub market: Address,
    /// From `expiry + grace` on, a deal can be expired (the market's window), seconds.
    pub grace_seconds: u64,
    /// From a claim to the moment from which it can be settled (the market's window), seconds.
    pub challenge_seconds: u64,
    /// From a late notice or demand to that moment, seconds.
    pub answer_seconds: u64,
    /// Bond of a late notice or demand, base units.
    pub case_bond: u128,
    /// The court is asked about a wrong receipt where at least so much is at stake in its deal,
    /// base units; none: never. An accusation costs gas: its bond comes back.
    pub dispute_from: Option<u128>,
    /// How long to wait for what.
    pub patience: Patience,
}

/// How long to wait before doing something about it, seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For as many offers as the job wants, before taking what there is.
    pub asks: u64,
    /// For a connection and its welcome: the provider has to see the deal on chain first.
    pub connect: u64,
    /// For any sign of life on a deal with unanswered orders. Slow tasks get longer.
    pub stall: u64,
    /// For new offers when nobody is left to run a task.
    pub stranded: u64,
    /// For a provider to redeem its closing voucher, before asking for a release.
    pub redeem: u64,
    /// A deal that works is kept so long without a job for later ones; 0: deals are closed with
    /// their job.
    pub idle: u64,
    /// For deals to close, before the report is given without them.
    pub settle: u64,
    /// For an outcome before the same transaction is tried again.
    pub transaction: u64,
    /// What is known of a job is kept so long after its deals are over.
    pub keep: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            asks: 10,
            connect: 10,
            stall: 20,
            stranded: 15,
            redeem: 20,
            idle: 0,
            settle: 60,
            transaction: 5,
            keep: 24 * 3600,
        }
    }
}

/// What a job would cost, and find, under a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyQuote {
    /// The policy.
    pub policy: Policy,
    /// Who would be chosen at what cost, and which constraint left the others out; or why nobody
    /// is.
    pub plan: Result<Plan, NoMatch>,
    /// What it costs with all checks, if it can be done at all.
    pub price: Option<Price>,
    /// For so many falsified tasks: the probability in parts per million that this is found, at
    /// least.
    pub detection: Vec<(u64, u32)>,
}

/// A receipt whose outputs are being stored.
#[derive(Clone, Debug)]
struct Storing {
    receipt: Signed<rialto_protocol::types::Receipt>,
    results: Vec<Halted>,
}

/// One requester. Feed it every event with a time that never goes back (it holds the larger), and
/// perform the effects in order.
#[derive(Clone, Debug)]
pub struct Core {
    config: Config,
    domain: Eip712Domain,
    now: u64,
    state: State,

    // Lost in a crash.
    started: bool,
    book: Book,
    links: BTreeMap<DealId, session::Link>,
    storing: BTreeMap<OrderId, Storing>,
    judging: BTreeSet<(JobId, u32)>,
    /// Those of `judging` that are checks of a sample, no conflicts.
    auditing: BTreeSet<(JobId, u32)>,
    sent: BTreeMap<String, Option<u64>>,
    stranded: BTreeMap<JobId, u64>,
    stranded_why: BTreeMap<JobId, String>,
    seek_at: BTreeMap<JobId, u64>,
    resting: BTreeMap<rialto_protocol::Address, rest::Rest>,
    napping: BTreeMap<DealId, rest::Rest>,
    progress: BTreeMap<OrderId, u32>,
    told: BTreeMap<JobId, Progress>,
    told_claims: BTreeSet<OrderId>,
    reruns: BTreeMap<(JobId, u32), rest::Rest>,
    traces: games::Traces,

    // Of the event being handled.
    dirty: BTreeSet<(JobId, u32)>,
    records: Vec<Record>,
    effects: Vec<Effect>,
}

impl Core {
    /// A core from its journal (empty, the first time).
    pub fn restore<'a>(config: Config, records: impl IntoIterator<Item = &'a Record>) -> Self {
        let state = State::replay(records);
        // Every batch that is not settled is compared again: what was being judged is judged now.
        let open = |job: &journal::Job| {
            if job.runs() { job.open_batches.clone() } else { BTreeSet::new() }
        };
        let open =
            state.jobs.iter().flat_map(|(id, job)| open(job).into_iter().map(|batch| (*id, batch)));
        let waiting =
            state.orders.values().filter(|order| order.status == journal::OrderStatus::Delivered);
        let dirty = open.chain(waiting.map(|order| (order.job, order.batch))).collect();
        Self {
            domain: domain(config.chain_id, config.market),
            config,
            now: 0,
            state,
            started: false,
            book: Book::default(),
            links: BTreeMap::new(),
            storing: BTreeMap::new(),
            judging: BTreeSet::new(),
            auditing: BTreeSet::new(),
            sent: BTreeMap::new(),
            stranded: BTreeMap::new(),
            stranded_why: BTreeMap::new(),
            seek_at: BTreeMap::new(),
            resting: BTreeMap::new(),
            napping: BTreeMap::new(),
            progress: BTreeMap::new(),
            told: BTreeMap::new(),
            told_claims: BTreeSet::new(),
            reruns: BTreeMap::new(),
            traces: games::Traces::default(),
            dirty,
            records: Vec::new(),
            effects: Vec::new(),
        }
    }

    /// Takes one event in and says what to do about it, in order. `now`: unix seconds.
    pub fn handle(&mut self, now: u64, event: Event) -> Vec<Effect> {
        self.now = self.now.max(now);
        match event {
            Event::Started => self.started = true,
            Event::Tick => self.book.expire(self.now),
            Event::Heard(offer) => self.heard(offer),
            Event::Submit(spec) => self.submit(spec),
            Event::Cancel(job) => self.end(job, Err(JobError::Cancelled)),
            Event::Resume { job, deadline, budget } => self.resume(job, deadline, budget),
            Event::Forgive(provider) => self.record(Record::Forgiven { provider }),
            Event::Connected { deal } => self.connected(deal),
            Event::Disconnected { deal, why } => self.disconnected(deal, why),
            Event::Message { deal, message } => self.message(deal, message),
            Event::Stored { order, result } => self.stored(order, result),
            Event::RanLocally { job, batch, result } => self.ran_locally(job, batch, result),
            Event::Traced { key, result } => self.traced(key, result),
            Event::Transacted { intent, outcome } => self.transacted(intent, outcome),
            Event::Chain { facts, cursor } => self.chain_said(facts, cursor),
        }
        if self.started {
            self.drive();
        }
        self.finish()
    }

    /// All durable state.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The order book.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// Whether no job is unreported, no deal is open, and no bond lies in a case.
    pub fn idle(&self) -> bool {
        self.state.jobs.values().all(|job| matches!(job.phase, Phase::Reported { .. }))
            && self.state.deals.values().all(journal::OpenDeal::over)
    }

    /// What a job would cost with the offers known now. Spends nothing.
    pub fn quote(&self, now: u64, spec: &JobSpec) -> Result<Plan, NoMatch> {
        self.explain(now, &self.need_of(spec), buying::distinct(spec))
    }

    /// Which deals would be opened now to take a job up again: none if it needs no more of them.
    /// Spends nothing.
    pub fn quote_resumed(
        &self,
        now: u64,
        id: JobId,
        deadline: u64,
        budget: Option<u128>,
    ) -> Result<Result<Option<Plan>, NoMatch>, JobError> {
        self.resumable(id)?;
        // A core is plain data: what would be is asked of a copy.
        let mut then = self.clone();
        then.now = then.now.max(now);
        then.resume(id, deadline, budget);
        then.inherit(id);
        Ok(then
            .lacks(id)
            .map(|(need, distinct)| then.explain(then.now, &need, distinct))
            .transpose())
    }

    /// What a job would cost, and find, under each of these policies. Spends nothing.
    pub fn quotes(
        &self,
        now: u64,
        spec: &JobSpec,
        policies: &[Policy],
        cheated: &[u64],
    ) -> Vec<PolicyQuote> {
        let quote = |policy: &Policy| {
            let spec = JobSpec { policy: *policy, inputs: spec.inputs.clone(), ..spec.clone() };
            let tasks = spec.tasks().into();
            let plan = self.quote(now, &spec);
            let need = buying::need_of(&spec);
            let price = plan.as_ref().ok().map(|plan| {
                let one_run = plan.cost / u128::from(policy.replicas().max(1));
                price_of(
                    *policy,
                    tasks,
                    one_run,
                    need.fuel(),
                    plan.deals.len() as u64,
                    spec.constraints.run_locally,
                )
            });
            let chance =
                |cheated: &u64| (*cheated, detection_probability(*policy, tasks, *cheated));
            PolicyQuote {
                policy: *policy,
                price,
                detection: cheated.iter().map(chance).collect(),
                plan,
            }
        };
        policies.iter().map(quote).collect()
    }

    fn heard(&mut self, offer: Offer) {
        self.look_again(offer.provider());
        if !self.book.insert(self.now, offer.clone()) {
            return;
        }
        self.seek_at.clear();
        let seeking = |job: &journal::Job| job.runs() && job.deals.is_empty();
        let jobs: Vec<_> =
            self.state.jobs.iter().filter(|(_, job)| seeking(job)).map(|(id, _)| *id).collect();
        for job in jobs {
            let event = self.ask_heard(&offer);
            self.tell(job, event);
        }
    }

    fn submit(&mut self, spec: JobSpec) {
        let id = spec.id;
        let fault = spec
            .check()
            .err()
            .or_else(|| self.state.jobs.contains_key(&id).then_some(JobError::Duplicate));
        if let Some(fault) = fault {
            return self.effects.push(Effect::Finished(Box::new(Summary::refused(id, fault))));
        }
        self.record(Record::Submitted { at: self.now, spec });
        let heard: Vec<_> = self.book.offers().map(|offer| self.ask_heard(offer)).collect();
        heard.into_iter().for_each(|event| self.tell(id, event));
    }

    /// Whether a job can be taken up again.
    pub fn resumable(&self, id: JobId) -> Result<(), JobError> {
        match self.state.jobs.get(&id).map(|job| &job.phase) {
            None => Err(JobError::NotResumable { state: "is not known (any more)".into() }),
            Some(Phase::Running) => Err(JobError::NotResumable { state: "is running".into() }),
            Some(
                Phase::Settling { outcome: Ok(()), .. } | Phase::Reported { outcome: Ok(()), .. },
            ) => Err(JobError::NotResumable { state: "is done".into() }),
            Some(_) => Ok(()),
        }
    }

    fn resume(&mut self, id: JobId, deadline: u64, budget: Option<u128>) {
        if self.resumable(id).is_ok() {
            self.record(Record::Resumed { job: id, deadline, budget });
            let open = self.state.jobs[&id].open_batches.clone();
            self.dirty.extend(open.into_iter().map(|batch| (id, batch)));
        }
    }

    fn ask_heard(&self, offer: &Offer) -> JobEvent {
        let ask = &offer.ask.value;
        JobEvent::AskHeard {
            provider: ask.provider,
            price: rialto_protocol::pricing::price_at(ask, self.now),
            task_fee: ask.taskFee,
            cores: ask.cores,
            fuel_per_second: ask.fuelPerSecond,
        }
    }

    /// Looks at everything and does what is due.
    fn drive(&mut self) {
        self.tend_sessions();
        self.weigh_dirty();
        for id in self.unreported() {
            if self.state.jobs[&id].runs() {
                self.tend_job(id);
            }
        }
        self.weigh_dirty();
        // Also jobs that just ended: nobody waits for the next tick. What came for them has been
        // weighed.
        self.unreported().into_iter().for_each(|id| self.tend_settling(id));
        self.tend_closing();
        self.tell_progress();
        self.forget_old_jobs();
    }

    /// Compares every batch of which something is new.
    fn weigh_dirty(&mut self) {
        while let Some((job, batch)) = self.dirty.pop_first() {
            self.weigh(job, batch);
        }
    }

    fn unreported(&self) -> Vec<JobId> {
        let open = |job: &journal::Job| !matches!(job.phase, Phase::Reported { .. });
        self.state.jobs.iter().filter(|(_, job)| open(job)).map(|(id, _)| *id).collect()
    }

    fn tend_job(&mut self, id: JobId) {
        let job = &self.state.jobs[&id];
        if job.next_task == job.spec.tasks() && job.open_batches.is_empty() {
            return self.end(id, Ok(()));
        }
        if self.now >= job.spec.constraints.deadline {
            let why = self.out_of_time(id);
            return self.end(id, Err(why));
        }
        self.inherit(id);
        self.assign(id);
        self.seek(id);
    }

    /// Ends a job's work; payments are left.
    fn end(&mut self, id: JobId, outcome: Outcome) {
        if !self.state.jobs.get(&id).is_some_and(journal::Job::runs) {
            return;
        }
        self.record(Record::Ended { at: self.now, job: id, outcome: outcome.clone() });
        self.stranded.remove(&id);
        self.stranded_why.remove(&id);
        self.seek_at.remove(&id);
        for deal in self.own_deals(id) {
            self.cancel_orders(deal);
            let close = !self.keeps(deal);
            self.vouch(deal, close);
            self.weigh_orders_of(deal);
            self.tell_promise(deal);
        }
        self.tell(id, JobEvent::Settling { outcome });
    }

    /// A durable fact: applied now, persisted before any effect of this event.
    fn record(&mut self, record: Record) {
        self.state.apply(&record);
        self.records.push(record);
    }

    fn tell(&mut self, job: JobId, event: JobEvent) {
        self.effects.push(Effect::Tell { job, event });
    }

    fn send(&mut self, deal: DealId, message: Outgoing) {
        if self.links.get(&deal).is_some_and(session::Link::up) {
            self.effects.push(Effect::Send { deal, message });
        }
    }

    fn finish(&mut self) -> Vec<Effect> {
        let records = std::mem::take(&mut self.records);
        let mut effects = Vec::with_capacity(self.effects.len() + 1);
        if !records.is_empty() {
            effects.push(Effect::Persist(records));
        }
        effects.append(&mut self.effects);
        effects
    }
}
