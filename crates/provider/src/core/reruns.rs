//! Results said to be wrong: find out whether they are, by running the task again.
//!
//! It costs us core time and the other side nothing, so: every task once, whatever comes of it; one
//! at a time, after games, and only while no promise is short of time; and a deal's re-runs may
//! cost what it has paid, and one task more.

use rialto_protocol::{
    DealId, OrderId,
    pricing::order_fee,
    types::{Deal, Order},
};

use super::{Core, Effect, OrderState, ProviderEvent, Refusal, Verdict};

/// A task of an order.
pub(super) type TaskId = (OrderId, u32);

impl Core {
    /// The requester found a result wrong.
    pub(super) fn rejected(&mut self, deal: DealId, hash: OrderId, task: u32) {
        let Some(row) = self.orders.get(&hash).filter(|row| row.order.value.deal == deal) else {
            return;
        };
        let delivered = matches!(row.state, OrderState::Done { .. });
        if !delivered || row.rejected.contains_key(&task) || task >= row.order.value.tasks {
            return;
        }
        if let Err(why) = self.rerun_paid(deal, &row.order.value) {
            return self.count(&why);
        }
        self.set_rejected(hash, task, Verdict::Pending);
        self.judge_deal(deal);
    }

    /// Whether what the deal paid covers another task: all that were rejected, but for the dearest
    /// one.
    fn rerun_paid(&self, deal: DealId, order: &Order) -> Result<(), Refusal> {
        let Some(row) = self.deals.get(&deal) else { return Err(Refusal::UnknownDeal) };
        let cost_of = |order: &Order| task_cost(&row.deal, order);
        let (mut sum, mut dearest) = (cost_of(order), cost_of(order));
        for known in self.orders_of(deal).filter_map(|hash| self.orders.get(&hash)) {
            if known.rejected.is_empty() {
                continue;
            }
            let cost = cost_of(&known.order.value);
            sum = sum.saturating_add(cost.saturating_mul(known.rejected.len() as u128));
            dearest = dearest.max(cost);
        }
        let (cost, paid) = (sum - dearest, row.voucher_amount().max(row.chain().paid));
        if cost > paid { Err(Refusal::RerunUnpaid { cost, paid }) } else { Ok(()) }
    }

    /// Starts the next one, or stops the one that runs, as there is time.
    pub(super) fn tend_reruns(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        if self.answering() || self.time_is_short() {
            if let Some((order, task)) = self.rerunning.take() {
                self.effects.push(Effect::StopRerun { order, task });
            }
            return;
        }
        if self.rerunning.is_some() {
            return;
        }
        // By turns, so that no deal's rejections keep another's from being looked at.
        let open = |hash: &OrderId| {
            self.deal_of(*hash)
                .and_then(|id| self.deals.get(&id))
                .is_some_and(|row| row.chain().open)
        };
        let later =
            |(hash, task): &&TaskId| self.rerun_last.is_none_or(|last| (*hash, *task) > last);
        let mut known = self.pending.iter().filter(|(hash, _)| open(hash));
        let next = known.clone().find(later).or_else(|| known.next()).copied();
        if let Some((hash, task)) = next
            && let Some(work) = self.work(hash)
        {
            (self.rerunning, self.rerun_last) = (next, next);
            self.effects.push(Effect::Rerun { work, task });
        }
    }

    pub(super) fn reran(&mut self, hash: OrderId, task: u32, same: Option<bool>) {
        if self.rerunning == Some((hash, task)) {
            self.rerunning = None;
        }
        let Some(row) = self.orders.get(&hash) else { return };
        if row.rejected.get(&task) != Some(&Verdict::Pending) {
            return;
        }
        let verdict = match same {
            Some(true) => Verdict::Reproduced,
            Some(false) => Verdict::Differs,
            None => Verdict::Clean,
        };
        let deal = row.order.value.deal;
        self.set_rejected(hash, task, verdict);
        self.judge_deal(deal);
        self.tell(ProviderEvent::Rejected { deal, order: hash, task, verdict });
        self.decide_held(deal);
    }

    /// One wrong result decides; then one that is not known yet.
    fn judge_deal(&mut self, deal: DealId) {
        let all: Vec<_> = self
            .orders_of(deal)
            .filter_map(|hash| self.orders.get(&hash))
            .flat_map(|row| row.rejected.values().copied())
            .collect();
        let verdict = [Verdict::Differs, Verdict::Pending, Verdict::Reproduced]
            .into_iter()
            .find(|verdict| all.contains(verdict))
            .unwrap_or_default();
        if let Some(row) = self.deal_mut(deal) {
            row.verdict = verdict;
        }
    }

    /// What re-running showed is remembered with the order.
    fn set_rejected(&mut self, hash: OrderId, task: u32, verdict: Verdict) {
        if let Some(row) = self.orders.get_mut(&hash) {
            row.rejected.insert(task, verdict);
            self.changed.orders.insert(hash);
        }
        if verdict == Verdict::Pending {
            self.pending.insert((hash, task));
        } else {
            self.pending.remove(&(hash, task));
        }
    }

    /// An order is forgotten, and what was to be run again of it.
    pub(super) fn forget_reruns(&mut self, hash: OrderId) {
        self.pending.retain(|(order, _)| *order != hash);
        if let Some((order, task)) = self.rerunning.filter(|(order, _)| *order == hash) {
            self.rerunning = None;
            self.effects.push(Effect::StopRerun { order, task });
        }
    }
}

/// The most that running a task of the order again can cost, base units; at least one, so that what
/// is for free is not for free without end.
fn task_cost(deal: &Deal, order: &Order) -> u128 {
    order_fee(deal, order.fuelLimit.into(), 1).unwrap_or(u128::MAX).max(1)
}
