//! `rialto jobs`: jobs that outlive the command which submitted them.

mod list;
mod results;
mod show;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::{
    env::PlaceArgs,
    exit,
    job::{
        background,
        find::{self, Use},
        follow, quote,
    },
    ui::{Output, either},
};

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
        #[arg(long, value_name = "TIME", default_value = "1 h", value_parser = crate::env::values::seconds)]
        deadline: u64,
        /// Another budget, in tokens.
        #[arg(long, value_name = "AMOUNT", value_parser = crate::env::values::amount)]
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

/// `rialto jobs …`
pub async fn jobs(args: &JobsCommand, place: &PlaceArgs, format: Output) -> Result<u8> {
    let what = args.what.as_ref().unwrap_or(&JobsWhat::List);
    if let JobsWhat::Stop = what {
        let was = background::place_of(place).await?.0.stop().await?;
        either(format, if was { "stopped" } else { "none runs" }, || json!({ "stopped": was }));
        return Ok(exit::OK);
    }
    if let JobsWhat::Results(args) = what {
        return results::results(args, place, format).await;
    }
    let (host, secret) = match background::running(place).await {
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
            follow::logs(&host, secret, place, status.id, *follow, format).await
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
            let wishes = follow::Wishes { force: *force, strict: *strict };
            follow::until_end(&host, secret, place, status.id, wishes, format).await
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
