//! `rialto bench`: how fast this machine is at it. docs/benchmarks.md has the numbers that we know.

mod exec;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::args::Output;

/// `rialto bench`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rialto bench exec
  rialto bench exec --only sieve,sort --rounds 9 --output json")]
pub struct Bench {
    /// What to measure.
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Canonical programs against plain modules in wasmtime and against the same C compiled natively.
    Exec(exec::Exec),
}

/// Runs one benchmark.
pub async fn bench(args: &Bench, format: Output) -> Result<u8> {
    match &args.what {
        What::Exec(args) => {
            let args = args.clone();
            tokio::task::spawn_blocking(move || exec::run(&args, format)).await??;
        }
    }
    Ok(0)
}
