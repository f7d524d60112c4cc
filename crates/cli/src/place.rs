//! Where a command works: home folder, market, account. The only place that reads the environment for it.

use std::{io::IsTerminal, path::PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use rialto_chain::PrivateKeySigner;
use rialto_client::{Home, MarketChoice, MarketConfig, Passphrase, Wallet};
use rialto_protocol::Address;

/// Flags that every command has.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Market and account")]
pub struct PlaceArgs {
    /// Home folder: configuration, keys, jobs, journals (default: $RIALTO_HOME, or ~/.local/share/rialto).
    #[arg(long, value_name = "DIR", global = true)]
    pub home: Option<PathBuf>,
    /// The chain: JSON-RPC endpoint of any EVM chain (default: config.toml, or the market of `rialto up`).
    #[arg(long, value_name = "URL", global = true)]
    pub rpc: Option<String>,
    /// The market's address on it.
    #[arg(long, value_name = "ADDRESS", global = true)]
    pub market: Option<Address>,
    /// The account to use, if the wallet has several.
    #[arg(long, value_name = "ADDRESS", global = true)]
    pub account: Option<Address>,
    /// File whose first line is the wallet's passphrase, readable by you alone; `<(…)` works. Otherwise you are asked.
    #[arg(long, value_name = "FILE", global = true)]
    pub passphrase_file: Option<PathBuf>,
}

impl PlaceArgs {
    /// The home folder; nothing is made.
    pub fn home(&self) -> Result<Home> {
        let named = self.home.clone().or_else(|| std::env::var_os("RIALTO_HOME").map(PathBuf::from));
        let data = || std::env::var_os("XDG_DATA_HOME").map(PathBuf::from);
        let own = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share"));
        let folder = match named {
            Some(folder) => folder,
            None => data().or_else(own).context("[C-HOM-002] no home folder: pass --home DIR")?.join("rialto"),
        };
        // Background processes get it, too, wherever they run.
        Ok(Home::new(std::path::absolute(folder)?))
    }

    /// The market that is meant.
    pub fn market(&self) -> Result<MarketConfig> {
        let choice = MarketChoice { rpc: self.rpc.clone(), market: self.market, account: self.account };
        Ok(MarketConfig::find(&self.home()?, &choice)?)
    }

    /// The chain that is meant, for what needs no market on it yet.
    pub fn chain(&self) -> Result<MarketConfig> {
        let choice = MarketChoice { rpc: self.rpc.clone(), market: self.market, account: self.account };
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
            return Ok(Passphrase::from_file(file)?);
        }
        if !std::io::stdin().is_terminal() {
            bail!("[W-011] nobody is there to type the passphrase: pass --passphrase-file FILE");
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
            bail!("[W-012] the two differ: nothing was kept");
        }
        Ok(Passphrase::new(&first)?)
    }
}
