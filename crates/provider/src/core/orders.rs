//! From an admitted order to its receipt: fetch, ack, run, deliver. `promise` says when.

use alloy_primitives::{B256, Bytes};
use rialto_protocol::{
    DealId, OrderId,
    pricing::order_fee,
    receipt::SumTree,
    types::{Ack, Cancel, Order, Receipt},
    wire::{Signed, ToRequester},
};

use super::{Core, Effect, OrderState, ProviderEvent, Record, Refusal, Results, Work};

/// An accepted order that this host could not run is tried so many times more.
const MAX_RUN_RETRIES: u32 = 1;
/// Programs whose use of fuel is remembered.
const MAX_PROGRAMS_SEEN: usize = 256;

/// How much fuel tasks of a program burned.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FuelSeen {
    tasks: u128,
    fuel: u128,
}

impl FuelSeen {
    /// Half as much again as the mean.
    pub fn per_task(&self) -> u128 {
        self.fuel.saturating_mul(3) / (self.tasks.max(1) * 2)
    }
}

impl Core {
    pub(super) fn work(&self, hash: OrderId) -> Option<Work> {
        let row = self.orders.get(&hash)?;
        let peer = self.deals.get(&row.order.value.deal).and_then(|deal| deal.endpoint);
        Some(Work {
            hash,
            order: row.order.value.clone(),
            program: row.program,
            shared: row.shared,
            peer,
        })
    }

    /// Fetches an order's blobs, unless that is under way.
    pub(super) fn fetch(&mut self, hash: OrderId) {
        if let Some(work) = self.work(hash)
            && self.fetching.insert(hash)
        {
            self.effects.push(Effect::Fetch(work));
        }
    }

    pub(super) fn fetched(&mut self, hash: OrderId, result: Result<(), Refusal>) {
        if !self.fetching.remove(&hash) {
            return;
        }
        let Some(row) = self.orders.get(&hash) else { return };
        let OrderState::Fetching { .. } = row.state else { return };
        let order = row.order.value.clone();
        let Some(terms) = self.deals.get(&order.deal).map(|row| row.deal.clone()) else { return };
        if result.is_err() {
            self.prepared_in_vain(hash);
        }
        // Fetching took time: look again before promising anything.
        let in_time = result.and_then(|()| self.in_time(&terms, hash, &order));
        let due_by = match in_time.and_then(|()| self.promise(&terms, hash, &order)) {
            Ok(due_by) => due_by,
            Err(why) => return self.give_up(hash, why),
        };
        let ack = Ack { order: hash, dueBy: due_by };
        self.set_state(hash, OrderState::Accepted { ack: ack.clone() });
        if let Some(session) = self.session_of(order.deal) {
            self.send_ack(session, ack);
        }
        self.tell(ProviderEvent::OrderAccepted {
            deal: order.deal,
            order: hash,
            tasks: order.tasks,
        });
    }

    pub(super) fn send_ack(&mut self, session: u64, ack: Ack) {
        self.send(session, ToRequester::Ack(Signed { value: ack, signature: Bytes::new() }));
    }

    /// Drops an order that was not acked.
    pub(super) fn give_up(&mut self, hash: OrderId, why: Refusal) {
        let deal = self.deal_of(hash);
        match deal.and_then(|deal| self.session_of(deal)) {
            Some(session) => self.refuse(session, deal, Some(hash), why),
            None => self.tell(ProviderEvent::Refused { deal, order: Some(hash), why }),
        }
        self.forget_order(hash);
    }

    pub(super) fn drop_stale_fetches(&mut self) {
        let limit = self.config.limits.fetch_seconds;
        let stale = |state: &OrderState| matches!(state, OrderState::Fetching { since } if self.now >= since.saturating_add(limit));
        let late: Vec<_> = self
            .unfinished
            .iter()
            .filter(|hash| self.orders.get(*hash).is_some_and(|row| stale(&row.state)))
            .copied()
            .collect();
        for hash in late {
            self.give_up(hash, Refusal::Inputs("did not arrive in time".into()));
        }
    }

    pub(super) fn stop(&mut self, hash: OrderId) {
        let fetching = self.fetching.remove(&hash);
        let running = self.running.remove(&hash).is_some();
        if fetching || running {
            self.effects.push(Effect::Stop { order: hash });
        }
    }

    pub(super) fn progress(&mut self, hash: OrderId, done: u32) {
        let Some(running) = self.running.get_mut(&hash) else { return };
        running.done = running.done.max(done.min(running.tasks));
        if let Some(session) = self.deal_of(hash).and_then(|deal| self.session_of(deal)) {
            self.send(session, ToRequester::Progress { order: hash, done });
        }
        self.tell(ProviderEvent::Progress { order: hash, done });
    }

    pub(super) fn ran(&mut self, hash: OrderId, result: Result<Results, Refusal>) {
        if self.running.remove(&hash).is_none() {
            return;
        }
        let Some(row) = self.orders.get(&hash) else { return };
        let OrderState::Accepted { ack } = row.state.clone() else { return };
        let order = row.order.value.clone();
        match result {
            Ok(results) if results.halted.len() == order.tasks as usize => {
                self.deliver(hash, order, ack, results)
            }
            Ok(_) => {
                self.could_not_run(hash, ack, Refusal::Attempt("not one result per task".into()))
            }
            Err(why) => self.could_not_run(hash, ack, why),
        }
    }

    fn deliver(&mut self, hash: OrderId, order: Order, ack: Ack, results: Results) {
        let Some(terms) = self.deals.get(&order.deal).map(|row| row.deal.clone()) else { return };
        let root = SumTree::over(&results.halted, order.fuelLimit).root();
        let Some(fee) = order_fee(&terms, root.fuel, order.tasks) else { return };
        let receipt = Receipt { order: hash, root: root.hash, fuel: root.fuel, fee };
        let state = OrderState::Done { ack, receipt: receipt.clone(), at: self.now };
        self.set_state(hash, state);
        self.changed.more.push(Record::Results(hash, results));
        self.learn(order.program, order.tasks, root.fuel);
        let (deal, mut billed) = (order.deal, 0);
        if let Some(row) = self.deal_mut(deal)
            // Cancelled and settled, then run all the same to answer a late notice: that is not
            // billed.
            && order.seq >= row.watermark()
            && !row.closing()
        {
            row.earned = row.earned.saturating_add(fee);
            billed = fee;
        }
        self.note(|sums| {
            sums.orders += 1;
            sums.tasks += u64::from(order.tasks);
            sums.fuel = sums.fuel.saturating_add(receipt.fuel);
            sums.earned = sums.earned.saturating_add(billed);
        });
        self.tell(ProviderEvent::TasksDone {
            deal,
            order: hash,
            tasks: order.tasks,
            fuel: receipt.fuel,
            fee,
        });
        if let Some(session) = self.session_of(deal) {
            self.effects.push(Effect::SendReceipt { session, deal, receipt });
        }
    }

    fn could_not_run(&mut self, hash: OrderId, ack: Ack, why: Refusal) {
        let tries = self.retries.entry(hash).or_default();
        *tries += 1;
        if *tries <= MAX_RUN_RETRIES {
            return;
        }
        self.retries.remove(&hash);
        let deal = self.deal_of(hash);
        if let Some(session) = deal.and_then(|deal| self.session_of(deal)) {
            self.send(
                session,
                ToRequester::Refuse {
                    order: Some(hash),
                    code: why.code().into(),
                    detail: why.detail(),
                },
            );
        }
        self.tell(ProviderEvent::Refused { deal, order: Some(hash), why: why.clone() });
        self.set_state(hash, OrderState::Failed { ack, why });
    }

    fn learn(&mut self, program: B256, tasks: u32, fuel: u128) {
        if self.fuel_seen.len() >= MAX_PROGRAMS_SEEN && !self.fuel_seen.contains_key(&program) {
            self.fuel_seen.pop_first();
        }
        let seen = self.fuel_seen.entry(program).or_default();
        seen.tasks += u128::from(tasks);
        seen.fuel = seen.fuel.saturating_add(fuel);
    }

    /// An order is not wanted any more, signed: nothing is owed for it, and it can't be called
    /// late. Without the signature it could, so nothing else stops work.
    pub(super) fn cancel_offered(&mut self, session: u64, deal: DealId, cancel: &Signed<Cancel>) {
        let hash = cancel.value.order;
        if self.signed(session, deal, Some(hash), cancel, Refusal::BadSignature) {
            self.cancelled(deal, cancel);
        }
    }

    fn cancelled(&mut self, deal: DealId, cancel: &Signed<Cancel>) {
        let hash = cancel.value.order;
        let Some(row) = self.orders.get_mut(&hash).filter(|row| row.order.value.deal == deal)
        else {
            return;
        };
        let ack = match &row.state {
            OrderState::Fetching { .. } => {
                self.prepared_in_vain(hash);
                return self.forget_order(hash);
            }
            OrderState::Done { .. } => return,
            OrderState::Accepted { ack }
            | OrderState::Cancelled { ack }
            | OrderState::Failed { ack, .. } => ack.clone(),
        };
        row.cancel = Some(cancel.clone());
        self.stop(hash);
        self.set_state(hash, OrderState::Cancelled { ack });
        self.changed.deals.insert(deal);
    }
}
