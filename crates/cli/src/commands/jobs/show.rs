//! `rialto jobs show`

use anyhow::Result;
use rialto_client::{Home, JobFolder, view};
use rialto_requester::JobStatus;

use super::list::aside;
use crate::{
    exit,
    job::{
        find,
        report::{self, checks, providers},
        standing::{self, standing},
    },
    ui::{Ui, count, money},
};

/// A job that ended, as it was written down: without the market.
pub fn offline(home: &Home, named: &str, why: anyhow::Error, ui: Ui) -> Result<u8> {
    let known = find::ended(home);
    let jobs: Vec<_> = known.iter().map(|(_, status)| (status.id, status.name.as_str())).collect();
    // Whether it is a job that did not end, nobody can say now.
    let Ok(at) = find::choose(&jobs, named, find::Use::Look) else { return Err(why) };
    aside(&why);
    show(&known[at].0, &known[at].1, ui)
}

/// One job.
pub fn show(folder: &JobFolder, status: &JobStatus, ui: Ui) -> Result<u8> {
    let report = folder.report()?;
    let mut text = format!(
        "job {}  {}\n  {}\n  {} of {} tasks verified, {} paid for; {} retries, {} fail-overs\n  spent {} of a budget of {}\n  checked by {}",
        status.id,
        status.name,
        standing(status),
        count(status.progress.verified),
        count(status.progress.tasks),
        count(status.progress.paid),
        count(status.progress.retries),
        count(status.progress.failovers),
        money(status.progress.spent),
        money(status.budget),
        status.policy,
    );
    if let Some(why) = &status.waits {
        text.push_str(&format!("\n  waits: {why}"));
    }
    if let Some(report) = &report {
        text.push_str(&format!("\n\n{}", providers(report)));
        text.push_str(&format!("\n{}", checks(report)));
    }
    text.push_str(&format!("\n  folder {}", folder.path().display()));
    ui.answer(&text, || view::JobShown {
        job: standing::view_of(status),
        report: report.as_ref().map(report::view_of),
        folder: folder.path().to_owned(),
    });
    Ok(exit::OK)
}
