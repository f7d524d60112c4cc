//! Search for counterexamples to the guarantees of docs/threat-model.md.
//!
//! One side is honest: the shipped core with an honest shell. The other side is a *strategist*. It
//! holds many accounts and keys, and sends any message and any call at any time, in any order. Its
//! moves are plain data ([`Play`]), so that a run can be repeated, shrunk and printed. The first
//! sequences are random. The search keeps each sequence that showed something new or brought the
//! honest side nearer to a loss, and makes new sequences by changing the kept ones.
//!
//! | module | content |
//! |---|---|
//! | [`yard`] | both contracts, time and signatures: what both searches share |
//! | [`provider`] | an honest provider against a strategist that buys |
//! | [`requester`] | an honest requester against a strategist that sells |
//! | [`scope`] | exhaustive search of small worlds: every interleaving |

pub mod provider;
pub mod requester;
pub mod scope;
pub mod yard;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::{check::Broken, random::Random};

/// Most moves in a sequence.
pub const MAX_MOVES: usize = 48;
/// Most sequences that the search keeps.
const MAX_CORPUS: usize = 400;
/// Number of the latest kept sequences, which the search extends more often than others.
const NEWEST: usize = 24;
/// Most runs for shrinking one sequence.
const MAX_SHRINKS: usize = 600;

/// Time of a move, relative to the move before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum When {
    /// In the same second.
    Now,
    /// This many seconds later.
    Later(u16),
    /// At one of the next deadlines, or a second before or after it.
    Edge {
        /// Index of the deadline among those ahead, from 0.
        which: u8,
        /// Shift in seconds: −1, 0 or 1.
        shift: i8,
    },
}

/// One move of a strategist, with its time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Play<M> {
    /// Time of the move.
    pub when: When,
    /// The move.
    pub what: M,
}

/// A world with one honest side, in which a strategist makes moves.
pub trait Arena: Sized {
    /// Moves of the strategist.
    type Move: Clone + Debug + PartialEq + Eq + Hash;
    /// Known defects that can be put in, to test whether the search finds them.
    type Weakness: Copy + Debug;

    /// Returns a new world, with a defect and a log if they are wanted.
    fn new(weakness: Option<Self::Weakness>, story: bool) -> Self;
    /// Makes a move and lets the honest side react. A move that is impossible does nothing.
    fn play(&mut self, play: &Play<Self::Move>) -> Result<(), Broken>;
    /// Stops the strategist. Everything must then end in time, and the honest side may not have
    /// lost more than its bound.
    fn finish(&mut self) -> Result<(), Broken>;
    /// Returns the hashes of all features seen so far. The search keeps sequences that show new
    /// ones.
    fn seen(&self) -> &BTreeSet<u64>;
    /// Returns how near the honest side came to a loss. A larger number is nearer.
    fn danger(&self) -> u64;
    /// Returns the readable log of the run.
    fn story(&self) -> Vec<String>;
    /// Draws any move.
    fn draw(random: &mut Random) -> Self::Move;
    /// Draws moves that are likely to be possible in the current state: one move, or a whole case
    /// from its beginning to its end.
    fn suggest(&self, random: &mut Random) -> Vec<Play<Self::Move>>;
    /// Returns a variation of a move.
    fn vary(it: &Self::Move, random: &mut Random) -> Self::Move;
    /// Returns sequences of honest trade from which the search starts.
    fn openings() -> Vec<Vec<Play<Self::Move>>>;
}

/// A counterexample: a sequence that breaks a guarantee.
#[derive(Clone, Debug)]
pub struct Found<M> {
    /// The broken guarantee.
    pub broken: Broken,
    /// The sequence after shrinking.
    pub plays: Vec<Play<M>>,
    /// Number of sequences tried until then.
    pub tried: u64,
    /// Readable log of the sequence.
    pub story: Vec<String>,
}

/// Statistics of a search that found no counterexample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Number of sequences tried.
    pub tried: u64,
    /// Number of distinct features seen.
    pub features: usize,
    /// Number of sequences kept.
    pub corpus: usize,
    /// Highest danger reached; see [`Arena::danger`].
    pub danger: u64,
}

/// Returns the hash of a feature.
pub fn feature(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// Plays a sequence from the start to its end. Returns the world and the outcome.
pub fn replay<A: Arena>(
    plays: &[Play<A::Move>],
    weakness: Option<A::Weakness>,
    story: bool,
) -> (A, Result<(), Broken>) {
    let mut arena = A::new(weakness, story);
    let outcome = plays.iter().try_for_each(|play| arena.play(play)).and_then(|()| arena.finish());
    (arena, outcome)
}

/// One guided search.
pub struct Search<A: Arena> {
    random: Random,
    weakness: Option<A::Weakness>,
    corpus: Vec<(Vec<Play<A::Move>>, u64)>,
    seen: BTreeSet<u64>,
    tried: u64,
    danger: u64,
}

impl<A: Arena> Search<A> {
    /// Returns a search with this seed, against the shipped core or against one with a defect.
    pub fn new(seed: u64, weakness: Option<A::Weakness>) -> Self {
        Self {
            random: Random::new(seed),
            weakness,
            corpus: Vec::new(),
            seen: BTreeSet::new(),
            tried: 0,
            danger: 0,
        }
    }

    /// Tries `tries` more sequences.
    ///
    /// # Errors
    /// Returns the first counterexample, after shrinking.
    pub fn run(&mut self, tries: u64) -> Result<Seen, Box<Found<A::Move>>> {
        for _ in 0..tries {
            let plays = self.next();
            self.tried += 1;
            let (plays, arena, outcome) = self.go_on(plays);
            if let Err(broken) = outcome {
                return Err(Box::new(self.shrink(plays, broken)));
            }
            let danger = arena.danger();
            let before = self.seen.len();
            self.seen.extend(arena.seen());
            if self.seen.len() > before || danger > self.danger {
                self.danger = self.danger.max(danger);
                self.corpus.push((plays, danger));
                if self.corpus.len() > MAX_CORPUS {
                    let tamest =
                        (0..self.corpus.len()).min_by_key(|at| self.corpus[*at].1).unwrap_or(0);
                    self.corpus.remove(tamest);
                }
            }
        }
        Ok(Seen {
            tried: self.tried,
            features: self.seen.len(),
            corpus: self.corpus.len(),
            danger: self.danger,
        })
    }

    /// Plays a sequence to its end. In half of the cases it first appends a few suggested moves.
    fn go_on(
        &mut self,
        mut plays: Vec<Play<A::Move>>,
    ) -> (Vec<Play<A::Move>>, A, Result<(), Broken>) {
        let mut arena = A::new(self.weakness, false);
        let mut outcome = plays.iter().try_for_each(|play| arena.play(play));
        let more = if self.random.percent(70) { self.random.within(1..=6) } else { 0 };
        for _ in 0..more {
            for play in arena.suggest(&mut self.random) {
                if outcome.is_ok() && plays.len() < MAX_MOVES {
                    outcome = arena.play(&play);
                    plays.push(play);
                }
            }
        }
        let outcome = outcome.and_then(|()| arena.finish());
        (plays, arena, outcome)
    }

    fn next(&mut self) -> Vec<Play<A::Move>> {
        let random = &mut self.random;
        let mut plays = if self.corpus.is_empty() || random.percent(15) {
            let mut openings = A::openings();
            let at = random.index(openings.len());
            openings.swap_remove(at)
        } else {
            // Take one of the newest, or draw two kept sequences and mostly take the more dangerous
            // one.
            let newest = self.corpus.len().saturating_sub(NEWEST);
            let (one, other) = (random.index(self.corpus.len()), random.index(self.corpus.len()));
            let worse = if self.corpus[one].1 >= self.corpus[other].1 { one } else { other };
            let new = newest + random.index(self.corpus.len() - newest);
            self.corpus[random.pick(&[new, new, worse, worse, one])].0.clone()
        };
        // Some sequences are only extended, not changed.
        let changes = if random.percent(40) { 0 } else { random.within(1..=5) };
        for _ in 0..changes {
            self.change(&mut plays);
        }
        plays.truncate(MAX_MOVES);
        plays
    }

    fn change(&mut self, plays: &mut Vec<Play<A::Move>>) {
        let random = &mut self.random;
        let at = random.index(plays.len() + 1);
        match random.within(0..=9) {
            0..=3 => plays.insert(at, Play { when: when(random), what: A::draw(random) }),
            4 => plays.push(Play { when: when(random), what: A::draw(random) }),
            5 if at < plays.len() => drop(plays.remove(at)),
            6 if at < plays.len() => plays[at].when = when(random),
            7 if at < plays.len() => plays[at].what = A::vary(&plays[at].what, random),
            8 if at < plays.len() => {
                let copy = plays[at].clone();
                plays.insert(random.index(plays.len() + 1), copy);
            }
            9 if !self.corpus.is_empty() => {
                let other = &self.corpus[random.index(self.corpus.len())].0;
                let from = random.index(other.len() + 1);
                let tail: Vec<_> = other[from..].to_vec();
                plays.truncate(at);
                plays.extend(tail);
            }
            _ => plays.push(Play { when: when(random), what: A::draw(random) }),
        }
    }

    /// Shrinks a counterexample: removes moves, and makes moves earlier, while a guarantee still
    /// breaks.
    fn shrink(&self, mut plays: Vec<Play<A::Move>>, mut broken: Broken) -> Found<A::Move> {
        let mut left = MAX_SHRINKS;
        let mut size = plays.len().div_ceil(2).max(1);
        while size > 0 && left > 0 {
            let (mut at, mut shorter) = (0, false);
            while at < plays.len() && left > 0 {
                let mut fewer = plays.clone();
                fewer.drain(at..(at + size).min(fewer.len()));
                left -= 1;
                match replay::<A>(&fewer, self.weakness, false).1 {
                    Err(still) => (plays, broken, shorter) = (fewer, still, true),
                    Ok(()) => at += size,
                }
            }
            if !shorter || size > 1 {
                size /= 2;
            }
        }
        for at in 0..plays.len() {
            let mut sooner = plays.clone();
            sooner[at].when = When::Now;
            if left > 0 && sooner[at] != plays[at] {
                left -= 1;
                if let Err(still) = replay::<A>(&sooner, self.weakness, false).1 {
                    (plays, broken) = (sooner, still);
                }
            }
        }
        let story = replay::<A>(&plays, self.weakness, true).0.story();
        Found { broken, plays, tried: self.tried, story }
    }
}

/// Moves that a strategist may make next, with their weight in a random choice.
type Temptation<M> = (u32, Vec<Play<M>>);

/// Returns the time of a move at a deadline. `at` is one of `moments`, or in the past.
fn at_edge(moments: &[u64], at: u64, shift: i8) -> When {
    match moments.iter().position(|moment| *moment == at) {
        Some(which) => When::Edge { which: u8::try_from(which).unwrap_or(u8::MAX), shift },
        None => When::Now,
    }
}

/// Returns moves that wait: until a second before, at or after the next deadlines, or for a while.
fn waits<M: Clone>(wait: M) -> Vec<Temptation<M>> {
    let edges = [(0, -1), (0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (3, 1)];
    let edges =
        edges.map(|(which, shift)| (if which == 0 { 3 } else { 1 }, When::Edge { which, shift }));
    let later = [20, 150].map(|seconds| (2, When::Later(seconds)));
    edges
        .into_iter()
        .chain(later)
        .map(|(weight, when)| (weight, vec![Play { when, what: wait.clone() }]))
        .collect()
}

/// Draws one of these. A larger weight is more likely.
fn weighed<M>(mut all: Vec<Temptation<M>>, random: &mut Random) -> Vec<Play<M>> {
    let mut left = random.within(1..=all.iter().map(|(weight, _)| u64::from(*weight)).sum());
    let at = all.iter().position(|(weight, _)| {
        let (here, rest) = (u64::from(*weight) >= left, left.saturating_sub((*weight).into()));
        left = rest;
        here
    });
    all.swap_remove(at.unwrap_or(0)).1
}

/// Draws any time.
fn when(random: &mut Random) -> When {
    match random.within(0..=9) {
        0..=3 => When::Now,
        4..=6 => When::Later(random.pick(&[1, 2, 5, 10, 20, 40, 60, 120, 300])),
        _ => When::Edge {
            which: random.pick(&[0, 0, 0, 1, 1, 2, 3, 5]),
            shift: random.pick(&[-1, 0, 0, 1]),
        },
    }
}

/// Returns another move of the same kind: one that `draw` returns, or `of` itself if it draws none
/// in 40 tries.
fn another_like<M: Clone>(of: &M, mut draw: impl FnMut() -> M) -> M {
    let alike = |other: &M| std::mem::discriminant(other) == std::mem::discriminant(of);
    (0..40).map(|_| draw()).find(alike).unwrap_or_else(|| of.clone())
}
