//! Layout of a half: the table of contents, and the offsets of the files' data.

use std::collections::{BTreeMap, VecDeque};

use super::{InputError, MAX_HALF_BYTES, MAX_NODES, normalise};

const MAGIC: &[u8; 8] = b"rialto\0\x01";
const NODES_AT: usize = 3 * 32;
const FOLDER: u64 = 1;
const FILE: u64 = 2;

/// Layout of a half whose files are streamed: first [`Plan::head`], then each file's bytes at its
/// offset, with zeros in between.
///
/// ```
/// use rialto_machine::input::{HalfHasher, Plan};
/// let plan = Plan::new(&[("scene.bin".into(), 5)]).unwrap();
/// let mut hasher = HalfHasher::default();
/// hasher.update(&plan.head);
/// for file in &plan.files {
///     hasher.pad_to(file.offset);
///     hasher.update(b"12345"); // the bytes of files[file.index], in pieces of any size
/// }
/// let shared = hasher.finish();
/// # use rialto_machine::input::{Half, SharedInput};
/// # let files = vec![("scene.bin".into(), b"12345".to_vec())];
/// # assert_eq!(shared, Half::of(&SharedInput { files }.encode().unwrap()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Everything before the first file's data.
    pub head: Vec<u8>,
    /// Files, in the order of their data.
    pub files: Vec<Placed>,
    /// Size of the whole half, bytes.
    pub len: u64,
}

/// A file in a [`Plan`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Index among the files that were given.
    pub index: usize,
    /// Path in normal form.
    pub path: String,
    /// Offset of its bytes, a multiple of 32.
    pub offset: u64,
    /// Size, bytes.
    pub size: u64,
}

/// Content of a task half besides files.
#[derive(Default)]
pub(super) struct TaskHead<'a> {
    pub argc: u32,
    pub argv: &'a [u8],
    pub envc: u32,
    pub env: &'a [u8],
    pub stdin: &'a [u8],
}

impl TaskHead<'_> {
    fn is_empty(&self) -> bool {
        self.argc == 0 && self.envc == 0 && self.stdin.is_empty()
    }
}

impl Plan {
    /// Plans a shared half of files with these paths and sizes (bytes).
    ///
    /// # Errors
    /// An [`InputError`] about paths or sizes.
    pub fn new(files: &[(String, u64)]) -> Result<Self, InputError> {
        Self::with_folders(files, &[])
    }

    /// Does the same as [`Plan::new`], with folders that may be empty.
    pub fn with_folders(files: &[(String, u64)], folders: &[String]) -> Result<Self, InputError> {
        Self::with_all(&TaskHead::default(), files, folders)
    }

    pub(super) fn with_head(
        head: &TaskHead<'_>,
        files: &[(String, u64)],
    ) -> Result<Self, InputError> {
        Self::with_all(head, files, &[])
    }

    fn with_all(
        head: &TaskHead<'_>,
        files: &[(String, u64)],
        folders: &[String],
    ) -> Result<Self, InputError> {
        if head.is_empty() && files.is_empty() && folders.is_empty() {
            return Ok(Self { head: Vec::new(), files: Vec::new(), len: 0 });
        }
        let root = Folder::of(files, folders)?;
        let nodes = flatten(&root)?;
        let names: u64 = nodes.iter().map(|node| node.name.len() as u64).sum();
        let names_at = (NODES_AT + 32 * nodes.len()) as u64;
        let argv_at = names_at + names;
        let env_at = argv_at + head.argv.len() as u64;
        let stdin_at = env_at + head.env.len() as u64;
        let head_len = stdin_at + head.stdin.len() as u64;

        let mut bytes = Vec::with_capacity(names_at as usize);
        bytes.extend_from_slice(MAGIC);
        push_words(&mut bytes, [nodes.len() as u64, 0, 0]);
        push_words(
            &mut bytes,
            [
                pair(head.argc, head.argv.len() as u32),
                pair(head.envc, head.env.len() as u32),
                argv_at | env_at << 32,
                0,
                stdin_at,
                head.stdin.len() as u64,
                0,
                0,
            ],
        );

        let mut placed = Vec::new();
        let (mut name_at, mut data_at) = (names_at, head_len.next_multiple_of(32));
        let mut len = head_len;
        for node in &nodes {
            let named = name_at | (node.name.len() as u64) << 32;
            name_at += node.name.len() as u64;
            match &node.content {
                Content::Folder { first, count } => {
                    push_words(&mut bytes, [named | FOLDER << 48, node.parent, *first, *count]);
                }
                Content::File { index, path } => {
                    let size = files[*index].1;
                    push_words(&mut bytes, [named | FILE << 48, node.parent, data_at, size]);
                    placed.push(Placed {
                        index: *index,
                        path: path.clone(),
                        offset: data_at,
                        size,
                    });
                    len = data_at
                        .checked_add(size)
                        .filter(|len| *len <= MAX_HALF_BYTES)
                        .ok_or(InputError::TooLarge)?;
                    data_at = len.next_multiple_of(32);
                }
            }
        }
        for node in &nodes {
            bytes.extend_from_slice(node.name.as_bytes());
        }
        if len > MAX_HALF_BYTES {
            return Err(InputError::TooLarge);
        }
        bytes.extend_from_slice(head.argv);
        bytes.extend_from_slice(head.env);
        bytes.extend_from_slice(head.stdin);
        Ok(Self { head: bytes, files: placed, len })
    }
}

fn pair(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

fn push_words<const N: usize>(bytes: &mut Vec<u8>, words: [u64; N]) {
    for word in words {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
}

#[derive(Default)]
struct Folder<'a> {
    entries: BTreeMap<String, Entry<'a>>,
}

enum Entry<'a> {
    Folder(Folder<'a>),
    File { index: usize, path: &'a str },
}

impl<'a> Folder<'a> {
    fn of(files: &'a [(String, u64)], folders: &[String]) -> Result<Self, InputError> {
        if files.len() + folders.len() > MAX_NODES {
            return Err(InputError::TooManyFiles);
        }
        let mut root = Self::default();
        for (index, (given, _)) in files.iter().enumerate() {
            let path = normalise(given)?;
            let mut folder = &mut root;
            let mut parts = path.split('/').peekable();
            while let Some(part) = parts.next() {
                if parts.peek().is_none() {
                    match folder.entries.insert(part.to_owned(), Entry::File { index, path: given })
                    {
                        None => break,
                        Some(Entry::File { .. }) => return Err(InputError::DuplicatePath { path }),
                        Some(Entry::Folder(_)) => return Err(InputError::FileAsFolder { path }),
                    }
                }
                let entry = folder
                    .entries
                    .entry(part.to_owned())
                    .or_insert_with(|| Entry::Folder(Self::default()));
                match entry {
                    Entry::Folder(inner) => folder = inner,
                    Entry::File { path, .. } => {
                        return Err(InputError::FileAsFolder { path: (*path).to_owned() });
                    }
                }
            }
        }
        for path in folders {
            let path = normalise(path)?;
            let mut folder = &mut root;
            for part in path.split('/') {
                match folder
                    .entries
                    .entry(part.to_owned())
                    .or_insert_with(|| Entry::Folder(Self::default()))
                {
                    Entry::Folder(inner) => folder = inner,
                    Entry::File { path, .. } => {
                        return Err(InputError::FileAsFolder { path: (*path).to_owned() });
                    }
                }
            }
        }
        Ok(root)
    }
}

struct Node<'a> {
    name: &'a str,
    parent: u64,
    content: Content,
}

enum Content {
    Folder { first: u64, count: u64 },
    File { index: usize, path: String },
}

/// Lists the nodes breadth first, so that the children of a folder are consecutive.
fn flatten<'a>(root: &'a Folder<'a>) -> Result<Vec<Node<'a>>, InputError> {
    let mut nodes =
        vec![Node { name: "", parent: 0, content: Content::Folder { first: 1, count: 0 } }];
    let mut queue = VecDeque::from([(0usize, root)]);
    while let Some((at, folder)) = queue.pop_front() {
        nodes[at].content =
            Content::Folder { first: nodes.len() as u64, count: folder.entries.len() as u64 };
        for (name, entry) in &folder.entries {
            let content = match entry {
                Entry::Folder(inner) => {
                    queue.push_back((nodes.len(), inner));
                    Content::Folder { first: 0, count: 0 }
                }
                Entry::File { index, path } => {
                    Content::File { index: *index, path: normalise(path)? }
                }
            };
            if nodes.len() == MAX_NODES {
                return Err(InputError::TooManyFiles);
            }
            nodes.push(Node { name, parent: at as u64, content });
        }
    }
    Ok(nodes)
}
