//! What is reported of a job that has ended.

use std::time::Duration;

use rialto_client::{job::Written, view};
use rialto_requester::{JobReport, ProviderReport, ProviderStatus};

use crate::{
    exit,
    ui::{Paint, Ui, count, fuel, money, short, table},
};

fn status_of(provider: &ProviderReport) -> String {
    match &provider.status {
        ProviderStatus::Settled => "settled".into(),
        ProviderStatus::Cheated if provider.wrong.is_empty() => {
            "signed fuel that does not add up".into()
        }
        ProviderStatus::Cheated => format!("cheated on {} tasks", provider.wrong.len()),
        ProviderStatus::Dropped { code } => format!("dropped [{code}]"),
        ProviderStatus::Unsettled => "not redeemed yet".into(),
    }
}

/// A table of providers.
pub fn providers(report: &JobReport) -> String {
    let paint = Paint::for_stdout();
    let rows: Vec<_> = report
        .providers
        .iter()
        .map(|provider| {
            let status = status_of(provider);
            vec![
                short(provider.provider),
                count(provider.tasks),
                fuel(provider.fuel),
                money(provider.price),
                money(provider.earned),
                if provider.status == ProviderStatus::Cheated {
                    paint.bad(&status)
                } else {
                    status
                },
            ]
        })
        .collect();
    table(&["provider", "tasks", "fuel", "per Tfuel", "earned", "status"], &[5], &rows)
}

/// What was checked.
pub fn checks(report: &JobReport) -> String {
    let checks = &report.checks;
    let unseen: Vec<String> = checks
        .unseen
        .iter()
        .map(|(n, ppm)| format!("{n}: {:.2} %", f64::from(*ppm) / 10_000.0))
        .collect();
    format!(
        "  {} of {} verified tasks were run more than once ({} by this machine); a cheat on so many tasks would be unseen with at most  {}",
        count(checks.checked),
        count(report.progress.verified),
        count(checks.own_runs),
        unseen.join("   ")
    )
}

/// The report for programs.
pub fn view_of(report: &JobReport) -> view::JobReport {
    let provider = |provider: &ProviderReport| view::JobProvider {
        address: provider.provider.into(),
        deal: provider.deal.into(),
        price: provider.price.into(),
        tasks: provider.tasks,
        fuel: provider.fuel.into(),
        earned: provider.earned.into(),
        paid: provider.paid.map(Into::into),
        status: status_of(provider),
        wrong_tasks: provider.wrong.iter().map(|wrong| wrong.task).collect(),
    };
    let transaction = |tx: &rialto_requester::TxNote| view::Transaction {
        kind: tx.kind.to_string(),
        tx: tx.tx.into(),
        gas: tx.gas,
        deals: tx.deals,
    };
    view::JobReport {
        tasks: report.progress.tasks,
        verified: report.progress.verified,
        retries: report.progress.retries,
        failovers: report.progress.failovers,
        requester_paid: report.requester_paid.into(),
        deals: report.deals,
        providers: report.providers.iter().map(provider).collect(),
        transactions: report.transactions.iter().map(transaction).collect(),
        checks: view::JobChecks {
            checked: report.checks.checked,
            own_runs: report.checks.own_runs,
            repeated: report.checks.repeated,
            unseen_ppm: report.checks.unseen.clone(),
        },
    }
}

/// The report at the end of `run` or `resume`.
pub fn ending(report: &JobReport, written: &Written, took: Duration, ui: Ui) {
    let paint = Paint::for_stdout();
    let outcome = match &report.outcome {
        Ok(()) => paint.good(&format!("all {} tasks verified", count(report.progress.tasks))),
        Err(why) => paint.bad(&why.to_string()),
    };
    let failed = match written.failed {
        0 => String::new(),
        n => paint.bad(&format!(
            "; {} tasks trapped, ran out of fuel or ended with an exit code",
            count(n)
        )),
    };
    let text = format!(
        "{outcome}{failed}\n\n{}\n{}\n  paid {} in all; {} deals, {} transactions; {:.1} s; {} retries, {} fail-overs\n  results   {} ({} files)\n  evidence  {}  (`rialto verify-bundle` checks it)",
        providers(report),
        checks(report),
        money(report.requester_paid),
        report.deals,
        report.transactions.len(),
        took.as_secs_f64(),
        count(report.progress.retries),
        count(report.progress.failovers),
        written.folder.display(),
        count(written.files),
        written.bundle.display(),
    );
    ui.answer(&text, || view::JobEnded {
        report: view_of(report),
        job: report.job.to_string(),
        name: report.name.clone(),
        done: report.outcome.is_ok(),
        error: report.outcome.as_ref().err().map(ToString::to_string),
        code: report
            .outcome
            .as_ref()
            .err()
            .map(|why| exit::code_of(&why.to_string()).map(str::to_owned)),
        results: written.clone(),
        bundle: written.bundle.clone(),
        seconds: took.as_secs_f64(),
    });
}
