//! Deals of an account, and its books.

use std::path::PathBuf;

use rialto_protocol::{bounds::Lack, types};
use serde::Serialize;

use super::{Account, Decimal, Hash};
use crate::{DealPhase, Movement};

/// A case that is open in a deal.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Case {
    /// `claim`, `late notice`, `demand` or `hold`.
    pub kind: String,
    /// The order, receipt or game that it is about.
    pub subject: Hash,
    /// The task of a demand.
    pub task: u32,
    /// Unix seconds from which on anyone can settle it.
    pub deadline: u64,
}

/// The most that honest sides can lose in a deal, base units.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MostLost {
    /// Work that is delivered and unpaid; only the deal's own provider knows.
    pub provider: Option<u128>,
    /// And the gas of so many transactions.
    pub provider_redemptions: u64,
    /// Vouchers that were redeemed.
    pub requester_vouchers_redeemed: u128,
    /// Vouchers that were signed; only its requester knows, while it runs.
    pub requester_vouchers_signed: Option<u128>,
    /// The most that the requester can lose, vouchers included.
    pub requester: u128,
    /// Why the requester can't go to court, if so.
    #[cfg_attr(test, schemars(with = "Option<super::schema::Lack>"))]
    pub lack: Option<Lack>,
    /// Of it, what can be lost although no voucher was signed for it.
    pub requester_unproven: u128,
}

/// A deal.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Deal {
    /// Its id.
    pub id: Hash,
    /// This account's part: `requester`, `provider`, `both` or `neither`.
    pub role: String,
    /// Where it is in its life.
    #[serde(flatten)]
    pub phase: DealPhase,
    /// How it ended.
    pub ended: Option<String>,
    /// Its terms.
    #[cfg_attr(test, schemars(with = "super::schema::Deal"))]
    pub deal: types::Deal,
    /// Paid to the provider so far, base units.
    pub paid: u128,
    /// Orders that vouchers have settled.
    pub orders: u64,
    /// Cases that are open.
    pub cases: Vec<Case>,
    /// At its end, back to the requester, base units.
    pub to_requester: Option<u128>,
    /// At its end, to the provider with its collateral, base units.
    pub to_provider: Option<u128>,
    /// At its end, burned, base units.
    pub burned: Option<u128>,
    /// Transaction that opened it.
    pub opened_by: Hash,
    /// Transaction that closed it.
    pub closed_by: Option<Hash>,
    /// What each side can lose.
    pub most_lost: MostLost,
    /// What this account can do now.
    pub what_to_do: String,
}

/// Deals of an account.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DealList {
    /// The account.
    pub account: Account,
    /// Its deals, the newest first.
    pub deals: Vec<Deal>,
}

/// A transaction on the way to a deal's end.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CloseStep {
    /// What it did.
    pub did: String,
    /// The transaction.
    pub transaction: Hash,
    /// Its block.
    pub block: u64,
    /// Its gas.
    pub gas_used: u64,
}

/// A deal after it was settled and closed.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DealClosed {
    /// The deal.
    pub deal: Hash,
    /// Whether it is closed.
    pub closed: bool,
    /// Paid to the provider, base units.
    pub paid: Decimal,
    /// What was sent.
    pub steps: Vec<CloseStep>,
}

/// A movement of money, and when it was.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BooksLine {
    /// UTC, as ISO 8601 writes it.
    pub time: String,
    /// The movement.
    #[serde(flatten)]
    pub movement: Movement,
}

/// An account's movements of money.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Books {
    /// The account.
    pub account: Account,
    /// The market.
    pub market: Account,
    /// Its chain.
    pub chain_id: u64,
    /// The movements, the oldest first.
    pub movements: Vec<BooksLine>,
    /// Free now, base units.
    pub balance: u128,
    /// Bound in deals and bonds now, base units.
    pub locked: u128,
}

/// Movements that were written to a file.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BooksWritten {
    /// The file.
    pub file: PathBuf,
    /// How many.
    pub movements: usize,
    /// Free now, base units.
    pub balance: Decimal,
    /// Bound in deals and bonds now, base units.
    pub locked: Decimal,
}
