//! `rialto jobs results`

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use rialto_client::{job::Claim, view};

use crate::{
    env::{PlaceArgs, resolved},
    job::{
        find,
        results::{code, notes, runs, write},
    },
    ui::{Ui, money},
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
    /// Replace files of others in the folder.
    #[arg(long)]
    pub force: bool,
    /// End with exit code 1 if a task trapped, ran out of fuel or failed.
    #[arg(long)]
    pub strict: bool,
}

/// Writes results where the job file says, or elsewhere.
pub async fn results(args: &ResultsArgs, place: &PlaceArgs, ui: Ui) -> Result<u8> {
    let home = place.home()?;
    let folder = find::folder(&home, &args.job)?;
    let id = folder.id().context("found by its id, or its name")?;
    let Some(mut file) = folder.file() else {
        bail!(failure!(Usage, "C-JOB-013", "{id} was not submitted from a job file"))
    };
    let Some(report) = folder.report()? else {
        bail!(failure!(
            Failed,
            "C-JOB-014",
            "{id} has not ended: `rialto jobs logs -f {id}` shows how far it is"
        ))
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
    let text = format!(
        "{} files, {} bytes in {}, and the evidence",
        written.files,
        written.bytes,
        written.folder.display()
    );
    notes(&written);
    ui.answer(&text, || view::JobResults {
        job: id.to_string(),
        results: written.clone(),
        paid: money(report.requester_paid),
    });
    Ok(code(&written, args.strict))
}
