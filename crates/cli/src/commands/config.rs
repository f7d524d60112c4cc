//! `rialto config`: where the configuration is, what it says, and a commented one to begin with.

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use rialto_client::view;

use crate::{env::PlaceArgs, ui::Ui};

/// `rialto config`
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  rialto config init\n  rialto config show --output json")]
pub struct Config {
    /// What to do.
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Write a commented config.toml into the home folder.
    Init,
    /// Show the market and the account that commands use now.
    Show,
    /// Show where the configuration is.
    Path,
}

/// Runs one of them.
pub fn config(args: &Config, place: &PlaceArgs, ui: Ui) -> Result<u8> {
    let home = place.home()?;
    let file = home.config();
    match args.what {
        What::Init => {
            if file.exists() {
                bail!(failure!(
                    Usage,
                    "C-CFG-005",
                    "{} is there already: edit it, or move it away",
                    file.display()
                ));
            }
            rialto_client::private_dir(home.path())?;
            rialto_client::write_private(&file, rialto_client::CONFIG_TEMPLATE.as_bytes())?;
            ui.answer(&format!("wrote {}", file.display()), || view::Written {
                written: file.clone(),
            });
        }
        What::Path => {
            ui.answer(&file.display().to_string(), || view::ConfigPath { path: file.clone() })
        }
        What::Show => {
            let market = place.market()?;
            let rpc = format!("{:?}", market.rpc);
            let rpc = rpc.trim_start_matches("Http(").trim_end_matches(')');
            let from = if market.local.is_some() { "rialto up" } else { "flags and config.toml" };
            let account = place.whose(&market);
            let shown = account.as_ref().map_or_else(ToString::to_string, ToString::to_string);
            let text = format!(
                "home     {}\nmarket   {} ({from})\nrpc      {rpc}\naccount  {shown}\nlistens  {}{}",
                home.path().display(),
                market.market,
                market.listens(),
                market.relay.as_ref().map_or_else(String::new, |relay| format!(", relay {relay}")),
            );
            ui.answer(&text, || view::ConfigShown {
                home: home.path().to_owned(),
                market: market.market.into(),
                rpc: rpc.to_owned(),
                local: market.local.is_some(),
                account: account.ok().map(Into::into),
                bind: market.listens(),
                relay: market.relay.clone(),
                first_block: market.first_block,
                confirmations: market.confirmations,
            });
        }
    }
    Ok(0)
}
