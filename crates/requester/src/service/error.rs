//! What can go wrong around the core.

use rialto_blobs::BlobError;
use rialto_chain::{ChainError, SendError};
use rialto_exec::{AttemptError, ExecError};
use rialto_net::NetError;
use rialto_party::{JournalError, SealError};

use crate::core::JobError;

/// Failure of a requester.
#[derive(Debug, thiserror::Error)]
pub enum RequesterError {
    /// The journal can't be opened, read or written.
    #[error("[R-SVC-001] journal: {0}")]
    Journal(String),
    /// The journal was written by another account, or for another market.
    #[error("[R-SVC-002] the journal belongs to {0}: use one data folder per account and market")]
    ForeignJournal(String),
    /// The journal was written by another version.
    #[error(
        "[R-SVC-010] the journal was written by another version ({0}): let that one end its jobs, \
         then begin a new folder"
    )]
    OtherVersion(String),
    /// A file can't be read or written.
    #[error("[R-SVC-003] {path}: {source}")]
    File {
        /// Path.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// Inputs are too large.
    #[error("[R-SVC-004] {what} of {bytes} bytes, at most {limit} are allowed")]
    TooLarge {
        /// What.
        what: &'static str,
        /// Size.
        bytes: u64,
        /// Limit.
        limit: u64,
    },
    /// The program starts with more memory than the job allows.
    #[error(
        "[R-SVC-005] the program starts with {needed} pages of memory, the job allows {limit}: raise the memory limit"
    )]
    Memory {
        /// Pages.
        needed: u32,
        /// Pages.
        limit: u32,
    },
    /// The account does not hold the budget.
    #[error(
        "[R-SVC-006] the account holds {account}, the job's budget is {budget}: deposit more or lower the budget"
    )]
    Account {
        /// Base units.
        account: u128,
        /// Base units.
        budget: u128,
    },
    /// The requester was stopped.
    #[error("[R-SVC-007] the requester is stopped")]
    Stopped,
    /// There is no such job.
    #[error("[R-SVC-008] no such job")]
    NoJob,
    /// A key can't sign.
    #[error("[R-SVC-009] signer: {0}")]
    Signer(String),
    /// The job's bounds.
    #[error("{0}")]
    Job(#[from] JobError),
    /// The program is refused.
    #[error("{0}")]
    Program(#[from] ExecError),
    /// This machine could not run a task.
    #[error("{0}")]
    Attempt(#[from] AttemptError),
    /// The chain.
    #[error("{0}")]
    Chain(#[from] ChainError),
    /// The sender.
    #[error("{0}")]
    Send(#[from] SendError),
    /// The network.
    #[error("{0}")]
    Net(#[from] NetError),
}

impl RequesterError {
    /// A file error with its path.
    pub(crate) fn file(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::File { path, source }
    }
}

impl From<SealError> for RequesterError {
    fn from(error: SealError) -> Self {
        Self::Signer(error.to_string())
    }
}

impl From<JournalError> for RequesterError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Broken(why) => Self::Journal(why),
            JournalError::Foreign(owner) => Self::ForeignJournal(owner),
            JournalError::OtherVersion(table) => Self::OtherVersion(table),
        }
    }
}

impl From<BlobError> for RequesterError {
    fn from(error: BlobError) -> Self {
        Self::Net(error.into())
    }
}
