//! Buys compute: matching, ordering, verifying, paying.
//!
//! [`core`] decides, without IO: plain data and `handle(now, event) -> effects`. The service performs the
//! effects with the chain, the network and this machine's engine, and keeps the journal.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod core;
