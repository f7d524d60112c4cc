//! What goes wrong with blobs.

use std::io;

use rialto_protocol::B256;

/// Failure of a store or of a source.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// A blob is larger than the caller allows.
    #[error("[N-BLB-001] blob of {size} bytes is over the limit of {limit}")]
    TooLarge {
        /// Size of the blob, bytes.
        size: u64,
        /// Largest size, bytes.
        limit: u64,
    },
    /// The content does not match the hash or the size.
    #[error("[N-BLB-004] the peer sent something else than the blob {0}")]
    Wrong(B256),
    /// The store has no room, even after the whole cache is deleted.
    #[error("[N-BLB-006] blob store is full: {needed} more bytes needed, limit {limit}")]
    StoreFull {
        /// Bytes that would not fit.
        needed: u64,
        /// Limit of the store, bytes.
        limit: u64,
    },
    /// The store does not have the blob.
    #[error("[N-BLB-007] blob {0} is not here")]
    Missing(B256),
    /// A file operation of the store failed.
    #[error("[N-BLB-008] blob store: {0}")]
    Io(#[from] io::Error),
    /// Too many peers are permitted to fetch blobs.
    #[error("[N-NODE-005] limit reached: {0}")]
    Limit(&'static str),
    /// The source could not bring the blob: what it says.
    #[error(transparent)]
    Unavailable(Box<dyn std::error::Error + Send + Sync>),
}
