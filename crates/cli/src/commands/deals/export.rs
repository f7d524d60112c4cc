//! `rialto deals export`: an account's money, movement by movement, as a table for spreadsheets and
//! book-keeping. What it adds up to is compared with the contract before anything is written.

use std::{collections::BTreeMap, io::Write, path::PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use futures::{StreamExt, TryStreamExt};
use rialto_chain::Chain;
use rialto_client::{
    History, HistoryError, Movement, job::csv_record, settings::TOKEN_DECIMALS, view,
};

use crate::{
    transact::Account,
    ui::{Output, Ui, instant, money},
};

/// Times of blocks asked for at once.
const AT_ONCE: usize = 8;
/// How often the contract is asked again if blocks came in between.
const TRIES: u32 = 3;
const HEAD: [&str; 11] = [
    "time",
    "block",
    "transaction",
    "what",
    "deal",
    "with",
    "free",
    "bound",
    "net",
    "balance",
    "locked",
];

/// `rialto deals export`
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  rialto deals export > books.csv
  rialto deals export books.csv --since 2026-11-01 --until 2026-12-01
  rialto deals export --output json

A line for each movement of this account's money in the market, the oldest first: time (UTC), block, transaction, what happened, the deal,
who is on the other side, the change of what is free and of what is bound in deals and bonds, what was gained or spent (their sum), and
both balances afterwards, in tokens. The last balance is what the contract says; if it is not, nothing is written.")]
pub struct Export {
    /// The file to write (default: standard output).
    file: Option<PathBuf>,
    /// From this day on, UTC: 2026-11-01.
    #[arg(long, value_name = "DAY", value_parser = day)]
    since: Option<String>,
    /// Before this day, UTC.
    #[arg(long, value_name = "DAY", value_parser = day)]
    until: Option<String>,
}

/// A day as ISO 8601 writes it, so that days and times compare as texts.
fn day(text: &str) -> Result<String, String> {
    let form =
        |(at, c): (usize, char)| if at == 4 || at == 7 { c == '-' } else { c.is_ascii_digit() };
    match text.len() == 10 && text.chars().enumerate().all(form) {
        true => Ok(text.to_owned()),
        false => Err("a day is written like 2026-11-01".into()),
    }
}

/// Reads, compares, writes.
pub async fn export(args: &Export, account: &Account, mut history: History, ui: Ui) -> Result<()> {
    let all = reconciled(account, &mut history).await?;
    let (balance, locked) = all.last().map_or((0, 0), |last| (last.balance, last.locked));
    let total = all.len();
    let within = |time: &str| {
        args.since.as_deref().is_none_or(|since| time >= since)
            && args.until.as_deref().is_none_or(|until| time < until)
    };
    let mut lines = timed(&account.chain, all).await?;
    lines.retain(|line| within(&line.time));
    let (account, market, chain_id) =
        (account.address, account.market.market, account.chain.chain_id());
    if let Some(file) = &args.file {
        let failed = || failure!(Usage, "C-JOB-002", "{} can't be written", file.display());
        let folder =
            file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(".".as_ref());
        let mut whole = tempfile::NamedTempFile::new_in(folder).with_context(failed)?;
        whole.write_all(table(&lines).as_bytes()).with_context(failed)?;
        whole.persist(file).with_context(failed)?;
        let said = format!(
            "{}: {} of {total} movements; {} free and {} bound now, as the contract says",
            file.display(),
            lines.len(),
            money(balance),
            money(locked)
        );
        let told = || view::BooksWritten {
            file: file.clone(),
            movements: lines.len(),
            balance: balance.into(),
            locked: locked.into(),
        };
        ui.answer(&said, told);
        return Ok(());
    }
    let (account, market) = (account.into(), market.into());
    let books = view::Books { account, market, chain_id, movements: lines, balance, locked };
    ui.answer_with(|| table(&books.movements).trim_end().to_owned(), &books);
    Ok(())
}

/// All movements, once they add up to what the contract says.
async fn reconciled(account: &Account, history: &mut History) -> Result<Vec<Movement>> {
    for attempt in 1.. {
        let movements = history.ledger(account.address)?;
        let events = movements.last().map_or(0, |last| last.balance);
        let contract = account.chain.account(account.address).await?;
        if events == contract {
            return Ok(movements);
        }
        ensure!(attempt < TRIES, HistoryError::Differs { events, contract });
        // A block came in between.
        *history =
            crate::past::read(&account.chain, account.market.first_block, Ui::new(Output::Json))
                .await?;
    }
    unreachable!("the last attempt returns")
}

async fn timed(chain: &Chain, movements: Vec<Movement>) -> Result<Vec<view::BooksLine>> {
    let blocks: std::collections::BTreeSet<u64> =
        movements.iter().map(|movement| movement.block).collect();
    let time = async |block: u64| {
        let time =
            chain.block_time(block).await?.with_context(|| HistoryError::Rewritten.to_string())?;
        anyhow::Ok((block, instant(time)))
    };
    let times: BTreeMap<u64, String> =
        futures::stream::iter(blocks).map(time).buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(movements
        .into_iter()
        .map(|movement| view::BooksLine { time: times[&movement.block].clone(), movement })
        .collect())
}

fn table(lines: &[view::BooksLine]) -> String {
    let mut text = csv_record(&HEAD);
    for view::BooksLine { time, movement: it } in lines {
        let named = |name: Option<String>| name.unwrap_or_default();
        let cells = [
            time.clone(),
            it.block.to_string(),
            it.tx.to_string(),
            it.what.name().to_owned(),
            named(it.deal.map(|deal| deal.to_string())),
            named(it.with.map(|with| with.to_string())),
            amount(it.free),
            amount(it.bound),
            amount(it.free.saturating_add(it.bound)),
            amount(i128::try_from(it.balance).unwrap_or(i128::MAX)),
            amount(i128::try_from(it.locked).unwrap_or(i128::MAX)),
        ];
        text.push_str(&csv_record(&cells.each_ref().map(String::as_str)));
    }
    text
}

/// Base units as tokens, all digits kept, without a unit: `-1.500000`.
fn amount(units: i128) -> String {
    let one = 10u128.pow(TOKEN_DECIMALS);
    let sign = if units < 0 { "-" } else { "" };
    let size = units.unsigned_abs();
    format!("{sign}{}.{:06}", size / one, size % one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_days() {
        assert_eq!(
            [0, -1, 1_500_000, -12_000_001].map(amount),
            ["0.000000", "-0.000001", "1.500000", "-12.000001"]
        );
        assert!(day("2026-11-01").is_ok());
        for wrong in ["2026-1-1", "2026-11-1", "20261101", "2026-11-01T", "26-11-00001"] {
            assert!(day(wrong).is_err(), "{wrong}");
        }
    }
}
