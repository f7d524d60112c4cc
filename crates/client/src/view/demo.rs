//! What `rialto demo` reports.

use std::path::PathBuf;

use rialto_requester::Checks;
use serde::Serialize;

use super::{Account, Decimal, Hash};

/// A number while it is exact in every reader of JSON, a text beyond.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Exact {
    /// Less than 2^53.
    Number(u64),
    /// Decimal digits.
    Text(String),
}

/// A tile with a false result.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FalseTile {
    /// The tile.
    pub task: u32,
    /// Hash of the output that was signed.
    pub signed: Hash,
    /// Hash of the right output.
    pub right: Hash,
}

/// A provider that cheated.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Cheater {
    /// The provider.
    pub address: Account,
    /// Its false results.
    pub tasks: Vec<FalseTile>,
}

/// A provider in a demo.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DemoProvider {
    /// The provider.
    pub address: Account,
    /// Tiles that it did.
    pub tasks: u64,
    /// Fuel of them.
    pub fuel: Exact,
    /// What vouchers say, base units.
    pub earned: Exact,
    /// What it was paid, base units.
    pub paid: Exact,
    /// Base units per Tfuel.
    pub price: Exact,
    /// How it ended.
    pub status: String,
}

/// Gas of a deal's life.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DemoGas {
    /// To open one.
    pub open: u64,
    /// To redeem and close one.
    pub redeem_close: u64,
    /// Both.
    pub per_deal: u64,
}

/// Gas of a transaction in a case.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GasOfCall {
    /// What it did.
    pub call: String,
    /// Its gas.
    pub gas: u64,
}

/// A case that went to court, or that time decided.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DemoDispute {
    /// The game; none if there was none.
    pub game: Option<Hash>,
    /// The tile.
    pub task: Option<u32>,
    /// What decided, or how the provider cheated.
    pub kind: String,
    /// The provider.
    pub provider: Account,
    /// Turns of the game.
    pub moves: u32,
    /// The step that was judged.
    pub position: Option<u64>,
    /// Its instruction.
    pub instruction: Option<String>,
    /// The state that the provider said follows.
    pub claimed: Option<Hash>,
    /// The state that follows.
    pub right: Option<Hash>,
    /// Gas of the judged step.
    pub step_gas: Option<u64>,
    /// Gas of all transactions.
    pub gas_total: u64,
    /// The transactions; absent after a game.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<Vec<GasOfCall>>,
    /// Who won.
    pub winner: String,
    /// Collateral that was lost, base units.
    pub slashed: Decimal,
    /// Of it, burned, base units.
    pub burned: Decimal,
    /// Of it, to the requester, base units.
    pub requester_compensated: Decimal,
}

/// How a demo ended.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DemoReport {
    /// Tiles.
    pub tasks: usize,
    /// Tiles that are verified.
    pub verified: usize,
    /// Cheats that came out.
    pub cheats_detected: usize,
    /// The first cheater.
    pub cheater: Option<Account>,
    /// All cheaters.
    pub cheaters: Vec<Cheater>,
    /// All providers.
    pub providers: Vec<DemoProvider>,
    /// What the picture cost, base units.
    pub requester_paid: Exact,
    /// Deals.
    pub deals: usize,
    /// Transactions.
    pub transactions: usize,
    /// Gas.
    pub gas: DemoGas,
    /// How long it took.
    pub wall_seconds: f64,
    /// How tiles were checked.
    pub policy: String,
    /// What was checked.
    #[cfg_attr(test, schemars(with = "super::schema::Checks"))]
    pub checks: Checks,
    /// Cases.
    pub disputes: Vec<DemoDispute>,
    /// Whether the picture equals that of an honest run.
    pub picture_is_honest: bool,
    /// Whether all balances are exact.
    pub balances_reconciled: bool,
    /// The picture.
    pub image: PathBuf,
    /// Whether everything is as it should be.
    pub ok: bool,
    /// Why the job failed, if it did.
    pub error: Option<String>,
}

/// A provider of a demo that stays up.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DemoPeer {
    /// The provider.
    pub address: Account,
    /// Its endpoint.
    pub endpoint: Hash,
    /// Its addresses.
    pub direct: Vec<std::net::SocketAddr>,
}

/// How to get into a demo that stays up.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DemoKept {
    /// The chain's endpoint.
    pub rpc: String,
    /// The chain.
    pub chain_id: u64,
    /// The market.
    pub market: Account,
    /// Its token.
    pub token: Account,
    /// Where its nodes keep their data.
    pub data: PathBuf,
    /// Its providers.
    pub peers: Vec<DemoPeer>,
}

/// How a demo with a requester that means harm ended.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct DemoGrief {
    /// `grief`.
    pub cheat: &'static str,
    /// Whether it paid for all of it, and the provider lost nothing.
    pub ok: bool,
    /// Whether all balances are exact.
    pub balances_reconciled: bool,
    /// The provider's account at the end, base units.
    pub provider: Decimal,
    /// The griefer's.
    pub griefer: Decimal,
    /// Its puppets', together.
    pub puppets: Decimal,
    /// What was burned.
    pub burned: Decimal,
    /// What the work cost.
    pub fee: Decimal,
    /// Bond of a late notice.
    pub late_bond: Decimal,
    /// Bond of an accusation.
    pub accusation_bond: Decimal,
    /// Accusations.
    pub accusations: u64,
    /// Rejections of right results.
    pub rejections: u32,
    /// How long it took.
    pub seconds: f64,
}
