//! The background process that holds a requester's jobs: started when it is needed, ended when it has nothing to do.

use std::{
    fs::File,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use rialto_client::{Buyer, Host, MarketConfig, Passphrase};
use tokio::time::{Instant, sleep};

use crate::{exit, market, place::PlaceArgs};

/// Longest wait for a host to answer: it may have much to read.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked at meanwhile.
const PAUSE: Duration = Duration::from_millis(50);
/// Attempts to start one whose files are held, and the pause between them.
const ATTEMPTS: u32 = 4;
const BETWEEN: Duration = Duration::from_millis(500);
/// Lines of its log that are shown when it does not start.
const LOG_LINES: usize = 6;
/// Its log, in its folder.
const LOG: &str = "host.log";

/// `rialto host`: for other commands.
#[derive(Debug, Args)]
pub struct HostArgs {}

/// Works in the background until there is nothing to do.
pub async fn host(place: &PlaceArgs) -> Result<u8> {
    let market = place.market()?;
    let signer = place.signer(&market).await?;
    let buyer = Buyer::start(&place.home()?, &market, signer).await?;
    rialto_client::host::serve(buyer, market::interrupted()).await?;
    Ok(exit::OK)
}

/// Which host is meant, whether it runs or not.
pub async fn place_of(place: &PlaceArgs) -> Result<(Host, MarketConfig)> {
    let (home, market) = (place.home()?, place.market()?);
    let account = place.whose(&market)?;
    let connected = match &market.local {
        Some(local) => Ok(local.chain_id),
        None => market.connect().await.map(|chain| chain.chain_id()),
    };
    match connected {
        Ok(chain_id) => Ok((Host::new(home.requester(chain_id, market.market, account)), market)),
        Err(why) => {
            // One that runs knows its jobs without the chain, too.
            let Some(host) = home.known_requester(market.market, account).map(Host::new) else {
                return Err(why.into());
            };
            if host.runs().await?.is_none() {
                return Err(why.into());
            }
            eprintln!(
                "rialto: {why}\nrialto: this is what the background process knows; it goes on when the market is back"
            );
            Ok((host, market))
        }
    }
}

/// A host that runs. The passphrase, if it was asked for, restarts it should it be killed.
pub async fn running(place: &PlaceArgs) -> Result<(Host, Option<Passphrase>)> {
    let (host, market) = place_of(place).await?;
    rialto_client::private_dir(host.folder())?;
    if host.runs().await?.is_some() {
        return Ok((host, None));
    }
    let secret = match market.local_signer() {
        Some(_) => None,
        None => Some(place.passphrase("Passphrase: ")?),
    };
    // Whether the market is there is told better by this process than by one in the background.
    market.connect().await?;
    start(&host, place, secret.as_ref()).await?;
    Ok((host, secret))
}

/// Starts a host and waits until it answers. One that was killed just now may hold its files a little longer.
pub async fn start(host: &Host, place: &PlaceArgs, secret: Option<&Passphrase>) -> Result<()> {
    for _ in 1..ATTEMPTS {
        match launch(host, place, secret).await {
            Err(error) if exit::code_of(&error.to_string()) == Some("R-SVC-001") => sleep(BETWEEN).await,
            other => return other,
        }
    }
    launch(host, place, secret).await
}

async fn launch(host: &Host, place: &PlaceArgs, secret: Option<&Passphrase>) -> Result<()> {
    let log = host.folder().join(LOG);
    let out = File::create(&log).with_context(|| format!("[C-HOM-001] {}", log.display()))?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--home").arg(place.home()?.path()).args(["--log", "warn,iroh=off"]);
    // The local market's facts are in the home folder; a URL given here was on a command line before.
    for (flag, value) in [
        ("--rpc", place.rpc.clone()),
        ("--market", place.market.map(|market| market.to_string())),
        ("--account", place.account.map(|account| account.to_string())),
    ] {
        if let Some(value) = value {
            command.args([flag, &value]);
        }
    }
    if secret.is_some() {
        command.args(["--passphrase-file", "/dev/stdin"]);
    }
    let stdin = if secret.is_some() { Stdio::piped() } else { Stdio::null() };
    // Ctrl-C on this terminal is not for it.
    let mut child = command.arg("host").stdin(stdin).stdout(Stdio::null()).stderr(out).process_group(0).spawn()?;
    if let (Some(secret), Some(stdin)) = (secret, child.stdin.take()) {
        // One that has ended already says why in its log.
        let _ = secret.hand_over(stdin);
    }
    let patience = Instant::now() + PATIENCE;
    loop {
        if host.runs().await?.is_some() {
            return Ok(());
        }
        if child.try_wait()?.is_some() {
            // Another command may have been faster.
            if host.runs().await?.is_some() {
                return Ok(());
            }
            bail!("the background process did not start: {}", tail(&log));
        }
        ensure!(Instant::now() < patience, "[C-HST-001] the background process does not answer: see {}", log.display());
        sleep(PAUSE).await;
    }
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(|line| line.trim_start_matches("error: ")).collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}
