//! A host: a requester that works for many short commands. It takes jobs, keeps their story, and
//! answers on the socket in its folder until it has nothing more to do. What it holds is on disk:
//! killed, the next one goes on.

use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rialto_protocol::Address;
use rialto_requester::{JobEvent, JobHandle, JobId, JobPhase};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::Notify,
    time::{Instant, interval, sleep},
};

use crate::{
    buyer::{Buyer, quote},
    control::{self, Answers, Refusal},
    error::HostError,
    job::JobFile,
};

/// A host without jobs and callers ends after so long.
const IDLE: Duration = Duration::from_secs(20);
/// The report is written just after the job's end is told.
const REPORT_PATIENCE: Duration = Duration::from_secs(60);
/// Counts are written down at most this often.
const PROGRESS_PAUSE: Duration = Duration::from_millis(200);
/// Largest story of a job, bytes; what happens afterwards is not written down.
const MAX_STORY_BYTES: u64 = 64 << 20;
/// A job's story in its folder: a JSON object a line.
const STORY: &str = "story.jsonl";

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

/// Works for whoever asks in the buyer's folder, until there is nothing to do any more or somebody
/// says stop. Returns at once when `interrupted` is ready.
///
/// # Errors
/// `C-CTL-001`, `C-HST-002`: the requester had to stop.
pub async fn serve(buyer: Buyer, interrupted: impl Future<Output = ()>) -> Result<(), HostError> {
    let server = Arc::new(Server {
        buyer: Arc::new(buyer),
        callers: AtomicUsize::new(0),
        stop: Notify::new(),
        last: std::sync::Mutex::new(Instant::now()),
    });
    for status in server.buyer.requester.jobs().await? {
        if status.phase != JobPhase::Ended {
            server.clone().keep_story(server.buyer.requester.job(status.id).await?);
        }
    }
    let answering = server.clone();
    let served = control::serve(server.buyer.folder(), move |request, mut answers: Answers| {
        let server = answering.clone();
        async move {
            let _caller = Caller::new(&server);
            let outcome = server.answer(request, &mut answers).await;
            (answers, outcome.map_err(|why| Refusal::of(&why)))
        }
    })?;
    tokio::pin!(interrupted);
    let mut looks = interval(Duration::from_secs(1));
    let ended = loop {
        tokio::select! {
            () = &mut interrupted => break Ok(()),
            () = server.stop.notified() => break Ok(()),
            () = server.buyer.requester.stopped() => {
                break Err(HostError::Broken("the requester had to stop: see host.log".into()));
            }
            _ = looks.tick() => if server.idle().await { break Ok(()) },
        }
    };
    drop(served);
    ended
}

struct Server {
    buyer: Arc<Buyer>,
    callers: AtomicUsize,
    stop: Notify,
    last: std::sync::Mutex<Instant>,
}

/// Somebody is being answered.
struct Caller<'a>(&'a Server);

impl<'a> Caller<'a> {
    fn new(server: &'a Server) -> Self {
        server.callers.fetch_add(1, Ordering::SeqCst);
        Self(server)
    }
}

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        self.0.callers.fetch_sub(1, Ordering::SeqCst);
        self.0.touch();
    }
}

impl Server {
    fn touch(&self) {
        *self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Instant::now();
    }

    async fn idle(&self) -> bool {
        let busy = match self.buyer.requester.jobs().await {
            Ok(jobs) => jobs.iter().any(|job| job.phase != JobPhase::Ended),
            Err(_) => return false,
        };
        // A game outlasts its job, and may have been begun by hand: who does not answer in time has
        // lost it. And what was ordered may be claimed by a provider that waited until nobody
        // looks.
        let needed = self.buyer.requester.is_needed().await.unwrap_or(true);
        if !self.buyer.folder().exists() {
            return true;
        }
        if busy || needed || self.callers.load(Ordering::SeqCst) > 0 {
            self.touch();
        }
        self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner).elapsed() > IDLE
    }

    async fn answer(
        self: &Arc<Self>,
        request: Request,
        answers: &mut Answers,
    ) -> Result<(), HostError> {
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
