//! The `rialto` command: the only place that reads flags and environment, prints, and wires the parts together.

#![cfg_attr(test, allow(clippy::unwrap_used))]

/// The standard library's would end in a panic where nobody reads any more (`rialto … | head`).
macro_rules! print {
    ($($text:tt)*) => { $crate::print::say(format_args!($($text)*)) };
}

/// See [`print!`].
macro_rules! println {
    () => { print!("\n") };
    ($($text:tt)*) => { print!("{}\n", format_args!($($text)*)) };
}

mod args;
mod bench;
mod board;
mod check;
mod config;
mod deals;
mod demo;
mod deploy;
mod dispute;
mod doctor;
mod errand;
mod exit;
mod export;
mod jobs;
mod market;
mod named;
mod place;
mod plot;
mod print;
mod provide;
mod replay;
mod run;
mod shell;
mod up;
mod wallet;
mod watch;
mod windows;

use std::{io::Write, process::ExitCode, str::FromStr};

use anyhow::{Context, Result};
use args::{Cli, Command, Output};
use clap::Parser;
use market::LocalMarket;
use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let is_run = matches!(&cli.command, Command::Run(args) if !jobs::is_job(args));
    let outcome = logging(&cli.log).and_then(|()| {
        let runtime = runtime()?;
        let outcome = runtime.block_on(interruptible(&cli));
        // Blocking work (a compilation, a read of stdin) is not waited for: it owns nothing that needs an orderly end.
        runtime.shutdown_timeout(market::STOP_TIMEOUT);
        outcome
    });
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            complain(&cli, &error);
            ExitCode::from(if is_run { exit::RUN_FAILED } else { exit::for_error(&error) })
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the async runtime did not start")
}

/// Runs the command until it is done or interrupted. Either way temporary folders are removed: their owners are dropped.
async fn interruptible(cli: &Cli) -> Result<u8> {
    // What holds money or keeps others waiting ends in order: it minds its signals itself.
    match &cli.command {
        Command::Provide(args) => return provide::provide(args, &cli.place, cli.output).await,
        Command::Watch(args) => return watch::watch(args, &cli.place, cli.output).await,
        Command::Up(args) => return up::up(args, &cli.place, cli.output).await,
        Command::Host(_) => return jobs::host(&cli.place).await,
        Command::Run(args) if jobs::is_job(args) => return jobs::run(args, &cli.place, cli.output).await,
        Command::Jobs(args) => return jobs::jobs(args, &cli.place, cli.output).await,
        _ => {}
    }
    let (code, kept) = tokio::select! {
        done = dispatch(cli) => done?,
        () = market::interrupted() => {
            eprintln!("\ninterrupted");
            return Ok(exit::INTERRUPTED);
        }
    };
    if let Some(market) = kept {
        demo::keep(market, cli.output).await?;
    }
    Ok(code)
}

/// Exit code, and the market if it is to stay up.
async fn dispatch(cli: &Cli) -> Result<(u8, Option<LocalMarket>)> {
    match &cli.command {
        Command::Demo(args) => demo::demo(args, cli.output).await,
        Command::Run(args) => Ok((run::run(args, cli.output).await?, None)),
        Command::Job(args) => Ok((jobs::job(args, cli.output)?, None)),
        Command::VerifyBundle(args) => Ok((jobs::verify_bundle(args, cli.output)?, None)),
        Command::Bench(args) => Ok((bench::bench(args, cli.output).await?, None)),
        Command::Check(args) => Ok((check::check(args, cli.output).await?, None)),
        Command::Provider(args) => Ok((provide::provider(args, &cli.place, cli.output).await?, None)),
        Command::Down(args) => Ok((up::down(args, &cli.place, cli.output).await?, None)),
        Command::Wallet(args) => Ok((wallet::wallet(args, &cli.place, cli.output).await?, None)),
        Command::Market(args) => Ok((board::market(args, &cli.place, cli.output).await?, None)),
        Command::Deals(args) => Ok((deals::deals(args, &cli.place, cli.output).await?, None)),
        Command::Dispute(args) => Ok((dispute::dispute(args, &cli.place, cli.output).await?, None)),
        Command::Replay(args) => Ok((replay::replay(args, &cli.place, cli.output).await?, None)),
        Command::Deploy(args) => Ok((deploy::deploy(args, &cli.place, cli.output).await?, None)),
        Command::Doctor(args) => Ok((doctor::doctor(args, &cli.place, cli.output).await?, None)),
        Command::Completions(args) => Ok((shell::completions(args)?, None)),
        Command::Man(args) => Ok((shell::man(args, cli.output)?, None)),
        Command::Config(args) => Ok((config::config(args, &cli.place, cli.output)?, None)),
        Command::Provide(_) | Command::Watch(_) | Command::Up(_) | Command::Host(_) | Command::Jobs(_) => {
            unreachable!("they mind their signals themselves")
        }
    }
}

fn logging(filter: &str) -> Result<()> {
    let targets = Targets::from_str(filter).with_context(|| format!("--log {filter}: not a log filter"))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(true);
    tracing_subscriber::registry().with(lines).with(targets).init();
    Ok(())
}

fn complain(cli: &Cli, error: &anyhow::Error) {
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    match cli.output {
        Output::Human => {
            eprintln!("error: {}", causes[0]);
            causes[1..].iter().for_each(|cause| eprintln!("  because: {cause}"));
        }
        Output::Json => {
            let code = causes.iter().find_map(|cause| exit::code_of(cause));
            print_json(&serde_json::json!({ "error": causes.join(": "), "code": code, "causes": causes }));
        }
    }
}

/// One JSON object on stdout; a closed pipe is nobody's fault.
fn print_json(value: &serde_json::Value) {
    let _ = writeln!(std::io::stdout(), "{value:#}");
}
