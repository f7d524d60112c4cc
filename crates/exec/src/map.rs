//! A file as bytes that are read from disk when they are touched: the shared input of a task that
//! is traced. The only `unsafe` here is one call.
//!
//! # Why it is sound
//! A mapped file must not change. What is mapped are blobs of a node's store and the inputs in a
//! job's folder: both are written once, under another name, and renamed when they are whole; they
//! lie in a folder that nobody else can write. Who removes one only takes its name away: the bytes
//! stay as long as the map. Whoever can cut such a file short runs as this user already, and ends
//! this process by it (`SIGBUS`), as a disk does that fails.
#![allow(unsafe_code)]

use std::fs::File;
use std::path::Path;

use bytes::Bytes;
use memmap2::Mmap;

/// The bytes of a file that nobody changes; none of them is in memory before it is looked at, and
/// none has to stay.
pub fn map_file(path: &Path) -> std::io::Result<Bytes> {
    let file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: the file does not change while the map lives (see the module's documentation).
    let map = unsafe { Mmap::map(&file)? };
    Ok(Bytes::from_owner(map))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_map_is_the_files_bytes_and_outlives_its_name() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        assert!(map_file(file.path()).unwrap().is_empty());
        let bytes: Vec<u8> = (0..100_000_u32).map(|i| (i % 251) as u8).collect();
        file.write_all(&bytes).unwrap();
        let map = map_file(file.path()).unwrap();
        drop(file);
        assert_eq!(map, bytes);
    }
}
