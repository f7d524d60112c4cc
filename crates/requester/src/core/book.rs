//! The order book: every offer this node has heard and may still buy from.

use std::collections::BTreeMap;

use rialto_protocol::{
    Address, B256,
    types::{Ask, struct_hash},
    wire::{AskGossip, PeerAddr, Signed},
};
use serde::{Deserialize, Serialize};

/// Most offers kept; the one that ends first makes room.
pub const MAX_OFFERS: usize = 4096;
/// Most offers of one provider: a stranger cannot fill the book.
pub const MAX_OFFERS_PER_PROVIDER: usize = 8;

/// An ask that the shell has checked (signature, counter), and where its provider is found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The ask and its signature, as `open` takes them.
    pub ask: Signed<Ask>,
    /// How to reach the provider.
    pub peer: PeerAddr,
    /// The provider's free money on chain when the ask was checked, base units: what collateral can come from.
    pub deposit: u128,
}

impl Offer {
    /// An offer from gossip, with what the chain said about its provider.
    pub fn new(gossip: AskGossip, deposit: u128) -> Self {
        Self { ask: gossip.ask, peer: gossip.peer, deposit }
    }

    /// Who sells.
    pub fn provider(&self) -> Address {
        self.ask.value.provider
    }

    /// The ask's name: its struct hash.
    pub fn name(&self) -> B256 {
        struct_hash(&self.ask.value)
    }

    /// Whether it can be opened now or later.
    fn lives(&self, now: u64) -> bool {
        now < self.ask.value.to
    }
}

/// Offers by provider and salt; of two with the same salt, the newer one.
#[derive(Clone, Debug, Default)]
pub struct Book {
    offers: BTreeMap<(Address, u64), Offer>,
}

impl Book {
    /// Takes an offer in. Returns whether it is new.
    pub fn insert(&mut self, now: u64, offer: Offer) -> bool {
        let ask = &offer.ask.value;
        let well_formed = ask.from < ask.to && ask.endpoint == offer.peer.endpoint && ask.minBudget <= ask.maxBudget;
        if !well_formed || !offer.lives(now) {
            return false;
        }
        let provider = ask.provider;
        let key = (provider, ask.salt);
        if let Some(known) = self.offers.get_mut(&key) {
            if age(known) >= age(&offer) {
                if known.ask.value == offer.ask.value {
                    known.deposit = offer.deposit;
                    known.peer = offer.peer;
                }
                return false;
            }
        } else {
            self.make_room(now, provider);
        }
        let counter = ask.counter;
        self.offers.insert(key, offer);
        // A higher counter on chain has killed every older ask of this provider.
        self.offers.retain(|(owner, _), offer| *owner != provider || offer.ask.value.counter >= counter);
        true
    }

    /// Forgets what can no longer be opened.
    pub fn expire(&mut self, now: u64) {
        self.offers.retain(|_, offer| offer.lives(now));
    }

    /// Forgets every offer of a provider.
    pub fn forget(&mut self, provider: Address) {
        self.offers.retain(|(owner, _), _| *owner != provider);
    }

    /// All offers, ordered by provider and salt.
    pub fn offers(&self) -> impl Iterator<Item = &Offer> {
        self.offers.values()
    }

    /// Number of offers.
    pub fn len(&self) -> usize {
        self.offers.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.offers.is_empty()
    }

    fn make_room(&mut self, now: u64, provider: Address) {
        let of_provider = (provider, u64::MIN)..=(provider, u64::MAX);
        if self.offers.range(of_provider.clone()).count() >= MAX_OFFERS_PER_PROVIDER {
            let first = self.offers.range(of_provider).min_by_key(|(_, offer)| offer.ask.value.to).map(|(key, _)| *key);
            first.map(|key| self.offers.remove(&key));
        } else if self.offers.len() >= MAX_OFFERS {
            self.expire(now);
            if self.offers.len() >= MAX_OFFERS {
                let first = self.offers.iter().min_by_key(|(_, offer)| offer.ask.value.to).map(|(key, _)| *key);
                first.map(|key| self.offers.remove(&key));
            }
        }
    }
}

/// Order of asks with one salt: a later counter, then a later window, is newer.
fn age(offer: &Offer) -> (u64, u64, u64) {
    let ask = &offer.ask.value;
    (ask.counter, ask.from, ask.to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::tests::offer;

    #[test]
    fn keeps_the_newest_ask_of_a_salt() {
        let mut book = Book::default();
        let old = offer(1, 100);
        let mut new = old.clone();
        new.ask.value.from += 1;
        new.ask.value.priceStart = 50;
        assert!(book.insert(1_000, old.clone()));
        assert!(!book.insert(1_000, old.clone()));
        assert!(book.insert(1_000, new.clone()));
        assert!(!book.insert(1_000, old));
        assert_eq!(book.offers().collect::<Vec<_>>(), [&new]);
    }

    #[test]
    fn a_higher_counter_kills_older_asks_and_time_kills_the_rest() {
        let mut book = Book::default();
        let mut second = offer(1, 100);
        second.ask.value.salt = 9;
        second.ask.value.counter = 3;
        assert!(book.insert(1_000, offer(1, 100)));
        assert!(book.insert(1_000, second.clone()));
        assert_eq!(book.len(), 1);
        book.expire(second.ask.value.to - 1);
        assert_eq!(book.len(), 1);
        book.expire(second.ask.value.to);
        assert!(book.is_empty());
        assert!(!book.insert(second.ask.value.to, second));
    }

    #[test]
    fn refuses_nonsense_and_bounds_what_one_provider_can_fill() {
        let mut book = Book::default();
        let mut foreign = offer(1, 100);
        foreign.peer.endpoint = B256::repeat_byte(0xee);
        assert!(!book.insert(1_000, foreign));
        for salt in 0..50 {
            let mut ask = offer(1, 100);
            ask.ask.value.salt = salt;
            book.insert(1_000, ask);
        }
        assert_eq!(book.len(), MAX_OFFERS_PER_PROVIDER);
    }
}
