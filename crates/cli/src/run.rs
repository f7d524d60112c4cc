//! `rialto run`: one's own program as a task on a market that is brought up for it.

use std::{
    io::{Cursor, IsTerminal, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use rialto_client::{escape, job::Gathered};
use rialto_exec::{Limits, PAGE_BYTES};
use rialto_machine::{
    input::TaskInput,
    output::{self, Outputs},
};
use rialto_protocol::receipt::{Halted, Status};
use rialto_provider::Price;
use rialto_requester::{Job, JobEvent, JobReport, Policy};
use serde_json::json;

use crate::{
    args::{Given, Output, Run},
    check::{read_program, refused},
    exit,
    market::{Folder, LocalMarket, ProviderPlan},
    print, print_json,
};

/// Most bytes of stdin: they travel as part of the task.
const MAX_STDIN_BYTES: u64 = 64 << 20;
/// Most bytes of all input files together: they are hashed and sent as a whole.
const MAX_INPUT_BYTES: u64 = 1 << 30;
/// Output limit, bytes: what providers take by default.
const OUT_LIMIT: u64 = 64 << 20;
/// Fee of the local providers per task, base units.
const TASK_FEE: u128 = 10;
/// Price of the local providers, base units per Tfuel.
const PRICE: u128 = 120_000;
/// What a local provider says it does per second and core; nothing depends on it with one task.
const FUEL_PER_SECOND: u64 = 500_000_000;
/// Fuel limit where nothing is said.
const FUEL_LIMIT: u64 = 100_000_000_000;
/// Memory limit where nothing is said, bytes.
const MEMORY_BYTES: u64 = 1 << 30;
/// Replicas where nothing is said.
const REPLICAS: u32 = 2;
/// Time for the task.
const DEADLINE: Duration = Duration::from_secs(3_600);

/// Runs the program and returns its exit code.
pub async fn run(args: &Run, format: Output) -> Result<u8> {
    if args.dry_run || args.explain || args.detach || args.to.is_some() || args.strict {
        bail!(
            "[C-JOB-003] --dry-run, --explain, --detach, --to and --strict are for job files: `rialto job init` writes one"
        );
    }
    ensure!(!args.force || args.files.is_some(), "[C-JOB-003] --force is for job files, and beside --files");
    let program = args.program.clone();
    let wasm = tokio::task::spawn_blocking(move || read_program(&program)).await??;
    rialto_machine::canonicalise(&wasm).with_context(|| refused(&args.program))?;
    let (task, shared) = inputs(&args.program, &args.given).await?;
    let policy = args.checked().unwrap_or(Policy::Replicate { n: REPLICAS });
    let providers = if policy.samples() { 2 } else { policy.replicas() };
    let plans: Vec<_> =
        (0..providers).map(|n| ProviderPlan::honest(Price::Constant(PRICE + u128::from(n)), TASK_FEE)).collect();
    let market = LocalMarket::start(Folder::new(None)?, &plans, FUEL_PER_SECOND).await?;
    let job = Job {
        shared: shared.map(Into::into),
        limits: limits(&args.given)?,
        policy,
        budget: crate::market::initial_deposit(),
        within: DEADLINE,
        min_providers: providers,
        max_providers: providers,
        // The market is to do it, or to say why not.
        run_locally: false,
        ..Job::new(wasm, vec![task.into()])
    };
    let handle = market.requester.submit(job).await.context("the job was refused")?;
    let mut events = handle.events();
    while let Some(event) = events.next().await {
        match &event {
            JobEvent::Note { code, text } => eprintln!("rialto: [{code}] {text}"),
            JobEvent::ProviderDropped { provider, code, why, .. } => {
                eprintln!("rialto: {} gets no more work: [{code}] {why}", print::short(*provider));
            }
            _ => {}
        }
    }
    let report = handle.wait().await.context("the job's report is lost")?;
    let code = deliver(args, format, &report)?;
    market.stop().await;
    Ok(code)
}

/// The task's own input, encoded, and the shared half, if there are input files.
pub async fn inputs(program: &Path, given: &Given) -> Result<(Vec<u8>, Option<Vec<u8>>)> {
    let named = given.input.clone();
    let shared = tokio::task::spawn_blocking(move || shared_input(&named)).await??;
    let task = TaskInput {
        argv: std::iter::once(program_name(program))
            .chain(given.args.iter().cloned())
            .map(String::into_bytes)
            .collect(),
        env: given.env.iter().map(|(key, value)| (key.clone().into_bytes(), value.clone().into_bytes())).collect(),
        stdin: tokio::task::spawn_blocking(stdin).await??,
        ..TaskInput::default()
    };
    Ok((task.encode().context("the task's input can't be encoded")?, shared))
}

/// What a task may use.
pub fn limits(given: &Given) -> Result<Limits> {
    let pages = given.memory.unwrap_or(MEMORY_BYTES).div_ceil(PAGE_BYTES);
    let max_pages = u32::try_from(pages)?.min(rialto_machine::limits::MAX_MEMORY_PAGES);
    Ok(Limits { fuel: given.fuel.unwrap_or(FUEL_LIMIT), out_bytes: OUT_LIMIT, max_pages })
}

fn deliver(args: &Run, format: Output, report: &JobReport) -> Result<u8> {
    if let Err(why) = &report.outcome {
        bail!("{why}");
    }
    let result = report.tasks.first().and_then(Option::as_ref).context("there is no verified result")?;
    let outputs =
        output::parse(&result.output.read().context("the output is lost")?).context("the output is malformed")?;
    let halted = result.halted;
    if format == Output::Human {
        print::output_of_program(&outputs.stdout);
        print::errors_of_program(&outputs.stderr);
    }
    write_files(args, &outputs)?;
    let fuel = halted.fuel_used(args.given.fuel.unwrap_or(FUEL_LIMIT));
    let cost = report.requester_paid;
    match format {
        Output::Json => print_json(&json!({
            "exit_code": halted.exit_code,
            "status": if halted.status == Status::Finished { "finished" } else { "trap" },
            "out_of_fuel": out_of_fuel(&halted),
            "stdout": escape::bytes_as_text(&outputs.stdout),
            "stderr": escape::bytes_as_text(&outputs.stderr),
            "files": outputs.files.iter().map(|(path, bytes)| json!({ "path": path, "bytes": bytes.len() })).collect::<Vec<_>>(),
            "out_hash": halted.out_hash,
            "fuel": fuel,
            "replicas": result.votes,
            "paid": cost.to_string(),
            "transactions": report.transactions.len(),
        })),
        Output::Human => {
            let runs = match result.votes {
                1 => "run by 1 provider, trusted".to_owned(),
                n => format!("run by {n} providers, results equal"),
            };
            eprintln!("rialto: {}, {runs}, cost {}", print::fuel(fuel.into()), print::money(cost));
        }
    }
    Ok(match halted.status {
        Status::Finished => u8::try_from(halted.exit_code & 0xff).unwrap_or(u8::MAX),
        Status::Trap if out_of_fuel(&halted) => {
            eprintln!("rialto: the program ran out of fuel: allow more with --fuel");
            exit::OUT_OF_FUEL
        }
        Status::Trap => {
            eprintln!("rialto: the program trapped");
            exit::TRAPPED
        }
    })
}

/// Whether a program trapped because it had no fuel left.
pub fn out_of_fuel(halted: &Halted) -> bool {
    halted.status == Status::Trap && halted.fuel_left < 0
}

/// Files that the program created: written below the folder that the user named, or only listed.
fn write_files(args: &Run, outputs: &Outputs) -> Result<()> {
    for (path, bytes) in &outputs.files {
        let Some(folder) = &args.files else {
            eprintln!("rialto: created {path} ({} bytes); keep it with --files DIR", bytes.len());
            continue;
        };
        let path = rialto_machine::input::normalise(path).context("the program named a file badly")?;
        let wanted = crate::place::resolved(folder)?.join(path);
        let target = if args.force { wanted.clone() } else { free(&wanted) };
        if target != wanted {
            eprintln!("rialto: {} is there already: the new one is {}", wanted.display(), target.display());
        }
        let failed = || format!("[C-RUN-001] {} can't be written", target.display());
        let made = target.parent().map_or(Ok(()), std::fs::create_dir_all);
        made.and_then(|()| std::fs::write(&target, bytes)).with_context(failed)?;
    }
    Ok(())
}

/// A path at which nothing is yet: this one, or one beside it. What somebody put there stays.
fn free(wanted: &Path) -> PathBuf {
    let part =
        |part: Option<&std::ffi::OsStr>| part.map(|part| part.to_string_lossy().into_owned()).unwrap_or_default();
    let (stem, extension) = (part(wanted.file_stem()), part(wanted.extension()));
    let dot = if extension.is_empty() { "" } else { "." };
    let beside = (1u32..).map(|n| wanted.with_file_name(format!("{stem}.{n}{dot}{extension}")));
    std::iter::once(wanted.to_path_buf()).chain(beside).find(|path| path.symlink_metadata().is_err()).expect("endless")
}

/// Everything on stdin, unless that is a terminal.
fn stdin() -> Result<Vec<u8>> {
    let stdin = std::io::stdin();
    let mut bytes = Vec::new();
    if !stdin.is_terminal() {
        let read = stdin.lock().take(MAX_STDIN_BYTES + 1).read_to_end(&mut bytes);
        read.context("[C-RUN-002] standard input can't be read")?;
        ensure!(
            bytes.len() as u64 <= MAX_STDIN_BYTES,
            "[C-RUN-002] standard input has more than {MAX_STDIN_BYTES} bytes: pass a file with --input NAME=PATH instead"
        );
    }
    Ok(bytes)
}

fn program_name(path: &Path) -> String {
    path.file_stem().map_or_else(|| "program".into(), |stem| stem.to_string_lossy().into_owned())
}

/// Input files and folders, encoded as the job's shared half.
fn shared_input(inputs: &[(String, String)]) -> Result<Option<Vec<u8>>> {
    if inputs.is_empty() {
        return Ok(None);
    }
    let mut found = Gathered::default();
    for (name, path) in inputs {
        found.add(name, &crate::place::resolved(Path::new(path))?)?;
    }
    ensure!(
        found.bytes() <= MAX_INPUT_BYTES,
        "[C-RUN-003] the input files have more than {MAX_INPUT_BYTES} bytes together: a job file takes more"
    );
    let mut encoded = Cursor::new(Vec::new());
    let len = found.encode(&mut encoded, &PathBuf::from("the inputs"))?;
    let mut encoded = encoded.into_inner();
    encoded.resize(usize::try_from(len)?, 0);
    Ok(Some(encoded))
}
