//! Providers and watchtowers, whose answers are lines while they run.

use std::path::PathBuf;

use rialto_protocol::wire::PeerAddr;
use serde::Serialize;

use super::{Account, Decimal, Hash};

/// What would be announced.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Announcement {
    /// Where requesters would reach it.
    #[cfg_attr(test, schemars(with = "super::schema::PeerAddr"))]
    pub endpoint: PeerAddr,
    /// Gas of announcing that.
    pub gas: u64,
}

/// The smallest and the largest amount.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Range {
    /// Base units.
    pub smallest: Decimal,
    /// Base units.
    pub largest: Decimal,
}

/// The most that an honest provider can lose in a deal.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MostLostSelling {
    /// Unpaid work, base units.
    pub deal: Decimal,
    /// And the gas of so many redemptions.
    pub redemptions: u64,
}

/// What `rialto provide` would do. Nothing was sent.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SellingPlan {
    /// Who would sell.
    pub account: Account,
    /// On which market.
    pub market: Account,
    /// Its chain.
    pub chain_id: u64,
    /// Always false.
    pub sent: bool,
    /// What would be announced.
    pub announce: Announcement,
    /// Wei per gas, now.
    pub gas_price_wei: Decimal,
    /// Gas money of the account.
    pub gas_wei: Decimal,
    /// Free in the market, base units.
    pub deposit: Decimal,
    /// What a deal locks of it.
    pub collateral: Range,
    /// What a deal can cost.
    pub most_lost: MostLostSelling,
    /// The court that asks would name; zero for none.
    pub court: Account,
    /// Deals at once.
    pub capacity: u32,
    /// Gas of a redemption.
    pub redeem_gas: u64,
    /// Gas of a claim.
    pub claim_gas: u64,
}

/// A line: a provider has started.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SellingStarted {
    /// `started`.
    pub event: &'static str,
    /// Who sells.
    pub account: Account,
    /// On which market.
    pub market: Account,
    /// Its chain.
    pub chain_id: u64,
    /// Where its journal is.
    pub folder: PathBuf,
    /// Its endpoint.
    pub endpoint: Hash,
    /// Its addresses.
    pub direct: Vec<std::net::SocketAddr>,
    /// Its relay.
    pub relay: Option<String>,
    /// Cores that it sells.
    pub cores: u32,
    /// Fuel per second of one core.
    pub fuel_per_second: u64,
    /// Memory that it sells.
    pub memory_bytes: u64,
    /// Most fuel of a task.
    pub task_fuel: u64,
}

/// A line: something does not work well.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SellingWarning {
    /// `warning`.
    pub event: &'static str,
    /// Stable code.
    pub code: String,
    /// What.
    pub detail: String,
}

/// A line: events came faster than they were printed.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MissedEvents {
    /// `missed`.
    pub event: &'static str,
    /// How many.
    pub count: u64,
}

/// A line: a provider is draining, or a provider or tower left at once.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct State {
    /// `draining` or `left`.
    pub event: &'static str,
}

/// A line: a provider has ended.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SellingEnded {
    /// `ended`.
    pub event: &'static str,
    /// In all, base units.
    pub earned: Decimal,
    /// Of it, arrived on chain, base units.
    pub paid: Decimal,
    /// What gas cost.
    pub gas_wei: Decimal,
}

/// A provider that was asked to drain.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DrainAnswer {
    /// The provider's folder.
    pub folder: PathBuf,
    /// What it answered.
    pub state: String,
}

/// How a provider stands.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(bound = "", rename = "ProviderStatus"))]
pub struct ProviderStatus<R, S> {
    /// Its folder.
    pub folder: PathBuf,
    /// Whether it runs.
    pub running: bool,
    /// What it answers, if it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<super::schema::AnyObject>"))]
    pub status: Option<R>,
    /// What its journal holds, if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<super::schema::AnyObject>"))]
    pub stored: Option<S>,
}

/// A line: a watchtower has started.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct WatchStarted {
    /// `started`.
    pub event: &'static str,
    /// Its account.
    pub account: Account,
    /// The market.
    pub market: Account,
    /// Its chain.
    pub chain_id: u64,
    /// Whether it runs tasks again instead of defending.
    pub audit: bool,
    /// Share of a provider's time after which it acts, per cent.
    pub after: u64,
    /// Folders of dossiers.
    pub folders: Vec<PathBuf>,
}

/// A line: what accusing a wrong receipt would lock and earn.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Prospect {
    /// `prospect`.
    pub event: &'static str,
    /// The deal.
    pub deal: Hash,
    /// The order.
    pub order: Hash,
    /// Who signed it.
    pub provider: Account,
    /// What would be locked, base units.
    pub bond: u128,
    /// What this account has, base units.
    pub balance: u128,
    /// What winning would earn, base units.
    pub reward: u128,
}

/// An appointment of a watchtower.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Appointment {
    /// Always true: another one is an error.
    pub signed: bool,
    /// Who signed it.
    pub tower: Account,
    /// The market.
    pub market: Account,
    /// Its chain.
    pub chain_id: u64,
    /// The deal.
    pub deal: Hash,
    /// The receipt that it defends.
    pub receipt: Hash,
    /// Until when, unix seconds.
    pub until: u64,
}
