//! Tasks of ended jobs, traced here once more.

use anyhow::{Result, bail, ensure};
use rialto_client::{JobFolder, Replay, SignedTask};
use rialto_protocol::receipt::{Halted, Status};
use rialto_requester::JobReport;

use crate::{
    env::PlaceArgs,
    job::find,
    program::out_of_fuel,
    ui::{count, progress::bar},
};

/// Steps between two looks at a trace.
pub const PIECE: u64 = 1 << 22;

/// An ended job of this home, by its id, the beginning of it, or its name.
pub fn ended_job(place: &PlaceArgs, named: &str) -> Result<(JobFolder, JobReport)> {
    let folder = find::folder(&place.home()?, named)?;
    let Some(report) = folder.report()? else {
        bail!(failure!(
            Failed,
            "C-JOB-014",
            "{named} has not ended: `rialto jobs logs -f {named}` shows how far it is"
        ))
    };
    Ok((folder, report))
}

/// A task, from the bytes in its job's folder.
pub async fn task_of(folder: &JobFolder, signed: &SignedTask) -> Result<Replay> {
    let (folder, signed) = (folder.clone(), signed.clone());
    tokio::task::spawn_blocking(move || {
        let Some(content) = folder.content()? else {
            bail!(failure!(
                Failed,
                "C-RPL-005",
                "the inputs are gone from {}: they are kept for a day after the job",
                folder.path().display()
            ))
        };
        Ok(Replay::of(&content, &signed)?)
    })
    .await?
}

/// How a task ends, traced to its end, and after how many steps. `expected`: fuel that it is said
/// to use.
pub async fn traced(replay: &Replay, expected: Option<u64>) -> Result<(u64, Halted)> {
    let replay = replay.clone();
    tokio::task::spawn_blocking(move || {
        let bar = bar(expected, "tracing");
        let (mut tracer, most) = (replay.tracer(), replay.most_steps());
        loop {
            let ended = tracer.finish(tracer.steps().saturating_add(PIECE).min(most));
            if let (Some(steps), Some(halted)) = (ended, tracer.halted()) {
                bar.finish_and_clear();
                return Ok((steps, *halted));
            }
            ensure!(
                tracer.steps() < most,
                "the run did not end where every run ends: a mistake of the machine"
            );
            let used = i128::from(replay.limits.fuel) - i128::from(tracer.fuel_left());
            bar.set_message(format!("{} steps", count(tracer.steps())));
            if expected.is_some() {
                bar.set_position(u64::try_from(used).unwrap_or(0));
            }
        }
    })
    .await?
}

/// How a run ended, for people.
pub fn ending(halted: &Halted) -> String {
    match halted.status {
        Status::Finished => format!("finished with exit code {}", halted.exit_code),
        Status::Trap if out_of_fuel(halted) => "ran out of fuel".into(),
        Status::Trap => "trapped".into(),
    }
}

/// Whether two orders make the same run of a task.
pub fn alike(one: &SignedTask, other: &SignedTask) -> bool {
    let run = |signed: &SignedTask| {
        let order = &signed.order.order.value;
        (order.seed, signed.index(), order.fuelLimit, order.outLimit, order.maxPages)
    };
    run(one) == run(other)
}
