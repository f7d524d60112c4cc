//! Peer-to-peer network: endpoint, gossip of asks, deal sessions, blobs by hash.
