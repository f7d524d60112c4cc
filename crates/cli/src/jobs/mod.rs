//! Jobs that live on: `rialto run job.toml`, `rialto jobs …`, `rialto job init`, and the background process that works for them.

mod find;
mod given;
mod host;
mod init;
mod list;
mod quote;
mod results;
mod show;
mod verify;
mod watch;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use find::Use;
use rialto_client::{
    Host, Passphrase,
    job::{Claim, JobFile},
};
use rialto_requester::JobId;
use serde_json::json;

use crate::{
    args::{Output, Run},
    exit, market,
    place::PlaceArgs,
    print::either,
};

pub use find::folder as folder_of;
pub use given::is_job;
pub use host::{HostArgs, host, log_of, tail};
pub use init::{JobCommand, job};
pub use verify::{VerifyBundle, verify_bundle};

/// `rialto jobs`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rialto jobs                          # all of them
  rialto jobs show 3f2a                # four digits of an id, or a name, will do
  rialto jobs logs -f 3f2a
  rialto jobs cancel pricing
  rialto jobs resume pricing --explain     # what that would open and lock; sends nothing
  rialto jobs resume pricing --deadline '2 h' --budget 10
  rialto jobs results pricing")]
pub struct JobsCommand {
    /// What to do (default: list).
    #[command(subcommand)]
    pub what: Option<JobsWhat>,
}

/// What can be done with jobs.
#[derive(Debug, Subcommand)]
pub enum JobsWhat {
    /// All jobs of this account on this market.
    List,
    /// One job: counts, providers, money, checks.
    Show {
        /// Its id, the beginning of it, or its name.
        job: String,
    },
    /// What happened in a job.
    Logs {
        /// Its id, the beginning of it, or its name.
        job: String,
        /// Go on until it ends.
        #[arg(long, short)]
        follow: bool,
    },
    /// End a job. What was accepted is paid, and it can be resumed.
    Cancel {
        /// Its id, the beginning of it, or its name.
        job: String,
    },
    /// Take up a job that ended without all its results: what is verified and paid stays so.
    Resume {
        /// Its id, the beginning of it, or its name.
        job: String,
        /// By when, from now.
        #[arg(long, value_name = "TIME", default_value = "1 h", value_parser = crate::args::seconds)]
        deadline: u64,
        /// Another budget, in tokens.
        #[arg(long, value_name = "AMOUNT", value_parser = crate::args::amount)]
        budget: Option<u128>,
        /// Return once it is taken up.
        #[arg(long)]
        detach: bool,
        /// Say which deals would be opened, whose money that locks and what it costs; send nothing.
        #[arg(long, conflicts_with = "detach")]
        explain: bool,
        /// Replace what others wrote into the results' folder.
        #[arg(long)]
        force: bool,
        /// End with exit code 1 if a task trapped, ran out of fuel or ended with an exit code.
        #[arg(long, conflicts_with_all = ["detach", "explain"])]
        strict: bool,
    },
    /// Write a job's results and its evidence where its file says, or elsewhere.
    Results(results::ResultsArgs),
    /// Remove an ended job with its outputs and evidence.
    Remove {
        /// Its id, the beginning of it, or its name.
        job: String,
    },
    /// What is remembered of providers: tasks that were right, times that one was caught.
    Providers,
    /// Use a provider again although it was caught.
    Forgive {
        /// Its account.
        provider: rialto_protocol::Address,
    },
    /// End the background process. Jobs go on with the next command.
    Stop,
}

/// A job that is under way, to be watched.
struct UnderWay {
    host: Host,
    secret: Option<Passphrase>,
    id: JobId,
}

/// `rialto run job.toml`
pub async fn run(args: &Run, place: &PlaceArgs, format: Output) -> Result<u8> {
    let begun = tokio::select! {
        begun = begin(args, place, format) => begun?,
        () = market::interrupted() => {
            eprintln!("\ninterrupted: `rialto jobs` tells whether the job was taken");
            return Ok(exit::INTERRUPTED);
        }
    };
    match begun {
        Ok(UnderWay { host, secret, id }) => {
            let wishes = watch::Wishes { force: args.force, strict: args.strict };
            watch::until_end(&host, secret, place, id, wishes, format).await
        }
        Err(code) => Ok(code),
    }
}

/// Reads, checks, submits; or does what else was asked for, which ends with an exit code.
async fn begin(args: &Run, place: &PlaceArgs, format: Output) -> Result<Result<UnderWay, u8>> {
    let (home, only_tell) = (place.home()?, args.dry_run || args.explain);
    // What is wrong with it is told before anything is started. Its inputs may be many, and slow to read.
    let given = args.clone();
    let (file, tasks, folder) = blocking(move || {
        let file = given::read(&given)?;
        let tasks = file.check()?;
        let folder = Claim::look(&file, None, given.force, results::runs(&home));
        anyhow::Ok((file, tasks, folder))
    })
    .await?;
    file.notes.iter().for_each(|note| eprintln!("rialto: left out: {note}"));
    match folder {
        Err(why) if only_tell => eprintln!("rialto: it would be refused: {why}"),
        other => other?,
    }
    let (host, secret) = host::running(place).await?;
    if args.dry_run {
        return Ok(Err(quote::dry_run(&host, &file, format).await?));
    }
    if args.explain {
        return Ok(Err(quote::explain(&host, &file, format).await?));
    }
    let id = submit(&host, &file, args.force, place).await?;
    if args.detach {
        let text = format!(
            "job {id} of {tasks} tasks is under way\n  rialto jobs logs -f {id}    what happens\n  rialto jobs results {id}    its results, once it has ended"
        );
        either(format, &text, || json!({ "job": id.to_string(), "tasks": tasks, "detached": true }));
        return Ok(Err(exit::OK));
    }
    Ok(Ok(UnderWay { host, secret, id }))
}

/// Submits a job once its results have a place.
async fn submit(host: &Host, file: &JobFile, force: bool, place: &PlaceArgs) -> Result<JobId> {
    let (copy, home) = (file.clone(), place.home()?);
    let mut claim = blocking(move || Ok(Claim::take(&copy, None, force, results::runs(&home))?)).await?;
    match host.submit(file).await {
        Ok(id) => {
            claim.name(&id.to_string())?;
            Ok(id)
        }
        Err(why) => {
            claim.release();
            Err(why.into())
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await?
}

/// `rialto jobs …`
pub async fn jobs(args: &JobsCommand, place: &PlaceArgs, format: Output) -> Result<u8> {
    let what = args.what.as_ref().unwrap_or(&JobsWhat::List);
    if let JobsWhat::Stop = what {
        let was = host::place_of(place).await?.0.stop().await?;
        either(format, if was { "stopped" } else { "none runs" }, || json!({ "stopped": was }));
        return Ok(exit::OK);
    }
    if let JobsWhat::Results(args) = what {
        return results::results(args, place, format).await;
    }
    let (host, secret) = match host::running(place).await {
        Ok(running) => running,
        // What ended is written down here: for that no market is needed.
        Err(why) => match what {
            JobsWhat::List => return list::offline(&place.home()?, &why, format),
            JobsWhat::Show { job } => return show::offline(&place.home()?, job, &why, format),
            _ => return Err(why),
        },
    };
    match what {
        JobsWhat::List => list::list(&host, format).await,
        JobsWhat::Show { job } => {
            let status = find::job(&host, job, Use::Look).await?;
            show::show(&host.job(status.id), &status, format)
        }
        JobsWhat::Logs { job, follow } => {
            let status = find::job(&host, job, Use::Look).await?;
            watch::logs(&host, secret, place, status.id, *follow, format).await
        }
        JobsWhat::Cancel { job } => {
            let status = find::job(&host, job, Use::Act).await?;
            host.cancel(status.id).await?;
            let text = format!(
                "{} is being ended: what was accepted is paid; `rialto jobs resume` takes it up again",
                status.id
            );
            either(format, &text, || json!({ "job": status.id.to_string(), "cancelled": true }));
            Ok(exit::OK)
        }
        JobsWhat::Resume { job, deadline, budget, detach, explain, force, strict } => {
            let status = find::job(&host, job, Use::Act).await?;
            if *explain {
                return quote::explain_resumed(&host, status.id, *deadline, *budget, format).await;
            }
            host.resume(status.id, *deadline, *budget).await?;
            if *detach {
                let text = format!("{} goes on", status.id);
                either(format, &text, || json!({ "job": status.id.to_string(), "resumed": true }));
                return Ok(exit::OK);
            }
            let wishes = watch::Wishes { force: *force, strict: *strict };
            watch::until_end(&host, secret, place, status.id, wishes, format).await
        }
        JobsWhat::Remove { job } => {
            let status = find::job(&host, job, Use::Act).await?;
            if !host.remove(status.id).await? {
                bail!("[C-JOB-010] {} has not ended: `rialto jobs cancel {}` ends it", status.id, status.id);
            }
            either(format, &format!("{} is gone", status.id), || json!({ "removed": status.id.to_string() }));
            Ok(exit::OK)
        }
        JobsWhat::Providers => list::providers(&host, format).await,
        JobsWhat::Forgive { provider } => {
            host.forgive(*provider).await?;
            either(format, &format!("{provider} may be used again"), || json!({ "forgiven": provider }));
            Ok(exit::OK)
        }
        JobsWhat::Results(_) | JobsWhat::Stop => unreachable!("handled above"),
    }
}

/// The host of the account that is meant, whether it runs or not.
pub async fn host_of(place: &PlaceArgs) -> Result<Host> {
    Ok(host::place_of(place).await?.0)
}
