//! Sessions: connecting, hello, resuming after a drop, messages in, and noticing who is silent.

use rialto_protocol::eip712::Typed;
use rialto_protocol::{
    DealId, OrderId,
    receipt::Halted,
    refusal::{Class, RefusalCode},
    signing,
    types::{Ack, Cancel, Receipt},
    wire::{Payload, Signed, ToRequester, WIRE_VERSION},
};

use super::{
    Core, Effect, JobEvent, Outgoing, Record, Stored, Storing,
    journal::{DropReason, Misstated, OrderStatus, Standing},
    rest,
    verify::{self, ReceiptFault},
};

/// Slowest fetching of a job's program and shared input that a provider is not given up for, bytes
/// a second: fetching and hashing.
const LEAST_BYTES_PER_SECOND: u64 = 4 << 20;
/// Refusals in a row after which a deal gets no more orders.
const MAX_REFUSALS: u32 = 6;
/// A deal that was dropped so often does not come back.
const MAX_DROPS: u32 = 3;

/// The session of a deal, and what is known of its provider's mood.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub state: LinkState,
    /// Failed attempts in a row.
    pub failures: u32,
    /// Whether its job has heard of this outage.
    pub told: bool,
    /// Last sign that work goes on, or the last time there was none to do.
    pub heard: u64,
    /// Refusals in a row.
    pub refusals: u32,
    /// No orders before this time.
    pub pause_until: u64,
    /// Most tasks of an order, after refusals for size.
    pub batch_cap: u32,
    /// When a release was asked for.
    pub release_asked: Option<u64>,
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkState {
    Down { retry_at: u64 },
    Connecting { since: u64 },
    Greeting { since: u64 },
    Up,
}

impl Link {
    fn new(now: u64) -> Self {
        Self {
            state: LinkState::Down { retry_at: now },
            failures: 0,
            told: false,
            heard: now,
            refusals: 0,
            pause_until: 0,
            batch_cap: u32::MAX,
            release_asked: None,
        }
    }

    pub(super) fn up(&self) -> bool {
        self.state == LinkState::Up
    }
}

impl Core {
    /// Connects where there is no session, gives up on what is silent.
    pub(super) fn tend_sessions(&mut self) {
        let open =
            self.state.deals.iter().filter(|(_, deal)| deal.closed.is_none()).map(|(id, _)| *id);
        for id in open.collect::<Vec<_>>() {
            let now = self.now;
            let patience = self.config.patience.connect;
            let link = self.links.entry(id).or_insert_with(|| Link::new(now));
            match link.state {
                LinkState::Down { retry_at } if now >= retry_at && self.started => {
                    link.state = LinkState::Connecting { since: now };
                    let peer = self.whereabouts(id);
                    self.effects.push(Effect::Connect { deal: id, peer });
                }
                LinkState::Connecting { since } | LinkState::Greeting { since }
                    if now >= since.saturating_add(patience) =>
                {
                    self.hang_up(id, "no answer in time");
                }
                _ => {}
            }
            self.tend_silence(id);
        }
    }

    /// Drops a deal whose provider owes answers and gives no sign of life.
    fn tend_silence(&mut self, id: DealId) {
        let awaited = self.awaited_orders(id);
        let deal = &self.state.deals[&id];
        let Some(link) = self.links.get(&id) else { return };
        if !deal.works() {
            return;
        }
        let lost = self.lost(id);
        let busy = awaited > 0
            || lost
            || matches!(link.state, LinkState::Connecting { .. } | LinkState::Greeting { .. });
        if !busy {
            if let Some(link) = self.links.get_mut(&id) {
                link.heard = self.now;
            }
            return;
        }
        let job = &self.state.jobs[&deal.job];
        let acked = |order: &OrderId| {
            self.state.orders[order].awaited() && self.state.orders[order].ack.is_some()
        };
        let slow = if !link.up() {
            0
        } else if deal.orders.iter().rev().take(64).any(acked) {
            self.expected_seconds(&id, job, 1).saturating_mul(2)
        } else {
            // It may be fetching large inputs.
            let fetching = job.spec.carried_bytes() / LEAST_BYTES_PER_SECOND;
            self.config.patience.stall.saturating_mul(2).saturating_add(fetching)
        };
        if self.now >= link.heard.saturating_add(self.config.patience.stall.max(slow)) {
            let (reason, why) = if link.up() {
                (DropReason::Silent, "no sign of life while orders are unanswered")
            } else {
                (DropReason::Unreachable, "cannot be reached")
            };
            self.drop_deal(id, reason, why.into());
        }
    }

    /// Gives a deal no more orders. Its unanswered ones go elsewhere; if it answers after all, it
    /// is back.
    pub(super) fn drop_deal(&mut self, id: DealId, reason: DropReason, why: String) {
        let deal = &self.state.deals[&id];
        if deal.standing != Standing::Active || deal.closed.is_some() {
            return;
        }
        let (provider, job) = (deal.provider(), deal.job);
        let code = reason.to_string();
        self.record(Record::Dropped { deal: id, reason });
        self.tell(job, JobEvent::ProviderDropped { provider, deal: id, code, why });
        self.weigh_orders_of(id);
    }

    /// A dropped deal shows that it lives.
    fn revive(&mut self, id: DealId) {
        let deal = &self.state.deals[&id];
        let passing = matches!(
            deal.standing,
            Standing::Dropped(
                DropReason::Silent | DropReason::Unreachable | DropReason::WrongVersion
            )
        );
        if passing && deal.drops < MAX_DROPS && deal.closing.is_none() && deal.closed.is_none() {
            self.come_back(id);
        }
    }

    pub(super) fn connected(&mut self, id: DealId) {
        let Some(deal) = self.state.deals.get(&id).filter(|deal| deal.closed.is_none()) else {
            return;
        };
        let Some(link) = self.links.get_mut(&id) else { return };
        if !matches!(link.state, LinkState::Connecting { .. }) {
            return;
        }
        link.state = LinkState::Greeting { since: self.now };
        self.effects.push(Effect::Send { deal: id, message: Outgoing::Hello(deal.terms.clone()) });
    }

    pub(super) fn disconnected(&mut self, id: DealId, why: String) {
        self.tell_lost(id, why);
        let backoff = self.backoff(id);
        let Some(link) = self.links.get_mut(&id) else { return };
        if matches!(link.state, LinkState::Down { .. }) {
            return;
        }
        if link.up() {
            link.heard = self.now;
        }
        link.failures = link.failures.saturating_add(1);
        link.state = LinkState::Down { retry_at: self.now.saturating_add(backoff) };
        link.release_asked = None;
        // Outputs that were on their way come again with the receipt.
        let state = &self.state;
        self.storing
            .retain(|order, _| state.orders.get(order).is_some_and(|order| order.order.deal != id));
    }

    fn hang_up(&mut self, id: DealId, why: &str) {
        self.effects.push(Effect::Hangup { deal: id });
        self.disconnected(id, why.into());
    }

    pub(super) fn message(&mut self, id: DealId, message: ToRequester) {
        let Some(deal) = self.state.deals.get(&id) else { return };
        if deal.closed.is_some() || !self.links.contains_key(&id) {
            return;
        }
        let valid = match &message {
            ToRequester::Ack(ack) => self.signed(id, ack),
            ToRequester::Receipt { receipt, .. } => self.signed(id, receipt),
            ToRequester::Release(release) => self.signed(id, release),
            _ => true,
        };
        if !valid {
            let fault = ReceiptFault::Signature;
            self.drop_deal(id, DropReason::Receipt(fault.kind()), fault.to_string());
            return self.hang_up(id, "it broke the rules");
        }
        match message {
            ToRequester::Welcome { version, next_seq, paid } => {
                self.welcomed(id, version, next_seq, paid)
            }
            ToRequester::Ack(ack) => self.acked(id, ack),
            ToRequester::Refuse { order, code, detail } => self.refused(id, order, code, detail),
            ToRequester::Progress { order, done } => self.progressed(id, order, done),
            ToRequester::Receipt { receipt, results, outputs } => {
                self.receipt(id, receipt, results, outputs)
            }
            ToRequester::Release(release) => self.released(id, release),
        }
    }

    /// Whether the key that the provider pinned for the deal signed it.
    fn signed<T: Typed>(&self, deal: DealId, signed: &Signed<T>) -> bool {
        let key = self.state.deals.get(&deal).map(|deal| deal.terms.providerKey);
        key.is_some_and(|key| {
            signing::signed_by(&signed.value, &self.domain, &signed.signature, key)
        })
    }

    /// Resends what the provider lacks. It resends what we lack by itself.
    fn welcomed(&mut self, id: DealId, version: u16, next_seq: u64, paid: u128) {
        let Some(link) = self.links.get_mut(&id) else { return };
        if !matches!(link.state, LinkState::Greeting { .. }) {
            return;
        }
        if version != WIRE_VERSION {
            let why = format!("speaks wire version {version}, not {WIRE_VERSION}");
            self.drop_deal(id, DropReason::WrongVersion, why);
            return self.hang_up(id, "it broke the rules");
        }
        link.state = LinkState::Up;
        (link.failures, link.told) = (0, false);
        link.heard = self.now;
        self.revive(id);
        let deal = &self.state.deals[&id];
        let faulty = deal.standing == Standing::Faulty;
        // The voucher first: what it pays for is credit for the orders after it.
        let voucher = deal.voucher.clone().filter(|voucher| voucher.close || voucher.amount > paid);
        let mut resend: Vec<_> = voucher.into_iter().map(Outgoing::Voucher).collect();
        let rejects = faulty && !resend.is_empty();
        for order in &deal.orders {
            let known = &self.state.orders[order];
            if known.status != OrderStatus::Open {
                continue;
            }
            // A closing voucher settles what the provider never saw.
            if known.order.seq >= next_seq && !(known.cancelled && deal.closing.is_some()) {
                let Some(first) = self.state.first_task(known) else { continue };
                resend.push(Outgoing::Order { job: known.job, first, order: known.order.clone() });
            }
            if known.cancelled {
                resend.push(Outgoing::Cancel(Cancel { order: *order }));
            }
        }
        if rejects {
            self.send_rejections(id);
        }
        resend.into_iter().for_each(|message| self.send(id, message));
    }

    /// Our order of this deal, if it is one.
    fn ours(&self, deal: DealId, order: OrderId) -> bool {
        self.state.orders.get(&order).is_some_and(|known| known.order.deal == deal)
    }

    fn hear(&mut self, deal: DealId) {
        if let Some(link) = self.links.get_mut(&deal) {
            link.heard = self.now;
        }
    }

    fn acked(&mut self, id: DealId, ack: Signed<Ack>) {
        let order = ack.value.order;
        if !self.ours(id, order) {
            return;
        }
        let known = &self.state.orders[&order];
        if known.ack.is_none() && known.status == OrderStatus::Open {
            self.hear(id);
            self.record(Record::Acked { ack });
        }
    }

    fn progressed(&mut self, id: DealId, order: OrderId, done: u32) {
        if !self.ours(id, order) {
            return;
        }
        let known = &self.state.orders[&order];
        if known.status != OrderStatus::Open {
            return;
        }
        let done = done.min(known.order.tasks);
        let before = self.progress.entry(order).or_insert(0);
        // Only getting further is a sign of life.
        if done > *before {
            *before = done;
            self.hear(id);
        }
    }

    fn refused(&mut self, id: DealId, order: Option<OrderId>, code: String, detail: String) {
        let deal = &self.state.deals[&id];
        let (job, provider) = (deal.job, deal.provider());
        let code = RefusalCode::from(code);
        let Some(order) = order else {
            self.note(job, code.as_str(), format!("{provider}: {detail}"));
            return;
        };
        if !self.ours(id, order) || self.state.orders[&order].status != OrderStatus::Open {
            return;
        }
        let (tasks, batch) =
            (self.state.orders[&order].order.tasks, self.state.orders[&order].batch);
        let wanted = !self.state.orders[&order].cancelled;
        self.record(Record::Refused { order });
        self.hear(id);
        self.vouch(id, false);
        let Some(link) = self.links.get_mut(&id) else { return };
        link.refusals += 1;
        link.pause_until = self.now.saturating_add(1 << link.refusals.min(4));
        let too_large = code.class() == Class::Size || code == RefusalCode::DealExpires;
        if wanted && too_large {
            link.batch_cap = link.batch_cap.min((tasks / 2).max(1));
            self.split_if_unwanted(job, batch);
        }
        let refusals = self.links.get(&id).map_or(0, |link| link.refusals);
        let is_final = rest::is_final(&code, tasks);
        if is_final {
            self.refused_for_good(id, &code);
        }
        if is_final || refusals >= MAX_REFUSALS {
            self.drop_deal(id, DropReason::Refused(code), detail);
        } else {
            self.note(job, code.as_str(), format!("{provider}: {detail}"));
        }
    }

    /// A batch that was only ever refused becomes two smaller ones.
    fn split_if_unwanted(&mut self, job: super::JobId, index: u32) {
        let known = &self.state.jobs[&job];
        let batch = &known.batches[index as usize];
        let unwanted = batch
            .orders
            .iter()
            .all(|order| self.state.orders[order].status == OrderStatus::Refused);
        if known.runs()
            && unwanted
            && batch.count > 1
            && batch.verdicts.is_empty()
            && !self.judging.contains(&(job, index))
        {
            self.record(Record::Split { job, batch: index });
        }
    }

    fn receipt(
        &mut self,
        id: DealId,
        receipt: Signed<Receipt>,
        results: Vec<Halted>,
        outputs: Payload,
    ) {
        let order = receipt.value.order;
        if !self.ours(id, order) || self.storing.contains_key(&order) {
            return;
        }
        let (known, deal) = (&self.state.orders[&order], &self.state.deals[&id]);
        if known.status != OrderStatus::Open || deal.standing == Standing::Faulty {
            return;
        }
        self.hear(id);
        let known = &self.state.orders[&order];
        if let Err(fault) = verify::check_receipt(
            &self.state.deals[&id].terms,
            &known.order,
            &receipt.value,
            &results,
        ) {
            let proof = verify::fault_proof(&known.order, &receipt.value, &results);
            self.reject_receipt(id, order, fault);
            if let Some(proof) = proof {
                self.found_misstated(Misstated { order, receipt, proof });
            }
            return;
        }
        // Outputs that equal stored ones need not travel again.
        let batch = &self.state.jobs[&known.job].batches[known.batch as usize];
        let twin = batch
            .orders
            .iter()
            .map(|order| &self.state.orders[order])
            .find(|o| o.stored && o.results == results);
        if twin.is_some() {
            return self.delivered(receipt, results, false);
        }
        let effect = Effect::Store { deal: id, order, results: results.clone(), outputs };
        self.storing.insert(order, Storing { receipt, results });
        self.effects.push(effect);
    }

    pub(super) fn stored(&mut self, order: OrderId, result: Stored) {
        let Some(Storing { receipt, results }) = self.storing.remove(&order) else { return };
        let deal = self.state.orders[&order].order.deal;
        if self.state.orders[&order].status != OrderStatus::Open
            || self.state.deals[&deal].standing == Standing::Faulty
        {
            return;
        }
        match result {
            Stored::Right => self.delivered(receipt, results, true),
            Stored::Wrong { task } => {
                self.reject_receipt(deal, order, ReceiptFault::Output { task })
            }
            Stored::Missing { why } => {
                // The receipt comes again with the next session.
                self.note(
                    self.state.deals[&deal].job,
                    "R-DEAL-004",
                    format!("outputs could not be fetched: {why}"),
                );
                self.hang_up(deal, "its outputs have to be sent again");
            }
        }
    }

    fn delivered(&mut self, receipt: Signed<Receipt>, results: Vec<Halted>, stored: bool) {
        let order = receipt.value.order;
        let known = &self.state.orders[&order];
        let (id, job, batch, count) = (known.order.deal, known.job, known.batch, known.order.tasks);
        let fuel = receipt.value.fuel;
        let first = self.state.first_task(known).unwrap_or_default();
        let provider = self.state.deals[&id].provider();
        self.record(Record::Delivered { receipt, results, stored });
        self.progress.remove(&order);
        self.hear(id);
        if let Some(link) = self.links.get_mut(&id) {
            link.refusals = 0;
        }
        self.revive(id);
        self.tell(job, JobEvent::TasksDone { provider, first, count, fuel });
        self.dirty.insert((job, batch));
    }

    /// A signed receipt that contradicts itself: its signer is not to be dealt with any more.
    fn reject_receipt(&mut self, id: DealId, order: OrderId, fault: ReceiptFault) {
        self.record(Record::Invalid { order, code: fault.code().into() });
        self.progress.remove(&order);
        self.drop_deal(id, DropReason::Receipt(fault.kind()), fault.to_string());
    }
}
