//! The `rialto` command: the only place that reads flags and environment, prints, and wires the
//! parts together.

#![cfg_attr(test, allow(clippy::unwrap_used))]

/// The standard library's would end in a panic where nobody reads any more (`rialto … | head`).
macro_rules! print {
    ($($text:tt)*) => { $crate::ui::say(format_args!($($text)*)) };
}

/// See [`print!`].
macro_rules! println {
    () => { print!("\n") };
    ($($text:tt)*) => { print!("{}\n", format_args!($($text)*)) };
}

/// See [`print!`]: what providers and programs said passes through it.
macro_rules! eprintln {
    ($($text:tt)*) => { $crate::ui::say_aside(format_args!("{}\n", format_args!($($text)*))) };
}

/// A failure of the command line: its class, its code, and a text that says what to do.
macro_rules! failure {
    ($class:ident, $code:literal, $($text:tt)*) => {
        $crate::exit::Failure::new(rialto_client::Class::$class, $code, format!($($text)*))
    };
}

mod commands;
mod env;
mod exit;
mod job;
mod named;
mod past;
mod program;
mod retrace;
mod samples;
mod transact;
mod ui;
mod windows;

use std::{process::ExitCode, str::FromStr};

use anyhow::{Context, Result};
use clap::Parser;
use commands::Cli;
use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{env::signals::STOP_TIMEOUT, ui::Output};
use rialto_client::view;

fn main() -> ExitCode {
    rialto_exec::worker::main_if_worker(std::env::args_os());
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(told) => return refuse(&told),
    };
    let is_run = cli.runs_program();
    let outcome = logging(&cli.log).and_then(|()| {
        let runtime = runtime()?;
        let outcome = runtime.block_on(cli.run());
        // Blocking work (a compilation, a read of stdin) is not waited for: it owns nothing that
        // needs an orderly end.
        runtime.shutdown_timeout(STOP_TIMEOUT);
        outcome
    });
    let outcome = match (outcome, ui::finish()) {
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
            ExitCode::from(if is_run { exit::RUN_FAILED } else { exit::code(exit::class(&error)) })
        }
    }
}

/// Whether JSON was asked for, on a command line that could not be read otherwise.
fn wants_json(args: impl Iterator<Item = std::ffi::OsString>) -> bool {
    let args: Vec<_> = args.take_while(|arg| arg != "--").collect();
    args.iter().any(|arg| arg == "--output=json")
        || args.windows(2).any(|two| two[0] == "--output" && two[1] == "json")
}

/// Help, a version, or what is wrong with the command line.
fn refuse(told: &clap::Error) -> ExitCode {
    let code = u8::try_from(told.exit_code()).unwrap_or(exit::USAGE);
    if told.use_stderr() && wants_json(std::env::args_os().skip(1)) {
        let text = told.to_string();
        ui::json_on_lines(&view::Failure {
            error: text.trim().to_owned(),
            code: Some("C-ARG-001".to_owned()),
            causes: vec![text.trim().to_owned()],
        });
        return ExitCode::from(code);
    }
    match told.print() {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe && !told.use_stderr() => {
            eprintln!(
                "error: [C-OUT-001] standard output could not be written\n  because: {error}"
            );
            ExitCode::from(exit::FAILED)
        }
        _ => ExitCode::from(code),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the async runtime did not start")
}

fn logging(filter: &str) -> Result<()> {
    let targets = Targets::from_str(filter).with_context(|| {
        failure!(
            Usage,
            "C-CFG-007",
            "--log {filter}: not a log filter, such as `info` or `rialto_net=debug`"
        )
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
            let code = causes.iter().find_map(|cause| exit::code_of(cause)).map(str::to_owned);
            ui::json_on_lines(&view::Failure { error: causes.join(": "), code, causes });
        }
    }
}
