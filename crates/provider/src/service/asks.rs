//! Gossip of asks: publishing ours, and judging those that pass through.

use futures::future::BoxFuture;
use rialto_chain::{AskStanding, Chain, Clock};
use rialto_net::{AskCheck, AskPublisher, Node, Verdict};
use rialto_protocol::{
    types::Ask,
    wire::{AskGossip, Signed},
};

use super::session::Seal;

/// Judges asks by what the chain says.
pub(crate) struct ChainCheck {
    pub chain: Chain,
    pub clock: Clock,
}

impl AskCheck for ChainCheck {
    fn now(&self) -> u64 {
        self.clock.now()
    }

    fn check<'a>(&'a self, ask: &'a Signed<Ask>) -> BoxFuture<'a, Verdict> {
        Box::pin(async {
            match self.chain.judge_ask(ask).await {
                Ok(AskStanding::Good) => Verdict::Good,
                Ok(AskStanding::Stale(why)) => Verdict::Stale(why),
                Ok(AskStanding::Bad(why)) => Verdict::Bad(why),
                Err(error) => Verdict::Unknown(error.to_string()),
            }
        })
    }
}

/// Signs and gossips an ask.
pub(crate) async fn publish(ask: Ask, node: Node, publisher: AskPublisher, seal: Seal) {
    let (provider, to) = (ask.provider, ask.to);
    let published = match seal.sign(ask) {
        Ok(ask) => publisher.publish(AskGossip { ask, peer: node.addr() }).await.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = published {
        tracing::warn!(%provider, to, error, "ask not published");
    }
}
