//! The seller's side of Rialto.
//!
//! [`core`] decides, without IO: plain data and `handle(now, event) -> effects`. The
//! [service](Provider) performs the effects with the chain, the network and the engine, and keeps
//! the journal.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod core;
mod service;

pub use core::tower::{TowerEvent, Unable};
pub use core::{
    AskConfig, Counts, DealStatus, Ledger, Limits, Money, Offer, Price, ProviderEvent, Refusal,
    Silence, Status, Sums, Verdict, Worth, worth,
};
pub use service::{
    AppointmentError, AppointmentFile, Done, Dossier, DossierError, Evidence, Footprint, Found,
    Gas, Inspector, KeptTask, Part, Prospect, Provider, ProviderConfig, ProviderError, Report,
    Standing, TowerConfig, Usage, Watchtower, kept_results, kept_task, stored as stored_status,
};
pub use service::{Conduct, Plain, Shell};
