//! The background process that holds a requester's jobs: started when it is needed, ended when it
//! has nothing to do.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use rialto_client::{Buyer, Host, HostError, MarketConfig, Passphrase};
use rialto_requester::RequesterError;
use tokio::time::{Instant, sleep};

use crate::{
    env::{PlaceArgs, signals},
    exit::{self, NotStarted},
};

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
/// Bytes of a log at which the next process begins another; the one before is kept.
const MAX_LOG_BYTES: u64 = 8 << 20;

/// Works in the background until there is nothing to do.
pub async fn serve(place: &PlaceArgs) -> Result<u8> {
    let market = place.market()?;
    let signer = place.signer(&market).await?;
    let buyer = match Buyer::start(&place.home()?, &market, signer).await {
        Err(why @ HostError::Requester(RequesterError::Journal(_))) => {
            eprintln!("error: {why}");
            return Ok(exit::BUSY);
        }
        started => started?,
    };
    rialto_client::host::serve(buyer, signals::interrupted()).await?;
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

/// Starts a host and waits until it answers. One that was killed just now may hold its files a
/// little longer.
pub async fn start(host: &Host, place: &PlaceArgs, secret: Option<&Passphrase>) -> Result<()> {
    for _ in 1..ATTEMPTS {
        match launch(host, place, secret).await? {
            Launched::Answers => return Ok(()),
            Launched::Ended { exit, .. } if exit == Some(exit::BUSY.into()) => sleep(BETWEEN).await,
            Launched::Ended { exit, said } => bail!(NotStarted::new(exit, said)),
        }
    }
    match launch(host, place, secret).await? {
        Launched::Answers => Ok(()),
        Launched::Ended { exit, said } => bail!(NotStarted::new(exit, said)),
    }
}

/// What became of a process that was started.
enum Launched {
    /// It answers, or another one does.
    Answers,
    /// It ended.
    Ended {
        /// With this exit code; none if it was killed.
        exit: Option<i32>,
        /// The end of its log.
        said: String,
    },
}

async fn launch(host: &Host, place: &PlaceArgs, secret: Option<&Passphrase>) -> Result<Launched> {
    let log = host.folder().join(LOG);
    let (out, said) = log_of(&log)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--home").arg(place.home()?.path()).args(["--log", "warn,iroh=off"]);
    // The local market's facts are in the home folder; a URL given here was on a command line
    // before.
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
    // Ctrl-C on this terminal is not for it, and it keeps no folder busy: a disk can be unmounted.
    command.current_dir("/").process_group(0);
    let mut child = command.arg("host").stdin(stdin).stdout(Stdio::null()).stderr(out).spawn()?;
    if let (Some(secret), Some(stdin)) = (secret, child.stdin.take()) {
        // One that has ended already says why in its log.
        let _ = secret.hand_over(stdin);
    }
    let patience = Instant::now() + PATIENCE;
    loop {
        if host.runs().await?.is_some() {
            return Ok(Launched::Answers);
        }
        if let Some(ended) = child.try_wait()? {
            // Another command may have been faster.
            if host.runs().await?.is_some() {
                return Ok(Launched::Answers);
            }
            let (exit, said) = (ended.code(), tail(&log, said, LOG_LINES));
            return Ok(Launched::Ended { exit, said });
        }
        ensure!(
            Instant::now() < patience,
            failure!(
                Failed,
                "C-HST-001",
                "the background process does not answer: see {}",
                log.display()
            )
        );
        sleep(PAUSE).await;
    }
}

/// A log to go on with, and how much is in it already. A large one is put aside first.
pub fn log_of(path: &Path) -> Result<(File, u64)> {
    let failed = || failure!(Failed, "C-HOM-001", "{}", path.display());
    if path.metadata().is_ok_and(|about| about.len() > MAX_LOG_BYTES) {
        std::fs::rename(path, path.with_extension("log.1")).with_context(failed)?;
    }
    let log = File::options().create(true).append(true).open(path).with_context(failed)?;
    let said = log.metadata().with_context(failed)?.len();
    Ok((log, said))
}

/// The last lines of a log after so many bytes.
pub fn tail(log: &Path, said: u64, lines: usize) -> String {
    let read = || {
        let mut file = File::open(log)?;
        file.seek(SeekFrom::Start(said))?;
        let mut bytes = Vec::new();
        file.take(MAX_LOG_BYTES).read_to_end(&mut bytes)?;
        std::io::Result::Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let all: Vec<&str> = text.lines().map(|line| line.trim_start_matches("error: ")).collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_log_goes_on_and_does_not_grow_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LOG);
        let (mut first, said) = log_of(&path).unwrap();
        assert_eq!(said, 0);
        first.write_all(b"error: old\n").unwrap();
        let (mut second, said) = log_of(&path).unwrap();
        second.write_all(b"error: one\nerror: two\nthree\n").unwrap();
        assert_eq!(tail(&path, said, 2), "two\nthree");
        assert_eq!(tail(&path, 0, 9), "old\none\ntwo\nthree");
        second.set_len(MAX_LOG_BYTES + 1).unwrap();
        let (_, said) = log_of(&path).unwrap();
        assert_eq!((said, folder.path().join("host.log.1").exists()), (0, true));
    }
}
