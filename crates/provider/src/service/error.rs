//! Why a provider could not start or go on.

use rialto_blobs::BlobError;
use rialto_chain::{ChainError, SendError};
use rialto_net::NetError;
use rialto_party::{JournalError, SealError};

/// Failure of the service.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// The journal could not be opened, read or written.
    #[error("[P-SVC-001] journal: {0}")]
    Journal(String),
    /// The journal belongs to another provider or market.
    #[error("[P-SVC-002] the data folder belongs to {0}: use one folder per provider and market")]
    ForeignJournal(String),
    /// The journal was written by another version.
    #[error(
        "[P-SVC-008] the journal was written by another version ({0}): run that one, drain, and begin a new folder"
    )]
    OtherVersion(String),
    /// The data folder cannot be used.
    #[error("[P-SVC-003] data folder: {0}")]
    Folder(#[from] std::io::Error),
    /// The chain.
    #[error("[P-SVC-004] {0}")]
    Chain(#[from] ChainError),
    /// The sender of transactions.
    #[error("[P-SVC-005] {0}")]
    Sender(#[from] SendError),
    /// The network.
    #[error("[P-SVC-006] {0}")]
    Net(#[from] NetError),
    /// A dossier.
    #[error(transparent)]
    Dossier(#[from] super::dossier::DossierError),
    /// The service has ended.
    #[error("[P-SVC-007] the provider has stopped")]
    Stopped,
}

impl From<SealError> for ProviderError {
    fn from(error: SealError) -> Self {
        Self::Chain(ChainError::Signer(error.to_string()))
    }
}

impl From<JournalError> for ProviderError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Broken(why) => Self::Journal(why),
            JournalError::Foreign(owner) => Self::ForeignJournal(owner),
            JournalError::OtherVersion(table) => Self::OtherVersion(table),
        }
    }
}

impl From<BlobError> for ProviderError {
    fn from(error: BlobError) -> Self {
        Self::Net(error.into())
    }
}
