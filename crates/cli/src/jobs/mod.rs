//! Jobs that live on: `rialto run job.toml`, `rialto jobs …`, `rialto job init`, and the background process that works for them.

mod host;
mod init;
mod list;
mod quote;
mod show;
mod verify;
mod watch;

use std::path::Path;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use rialto_client::{Host, JobFolder, job::JobFile};
use rialto_requester::{JobId, JobStatus};
use serde_json::json;

use crate::{
    args::{Output, Run},
    exit,
    place::PlaceArgs,
    print::{either, money},
};

pub use host::{HostArgs, host};
pub use init::{JobCommand, job};
pub use verify::{VerifyBundle, verify_bundle};

/// `rialto jobs`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rialto jobs                          # all of them
  rialto jobs show 3f2a                # an id's beginning, or a name, will do
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
        #[arg(long)]
        explain: bool,
    },
    /// Write a job's results where its file says, or elsewhere.
    Results {
        /// Its id, the beginning of it, or its name.
        job: String,
        /// Another folder.
        #[arg(long, value_name = "DIR")]
        to: Option<std::path::PathBuf>,
    },
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

/// Whether `rialto run` was given a job file.
pub fn is_job(args: &Run) -> bool {
    args.program.extension().is_some_and(|extension| extension == "toml")
}

/// `rialto run job.toml`
pub async fn run(args: &Run, place: &PlaceArgs, format: Output) -> Result<u8> {
    let alone = args.given.is_nothing() && args.files.is_none();
    if !alone || args.policy.is_some() {
        bail!("[C-JOB-003] a job file says it all: write arguments, inputs and policy into {}", args.program.display());
    }
    let mut file = JobFile::read(&args.program)?;
    if let Some(to) = &args.to {
        file.results.folder = std::path::absolute(to)?;
    }
    // What is wrong with it is told before anything is started.
    let tasks = file.rows()?.len();
    let (host, secret) = host::running(place).await?;
    if args.dry_run {
        return quote::dry_run(&host, &file, format).await;
    }
    if args.explain {
        return quote::explain(&host, &file, format).await;
    }
    let id = host.submit(&file).await?;
    if args.detach {
        let text = format!(
            "job {id} of {tasks} tasks is under way\n  rialto jobs logs -f {id}    what happens\n  rialto jobs results {id}    its results, once it has ended"
        );
        either(format, &text, || json!({ "job": id.to_string(), "tasks": tasks, "detached": true }));
        return Ok(exit::OK);
    }
    watch::until_end(&host, secret, place, id, format).await
}

/// `rialto jobs …`
pub async fn jobs(args: &JobsCommand, place: &PlaceArgs, format: Output) -> Result<u8> {
    let what = args.what.as_ref().unwrap_or(&JobsWhat::List);
    if let JobsWhat::Stop = what {
        let was = host::place_of(place).await?.0.stop().await?;
        either(format, if was { "stopped" } else { "none runs" }, || json!({ "stopped": was }));
        return Ok(exit::OK);
    }
    let (host, secret) = host::running(place).await?;
    match what {
        JobsWhat::List => list::list(&host, format).await,
        JobsWhat::Show { job } => show::show(&host, &find(&host, job).await?, format),
        JobsWhat::Logs { job, follow } => {
            let status = find(&host, job).await?;
            watch::logs(&host, secret, place, status.id, *follow, format).await
        }
        JobsWhat::Cancel { job } => {
            let status = find(&host, job).await?;
            host.cancel(status.id).await?;
            let text = format!(
                "{} is being ended: what was accepted is paid; `rialto jobs resume` takes it up again",
                status.id
            );
            either(format, &text, || json!({ "job": status.id.to_string(), "cancelled": true }));
            Ok(exit::OK)
        }
        JobsWhat::Resume { job, deadline, budget, detach, explain } => {
            let status = find(&host, job).await?;
            if *explain {
                return quote::explain_resumed(&host, status.id, *deadline, *budget, format).await;
            }
            host.resume(status.id, *deadline, *budget).await?;
            if *detach {
                let text = format!("{} goes on", status.id);
                either(format, &text, || json!({ "job": status.id.to_string(), "resumed": true }));
                return Ok(exit::OK);
            }
            watch::until_end(&host, secret, place, status.id, format).await
        }
        JobsWhat::Results { job, to } => {
            let status = find(&host, job).await?;
            results(&host.job(status.id), status.id, to.as_deref(), format).await
        }
        JobsWhat::Remove { job } => {
            let status = find(&host, job).await?;
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
        JobsWhat::Stop => unreachable!("handled above"),
    }
}

/// The host of the account that is meant, whether it runs or not.
pub async fn host_of(place: &PlaceArgs) -> Result<Host> {
    Ok(host::place_of(place).await?.0)
}

/// A job by its id, the beginning of it, or its name.
async fn find(host: &Host, named: &str) -> Result<JobStatus> {
    let jobs = host.jobs().await?;
    if let Some(exact) = named.parse::<JobId>().ok().and_then(|id| jobs.iter().find(|job| job.id == id)) {
        return Ok(exact.clone());
    }
    let fits: Vec<_> = jobs.iter().filter(|job| job.id.to_string().starts_with(named)).collect();
    match fits.as_slice() {
        [one] => return Ok((*one).clone()),
        [] => {}
        several => bail!("[C-JOB-011] {} jobs begin with {named}: write more of the id", several.len()),
    }
    // Of several with one name the newest: that is how they are sorted.
    match jobs.into_iter().find(|job| job.name == named) {
        Some(job) => Ok(job),
        None => bail!("[C-JOB-012] there is no job {named}: `rialto jobs` lists them"),
    }
}

/// Writes results, with a bar on a terminal.
async fn results(folder: &JobFolder, id: JobId, to: Option<&Path>, format: Output) -> Result<u8> {
    let Some(mut file) = folder.file() else { bail!("[C-JOB-013] {id} was not submitted from a job file") };
    if let Some(to) = to {
        file.results.folder = std::path::absolute(to)?;
    }
    let Some(report) = folder.report()? else {
        bail!("[C-JOB-014] {id} has not ended: `rialto jobs logs -f {id}` shows how far it is")
    };
    let written = watch::write(file, &report).await?;
    let text = format!("{} files, {} bytes in {}", written.files, written.bytes, written.folder.display());
    either(
        format,
        &text,
        || json!({ "job": id.to_string(), "results": written, "paid": money(report.requester_paid) }),
    );
    Ok(if written.missing > 0 { exit::FAILED } else { exit::OK })
}
