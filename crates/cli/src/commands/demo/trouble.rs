//! What time decides when a provider withholds, promises or vanishes. The requester does by itself
//! what is to be done; here the chain's time is let pass, and what happens is read from the chain.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use rialto_chain::{CaseOutcome, CourtEvent, Courts, Ending, LogMeta, MarketEvent, Verdict};
use rialto_client::view;
use rialto_local_market::LocalMarket;
use rialto_protocol::case::{CaseId, CaseKind};
use rialto_protocol::{
    Address, B256, DealId, GameId, OrderId, ReceiptId,
    court::COMPENSATION_BPS,
    pricing::share,
    types::{Deal, Receipt, struct_hash},
};
use rialto_requester::{JobReport, OrderEvidence};

use super::Cheat;
use super::{
    cheat::CLAIM_SECONDS,
    story::{Story, name},
};
use crate::ui::{self, Paint};

/// Nothing new for so long: then time is let pass.
const QUIET: Duration = Duration::from_secs(2);
/// … where somebody has something to do: that is waited for so much longer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often is looked.
const LOOK: Duration = Duration::from_millis(200);
/// Longest that all of it takes.
const LIMIT: Duration = Duration::from_secs(240);
/// Both sides take times of the chain so much later; and a second for blocks of the same second.
const SKEW_SECONDS: u64 = 3;
/// Calls that only the provider makes; the requester makes all others here.
const THEIRS: [&str; 5] = ["claim", "redeem", "unfold", "reveal", "defend"];

/// A deal that ended otherwise than by consent.
pub struct Trouble {
    pub kind: Cheat,
    pub deal: Deal,
    /// The tile it was about, if it was about one.
    pub task: Option<u32>,
    pub ending: Ending,
    /// Transactions, in order: what was called, and its gas.
    pub calls: Vec<(&'static str, u64)>,
    /// Turns of a game before the court.
    pub turns: u32,
    /// What the provider was paid in all, base units.
    pub paid: u128,
}

/// A deal as the chain tells it.
struct Course<'a> {
    deal: Deal,
    id: DealId,
    orders: Vec<&'a OrderEvidence>,
    kind: Cheat,
    task: Option<u32>,
    calls: Vec<(&'static str, B256)>,
    /// Open cases: kind, what about, deadline.
    cases: Vec<(CaseId, u64)>,
    /// Receipts that were claimed, and those of them that were demanded.
    claimed: Vec<Receipt>,
    demanded: Vec<ReceiptId>,
    /// Games that go on.
    games: BTreeMap<GameId, Turn>,
    /// Turns of all games.
    turns: u32,
    end: Option<(Ending, u128)>,
}

/// Where a game stands.
struct Turn {
    /// Whether the accuser is to move; else the provider.
    accusers: bool,
    deadline: u64,
}

/// Lets time pass until every deal of the job is over and all bonds are back.
pub async fn follow(
    market: &LocalMarket,
    story: &Story,
    kind: Cheat,
    report: &JobReport,
) -> Result<Vec<Trouble>> {
    let mut courses: Vec<_> =
        report.evidence.deals.iter().map(|deal| Course::new(kind, deal, report)).collect();
    let courts =
        Courts { known: BTreeSet::from([market.deployed.court]), parties: BTreeSet::new() };
    let mut events = market.chain.events_with(market.deployed.block, courts);
    let (began, mut quiet, mut now) = (Instant::now(), Instant::now(), market.chain.now().await?);
    let claims_at = now + CLAIM_SECONDS;
    while courses.iter().any(Course::unfinished) {
        ensure!(began.elapsed() < LIMIT, "the deals do not come to their end");
        if let Ok(batch) = tokio::time::timeout(LOOK, events.next()).await {
            let batch = batch.context("the chain's events ended")?;
            now = now.max(batch.time);
            for (meta, event) in &batch.added {
                let Some(course) = courses.iter_mut().find(|course| course.hears(event)) else {
                    continue;
                };
                course.learn(meta, event);
                quiet = Instant::now();
                if let Some(text) = course.tell(&name(market, course.deal.provider), event) {
                    story.on_chain(&text, market.chain.gas_used(meta.tx).await?);
                }
            }
        }
        let open = || courses.iter().filter(|course| course.unfinished());
        let moments = || open().flat_map(|course| course.moments(market, claims_at, now));
        let due = moments().any(|(then, sure)| sure && then <= now);
        if quiet.elapsed() < if due { PATIENCE } else { QUIET } {
            continue;
        }
        if let Some(then) = moments().map(|(then, _)| then).filter(|then| *then > now).min() {
            story.time_passes(then - now);
            market.let_pass(then - now)?;
            (now, quiet) = (then, Instant::now());
        }
    }
    let mut troubles = Vec::new();
    for course in courses {
        troubles.extend(course.trouble(market).await?);
    }
    Ok(troubles)
}

impl<'a> Course<'a> {
    fn new(kind: Cheat, deal: &Deal, report: &'a JobReport) -> Self {
        let id = struct_hash(deal);
        let orders =
            report.evidence.orders.iter().filter(|order| order.order.value.deal == id).collect();
        Self {
            deal: deal.clone(),
            id,
            orders,
            kind,
            task: None,
            calls: Vec::new(),
            cases: Vec::new(),
            claimed: Vec::new(),
            demanded: Vec::new(),
            games: BTreeMap::new(),
            turns: 0,
            end: None,
        }
    }

    /// Whether an event is about this deal, or the game over it.
    fn hears(&self, event: &MarketEvent) -> bool {
        match event {
            MarketEvent::Court { event, .. } => {
                event.game().is_some_and(|game| self.games.contains_key(&game))
                    || event.deal() == Some(self.id)
            }
            _ => event.deal() == Some(self.id),
        }
    }

    /// A turn of the game, and who is next.
    fn turn(&mut self, id: GameId, accusers: bool, deadline: u64) {
        self.turns += 1;
        self.games.insert(id, Turn { accusers, deadline });
    }

    /// Takes in what the court says; returns what was called.
    fn learn_of_game(&mut self, event: &CourtEvent) -> Option<&'static str> {
        match event {
            CourtEvent::Accused(accused) => {
                self.turn(accused.id, false, accused.deadline);
                Some("accuse")
            }
            CourtEvent::Unfolded { id, deadline, .. } => {
                self.turn(*id, true, *deadline);
                Some("unfold")
            }
            CourtEvent::Picked { id, deadline, .. } => {
                self.turn(*id, false, *deadline);
                Some("pick")
            }
            CourtEvent::Challenged(challenged) => {
                let order = self.claimed.first().map(|receipt| receipt.order);
                self.task = order
                    .and_then(|order| self.tiles(order))
                    .map(|(first, _)| first + challenged.task);
                self.turn(challenged.id, false, challenged.deadline);
                Some("challenge")
            }
            CourtEvent::Moved(moved) => {
                self.turn(moved.id, moved.accusers_turn, moved.deadline);
                Some(if moved.accusers_turn { "defend" } else { "move" })
            }
            CourtEvent::Ended(end) => {
                self.games.remove(&end.id);
                Some(match end.verdict {
                    Verdict::Step => "step",
                    Verdict::Fuel => "contradict",
                    _ => "timeout",
                })
            }
            CourtEvent::Convicted { .. } => Some("convict"),
            CourtEvent::Stepped { .. } | CourtEvent::Delegated { .. } => None,
        }
    }

    /// Whether the deal is open, or a bond lies in a case of it.
    fn unfinished(&self) -> bool {
        self.end.is_none() || !self.cases.is_empty() || !self.games.is_empty()
    }

    /// Takes in what the chain says.
    fn learn(&mut self, meta: &LogMeta, event: &MarketEvent) {
        let call = match event {
            MarketEvent::Redeemed { .. } => "redeem",
            MarketEvent::Claimed { order, deadline, receipt, .. } => {
                self.claimed.push(receipt.clone());
                self.cases.push((CaseId::Claim { order: *order }, *deadline));
                "claim"
            }
            MarketEvent::LateNoticed { order, deadline, .. } => {
                self.task = self.task.or(self.tiles(*order).map(|(first, _)| first));
                self.cases.push((CaseId::Late { order: *order }, *deadline));
                "late"
            }
            MarketEvent::Demanded { receipt, task, deadline, .. } => {
                self.task = self.task.or(self.tile(*receipt, *task));
                self.demanded.push(*receipt);
                self.cases.push((CaseId::Demand { receipt: *receipt, task: *task }, *deadline));
                "demand"
            }
            MarketEvent::CaseSettled { case, .. } => {
                self.cases.retain(|(open, _)| open != case);
                "settle"
            }
            MarketEvent::DealClosed { ending, paid, .. } => {
                self.end = Some((*ending, *paid));
                // What is claimed in a deal that is over is lost.
                self.cases.retain(|(case, _)| case.kind() != CaseKind::Claim);
                if *ending == Ending::Expired { "expire" } else { "close" }
            }
            MarketEvent::Court { event, .. } => match self.learn_of_game(event) {
                Some(call) => call,
                None => return,
            },
            _ => return,
        };
        if self.calls.last().is_none_or(|(_, tx)| *tx != meta.tx) {
            self.calls.push((call, meta.tx));
        }
    }

    /// First and last tile of an order.
    fn tiles(&self, order: OrderId) -> Option<(u32, u32)> {
        let evidence = self.orders.iter().find(|known| struct_hash(&known.order.value) == order)?;
        Some((evidence.first, evidence.first + evidence.order.value.tasks - 1))
    }

    /// The tile that a task of a claimed receipt is.
    fn tile(&self, receipt: ReceiptId, task: u32) -> Option<u32> {
        let claimed = self.claimed.iter().find(|claimed| struct_hash(*claimed) == receipt)?;
        Some(self.tiles(claimed.order)?.0 + task)
    }

    /// Times at which somebody has something to do, and whether that is sure.
    fn moments(&self, market: &LocalMarket, claims_at: u64, now: u64) -> Vec<(u64, bool)> {
        let windows = market.chain.windows();
        // In a game somebody always has something to do.
        if !self.games.is_empty() {
            let theirs = self.games.values().filter(|game| !game.accusers);
            return std::iter::once((now, true))
                .chain(theirs.map(|game| (game.deadline + SKEW_SECONDS, true)))
                .collect();
        }
        let case = |(case, deadline): &(CaseId, u64)| match case {
            // The requester computes the tiles itself, and accuses.
            CaseId::Claim { .. } if self.kind == Cheat::Claim => Some((now, true)),
            CaseId::Claim { order } => {
                let receipt =
                    self.claimed.iter().find(|receipt| receipt.order == *order).map(struct_hash);
                let demanded = receipt.is_some_and(|receipt| self.demanded.contains(&receipt));
                // In the first half of its window the results may still come.
                (!demanded).then_some((deadline - windows.challenge / 2 + SKEW_SECONDS, true))
            }
            _ => Some((deadline + SKEW_SECONDS, true)),
        };
        if !self.cases.is_empty() {
            return self.cases.iter().filter_map(case).collect();
        }
        let owed = self
            .orders
            .iter()
            .filter(|order| order.receipt.is_none())
            .filter_map(|order| order.ack.as_ref());
        let mut moments = vec![(self.deal.expiry + windows.grace + SKEW_SECONDS, true)];
        match self.kind {
            Cheat::Withhold | Cheat::Claim => moments.push((claims_at + SKEW_SECONDS, true)),
            // It would cost more than it brings.
            _ if self.deal.latePenalty < windows.case_bond => {}
            // Who vanished before it promised anything can't be late.
            _ => moments
                .extend(owed.map(|ack| (ack.value.dueBy + SKEW_SECONDS, self.kind == Cheat::Late))),
        }
        moments
    }

    /// What a person should know of it.
    fn tell(&self, who: &str, event: &MarketEvent) -> Option<String> {
        let tiles = |order: OrderId| match self.tiles(order) {
            Some((first, last)) if first < last => format!("tiles {first} to {last}"),
            Some((tile, _)) => format!("tile {tile}"),
            None => "an order".to_owned(),
        };
        let money = ui::money;
        Some(match event {
            MarketEvent::Claimed { order, receipt, .. } => {
                let what = match self.kind {
                    Cheat::Claim => "which it never computed: it says that they ran out of fuel",
                    _ => "which it has shown to nobody",
                };
                format!("{who} claims {} for {}, {what}", money(receipt.fee), tiles(*order))
            }
            MarketEvent::Demanded { receipt, task, bond, .. } => {
                let tile = self.tile(*receipt, *task).unwrap_or(*task);
                format!("the requester demands to see tile {tile}: bond {}", money(*bond))
            }
            MarketEvent::LateNoticed { order, bond, .. } => {
                format!(
                    "the requester calls {who} late with {}: bond {}",
                    tiles(*order),
                    money(*bond)
                )
            }
            MarketEvent::CaseSettled { outcome: CaseOutcome::Void, case, amount, .. }
                if case.kind() != CaseKind::Claim =>
            {
                format!("a bond comes back that is not needed any more: {}", money(*amount))
            }
            MarketEvent::DealClosed { ending, paid, to_requester, to_provider, burned, .. } => {
                let penalty = money(penalty(&self.deal, *ending).0);
                let verdict = match ending {
                    Ending::Withheld => format!(
                        "{who} shows nothing: guilty; {penalty} of its collateral to the requester, {} burned",
                        money(*burned)
                    ),
                    Ending::Slashed => format!(
                        "{who} is guilty; {penalty} of its collateral to the requester, {} burned",
                        money(*burned)
                    ),
                    Ending::Late => {
                        format!("{who} does not answer: a penalty of {penalty} to the requester")
                    }
                    Ending::Expired => format!("the deal with {who} has expired"),
                    _ => return None,
                };
                let (requester, provider) = (money(*to_requester), money(*to_provider));
                format!(
                    "{verdict}\n      paid {} in all; {requester} back to the requester, {provider} to the provider",
                    money(*paid)
                )
            }
            MarketEvent::Court { event, .. } => return self.tell_game(who, event),
            _ => return None,
        })
    }

    /// What a person should know of a game.
    fn tell_game(&self, who: &str, event: &CourtEvent) -> Option<String> {
        let steps =
            |level: u8| ui::count(1u64.checked_shl(4 * u32::from(level)).unwrap_or(u64::MAX));
        Some(match event {
            CourtEvent::Accused(accused) => {
                let tasks = accused.tasks;
                let bond = ui::money(accused.game.bond);
                format!(
                    "the requester has computed them itself and accuses {who} of its receipt for {tasks}: bond {bond}"
                )
            }
            CourtEvent::Unfolded { nodes, .. } => {
                format!(
                    "{who} has to show what its receipt stands for: {} ends of tiles",
                    nodes.len()
                )
            }
            CourtEvent::Picked { .. } => "the requester says which of them is wrong".to_owned(),
            CourtEvent::Challenged(challenged) => {
                let tile = self.task.unwrap_or(challenged.task);
                format!(
                    "the requester says that tile {tile} ended otherwise: at most {} steps",
                    steps(challenged.level)
                )
            }
            CourtEvent::Moved(moved) => {
                let side = if moved.accusers_turn { who } else { "the requester" };
                format!("{side} narrows it to {} steps", steps(moved.level))
            }
            CourtEvent::Stepped { position, .. } => {
                format!(
                    "the contract takes step {} itself: {who} is wrong about it",
                    ui::count(*position)
                )
            }
            CourtEvent::Ended(end) => format!("the bond comes back: {}", ui::money(end.to_accuser)),
            CourtEvent::Convicted { .. } | CourtEvent::Delegated { .. } => return None,
        })
    }

    /// What is to be reported of it, if it did not end by consent.
    async fn trouble(self, market: &LocalMarket) -> Result<Option<Trouble>> {
        let (ending, paid) = self.end.context("a deal is still open")?;
        if matches!(ending, Ending::Redeemed | Ending::Released) {
            return Ok(None);
        }
        let mut calls = Vec::new();
        for (call, tx) in self.calls {
            calls.push((
                call,
                market.chain.gas_used(tx).await?.context("a transaction is not known")?,
            ));
        }
        let turns = self.turns;
        Ok(Some(Trouble {
            kind: self.kind,
            deal: self.deal,
            task: self.task,
            ending,
            calls,
            turns,
            paid,
        }))
    }
}

/// What the rules take of a provider's collateral: to the requester, and burned.
fn penalty(deal: &Deal, ending: Ending) -> (u128, u128) {
    match ending {
        Ending::Late => (deal.latePenalty, 0),
        Ending::Withheld | Ending::Slashed => {
            let compensation = share(deal.collateral, COMPENSATION_BPS).unwrap_or(0);
            (compensation, deal.collateral - compensation)
        }
        _ => (0, 0),
    }
}

impl Trouble {
    /// Who caused it.
    pub fn provider(&self) -> Address {
        self.deal.provider
    }

    /// Of the provider's collateral: to the requester, and burned.
    pub fn penalty(&self) -> (u128, u128) {
        penalty(&self.deal, self.ending)
    }

    /// Whether it ended as it has to, and nothing was paid for what was not delivered. `earned`:
    /// what vouchers say.
    pub fn is_settled(&self, earned: u128) -> bool {
        match self.kind {
            Cheat::Withhold => self.ending == Ending::Withheld && self.paid == 0,
            Cheat::Claim => self.ending == Ending::Slashed && self.paid == 0,
            Cheat::Late => self.ending == Ending::Late && self.paid == 0,
            // It keeps what it redeemed.
            _ => matches!(self.ending, Ending::Late | Ending::Expired) && self.paid <= earned,
        }
    }

    /// What became of its provider, in a word.
    pub fn status(&self) -> &'static str {
        match (self.kind, self.ending) {
            (Cheat::Crash, _) | (_, Ending::Expired) => "gone",
            (_, Ending::Withheld) => "withheld",
            (_, Ending::Slashed) => "guilty",
            _ => "late",
        }
    }

    fn gas(&self) -> u64 {
        self.calls.iter().map(|(_, gas)| gas).sum()
    }

    fn kind(&self) -> &'static str {
        match self.kind {
            Cheat::Withhold => "withhold",
            Cheat::Claim => "claim",
            Cheat::Late => "late",
            _ => "crash",
        }
    }

    fn winner(&self) -> &'static str {
        if self.ending == Ending::Expired { "nobody" } else { "requester" }
    }

    pub fn print(&self, paint: &Paint, provider: &str) {
        println!("\n{}", paint.bold("The case"));
        let about = self.task.map_or(String::new(), |tile| format!(", about tile {tile}"));
        let end = match self.ending {
            Ending::Withheld => "nothing was shown: guilty",
            Ending::Slashed => "its receipt was made up: guilty",
            Ending::Late => "no answer: late",
            _ => "nobody was left to answer: ended by time alone",
        };
        println!("  requester against {provider}{about}: {end}");
        let by = |theirs: bool| {
            let calls: Vec<_> =
                self.calls.iter().filter(|(call, _)| THEIRS.contains(call) == theirs).collect();
            let gas = calls.iter().map(|(_, gas)| gas).sum();
            let names: Vec<_> = calls.iter().map(|(call, _)| *call).collect();
            (!names.is_empty()).then(|| (ui::count(gas), names.join(", ")))
        };
        if let Some((gas, calls)) = by(true) {
            println!("  provider sent    {calls}: {gas} gas");
        }
        if let Some((gas, calls)) = by(false) {
            println!("  requester sent   {calls}: {gas} gas");
        }
        let (penalty, burned) = self.penalty();
        println!(
            "  collateral       {} to the requester, {} burned, {} back to the provider",
            ui::money(penalty),
            ui::money(burned),
            ui::money(self.deal.collateral - penalty - burned)
        );
        println!(
            "  budget           {} to the provider, {} back to the requester",
            ui::money(self.paid),
            ui::money(self.deal.budget - self.paid)
        );
    }

    pub fn view(&self) -> view::DemoDispute {
        let (penalty, burned) = self.penalty();
        let call = |(call, gas): &(&'static str, u64)| view::GasOfCall {
            call: (*call).to_owned(),
            gas: *gas,
        };
        view::DemoDispute {
            game: None,
            task: self.task,
            kind: self.kind().to_owned(),
            provider: self.provider().into(),
            moves: self.turns,
            position: None,
            instruction: None,
            claimed: None,
            right: None,
            step_gas: None,
            gas_total: self.gas(),
            calls: Some(self.calls.iter().map(call).collect()),
            winner: self.winner().to_owned(),
            slashed: (penalty + burned).into(),
            burned: burned.into(),
            requester_compensated: penalty.into(),
        }
    }
}
