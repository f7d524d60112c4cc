//! The output of a task: one byte stream that contains stdout, stderr and created files as records.
//!
//! The polyfill writes the stream in little-endian 64-bit words, four to a leaf. A record consists
//! of a header word `kind u8 | id u24 | len u32` (from the low bits up) and the fields of its kind.
//! Every run of bytes is padded with zeros to whole words.
//!
//! | kind | record | after the header |
//! |---|---|---|
//! | 0 | pad: fills up a leaf so that stderr leaves the buffer before a trap | |
//! | 1, 2 | `len` bytes written to stdout, stderr | bytes |
//! | 3 | create: file number `id` is the file at `path`, now empty | path (`len` bytes) |
//! | 4 | attach: file number `id` is the file at `path`, created if it isn't there | path (`len` bytes) |
//! | 5 | `len` bytes written to file `id` | offset word (`u64::MAX`: at its end), bytes |
//! | 6 | rename; replaces what was at the new path | word: length of the new path, old path (`len`), new path |
//! | 7 | unlink | path (`len` bytes) |
//! | 8 | file `id` is cut to a size no larger than it has | size word |
//!
//! A write starts at or before a file's end, so a file is never larger than the stream that made
//! it.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::input::{MAX_PATH_BYTES, normalise};

/// Most files that one task's output can name: 2^16.
pub const MAX_OUTPUT_FILES: usize = 1 << 16;

const PAD: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const CREATE: u8 = 3;
const ATTACH: u8 = 4;
const WRITE: u8 = 5;
const RENAME: u8 = 6;
const UNLINK: u8 = 7;
const TRUNCATE: u8 = 8;

/// Content that a task wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outputs {
    /// Bytes written to stdout, in order.
    pub stdout: Vec<u8>,
    /// Bytes written to stderr, in order.
    pub stderr: Vec<u8>,
    /// Files that exist at the end, as path in normal form and content, sorted by path.
    pub files: Vec<(String, Vec<u8>)>,
    /// Whether the stream ends inside a record, because the run trapped. The content before the cut
    /// is kept.
    pub truncated: bool,
}

/// Reason why a stream is not the output of the polyfill.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OutputError {
    /// A record has an unknown kind.
    #[error("[M-OUT-001] the output holds a record of unknown kind {kind} at byte {at}")]
    UnknownRecord {
        /// Kind of the record.
        kind: u8,
        /// Offset of its header in the stream.
        at: usize,
    },
    /// A path is not in normal form, not UTF-8, or too long.
    #[error("[M-OUT-002] the output names a file by a path that is not allowed, at byte {at}")]
    BadPath {
        /// Offset of its record in the stream.
        at: usize,
    },
    /// A record is about a file that does not exist.
    #[error("[M-OUT-003] the output writes to a file that it never created, at byte {at}")]
    NoSuchFile {
        /// Offset of its record in the stream.
        at: usize,
    },
    /// A write starts, or a file is cut, past the end of the file.
    #[error("[M-OUT-004] the output writes past the end of a file, at byte {at}")]
    PastEnd {
        /// Offset of its record in the stream.
        at: usize,
    },
    /// The output names more than [`MAX_OUTPUT_FILES`] files.
    #[error("[M-OUT-005] the output names more than {MAX_OUTPUT_FILES} files")]
    TooManyFiles,
    /// A file's path is a folder of another file's path.
    #[error("[M-OUT-006] the output has both a file and a folder named `{path}`")]
    FileAsFolder {
        /// Path of the file.
        path: String,
    },
}

/// Unpacks an output stream. The length of the stream bounds the memory, because no record expands
/// to more than its own bytes.
///
/// # Errors
/// An [`OutputError`] if the polyfill can't have written the stream.
pub fn parse(stream: &[u8]) -> Result<Outputs, OutputError> {
    let mut parser = Parser { stream, at: 0, outputs: Outputs::default(), tree: Tree::default() };
    while parser.at < stream.len() {
        let start = parser.at;
        if parser.record(start)?.is_none() {
            parser.outputs.truncated = true;
            break;
        }
    }
    let Parser { mut outputs, tree, .. } = parser;
    outputs.files = tree.finish()?;
    Ok(outputs)
}

struct Parser<'a> {
    stream: &'a [u8],
    at: usize,
    outputs: Outputs,
    tree: Tree,
}

impl<'a> Parser<'a> {
    /// Reads one record. Returns `None` if the stream ends inside it.
    fn record(&mut self, start: usize) -> Result<Option<()>, OutputError> {
        let Some(header) = self.word() else { return Ok(None) };
        let [kind, id0, id1, id2, rest @ ..] = header.to_le_bytes();
        let id = u32::from_le_bytes([id0, id1, id2, 0]);
        let len = u32::from_le_bytes(rest) as usize;
        match kind {
            PAD => Ok(Some(())),
            STDOUT | STDERR => {
                let (bytes, whole) = self.bytes(len);
                let to = if kind == STDOUT {
                    &mut self.outputs.stdout
                } else {
                    &mut self.outputs.stderr
                };
                to.extend_from_slice(bytes);
                Ok(whole)
            }
            CREATE | ATTACH => {
                let (path, Some(())) = self.bytes(len) else { return Ok(None) };
                self.tree.open(id, checked_path(path, start)?, kind == CREATE)?;
                Ok(Some(()))
            }
            WRITE => {
                let Some(offset) = self.word() else { return Ok(None) };
                let (bytes, whole) = self.bytes(len);
                self.tree.write(id, offset, bytes, start)?;
                Ok(whole)
            }
            RENAME => {
                let Some(new_len) = self.word() else { return Ok(None) };
                let new_len = usize::try_from(new_len).unwrap_or(usize::MAX);
                let (old, Some(())) = self.bytes(len) else { return Ok(None) };
                let (new, Some(())) = self.bytes(new_len) else { return Ok(None) };
                self.tree.rename(&checked_path(old, start)?, checked_path(new, start)?, start)?;
                Ok(Some(()))
            }
            UNLINK => {
                let (path, Some(())) = self.bytes(len) else { return Ok(None) };
                self.tree
                    .paths
                    .remove(&checked_path(path, start)?)
                    .ok_or(OutputError::NoSuchFile { at: start })?;
                Ok(Some(()))
            }
            TRUNCATE => {
                let Some(size) = self.word() else { return Ok(None) };
                self.tree.truncate(id, size, start)?;
                Ok(Some(()))
            }
            _ => Err(OutputError::UnknownRecord { kind, at: start }),
        }
    }

    fn word(&mut self) -> Option<u64> {
        let bytes = self.stream.get(self.at..self.at + 8)?;
        self.at += 8;
        Some(u64::from_le_bytes(bytes.try_into().expect("eight bytes were taken")))
    }

    /// Returns the next `len` bytes, or fewer at the stream's end, and whether all were there.
    /// Skips the padding.
    fn bytes(&mut self, len: usize) -> (&'a [u8], Option<()>) {
        let rest = &self.stream[self.at.min(self.stream.len())..];
        let taken = &rest[..len.min(rest.len())];
        self.at = self.at.saturating_add(len).saturating_add(len.wrapping_neg() % 8);
        (taken, (taken.len() == len).then_some(()))
    }
}

fn checked_path(bytes: &[u8], at: usize) -> Result<String, OutputError> {
    let bad = OutputError::BadPath { at };
    if bytes.len() > MAX_PATH_BYTES {
        return Err(bad);
    }
    let path = std::str::from_utf8(bytes).map_err(|_| bad.clone())?;
    match normalise(path) {
        Ok(normal) if normal == path => Ok(normal),
        _ => Err(bad),
    }
}

/// Files by number (as opened) and by path. A file that was unlinked or replaced can still be
/// written by its number, as on POSIX.
#[derive(Default)]
struct Tree {
    contents: Vec<Vec<u8>>,
    numbers: BTreeMap<u32, usize>,
    paths: BTreeMap<String, usize>,
}

impl Tree {
    fn open(&mut self, id: u32, path: String, empty: bool) -> Result<(), OutputError> {
        let file = match self.paths.get(&path) {
            Some(file) => *file,
            None if self.contents.len() == MAX_OUTPUT_FILES => {
                return Err(OutputError::TooManyFiles);
            }
            None => {
                self.contents.push(Vec::new());
                self.paths.insert(path, self.contents.len() - 1);
                self.contents.len() - 1
            }
        };
        if empty {
            self.contents[file].clear();
        }
        self.numbers.insert(id, file);
        Ok(())
    }

    fn contents(&mut self, id: u32, at: usize) -> Result<&mut Vec<u8>, OutputError> {
        let file = *self.numbers.get(&id).ok_or(OutputError::NoSuchFile { at })?;
        Ok(&mut self.contents[file])
    }

    fn write(&mut self, id: u32, offset: u64, bytes: &[u8], at: usize) -> Result<(), OutputError> {
        let contents = self.contents(id, at)?;
        let offset = if offset == u64::MAX { contents.len() as u64 } else { offset };
        if offset > contents.len() as u64 {
            return Err(OutputError::PastEnd { at });
        }
        let offset = offset as usize;
        let over = bytes.len().min(contents.len() - offset);
        contents[offset..offset + over].copy_from_slice(&bytes[..over]);
        contents.extend_from_slice(&bytes[over..]);
        Ok(())
    }

    fn truncate(&mut self, id: u32, size: u64, at: usize) -> Result<(), OutputError> {
        let contents = self.contents(id, at)?;
        if size > contents.len() as u64 {
            return Err(OutputError::PastEnd { at });
        }
        contents.truncate(size as usize);
        Ok(())
    }

    fn rename(&mut self, old: &str, new: String, at: usize) -> Result<(), OutputError> {
        let file = self.paths.remove(old).ok_or(OutputError::NoSuchFile { at })?;
        self.paths.insert(new, file);
        Ok(())
    }

    /// Returns the files by path. Refuses a path that has another file as a folder.
    fn finish(mut self) -> Result<Vec<(String, Vec<u8>)>, OutputError> {
        for path in self.paths.keys() {
            for (slash, _) in path.match_indices('/') {
                if self.paths.contains_key(&path[..slash]) {
                    return Err(OutputError::FileAsFolder { path: path[..slash].to_owned() });
                }
            }
        }
        let paths = std::mem::take(&mut self.paths);
        Ok(paths
            .into_iter()
            .map(|(path, file)| (path, std::mem::take(&mut self.contents[file])))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(kind: u8, id: u32, len: usize) -> Vec<u8> {
        (u64::from(kind) | u64::from(id) << 8 | (len as u64) << 32).to_le_bytes().to_vec()
    }

    fn padded(bytes: &[u8]) -> Vec<u8> {
        let mut padded = bytes.to_vec();
        padded.resize(bytes.len().next_multiple_of(8), 0);
        padded
    }

    fn record(kind: u8, id: u32, bytes: &[u8]) -> Vec<u8> {
        [header(kind, id, bytes.len()), padded(bytes)].concat()
    }

    fn write(id: u32, offset: u64, bytes: &[u8]) -> Vec<u8> {
        [header(WRITE, id, bytes.len()), offset.to_le_bytes().to_vec(), padded(bytes)].concat()
    }

    #[test]
    fn a_stream_unpacks() {
        let stream = [
            record(STDOUT, 0, b"hello "),
            record(STDERR, 0, b"oops"),
            header(PAD, 0, 0),
            record(STDOUT, 0, b"world"),
            record(CREATE, 0, b"out/a"),
            write(0, 0, b"0123456789"),
            write(0, 2, b"xy"),
            record(CREATE, 1, b"tmp"),
            write(1, u64::MAX, b"data"),
            [header(RENAME, 0, 3), 1u64.to_le_bytes().to_vec(), padded(b"tmp"), padded(b"b")]
                .concat(),
            record(ATTACH, 2, b"b"),
            write(2, u64::MAX, b"++"),
            record(CREATE, 3, b"gone"),
            record(UNLINK, 0, b"gone"),
            [header(TRUNCATE, 0, 0), 4u64.to_le_bytes().to_vec()].concat(),
        ]
        .concat();
        let outputs = parse(&stream).unwrap();
        assert_eq!(outputs.stdout, b"hello world");
        assert_eq!(outputs.stderr, b"oops");
        assert_eq!(
            outputs.files,
            [("b".to_owned(), b"data++".to_vec()), ("out/a".to_owned(), b"01xy".to_vec())]
        );
        assert!(!outputs.truncated);
    }

    #[test]
    fn a_cut_stream_keeps_what_came_before() {
        let stream = [record(STDOUT, 0, b"hello"), record(STDOUT, 0, b"0123456789abcdef")].concat();
        let outputs = parse(&stream[..stream.len() - 8]).unwrap();
        assert_eq!(
            (outputs.stdout.as_slice(), outputs.truncated),
            (b"hello01234567".as_slice(), true)
        );
    }

    #[test]
    fn hostile_streams_are_refused() {
        for path in ["../a", "/a", "a//b", "./a", "a/..", "", "a\0", "a/"] {
            assert_eq!(
                parse(&record(CREATE, 0, path.as_bytes())),
                Err(OutputError::BadPath { at: 0 }),
                "{path:?}"
            );
        }
        assert_eq!(parse(&write(7, 0, b"x")), Err(OutputError::NoSuchFile { at: 0 }));
        let hole = [record(CREATE, 0, b"a"), write(0, 1 << 40, b"x")].concat();
        assert_eq!(parse(&hole), Err(OutputError::PastEnd { at: 16 }));
        assert_eq!(parse(&header(99, 0, 0)), Err(OutputError::UnknownRecord { kind: 99, at: 0 }));
        let folder = [record(CREATE, 0, b"a"), record(CREATE, 1, b"a/b")].concat();
        assert_eq!(parse(&folder), Err(OutputError::FileAsFolder { path: "a".into() }));
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic_and_never_grow(mut stream in proptest::collection::vec(any::<u8>(), 0..600)) {
            for word in stream.chunks_mut(16) {
                word[0] %= 10;
                if let Some(high) = word.get_mut(6..8) { high.fill(0) }
                if let Some(len) = word.get_mut(5) { *len = 0 }
            }
            if let Ok(outputs) = parse(&stream) {
                let files: usize = outputs.files.iter().map(|(_, bytes)| bytes.len()).sum();
                prop_assert!(outputs.stdout.len() + outputs.stderr.len() + files <= stream.len());
            }
        }
    }
}
