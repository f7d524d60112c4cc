//! Which orders are accepted. Every reason not to has a code.
//!
//! An order within the limits of the deal's ask, in time and affordable is accepted; what else is
//! said passes: the queue is full, the deal took more preparing than it paid for, this provider
//! stops.

use rialto_protocol::{
    DealId, OrderId,
    pricing::{BPS, order_fee},
    types::{Ack, Deal, Limits, Order, struct_hash},
    wire::{BlobRef, Payload, Signed},
};

use super::{
    Core, DealRow, OrderRow, OrderState, Record, Refusal, Verdict, promise::OVERHEAD_SECONDS,
};

/// An order as it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer<'a> {
    pub order: &'a Signed<Order>,
    pub program: BlobRef,
    pub shared: Option<BlobRef>,
    pub inputs: &'a Payload,
}

impl Core {
    pub(super) fn order_offered(&mut self, session: u64, deal: DealId, offer: Offer<'_>) {
        let hash = struct_hash(&offer.order.value);
        if !self
            .deals
            .get(&deal)
            .is_some_and(|row| self.serves(row) && offer.order.value.deal == deal)
        {
            return self.refuse(session, Some(deal), Some(hash), Refusal::UnknownDeal);
        }
        if self.orders.contains_key(&hash) {
            return self.order_again(session, deal, hash);
        }
        if self.signed(session, deal, Some(hash), offer.order, Refusal::BadSignature) {
            self.order_signed(session, deal, hash, offer);
        }
    }

    /// Whether orders of the deal can be promised: it is open, and the key that signs promises is
    /// ours.
    fn serves(&self, row: &DealRow) -> bool {
        row.chain().open && row.deal.providerKey == self.config.key
    }

    /// The same order again is the same order.
    fn order_again(&mut self, session: u64, deal: DealId, hash: OrderId) {
        if !self.sessions.get(&session).is_some_and(|known| self.speaks_for(known.peer, deal)) {
            return self.refuse_unsigned(session, deal, Some(hash), Refusal::BadSignature);
        }
        if let Some(OrderState::Cancelled { .. }) = self.orders.get(&hash).map(|row| &row.state) {
            match self.admit_again(deal, hash) {
                Ok(ack) => self.set_state(hash, OrderState::Accepted { ack }),
                Err(why) => return self.refuse(session, Some(deal), Some(hash), why),
            }
        }
        self.resend(session, hash);
    }

    /// A cancelled order is wanted after all: what its place and credit were given to meanwhile
    /// counts.
    fn admit_again(&self, deal: DealId, hash: OrderId) -> Result<Ack, Refusal> {
        let (row, order) = (self.deals.get(&deal), self.orders.get(&hash));
        let (row, order) =
            (row.ok_or(Refusal::UnknownDeal)?, &order.ok_or(Refusal::UnknownDeal)?.order.value);
        if order.seq < row.watermark() {
            return Err(Refusal::WrongSeq { got: order.seq, expected: row.next_seq });
        }
        self.takes_orders(row)?;
        self.room(deal, row)?;
        self.in_time(&row.deal, hash, order)?;
        self.affordable(deal, row, order)?;
        Ok(Ack { order: hash, dueBy: self.promise(&row.deal, hash, order)? })
    }

    fn order_signed(&mut self, session: u64, deal: DealId, hash: OrderId, offer: Offer<'_>) {
        let verdict = self.admit(deal, hash, &offer);
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
        self.take_preparing(deal, &offer);
        let row = OrderRow::new(offer.order.clone(), offer.program, offer.shared, self.now);
        self.insert_order(hash, row);
        self.changed.orders.insert(hash);
        self.changed.more.push(Record::Inputs(hash, offer.inputs.clone()));
        self.fetch(hash);
    }

    /// Everything that can be judged before anything is fetched. Sizes are judged by the limits of
    /// the ask that the deal was opened under: what was not in it is no reason to refuse once money
    /// is locked.
    fn admit(&self, deal: DealId, hash: OrderId, offer: &Offer<'_>) -> Result<(), Refusal> {
        let row = self.deals.get(&deal).ok_or(Refusal::UnknownDeal)?;
        self.takes_orders(row)?;
        let order = &offer.order.value;
        self.free_seq(deal, row, order.seq)?;
        within_limits(&row.limits, order)?;
        within_sizes(&row.limits, offer)?;
        self.room(deal, row)?;
        self.in_time(&row.deal, hash, order)?;
        self.affordable(deal, row, order)?;
        self.promise(&row.deal, hash, order)?;
        self.preparable(deal, row)
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

    fn room(&self, deal: DealId, row: &DealRow) -> Result<(), Refusal> {
        let waiting = self.unfinished.len();
        let of_deal =
            self.unfinished.iter().filter(|hash| self.deal_of(**hash) == Some(deal)).count();
        if waiting >= self.config.limits.queue_orders || of_deal >= row.limits.orders as usize {
            return Err(Refusal::QueueFull { waiting });
        }
        Ok(())
    }

    fn free_seq(&self, deal: DealId, row: &DealRow, seq: u64) -> Result<(), Refusal> {
        let taken = self.by_deal.contains_key(&(deal, seq));
        if taken || seq < row.watermark() || seq > row.next_seq || seq == u64::MAX {
            return Err(Refusal::WrongSeq { got: seq, expected: row.next_seq });
        }
        Ok(())
    }

    /// Whether it can probably be done by `dueBy`, with all that waits before it.
    pub(super) fn in_time(&self, deal: &Deal, hash: OrderId, order: &Order) -> Result<(), Refusal> {
        if order.dueBy > self.last_due(deal) {
            return Err(Refusal::DealExpires {
                seconds_left: deal.expiry.saturating_sub(self.now),
            });
        }
        let before: u128 = self
            .unfinished
            .iter()
            .filter(|other| **other != hash)
            .filter_map(|other| self.orders.get(other))
            .map(|row| self.expected_fuel(&row.order.value))
            .sum();
        let speed = u128::from(self.config.asks.fuel_per_second).max(1);
        let cores = u128::from(self.config.asks.cores).max(1);
        // A single task does not get faster with more cores.
        let widest = cores.min(u128::from(order.tasks)).max(1);
        let seconds = before / (speed * cores) + self.expected_fuel(order) / (speed * widest);
        let expected_seconds =
            u64::try_from(seconds).unwrap_or(u64::MAX).saturating_add(OVERHEAD_SECONDS);
        if self.now.saturating_add(expected_seconds) > order.dueBy {
            return Err(Refusal::DueBy {
                due_seconds: order.dueBy.saturating_sub(self.now),
                expected_seconds,
            });
        }
        Ok(())
    }

    /// What an order will probably burn: what the program's tasks burned before, or a share of the
    /// limit.
    fn expected_fuel(&self, order: &Order) -> u128 {
        let limit = u128::from(order.fuelLimit);
        let share = limit * u128::from(self.config.limits.expected_fuel_bps) / u128::from(BPS);
        let task = self.fuel_seen.get(&order.program).map_or(share, |seen| seen.per_task());
        task.min(limit) * u128::from(order.tasks)
    }

    /// Whether the most it can cost fits the budget and the credit window.
    fn affordable(&self, deal: DealId, row: &DealRow, order: &Order) -> Result<(), Refusal> {
        let cost = worst_fee(&row.deal, order);
        let reserved = self.reserved(deal);
        let left = row.deal.budget.saturating_sub(row.earned).saturating_sub(reserved);
        if cost > left {
            return Err(Refusal::OverBudget { cost, left });
        }
        let window = row.limits.credit;
        let exposed = self.unpaid(row).saturating_add(reserved);
        if exposed.saturating_add(cost) > window {
            return Err(Refusal::CreditWindow { cost, exposed, window });
        }
        Ok(())
    }

    /// The most that a deal's unfinished orders can cost.
    pub(super) fn reserved(&self, deal: DealId) -> u128 {
        let Some(row) = self.deals.get(&deal) else { return 0 };
        self.unfinished
            .iter()
            .filter_map(|hash| self.orders.get(hash))
            .filter(|order| order.order.value.deal == deal)
            .fold(0, |sum, order| sum.saturating_add(worst_fee(&row.deal, &order.order.value)))
    }

    /// Delivered and not paid, base units.
    pub(super) fn unpaid(&self, row: &DealRow) -> u128 {
        row.earned.saturating_sub(row.voucher_amount().max(row.chain().paid))
    }

    pub(super) fn deal_of(&self, order: OrderId) -> Option<DealId> {
        self.orders.get(&order).map(|row| row.order.value.deal)
    }
}

/// Fee if every task burns its whole limit.
pub(super) fn worst_fee(deal: &Deal, order: &Order) -> u128 {
    let fuel = u128::from(order.fuelLimit) * u128::from(order.tasks);
    order_fee(deal, fuel, order.tasks).unwrap_or(u128::MAX)
}

fn within_limits(limits: &Limits, order: &Order) -> Result<(), Refusal> {
    if order.tasks == 0 || order.tasks > limits.tasks {
        return Err(Refusal::TaskCount { tasks: order.tasks, limit: limits.tasks });
    }
    if order.fuelLimit == 0 || order.fuelLimit > limits.taskFuel {
        return Err(Refusal::FuelLimit { fuel: order.fuelLimit, limit: limits.taskFuel });
    }
    if u64::from(order.maxPages) << 16 > limits.taskMemory {
        let limit = u32::try_from(limits.taskMemory >> 16).unwrap_or(u32::MAX);
        return Err(Refusal::MemoryLimit { pages: order.maxPages, limit });
    }
    if order.outLimit > limits.taskOutput {
        return Err(Refusal::OutputLimit { bytes: order.outLimit, limit: limits.taskOutput });
    }
    let (bytes, limit) = (order.outLimit.saturating_mul(order.tasks.into()), limits.orderOutput);
    if bytes > limit {
        return Err(Refusal::OutputLimit { bytes, limit });
    }
    Ok(())
}

fn within_sizes(limits: &Limits, offer: &Offer<'_>) -> Result<(), Refusal> {
    let inputs = match offer.inputs {
        Payload::Inline(bytes) => bytes.len() as u64,
        Payload::Blob(blob) => blob.size,
    };
    let shared = offer.shared.map_or(0, |blob| blob.size);
    for (what, bytes, limit) in [
        ("program", offer.program.size, limits.program),
        ("inputs", inputs, limits.inputs),
        ("shared input", shared, limits.shared),
    ] {
        if bytes > limit {
            return Err(Refusal::TooLarge { what: what.into(), bytes, limit });
        }
    }
    Ok(())
}

/// Whether the deal is on its way out.
fn settling(row: &DealRow) -> bool {
    row.closing() || row.released.is_some() || row.verdict != Verdict::Clean
}
