//! Blobs that this node writes piece by piece. Their size and hash are known only at the end.

use super::{Arc, BlobRef, Bytes, File, Name, NetError, OpenOptions, Pin, Store, Write, io, read_at};

/// A blob being written. Dropping it deletes it, and so does the next start after a crash.
pub(crate) struct Draft {
    pin: Pin,
    file: File,
    hasher: blake3::Hasher,
    written: u64,
}

impl Store {
    /// Begins a blob and reserves room for `size` bytes.
    pub(crate) fn draft(self: &Arc<Self>, size: u64) -> Result<Draft, NetError> {
        let pin = {
            let mut state = self.lock();
            self.make_room(&mut state, size)?;
            state.clock += 1;
            let name = Name::Draft(state.clock);
            state.insert(name, size, 1);
            // Doomed until `finish` renames it, so that a dropped draft leaves no file.
            state.files.entry(name).and_modify(|entry| entry.doomed = true);
            Pin { store: self.clone(), name, blob: BlobRef { hash: [0; 32], size }, path: name.path(&self.folder) }
        };
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&pin.path)?;
        Ok(Draft { pin, file, hasher: blake3::Hasher::new(), written: 0 })
    }

    /// Makes room for a file that grows to `size` bytes.
    fn grow(&self, name: Name, size: u64) -> Result<(), NetError> {
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
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Appends bytes. After an error the draft can't be used any more.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), NetError> {
        let size = self.written + bytes.len() as u64;
        self.pin.store.grow(self.pin.name, size)?;
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.written = size;
        Ok(())
    }

    /// Returns a part of the written bytes.
    pub(crate) fn read(&self, offset: u64, size: usize) -> Result<Bytes, NetError> {
        read_at(&self.file, offset, size)
    }

    /// Syncs the draft to disk and makes it a whole blob.
    pub(crate) fn finish(self) -> Result<Pin, NetError> {
        self.file.sync_data()?;
        let store = self.pin.store.clone();
        store.finish(self.pin, BlobRef { hash: *self.hasher.finalize().as_bytes(), size: self.written })
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
