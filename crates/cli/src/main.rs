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

/// See [`print!`]: what providers and programs said passes through it.
macro_rules! eprintln {
    ($($text:tt)*) => { $crate::print::say_aside(format_args!("{}\n", format_args!($($text)*))) };
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

use std::{process::ExitCode, str::FromStr};

use anyhow::{Context, Result};
use args::{Cli, Command, Output};
use clap::Parser;
use market::LocalMarket;
use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

fn main() -> ExitCode {
    rialto_exec::worker::main_if_worker(std::env::args_os());
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(told) => return refuse(&told),
    };
    let is_run = matches!(&cli.command, Command::Run(args) if !jobs::is_job(args));
    let outcome = logging(&cli.log).and_then(|()| {
        let runtime = runtime()?;
        let outcome = runtime.block_on(interruptible(&cli));
        // Blocking work (a compilation, a read of stdin) is not waited for: it owns nothing that needs an orderly end.
        runtime.shutdown_timeout(market::STOP_TIMEOUT);
        outcome
    });
    let outcome = match (outcome, print::finish()) {
        (outcome, Ok(())) => outcome,
        (_, Err(lost)) => {
            // Not where it can't be written.
            eprintln!("error: {lost}\n  because: {}", lost.root_cause());
            return ExitCode::from(if is_run { exit::RUN_FAILED } else { exit::FAILED });
        }
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            complain(&cli, &error);
            ExitCode::from(if is_run { exit::RUN_FAILED } else { exit::for_error(&error) })
        }
    }
}

/// Whether JSON was asked for, on a command line that could not be read otherwise.
fn wants_json(args: impl Iterator<Item = std::ffi::OsString>) -> bool {
    let args: Vec<_> = args.take_while(|arg| arg != "--").collect();
    args.iter().any(|arg| arg == "--output=json") || args.windows(2).any(|two| two[0] == "--output" && two[1] == "json")
}

/// Help, a version, or what is wrong with the command line.
fn refuse(told: &clap::Error) -> ExitCode {
    let code = u8::try_from(told.exit_code()).unwrap_or(exit::USAGE);
    if told.use_stderr() && wants_json(std::env::args_os().skip(1)) {
        let text = told.to_string();
        print_json(&serde_json::json!({ "error": text.trim(), "code": "C-ARG-001", "causes": [text.trim()] }));
        return ExitCode::from(code);
    }
    match told.print() {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe && !told.use_stderr() => {
            eprintln!("error: [C-OUT-001] standard output could not be written\n  because: {error}");
            ExitCode::from(exit::FAILED)
        }
        _ => ExitCode::from(code),
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
        Command::Completions(args) => Ok((shell::completions(args, cli.output)?, None)),
        Command::Man(args) => Ok((shell::man(args, cli.output)?, None)),
        Command::Config(args) => Ok((config::config(args, &cli.place, cli.output)?, None)),
        Command::Provide(_) | Command::Watch(_) | Command::Up(_) | Command::Host(_) | Command::Jobs(_) => {
            unreachable!("they mind their signals themselves")
        }
    }
}

fn logging(filter: &str) -> Result<()> {
    let targets = Targets::from_str(filter).with_context(|| {
        format!("[C-CFG-007] --log {filter}: not a log filter, such as `info` or `rialto_net=debug`")
    })?;
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

/// One JSON object on stdout.
fn print_json(value: &serde_json::Value) {
    print::json_on_lines(value);
}
