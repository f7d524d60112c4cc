//! What a deal may take without paying: fetching, checking inputs, compiling programs, and checking
//! signatures.
//!
//! None of it is billed, and a requester can have it for orders that come to nothing. So each deal
//! has an allowance of core time: some at its begin, a small share of a core while it is open, and
//! as much as its vouchers have paid for in fuel. What is taken is estimated by size. Counted in
//! memory only: a restart gives everybody a new begin.

use std::collections::{BTreeMap, BTreeSet};

use rialto_protocol::{
    DealId, OrderId,
    pricing::{BPS, TFUEL},
    wire::{BlobRef, Payload},
};

use super::{Core, DealRow, Refusal, admission::Offer};

/// Bytes of a new program that are checked and compiled in a millisecond.
const COMPILED_BYTES: u64 = 1_000;
/// Bytes of inputs that are fetched, hashed and checked in a millisecond.
const CHECKED_BYTES: u64 = 100_000;
/// Tasks whose inputs are hashed in a millisecond.
const CHECKED_TASKS: u64 = 50;
/// Programs and shared inputs of a deal that are remembered as known.
const MAX_KNOWN: usize = 64;
/// Signatures that are checked for a deal in a second: each takes about 0.1 ms, so this is a tenth
/// of a core. A session is read half as fast.
const MAX_CHECKS: u32 = 1_024;

/// What deals took.
#[derive(Clone, Debug, Default)]
pub(super) struct Taken(BTreeMap<DealId, Deal>);

#[derive(Clone, Debug, Default)]
struct Deal {
    millis: u64,
    known: BTreeSet<BlobRef>,
    /// The second in which signatures were checked last, and how many.
    checks: (u64, u32),
}

impl Taken {
    /// Forgets a deal.
    pub fn forget(&mut self, deal: DealId) {
        self.0.remove(&deal);
    }
}

impl Core {
    /// Whether the deal may have another order prepared.
    pub(super) fn preparable(&self, deal: DealId, row: &DealRow) -> Result<(), Refusal> {
        let (asks, limits) = (&self.config.asks, &self.config.limits);
        let taken = self.taken.0.get(&deal).map_or(0, |taken| taken.millis);
        let open = self.now.saturating_sub(row.deal.openedAt).saturating_mul(1_000);
        let share = u128::from(open) * u128::from(limits.preparing_bps) / u128::from(BPS);
        let paid = row.voucher_amount().max(row.chain().paid);
        let paid_for = match (paid, row.deal.price) {
            (0, _) => 0,
            (_, 0) => u128::MAX,
            (paid, price) => {
                let fuel = paid.saturating_mul(TFUEL.into()) / price;
                fuel.saturating_mul(1_000) / u128::from(asks.fuel_per_second.max(1))
            }
        };
        let free = u128::from(limits.free_preparing_seconds) * 1_000;
        let allowed = free.saturating_add(share).saturating_add(paid_for);
        match u128::from(taken).checked_sub(allowed) {
            None | Some(0) => Ok(()),
            Some(over) => {
                let wait = over.saturating_mul(BPS.into())
                    / u128::from(limits.preparing_bps.max(1))
                    / 1_000;
                Err(Refusal::Preparing {
                    seconds: u64::try_from(wait).unwrap_or(u64::MAX).saturating_add(1),
                })
            }
        }
    }

    /// Counts the preparing of an order that was admitted. A program or a shared input that several
    /// orders have is prepared once.
    pub(super) fn take_preparing(&mut self, deal: DealId, offer: &Offer<'_>) {
        let taken = self.taken.0.entry(deal).or_default();
        let inputs = match offer.inputs {
            Payload::Inline(bytes) => bytes.len() as u64,
            Payload::Blob(blob) => blob.size,
        };
        let mut millis =
            inputs / CHECKED_BYTES + u64::from(offer.order.value.tasks) / CHECKED_TASKS;
        for (blob, cost) in parts(offer.program, offer.shared) {
            if taken.known.contains(&blob) {
                continue;
            }
            millis = millis.saturating_add(cost);
            if taken.known.len() >= MAX_KNOWN {
                taken.known.pop_first();
            }
            taken.known.insert(blob);
        }
        taken.millis = taken.millis.saturating_add(millis);
    }

    /// What was prepared came to nothing: it is not remembered here, and each such order costs its
    /// whole again.
    pub(super) fn prepared_in_vain(&mut self, hash: OrderId) {
        let Some(row) = self.orders.get(&hash) else { return };
        let (deal, parts) = (row.order.value.deal, parts(row.program, row.shared));
        let Some(taken) = self.taken.0.get_mut(&deal) else { return };
        for (blob, cost) in parts {
            if !taken.known.remove(&blob) {
                taken.millis = taken.millis.saturating_add(cost);
            }
        }
    }

    /// Whether another signature may be checked for a deal in this second.
    pub(super) fn may_check(&mut self, deal: DealId) -> Result<(), Refusal> {
        let taken = self.taken.0.entry(deal).or_default();
        if taken.checks.0 != self.now {
            taken.checks = (self.now, 0);
        }
        if taken.checks.1 >= MAX_CHECKS {
            return Err(Refusal::Busy);
        }
        taken.checks.1 += 1;
        Ok(())
    }
}

/// Program and shared input of an order, and what preparing them takes, milliseconds.
fn parts(program: BlobRef, shared: Option<BlobRef>) -> impl Iterator<Item = (BlobRef, u64)> {
    let shared = shared.map(|blob| (blob, blob.size / CHECKED_BYTES));
    [Some((program, program.size / COMPILED_BYTES)), shared].into_iter().flatten()
}
