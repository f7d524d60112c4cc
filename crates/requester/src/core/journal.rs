//! The journal: every durable fact as a record, and the state that the records add up to.
//!
//! [`State`] changes only in [`State::apply`], and every record is persisted before anything that
//! follows from it is done. So a restart that replays the records has the very same state: orders and
//! vouchers once signed are never contradicted. What is not here (sessions, the order book, work in
//! flight) is found again by asking.

use std::collections::{BTreeMap, BTreeSet};

use rialto_protocol::{
    Address, B256,
    receipt::Halted,
    types::{Ack, Deal, Order, Receipt, Release, Voucher, struct_hash},
    wire::{PeerAddr, Signed},
};
use serde::{Deserialize, Serialize};

use super::{
    book::Offer,
    facts::{CaseId, Cursor, Fact, OnChain, What},
    job::{JobId, JobSpec, Outcome, TxNote, WrongTask},
    matching::{UNKNOWN_FUEL_PART, Why},
    policy::History,
};

/// A durable fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // each variant says what its fields are
pub enum Record {
    /// A job was taken in.
    Submitted { at: u64, spec: JobSpec },
    /// Deals are to be opened, in one transaction.
    Opening { job: JobId, terms: Vec<Terms> },
    /// The transaction opened these deals (with the index of their terms).
    Opened { job: JobId, attempt: u32, deals: Vec<(u32, Deal)>, tx: TxNote },
    /// A deal that outlived its job serves another one.
    TakenOver { job: JobId, deal: B256 },
    /// The transaction was refused.
    OpenFailed { job: JobId, attempt: u32 },
    /// A provider is not to be used for a job any more.
    Barred { job: JobId, provider: Address, why: Why },
    /// The next `count` tasks of a job became a batch.
    Cut { job: JobId, count: u32 },
    /// An order was made. From here on it may have been signed and sent.
    Ordered { at: u64, job: JobId, batch: u32, order: Order },
    /// The provider owes the receipt.
    Acked { ack: Signed<Ack> },
    /// The provider will not do it.
    Refused { order: B256 },
    /// The requester needs it no more.
    Cancelled { order: B256 },
    /// A receipt came whose arithmetic holds. Its outputs are here (`stored`), or equal to another replica's.
    Delivered { receipt: Signed<Receipt>, results: Vec<Halted>, stored: bool },
    /// Delivered results are not used: their provider was found cheating elsewhere, or the budget is spent.
    Discarded { order: B256 },
    /// A signed receipt contradicts itself or its order.
    Invalid { order: B256, code: String },
    /// What of a batch is checked by a policy that samples: drawn once results are signed.
    Drawn { job: JobId, batch: u32, check: Check },
    /// So many tasks of an accepted order were checked and right.
    Passed { order: B256, tasks: u32 },
    /// Accepted results do not count any more: their provider was caught elsewhere, and nobody confirms them.
    Doubted { order: B256 },
    /// What is held against a provider is forgotten.
    Forgiven { provider: Address },
    /// This machine ran tasks of a batch (index within the batch), or could not.
    Judged { job: JobId, batch: u32, results: Option<Vec<(u32, Halted)>> },
    /// More providers are asked to run a batch than its policy demands.
    Widened { job: JobId, batch: u32 },
    /// A batch that nobody took was too large: it becomes two.
    Split { job: JobId, batch: u32 },
    /// A batch is verified.
    Settled { job: JobId, batch: u32 },
    /// A verified batch lost the results that verified it.
    Unsettled { job: JobId, batch: u32 },
    /// The order's results are accepted: its fee is owed.
    Accepted { order: B256 },
    /// The provider signed wrong results.
    Wrong { order: B256, tasks: Vec<WrongTask> },
    /// The deal gets no more orders.
    Dropped { deal: B256, code: String },
    /// The deal gets orders again.
    Revived { deal: B256 },
    /// A voucher was made. From here on it may have been signed and sent.
    Vouched { at: u64, voucher: Voucher },
    /// The provider consents to close.
    Released { release: Signed<Release> },
    /// A transaction about a deal is to be sent.
    Acting { deal: B256, action: Action },
    /// It was refused, or mined and reverted: the next try has another name.
    ActionFailed { deal: B256, action: Action },
    /// What the chain said, finally; and up to which block everything is known.
    Heard { facts: Vec<Fact>, cursor: Option<Cursor> },
    /// The job's work is over; payments are left.
    Ended { at: u64, job: JobId, outcome: Outcome },
    /// The job's report was given.
    Reported { job: JobId },
    /// The job's work goes on.
    Resumed { job: JobId, deadline: u64, budget: Option<u128> },
    /// Everything about a job is over and old.
    Forgotten { job: JobId },
    /// All that earlier records add up to.
    Snapshot(Box<State>),
}

/// What `open` is called with for one deal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The offer.
    pub offer: Offer,
    /// Budget to lock, base units.
    pub budget: u128,
    /// Length, seconds.
    pub seconds: u32,
    /// Highest price, base units per Tfuel.
    pub max_price: u128,
    /// Makes the deal's id unique.
    pub salt: u64,
}

/// A transaction about a deal. Which call it is follows from what is known of the deal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)] // each variant says what its fields are
pub enum Action {
    /// Close it with the provider's release.
    Close,
    /// End it after its time.
    Expire,
    /// Call an order late.
    Late { order: B256 },
    /// Demand to see a task of a claimed order.
    Demand { order: B256, task: u32 },
    /// End a case whose time is up.
    Settle { case: CaseId },
}

impl Action {
    /// In one word.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Close => "close",
            Self::Expire => "expire",
            Self::Late { .. } => "late",
            Self::Demand { .. } => "demand",
            Self::Settle { .. } => "settle",
        }
    }
}

/// An attempt to open deals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// What is opened.
    pub terms: Vec<Terms>,
    /// Whether the outcome is still unknown.
    pub pending: bool,
}

/// Where a job stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // each variant says what its fields are
pub enum Phase {
    /// Looking for, or working with, providers.
    Running,
    /// Work is over since `at`; payments are left.
    Settling { at: u64, outcome: Outcome },
    /// Reported. `at`: when its work was over.
    Reported { at: u64, outcome: Outcome },
}

/// What of a batch is checked by a policy that samples.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Check {
    /// Not drawn yet.
    #[default]
    Undrawn,
    /// These tasks, by this machine (none, perhaps).
    Sample(Vec<u32>),
    /// All of it, by another provider.
    Repeat,
}

/// Consecutive tasks that are ordered, compared and paid together: the unit of replication.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// First task.
    pub first: u32,
    /// Number of tasks.
    pub count: u32,
    /// Every order of it, to distinct providers.
    pub orders: Vec<B256>,
    /// Right results by index within the batch, found by running on this machine.
    pub verdicts: BTreeMap<u32, Halted>,
    /// Whether this machine could not run it.
    pub unjudgeable: bool,
    /// Providers asked for beyond what the policy demands.
    pub extra: u32,
    /// What of it is checked by a policy that samples.
    pub check: Check,
    /// Whether it is verified.
    pub settled: bool,
}

/// A job and its progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// What was submitted.
    pub spec: JobSpec,
    /// When, unix seconds.
    pub submitted: u64,
    /// Where it stands.
    pub phase: Phase,
    /// Attempts to open deals.
    pub openings: Vec<Opening>,
    /// Providers not to use, and why.
    pub barred: BTreeMap<Address, Why>,
    /// First task that is in no batch yet.
    pub next_task: u32,
    /// All batches, in the order they were made.
    pub batches: Vec<Batch>,
    /// Batches that are not settled.
    pub open_batches: BTreeSet<u32>,
    /// Its deals, in opening order.
    pub deals: Vec<B256>,
    /// Fuel of delivered tasks, and how many: what the next tasks are expected to use.
    pub measured: (u128, u64),
    /// Tasks of batches for which somebody is paid.
    pub paid_tasks: u64,
    /// Transactions.
    pub transactions: Vec<TxNote>,
    /// Task runs that were lost.
    pub retries: u64,
    /// Times that a provider fell away.
    pub failovers: u64,
    /// Batches that were run again because their provider was caught elsewhere.
    pub doubted: u64,
}

/// Whether a deal gets orders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // each variant says what its fields are
pub enum Standing {
    /// It does.
    Active,
    /// It does not, for a reason that may pass.
    Dropped { code: String },
    /// It does not: its provider signed wrong results.
    Faulty,
}

/// A deal of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenDeal {
    /// Terms on chain.
    pub terms: Deal,
    /// The job it works for, or worked for last.
    pub job: JobId,
    /// What its provider had earned when that job took it over, base units.
    pub earned_before: u128,
    /// What it was opened from.
    pub offer: Offer,
    /// Orders by sequence number.
    pub orders: Vec<B256>,
    /// Orders below this are finished: nothing is or will be owed for them beyond what is accepted.
    pub done: u64,
    /// Accepted fees of the orders below `done`, base units.
    pub done_fees: u128,
    /// Sum of accepted fees, base units.
    pub earned: u128,
    /// Best voucher so far, and when the closing one was made.
    pub voucher: Option<Voucher>,
    /// When the closing voucher was made, unix seconds.
    pub closing: Option<u64>,
    /// Consent to close.
    pub release: Option<Signed<Release>>,
    /// What was paid in all, once it is over on chain.
    pub closed: Option<u128>,
    /// What the chain says besides.
    pub chain: OnChain,
    /// Transactions that were wanted, and how often each failed.
    pub actions: BTreeMap<Action, u32>,
    /// Whether it gets orders.
    pub standing: Standing,
    /// How often it was dropped.
    pub drops: u32,
    /// Results it signed that were wrong.
    pub wrong: Vec<WrongTask>,
}

impl OpenDeal {
    /// Who sells.
    pub fn provider(&self) -> Address {
        self.terms.provider
    }

    /// How to reach it.
    pub fn peer(&self) -> &PeerAddr {
        &self.offer.peer
    }

    /// What its provider gets in all, as things stand: everything accepted, or, if it signed wrong results, no more than
    /// it had vouchers for.
    pub fn owed(&self) -> u128 {
        match self.standing {
            Standing::Faulty => self.voucher.as_ref().map_or(0, |voucher| voucher.amount),
            _ => self.earned,
        }
    }

    /// Orders that are not finished, or come after one that is not.
    pub fn unfinished(&self) -> impl Iterator<Item = &B256> {
        self.orders.iter().skip(self.done as usize)
    }

    /// Whether nothing about it is left to do: it is over, and no bond of ours lies in a case.
    pub fn over(&self) -> bool {
        self.closed.is_some() && self.chain.open_cases().next().is_none()
    }

    /// Whether it gets orders.
    pub fn works(&self) -> bool {
        self.standing == Standing::Active && self.closing.is_none() && self.closed.is_none()
    }
}

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderStatus {
    /// Made, perhaps sent, not answered by a receipt.
    Open,
    /// The receipt is in and consistent; not yet accepted.
    Delivered,
    /// Found right: paid by vouchers.
    Accepted,
    /// Found wrong, or contradicts itself: never paid.
    Wrong,
    /// Delivered, not used and not paid.
    Discarded,
    /// Refused by the provider.
    Refused,
}

/// An order of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OurOrder {
    /// What is, or may have been, signed.
    pub order: Order,
    /// Its job.
    pub job: JobId,
    /// Batch of the job.
    pub batch: u32,
    /// When it was made, unix seconds.
    pub at: u64,
    /// The provider's promise.
    pub ack: Option<Signed<Ack>>,
    /// Where it stands.
    pub status: OrderStatus,
    /// Whether the provider was told that it is not needed.
    pub cancelled: bool,
    /// The provider's signed result.
    pub receipt: Option<Signed<Receipt>>,
    /// Every task's end.
    pub results: Vec<Halted>,
    /// Whether its outputs are stored here.
    pub stored: bool,
}

impl OurOrder {
    /// Whether the batch still counts on it: it may yet deliver.
    pub fn awaited(&self) -> bool {
        self.status == OrderStatus::Open && !self.cancelled
    }

    /// Whether its results take part in the comparison.
    pub fn counts(&self) -> bool {
        matches!(self.status, OrderStatus::Delivered | OrderStatus::Accepted)
    }

    /// What is owed for it.
    pub fn accepted_fee(&self) -> u128 {
        let accepted = self.receipt.as_ref().filter(|_| self.status == OrderStatus::Accepted);
        accepted.map_or(0, |receipt| receipt.value.fee)
    }

    /// Whether nothing is or will be owed for it beyond what is accepted.
    pub fn finished(&self) -> bool {
        matches!(self.status, OrderStatus::Accepted | OrderStatus::Refused)
            || (self.status == OrderStatus::Open && self.cancelled)
    }
}

/// All durable state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Jobs by id.
    pub jobs: BTreeMap<JobId, Job>,
    /// Deals by id.
    pub deals: BTreeMap<B256, OpenDeal>,
    /// Orders by struct hash.
    pub orders: BTreeMap<B256, OurOrder>,
    /// What is remembered of providers.
    pub history: BTreeMap<Address, History>,
    /// Up to which block everything that the chain said is known.
    pub cursor: Option<Cursor>,
}

impl State {
    /// Rebuilds the state from a journal.
    pub fn replay<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut state = Self::default();
        records.into_iter().for_each(|record| state.apply(record));
        state
    }

    /// Adds a fact. The only place where state changes. Records name only what earlier records made.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Submitted { at, spec } => self.submitted(*at, spec),
            Record::Opening { job, terms } => {
                self.job(*job).openings.push(Opening { terms: terms.clone(), pending: true });
            }
            Record::Opened { job, attempt, deals, tx } => self.opened(*job, *attempt, deals, tx),
            Record::TakenOver { job, deal } => {
                let taken = self.deal(*deal);
                (taken.job, taken.earned_before) = (*job, taken.earned);
                self.job(*job).deals.push(*deal);
            }
            Record::OpenFailed { job, attempt } => self.job(*job).openings[*attempt as usize].pending = false,
            Record::Barred { job, provider, why } => {
                self.job(*job).barred.insert(*provider, why.clone());
            }
            Record::Cut { job, count } => self.job(*job).cut(*count),
            Record::Ordered { at, job, batch, order } => self.ordered(*at, *job, *batch, order),
            Record::Acked { ack } => self.order(ack.value.order).ack = Some(ack.clone()),
            Record::Refused { order } => {
                self.order(*order).status = OrderStatus::Refused;
                self.lost(*order);
                self.advance(*order);
            }
            Record::Cancelled { order } => {
                self.order(*order).cancelled = true;
                self.advance(*order);
            }
            Record::Delivered { receipt, results, stored } => self.delivered(receipt, results, *stored),
            Record::Discarded { order } => {
                self.unfinish(*order, OrderStatus::Discarded);
                self.lost(*order);
            }
            Record::Invalid { order, .. } => {
                self.unfinish(*order, OrderStatus::Wrong);
                self.lost(*order);
            }
            Record::Judged { job, batch, results } => {
                let batch = &mut self.job(*job).batches[*batch as usize];
                match results {
                    Some(results) => batch.verdicts.extend(results.iter().copied()),
                    None => batch.unjudgeable = true,
                }
            }
            Record::Drawn { job, batch, check } => self.job(*job).batches[*batch as usize].check = check.clone(),
            Record::Passed { order, tasks } => {
                let deal = self.order(*order).order.deal;
                let provider = self.deal(deal).provider();
                self.history.entry(provider).or_default().checked += u64::from(*tasks);
            }
            Record::Doubted { order } => self.doubted(*order),
            Record::Forgiven { provider } => drop(self.history.remove(provider)),
            Record::Widened { job, batch } => self.job(*job).batches[*batch as usize].extra += 1,
            Record::Split { job, batch } => self.job(*job).split(*batch),
            Record::Unsettled { job, batch } => {
                let job = self.job(*job);
                job.batches[*batch as usize].settled = false;
                job.open_batches.insert(*batch);
            }
            Record::Settled { job, batch } => {
                let job = self.job(*job);
                job.batches[*batch as usize].settled = true;
                job.open_batches.remove(batch);
            }
            Record::Accepted { order } => self.accepted(*order),
            Record::Wrong { order, tasks } => {
                self.unfinish(*order, OrderStatus::Wrong);
                self.lost(*order);
                let deal = self.order(*order).order.deal;
                let deal = self.deal(deal);
                let first = deal.standing != Standing::Faulty;
                deal.standing = Standing::Faulty;
                deal.wrong.extend(tasks);
                let (job, provider) = (deal.job, deal.provider());
                self.job(job).failovers += u64::from(first);
                let history = self.history.entry(provider).or_default();
                history.checked = 0;
                history.faults = history.faults.saturating_add(u32::from(first));
            }
            Record::Dropped { deal, code } => {
                let deal = self.deal(*deal);
                deal.standing = Standing::Dropped { code: code.clone() };
                deal.drops += 1;
                let job = deal.job;
                let awaited: Vec<_> = deal.unfinished().copied().collect();
                let awaited = awaited.iter().map(|order| &self.orders[order]).filter(|order| order.awaited());
                let tasks: u64 = awaited.map(|order| u64::from(order.order.tasks)).sum();
                let job = self.job(job);
                (job.retries, job.failovers) = (job.retries + tasks, job.failovers + 1);
            }
            Record::Revived { deal } => self.deal(*deal).standing = Standing::Active,
            Record::Vouched { at, voucher } => {
                let deal = self.deal(voucher.deal);
                if voucher.close && deal.closing.is_none() {
                    deal.closing = Some(*at);
                }
                deal.voucher = Some(voucher.clone());
            }
            Record::Released { release } => self.deal(release.value.deal).release = Some(release.clone()),
            Record::Acting { deal, action } => drop(self.deal(*deal).actions.insert(*action, 0)),
            Record::ActionFailed { deal, action } => *self.deal(*deal).actions.entry(*action).or_default() += 1,
            Record::Heard { facts, cursor } => {
                facts.iter().for_each(|fact| self.heard(fact));
                self.cursor = cursor.or(self.cursor);
            }
            Record::Ended { at, job, outcome } => {
                self.job(*job).phase = Phase::Settling { at: *at, outcome: outcome.clone() };
            }
            Record::Reported { job } => {
                let job = self.job(*job);
                if let Phase::Settling { at, outcome } = &job.phase {
                    job.phase = Phase::Reported { at: *at, outcome: outcome.clone() };
                }
            }
            Record::Resumed { job, deadline, budget } => {
                let job = self.job(*job);
                job.phase = Phase::Running;
                job.spec.constraints.deadline = *deadline;
                job.spec.constraints.budget = budget.unwrap_or(job.spec.constraints.budget);
                // Whoever did not open or refused may do so now; who is named or cheated stays out.
                job.barred.retain(|_, why| matches!(why, Why::Listed | Why::Cheated));
            }
            Record::Forgotten { job } => self.forgotten(*job),
            Record::Snapshot(state) => *self = State::clone(state),
        }
    }

    fn job(&mut self, id: JobId) -> &mut Job {
        self.jobs.get_mut(&id).expect("a record names a job that an earlier record submitted")
    }

    fn deal(&mut self, id: B256) -> &mut OpenDeal {
        self.deals.get_mut(&id).expect("a record names a deal that an earlier record opened")
    }

    fn order(&mut self, id: B256) -> &mut OurOrder {
        self.orders.get_mut(&id).expect("a record names an order that an earlier record made")
    }

    fn submitted(&mut self, at: u64, spec: &JobSpec) {
        let job = Job {
            spec: spec.clone(),
            submitted: at,
            phase: Phase::Running,
            openings: Vec::new(),
            barred: spec.constraints.exclude.iter().map(|provider| (*provider, Why::Listed)).collect(),
            next_task: 0,
            batches: Vec::new(),
            open_batches: BTreeSet::new(),
            deals: Vec::new(),
            measured: (0, 0),
            paid_tasks: 0,
            transactions: Vec::new(),
            retries: 0,
            failovers: 0,
            doubted: 0,
        };
        self.jobs.insert(spec.id, job);
    }

    fn opened(&mut self, id: JobId, attempt: u32, deals: &[(u32, Deal)], tx: &TxNote) {
        let job = self.job(id);
        let opening = &mut job.openings[attempt as usize];
        opening.pending = false;
        let offers: Vec<_> = deals.iter().map(|(index, _)| opening.terms[*index as usize].offer.clone()).collect();
        job.deals.extend(deals.iter().map(|(_, deal)| struct_hash(deal)));
        job.transactions.push(tx.clone());
        for ((_, terms), offer) in deals.iter().zip(offers) {
            let deal = OpenDeal {
                terms: terms.clone(),
                job: id,
                earned_before: 0,
                offer,
                orders: Vec::new(),
                done: 0,
                done_fees: 0,
                earned: 0,
                voucher: None,
                closing: None,
                release: None,
                closed: None,
                chain: OnChain::default(),
                actions: BTreeMap::new(),
                standing: Standing::Active,
                drops: 0,
                wrong: Vec::new(),
            };
            self.deals.insert(struct_hash(terms), deal);
        }
    }

    fn ordered(&mut self, at: u64, job: JobId, batch: u32, order: &Order) {
        let id = struct_hash(order);
        self.deal(order.deal).orders.push(id);
        self.job(job).batches[batch as usize].orders.push(id);
        let order = OurOrder {
            order: order.clone(),
            job,
            batch,
            at,
            ack: None,
            status: OrderStatus::Open,
            cancelled: false,
            receipt: None,
            results: Vec::new(),
            stored: false,
        };
        self.orders.insert(id, order);
    }

    fn delivered(&mut self, receipt: &Signed<Receipt>, results: &[Halted], stored: bool) {
        self.unfinish(receipt.value.order, OrderStatus::Delivered);
        let order = self.order(receipt.value.order);
        order.receipt = Some(receipt.clone());
        order.results = results.to_vec();
        order.stored = stored;
        let job = order.job;
        let measured = &mut self.job(job).measured;
        measured.0 = measured.0.saturating_add(receipt.value.fuel);
        measured.1 += results.len() as u64;
    }

    fn heard(&mut self, fact: &Fact) {
        let Some(deal) = self.deals.get_mut(&fact.deal) else { return };
        deal.chain.learn(&fact.what);
        if let What::Closed { paid, tx } = &fact.what
            && deal.closed.is_none()
        {
            deal.closed = Some(*paid);
            let job = deal.job;
            self.job(job).transactions.push(tx.clone());
        }
    }

    fn doubted(&mut self, id: B256) {
        self.unfinish(id, OrderStatus::Discarded);
        self.lost(id);
        let order = &self.orders[&id];
        let (job, index, tasks) = (order.job, order.batch, u64::from(order.order.tasks));
        let job = self.job(job);
        job.doubted += 1;
        job.paid_tasks = job.paid_tasks.saturating_sub(tasks);
        let batch = &mut job.batches[index as usize];
        // Whoever runs it next is checked by a sample of its own.
        batch.check = Check::Undrawn;
        batch.settled = false;
        job.open_batches.insert(index);
    }

    /// Nothing came of an order.
    fn lost(&mut self, order: B256) {
        let order = &self.orders[&order];
        let (job, tasks) = (order.job, u64::from(order.order.tasks));
        if let Some(job) = self.jobs.get_mut(&job) {
            job.retries += tasks;
        }
    }

    /// An order is finished, perhaps: the deal's prefix of finished orders grows.
    fn advance(&mut self, order: B256) {
        let Some(deal) = self.deals.get_mut(&self.orders[&order].order.deal) else { return };
        while let Some(order) = deal.orders.get(deal.done as usize).map(|order| &self.orders[order]) {
            if !order.finished() {
                return;
            }
            deal.done += 1;
            deal.done_fees += order.accepted_fee();
        }
    }

    /// An order takes a state that is not its last: the prefix of finished orders ends there.
    fn unfinish(&mut self, id: B256, status: OrderStatus) {
        let (seq, deal) = (self.orders[&id].order.seq, self.orders[&id].order.deal);
        if let Some(deal) = self.deals.get_mut(&deal)
            && seq < deal.done
        {
            let after = deal.orders[seq as usize..deal.done as usize].iter();
            deal.done_fees -= after.map(|order| self.orders[order].accepted_fee()).sum::<u128>();
            deal.done = seq;
        }
        self.order(id).status = status;
    }

    fn forgotten(&mut self, id: JobId) {
        let Some(job) = self.jobs.remove(&id) else { return };
        for deal in job.deals {
            if self.jobs.values().any(|other| other.deals.contains(&deal)) {
                continue;
            }
            for order in self.deals.remove(&deal).map(|deal| deal.orders).unwrap_or_default() {
                self.orders.remove(&order);
            }
        }
    }

    fn accepted(&mut self, id: B256) {
        let order = self.order(id);
        order.status = OrderStatus::Accepted;
        let fee = order.receipt.as_ref().map_or(0, |receipt| receipt.value.fee);
        let (deal, job, batch, count) = (order.order.deal, order.job, order.batch, order.order.tasks);
        self.deal(deal).earned += fee;
        self.advance(id);
        let orders = &self.job(job).batches[batch as usize].orders;
        let first =
            !orders.clone().iter().any(|other| *other != id && self.order(*other).status == OrderStatus::Accepted);
        if first {
            self.job(job).paid_tasks += u64::from(count);
        }
    }
}

impl Batch {
    /// Tasks that were drawn and are not checked yet.
    pub fn unchecked(&self) -> Vec<u32> {
        match &self.check {
            Check::Sample(tasks) => tasks.iter().copied().filter(|task| !self.verdicts.contains_key(task)).collect(),
            _ => Vec::new(),
        }
    }
}

impl Job {
    /// Whether there is work to order.
    pub fn runs(&self) -> bool {
        self.phase == Phase::Running
    }

    /// Tasks that are in a settled batch.
    pub fn verified(&self) -> u64 {
        let open: u64 = self.open_batches.iter().map(|i| u64::from(self.batches[*i as usize].count)).sum();
        u64::from(self.next_task) - open
    }

    /// Fuel that a task is expected to use: as measured, else as the user says, else a part of the limit.
    pub fn expected_fuel(&self) -> u64 {
        let said = self.spec.constraints.expected_fuel.unwrap_or(self.spec.fuel_limit / UNKNOWN_FUEL_PART);
        let (fuel, tasks) = self.measured;
        let expected = if tasks == 0 { said } else { (fuel / u128::from(tasks)).try_into().unwrap_or(u64::MAX) };
        expected.clamp(1, self.spec.fuel_limit)
    }

    fn cut(&mut self, count: u32) {
        self.add_batch(self.next_task, count);
        self.next_task += count;
    }

    fn add_batch(&mut self, first: u32, count: u32) {
        self.open_batches.insert(self.batches.len() as u32);
        self.batches.push(Batch {
            first,
            count,
            orders: Vec::new(),
            verdicts: BTreeMap::new(),
            unjudgeable: false,
            extra: 0,
            check: Check::Undrawn,
            settled: false,
        });
    }

    fn split(&mut self, index: u32) {
        let batch = &mut self.batches[index as usize];
        let (first, count) = (batch.first, batch.count);
        batch.count = count.div_ceil(2);
        let kept = batch.count;
        self.add_batch(first + kept, count - kept);
    }
}
