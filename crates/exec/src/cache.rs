//! Compiled programs on disk. A hint, never trusted: what is damaged, foreign or outdated is compiled anew.
//! Any number of processes may share a folder: files appear by renaming and never change.

use std::fs::{self, DirBuilder, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use alloy_primitives::B256;
use wasmtime::{Engine, Module};

use crate::ExecError;
use crate::artifact::{self, SealKey};
use crate::tune;

/// Largest artifact that is kept or read, bytes.
const MAX_ARTIFACT_BYTES: u64 = 512 << 20;
/// Most that all artifacts may take, bytes; the ones unused for longest go first.
const MAX_CACHE_BYTES: u64 = 1 << 30;
/// Most artifacts: whoever keeps one looks at them all.
pub(crate) const MAX_ARTIFACTS: usize = 4096;
/// Name of the key's file.
const KEY: &str = "key";

/// A private folder of sealed artifacts.
pub(crate) struct Cache {
    dir: PathBuf,
    key: SealKey,
    /// Hash of `tune`'s and wasmtime's versions, the target and the configuration.
    compatibility: blake3::Hash,
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
        Ok(Self { dir: dir.to_owned(), key, compatibility: hasher.0.finalize() })
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

    /// Keeps a program. Failures cost time later, nothing else.
    pub(crate) fn store(&self, root: B256, module: &Module) {
        let entry = self.entry(root);
        let Some(sealed) = artifact::seal(module, &self.key, &entry) else { return };
        if sealed.len() as u64 > MAX_ARTIFACT_BYTES {
            return;
        }
        let write = || -> io::Result<()> {
            self.make_room(sealed.len() as u64)?;
            let mut file = tempfile::NamedTempFile::new_in(&self.dir)?;
            file.write_all(&sealed)?;
            file.persist(self.path(&entry))?;
            Ok(())
        };
        if let Err(error) = write() {
            tracing::warn!(%error, program = %root, "[X-CCH-003] cannot keep the compiled program");
        }
    }

    /// Removes the files unused for longest until `bytes` more fit; leftovers of killed processes go like the rest.
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

    fn path(&self, entry: &blake3::Hash) -> PathBuf {
        self.dir.join(entry.to_hex().as_str())
    }
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
        u64::from_le_bytes(self.0.finalize().as_bytes()[..8].try_into().expect("a hash has 32 bytes"))
    }
}
