//! Sessions between buyers and sellers. A session delivers messages reliably and in order until it
//! breaks. Messages that are under way when it breaks may be lost, and its two ends learn of the
//! break at different times.

use std::collections::{BTreeMap, BTreeSet};

use rialto_protocol::DealId;
use rialto_provider::core as provider;
use rialto_requester::core as requester;

use crate::{
    schedule::Millis,
    world::{Happening, World},
};

/// One end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The end that dialled.
    Buyer = 0,
    /// The end that accepted.
    Seller = 1,
}

/// One connection of a buyer to a seller, for one deal.
#[derive(Clone, Debug)]
pub struct Session {
    /// Index of the buyer.
    pub buyer: usize,
    /// Index of the seller.
    pub seller: usize,
    /// Deal that the session serves.
    pub deal: DealId,
    /// Whether each end still accepts arriving messages.
    pub hears: [bool; 2],
    /// Whether new messages still arrive.
    pub carries: bool,
    /// Arrival time of the last message to each end.
    last: [Millis; 2],
}

/// All sessions and partitions.
#[derive(Debug, Default)]
pub struct Network {
    /// Sessions by number. No number is used twice.
    pub sessions: BTreeMap<u64, Session>,
    next: u64,
    /// Pairs of buyer and seller that cannot reach each other.
    pub apart: BTreeSet<(usize, usize)>,
}

impl Network {
    /// Adds a session that is being dialled. Returns its number.
    pub fn dial(&mut self, buyer: usize, seller: usize, deal: DealId) -> u64 {
        self.next += 1;
        let session =
            Session { buyer, seller, deal, hears: [false, false], carries: true, last: [0, 0] };
        self.sessions.insert(self.next, session);
        self.next
    }

    /// Returns the arrival time of a message sent now to `to`, or `None` if it gets lost.
    pub fn carry(
        &mut self,
        session: u64,
        to: Side,
        now: Millis,
        latency: Millis,
    ) -> Option<Millis> {
        let session = self.sessions.get_mut(&session).filter(|session| session.carries)?;
        let at = (now + latency).max(session.last[to as usize]);
        session.last[to as usize] = at;
        Some(at)
    }

    /// Returns whether `side` accepts a message that arrives now.
    pub fn hears(&self, session: u64, side: Side) -> bool {
        self.sessions.get(&session).is_some_and(|session| session.hears[side as usize])
    }

    /// Breaks a session. Returns `false` if it is already broken.
    pub fn cut(&mut self, session: u64) -> bool {
        self.sessions
            .get_mut(&session)
            .is_some_and(|session| std::mem::replace(&mut session.carries, false))
    }

    /// Closes one end. Returns the time at which everything sent to the other end has arrived.
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

    /// Returns the numbers of all sessions that `of` selects.
    pub fn of(&self, of: impl Fn(&Session) -> bool) -> Vec<u64> {
        self.sessions.iter().filter(|(_, session)| of(session)).map(|(id, _)| *id).collect()
    }
}

impl World {
    /// Starts a partition: a buyer and a seller cannot reach each other for a while.
    pub(crate) fn part(&mut self) {
        if self.healed {
            return;
        }
        let (buyer, seller) =
            (self.random.index(self.buyers.len()), self.random.index(self.sellers.len()));
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

    /// Breaks a session. Both ends learn of it, each after a random time.
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

    /// Closes one end. The other end learns of it after it has received everything sent to it.
    pub fn leave(&mut self, session: u64, side: Side) {
        if let Some(last) = self.network.leave(session, side) {
            let other = if side == Side::Buyer { Side::Seller } else { Side::Buyer };
            let wait = self.latency();
            self.schedule
                .at(last.max(self.schedule.now() + wait), Happening::Lost { session, side: other });
        }
    }

    /// Sends bytes to an end of a session. The session may break by chance.
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

    /// Completes a dial: the session is open, or could not be opened.
    pub(crate) fn dialled(&mut self, session: u64) {
        let Some(known) = self.network.sessions.get(&session).cloned() else { return };
        let (buyer, seller) = (known.buyer, known.seller);
        let reachable =
            self.sellers[seller].core.is_some() && !self.network.apart.contains(&(buyer, seller));
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

    /// Delivers a message to an end of a session.
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

    /// Tells an end that its session has ended.
    pub(crate) fn lost(&mut self, session: u64, side: Side) {
        let Some(known) = self.network.sessions.get(&session).cloned() else { return };
        if !known.hears[side as usize] {
            return;
        }
        self.network.cut(session);
        self.leave(session, side);
        match side {
            Side::Seller => {
                self.feed_seller(known.seller, provider::Event::Disconnected { session })
            }
            Side::Buyer => self.buyer_lost(known.buyer, known.deal, session, "lost"),
        }
    }
}
