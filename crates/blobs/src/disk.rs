//! The folder of blobs: `<hash>` is a whole blob, `partial/<hash>-<peer>` an unfinished download
//! and `draft/<number>` a blob that this node is writing.
//!
//! A whole blob gets its name only when a finished, synced and checked file is renamed. All sizes
//! are counted before bytes are written, so the folder never exceeds its limit.

mod draft;

use std::{
    collections::{BTreeSet, HashMap},
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use rialto_protocol::{B256, wire::BlobRef};

use crate::{BlobError, CHUNK_BYTES, MAX_GRANTS, MAX_READ_BYTES, Store};

pub use draft::Draft;

/// Blobs in a folder, and the peers that may fetch them. Clones share it.
#[derive(Clone, Debug)]
pub struct Disk(Arc<Folder>);

#[derive(Debug)]
pub(crate) struct Folder {
    folder: PathBuf,
    limit: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) files: HashMap<Name, Entry>,
    /// Sum of the entries' sizes.
    pub(crate) used: u64,
    /// Peers that may fetch a blob, by blob.
    grants: HashMap<B256, BTreeSet<B256>>,
    /// Number of blobs allowed to each peer.
    grants_of: HashMap<B256, usize>,
    granted: usize,
    /// Advances at each use, to find the least recently used file.
    pub(crate) clock: u64,
}

/// A file of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Name {
    Whole(B256),
    Partial(B256, B256),
    /// A blob that this node is writing.
    Draft(u64),
}

#[derive(Debug)]
pub(crate) struct Entry {
    /// Bytes counted against the limit: the final size while a file is growing.
    pub(crate) size: u64,
    pins: usize,
    /// Whether to delete the file with its last pin.
    pub(crate) doomed: bool,
    used_at: u64,
}

impl Name {
    pub(crate) fn path(self, folder: &Path) -> PathBuf {
        match self {
            Self::Whole(hash) => folder.join(hex(hash)),
            Self::Partial(hash, peer) => {
                folder.join("partial").join(format!("{}-{}", hex(hash), hex(peer)))
            }
            Self::Draft(number) => folder.join("draft").join(number.to_string()),
        }
    }
}

/// Returns the path that a whole blob has in a folder of blobs, whether or not it exists.
pub fn path(folder: &Path, blob: BlobRef) -> PathBuf {
    Name::Whole(B256::from(blob.hash)).path(folder)
}

fn hex(hash: B256) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<B256> {
    if text.len() != 64 || text.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    text.parse().ok()
}

impl State {
    fn touch(&mut self, name: Name) {
        self.clock += 1;
        if let Some(entry) = self.files.get_mut(&name) {
            entry.used_at = self.clock;
        }
    }

    pub(crate) fn insert(&mut self, name: Name, size: u64, pins: usize) {
        self.clock += 1;
        self.used += size;
        let old = self.files.insert(name, Entry { size, pins, doomed: false, used_at: self.clock });
        assert!(old.is_none(), "a file is counted once");
    }

    fn forget(&mut self, name: Name) -> Option<Entry> {
        let entry = self.files.remove(&name)?;
        self.used -= entry.size;
        Some(entry)
    }

    /// Returns the file to delete next if room is needed: the least recently used one that no
    /// handle holds and no peer may fetch.
    fn expendable(&self) -> Option<Name> {
        let free =
            |name: &Name| !matches!(name, Name::Whole(hash) if self.grants.contains_key(hash));
        let cached = self.files.iter().filter(|(name, entry)| entry.pins == 0 && free(name));
        cached.min_by_key(|(_, entry)| entry.used_at).map(|(name, _)| *name)
    }

    fn drop_grants(&mut self, hash: B256) {
        for peer in self.grants.remove(&hash).unwrap_or_default() {
            self.ungrant(peer);
        }
    }

    fn ungrant(&mut self, peer: B256) {
        self.granted -= 1;
        if let Some(count) = self.grants_of.get_mut(&peer) {
            *count -= 1;
            if *count == 0 {
                self.grants_of.remove(&peer);
            }
        }
    }
}

impl Disk {
    /// Opens a folder that holds at most `limit` bytes. Files of an earlier process become cache.
    ///
    /// # Errors
    /// [`BlobError::Io`] if the folder can't be used.
    pub fn open(folder: PathBuf, limit: u64) -> Result<Self, BlobError> {
        Ok(Self(Arc::new(Folder::open(folder, limit)?)))
    }

    /// Permits a peer to fetch a blob that is in the store, until `revoke`, `remove` or the end of
    /// the process.
    ///
    /// # Errors
    /// [`BlobError::Missing`] if the store does not have it, [`BlobError::Limit`] if too many
    /// permissions exist.
    pub fn allow(&self, peer: B256, blob: BlobRef) -> Result<(), BlobError> {
        self.0.allow(peer, blob)
    }

    /// Withdraws a permission that `allow` gave. A transfer that has begun continues.
    pub fn revoke(&self, peer: B256, blob: BlobRef) {
        self.0.revoke(peer, blob);
    }

    /// Returns whether this peer may fetch anything at all.
    pub fn knows(&self, peer: B256) -> bool {
        self.0.knows(peer)
    }

    /// Returns a handle of a blob, if this peer may fetch it.
    pub fn get_for(&self, peer: B256, blob: BlobRef) -> Option<Blob> {
        self.0.get_for(peer, blob)
    }
}

impl Store for Disk {
    fn put(&self, source: &mut dyn Read, size: u64) -> Result<BlobRef, BlobError> {
        self.0.put(source, size)
    }

    fn draft(&self) -> Result<Draft, BlobError> {
        self.0.draft(0)
    }

    fn partial(&self, from: B256, blob: BlobRef) -> Result<Partial, BlobError> {
        self.0.partial(from, blob)
    }

    fn get(&self, blob: BlobRef) -> Option<Blob> {
        self.0.get(blob)
    }

    fn remove(&self, blob: BlobRef) {
        self.0.remove(blob);
    }

    fn used_bytes(&self) -> u64 {
        self.0.used_bytes()
    }
}

impl Folder {
    /// Opens a folder. Files of an earlier process become cache.
    pub(crate) fn open(folder: PathBuf, limit: u64) -> Result<Self, BlobError> {
        let drafts = folder.join("draft");
        match fs::remove_dir_all(&drafts) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => fs::create_dir_all(&drafts)?,
        }
        fs::create_dir_all(folder.join("partial"))?;
        let mut found = Vec::new();
        for (dir, parse) in
            [(folder.clone(), whole as fn(&str) -> _), (folder.join("partial"), partial)]
        {
            for entry in fs::read_dir(dir)? {
                let entry = entry?;
                let meta = entry.metadata()?;
                let Some(name) = entry.file_name().to_str().and_then(parse) else { continue };
                if meta.is_file() {
                    found.push((meta.modified()?, name, meta.len()));
                }
            }
        }
        found.sort();
        let mut state = State::default();
        for (_, name, size) in found {
            state.insert(name, size, 0);
        }
        let store = Self { folder, limit, state: Mutex::new(state) };
        store.make_room(&mut store.lock(), 0)?;
        Ok(store)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn make_room(&self, state: &mut State, bytes: u64) -> Result<(), BlobError> {
        while state.used.saturating_add(bytes) > self.limit {
            let Some(name) = state.expendable() else {
                return Err(BlobError::StoreFull { needed: bytes, limit: self.limit });
            };
            self.delete(state, name);
        }
        Ok(())
    }

    fn delete(&self, state: &mut State, name: Name) {
        state.forget(name);
        if let Err(error) = fs::remove_file(name.path(&self.folder))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(?name, %error, "blob file stays on disk");
        }
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.lock().used
    }

    /// Copies exactly `size` bytes into the store.
    pub(crate) fn put(
        self: &Arc<Self>,
        source: &mut dyn Read,
        size: u64,
    ) -> Result<BlobRef, BlobError> {
        let mut draft = self.draft(size)?;
        // Reading one byte more detects that the source has grown.
        let copied = copy(&mut source.take(size.saturating_add(1)), &mut draft)?;
        if copied != size {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the file changed while it was read",
            )
            .into());
        }
        Ok(draft.finish()?.reference())
    }

    /// Turns a checked, synced file into the whole blob.
    pub(crate) fn finish(self: &Arc<Self>, pin: Blob, blob: BlobRef) -> Result<Blob, BlobError> {
        let name = Name::Whole(B256::from(blob.hash));
        let path = name.path(&self.folder);
        let mut state = self.lock();
        fs::rename(&pin.0.path, &path)?;
        let moved = state.forget(pin.0.name).expect("a pinned file is counted");
        match state.files.get_mut(&name) {
            Some(entry) => {
                entry.pins += 1;
                entry.doomed = false;
                state.touch(name);
            }
            None => state.insert(name, moved.size, 1),
        }
        drop(state);
        Ok(Blob::new(Pin { store: self.clone(), name, blob, path }))
    }

    /// Returns a pin on a whole blob, if the store has it.
    pub(crate) fn get(self: &Arc<Self>, blob: BlobRef) -> Option<Blob> {
        let name = Name::Whole(B256::from(blob.hash));
        let mut state = self.lock();
        let entry =
            state.files.get_mut(&name).filter(|entry| entry.size == blob.size && !entry.doomed)?;
        entry.pins += 1;
        state.touch(name);
        Some(Blob::new(Pin { store: self.clone(), name, blob, path: name.path(&self.folder) }))
    }

    pub(crate) fn allow(&self, peer: B256, blob: BlobRef) -> Result<(), BlobError> {
        let hash = B256::from(blob.hash);
        let mut state = self.lock();
        if !state
            .files
            .get(&Name::Whole(hash))
            .is_some_and(|entry| entry.size == blob.size && !entry.doomed)
        {
            return Err(BlobError::Missing(hash));
        }
        if state.granted >= MAX_GRANTS {
            return Err(BlobError::Limit("blobs allowed to peers"));
        }
        if state.grants.entry(hash).or_default().insert(peer) {
            state.granted += 1;
            *state.grants_of.entry(peer).or_default() += 1;
        }
        Ok(())
    }

    pub(crate) fn revoke(&self, peer: B256, blob: BlobRef) {
        let hash = B256::from(blob.hash);
        let mut state = self.lock();
        let Some(peers) = state.grants.get_mut(&hash) else { return };
        if peers.remove(&peer) {
            if peers.is_empty() {
                state.grants.remove(&hash);
            }
            state.ungrant(peer);
        }
    }

    /// Returns whether this peer may fetch anything at all.
    pub(crate) fn knows(&self, peer: B256) -> bool {
        self.lock().grants_of.contains_key(&peer)
    }

    /// Returns a pin on the blob, if this peer may fetch it.
    pub(crate) fn get_for(self: &Arc<Self>, peer: B256, blob: BlobRef) -> Option<Blob> {
        let allowed = self
            .lock()
            .grants
            .get(&B256::from(blob.hash))
            .is_some_and(|peers| peers.contains(&peer));
        if allowed { self.get(blob) } else { None }
    }

    pub(crate) fn remove(&self, blob: BlobRef) {
        let hash = B256::from(blob.hash);
        let name = Name::Whole(hash);
        let mut state = self.lock();
        state.drop_grants(hash);
        match state.files.get_mut(&name) {
            Some(entry) if entry.pins > 0 => entry.doomed = true,
            Some(_) => self.delete(&mut state, name),
            None => {}
        }
    }

    /// Opens the unfinished file of a blob from a peer and reserves room for its final size.
    pub(crate) fn partial(
        self: &Arc<Self>,
        peer: B256,
        blob: BlobRef,
    ) -> Result<Partial, BlobError> {
        let name = Name::Partial(B256::from(blob.hash), peer);
        let path = name.path(&self.folder);
        let mut state = self.lock();
        let earlier = state.forget(name);
        assert!(
            earlier.is_none_or(|entry| entry.pins == 0),
            "one download of a blob from a peer at a time"
        );
        let room = self.make_room(&mut state, blob.size);
        let kept = fs::metadata(&path).map_or(0, |meta| meta.len());
        if let Err(full) = room {
            state.insert(name, kept, 0);
            return Err(full);
        }
        state.insert(name, blob.size, 1);
        drop(state);
        let pin = Blob::new(Pin { store: self.clone(), name, blob, path });
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(pin.path())?;
        if kept > blob.size {
            file.set_len(0)?;
        }
        // The kept bytes are hashed again and not trusted, because only the hash of the whole
        // content decides whether they are right.
        let mut hasher = blake3::Hasher::new();
        let received = copy(&mut file, &mut hasher)?;
        Ok(Partial { pin, file, hasher, received })
    }
}

/// A blob that is on its way. Dropping it keeps the received bytes as cache. All methods block.
pub struct Partial {
    pin: Blob,
    file: File,
    hasher: blake3::Hasher,
    received: u64,
}

impl Partial {
    /// Returns the number of bytes on disk.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Appends received bytes.
    ///
    /// # Panics
    /// If the bytes exceed the blob's size: the caller must bound its reads.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        assert!(
            self.received + bytes.len() as u64 <= self.pin.reference().size,
            "the caller bounds what it takes"
        );
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.received += bytes.len() as u64;
        Ok(())
    }

    /// Makes it a whole blob, or deletes it if its hash is wrong.
    pub fn finish(self) -> Result<Blob, BlobError> {
        let blob = self.pin.reference();
        if self.received != blob.size || *self.hasher.finalize().as_bytes() != blob.hash {
            self.discard();
            return Err(BlobError::Wrong(B256::from(blob.hash)));
        }
        self.file.sync_data()?;
        let store = self.pin.0.store.clone();
        store.finish(self.pin, blob)
    }

    /// Deletes the received bytes.
    pub fn discard(self) {
        self.pin
            .0
            .store
            .lock()
            .files
            .entry(self.pin.0.name)
            .and_modify(|entry| entry.doomed = true);
    }
}

/// Handle of a blob on disk. The file stays while a handle lives.
#[derive(Clone, Debug)]
pub struct Blob(Arc<Pin>);

/// Keeps a file of the store from being deleted.
#[derive(Debug)]
pub(crate) struct Pin {
    pub(crate) store: Arc<Folder>,
    pub(crate) name: Name,
    pub(crate) blob: BlobRef,
    pub(crate) path: PathBuf,
}

impl Blob {
    pub(crate) fn new(pin: Pin) -> Self {
        Self(Arc::new(pin))
    }

    pub(crate) fn pin(&self) -> &Pin {
        &self.0
    }

    /// Returns hash and size.
    pub fn reference(&self) -> BlobRef {
        self.0.blob
    }

    /// Returns the file's path. Only read it: other handles may use the same file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Returns `size` bytes of the content, from `offset` on. They are not checked against the
    /// hash, because that needs the whole content.
    ///
    /// # Errors
    /// The file has not so many bytes, or can't be read.
    pub async fn read_part(&self, offset: u64, size: usize) -> Result<Bytes, BlobError> {
        let blob = self.clone();
        blocking(move || read_at(&File::open(blob.path())?, offset, size)).await
    }

    /// Returns the content, checked against the hash once more.
    ///
    /// # Errors
    /// [`BlobError::TooLarge`] above [`MAX_READ_BYTES`], [`BlobError::Missing`] if the file on disk
    /// is damaged.
    pub async fn read(&self) -> Result<Bytes, BlobError> {
        let blob = self.clone();
        blocking(move || blob.content()).await
    }

    fn content(&self) -> Result<Bytes, BlobError> {
        let BlobRef { hash, size } = self.reference();
        if size > MAX_READ_BYTES {
            return Err(BlobError::TooLarge { size, limit: MAX_READ_BYTES });
        }
        let mut bytes = Vec::with_capacity(size as usize);
        File::open(self.path())?.take(size + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != size || *blake3::hash(&bytes).as_bytes() != hash {
            // The file was damaged on disk. No blob is better than a wrong one.
            self.0.store.remove(self.reference());
            return Err(BlobError::Missing(B256::from(hash)));
        }
        Ok(bytes.into())
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut state = self.store.lock();
        // A renamed file is no longer counted under this name.
        let Some(entry) = state.files.get_mut(&self.name) else { return };
        entry.pins -= 1;
        if entry.pins > 0 {
            return;
        }
        if entry.doomed {
            return self.store.delete(&mut state, self.name);
        }
        if let Name::Partial(..) = self.name {
            let kept = fs::metadata(&self.path).map_or(0, |meta| meta.len());
            let before = std::mem::replace(&mut entry.size, kept);
            state.used = state.used - before + kept;
        }
    }
}

fn whole(text: &str) -> Option<Name> {
    from_hex(text).map(Name::Whole)
}

fn partial(text: &str) -> Option<Name> {
    let (hash, peer) = text.split_once('-')?;
    Some(Name::Partial(from_hex(hash)?, from_hex(peer)?))
}

pub(crate) fn read_at(file: &File, offset: u64, size: usize) -> Result<Bytes, BlobError> {
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes.into())
}

/// Copies piece by piece and returns the number of bytes.
fn copy(source: &mut dyn Read, target: &mut dyn Write) -> io::Result<u64> {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut total = 0;
    loop {
        match source.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(count) => {
                target.write_all(&buffer[..count])?;
                total += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Runs disk work on a blocking thread.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> Result<T, BlobError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => Err(io::Error::other(error).into()),
    }
}
