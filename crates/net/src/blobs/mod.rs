//! Transfers of blobs between peers: served only to permitted ones, and fetched as a stream that is
//! never whole in memory. `rialto-blobs` keeps them. `docs/adr/0002-blobs.md` says why this is not
//! iroh-blobs.

mod transfer;

use std::{
    collections::HashMap,
    hash::Hash,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures::future::BoxFuture;
use rialto_blobs::{Blob, BlobError, Disk, Draft, Hint, Source, Store};
use rialto_protocol::{
    B256,
    wire::{BlobRef, PeerAddr},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};

pub(crate) use self::transfer::Server;
use crate::{
    error::NetError,
    limits::{MAX_FETCHES, MAX_FETCHES_PER_PEER},
    node::Dialer,
};

/// The blobs of a node: its store, and the peers as the source of missing ones. Clones share it.
///
/// A blob that no peer is permitted to fetch and no [`Blob`] holds is cache: it stays until the
/// store needs room, and then the least recently used one is deleted first.
#[derive(Clone)]
pub struct Blobs {
    store: Disk,
    dialer: Dialer,
    fetches: Lanes<()>,
    fetches_by_peer: Lanes<B256>,
    flights: Lanes<(B256, B256)>,
}

impl Blobs {
    pub(crate) async fn open_store(folder: PathBuf, limit_bytes: u64) -> Result<Disk, NetError> {
        blocking(move || Ok(Disk::open(folder, limit_bytes)?)).await
    }

    pub(crate) fn new(store: Disk, dialer: Dialer) -> Self {
        Self {
            store,
            dialer,
            fetches: Lanes::new(MAX_FETCHES),
            fetches_by_peer: Lanes::new(MAX_FETCHES_PER_PEER),
            flights: Lanes::new(1),
        }
    }

    pub(crate) fn server(&self) -> Server {
        Server::new(self.store.clone())
    }

    /// Stores bytes, unless the store has them already.
    pub async fn put_bytes(&self, bytes: impl Into<Bytes>) -> Result<BlobRef, NetError> {
        let (store, bytes) = (self.store.clone(), bytes.into());
        blocking(move || {
            let blob = BlobRef { hash: *blake3::hash(&bytes).as_bytes(), size: bytes.len() as u64 };
            match store.get(blob) {
                Some(_) => Ok(blob),
                None => Ok(store.put(&mut bytes.as_ref(), blob.size)?),
            }
        })
        .await
    }

    /// Stores a copy of a file, piece by piece.
    pub async fn put_file(&self, path: impl Into<PathBuf>) -> Result<BlobRef, NetError> {
        let (store, path) = (self.store.clone(), path.into());
        blocking(move || {
            let mut file = std::fs::File::open(path)?;
            let size = file.metadata()?.len();
            Ok(store.put(&mut file, size)?)
        })
        .await
    }

    /// Begins a blob of unknown size. Blocks.
    pub fn draft(&self) -> Result<Draft, NetError> {
        Ok(self.store.draft()?)
    }

    /// Permits a peer to fetch a blob that is in the store, until `revoke`, `remove` or the end of
    /// the process.
    ///
    /// # Errors
    /// [`BlobError::Missing`] if the store does not have it, [`BlobError::Limit`] if too many
    /// permissions exist.
    pub fn allow(&self, peer: B256, blob: BlobRef) -> Result<(), NetError> {
        Ok(self.store.allow(peer, blob)?)
    }

    /// Withdraws a permission that `allow` gave. A transfer that has begun continues.
    pub fn revoke(&self, peer: B256, blob: BlobRef) {
        self.store.revoke(peer, blob);
    }

    /// Removes a blob: nobody can fetch it any more, and its file is deleted when the last handle
    /// is dropped.
    pub fn remove(&self, blob: BlobRef) {
        self.store.remove(blob);
    }

    /// Returns a handle of a blob, if the store has it.
    pub fn get(&self, blob: BlobRef) -> Option<Blob> {
        self.store.get(blob)
    }

    /// Returns the content of a blob, at most [`rialto_blobs::MAX_READ_BYTES`]. For a larger one
    /// use `get` and its path.
    ///
    /// # Errors
    /// [`BlobError::Missing`] if the store does not have it, [`BlobError::TooLarge`] above
    /// the limit.
    pub async fn read(&self, blob: BlobRef) -> Result<Bytes, NetError> {
        Ok(self.get(blob).ok_or(BlobError::Missing(B256::from(blob.hash)))?.read().await?)
    }

    /// Returns the bytes on disk, with unfinished downloads.
    pub fn used_bytes(&self) -> u64 {
        self.store.used_bytes()
    }

    /// Fetches a blob from a peer, unless the store has it already. The bytes of a cut transfer are
    /// kept, and the next call continues after them; wrong content is deleted. Dropping the future
    /// stops the transfer.
    ///
    /// # Errors
    /// [`BlobError::TooLarge`] above `max_bytes`, before anything is sent.
    /// [`NetError::BlobDenied`] and [`NetError::BlobBusy`] as the peer says,
    /// [`BlobError::Wrong`] if its content has another hash, [`NetError::BlobCut`] if the
    /// connection breaks or is too slow, [`NetError::Connect`] if there is none,
    /// [`BlobError::StoreFull`] if this store has no room.
    pub async fn fetch(
        &self,
        peer: &PeerAddr,
        blob: BlobRef,
        max_bytes: u64,
    ) -> Result<Blob, NetError> {
        if blob.size > max_bytes {
            return Err(BlobError::TooLarge { size: blob.size, limit: max_bytes }.into());
        }
        // One transfer of a blob from a peer at a time; a caller that waited finds the blob in the
        // store. Transfers of the same blob from other peers run in parallel, so that a slow peer
        // delays no caller that asks another peer.
        let flight = self.flights.enter((B256::from(blob.hash), peer.endpoint)).await?;
        if let Some(found) = self.get(blob) {
            return Ok(found);
        }
        let one_of_peer = self.fetches_by_peer.enter(peer.endpoint).await?;
        let one_of_all = self.fetches.enter(()).await?;
        let turns = Arc::new((flight, one_of_peer, one_of_all));
        transfer::fetch(&self.store, &self.dialer, peer, blob, turns).await
    }
}

impl Source for Blobs {
    fn get<'a>(&'a self, blob: BlobRef, hint: &'a Hint) -> BoxFuture<'a, Result<Blob, BlobError>> {
        Box::pin(async move {
            let Hint::Peer(peer) = hint;
            Ok(self.fetch(peer, blob, blob.size).await?)
        })
    }
}

/// Runs disk work on a blocking thread.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, NetError> + Send + 'static,
) -> Result<T, NetError> {
    match spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(NetError::NodeClosed),
    }
}

/// A limit on concurrent turns for each key. A lane exists only while it has a turn.
#[derive(Clone)]
struct Lanes<K: Copy + Eq + Hash> {
    width: usize,
    open: Arc<Mutex<HashMap<K, Arc<Semaphore>>>>,
}

/// A turn in a lane.
struct Turn<K: Copy + Eq + Hash> {
    lanes: Lanes<K>,
    key: K,
    permit: Option<OwnedSemaphorePermit>,
}

impl<K: Copy + Eq + Hash> Lanes<K> {
    fn new(width: usize) -> Self {
        Self { width, open: Arc::default() }
    }

    async fn enter(&self, key: K) -> Result<Turn<K>, NetError> {
        let lane = {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.entry(key).or_insert_with(|| Arc::new(Semaphore::new(self.width))).clone()
        };
        // Created before waiting, so that a cancelled wait removes an empty lane, too.
        let mut turn = Turn { lanes: self.clone(), key, permit: None };
        turn.permit = Some(lane.acquire_owned().await.map_err(|_| NetError::NodeClosed)?);
        Ok(turn)
    }
}

impl<K: Copy + Eq + Hash> Drop for Turn<K> {
    fn drop(&mut self) {
        self.permit = None;
        let mut open = self.lanes.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.get(&self.key).is_some_and(|lane| Arc::strong_count(lane) == 1) {
            open.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[tokio::test]
    async fn lanes_take_turns_and_vanish() {
        let lanes = Lanes::new(1);
        let first = lanes.enter(1).await.unwrap();
        assert!(lanes.enter(2).now_or_never().is_some(), "another lane");
        let mut second = Box::pin(lanes.enter(1));
        assert!((&mut second).now_or_never().is_none());
        assert!(lanes.enter(1).now_or_never().is_none(), "cancelled");
        drop(first);
        let second = second.await.unwrap();
        assert_eq!(lanes.open.lock().unwrap().len(), 1);
        drop(second);
        assert!(lanes.open.lock().unwrap().is_empty());
    }
}
