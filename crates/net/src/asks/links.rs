//! The peers of a topic: existing links, and candidates to dial when there are too few links.
//!
//! This module is plain data and does no IO.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rialto_protocol::{B256, wire::PeerAddr};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::limits::{DIALED_PEERS, MAX_CANDIDATES, MAX_DIAL_BACKOFF, MIN_DIAL_BACKOFF};

/// Side that opened a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    Dialed,
    Accepted,
}

/// Source of an address, which decides whether it may replace another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// The operator, the chain or the peer itself.
    Sure,
    /// A peer that passed on an ask.
    Hint,
}

/// Links of a topic: at most one per peer and side.
pub(crate) struct Links {
    own: B256,
    max_accepted: usize,
    state: Mutex<State>,
    /// Notified when the dialler may have something to do.
    pub(crate) bell: Notify,
}

#[derive(Default)]
struct State {
    links: HashMap<(B256, Side), Link>,
    candidates: HashMap<B256, Candidate>,
    /// Number of the next link or candidate, in order of arrival.
    counter: u64,
}

struct Link {
    number: u64,
    /// Cancelled when a newer link replaces this one.
    replaced: CancellationToken,
}

struct Candidate {
    addr: PeerAddr,
    number: u64,
    /// Whether the peer is being dialled, or linked by a dial.
    busy: bool,
    backoff: Duration,
    not_before: Option<Instant>,
}

/// A place among the links. Dropping the link frees it through `leave`.
pub(crate) struct Seat {
    peer: B256,
    side: Side,
    number: u64,
    pub(crate) replaced: CancellationToken,
}

/// Next action of the dialler.
pub(crate) enum Plan {
    Dial(PeerAddr),
    /// Wait until this time, or until notified.
    Wait(Option<Instant>),
}

impl Links {
    pub(crate) fn new(own: B256, max_accepted: usize) -> Self {
        Self { own, max_accepted, state: Mutex::default(), bell: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of linked peers.
    pub(crate) fn count(&self) -> usize {
        let state = self.lock();
        let both = state.links.keys().filter(|(peer, side)| {
            *side == Side::Dialed && state.links.contains_key(&(*peer, Side::Accepted))
        });
        state.links.len() - both.count()
    }

    /// Adds a new link. It replaces an older one of the same peer and side.
    pub(crate) fn join(&self, peer: B256, side: Side) -> Option<Seat> {
        let mut state = self.lock();
        let accepted = state.links.keys().filter(|(_, s)| *s == Side::Accepted).count();
        if side == Side::Accepted
            && accepted >= self.max_accepted
            && !state.links.contains_key(&(peer, Side::Accepted))
        {
            return None;
        }
        state.counter += 1;
        let seat = Seat { peer, side, number: state.counter, replaced: CancellationToken::new() };
        let link = Link { number: seat.number, replaced: seat.replaced.clone() };
        if let Some(old) = state.links.insert((peer, side), link) {
            old.replaced.cancel();
        }
        Some(seat)
    }

    pub(crate) fn leave(&self, seat: &Seat) {
        let mut state = self.lock();
        let key = (seat.peer, seat.side);
        if state.links.get(&key).is_some_and(|link| link.number == seat.number) {
            state.links.remove(&key);
        }
        drop(state);
        self.bell.notify_one();
    }

    /// Adds the address of a peer. A new address is tried at once, but a hint never replaces a
    /// known address.
    pub(crate) fn add_candidate(&self, addr: &PeerAddr, trust: Trust) {
        if addr.endpoint == self.own || addr.check().is_err() {
            return;
        }
        let mut state = self.lock();
        state.counter += 1;
        let number = state.counter;
        match state.candidates.get_mut(&addr.endpoint) {
            Some(known) if known.addr == *addr || trust == Trust::Hint => return,
            Some(known) => {
                known.addr = addr.clone();
                known.not_before = None;
                known.backoff = MIN_DIAL_BACKOFF;
            }
            None => {
                if state.candidates.len() >= MAX_CANDIDATES {
                    let idle = state.candidates.iter().filter(|(_, c)| !c.busy);
                    let Some(oldest) = idle.min_by_key(|(_, c)| c.number).map(|(peer, _)| *peer)
                    else {
                        return;
                    };
                    state.candidates.remove(&oldest);
                }
                let candidate = Candidate {
                    addr: addr.clone(),
                    number,
                    busy: false,
                    backoff: MIN_DIAL_BACKOFF,
                    not_before: None,
                };
                state.candidates.insert(addr.endpoint, candidate);
            }
        }
        drop(state);
        self.bell.notify_one();
    }

    /// Returns the next action. It dials the candidate with the fewest failures. Among equals, each
    /// node has its own random order, so that the graph is random and no peer is the first choice
    /// of all.
    pub(crate) fn plan(&self, now: Instant) -> Plan {
        let mut state = self.lock();
        let State { links, candidates, .. } = &mut *state;
        if candidates.values().filter(|c| c.busy).count() >= DIALED_PEERS {
            return Plan::Wait(None);
        }
        let free = candidates.values_mut().filter(|c| {
            let linked = |side| links.contains_key(&(c.addr.endpoint, side));
            !c.busy && !linked(Side::Dialed) && !linked(Side::Accepted)
        });
        let mut soonest: Option<Instant> = None;
        let mut best: Option<((Duration, [u8; 32]), &mut Candidate)> = None;
        for candidate in free {
            match candidate.not_before {
                Some(later) if later > now => {
                    soonest = Some(soonest.map_or(later, |s| s.min(later)))
                }
                _ => {
                    let rank = (candidate.backoff, self.rank(candidate.addr.endpoint));
                    if best.as_ref().is_none_or(|(least, _)| rank < *least) {
                        best = Some((rank, candidate));
                    }
                }
            }
        }
        match best {
            Some((_, candidate)) => {
                candidate.busy = true;
                Plan::Dial(candidate.addr.clone())
            }
            None => Plan::Wait(soonest),
        }
    }

    fn rank(&self, peer: B256) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.own.as_slice());
        hasher.update(peer.as_slice());
        *hasher.finalize().as_bytes()
    }

    /// Records the end of a dialled link after the time `lasted`, or of a dial that failed. A peer
    /// that closes links at once is tried less and less often, like one that does not answer.
    pub(crate) fn dial_ended(&self, peer: B256, lasted: Duration, now: Instant) {
        if let Some(candidate) = self.lock().candidates.get_mut(&peer) {
            candidate.busy = false;
            if lasted >= MAX_DIAL_BACKOFF {
                candidate.backoff = MIN_DIAL_BACKOFF;
            }
            candidate.not_before = Some(now + candidate.backoff);
            candidate.backoff = (candidate.backoff * 2).min(MAX_DIAL_BACKOFF);
        }
        self.bell.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(n: u8, port: u16) -> PeerAddr {
        PeerAddr {
            endpoint: B256::repeat_byte(n),
            direct: vec![([127, 0, 0, 1], port).into()],
            relay: None,
        }
    }

    fn planned(links: &Links, now: Instant) -> Option<PeerAddr> {
        match links.plan(now) {
            Plan::Dial(addr) => Some(addr),
            Plan::Wait(_) => None,
        }
    }

    #[test]
    fn dials_enough_and_no_more() {
        let (links, now) = (Links::new(B256::ZERO, 2), Instant::now());
        links.add_candidate(&addr(0, 1), Trust::Sure);
        assert!(planned(&links, now).is_none(), "not itself");
        for n in 1..100 {
            links.add_candidate(&addr(n, 1), Trust::Sure);
        }
        let dialed: Vec<_> = std::iter::from_fn(|| planned(&links, now)).collect();
        assert_eq!(dialed.len(), DIALED_PEERS);
        links.dial_ended(dialed[0].endpoint, Duration::ZERO, now);
        assert_ne!(planned(&links, now).unwrap(), dialed[0], "others first");
    }

    #[test]
    fn pauses_grow_and_recover() {
        let (links, mut now) = (Links::new(B256::ZERO, 2), Instant::now());
        links.add_candidate(&addr(1, 1), Trust::Sure);
        for _ in 0..10 {
            assert!(planned(&links, now).is_some());
            links.dial_ended(addr(1, 1).endpoint, Duration::from_secs(1), now);
            let Plan::Wait(Some(until)) = links.plan(now) else { panic!("must wait") };
            now = until;
        }
        assert!(planned(&links, now).is_some());
        links.dial_ended(addr(1, 1).endpoint, MAX_DIAL_BACKOFF, now);
        assert!(planned(&links, now + MIN_DIAL_BACKOFF).is_some(), "it was a good link");
    }

    #[test]
    fn hints_do_not_displace_what_is_sure() {
        let (links, now) = (Links::new(B256::ZERO, 2), Instant::now());
        links.add_candidate(&addr(1, 1), Trust::Hint);
        links.add_candidate(&addr(1, 2), Trust::Hint);
        links.add_candidate(&addr(1, 3), Trust::Sure);
        links.add_candidate(&addr(1, 4), Trust::Hint);
        assert_eq!(planned(&links, now), Some(addr(1, 3)));
    }

    #[test]
    fn seats_are_bounded_and_the_newer_link_wins() {
        let links = Links::new(B256::ZERO, 2);
        let one = links.join(B256::repeat_byte(1), Side::Accepted).unwrap();
        let _two = links.join(B256::repeat_byte(2), Side::Accepted).unwrap();
        assert!(links.join(B256::repeat_byte(3), Side::Accepted).is_none());
        let newer = links.join(B256::repeat_byte(1), Side::Accepted).unwrap();
        assert!(one.replaced.is_cancelled() && !newer.replaced.is_cancelled());
        links.leave(&one);
        assert_eq!(links.count(), 2, "the old one's leaving changes nothing");
        let _also = links.join(B256::repeat_byte(1), Side::Dialed).unwrap();
        assert_eq!(links.count(), 2, "peers, not links");
        links.leave(&newer);
        assert!(links.join(B256::repeat_byte(3), Side::Accepted).is_some());
    }

    #[test]
    fn candidates_are_bounded() {
        let links = Links::new(B256::ZERO, 2);
        for n in 1..=2 * MAX_CANDIDATES as u64 {
            let endpoint = B256::from(rialto_protocol::U256::from(n));
            links.add_candidate(&PeerAddr { endpoint, ..addr(1, 1) }, Trust::Hint);
        }
        assert_eq!(links.lock().candidates.len(), MAX_CANDIDATES);
    }
}
