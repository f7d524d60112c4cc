//! A host as others see it: questions over its socket, and the folders of its jobs.

mod server;

use std::{
    io::{BufRead, BufReader, Seek, SeekFrom},
    path::{Path, PathBuf},
    time::Duration,
};

use rialto_protocol::Address;
use rialto_requester::{Exposure, History, JobContent, JobId, JobReport, JobStatus};
use serde::de::DeserializeOwned;
use tokio::time::sleep;

use crate::{
    buyer::quote::{Quote, Resumption},
    control::{self, ControlError},
    error::HostError,
    home::Home,
    job::JobFile,
};
use server::{Request, has_report, story};

pub use server::{Told, serve};

/// A process that is being killed lets go of its socket within so long.
const ENDING: Duration = Duration::from_millis(300);
/// Longest line of a story, bytes.
const MAX_LINE_BYTES: usize = 4 << 20;

/// The host of a requester's folder. Asking starts none: [`Host::runs`] tells whether there is one.
#[derive(Clone, Debug)]
pub struct Host {
    folder: PathBuf,
}

impl Host {
    /// The host that works, or would work, in a folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its process, if it runs.
    ///
    /// # Errors
    /// `C-CTL-…`.
    pub async fn runs(&self) -> Result<Option<u32>, HostError> {
        match control::ask(&self.folder, &Request::Hello).await {
            // It ended while it was asked; or it is ending: a moment later that is clear.
            Err(ControlError::Broken { .. }) => sleep(ENDING).await,
            other => return Ok(other?),
        }
        Ok(control::ask(&self.folder, &Request::Hello).await?)
    }

    async fn ask<T: DeserializeOwned>(&self, request: &Request) -> Result<T, HostError> {
        let answer = control::ask(&self.folder, request).await?;
        answer.ok_or_else(|| HostError::Gone { folder: self.folder.display().to_string() })
    }

    /// Submits a job; it lives on whatever becomes of the caller.
    ///
    /// # Errors
    /// What the host refuses, in its words.
    pub async fn submit(&self, job: &JobFile) -> Result<JobId, HostError> {
        self.ask(&Request::Submit(Box::new(job.clone()))).await
    }

    /// What a job would cost. Nothing is spent.
    ///
    /// # Errors
    /// What the host refuses, in its words.
    pub async fn quote(&self, job: &JobFile) -> Result<Quote, HostError> {
        self.ask(&Request::Quote(Box::new(job.clone()))).await
    }

    /// All jobs, the newest first.
    ///
    /// # Errors
    /// `C-HST-001`, `C-CTL-…`.
    pub async fn jobs(&self) -> Result<Vec<JobStatus>, HostError> {
        self.ask(&Request::Jobs).await
    }

    /// Ends a job: what was accepted is paid. It can be resumed.
    ///
    /// # Errors
    /// What the host refuses, in its words.
    pub async fn cancel(&self, job: JobId) -> Result<(), HostError> {
        self.ask::<JobId>(&Request::Cancel(job)).await.map(drop)
    }

    /// Takes up a job that ended without all its results.
    ///
    /// # Errors
    /// What the host refuses, in its words.
    pub async fn resume(
        &self,
        job: JobId,
        within: u64,
        budget: Option<u128>,
    ) -> Result<(), HostError> {
        self.ask::<JobId>(&Request::Resume { job, within, budget }).await.map(drop)
    }

    /// What that would buy. Nothing is spent.
    ///
    /// # Errors
    /// What the host refuses, in its words.
    pub async fn quote_resumed(
        &self,
        job: JobId,
        within: u64,
        budget: Option<u128>,
    ) -> Result<Resumption, HostError> {
        self.ask(&Request::QuoteResumed { job, within, budget }).await
    }

    /// Removes an ended job and its files; `false` if it has not ended.
    ///
    /// # Errors
    /// What the host refuses, in its words.
    pub async fn remove(&self, job: JobId) -> Result<bool, HostError> {
        self.ask(&Request::Remove(job)).await
    }

    /// The most that can be lost in each deal of the host that is open.
    ///
    /// # Errors
    /// `C-HST-001`, `C-CTL-…`.
    pub async fn exposures(&self) -> Result<Vec<Exposure>, HostError> {
        self.ask(&Request::Exposures).await
    }

    /// What is remembered of providers.
    ///
    /// # Errors
    /// `C-HST-001`, `C-CTL-…`.
    pub async fn history(&self) -> Result<Vec<(Address, History)>, HostError> {
        self.ask(&Request::History).await
    }

    /// Uses a provider again although it was caught.
    ///
    /// # Errors
    /// `C-HST-001`, `C-CTL-…`.
    pub async fn forgive(&self, provider: Address) -> Result<(), HostError> {
        self.ask::<Address>(&Request::Forgive(provider)).await.map(drop)
    }

    /// Ends the host; `false` if none runs. Its jobs go on with the next one.
    ///
    /// # Errors
    /// `C-CTL-…`.
    pub async fn stop(&self) -> Result<bool, HostError> {
        Ok(control::ask::<u32>(&self.folder, &Request::Stop).await?.is_some())
    }

    /// A job's folder.
    pub fn job(&self, job: JobId) -> JobFolder {
        JobFolder { path: self.folder.join("jobs").join(job.to_string()) }
    }
}

/// What a host wrote down of a job. Readable whether a host runs or not.
#[derive(Clone, Debug)]
pub struct JobFolder {
    path: PathBuf,
}

impl JobFolder {
    /// Folders of the jobs of every account of this home, on every market.
    pub fn all(home: &Home) -> Vec<Self> {
        let entries = |path: &Path| {
            std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path())
        };
        let folders = entries(&home.path().join("requester"))
            .flat_map(|requester| entries(&requester.join("jobs")));
        folders
            .filter_map(|path| Some(Self { path }).filter(|folder| folder.id().is_some()))
            .collect()
    }

    /// The job's id.
    pub fn id(&self) -> Option<JobId> {
        self.path.file_name()?.to_str()?.parse().ok()
    }

    /// Program and inputs; `None` if there are none any more.
    ///
    /// # Errors
    /// `R-SVC-003`.
    pub fn content(&self) -> Result<Option<JobContent>, HostError> {
        Ok(rialto_requester::read_content(&self.path)?)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The job file it was submitted from; `None` if there is no such job.
    pub fn file(&self) -> Option<JobFile> {
        serde_json::from_slice(&std::fs::read(self.path.join("memo.bin")).ok()?).ok()
    }

    /// Whether the job has ended.
    pub fn ended(&self) -> bool {
        has_report(&self.path)
    }

    /// Its report, once it has ended.
    ///
    /// # Errors
    /// `R-SVC-003`.
    pub fn report(&self) -> Result<Option<JobReport>, HostError> {
        Ok(rialto_requester::read_report(&self.path)?)
    }

    /// How it stood when it ended.
    ///
    /// # Errors
    /// `R-SVC-003`.
    pub fn status(&self) -> Result<Option<JobStatus>, HostError> {
        Ok(rialto_requester::read_status(&self.path)?)
    }

    /// Its story from the beginning.
    pub fn follow(&self) -> Follow {
        Follow { path: story(&self.path), at: 0 }
    }
}

/// A job's story as it is written down.
#[derive(Debug)]
pub struct Follow {
    path: PathBuf,
    at: u64,
}

impl Follow {
    /// What is new since the last call.
    pub fn news(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        let Ok(mut file) = std::fs::File::open(&self.path) else { return told };
        if file.seek(SeekFrom::Start(self.at)).is_err() {
            return told;
        }
        let mut reader = BufReader::new(file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = std::io::Read::take(&mut reader, MAX_LINE_BYTES as u64)
                .read_until(b'\n', &mut line);
            // A line without its end is still being written.
            if read.is_err() || line.last() != Some(&b'\n') {
                return told;
            }
            self.at += line.len() as u64;
            // A host that was killed may have left half a line, which the next one's joined.
            told.extend(serde_json::from_slice(&line).ok());
        }
    }
}
