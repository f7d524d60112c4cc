//! `rialto bench`: how fast this machine is at it. Numbers count for an optimised build:
//! `cargo run --release -- bench …`; docs/benchmarks.md has those we know.

mod compare;
mod exec;
mod idle;
mod latency;
mod matching;
mod net;
mod spread;
mod tasks;
mod usage;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::ui::Ui;

/// `rialto bench`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rialto bench exec
  rialto bench exec --only sieve,sort --rounds 9 --output json
  rialto bench match --asks 1000000
  rialto bench compare --python ./venv/bin/python
  rialto bench tasks
  rialto bench tasks --tasks 200000 --policy replicas=2 --output json")]
pub struct Bench {
    /// What to measure.
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Canonical programs against plain modules in wasmtime and against the same C compiled
    /// natively.
    Exec(exec::Exec),
    /// The cheapest k of a million asks under a job's constraints, by the index and by looking at
    /// all.
    Match(matching::Match),
    /// The same tiny tasks on Ray and Dask, where python3 has them.
    Compare(compare::Compare),
    /// How long a result takes on an open deal, one task at a time.
    Latency(latency::Latency),
    /// What a provider with nothing to do costs: processor, memory, files.
    Idle(idle::Idle),
    /// Checked blobs against a bare QUIC stream, on loopback.
    Net(net::Net),
    /// Tiny tasks per second, from order to voucher, on a market on this machine.
    Tasks(tasks::Tasks),
}

/// Runs one benchmark.
pub async fn bench(args: &Bench, ui: Ui) -> Result<u8> {
    if cfg!(debug_assertions) {
        eprintln!(
            "rialto: this is a development build: numbers count for cargo run --release -- bench …"
        );
    }
    match &args.what {
        What::Exec(args) => {
            let args = args.clone();
            tokio::task::spawn_blocking(move || exec::run(&args, ui)).await??;
        }
        What::Match(args) => {
            let args = args.clone();
            tokio::task::spawn_blocking(move || matching::run(&args, ui)).await??;
        }
        What::Compare(args) => compare::run(args, ui).await?,
        What::Latency(args) => latency::run(args, ui).await?,
        What::Idle(args) => idle::run(args, ui).await?,
        What::Net(args) => net::run(args, ui).await?,
        What::Tasks(args) => tasks::run(args, ui).await?,
    }
    Ok(0)
}
