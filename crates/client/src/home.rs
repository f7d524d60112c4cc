//! The home folder: what one user's commands share.

use std::{
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rialto_chain::PrivateKeySigner;
use rialto_protocol::Address;

use crate::class::{Class, Classified};

/// A folder or file of the home can't be used.
#[derive(Debug, thiserror::Error)]
#[error("[C-HOM-001] {path} can't be used: {why}")]
pub struct HomeError {
    path: String,
    why: String,
}

impl Classified for HomeError {
    fn class(&self) -> Class {
        Class::Failed
    }
}

impl HomeError {
    fn new(path: &Path, why: impl ToString) -> Self {
        Self { path: path.display().to_string(), why: why.to_string() }
    }
}

/// The home folder. In it: `config.toml`, `provider.toml`, `wallet/`, `local/` (the market of
/// `rialto up`), and a folder for every requester and provider on every market.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home(PathBuf);

impl Home {
    /// A home at a path; nothing is made.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The configuration.
    pub fn config(&self) -> PathBuf {
        self.0.join("config.toml")
    }

    /// Encrypted keys.
    pub fn wallet(&self) -> PathBuf {
        self.0.join("wallet")
    }

    /// The local market.
    pub fn local(&self) -> PathBuf {
        self.0.join("local")
    }

    /// A requester's folder on a market.
    pub fn requester(&self, chain_id: u64, market: Address, account: Address) -> PathBuf {
        self.0.join("requester").join(role(chain_id, market, account))
    }

    /// The folder of a requester on a market of whose chain nothing is known but what the folder's
    /// name says; `None` if there is none, or several.
    pub fn known_requester(&self, market: Address, account: Address) -> Option<PathBuf> {
        let ending = role(0, market, account).split_off(1);
        let entries =
            std::fs::read_dir(self.0.join("requester")).ok()?.flatten().map(|entry| entry.path());
        let mut fits = entries.filter(|path| path.to_string_lossy().ends_with(&ending));
        fits.next().filter(|_| fits.next().is_none())
    }

    /// A provider's folder on a market.
    pub fn provider(&self, chain_id: u64, market: Address, account: Address) -> PathBuf {
        self.0.join("provider").join(role(chain_id, market, account))
    }

    /// A watchtower's folder on a market.
    pub fn tower(&self, chain_id: u64, market: Address, account: Address) -> PathBuf {
        self.0.join("tower").join(role(chain_id, market, account))
    }
}

fn role(chain_id: u64, market: Address, account: Address) -> String {
    format!("{chain_id}-{market:x}-{account:x}")
}

/// Makes a folder that nobody else may look into, unless it is there.
///
/// # Errors
/// `C-HOM-001`.
pub fn private_dir(path: &Path) -> Result<(), HomeError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|why| HomeError::new(path, why))
}

/// Writes a file as a whole or not at all, readable by its owner alone.
///
/// # Errors
/// `C-HOM-001`.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), HomeError> {
    write_private_with(path, |file| std::io::Write::write_all(file, bytes))
        .map_err(|why| HomeError::new(path, why))
}

/// The same, for what is written piece by piece.
pub(crate) fn write_private_with(
    path: &Path,
    write: impl FnOnce(&mut std::fs::File) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    let written =
        write(&mut file).and_then(|()| file.sync_all()).and_then(|()| std::fs::rename(&new, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    written
}

/// An endpoint's own key: made once, kept in the folder of its requester or provider. It holds no
/// money; it is what others know the endpoint by.
///
/// # Errors
/// `C-HOM-001`.
pub fn endpoint_secret(folder: &Path) -> Result<[u8; 32], HomeError> {
    let path = folder.join("endpoint.key");
    match std::fs::read(&path) {
        Ok(bytes) => bytes
            .try_into()
            .map_err(|_| HomeError::new(&path, "it is damaged: move it away to get a new one")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let secret = *PrivateKeySigner::random().to_bytes();
            write_private(&path, &secret)?;
            Ok(secret)
        }
        Err(why) => Err(HomeError::new(&path, why)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn an_endpoint_keeps_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let first = endpoint_secret(folder.path()).unwrap();
        assert_eq!(endpoint_secret(folder.path()).unwrap(), first);
        let path = folder.path().join("endpoint.key");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "x").unwrap();
        assert!(endpoint_secret(folder.path()).unwrap_err().to_string().starts_with("[C-HOM-001]"));
    }
}
