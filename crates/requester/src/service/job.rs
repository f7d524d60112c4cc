//! What a user hands in, follows and gets back.

use std::{
    collections::BTreeSet,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use rialto_exec::Limits;
use rialto_protocol::{
    Address, B256,
    receipt::Halted,
    types::{Ack, Deal, Order, Receipt, Voucher},
    wire::Signed,
};
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, mpsc, watch};

use super::{driver::Input, error::RequesterError};
use crate::core::{
    Checks, Dispute, Event, JobEvent, JobId, Outcome, Policy, Progress, ProviderReport, TxNote,
};

/// Fuel limit of a task where the user says nothing: about half an hour of a core.
const DEFAULT_FUEL: u64 = 1_000_000_000_000;
/// Output limit of a task where the user says nothing, bytes.
const DEFAULT_OUT_BYTES: u64 = 16 << 20;
/// Memory limit of a task where the user says nothing, pages: 256 MiB.
const DEFAULT_PAGES: u32 = 4096;

/// Bytes in memory or in a file.
#[derive(Clone, Debug)]
pub enum Content {
    /// Here.
    Bytes(Bytes),
    /// There; nobody changes it while the job is submitted.
    File(PathBuf),
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<Bytes> for Content {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<PathBuf> for Content {
    fn from(path: PathBuf) -> Self {
        Self::File(path)
    }
}

/// A job. Make one with [`Job::new`] and change what matters. Money in base units.
#[derive(Clone, Debug)]
pub struct Job {
    /// What the user calls it; need not be unique.
    pub name: String,
    /// WebAssembly module as the compiler made it.
    pub program: Content,
    /// Shared input files, encoded (`rialto_machine::input::SharedInput`).
    pub shared: Option<Content>,
    /// Every task's own input, encoded (`rialto_machine::input::TaskInput`).
    pub tasks: Vec<Bytes>,
    /// What each task may use.
    pub limits: Limits,
    /// How results are checked.
    pub policy: Policy,
    /// Most that may be locked in deals; nobody is ever paid beyond it.
    pub budget: u128,
    /// Highest price, base units per Tfuel.
    pub max_price: u128,
    /// The work must be done in so long.
    pub within: Duration,
    /// Smallest collateral, in 1/10_000 of a deal's budget.
    pub min_collateral_bps: u32,
    /// Fewest providers wanted; fewer are taken where there are not as many.
    pub min_providers: u32,
    /// Most providers at a time.
    pub max_providers: u32,
    /// Providers not to use.
    pub exclude: BTreeSet<Address>,
    /// Fuel one task is expected to use: for estimates, before anything is measured.
    pub expected_fuel: Option<u64>,
    /// Whether this machine may run tasks: to settle a mismatch, or when nobody is left to run
    /// them.
    pub run_locally: bool,
    /// Random seed of the job; drawn if absent. The same seed, tasks and batches give the same
    /// results.
    pub seed: Option<u64>,
    /// Kept beside the job for whoever submits it; says nothing to anybody else. At most 4 MiB.
    pub memo: Bytes,
}

impl Job {
    /// A job checked by two replicas, done within an hour.
    pub fn new(program: impl Into<Content>, tasks: Vec<Bytes>) -> Self {
        Self {
            name: String::new(),
            program: program.into(),
            shared: None,
            tasks,
            limits: Limits {
                fuel: DEFAULT_FUEL,
                out_bytes: DEFAULT_OUT_BYTES,
                max_pages: DEFAULT_PAGES,
            },
            policy: Policy::Replicate { n: 2 },
            budget: 100_000_000,
            max_price: u128::MAX,
            within: Duration::from_secs(3600),
            min_collateral_bps: 0,
            min_providers: 3,
            max_providers: 16,
            exclude: BTreeSet::new(),
            expected_fuel: None,
            run_locally: true,
            seed: None,
            memo: Bytes::new(),
        }
    }
}

/// A verified task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskOutcome {
    /// Its end.
    pub halted: Halted,
    /// Runs that gave it, this machine's included.
    pub votes: u32,
    /// Its output stream (`rialto_machine::output::parse` unpacks it).
    pub output: Output,
}

/// An output stream on disk: part of a file in the job's folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The file.
    pub path: PathBuf,
    /// First byte.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
}

impl Output {
    /// The whole of it, in memory.
    pub fn read(&self) -> std::io::Result<Bytes> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.len).unwrap_or(0));
        self.open()?.read_to_end(&mut bytes)?;
        if bytes.len() as u64 != self.len {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        Ok(bytes.into())
    }

    /// The whole of it, piece by piece.
    pub fn open(&self) -> std::io::Result<impl Read> {
        let mut file = std::fs::File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        Ok(file.take(self.len))
    }
}

/// What was signed: enough to prove to a third party what happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Chain id.
    pub chain_id: u64,
    /// The market's address.
    pub market: Address,
    /// programRoot.
    pub program: B256,
    /// inputRoot of every task.
    pub inputs: Vec<B256>,
    /// The deals' terms, as they are on chain.
    pub deals: Vec<Deal>,
    /// Orders of this job.
    pub orders: Vec<OrderEvidence>,
    /// The best voucher of every deal.
    pub vouchers: Vec<Signed<Voucher>>,
}

/// An order and what its provider signed about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderEvidence {
    /// Its first task's number in the job.
    pub first: u32,
    /// Ours.
    pub order: Signed<Order>,
    /// The provider's promise.
    pub ack: Option<Signed<Ack>>,
    /// The provider's result, right or wrong.
    pub receipt: Option<Signed<Receipt>>,
    /// What the receipt's root stands for: every task's end.
    pub results: Vec<Halted>,
}

/// Everything about an ended job. It is kept in the job's folder, beside the outputs, until the job
/// is removed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JobReport {
    /// The job.
    pub job: JobId,
    /// What its user calls it.
    pub name: String,
    /// How it ended. Verified tasks are there even if it failed.
    pub outcome: Outcome,
    /// Every task, `None` where there is no verified result.
    pub tasks: Vec<Option<TaskOutcome>>,
    /// Everybody who had a deal.
    pub providers: Vec<ProviderReport>,
    /// Base units owed to all providers together.
    pub requester_paid: u128,
    /// Deals opened.
    pub deals: u32,
    /// Transactions that opened and closed them, with gas where known.
    pub transactions: Vec<TxNote>,
    /// Final counts.
    pub progress: Progress,
    /// What was checked, what that cost, and what it leaves unseen.
    pub checks: Checks,
    /// What went to court.
    pub disputes: Vec<Dispute>,
    /// What was signed.
    pub evidence: Evidence,
    /// The job's folder: outputs lie here.
    pub folder: PathBuf,
}

impl JobReport {
    /// Gas of all transactions of a kind ("open", "redeem", "close", "expire"), as far as it is
    /// known.
    pub fn gas(&self, kind: &str) -> u64 {
        self.transactions.iter().filter(|tx| tx.kind == kind).filter_map(|tx| tx.gas).sum()
    }
}

/// Where a job's output streams are kept.
pub(crate) fn outputs_folder(job: &Path) -> PathBuf {
    job.join("outputs")
}

/// A submitted job.
#[derive(Clone, Debug)]
pub struct JobHandle {
    pub(crate) id: JobId,
    pub(crate) inputs: mpsc::Sender<Input>,
    pub(crate) feed: Arc<Feed>,
}

/// What a job's watchers share.
#[derive(Debug)]
pub(crate) struct Feed {
    pub events: broadcast::Sender<JobEvent>,
    /// Subscribed before anything happened.
    pub first: std::sync::Mutex<Option<broadcast::Receiver<JobEvent>>>,
    pub report: watch::Sender<Option<Arc<JobReport>>>,
}

impl Feed {
    pub(crate) fn new(events: usize) -> Self {
        let (sender, first) = broadcast::channel(events);
        Self {
            events: sender,
            first: std::sync::Mutex::new(Some(first)),
            report: watch::Sender::new(None),
        }
    }
}

impl JobHandle {
    /// The job's name.
    pub fn id(&self) -> JobId {
        self.id
    }

    /// What happens from now on; for the first who asks, from the start on.
    pub fn events(&self) -> JobEvents {
        let first =
            self.feed.first.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let events = first.unwrap_or_else(|| self.feed.events.subscribe());
        JobEvents { events, report: self.feed.report.subscribe() }
    }

    /// Waits for the end. Dropping the future changes nothing.
    pub async fn wait(&self) -> Result<Arc<JobReport>, RequesterError> {
        let mut report = self.feed.report.subscribe();
        tokio::select! {
            known = report.wait_for(Option::is_some) => match known {
                Ok(report) => report.clone().ok_or(RequesterError::Stopped),
                Err(_) => Err(RequesterError::Stopped),
            },
            () = self.inputs.closed() => Err(RequesterError::Stopped),
        }
    }

    /// Ends the job: what was accepted is paid, deals are closed, and the report follows.
    pub async fn cancel(&self) -> Result<(), RequesterError> {
        self.inputs
            .send(Input::Event(Event::Cancel(self.id)))
            .await
            .map_err(|_| RequesterError::Stopped)
    }
}

/// The story of a job.
#[derive(Debug)]
pub struct JobEvents {
    events: broadcast::Receiver<JobEvent>,
    report: watch::Receiver<Option<Arc<JobReport>>>,
}

impl JobEvents {
    /// Next event; `None` after the last. A watcher that is far too slow loses the oldest.
    pub async fn next(&mut self) -> Option<JobEvent> {
        loop {
            let next = tokio::select! {
                biased;
                next = self.events.recv() => next,
                // All events of a job come before its report.
                ended = self.report.wait_for(Option::is_some) => match (ended.is_ok(), self.events.try_recv()) {
                    (_, Ok(event)) => Ok(event),
                    (_, Err(broadcast::error::TryRecvError::Lagged(lost))) => {
                        Err(broadcast::error::RecvError::Lagged(lost))
                    }
                    _ => return None,
                },
            };
            match next {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(lost)) => {
                    tracing::debug!(lost, "a watcher is too slow")
                }
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}
