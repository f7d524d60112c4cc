//! Exhaustive search of small worlds. It goes breadth first through every interleaving of the moves
//! that a strategist has with one deal and two orders, at the edges of every time window, against
//! the shipped core and the reference models. Each state is visited once. Moves refer to the newest
//! object, so that states that differ only by names are equal. In every state the search also tries
//! what happens if the strategist stops: everything must then end in time.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::{Arena, Play};
use crate::check::{Broken, History};

/// A world that is small enough for an exhaustive search.
pub trait Small: Arena + Clone {
    /// Returns every move that is worth trying in the current state.
    fn choices(&self) -> Vec<Play<Self::Move>>;
    /// Returns a hash of everything on which the future depends.
    fn fingerprint(&self) -> u64;
    /// Returns the sequences after which the search begins, all of honest trade.
    fn roots() -> Vec<Vec<Play<Self::Move>>>;
}

/// Statistics of an exhaustive search.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Explored {
    /// Number of distinct states. Each was also played to its end.
    pub states: u64,
    /// Number of moves made.
    pub moves: u64,
    /// Length of the sequences that were all tried, from every root.
    pub depth: usize,
}

/// A counterexample: a state that breaks a guarantee, and the moves that lead to it.
#[derive(Clone, Debug)]
pub struct Broke<M> {
    /// The broken guarantee.
    pub broken: Broken,
    /// All moves from the beginning.
    pub plays: Vec<Play<M>>,
    /// Number of states visited until then.
    pub states: u64,
}

/// Visits every state that is at most `depth` moves away from a root, and stops after `most`
/// states. The `depth` of the result says how far the search was complete.
///
/// # Errors
/// Returns the first counterexample.
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
        root.iter()
            .try_for_each(|play| arena.play(play))
            .map_err(|broken| broke(broken, &root, 0))?;
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
                    after
                        .clone()
                        .finish()
                        .map_err(|broken| broke(broken, &longer, explored.states))?;
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

/// A [`Write`] that hashes the text written to it.
#[derive(Debug, Default)]
pub struct Print(History);

impl Write for Print {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.add(text.as_bytes());
        Ok(())
    }
}

impl Print {
    /// Returns the hash so far.
    pub fn value(&self) -> u64 {
        self.0.value()
    }
}
