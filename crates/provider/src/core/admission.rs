//! Which orders are accepted. Every reason not to has a code.

use alloy_primitives::B256;
use rialto_protocol::{
    pricing::{BPS, order_fee},
    types::{Deal, Order, struct_hash},
    wire::{BlobRef, Payload, Signed},
};

use super::{
    Core, DealRow, OnChain, OrderRow, OrderState, Record, Refusal, Verdict,
    session::{Handled, Signature},
};

/// An order is due at the latest so long before its deal expires, so that a receipt can still be claimed.
const EXPIRY_MARGIN_SECONDS: u64 = 30;
/// Seconds that go by around the running itself: fetching, compiling, sending.
const OVERHEAD_SECONDS: u64 = 1;

/// An order as it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer<'a> {
    pub order: &'a Signed<Order>,
    pub program: BlobRef,
    pub shared: Option<BlobRef>,
    pub inputs: &'a Payload,
}

impl Core {
    pub(super) fn order_offered(
        &mut self,
        session: u64,
        deal: B256,
        offer: Offer<'_>,
        vouched: Option<bool>,
    ) -> Handled {
        let hash = struct_hash(&offer.order.value);
        let Some(row) = self.deals.get(&deal).filter(|row| is_open(row) && offer.order.value.deal == deal) else {
            self.refuse(session, Some(deal), Some(hash), Refusal::UnknownDeal);
            return Handled::Done;
        };
        if self.orders.contains_key(&hash) {
            self.order_again(session, deal, hash);
            return Handled::Done;
        }
        let requester = row.deal.requester;
        match self.check(session, requester, offer.order, vouched) {
            Signature::Asked => return Handled::Waits,
            Signature::Invalid => self.refuse(session, Some(deal), Some(hash), Refusal::BadSignature),
            Signature::Valid => self.order_signed(session, deal, hash, offer),
        }
        Handled::Done
    }

    /// The same order again is the same order.
    fn order_again(&mut self, session: u64, deal: B256, hash: B256) {
        if !self.sessions.get(&session).is_some_and(|known| self.speaks_for(known.peer, deal)) {
            return self.refuse(session, Some(deal), Some(hash), Refusal::BadSignature);
        }
        if let Some(OrderState::Cancelled { ack }) = self.orders.get(&hash).map(|row| &row.state) {
            let ack = ack.clone();
            if let Err(why) = self.admit_again(deal, hash) {
                return self.refuse(session, Some(deal), Some(hash), why);
            }
            self.set_state(hash, OrderState::Accepted { ack });
        }
        self.resend(session, hash);
    }

    /// A cancelled order is wanted after all: what its place and credit were given to meanwhile counts.
    fn admit_again(&self, deal: B256, hash: B256) -> Result<(), Refusal> {
        let (row, order) = (self.deals.get(&deal), self.orders.get(&hash));
        let (row, order) = (row.ok_or(Refusal::UnknownDeal)?, &order.ok_or(Refusal::UnknownDeal)?.order.value);
        if order.seq < row.watermark() {
            return Err(Refusal::WrongSeq { got: order.seq, expected: row.next_seq });
        }
        self.takes_orders(row)?;
        self.room(deal)?;
        self.in_time(&row.deal, order)?;
        self.affordable(deal, row, order)
    }

    fn order_signed(&mut self, session: u64, deal: B256, hash: B256, offer: Offer<'_>) {
        let verdict = self.admit(deal, &offer);
        let seq = offer.order.value.seq;
        if let Some(row) = self.deals.get(&deal)
            && row.next_seq == seq
            && let Some(row) = self.deal_mut(deal)
        {
            // Refused or not, the next one may follow; a refused number can be used again.
            row.next_seq = seq.saturating_add(1);
        }
        if !matches!(verdict, Err(Refusal::WrongSeq { .. })) {
            self.bind(session, deal);
        }
        if let Err(why) = verdict {
            return self.refuse(session, Some(deal), Some(hash), why);
        }
        let row = OrderRow {
            order: offer.order.clone(),
            program: offer.program,
            shared: offer.shared,
            state: OrderState::Fetching { since: self.now },
            rejected: Default::default(),
        };
        self.insert_order(hash, row);
        self.changed.orders.insert(hash);
        self.changed.more.push(Record::Inputs(hash, offer.inputs.clone()));
        self.fetch(hash);
    }

    /// Everything that can be judged before anything is fetched.
    fn admit(&self, deal: B256, offer: &Offer<'_>) -> Result<(), Refusal> {
        let row = self.deals.get(&deal).ok_or(Refusal::UnknownDeal)?;
        self.takes_orders(row)?;
        let order = &offer.order.value;
        self.free_seq(deal, row, order.seq)?;
        self.within_limits(order)?;
        self.traceable(&row.deal, order)?;
        self.within_sizes(offer)?;
        self.room(deal)?;
        self.in_time(&row.deal, order)?;
        self.affordable(deal, row, order)
    }

    fn takes_orders(&self, row: &DealRow) -> Result<(), Refusal> {
        if self.draining {
            return Err(Refusal::Draining);
        }
        if settling(row) {
            return Err(Refusal::Settling);
        }
        Ok(())
    }

    fn room(&self, deal: B256) -> Result<(), Refusal> {
        let waiting = self.unfinished.len();
        let of_deal = self.unfinished.iter().filter(|hash| self.deal_of(**hash) == Some(deal)).count();
        if waiting >= self.config.limits.queue_orders || of_deal >= self.config.limits.deal_orders {
            return Err(Refusal::QueueFull { waiting });
        }
        Ok(())
    }

    fn free_seq(&self, deal: B256, row: &DealRow, seq: u64) -> Result<(), Refusal> {
        let taken = self.by_deal.contains_key(&(deal, seq));
        if taken || seq < row.watermark() || seq > row.next_seq || seq == u64::MAX {
            return Err(Refusal::WrongSeq { got: seq, expected: row.next_seq });
        }
        Ok(())
    }

    fn within_limits(&self, order: &Order) -> Result<(), Refusal> {
        let limits = &self.config.limits;
        if order.tasks == 0 || order.tasks > limits.order_tasks {
            return Err(Refusal::TaskCount { tasks: order.tasks, limit: limits.order_tasks });
        }
        if order.fuelLimit == 0 || order.fuelLimit > limits.task_fuel {
            return Err(Refusal::FuelLimit { fuel: order.fuelLimit, limit: limits.task_fuel });
        }
        if order.maxPages > limits.task_pages {
            return Err(Refusal::MemoryLimit { pages: order.maxPages, limit: limits.task_pages });
        }
        if order.outLimit > limits.task_out_bytes {
            return Err(Refusal::OutputLimit { bytes: order.outLimit, limit: limits.task_out_bytes });
        }
        let (bytes, limit) = (order.outLimit.saturating_mul(order.tasks.into()), limits.order_out_bytes);
        if bytes > limit {
            return Err(Refusal::OutputLimit { bytes, limit });
        }
        Ok(())
    }

    /// Whether a game about any of its tasks could be played in time. Who can't loses one that it should have won.
    fn traceable(&self, deal: &Deal, order: &Order) -> Result<(), Refusal> {
        let limit = self.config.limits.traced_fuel;
        if !deal.court.is_zero() && order.fuelLimit > limit {
            return Err(Refusal::Untraceable { fuel: order.fuelLimit, limit });
        }
        Ok(())
    }

    fn within_sizes(&self, offer: &Offer<'_>) -> Result<(), Refusal> {
        let limits = &self.config.limits;
        let inputs = match offer.inputs {
            Payload::Inline(bytes) => bytes.len() as u64,
            Payload::Blob(blob) => blob.size,
        };
        let shared = offer.shared.map_or(0, |blob| blob.size);
        for (what, bytes, limit) in [
            ("program", offer.program.size, limits.program_bytes),
            ("inputs", inputs, limits.input_bytes),
            ("shared input", shared, limits.shared_bytes),
        ] {
            if bytes > limit {
                return Err(Refusal::TooLarge { what: what.into(), bytes, limit });
            }
        }
        Ok(())
    }

    /// Whether it can be done by `dueBy`, with all that waits before it.
    pub(super) fn in_time(&self, deal: &Deal, order: &Order) -> Result<(), Refusal> {
        let last = deal.expiry.saturating_sub(EXPIRY_MARGIN_SECONDS);
        if order.dueBy > last {
            return Err(Refusal::DealExpires { seconds_left: deal.expiry.saturating_sub(self.now) });
        }
        let before: u128 = self
            .unfinished
            .iter()
            .filter_map(|hash| self.orders.get(hash))
            .filter(|row| row.order.value != *order)
            .map(|row| self.expected_fuel(&row.order.value))
            .sum();
        let speed = u128::from(self.config.asks.fuel_per_second).max(1);
        let cores = u128::from(self.config.asks.cores).max(1);
        // A single task does not get faster with more cores.
        let widest = cores.min(u128::from(order.tasks)).max(1);
        let seconds = before / (speed * cores) + self.expected_fuel(order) / (speed * widest);
        let expected_seconds = u64::try_from(seconds).unwrap_or(u64::MAX).saturating_add(OVERHEAD_SECONDS);
        if self.now.saturating_add(expected_seconds) > order.dueBy {
            return Err(Refusal::DueBy { due_seconds: order.dueBy.saturating_sub(self.now), expected_seconds });
        }
        Ok(())
    }

    /// What an order will probably burn: what the program's tasks burned before, or a share of the limit.
    fn expected_fuel(&self, order: &Order) -> u128 {
        let limit = u128::from(order.fuelLimit);
        let share = limit * u128::from(self.config.limits.expected_fuel_bps) / u128::from(BPS);
        let task = self.fuel_seen.get(&order.program).map_or(share, |seen| seen.per_task());
        task.min(limit) * u128::from(order.tasks)
    }

    /// Whether the most it can cost fits the budget and the credit window.
    fn affordable(&self, deal: B256, row: &DealRow, order: &Order) -> Result<(), Refusal> {
        let cost = worst_fee(&row.deal, order);
        let reserved = self.reserved(deal);
        let left = row.deal.budget.saturating_sub(row.earned).saturating_sub(reserved);
        if cost > left {
            return Err(Refusal::OverBudget { cost, left });
        }
        let window = self.config.money.credit_window;
        let exposed = self.unpaid(row).saturating_add(reserved);
        if exposed.saturating_add(cost) > window {
            return Err(Refusal::CreditWindow { cost, exposed, window });
        }
        Ok(())
    }

    /// The most that a deal's unfinished orders can cost.
    pub(super) fn reserved(&self, deal: B256) -> u128 {
        let Some(row) = self.deals.get(&deal) else { return 0 };
        self.unfinished
            .iter()
            .filter_map(|hash| self.orders.get(hash))
            .filter(|order| order.order.value.deal == deal)
            .fold(0, |sum, order| sum.saturating_add(worst_fee(&row.deal, &order.order.value)))
    }

    /// Delivered and not paid, base units.
    pub(super) fn unpaid(&self, row: &DealRow) -> u128 {
        row.earned.saturating_sub(row.voucher_amount().max(OnChain::of(&row.facts).paid))
    }

    pub(super) fn deal_of(&self, order: B256) -> Option<B256> {
        self.orders.get(&order).map(|row| row.order.value.deal)
    }
}

/// Fee if every task burns its whole limit.
fn worst_fee(deal: &Deal, order: &Order) -> u128 {
    let fuel = u128::from(order.fuelLimit) * u128::from(order.tasks);
    order_fee(deal, fuel, order.tasks).unwrap_or(u128::MAX)
}

fn is_open(row: &DealRow) -> bool {
    OnChain::of(&row.facts).open
}

/// Whether the deal is on its way out.
fn settling(row: &DealRow) -> bool {
    row.closing() || row.released.is_some() || row.verdict != Verdict::Clean
}
