//! The wallet: one encrypted keystore (Web3 Secret Storage, version 3) per account, in a folder of
//! its owner's alone.

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use alloy_signer_local::PrivateKeySigner;
use rand_08::rngs::OsRng;
use rialto_protocol::Address;

use crate::{
    class::{Class, Classified},
    home::{HomeError, private_dir},
};

/// Largest keystore, bytes.
const MAX_KEYSTORE_BYTES: u64 = 64 << 10;
/// Most accounts listed.
const MAX_ACCOUNTS: usize = 10_000;
/// Most work that a keystore may ask of whoever opens it: scrypt's n·r, and rounds of PBKDF2.
const MAX_SCRYPT: u64 = 1 << 24;
const MAX_ROUNDS: u64 = 100_000_000;

/// Why a key can't be used.
#[derive(Debug, thiserror::Error)]
pub enum WalletError {
    /// A file or folder can't be read or written.
    #[error("[W-001] {path}: {why}")]
    File {
        /// Which one.
        path: String,
        /// What the system said.
        why: String,
    },
    /// Somebody else could read it.
    #[error("[W-002] {path} can be read by others: `chmod {mode} {path}`")]
    Open {
        /// Which one.
        path: String,
        /// The mode it should have.
        mode: &'static str,
    },
    /// No keystore of that account.
    #[error(
        "[W-003] there is no account {account} in this wallet: `rialto wallet list` shows all, `rialto wallet import` adds one"
    )]
    NoAccount {
        /// Which account.
        account: Address,
    },
    /// The wallet is empty.
    #[error("[W-004] the wallet is empty: `rialto wallet create` makes an account")]
    Empty,
    /// Several accounts, and none was chosen.
    #[error(
        "[W-005] the wallet has {count} accounts: choose one with --account, or under [wallet] in config.toml"
    )]
    Ambiguous {
        /// How many.
        count: usize,
    },
    /// The passphrase does not open it.
    #[error("[W-006] the passphrase does not open {account}")]
    WrongPassphrase {
        /// Which account.
        account: Address,
    },
    /// Not a keystore, or one that asks for too much.
    #[error("[W-007] {path} is no keystore that can be opened: {why}")]
    Malformed {
        /// Which file.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It is there already.
    #[error("[W-008] the account {account} is in this wallet already")]
    Exists {
        /// Which account.
        account: Address,
    },
    /// Not a private key.
    #[error("[W-009] {path} is no private key: 64 hexadecimal digits are needed, and nothing else")]
    NoKey {
        /// Which file.
        path: String,
    },
    /// A passphrase that protects nothing.
    #[error("[W-010] an empty passphrase protects nothing")]
    NoPassphrase,
    /// The folder can't be made.
    #[error(transparent)]
    Home(#[from] HomeError),
}

impl Classified for WalletError {
    fn class(&self) -> Class {
        match self {
            Self::Home(error) => error.class(),
            _ => Class::NoKey,
        }
    }
}

/// A passphrase; never shown.
#[derive(Clone)]
pub struct Passphrase(String);

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase(…)")
    }
}

impl Passphrase {
    /// What was typed.
    ///
    /// # Errors
    /// `W-010`.
    pub fn new(text: &str) -> Result<Self, WalletError> {
        if text.is_empty() { Err(WalletError::NoPassphrase) } else { Ok(Self(text.to_owned())) }
    }

    /// The first line of a file that nobody else may read.
    ///
    /// # Errors
    /// `W-001`, `W-002`, `W-010`.
    pub fn from_file(path: &Path) -> Result<Self, WalletError> {
        let text = read_secret(path)?;
        Self::new(text.lines().next().unwrap_or_default())
    }

    /// Hands it to a process of one's own, as a line of its standard input.
    ///
    /// # Errors
    /// The process does not read.
    pub fn hand_over(&self, mut to: impl std::io::Write) -> std::io::Result<()> {
        writeln!(to, "{}", self.0)
    }
}

/// Reads a small file that nobody else may read.
fn read_secret(path: &Path) -> Result<String, WalletError> {
    let failed = |why: std::io::Error| WalletError::File {
        path: path.display().to_string(),
        why: why.to_string(),
    };
    let about = std::fs::metadata(path).map_err(failed)?;
    // A pipe (`--passphrase-file <(pass show rialto)`) is nobody else's.
    if about.is_file() {
        if about.permissions().mode() & 0o077 != 0 {
            return Err(WalletError::Open { path: path.display().to_string(), mode: "600" });
        }
        if about.len() > MAX_KEYSTORE_BYTES {
            return Err(WalletError::NoKey { path: path.display().to_string() });
        }
    }
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    std::io::Read::read_to_string(&mut std::io::Read::take(file, MAX_KEYSTORE_BYTES), &mut text)
        .map_err(failed)?;
    Ok(text)
}

/// Reads a private key in hex from a file that nobody else may read.
///
/// # Errors
/// `W-001`, `W-002`, `W-009`.
pub fn read_key(path: &Path) -> Result<PrivateKeySigner, WalletError> {
    // The text is a secret: it is not repeated.
    read_secret(path)?
        .trim()
        .parse()
        .map_err(|_| WalletError::NoKey { path: path.display().to_string() })
}

/// A folder of keystores.
#[derive(Clone, Debug)]
pub struct Wallet {
    folder: PathBuf,
}

impl Wallet {
    /// A wallet in a folder, which need not exist.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its accounts, in order.
    ///
    /// # Errors
    /// `W-001`, `W-002`.
    pub fn accounts(&self) -> Result<Vec<Address>, WalletError> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(why) => return Err(self.failed(&self.folder, &why)),
        };
        self.is_private(&self.folder, "700")?;
        let name = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.ok()?.file_name().to_str()?.strip_suffix(".json")?.parse().ok()
        };
        let mut accounts: Vec<Address> = entries.filter_map(name).take(MAX_ACCOUNTS).collect();
        accounts.sort();
        Ok(accounts)
    }

    /// The account to use: the one chosen, or the only one.
    ///
    /// # Errors
    /// `W-003` to `W-005`.
    pub fn choose(&self, chosen: Option<Address>) -> Result<Address, WalletError> {
        let accounts = self.accounts()?;
        match (chosen, accounts.as_slice()) {
            (Some(account), _) if accounts.contains(&account) => Ok(account),
            (Some(account), _) => Err(WalletError::NoAccount { account }),
            (None, []) => Err(WalletError::Empty),
            (None, [only]) => Ok(*only),
            (None, several) => Err(WalletError::Ambiguous { count: several.len() }),
        }
    }

    /// Encrypts a key and keeps it. Slow on purpose.
    ///
    /// # Errors
    /// `W-001`, `W-002`, `W-008`.
    pub fn add(
        &self,
        key: &PrivateKeySigner,
        passphrase: &Passphrase,
    ) -> Result<Address, WalletError> {
        private_dir(&self.folder)?;
        self.is_private(&self.folder, "700")?;
        let account = key.address();
        let path = self.path(account);
        if path.exists() {
            return Err(WalletError::Exists { account });
        }
        // Whole or not at all: a key that is half written is a key that is lost.
        let new = format!("{account:x}.new");
        let bytes = key.to_bytes();
        PrivateKeySigner::encrypt_keystore(
            &self.folder,
            &mut OsRng,
            bytes,
            &passphrase.0,
            Some(&new),
        )
        .map_err(|why| self.failed(&path, &why))?;
        let new = self.folder.join(new);
        let settle = || {
            std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600))?;
            std::fs::File::open(&new)?.sync_all()?;
            std::fs::rename(&new, &path)?;
            std::fs::File::open(&self.folder)?.sync_all()
        };
        settle().map_err(|why: std::io::Error| self.failed(&path, &why))?;
        Ok(account)
    }

    /// Opens an account. Slow on purpose.
    ///
    /// # Errors
    /// `W-001` to `W-003`, `W-006`, `W-007`.
    pub fn open(
        &self,
        account: Address,
        passphrase: &Passphrase,
    ) -> Result<PrivateKeySigner, WalletError> {
        let path = self.path(account);
        if !path.exists() {
            return Err(WalletError::NoAccount { account });
        }
        self.is_private(&path, "600")?;
        self.is_bounded(&path)?;
        let key = PrivateKeySigner::decrypt_keystore(&path, &passphrase.0)
            .map_err(|_| WalletError::WrongPassphrase { account })?;
        if key.address() != account {
            return Err(self.malformed(&path, "it holds another account's key"));
        }
        Ok(key)
    }

    /// The keystore of an account.
    pub fn path(&self, account: Address) -> PathBuf {
        self.folder.join(format!("{account:x}.json"))
    }

    /// A keystore names the work of opening it: not any amount is done.
    fn is_bounded(&self, path: &Path) -> Result<(), WalletError> {
        let malformed = |why| self.malformed(path, why);
        if std::fs::metadata(path).map_err(|why| self.failed(path, &why))?.len()
            > MAX_KEYSTORE_BYTES
        {
            return Err(malformed("it is too large"));
        }
        let bytes = std::fs::read(path).map_err(|why| self.failed(path, &why))?;
        let json: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|_| malformed("it is not JSON"))?;
        let crypto =
            json.get("crypto").or(json.get("Crypto")).ok_or(malformed("it has no `crypto`"))?;
        let number = |name: &str| crypto["kdfparams"][name].as_u64();
        let fits = match (number("n"), number("r"), number("p"), number("c")) {
            (Some(n), Some(r), Some(p), _) => {
                n.is_power_of_two()
                    && n > 1
                    && r > 0
                    && n.saturating_mul(r) <= MAX_SCRYPT
                    && (1..=16).contains(&p)
            }
            (_, _, _, Some(rounds)) => rounds <= MAX_ROUNDS,
            _ => false,
        };
        if fits { Ok(()) } else { Err(malformed("it asks for more work than is sensible")) }
    }

    fn is_private(&self, path: &Path, mode: &'static str) -> Result<(), WalletError> {
        let about = std::fs::metadata(path).map_err(|why| self.failed(path, &why))?;
        let open = about.permissions().mode() & 0o077 != 0;
        if open {
            Err(WalletError::Open { path: path.display().to_string(), mode })
        } else {
            Ok(())
        }
    }

    fn failed(&self, path: &Path, why: &impl ToString) -> WalletError {
        WalletError::File { path: path.display().to_string(), why: why.to_string() }
    }

    fn malformed(&self, path: &Path, why: &'static str) -> WalletError {
        WalletError::Malformed { path: path.display().to_string(), why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_kept_and_opened() {
        let folder = tempfile::tempdir().unwrap();
        let wallet = Wallet::new(folder.path().join("wallet"));
        let (right, wrong) =
            (Passphrase::new("correct horse").unwrap(), Passphrase::new("battery").unwrap());
        assert_eq!(format!("{right:?}"), "Passphrase(…)");
        assert!(matches!(wallet.choose(None), Err(WalletError::Empty)));
        let key = PrivateKeySigner::random();
        let account = wallet.add(&key, &right).unwrap();
        assert_eq!(account, key.address());
        assert!(matches!(wallet.add(&key, &right), Err(WalletError::Exists { .. })));
        let path = wallet.path(account);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&format!("{:x}", key.to_bytes())));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(wallet.open(account, &right).unwrap().to_bytes(), key.to_bytes());
        assert!(matches!(wallet.open(account, &wrong), Err(WalletError::WrongPassphrase { .. })));
        assert_eq!(wallet.choose(None).unwrap(), account);
        assert!(matches!(wallet.choose(Some(Address::ZERO)), Err(WalletError::NoAccount { .. })));
        wallet.add(&PrivateKeySigner::random(), &right).unwrap();
        assert!(matches!(wallet.choose(None), Err(WalletError::Ambiguous { count: 2 })));

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(wallet.open(account, &right).unwrap_err().to_string().starts_with("[W-002]"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, text.replace("8192", "1073741824")).unwrap();
        assert!(wallet.open(account, &right).unwrap_err().to_string().contains("more work"));
        std::fs::write(&path, "{}").unwrap();
        assert!(wallet.open(account, &right).unwrap_err().to_string().starts_with("[W-007]"));
        std::fs::set_permissions(wallet.folder(), std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(wallet.accounts().unwrap_err().to_string().starts_with("[W-002]"));
    }

    #[test]
    fn secrets_in_files_are_checked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let key = PrivateKeySigner::random();
        std::fs::write(&path, format!("{:x}\n", key.to_bytes())).unwrap();
        assert!(read_key(&path).unwrap_err().to_string().starts_with("[W-002]"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(read_key(&path).unwrap().address(), key.address());
        std::fs::write(&path, "not a key").unwrap();
        assert!(!read_key(&path).unwrap_err().to_string().contains("not a key"));
        assert!(Passphrase::from_file(&path).is_ok());
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(Passphrase::from_file(&path), Err(WalletError::NoPassphrase)));
    }
}
