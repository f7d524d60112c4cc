//! A market: what is on offer, and what was paid.

use std::path::PathBuf;

use serde::Serialize;

use super::{Account, Decimal};
use crate::{Listed, LocalFacts, PricePoint};

/// What is on offer now, and what fuel cost.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Market {
    /// The market.
    pub market: Account,
    /// Its chain.
    pub chain_id: u64,
    /// Time of the chain's newest block, unix seconds.
    pub at: u64,
    /// The order book.
    pub asks: Vec<Listed>,
    /// Prices of deals, the oldest first.
    pub history: Vec<PricePoint>,
    /// Means over time: unix seconds, base units per Tfuel.
    pub index: Vec<(u64, u128)>,
}

/// A local market that is up.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MarketUp {
    /// Configuration with which another home folder on this machine joins the market.
    pub config: PathBuf,
    /// Where it is.
    pub up: LocalFacts,
    /// How many providers it has.
    pub providers: u32,
    /// What the requester's account has in it, base units.
    pub account: Decimal,
}

/// A local market that was taken down.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MarketDown {
    /// Whether it ran.
    pub was_up: bool,
    /// With `--wipe`: what was removed.
    pub removed: Vec<PathBuf>,
}
