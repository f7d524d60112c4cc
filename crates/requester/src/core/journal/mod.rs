//! The journal: every durable fact as a record, and the state that the records add up to.
//!
//! [`State`] changes only in [`State::apply`], and every record is persisted before anything that
//! follows from it is done. So a restart that replays the records has the very same state: orders
//! and vouchers once signed are never contradicted. What is not here (sessions, the order book,
//! work in flight) is found again by asking.

use std::collections::{BTreeMap, BTreeSet};

use rialto_protocol::case::CaseId;
use rialto_protocol::{
    Address, DealId, GameId, OrderId, ReceiptId,
    model::OPENING_TOLERANCE,
    receipt::Halted,
    types::{Ack, Deal, Order, Receipt, Release, Voucher, struct_hash},
    wire::Signed,
};
use serde::{Deserialize, Serialize};

mod books;

pub use books::{
    Batch, Check, Denied, DropReason, Job, Misstated, OpenDeal, OrderStatus, OurOrder, Phase,
    Standing,
};

use super::{
    book::Offer,
    facts::{Cursor, Fact, OnChain, What},
    job::{JobId, JobSpec, Outcome, TxNote, WrongTask},
    matching::Why,
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
    /// These of the deals (by the index of their terms) are open, in this transaction; none: the
    /// transaction is known now.
    Opened { job: JobId, attempt: u32, deals: Vec<u32>, tx: TxNote },
    /// A deal that outlived its job serves another one.
    TakenOver { job: JobId, deal: DealId },
    /// The transaction was refused, or comes too late. If it opened the deals after all, the chain
    /// will say so.
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
    Refused { order: OrderId },
    /// The requester needs it no more.
    Cancelled { order: OrderId },
    /// A receipt came whose arithmetic holds. Its outputs are here (`stored`), or equal to another
    /// replica's.
    Delivered { receipt: Signed<Receipt>, results: Vec<Halted>, stored: bool },
    /// Delivered results are not used: their provider was found cheating elsewhere, or the budget
    /// is spent.
    Discarded { order: OrderId },
    /// A signed receipt contradicts itself or its order.
    Invalid { order: OrderId, code: String },
    /// What of a batch is checked by a policy that samples: drawn once results are signed.
    Drawn { job: JobId, batch: u32, check: Check },
    /// So many tasks of an accepted order were checked and right.
    Passed { order: OrderId, tasks: u32 },
    /// Accepted results do not count any more: their provider was caught elsewhere, and nobody
    /// confirms them.
    Doubted { order: OrderId },
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
    Accepted { order: OrderId },
    /// The provider signed wrong results.
    Wrong { order: OrderId, tasks: Vec<WrongTask> },
    /// The deal gets no more orders.
    Dropped { deal: DealId, reason: DropReason },
    /// The deal gets orders again.
    Revived { deal: DealId },
    /// A voucher was made. From here on it may have been signed and sent.
    Vouched { at: u64, voucher: Voucher },
    /// The provider consents to close.
    Released { release: Signed<Release> },
    /// A transaction about a deal is to be sent.
    Acting { deal: DealId, action: Action },
    /// It was refused, or mined and reverted: the next try has another name.
    ActionFailed { deal: DealId, action: Action },
    /// Tracing a task on this machine gives what the provider said of it: it is not accused about
    /// that.
    Confirmed { deal: DealId, order: OrderId, task: u32 },
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
    /// A provider gave a receipt that contradicts itself in a way that a court is shown.
    Misstated(Box<Misstated>),
    /// A provider asserts a receipt on chain that is not what this machine found.
    Denied(Box<Denied>),
}

/// What is opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The offer.
    pub offer: Offer,
    /// Highest price, base units per Tfuel.
    pub max_price: u128,
    /// The deal that it gives. Nothing of it depends on the block that opens it.
    pub deal: Deal,
}

impl Terms {
    /// The deal's id.
    pub fn id(&self) -> DealId {
        struct_hash(&self.deal)
    }

    /// Length of the deal, seconds.
    pub fn seconds(&self) -> u32 {
        u32::try_from(self.deal.expiry.saturating_sub(self.deal.openedAt)).unwrap_or(u32::MAX)
    }

    /// After this time no block opens it any more, unix seconds.
    pub fn opens_until(&self) -> u64 {
        self.deal.openedAt.saturating_add(OPENING_TOLERANCE)
    }
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
    Late { order: OrderId },
    /// Demand to see a task of a claimed order.
    Demand { order: OrderId, task: u32 },
    /// End a case whose time is up.
    Settle { case: CaseId },
    /// Accuse a receipt (by its struct hash) of an order.
    Accuse { order: OrderId, receipt: ReceiptId },
    /// Answer this turn of a game.
    Play { game: GameId, turn: u8 },
    /// End a game whose turn ran out.
    Timeout { game: GameId },
    /// Show the court that a receipt of this order contradicts itself.
    Convict { order: OrderId, receipt: ReceiptId },
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
            Self::Accuse { .. } => "accuse",
            Self::Play { .. } => "play",
            Self::Timeout { .. } => "timeout",
            Self::Convict { .. } => "convict",
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

/// Where a deal was, or may have been, opened: job, attempt, index of its terms.
pub type Opened = (JobId, u32, u32);

/// All durable state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Jobs by id.
    pub jobs: BTreeMap<JobId, Job>,
    /// Deals by id.
    pub deals: BTreeMap<DealId, OpenDeal>,
    /// Orders by struct hash.
    pub orders: BTreeMap<OrderId, OurOrder>,
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

    /// The opening of a deal of ours that is not known to be open.
    pub fn opening_of(&self, deal: DealId) -> Option<Opened> {
        self.jobs.iter().find_map(|(id, job)| {
            (0..).zip(&job.openings).find_map(|(attempt, opening)| {
                let index = opening.terms.iter().position(|terms| terms.id() == deal)?;
                Some((*id, attempt, index as u32))
            })
        })
    }

    /// First task of the job that an order runs; none where the job is forgotten.
    pub fn first_task(&self, order: &OurOrder) -> Option<u32> {
        Some(self.jobs.get(&order.job)?.batches.get(order.batch as usize)?.first)
    }

    /// The order of a deal that was found wrong about a task of the job, and the task's index
    /// within it.
    pub fn wrong_order(&self, deal: &OpenDeal, wrong: &WrongTask) -> Option<(OrderId, u32)> {
        deal.orders.iter().find_map(|name| {
            let order = self.orders.get(name).filter(|order| order.status == OrderStatus::Wrong)?;
            let task = wrong.task.checked_sub(self.first_task(order)?)?;
            (task < order.order.tasks).then_some((*name, task))
        })
    }

    /// Adds a fact. The only place where state changes. Records name only what earlier records
    /// made.
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
            Record::OpenFailed { job, attempt } => {
                self.job(*job).openings[*attempt as usize].pending = false
            }
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
            Record::Delivered { receipt, results, stored } => {
                self.delivered(receipt, results, *stored)
            }
            Record::Discarded { order } => {
                self.unfinish(*order, OrderStatus::Discarded);
                self.lost(*order);
            }
            Record::Invalid { order, .. } => {
                self.unfinish(*order, OrderStatus::Wrong);
                self.lost(*order);
            }
            Record::Judged { job, batch, results } => {
                let job = self.job(*job);
                let fuel_limit = job.spec.fuel_limit;
                let batch = &mut job.batches[*batch as usize];
                match results {
                    Some(results) => batch.verdicts.extend(results.iter().copied()),
                    None => batch.unjudgeable = true,
                }
                batch.root = batch.own_root(fuel_limit);
            }
            Record::Drawn { job, batch, check } => {
                self.job(*job).batches[*batch as usize].check = check.clone()
            }
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
                self.deal(deal).wrong.extend(tasks);
                self.caught(deal);
            }
            Record::Misstated(misstated) => {
                let deal = self.order(misstated.order).order.deal;
                self.deal(deal).misstated.push((**misstated).clone());
                self.caught(deal);
            }
            Record::Denied(denied) => {
                let deal = self.order(denied.order).order.deal;
                self.deal(deal).denied.insert(struct_hash(&denied.receipt), (**denied).clone());
                self.caught(deal);
            }
            Record::Dropped { deal, reason } => {
                let deal = self.deal(*deal);
                deal.standing = Standing::Dropped(reason.clone());
                deal.drops += 1;
                let job = deal.job;
                let awaited: Vec<_> = deal.unfinished().copied().collect();
                let awaited =
                    awaited.iter().map(|order| &self.orders[order]).filter(|order| order.awaited());
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
            Record::Released { release } => {
                self.deal(release.value.deal).release = Some(release.clone())
            }
            Record::Acting { deal, action } => drop(self.deal(*deal).actions.insert(*action, 0)),
            Record::ActionFailed { deal, action } => {
                *self.deal(*deal).actions.entry(*action).or_default() += 1
            }
            Record::Confirmed { deal, order, task } => {
                self.deal(*deal).confirmed.insert((*order, *task));
            }
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

    fn deal(&mut self, id: DealId) -> &mut OpenDeal {
        self.deals.get_mut(&id).expect("a record names a deal that an earlier record opened")
    }

    fn order(&mut self, id: OrderId) -> &mut OurOrder {
        self.orders.get_mut(&id).expect("a record names an order that an earlier record made")
    }

    fn submitted(&mut self, at: u64, spec: &JobSpec) {
        let job = Job {
            spec: spec.clone(),
            submitted: at,
            phase: Phase::Running,
            openings: Vec::new(),
            barred: spec
                .constraints
                .exclude
                .iter()
                .map(|provider| (*provider, Why::Listed))
                .collect(),
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

    fn opened(&mut self, id: JobId, attempt: u32, deals: &[u32], tx: &TxNote) {
        let job = self.job(id);
        let opening = &mut job.openings[attempt as usize];
        opening.pending = false;
        let opened: Vec<_> =
            deals.iter().map(|index| opening.terms[*index as usize].clone()).collect();
        job.deals.extend(opened.iter().map(Terms::id));
        match job.transactions.iter_mut().find(|known| known.tx == tx.tx) {
            Some(known) => known.gas = known.gas.or(tx.gas),
            None => job.transactions.push(tx.clone()),
        }
        for terms in opened {
            let id_of_deal = terms.id();
            let deal = OpenDeal {
                terms: terms.deal,
                job: id,
                earned_before: 0,
                offer: terms.offer,
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
                misstated: Vec::new(),
                denied: BTreeMap::new(),
                confirmed: BTreeSet::new(),
            };
            self.deals.insert(id_of_deal, deal);
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

    fn doubted(&mut self, id: OrderId) {
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

    /// A provider signed what is wrong.
    fn caught(&mut self, deal: DealId) {
        let deal = self.deal(deal);
        let first = deal.standing != Standing::Faulty;
        deal.standing = Standing::Faulty;
        let (job, provider) = (deal.job, deal.provider());
        self.job(job).failovers += u64::from(first);
        let history = self.history.entry(provider).or_default();
        history.checked = 0;
        history.faults = history.faults.saturating_add(u32::from(first));
    }

    /// Nothing came of an order.
    fn lost(&mut self, order: OrderId) {
        let order = &self.orders[&order];
        let (job, tasks) = (order.job, u64::from(order.order.tasks));
        if let Some(job) = self.jobs.get_mut(&job) {
            job.retries += tasks;
        }
    }

    /// An order is finished, perhaps: the deal's prefix of finished orders grows.
    fn advance(&mut self, order: OrderId) {
        let Some(deal) = self.deals.get_mut(&self.orders[&order].order.deal) else { return };
        while let Some(order) = deal.orders.get(deal.done as usize).map(|order| &self.orders[order])
        {
            if !order.finished() {
                return;
            }
            deal.done += 1;
            deal.done_fees += order.accepted_fee();
        }
    }

    /// An order takes a state that is not its last: the prefix of finished orders ends there.
    fn unfinish(&mut self, id: OrderId, status: OrderStatus) {
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

    fn accepted(&mut self, id: OrderId) {
        let order = self.order(id);
        order.status = OrderStatus::Accepted;
        let fee = order.receipt.as_ref().map_or(0, |receipt| receipt.value.fee);
        let (deal, job, batch, count) =
            (order.order.deal, order.job, order.batch, order.order.tasks);
        self.deal(deal).earned += fee;
        self.advance(id);
        let orders = &self.job(job).batches[batch as usize].orders;
        let first = !orders
            .clone()
            .iter()
            .any(|other| *other != id && self.order(*other).status == OrderStatus::Accepted);
        if first {
            self.job(job).paid_tasks += u64::from(count);
        }
    }
}
