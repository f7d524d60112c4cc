//! Small worlds, every interleaving: breadth first over all that a strategist can do with one deal and two orders, at the edges of time,
//! against the shipped core and the reference models. States that are the same are looked at once; moves name what is newest, so
//! that worlds that differ by names alone are not told apart in the first place. From every state the strategist may also stop:
//! then everything has to come to its end.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::{Arena, Play};
use crate::check::{Broken, History};

/// An arena that is small enough.
pub trait Small: Arena + Clone {
    /// Every move that is worth trying in a small world.
    fn choices(&self) -> Vec<Play<Self::Move>>;
    /// Everything that what follows depends on, in 64 bits.
    fn fingerprint(&self) -> u64;
    /// Where to begin: what honest trade leads to.
    fn roots() -> Vec<Vec<Play<Self::Move>>>;
}

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Explored {
    /// Different states, each of them also played to its end.
    pub states: u64,
    /// Moves made.
    pub moves: u64,
    /// All sequences of so many moves were tried, from every root.
    pub depth: usize,
}

/// A state that breaks a promise, and how one gets there.
#[derive(Clone, Debug)]
pub struct Broke<M> {
    /// What was broken.
    pub broken: Broken,
    /// From the beginning.
    pub plays: Vec<Play<M>>,
    /// States that were looked at until then.
    pub states: u64,
}

/// Looks at every state that is at most `depth` moves from a root, but at no more than `most`; `depth` in what was explored says how
/// far that went.
pub fn explore<A: Small>(
    weakness: Option<A::Weakness>,
    depth: usize,
    most: u64,
) -> Result<Explored, Box<Broke<A::Move>>> {
    let mut explored = Explored { depth, ..Explored::default() };
    for root in A::roots() {
        let mut arena = A::new(weakness, false);
        let broke = |broken: Broken, plays: &[Play<A::Move>], states: u64| {
            Box::new(Broke { broken, plays: plays.to_vec(), states })
        };
        root.iter().try_for_each(|play| arena.play(play)).map_err(|broken| broke(broken, &root, 0))?;
        let mut known = BTreeSet::from([arena.fingerprint()]);
        let mut frontier = vec![(arena, root)];
        for level in 0..depth {
            let mut next = Vec::new();
            for (arena, plays) in &frontier {
                for play in arena.choices() {
                    let mut after = arena.clone();
                    let mut longer = plays.clone();
                    longer.push(play.clone());
                    explored.moves += 1;
                    after.play(&play).map_err(|broken| broke(broken, &longer, explored.states))?;
                    if !known.insert(after.fingerprint()) {
                        continue;
                    }
                    explored.states += 1;
                    after.clone().finish().map_err(|broken| broke(broken, &longer, explored.states))?;
                    next.push((after, longer));
                }
                if explored.states >= most {
                    explored.depth = explored.depth.min(level);
                    return Ok(explored);
                }
            }
            frontier = next;
        }
    }
    Ok(explored)
}

/// Hashes what is written to it.
#[derive(Debug, Default)]
pub struct Print(History);

impl Write for Print {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.add(text.as_bytes());
        Ok(())
    }
}

impl Print {
    /// As a number.
    pub fn value(&self) -> u64 {
        self.0.value()
    }
}
