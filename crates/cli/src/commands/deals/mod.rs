//! `rialto deals`: this account's deals on both sides, by what the chain says; their money, for
//! book-keeping; and closing those whose time is up.

use anyhow::{Result, ensure};
use clap::{Args, Subcommand};
use rialto_chain::{Ending, MarketCall};
use rialto_client::{DealPhase, DealStory, History, OpenCase, view};
use rialto_protocol::case::CaseKind;
use rialto_protocol::{
    Address,
    bounds::{self, Lack},
};
use rialto_requester::Exposure;

mod export;

use crate::{
    env::PlaceArgs,
    exit,
    named::{MIN_ID, Unnamed, by_id},
    transact::{self, Account},
    ui::{Paint, Ui, money, short, span, table, time},
};
use export::{Export, export};

/// Most deals shown to people; all of them in JSON.
const MAX_ROWS: usize = 50;
/// Transactions that a deal's end may take: one for each open case, and one to close. A deal has
/// fewer open cases.
const MAX_STEPS: usize = 64;

/// `rialto deals`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rialto deals                              # open ones, as requester and as provider
  rialto deals list --all                   # closed ones, too
  rialto deals show 0x3f2a                  # an id's beginning will do
  rialto deals export books.csv             # every movement of this account's money, for book-keeping
  rialto deals close 0x3f2a --explain       # says what would be sent, sends nothing
  rialto deals close 0x3f2a                 # after expiry and grace: everybody's money is set free

Requesters and providers that run close their deals themselves. This is for when one side is gone for good.")]
pub struct DealsCommand {
    /// What to do (default: list).
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Deals of this account.
    List {
        /// Include closed deals.
        #[arg(long)]
        all: bool,
    },
    /// Show one deal: terms, money, cases, what can be done.
    Show {
        /// Its id, or the beginning of it.
        deal: String,
    },
    /// Write every movement of this account's money as CSV, for book-keeping.
    Export(Export),
    /// Settle open cases of a deal and close it, once its time is up. Anyone may do so.
    Close {
        /// Its id, or the beginning of it.
        deal: String,
        /// Show what would be sent and what it costs. Nothing is sent.
        #[arg(long)]
        explain: bool,
    },
}

/// Runs one of them.
pub async fn deals(args: &DealsCommand, place: &PlaceArgs, ui: Ui) -> Result<u8> {
    let account = Account::new(place).await?;
    let history = crate::past::read(&account.chain, account.market.first_block, ui).await?;
    match args.what.as_ref().unwrap_or(&What::List { all: false }) {
        What::List { all } => list(&account, &history, *all, ui),
        What::Export(args) => export(args, &account, history, ui).await?,
        What::Show { deal } => show(&account, place, &history, &find(&history, deal)?, ui).await?,
        What::Close { deal, explain } => {
            let deal = find(&history, deal)?;
            close(account, history, deal, *explain, ui).await?;
        }
    }
    Ok(exit::OK)
}

/// What this account and home know, by which deals are judged.
struct Outlook {
    account: Address,
    now: u64,
    grace: u64,
    /// What this home's provider lets a deal owe, base units.
    credit: Option<u128>,
    /// What the running requester of this account knows of the deal.
    exposure: Option<Exposure>,
}

impl Outlook {
    fn new(account: &Account, history: &History) -> Self {
        let (account, now, grace) =
            (account.address, history.time(), account.chain.windows().grace);
        Self { account, now, grace, credit: None, exposure: None }
    }

    /// With what this home knows of the account's own part in a deal: provider.toml, and the
    /// requester, if it runs.
    async fn at_home(mut self, place: &PlaceArgs, deal: &DealStory) -> Result<Self> {
        if deal.deal.provider == self.account {
            self.credit = crate::env::selling::credit(place);
        }
        if deal.deal.requester == self.account && deal.end.is_none() {
            let host = crate::job::background::place_of(place).await?.0;
            if host.runs().await?.is_some() {
                self.exposure = host.exposures().await?.into_iter().find(|one| one.deal == deal.id);
            }
        }
        Ok(self)
    }

    fn role(&self, deal: &DealStory) -> &'static str {
        match (deal.deal.requester == self.account, deal.deal.provider == self.account) {
            (true, true) => "both",
            (true, false) => "requester",
            (false, true) => "provider",
            (false, false) => "neither",
        }
    }

    fn phase(&self, deal: &DealStory) -> DealPhase {
        deal.phase(self.now, self.grace)
    }

    fn what_to_do(&self, deal: &DealStory) -> String {
        let provides = deal.deal.provider == self.account;
        let id = format!("{:.10}", deal.id.to_string());
        if deal.next_step(self.now, self.grace).is_some() {
            return match self.phase(deal) {
                DealPhase::Closed => {
                    format!("bonds of its cases can be taken back: rialto deals close {id}")
                }
                DealPhase::Due => format!("its time is up: rialto deals close {id}"),
                _ => format!("cases can be settled: rialto deals close {id}"),
            };
        }
        match self.phase(deal) {
            DealPhase::Closed => "nothing".into(),
            DealPhase::Open { until } if provides => {
                format!(
                    "`rialto provide` redeems what is paid; it expires in {}",
                    span(until.saturating_sub(self.now))
                )
            }
            DealPhase::Open { until } => format!(
                "jobs can use it; what is left comes back when it is closed, at the latest {} after its expiry in {}",
                span(self.grace),
                span(until.saturating_sub(self.now))
            ),
            DealPhase::Grace { until } if provides => format!(
                "redeem and claim with `rialto provide`: in {} anybody can close it",
                span(until.saturating_sub(self.now))
            ),
            DealPhase::Grace { until } => {
                format!("wait: it can be closed in {}", span(until.saturating_sub(self.now)))
            }
            DealPhase::Contested { until } => {
                format!(
                    "wait: its last case can be settled in {}",
                    span(until.saturating_sub(self.now))
                )
            }
            DealPhase::Due => "rialto deals close".into(),
        }
    }

    fn shown(&self, deal: &DealStory) -> view::Deal {
        let case = |open: &OpenCase| view::Case {
            kind: kind_of(open.case.kind()).to_owned(),
            subject: open.case.subject().into(),
            task: open.case.task(),
            deadline: open.deadline,
        };
        view::Deal {
            id: deal.id.into(),
            role: self.role(deal).to_owned(),
            phase: self.phase(deal),
            ended: deal.end.map(|end| ending_of(end.ending).to_owned()),
            deal: deal.deal.clone(),
            paid: deal.paid,
            orders: deal.orders,
            cases: deal.cases.iter().map(case).collect(),
            to_requester: deal.end.map(|end| end.to_requester),
            to_provider: deal.end.map(|end| end.to_provider),
            burned: deal.end.map(|end| end.burned),
            opened_by: deal.opened_by.into(),
            closed_by: deal.end.map(|end| end.tx.into()),
            most_lost: self.most_lost(deal),
            what_to_do: self.what_to_do(deal),
        }
    }

    /// The most that each side can lose, if it is honest (docs/threat-model.md).
    fn most_lost(&self, deal: &DealStory) -> view::MostLost {
        let terms = &deal.deal;
        let lack = match &self.exposure {
            Some(known) => known.lack,
            None => terms.court.is_zero().then_some(Lack::Court),
        };
        view::MostLost {
            provider: self.credit.map(|credit| bounds::provider_loss(credit, terms.budget)),
            provider_redemptions: bounds::redemptions(terms.expiry.saturating_sub(terms.openedAt)),
            requester_vouchers_redeemed: deal.paid,
            requester_vouchers_signed: self.exposure.as_ref().map(|known| known.signed),
            requester: match &self.exposure {
                Some(known) => known.most,
                None => bounds::requester_loss(terms.budget, terms.budget, 0, None),
            },
            lack,
            requester_unproven: match &self.exposure {
                Some(known) => known.most.saturating_sub(known.signed),
                None => bounds::requester_loss(terms.budget, 0, terms.budget, lack),
            },
        }
    }

    fn risk(&self, deal: &DealStory) -> String {
        let most = self.most_lost(deal);
        let provider = most.provider.map_or_else(
            || "the credit window of its ask, and no more than the budget".into(),
            money,
        );
        let requester = match most.requester_unproven {
            0 if most.requester_vouchers_signed.is_some() => {
                format!("the vouchers that it signed: {}", money(most.requester))
            }
            unproven if most.requester_vouchers_signed.is_some() => format!(
                "{}: {} of it without a voucher, because {}",
                money(most.requester),
                money(unproven),
                most.lack.unwrap_or(Lack::Court)
            ),
            0 => format!(
                "the vouchers that it signs, {} of them redeemed so far, and no more than {}",
                money(most.requester_vouchers_redeemed),
                money(most.requester)
            ),
            _ => format!(
                "what it orders, up to the budget of {}, as no court judges",
                money(most.requester)
            ),
        };
        format!(
            "at most: the provider {provider}, and gas of {} redemptions; the requester {requester}",
            most.provider_redemptions
        )
    }

    fn state(&self, deal: &DealStory) -> String {
        let left = |until: u64| span(until.saturating_sub(self.now));
        match (self.phase(deal), deal.end) {
            (_, Some(end)) => ending_of(end.ending).into(),
            (DealPhase::Open { until }, _) => format!("open, {} left", left(until)),
            (DealPhase::Grace { until }, _) => format!("expired, {} of grace left", left(until)),
            (DealPhase::Contested { until }, _) => {
                format!("{} cases, {} left", deal.cases.len(), left(until))
            }
            (DealPhase::Due | DealPhase::Closed, None) => "can be closed".into(),
        }
    }
}

fn kind_of(kind: CaseKind) -> &'static str {
    match kind {
        CaseKind::Claim => "claim",
        CaseKind::Late => "late notice",
        CaseKind::Demand => "demand",
        CaseKind::Hold => "hold",
    }
}

fn ending_of(ending: Ending) -> &'static str {
    match ending {
        Ending::Redeemed => "redeemed",
        Ending::Released => "released",
        Ending::Expired => "expired",
        Ending::Late => "late",
        Ending::Withheld => "withheld",
        _ => "slashed",
    }
}

fn list(account: &Account, history: &History, all: bool, ui: Ui) {
    let outlook = Outlook::new(account, history);
    let mut deals = history.deals();
    deals.retain(|deal| outlook.role(deal) != "neither");
    let total = deals.len();
    deals.retain(|deal| {
        all || deal.end.is_none() || deal.next_step(outlook.now, outlook.grace).is_some()
    });
    deals.reverse();
    let shown: Vec<_> = deals.iter().map(|deal| outlook.shown(deal)).collect();
    let text = || match (deals.len(), total) {
        (0, 0) => format!(
            "{} has no deals on this market: `rialto run job.toml` opens some",
            account.address
        ),
        (0, closed) => format!("none is open; {closed} are closed: rialto deals list --all"),
        _ => rows(&outlook, &deals),
    };
    ui.answer_with(text, &view::DealList { account: account.address.into(), deals: shown });
}

fn rows(outlook: &Outlook, deals: &[DealStory]) -> String {
    let row = |deal: &DealStory| {
        let other = if deal.deal.requester == outlook.account {
            deal.deal.provider
        } else {
            deal.deal.requester
        };
        vec![
            format!("{:.10}", deal.id.to_string()),
            outlook.role(deal).into(),
            short(other),
            money(deal.deal.price),
            money(deal.deal.budget),
            money(deal.paid),
            money(deal.deal.collateral),
            outlook.state(deal),
        ]
    };
    let rows: Vec<_> = deals.iter().take(MAX_ROWS).map(row).collect();
    let head = ["deal", "as", "with", "per Tfuel", "budget", "paid", "collateral", "state"];
    let mut text = table(&head, &[1, 7], &rows);
    if deals.len() > MAX_ROWS {
        text.push_str(&format!(
            "\n  … and {} more (--output json shows all)",
            deals.len() - MAX_ROWS
        ));
    }
    let due =
        deals.iter().filter(|deal| deal.next_step(outlook.now, outlook.grace).is_some()).count();
    if due > 0 {
        text.push_str(&format!("\n  {due} can be closed: rialto deals close ID"));
    }
    text
}

/// A deal by its id or the beginning of it; anybody's.
fn find(history: &History, named: &str) -> Result<DealStory> {
    by_id(history.deals(), |deal| deal.id, named).map_err(|why| match why {
        Unnamed::NoId => anyhow::Error::new(failure!(
            Usage,
            "C-DEAL-001",
            "{named} is no deal: an id in hex, or its first {MIN_ID} digits"
        )),
        Unnamed::Nothing => anyhow::Error::new(failure!(
            Usage,
            "C-DEAL-002",
            "there is no deal {named} on this market: `rialto deals list --all` lists this account's"
        )),
        Unnamed::Many(n) => {
            anyhow::Error::new(failure!(Usage, "C-DEAL-003", "{n} deals begin with {named}: write more of the id"))
        }
    })
}

async fn show(
    account: &Account,
    place: &PlaceArgs,
    history: &History,
    deal: &DealStory,
    ui: Ui,
) -> Result<()> {
    let outlook = Outlook::new(account, history).at_home(place, deal).await?;
    ui.answer_with(|| sheet(&outlook, deal), &outlook.shown(deal));
    Ok(())
}

fn sheet(outlook: &Outlook, deal: &DealStory) -> String {
    let terms = &deal.deal;
    let mut out = vec![format!("{} {}", Paint::for_stdout().bold("deal"), deal.id)];
    let mut row = |name: &str, text: String| out.push(format!("  {name:<11} {text}"));
    row("state", outlook.state(deal));
    row("requester", terms.requester.to_string());
    row("provider", terms.provider.to_string());
    row("price", format!("{} per Tfuel, {} per task", money(terms.price), money(terms.taskFee)));
    row(
        "budget",
        format!(
            "{}, {} of it paid for {} orders",
            money(terms.budget),
            money(deal.paid),
            deal.orders
        ),
    );
    row(
        "collateral",
        format!("{}; late costs {}", money(terms.collateral), money(terms.latePenalty)),
    );
    row("at risk", outlook.risk(deal));
    row("court", if terms.court.is_zero() { "none".into() } else { terms.court.to_string() });
    row("opened", format!("{} UTC by {}", time(terms.openedAt), deal.opened_by));
    row(
        "expires",
        format!("{} UTC, and can be closed {} later", time(terms.expiry), span(outlook.grace)),
    );
    for open in &deal.cases {
        let subject = open.case.subject();
        row(
            "case",
            format!(
                "{} about {subject}, can be settled from {} UTC on",
                kind_of(open.case.kind()),
                time(open.deadline)
            ),
        );
    }
    if let Some(end) = &deal.end {
        let (back, there) = (money(end.to_requester), money(end.to_provider));
        row(
            "closed",
            format!(
                "{back} to the requester, {there} to the provider with its collateral, {} burned",
                money(end.burned)
            ),
        );
        row("", format!("by {}", end.tx));
    }
    row("what to do", outlook.what_to_do(deal));
    out.join("\n")
}

/// Why nothing can be done now.
fn not_now(outlook: &Outlook, deal: &DealStory) -> anyhow::Error {
    let wait = |until: u64| until.saturating_sub(outlook.now);
    match outlook.phase(deal) {
        DealPhase::Closed | DealPhase::Due => anyhow::Error::new(failure!(
            Failed,
            "C-DEAL-005",
            "{} is closed, and nothing is left in it",
            deal.id
        )),
        DealPhase::Open { until } => anyhow::Error::new(failure!(
            Failed,
            "C-DEAL-004",
            "{} is open for {} more, and {} of grace follow: until then only its two sides can close it, with each other's signature",
            deal.id,
            span(wait(until)),
            span(outlook.grace)
        )),
        DealPhase::Grace { until } | DealPhase::Contested { until } => {
            anyhow::Error::new(failure!(
                Failed,
                "C-DEAL-004",
                "{} can't be closed yet: try again in {} s",
                deal.id,
                wait(until)
            ))
        }
    }
}

fn plan_of(deal: &DealStory, call: &MarketCall) -> String {
    match call {
        MarketCall::Settle { case, .. } => {
            format!(
                "settle the {} about {} in deal {}",
                kind_of(case.kind()),
                case.subject(),
                deal.id
            )
        }
        _ => format!(
            "close deal {}: {} back to {}, {} to {} with its collateral",
            deal.id,
            money(deal.deal.budget.saturating_sub(deal.paid)),
            deal.deal.requester,
            money(deal.paid.saturating_add(deal.deal.collateral)),
            deal.deal.provider
        ),
    }
}

/// What would be sent: the first transaction, and those that may follow once it is final.
fn plans(deal: &DealStory, first: MarketCall) -> Vec<(String, Option<MarketCall>)> {
    let mut plans = vec![(plan_of(deal, &first), Some(first))];
    if deal.cases.len() > 1 {
        plans.push((
            format!("then settle {} more cases, each when its time is up", deal.cases.len() - 1),
            None,
        ));
    }
    if !deal.cases.is_empty() && deal.end.is_none() {
        plans.push((format!("then close deal {}, if settling did not", deal.id), None));
    }
    plans
}

/// Settles and closes, step by step: every transaction is looked at before the next is chosen.
/// Killed in the middle, the same command goes on.
async fn close(
    account: Account,
    mut history: History,
    mut deal: DealStory,
    explain: bool,
    ui: Ui,
) -> Result<()> {
    let outlook = Outlook::new(&account, &history);
    let Some(first) = deal.next_step(outlook.now, outlook.grace) else {
        return Err(not_now(&outlook, &deal));
    };
    if explain {
        return account.explain(&plans(&deal, first), ui).await;
    }
    let sender = account.sender(account.signer().await?).await?;
    let (mut steps, mut next) = (Vec::new(), Some(first));
    while let Some(call) = next {
        ensure!(
            steps.len() < MAX_STEPS,
            failure!(
                Failed,
                "C-DEAL-006",
                "deal {} has more open cases than that: run it again",
                deal.id
            )
        );
        let plan = plan_of(&deal, &call);
        let intent = match &call {
            MarketCall::Settle { case, .. } => {
                let (kind, subject, task) = (kind_of(case.kind()), case.subject(), case.task());
                format!("settle-{:x}-{kind}-{subject:x}-{task}", deal.id)
            }
            _ => format!("expire-{:x}", deal.id),
        };
        let mined = transact::once(&sender, &intent, call, &plan, ui).await?;
        if ui.for_people() {
            println!("{plan}\n  {}", transact::told(&mined));
        }
        steps.push(view::CloseStep {
            did: plan,
            transaction: mined.tx.into(),
            block: mined.block,
            gas_used: mined.gas_used,
        });
        // What it changed decides what is next.
        while !history.has(mined.tx) {
            history.news().await?;
        }
        if let Some(now) = history.deals().into_iter().find(|one| one.id == deal.id) {
            deal = now;
        }
        next = deal.next_step(history.time(), outlook.grace);
    }
    sender.stop().await;
    let outlook = Outlook::new(&account, &history);
    let text = sheet(&outlook, &deal);
    ui.answer(&text, || view::DealClosed {
        deal: deal.id.into(),
        closed: deal.end.is_some(),
        paid: deal.paid.into(),
        steps,
    });
    Ok(())
}
