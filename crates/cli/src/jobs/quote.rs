//! `rialto run job.toml --dry-run`

use anyhow::Result;
use rialto_client::{Host, PolicyPrice, Quote, job::JobFile};
use serde_json::json;

use crate::{
    args::Output,
    exit,
    print::{Paint, count, either, fuel, money, short, table},
};

/// What a job would cost. Nothing is spent.
pub async fn dry_run(host: &Host, file: &JobFile, format: Output) -> Result<u8> {
    if format == Output::Human {
        eprintln!("running one task here, and listening for offers …");
    }
    let quote = host.quote(file).await?;
    either(format, &text(&quote), || json!({ "quote": quote }));
    Ok(if quote.no_match.is_some() { exit::NO_MARKET } else { exit::OK })
}

fn text(quote: &Quote) -> String {
    let paint = Paint::for_stdout();
    let mut out = vec![format!(
        "{}\n  {} tasks; the first took {} and {} ms here, and {} (exit code {}, {} bytes of output)",
        paint.bold("Work"),
        count(quote.tasks),
        fuel(quote.trial.fuel.into()),
        count(quote.trial.milliseconds),
        quote.trial.ending,
        quote.trial.exit_code,
        count(quote.trial.out_bytes),
    )];
    out.push(format!("\n{}", paint.bold("What checking costs, and what a cheat would risk")));
    let counts: Vec<u64> = quote.policies.first().map_or_else(Vec::new, |p| p.unseen.iter().map(|(n, _)| *n).collect());
    let unseen: Vec<String> = counts.iter().map(|n| format!("{n} wrong unseen")).collect();
    let head: Vec<&str> =
        ["policy", "price", "own fuel"].into_iter().chain(unseen.iter().map(String::as_str)).collect();
    let row = |price: &PolicyPrice| {
        let name = if price.chosen { paint.bold(&format!("{} *", price.policy)) } else { price.policy.clone() };
        let pay = price.pay.map_or_else(|| code(price.why.as_deref()), money);
        let own = if price.own_fuel == 0 { "–".to_owned() } else { fuel(price.own_fuel) };
        let chance = |(_, ppm): &(u64, u32)| format!("{:.2} %", f64::from(*ppm) / 10_000.0);
        [name, pay, own].into_iter().chain(price.unseen.iter().map(chance)).collect::<Vec<_>>()
    };
    out.push(table(&head, &[], &quote.policies.iter().map(row).collect::<Vec<_>>()));
    out.push(paint.dim("  * this job's. Replicas: unseen only if all providers of a task lie alike."));
    if !quote.chosen.is_empty() {
        out.push(format!("\n{}", paint.bold("Providers that would be chosen")));
        let rows: Vec<_> = quote
            .chosen
            .iter()
            .map(|deal| {
                vec![
                    short(deal.provider),
                    money(deal.price),
                    money(deal.task_fee),
                    count(deal.share),
                    money(deal.budget),
                ]
            })
            .collect();
        out.push(table(&["provider", "per Tfuel", "per task", "task runs", "locked"], &[], &rows));
    }
    if !quote.left_out.is_empty() {
        out.push(format!("\n{}", paint.bold("Left out")));
        out.extend(quote.left_out.iter().map(|left| format!("  {}  {}", short(left.provider), left.why)));
    }
    out.push(match (&quote.no_match, quote.cost, quote.locked, quote.seconds) {
        (None, Some(cost), Some(locked), Some(seconds)) => format!(
            "\nAbout {} and {seconds} s; {} of a budget of {} would be locked meanwhile. Nothing was spent.",
            money(cost),
            money(locked),
            money(quote.budget)
        ),
        (why, ..) => {
            format!("\n{} {}", paint.bad("It can't be done like this:"), why.as_deref().unwrap_or("no offers"))
        }
    });
    out.join("\n")
}

/// Just the code of why something can't be done.
fn code(why: Option<&str>) -> String {
    why.and_then(exit::code_of).unwrap_or("–").to_owned()
}
