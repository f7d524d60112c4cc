//! The book of asks: a log in order of arrival. Every reader, such as a peer's writer or the
//! caller's stream, reads it at its own pace with a cursor. The cursor of a new reader is zero, so
//! that catching up needs no other code than passing on. There are no queues, so a slow reader
//! neither holds up others nor loses asks.
//!
//! The book is plain data: it has no clock and does no IO.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    hash::Hash,
};

use rialto_protocol::{
    Address, AskId, B256,
    types::struct_hash,
    wire::{AskGossip, Message},
};

use crate::limits::{
    MAX_ASK_SECONDS, MAX_ASKS_PER_PROVIDER, MAX_DEFERRALS, MAX_DEFERRED_ASKS, MAX_REMEMBERED_ASKS,
};

/// Position in the log. A later entry has a larger one, and no position is used twice.
pub(crate) type Serial = u64;

/// Source of an ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Published by this node.
    Own,
    /// Received from the peer with this endpoint.
    Peer(B256),
}

#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) gossip: AskGossip,
    pub(crate) origin: Origin,
    hash: AskId,
    /// Tick at which the ask was last checked and good.
    checked: u64,
}

/// One ask that is not good now, but may become good. It is checked again later.
pub(crate) struct Deferred {
    pub(crate) gossip: AskGossip,
    pub(crate) origin: Origin,
    /// Number of times that it was checked again.
    pub(crate) tries: u32,
}

/// Result of the first check of a message, which needs only the book.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// The ask is new: the caller must check it.
    New,
    /// The ask is in the book, or was in it before.
    Known,
    /// The ask can never be good: it is malformed, or it was refused before.
    Bad(&'static str),
    /// The ask was good once, but no longer is.
    Stale(&'static str),
}

/// All asks of one market.
pub(crate) struct Book {
    capacity: usize,
    log: BTreeMap<Serial, Entry>,
    by_hash: HashMap<AskId, Serial>,
    by_provider: HashMap<Address, VecDeque<Serial>>,
    /// Asks that were withdrawn or replaced by a newer ask of their provider.
    retired: Memory<AskId>,
    /// Asks, with their signatures, that were found bad.
    refused: Memory<B256>,
    /// Asks, with their signatures, that are being checked.
    judging: HashSet<B256>,
    /// Asks that are checked again later.
    deferred: VecDeque<Deferred>,
    next: Serial,
    ticks: u64,
}

impl Book {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            log: BTreeMap::new(),
            by_hash: HashMap::new(),
            by_provider: HashMap::new(),
            retired: Memory::default(),
            refused: Memory::default(),
            judging: HashSet::new(),
            deferred: VecDeque::new(),
            next: 1,
            ticks: 0,
        }
    }

    /// Checks a message against the book alone. `now` is the chain's time in Unix seconds.
    pub(crate) fn sight(&self, gossip: &AskGossip, now: u64) -> Sight {
        let ask = &gossip.ask.value;
        let hash = struct_hash(ask);
        if self.by_hash.contains_key(&hash) || self.retired.contains(hash) {
            Sight::Known
        } else if ask.from >= ask.to {
            Sight::Bad("empty window")
        } else if gossip.peer.endpoint != ask.endpoint {
            Sight::Bad("address of another endpoint")
        } else if ask.to <= now {
            Sight::Stale("expired")
        } else if ask.to - now > MAX_ASK_SECONDS {
            Sight::Bad("valid for too long")
        } else if self.refused.contains(judgement_key(gossip)) {
            Sight::Bad("refused before")
        } else if self.judging.contains(&judgement_key(gossip)) {
            Sight::Known
        } else {
            Sight::New
        }
    }

    /// Marks an ask as being checked, so that other copies of it are not checked too.
    pub(crate) fn begin_judging(&mut self, gossip: &AskGossip) {
        self.judging.insert(judgement_key(gossip));
    }

    /// Undoes [`Self::begin_judging`].
    pub(crate) fn end_judging(&mut self, gossip: &AskGossip) {
        self.judging.remove(&judgement_key(gossip));
    }

    /// Keeps an ask for a later check, unless it was checked too often already. If there are too
    /// many deferred asks, the oldest is dropped.
    pub(crate) fn defer(&mut self, ask: Deferred) {
        if ask.tries >= MAX_DEFERRALS {
            return;
        }
        if self.deferred.len() >= MAX_DEFERRED_ASKS {
            self.deferred.pop_front();
        }
        self.deferred.push_back(ask);
    }

    /// Removes and returns all deferred asks, each with one more try counted.
    pub(crate) fn take_deferred(&mut self) -> Vec<Deferred> {
        self.deferred.drain(..).map(|ask| Deferred { tries: ask.tries + 1, ..ask }).collect()
    }

    /// Adds a good ask. Returns `None` if it was added meanwhile or the book is full.
    pub(crate) fn insert(&mut self, gossip: AskGossip, origin: Origin) -> Option<Serial> {
        let hash = struct_hash(&gossip.ask.value);
        let provider = gossip.ask.value.provider;
        if self.by_hash.contains_key(&hash) || self.retired.contains(hash) {
            return None;
        }
        let oldest =
            self.by_provider.get(&provider).filter(|own| own.len() >= MAX_ASKS_PER_PROVIDER);
        if let Some(oldest) = oldest.and_then(|own| own.front().copied()) {
            let replaced = self.take(oldest).map(|entry| entry.hash);
            replaced.into_iter().for_each(|hash| self.retired.insert(hash));
        } else if self.log.len() >= self.capacity {
            return None;
        }
        let checked = self.tick();
        Some(self.append(Entry { gossip, origin, hash, checked }))
    }

    /// Updates the address of a known ask. Only the ask's own endpoint may change its address:
    /// hints of others do not replace a known one. The ask moves to the end of the log, so that
    /// every reader sees the new address.
    pub(crate) fn readdress(&mut self, gossip: &AskGossip, origin: Origin) -> Option<Serial> {
        let serial = *self.by_hash.get(&struct_hash(&gossip.ask.value))?;
        let known = self.log.get(&serial)?;
        if known.gossip.peer == gossip.peer
            || (known.origin == Origin::Own && origin != Origin::Own)
        {
            return None;
        }
        let mut entry = self.take(serial)?;
        entry.gossip.peer = gossip.peer.clone();
        entry.origin = origin;
        Some(self.append(entry))
    }

    /// Remembers that an ask with this signature is bad.
    pub(crate) fn refuse(&mut self, gossip: &AskGossip) {
        self.refused.insert(judgement_key(gossip));
    }

    /// Returns the first entry after `cursor` that has not expired.
    pub(crate) fn after(&self, cursor: Serial, now: u64) -> Option<(Serial, &Entry)> {
        let later = self.log.range(cursor + 1..);
        later
            .map(|(serial, entry)| (*serial, entry))
            .find(|(_, entry)| entry.gossip.ask.value.to > now)
    }

    /// Returns all entries that have not expired, oldest first.
    pub(crate) fn live(&self, now: u64) -> impl Iterator<Item = &Entry> {
        self.log.values().filter(move |entry| entry.gossip.ask.value.to > now)
    }

    /// Removes expired asks.
    pub(crate) fn expire(&mut self, now: u64) {
        let expired: Vec<Serial> = self
            .log
            .iter()
            .filter(|(_, e)| e.gossip.ask.value.to <= now)
            .map(|(serial, _)| *serial)
            .collect();
        for serial in expired {
            self.take(serial);
        }
    }

    /// Returns the asks whose last check is longest ago, and marks them as checked now.
    pub(crate) fn due_for_recheck(&mut self, most: usize) -> Vec<AskGossip> {
        let mut by_age: Vec<(u64, Serial)> =
            self.log.iter().map(|(serial, e)| (e.checked, *serial)).collect();
        by_age.sort_unstable();
        let now = self.tick();
        let mut due = Vec::new();
        for (_, serial) in by_age.into_iter().take(most) {
            if let Some(entry) = self.log.get_mut(&serial) {
                entry.checked = now;
                due.push(entry.gossip.clone());
            }
        }
        due
    }

    /// Removes an ask that is no longer good. It can be added again.
    pub(crate) fn drop_ask(&mut self, hash: AskId) {
        if let Some(serial) = self.by_hash.get(&hash).copied() {
            self.take(serial);
        }
    }

    /// Removes an ask. It cannot be added again.
    pub(crate) fn retire(&mut self, hash: AskId) {
        self.drop_ask(hash);
        self.retired.insert(hash);
    }

    /// Returns the position of the latest entry.
    pub(crate) fn head(&self) -> Serial {
        self.next - 1
    }

    fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }

    fn append(&mut self, entry: Entry) -> Serial {
        let serial = self.next;
        self.next += 1;
        self.by_hash.insert(entry.hash, serial);
        self.by_provider.entry(entry.gossip.ask.value.provider).or_default().push_back(serial);
        self.log.insert(serial, entry);
        serial
    }

    fn take(&mut self, serial: Serial) -> Option<Entry> {
        let entry = self.log.remove(&serial)?;
        self.by_hash.remove(&entry.hash);
        let provider = entry.gossip.ask.value.provider;
        if let Some(own) = self.by_provider.get_mut(&provider) {
            own.retain(|s| *s != serial);
            if own.is_empty() {
                self.by_provider.remove(&provider);
            }
        }
        Some(entry)
    }
}

/// Returns the key of an ask together with its signature. The signature is part of the key, because
/// a copy with a wrong signature must not block the copy with the right one.
fn judgement_key(gossip: &AskGossip) -> B256 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(struct_hash(&gossip.ask.value).as_slice());
    hasher.update(&gossip.ask.signature);
    B256::from(*hasher.finalize().as_bytes())
}

/// A bounded set that drops its oldest element when it is full.
struct Memory<T> {
    order: VecDeque<T>,
    members: HashSet<T>,
}

impl<T: Copy + Eq + Hash> Memory<T> {
    fn insert(&mut self, hash: T) {
        if !self.members.insert(hash) {
            return;
        }
        self.order.push_back(hash);
        if self.order.len() > MAX_REMEMBERED_ASKS
            && let Some(oldest) = self.order.pop_front()
        {
            self.members.remove(&oldest);
        }
    }

    fn contains(&self, hash: T) -> bool {
        self.members.contains(&hash)
    }
}

impl<T> Default for Memory<T> {
    fn default() -> Self {
        Self { order: VecDeque::new(), members: HashSet::new() }
    }
}

const _: () =
    assert!(AskGossip::MAX_BYTES <= 4096, "a full book must fit in memory: 4096 asks of this size");

#[cfg(test)]
mod tests {
    use super::*;
    use rialto_protocol::{
        Bytes,
        types::Ask,
        wire::{PeerAddr, Signed},
    };

    const NOW: u64 = 1_000;

    fn ask(provider: u8, salt: u64) -> AskGossip {
        let endpoint = B256::repeat_byte(provider);
        let value = Ask {
            provider: Address::repeat_byte(provider),
            key: Address::repeat_byte(provider),
            endpoint,
            priceStart: 1,
            priceEnd: 1,
            from: 0,
            to: NOW + 100 + salt,
            taskFee: 0,
            minBudget: 0,
            maxBudget: 1,
            collateralBps: 0,
            latePenaltyBps: 0,
            maxSeconds: 1,
            capacity: 1,
            cores: 1,
            fuelPerSecond: 1,
            court: Address::ZERO,
            counter: 0,
            salt,
            ..Ask::default()
        };
        let peer = PeerAddr { endpoint, direct: vec![], relay: None };
        AskGossip { ask: Signed { value, signature: Bytes::from(vec![0; 65]) }, peer }
    }

    fn salts(book: &Book, now: u64) -> Vec<u64> {
        book.live(now).map(|entry| entry.gossip.ask.value.salt).collect()
    }

    #[test]
    fn sees_what_is_wrong_at_a_glance() {
        let book = Book::new(10);
        let with = |change: fn(&mut Ask)| {
            let mut gossip = ask(1, 1);
            change(&mut gossip.ask.value);
            book.sight(&gossip, NOW)
        };
        assert_eq!(with(|_| {}), Sight::New);
        assert_eq!(with(|a| a.from = a.to - 1), Sight::New);
        assert_eq!(with(|a| a.from = a.to), Sight::Bad("empty window"));
        assert_eq!(with(|a| a.endpoint = B256::ZERO), Sight::Bad("address of another endpoint"));
        assert_eq!(with(|a| a.to = NOW + 1), Sight::New);
        assert_eq!(with(|a| a.to = NOW), Sight::Stale("expired"));
        assert_eq!(with(|a| a.to = NOW + MAX_ASK_SECONDS), Sight::New);
        assert_eq!(with(|a| a.to = NOW + MAX_ASK_SECONDS + 1), Sight::Bad("valid for too long"));
        assert_eq!(with(|a| a.to = u64::MAX), Sight::Bad("valid for too long"));
    }

    #[test]
    fn a_wrong_signature_does_not_spoil_the_right_one() {
        let mut book = Book::new(10);
        let good = ask(1, 1);
        let mut forged = good.clone();
        forged.ask.signature = Bytes::from(vec![9; 65]);
        book.refuse(&forged);
        assert_eq!(book.sight(&forged, NOW), Sight::Bad("refused before"));
        assert_eq!(book.sight(&good, NOW), Sight::New);
        book.insert(good.clone(), Origin::Own).unwrap();
        assert_eq!(book.sight(&good, NOW), Sight::Known);
        assert_eq!(book.sight(&forged, NOW), Sight::Known, "nothing new either way");
    }

    #[test]
    fn readers_see_everything_once_and_in_order() {
        let mut book = Book::new(10);
        for salt in 0..5 {
            book.insert(ask(salt as u8 + 1, salt), Origin::Own).unwrap();
        }
        let mut cursor = 0;
        let mut seen = vec![];
        while let Some((serial, entry)) = book.after(cursor, NOW + 102) {
            cursor = serial;
            seen.push(entry.gossip.ask.value.salt);
        }
        assert_eq!(seen, [3, 4], "those that have not expired");
        assert_eq!(cursor, book.head());
        let mut moved = ask(4, 3);
        moved.peer.direct = vec!["127.0.0.1:1".parse().unwrap()];
        book.readdress(&moved, Origin::Own).unwrap();
        assert_eq!(book.after(cursor, NOW).unwrap().1.gossip, moved);
        assert_eq!(
            book.readdress(&ask(4, 3), Origin::Peer(B256::ZERO)),
            None,
            "own addresses are ours to tell"
        );
    }

    #[test]
    fn stays_within_its_bounds() {
        let mut book = Book::new(MAX_ASKS_PER_PROVIDER + 2);
        for salt in 0..50 {
            assert!(
                book.insert(ask(1, salt), Origin::Own).is_some(),
                "a newer one takes the place of the oldest"
            );
        }
        assert_eq!(salts(&book, NOW), (42..50).collect::<Vec<_>>());
        assert_eq!(book.insert(ask(1, 3), Origin::Own), None, "replaced ones stay away");
        assert!(book.insert(ask(2, 0), Origin::Own).is_some());
        assert!(book.insert(ask(3, 0), Origin::Own).is_some());
        assert_eq!(book.insert(ask(4, 0), Origin::Own), None, "full");
        assert!(book.insert(ask(1, 60), Origin::Own).is_some(), "replacing needs no room");
        book.expire(NOW + 100);
        assert!(book.insert(ask(4, 7), Origin::Own).is_some(), "what expired made room");
        book.retire(struct_hash(&ask(4, 7).ask.value));
        assert_eq!(book.sight(&ask(4, 7), NOW), Sight::Known, "withdrawn for good");
        for number in 0..2 * MAX_REMEMBERED_ASKS as u64 {
            book.retired.insert(B256::from(rialto_protocol::U256::from(number)).into());
        }
        assert_eq!(book.retired.members.len(), MAX_REMEMBERED_ASKS);
    }

    #[test]
    fn copies_wait_for_the_one_judgement() {
        let mut book = Book::new(10);
        book.begin_judging(&ask(1, 1));
        assert_eq!(book.sight(&ask(1, 1), NOW), Sight::Known);
        assert_eq!(book.sight(&ask(1, 2), NOW), Sight::New);
        book.end_judging(&ask(1, 1));
        assert_eq!(book.sight(&ask(1, 1), NOW), Sight::New);
    }

    #[test]
    fn second_chances_are_few() {
        let mut book = Book::new(10);
        for salt in 0..2 * MAX_DEFERRED_ASKS as u64 {
            book.defer(Deferred { gossip: ask(1, salt), origin: Origin::Own, tries: 0 });
        }
        let mut chances = 0;
        loop {
            let deferred = book.take_deferred();
            if deferred.is_empty() {
                break;
            }
            assert_eq!(deferred.len(), MAX_DEFERRED_ASKS);
            deferred.into_iter().for_each(|ask| book.defer(ask));
            chances += 1;
        }
        assert_eq!(chances, MAX_DEFERRALS);
    }

    #[test]
    fn rechecks_go_round() {
        let mut book = Book::new(10);
        for salt in 0..5 {
            book.insert(ask(salt as u8 + 1, salt), Origin::Own).unwrap();
        }
        let mut due =
            || book.due_for_recheck(2).iter().map(|g| g.ask.value.salt).collect::<Vec<_>>();
        assert_eq!([due(), due(), due()], [vec![0, 1], vec![2, 3], vec![4, 0]]);
        book.drop_ask(struct_hash(&ask(1, 0).ask.value));
        assert_eq!(book.sight(&ask(1, 0), NOW), Sight::New, "it may come back");
    }
}
