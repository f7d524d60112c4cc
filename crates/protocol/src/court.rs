//! Games before a court, as both sides see them (`ICourt.sol`, `docs/court.md`).

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
/// Of what the loser of a case in court loses, the part that the other side gets, in 1/10_000; the rest is burned.
pub const COMPENSATION_BPS: u32 = 7_000;
/// Pause before a task that could not be traced is tried again, seconds.
const RETRY_SECONDS: u64 = 15;

/// Part of a guilty provider's collateral that whoever convicts it gets out of the other side's share, if it is a stranger to
/// the deal, in 1/10_000 (`IMarket.slash`).
pub const BOUNTY_BPS: u32 = 2_000;

/// What one side does when it is its turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Provider: the nodes below the one in dispute.
    Unfold {
        /// From the left; of leaves, H(halted) and fuel.
        nodes: Vec<SumNode>,
    },
    /// Accuser: this node is wrong.
    Pick {
        /// Index among the nodes shown.
        index: u32,
    },
    /// Accuser: this task ended otherwise.
    Challenge(Box<Challenge>),
    /// Anybody: this task ended so, but used another fuel than the leaf says. The provider has lost.
    Contradict {
        /// Index among the leaves shown.
        index: u32,
        /// How it ended.
        halted: Halted,
    },
    /// Part `pick` of the segment begins right and ends wrong; these are the right states after each sixteenth of that part.
    Move {
        /// 0 to 15.
        pick: u32,
        /// State hashes; the last is the part's end.
        states: Box<[B256; PARTS]>,
    },
    /// Step `pick` of the segment is wrong, and this proves what follows.
    Step {
        /// 0 to 15.
        pick: u32,
        /// For `StepUnit.step`.
        proof: Vec<u8>,
    },
    /// Everything is right, or it does not even begin right: nothing to be won here.
    Nothing,
}

/// An accuser's word on one task of a receipt (`ICourt.Challenge`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// Index among the leaves shown.
    pub index: u32,
    /// The task's inputRoot.
    pub input: B256,
    /// Its siblings under the order's inputs from the bottom up.
    pub input_proof: Vec<B256>,
    /// What program's and input's root are hashes of.
    pub parts: Bytes,
    /// State hashes after each sixteenth of the padded run; the last is H(halted).
    pub states: Box<[B256; PARTS]>,
}

/// What is in dispute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// What a node of the receipt's tree stands for; the provider is to unfold it.
    Node {
        /// Levels over the leaves.
        height: u8,
        /// Among the nodes of this height, from the left.
        place: u32,
    },
    /// Which of these nodes is wrong; the accuser is to say.
    Nodes {
        /// Levels over the leaves. At 0 each hash is H(halted).
        height: u8,
        /// Of the node over them.
        place: u32,
        /// From the left.
        nodes: Vec<SumNode>,
    },
    /// The run of a task.
    Run {
        /// Index in the order.
        task: u32,
        /// How it ended, by the provider's word: H(halted).
        halted: B256,
        /// The segment spans 16^level steps.
        level: u8,
        /// Steps before it.
        position: u64,
        /// State hashes.
        segment: Box<Segment>,
    },
}

impl Question {
    /// Falls with every turn of a game, so that it names the turn.
    pub fn turn(&self) -> u8 {
        match self {
            Self::Node { height, .. } => 100 + 2 * (*height).clamp(1, 32),
            Self::Nodes { height, .. } => 101 + 2 * (*height).min(32),
            Self::Run { level, .. } => *level,
        }
    }

    /// The task that the game has come down to.
    pub fn task(&self) -> Option<u32> {
        if let Self::Run { task, .. } = self { Some(*task) } else { None }
    }
}

/// Where a game stands, as its court's events tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GameView {
    /// The game; its struct hash is its id.
    pub game: Game,
    /// The receipt that is said to be wrong.
    pub receipt: Receipt,
    /// Tasks of its order.
    pub tasks: u32,
    /// What is in dispute now.
    pub question: Question,
    /// Whether the accuser is to move; else the provider.
    pub accusers_turn: bool,
    /// End of that turn, unix seconds.
    pub deadline: u64,
}

impl GameView {
    /// A game that has just begun.
    pub fn begun(game: Game, receipt: Receipt, tasks: u32, deadline: u64) -> Self {
        let height = tasks.max(1).next_power_of_two().ilog2() as u8;
        let question = Question::Node { height, place: 0 };
        Self { game, receipt, tasks, question, accusers_turn: false, deadline }
    }

    /// Whether it is this account's turn.
    pub fn turn_of(&self, account: Address) -> bool {
        account == if self.accusers_turn { self.game.accuser } else { self.game.provider }
    }

    /// Names the turn within the game: falls with every one.
    pub fn turn(&self) -> u8 {
        self.question.turn()
    }
}

/// What a court said about a game, or about a receipt without one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // fields are those of `ICourt.sol`'s events
pub enum GameNews {
    /// It began.
    Accused(Box<GameView>),
    /// The node in dispute was unfolded.
    Unfolded { game: GameId, place: u32, height: u8, deadline: u64, nodes: Vec<SumNode> },
    /// One of the nodes was picked.
    Picked { game: GameId, place: u32, height: u8, deadline: u64 },
    /// A task was challenged.
    Challenged { game: GameId, task: u32, halted: B256, level: u8, deadline: u64, segment: Box<Segment> },
    /// A segment was answered.
    Moved { game: GameId, level: u8, position: u64, accusers_turn: bool, deadline: u64, segment: Box<Segment> },
    /// A step was judged; the end comes with it.
    Stepped { game: GameId, position: u64, state: B256, claimed: B256, next: B256 },
    /// It ended.
    Ended { game: GameId, verdict: GameEnd },
    /// A receipt was shown to be wrong without a game; the deal ended with it.
    Convicted { receipt: ReceiptId, fault: Fault },
}

/// What a game ended by (`ICourt.Verdict`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A step was judged.
    Step,
    /// Somebody's time ran out.
    Timeout,
    /// A leaf says another fuel than its task used.
    Fuel,
}

/// How a game ended, and where the bond went, base units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GameEnd {
    /// By what.
    pub verdict: Verdict,
    /// Who won: the accuser, or else the provider.
    pub accuser_won: bool,
    /// Whether the deal ended with it, and its collateral.
    pub slashed: bool,
    /// Of the bond, to the accuser.
    pub to_accuser: u128,
    /// Of the bond, to the provider.
    pub to_provider: u128,
    /// Of the bond, burned.
    pub burned: u128,
}

/// A step as a court judged it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgedStep {
    /// Steps before it.
    pub position: u64,
    /// State that it begins from.
    pub state: B256,
    /// What the loser said that follows.
    pub claimed: B256,
    /// What follows.
    pub next: B256,
}

/// A game from its begin to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GameStory {
    /// Where it stands, or stood last.
    pub view: GameView,
    /// Moves made, the accusation not counted.
    pub moves: u32,
    /// The step that was judged.
    pub step: Option<JudgedStep>,
    /// How it ended.
    pub end: Option<GameEnd>,
}

impl GameNews {
    /// The game's id; none where it is in the view, or there is no game.
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
    /// A game that just began.
    pub fn new(view: GameView) -> Self {
        Self { view, moves: 0, step: None, end: None }
    }

    /// The next turn, unless it is known already.
    fn turn_to(&mut self, question: Question, accusers_turn: bool, deadline: u64) -> bool {
        if question.turn() >= self.view.turn() {
            return false;
        }
        (self.view.question, self.view.accusers_turn, self.view.deadline) = (question, accusers_turn, deadline);
        self.moves += 1;
        true
    }

    /// Adds what happened. Returns whether that is news: the same may be told several times, and levels only go down.
    pub fn learn(&mut self, news: &GameNews) -> bool {
        match news {
            GameNews::Accused(_) | GameNews::Convicted { .. } => false,
            GameNews::Unfolded { place, height, deadline, nodes, .. } => {
                let question = Question::Nodes { height: *height, place: *place, nodes: nodes.clone() };
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
                let step = JudgedStep { position: *position, state: *state, claimed: *claimed, next: *next };
                self.step.replace(step) != Some(step)
            }
            GameNews::Ended { verdict, .. } => self.end.replace(*verdict) != Some(*verdict),
        }
    }
}

/// What only tracing a task tells, by name: it is asked of the shell once, and asked again where that could not find it. Lost in a
/// crash, and found again.
#[derive(Clone, Debug)]
pub struct Searches<K, T>(BTreeMap<K, Search<T>>);

#[derive(Clone, Debug)]
enum Search<T> {
    /// The shell was asked.
    Asked,
    /// Here it is.
    Found(T),
    /// It could not be found; to be tried again then, unix seconds.
    Retry(u64),
}

impl<K: Ord, T> Searches<K, T> {
    /// Whether something is to be asked for (again).
    pub fn due(&self, key: &K, now: u64) -> bool {
        match self.0.get(key) {
            None => true,
            Some(Search::Retry(at)) => now >= *at,
            Some(Search::Asked | Search::Found(_)) => false,
        }
    }

    /// It was asked for.
    pub fn ask(&mut self, key: K) {
        self.0.insert(key, Search::Asked);
    }

    /// Whether an answer is awaited.
    pub fn asked(&self, key: &K) -> bool {
        matches!(self.0.get(key), Some(Search::Asked))
    }

    /// The answer, or nothing where it could not be found. What nobody asked for is not kept.
    pub fn answer(&mut self, key: &K, now: u64, found: Option<T>) {
        if let Some(search @ Search::Asked) = self.0.get_mut(key) {
            *search = found.map_or(Search::Retry(now.saturating_add(RETRY_SECONDS)), Search::Found);
        }
    }

    /// What was found.
    pub fn found(&self, key: &K) -> Option<&T> {
        match self.0.get(key) {
            Some(Search::Found(found)) => Some(found),
            _ => None,
        }
    }

    /// Drops what nobody needs any more.
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
