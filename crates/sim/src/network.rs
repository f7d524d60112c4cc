//! Sessions: in order and reliable until they break; what was under way when one breaks may or may not arrive,
//! and the two ends learn of it at different times.

use std::collections::{BTreeMap, BTreeSet};

use rialto_protocol::DealId;
use rialto_provider::core as provider;
use rialto_requester::core as requester;

use crate::{
    schedule::Millis,
    world::{Happening, World},
};

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
    pub deal: DealId,
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
    pub fn dial(&mut self, buyer: usize, seller: usize, deal: DealId) -> u64 {
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

impl World {
    /// A buyer and a seller lose sight of each other for a while.
    pub(crate) fn part(&mut self) {
        if self.healed {
            return;
        }
        let (buyer, seller) = (self.random.index(self.buyers.len()), self.random.index(self.sellers.len()));
        if self.network.apart.insert((buyer, seller)) {
            self.count("partition");
            self.tell(|| format!("buyer {buyer} and seller {seller} can't reach each other"));
            for session in self.network.of(|s| (s.buyer, s.seller) == (buyer, seller)) {
                self.cut(session);
            }
            let wait = self.random.within(1_000..=90_000);
            self.schedule.after(wait, Happening::Rejoin { buyer, seller });
        }
        let wait = self.random.within(1_000..=self.options.faults.partition);
        self.schedule.after(wait, Happening::Part);
    }

    /// Breaks a session: both ends learn of it, sooner or later.
    pub fn cut(&mut self, session: u64) {
        if !self.network.cut(session) {
            return;
        }
        self.count("cut");
        for side in [Side::Buyer, Side::Seller] {
            let wait = self.random.within(0..=5_000);
            self.schedule.after(wait, Happening::Lost { session, side });
        }
    }

    /// One end is gone; the other one learns of it after all that was sent to it.
    pub fn leave(&mut self, session: u64, side: Side) {
        if let Some(last) = self.network.leave(session, side) {
            let other = if side == Side::Buyer { Side::Seller } else { Side::Buyer };
            let wait = self.latency();
            self.schedule.at(last.max(self.schedule.now() + wait), Happening::Lost { session, side: other });
        }
    }

    /// Sends bytes to an end of a session; now and then the session breaks.
    pub fn carry(&mut self, session: u64, to: Side, bytes: Vec<u8>) {
        self.history.add(&bytes);
        let (now, latency) = (self.schedule.now(), self.latency());
        if let Some(at) = self.network.carry(session, to, now, latency) {
            self.schedule.at(at, Happening::Frame { session, to, bytes });
        }
        if !self.healed && self.random.one_in_a_million(self.options.faults.cut) {
            self.cut(session);
        }
    }

    /// A session is up, or could not be made.
    pub(crate) fn dialled(&mut self, session: u64) {
        let Some(known) = self.network.sessions.get(&session).cloned() else { return };
        let (buyer, seller) = (known.buyer, known.seller);
        let reachable = self.sellers[seller].core.is_some() && !self.network.apart.contains(&(buyer, seller));
        if !reachable || !known.carries {
            self.network.sessions.remove(&session);
            return self.buyer_lost(buyer, known.deal, session, "unreachable");
        }
        if let Some(open) = self.network.sessions.get_mut(&session) {
            open.hears = [true, true];
        }
        let peer = self.buyers[buyer].endpoint;
        self.feed_seller(seller, provider::Event::Connected { session, peer });
        if self.network.hears(session, Side::Buyer) {
            self.feed_buyer(buyer, requester::Event::Connected { deal: known.deal });
        }
    }

    /// A message arrives.
    pub(crate) fn arrive(&mut self, session: u64, to: Side, bytes: &[u8]) {
        if !self.network.hears(session, to) {
            return;
        }
        let Some(known) = self.network.sessions.get(&session).cloned() else { return };
        match to {
            Side::Seller => self.seller_reads(known.seller, session, bytes),
            Side::Buyer => self.buyer_reads(known.buyer, known.deal, session, bytes),
        }
    }

    /// An end learns that its session is over.
    pub(crate) fn lost(&mut self, session: u64, side: Side) {
        let Some(known) = self.network.sessions.get(&session).cloned() else { return };
        if !known.hears[side as usize] {
            return;
        }
        self.network.cut(session);
        self.leave(session, side);
        match side {
            Side::Seller => self.feed_seller(known.seller, provider::Event::Disconnected { session }),
            Side::Buyer => self.buyer_lost(known.buyer, known.deal, session, "lost"),
        }
    }
}
