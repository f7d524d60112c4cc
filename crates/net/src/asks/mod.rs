//! Gossip of asks. Every node keeps one book per market and floods the asks that it has checked.
//!
//! A message is first bounded and decoded. Then the book checks it, and then the caller's
//! [`AskCheck`] checks signature, counter and deposit. Only a good ask is kept, streamed to the
//! caller and passed on. Each message costs its sender tokens, and a bad one costs many. A node
//! does not read from a peer without tokens and disconnects a peer in debt.
//! `docs/adr/0003-gossip.md` says why this is not iroh-gossip.

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

/// Result of the caller's check of an ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The ask is signed by its provider, and the provider has the deposit for it.
    Good,
    /// The ask is not good now: its counter is outdated, or its deposit is too small or not seen
    /// yet. It is neither kept nor passed on, but checked again for a while.
    Stale(String),
    /// The ask can never be good: its signature is wrong, or the market refuses its terms. It costs
    /// its sender many tokens.
    Bad(String),
    /// The ask cannot be checked now, such as when the chain is out of reach. It is treated like
    /// [`Self::Stale`], but costs its sender nothing.
    Unknown(String),
}

/// The caller's check of asks, for what only the chain can tell.
pub trait AskCheck: Send + Sync + 'static {
    /// Returns the chain's time in Unix seconds.
    fn now(&self) -> u64;

    /// Checks signature, counter and deposit of an ask. A check may take
    /// [`crate::limits::CHECK_TIMEOUT`]. Up to [`crate::limits::MAX_CHECKS`] checks run at once.
    /// Asks in the book are checked again from time to time.
    fn check<'a>(&'a self, ask: &'a Signed<Ask>) -> BoxFuture<'a, Verdict>;
}

/// Publisher of this node's own asks.
#[derive(Clone)]
pub struct AskPublisher {
    topic: Arc<Topic>,
}

impl AskPublisher {
    /// Checks an own ask as other nodes will. Then offers it to every present and future peer,
    /// until it expires or the check no longer finds it good. An ask may be published again.
    pub async fn publish(&self, ask: AskGossip) -> Result<(), NetError> {
        self.topic.publish(ask).await
    }

    /// Stops offering an ask, such as one that was cancelled on chain. Peers drop their copies when
    /// they see the cancellation on chain.
    pub fn withdraw(&self, ask_hash: AskId) {
        self.topic.withdraw(ask_hash);
    }

    /// Returns the number of connected peers.
    pub fn peers(&self) -> usize {
        self.topic.links.count()
    }
}

/// Stream of the good asks of other nodes: first the known ones, then each new one. An ask is
/// returned once, and again only if its provider's address changed.
pub struct AskStream {
    topic: Arc<Topic>,
    head: watch::Receiver<Serial>,
    cursor: Serial,
}

impl AskStream {
    /// Returns the next ask, or `None` when the node is closed. It is cancel safe, and a slow
    /// reader loses no ask.
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

    /// Returns every ask in the book that has not expired, own ones included.
    pub fn live(&self) -> Vec<AskGossip> {
        self.topic.live()
    }
}

/// All topics of a node.
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
                let topic =
                    Topic::start(id, self.dialer.clone(), &self.limits, check, self.cancel.clone());
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

    /// Serves gossip that a peer began. The first 32 bytes of the stream name the topic.
    pub(crate) async fn serve(&self, connection: Connection) {
        let Some((send, mut recv)) = accept_stream(&connection).await else { return };
        let mut id = [0; 32];
        match timeout(FIRST_MESSAGE_TIMEOUT, recv.read_exact(&mut id)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return CloseCode::BadMessage.close(&connection),
            Err(_) => return CloseCode::Timeout.close(&connection),
        }
        let topic = self
            .joined
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&B256::from(id))
            .cloned();
        match topic {
            Some(topic) => topic.serve(connection, (send, recv)).await,
            None => CloseCode::UnknownTopic.close(&connection),
        }
    }
}
