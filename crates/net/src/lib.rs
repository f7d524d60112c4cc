//! Peer-to-peer network: endpoint, gossip of asks, deal sessions, blobs by hash.
//!
//! Every connection has one purpose, one ALPN and one bidirectional stream:
//!
//! | module | ALPN | knows |
//! |---|---|---|
//! | [`node`] | | the QUIC endpoint: binding, dialling, handing connections out |
//! | [`session`] | `rialto/session/1` | typed messages of a deal |
//! | [`asks`] | `rialto/asks/1` | the book of asks that every node keeps, replicated by flooding what was checked |
//! | [`blobs`] | `rialto/blobs/1` | content by BLAKE3 hash, served only to whom it was allowed |
//! | [`limits`] | | every bound |
//! | [`error`] | | every failure, with its code |
//!
//! A node bound to loopback without a relay sends nothing beyond the machine: no discovery, no DNS,
//! no relay, no port mapping, and no dialling of other addresses whoever names them.

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
pub use blobs::{Blob, Blobs, Draft};
pub use error::{CloseCode, CloseReason, NetError};
pub use limits::Limits;
pub use node::{NetConfig, Node};
pub use session::{ProviderSession, RequesterSession, Session, SessionReceiver, SessionSender};
