//! What is reported of a job that has ended.

use std::time::Duration;

use rialto_client::job::Written;
use rialto_requester::{JobReport, ProviderReport, ProviderStatus};
use serde_json::{Value, json};

use crate::{
    exit,
    ui::{Output, Paint, count, either, fuel, money, short, table},
};

fn status_of(provider: &ProviderReport) -> String {
    match &provider.status {
        ProviderStatus::Settled => "settled".into(),
        ProviderStatus::Cheated if provider.wrong.is_empty() => "signed fuel that does not add up".into(),
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
                if provider.status == ProviderStatus::Cheated { paint.bad(&status) } else { status },
            ]
        })
        .collect();
    table(&["provider", "tasks", "fuel", "per Tfuel", "earned", "status"], &[5], &rows)
}

/// What was checked.
pub fn checks(report: &JobReport) -> String {
    let checks = &report.checks;
    let unseen: Vec<String> =
        checks.unseen.iter().map(|(n, ppm)| format!("{n}: {:.2} %", f64::from(*ppm) / 10_000.0)).collect();
    format!(
        "  {} of {} verified tasks were run more than once ({} by this machine); a cheat on so many tasks would be unseen with at most  {}",
        count(checks.checked),
        count(report.progress.verified),
        count(checks.own_runs),
        unseen.join("   ")
    )
}

/// The report for programs.
pub fn json_of_report(report: &JobReport) -> Value {
    let provider = |provider: &ProviderReport| {
        json!({
            "address": provider.provider,
            "deal": provider.deal,
            "price": provider.price.to_string(),
            "tasks": provider.tasks,
            "fuel": provider.fuel.to_string(),
            "earned": provider.earned.to_string(),
            "paid": provider.paid.map(|paid| paid.to_string()),
            "status": status_of(provider),
            "wrong_tasks": provider.wrong.iter().map(|wrong| wrong.task).collect::<Vec<_>>(),
        })
    };
    let tx = |tx: &rialto_requester::TxNote| json!({ "kind": tx.kind, "tx": tx.tx, "gas": tx.gas, "deals": tx.deals });
    json!({
        "tasks": report.progress.tasks,
        "verified": report.progress.verified,
        "retries": report.progress.retries,
        "failovers": report.progress.failovers,
        "requester_paid": report.requester_paid.to_string(),
        "deals": report.deals,
        "providers": report.providers.iter().map(provider).collect::<Vec<_>>(),
        "transactions": report.transactions.iter().map(tx).collect::<Vec<_>>(),
        "checks": {
            "checked": report.checks.checked,
            "own_runs": report.checks.own_runs,
            "repeated": report.checks.repeated,
            "unseen_ppm": report.checks.unseen.iter().map(|(n, ppm)| json!([n, ppm])).collect::<Vec<_>>(),
        },
    })
}

/// The report at the end of `run` or `resume`.
pub fn ending(report: &JobReport, written: &Written, took: Duration, format: Output) {
    let paint = Paint::for_stdout();
    let outcome = match &report.outcome {
        Ok(()) => paint.good(&format!("all {} tasks verified", count(report.progress.tasks))),
        Err(why) => paint.bad(&why.to_string()),
    };
    let failed = match written.failed {
        0 => String::new(),
        n => paint.bad(&format!("; {} tasks trapped, ran out of fuel or ended with an exit code", count(n))),
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
    either(format, &text, || {
        let mut all = json_of_report(report);
        all["job"] = json!(report.job.to_string());
        all["name"] = json!(report.name);
        all["done"] = json!(report.outcome.is_ok());
        if let Err(why) = &report.outcome {
            all["error"] = json!(why.to_string());
            all["code"] = json!(exit::code_of(&why.to_string()));
        }
        all["results"] = json!(written);
        all["bundle"] = json!(written.bundle);
        all["seconds"] = json!(took.as_secs_f64());
        all
    });
}
