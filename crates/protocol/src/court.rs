//! Games before a court, as both sides see them (`ICourt.sol`, `docs/court.md`).

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::{fault::Fault, types::Game};

/// State hashes of a segment: its begin, and the ends of its sixteen parts.
pub type Segment = [B256; PARTS + 1];

/// Parts of a segment.
pub const PARTS: usize = 16;
/// Of what the loser of a case in court loses, the part that the other side gets, in 1/10_000; the rest is burned.
pub const COMPENSATION_BPS: u32 = 7_000;
/// Pause before a task that could not be traced is tried again, seconds.
const RETRY_SECONDS: u64 = 15;

/// What one side does about a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Its part `pick` begins right and ends wrong; these are the right states after each sixteenth of that part.
    Move {
        /// 0 to 15.
        pick: u32,
        /// State hashes; the last is the part's end.
        states: Box<[B256; PARTS]>,
    },
    /// Its step `pick` is wrong, and this proves what follows.
    Step {
        /// 0 to 15.
        pick: u32,
        /// For `StepUnit.step`.
        proof: Vec<u8>,
    },
    /// Everything in it is right, or it does not even begin right: nothing to be won here.
    Nothing,
}

/// Where a game stands, as its court's events tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GameView {
    /// The game; its struct hash is its id.
    pub game: Game,
    /// Struct hash of the order.
    pub order: B256,
    /// The segment spans 16^level steps.
    pub level: u8,
    /// Steps before it.
    pub position: u64,
    /// Whether the accuser is to move; else the provider.
    pub accusers_turn: bool,
    /// End of that turn, unix seconds.
    pub deadline: u64,
    /// The segment in dispute.
    pub segment: Box<Segment>,
}

impl GameView {
    /// Whether it is this account's turn.
    pub fn turn_of(&self, account: Address) -> bool {
        account == if self.accusers_turn { self.game.accuser } else { self.game.provider }
    }
}

/// What a court said about a game, or about a receipt without one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // fields are those of `ICourt.sol`'s events
pub enum GameNews {
    /// It began.
    Accused(Box<GameView>),
    /// A segment was answered.
    Moved { game: B256, level: u8, position: u64, accusers_turn: bool, deadline: u64, segment: Box<Segment> },
    /// A step was judged; the end comes with it.
    Stepped { game: B256, position: u64, state: B256, claimed: B256, next: B256 },
    /// It ended.
    Ended { game: B256, verdict: GameEnd },
    /// A receipt was shown to be wrong without a game; the deal ended with it.
    Convicted { receipt: B256, fault: Fault },
}

/// How a game ended, and where the bond went, base units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GameEnd {
    /// By a step; else because somebody's time ran out.
    pub by_step: bool,
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
    pub fn game(&self) -> Option<B256> {
        match self {
            Self::Accused(_) | Self::Convicted { .. } => None,
            Self::Moved { game, .. } | Self::Stepped { game, .. } | Self::Ended { game, .. } => Some(*game),
        }
    }
}

impl GameStory {
    /// A game that just began.
    pub fn new(view: GameView) -> Self {
        Self { view, moves: 0, step: None, end: None }
    }

    /// Adds what happened. Returns whether that is news: the same may be told several times, and levels only go down.
    pub fn learn(&mut self, news: &GameNews) -> bool {
        match news {
            GameNews::Accused(_) | GameNews::Convicted { .. } => false,
            GameNews::Moved { level, position, accusers_turn, deadline, segment, .. } => {
                if *level >= self.view.level {
                    return false;
                }
                (self.view.level, self.view.position) = (*level, *position);
                (self.view.accusers_turn, self.view.deadline) = (*accusers_turn, *deadline);
                self.view.segment = segment.clone();
                self.moves += 1;
                true
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
