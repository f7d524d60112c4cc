//! Cutting tasks into batches and giving every provider work. A batch is the unit of replication:
//! each of its orders has the same tasks, seed and limits, so results compare leaf by leaf.

use rialto_protocol::{
    Address, B256, DealId, OrderId,
    receipt::inputs_root,
    types::{Cancel, Limits, Order, struct_hash},
};

use super::{
    Core, JobEvent, JobId, Outgoing, Record,
    journal::{Batch, Check, Job, OpenDeal, OrderStatus},
    matching::{promise_seconds, speed, working_seconds},
    verify::worst_fee,
};

/// Unanswered orders per deal: one runs while the next waits, so that no provider is idle.
const MAX_AWAITED_ORDERS: usize = 2;
/// Most tasks of an order, whatever its provider accepts.
const MAX_BATCH_TASKS: u64 = 1024;
/// Tasks of a batch that this machine runs because nobody else is left.
pub(super) const LOCAL_BATCH_TASKS: u32 = 8;
/// An order should run about this long, seconds: long enough to be worth a message, short enough to
/// lose.
const ORDER_SECONDS: u64 = 5;
/// A provider gets at most this part of its share of what is left, so that all finish together.
const SHARE_DIVISOR: u64 = 3;
/// A batch is duplicated when it takes this many times as long as expected.
const STRAGGLER_FACTOR: u64 = 3;
/// … and at least so long, seconds.
const STRAGGLER_SECONDS: u64 = 3;
/// Most providers beyond the policy's that run a batch because it is late.
const MAX_DUPLICATES: usize = 1;

impl Core {
    /// Gives every free provider of a job its next order, cheapest first, until nobody takes any
    /// more.
    pub(super) fn assign(&mut self, id: JobId) {
        let mut deals = self.own_deals(id);
        deals.retain(|deal| self.state.deals[deal].works());
        deals.sort_by_key(|deal| (self.state.deals[deal].terms.price, *deal));
        loop {
            let mut any = false;
            for deal in &deals {
                let most = MAX_AWAITED_ORDERS.min(limits(&self.state.deals[deal]).orders as usize);
                if self.ready(*deal) && self.awaited_orders(*deal) < most {
                    any |= self.order_next(id, *deal);
                }
            }
            if !any {
                return;
            }
        }
    }

    /// Whether the deal can take an order now.
    fn ready(&self, id: DealId) -> bool {
        let deal = &self.state.deals[&id];
        let link =
            self.links.get(&id).is_some_and(|link| link.up() && self.now >= link.pause_until);
        deal.works() && link && self.now < self.last_due(id) && !self.disputed(id)
    }

    /// Unanswered orders of a deal that are still wanted.
    pub(super) fn awaited_orders(&self, deal: DealId) -> usize {
        self.state.deals[&deal]
            .unfinished()
            .filter(|order| self.state.orders[*order].awaited())
            .count()
    }

    /// Latest due time of an order in the deal.
    fn last_due(&self, id: DealId) -> u64 {
        let deal = &self.state.deals[&id];
        let length = deal.terms.expiry.saturating_sub(deal.terms.openedAt);
        let deadline = self.state.jobs[&deal.job].spec.constraints.deadline;
        deal.terms.openedAt.saturating_add(working_seconds(length)).min(deadline)
    }

    fn order_next(&mut self, id: JobId, deal: DealId) -> bool {
        let batch = self
            .missing_batch(id, deal)
            .or_else(|| self.cut(id, deal))
            .or_else(|| self.straggler(id, deal));
        let Some(batch) = batch else { return false };
        self.place(id, deal, batch);
        true
    }

    /// The oldest batch that lacks a provider and that this one may run.
    fn missing_batch(&self, id: JobId, deal: DealId) -> Option<u32> {
        let job = &self.state.jobs[&id];
        let open = job.open_batches.iter().copied();
        open.filter(|batch| self.missing(job, *batch) > 0)
            .find(|batch| self.may_run(job, *batch, deal))
    }

    /// Providers that a batch still lacks.
    pub(super) fn missing(&self, job: &Job, index: u32) -> u32 {
        let batch = &job.batches[index as usize];
        if batch.verdicts.len() == batch.count as usize {
            return 0;
        }
        let wanted = required(job, batch) + batch.extra;
        let live = batch.orders.iter().filter(|order| self.live(**order)).count();
        wanted.saturating_sub(live as u32)
    }

    /// Whether an order has delivered, or still may.
    fn live(&self, order: OrderId) -> bool {
        let order = &self.state.orders[&order];
        order.counts() || (order.awaited() && self.state.deals[&order.order.deal].works())
    }

    /// Whether the deal may run the batch: nobody of its owner has, it is not too large for it, and
    /// it is paid for.
    fn may_run(&self, job: &Job, index: u32, deal: DealId) -> bool {
        let batch = &job.batches[index as usize];
        let cap = self.links.get(&deal).map_or(u32::MAX, |link| link.batch_cap);
        let worst = worst_fee(&self.state.deals[&deal].terms, job.spec.fuel_limit, batch.count);
        self.could_take(deal, Some(index))
            && (batch.count <= cap || batch.count == 1)
            && self.accepts(job, deal, batch.first, batch.count)
            && self.spare(deal) >= worst
            && self.credit_left(deal) >= worst
            && self.can_promise(job, deal, batch.count)
    }

    /// Whether a deal lasts long enough for its provider to promise so many tasks, besides what it
    /// has promised, even if each burns its whole limit.
    fn can_promise(&self, job: &Job, deal: DealId, tasks: u32) -> bool {
        let deal = &self.state.deals[&deal];
        let open = deal
            .unfinished()
            .filter_map(|order| self.state.orders.get(order))
            .filter(|order| order.awaited());
        let (mut fuel, mut longest) =
            (u128::from(job.spec.fuel_limit) * u128::from(tasks), job.spec.fuel_limit);
        for order in open {
            fuel = fuel
                .saturating_add(u128::from(order.order.fuelLimit) * u128::from(order.order.tasks));
            longest = longest.max(order.order.fuelLimit);
        }
        self.now.saturating_add(promise_seconds(&deal.offer.ask.value, fuel, longest))
            <= deal.terms.expiry
    }

    /// Whether an order of these tasks is within everything that the deal's ask limits orders by.
    pub(super) fn accepts(&self, job: &Job, deal: DealId, first: u32, count: u32) -> bool {
        let deal = &self.state.deals[&deal];
        let limits = limits(deal);
        count <= limits.tasks
            && job.spec.out_limit.saturating_mul(count.into()) <= limits.orderOutput
            && job.spec.carried_inputs(first, count) <= limits.inputs
            && worst_fee(&deal.terms, job.spec.fuel_limit, count) <= limits.credit
    }

    /// What a deal's provider still gives credit for, base units: it counts what is delivered and
    /// not paid, and the most that its unfinished orders can cost.
    pub(super) fn credit_left(&self, deal: DealId) -> u128 {
        let deal = &self.state.deals[&deal];
        let (watermark, paid) =
            deal.voucher.as_ref().map_or((0, 0), |voucher| (voucher.orders, voucher.amount));
        let first = deal.done.min(watermark);
        let later = deal.orders.iter().skip(first as usize).map(|order| &self.state.orders[order]);
        let later = later.map(|order| match &order.receipt {
            Some(receipt) => receipt.value.fee,
            None if order.awaited() => {
                worst_fee(&deal.terms, order.order.fuelLimit, order.order.tasks)
            }
            None => 0,
        });
        let all = later.fold(self.fees_below(deal, first), u128::saturating_add);
        limits(deal).credit.saturating_sub(all.saturating_sub(paid.max(deal.chain.paid)))
    }

    /// Whether the deal works and its owner has no part in the batch yet.
    pub(super) fn could_take(&self, deal: DealId, batch: Option<u32>) -> bool {
        let deal_id = deal;
        let deal = &self.state.deals[&deal_id];
        let job = &self.state.jobs[&deal.job];
        let (provider, endpoint) = owners(deal);
        let part_in = |order: &&OrderId| {
            let order = &self.state.orders[*order];
            let other = owners(&self.state.deals[&order.order.deal]);
            order.status != OrderStatus::Refused && (other.0 == provider || other.1 == endpoint)
        };
        let orders = batch.map(|batch| &job.batches[batch as usize].orders);
        let limit = job.spec.fuel_limit;
        let promise = promise_seconds(&deal.offer.ask.value, limit.into(), limit);
        deal.works()
            && self.now < self.last_due(deal_id)
            && self.now.saturating_add(promise) <= deal.terms.expiry
            && !orders.is_some_and(|orders| orders.iter().any(|o| part_in(&o)))
    }

    /// Budget of a deal that no order has a claim on. An order can cost its worst until it is
    /// settled.
    pub(super) fn spare(&self, deal: DealId) -> u128 {
        let deal = &self.state.deals[&deal];
        let watermark = deal.voucher.as_ref().map_or(0, |voucher| voucher.orders);
        // Below both, every order is settled.
        let first = deal.done.min(watermark) as usize;
        let reserved =
            deal.orders[first..].iter().map(|order| &self.state.orders[order]).filter(|order| {
                let unpaid = matches!(order.status, OrderStatus::Open | OrderStatus::Delivered);
                unpaid && !(order.cancelled && order.order.seq < watermark)
            });
        let worst = reserved.map(|order| match &order.receipt {
            Some(receipt) => receipt.value.fee,
            None => worst_fee(&deal.terms, order.order.fuelLimit, order.order.tasks),
        });
        deal.terms
            .budget
            .saturating_sub(deal.earned)
            .saturating_sub(worst.fold(0, u128::saturating_add))
    }

    /// What `spare` can grow to when the orders under way turn out cheap.
    pub(super) fn spare_at_best(&self, deal: DealId) -> u128 {
        if self.awaited_orders(deal) == 0 {
            return self.spare(deal);
        }
        let deal = &self.state.deals[&deal];
        deal.terms.budget.saturating_sub(deal.earned)
    }

    /// Makes the next batch, as large as is good for this deal.
    fn cut(&mut self, id: JobId, deal: DealId) -> Option<u32> {
        let job = &self.state.jobs[&id];
        let count = self.batch_size(job, deal);
        if count == 0 {
            return None;
        }
        let index = job.batches.len() as u32;
        self.record(Record::Cut { job: id, count });
        Some(index)
    }

    /// Few tasks while nothing is known, then about [`ORDER_SECONDS`] of work, then less as the end
    /// comes near.
    fn batch_size(&self, job: &Job, deal: DealId) -> u32 {
        let left = u64::from(job.spec.tasks() - job.next_task);
        let terms = &self.state.deals[&deal];
        let rate = u128::from(speed(&terms.offer));
        let working =
            job.deals.iter().map(|deal| &self.state.deals[deal]).filter(|deal| deal.works());
        let total = working.map(|deal| u128::from(speed(&deal.offer))).sum::<u128>().max(1);
        let runs = u128::from(left) * u128::from(job.spec.policy.replicas());
        let share = (runs * rate / total / u128::from(SHARE_DIVISOR)) as u64;
        let cores = u64::from(terms.offer.ask.value.cores.max(1));
        let known = job.measured.1 > 0;
        let timed = (rate * u128::from(ORDER_SECONDS) / u128::from(job.expected_fuel())) as u64;
        let size =
            share.min(if known { timed.max(cores) } else { cores }).clamp(1, MAX_BATCH_TASKS);
        // Whole rounds over the cores.
        let size = if size > cores { size - size % cores } else { size };
        let cap = self.links.get(&deal).map_or(u64::MAX, |link| link.batch_cap.into());
        let (spare, credit) = (self.spare(deal), self.credit_left(deal));
        // Whoever is to repeat it has to accept it as well.
        let repeated = job.spec.policy.replicas() > 1
            || job.spec.policy.samples() && !job.spec.constraints.run_locally;
        let others = job.deals.iter().filter(|other| repeated && self.state.deals[*other].works());
        let takers: Vec<_> = others.copied().filter(|other| *other != deal).chain([deal]).collect();
        // One order runs while the next waits: each gets half of the credit, where that is enough
        // for a task.
        let half = |taker: &DealId| {
            let taker = &self.state.deals[taker];
            (limits(taker).credit / 2).max(worst_fee(&taker.terms, job.spec.fuel_limit, 1))
        };
        let fits = |count: u32| {
            let worst = |taker: &DealId| {
                worst_fee(&self.state.deals[taker].terms, job.spec.fuel_limit, count)
            };
            worst(&deal) <= spare.min(credit)
                && self.can_promise(job, deal, count)
                && takers.iter().all(|taker| {
                    worst(taker) <= half(taker) && self.accepts(job, *taker, job.next_task, count)
                })
        };
        let (mut most, mut over) = (0, size.min(cap).min(left) as u32 + 1);
        while over - most > 1 {
            let middle = most + (over - most) / 2;
            (most, over) = if fits(middle) { (middle, over) } else { (most, middle) };
        }
        if repeated && !self.leaves_room(job, &takers, most) { 0 } else { most }
    }

    /// Whether everybody's credit is enough for one more batch of so many tasks with all its
    /// repetitions, besides what is still to be repeated of others: else each could end up waiting
    /// for another.
    fn leaves_room(&self, job: &Job, takers: &[DealId], count: u32) -> bool {
        let batches =
            if job.spec.policy.samples() { 2 } else { u128::from(job.spec.policy.replicas()) };
        if (takers.len() as u128) < batches {
            return true;
        }
        let missing = job
            .open_batches
            .iter()
            .map(|batch| u128::from(self.missing(job, *batch)))
            .sum::<u128>();
        let room = takers.iter().map(|taker| {
            let worst = worst_fee(&self.state.deals[taker].terms, job.spec.fuel_limit, count);
            (self.credit_left(*taker) / worst.max(1)).min(batches + missing)
        });
        let room: Vec<_> = room.filter(|room| *room > 0).collect();
        room.len() as u128 >= batches && room.iter().sum::<u128>() >= batches + missing
    }

    /// A late batch that this idle provider can run as well; the first result wins.
    fn straggler(&self, id: JobId, deal: DealId) -> Option<u32> {
        if self.awaited_orders(deal) > 0 {
            return None;
        }
        let job = &self.state.jobs[&id];
        let late = |order: &&OrderId| {
            let order = &self.state.orders[*order];
            let expected = self.expected_seconds(&order.order.deal, job, order.order.tasks);
            order.awaited()
                && self.now
                    >= order.at.saturating_add((expected * STRAGGLER_FACTOR).max(STRAGGLER_SECONDS))
        };
        job.open_batches.iter().copied().find(|index| {
            let batch = &job.batches[*index as usize];
            let live = batch.orders.iter().filter(|order| self.live(**order)).count();
            let wanted = (required(job, batch) + batch.extra) as usize;
            live < wanted + MAX_DUPLICATES
                && batch.orders.iter().any(|order| late(&order))
                && self.may_run(job, *index, deal)
        })
    }

    /// Seconds in which a deal should be through with all it was given, plus so many tasks.
    pub(super) fn expected_seconds(&self, deal: &DealId, job: &Job, tasks: u32) -> u64 {
        let offer = &self.state.deals[deal].offer;
        let cores = u64::from(offer.ask.value.cores.max(1));
        let rounds = u64::from(tasks).div_ceil(cores) * MAX_AWAITED_ORDERS as u64;
        let task = job.expected_fuel() / offer.ask.value.fuelPerSecond.max(1);
        rounds.saturating_mul(task + 1).min(24 * 3600)
    }

    fn place(&mut self, id: JobId, deal_id: DealId, index: u32) {
        let deal = &self.state.deals[&deal_id];
        let job = &self.state.jobs[&id];
        let batch = &job.batches[index as usize];
        let (first, count) = (batch.first, batch.count);
        let tasks = first as usize..(first + count) as usize;
        let order = Order {
            deal: deal_id,
            seq: deal.orders.len() as u64,
            program: job.spec.program,
            inputs: inputs_root(&job.spec.inputs[tasks]),
            tasks: count,
            fuelLimit: job.spec.fuel_limit,
            outLimit: job.spec.out_limit,
            maxPages: job.spec.max_pages,
            seed: job.spec.batch_seed(first),
            dueBy: self.last_due(deal_id),
        };
        let provider = deal.provider();
        self.record(Record::Ordered { at: self.now, job: id, batch: index, order: order.clone() });
        if let Some(link) = self.links.get_mut(&deal_id) {
            link.heard = self.now;
        }
        let hash = struct_hash(&order);
        self.send(deal_id, Outgoing::Order { job: id, first, order });
        self.tell(id, JobEvent::OrderSent { provider, order: hash, first, count });
    }

    /// Tells a provider that its unanswered orders are not needed.
    pub(super) fn cancel_orders(&mut self, deal: DealId) {
        for order in self.state.deals[&deal].orders.clone() {
            self.cancel_order(order);
        }
    }

    /// Of what is overdue, or promised by a provider that fell silent, only a receipt lets it off.
    pub(super) fn cancel_order(&mut self, order: OrderId) {
        let known = &self.state.orders[&order];
        let deal = &self.state.deals[&known.order.deal];
        if !self.overdue(known) && !self.is_promised(deal, known) {
            self.let_off(order);
        }
    }

    /// Lets a deal's provider off whatever it has not delivered.
    pub(super) fn let_off_all(&mut self, deal: DealId) {
        let unfinished: Vec<_> = self.state.deals[&deal].unfinished().copied().collect();
        unfinished.into_iter().for_each(|order| self.let_off(order));
    }

    /// What was cancelled is never called late: the provider has that in writing.
    fn let_off(&mut self, order: OrderId) {
        let known = &self.state.orders[&order];
        let deal = known.order.deal;
        if known.awaited() {
            self.record(Record::Cancelled { order });
            self.send(deal, Outgoing::Cancel(Cancel { order }));
        }
    }
}

/// Providers that have to agree on a batch, also once the work is over and nobody is asked any
/// more.
pub(super) fn required(job: &Job, batch: &Batch) -> u32 {
    job.spec.policy.replicas() + u32::from(batch.check == Check::Repeat)
}

/// What a deal's provider accepts, by the ask that it was opened from.
fn limits(deal: &OpenDeal) -> &Limits {
    &deal.offer.ask.value.limits
}

/// What makes two deals one owner's: account and endpoint.
fn owners(deal: &OpenDeal) -> (Address, B256) {
    (deal.provider(), deal.offer.ask.value.endpoint)
}
