//! The end of the story: who did what, who got what, and whether it all adds up.

use std::time::Duration;

use anyhow::Result;
use rialto_client::view;
use rialto_local_market::{LocalMarket, initial_deposit};
use rialto_protocol::{Address, types::struct_hash};
use rialto_requester::{JobReport, ProviderReport, ProviderStatus};

use super::{Cheat, Demo};
use super::{cheat, court::Case, story::name, trouble::Trouble};
use crate::ui::{self, Paint};

/// The status of a provider that has its money.
const PAID: &str = "paid";

/// What is checked after the work, besides what the requester checked itself.
pub struct Checks {
    /// The picture equals the one that an honest single run makes.
    pub picture_is_honest: bool,
    /// Every account holds exactly what it should, and the contract nothing else.
    pub balances_reconciled: bool,
}

/// What a provider was paid in a deal: what its vouchers say, or less where the deal did not end by
/// consent.
fn paid(provider: &ProviderReport, troubles: &[Trouble]) -> u128 {
    let trouble = troubles.iter().find(|trouble| struct_hash(&trouble.deal) == provider.deal);
    trouble.map_or(provider.earned, |trouble| trouble.paid)
}

/// Whether every account moved by exactly what vouchers and rules say, and the market holds nothing
/// else.
pub async fn reconcile(
    market: &LocalMarket,
    report: &JobReport,
    troubles: &[Trouble],
) -> Result<bool> {
    let of = |address: Address| {
        report.providers.iter().filter(move |provider| provider.provider == address)
    };
    let earned =
        |address: Address| of(address).map(|provider| paid(provider, troubles)).sum::<u128>();
    let requester_paid: u128 =
        report.providers.iter().map(|provider| paid(provider, troubles)).sum();
    let slashed: Vec<_> = report
        .disputes
        .iter()
        .filter(|dispute| dispute.end.is_some_and(|end| end.slashed))
        .collect();
    let compensated: u128 = slashed.iter().map(|dispute| dispute.compensation).sum();
    let penalties: u128 = troubles.iter().map(|trouble| trouble.penalty().0).sum();
    let requester = market.chain.account(market.requester_address).await?;
    let mut exact = requester == initial_deposit() - requester_paid + compensated + penalties;
    for provider in &market.providers {
        let account = market.chain.account(provider.address).await?;
        let lost = slashed.iter().filter(|dispute| dispute.provider == provider.address);
        let lost: u128 = lost.map(|dispute| dispute.compensation + dispute.burned).sum();
        let troubles = troubles.iter().filter(|trouble| trouble.provider() == provider.address);
        let penalties: u128 =
            troubles.map(|trouble| trouble.penalty().0 + trouble.penalty().1).sum();
        exact &= account == initial_deposit() + earned(provider.address) - lost - penalties;
    }
    Ok(exact && market.reconciles().await?)
}

/// Gas of a deal's life, on average.
struct Gas {
    open: u64,
    redeem_close: u64,
    transactions: usize,
}

impl Gas {
    fn of(report: &JobReport, troubles: &[Trouble]) -> Self {
        let deals = report.providers.len().max(1) as u64;
        let (open, close): (Vec<_>, Vec<_>) =
            report.transactions.iter().partition(|tx| tx.kind == "open");
        let sum =
            |txs: &[&rialto_requester::TxNote]| txs.iter().filter_map(|tx| tx.gas).sum::<u64>();
        // What time decided came after the report.
        let transactions = report.transactions.len()
            + troubles.iter().map(|trouble| trouble.calls.len()).sum::<usize>();
        let closed = close.len().max(1) as u64;
        Self { open: sum(&open) / deals, redeem_close: sum(&close) / closed, transactions }
    }

    fn per_deal(&self) -> u64 {
        self.open + self.redeem_close
    }
}

/// Everything the demo says at its end.
pub struct Ending<'a> {
    args: &'a Demo,
    market: &'a LocalMarket,
    report: &'a JobReport,
    cases: &'a [Case],
    troubles: &'a [Trouble],
    checks: Checks,
    gas: Gas,
    wall: Duration,
}

impl<'a> Ending<'a> {
    pub fn new(
        args: &'a Demo,
        market: &'a LocalMarket,
        report: &'a JobReport,
        cases: &'a [Case],
        troubles: &'a [Trouble],
        checks: Checks,
        wall: Duration,
    ) -> Self {
        Self { args, market, report, cases, troubles, checks, gas: Gas::of(report, troubles), wall }
    }

    /// Whoever signed wrong results, or whose deal did not end by consent.
    fn cheaters(&self) -> Vec<&ProviderReport> {
        let caught = |provider: &&ProviderReport| {
            provider.status == ProviderStatus::Cheated
                || self.troubles.iter().any(|it| it.provider() == provider.provider)
        };
        self.report.providers.iter().filter(caught).collect()
    }

    /// Base units that left the requester for work.
    fn requester_paid(&self) -> u128 {
        self.report.providers.iter().map(|provider| paid(provider, self.troubles)).sum()
    }

    fn verified(&self) -> usize {
        self.report.tasks.iter().flatten().count()
    }

    /// Every tile verified, every cheater caught and unpaid, the picture honest, the books
    /// balanced. A policy that looks at a sample, or at nothing, does not promise to catch a liar:
    /// then only the work and the books count.
    pub fn is_good(&self) -> bool {
        let certain = self.args.policy.replicas() >= 2 || self.args.cheat.is_silence();
        self.report.outcome.is_ok()
            && self.verified() == self.report.tasks.len()
            && (!certain || self.caught() && self.checks.picture_is_honest && self.convicted())
            && self.checks.balances_reconciled
    }

    /// Whether all cheaters were caught, and nobody else, and none was paid for what it did not do.
    fn caught(&self) -> bool {
        let caught = self.cheaters();
        if !self.args.cheat.is_silence() {
            return caught.len() == self.args.cheaters as usize
                && caught.iter().all(|cheater| cheater.earned == 0);
        }
        let meant = cheat::cheaters(self.args, self.market);
        let settled = |trouble: &Trouble| {
            let report = caught.iter().find(|report| report.provider == trouble.provider());
            meant.contains(&trouble.provider())
                && report.is_some_and(|report| trouble.is_settled(report.earned))
        };
        self.troubles.len() == meant.len() && self.troubles.iter().all(settled)
    }

    /// Whether every liar lost in court.
    fn convicted(&self) -> bool {
        let guilty = |cheater: &&ProviderReport| {
            self.cases.iter().any(|case| {
                case.dispute.provider == cheater.provider
                    && case.dispute.end.is_some_and(|end| end.slashed)
            })
        };
        self.args.cheat.is_silence() || self.cheaters().iter().all(guilty)
    }

    fn status(&self, provider: &ProviderReport) -> String {
        let trouble = self.troubles.iter().find(|trouble| trouble.provider() == provider.provider);
        match (trouble, &provider.status) {
            (Some(trouble), _) => trouble.status().to_owned(),
            (None, ProviderStatus::Cheated) => "cheated".to_owned(),
            // All deals were followed to their ends: the others ended by consent.
            (None, _) if self.args.cheat.is_silence() => PAID.to_owned(),
            (None, ProviderStatus::Settled) => PAID.to_owned(),
            (None, ProviderStatus::Dropped { code }) => format!("dropped {code}"),
            (None, ProviderStatus::Unsettled) => "unsettled".to_owned(),
        }
    }

    pub fn print(&self) {
        let paint = Paint::for_stdout();
        let cheaters = self.cheaters();
        let rows: Vec<Vec<String>> = self
            .report
            .providers
            .iter()
            .map(|provider| {
                vec![
                    name(self.market, provider.provider),
                    provider.tasks.to_string(),
                    ui::fuel(provider.fuel),
                    ui::money(provider.price),
                    ui::money(paid(provider, self.troubles)),
                    match self.status(provider) {
                        status if cheaters.contains(&provider) => paint.bad(&status),
                        status if status == PAID => paint.good(&status),
                        status => status,
                    },
                ]
            })
            .collect();
        println!("\n{}", paint.bold("Who did what"));
        println!(
            "{}",
            ui::table(&["provider", "tiles", "fuel", "per Tfuel", "earned", "status"], &[5], &rows)
        );
        println!("\n{}", paint.bold("The bill"));
        println!("  requester paid   {}", ui::money(self.requester_paid()));
        println!(
            "  on chain         {} transactions for {} deals and {} tasks; {} gas to open and {} to redeem and close a deal",
            self.gas.transactions,
            self.report.providers.len(),
            self.report.tasks.len(),
            ui::count(self.gas.open),
            ui::count(self.gas.redeem_close)
        );
        for case in self.cases {
            case.print(&paint, &name(self.market, case.dispute.provider));
        }
        for trouble in self.troubles {
            trouble.print(&paint, &name(self.market, trouble.provider()));
        }
        println!("\n{}", paint.bold("Checked"));
        let check = |held: bool, yes: &str, no: &str| {
            println!(
                "  {}",
                if held {
                    format!("{} {yes}", paint.good("✓"))
                } else {
                    format!("{} {no}", paint.bad("✗"))
                }
            );
        };
        let (verified, tasks) = (self.verified(), self.report.tasks.len());
        check(
            verified == tasks,
            &format!("all {tasks} tiles verified"),
            &format!("{verified} of {tasks} tiles verified"),
        );
        check(
            self.checks.picture_is_honest,
            "the picture equals the one that an honest single run makes",
            "the picture differs from that of an honest single run",
        );
        check(
            self.checks.balances_reconciled,
            "every balance is exact to the base unit",
            "balances do not add up",
        );
        let caught = match self.args.cheat {
            Cheat::Crash => "vanished and was paid only what it had redeemed",
            _ => "cheated, was caught and left unpaid",
        };
        check(
            self.caught(),
            &match cheaters.as_slice() {
                [] => "nobody cheated".to_owned(),
                [one] => format!("{} {caught}", name(self.market, one.provider)),
                all => format!("{} providers: each {caught}", all.len()),
            },
            &format!(
                "{} of {} cheaters caught, or one was paid",
                cheaters.len(),
                self.args.cheaters
            ),
        );
        if !cheaters.is_empty() && !self.args.cheat.is_silence() {
            check(
                self.convicted(),
                "the court found the same, from one instruction",
                "the court has not found so",
            );
        }
        let checks = &self.report.checks;
        println!(
            "  {}: {} of {} tiles were run more than once, {} of them here; {} paid for repeated runs",
            self.args.policy,
            checks.checked,
            tasks,
            checks.own_runs,
            ui::money(checks.repeated_fees)
        );
        for (cheated, unseen) in checks.unseen.iter().filter(|(_, unseen)| *unseen > 0) {
            println!(
                "    a cheat on {cheated} tiles would have stayed unseen with a probability of {}",
                percent(*unseen)
            );
        }
        if let Err(why) = &self.report.outcome {
            println!("  {} {why}", paint.bad("✗"));
        }
        println!("\n{} in {:.1} s", self.args.image.display(), self.wall.as_secs_f64());
    }

    pub fn view(&self) -> view::DemoReport {
        let cheaters = self.cheaters();
        let provider = |provider: &ProviderReport| view::DemoProvider {
            address: provider.provider.into(),
            tasks: provider.tasks,
            fuel: number(provider.fuel),
            earned: number(provider.earned),
            paid: number(paid(provider, self.troubles)),
            price: number(provider.price),
            status: self.status(provider),
        };
        let cheater = |cheater: &&ProviderReport| view::Cheater {
            address: cheater.provider.into(),
            tasks: cheater
                .wrong
                .iter()
                .map(|wrong| view::FalseTile {
                    task: wrong.task,
                    signed: wrong.theirs.out_hash.into(),
                    right: wrong.right.out_hash.into(),
                })
                .collect(),
        };
        let disputes =
            self.cases.iter().map(Case::view).chain(self.troubles.iter().map(Trouble::view));
        view::DemoReport {
            tasks: self.report.tasks.len(),
            verified: self.verified(),
            cheats_detected: cheaters.iter().map(|one| one.wrong.len()).sum::<usize>()
                + self.troubles.len(),
            cheater: cheaters.first().map(|one| one.provider.into()),
            cheaters: cheaters.iter().map(cheater).collect(),
            providers: self.report.providers.iter().map(provider).collect(),
            requester_paid: number(self.requester_paid()),
            deals: self.report.providers.len(),
            transactions: self.gas.transactions,
            gas: view::DemoGas {
                open: self.gas.open,
                redeem_close: self.gas.redeem_close,
                per_deal: self.gas.per_deal(),
            },
            wall_seconds: (self.wall.as_secs_f64() * 1000.0).round() / 1000.0,
            policy: self.args.policy.to_string(),
            checks: self.report.checks.clone(),
            disputes: disputes.collect(),
            picture_is_honest: self.checks.picture_is_honest,
            balances_reconciled: self.checks.balances_reconciled,
            image: self.args.image.clone(),
            ok: self.is_good(),
            error: self.report.outcome.as_ref().err().map(ToString::to_string),
        }
    }
}

/// Parts per million for people.
fn percent(ppm: u32) -> String {
    format!("{}.{:02} %", ppm / 10_000, ppm % 10_000 / 100)
}

/// A JSON number while it is exact there, a string beyond.
fn number(value: u128) -> view::Exact {
    match u64::try_from(value) {
        Ok(small) if small < 1 << 53 => view::Exact::Number(small),
        _ => view::Exact::Text(value.to_string()),
    }
}
