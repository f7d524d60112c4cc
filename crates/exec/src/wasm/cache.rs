//! Compiled programs on disk. A hint, never trusted: what is damaged, foreign or outdated is
//! compiled anew. Any number of processes may share a folder: files appear by renaming and never
//! change.

use std::fs::{self, DirBuilder, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use alloy_primitives::B256;
use wasmtime::{Engine, Module};

use crate::ExecError;
use crate::wasm::artifact::{self, SealKey};
use crate::wasm::compile::About;
use crate::wasm::tune;

/// Largest artifact that is kept or read, bytes.
const MAX_ARTIFACT_BYTES: u64 = 512 << 20;
/// Most that all artifacts may take, bytes; the ones unused for longest go first.
const MAX_CACHE_BYTES: u64 = 1 << 30;
/// Most artifacts: whoever keeps one looks at them all.
pub(crate) const MAX_ARTIFACTS: usize = 4096;
/// Largest verdict, bytes.
const MAX_VERDICT_BYTES: u64 = 16 << 10;
/// How long a program that workers died of isn't tried again.
const FORGET_DEATHS: Duration = Duration::from_secs(24 * 60 * 60);
/// Name of the key's file.
const KEY: &str = "key";

/// A private folder of sealed artifacts.
pub(crate) struct Cache {
    dir: PathBuf,
    key: SealKey,
    /// Hash of `tune`'s and wasmtime's versions, the target and the configuration.
    compatibility: blake3::Hash,
    /// Which build of this program judges: what the gate takes and says may change with each.
    build: Vec<u8>,
}

/// What is known of a module.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is a program, and was compiled.
    Program(About),
    /// The gate refused it.
    Refused(String),
    /// The compiler did.
    Failed(String),
    /// Workers died of it.
    Died(String),
}

impl Verdict {
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Program(about) => [&b"p"[..], &about.encode()].concat(),
            Self::Refused(why) => [b"r", why.as_bytes()].concat(),
            Self::Failed(why) => [b"f", why.as_bytes()].concat(),
            Self::Died(why) => [b"d", why.as_bytes()].concat(),
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (tag, rest) = bytes.split_first()?;
        let text = || String::from_utf8(rest.to_vec()).ok();
        match tag {
            b'p' => Some(Self::Program(About::decode(rest.try_into().ok()?))),
            b'r' => text().map(Self::Refused),
            b'f' => text().map(Self::Failed),
            b'd' => text().map(Self::Died),
            _ => None,
        }
    }
}

impl Cache {
    /// Opens or creates the folder.
    pub(crate) fn open(dir: &Path, engine: &Engine) -> Result<Self, ExecError> {
        let open = || -> io::Result<SealKey> {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
            check_private(dir)?;
            key(dir)
        };
        let key = open().map_err(|source| ExecError::Cache { path: dir.to_owned(), source })?;
        let mut hasher = Blake3(blake3::Hasher::new());
        (tune::VERSION, engine.precompile_compatibility_hash()).hash(&mut hasher);
        Ok(Self { dir: dir.to_owned(), key, compatibility: hasher.0.finalize(), build: build() })
    }

    /// Looks a program up.
    pub(crate) fn load(&self, engine: &Engine, root: B256) -> Option<Module> {
        let entry = self.entry(root);
        let path = self.path(&entry);
        let file = File::open(&path).ok()?;
        let mut sealed = Vec::new();
        (&file).take(MAX_ARTIFACT_BYTES).read_to_end(&mut sealed).ok()?;
        let module = artifact::open(engine, &self.key, &entry, &sealed);
        if module.is_none() {
            tracing::warn!(path = %path.display(), program = %root, "[X-CCH-002] cached program is damaged, compiling it anew");
            let _ = fs::remove_file(&path);
        }
        let _ = file.set_modified(SystemTime::now());
        module
    }

    /// Keeps a program's code, which a compiler of ours has just made, and loads it. Failures to
    /// keep it cost time later, nothing else. `None` if wasmtime doesn't take it.
    pub(crate) fn store(&self, engine: &Engine, root: B256, code: &[u8]) -> Option<Module> {
        let entry = self.entry(root);
        let sealed = artifact::seal(code, &self.key, &entry);
        self.write(&entry, &sealed);
        artifact::open(engine, &self.key, &entry, &sealed)
    }

    /// What is known of a module by the hash of its bytes. A worker's death is forgotten after a
    /// day: it may have been this host's fault.
    pub(crate) fn verdict(&self, wasm: &blake3::Hash) -> Option<Verdict> {
        let entry = self.verdict_entry(wasm);
        let path = self.path(&entry);
        let file = File::open(&path).ok()?;
        let mut sealed = Vec::new();
        (&file).take(MAX_VERDICT_BYTES).read_to_end(&mut sealed).ok()?;
        let verdict = artifact::unseal(&self.key, &entry, &sealed).and_then(Verdict::decode);
        let age =
            file.metadata().and_then(|about| about.modified()).ok()?.elapsed().unwrap_or_default();
        if verdict.is_none() || matches!(verdict, Some(Verdict::Died(_))) && age > FORGET_DEATHS {
            let _ = fs::remove_file(&path);
            return None;
        }
        if !matches!(verdict, Some(Verdict::Died(_))) {
            let _ = file.set_modified(SystemTime::now());
        }
        verdict
    }

    /// Keeps a verdict, so that neither another order nor a restart begins again.
    pub(crate) fn judge(&self, wasm: &blake3::Hash, verdict: &Verdict) {
        let entry = self.verdict_entry(wasm);
        self.write(&entry, &artifact::seal(&verdict.encode(), &self.key, &entry));
    }

    fn write(&self, entry: &blake3::Hash, sealed: &[u8]) {
        if sealed.len() as u64 > MAX_ARTIFACT_BYTES {
            return;
        }
        let write = || -> io::Result<()> {
            self.make_room(sealed.len() as u64)?;
            let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
            file.write_all(sealed)?;
            file.persist(self.path(entry))?;
            Ok(())
        };
        if let Err(error) = write() {
            tracing::warn!(%error, "[X-CCH-003] cannot keep the compiled program");
        }
    }

    /// Removes the files unused for longest until `bytes` more fit; leftovers of killed processes
    /// go like the rest.
    fn make_room(&self, bytes: u64) -> io::Result<()> {
        let mut files = Vec::new();
        for file in fs::read_dir(&self.dir)?.flatten().filter(|file| file.file_name() != KEY) {
            if let Ok(about) = file.metadata() {
                files.push((about.modified()?, file.path(), about.len()));
            }
        }
        files.sort();
        let mut total: u64 = files.iter().map(|(_, _, bytes)| bytes).sum();
        let mut left = files.len();
        for (_, path, size) in files {
            if total + bytes <= MAX_CACHE_BYTES && left < MAX_ARTIFACTS {
                break;
            }
            left -= 1;
            let _ = fs::remove_file(path);
            total -= size;
        }
        Ok(())
    }

    fn entry(&self, root: B256) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.compatibility.as_bytes());
        hasher.update(root.as_slice());
        hasher.finalize()
    }

    /// Other than any program's, also if a module's hash were chosen to be a root. Another build
    /// may judge otherwise.
    fn verdict_entry(&self, wasm: &blake3::Hash) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_derive_key("rialto exec verdict");
        hasher.update(self.compatibility.as_bytes());
        hasher.update(&self.build);
        hasher.update(wasm.as_bytes());
        hasher.finalize()
    }

    fn path(&self, entry: &blake3::Hash) -> PathBuf {
        self.dir.join(entry.to_hex().as_str())
    }
}

/// Length and age of the running binary.
fn build() -> Vec<u8> {
    let Ok(about) = std::env::current_exe().and_then(fs::metadata) else { return Vec::new() };
    let modified =
        about.modified().ok().and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    let modified = modified.map_or(0, |at| at.as_nanos());
    [&about.len().to_be_bytes()[..], &modified.to_be_bytes()].concat()
}

/// The folder must be ours and writable by nobody else.
fn check_private(dir: &Path) -> io::Result<()> {
    let ours = tempfile::NamedTempFile::new_in(dir)?.as_file().metadata()?.uid();
    let about = fs::metadata(dir)?;
    if about.uid() != ours {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it belongs to somebody else"));
    }
    if about.mode() & 0o077 != 0 {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Reads the key, or makes one; of several processes that make one, the first wins.
fn key(dir: &Path) -> io::Result<SealKey> {
    let path = dir.join(KEY);
    if let Some(key) = read_key(&path)? {
        return Ok(key);
    }
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(&rand::random::<[u8; 32]>())?;
    match file.persist_noclobber(&path) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => return Err(error.error),
        _ => {}
    }
    read_key(&path)?.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "its key vanished"))
}

/// The key in a file that only we can read; anything else there is removed.
fn read_key(path: &Path) -> io::Result<Option<SealKey>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut key = Vec::new();
    (&file).take(33).read_to_end(&mut key)?;
    match <[u8; 32]>::try_from(key) {
        Ok(key) if file.metadata()?.mode() & 0o077 == 0 => Ok(Some(SealKey(key))),
        _ => fs::remove_file(path).map(|()| None),
    }
}

/// BLAKE3 where the standard library wants a `Hasher`.
struct Blake3(blake3::Hasher);

impl Hasher for Blake3 {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        u64::from_le_bytes(
            self.0.finalize().as_bytes()[..8].try_into().expect("a hash has 32 bytes"),
        )
    }
}
