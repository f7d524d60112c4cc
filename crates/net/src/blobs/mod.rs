//! Blobs by BLAKE3 hash: kept on disk, served only to the peers they were allowed to, fetched as a
//! stream that never is whole in memory. Why not iroh-blobs: `docs/adr/0002-blobs.md`.

mod store;
mod transfer;

use std::{
    collections::HashMap,
    hash::Hash,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
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
pub use store::path;
use store::{Pin, Store};

/// A blob on disk. While a handle lives, the file stays.
#[derive(Clone, Debug)]
pub struct Blob(Arc<Pin>);

impl Blob {
    /// Hash and size.
    pub fn reference(&self) -> BlobRef {
        self.0.blob()
    }

    /// The file. Read only: others may use the same one.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// `size` bytes of the content, from `offset` on. Not checked against the hash: that takes all of it.
    pub async fn read_part(&self, offset: u64, size: usize) -> Result<Bytes, NetError> {
        let blob = self.clone();
        blocking(move || blob.0.read_part(offset, size)).await
    }

    /// The content, checked against the hash once more; at most [`crate::limits::MAX_READ_BYTES`].
    pub async fn read(&self) -> Result<Bytes, NetError> {
        let blob = self.clone();
        blocking(move || blob.0.read()).await
    }
}

/// A blob that is written here piece by piece; room in the store is taken as it grows. Dropping it throws it away, as
/// does the next start after a crash. All methods block.
pub struct Draft(store::Draft);

impl Draft {
    /// Bytes written.
    pub fn written(&self) -> u64 {
        self.0.written()
    }

    /// Writes what comes next. After an error the draft is good for nothing.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), NetError> {
        self.0.append(bytes)
    }

    /// `size` of the bytes written, from `offset` on.
    pub fn read(&self, offset: u64, size: usize) -> Result<Bytes, NetError> {
        self.0.read(offset, size)
    }

    /// Makes the whole blob of it, synced.
    pub fn finish(self) -> Result<Blob, NetError> {
        Ok(Blob(Arc::new(self.0.finish()?)))
    }
}

/// The blob store of a node. Clones share it.
///
/// What is neither allowed to a peer nor held by a [`Blob`] is cache: it stays until room is needed,
/// then the longest unused goes first.
#[derive(Clone)]
pub struct Blobs {
    store: Arc<Store>,
    dialer: Dialer,
    fetches: Lanes<()>,
    fetches_by_peer: Lanes<B256>,
    flights: Lanes<(B256, B256)>,
}

impl Blobs {
    pub(crate) async fn open_store(folder: PathBuf, limit_bytes: u64) -> Result<Arc<Store>, NetError> {
        blocking(move || Store::open(folder, limit_bytes).map(Arc::new)).await
    }

    pub(crate) fn new(store: Arc<Store>, dialer: Dialer) -> Self {
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

    /// Stores bytes.
    pub async fn put_bytes(&self, bytes: impl Into<Bytes>) -> Result<BlobRef, NetError> {
        let (store, bytes) = (self.store.clone(), bytes.into());
        blocking(move || {
            let blob = BlobRef { hash: *blake3::hash(&bytes).as_bytes(), size: bytes.len() as u64 };
            match store.get(blob) {
                Some(_) => Ok(blob),
                None => store.put(&mut bytes.as_ref(), blob.size),
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
            store.put(&mut file, size)
        })
        .await
    }

    /// Begins a blob of unknown size. Blocks.
    pub fn draft(&self) -> Result<Draft, NetError> {
        self.store.draft(0).map(Draft)
    }

    /// Lets a peer fetch a blob that is here. Lasts until `revoke`, `remove` or the end of the process.
    pub fn allow(&self, peer: B256, blob: BlobRef) -> Result<(), NetError> {
        self.store.allow(peer, blob)
    }

    /// Takes back what `allow` gave. A transfer that has begun goes on.
    pub fn revoke(&self, peer: B256, blob: BlobRef) {
        self.store.revoke(peer, blob);
    }

    /// Forgets a blob: nobody can fetch it any more, and its file goes when the last handle is dropped.
    pub fn remove(&self, blob: BlobRef) {
        self.store.remove(blob);
    }

    /// A blob that is here.
    pub fn get(&self, blob: BlobRef) -> Option<Blob> {
        self.store.get(blob).map(|pin| Blob(Arc::new(pin)))
    }

    /// Content of a blob that is here, at most [`crate::limits::MAX_READ_BYTES`]. For large ones use `get` and the path.
    pub async fn read(&self, blob: BlobRef) -> Result<Bytes, NetError> {
        self.get(blob).ok_or(NetError::BlobMissing(B256::from(blob.hash)))?.read().await
    }

    /// Bytes on disk, unfinished downloads included.
    pub fn used_bytes(&self) -> u64 {
        self.store.used_bytes()
    }

    /// Brings a blob here from a peer, unless it is here already. Refuses more than `max_bytes` before
    /// anything is sent. What a cut transfer brought is kept, and the next call goes on from there;
    /// wrong content is thrown away. Dropping the future stops the transfer.
    pub async fn fetch(&self, peer: &PeerAddr, blob: BlobRef, max_bytes: u64) -> Result<Blob, NetError> {
        if blob.size > max_bytes {
            return Err(NetError::BlobTooLarge { size: blob.size, limit: max_bytes });
        }
        // One transfer of a blob from a peer at a time; those who waited find it here. Other peers'
        // transfers of it run beside, so that a slow peer holds up nobody else.
        let flight = self.flights.enter((B256::from(blob.hash), peer.endpoint)).await?;
        if let Some(found) = self.get(blob) {
            return Ok(found);
        }
        let one_of_peer = self.fetches_by_peer.enter(peer.endpoint).await?;
        let one_of_all = self.fetches.enter(()).await?;
        let turns = Arc::new((flight, one_of_peer, one_of_all));
        let pin = transfer::fetch(&self.store, &self.dialer, peer, blob, turns).await?;
        Ok(Blob(Arc::new(pin)))
    }
}

/// Runs disk work off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, NetError> + Send + 'static,
) -> Result<T, NetError> {
    match spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(NetError::NodeClosed),
    }
}

/// So many turns at once for each key; a lane is there only while somebody is in it.
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
        // Made before waiting, so that a cancelled wait cleans up too.
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
