//! Sessions: in order and reliable until they break; what was under way when one breaks may or may not arrive,
//! and the two ends learn of it at different times.

use std::collections::{BTreeMap, BTreeSet};

use rialto_protocol::B256;

use crate::schedule::Millis;

/// An end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who dialled.
    Buyer = 0,
    /// Who answered.
    Seller = 1,
}

/// A connection of a buyer to a seller, for one deal.
#[derive(Clone, Debug)]
pub struct Session {
    /// Index.
    pub buyer: usize,
    /// Index.
    pub seller: usize,
    /// The deal it is about.
    pub deal: B256,
    /// Whether each end still takes what arrives.
    pub hears: [bool; 2],
    /// Whether what is sent still arrives.
    pub carries: bool,
    /// When the last message to each end arrives.
    last: [Millis; 2],
}

/// All sessions.
#[derive(Debug, Default)]
pub struct Network {
    /// By number, never used twice.
    pub sessions: BTreeMap<u64, Session>,
    next: u64,
    /// Pairs (buyer, seller) that can't reach each other.
    pub apart: BTreeSet<(usize, usize)>,
}

impl Network {
    /// A session that is being dialled.
    pub fn dial(&mut self, buyer: usize, seller: usize, deal: B256) -> u64 {
        self.next += 1;
        let session = Session { buyer, seller, deal, hears: [false, false], carries: true, last: [0, 0] };
        self.sessions.insert(self.next, session);
        self.next
    }

    /// When a message sent now to `side` arrives; `None`: never.
    pub fn carry(&mut self, session: u64, to: Side, now: Millis, latency: Millis) -> Option<Millis> {
        let session = self.sessions.get_mut(&session).filter(|session| session.carries)?;
        let at = (now + latency).max(session.last[to as usize]);
        session.last[to as usize] = at;
        Some(at)
    }

    /// Whether a message that arrives now is heard.
    pub fn hears(&self, session: u64, side: Side) -> bool {
        self.sessions.get(&session).is_some_and(|session| session.hears[side as usize])
    }

    /// Breaks a session; `false` if it is broken already.
    pub fn cut(&mut self, session: u64) -> bool {
        self.sessions.get_mut(&session).is_some_and(|session| std::mem::replace(&mut session.carries, false))
    }

    /// An end is gone; returns when everything sent to the other one has arrived.
    pub fn leave(&mut self, session: u64, side: Side) -> Option<Millis> {
        let known = self.sessions.get_mut(&session)?;
        known.hears[side as usize] = false;
        let other = 1 - side as usize;
        if known.hears[other] {
            return Some(known.last[other]);
        }
        self.sessions.remove(&session);
        None
    }

    /// Sessions of a node.
    pub fn of(&self, of: impl Fn(&Session) -> bool) -> Vec<u64> {
        self.sessions.iter().filter(|(_, session)| of(session)).map(|(id, _)| *id).collect()
    }
}
