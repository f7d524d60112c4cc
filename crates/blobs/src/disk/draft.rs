//! Blobs that this node writes piece by piece. Their size and hash are known only at the end.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    sync::Arc,
};

use bytes::Bytes;
use rialto_protocol::wire::BlobRef;

use super::{Blob, Folder, Name, Pin, read_at};
use crate::BlobError;

/// A blob that this node writes piece by piece. It takes room in the store as it grows. Dropping it
/// deletes it, and so does the next start after a crash. All methods block.
pub struct Draft {
    pin: Blob,
    file: File,
    hasher: blake3::Hasher,
    written: u64,
}

impl Folder {
    /// Begins a blob and reserves room for `size` bytes.
    pub(crate) fn draft(self: &Arc<Self>, size: u64) -> Result<Draft, BlobError> {
        let pin = {
            let mut state = self.lock();
            self.make_room(&mut state, size)?;
            state.clock += 1;
            let name = Name::Draft(state.clock);
            state.insert(name, size, 1);
            // Doomed until `finish` renames it, so that a dropped draft leaves no file.
            state.files.entry(name).and_modify(|entry| entry.doomed = true);
            let (blob, path) = (BlobRef { hash: [0; 32], size }, name.path(self.folder()));
            Blob::new(Pin { store: self.clone(), name, blob, path })
        };
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(pin.path())?;
        Ok(Draft { pin, file, hasher: blake3::Hasher::new(), written: 0 })
    }

    /// Makes room for a file that grows to `size` bytes.
    fn grow(&self, name: Name, size: u64) -> Result<(), BlobError> {
        let mut state = self.lock();
        let more = size.saturating_sub(state.files.get(&name).map_or(0, |entry| entry.size));
        self.make_room(&mut state, more)?;
        state.files.entry(name).and_modify(|entry| entry.size += more);
        state.used += more;
        Ok(())
    }
}

impl Draft {
    /// Returns the number of bytes written.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Appends bytes. After an error the draft can't be used any more.
    ///
    /// # Errors
    /// [`BlobError::StoreFull`] if the store has no room, [`BlobError::Io`] if the disk fails.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        let size = self.written + bytes.len() as u64;
        self.pin.pin().store.grow(self.pin.pin().name, size)?;
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.written = size;
        Ok(())
    }

    /// Returns a part of the written bytes.
    pub fn read(&self, offset: u64, size: usize) -> Result<Bytes, BlobError> {
        read_at(&self.file, offset, size)
    }

    /// Syncs the draft to disk and makes it a whole blob.
    pub fn finish(self) -> Result<Blob, BlobError> {
        self.file.sync_data()?;
        let store = self.pin.pin().store.clone();
        store.finish(
            self.pin,
            BlobRef { hash: *self.hasher.finalize().as_bytes(), size: self.written },
        )
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
