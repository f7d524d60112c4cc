//! `rialto run job.toml --dry-run`

use std::collections::BTreeSet;

use anyhow::Result;
use rialto_client::{Chosen, Host, Opening, PolicyPrice, Quote, job::JobFile, view};
use rialto_requester::JobId;

use crate::{
    exit,
    ui::{Paint, Ui, coins, count, fuel, money, short, span, table},
};

/// What a job would cost. Nothing is spent.
pub async fn dry_run(host: &Host, file: &JobFile, ui: Ui) -> Result<u8> {
    if ui.for_people() {
        eprintln!("running one task here, and listening for offers …");
    }
    let quote = host.quote(file).await?;
    ui.answer_with(|| text(&quote), &view::JobQuote { quote: quote.clone() });
    Ok(match (quote.no_match.is_some(), warn(&quote)) {
        (true, _) => exit::NO_MARKET,
        (false, code) => code,
    })
}

/// Says that the task which was run here did not end well: the others may not, either, and are paid
/// all the same.
fn warn(quote: &Quote) -> u8 {
    let trial = &quote.trial;
    let (what, code) = match trial.ending.as_str() {
        "finished" => return exit::OK,
        "failed" => (format!("ended with exit code {}", trial.exit_code), exit::OK),
        "out of fuel" => (
            "ran out of fuel: raise limits.fuel, for a task that runs out is paid for, too".into(),
            exit::FAILED,
        ),
        _ => ("trapped: `rialto check PROGRAM --run` shows more".into(), exit::FAILED),
    };
    eprintln!("rialto: warning: the first task, run here, {what}");
    code
}

/// What a job would send, and whose money that moves. Nothing is sent.
pub async fn explain(host: &Host, file: &JobFile, ui: Ui) -> Result<u8> {
    if ui.for_people() {
        eprintln!("running one task here, and listening for offers …");
    }
    let quote = host.quote(file).await?;
    let shown = view::JobPlan {
        opening: quote.opening.clone(),
        deals: quote.chosen.clone(),
        locked: quote.locked,
        cost: quote.cost,
        budget: quote.budget,
        no_match: quote.no_match.clone(),
        left: None,
        sent: false,
    };
    let warned = warn(&quote);
    Ok(match show(&shown, ui) {
        exit::OK => warned,
        code => code,
    })
}

/// The same for a job that is to be taken up again.
pub async fn explain_resumed(
    host: &Host,
    id: JobId,
    within: u64,
    budget: Option<u128>,
    ui: Ui,
) -> Result<u8> {
    if ui.for_people() {
        eprintln!("listening for offers …");
    }
    let again = host.quote_resumed(id, within, budget).await?;
    let shown = view::JobPlan {
        opening: again.opening,
        deals: again.chosen,
        locked: again.locked,
        cost: again.cost,
        budget: again.budget,
        no_match: again.no_match,
        left: Some(again.left),
        sent: false,
    };
    Ok(show(&shown, ui))
}

fn show(shown: &view::JobPlan, ui: Ui) -> u8 {
    ui.answer_with(|| plan(shown), shown);
    match (&shown.no_match, &shown.opening) {
        (Some(_), _) => exit::NO_MARKET,
        (None, Some(opening)) if opening.refused.is_some() => exit::NO_MONEY,
        _ => exit::OK,
    }
}

fn plan(shown: &view::JobPlan) -> String {
    let left = shown
        .left
        .map(|left| format!("{} tasks are left; what is verified and paid stays so", count(left)));
    let mut out: Vec<String> = left.into_iter().collect();
    let Some(opening) = &shown.opening else {
        let why = shown
            .no_match
            .as_deref()
            .unwrap_or("no provider is needed besides those with open deals");
        out.push(format!("nothing would be sent: {why}"));
        return out.join("\n");
    };
    let deals = shown.deals.len();
    out.push(format!(
        "would send one transaction, by {}:\n  open {deals} deals, all or none",
        opening.account
    ));
    let most =
        opening.max_price.map_or_else(String::new, |most| format!(", at most {}", money(most)));
    out.extend(shown.deals.iter().map(|deal| {
        format!(
            "    with {} for {}: {} of your money locked, {} of its own; {} per Tfuel{most}, {} per task",
            deal.provider,
            span(deal.seconds.into()),
            money(deal.budget),
            money(deal.collateral),
            money(deal.price),
            money(deal.task_fee)
        )
    }));
    out.push(match (&opening.refused, opening.gas) {
        (Some(why), _) => format!("  as things are, it would be refused: {why}"),
        (None, gas) => {
            let wei = u128::from(gas.unwrap_or_default()) * opening.gas_price_wei;
            format!(
                "  about {} gas: {} coins of the {} that the account has",
                gas.unwrap_or_default(),
                coins(wei),
                coins(opening.gas_money_wei)
            )
        }
    });
    out.extend(kept(opening).map(|kept| format!("  {kept}")));
    out.push(format!("  {}", risk(&shown.deals, shown.cost)));
    out.push(format!(
        "then nothing per task: vouchers are signed as results are accepted, about {} in all, never more than {}",
        shown.cost.map_or_else(|| "nothing".into(), money),
        money(shown.budget)
    ));
    out.push(
        "each provider closes its deal with the last voucher, and pays the gas; what was not earned comes back".into(),
    );
    out.push("should providers fail, others are found within the budget: that opens more deals; late or withheld work is called on chain, with a bond".into());
    out.push("nothing was sent".into());
    out.join("\n")
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
    let counts: Vec<u64> = quote
        .policies
        .first()
        .map_or_else(Vec::new, |p| p.unseen.iter().map(|(n, _)| *n).collect());
    let unseen: Vec<String> = counts.iter().map(|n| format!("{n} wrong unseen")).collect();
    let head: Vec<&str> = ["policy", "price", "own fuel"]
        .into_iter()
        .chain(unseen.iter().map(String::as_str))
        .collect();
    let row = |price: &PolicyPrice| {
        let name = if price.chosen {
            paint.bold(&format!("{} *", price.policy))
        } else {
            price.policy.clone()
        };
        let pay = price.pay.map_or_else(|| code(price.why.as_deref()), money);
        let own = if price.own_fuel == 0 { "–".to_owned() } else { fuel(price.own_fuel) };
        let chance = |(_, ppm): &(u64, u32)| format!("{:.2} %", f64::from(*ppm) / 10_000.0);
        [name, pay, own].into_iter().chain(price.unseen.iter().map(chance)).collect::<Vec<_>>()
    };
    out.push(table(&head, &[], &quote.policies.iter().map(row).collect::<Vec<_>>()));
    out.push(
        paint.dim("  * this job's. Replicas: unseen only if all providers of a task lie alike."),
    );
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
        out.push(format!("  {}", risk(&quote.chosen, quote.cost)));
        out.extend(quote.opening.as_ref().and_then(kept).map(|kept| format!("  {kept}")));
    }
    if !quote.left_out.is_empty() {
        out.push(format!("\n{}", paint.bold("Left out")));
        out.extend(
            quote.left_out.iter().map(|left| format!("  {}  {}", short(left.provider), left.why)),
        );
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

/// What has to stay in the account besides.
fn kept(opening: &Opening) -> Option<String> {
    (opening.bonds > 0).then(|| {
        let bonds = money(opening.bonds);
        format!("{bonds} stay in the market account meanwhile: the bonds of accusations, should one be necessary")
    })
}

/// The most that can be lost, whatever the providers do (docs/threat-model.md).
fn risk(deals: &[Chosen], cost: Option<u128>) -> String {
    let vouchers = format!(
        "you can lose at most the vouchers for results that are accepted, about {}",
        cost.map_or_else(|| "nothing".into(), money)
    );
    let unproven = deals.iter().fold(0u128, |sum, deal| sum.saturating_add(deal.unproven));
    let lacks: BTreeSet<String> =
        deals.iter().filter_map(|deal| deal.lack).map(|lack| lack.to_string()).collect();
    match unproven {
        0 => {
            format!("{vouchers}, and gas: whatever else is claimed is run here and taken to court")
        }
        _ => format!(
            "{vouchers}; and what is claimed besides, {} at most with them, because {}",
            money(unproven),
            lacks.into_iter().collect::<Vec<_>>().join("; ")
        ),
    }
}

/// Just the code of why something can't be done.
fn code(why: Option<&str>) -> String {
    why.and_then(exit::code_of).unwrap_or("–").to_owned()
}
