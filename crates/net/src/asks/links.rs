//! Who we gossip with: links that exist, and candidates to dial when there are too few.
//!
//! Plain data: no IO.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rialto_protocol::{B256, wire::PeerAddr};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::limits::{DIALED_PEERS, MAX_CANDIDATES, MAX_DIAL_BACKOFF, MIN_DIAL_BACKOFF};

/// Which side opened a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    Dialed,
    Accepted,
}

/// Links of a topic, at most one per peer and side.
pub(crate) struct Links {
    own: B256,
    max_accepted: usize,
    state: Mutex<State>,
    /// Rung when the dialler may have something to do.
    pub(crate) bell: Notify,
}

#[derive(Default)]
struct State {
    links: HashMap<(B256, Side), Link>,
    candidates: HashMap<B256, Candidate>,
    /// Numbers links and candidates in order of arrival.
    counter: u64,
}

struct Link {
    number: u64,
    /// Cancelled when a newer link takes the place.
    replaced: CancellationToken,
}

struct Candidate {
    addr: PeerAddr,
    number: u64,
    /// Being dialled, or linked as a result.
    busy: bool,
    backoff: Duration,
    not_before: Option<Instant>,
}

/// A place among the links, freed by `leave`.
pub(crate) struct Seat {
    peer: B256,
    side: Side,
    number: u64,
    pub(crate) replaced: CancellationToken,
}

/// What the dialler should do.
pub(crate) enum Plan {
    Dial(PeerAddr),
    /// Nothing until then, or until the bell.
    Wait(Option<Instant>),
}

impl Links {
    pub(crate) fn new(own: B256, max_accepted: usize) -> Self {
        Self { own, max_accepted, state: Mutex::default(), bell: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Peers linked now.
    pub(crate) fn count(&self) -> usize {
        let state = self.lock();
        let both = state
            .links
            .keys()
            .filter(|(peer, side)| *side == Side::Dialed && state.links.contains_key(&(*peer, Side::Accepted)));
        state.links.len() - both.count()
    }

    /// Seats a new link; a newer one of the same peer and side takes the older one's place.
    pub(crate) fn join(&self, peer: B256, side: Side) -> Option<Seat> {
        let mut state = self.lock();
        let accepted = state.links.keys().filter(|(_, s)| *s == Side::Accepted).count();
        if side == Side::Accepted && accepted >= self.max_accepted && !state.links.contains_key(&(peer, Side::Accepted))
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

    /// Learns where a peer is. A new address is tried at once.
    pub(crate) fn add_candidate(&self, addr: &PeerAddr) {
        if addr.endpoint == self.own || addr.check().is_err() {
            return;
        }
        let mut state = self.lock();
        state.counter += 1;
        let number = state.counter;
        match state.candidates.get_mut(&addr.endpoint) {
            Some(known) if known.addr == *addr => return,
            Some(known) => {
                known.addr = addr.clone();
                known.not_before = None;
                known.backoff = MIN_DIAL_BACKOFF;
            }
            None => {
                if state.candidates.len() >= MAX_CANDIDATES {
                    let idle = state.candidates.iter().filter(|(_, c)| !c.busy);
                    let Some(oldest) = idle.min_by_key(|(_, c)| c.number).map(|(peer, _)| *peer) else { return };
                    state.candidates.remove(&oldest);
                }
                let candidate =
                    Candidate { addr: addr.clone(), number, busy: false, backoff: MIN_DIAL_BACKOFF, not_before: None };
                state.candidates.insert(addr.endpoint, candidate);
            }
        }
        drop(state);
        self.bell.notify_one();
    }

    /// Whom to dial next. Each node prefers others in an order of its own, so that the graph is random
    /// and nobody is everybody's first choice.
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
        let mut best: Option<([u8; 32], &mut Candidate)> = None;
        for candidate in free {
            match candidate.not_before {
                Some(later) if later > now => soonest = Some(soonest.map_or(later, |s| s.min(later))),
                _ => {
                    let rank = self.rank(candidate.addr.endpoint);
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

    /// A dialled link ended, or none came about. `lasted`: it worked, so the next pause is short again.
    pub(crate) fn dial_ended(&self, peer: B256, lasted: bool, now: Instant) {
        if let Some(candidate) = self.lock().candidates.get_mut(&peer) {
            candidate.busy = false;
            if lasted {
                candidate.backoff = MIN_DIAL_BACKOFF;
            }
            candidate.not_before = Some(now + candidate.backoff);
            candidate.backoff = (candidate.backoff * 2).min(MAX_DIAL_BACKOFF);
        }
        self.bell.notify_one();
    }
}
