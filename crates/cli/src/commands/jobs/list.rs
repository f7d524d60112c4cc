//! Jobs and providers in lists.

use anyhow::Result;
use rialto_client::{Home, Host, view};
use rialto_requester::JobStatus;

use crate::{
    exit,
    job::{
        find,
        standing::{standing, view_of},
    },
    ui::{Paint, Ui, count, money, table},
};

/// What is known without the market: the jobs that ended.
pub fn offline(home: &Home, why: anyhow::Error, ui: Ui) -> Result<u8> {
    let jobs: Vec<JobStatus> = find::ended(home).into_iter().map(|(_, status)| status).collect();
    if jobs.is_empty() {
        return Err(why);
    }
    aside(&why);
    show(&jobs, ui);
    Ok(exit::OK)
}

/// All jobs.
pub async fn list(host: &Host, ui: Ui) -> Result<u8> {
    show(&host.jobs().await?, ui);
    Ok(exit::OK)
}

fn show(jobs: &[JobStatus], ui: Ui) {
    let paint = Paint::for_stdout();
    let row = |job: &JobStatus| {
        let standing = standing(job);
        let standing = match job.outcome {
            Some(Ok(())) => paint.good(&standing),
            Some(Err(_)) => paint.bad(&standing),
            None => standing,
        };
        vec![
            job.id.to_string(),
            job.name.clone(),
            format!("{} of {}", count(job.progress.verified), count(job.progress.tasks)),
            money(job.progress.spent),
            job.policy.to_string(),
            standing,
        ]
    };
    let text = if jobs.is_empty() {
        "no jobs yet: `rialto job init` writes a job file, `rialto run job.toml` buys it".to_owned()
    } else {
        let head = ["job", "name", "verified", "spent", "checked by", "standing"];
        table(&head, &[1, 4, 5], &jobs.iter().map(row).collect::<Vec<_>>())
    };
    ui.answer(&text, || view::JobList { jobs: jobs.iter().map(view_of).collect() });
}

/// What is remembered of providers.
pub async fn providers(host: &Host, ui: Ui) -> Result<u8> {
    let known = host.history().await?;
    let rows: Vec<_> = known
        .iter()
        .map(|(provider, history)| {
            vec![provider.to_string(), count(history.checked), history.faults.to_string()]
        })
        .collect();
    let text = match rows.is_empty() {
        true => "nothing was checked yet".to_owned(),
        false => table(&["provider", "right since", "caught"], &[], &rows),
    };
    ui.answer(&text, || {
        let one = |(provider, history): &(rialto_protocol::Address, rialto_requester::History)| {
            view::KnownProvider {
                provider: (*provider).into(),
                checked: history.checked,
                faults: history.faults,
            }
        };
        view::KnownProviders { providers: known.iter().map(one).collect() }
    });
    Ok(exit::OK)
}

/// Says why less is known than usual.
pub(super) fn aside(why: &anyhow::Error) {
    eprintln!(
        "rialto: {why:#}\nrialto: these are the jobs of this home that ended; `rialto jobs results` has their results"
    );
}
