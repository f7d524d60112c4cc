//! A job's results on their way to a folder. What was paid for lies on this disk: neither market
//! nor chain is asked for it.

use anyhow::{Context, Result};
use indicatif::ProgressBar;
use rialto_client::{
    Home, JobFolder,
    job::{JobFile, Written, write_results},
};
use rialto_requester::{JobId, JobReport};

use crate::{exit, ui::progress::bar_of};

/// Whether a job of this home has not ended.
pub fn runs(home: &Home) -> impl Fn(&str) -> bool + '_ {
    |job| {
        let this = |folder: &JobFolder| folder.id().is_some_and(|id| id.to_string() == job);
        JobFolder::all(home)
            .iter()
            .find(|folder| this(folder))
            .is_some_and(|folder| !folder.ended())
    }
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
        failure!(
            Failed,
            "C-JOB-016",
            "{id} has ended, and its results are not all written: `rialto jobs results {id} --to DIR` writes them"
        )
    })
}

/// Writes results beside the async world, with a bar where there are many.
pub async fn write(file: JobFile, report: &JobReport, force: bool) -> Result<Written> {
    let bar = bar_of(
        report.tasks.len() as u64,
        "  {bar:40.green/black.dim} {pos} of {len} results written",
    );
    let (report, shown) = (report.clone(), bar.clone());
    let task = tokio::task::spawn_blocking(move || {
        write_results(&file, &report, force, |task| ProgressBar::set_position(&shown, task.into()))
    });
    let written = task.await?;
    bar.finish_and_clear();
    Ok(written?)
}
