//! Jobs: quoted, under way, ended; and their evidence.

use std::path::PathBuf;

use rialto_requester::JobEvent;
use serde::Serialize;

use super::{Account, Decimal, Hash};
use crate::{Checked, Chosen, Opening, Quote, job::Written};

/// What a job would cost.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct JobQuote {
    /// The quote.
    pub quote: Quote,
}

/// What a job would send, and whose money that locks. Nothing was sent.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct JobPlan {
    /// The transaction that opens deals; none if none is needed or possible.
    pub opening: Option<Opening>,
    /// The deals.
    pub deals: Vec<Chosen>,
    /// Money that would be locked, base units.
    pub locked: Option<u128>,
    /// Expected cost, base units.
    pub cost: Option<u128>,
    /// The budget, base units.
    pub budget: u128,
    /// Why no providers are found.
    pub no_match: Option<String>,
    /// Of a job that is taken up again: tasks that are left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<u64>,
    /// Always false.
    pub sent: bool,
}

/// A job that was submitted.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct JobUnderWay {
    /// Its id.
    pub job: String,
    /// Its tasks.
    pub tasks: u64,
    /// Always true: it goes on in the background.
    pub detached: bool,
}

/// How a job stands.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Job {
    /// Its id.
    pub job: String,
    /// Its name.
    pub name: String,
    /// How it stands, in a word or two.
    pub standing: String,
    /// `running`, `settling` or `ended`.
    pub phase: String,
    /// Whether all its tasks are verified.
    pub done: bool,
    /// Unix seconds.
    pub submitted: u64,
    /// Unix seconds.
    pub deadline: u64,
    /// Unix seconds.
    pub ended: Option<u64>,
    /// How results are checked.
    pub policy: String,
    /// Base units.
    pub budget: Decimal,
    /// Base units.
    pub spent: Decimal,
    /// Its tasks.
    pub tasks: u64,
    /// Tasks that are verified.
    pub verified: u64,
    /// Tasks that are paid.
    pub paid: u64,
    /// Tasks that were ordered again.
    pub retries: u64,
    /// Providers that were replaced.
    pub failovers: u64,
    /// Deals that it opened.
    pub deals: u32,
    /// What it waits for.
    pub waits: Option<String>,
}

/// All jobs.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct JobList {
    /// The newest first.
    pub jobs: Vec<Job>,
}

/// A provider in a job's report.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct JobProvider {
    /// The provider.
    pub address: Account,
    /// Its deal.
    pub deal: Hash,
    /// Base units per Tfuel.
    pub price: Decimal,
    /// Tasks that it did.
    pub tasks: u64,
    /// Fuel of them.
    pub fuel: Decimal,
    /// What vouchers say, base units.
    pub earned: Decimal,
    /// What it was paid on chain, base units.
    pub paid: Option<Decimal>,
    /// How it ended.
    pub status: String,
    /// Tasks whose results it falsified.
    pub wrong_tasks: Vec<u32>,
}

/// A transaction of a job.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Transaction {
    /// What it did.
    pub kind: String,
    /// The transaction.
    pub tx: Hash,
    /// Its gas.
    pub gas: Option<u64>,
    /// Deals that it was about.
    pub deals: u32,
}

/// What was checked of a job.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct JobChecks {
    /// Tasks that were run more than once.
    pub checked: u64,
    /// Tasks that this machine ran.
    pub own_runs: u64,
    /// Task runs beyond the first of each task.
    pub repeated: u64,
    /// So many wrong tasks would stay unseen with this probability, parts per million.
    pub unseen_ppm: Vec<(u64, u32)>,
}

/// The report of a job.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct JobReport {
    /// Its tasks.
    pub tasks: u64,
    /// Tasks that are verified.
    pub verified: u64,
    /// Tasks that were ordered again.
    pub retries: u64,
    /// Providers that were replaced.
    pub failovers: u64,
    /// What it cost, base units.
    pub requester_paid: Decimal,
    /// Deals that it opened.
    pub deals: u32,
    /// Who worked for it.
    pub providers: Vec<JobProvider>,
    /// What was sent.
    pub transactions: Vec<Transaction>,
    /// What was checked.
    pub checks: JobChecks,
}

/// One job.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct JobShown {
    /// How it stands.
    #[serde(flatten)]
    pub job: Job,
    /// Its report, once it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<JobReport>,
    /// Where it is kept.
    pub folder: PathBuf,
}

/// A job that was watched to its end.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct JobEnded {
    /// Its report.
    #[serde(flatten)]
    pub report: JobReport,
    /// Its id.
    pub job: String,
    /// Its name.
    pub name: String,
    /// Whether all its tasks are verified.
    pub done: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The code of why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub code: Option<Option<String>>,
    /// What was written.
    pub results: Written,
    /// The evidence.
    pub bundle: PathBuf,
    /// How long it was watched.
    pub seconds: f64,
}

/// A line of a job's story.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct JobStoryLine {
    /// Unix seconds.
    pub at: u64,
    /// What happened.
    #[cfg_attr(test, schemars(with = "super::schema::AnyEvent"))]
    pub event: JobEvent,
}

/// A job that is being ended.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct JobCancelled {
    /// Its id.
    pub job: String,
    /// Always true.
    pub cancelled: bool,
}

/// A job that was taken up again.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct JobResumed {
    /// Its id.
    pub job: String,
    /// Always true.
    pub resumed: bool,
}

/// A job that was removed.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct JobRemoved {
    /// Its id.
    pub removed: String,
}

/// Results that were written.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct JobResults {
    /// Its id.
    pub job: String,
    /// What was written.
    pub results: Written,
    /// What the job cost, for people.
    pub paid: String,
}

/// What is remembered of a provider.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct KnownProvider {
    /// The provider.
    pub provider: Account,
    /// Tasks that were right since it was caught last.
    pub checked: u64,
    /// Times that it was caught.
    pub faults: u32,
}

/// What is remembered of providers.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct KnownProviders {
    /// All of them.
    pub providers: Vec<KnownProvider>,
}

/// A provider that may be used again.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Forgiven {
    /// The provider.
    pub forgiven: Account,
}

/// Whether a background process was ended.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HostStopped {
    /// False if none ran.
    pub stopped: bool,
}

/// Evidence that was checked.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BundleChecked {
    /// Whether everything holds.
    pub holds: bool,
    /// The job.
    pub job: String,
    /// The chain.
    pub chain_id: u64,
    /// The market.
    pub market: Account,
    /// Root of the program.
    pub program: Hash,
    /// With `--program`: whether it is that one.
    pub program_matches: Option<bool>,
    /// What was found.
    pub checked: Checked,
}
