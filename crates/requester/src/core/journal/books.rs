//! What the records add up to: jobs with their batches, deals, orders.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use rialto_protocol::{
    Address, DealId, OrderId, ReceiptId,
    court::GameStory,
    fault::FaultProof,
    receipt::{Halted, SumNode, SumTree},
    refusal::RefusalCode,
    types::{Ack, Deal, Order, Receipt, Release, Voucher},
    wire::{PeerAddr, Signed},
};
use serde::{Deserialize, Serialize};

use super::super::{
    book::Offer,
    facts::OnChain,
    job::{JobId, JobSpec, Outcome, TxNote, WrongTask},
    matching::{UNKNOWN_FUEL_PART, Why},
    verify::FaultKind,
};
use super::{Action, Opening};

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
    pub orders: Vec<OrderId>,
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
    /// Whether it became two smaller ones.
    pub split: bool,
    /// What a receipt for all of it has to say, once this machine has run all of it: the root of
    /// its tree, and all fuel.
    pub root: Option<SumNode>,
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
    pub deals: Vec<DealId>,
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
    Dropped(DropReason),
    /// It does not: its provider signed wrong results.
    Faulty,
}

/// Why a deal gets no more orders. It is stored as its code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum DropReason {
    /// Orders are unanswered, and there is no sign of life.
    Silent,
    /// There is no session with its provider.
    Unreachable,
    /// Its provider speaks another version.
    WrongVersion,
    /// Its provider takes no more orders.
    Refused(RefusalCode),
    /// It gave a receipt that is worthless.
    Receipt(FaultKind),
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silent => "R-DEAL-001",
            Self::Unreachable => "R-DEAL-002",
            Self::WrongVersion => "R-DEAL-003",
            Self::Refused(code) => code.as_str(),
            Self::Receipt(kind) => kind.code(),
        })
    }
}

impl From<DropReason> for String {
    fn from(reason: DropReason) -> Self {
        reason.to_string()
    }
}

impl From<String> for DropReason {
    fn from(code: String) -> Self {
        match code.as_str() {
            "R-DEAL-001" => Self::Silent,
            "R-DEAL-002" => Self::Unreachable,
            "R-DEAL-003" => Self::WrongVersion,
            other => match FaultKind::of(other) {
                Some(kind) => Self::Receipt(kind),
                None => Self::Refused(code.into()),
            },
        }
    }
}

/// A receipt of a deal that shows its provider to be wrong, without running anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Misstated {
    /// Struct hash of the order.
    pub order: OrderId,
    /// The receipt; its signature is empty if the provider asserted it on chain.
    pub receipt: Signed<Receipt>,
    /// What a court is shown.
    pub proof: FaultProof,
}

/// A receipt that a provider asserts on chain, and that is wrong by what this machine found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denied {
    /// Struct hash of the order.
    pub order: OrderId,
    /// The receipt. As it stands on chain, no signature is needed.
    pub receipt: Receipt,
    /// The task that was traced and is wrong; none: all tasks were run here, and have another root.
    pub task: Option<u32>,
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
    pub orders: Vec<OrderId>,
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
    /// Receipts it gave that contradict themselves in a way that a court is shown.
    pub misstated: Vec<Misstated>,
    /// Receipts, by struct hash, that it asserts on chain and that are wrong.
    pub denied: BTreeMap<ReceiptId, Denied>,
    /// Tasks (order, index within it) that it was suspected of, and that this machine traced to the
    /// same end.
    pub confirmed: BTreeSet<(OrderId, u32)>,
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

    /// What its provider gets in all, as things stand: everything accepted, or, if it signed wrong
    /// results, no more than it had vouchers for.
    pub fn owed(&self) -> u128 {
        match self.standing {
            Standing::Faulty => self.voucher.as_ref().map_or(0, |voucher| voucher.amount),
            _ => self.earned,
        }
    }

    /// Orders that are not finished, or come after one that is not.
    pub fn unfinished(&self) -> impl Iterator<Item = &OrderId> {
        self.orders.iter().skip(self.done as usize)
    }

    /// Whether nothing about it is left to do: it is over, and no bond of ours lies in a case or
    /// game.
    pub fn over(&self) -> bool {
        let ours = |game: &GameStory| game.view.game.accuser == self.terms.requester;
        self.closed.is_some()
            && self.chain.open_cases().next().is_none()
            && !self.chain.open_games().any(|(_, game)| ours(game))
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

impl Batch {
    /// Tasks that were drawn and are not checked yet.
    pub fn unchecked(&self) -> Vec<u32> {
        match &self.check {
            Check::Sample(tasks) => {
                tasks.iter().copied().filter(|task| !self.verdicts.contains_key(task)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Every task's end, if this machine has run all of them.
    pub fn own_results(&self) -> Option<Vec<Halted>> {
        let all: Option<Vec<_>> =
            (0..self.count).map(|task| self.verdicts.get(&task).copied()).collect();
        all.filter(|all| !all.is_empty())
    }

    pub(super) fn own_root(&self, fuel_limit: u64) -> Option<SumNode> {
        Some(SumTree::over(&self.own_results()?, fuel_limit).root())
    }
}

impl Job {
    /// Whether there is work to order.
    pub fn runs(&self) -> bool {
        self.phase == Phase::Running
    }

    /// Whether it ended with all its results.
    pub fn is_done(&self) -> bool {
        matches!(
            self.phase,
            Phase::Settling { outcome: Ok(()), .. } | Phase::Reported { outcome: Ok(()), .. }
        )
    }

    /// Tasks that are in a settled batch.
    pub fn verified(&self) -> u64 {
        let open: u64 =
            self.open_batches.iter().map(|i| u64::from(self.batches[*i as usize].count)).sum();
        u64::from(self.next_task) - open
    }

    /// Fuel that a task is expected to use: as measured, else as the user says, else a part of the
    /// limit.
    pub fn expected_fuel(&self) -> u64 {
        let said =
            self.spec.constraints.expected_fuel.unwrap_or(self.spec.fuel_limit / UNKNOWN_FUEL_PART);
        let (fuel, tasks) = self.measured;
        let expected = if tasks == 0 {
            said
        } else {
            (fuel / u128::from(tasks)).try_into().unwrap_or(u64::MAX)
        };
        expected.clamp(1, self.spec.fuel_limit)
    }

    pub(super) fn cut(&mut self, count: u32) {
        self.add_batch(self.next_task, count);
        self.next_task += count;
    }

    pub(super) fn add_batch(&mut self, first: u32, count: u32) {
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
            split: false,
            root: None,
        });
    }

    /// Orders of the batch that was too large stay what they are: one that was refused can still be
    /// claimed.
    pub(super) fn split(&mut self, index: u32) {
        let batch = &mut self.batches[index as usize];
        let (first, count) = (batch.first, batch.count);
        batch.split = true;
        self.open_batches.remove(&index);
        let half = count.div_ceil(2);
        self.add_batch(first, half);
        self.add_batch(first + half, count - half);
    }
}
