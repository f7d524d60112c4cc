//! A market's live order book: a node of one's own that listens to the gossip of asks, checks them
//! as everybody does, and neither buys nor sells.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use futures::{StreamExt, TryStreamExt};
use rialto_chain::{Chain, ChainError, Clock, PrivateKeySigner};
use rialto_net::{AskStream, NetConfig, NetError, Node};
use rialto_party::ChainCheck;
use rialto_protocol::{
    Address, AskId, B256,
    pricing::price_at,
    types::{Ask, ask_topic, struct_hash},
    wire::PeerAddr,
};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::{
    class::{Class, Classified},
    market::MarketConfig,
};

/// Longest wait for a relay.
const RELAY_PATIENCE: Duration = Duration::from_secs(10);
/// Once asks are there, so long without a new one is enough.
const SETTLED: Duration = Duration::from_secs(1);
/// How often the book is looked at meanwhile.
const PAUSE: Duration = Duration::from_millis(100);
/// Questions to the chain at a time.
const QUESTIONS: usize = 8;

/// Why there is no order book.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// The endpoint.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The chain.
    #[error(transparent)]
    Chain(#[from] ChainError),
}

impl Classified for BookError {
    fn class(&self) -> Class {
        match self {
            Self::Chain(error) => error.class(),
            Self::Net(_) => Class::Failed,
        }
    }
}

/// An ask in the book, with what the chain says about it now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Listed {
    /// Its struct hash.
    #[cfg_attr(test, schemars(with = "crate::view::Hash"))]
    pub name: AskId,
    /// The offer.
    #[cfg_attr(test, schemars(with = "crate::view::schema::AnyObject"))]
    pub ask: Ask,
    /// Where the provider is.
    #[cfg_attr(test, schemars(with = "crate::view::schema::PeerAddr"))]
    pub peer: PeerAddr,
    /// Base units per Tfuel now; none outside its validity.
    pub price: Option<u128>,
    /// Deals of its provider that are open, under whatever ask: the ask's capacity is for all of
    /// them.
    pub used: u32,
    /// The provider's free money in the market, base units: what collateral comes from.
    pub deposit: u128,
    /// Account that stands for everybody behind this endpoint: replicas of a task never run at one
    /// owner.
    #[cfg_attr(test, schemars(with = "crate::view::Account"))]
    pub owner: Address,
}

impl Listed {
    /// Whether a deal could be opened under it now.
    pub fn is_free(&self) -> bool {
        self.price.is_some() && self.used < self.ask.capacity
    }
}

/// The book. It closes when dropped.
pub struct Book {
    chain: Chain,
    clock: Clock,
    node: Node,
    stream: AskStream,
}

impl Book {
    /// Joins the gossip through `peers`, under an endpoint key of the moment. `scratch`: an empty
    /// folder.
    ///
    /// # Errors
    /// `N-…`, `C-0…`.
    pub async fn open(
        chain: &Chain,
        market: &MarketConfig,
        peers: Vec<PeerAddr>,
        scratch: &Path,
    ) -> Result<Self, BookError> {
        let mut bind = market.listens();
        // A fixed port is a provider's, which may run here.
        bind.set_port(0);
        let node = Node::bind(NetConfig {
            secret: *PrivateKeySigner::random().to_bytes(),
            bind,
            port_file: None,
            relay: market.relay.clone(),
            external: Vec::new(),
            blob_dir: scratch.to_owned(),
            limits: rialto_net::Limits::default(),
        })
        .await?;
        if !node.online(RELAY_PATIENCE).await {
            tracing::warn!("the relay does not answer");
        }
        let clock = Clock::default();
        clock.chain_says(chain.now().await?);
        let check = Arc::new(ChainCheck::new(chain.clone(), clock.clone()));
        let (_, stream) = node.asks(ask_topic(chain.chain_id(), chain.market()), peers, check)?;
        Ok(Self { chain: chain.clone(), clock, node, stream })
    }

    /// Another way into the gossip, such as one announced just now.
    pub fn add_peer(&self, peer: PeerAddr) {
        self.node.add_bootstrap(peer);
    }

    /// Waits until asks are there and no more come; at most so long.
    pub async fn heard(&self, patience: Duration) {
        let start = Instant::now();
        let (mut known, mut changed) = (0, start);
        while start.elapsed() < patience && (known == 0 || changed.elapsed() < SETTLED) {
            let now = self.stream.live().len();
            if now != known {
                (known, changed) = (now, Instant::now());
            }
            sleep(PAUSE).await;
        }
    }

    /// Every ask that has not expired, the cheapest first, those without a price now last.
    ///
    /// # Errors
    /// `C-0…`.
    pub async fn listed(&self) -> Result<Vec<Listed>, BookError> {
        self.clock.chain_says(self.chain.now().await?);
        let (live, now) = (self.stream.live(), self.clock.now());
        let mut owners: BTreeMap<B256, Address> = BTreeMap::new();
        for gossip in &live {
            let ask = &gossip.ask.value;
            owners
                .entry(ask.endpoint)
                .and_modify(|owner| *owner = (*owner).min(ask.provider))
                .or_insert(ask.provider);
        }
        let listed = live.into_iter().map(|gossip| {
            let owner = owners
                .get(&gossip.ask.value.endpoint)
                .copied()
                .unwrap_or(gossip.ask.value.provider);
            async move {
                let ask = gossip.ask.value;
                let name = struct_hash(&ask);
                let (used, deposit) = futures::try_join!(
                    self.chain.deals_open(ask.provider),
                    self.chain.account(ask.provider)
                )?;
                Ok::<_, BookError>(Listed {
                    name,
                    price: price_at(&ask, now),
                    peer: gossip.peer,
                    used,
                    deposit,
                    owner,
                    ask,
                })
            }
        });
        let mut listed: Vec<Listed> =
            futures::stream::iter(listed).buffered(QUESTIONS).try_collect().await?;
        listed.sort_by_key(|one| (one.price.unwrap_or(u128::MAX), one.name));
        Ok(listed)
    }

    /// Ends it in order.
    pub async fn close(self) {
        self.node.close().await;
    }
}
