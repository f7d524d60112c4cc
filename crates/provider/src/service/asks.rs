//! Gossip of our asks.

use rialto_net::{AskPublisher, Node};
use rialto_party::Seal;
use rialto_protocol::{types::Ask, wire::AskGossip};

/// Signs and gossips an ask.
pub(crate) async fn publish(ask: Ask, node: Node, publisher: AskPublisher, seal: Seal) {
    let (provider, to) = (ask.provider, ask.to);
    let published = match seal.sign(ask) {
        Ok(ask) => publisher
            .publish(AskGossip { ask, peer: node.addr() })
            .await
            .map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = published {
        tracing::warn!(%provider, to, error, "ask not published");
    }
}
