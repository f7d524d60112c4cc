//! Games before a court, as both sides know them (`ICourt.sol`, `docs/court.md`).

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes};
use serde::{Deserialize, Serialize};

use crate::{
    fault::Fault,
    ids::{GameId, ReceiptId},
    receipt::{Halted, SumNode},
    types::{Game, Receipt},
};

/// State hashes of a segment: its begin, and the ends of its sixteen parts.
pub type Segment = [B256; PARTS + 1];

/// Parts of a segment.
pub const PARTS: usize = 16;
/// Share of the loser's stake in court that the other side gets, in 1/10_000. The rest is burned.
pub const COMPENSATION_BPS: u32 = 7_000;
/// Pause before a task that could not be traced is tried again, seconds.
const RETRY_SECONDS: u64 = 15;

/// Share of a guilty provider's collateral for a convictor that is a stranger to the deal, in
/// 1/10_000. It comes out of the requester's share (`IMarket.slash`).
pub const BOUNTY_BPS: u32 = 2_000;

/// Action of the side whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Provider: the nodes below the one in dispute.
    Unfold {
        /// Nodes from the left; for leaves, H(halted) and fuel.
        nodes: Vec<SumNode>,
    },
    /// Accuser: the index of the wrong node.
    Pick {
        /// Index among the shown nodes.
        index: u32,
    },
    /// Accuser: this task ended otherwise.
    Challenge(Box<Challenge>),
    /// Anybody: the task ended like this, but the leaf states another fuel. The provider has lost.
    Contradict {
        /// Index among the shown leaves.
        index: u32,
        /// Halted state of the task.
        halted: Halted,
    },
    /// Part `pick` of the segment begins right and ends wrong. `states` are the right states after
    /// each sixteenth of that part.
    Move {
        /// Index of the part, 0 to 15.
        pick: u32,
        /// State hashes; the last one is the part's end.
        states: Box<[B256; PARTS]>,
    },
    /// Step `pick` of the segment is wrong, and `proof` proves the right next state.
    Step {
        /// Index of the step, 0 to 15.
        pick: u32,
        /// Proof for `StepUnit.step`.
        proof: Vec<u8>,
    },
    /// The segment is right, or even its begin is wrong, so there is nothing to win.
    Nothing,
}

/// An accuser's statement about one task of a receipt (`ICourt.Challenge`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// Index among the shown leaves.
    pub index: u32,
    /// inputRoot of the task.
    pub input: B256,
    /// Its siblings under the order's inputs, from the bottom up.
    pub input_proof: Vec<B256>,
    /// Preimages of the roots of program and input.
    pub parts: Bytes,
    /// State hashes after each sixteenth of the padded run; the last one is H(halted).
    pub states: Box<[B256; PARTS]>,
}

/// Subject of the current turn of a game.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// A node of the receipt's tree. The provider must unfold it.
    Node {
        /// Levels above the leaves.
        height: u8,
        /// Index among the nodes of this height, from the left.
        place: u32,
    },
    /// Nodes below a disputed one. The accuser must name the wrong one.
    Nodes {
        /// Levels above the leaves. At 0 each hash is H(halted).
        height: u8,
        /// Index of the node above them.
        place: u32,
        /// Shown nodes, from the left.
        nodes: Vec<SumNode>,
    },
    /// The run of a task.
    Run {
        /// Index of the task in the order.
        task: u32,
        /// H(halted) of the task, according to the provider.
        halted: B256,
        /// Level of the segment, which spans 16^level steps.
        level: u8,
        /// Steps before the segment.
        position: u64,
        /// State hashes of the segment.
        segment: Box<Segment>,
    },
}

impl Question {
    /// Returns a number that falls with every turn of a game and so identifies the turn.
    pub fn turn(&self) -> u8 {
        match self {
            Self::Node { height, .. } => 100 + 2 * (*height).clamp(1, 32),
            Self::Nodes { height, .. } => 101 + 2 * (*height).min(32),
            Self::Run { level, .. } => *level,
        }
    }

    /// Returns the task that the game has found, if it has.
    pub fn task(&self) -> Option<u32> {
        if let Self::Run { task, .. } = self { Some(*task) } else { None }
    }
}

/// State of a game, according to its court's events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GameView {
    /// The game. Its struct hash is its id.
    pub game: Game,
    /// Accused receipt.
    pub receipt: Receipt,
    /// Number of tasks of its order.
    pub tasks: u32,
    /// Subject of the current turn.
    pub question: Question,
    /// Whether it is the accuser's turn; otherwise it is the provider's.
    pub accusers_turn: bool,
    /// End of the turn, Unix seconds.
    pub deadline: u64,
}

impl GameView {
    /// Returns a game that has just begun.
    pub fn begun(game: Game, receipt: Receipt, tasks: u32, deadline: u64) -> Self {
        let height = tasks.max(1).next_power_of_two().ilog2() as u8;
        let question = Question::Node { height, place: 0 };
        Self { game, receipt, tasks, question, accusers_turn: false, deadline }
    }

    /// Returns whether it is this account's turn.
    pub fn turn_of(&self, account: Address) -> bool {
        account == if self.accusers_turn { self.game.accuser } else { self.game.provider }
    }

    /// Returns a number that identifies the turn within the game and falls with every turn.
    pub fn turn(&self) -> u8 {
        self.question.turn()
    }
}

/// Event of a court about a game, or about a receipt without a game.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // fields are those of `ICourt.sol`'s events
pub enum GameNews {
    /// A game began.
    Accused(Box<GameView>),
    /// The node in dispute was unfolded.
    Unfolded { game: GameId, place: u32, height: u8, deadline: u64, nodes: Vec<SumNode> },
    /// One of the nodes was picked.
    Picked { game: GameId, place: u32, height: u8, deadline: u64 },
    /// A task was challenged.
    Challenged {
        game: GameId,
        task: u32,
        halted: B256,
        level: u8,
        deadline: u64,
        segment: Box<Segment>,
    },
    /// A segment was answered.
    Moved {
        game: GameId,
        level: u8,
        position: u64,
        accusers_turn: bool,
        deadline: u64,
        segment: Box<Segment>,
    },
    /// A step was judged. The game's end is in the same transaction.
    Stepped { game: GameId, position: u64, state: B256, claimed: B256, next: B256 },
    /// The game ended.
    Ended { game: GameId, verdict: GameEnd },
    /// A receipt was proven wrong without a game, which ended the deal.
    Convicted { receipt: ReceiptId, fault: Fault },
}

/// Way in which a game ended (`ICourt.Verdict`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A step was judged.
    Step,
    /// The time of one side ran out.
    Timeout,
    /// A leaf states another fuel than its task used.
    Fuel,
}

/// End of a game, and distribution of the bond, base units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GameEnd {
    /// Way in which it ended.
    pub verdict: Verdict,
    /// Whether the accuser won; otherwise the provider did.
    pub accuser_won: bool,
    /// Whether the game ended the deal and took its collateral.
    pub slashed: bool,
    /// Share of the bond for the accuser.
    pub to_accuser: u128,
    /// Share of the bond for the provider.
    pub to_provider: u128,
    /// Burned share of the bond.
    pub burned: u128,
}

/// A step that a court judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgedStep {
    /// Number of steps before it.
    pub position: u64,
    /// Hash of the state before it.
    pub state: B256,
    /// Hash of the next state, according to the loser.
    pub claimed: B256,
    /// Hash of the next state, according to the judge.
    pub next: B256,
}

/// History of a game.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GameStory {
    /// Present or last state of the game.
    pub view: GameView,
    /// Number of moves, without the accusation.
    pub moves: u32,
    /// Judged step, if there was one.
    pub step: Option<JudgedStep>,
    /// End of the game, if it has ended.
    pub end: Option<GameEnd>,
}

impl GameNews {
    /// Returns the game's id; `None` if it is in the view, or if there is no game.
    pub fn game(&self) -> Option<GameId> {
        match self {
            Self::Accused(_) | Self::Convicted { .. } => None,
            Self::Unfolded { game, .. }
            | Self::Picked { game, .. }
            | Self::Challenged { game, .. }
            | Self::Moved { game, .. }
            | Self::Stepped { game, .. }
            | Self::Ended { game, .. } => Some(*game),
        }
    }
}

impl GameStory {
    /// Creates the history of a game that has just begun.
    pub fn new(view: GameView) -> Self {
        Self { view, moves: 0, step: None, end: None }
    }

    /// Adds the next turn, unless it is already known.
    fn turn_to(&mut self, question: Question, accusers_turn: bool, deadline: u64) -> bool {
        if question.turn() >= self.view.turn() {
            return false;
        }
        (self.view.question, self.view.accusers_turn, self.view.deadline) =
            (question, accusers_turn, deadline);
        self.moves += 1;
        true
    }

    /// Adds an event and returns whether it is new. The same event may arrive several times, and
    /// levels only fall.
    pub fn learn(&mut self, news: &GameNews) -> bool {
        match news {
            GameNews::Accused(_) | GameNews::Convicted { .. } => false,
            GameNews::Unfolded { place, height, deadline, nodes, .. } => {
                let question =
                    Question::Nodes { height: *height, place: *place, nodes: nodes.clone() };
                self.turn_to(question, true, *deadline)
            }
            GameNews::Picked { place, height, deadline, .. } => {
                self.turn_to(Question::Node { height: *height, place: *place }, false, *deadline)
            }
            GameNews::Challenged { task, halted, level, deadline, segment, .. } => {
                let (task, halted, level, segment) = (*task, *halted, *level, segment.clone());
                let question = Question::Run { task, halted, level, position: 0, segment };
                self.turn_to(question, false, *deadline)
            }
            GameNews::Moved { level, position, accusers_turn, deadline, segment, .. } => {
                let Question::Run { task, halted, .. } = self.view.question else { return false };
                let (level, position, segment) = (*level, *position, segment.clone());
                let question = Question::Run { task, halted, level, position, segment };
                self.turn_to(question, *accusers_turn, *deadline)
            }
            GameNews::Stepped { position, state, claimed, next, .. } => {
                let step = JudgedStep {
                    position: *position,
                    state: *state,
                    claimed: *claimed,
                    next: *next,
                };
                self.step.replace(step) != Some(step)
            }
            GameNews::Ended { verdict, .. } => self.end.replace(*verdict) != Some(*verdict),
        }
    }
}

/// Values that only a trace of a task gives, by key. The core requests each from the shell once,
/// and again after a failure. They are not persisted: after a crash the core requests them again.
#[derive(Clone, Debug)]
pub struct Searches<K, T>(BTreeMap<K, Search<T>>);

#[derive(Clone, Debug)]
enum Search<T> {
    /// The value was requested.
    Asked,
    /// The value was found.
    Found(T),
    /// The request failed; time of the next one, Unix seconds.
    Retry(u64),
}

impl<K: Ord, T> Searches<K, T> {
    /// Returns whether a value should be requested now.
    pub fn due(&self, key: &K, now: u64) -> bool {
        match self.0.get(key) {
            None => true,
            Some(Search::Retry(at)) => now >= *at,
            Some(Search::Asked | Search::Found(_)) => false,
        }
    }

    /// Notes that a value was requested.
    pub fn ask(&mut self, key: K) {
        self.0.insert(key, Search::Asked);
    }

    /// Returns whether a request is open.
    pub fn asked(&self, key: &K) -> bool {
        matches!(self.0.get(key), Some(Search::Asked))
    }

    /// Stores the answer to a request; `None` if it failed. Ignores an answer without a request.
    pub fn answer(&mut self, key: &K, now: u64, found: Option<T>) {
        if let Some(search @ Search::Asked) = self.0.get_mut(key) {
            *search = found.map_or(Search::Retry(now.saturating_add(RETRY_SECONDS)), Search::Found);
        }
    }

    /// Returns a value that was found.
    pub fn found(&self, key: &K) -> Option<&T> {
        match self.0.get(key) {
            Some(Search::Found(found)) => Some(found),
            _ => None,
        }
    }

    /// Removes the values that are no longer needed.
    pub fn keep(&mut self, mut needed: impl FnMut(&K) -> bool) {
        self.0.retain(|key, _| needed(key));
    }
}

impl<K, T> Default for Searches<K, T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_searched_is_asked_for_once_and_again_after_a_pause() {
        let mut searches = Searches::default();
        searches.answer(&1, 0, Some('a'));
        assert!(searches.due(&1, 0) && searches.found(&1).is_none(), "nobody asked");
        searches.ask(1);
        assert!(searches.asked(&1) && !searches.due(&1, u64::MAX));
        searches.answer(&1, 100, None);
        assert!(!searches.due(&1, 100) && searches.due(&1, 100 + RETRY_SECONDS));
        searches.ask(1);
        searches.answer(&1, 200, Some('b'));
        assert!(!searches.due(&1, u64::MAX));
        assert_eq!(searches.found(&1), Some(&'b'));
        searches.keep(|key| *key != 1);
        assert!(searches.due(&1, 0));
    }
}
