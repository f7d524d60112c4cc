//! A job's results on their way to a folder. What was paid for lies on this disk: neither market nor chain is asked for it.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::ProgressBar;
use rialto_client::{
    Home, JobFolder,
    job::{Claim, JobFile, Written, write_results},
};
use rialto_requester::{JobId, JobReport};
use serde_json::json;

use crate::{
    args::Output,
    exit,
    jobs::{find, watch},
    place::{PlaceArgs, resolved},
    print::{either, money},
};

/// `rialto jobs results`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  rialto jobs results pricing
  rialto jobs results 3f2a --to elsewhere --name '{task}.txt'

The evidence (bundle.json) is written beside them. Works while the market or its endpoint is away.")]
pub struct ResultsArgs {
    /// Its id, the beginning of it, or its name.
    pub job: String,
    /// Another folder.
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// Another name for every task's standard output: a template, as in the job file.
    #[arg(long, value_name = "TEMPLATE")]
    pub name: Option<String>,
    /// Replace what others wrote into the folder.
    #[arg(long)]
    pub force: bool,
    /// End with exit code 1 if a task trapped, ran out of fuel or ended with an exit code.
    #[arg(long)]
    pub strict: bool,
}

/// Whether a job of this home has not ended.
pub fn runs(home: &Home) -> impl Fn(&str) -> bool + '_ {
    |job| {
        let this = |folder: &JobFolder| folder.id().is_some_and(|id| id.to_string() == job);
        JobFolder::all(home).iter().find(|folder| this(folder)).is_some_and(|folder| !folder.ended())
    }
}

/// Writes results where the job file says, or elsewhere.
pub async fn results(args: &ResultsArgs, place: &PlaceArgs, format: Output) -> Result<u8> {
    let home = place.home()?;
    let folder = find::folder(&home, &args.job)?;
    let id = folder.id().context("found by its id, or its name")?;
    let Some(mut file) = folder.file() else { bail!("[C-JOB-013] {id} was not submitted from a job file") };
    let Some(report) = folder.report()? else {
        bail!("[C-JOB-014] {id} has not ended: `rialto jobs logs -f {id}` shows how far it is")
    };
    if let Some(to) = &args.to {
        file.results.folder = std::path::absolute(resolved(to)?)?;
    }
    if let Some(name) = &args.name {
        file.results.name.clone_from(name);
    }
    file.check()?;
    Claim::look(&file, Some(&id.to_string()), args.force, runs(&home))?;
    let written = write(file, &report, args.force).await?;
    let text =
        format!("{} files, {} bytes in {}, and the evidence", written.files, written.bytes, written.folder.display());
    notes(&written);
    either(
        format,
        &text,
        || json!({ "job": id.to_string(), "results": written, "paid": money(report.requester_paid) }),
    );
    Ok(code(&written, args.strict))
}

/// What is told of single files.
pub fn notes(written: &Written) {
    written.notes.iter().for_each(|note| eprintln!("rialto: {note}"));
}

/// What results end with.
pub fn code(written: &Written, strict: bool) -> u8 {
    if written.missing > 0 || (strict && written.failed > 0) { exit::FAILED } else { exit::OK }
}

/// Writes the results of a job that was watched to its end.
pub async fn deliver(file: JobFile, report: &JobReport, id: JobId, force: bool) -> Result<Written> {
    write(file, report, force).await.with_context(|| {
        format!("[C-JOB-016] {id} has ended, and its results are not all written: `rialto jobs results {id} --to DIR` writes them")
    })
}

/// Writes results beside the async world, with a bar where there are many.
async fn write(file: JobFile, report: &JobReport, force: bool) -> Result<Written> {
    let bar = watch::bar(report.tasks.len() as u64, "  {bar:40.green/black.dim} {pos} of {len} results written");
    let (report, shown) = (report.clone(), bar.clone());
    let task = tokio::task::spawn_blocking(move || {
        write_results(&file, &report, force, |task| ProgressBar::set_position(&shown, task.into()))
    });
    let written = task.await?;
    bar.finish_and_clear();
    Ok(written?)
}
