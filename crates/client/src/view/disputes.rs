//! Games before a court.

use rialto_protocol::{court, fault};
use serde::Serialize;

use super::{Account, Hash};
use crate::Place;

/// A game.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Game {
    /// Its id.
    pub id: Hash,
    /// The court.
    pub court: Account,
    /// The deal.
    pub deal: Hash,
    /// The order.
    pub order: Hash,
    /// The receipt that is accused.
    pub receipt: Hash,
    /// Tasks of the order.
    pub tasks: u32,
    /// The task that it has come down to.
    pub task: Option<u32>,
    /// What it waits for: `unfold`, `pick` or `run`.
    pub stage: String,
    /// What it is about now.
    pub place: Place,
    /// The deal's requester.
    pub requester: Account,
    /// The accused.
    pub provider: Account,
    /// The accuser.
    pub accuser: Account,
    /// This account's part: `accuser`, `provider`, `requester` or `neither`.
    pub role: String,
    /// Whether it goes on.
    pub open: bool,
    /// Whose turn it is.
    pub turn: Option<Account>,
    /// Until when, unix seconds.
    pub deadline: Option<u64>,
    /// Moves so far.
    pub moves: u32,
    /// The accuser's bond, base units.
    pub bond: u128,
    /// The provider's collateral in the deal, base units.
    pub collateral: u128,
    /// How it ended.
    pub ended: Option<String>,
    /// Who won: `accuser` or `provider`.
    pub winner: Option<String>,
}

/// A receipt that was found wrong without a game.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Convicted {
    /// The deal.
    pub deal: Hash,
    /// The court.
    pub court: Account,
    /// The deal's requester.
    pub requester: Account,
    /// Who signed it.
    pub provider: Account,
    /// The receipt.
    pub receipt: Hash,
    /// What is wrong with it.
    #[cfg_attr(test, schemars(with = "super::schema::Fault"))]
    pub fault: fault::Fault,
    /// The collateral that was lost, base units.
    pub collateral: u128,
    /// Of it, to the requester, base units.
    pub to_requester: u128,
    /// The transaction.
    pub tx: Hash,
    /// Its block.
    pub block: u64,
}

/// Games, and what needed none.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GameList {
    /// The account.
    pub account: Account,
    /// Games, the newest first.
    pub games: Vec<Game>,
    /// Receipts that were found wrong without a game.
    pub convictions: Vec<Convicted>,
}

/// A move in a game.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GameTurn {
    /// `accuse`, `unfold`, `pick`, `challenge`, `move`, `step` or `timeout`.
    pub what: String,
    /// Who made it; none where anyone could.
    pub by: Option<Account>,
    /// What it was about.
    pub place: Place,
    /// In a run: steps between two hashes.
    pub every: Option<u64>,
    /// What was picked.
    pub pick: Option<u32>,
    /// The transaction.
    pub tx: Hash,
    /// Its block.
    pub block: u64,
    /// Its gas.
    pub gas: Option<u64>,
}

/// One game, move by move.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GameShown {
    /// The game.
    #[serde(flatten)]
    pub game: Game,
    /// Its moves.
    pub played: Vec<GameTurn>,
    /// The step that was judged.
    #[cfg_attr(test, schemars(with = "Option<super::schema::JudgedStep>"))]
    pub step: Option<court::JudgedStep>,
    /// How it ended.
    #[cfg_attr(test, schemars(with = "Option<super::schema::GameEnd>"))]
    pub end: Option<court::GameEnd>,
    /// Gas of all moves.
    pub gas: u64,
    /// What went to the requester, base units.
    pub to_requester: u128,
    /// What was burned, base units.
    pub burned: u128,
    /// What this account can do now.
    pub what_to_do: String,
}

/// An accusation that was sent.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Accused {
    /// The game that it began.
    pub game: Hash,
    /// The accused.
    pub provider: Account,
    /// The task because of which.
    pub task: u32,
    /// Whether tracing gives something else than was signed.
    pub wrong: bool,
    /// The transaction.
    pub transaction: Hash,
    /// Its block.
    pub block: u64,
    /// Its gas.
    pub gas_used: u64,
    /// Until when the provider has to answer, unix seconds.
    pub deadline: u64,
    /// Whether the background process plays on.
    pub hosted: bool,
}

/// A turn that was sent, or an end by time.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Answered {
    /// The game.
    pub game: Hash,
    /// What was sent.
    pub did: String,
    /// The transaction.
    pub transaction: Hash,
    /// Its block.
    pub block: u64,
    /// Its gas.
    pub gas_used: u64,
    /// Whether the game goes on.
    pub open: bool,
    /// What it is about now.
    pub place: Place,
    /// Where it stands.
    pub standing: String,
}

/// Leave to move in an account's games.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Delegated {
    /// Who may move.
    pub delegate: Account,
    /// For whom.
    pub owner: Account,
    /// Before which court.
    pub court: Account,
    /// Until when, unix seconds; 0 if it was taken back.
    pub until: u64,
    /// The transaction.
    pub transaction: Hash,
    /// Its block.
    pub block: u64,
    /// Its gas.
    pub gas_used: u64,
}
