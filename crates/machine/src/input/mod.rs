//! The input of a task consists of its own half (argv, environment, stdin, small files) and the
//! half that all tasks of a job share (files). Both are byte strings, and M' reads their 32-byte
//! leaves one by one.
//!
//! All integers are little-endian. Offsets are in bytes from the start of the half.
//!
//! ```text
//! leaf 0      magic "rialto\0\1" u64 ‖ nodes u32 ‖ 0
//! leaf 1      argc u32 ‖ argv bytes u32 ‖ envc u32 ‖ env bytes u32
//!             ‖ argv offset u32 ‖ env offset u32 ‖ 0                              (task half)
//! leaf 2      stdin offset u64 ‖ stdin bytes u64 ‖ 0                              (task half)
//! leaf 3 + i  node i of the file tree; node 0 is the root, the children of a folder are adjacent
//!             and sorted by name: they are searched by bisection
//!             name offset u32 ‖ name bytes u16 ‖ kind u8 (1 folder, 2 file) ‖ 0
//!             parent u32 ‖ 0 u32
//!             folder: first child u64 ‖ children u64
//!             file: data offset u64 (a leaf's start) ‖ bytes u64
//! then        names ‖ argv ‖ env (each string ends with NUL) ‖ stdin ‖ the files' data
//! ```
//!
//! A half without a single file, argument, variable or byte of stdin is empty: zero bytes.
//! `inputRoot = keccak(node(taskRoot, sharedRoot) ‖ inLen as u256)`, where each half's root is that
//! of a keccak tree of depth [`HALF_DEPTH`].

mod path;
mod plan;
mod tree;

use alloy_primitives::{B256, Bytes};
use rialto_protocol::receipt::node;
use rialto_protocol::tree::{join, roots};
use thiserror::Error;

use crate::tree::leaf_of;

pub use path::{MAX_COMPONENT_BYTES, MAX_PATH_BYTES, MAX_PATH_DEPTH, normalise};
pub use plan::{Placed, Plan};
pub use tree::{HalfHasher, Opening, open, verify_opening};

/// Depth of the tree over one half: 2^26 leaves of 32 bytes.
pub const HALF_DEPTH: u32 = 26;
/// Most bytes of one half: 2 GiB.
pub const MAX_HALF_BYTES: u64 = 32 << HALF_DEPTH;
/// Most files and folders of one half: 2^17.
pub const MAX_NODES: usize = 1 << 17;
/// Most bytes of argv, and of the environment, with their NULs: 1 MiB. The default limit of Linux
/// is within a factor of two.
pub const MAX_ARGS_BYTES: usize = 1 << 20;

/// Reason why an input can't be encoded or opened.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InputError {
    /// A path has no normal form.
    #[error("[M-IN-001] the input path `{path}` {reason}")]
    BadPath {
        /// Path as the caller gave it.
        path: String,
        /// Fault of the path.
        reason: &'static str,
    },
    /// Two files have the same path.
    #[error("[M-IN-002] two input files are named `{path}`")]
    DuplicatePath {
        /// Their path, in normal form.
        path: String,
    },
    /// A file's path is a folder of another file's path.
    #[error("[M-IN-003] `{path}` is both an input file and a folder of another input file")]
    FileAsFolder {
        /// Path of the file.
        path: String,
    },
    /// There are more than [`MAX_NODES`] files and folders.
    #[error("[M-IN-004] more than {MAX_NODES} input files and folders")]
    TooManyFiles,
    /// A half has more than [`MAX_HALF_BYTES`].
    #[error("[M-IN-005] the input is larger than {MAX_HALF_BYTES} bytes")]
    TooLarge,
    /// argv or the environment is larger than [`MAX_ARGS_BYTES`].
    #[error("[M-IN-006] the arguments or the environment are larger than {MAX_ARGS_BYTES} bytes")]
    ArgsTooLarge,
    /// An argument or variable does not fit into a C string.
    #[error(
        "[M-IN-007] an argument or environment variable holds a NUL, or a variable's name is empty or holds `=`"
    )]
    BadArg,
    /// A leaf's index is outside the half.
    #[error("[M-IN-008] leaf {index} is outside a half of 2^{HALF_DEPTH} leaves")]
    NoSuchLeaf {
        /// Requested index.
        index: u64,
    },
}

/// Content of a task's own half.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskInput {
    /// Arguments, with the program's name first.
    pub argv: Vec<Vec<u8>>,
    /// Environment variables, as name and value.
    pub env: Vec<(Vec<u8>, Vec<u8>)>,
    /// Bytes of stdin.
    pub stdin: Vec<u8>,
    /// Input files, as path and content. They hide shared files of the same path.
    pub files: Vec<(String, Vec<u8>)>,
}

/// Content of the half that all tasks of a job share. For files that are too large for memory, use
/// [`Plan`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SharedInput {
    /// Input files, as path and content.
    pub files: Vec<(String, Vec<u8>)>,
}

impl TaskInput {
    /// Returns the bytes of the task half.
    ///
    /// # Errors
    /// Any [`InputError`] but [`InputError::NoSuchLeaf`].
    pub fn encode(&self) -> Result<Vec<u8>, InputError> {
        let argv = c_strings(self.argv.iter().map(|arg| vec![arg.as_slice()]))?;
        if self.env.iter().any(|(name, _)| name.is_empty() || name.contains(&b'=')) {
            return Err(InputError::BadArg);
        }
        let env = c_strings(
            self.env.iter().map(|(name, value)| vec![name.as_slice(), b"=", value.as_slice()]),
        )?;
        let head = plan::TaskHead {
            argc: self.argv.len() as u32,
            argv: &argv,
            envc: self.env.len() as u32,
            env: &env,
            stdin: &self.stdin,
        };
        encode(&head, &self.files)
    }
}

impl SharedInput {
    /// Returns the bytes of the shared half.
    ///
    /// # Errors
    /// An [`InputError`] about paths or sizes.
    pub fn encode(&self) -> Result<Vec<u8>, InputError> {
        encode(&plan::TaskHead::default(), &self.files)
    }
}

fn encode(head: &plan::TaskHead<'_>, files: &[(String, Vec<u8>)]) -> Result<Vec<u8>, InputError> {
    let sizes: Vec<_> =
        files.iter().map(|(path, bytes)| (path.clone(), bytes.len() as u64)).collect();
    let plan = Plan::with_head(head, &sizes)?;
    let mut half = plan.head;
    for placed in &plan.files {
        half.resize(placed.offset as usize, 0);
        half.extend_from_slice(&files[placed.index].1);
    }
    Ok(half)
}

/// Returns the strings one after the other, each with a NUL at its end.
fn c_strings<'a>(strings: impl Iterator<Item = Vec<&'a [u8]>>) -> Result<Vec<u8>, InputError> {
    let mut all = Vec::new();
    for parts in strings {
        if parts.iter().any(|part| part.contains(&0)) {
            return Err(InputError::BadArg);
        }
        for part in parts {
            all.extend_from_slice(part);
        }
        all.push(0);
        if all.len() > MAX_ARGS_BYTES {
            return Err(InputError::ArgsTooLarge);
        }
    }
    Ok(all)
}

/// Root and size of a half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Half {
    /// Root of its tree.
    pub root: B256,
    /// Size, bytes.
    pub bytes: u64,
}

impl Half {
    /// Computes root and size of these bytes. There are none if a job shares nothing.
    ///
    /// # Panics
    /// If there are more than [`MAX_HALF_BYTES`].
    pub fn of(bytes: &[u8]) -> Self {
        Self { root: roots(HALF_DEPTH, &[bytes])[0], bytes: bytes.len() as u64 }
    }
}

/// Returns `inputRoot = keccak(node(taskRoot, sharedRoot) ‖ inLen as u256)`. It contains the
/// lengths, so that a court can check the result of the import `inlen`.
pub fn input_root(task: Half, shared: Half) -> B256 {
    node(node(task.root, shared.root), inlen_word(task.bytes, shared.bytes))
}

/// Returns the [`input_root`] of each of many tasks, given by their bytes. They are hashed in
/// parallel lanes.
///
/// # Panics
/// If a task has more than [`MAX_HALF_BYTES`].
pub fn input_roots<T: AsRef<[u8]>>(tasks: &[T], shared: Half) -> Vec<B256> {
    let trees = join(roots(HALF_DEPTH, tasks).into_iter().map(|root| (root, shared.root)));
    let lengths = tasks.iter().map(|task| inlen_word(task.as_ref().len() as u64, shared.bytes));
    join(trees.into_iter().zip(lengths))
}

/// Returns the result of the import `inlen` as a leaf.
fn inlen_word(task_bytes: u64, shared_bytes: u64) -> B256 {
    let mut word = B256::ZERO;
    word[24..].copy_from_slice(&inlen(task_bytes, shared_bytes).to_be_bytes());
    word
}

/// Returns the result of the import `inlen` for halves of these sizes, bytes.
pub fn inlen(task_bytes: u64, shared_bytes: u64) -> i64 {
    (task_bytes & 0xffff_ffff | shared_bytes << 32) as i64
}

/// Both halves of an input, for tracing a task.
#[derive(Clone, Debug)]
pub struct Halves {
    bytes: [Bytes; 2],
    halves: [Half; 2],
}

impl Halves {
    /// Takes the bytes of both halves and hashes them.
    pub fn new(task: Bytes, shared: Bytes) -> Self {
        let bytes = [task, shared];
        Self { halves: [Half::of(&bytes[0]), Half::of(&bytes[1])], bytes }
    }

    /// Returns the root of the tree over both halves.
    pub fn tree(&self) -> B256 {
        node(self.halves[0].root, self.halves[1].root)
    }

    /// Returns root and size of the half that all tasks share.
    pub fn shared(&self) -> Half {
        self.halves[1]
    }

    /// Returns `inputRoot`.
    pub fn root(&self) -> B256 {
        input_root(self.halves[0], self.halves[1])
    }

    /// Returns [`inlen`] of both halves.
    pub fn len_word(&self) -> u64 {
        inlen(self.halves[0].bytes, self.halves[1].bytes) as u64
    }

    /// Returns a leaf of the tree over both halves; zeros past a half's end.
    pub fn leaf(&self, index: u32) -> [u8; 32] {
        let (half, at) = split(index);
        leaf_of(&self.bytes[half], at as usize).0
    }

    /// Returns the siblings of a leaf in the tree over both halves, from the bottom up. Takes the
    /// time of [`open`].
    ///
    /// # Panics
    /// From leaf 2^27 on.
    pub fn siblings(&self, index: u32) -> Vec<B256> {
        let (half, at) = split(index);
        let mut siblings = open(&self.bytes[half], at).expect("the leaf is in the half").siblings;
        siblings.push(self.halves[1 - half].root);
        siblings
    }
}

/// Returns the half that contains a leaf of the tree over both, and its index there.
fn split(index: u32) -> (usize, u64) {
    ((index >> HALF_DEPTH) as usize, u64::from(index) & ((1 << HALF_DEPTH) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> TaskInput {
        TaskInput {
            argv: vec![b"prog".to_vec(), b"--x".to_vec()],
            env: vec![(b"HOME".to_vec(), b"/".to_vec())],
            stdin: b"input".to_vec(),
            files: vec![("b/two.txt".into(), b"2".repeat(40)), ("./a".into(), b"1".to_vec())],
        }
    }

    fn word(half: &[u8], leaf: usize, word: usize) -> u64 {
        u64::from_le_bytes(half[leaf * 32 + word * 8..][..8].try_into().unwrap())
    }

    #[test]
    fn layout_is_as_documented() {
        let half = task().encode().unwrap();
        assert_eq!(&half[..8], b"rialto\0\x01");
        assert_eq!(word(&half, 0, 1), 4);
        let (argv, env) = (word(&half, 1, 2) as u32 as usize, (word(&half, 1, 2) >> 32) as usize);
        assert_eq!(&half[argv..argv + 9], b"prog\0--x\0");
        assert_eq!(word(&half, 1, 0), 2 | 9 << 32);
        assert_eq!(&half[env..env + 7], b"HOME=/\0");
        assert_eq!(&half[word(&half, 2, 0) as usize..][..5], b"input");
        // root: folder with children 1 and 2; `a` sorts first
        assert_eq!((word(&half, 3, 2), word(&half, 3, 3)), (1, 2));
        let (offset, size) = (word(&half, 4, 2) as usize, word(&half, 4, 3) as usize);
        assert_eq!((&half[offset..offset + size], offset % 32), (b"1".as_slice(), 0));
        assert_eq!((word(&half, 5, 2), word(&half, 5, 3)), (3, 1));
        let (offset, size) = (word(&half, 6, 2) as usize, word(&half, 6, 3) as usize);
        assert_eq!(&half[offset..offset + size], b"2".repeat(40));
        assert_eq!(word(&half, 6, 1), 2, "parent");
    }

    #[test]
    fn a_folder_needs_no_file() {
        let plan = Plan::with_folders(&[("a/x".into(), 1)], &["a".into(), "b/c".into()]).unwrap();
        let names: Vec<u64> = (0..5).map(|node| word(&plan.head, 3 + node, 0) >> 48).collect();
        assert_eq!(
            (word(&plan.head, 0, 1), names),
            (5, vec![1, 1, 1, 2, 1]),
            "root, a, b, a/x, b/c"
        );
        assert_eq!(word(&plan.head, 7, 3), 0, "nothing is in it");
        assert_eq!(
            Plan::with_folders(&[("a".into(), 1)], &[]).unwrap(),
            Plan::new(&[("a".into(), 1)]).unwrap()
        );
        let refused = Plan::with_folders(&[("a".into(), 1)], &["a/b".into()]);
        assert!(matches!(refused, Err(InputError::FileAsFolder { .. })));
    }

    #[test]
    fn what_cannot_be_said_is_refused() {
        let with = |change: fn(&mut TaskInput)| {
            let mut input = task();
            change(&mut input);
            input.encode().unwrap_err()
        };
        assert_eq!(with(|t| t.argv.push(b"a\0b".to_vec())), InputError::BadArg);
        assert_eq!(with(|t| t.env.push((b"A=B".to_vec(), vec![]))), InputError::BadArg);
        assert_eq!(with(|t| t.argv.push(vec![b'x'; MAX_ARGS_BYTES])), InputError::ArgsTooLarge);
        assert!(matches!(
            with(|t| t.files.push(("../x".into(), vec![]))),
            InputError::BadPath { .. }
        ));
        assert!(matches!(
            with(|t| t.files.push(("b//two.txt".into(), vec![]))),
            InputError::DuplicatePath { .. }
        ));
        assert!(matches!(
            with(|t| t.files.push(("a/x".into(), vec![]))),
            InputError::FileAsFolder { .. }
        ));
        assert!(matches!(
            with(|t| t.files.push(("b".into(), vec![]))),
            InputError::FileAsFolder { .. }
        ));
    }

    #[test]
    fn nothing_is_empty() {
        assert_eq!(TaskInput::default().encode().unwrap(), b"");
        assert_eq!(SharedInput::default().encode().unwrap(), b"");
    }

    #[test]
    fn order_of_files_does_not_matter() {
        let mut other = task();
        other.files.reverse();
        assert_eq!(other.encode(), task().encode());
    }
}
