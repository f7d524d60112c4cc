//! The search for counterexamples to what docs/threat-model.md promises.
//!
//! One side is the shipped core with an honest shell; everything else is a *strategist*: it holds many accounts and keys, and makes
//! any message and any call at any moment, in any order. What it does is plain data ([`Play`]), so that a run can be repeated,
//! shrunk and told. Sequences are random first; those that showed something new, or brought the honest side nearer to a loss, are
//! kept and changed.
//!
//! | module | knows |
//! |---|---|
//! | [`yard`] | both contracts, time and what is signed: the ground that both searches stand on |
//! | [`provider`] | an honest provider, and a strategist who buys |
//! | [`requester`] | an honest requester, and a strategist who sells |
//! | [`scope`] | small worlds, every interleaving |

pub mod provider;
pub mod requester;
pub mod scope;
pub mod yard;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::{check::Broken, random::Random};

/// Most moves of a sequence.
pub const MAX_MOVES: usize = 48;
/// Most sequences that are kept.
const MAX_CORPUS: usize = 400;
/// So many of those that were kept last are gone on from more often than others.
const NEWEST: usize = 24;
/// Runs that shrinking a sequence may take.
const MAX_SHRINKS: usize = 600;

/// When a move is made, seen from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum When {
    /// In the same block.
    Now,
    /// So many seconds later.
    Later(u16),
    /// At one of the next moments that matter, a second before or after it.
    Edge {
        /// Which of those that lie ahead, the first is 0.
        which: u8,
        /// −1, 0 or 1 seconds.
        shift: i8,
    },
}

/// One move of a strategist.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Play<M> {
    /// When.
    pub when: When,
    /// What.
    pub what: M,
}

/// A world with one honest side, in which a strategist moves.
pub trait Arena: Sized {
    /// What the strategist can do.
    type Move: Clone + Debug + PartialEq + Eq + Hash;
    /// What may be weakened, to see whether that is found.
    type Weakness: Copy + Debug;

    /// A new world.
    fn new(weakness: Option<Self::Weakness>, story: bool) -> Self;
    /// Makes a move, and lets the honest side react. Moves that can't be made do nothing.
    fn play(&mut self, play: &Play<Self::Move>) -> Result<(), Broken>;
    /// The strategist stops: everything has to come to its end, and nobody honest may have lost more than was promised.
    fn finish(&mut self) -> Result<(), Broken>;
    /// What was seen, each as a number: sequences that show something new are kept.
    fn seen(&self) -> &BTreeSet<u64>;
    /// How near the honest side came to a loss; more is nearer.
    fn danger(&self) -> u64;
    /// What happened, for people.
    fn story(&self) -> Vec<String>;
    /// Any move.
    fn draw(random: &mut Random) -> Self::Move;
    /// Something that can be done as things stand: a move, or a case from its beginning to its end.
    fn suggest(&self, random: &mut Random) -> Vec<Play<Self::Move>>;
    /// A move like this one.
    fn vary(it: &Self::Move, random: &mut Random) -> Self::Move;
    /// Beginnings of honest trade, which the strategist may take for granted.
    fn openings() -> Vec<Vec<Play<Self::Move>>>;
}

/// A sequence that breaks a promise.
#[derive(Clone, Debug)]
pub struct Found<M> {
    /// What was broken.
    pub broken: Broken,
    /// The sequence, as short as it could be made.
    pub plays: Vec<Play<M>>,
    /// Sequences that were tried until then.
    pub tried: u64,
    /// What happened, for people.
    pub story: Vec<String>,
}

/// What a search that found nothing has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Sequences that were tried.
    pub tried: u64,
    /// Different things that happened.
    pub features: usize,
    /// Sequences kept.
    pub corpus: usize,
    /// The nearest that the honest side came to a loss.
    pub danger: u64,
}

/// Names something that was seen.
pub fn feature(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// Plays a sequence to its end.
pub fn replay<A: Arena>(
    plays: &[Play<A::Move>],
    weakness: Option<A::Weakness>,
    story: bool,
) -> (A, Result<(), Broken>) {
    let mut arena = A::new(weakness, story);
    let outcome = plays.iter().try_for_each(|play| arena.play(play)).and_then(|()| arena.finish());
    (arena, outcome)
}

/// A guided search.
pub struct Search<A: Arena> {
    random: Random,
    weakness: Option<A::Weakness>,
    corpus: Vec<(Vec<Play<A::Move>>, u64)>,
    seen: BTreeSet<u64>,
    tried: u64,
    danger: u64,
}

impl<A: Arena> Search<A> {
    /// A search of this seed, against the shipped core, or one that is weakened.
    pub fn new(seed: u64, weakness: Option<A::Weakness>) -> Self {
        Self { random: Random::new(seed), weakness, corpus: Vec::new(), seen: BTreeSet::new(), tried: 0, danger: 0 }
    }

    /// Tries so many sequences more, until one breaks a promise.
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
                    let tamest = (0..self.corpus.len()).min_by_key(|at| self.corpus[*at].1).unwrap_or(0);
                    self.corpus.remove(tamest);
                }
            }
        }
        Ok(Seen { tried: self.tried, features: self.seen.len(), corpus: self.corpus.len(), danger: self.danger })
    }

    /// Plays a sequence to its end; half of the time by way of a few moves more that can be made there.
    fn go_on(&mut self, mut plays: Vec<Play<A::Move>>) -> (Vec<Play<A::Move>>, A, Result<(), Broken>) {
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
            // One of the newest, or of two the more dangerous one, mostly.
            let newest = self.corpus.len().saturating_sub(NEWEST);
            let (one, other) = (random.index(self.corpus.len()), random.index(self.corpus.len()));
            let worse = if self.corpus[one].1 >= self.corpus[other].1 { one } else { other };
            let new = newest + random.index(self.corpus.len() - newest);
            self.corpus[random.pick(&[new, new, worse, worse, one])].0.clone()
        };
        // Some are only gone on from.
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

    /// The same broken promise with fewer moves, and earlier ones.
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

/// What a strategist may do next, and how much rather than other things.
type Temptation<M> = (u32, Vec<Play<M>>);

/// The time of a move at a moment that matters: `at` is one of `moments`, or past.
fn at_edge(moments: &[u64], at: u64, shift: i8) -> When {
    match moments.iter().position(|moment| *moment == at) {
        Some(which) => When::Edge { which: u8::try_from(which).unwrap_or(u8::MAX), shift },
        None => When::Now,
    }
}

/// Waiting for what comes next, a second before, at or after it; or for a while.
fn waits<M: Clone>(wait: M) -> Vec<Temptation<M>> {
    let edges = [(0, -1), (0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (3, 1)];
    let edges = edges.map(|(which, shift)| (if which == 0 { 3 } else { 1 }, When::Edge { which, shift }));
    let later = [20, 150].map(|seconds| (2, When::Later(seconds)));
    edges.into_iter().chain(later).map(|(weight, when)| (weight, vec![Play { when, what: wait.clone() }])).collect()
}

/// One of these, the heavier the likelier.
fn weighed<M>(mut all: Vec<Temptation<M>>, random: &mut Random) -> Vec<Play<M>> {
    let mut left = random.within(1..=all.iter().map(|(weight, _)| u64::from(*weight)).sum());
    let at = all.iter().position(|(weight, _)| {
        let (here, rest) = (u64::from(*weight) >= left, left.saturating_sub((*weight).into()));
        left = rest;
        here
    });
    all.swap_remove(at.unwrap_or(0)).1
}

/// Any time.
fn when(random: &mut Random) -> When {
    match random.within(0..=9) {
        0..=3 => When::Now,
        4..=6 => When::Later(random.pick(&[1, 2, 5, 10, 20, 40, 60, 120, 300])),
        _ => When::Edge { which: random.pick(&[0, 0, 0, 1, 1, 2, 3, 5]), shift: random.pick(&[-1, 0, 0, 1]) },
    }
}
