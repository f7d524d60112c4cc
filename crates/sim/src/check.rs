//! Invariants, checked from outside the cores: on everything that was signed.

use std::collections::BTreeMap;

use rialto_protocol::{
    DealId, OrderId,
    types::{Ack, Order, Receipt, Release, Voucher, struct_hash},
};

/// Everything that was ever signed. Each new signature must not contradict an earlier one.
#[derive(Debug, Default)]
pub struct Signed {
    orders: BTreeMap<(DealId, u64), OrderId>,
    vouchers: BTreeMap<DealId, Voucher>,
    acks: BTreeMap<OrderId, Ack>,
    /// Receipts by order, each with the deal of its order.
    receipts: BTreeMap<OrderId, (DealId, Receipt)>,
    releases: BTreeMap<DealId, Release>,
}

/// Description of a broken rule.
pub type Broken = String;

impl Signed {
    /// Records an order that a requester signs.
    pub fn order(&mut self, order: &Order) -> Result<(), Broken> {
        let (name, place) = (struct_hash(order), (order.deal, order.seq));
        match self.orders.insert(place, name) {
            Some(before) if before != name => Err(format!(
                "two orders for seq {} of deal {}: {before} and {name}",
                order.seq, order.deal
            )),
            _ => Ok(()),
        }
    }

    /// Records a voucher that a requester signs.
    pub fn voucher(&mut self, voucher: &Voucher) -> Result<(), Broken> {
        let before = self.vouchers.insert(voucher.deal, voucher.clone());
        let worse = |before: &Voucher| {
            voucher.amount < before.amount
                || voucher.orders < before.orders
                || (before.close && !voucher.close)
        };
        match before.filter(worse) {
            Some(before) => {
                Err(format!("a voucher takes back an earlier one: {before:?}, now {voucher:?}"))
            }
            None => Ok(()),
        }
    }

    /// Records an ack that a provider signs.
    pub fn ack(&mut self, ack: &Ack) -> Result<(), Broken> {
        match self.acks.insert(ack.order, ack.clone()) {
            Some(before) if before != *ack => {
                Err(format!("two promises for one order: {before:?} and {ack:?}"))
            }
            _ => Ok(()),
        }
    }

    /// Records a receipt that a provider signs for an order of `deal`.
    pub fn receipt(&mut self, deal: DealId, receipt: &Receipt) -> Result<(), Broken> {
        match self.receipts.insert(receipt.order, (deal, receipt.clone())) {
            Some((_, before)) if before != *receipt => {
                Err(format!("two receipts for one order: {before:?} and {receipt:?}"))
            }
            _ => Ok(()),
        }
    }

    /// Records a release that a provider signs.
    pub fn release(&mut self, release: &Release) -> Result<(), Broken> {
        match self.releases.insert(release.deal, release.clone()) {
            Some(before) if before.amount > release.amount => {
                Err(format!("a release takes back an earlier one: {before:?}, now {release:?}"))
            }
            _ => Ok(()),
        }
    }

    /// Returns the fees of all receipts of a deal. Each order counts once.
    pub fn delivered(&self, deal: DealId) -> u128 {
        self.receipts.values().filter(|(of, _)| *of == deal).map(|(_, receipt)| receipt.fee).sum()
    }

    /// Returns the highest amount of a deal's vouchers.
    pub fn promised(&self, deal: DealId) -> u128 {
        self.vouchers.get(&deal).map_or(0, |voucher| voucher.amount)
    }
}

/// Running hash of a run. Two runs of the same seed have the same hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History(u64);

impl Default for History {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl History {
    /// Adds bytes to the hash (FNV-1a).
    pub fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Returns the hash so far.
    pub fn value(self) -> u64 {
        self.0
    }
}
