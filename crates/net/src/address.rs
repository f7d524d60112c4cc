//! Conversions between the protocol's addresses and iroh's.

use std::net::SocketAddr;

use iroh::{EndpointAddr, EndpointId, RelayUrl, TransportAddr, endpoint::Connection};
use rialto_protocol::{
    B256,
    wire::{MAX_PEER_ADDRS, PeerAddr},
};

use crate::error::NetError;

/// Addresses outside this process to which the node may send packets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    /// Only this machine: the node is bound to loopback and has no relay.
    pub(crate) loopback_only: bool,
}

impl Reach {
    /// Returns the addresses of a peer that this node may dial. A hint from a stranger never makes
    /// a loopback node send packets to another machine.
    pub(crate) fn dialable(self, peer: &PeerAddr) -> Result<EndpointAddr, NetError> {
        peer.check()?;
        let id = endpoint_id(peer.endpoint).ok_or_else(|| {
            NetError::Address(format!("{} is not an endpoint's public key", peer.endpoint))
        })?;
        let direct = peer.direct.iter().filter(|a| !self.loopback_only || a.ip().is_loopback());
        let mut addrs: Vec<TransportAddr> = direct.map(|a| TransportAddr::Ip(*a)).collect();
        if !self.loopback_only
            && let Some(url) = &peer.relay
        {
            addrs.push(TransportAddr::Relay(relay_url(url)?));
        }
        if addrs.is_empty() {
            return Err(NetError::Address(format!("no reachable address for {}", peer.endpoint)));
        }
        Ok(EndpointAddr::from_parts(id, addrs))
    }
}

pub(crate) fn endpoint_id(key: B256) -> Option<EndpointId> {
    EndpointId::from_bytes(&key.0).ok()
}

pub(crate) fn relay_url(url: &str) -> Result<RelayUrl, NetError> {
    url.parse().map_err(|error| NetError::Address(format!("relay {url}: {error}")))
}

/// Returns the current addresses of a connection's peer, best path first.
pub(crate) fn of_connection(connection: &Connection) -> PeerAddr {
    let paths = connection.paths();
    let mut found: Vec<(bool, TransportAddr)> =
        paths.iter().map(|path| (!path.is_selected(), path.remote_addr().clone())).collect();
    found.sort_by_key(|(unselected, _)| *unselected);
    let mut addr = PeerAddr {
        endpoint: B256::from(*connection.remote_id().as_bytes()),
        direct: vec![],
        relay: None,
    };
    for (_, transport) in &found {
        push(&mut addr, transport);
    }
    addr
}

/// Returns this node's address for others. The operator guarantees the addresses in `fixed`, so
/// they come first.
pub(crate) fn of_endpoint(own: EndpointAddr, fixed: &[SocketAddr]) -> PeerAddr {
    let mut addr =
        PeerAddr { endpoint: B256::from(*own.id.as_bytes()), direct: vec![], relay: None };
    let fixed = fixed.iter().map(|a| TransportAddr::Ip(*a));
    for transport in fixed.chain(own.addrs.iter().cloned()) {
        push(&mut addr, &transport);
    }
    addr
}

fn push(addr: &mut PeerAddr, transport: &TransportAddr) {
    match transport {
        TransportAddr::Ip(ip)
            if addr.direct.len() < MAX_PEER_ADDRS && !addr.direct.contains(ip) =>
        {
            addr.direct.push(*ip);
        }
        TransportAddr::Relay(url) if addr.relay.is_none() => addr.relay = Some(url.to_string()),
        _ => {}
    }
}
