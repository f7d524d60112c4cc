//! `rialto run`: one's own program as a task on a market that is brought up for it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rialto_client::{escape, view};
use rialto_local_market::{Folder, LocalMarket, ProviderPlan};
use rialto_machine::output::{self, Outputs};
use rialto_protocol::receipt::Status;
use rialto_provider::Price;
use rialto_requester::{Job, JobEvent, JobReport, Policy};

use crate::{
    exit,
    program::{FUEL_LIMIT, Given, inputs, limits, out_of_fuel, read_program, refused},
    ui::{self, Output, Ui, json_on_lines},
};

/// Fee of the local providers per task, base units.
const TASK_FEE: u128 = 10;
/// Price of the local providers, base units per Tfuel.
const PRICE: u128 = 120_000;
/// What a local provider says it does per second and core; nothing depends on it with one task.
const FUEL_PER_SECOND: u64 = 500_000_000;
/// Replicas where nothing is said.
const REPLICAS: u32 = 2;
/// Time for the task.
const DEADLINE: Duration = Duration::from_secs(3_600);

/// A program to run.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its file.
    pub path: PathBuf,
    /// What it is given.
    pub given: Given,
    /// Folder for files that it creates.
    pub files: Option<PathBuf>,
    /// Replace what is there.
    pub force: bool,
    /// How its result is checked.
    pub policy: Option<Policy>,
}

/// Runs the program and returns its exit code.
pub async fn run(args: &Program, ui: Ui) -> Result<u8> {
    let program = args.path.clone();
    let wasm = tokio::task::spawn_blocking(move || read_program(&program)).await??;
    rialto_machine::canonicalise(&wasm).with_context(|| refused(&args.path))?;
    let (task, shared) = inputs(&args.path, &args.given).await?;
    let policy = args.policy.unwrap_or(Policy::Replicate { n: REPLICAS });
    let providers = if policy.samples() { 2 } else { policy.replicas() };
    let plans: Vec<_> = (0..providers)
        .map(|n| ProviderPlan::honest(Price::Constant(PRICE + u128::from(n)), TASK_FEE))
        .collect();
    let market = LocalMarket::start(Folder::new(None)?, &plans, FUEL_PER_SECOND).await?;
    let job = Job {
        shared: shared.map(Into::into),
        limits: limits(&args.given)?,
        policy,
        budget: rialto_local_market::initial_deposit(),
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
                eprintln!("rialto: {} gets no more work: [{code}] {why}", ui::short(*provider));
            }
            _ => {}
        }
    }
    let report = handle.wait().await.context("the job's report is lost")?;
    let code = deliver(args, ui, &report)?;
    market.stop().await;
    Ok(code)
}

fn deliver(args: &Program, ui: Ui, report: &JobReport) -> Result<u8> {
    if let Err(why) = &report.outcome {
        bail!("{why}");
    }
    let result =
        report.tasks.first().and_then(Option::as_ref).context("there is no verified result")?;
    let outputs = output::parse(&result.output.read().context("the output is lost")?)
        .context("the output is malformed")?;
    let halted = result.halted;
    if ui.for_people() {
        ui::output_of_program(&outputs.stdout);
        ui::errors_of_program(&outputs.stderr);
    }
    write_files(args, &outputs)?;
    let fuel = halted.fuel_used(args.given.fuel.unwrap_or(FUEL_LIMIT));
    let cost = report.requester_paid;
    match ui.output() {
        Output::Json => {
            let file = |(path, bytes): &(String, Vec<u8>)| view::ProgramFile {
                path: path.clone(),
                bytes: bytes.len(),
            };
            json_on_lines(&view::ProgramRun {
                exit_code: halted.exit_code,
                status: (if halted.status == Status::Finished { "finished" } else { "trap" })
                    .to_owned(),
                out_of_fuel: out_of_fuel(&halted),
                stdout: escape::bytes_as_text(&outputs.stdout).into_owned(),
                stderr: escape::bytes_as_text(&outputs.stderr).into_owned(),
                files: outputs.files.iter().map(file).collect(),
                out_hash: halted.out_hash.into(),
                fuel,
                replicas: result.votes,
                paid: cost.into(),
                transactions: report.transactions.len(),
            });
        }
        Output::Human => {
            let runs = match result.votes {
                1 => "run by 1 provider, trusted".to_owned(),
                n => format!("run by {n} providers, results equal"),
            };
            eprintln!("rialto: {}, {runs}, cost {}", ui::fuel(fuel.into()), ui::money(cost));
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

/// Files that the program created: written below the folder that the user named, or only listed.
fn write_files(args: &Program, outputs: &Outputs) -> Result<()> {
    for (path, bytes) in &outputs.files {
        let Some(folder) = &args.files else {
            eprintln!("rialto: created {path} ({} bytes); keep it with --files DIR", bytes.len());
            continue;
        };
        let path =
            rialto_machine::input::normalise(path).context("the program named a file badly")?;
        let wanted = crate::env::resolved(folder)?.join(path);
        let target = if args.force { wanted.clone() } else { free(&wanted) };
        if target != wanted {
            eprintln!(
                "rialto: {} is there already: the new one is {}",
                wanted.display(),
                target.display()
            );
        }
        let failed = || failure!(Failed, "C-RUN-001", "{} can't be written", target.display());
        let made = target.parent().map_or(Ok(()), std::fs::create_dir_all);
        made.and_then(|()| std::fs::write(&target, bytes)).with_context(failed)?;
    }
    Ok(())
}

/// A path at which nothing is yet: this one, or one beside it. What somebody put there stays.
fn free(wanted: &Path) -> PathBuf {
    let part = |part: Option<&std::ffi::OsStr>| {
        part.map(|part| part.to_string_lossy().into_owned()).unwrap_or_default()
    };
    let (stem, extension) = (part(wanted.file_stem()), part(wanted.extension()));
    let dot = if extension.is_empty() { "" } else { "." };
    let beside = (1u32..).map(|n| wanted.with_file_name(format!("{stem}.{n}{dot}{extension}")));
    std::iter::once(wanted.to_path_buf())
        .chain(beside)
        .find(|path| path.symlink_metadata().is_err())
        .expect("endless")
}
