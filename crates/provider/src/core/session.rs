//! Sessions: hello, resuming after a drop, and who speaks for the requester.
//!
//! Deals are public, so anyone can say hello for one. An endpoint speaks for the requester once it
//! has brought something new that the requester's key signed (what is known already may have been
//! seen on chain); receipts go to that endpoint alone.
//!
//! What strangers can take: `sessions` connections in all and eight a deal; of each session a few
//! wrong signatures, then it ends; of each deal so many checks of signatures a second
//! (`preparing`).

use alloy_primitives::B256;
use rialto_protocol::eip712::Typed;
use rialto_protocol::{
    DealId, OrderId, signing,
    types::{Deal, struct_hash},
    wire::{Signed, ToProvider, ToRequester, WIRE_VERSION},
};

use super::{Core, Effect, OrderState, Refusal, admission::Offer};

/// A hello may come so long before its deal is seen on chain.
const HELLO_WAIT_SECONDS: u64 = 60;
/// Most sessions that say hello for one deal: the requester's, its next one, and a few strangers'.
const MAX_DEAL_SESSIONS: usize = 8;
/// A session that has brought so many things that nobody signed ends.
const MAX_UNSIGNED: u32 = 16;

/// One connection.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub peer: B256,
    pub since: u64,
    pub hello: Hello,
    /// Things that it brought and the requester had not signed.
    pub unsigned: u32,
}

/// How far a session's introduction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hello {
    Nothing,
    /// For a deal that was not seen yet.
    Early(DealId),
    Welcomed(DealId),
}

impl Core {
    pub(super) fn connected(&mut self, session: u64, peer: B256) {
        if self.sessions.len() >= self.config.limits.sessions {
            self.effects.push(Effect::Hangup { session });
            return;
        }
        self.sessions
            .insert(session, Session { peer, since: self.now, hello: Hello::Nothing, unsigned: 0 });
    }

    pub(super) fn disconnected(&mut self, session: u64) {
        self.sessions.remove(&session);
    }

    pub(super) fn message(&mut self, session: u64, message: ToProvider) {
        let Some(known) = self.sessions.get(&session) else { return };
        let (peer, hello) = (known.peer, known.hello);
        if let ToProvider::Hello { version, deal } = &message {
            return self.hello(session, *version, deal);
        }
        let Hello::Welcomed(deal) = hello else {
            return self.refuse(session, None, order_in(&message), Refusal::NoHello);
        };
        let ours = self.speaks_for(peer, deal);
        match &message {
            ToProvider::Hello { .. } => {}
            ToProvider::Order { order, program, shared, inputs } => {
                let offer = Offer { order, program: *program, shared: *shared, inputs };
                self.order_offered(session, deal, offer);
            }
            ToProvider::Voucher(voucher) => self.voucher_offered(session, deal, voucher),
            ToProvider::Cancel(cancel) => self.cancel_offered(session, deal, cancel),
            ToProvider::Reject { order, task, .. } if ours => self.rejected(deal, *order, *task),
            ToProvider::AskRelease { amount } if ours => self.release_asked(session, deal, *amount),
            ToProvider::Reject { .. } | ToProvider::AskRelease { .. } => {
                self.refuse_unsigned(session, deal, None, Refusal::BadSignature);
            }
        }
    }

    /// Whether the requester's key of the deal signed this; refuses if not.
    pub(super) fn signed<T: Typed>(
        &mut self,
        session: u64,
        deal: DealId,
        order: Option<OrderId>,
        signed: &Signed<T>,
        otherwise: Refusal,
    ) -> bool {
        let Some(key) = self.deals.get(&deal).map(|row| row.deal.requesterKey) else {
            return false;
        };
        if let Err(why) = self.may_check(deal) {
            self.refuse(session, Some(deal), order, why);
            return false;
        }
        let valid = signing::signed_by(&signed.value, &self.domain, &signed.signature, key);
        if !valid {
            self.refuse_unsigned(session, deal, order, otherwise);
        }
        valid
    }

    /// Refuses what the requester did not sign; a session that goes on like that ends.
    pub(super) fn refuse_unsigned(
        &mut self,
        session: u64,
        deal: DealId,
        order: Option<OrderId>,
        why: Refusal,
    ) {
        self.refuse(session, Some(deal), order, why);
        let Some(known) = self.sessions.get_mut(&session) else { return };
        known.unsigned += 1;
        if known.unsigned >= MAX_UNSIGNED {
            self.hang_up(session);
        }
    }

    fn hello(&mut self, session: u64, version: u16, deal: &Deal) {
        let id = struct_hash(deal);
        if version != WIRE_VERSION {
            self.refuse(session, None, None, Refusal::Version(version));
            return self.hang_up(session);
        }
        let row = self.deals.get(&id);
        let gone = row.is_some_and(|row| row.chain().closed);
        if gone || deal.provider != self.config.provider {
            self.refuse(session, Some(id), None, Refusal::UnknownDeal);
            return self.hang_up(session);
        }
        let open = row.is_some_and(|row| row.chain().open);
        let hello = if open { Hello::Welcomed(id) } else { Hello::Early(id) };
        if let Some(known) = self.sessions.get_mut(&session) {
            known.hello = hello;
        }
        self.make_room(id);
        if open {
            self.welcome(session, id);
        }
    }

    /// Strangers' sessions go first, then the oldest.
    fn make_room(&mut self, deal: DealId) {
        let of_deal = |known: &Session| matches!(known.hello, Hello::Early(id) | Hello::Welcomed(id) if id == deal);
        let sessions: Vec<_> =
            self.sessions.iter().filter(|(_, known)| of_deal(known)).map(|(id, _)| *id).collect();
        if sessions.len() <= MAX_DEAL_SESSIONS {
            return;
        }
        let stranger = sessions
            .iter()
            .copied()
            .find(|id| !self.sessions.get(id).is_some_and(|s| self.speaks_for(s.peer, deal)));
        if let Some(session) = stranger.or(sessions.first().copied()) {
            self.hang_up(session);
        }
    }

    fn hang_up(&mut self, session: u64) {
        self.effects.push(Effect::Hangup { session });
        self.disconnected(session);
    }

    /// Tells where the deal stands, then everything the other side may lack.
    pub(super) fn welcome(&mut self, session: u64, deal: DealId) {
        let Some(known) = self.sessions.get_mut(&session) else { return };
        known.hello = Hello::Welcomed(deal);
        let peer = known.peer;
        let Some(row) = self.deals.get(&deal) else { return };
        let (settled, next_seq, paid) = (row.watermark(), row.next_seq, row.voucher_amount());
        let ours = row.endpoint == Some(peer);
        self.send(session, ToRequester::Welcome { version: WIRE_VERSION, next_seq, paid });
        if ours {
            let orders: Vec<_> =
                self.by_deal.range((deal, settled)..=(deal, u64::MAX)).map(|(_, h)| *h).collect();
            for order in orders {
                self.resend(session, order);
            }
        }
    }

    /// Hellos that came before their deal was seen.
    pub(super) fn welcome_early(&mut self, deal: DealId) {
        let early: Vec<_> = self
            .sessions
            .iter()
            .filter(|(_, s)| s.hello == Hello::Early(deal))
            .map(|(id, _)| *id)
            .collect();
        for session in early {
            self.welcome(session, deal);
        }
    }

    /// Sessions whose hello never came, or whose deal never did.
    pub(super) fn drop_stale_sessions(&mut self) {
        let now = self.now;
        let stale = |s: &Session| {
            !matches!(s.hello, Hello::Welcomed(_))
                && now >= s.since.saturating_add(HELLO_WAIT_SECONDS)
        };
        let old: Vec<_> =
            self.sessions.iter().filter(|(_, s)| stale(s)).map(|(id, s)| (*id, s.hello)).collect();
        for (session, hello) in old {
            let deal = if let Hello::Early(deal) = hello { Some(deal) } else { None };
            self.refuse(session, deal, None, Refusal::UnknownDeal);
            self.hang_up(session);
        }
    }

    /// What an order's sender may have missed.
    pub(super) fn resend(&mut self, session: u64, hash: OrderId) {
        let Some(row) = self.orders.get(&hash) else { return };
        let deal = row.order.value.deal;
        match &row.state {
            OrderState::Fetching { .. } => self.fetch(hash),
            OrderState::Accepted { ack } => {
                let ack = ack.clone();
                self.send_ack(session, ack);
            }
            OrderState::Done { ack, receipt, .. } => {
                let (ack, receipt) = (ack.clone(), receipt.clone());
                self.send_ack(session, ack);
                self.effects.push(Effect::SendReceipt { session, deal, receipt });
            }
            OrderState::Failed { why, .. } => {
                let why = why.clone();
                self.send(
                    session,
                    ToRequester::Refuse {
                        order: Some(hash),
                        code: why.code().into(),
                        detail: why.detail(),
                    },
                );
            }
            OrderState::Cancelled { .. } => {}
        }
    }

    pub(super) fn speaks_for(&self, peer: B256, deal: DealId) -> bool {
        self.deals.get(&deal).is_some_and(|row| row.endpoint == Some(peer))
    }

    /// Remembers that the session's peer brought something the requester signed.
    pub(super) fn bind(&mut self, session: u64, deal: DealId) {
        let Some(peer) = self.sessions.get(&session).map(|known| known.peer) else { return };
        if !self.speaks_for(peer, deal)
            && let Some(row) = self.deal_mut(deal)
        {
            row.endpoint = Some(peer);
        }
    }

    /// The newest session of the endpoint that speaks for the requester.
    pub(super) fn session_of(&self, deal: DealId) -> Option<u64> {
        let endpoint = self.deals.get(&deal)?.endpoint?;
        let ours = |s: &Session| s.peer == endpoint && s.hello == Hello::Welcomed(deal);
        self.sessions.iter().rev().find(|(_, s)| ours(s)).map(|(id, _)| *id)
    }
}

fn order_in(message: &ToProvider) -> Option<OrderId> {
    match message {
        ToProvider::Order { order, .. } => Some(struct_hash(&order.value)),
        _ => None,
    }
}
