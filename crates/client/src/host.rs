//! A host: a requester that works for many short commands. It takes jobs, keeps their story, and answers on the socket
//! in its folder until it has nothing more to do. What it holds is on disk: killed, the next one goes on.

use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rialto_chain::{Chain, PrivateKeySigner};
use rialto_exec::Engine;
use rialto_net::Node;
use rialto_protocol::Address;
use rialto_requester::{JobEvent, JobHandle, JobId, JobPhase, Requester, RequesterConfig, RequesterError};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::Notify,
    time::{Instant, interval, sleep},
};

use crate::{
    control::{self, Answers, ControlError},
    home::{Home, HomeError, private_dir},
    job::{JobFile, JobFileError},
    market::{MarketConfig, MarketError},
    quote::{self, Quote},
};

/// A host without jobs and callers ends after so long.
const IDLE: Duration = Duration::from_secs(20);
/// Longest wait for a relay.
const RELAY_PATIENCE: Duration = Duration::from_secs(10);
/// The report is written just after the job's end is told.
const REPORT_PATIENCE: Duration = Duration::from_secs(60);
/// Counts are written down at most this often.
const PROGRESS_PAUSE: Duration = Duration::from_millis(200);
/// Largest story of a job, bytes; what happens afterwards is not written down.
const MAX_STORY_BYTES: u64 = 64 << 20;
/// A job's story in its folder: a JSON object a line.
const STORY: &str = "story.jsonl";

/// Why a host does not run, or refuses.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The job file.
    #[error(transparent)]
    Job(#[from] JobFileError),
    /// The requester.
    #[error(transparent)]
    Requester(#[from] RequesterError),
    /// The market.
    #[error(transparent)]
    Market(#[from] MarketError),
    /// A folder.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The socket.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The endpoint.
    #[error(transparent)]
    Net(#[from] rialto_net::NetError),
    /// The engine.
    #[error(transparent)]
    Exec(#[from] rialto_exec::ExecError),
    /// The chain, asked what something would cost.
    #[error(transparent)]
    Chain(#[from] rialto_chain::SendError),
    /// A task did not run here.
    #[error(transparent)]
    Attempt(#[from] rialto_exec::AttemptError),
    /// Nobody answers where a host should.
    #[error("[C-HST-001] the host of {folder} does not answer: see host.log there")]
    Gone {
        /// Its folder.
        folder: String,
    },
    /// A part of it broke.
    #[error("[C-HST-002] {0}")]
    Broken(String),
    /// A job of another program.
    #[error("[C-HST-003] job {job} was not submitted from a job file")]
    NoFile {
        /// Which.
        job: JobId,
    },
}

/// What a host can be asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Request {
    /// Whether it is there: its process.
    Hello,
    /// Take a job: its name.
    Submit(Box<JobFile>),
    /// What a job would cost.
    Quote(Box<JobFile>),
    /// All jobs.
    Jobs,
    /// End a job.
    Cancel(JobId),
    /// Take a job up again.
    Resume {
        /// Which.
        job: JobId,
        /// Seconds.
        within: u64,
        /// Another budget.
        budget: Option<u128>,
    },
    /// What taking a job up again would buy.
    QuoteResumed {
        /// Which.
        job: JobId,
        /// Seconds.
        within: u64,
        /// Another budget.
        budget: Option<u128>,
    },
    /// Remove an ended job and its files: whether it had ended.
    Remove(JobId),
    /// What can be lost in the deals that are open.
    Exposures,
    /// What is held against providers.
    History,
    /// Forget it.
    Forgive(Address),
    /// End, whatever runs: the next host goes on.
    Stop,
}

/// A line of a job's story.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Told {
    /// Unix seconds.
    pub at: u64,
    /// What happened.
    pub event: JobEvent,
}

/// The story of the job in a folder.
pub(crate) fn story(job: &Path) -> PathBuf {
    job.join(STORY)
}

/// A requester on a market, with its endpoint and engine: what a program of one's own starts to buy.
pub struct Buyer {
    /// Submits, watches, cancels.
    pub requester: Requester,
    /// Runs tasks here: trials, audits.
    pub engine: Engine,
    pub(crate) chain: Chain,
    node: Node,
    folder: PathBuf,
    account: Address,
}

impl Buyer {
    /// Starts, or goes on where an earlier one ended.
    ///
    /// # Errors
    /// `C-…`, `R-SVC-…`.
    pub async fn start(home: &Home, market: &MarketConfig, signer: PrivateKeySigner) -> Result<Self, HostError> {
        let chain = market.connect().await?;
        let account = signer.address();
        let folder = home.requester(chain.chain_id(), market.market, account);
        private_dir(&folder)?;
        let engine = Engine::new(rialto_exec::Config::new(folder.join("programs")))?;
        let node = Node::bind(market.net(&folder)?).await?;
        if !node.online(RELAY_PATIENCE).await {
            tracing::warn!("the relay does not answer");
        }
        let config = RequesterConfig { first_block: market.first_block, ..RequesterConfig::new(&folder, signer) };
        let requester = Requester::start(config, chain.clone(), node.clone(), engine.clone()).await?;
        Ok(Self { requester, engine, chain, node, folder, account })
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its account.
    pub fn account(&self) -> Address {
        self.account
    }

    /// Submits what a job file stands for. The file is kept beside the job.
    ///
    /// # Errors
    /// `C-JOB-…`, `R-…`.
    pub async fn submit(&self, file: &JobFile) -> Result<JobHandle, HostError> {
        let shared = Incoming::new(&self.folder);
        let (path, copy) = (shared.0.clone(), file.clone());
        let mut job = blocking(move || copy.job(&path)).await??;
        job.memo = serde_json::to_vec(file).map_err(|why| HostError::Broken(why.to_string()))?.into();
        Ok(self.requester.submit(job).await?)
    }

    /// The job file from which a job was submitted.
    ///
    /// # Errors
    /// `C-HST-003`, `R-SVC-008`.
    pub async fn file(&self, job: JobId) -> Result<JobFile, HostError> {
        let memo = self.requester.memo(job).await?;
        serde_json::from_slice(&memo).map_err(|_| HostError::NoFile { job })
    }

    /// What a job would cost under every policy, and why whom. One task is run here to know its fuel; nothing is spent.
    ///
    /// # Errors
    /// `C-JOB-…`, `R-…`, `E-…`.
    pub async fn quote(&self, file: &JobFile) -> Result<Quote, HostError> {
        let shared = Incoming::new(&self.folder);
        let (path, copy) = (shared.0.clone(), file.clone());
        let job = blocking(move || copy.sample(&path)).await??;
        quote::quote(self, file, job).await
    }

    /// Ends it in order. Jobs go on with the next start.
    pub async fn stop(self) {
        self.requester.stop().await;
        self.node.close().await;
    }
}

/// The file that a job's shared input is written to until it is submitted.
struct Incoming(PathBuf);

impl Incoming {
    fn new(folder: &Path) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        Self(folder.join(format!("incoming-{}.part", NEXT.fetch_add(1, Ordering::Relaxed))))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, HostError> {
    tokio::task::spawn_blocking(work).await.map_err(|why| HostError::Broken(why.to_string()))
}

/// Works for whoever asks in the buyer's folder, until there is nothing to do any more or somebody says stop. Returns at
/// once when `interrupted` is ready.
///
/// # Errors
/// `C-CTL-001`, `C-HST-002`: the requester had to stop.
pub async fn serve(buyer: Buyer, interrupted: impl Future<Output = ()>) -> Result<(), HostError> {
    let desk = Arc::new(Desk {
        buyer: Arc::new(buyer),
        callers: AtomicUsize::new(0),
        stop: Notify::new(),
        last: std::sync::Mutex::new(Instant::now()),
    });
    for status in desk.buyer.requester.jobs().await? {
        if status.phase != JobPhase::Ended {
            desk.clone().keep_story(desk.buyer.requester.job(status.id).await?);
        }
    }
    let answering = desk.clone();
    let served = control::serve(desk.buyer.folder(), move |request, mut answers: Answers| {
        let desk = answering.clone();
        async move {
            let _caller = Caller::new(&desk);
            let outcome = desk.answer(request, &mut answers).await;
            (answers, outcome)
        }
    })?;
    tokio::pin!(interrupted);
    let mut looks = interval(Duration::from_secs(1));
    let ended = loop {
        tokio::select! {
            () = &mut interrupted => break Ok(()),
            () = desk.stop.notified() => break Ok(()),
            () = desk.buyer.requester.stopped() => {
                break Err(HostError::Broken("the requester had to stop: see host.log".into()));
            }
            _ = looks.tick() => if desk.idle().await { break Ok(()) },
        }
    };
    drop(served);
    ended
}

struct Desk {
    buyer: Arc<Buyer>,
    callers: AtomicUsize,
    stop: Notify,
    last: std::sync::Mutex<Instant>,
}

/// Somebody is being answered.
struct Caller<'a>(&'a Desk);

impl<'a> Caller<'a> {
    fn new(desk: &'a Desk) -> Self {
        desk.callers.fetch_add(1, Ordering::SeqCst);
        Self(desk)
    }
}

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        self.0.callers.fetch_sub(1, Ordering::SeqCst);
        self.0.touch();
    }
}

impl Desk {
    fn touch(&self) {
        *self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Instant::now();
    }

    async fn idle(&self) -> bool {
        let busy = match self.buyer.requester.jobs().await {
            Ok(jobs) => jobs.iter().any(|job| job.phase != JobPhase::Ended),
            Err(_) => return false,
        };
        // A game outlasts its job, and may have been begun by hand: who does not answer in time has lost it. And what was ordered
        // may be claimed by a provider that waited until nobody looks.
        let needed = self.buyer.requester.is_needed().await.unwrap_or(true);
        if !self.buyer.folder().exists() {
            return true;
        }
        if busy || needed || self.callers.load(Ordering::SeqCst) > 0 {
            self.touch();
        }
        self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner).elapsed() > IDLE
    }

    async fn answer(self: &Arc<Self>, request: Request, answers: &mut Answers) -> Result<(), HostError> {
        let requester = &self.buyer.requester;
        let sent = match request {
            Request::Hello => answers.send(&std::process::id()).await,
            Request::Submit(file) => {
                let handle = self.buyer.submit(&file).await?;
                let id = handle.id();
                self.clone().keep_story(handle);
                answers.send(&id).await
            }
            Request::Quote(file) => {
                let quote = self.buyer.quote(&file).await?;
                answers.send(&quote).await
            }
            Request::Jobs => answers.send(&requester.jobs().await?).await,
            Request::Cancel(job) => {
                requester.cancel(job).await?;
                answers.send(&job).await
            }
            Request::Resume { job, within, budget } => {
                let handle = requester.resume(job, Duration::from_secs(within), budget).await?;
                self.clone().keep_story(handle);
                answers.send(&job).await
            }
            Request::QuoteResumed { job, within, budget } => {
                let within = Duration::from_secs(within);
                answers.send(&quote::resumption(&self.buyer, job, within, budget).await?).await
            }
            Request::Remove(job) => answers.send(&requester.remove(job).await?).await,
            Request::Exposures => answers.send(&requester.exposures().await?).await,
            Request::History => answers.send(&requester.history().await?).await,
            Request::Forgive(provider) => {
                requester.forgive(provider).await?;
                answers.send(&provider).await
            }
            Request::Stop => {
                self.stop.notify_one();
                answers.send(&std::process::id()).await
            }
        };
        sent.map_err(|why| HostError::Broken(why.to_string()))
    }

    /// Writes a job's story down as it happens.
    fn keep_story(self: Arc<Self>, handle: JobHandle) {
        tokio::spawn(async move {
            let folder = self.buyer.requester.folder(handle.id());
            if let Err(why) = write_story(&folder, &handle).await {
                tracing::warn!(job = %handle.id(), %why, "the job's story is not written down");
            }
            // Whoever looks for the end finds the report, even if the host is told to end now.
            let patience = Instant::now() + REPORT_PATIENCE;
            while !has_report(&folder) && Instant::now() < patience {
                sleep(Duration::from_millis(20)).await;
            }
            self.touch();
        });
    }
}

/// Whether the job in a folder has ended.
pub(crate) fn has_report(folder: &Path) -> bool {
    folder.join("status.bin").exists()
}

async fn write_story(folder: &Path, handle: &JobHandle) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(story(folder))?;
    let mut size = file.metadata()?.len();
    let mut events = handle.events();
    let (mut held, mut pause) = (None, interval(PROGRESS_PAUSE));
    let mut put = |event: JobEvent| {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let mut line = serde_json::to_string(&Told { at, event }).map_err(std::io::Error::other)?;
        line.push('\n');
        size += line.len() as u64;
        if size > MAX_STORY_BYTES { Ok(()) } else { file.write_all(line.as_bytes()) }
    };
    loop {
        tokio::select! {
            event = events.next() => match event {
                None => break,
                Some(event @ JobEvent::Progress(_)) => held = Some(event),
                // These are in the counts.
                Some(JobEvent::OrderSent { .. } | JobEvent::TasksDone { .. } | JobEvent::TasksVerified { .. } | JobEvent::Paid { .. }) => {}
                Some(event) => put(event)?,
            },
            _ = pause.tick(), if held.is_some() => held.take().map_or(Ok(()), &mut put)?,
        }
    }
    held.take().map_or(Ok(()), put)
}
