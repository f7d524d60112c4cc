//! `rialto up`: a market on this machine that stays up: embedded chain, contracts, providers, and
//! an account with money. Everything lies in the home's `local/` and is there again after a
//! restart, a kill, a power cut.

use std::{
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use rialto_client::{
    Class, Home, LocalFacts,
    control::{self, Refusal},
    view,
};
use rialto_exec::Engine;
use rialto_local_market::{ProviderPlan, Standing};
use rialto_provider::Price;
use serde::{Deserialize, Serialize};
use tokio::{sync::Notify, time::Instant};

use crate::{
    env::{PlaceArgs, signals},
    exit,
    ui::{Paint, Ui, money},
};

/// Price of the first local provider, base units per Tfuel, and what each next one asks more.
const PRICE: u128 = 120_000;
const PRICE_STEP: u128 = 15_000;
/// Fee per task of the local providers, base units.
const TASK_FEE: u128 = 10;
/// Longest wait for a market in the background, and for one to end.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often it is looked at meanwhile.
const PAUSE: Duration = Duration::from_millis(100);
/// Lines of its log that are shown when it does not start.
const LOG_LINES: usize = 12;

/// `rialto up`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rialto up                    # until Ctrl-C; `rialto up` again goes on where it was
  rialto up --detach           # in the background
  rialto run job.toml          # buys from it
  rialto down                  # ends it; --wipe forgets it")]
pub struct Up {
    /// Providers on the market.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=rialto_local_market::MAX_PROVIDERS.into()))]
    pub providers: u32,
    /// Run in the background, and return once it is up.
    #[arg(long)]
    pub detach: bool,
}

/// `rialto down`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  rialto down\n  rialto down --wipe    # its chain, jobs and journals are removed, too"
)]
pub struct Down {
    /// Remove everything that the local market and its users wrote: chain, journals, jobs.
    #[arg(long)]
    pub wipe: bool,
}

/// What the local market can be asked through its socket.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Request {
    /// Where it is.
    Facts,
    /// End in order.
    Stop,
}

/// Keeps a market up until told to stop.
pub async fn up(args: &Up, place: &PlaceArgs, ui: Ui) -> Result<u8> {
    let home = place.home()?;
    rialto_client::private_dir(&home.local())?;
    if let Some(facts) = control::ask::<LocalFacts>(&home.local(), &Request::Facts).await? {
        bail!(failure!(
            Failed,
            "C-UP-001",
            "it is up already, as process {}: `rialto down` ends it",
            facts.pid
        ));
    }
    if args.detach {
        return detach(args, &home, ui).await;
    }
    let engine = Engine::new(rialto_exec::Config::new(home.local().join("programs")))?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u32;
    let cache = home.local().join("speed.json");
    let fuel_per_second =
        tokio::task::spawn_blocking(move || crate::env::hardware::speed(&engine, cores, &cache))
            .await??;
    let plans: Vec<ProviderPlan> = (0..args.providers)
        .map(|n| {
            ProviderPlan::honest(Price::Constant(PRICE + PRICE_STEP * u128::from(n)), TASK_FEE)
        })
        .collect();
    let standing = Standing::start(&home.local(), &plans, fuel_per_second).await?;
    let facts = standing.facts();
    facts.write(&home)?;
    let stop = std::sync::Arc::new(Notify::new());
    let served = {
        let (facts, stop) = (facts.clone(), stop.clone());
        control::serve(&home.local(), move |request, mut answers: control::Answers| {
            let (facts, stop) = (facts.clone(), stop.clone());
            async move {
                if matches!(request, Request::Stop) {
                    stop.notify_one();
                }
                let sent = answers.send(&facts).await;
                let gone =
                    |why: std::io::Error| Refusal { class: Class::Failed, text: why.to_string() };
                (answers, sent.map_err(gone))
            }
        })?
    };
    announce(&home, &facts, standing.chain.account(facts.requester).await?, args.providers, ui);
    let told = tokio::select! {
        () = signals::interrupted() => true,
        () = stop.notified() => false,
    };
    LocalFacts::remove(&home);
    if told && ui.for_people() {
        eprintln!("\ngoing down: `rialto up` goes on from here");
    }
    standing.stop().await;
    // Last: whoever waits for the end watches the socket.
    drop(served);
    Ok(exit::OK)
}

fn announce(home: &Home, facts: &LocalFacts, account: u128, providers: u32, ui: Ui) {
    let config = LocalFacts::config(home);
    let text = format!(
        "{}\n  market     {} on chain {}\n  rpc        {}\n  providers  {providers}\n  account    {} with {}\n\n  rialto market                 what is on offer\n  rialto run prog.wasm          buys from it\n  rialto down                   ends it\n\n  another home folder joins with {} as its config.toml; `rialto wallet mint` funds it",
        Paint::for_stdout().bold("the local market is up"),
        facts.market,
        facts.chain_id,
        facts.rpc,
        facts.requester,
        money(account),
        config.display(),
    );
    ui.answer(&text, || view::MarketUp {
        config,
        up: facts.clone(),
        providers,
        account: account.into(),
    });
}

/// Starts it as a process of its own and waits until it answers.
async fn detach(args: &Up, home: &Home, ui: Ui) -> Result<u8> {
    let log = home.local().join("up.log");
    let (out, said) = crate::job::background::log_of(&log)?;
    // What goes wrong is told on its standard error, in words.
    let mut child = Command::new(std::env::current_exe()?)
        .arg("--home")
        .arg(home.path())
        .args(["up", "--providers", &args.providers.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(out)
        // Ctrl-C on this terminal is not for it, and it keeps no folder busy: a disk can be
        // unmounted.
        .current_dir("/")
        .process_group(0)
        .spawn()?;
    let patience = Instant::now() + PATIENCE;
    loop {
        if let Some(facts) = control::ask::<LocalFacts>(&home.local(), &Request::Facts).await? {
            let chain = rialto_chain::ChainConfig::new(
                rialto_chain::Rpc::Http(facts.rpc.parse()?),
                facts.market,
            );
            let chain = rialto_chain::Chain::connect(chain).await?;
            announce(home, &facts, chain.account(facts.requester).await?, args.providers, ui);
            return Ok(exit::OK);
        }
        if let Some(ended) = child.try_wait()? {
            bail!(failure!(
                Failed,
                "C-UP-002",
                "it did not start ({ended}):\n{}",
                crate::job::background::tail(&log, said, LOG_LINES)
            ));
        }
        ensure!(
            Instant::now() < patience,
            failure!(Failed, "C-UP-002", "it does not answer: see {}", log.display())
        );
        tokio::time::sleep(PAUSE).await;
    }
}

/// Ends the local market.
pub async fn down(args: &Down, place: &PlaceArgs, ui: Ui) -> Result<u8> {
    let home = place.home()?;
    let ran = control::ask::<LocalFacts>(&home.local(), &Request::Stop).await?;
    let patience = Instant::now() + PATIENCE;
    while ran.is_some()
        && control::ask::<LocalFacts>(&home.local(), &Request::Facts)
            .await
            .is_ok_and(|up| up.is_some())
    {
        ensure!(
            Instant::now() < patience,
            failure!(
                Failed,
                "C-UP-003",
                "it does not end: see {}",
                home.local().join("up.log").display()
            )
        );
        tokio::time::sleep(PAUSE).await;
    }
    if ran.is_none() && !args.wipe {
        bail!(failure!(Failed, "C-UP-004", "no local market runs in {}", home.path().display()));
    }
    let removed = if args.wipe { wipe(&home)? } else { Vec::new() };
    let text = match (ran.is_some(), removed.len()) {
        (_, n) if n > 0 => format!("down; {n} folders and files removed"),
        (true, _) => "down: `rialto up` goes on from here".to_owned(),
        _ => "nothing was there".to_owned(),
    };
    ui.answer(&text, || view::MarketDown { was_up: ran.is_some(), removed: removed.clone() });
    Ok(exit::OK)
}

/// Removes the local market and what its requesters and providers wrote: a new chain would know
/// nothing of it.
fn wipe(home: &Home) -> Result<Vec<PathBuf>> {
    let mut folders = vec![home.local()];
    for role in ["requester", "provider", "wallet"] {
        let Ok(entries) = std::fs::read_dir(home.path().join(role)) else { continue };
        let local = format!("{}-", rialto_local_market::CHAIN_ID);
        folders.extend(
            entries
                .filter_map(|entry| Some(entry.ok()?.path()))
                // Of the wallet, the journals of transactions; never the keys.
                .filter(|path| {
                    role != "wallet" || path.extension().is_some_and(|kind| kind == "redb")
                })
                .filter(|path| {
                    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&local))
                }),
        );
    }
    folders.retain(|folder| folder.exists());
    for folder in &folders {
        let removed = if folder.is_dir() {
            std::fs::remove_dir_all(folder)
        } else {
            std::fs::remove_file(folder)
        };
        removed.with_context(|| failure!(Failed, "C-HOM-001", "{}", folder.display()))?;
    }
    Ok(folders)
}
