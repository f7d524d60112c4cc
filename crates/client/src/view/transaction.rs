//! Transactions: what would be sent, and what was deployed.

use serde::Serialize;

use super::{Account, Decimal};

/// A transaction that would be sent.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PlannedTransaction {
    /// What it does.
    pub explain: String,
    /// Gas that it would use; none where that can't be known before an earlier one.
    pub gas: Option<u64>,
}

/// What would be sent. Nothing was.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Plan {
    /// What the first transaction does.
    pub explain: Option<String>,
    /// Its gas.
    pub gas: Option<u64>,
    /// All of them, in order.
    pub transactions: Vec<PlannedTransaction>,
    /// Wei per gas, now.
    pub gas_price_wei: Decimal,
    /// Always false.
    pub sent: bool,
}

/// What would be sent to a market.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TransactionPlan {
    /// The market.
    pub to: Account,
    /// Its chain.
    pub chain_id: u64,
    /// The transactions.
    #[serde(flatten)]
    pub plan: Plan,
}

/// A window that is shorter than it should be on such a chain.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ShortWindow {
    /// Stable code.
    pub code: String,
    /// What is short, and what it should be.
    pub text: String,
}

/// What `rialto deploy` would send.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DeployPlan {
    /// The chain.
    pub chain_id: u64,
    /// Who would send it.
    pub account: Account,
    /// The token; none for a test token of its own.
    pub token: Option<Account>,
    /// Gas money of the account.
    pub balance_wei: Decimal,
    /// Kind of chain: `test`, `rollup` or `layer_one`.
    pub kind: String,
    /// Windows that are too short.
    pub short: Vec<ShortWindow>,
    /// Time to challenge a claim.
    pub challenge_seconds: u64,
    /// Time to answer a late notice or a demand.
    pub answer_seconds: u64,
    /// Time after a deal's expiry.
    pub grace_seconds: u64,
    /// Bond of a late notice or a demand, base units.
    pub bond: Decimal,
    /// Least time for a turn.
    pub court_move_seconds: u32,
    /// Time of each side besides tracing.
    pub court_base_seconds: u32,
    /// Bond of an accusation, base units.
    pub court_bond: Decimal,
    /// And for each Tfuel of a task's limit.
    pub court_bond_per_tfuel: Decimal,
    /// The transactions.
    #[serde(flatten)]
    pub plan: Plan,
}

/// A market that was deployed.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Deployed {
    /// The market.
    pub market: Account,
    /// Its token.
    pub token: Account,
    /// The chain.
    pub chain_id: u64,
    /// Block in which the market was created.
    pub first_block: u64,
    /// Its court.
    pub court: Account,
    /// Judge of integer steps.
    pub step_unit: Account,
    /// Judge of floating-point steps.
    pub float_unit: Account,
    /// Gas of the market's creation.
    pub market_gas: u64,
    /// Gas of the token's creation; 0 if it was there.
    pub token_gas: u64,
    /// Gas of the court's creation.
    pub court_gas: u64,
}
