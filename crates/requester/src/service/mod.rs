//! The service: a core, and everything that performs its effects.
//!
//! | module | knows |
//! |---|---|
//! | `driver` | the one task that owns the core |
//! | `session` | connecting, reading and writing one session |
//! | `trace` | tracing tasks for games before a court |
//! | `library` | programs, inputs and outputs; running tasks here |
//! | `journal` | records on disk |
//! | `chain` | calls as transactions, ends of deals |
//! | `asks` | asks that we may buy from |
//! | `job` | what a user hands in, follows and gets back |
//! | `archive` | ended jobs on disk |
//!
//! # Jobs
//! A job is named by a [`JobId`]; `name` is for people. [`Requester::submit`] gives a
//! [`JobHandle`]: its `events` tell the story (with counts of retries and fail-overs in every
//! `JobEvent::Progress`), its `wait` gives the report. The process may die at any moment: the next
//! [`Requester::start`] on the same folder goes on with every job, and [`Requester::jobs`],
//! [`Requester::status`], [`Requester::job`] know all of them, running and ended, by any earlier
//! process. Reports and outputs stay in the job's folder until [`Requester::remove`].

mod archive;
mod asks;
mod chain;
mod driver;
mod error;
mod job;
mod journal;
mod library;
mod session;
mod trace;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rialto_chain::{Chain, Clock, PrivateKeySigner, SendError, Sender};
use rialto_exec::Executor;
use rialto_net::Node;
use rialto_party::{ChainCheck, MAX_INPUTS, Seal, Wallet};
use rialto_protocol::{Address, types::ask_topic, wire::PeerAddr};
use tokio::sync::{mpsc, oneshot};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::core::{
    Accusable, Config, Constraints, Core, Event, Exposure, History, JobId, JobPhase, JobSpec,
    JobStatus, NoMatch, Offer, Patience, Plan, Policy, PolicyQuote,
};
use driver::{Driver, Input};
use journal::{Journal, blocking};
use library::{Known, Library};

pub use archive::{
    JobContent, content as read_content, report as read_report, status as read_status,
};
pub use error::RequesterError;
use job::Feed;
pub use job::{
    Content, Evidence, Job, JobEvents, JobHandle, JobReport, OrderEvidence, Output, TaskOutcome,
};

/// Attempts to open the sender's journal.
const SENDER_OPENINGS: u32 = 20;
/// Pause between them: two seconds in all are plenty for closing a file.
const SENDER_PAUSE: Duration = Duration::from_millis(100);

/// How a requester is set up.
#[derive(Clone, Debug)]
pub struct RequesterConfig {
    /// Folder of journal, sender and jobs; one per account and market.
    pub data_dir: PathBuf,
    /// Key of the account that buys.
    pub signer: PrivateKeySigner,
    /// How long to wait for what.
    pub patience: Patience,
    /// Peers through which gossip is joined.
    pub bootstrap: Vec<PeerAddr>,
    /// Block of the market's creation: where its events begin.
    pub first_block: u64,
    /// The court is asked about a wrong receipt where at least so much is at stake in its deal,
    /// base units: what is claimed without being owed, and our part of the collateral. None: never.
    /// An accusation costs gas: its bond comes back.
    pub dispute_from: Option<u128>,
}

impl RequesterConfig {
    /// Defaults for a key and a folder.
    pub fn new(data_dir: impl Into<PathBuf>, signer: PrivateKeySigner) -> Self {
        Self {
            data_dir: data_dir.into(),
            signer,
            patience: Patience::default(),
            bootstrap: Vec::new(),
            first_block: 0,
            dispute_from: Some(1),
        }
    }
}

/// A running requester. It stops when dropped; jobs go on with the next start on the same folder.
pub struct Requester {
    account: Address,
    wallet: Wallet,
    chain: Chain,
    clock: Clock,
    sender: Sender,
    library: Arc<Library>,
    inputs: mpsc::Sender<Input>,
    cancel: CancellationToken,
    tasks: TaskTracker,
    _stop_on_drop: DropGuard,
}

impl Requester {
    /// Starts a requester, or takes up what an earlier one left in its data folder.
    pub async fn start(
        config: RequesterConfig,
        chain: Chain,
        node: Node,
        executor: impl Into<Arc<dyn Executor>>,
    ) -> Result<Self, RequesterError> {
        let account = config.signer.address();
        let data = config.data_dir.clone();
        tokio::fs::create_dir_all(&data).await.map_err(RequesterError::file(&data))?;
        let core_config = Config {
            requester: account,
            key: account,
            chain_id: chain.chain_id(),
            market: chain.market(),
            grace_seconds: chain.windows().grace,
            challenge_seconds: chain.windows().challenge,
            answer_seconds: chain.windows().answer,
            case_bond: chain.windows().case_bond,
            dispute_from: config.dispute_from,
            patience: config.patience,
        };
        let owner =
            format!("requester {account} on chain {} market {}", chain.chain_id(), chain.market());
        let path = data.join("journal.redb");
        let (journal, core) = blocking(move || {
            let journal = Journal::open(&path, &owner)?;
            let records = journal.load()?;
            Ok((journal, Core::restore(core_config, &records)))
        })
        .await?;

        let clock = Clock::default();
        clock.chain_says(chain.now().await?);
        let sender = open_sender(&chain, &config.signer, &data.join("sender.redb")).await?;
        let check = ChainCheck::new(chain.clone(), clock.clone());
        let topic = ask_topic(chain.chain_id(), chain.market());
        let (_, stream) = node.asks(topic, config.bootstrap, Arc::new(check))?;

        let (inputs, queue) = mpsc::channel(MAX_INPUTS);
        let (cancel, tasks) = (CancellationToken::new(), TaskTracker::new());
        let executor = executor.into();
        let machine = executor.machines().map(|machines| machines.current().version());
        let library = Arc::new(Library::new(data.join("jobs"), node.clone(), executor));
        let driver = Driver {
            core,
            clock: clock.clone(),
            chain: chain.clone(),
            sender: sender.clone(),
            node,
            journal,
            library: library.clone(),
            seal: Seal::new(config.signer, chain.domain().clone()),
            first_block: config.first_block,
            inputs: inputs.clone(),
            cancel: cancel.clone(),
            tasks: tasks.clone(),
            feeds: HashMap::new(),
            sessions: HashMap::new(),
            next_session: 0,
        };
        tasks.spawn(drive(driver, queue, cancel.clone()));
        let listening = asks::listen(stream, chain.clone(), machine, inputs.clone());
        let stop = cancel.clone();
        tasks.spawn(async move { stop.run_until_cancelled(listening).await });
        Ok(Self {
            account,
            wallet: Wallet::new(chain.clone(), account),
            chain,
            clock,
            sender,
            library,
            inputs,
            _stop_on_drop: cancel.clone().drop_guard(),
            cancel,
            tasks,
        })
    }

    /// The account that buys.
    pub fn account(&self) -> Address {
        self.account
    }

    /// The one sender of the requester's key, for deposits and withdrawals.
    pub fn sender(&self) -> &Sender {
        &self.sender
    }

    /// Submits a job: its program is checked, its bytes are kept, and offers are sought.
    pub async fn submit(&self, job: Job) -> Result<JobHandle, RequesterError> {
        let account = self.wallet.money().await?;
        if account < job.budget {
            return Err(RequesterError::Account { account, budget: job.budget });
        }
        let id = JobId(rand::random());
        let spec = match self.prepare(id, &job).await {
            Ok(spec) => spec,
            Err(error) => {
                self.library.discard(id).await;
                return Err(error);
            }
        };
        let (answer, answered) = oneshot::channel();
        self.tell(Input::Submit { spec, answer }).await?;
        let feed = answered.await.map_err(|_| RequesterError::Stopped)?;
        Ok(JobHandle { id, inputs: self.inputs.clone(), feed })
    }

    /// What a job would cost with the offers known now, and why the others are left out. Spends
    /// nothing.
    pub async fn quote(&self, job: &Job) -> Result<Result<Plan, NoMatch>, RequesterError> {
        let known = Known::unread(job);
        let spec = self.spec(JobId(0), job, known);
        spec.check()?;
        let (answer, answered) = oneshot::channel();
        self.tell(Input::Quote { spec, answer }).await?;
        answered.await.map_err(|_| RequesterError::Stopped)
    }

    /// What a job would cost, and what would be found of so many falsified tasks each, under each
    /// of these policies.
    pub async fn quotes(
        &self,
        job: &Job,
        policies: Vec<Policy>,
        cheated: Vec<u64>,
    ) -> Result<Vec<PolicyQuote>, RequesterError> {
        let known = Known::unread(job);
        let spec = self.spec(JobId(0), job, known);
        spec.check()?;
        let (answer, answered) = oneshot::channel();
        self.tell(Input::Quotes { spec, policies, cheated, answer }).await?;
        answered.await.map_err(|_| RequesterError::Stopped)
    }

    /// What is remembered of providers: how much of their work was right, and how often they were
    /// caught. Who was caught is not used any more, until [`Requester::forgive`].
    pub async fn history(&self) -> Result<Vec<(Address, History)>, RequesterError> {
        let (answer, answered) = oneshot::channel();
        self.tell(Input::History(answer)).await?;
        answered.await.map_err(|_| RequesterError::Stopped)
    }

    /// Forgets what is held against a provider.
    pub async fn forgive(&self, provider: Address) -> Result<(), RequesterError> {
        self.tell(Input::Event(Event::Forgive(provider))).await
    }

    /// Every offer in the order book.
    pub async fn offers(&self) -> Result<Vec<Offer>, RequesterError> {
        let (answer, answered) = oneshot::channel();
        self.tell(Input::Offers(answer)).await?;
        answered.await.map_err(|_| RequesterError::Stopped)
    }

    /// Whether somebody has to stay though no job runs: a receipt is being taken to court, a game
    /// of this account is open, whoever began it, or an order that is not settled can still be
    /// claimed.
    pub async fn is_needed(&self) -> Result<bool, RequesterError> {
        let (answer, answered) = oneshot::channel();
        self.tell(Input::Needed(answer)).await?;
        answered.await.map_err(|_| RequesterError::Stopped)
    }

    /// The most that can be lost in each deal that is open.
    pub async fn exposures(&self) -> Result<Vec<Exposure>, RequesterError> {
        let (answer, answered) = oneshot::channel();
        self.tell(Input::Exposures(answer)).await?;
        let mut exposures = answered.await.map_err(|_| RequesterError::Stopped)?;
        // Each deal needs a bond of its own; where the account does not hold all of them, those
        // that protect the most come first.
        let mut free = self.wallet.money().await?;
        exposures.sort_by_key(|exposure| std::cmp::Reverse(exposure.claimable));
        for exposure in
            exposures.iter_mut().filter(|exposure| exposure.lack.is_none() && !exposure.in_court)
        {
            let court = self.chain.court(exposure.court).await?;
            match free.checked_sub(court.bond_for(exposure.fuel_limit).await?) {
                Some(left) => free = left,
                None => *exposure = exposure.lacks_bond(),
            }
        }
        Ok(exposures)
    }

    /// What has to stay in the account for the bonds of accusations, base units: for the deals that
    /// are open, and for these besides.
    pub async fn bonds(
        &self,
        more: impl IntoIterator<Item = Accusable>,
    ) -> Result<u128, RequesterError> {
        let (answer, answered) = oneshot::channel();
        self.tell(Input::Accusables(answer)).await?;
        let mut all = answered.await.map_err(|_| RequesterError::Stopped)?;
        more.into_iter().for_each(|one| *all.entry(one).or_default() += 1);
        Ok(chain::bonds(&self.chain, &all).await?)
    }

    /// Every job, running or ended, of this process or any before it on the same folder; the newest
    /// first.
    pub async fn jobs(&self) -> Result<Vec<JobStatus>, RequesterError> {
        let (answer, answered) = oneshot::channel();
        self.tell(Input::Jobs(answer)).await?;
        let mut jobs = answered.await.map_err(|_| RequesterError::Stopped)?;
        let library = self.library.clone();
        let (kept, ended) = blocking(move || {
            // The core remembers a removed job for a while: its money may still be on the way.
            jobs.retain(|job: &JobStatus| {
                job.phase != JobPhase::Ended || library.folder(job.id).exists()
            });
            Ok((jobs, archive::list(library.root())))
        })
        .await?;
        jobs = kept;
        let known: std::collections::BTreeSet<_> = jobs.iter().map(|job| job.id).collect();
        jobs.extend(ended.into_iter().filter(|job| !known.contains(&job.id)));
        jobs.sort_by_key(|job| (std::cmp::Reverse(job.submitted), job.id));
        Ok(jobs)
    }

    /// One job of that list.
    pub async fn status(&self, id: JobId) -> Result<JobStatus, RequesterError> {
        let (answer, answered) = oneshot::channel();
        self.tell(Input::Jobs(answer)).await?;
        let known = answered
            .await
            .map_err(|_| RequesterError::Stopped)?
            .into_iter()
            .find(|job| job.id == id);
        let folder = self.library.folder(id);
        match known {
            Some(status) if status.phase != JobPhase::Ended || folder.exists() => Ok(status),
            _ => blocking(move || archive::status(&folder)).await?.ok_or(RequesterError::NoJob),
        }
    }

    /// A job submitted before, by this process or any before it on the same folder. If it has
    /// ended, its report is there at once and it has no events.
    pub async fn job(&self, id: JobId) -> Result<JobHandle, RequesterError> {
        let (answer, answered) = oneshot::channel();
        self.tell(Input::Watch { job: id, answer }).await?;
        let feed = match answered.await.map_err(|_| RequesterError::Stopped)? {
            Some(feed) => feed,
            None => {
                let folder = self.library.folder(id);
                let report = blocking(move || archive::report(&folder))
                    .await?
                    .ok_or(RequesterError::NoJob)?;
                let feed = Feed::new(1);
                feed.report.send_replace(Some(Arc::new(report)));
                Arc::new(feed)
            }
        };
        Ok(JobHandle { id, inputs: self.inputs.clone(), feed })
    }

    /// What was kept beside a job when it was submitted.
    pub async fn memo(&self, id: JobId) -> Result<bytes::Bytes, RequesterError> {
        self.library.memo(id).await
    }

    /// A job's folder.
    pub fn folder(&self, id: JobId) -> PathBuf {
        self.library.folder(id)
    }

    /// Ends a job: what was accepted is paid, and the report follows. It can be resumed.
    pub async fn cancel(&self, id: JobId) -> Result<(), RequesterError> {
        self.job(id).await?.cancel().await
    }

    /// Takes up a job that ended without all its results (cancelled, deadline, nobody to run it):
    /// it has until `within` from now, and another budget if one is given. What is verified and
    /// paid stays so. A day after its end a job is too old.
    pub async fn resume(
        &self,
        id: JobId,
        within: Duration,
        budget: Option<u128>,
    ) -> Result<JobHandle, RequesterError> {
        let (answer, answered) = oneshot::channel();
        self.tell(Input::Resume { job: id, within, budget, answer }).await?;
        let feed = answered.await.map_err(|_| RequesterError::Stopped)??;
        Ok(JobHandle { id, inputs: self.inputs.clone(), feed })
    }

    /// Which deals [`Requester::resume`] would open now: none if those that are open can do what is
    /// left. Spends nothing.
    pub async fn quote_resumed(
        &self,
        id: JobId,
        within: Duration,
        budget: Option<u128>,
    ) -> Result<Result<Option<Plan>, NoMatch>, RequesterError> {
        let (answer, answered) = oneshot::channel();
        self.tell(Input::QuoteResumed { job: id, within, budget, answer }).await?;
        Ok(answered.await.map_err(|_| RequesterError::Stopped)??)
    }

    /// Removes an ended job's report, outputs and inputs from disk. Returns whether it was not
    /// running.
    pub async fn remove(&self, id: JobId) -> Result<bool, RequesterError> {
        let (answer, answered) = oneshot::channel();
        self.tell(Input::Remove { job: id, answer }).await?;
        answered.await.map_err(|_| RequesterError::Stopped)
    }

    /// Stops at once. Everything that matters is on disk: the next start goes on from there. The
    /// node stays open: it is the caller's.
    pub async fn stop(self) {
        self.cancel.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.sender.stop().await;
    }

    /// Returns once the requester has stopped, by `stop` or because its journal could not be
    /// written.
    pub async fn stopped(&self) {
        self.cancel.cancelled().await;
    }

    async fn tell(&self, input: Input) -> Result<(), RequesterError> {
        self.inputs.send(input).await.map_err(|_| RequesterError::Stopped)
    }

    async fn prepare(&self, id: JobId, job: &Job) -> Result<JobSpec, RequesterError> {
        // The cheap bounds first.
        let nothing = Known::unread(job);
        self.spec(id, job, nothing).check()?;
        let known = self.library.take(id, job).await?;
        Ok(self.spec(id, job, known))
    }

    fn spec(&self, id: JobId, job: &Job, known: Known) -> JobSpec {
        JobSpec {
            id,
            name: job.name.clone(),
            program: known.program,
            inputs: known.inputs,
            program_bytes: known.program_bytes,
            shared_bytes: known.shared_bytes,
            input_bytes: job
                .tasks
                .iter()
                .map(|task| u32::try_from(task.len()).unwrap_or(u32::MAX))
                .collect(),
            fuel_limit: job.limits.fuel,
            out_limit: job.limits.out_bytes,
            max_pages: job.limits.max_pages,
            seed: job.seed.unwrap_or(id.0),
            secret: rand::random::<[u8; 32]>().into(),
            policy: job.policy,
            constraints: Constraints {
                budget: job.budget,
                max_price: job.max_price,
                deadline: self.clock.now().saturating_add(job.within.as_secs()),
                min_collateral_bps: job.min_collateral_bps,
                min_providers: job.min_providers,
                max_providers: job.max_providers,
                exclude: job.exclude.clone(),
                expected_fuel: job.expected_fuel,
                run_locally: job.run_locally,
            },
        }
    }
}

/// Opens the sender. One of this process that was stopped just now may still be closing its
/// journal.
async fn open_sender(
    chain: &Chain,
    signer: &PrivateKeySigner,
    path: &Path,
) -> Result<Sender, RequesterError> {
    for _ in 1..SENDER_OPENINGS {
        match chain.sender(signer.clone(), path).await {
            Err(SendError::Journal(why)) => tracing::debug!(why, "sender journal not open yet"),
            other => return Ok(other?),
        }
        tokio::time::sleep(SENDER_PAUSE).await;
    }
    Ok(chain.sender(signer.clone(), path).await?)
}

async fn drive(driver: Driver, queue: mpsc::Receiver<Input>, cancel: CancellationToken) {
    // However it ends, a panic included, nothing goes on without the core.
    let _stop = cancel.drop_guard();
    if let Err(error) = driver.run(queue).await {
        tracing::error!(%error, "the requester had to stop");
    }
}
