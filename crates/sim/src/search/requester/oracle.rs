//! Guarantees of an honest requester that can run its tasks, checked from outside.
//!
//! - In each deal it pays at most the amount of its vouchers plus, for orders that they do not
//!   settle, the fee of correct results.
//! - It loses no accusation. It loses only the bonds of late notices and demands that were
//!   answered, and these are few.
//! - Money is conserved, and all of it returns to accounts.
//! - Its transactions, work and messages are bounded by the calls and messages of others.
//! - When the hostile sellers stop, everything ends in time.

use std::collections::{BTreeMap, BTreeSet};

use rialto_protocol::case::CaseId;
use rialto_protocol::{
    DealId, OrderId, bounds,
    court::GameNews,
    model::CaseStatus,
    pricing,
    receipt::{Halted, SumNode, SumTree},
    types::{Order, Voucher, struct_hash},
};
use rialto_provider::core::{Fact, What};

use super::Alley;
use crate::{
    check::Broken,
    compute,
    search::yard::{BEGIN, PARAMS},
};

/// Records of everything that was done, and how near to a loss the requester came.
#[derive(Clone, Debug, Default)]
pub struct Books {
    /// Best voucher of each deal: its amount and its number of settled orders.
    vouchers: BTreeMap<DealId, (u128, u64)>,
    orders: BTreeMap<OrderId, Order>,
    house_calls: u64,
    foe_calls: u64,
    reverted: u64,
    pub(super) messages_in: u64,
    pub(super) messages_out: u64,
    pub(super) traces: u64,
    tasks_run: u64,
    /// Orders with a wrong result that was revealed on chain.
    shown_wrong: BTreeSet<OrderId>,
    /// How near a loss was. A larger number is nearer.
    pub(super) danger: u64,
}

impl Books {
    pub(super) fn vouched(&mut self, voucher: &Voucher) {
        let best = self.vouchers.entry(voucher.deal).or_default();
        *best = (best.0.max(voucher.amount), best.1.max(voucher.orders));
    }

    pub(super) fn ordered(&mut self, order: &Order) {
        self.orders.insert(struct_hash(order), order.clone());
    }

    /// Returns whether a voucher settles the order with this number.
    pub(super) fn voucher_covers(&self, deal: DealId, seq: u64) -> bool {
        self.vouchers.get(&deal).is_some_and(|(_, orders)| seq < *orders)
    }

    pub(super) fn called(&mut self, by_requester: bool, mined: bool) {
        match by_requester {
            true => self.house_calls += 1,
            false => self.foe_calls += 1,
        }
        self.reverted += u64::from(by_requester && !mined);
    }

    pub(super) fn showed_wrong(&mut self, order: OrderId) {
        self.shown_wrong.insert(order);
    }

    pub(super) fn ran(&mut self, tasks: u64) {
        self.tasks_run += tasks;
    }
}

fn rule(holds: bool, broken: impl FnOnce() -> Broken) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(broken()) }
}

impl Alley {
    /// Returns the root of a correct receipt of an order.
    fn right(&self, hash: OrderId) -> Option<SumNode> {
        let ordered = self.foe.orders.iter().find(|it| it.hash == hash)?;
        let results: Vec<_> = compute::run_order(&ordered.inputs, &ordered.order)
            .into_iter()
            .map(|(halted, _)| halted)
            .collect();
        Some(SumTree::over(&results, ordered.order.fuelLimit).root())
    }

    /// Returns whether this is the correct halted state of a task.
    pub(super) fn is_right(&self, hash: OrderId, task: u32, halted: &Halted) -> bool {
        let ordered = self.foe.orders.iter().find(|it| it.hash == hash);
        let results = ordered.map(|it| compute::run_order(&it.inputs, &it.order));
        results
            .and_then(|results| results.get(task as usize).map(|(right, _)| right == halted))
            .unwrap_or(true)
    }

    /// Checks that an event does not break a guarantee: an honest accusation is never lost, and a
    /// wrong claim is never paid if the requester could detect it.
    pub(super) fn check_fact(&self, fact: &Fact) -> Result<(), Broken> {
        match &fact.what {
            What::CaseEnded { case: CaseId::Claim { order }, paid } if *paid > 0 => {
                let dark = self.house.was_weary && !self.books.shown_wrong.contains(order);
                let asserted = self.yard.ledger.market.asserted(*order);
                let said = asserted
                    .and_then(|asserted| self.foe.receipt(asserted))
                    .map(|receipt| SumNode { hash: receipt.root, fuel: receipt.fuel });
                let wrong = said != self.right(*order);
                rule(dark || !wrong, || format!("a wrong claim, of order {order}, was paid {paid}"))
            }
            What::Game(GameNews::Ended { game, verdict }) => {
                let ours = self.foe.is_game_of(*game, self.house.account);
                rule(!ours || verdict.accuser_won, || {
                    format!("an honest accusation, {game}, was lost")
                })
            }
            _ => Ok(()),
        }
    }

    /// Updates the danger with the wrong claims that nobody disputes. The less time is left, the
    /// nearer is a loss.
    pub(super) fn look_at_danger(&mut self) {
        let market = &self.yard.ledger.market;
        let mut danger = 0;
        for (deal, case, _) in self.foe.cases() {
            let CaseId::Claim { order } = *case else { continue };
            let state = market.deal_state(*deal);
            let known = market.case(*deal, *case);
            let Some(right) = self.right(order) else { continue };
            let Some(deal) = self.foe.deals.iter().find(|it| it.id == *deal) else { continue };
            let tasks =
                self.foe.orders.iter().find(|it| it.hash == order).map_or(1, |it| it.order.tasks);
            let fee = pricing::order_fee(&deal.deal, right.fuel, tasks).unwrap_or(0);
            if known.status == CaseStatus::Open && known.amount > fee && state.challenges == 0 {
                danger = danger.max(1_000 - known.deadline.saturating_sub(self.yard.now).min(900));
            }
        }
        self.books.danger = self.books.danger.max(danger);
    }

    /// Returns whether every deal and every own dispute is over and the requester is idle.
    pub(super) fn at_rest(&self) -> bool {
        let open = self.foe.deals.iter().any(|known| self.is_open(known.id));
        !open && !self.foe.is_played_by(self.house.account) && self.house.quiet()
    }

    pub(super) fn unfinished(&self) -> Broken {
        let open = self.foe.deals.iter().filter(|known| self.is_open(known.id)).count();
        let (games, quiet) = (self.foe.is_played_by(self.house.account), self.house.quiet());
        format!(
            "it does not come to an end: {open} deals are open, games run: {games}, the house is at rest: {quiet}"
        )
    }

    /// Checks the guarantees that must hold at the end.
    pub(super) fn verdict(&mut self) -> Result<(), Broken> {
        let market = &self.yard.ledger.market;
        let mut paid_in_all = 0;
        for known in &self.foe.deals {
            let paid = market.deal_state(known.id).paid;
            paid_in_all += paid;
            let (vouched, settled) =
                self.books.vouchers.get(&known.id).copied().unwrap_or_default();
            let of_deal = self.books.orders.values().filter(|order| order.deal == known.id);
            let right = |order: &Order| {
                let root = self.right(struct_hash(order))?;
                pricing::order_fee(&known.deal, root.fuel, order.tasks)
            };
            let (below, above): (Vec<_>, Vec<_>) = of_deal.partition(|order| order.seq < settled);
            let sum = |orders: Vec<&Order>| orders.into_iter().filter_map(right).sum::<u128>();
            // An order that a voucher settles can also be claimed until the voucher is redeemed,
            // but it is not paid twice.
            let due = vouched.max(sum(below)) + sum(above);
            // A requester that cannot run its tasks risks the full price of its orders, except of
            // those whose wrong results were revealed.
            let dark = |order: &&Order| {
                order.deal == known.id && !self.books.shown_wrong.contains(&struct_hash(*order))
            };
            let orders = self
                .books
                .orders
                .values()
                .filter(dark)
                .map(|order| bounds::order_cost(&known.deal, order))
                .sum();
            let lack = self.house.was_weary.then_some(bounds::Lack::Runs);
            let most = bounds::requester_loss(known.deal.budget, due, orders, lack);
            rule(paid <= most, || {
                format!(
                    "{paid} were paid in a deal, where {vouched} were signed for, and {due} are due at most"
                )
            })?;
        }
        let bonds = PARAMS.case_bond * (2 + 4 * self.foe.orders.len() as u128);
        let has = market.account(self.house.account).balance;
        let had = self.house.had;
        rule(has + paid_in_all + bonds >= had, || {
            format!(
                "the requester has {has} of {had}, and paid {paid_in_all}: more than {bonds} in bonds is gone"
            )
        })?;
        self.costs_are_bounded()
    }

    fn costs_are_bounded(&self) -> Result<(), Broken> {
        let (books, foe) = (&self.books, &self.foe);
        let (deals, orders, games) =
            (foe.deals.len() as u64, foe.orders.len() as u64, foe.games() as u64);
        // If a job's deals cannot be opened together, each is tried alone.
        let tried = 4 * self.jobs();
        // A deal takes two calls, to open and to close it. An order takes a late notice, demands,
        // an accusation and their settlements. A dispute takes its turns and its end.
        let most = 4 * deals + 12 * orders + 10 * games + 2 * books.foe_calls + tried + 8;
        rule(books.house_calls <= most, || {
            format!(
                "the requester sent {} transactions, where {most} are enough",
                books.house_calls
            )
        })?;
        let most = 8 + 2 * books.foe_calls + 2 * orders + tried;
        rule(books.reverted <= most, || {
            format!("{} of the requester's transactions reverted", books.reverted)
        })?;
        // A seller that does not answer is asked again at intervals.
        let asked = deals * (self.yard.now - BEGIN) / 10;
        let most = 32 + 8 * books.messages_in + 16 * orders + asked;
        rule(books.messages_out <= most, || {
            format!("{} messages for {}", books.messages_out, books.messages_in)
        })?;
        // A job runs tasks here that no provider takes.
        let most = 16 + 16 * self.jobs() + 8 * orders * 2 + 16 * books.foe_calls;
        rule(self.house.was_weary || books.tasks_run <= most, || {
            format!("{} tasks were run here for {orders} orders", books.tasks_run)
        })?;
        let most = 8 + 12 * games + 8 * orders;
        rule(books.traces <= most, || {
            format!("{} traces for {games} games over {orders} orders", books.traces)
        })
    }
}
