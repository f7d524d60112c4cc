//! `rialto provider status`: from the running provider, or from what a stopped one left.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use rialto_chain::Chain;
use rialto_client::{control, view};
use rialto_protocol::Address;
use rialto_provider::{Provider, Report, Status, stored_status};
use serde::{Deserialize, Serialize};

use super::Request;
use crate::ui::{self, Output, Paint, Ui, money, span, table};

/// Longest wait for balances: an endpoint that is away must not hide the rest.
const BALANCE_TIMEOUT: Duration = Duration::from_secs(3);
/// Most deals shown to people; all of them in JSON.
const MAX_ROWS: usize = 20;

/// What a running provider answers.
#[derive(Debug, Serialize, Deserialize)]
pub struct Answer {
    report: Report,
    /// Locked as collateral of open deals, base units.
    locked: u128,
    /// Tokens outside the market, base units; none if the chain did not answer.
    wallet: Option<u128>,
}

/// Everything a running provider knows.
pub async fn running(provider: &Provider, chain: &Chain) -> Result<Answer> {
    let report = provider.report().await?;
    let wallet = tokio::time::timeout(BALANCE_TIMEOUT, chain.token_balance(report.account)).await;
    let wallet = wallet.ok().and_then(Result::ok).map(|balance| balance.saturating_to());
    Ok(Answer { locked: locked(&report.status), report, wallet })
}

fn locked(status: &Status) -> u128 {
    status.deals.values().filter(|deal| deal.open).map(|deal| deal.deal.collateral).sum()
}

/// Folders of this home's providers.
pub fn folders(home: &Path, account: Option<Address>) -> Result<Vec<PathBuf>> {
    let all = home.join("provider");
    let entries = match std::fs::read_dir(&all) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!(failure!(
                Failed,
                "P-CTL-006",
                "no provider ever ran in {}: `rialto provide` starts one",
                home.display()
            ))
        }
        Err(error) => {
            return Err(error).with_context(|| failure!(Usage, "P-CFG-006", "{}", all.display()));
        }
    };
    let mut folders: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    folders.retain(|folder| folder.is_dir());
    if let Some(account) = account {
        let end = format!("-{account:x}");
        folders.retain(|folder| folder.to_string_lossy().ends_with(&end));
    }
    folders.sort();
    if folders.is_empty() {
        bail!(failure!(
            Failed,
            "P-CTL-006",
            "no such provider in {}: `rialto provide` starts one",
            home.display()
        ));
    }
    Ok(folders)
}

/// Prints one provider's status.
pub async fn show(folder: &Path, ui: Ui) -> Result<()> {
    let answer: Option<Answer> = control::ask(folder, &Request::Status).await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    if let Some(answer) = answer {
        let shown = view::ProviderStatus {
            folder: folder.to_owned(),
            running: true,
            status: Some(&answer),
            stored: None::<&Status>,
        };
        let text = match ui.output() {
            Output::Human => Paper::default().running(folder, &answer),
            Output::Json => serde_json::to_string(&shown)?,
        };
        print(&text, ui);
        return Ok(());
    }
    let path = folder.to_owned();
    let stored = tokio::task::spawn_blocking(move || stored_status(&path, now)).await??;
    let Some(status) = stored else {
        bail!(failure!(Failed, "P-CTL-006", "no provider ever ran in {}", folder.display()))
    };
    let shown = view::ProviderStatus {
        folder: folder.to_owned(),
        running: false,
        status: None::<&Answer>,
        stored: Some(&status),
    };
    let text = match ui.output() {
        Output::Human => Paper::default().stopped(folder, &status, now),
        Output::Json => serde_json::to_string(&shown)?,
    };
    print(&text, ui);
    Ok(())
}

fn print(text: &str, ui: Ui) {
    match ui.output() {
        Output::Human => ui::say(format_args!("{text}\n")),
        Output::Json => ui::raw(format!("{}\n", rialto_client::escape::json(text)).as_bytes()),
    }
}

/// Lines for people.
struct Paper {
    paint: Paint,
    lines: Vec<String>,
}

impl Default for Paper {
    fn default() -> Self {
        Self { paint: Paint::for_stdout(), lines: Vec::new() }
    }
}

impl Paper {
    fn running(mut self, folder: &Path, answer: &Answer) -> String {
        let Answer { report, locked, wallet } = answer;
        let (status, usage) = (&report.status, &report.usage);
        let state = if status.draining { "draining" } else { "selling" };
        self.head(&format!("{state}: {}", report.account), folder);
        match (&status.offer, &status.silent) {
            (_, Some(why)) => self.row("offer", &self.paint.bad(&why.to_string())),
            (Some(offer), None) => self.row(
                "offer",
                &format!(
                    "{} per Tfuel now, {} deals of {} to {}, until {} from now",
                    money(offer.price),
                    offer.capacity,
                    money(offer.min_budget),
                    money(offer.max_budget),
                    span(offer.to.saturating_sub(report.at))
                ),
            ),
            (None, None) => self.row("offer", "none yet"),
        }
        self.row(
            "work",
            &format!(
                "{} running, {} waiting, {} sessions, {} gossip peers",
                status.running, status.waiting, status.sessions, report.peers
            ),
        );
        let cores = u64::from(status.cores.1.max(1));
        let share = |busy: u64, window: u64| {
            let time = window.min(usage.running_for.max(1)) * cores;
            format!("{} core-seconds ({} %)", busy / 1000, busy * 100 / time.max(1))
        };
        self.row(
            "busy",
            &format!(
                "minute {}, hour {}, day {}",
                share(usage.minute, 60_000),
                share(usage.hour, 3_600_000),
                share(usage.day, 86_400_000)
            ),
        );
        let foot = &report.footprint;
        self.row(
            "process",
            &format!(
                "{} MiB of memory, {}.{:02} % of one core in the last minute, {} open files, {} threads",
                foot.resident_bytes >> 20,
                report.cpu_bps / 100,
                report.cpu_bps % 100,
                foot.open_files,
                foot.threads
            ),
        );
        self.row(
            "account",
            &format!("{} in the market, {} locked in deals", money(status.account), money(*locked)),
        );
        self.row(
            "wallet",
            &wallet.map_or_else(|| "unknown: the chain does not answer".into(), money),
        );
        match &report.gas {
            None => self.row("gas", "unknown: the chain did not answer yet"),
            Some(gas) => {
                let text = format!(
                    "{} wei, at {} wei per gas; a redemption costs {}",
                    gas.balance_wei,
                    gas.price_wei,
                    money(status.worth.redeem)
                );
                let low = format!(
                    "[P-GAS-001] {text}; {} wei are comfortable: send some",
                    gas.wanted_wei
                );
                self.row("gas", &if gas.low() { self.paint.bad(&low) } else { text });
            }
        }
        self.books(status, report.at)
    }

    fn stopped(mut self, folder: &Path, status: &Status, now: u64) -> String {
        self.head("stopped: what its journal holds", folder);
        self.row(
            "work",
            &format!(
                "{} orders accepted and not finished: the next start goes on with them",
                status.waiting
            ),
        );
        self.row("locked", &money(locked(status)));
        self.books(status, now)
    }

    fn books(mut self, status: &Status, now: u64) -> String {
        let ledger = &status.ledger;
        let rows = [("today", &ledger.today), ("7 days", &ledger.week), ("total", &ledger.total)]
            .map(|(name, sums)| {
                vec![
                    name.to_owned(),
                    money(sums.earned),
                    money(sums.paid),
                    money(sums.lost),
                    ui::count(sums.orders),
                    ui::count(sums.tasks),
                    ui::fuel(sums.fuel),
                    ui::count(sums.core_millis / 1000),
                    format!("{} wei in {}", sums.gas_wei, sums.txs),
                ]
            });
        self.lines.push(String::new());
        let heads = ["", "earned", "on chain", "lost", "orders", "tasks", "fuel", "core-s", "gas"];
        self.lines.push(table(&heads, &[], &rows));
        let mut open: Vec<_> = status.deals.iter().filter(|(_, deal)| deal.open).collect();
        open.sort_by_key(|(_, deal)| deal.deal.expiry);
        if !open.is_empty() {
            let rows: Vec<Vec<String>> = open
                .iter()
                .take(MAX_ROWS)
                .map(|(id, deal)| {
                    vec![
                        format!("{id:x}").chars().take(8).collect(),
                        ui::short(deal.deal.requester),
                        money(deal.deal.budget),
                        money(deal.earned),
                        money(deal.voucher),
                        money(deal.paid),
                        deal.unfinished.to_string(),
                        deal.due_by.map_or_else(|| "-".into(), |due| span(due.saturating_sub(now))),
                        span(deal.deal.expiry.saturating_sub(now)),
                    ]
                })
                .collect();
            self.lines.push(String::new());
            let heads = [
                "deal",
                "requester",
                "budget",
                "earned",
                "voucher",
                "on chain",
                "orders",
                "next due",
                "expires",
            ];
            self.lines.push(table(&heads, &[], &rows));
            if open.len() > MAX_ROWS {
                self.lines.push(format!(
                    "  … and {} more (--output json shows all)",
                    open.len() - MAX_ROWS
                ));
            }
        }
        if !status.refusals.is_empty() {
            let rows: Vec<Vec<String>> = status
                .refusals
                .iter()
                .map(|(code, count)| {
                    let detail: String = count.detail.chars().take(80).collect();
                    vec![
                        code.clone(),
                        count.times.to_string(),
                        format!("{} ago", span(now.saturating_sub(count.at))),
                        detail,
                    ]
                })
                .collect();
            self.lines.push(String::new());
            self.lines.push(table(&["refused, lost", "times", "last", "detail"], &[], &rows));
        }
        self.lines.join("\n")
    }

    fn head(&mut self, text: &str, folder: &Path) {
        let head = self.paint.bold(text);
        self.lines.push(head);
        self.row("folder", &folder.display().to_string());
    }

    fn row(&mut self, name: &str, text: &str) {
        self.lines.push(format!("  {name:<9} {text}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_ran_here() {
        let home = tempfile::tempdir().unwrap();
        assert!(folders(home.path(), None).unwrap_err().to_string().starts_with("[P-CTL-006]"));
        std::fs::create_dir_all(
            home.path().join("provider/1-2-00000000000000000000000000000000000000ab"),
        )
        .unwrap();
        assert_eq!(folders(home.path(), None).unwrap().len(), 1);
        assert!(folders(home.path(), Some(Address::repeat_byte(1))).is_err());
        assert_eq!(folders(home.path(), Some(Address::with_last_byte(0xab))).unwrap().len(), 1);
    }
}
