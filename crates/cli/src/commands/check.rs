//! `rialto check`: does the machine take a program, and what is it called?

use std::{path::PathBuf, time::Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use rialto_client::view;
use rialto_exec::{Engine, PAGE_BYTES, SharedData};
use rialto_machine::output;
use rialto_protocol::receipt::Status;

use crate::{
    exit,
    program::{Given, read_program, refused},
    ui::{self, Output, Ui, json_on_lines},
};

/// Lines of stderr that are shown of a program that failed.
const LAST_LINES: usize = 5;
/// Longest of them, characters.
const LINE_CHARS: usize = 200;

/// `rialto check`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rialto check prog.wasm
  rialto check prog.wasm --run -- 1000 7          # what it takes here: fuel, time, memory
  rialto check prog.wasm --run --input data=./data < in.txt

Exit code with --run: 0 if the program ended with 0, 124 if it ran out of fuel, 126 if it trapped, 1 otherwise.")]
pub struct Check {
    /// A WebAssembly program.
    pub program: PathBuf,
    /// Run it on this machine, too, and show what that takes. Nothing is bought.
    #[arg(long)]
    pub run: bool,
    /// What the program is given.
    #[command(flatten)]
    pub given: Given,
}

/// Prints programRoot and memory, or why the gate refuses; with `--run` what a run takes.
pub async fn check(args: &Check, ui: Ui) -> Result<u8> {
    ensure!(
        args.run || args.given.is_nothing(),
        failure!(Usage, "C-CHK-001", "arguments and inputs are for a run: add --run")
    );
    let wasm = read_program(&args.program)?;
    let canonical = rialto_machine::canonicalise(&wasm).with_context(|| refused(&args.program))?;
    let trial = if args.run { Some(trial(args, wasm.clone()).await?) } else { None };
    match ui.output() {
        Output::Json => {
            json_on_lines(&view::ProgramCheck {
                program_root: canonical.program_root.into(),
                canon_version: rialto_machine::CANON_VERSION,
                bytes: wasm.len(),
                canonical_bytes: canonical.module.len(),
                memory_pages: view::Pages { min: canonical.min_pages, max: canonical.max_pages },
                run: trial.as_ref().map(|(trial, _)| trial.clone()),
            });
        }
        Output::Human => {
            println!("{} is accepted", args.program.display());
            println!("  programRoot       {}", canonical.program_root);
            println!("  canonVersion      {}", rialto_machine::CANON_VERSION);
            println!(
                "  size              {} bytes, canonical {}",
                ui::count(wasm.len() as u64),
                ui::count(canonical.module.len() as u64)
            );
            println!(
                "  memory            {} to {} pages of 64 KiB",
                canonical.min_pages, canonical.max_pages
            );
            trial.iter().for_each(|(trial, code)| tell(trial, *code));
        }
    }
    Ok(trial.map_or(exit::OK, |(_, code)| code))
}

/// Runs it here as a provider would, once; and the exit code for that.
async fn trial(args: &Check, wasm: Vec<u8>) -> Result<(view::Trial, u8)> {
    let (task, shared) = crate::program::inputs(&args.program, &args.given).await?;
    let limits = crate::program::limits(&args.given)?;
    tokio::task::spawn_blocking(move || {
        let cache = tempfile::Builder::new().prefix("rialto-").tempdir()?;
        let engine = Engine::new(rialto_exec::Config::new(cache.path()))?;
        let start = Instant::now();
        let program = engine.prepare(&wasm)?;
        let compiled = start.elapsed();
        let shared = shared.map_or_else(SharedData::none, |bytes| SharedData::bytes(bytes.into()));
        let start = Instant::now();
        let outcome = engine
            .run(&program, &task, &shared, &limits, 0)
            .context("this machine could not run it")?;
        let ran = start.elapsed();
        let halted = outcome.halted;
        let outputs = output::parse(&outcome.output).context("the output is malformed")?;
        let (ending, code) = match (halted.status, halted.exit_code) {
            (Status::Finished, 0) => ("finished", exit::OK),
            (Status::Finished, _) => ("failed", exit::FAILED),
            (Status::Trap, _) if crate::program::out_of_fuel(&halted) => {
                ("out of fuel", exit::OUT_OF_FUEL)
            }
            (Status::Trap, _) => ("trapped", exit::TRAPPED),
        };
        let stderr = String::from_utf8_lossy(&outputs.stderr);
        let lines: Vec<String> =
            stderr.lines().map(|line| line.chars().take(LINE_CHARS).collect()).collect();
        let last =
            if code == exit::OK { lines.len() } else { lines.len().saturating_sub(LAST_LINES) };
        let trial = view::Trial {
            ending: ending.to_owned(),
            exit_code: halted.exit_code,
            fuel: halted.fuel_used(limits.fuel),
            fuel_limit: limits.fuel,
            memory_bytes: outcome.memory_bytes,
            compile_milliseconds: compiled.as_millis() as u64,
            milliseconds: ran.as_millis() as u64,
            stdout_bytes: outputs.stdout.len(),
            stderr_bytes: outputs.stderr.len(),
            files: outputs.files.len(),
            out_hash: halted.out_hash.into(),
            said: lines[last..].to_vec(),
        };
        Ok((trial, code))
    })
    .await?
}

fn tell(trial: &view::Trial, code: u8) {
    let exit_code = if trial.ending == "failed" {
        format!(" with exit code {}", trial.exit_code)
    } else {
        String::new()
    };
    println!("ran here: {}{exit_code}", trial.ending);
    println!("  fuel              {} ({})", ui::count(trial.fuel), ui::fuel(trial.fuel.into()));
    println!(
        "  time              {} ms, after {} ms to compile",
        ui::count(trial.milliseconds),
        ui::count(trial.compile_milliseconds)
    );
    println!(
        "  memory            {} pages of 64 KiB ({} MiB)",
        ui::count(trial.memory_bytes / PAGE_BYTES),
        trial.memory_bytes.div_ceil(1 << 20)
    );
    println!(
        "  output            {} bytes on stdout, {} on stderr, {} files",
        ui::count(trial.stdout_bytes as u64),
        ui::count(trial.stderr_bytes as u64),
        trial.files
    );
    trial.said.iter().for_each(|line| println!("  stderr            {line}"));
    match code {
        exit::OUT_OF_FUEL => println!("allow more with --fuel"),
        exit::TRAPPED => println!("a trap is a result, too: it is paid for like any other"),
        _ => {}
    }
}
