//! Everything an owner asks about: what the core says, what the machine gives, and what the
//! accounts hold.

use std::path::Path;

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use super::{Footprint, Usage, error::ProviderError, journal};
use crate::core::{AskConfig, Config, Core, Limits, Money, Status, worth::REDEEM_GAS};

/// Gas money for fewer redemptions than this is low.
const COMFORTABLE_REDEMPTIONS: u64 = 20;

/// Gas, as last seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gas {
    /// Price, wei.
    pub price_wei: u128,
    /// Gas money of the account, wei.
    pub balance_wei: u128,
    /// What is comfortable at this price, wei: twenty redemptions.
    pub wanted_wei: u128,
}

impl Gas {
    pub(crate) fn new(price_wei: u128, balance_wei: u128) -> Self {
        let wanted_wei = price_wei.saturating_mul(u128::from(REDEEM_GAS * COMFORTABLE_REDEMPTIONS));
        Self { price_wei, balance_wei, wanted_wei }
    }

    /// Whether transactions will soon not be sent.
    pub fn low(&self) -> bool {
        self.balance_wei < self.wanted_wei
    }
}

/// A provider, as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Account.
    pub account: Address,
    /// Public key of the endpoint.
    pub endpoint: B256,
    /// Unix seconds.
    pub at: u64,
    /// What it is doing.
    pub status: Status,
    /// How busy its cores were.
    pub usage: Usage,
    /// What the process takes.
    pub footprint: Footprint,
    /// Processor time per time over the last minute, 1/10_000 of one core.
    pub cpu_bps: u64,
    /// Peers it gossips with.
    pub peers: usize,
    /// Gas; none until the chain said.
    pub gas: Option<Gas>,
}

/// What a stopped provider's folder tells; `None` if it never ran. Locked while the provider runs:
/// ask it instead.
pub fn stored(data_dir: &Path, now: u64) -> Result<Option<Status>, ProviderError> {
    let path = data_dir.join("journal.redb");
    if !path.exists() {
        return Ok(None);
    }
    let records = journal::Journal::look(&path)?.load()?;
    // Only rows are looked at: none of this matters.
    let config = Config {
        provider: Address::ZERO,
        key: Address::ZERO,
        endpoint: B256::ZERO,
        chain_id: 0,
        market: Address::ZERO,
        grace_seconds: 0,
        challenge_seconds: 0,
        asks: AskConfig::default(),
        limits: Limits::default(),
        money: Money::default(),
    };
    let mut status = Core::restore(config, records).status_at(now);
    status.silent = None;
    Ok(Some(status))
}
