//! Accounts, configuration, help, and failures.

use std::path::PathBuf;

use serde::Serialize;

use super::{Account, Decimal, Hash};

/// Why a command failed.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Failure {
    /// All causes in one line.
    pub error: String,
    /// Stable code of the first cause that has one (docs/codes.md).
    pub code: Option<String>,
    /// The causes, the outermost first.
    pub causes: Vec<String>,
}

/// A file that was written.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Written {
    /// Its path.
    pub written: PathBuf,
}

/// Where the configuration is.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ConfigPath {
    /// Its path.
    pub path: PathBuf,
}

/// Which market and account commands use.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ConfigShown {
    /// The home folder.
    pub home: PathBuf,
    /// The market.
    pub market: Account,
    /// The chain's endpoint, without what may be a key.
    pub rpc: String,
    /// Whether it is the market of `rialto up`.
    pub local: bool,
    /// The account; none if the wallet has no or several.
    pub account: Option<Account>,
    /// Address to listen on.
    pub bind: std::net::SocketAddr,
    /// The relay, if one is configured.
    pub relay: Option<String>,
    /// Block in which the market was created.
    pub first_block: u64,
    /// Blocks until an event counts.
    pub confirmations: u64,
}

/// Completions for a shell.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Completions {
    /// The script.
    pub completions: String,
}

/// A manual page.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ManualPage {
    /// The page in roff.
    pub page: String,
}

/// Manual pages that were written.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ManualPages {
    /// Their paths.
    pub written: Vec<PathBuf>,
}

/// An account that was made or imported.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AccountMade {
    /// Its address.
    pub account: Account,
    /// The file of its key.
    pub keystore: PathBuf,
}

/// Accounts of the wallet.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AccountList {
    /// Their addresses.
    pub accounts: Vec<Account>,
}

/// What an account has.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Balance {
    /// The account.
    pub account: Account,
    /// Free in the market, base units.
    pub market: Decimal,
    /// Outside the market, base units.
    pub tokens: Decimal,
    /// Gas money.
    pub gas_wei: Decimal,
}

/// Money that was moved into the market or out of it.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Moved {
    /// `deposit` or `withdraw`.
    pub done: String,
    /// Base units.
    pub amount: Decimal,
    /// The transaction.
    pub transaction: Hash,
    /// Its block.
    pub block: u64,
    /// Its gas.
    pub gas_used: u64,
    /// What it cost.
    pub fee_wei: Decimal,
    /// Free in the market afterwards, base units.
    pub market: Decimal,
}

/// Test tokens and gas money that were made for an account.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Minted {
    /// Tokens that were made, base units.
    pub amount: Decimal,
    /// The transaction.
    pub transaction: Hash,
    /// Tokens that the account holds outside the market afterwards, base units.
    pub tokens: Decimal,
    /// Gas money that the account has afterwards.
    pub gas_wei: Decimal,
}

/// How a check of `rialto doctor` went.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[derive(Copy, PartialEq, Eq)]
pub enum CheckState {
    /// It works.
    #[serde(rename = "ok")]
    Ok,
    /// It works, but not well, or not for everything.
    #[serde(rename = "warning")]
    Warning,
    /// It does not work.
    #[serde(rename = "failed")]
    Failed,
}

/// A check of `rialto doctor`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// How it went.
    pub state: CheckState,
    /// What was found.
    pub found: String,
    /// Stable code; absent if all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What to do about it; absent if all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub what_to_do: Option<String>,
}

/// What `rialto doctor` found.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Diagnosis {
    /// All checks.
    pub checks: Vec<Check>,
    /// How many went well.
    pub ok: usize,
    /// How many warn.
    pub warnings: usize,
    /// How many failed.
    pub failed: usize,
}
