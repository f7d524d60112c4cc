//! Time: how long accepted work can take at most, what may be promised, and which order runs next.
//!
//! A promise (`ack.dueBy`) holds even if every task burns its whole limit. It is the later of what
//! the requester asked for and the time by which everything promised before it and itself is done
//! at a part of the measured speed (`promised_speed_bps`). The rest of the speed, and the market's
//! answer window after a late notice, are for what nobody can promise away: slower programs, a
//! restart that begins running orders again, and the cores that games take.
//!
//! Two bounds hold, and the lower one counts. All fuel over all cores, and the longest task once
//! more for the end, when cores run empty, as for any list of tasks. And one order after the other,
//! each in rounds of as many tasks as run at a time; this one alone where the memory of some order
//! does not let all cores run, as others' cores are idle before its tasks begin. As every promise
//! lies after everything promised before, running the earliest promise first keeps all of them. So
//! orders are picked by fairness as long as the others' promises leave time for it, and by their
//! promises when they don't.

use rialto_protocol::{
    OrderId,
    pricing::BPS,
    types::{Deal, Order},
};

use super::{Core, OrderState, Refusal};

/// An order is due at the latest so long before its deal expires, so that a receipt can still be
/// claimed.
const EXPIRY_MARGIN_SECONDS: u64 = 30;
/// Seconds that go by around the running of an order itself: reading, sending.
pub(super) const OVERHEAD_SECONDS: u64 = 1;
/// A promise lies so much later than it must, so that not every wait is short of time.
const PROMISE_SLACK_SECONDS: u64 = 60;
/// Time is short when a promise has less than this to spare.
const SHORT_SECONDS: u64 = 30;

/// An order that runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    /// Its tasks.
    pub tasks: u32,
    /// Those of them that are done.
    pub done: u32,
}

/// Work at its limits.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    /// Of all tasks.
    fuel: u128,
    /// Of one task of each round, when one order comes after the other.
    rounds: u128,
    /// Whether some order's memory does not let all cores run.
    wide: bool,
    /// The highest fuel limit of a task.
    longest: u64,
    orders: u64,
}

impl Core {
    fn cores(&self) -> u32 {
        self.config.asks.cores.max(1)
    }

    /// Cores that a task keeps from others: one, or more if its memory limit does.
    fn task_cores(&self, order: &Order) -> u32 {
        let memory = u128::from(order.maxPages) << 16;
        let share = (memory * u128::from(self.cores()))
            .div_ceil(self.config.limits.memory_bytes.max(1).into());
        u32::try_from(share).unwrap_or(u32::MAX).clamp(1, self.cores())
    }

    /// Cores that an order takes while so many of its tasks are not done.
    fn cores_of(&self, order: &Order, left: u32) -> u32 {
        left.min(self.at_once(order)) * self.task_cores(order)
    }

    /// Tasks of an order that can run at a time.
    fn at_once(&self, order: &Order) -> u32 {
        self.cores() / self.task_cores(order)
    }

    /// Tasks of an order that are not known to be done.
    fn left(&self, hash: &OrderId, order: &Order) -> u32 {
        self.running
            .get(hash)
            .map_or(order.tasks, |running| running.tasks.saturating_sub(running.done))
    }

    /// Cores that running orders take; more than there are when the last one started took what was
    /// left.
    pub(super) fn taken_cores(&self) -> u32 {
        let taken = |hash: &OrderId| {
            self.orders
                .get(hash)
                .map(|row| &row.order.value)
                .map(|order| self.taken_by(hash, order))
        };
        self.running.keys().filter_map(taken).sum()
    }

    fn taken_by(&self, hash: &OrderId, order: &Order) -> u32 {
        self.cores_of(order, self.left(hash, order))
    }

    fn add(&self, load: &mut Load, order: &Order, tasks: u32) {
        let (fuel, at_once) = (u128::from(order.fuelLimit), self.at_once(order));
        load.fuel = load.fuel.saturating_add(fuel * u128::from(tasks));
        load.rounds = load.rounds.saturating_add(fuel * u128::from(tasks.div_ceil(at_once)));
        load.wide |= at_once < self.cores();
        load.longest = load.longest.max(order.fuelLimit);
        load.orders += 1;
    }

    /// Most seconds that work takes.
    fn seconds(&self, load: &Load) -> u64 {
        let asks = &self.config.asks;
        let share = self.config.limits.promised_speed_bps;
        let speed = (u128::from(asks.fuel_per_second) * u128::from(share) / u128::from(BPS)).max(1);
        let listed =
            load.fuel.div_ceil(u128::from(self.cores())).saturating_add(load.longest.into());
        let fuel = if load.wide { load.rounds } else { load.rounds.min(listed) };
        let overhead = load.orders.saturating_mul(OVERHEAD_SECONDS);
        u64::try_from(fuel.div_ceil(speed)).unwrap_or(u64::MAX).saturating_add(overhead)
    }

    /// Latest time that an order of the deal can be due.
    pub(super) fn last_due(&self, deal: &Deal) -> u64 {
        deal.expiry.saturating_sub(EXPIRY_MARGIN_SECONDS)
    }

    /// Until when an order can be promised now, unix seconds.
    pub(super) fn promise(
        &self,
        deal: &Deal,
        hash: OrderId,
        order: &Order,
    ) -> Result<u64, Refusal> {
        let until = |load: &Load| {
            let seconds = self.seconds(load).saturating_add(PROMISE_SLACK_SECONDS);
            self.now.saturating_add(seconds).max(order.dueBy)
        };
        let mut load = Load::default();
        self.add(&mut load, order, order.tasks);
        let (alone, last) = (until(&load), self.last_due(deal));
        for (other, row) in
            self.unfinished.iter().filter_map(|other| Some((other, self.orders.get(other)?)))
        {
            if *other != hash && matches!(row.state, OrderState::Accepted { .. }) {
                self.add(&mut load, &row.order.value, self.left(other, &row.order.value));
            }
        }
        let promise = until(&load);
        if promise <= last {
            return Ok(promise);
        }
        let seconds_left = deal.expiry.saturating_sub(self.now);
        Err(if alone > last {
            Refusal::DealExpires { seconds_left }
        } else {
            let expected_seconds = promise.saturating_sub(self.now);
            Refusal::DueBy { due_seconds: last.saturating_sub(self.now), expected_seconds }
        })
    }

    /// Whether all promises hold with so many seconds to spare if this order runs next, and then
    /// the earliest promise first.
    fn keeps(&self, first: Option<OrderId>, spare: u64) -> bool {
        let (mut load, mut waiting) = (Load::default(), Vec::new());
        for (hash, row) in
            self.unfinished.iter().filter_map(|hash| Some((hash, self.orders.get(hash)?)))
        {
            let OrderState::Accepted { ack } = &row.state else { continue };
            let order = &row.order.value;
            if self.running.contains_key(hash) || first == Some(*hash) {
                self.add(&mut load, order, self.left(hash, order));
            } else {
                let due = if self.urgent.contains(hash) { 0 } else { ack.dueBy };
                waiting.push((due, order.seq, *hash, order));
            }
        }
        waiting.sort_unstable_by_key(|(due, seq, hash, _)| (*due, *seq, *hash));
        let begin = self.now.saturating_add(spare);
        waiting.into_iter().all(|(due, _, _, order)| {
            self.add(&mut load, order, order.tasks);
            begin.saturating_add(self.seconds(&load)) <= due
        })
    }

    /// Whether some promise has hardly more time than it needs.
    pub(super) fn time_is_short(&self) -> bool {
        !self.keeps(None, SHORT_SECONDS)
    }

    /// Starts waiting orders while there are cores. Tasks that are traced for games come first;
    /// orders share their cores only when time is short.
    pub(super) fn schedule(&mut self) {
        while let Some(hash) = self.next() {
            let Some(work) = self.work(hash) else { return };
            if !self.has_cores(&work.order) {
                return;
            }
            self.turns += 1;
            self.served.insert(work.order.deal, self.turns);
            self.running.insert(hash, Running { tasks: work.order.tasks, done: 0 });
            self.effects.push(super::Effect::Run(work));
        }
    }

    fn has_cores(&self, order: &Order) -> bool {
        let orders = self
            .running
            .keys()
            .filter_map(|hash| Some((hash, &self.orders.get(hash)?.order.value)));
        // Whoever has tasks that wait would have to share the next core and memory.
        if orders.clone().any(|(hash, order)| self.left(hash, order) > self.at_once(order)) {
            return false;
        }
        let (taken, cores, each) = (self.taken_cores(), self.cores(), self.task_cores(order));
        let traced = u32::try_from(self.traced_tasks()).unwrap_or(u32::MAX).min(cores);
        let open = if traced > 0 && !self.time_is_short() { cores - traced } else { cores };
        // What takes one core a task is started with the last core; what takes more waits for its
        // room, or for all.
        if each == 1 {
            taken < open
        } else {
            taken == 0 && open == cores || taken.saturating_add(each) <= open
        }
    }

    /// The order to run next: one that we were called late on, then of deals that pay, then of the
    /// deal that waited longest, then by number. If that would break another's promise: the
    /// earliest promise.
    fn next(&self) -> Option<OrderId> {
        let waiting = || {
            let known = self.unfinished.iter().filter(|hash| !self.running.contains_key(*hash));
            known.filter_map(|hash| {
                let row = self.orders.get(hash)?;
                let OrderState::Accepted { ack } = &row.state else { return None };
                Some((*hash, &row.order.value, ack.dueBy))
            })
        };
        let fair = waiting().min_by_key(|(hash, order, _)| {
            let owes = self
                .deals
                .get(&order.deal)
                .is_some_and(|row| self.unpaid(row) > row.limits.credit / 2);
            let served = self.served.get(&order.deal).copied().unwrap_or(0);
            (!self.urgent.contains(hash), owes, served, order.seq, *hash)
        });
        let (fair, ..) = fair?;
        if self.keeps(Some(fair), 0) {
            return Some(fair);
        }
        let first = waiting()
            .min_by_key(|(hash, order, due)| (!self.urgent.contains(hash), *due, order.seq, *hash));
        first.map(|(hash, ..)| hash)
    }
}
