//! Guarantees of an honest provider, checked from outside: from the chain, the deliveries and the
//! calls.
//!
//! - In each deal it is paid for everything that it delivered, except for at most its credit window
//!   and sums that are not worth a transaction.
//! - It loses no collateral and no penalty, and no accuser gets its bond back.
//! - Money is conserved, and all of it returns to accounts.
//! - Its transactions, work and messages are bounded by the calls and messages of others.
//! - When the hostile buyers stop, everything ends in time.

use std::collections::BTreeMap;

use rialto_protocol::{
    B256, DealId, OrderId, bounds,
    court::GameNews,
    pricing,
    types::{Order, Receipt},
};
use rialto_provider::core::What;

use super::{
    Street,
    foe::distinct_tasks,
    shop::{CREDIT, PRICE, TX_WORTH},
};
use crate::{check::Broken, search::yard::DEPOSIT};

/// Records of everything that was done, and how near to a loss the provider came.
#[derive(Clone, Debug, Default)]
pub struct Books {
    /// Fees of all sent receipts, by deal and order.
    delivered: BTreeMap<DealId, BTreeMap<OrderId, u128>>,
    foe_calls: u64,
    shop_calls: u64,
    reverted: u64,
    /// Number of orders that were sent.
    pub(super) orders: u64,
    /// Number of messages to the provider; below, from the provider.
    pub(super) messages_in: u64,
    pub(super) messages_out: u64,
    /// Time that the provider spent on tracing, in seconds.
    pub(super) traced_seconds: u64,
    /// Price of running the rejected tasks again, by deal.
    rerun: BTreeMap<DealId, u128>,
    /// Deadlines by which the provider must answer: of cases by subject and task, of disputes by
    /// id.
    owed: BTreeMap<(B256, u32), u64>,
    /// Unpaid work of a deal at present, scaled so that 400 is the credit window.
    exposed: u64,
    /// How near a loss was. A larger number is nearer.
    pub(super) danger: u64,
}

impl Books {
    pub(super) fn delivered(&mut self, deal: DealId, receipt: &Receipt) {
        self.delivered.entry(deal).or_default().insert(receipt.order, receipt.fee);
    }

    pub(super) fn called(&mut self, by_provider: bool, mined: bool) {
        match by_provider {
            true => self.shop_calls += 1,
            false => self.foe_calls += 1,
        }
        self.reverted += u64::from(by_provider && !mined);
    }

    pub(super) fn reran(&mut self, order: &Order) {
        let cost = pricing::fee(PRICE, 0, order.fuelLimit.into(), 1).unwrap_or(u128::MAX);
        let sum = self.rerun.entry(order.deal).or_default();
        *sum = sum.saturating_add(cost);
    }

    /// Records that the provider must answer something by a deadline.
    pub(super) fn owed(&mut self, subject: B256, task: u32, deadline: u64) {
        self.owed.insert((subject, task), deadline);
    }

    /// Records the answer. The less time was left, the nearer was a loss.
    pub(super) fn paid_off(&mut self, now: u64, subject: B256, task: u32) {
        if let Some(deadline) = self.owed.remove(&(subject, task)) {
            // At or after the deadline it ended by timeout, which is no narrow escape.
            if let Some(left) = deadline.checked_sub(now).filter(|left| *left > 0) {
                self.came_near(left);
            }
        }
    }

    /// Updates the danger with what is still unanswered. The less time is left, the nearer is a
    /// loss.
    pub(super) fn look_at_what_is_owed(&mut self, now: u64) {
        let left = self
            .owed
            .values()
            .filter_map(|deadline| deadline.checked_sub(now))
            .filter(|left| *left > 0)
            .min();
        if let Some(left) = left {
            self.came_near(left);
        }
    }

    /// Records how much time was left. It is more dangerous if more of the provider's work is
    /// unpaid meanwhile.
    fn came_near(&mut self, left: u64) {
        self.danger = self.danger.max(1_000 - left.min(1_000) + self.exposed);
    }

    fn delivered_in(&self, deal: DealId) -> u128 {
        self.delivered.get(&deal).map_or(0, |orders| orders.values().sum())
    }
}

fn rule(holds: bool, broken: impl FnOnce() -> Broken) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(broken()) }
}

impl Street {
    /// Returns the provider's balance and locked collateral, and the sum of its payments in all
    /// deals.
    fn wealth(&self) -> (u128, u128) {
        let market = &self.yard.ledger.market;
        let mut has = market.account(self.shop.account).balance;
        let mut paid = 0;
        for known in &self.foe.deals {
            paid += market.deal_state(known.id).paid;
            has += if self.is_open(known.id) { known.deal.collateral } else { 0 };
        }
        (has, paid)
    }

    /// Checks that an event does not break a guarantee.
    pub(super) fn check_fact(&self, what: &What) -> Result<(), Broken> {
        match what {
            What::Game(GameNews::Ended { game, verdict }) => rule(!verdict.accuser_won, || {
                format!("game {game} over a right receipt was won by the accuser")
            }),
            What::Game(GameNews::Convicted { .. }) => {
                Err("a right receipt was shown to be wrong".into())
            }
            _ => Ok(()),
        }
    }

    /// Checks a guarantee that must hold at any time: the provider misses no deadline in a dispute,
    /// even if nobody calls the timeout.
    pub(super) fn check_turns(&self) -> Result<(), Broken> {
        let missed = self.foe.missed_turn(self.yard.now);
        rule(missed.is_none(), || {
            format!("the provider's turn in game {} ran out", missed.unwrap_or_default())
        })
    }

    /// Checks the guarantees that must hold after every block.
    pub(super) fn check_now(&mut self) -> Result<(), Broken> {
        let (has, paid) = self.wealth();
        // A provider whose machine failed pays the penalty that its ask names, and no more.
        let closed = self.foe.deals.iter().filter(|known| !self.is_open(known.id));
        let penalties: u128 = closed.map(|known| known.deal.latePenalty).sum();
        let penalties = if self.shop.failed { penalties } else { 0 };
        rule(has + penalties >= DEPOSIT + paid, || {
            format!(
                "the provider has {has}, and had {DEPOSIT} and was paid {paid}: collateral was taken"
            )
        })?;
        let mut most = 0;
        for known in self.foe.deals.iter().filter(|known| self.is_open(known.id)) {
            let id = known.id;
            let (delivered, paid) =
                (self.books.delivered_in(id), self.yard.ledger.market.deal_state(id).paid);
            let exposed = delivered.saturating_sub(paid).min(2 * CREDIT) * 400 / CREDIT;
            most = most.max(exposed as u64);
        }
        self.books.exposed = most;
        self.books.danger = self.books.danger.max(most);
        Ok(())
    }

    /// Returns whether every deal and dispute is over and the provider is idle.
    pub(super) fn at_rest(&self) -> bool {
        let open = self.foe.deals.iter().any(|known| self.is_open(known.id));
        !open && !self.foe.game_runs() && self.shop.quiet()
    }

    pub(super) fn unfinished(&self) -> Broken {
        let open = self.foe.deals.iter().filter(|known| self.is_open(known.id)).count();
        let games = self.foe.game_runs();
        let quiet = self.shop.quiet();
        format!(
            "it does not come to an end: {open} deals are open, games run: {games}, the shop is at rest: {quiet}"
        )
    }

    /// Checks the guarantees that must hold at the end.
    pub(super) fn verdict(&mut self) -> Result<(), Broken> {
        self.check_now()?;
        for known in &self.foe.deals {
            let (id, deal) = (known.id, &known.deal);
            let (delivered, paid) =
                (self.books.delivered_in(id), self.yard.ledger.market.deal_state(id).paid);
            let orders =
                self.foe.orders.iter().filter(|placed| placed.order.deal == id).count() as u128;
            let crumbs = TX_WORTH * (orders + 1);
            let most = bounds::provider_loss(CREDIT, deal.budget) + crumbs;
            rule(delivered <= paid + most, || {
                format!(
                    "{delivered} were delivered in a deal and {paid} paid: more than {most} are lost"
                )
            })?;
            let (rerun, task) =
                (self.books.rerun.get(&id).copied().unwrap_or(0), pricing::TFUEL as u128);
            let dearest = PRICE * u128::from(crate::compute::FUEL_LIMIT) / task;
            // A restart or a dispute in between makes a re-run start again.
            let again =
                dearest * (1 + self.books.foe_calls as u128 + u128::from(self.books.messages_in));
            rule(rerun <= paid + dearest + again, || {
                format!("re-running rejected tasks took {rerun}, paid were {paid}")
            })?;
        }
        self.costs_are_bounded()
    }

    fn costs_are_bounded(&self) -> Result<(), Broken> {
        let (books, foe) = (&self.books, &self.foe);
        let (deals, orders, games) =
            (foe.deals.len() as u64, foe.orders.len() as u64, foe.games() as u64);
        // A deal takes twelve redemptions with a pause after each, a last one, and its end. An
        // order takes a claim and its end. A dispute takes its turns and its end.
        let most = 14 * deals + 2 * orders + 8 * games + 3 * books.foe_calls + 16;
        rule(books.shop_calls <= most, || {
            format!(
                "the provider sent {} transactions in {deals} deals, where {most} are enough",
                books.shop_calls
            )
        })?;
        let most = 4 + 2 * books.foe_calls + orders;
        rule(books.reverted <= most, || {
            format!("{} of the provider's transactions reverted", books.reverted)
        })?;
        let most = 16 + 12 * books.messages_in + 4 * orders;
        rule(books.messages_out <= most, || {
            format!("the provider sent {} messages for {}", books.messages_out, books.messages_in)
        })?;
        // A task is traced once and used at every turn. A restart, or too many tasks at once, makes
        // the trace start again.
        let tasks = distinct_tasks(&foe.orders) as u64;
        let most = 90 * (tasks + 3 * games) + 64;
        rule(books.traced_seconds <= most, || {
            format!("{} s of tracing for {games} games over {tasks} tasks", books.traced_seconds)
        })
    }
}
