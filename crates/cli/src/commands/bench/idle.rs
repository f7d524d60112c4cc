//! `rialto bench idle`: what a provider costs that has nothing to do. It runs as a process of its
//! own, `rialto provide` as anybody starts it, on an embedded chain of this process that makes a
//! block a second.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use rialto_client::{LOCAL_REQUESTER, Passphrase, Wallet, local_key, view, write_private};
use rialto_local_market::{Folder, LocalMarket};
use serde_json::Value;

use super::usage::{self, Usage};
use crate::ui::{Output, Ui, json_on_lines};

/// Time that a provider gets to become quiet: cores measured, first offers out.
const SETTLE: Duration = Duration::from_secs(10);
/// What a core is said to do: nothing is measured at the start.
const FUEL_PER_SECOND: u64 = 500_000_000;

/// `rialto bench idle`
#[derive(Clone, Debug, Args)]
pub struct Idle {
    /// Time to watch it, seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
}

/// Measures and prints.
pub async fn run(args: &Idle, ui: Ui) -> Result<()> {
    let market = LocalMarket::start(Folder::new(None)?, &[], FUEL_PER_SECOND).await?;
    let server = market.serve_rpc().await?;
    let home = tempfile::tempdir()?;
    let rpc = format!("http://{}", server.addr());
    let provider = tokio::task::block_in_place(|| Provider::start(home.path(), &rpc, &market))?;
    tokio::time::sleep(SETTLE).await;
    let before = provider.usage()?;
    tokio::time::sleep(Duration::from_secs(args.seconds)).await;
    let after = provider.usage()?;
    drop(provider);
    market.stop().await;
    server.shutdown().await;
    let cpu = after.cpu.saturating_sub(before.cpu);
    let share = cpu.as_secs_f64() / args.seconds as f64;
    let switches = after.switches.saturating_sub(before.switches) as f64 / args.seconds as f64;
    match ui.output() {
        Output::Json => json_on_lines(&view::BenchIdle {
            seconds: args.seconds,
            cpu_share: share,
            cpu_seconds: cpu.as_secs_f64(),
            memory_bytes: after.memory,
            grown_bytes: after.memory as i64 - before.memory as i64,
            open_files: after.files,
            threads: after.threads,
            wakeups_per_second: switches,
        }),
        Output::Human => {
            println!("an idle provider, watched for {} s", args.seconds);
            println!("  {:.2} % of one core, {switches:.0} wake-ups a second", share * 100.0);
            println!("  {:.1} MiB resident", after.memory as f64 / f64::from(1 << 20));
            println!("  {} open files, {} threads", after.files, after.threads);
        }
    }
    Ok(())
}

/// `rialto provide` in a process of its own; killed when dropped.
struct Provider(Child);

impl Provider {
    /// Returns once it has started.
    fn start(home: &Path, rpc: &str, market: &LocalMarket) -> Result<Self> {
        // The requester's account has gas money and a deposit, which is all that a provider needs.
        let passphrase = home.join("passphrase");
        write_private(&passphrase, b"benchmark\n")?;
        Wallet::new(home.join("wallet"))
            .add(&local_key(LOCAL_REQUESTER), &Passphrase::new("benchmark")?)?;
        let settings =
            format!("[price]\nfuel = 0.1\n[machine]\nfuel_per_second = {FUEL_PER_SECOND}\n");
        std::fs::write(home.join("provider.toml"), settings)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args([
            "--output",
            "json",
            "provide",
            "--bind",
            "127.0.0.1:0",
            "--rpc",
            rpc,
            "--market",
        ]);
        command.arg(market.deployed.market.to_string()).arg("--home").arg(home);
        command
            .arg("--passphrase-file")
            .arg(&passphrase)
            .stdout(Stdio::piped())
            .stdin(Stdio::null());
        let mut provider = Self(command.spawn().context("rialto provide did not start")?);
        let lines = BufReader::new(provider.0.stdout.take().context("its output is not read")?);
        for line in lines.lines() {
            let event: Value = serde_json::from_str(&line?).unwrap_or_default();
            if event["event"] == "started" {
                return Ok(provider);
            }
        }
        bail!("rialto provide ended before it had started")
    }

    fn usage(&self) -> Result<Usage> {
        let usage = usage::of(self.0.id());
        ensure!(usage.memory > 0, "the provider has ended, or there is no /proc");
        Ok(usage)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
