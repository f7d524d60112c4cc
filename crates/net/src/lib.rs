//! Peer-to-peer network: endpoint, gossip of asks, deal sessions, blobs by hash.
//!
//! Every connection has one purpose, one ALPN and one bidirectional stream:
//!
//! | module | ALPN | knows |
//! |---|---|---|
//! | [`node`] | | the QUIC endpoint: binding, dialling, dispatching connections |
//! | [`session`] | `rialto/session/1` | typed messages of a deal |
//! | [`asks`] | `rialto/asks/1` | every node's own order book, replicated by flooding checked asks |
//! | [`blobs`] | `rialto/blobs/1` | content by BLAKE3 hash, served only to permitted peers |
//! | [`limits`] | | all bounds |
//! | [`error`] | | all errors, with their codes |
//!
//! A node that is bound to loopback and has no relay sends no packet to another machine: it uses no
//! discovery, DNS, relay or port mapping, and it dials no other address, even if a peer names one.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod address;
pub mod asks;
pub mod blobs;
pub mod error;
mod frame;
pub mod limits;
pub mod node;
pub mod session;
mod slots;

pub use asks::{AskCheck, AskPublisher, AskStream, Verdict};
pub use blobs::Blobs;
pub use error::{CloseCode, CloseReason, NetError};
pub use limits::Limits;
pub use node::{NetConfig, Node};
pub use session::{ProviderSession, RequesterSession, Session, SessionReceiver, SessionSender};
