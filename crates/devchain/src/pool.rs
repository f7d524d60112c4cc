//! The pool of transactions that wait for a block.

use std::collections::{BTreeMap, HashMap};

use alloy_consensus::{Transaction as _, TxEnvelope, transaction::Recovered};
use alloy_primitives::{Address, B256};

/// Most waiting transactions at a time.
const MAX_WAITING: usize = 1024;
/// Least increase of both fees that a replacement must offer, percent.
const REPLACEMENT_BUMP_PERCENT: u128 = 10;

/// Reason why the pool refuses a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unfit {
    #[error("already known")]
    Known,
    #[error("replacement transaction underpriced")]
    Underpriced,
    #[error("txpool is full")]
    Full,
}

struct Waiting {
    transaction: Recovered<TxEnvelope>,
    arrival: u64,
}

/// Waiting transactions by sender and nonce. They are not persisted, as in other nodes: a
/// transaction that is in no block is lost with the process.
#[derive(Default)]
pub(crate) struct Pool {
    by_sender: BTreeMap<Address, BTreeMap<u64, Waiting>>,
    by_hash: HashMap<B256, (Address, u64)>,
    arrivals: u64,
}

impl Pool {
    /// Adds a transaction. It replaces one with the same sender and nonce if it pays enough more.
    pub fn add(&mut self, transaction: Recovered<TxEnvelope>) -> Result<(), Unfit> {
        let (hash, sender, nonce) =
            (*transaction.tx_hash(), transaction.signer(), transaction.nonce());
        if self.by_hash.contains_key(&hash) {
            return Err(Unfit::Known);
        }
        match self.by_sender.get(&sender).and_then(|queue| queue.get(&nonce)) {
            Some(old) if !outbids(&transaction, &old.transaction) => {
                return Err(Unfit::Underpriced);
            }
            None if self.by_hash.len() >= MAX_WAITING => return Err(Unfit::Full),
            _ => {}
        }
        self.arrivals += 1;
        let waiting = Waiting { transaction, arrival: self.arrivals };
        if let Some(old) = self.by_sender.entry(sender).or_default().insert(nonce, waiting) {
            self.by_hash.remove(old.transaction.tx_hash());
        }
        self.by_hash.insert(hash, (sender, nonce));
        Ok(())
    }

    pub fn get(&self, hash: &B256) -> Option<&Recovered<TxEnvelope>> {
        let (sender, nonce) = self.by_hash.get(hash)?;
        self.by_sender.get(sender)?.get(nonce).map(|waiting| &waiting.transaction)
    }

    pub fn remove(&mut self, hash: &B256) -> bool {
        let Some((sender, nonce)) = self.by_hash.remove(hash) else { return false };
        if let Some(queue) = self.by_sender.get_mut(&sender) {
            queue.remove(&nonce);
            if queue.is_empty() {
                self.by_sender.remove(&sender);
            }
        }
        true
    }

    /// Removes the transactions of `sender` below `nonce`, its next nonce, because no block can
    /// include them.
    pub fn forget_below(&mut self, sender: Address, nonce: u64) {
        let Some(queue) = self.by_sender.get_mut(&sender) else { return };
        let kept = queue.split_off(&nonce);
        for gone in std::mem::replace(queue, kept).into_values() {
            self.by_hash.remove(gone.transaction.tx_hash());
        }
        if queue.is_empty() {
            self.by_sender.remove(&sender);
        }
    }

    pub fn senders(&self) -> Vec<Address> {
        self.by_sender.keys().copied().collect()
    }

    /// Returns the nonce after the gapless run of waiting transactions that starts at `nonce`.
    pub fn nonce_after(&self, sender: Address, mut nonce: u64) -> u64 {
        if let Some(queue) = self.by_sender.get(&sender) {
            while queue.contains_key(&nonce) {
                nonce += 1;
            }
        }
        nonce
    }

    /// Returns all transactions that a block may include, in order. Among the senders' next
    /// transactions, the one with the highest tip comes first; of equal tips, the older one.
    /// `nonces` has every sender's next nonce.
    pub fn ready(
        &self,
        nonces: &BTreeMap<Address, u64>,
        base_fee: u64,
    ) -> Vec<Recovered<TxEnvelope>> {
        let mut next = nonces.clone();
        let mut ready = Vec::new();
        loop {
            let best = next
                .iter()
                .filter_map(|(sender, nonce)| self.by_sender.get(sender)?.get(nonce))
                .filter_map(|waiting| {
                    Some((waiting.transaction.effective_tip_per_gas(base_fee)?, waiting))
                })
                .max_by_key(|(tip, waiting)| (*tip, std::cmp::Reverse(waiting.arrival)));
            let Some((_, waiting)) = best else { return ready };
            next.entry(waiting.transaction.signer()).and_modify(|nonce| *nonce += 1);
            ready.push(waiting.transaction.clone());
        }
    }
}

fn outbids(new: &TxEnvelope, old: &TxEnvelope) -> bool {
    let enough = |new: u128, old: u128| {
        new >= old
            .saturating_add(old.saturating_mul(REPLACEMENT_BUMP_PERCENT) / 100)
            .max(old.saturating_add(1))
    };
    let tip = |transaction: &TxEnvelope| {
        transaction.max_priority_fee_per_gas().unwrap_or(transaction.max_fee_per_gas())
    };
    enough(new.max_fee_per_gas(), old.max_fee_per_gas()) && enough(tip(new), tip(old))
}
