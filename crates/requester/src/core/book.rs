//! The order book: every offer this node has heard and may still buy from.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rialto_protocol::{
    Address, AskId, B256,
    types::{Ask, struct_hash},
    wire::{AskGossip, PeerAddr, Signed},
};
use serde::{Deserialize, Serialize};

use super::matching::{
    Need,
    index::{Ascending, Index},
};

/// Most offers kept, where nothing else is said; the one that ends first makes room.
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
    /// The provider's free money on chain when the ask was checked, base units: what collateral can
    /// come from.
    pub deposit: u128,
    /// Whether the court that it names is of known code, or it names none. Before another a wrong
    /// result may have no consequences, and a right one the wrong ones.
    pub known_court: bool,
}

impl Offer {
    /// An offer from gossip, with what the chain said about its provider and its court.
    pub fn new(gossip: AskGossip, deposit: u128, known_court: bool) -> Self {
        Self { ask: gossip.ask, peer: gossip.peer, deposit, known_court }
    }

    /// Who sells.
    pub fn provider(&self) -> Address {
        self.ask.value.provider
    }

    /// The ask's name: its struct hash.
    pub fn name(&self) -> AskId {
        struct_hash(&self.ask.value)
    }

    /// What a book knows it by.
    pub(super) fn key(&self) -> Key {
        (self.ask.value.provider, self.ask.value.salt)
    }

    /// Whether it can be opened now or later.
    fn lives(&self, now: u64) -> bool {
        now < self.ask.value.to
    }
}

/// Provider and salt.
pub(super) type Key = (Address, u64);

/// Offers by provider and salt; of two with the same salt, the newer one.
#[derive(Clone, Debug)]
pub struct Book {
    offers: BTreeMap<Key, Arc<Offer>>,
    /// By the end of their windows.
    ends: BTreeSet<(u64, Key)>,
    index: Index,
    room: usize,
}

impl Default for Book {
    fn default() -> Self {
        Self::with_room(MAX_OFFERS)
    }
}

impl Book {
    /// An empty book that keeps so many offers at most.
    pub fn with_room(room: usize) -> Self {
        Self {
            offers: BTreeMap::new(),
            ends: BTreeSet::new(),
            index: Index::default(),
            room: room.max(1),
        }
    }

    /// Takes an offer in. Returns whether it is new.
    pub fn insert(&mut self, now: u64, offer: Offer) -> bool {
        let ask = &offer.ask.value;
        let well_formed = ask.from < ask.to
            && ask.endpoint == offer.peer.endpoint
            && ask.minBudget <= ask.maxBudget;
        if !well_formed || !offer.lives(now) {
            return false;
        }
        let (key, counter) = (offer.key(), ask.counter);
        match self.offers.get(&key) {
            Some(known) if age(known) >= age(&offer) => {
                let facts = |offer: &Offer| (offer.deposit, offer.known_court, offer.peer.clone());
                let moved = facts(known) != facts(&offer);
                if moved && known.ask.value == offer.ask.value {
                    let ask = known.ask.clone();
                    self.put(Offer { ask, ..offer });
                }
                return false;
            }
            Some(_) => {}
            None => self.make_room(now, key.0),
        }
        self.index.turn(now);
        self.put(offer);
        // A higher counter on chain has killed every older ask of this provider.
        self.remove_where(key.0, |offer| offer.ask.value.counter < counter);
        true
    }

    /// Forgets what can no longer be opened.
    pub fn expire(&mut self, now: u64) {
        while let Some((_, key)) = self.ends.first().copied().filter(|(to, _)| *to <= now) {
            self.remove(&key);
        }
        self.index.turn(now);
    }

    /// Tells the time without forgetting: told each second, searches stay fast while prices move.
    pub fn turn(&mut self, now: u64) {
        self.index.turn(now);
    }

    /// Forgets every offer of a provider.
    pub fn forget(&mut self, provider: Address) {
        self.remove_where(provider, |_| true);
    }

    /// All offers, ordered by provider and salt.
    pub fn offers(&self) -> impl Iterator<Item = &Offer> {
        self.offers.values().map(Arc::as_ref)
    }

    /// Where an endpoint of a provider was heard of last.
    pub fn peer(&self, provider: Address, endpoint: B256) -> Option<&PeerAddr> {
        let there = self.of_provider(provider).filter(|offer| offer.peer.endpoint == endpoint);
        there.max_by_key(|offer| age(offer)).map(|offer| &offer.peer)
    }

    /// Whether everything that a provider offers is offered from there.
    pub(super) fn is_only_at(&self, provider: Address, peer: &PeerAddr) -> bool {
        self.of_provider(provider).all(|offer| offer.peer.endpoint == peer.endpoint)
    }

    /// Every offer that passes, cheapest first.
    pub(super) fn ascending<'a>(&'a self, now: u64, need: &'a Need) -> Ascending<'a> {
        self.index.ascending(now, need)
    }

    /// Number of offers.
    pub fn len(&self) -> usize {
        self.offers.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.offers.is_empty()
    }

    fn put(&mut self, offer: Offer) {
        let key = offer.key();
        self.remove(&key);
        let offer = Arc::new(offer);
        self.ends.insert((offer.ask.value.to, key));
        self.index.insert(offer.clone());
        self.offers.insert(key, offer);
    }

    fn remove(&mut self, key: &Key) {
        if let Some(offer) = self.offers.remove(key) {
            self.ends.remove(&(offer.ask.value.to, *key));
            self.index.remove(&offer);
        }
    }

    fn of_provider(&self, provider: Address) -> impl Iterator<Item = &Arc<Offer>> {
        self.offers.range((provider, u64::MIN)..=(provider, u64::MAX)).map(|(_, offer)| offer)
    }

    fn remove_where(&mut self, provider: Address, goes: impl Fn(&Offer) -> bool) {
        let gone: Vec<Key> = self
            .of_provider(provider)
            .filter(|offer| goes(offer))
            .map(|offer| offer.key())
            .collect();
        gone.iter().for_each(|key| self.remove(key));
    }

    fn make_room(&mut self, now: u64, provider: Address) {
        if self.of_provider(provider).count() >= MAX_OFFERS_PER_PROVIDER {
            let first = self
                .of_provider(provider)
                .min_by_key(|offer| offer.ask.value.to)
                .map(|offer| offer.key());
            first.iter().for_each(|key| self.remove(key));
        } else if self.offers.len() >= self.room {
            self.expire(now);
            if let Some((_, key)) =
                self.ends.first().copied().filter(|_| self.offers.len() >= self.room)
            {
                self.remove(&key);
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
