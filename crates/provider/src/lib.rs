//! The seller's side of Rialto.
//!
//! [`core`] decides, without IO: plain data and `handle(now, event) -> effects`. The [service](Provider) performs
//! the effects with the chain, the network and the engine, and keeps the journal.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod core;
mod service;

pub use core::{AskConfig, DealStatus, Limits, Money, Price, ProviderEvent, Refusal, Status, Verdict};
pub use service::{Fault, Provider, ProviderConfig, ProviderError};
