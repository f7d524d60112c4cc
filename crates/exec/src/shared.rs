//! The shared half of a job's input: read one 32-byte leaf at a time by every task of the job.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;

/// Bytes of one cached page of a file.
const FILE_PAGE_BYTES: u64 = 64 << 10;
/// Pages kept of one file, 64 MiB: more than the tasks of one host touch at the same time.
const FILE_PAGES: usize = 1024;

type Page = Arc<[u8]>;
/// A page and its number, once one was read.
type Slot = Mutex<Option<(u64, Page)>>;

/// The shared half of a job's input: nothing, bytes in memory, or a file read on demand. Clones
/// share it.
#[derive(Clone, Debug, Default)]
pub struct SharedData(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    None,
    Bytes(Bytes),
    File(Arc<PagedFile>),
}

impl SharedData {
    /// No shared input.
    pub fn none() -> Self {
        Self::default()
    }

    /// Shared input that is small enough for memory.
    pub fn bytes(bytes: Bytes) -> Self {
        Self(Source::Bytes(bytes))
    }

    /// A file that nobody changes while it is in use; it is never whole in memory.
    pub fn file(path: &Path) -> std::io::Result<Self> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let pages = bytes.div_ceil(FILE_PAGE_BYTES).min(FILE_PAGES as u64);
        let slots = (0..pages).map(|_| Mutex::default()).collect();
        Ok(Self(Source::File(Arc::new(PagedFile { file, bytes, slots }))))
    }

    /// Bytes.
    pub fn len(&self) -> u64 {
        match &self.0 {
            Source::None => 0,
            Source::Bytes(bytes) => bytes.len() as u64,
            Source::File(file) => file.bytes,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Files that are shared inputs of running orders: all tasks that read the same one share its
/// cache.
#[derive(Debug, Default)]
pub struct SharedFiles(Mutex<HashMap<PathBuf, Weak<PagedFile>>>);

impl SharedFiles {
    /// Like [`SharedData::file`].
    pub fn open(&self, path: &Path) -> std::io::Result<SharedData> {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.retain(|_, file| file.strong_count() > 0);
        if let Some(file) = files.get(path).and_then(Weak::upgrade) {
            return Ok(SharedData(Source::File(file)));
        }
        let data = SharedData::file(path)?;
        if let Source::File(file) = &data.0 {
            files.insert(path.to_owned(), Arc::downgrade(file));
        }
        Ok(data)
    }
}

/// A file behind a direct-mapped cache: page p can only be in slot p mod slots, so that nothing has
/// to be evicted, and each slot has a lock of its own.
#[derive(Debug)]
struct PagedFile {
    file: File,
    bytes: u64,
    slots: Box<[Slot]>,
}

impl PagedFile {
    fn page(&self, number: u64) -> std::io::Result<Page> {
        let slot = &self.slots[(number % self.slots.len() as u64) as usize];
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((cached, page)) = &*slot
            && *cached == number
        {
            return Ok(page.clone());
        }
        let start = number * FILE_PAGE_BYTES;
        let size = FILE_PAGE_BYTES.min(self.bytes - start) as usize;
        // The room of the page that was here, unless a task still reads it.
        let old = slot
            .take()
            .map(|(_, page)| page)
            .filter(|page| page.len() == size && Arc::strong_count(page) == 1);
        let mut page = old.unwrap_or_else(|| std::iter::repeat_n(0, size).collect());
        self.file.read_exact_at(Arc::get_mut(&mut page).expect("the only handle"), start)?;
        *slot = Some((number, page.clone()));
        Ok(page)
    }
}

/// Where a leaf came from: `File` may have taken long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Read {
    Memory,
    File,
}

/// One task's view of the shared half: remembers the page it reads, so that most leaves take no
/// lock.
#[derive(Debug)]
pub(crate) struct SharedReader {
    data: SharedData,
    recent: Option<(u64, Page)>,
}

impl SharedReader {
    pub(crate) fn new(data: SharedData) -> Self {
        Self { data, recent: None }
    }

    pub(crate) fn len(&self) -> u64 {
        self.data.len()
    }

    /// 32-byte leaf `index`, zeros past the end, and where it came from.
    pub(crate) fn leaf(&mut self, index: u64) -> std::io::Result<([u8; 32], Read)> {
        let file = match &self.data.0 {
            Source::None => return Ok(([0; 32], Read::Memory)),
            Source::Bytes(bytes) => return Ok((leaf(bytes, index), Read::Memory)),
            Source::File(file) => file,
        };
        if index * 32 >= file.bytes {
            return Ok(([0; 32], Read::Memory));
        }
        const LEAVES: u64 = FILE_PAGE_BYTES / 32;
        let number = index / LEAVES;
        let (page, read) = match &self.recent {
            Some((recent, page)) if *recent == number => (page, Read::Memory),
            _ => (&self.recent.insert((number, file.page(number)?)).1, Read::File),
        };
        Ok((leaf(page, index % LEAVES), read))
    }
}

/// 32-byte leaf `index` of `bytes`, zeros past the end.
pub(crate) fn leaf(bytes: &[u8], index: u64) -> [u8; 32] {
    let mut leaf = [0; 32];
    let start = usize::try_from(index * 32).map_or(bytes.len(), |start| start.min(bytes.len()));
    let some = &bytes[start..bytes.len().min(start + 32)];
    leaf[..some.len()].copy_from_slice(some);
    leaf
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_file_reads_like_the_same_bytes_in_memory() {
        let bytes: Vec<u8> = (0..3 * FILE_PAGE_BYTES + 45).map(|i| (i % 251) as u8).collect();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        let mut from_file = SharedReader::new(SharedData::file(file.path()).unwrap());
        let mut in_memory = SharedReader::new(SharedData::bytes(bytes.into()));
        assert_eq!(from_file.len(), in_memory.len());
        let leaves = in_memory.len().div_ceil(32);
        for index in (0..leaves + 3).chain([1 << 26, leaves - 1, 0, 2048, 2047]) {
            assert_eq!(
                from_file.leaf(index).unwrap().0,
                in_memory.leaf(index).unwrap().0,
                "leaf {index}"
            );
        }
    }

    #[test]
    fn pages_that_share_a_slot_replace_each_other() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&vec![1; FILE_PAGE_BYTES as usize]).unwrap();
        file.as_file().set_len(FILE_PAGE_BYTES * (FILE_PAGES as u64 + 1)).unwrap();
        let data = SharedData::file(file.path()).unwrap();
        let beyond = FILE_PAGES as u64 * FILE_PAGE_BYTES / 32;
        for _ in 0..2 {
            let mut reader = SharedReader::new(data.clone());
            assert_eq!(reader.leaf(0).unwrap().0, [1; 32]);
            let page = reader.recent.as_ref().unwrap().1.clone();
            assert_eq!(reader.leaf(beyond).unwrap(), ([0; 32], Read::File));
            assert_eq!(
                page[..],
                [1; FILE_PAGE_BYTES as usize],
                "still read: not replaced in its room"
            );
        }
    }

    #[test]
    fn readers_of_a_file_share_its_pages_and_their_room() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&[3; 64]).unwrap();
        let files = SharedFiles::default();
        let (one, other) = (files.open(file.path()).unwrap(), files.open(file.path()).unwrap());
        assert_eq!(SharedReader::new(one.clone()).leaf(0).unwrap(), ([3; 32], Read::File));
        file.as_file().set_len(0).unwrap();
        let mut reader = SharedReader::new(other);
        assert_eq!(reader.leaf(0).unwrap().0, [3; 32], "read by the first");
        drop((one, reader));
        assert_eq!(files.open(file.path()).unwrap().len(), 0, "nobody used it any more");
    }

    #[test]
    fn a_file_that_shrank_is_an_error_not_zeros() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&[7; 64]).unwrap();
        let mut reader = SharedReader::new(SharedData::file(file.path()).unwrap());
        file.as_file().set_len(10).unwrap();
        assert!(reader.leaf(0).is_err());
    }
}
