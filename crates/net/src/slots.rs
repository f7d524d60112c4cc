//! Counted slots, limited in total and per peer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use rialto_protocol::B256;

/// A limit on things held at once, in total and per peer.
#[derive(Clone)]
pub(crate) struct Slots {
    taken: Arc<Mutex<Taken>>,
    total: usize,
    per_peer: usize,
}

#[derive(Default)]
struct Taken {
    total: usize,
    by_peer: HashMap<B256, usize>,
}

/// A slot in use. It is freed when the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Slot(#[expect(dead_code, reason = "held for its drop")] Arc<Guard>);

struct Guard {
    slots: Slots,
    peer: B256,
}

impl Slots {
    pub(crate) fn new(total: usize, per_peer: usize) -> Self {
        Self { taken: Arc::default(), total, per_peer }
    }

    /// Returns a slot for this peer, unless a limit is reached.
    pub(crate) fn take(&self, peer: B256) -> Option<Slot> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.total >= self.total
            || taken.by_peer.get(&peer).is_some_and(|n| *n >= self.per_peer)
        {
            return None;
        }
        taken.total += 1;
        *taken.by_peer.entry(peer).or_default() += 1;
        Some(Slot(Arc::new(Guard { slots: self.clone(), peer })))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut taken = self.slots.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.total -= 1;
        if let Some(count) = taken.by_peer.get_mut(&self.peer) {
            *count -= 1;
            if *count == 0 {
                taken.by_peer.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_and_freed() {
        let slots = Slots::new(3, 2);
        let (a, b) = (B256::repeat_byte(1), B256::repeat_byte(2));
        let first = slots.take(a).unwrap();
        let second = slots.take(a).unwrap();
        assert!(slots.take(a).is_none(), "two for one peer");
        let third = slots.take(b).unwrap();
        assert!(slots.take(b).is_none(), "three in all");
        let clone = first.clone();
        drop(first);
        assert!(slots.take(b).is_none(), "a clone holds the place");
        drop((clone, second, third));
        assert!(slots.taken.lock().unwrap().by_peer.is_empty());
        assert!(slots.take(a).is_some());
    }
}
