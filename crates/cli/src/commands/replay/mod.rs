//! `rialto replay`: traces a task of an ended job, or any program, and shows single steps of it.

mod step;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use rialto_chain::Court;
use rialto_client::{Replay, SignedTask, signed_tasks, view};
use rialto_machine::play;
use rialto_protocol::{Address, B256, receipt::Status};

use crate::{
    env::PlaceArgs,
    exit,
    program::{Given, read_program, refused},
    retrace::{alike, ended_job, ending, task_of, traced},
    ui::{Paint, Ui, count, fuel},
};

/// Most steps shown on each side of one.
const MAX_AROUND: u64 = 1_000;

/// `rialto replay`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rialto replay 3f2a 7                        # task 7 of an ended job: steps, and whether they give what was signed
  rialto replay 3f2a 7 --step 1015            # one step: instruction, what it touches, state hashes
  rialto replay 3f2a 7 --step 1015 --around 5
  rialto replay 3f2a 7 --step 1015 --prove step.json
  rialto replay prog.wasm --fuel 1000000 -- 1000 7 < in.txt

Steps are counted from 0, as a court counts them: step N leads from the state after N steps to the next. A proof is judged
here, and by the contract where a market with a court runs.

Exit code: 1 if a provider signed another result than tracing gives.")]
pub struct ReplayCommand {
    /// An ended job (its id, the beginning of it, or its name), or a program (a file that ends in
    /// .wasm).
    #[arg(value_name = "JOB|WASM")]
    pub what: String,
    /// Which task of the job, from 0 on.
    pub task: Option<u32>,
    /// What a program is given.
    #[command(flatten)]
    pub given: Given,
    /// Show this step.
    #[arg(long, value_name = "N")]
    pub step: Option<u64>,
    /// Show so many steps before and after it, too.
    #[arg(long, value_name = "K", default_value_t = 0, requires = "step", value_parser = clap::value_parser!(u64).range(0..=MAX_AROUND))]
    pub around: u64,
    /// Prove the step, have the proof judged, and write it here as JSON.
    #[arg(long, value_name = "FILE", requires = "step")]
    pub prove: Option<PathBuf>,
}

/// What is traced.
struct Subject {
    replay: Replay,
    name: String,
    signed: Vec<SignedTask>,
    /// Chain and market of the job.
    market: Option<(u64, Address)>,
}

/// Traces, and tells.
pub async fn replay(args: &ReplayCommand, place: &PlaceArgs, ui: Ui) -> Result<u8> {
    let subject = match Path::new(&args.what).extension().is_some_and(|kind| kind == "wasm") {
        true => of_program(args).await?,
        false => of_job(args, place).await?,
    };
    match args.step {
        Some(at) => step::show(args, at, &subject, place, ui).await,
        None => summary(subject, ui).await,
    }
}

async fn of_program(args: &ReplayCommand) -> Result<Subject> {
    ensure!(
        args.task.is_none(),
        failure!(Usage, "C-RPL-001", "a program is one task: its arguments come after --")
    );
    let path = Path::new(&args.what);
    let wasm = read_program(path)?;
    let (task, shared) = crate::program::inputs(path, &args.given).await?;
    let limits = crate::program::limits(&args.given)?.with_seed(0);
    let replay = tokio::task::spawn_blocking(move || {
        Replay::new(&wasm, task, shared.unwrap_or_default(), limits)
    });
    let replay = replay.await?.with_context(|| refused(path))?;
    Ok(Subject { replay, name: args.what.clone(), signed: Vec::new(), market: None })
}

async fn of_job(args: &ReplayCommand, place: &PlaceArgs) -> Result<Subject> {
    ensure!(
        args.given.is_nothing(),
        failure!(Usage, "C-RPL-001", "a job's task has its own arguments and inputs")
    );
    let Some(task) = args.task else {
        bail!(failure!(Usage, "C-RPL-001", "which task of the job? The first is 0"))
    };
    let (folder, report) = ended_job(place, &args.what)?;
    let signed = signed_tasks(&report, task)?;
    let Some(first) = signed.first() else {
        bail!(failure!(
            Failed,
            "C-RPL-004",
            "task {task} was in no order: only an order says with which seed and limits it runs"
        ))
    };
    let replay = task_of(&folder, first).await?;
    let name = format!("task {task} of job {}", report.job);
    Ok(Subject {
        replay,
        name,
        signed,
        market: Some((report.evidence.chain_id, report.evidence.market)),
    })
}

async fn summary(subject: Subject, ui: Ui) -> Result<u8> {
    let Subject { replay, name, signed, .. } = &subject;
    let limit = replay.limits.fuel;
    let expected =
        signed.first().and_then(SignedTask::halted).map(|halted| halted.fuel_used(limit));
    let (steps, halted) = traced(replay, expected).await?;
    let (used, hash) = (halted.fuel_used(limit), halted.hash());
    let per_fuel = if used > 0 { steps as f64 / used as f64 } else { 0.0 };
    let paint = Paint::for_stdout();
    let mut out = vec![paint.bold(name)];
    let mut row = |name: &str, text: String| out.push(format!("  {name:<11} {text}"));
    row("program", replay.program.parts.root().to_string());
    row("ended", format!("{}, {} bytes of output", ending(&halted), count(halted.out_len)));
    row("steps", format!("{} ({per_fuel:.2} for each fuel)", count(steps)));
    row("fuel", format!("{} ({})", count(used), fuel(used.into())));
    row("H(halted)", hash.to_string());
    let level = play::level_for(replay.most_steps());
    row("a game", format!("would span 16^{level} steps: {} moves and a step", level - 1));
    let mut right = true;
    let mut words = Vec::new();
    for one in signed {
        // Another order of the task may have another seed or other limits: it is another run.
        let same = alike(&signed[0], one);
        let word = match one.halted() {
            None => "signed nothing".to_owned(),
            Some(_) if !same => "had it with another seed or other limits: not compared".to_owned(),
            Some(theirs) if theirs.hash() == hash => paint.good("signed exactly this"),
            Some(theirs) => {
                right = false;
                paint.bad(&format!(
                    "signed {}: {}, {} fuel",
                    theirs.hash(),
                    ending(theirs),
                    theirs.fuel_used(limit)
                ))
            }
        };
        let equal = one.halted().filter(|_| same).map(|theirs| theirs.hash() == hash);
        words.push(view::ReplayedResult {
            provider: one.provider().into(),
            deal: one.order.order.value.deal.into(),
            signed: one.halted().map(|halted| halted.hash().into()),
            equal,
        });
        row("provider", format!("{} {word}", one.provider()));
    }
    ui.answer(&out.join("\n"), || view::Replay {
        what: name.clone(),
        program: replay.program.parts.root().into(),
        steps,
        steps_per_fuel: per_fuel,
        fuel: used,
        fuel_left: halted.fuel_left,
        status: (if halted.status == Status::Finished { "finished" } else { "trap" }).to_owned(),
        exit_code: halted.exit_code,
        out_hash: halted.out_hash.into(),
        out_bytes: halted.out_len,
        halted: hash.into(),
        level,
        signed: words,
        right,
    });
    Ok(if right { exit::OK } else { exit::FAILED })
}

/// What the contract says follows a state; none if no market with a court is at hand, and why.
async fn by_contract(
    subject: &Subject,
    place: &PlaceArgs,
    state: B256,
    proof: &[u8],
) -> std::result::Result<(Address, Result<B256>), String> {
    let market =
        place.market().map_err(|_| "no market is configured, none runs here".to_owned())?;
    let chain = market.connect().await.map_err(|why| why.to_string())?;
    let own = subject.market.is_none_or(|named| named == (chain.chain_id(), chain.market()));
    let named =
        subject.signed.iter().map(|signed| signed.deal.court).find(|court| own && !court.is_zero());
    let Some(court) = named.or(market.court) else {
        return Err("the market names no court".to_owned());
    };
    let court: Court = chain.court(court).await.map_err(|why| why.to_string())?;
    let said = court.judge_step(state, proof.to_vec().into()).await;
    Ok((court.step_unit(), said.map_err(Into::into)))
}
