//! `rialto jobs`: jobs that outlive the command which submitted them.

mod list;
mod results;
mod show;

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use rialto_client::view;

use crate::{
    env::PlaceArgs,
    exit,
    job::{
        background,
        find::{self, Use},
        follow, quote,
    },
    ui::Ui,
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
    /// List all jobs of this account on this market.
    List,
    /// Show one job: counts, providers, money, checks.
    Show {
        /// Its id, the beginning of it, or its name.
        job: String,
    },
    /// Show what happened in a job.
    Logs {
        /// Its id, the beginning of it, or its name.
        job: String,
        /// Follow it until it ends.
        #[arg(long, short)]
        follow: bool,
    },
    /// Cancel a job. Accepted results are paid, and the job can be resumed.
    Cancel {
        /// Its id, the beginning of it, or its name.
        job: String,
    },
    /// Resume a job that ended without all its results. Verified and paid tasks stay so.
    Resume {
        /// Its id, the beginning of it, or its name.
        job: String,
        /// Deadline, from now.
        #[arg(long, value_name = "TIME", default_value = "1 h", value_parser = crate::env::values::seconds)]
        deadline: u64,
        /// Set another budget, in tokens.
        #[arg(long, value_name = "AMOUNT", value_parser = crate::env::values::amount)]
        budget: Option<u128>,
        /// Return once it is taken up.
        #[arg(long)]
        detach: bool,
        /// Show which deals would be opened, whose money they lock and what they cost. Nothing is
        /// sent.
        #[arg(long, conflicts_with = "detach")]
        explain: bool,
        /// Replace files of others in the results' folder.
        #[arg(long)]
        force: bool,
        /// End with exit code 1 if a task trapped, ran out of fuel or failed.
        #[arg(long, conflicts_with_all = ["detach", "explain"])]
        strict: bool,
    },
    /// Write a job's results and evidence where its file says, or elsewhere.
    Results(results::ResultsArgs),
    /// Remove an ended job with its outputs and evidence.
    Remove {
        /// Its id, the beginning of it, or its name.
        job: String,
    },
    /// Show what is remembered of providers: right tasks, and times that they were caught.
    Providers,
    /// Use a provider again that was caught cheating.
    Forgive {
        /// Its account.
        provider: rialto_protocol::Address,
    },
    /// Stop the background process. Jobs go on with the next command.
    Stop,
}

/// `rialto jobs …`
pub async fn jobs(args: &JobsCommand, place: &PlaceArgs, ui: Ui) -> Result<u8> {
    let what = args.what.as_ref().unwrap_or(&JobsWhat::List);
    if let JobsWhat::Stop = what {
        let was = background::place_of(place).await?.0.stop().await?;
        ui.answer(if was { "stopped" } else { "none runs" }, || view::HostStopped { stopped: was });
        return Ok(exit::OK);
    }
    if let JobsWhat::Results(args) = what {
        return results::results(args, place, ui).await;
    }
    let (host, secret) = match background::running(place).await {
        Ok(running) => running,
        // What ended is written down here: for that no market is needed.
        Err(why) => match what {
            JobsWhat::List => return list::offline(&place.home()?, why, ui),
            JobsWhat::Show { job } => return show::offline(&place.home()?, job, why, ui),
            _ => return Err(why),
        },
    };
    match what {
        JobsWhat::List => list::list(&host, ui).await,
        JobsWhat::Show { job } => {
            let status = find::job(&host, job, Use::Look).await?;
            show::show(&host.job(status.id), &status, ui)
        }
        JobsWhat::Logs { job, follow } => {
            let status = find::job(&host, job, Use::Look).await?;
            follow::logs(&host, secret, place, status.id, *follow, ui).await
        }
        JobsWhat::Cancel { job } => {
            let status = find::job(&host, job, Use::Act).await?;
            host.cancel(status.id).await?;
            let text = format!(
                "{} is being ended: what was accepted is paid; `rialto jobs resume` takes it up again",
                status.id
            );
            ui.answer(&text, || view::JobCancelled { job: status.id.to_string(), cancelled: true });
            Ok(exit::OK)
        }
        JobsWhat::Resume { job, deadline, budget, detach, explain, force, strict } => {
            let status = find::job(&host, job, Use::Act).await?;
            if *explain {
                return quote::explain_resumed(&host, status.id, *deadline, *budget, ui).await;
            }
            host.resume(status.id, *deadline, *budget).await?;
            if *detach {
                let text = format!("{} goes on", status.id);
                ui.answer(&text, || view::JobResumed { job: status.id.to_string(), resumed: true });
                return Ok(exit::OK);
            }
            let wishes = follow::Wishes { force: *force, strict: *strict };
            follow::until_end(&host, secret, place, status.id, wishes, ui).await
        }
        JobsWhat::Remove { job } => {
            let status = find::job(&host, job, Use::Act).await?;
            if !host.remove(status.id).await? {
                bail!(failure!(
                    Failed,
                    "C-JOB-010",
                    "{} has not ended: `rialto jobs cancel {}` ends it",
                    status.id,
                    status.id
                ));
            }
            ui.answer(&format!("{} is gone", status.id), || view::JobRemoved {
                removed: status.id.to_string(),
            });
            Ok(exit::OK)
        }
        JobsWhat::Providers => list::providers(&host, ui).await,
        JobsWhat::Forgive { provider } => {
            host.forgive(*provider).await?;
            ui.answer(&format!("{provider} may be used again"), || view::Forgiven {
                forgiven: (*provider).into(),
            });
            Ok(exit::OK)
        }
        JobsWhat::Results(_) | JobsWhat::Stop => unreachable!("handled above"),
    }
}
