//! Where a command works: home folder, market, account. The only place that reads the environment
//! for it.

pub mod hardware;
pub mod selling;
pub mod signals;
pub mod values;

use std::{
    ffi::OsString,
    io::IsTerminal,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use rialto_chain::PrivateKeySigner;
use rialto_client::{Home, MarketChoice, MarketConfig, Passphrase, Wallet};
use rialto_protocol::Address;

/// Flags that every command has.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Market and account")]
pub struct PlaceArgs {
    /// Home folder: configuration, keys, jobs, journals (default: $RIALTO_HOME, or
    /// ~/.local/share/rialto).
    #[arg(long, value_name = "DIR", global = true)]
    pub home: Option<PathBuf>,
    /// The chain: JSON-RPC endpoint of any EVM chain (default: config.toml, or the market of
    /// `rialto up`).
    #[arg(long, value_name = "URL", global = true)]
    pub rpc: Option<String>,
    /// The market's address on it.
    #[arg(long, value_name = "ADDRESS", global = true)]
    pub market: Option<Address>,
    /// The account to use, if the wallet has several.
    #[arg(long, value_name = "ADDRESS", global = true)]
    pub account: Option<Address>,
    /// File whose first line is the wallet's passphrase, readable by you alone; `<(…)` works.
    /// Otherwise you are asked.
    #[arg(long, value_name = "FILE", global = true)]
    pub passphrase_file: Option<PathBuf>,
}

impl PlaceArgs {
    /// The home folder; nothing is made.
    pub fn home(&self) -> Result<Home> {
        let folder = chosen(self.home.as_deref(), |name| std::env::var_os(name))?;
        // Background processes get it, too, wherever they run.
        Ok(Home::new(std::path::absolute(folder)?))
    }

    /// The market that is meant.
    pub fn market(&self) -> Result<MarketConfig> {
        let choice =
            MarketChoice { rpc: self.rpc.clone(), market: self.market, account: self.account };
        Ok(MarketConfig::find(&self.home()?, &choice)?)
    }

    /// The chain that is meant, for what needs no market on it yet.
    pub fn chain(&self) -> Result<MarketConfig> {
        let choice =
            MarketChoice { rpc: self.rpc.clone(), market: self.market, account: self.account };
        Ok(MarketConfig::find_chain(&self.home()?, &choice)?)
    }

    /// The wallet of this home.
    pub fn wallet(&self) -> Result<Wallet> {
        Ok(Wallet::new(self.home()?.wallet()))
    }

    /// Whose account is meant, without opening it.
    pub fn whose(&self, market: &MarketConfig) -> Result<Address> {
        match market.local_signer() {
            Some(local) => Ok(local.address()),
            None => Ok(self.wallet()?.choose(market.account)?),
        }
    }

    /// The key of the account that is meant: the local market's own, or one of the wallet, opened.
    pub async fn signer(&self, market: &MarketConfig) -> Result<PrivateKeySigner> {
        if let Some(local) = market.local_signer() {
            return Ok(local);
        }
        let wallet = self.wallet()?;
        let account = wallet.choose(market.account)?;
        let passphrase = self.passphrase(&format!("Passphrase of {account}: "))?;
        Ok(tokio::task::spawn_blocking(move || wallet.open(account, &passphrase)).await??)
    }

    /// From the file, or typed.
    pub fn passphrase(&self, prompt: &str) -> Result<Passphrase> {
        if let Some(file) = &self.passphrase_file {
            return Ok(Passphrase::from_file(&resolved(file)?)?);
        }
        if !std::io::stdin().is_terminal() {
            bail!(failure!(
                NoKey,
                "W-011",
                "nobody is there to type the passphrase: pass --passphrase-file FILE"
            ));
        }
        Ok(Passphrase::new(&rpassword::prompt_password(prompt)?)?)
    }

    /// A new passphrase: from the file, or typed twice.
    pub fn new_passphrase(&self) -> Result<Passphrase> {
        if self.passphrase_file.is_some() || !std::io::stdin().is_terminal() {
            return self.passphrase("");
        }
        let first = rpassword::prompt_password("New passphrase: ")?;
        if first != rpassword::prompt_password("Again: ")? {
            bail!(failure!(NoKey, "W-012", "the two differ: nothing was kept"));
        }
        Ok(Passphrase::new(&first)?)
    }
}

/// The home folder: as it was said, or where the desktop's rules put data. An empty variable is
/// none, and so is a relative one where an absolute one has to be.
fn chosen(flag: Option<&Path>, variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let absolute = |name| set(name).filter(|path| path.is_absolute());
    let home = absolute("HOME");
    if let Some(named) = flag.map(Path::to_path_buf).or_else(|| set("RIALTO_HOME")) {
        ensure!(!named.as_os_str().is_empty(), failure!(Usage, "C-HOM-002", "--home is empty"));
        return expanded(&named, home.as_deref());
    }
    let data = absolute("XDG_DATA_HOME").or_else(|| home.map(|home| home.join(".local/share")));
    Ok(data
        .context(failure!(Usage, "C-HOM-002", "no home folder: pass --home DIR"))?
        .join("rialto"))
}

/// The user's own folder: what `~` is.
pub fn user_home() -> Option<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute())
}

/// A path as it was written, where no shell has replaced `~`: `--to=~/x`.
pub fn resolved(path: &Path) -> Result<PathBuf> {
    expanded(path, user_home().as_deref())
}

fn expanded(path: &Path, home: Option<&Path>) -> Result<PathBuf> {
    match (path.strip_prefix("~"), home) {
        (Err(_), _) => Ok(path.to_owned()),
        (Ok(rest), Some(home)) if rest.as_os_str().is_empty() => Ok(home.to_owned()),
        (Ok(rest), Some(home)) => Ok(home.join(rest)),
        (Ok(_), None) => {
            bail!(failure!(Usage, "C-HOM-002", "nobody says where `~` is: HOME is not set"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_is_none() {
        let home = |flag: Option<&str>, set: &[(&str, &str)]| {
            let variable = |name: &str| {
                set.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
            };
            chosen(flag.map(Path::new), variable)
                .map(|path| path.display().to_string())
                .unwrap_or_else(|why| why.to_string())
        };
        let own = ("HOME", "/home/me");
        let share = "/home/me/.local/share/rialto";
        assert_eq!(home(None, &[own]), share);
        assert_eq!(home(None, &[own, ("XDG_DATA_HOME", "/data")]), "/data/rialto");
        assert_eq!(home(None, &[own, ("XDG_DATA_HOME", "")]), share);
        assert_eq!(
            home(None, &[own, ("XDG_DATA_HOME", "data")]),
            share,
            "relative: to be ignored, says the rule"
        );
        assert_eq!(home(None, &[own, ("RIALTO_HOME", "")]), share);
        assert_eq!(home(None, &[own, ("RIALTO_HOME", "here")]), "here");
        assert_eq!(home(None, &[own, ("RIALTO_HOME", "~/r")]), "/home/me/r");
        assert_eq!(home(Some("/flag"), &[own, ("RIALTO_HOME", "/r")]), "/flag");
        assert_eq!(home(Some("~"), &[own]), "/home/me");
        for nowhere in [
            home(None, &[]),
            home(None, &[("HOME", "")]),
            home(None, &[("HOME", "me")]),
            home(Some(""), &[own]),
        ] {
            assert!(nowhere.starts_with("[C-HOM-002]"), "{nowhere}");
        }
    }
}
