//! Gossip of asks: every node keeps a book per market and floods what it has checked.
//!
//! A message is bounded, decoded, sighted by the book, judged by the caller's [`AskCheck`] (signature,
//! counter, deposit), and only then kept, streamed to the caller and passed on. Each message costs its
//! sender tokens, bad ones many: a peer without tokens is not read from, a peer in debt is cut off.
//! Why not iroh-gossip: `docs/adr/0003-gossip.md`.

mod book;
mod budget;
mod links;
mod topic;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures::future::BoxFuture;
use iroh::endpoint::Connection;
use rialto_protocol::{
    AskId, B256,
    types::Ask,
    wire::{AskGossip, PeerAddr, Signed},
};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    error::{CloseCode, NetError},
    limits::{FIRST_MESSAGE_TIMEOUT, Limits, MAX_TOPICS},
    node::{Dialer, accept_stream},
};
use book::{Origin, Serial};
use topic::Topic;

/// The caller's judgement of an ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Signed by its provider, who has the deposit for it.
    Good,
    /// Not good now: counter moved on, deposit too small or not seen yet. Not kept, not passed on; looked
    /// at again for a while.
    Stale(String),
    /// Never was good: wrong signature, terms that the market refuses. Costs its sender dearly.
    Bad(String),
    /// Can't be judged now, such as when the chain is out of reach. Like `Stale`, but not held against
    /// anyone.
    Unknown(String),
}

/// Judges asks: what the network can't know by itself.
pub trait AskCheck: Send + Sync + 'static {
    /// The chain's time, unix seconds.
    fn now(&self) -> u64;

    /// Checks signature, counter and deposit. Bounded by [`crate::limits::CHECK_TIMEOUT`]; called for up to
    /// [`crate::limits::MAX_CHECKS`] asks at once, and again from time to time for asks in the book.
    fn check<'a>(&'a self, ask: &'a Signed<Ask>) -> BoxFuture<'a, Verdict>;
}

/// Publishes own asks.
#[derive(Clone)]
pub struct AskPublisher {
    topic: Arc<Topic>,
}

impl AskPublisher {
    /// Checks an own ask as others will, then offers it to every peer, now and later, until it expires or
    /// the check no longer finds it good. Publishing a known ask again is fine.
    pub async fn publish(&self, ask: AskGossip) -> Result<(), NetError> {
        self.topic.publish(ask).await
    }

    /// Stops offering an ask, such as one that was cancelled on chain. Peers drop theirs when they see it on chain.
    pub fn withdraw(&self, ask_hash: AskId) {
        self.topic.withdraw(ask_hash);
    }

    /// Peers that are connected now.
    pub fn peers(&self) -> usize {
        self.topic.links.count()
    }
}

/// Good asks of others: first those known already, then as they come. Each is yielded once, and again
/// only if its provider's address changed.
pub struct AskStream {
    topic: Arc<Topic>,
    head: watch::Receiver<Serial>,
    cursor: Serial,
}

impl AskStream {
    /// Next ask; `None` when the node is closed. Cancel safe. Nothing is lost by being slow.
    pub async fn next(&mut self) -> Option<AskGossip> {
        loop {
            if self.topic.cancel.is_cancelled() {
                return None;
            }
            self.head.borrow_and_update();
            let found = self.topic.next_entry(&mut self.cursor, |origin| origin != Origin::Own);
            if found.is_some() {
                return found;
            }
            tokio::select! {
                () = self.topic.cancel.cancelled() => return None,
                changed = self.head.changed() => changed.ok()?,
            }
        }
    }

    /// Every ask in the book that has not expired, own ones included.
    pub fn live(&self) -> Vec<AskGossip> {
        self.topic.live()
    }
}

/// The topics of a node.
pub(crate) struct Topics {
    dialer: Dialer,
    limits: Limits,
    cancel: CancellationToken,
    joined: Mutex<HashMap<B256, Arc<Topic>>>,
}

impl Topics {
    pub(crate) fn new(dialer: Dialer, limits: Limits, cancel: CancellationToken) -> Self {
        Self { dialer, limits, cancel, joined: Mutex::default() }
    }

    pub(crate) fn join(
        &self,
        id: B256,
        bootstrap: Vec<PeerAddr>,
        check: Arc<dyn AskCheck>,
    ) -> Result<(AskPublisher, AskStream), NetError> {
        if self.cancel.is_cancelled() {
            return Err(NetError::NodeClosed);
        }
        let mut joined = self.joined.lock().unwrap_or_else(PoisonError::into_inner);
        let topic = match joined.get(&id) {
            Some(topic) => topic.clone(),
            None if joined.len() >= MAX_TOPICS => return Err(NetError::Limit("topics")),
            None => {
                let topic = Topic::start(id, self.dialer.clone(), &self.limits, check, self.cancel.clone());
                joined.insert(id, topic.clone());
                topic
            }
        };
        for peer in &bootstrap {
            topic.add_candidate(peer);
        }
        let stream = AskStream { head: topic.head.subscribe(), topic: topic.clone(), cursor: 0 };
        Ok((AskPublisher { topic }, stream))
    }

    pub(crate) fn add_candidate(&self, peer: &PeerAddr) {
        for topic in self.joined.lock().unwrap_or_else(PoisonError::into_inner).values() {
            topic.add_candidate(peer);
        }
    }

    /// Takes part in gossip that a peer began: its first 32 bytes name the topic.
    pub(crate) async fn serve(&self, connection: Connection) {
        let Some((send, mut recv)) = accept_stream(&connection).await else { return };
        let mut id = [0; 32];
        match timeout(FIRST_MESSAGE_TIMEOUT, recv.read_exact(&mut id)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return CloseCode::BadMessage.close(&connection),
            Err(_) => return CloseCode::Timeout.close(&connection),
        }
        let topic = self.joined.lock().unwrap_or_else(PoisonError::into_inner).get(&B256::from(id)).cloned();
        match topic {
            Some(topic) => topic.serve(connection, (send, recv)).await,
            None => CloseCode::UnknownTopic.close(&connection),
        }
    }
}
