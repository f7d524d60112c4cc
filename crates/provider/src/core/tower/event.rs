//! What goes into a tower and what comes out.

use std::fmt;

use alloy_primitives::Address;
use rialto_protocol::{
    DealId, GameId, OrderId, ReceiptId,
    court::{Answer, GameView},
    fault::Fault,
    types::{Deal, Game},
};
use serde::Serialize;

use crate::core::{
    event::Outcome,
    facts::{Fact, LogId},
};

/// A dossier that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Terms.
    pub deal: Deal,
    /// Struct hash of the order.
    pub order: OrderId,
    /// Struct hash of the receipt.
    pub receipt: Option<ReceiptId>,
    /// Whether it holds a cancellation.
    pub cancelled: bool,
    /// What it was audited to be before.
    pub audited: Option<bool>,
}

/// What happened outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TowerInput {
    /// Chain events from this block on are told (again).
    Started {
        /// First block.
        from_block: u64,
    },
    /// Time passed.
    Tick,
    /// The chain moved.
    Chain {
        /// Taken back, newest first.
        removed: Vec<LogId>,
        /// New, oldest first.
        added: Vec<Fact>,
        /// Whether that is all there is.
        caught_up: bool,
    },
    /// A dossier is there.
    Held(Box<Held>),
    /// A dossier is gone.
    Dropped(OrderId),
    /// Until when this tower may move for a provider, unix seconds.
    Authority {
        /// Court.
        court: Address,
        /// Provider.
        provider: Address,
        /// Unix seconds; 0: never.
        until: u64,
    },
    /// Answer to [`TowerEffect::Play`].
    Played {
        /// Game.
        game: GameId,
        /// Turn.
        turn: u8,
        /// The answer, or why it could not be found.
        result: Result<Answer, String>,
    },
    /// Answer to [`TowerEffect::Audit`].
    Audited {
        /// Order.
        order: OrderId,
        /// Whether its receipt is right, or why that could not be found out.
        result: Result<bool, String>,
    },
    /// Answer to [`TowerEffect::Act`].
    Acted {
        /// As sent.
        intent: String,
        /// How it ended.
        outcome: Outcome,
        /// Why, if not well.
        why: Option<Unable>,
    },
}

/// Why a tower's transaction was not sent or not mined. Serialises as its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Unable {
    /// The tower's account lacks the bond of an accusation: its owner has to deposit.
    Bond(String),
    /// Anything else: it is tried again.
    Other(String),
}

impl From<String> for Unable {
    fn from(text: String) -> Self {
        Self::Other(text)
    }
}

impl fmt::Display for Unable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bond(text) | Self::Other(text) => f.write_str(text),
        }
    }
}

/// What is to be done outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TowerEffect {
    /// Find what to say in a game: from the dossier's results, or by tracing.
    Play {
        /// Order.
        order: OrderId,
        /// Where the game stands.
        view: Box<GameView>,
        /// Whether for the accuser.
        accusing: bool,
    },
    /// No game is about this task any more.
    ForgetTrace {
        /// Order.
        order: OrderId,
        /// Task.
        task: u32,
    },
    /// Run an order's tasks again, and compare.
    Audit {
        /// Order.
        order: OrderId,
    },
    /// Send a transaction.
    Act {
        /// Idempotency key.
        intent: String,
        /// What.
        deed: Box<Deed>,
    },
    /// Tell whoever watches.
    Tell(TowerEvent),
}

/// What a tower sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// The signed receipt, to a late notice.
    Answer {
        /// Order.
        order: OrderId,
    },
    /// The signed cancellation, to a late notice.
    Excuse {
        /// Order.
        order: OrderId,
    },
    /// A task's end, to a demand.
    Reveal {
        /// Order.
        order: OrderId,
        /// Task.
        task: u32,
    },
    /// A turn in a game.
    Play {
        /// Order.
        order: OrderId,
        /// Where the game stands.
        view: Box<GameView>,
        /// What to say.
        answer: Answer,
    },
    /// The end of a game whose turn ran out.
    Timeout {
        /// Terms.
        deal: Box<Deal>,
        /// Game.
        game: Box<Game>,
    },
    /// A receipt that is wrong: shown without a game where that can be, else accused.
    Accuse {
        /// Order.
        order: OrderId,
    },
}

/// Something that the owner of a tower may want to know. As JSON: one object, its kind under
/// `event`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum TowerEvent {
    /// A dossier was taken on.
    Took {
        /// Deal.
        deal: DealId,
        /// Order.
        order: OrderId,
        /// Receipt, if there is one.
        receipt: Option<ReceiptId>,
        /// Whose.
        provider: Address,
        /// Until when it is defended, by the appointment that was signed; none: none was.
        until: Option<u64>,
    },
    /// A dossier can't be used.
    Refused {
        /// Where it lies.
        path: String,
        /// Why.
        code: String,
        /// Why, in words.
        why: String,
    },
    /// This tower may not move for a provider: it answers what needs no authority.
    Unauthorised {
        /// Provider.
        provider: Address,
        /// Court.
        court: Address,
        /// Why, with its code.
        why: String,
    },
    /// Something was opened against a receipt that is watched, or a turn in a game is due.
    Threatened {
        /// Deal.
        deal: DealId,
        /// Order.
        order: OrderId,
        /// What: late, demand, turn, silence.
        what: &'static str,
        /// Until then there must be an answer, unix seconds.
        until: u64,
        /// From then on this tower gives it, unix seconds.
        acts_at: u64,
    },
    /// A transaction was mined.
    Acted {
        /// What.
        what: &'static str,
        /// Deal.
        deal: DealId,
        /// Order.
        order: OrderId,
    },
    /// A transaction fails again and again.
    ActionFails {
        /// What.
        what: &'static str,
        /// Order.
        order: OrderId,
        /// Why.
        why: Unable,
    },
    /// Nothing right can be said in a game: the receipt is wrong.
    Hopeless {
        /// Game.
        game: GameId,
        /// Order.
        order: OrderId,
    },
    /// A game was begun by this tower.
    Accused {
        /// Deal.
        deal: DealId,
        /// Game.
        game: GameId,
        /// Order.
        order: OrderId,
        /// Locked, base units.
        bond: u128,
    },
    /// A game is over.
    GameEnded {
        /// Deal.
        deal: DealId,
        /// Game.
        game: GameId,
        /// Whether the side that this tower plays for won.
        won: bool,
        /// What the winner got of the bond, base units.
        received: u128,
        /// What this tower's account got for convicting, base units.
        bounty: u128,
    },
    /// A receipt was shown to be wrong without a game.
    Convicted {
        /// Deal.
        deal: DealId,
        /// Receipt.
        receipt: ReceiptId,
        /// What was wrong with it.
        fault: Fault,
    },
    /// An order was run again.
    Audited {
        /// Deal.
        deal: DealId,
        /// Order.
        order: OrderId,
        /// Whether its receipt is right.
        right: bool,
    },
    /// An order could not be run again here.
    AuditFails {
        /// Order.
        order: OrderId,
        /// Why, with its code.
        why: String,
    },
}
