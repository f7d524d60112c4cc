//! What the two sides of a deal have alike. Provider and requester both use it, so that a rule or a
//! limit that holds for both stands once.
//!
//! | item | what it does |
//! |---|---|
//! | [`Seal`] | signs the structs of one account |
//! | [`ChainCheck`] | judges gossiped asks by the chain |
//! | [`Wallet`] | asks the chain about one account: money, gas |
//! | [`Paced`] | reads a session no faster than [`MAX_MESSAGES_PER_SECOND`] |
//! | [`JournalFile`] | opens a journal on disk and checks whose it is |

#![cfg_attr(test, allow(clippy::unwrap_used))]
#![forbid(unsafe_code)]

mod asks;
mod journal;
mod seal;
mod session;
mod wallet;

pub use asks::ChainCheck;
pub use journal::{JournalError, JournalFile, Step};
pub use seal::{Seal, SealError};
pub use session::{MAX_MESSAGES_PER_SECOND, MAX_OUTBOUND_MESSAGES, Paced};
pub use wallet::Wallet;

/// Most inputs that wait for the task that owns a core. Whoever brings more waits.
pub const MAX_INPUTS: usize = 1024;
