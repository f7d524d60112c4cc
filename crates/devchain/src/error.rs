//! Errors below JSON-RPC, with stable codes.

/// Reason why the chain could not be opened, or could not read or write its data.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store under the data folder failed.
    #[error("[DEV-001] the chain's store failed: {0}")]
    Store(#[source] Box<redb::Error>),
    /// The data folder, or the listening socket, could not be used.
    #[error("[DEV-002] {what}: {source}")]
    Io {
        /// Operation that failed.
        what: &'static str,
        /// The system's error.
        source: std::io::Error,
    },
    /// The folder holds another chain.
    #[error("[DEV-003] this data folder holds chain {found}, not chain {wanted}")]
    OtherChain {
        /// Chain id in the folder.
        found: u64,
        /// Requested chain id.
        wanted: u64,
    },
    /// The folder was written in another format.
    #[error("[DEV-004] this data folder has format {found}; this build reads format {wanted}")]
    OtherFormat {
        /// Format in the folder.
        found: u64,
        /// The only format that this build reads.
        wanted: u64,
    },
    /// A stored record is missing or does not decode.
    #[error("[DEV-005] stored {what} is missing or damaged")]
    Damaged {
        /// Kind of the record.
        what: &'static str,
    },
    /// The virtual machine refused an environment that this crate built.
    #[error("[DEV-006] the virtual machine failed: {0}")]
    Machine(String),
}

/// redb has an error type per operation. The callers here only need to know that the store failed.
macro_rules! from_redb {
    ($($kind:ident),+) => {$(
        impl From<redb::$kind> for Error {
            fn from(error: redb::$kind) -> Self {
                Self::Store(Box::new(error.into()))
            }
        }
    )+};
}
from_redb!(DatabaseError, TransactionError, TableError, StorageError, CommitError);

impl revm::database_interface::DBErrorMarker for Error {}
