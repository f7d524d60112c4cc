//! Blobs by BLAKE3 hash: where they are kept, and where they come from.
//!
//! A node keeps blobs in a [`Store`] and brings missing ones there from a [`Source`]. [`Disk`] is
//! the one store. The one source is a peer, in `rialto-net`; web servers and other networks are
//! sources to come. Whatever a source brings, the store takes nothing that has another hash than
//! was asked for.

#![cfg_attr(test, allow(clippy::unwrap_used))]
#![forbid(unsafe_code)]

mod disk;
mod error;

use std::io::Read;

use futures::future::BoxFuture;
use rialto_protocol::{
    B256,
    wire::{BlobRef, PeerAddr},
};

pub use disk::{Blob, Disk, Draft, Partial, path};
pub use error::BlobError;

/// Largest blob that is read into memory, bytes.
pub const MAX_READ_BYTES: u64 = 256 << 20;
/// Most permissions that a store keeps for all peers together.
pub const MAX_GRANTS: usize = 65_536;
/// Bytes that are copied at a time.
const CHUNK_BYTES: usize = 128 << 10;

/// Keeps blobs. All methods block.
///
/// A blob that no [`Blob`] holds, and that nobody may fetch, is cache: the store may delete it when
/// it needs room.
pub trait Store: Send + Sync {
    /// Copies exactly `size` bytes into the store.
    ///
    /// # Errors
    /// [`BlobError::StoreFull`] if there is no room, [`BlobError::Io`] if `source` has more or
    /// fewer bytes or the disk fails.
    fn put(&self, source: &mut dyn Read, size: u64) -> Result<BlobRef, BlobError>;

    /// Begins a blob whose size is known only at its end.
    ///
    /// # Errors
    /// The disk fails.
    fn draft(&self) -> Result<Draft, BlobError>;

    /// Begins to bring a blob here, or goes on where an earlier attempt from the same place ended,
    /// and reserves room for all of it. There may be one attempt from a place at a time.
    ///
    /// # Errors
    /// [`BlobError::StoreFull`] if there is no room, [`BlobError::Io`] if the disk fails.
    fn partial(&self, from: B256, blob: BlobRef) -> Result<Partial, BlobError>;

    /// Returns a handle of a blob, if the store has it.
    fn get(&self, blob: BlobRef) -> Option<Blob>;

    /// Removes a blob. Its file goes when the last handle is dropped.
    fn remove(&self, blob: BlobRef);

    /// Returns the bytes that are kept, with unfinished blobs.
    fn used_bytes(&self) -> u64;
}

/// Where a blob may be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hint {
    /// A peer serves it to this node.
    Peer(PeerAddr),
}

/// Brings blobs to a store.
pub trait Source: Send + Sync {
    /// Returns a handle of a blob, from the store if that has it, or else from where `hint` says.
    /// It never takes more bytes than the blob has. Dropping the future stops the transfer.
    ///
    /// # Errors
    /// [`BlobError::Wrong`] if what came has another hash; [`BlobError::StoreFull`] if there is no
    /// room; [`BlobError::Unavailable`] for whatever the source itself says.
    fn get<'a>(&'a self, blob: BlobRef, hint: &'a Hint) -> BoxFuture<'a, Result<Blob, BlobError>>;
}
