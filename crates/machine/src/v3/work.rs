//! Estimate of the work that a function makes for a compiler: see `docs/machine.md`, *Bounds*.
//!
//! A compiler's time and memory depend on three sums, which are computed here from the guest's own
//! body: operators with their operands; values that are alive where control parts or meets; and
//! values that must be moved where control meets, because they come from several places. The latter
//! two are products of locals and branches, so a few hundred bytes can make millions of them.
//! Backward passes over the body find the live locals: one for the tops of the loops, and one for
//! everything else.

use std::collections::BTreeSet;
use std::ops::AddAssign;

use wasmparser::Operator;

/// Number of values at one place at which the price of moving each doubles, because a compiler
/// orders the moves to one place against each other.
const CROWD: u64 = 128;

/// Steps of a function itself, besides those of its operators.
const FUNCTION_STEPS: u64 = 32;
/// Additional steps of a call through the table, and of `memory.copy` and `memory.fill`, for checks
/// and for the charge of the length.
const LONG_STEPS: u64 = 96;
/// Additional steps of a direct call.
const CALL_STEPS: u64 = 8;
/// Additional steps of each operand that a call takes or leaves, because it must be moved to the
/// place that the convention demands.
const CALL_OPERAND_STEPS: u64 = 3;
/// Steps of a place where control can part or meet, for the charge there.
const EDGE_STEPS: u64 = 32;
/// The same in a function in which some loop makes no call: fuel is then refilled inline.
const TIGHT_EDGE_STEPS: u64 = 96;

/// Sums over a function or a module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Operators with the operands that they take and leave, and locals.
    pub steps: u64,
    /// Live locals and operands, summed over all places where control can part or meet.
    pub alive: u64,
    /// Locals and operands that come from several places, summed over all paths to the places where
    /// they meet. Each counts more than one if many come to the same place.
    pub moves: u64,
    /// Sum of squares: for each local of the number of places at which it meets, and of the number
    /// of charges. The time of compilers that search for the best registers grows with it; that of
    /// others does not, so no limit applies to it.
    pub chains: u64,
}

impl Work {
    /// Returns the sums that have a limit, with their names.
    fn sums(self) -> [(&'static str, u64); 3] {
        [
            ("steps", self.steps),
            ("values alive at branches", self.alive),
            ("values that meet at branches", self.moves),
        ]
    }

    pub(crate) fn sum(self, name: &str) -> u64 {
        self.sums().into_iter().find(|(known, _)| *known == name).map_or(0, |(_, sum)| sum)
    }

    /// Returns the first sum that exceeds that of `limit`, as its name, the sum and the limit.
    pub(crate) fn beyond(self, limit: Self) -> Option<(&'static str, u64, u64)> {
        let pairs = self.sums().into_iter().zip(limit.sums());
        pairs
            .map(|((name, found), (_, limit))| (name, found, limit))
            .find(|(_, found, limit)| found > limit)
    }

    /// Returns `self` plus `each` for each of `bytes`.
    pub(crate) fn and(self, bytes: u64, each: Self) -> Self {
        let more = |base: u64, each: u64| base.saturating_add(each.saturating_mul(bytes));
        Self {
            steps: more(self.steps, each.steps),
            alive: more(self.alive, each.alive),
            moves: more(self.moves, each.moves),
            chains: more(self.chains, each.chains),
        }
    }
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        self.steps = self.steps.saturating_add(other.steps);
        self.alive = self.alive.saturating_add(other.alive);
        self.moves = self.moves.saturating_add(other.moves);
        self.chains = self.chains.saturating_add(other.chains);
    }
}

/// The parts of a body that determine its work: control flow, and the locals that it reads and
/// writes.
#[derive(Default)]
pub(crate) struct Flow {
    events: Vec<Event>,
    /// Targets of `br_table`s, by depth.
    targets: Vec<u32>,
    /// Events that opened the blocks that are still open.
    open: Vec<u32>,
    loops: u32,
    /// Number of places where control can part or meet.
    edges: u64,
    /// Steps so far, without those of locals and edges.
    pub steps: u64,
}

#[derive(Clone, Copy)]
enum Event {
    Get(u32),
    Set(u32),
    Block {
        /// Operands that a branch to its end carries.
        arity: u32,
    },
    Loop {
        number: u32,
        arity: u32,
    },
    If {
        has_else: bool,
        arity: u32,
    },
    Else,
    End {
        opener: u32,
        /// Operands on the stack at that point.
        below: u32,
    },
    Br {
        depth: u32,
        below: u32,
    },
    BrIf {
        depth: u32,
        below: u32,
    },
    /// A `br_table`, with its range of `targets`.
    Table {
        first: u32,
        end: u32,
        below: u32,
    },
    Unreachable,
}

impl Flow {
    /// Creates the flow of a function with `results` results.
    pub fn new(results: u32) -> Self {
        Self {
            events: vec![Event::Block { arity: results }],
            open: vec![0],
            steps: FUNCTION_STEPS,
            ..Self::default()
        }
    }

    /// Adds the next operator. It takes and leaves `arity` operands, opens a block with `block`
    /// parameters and results, and leaves `below` operands on the stack in all.
    pub fn operator(
        &mut self,
        operator: &Operator<'_>,
        arity: (u32, u32),
        block: (u32, u32),
        below: u32,
    ) {
        let (params, results) = block;
        let operands = u64::from(arity.0) + u64::from(arity.1);
        self.steps += 1 + operands;
        self.steps += match operator {
            Operator::Call { .. } => CALL_STEPS + CALL_OPERAND_STEPS * operands,
            Operator::CallIndirect { .. } => LONG_STEPS + CALL_OPERAND_STEPS * operands,
            Operator::MemoryCopy { .. } | Operator::MemoryFill { .. } => LONG_STEPS,
            _ => 0,
        };
        let event = match operator {
            Operator::LocalGet { local_index } => Event::Get(*local_index),
            Operator::LocalSet { local_index } | Operator::LocalTee { local_index } => {
                Event::Set(*local_index)
            }
            Operator::Block { .. } => self.opens(Event::Block { arity: results }),
            Operator::Loop { .. } => {
                self.loops += 1;
                self.opens(Event::Loop { number: self.loops - 1, arity: params })
            }
            Operator::If { .. } => self.opens(Event::If { has_else: false, arity: results }),
            Operator::Else => {
                if let Some(Event::If { has_else, .. }) =
                    self.open.last().and_then(|at| self.events.get_mut(*at as usize))
                {
                    *has_else = true;
                }
                Event::Else
            }
            Operator::End => {
                let Some(opener) = self.open.pop() else { return };
                Event::End { opener, below }
            }
            Operator::Br { relative_depth } => Event::Br { depth: *relative_depth, below },
            Operator::BrIf { relative_depth } => Event::BrIf { depth: *relative_depth, below },
            Operator::Return => {
                Event::Br { depth: (self.open.len() as u32).saturating_sub(1), below }
            }
            Operator::BrTable { targets } => {
                let first = self.targets.len() as u32;
                self.targets.extend(targets.targets().flatten().chain([targets.default()]));
                self.edges += u64::from(targets.len());
                Event::Table { first, end: self.targets.len() as u32, below }
            }
            Operator::Unreachable => Event::Unreachable,
            _ => return,
        };
        self.edges += u64::from(!matches!(event, Event::Get(_) | Event::Set(_)));
        self.events.push(event);
    }

    fn opens(&mut self, event: Event) -> Event {
        self.open.push(self.events.len() as u32);
        event
    }

    /// Returns the number of words that each backward pass processes.
    pub fn size(&self, locals: u32) -> u64 {
        self.edges * u64::from(locals.div_ceil(64))
    }

    /// Returns the sums of a function with `locals` parameters and locals. `tight` says that some
    /// loop makes no call.
    pub fn work(&self, locals: u32, tight: bool) -> Work {
        let words = locals.div_ceil(64) as usize;
        let mut tops = vec![0; self.loops as usize * words];
        if self.loops > 0 {
            Backward::new(self, words, &mut tops, true).run();
            self.hand_down(words, &mut tops);
        }
        let edge = if tight { TIGHT_EDGE_STEPS } else { EDGE_STEPS };
        let steps = self.steps + u64::from(locals) + self.edges * edge;
        Work { steps, ..Backward::new(self, words, &mut tops, false).run() }
    }

    /// Adds to the top of each loop the locals that are live at the top of the loop around it. The
    /// first pass misses them, because they are live only through the back edge of the outer loop.
    fn hand_down(&self, words: usize, tops: &mut [u64]) {
        let mut around: Vec<usize> = Vec::new();
        for event in &self.events {
            match event {
                Event::Loop { number, .. } => {
                    let number = *number as usize;
                    if let Some(outer) = around.last() {
                        let (before, own) = tops.split_at_mut(number * words);
                        for (own, outer) in own[..words].iter_mut().zip(&before[outer * words..]) {
                            *own |= outer;
                        }
                    }
                    around.push(number);
                }
                Event::End { opener, .. }
                    if matches!(self.events[*opener as usize], Event::Loop { .. }) =>
                {
                    around.pop();
                }
                _ => {}
            }
        }
    }
}

/// An open block, in a pass that comes from its end.
struct Block {
    /// Number of locals that are live at its label.
    alive: u64,
    /// Number of paths to its label.
    ways: u64,
}

/// Sets of locals of each open block, in this order: live at its label, live at its `else`,
/// assigned in it.
const SETS: usize = 3;

/// One pass over a body, from the end to the start.
struct Backward<'a> {
    flow: &'a Flow,
    /// Words of one set.
    words: usize,
    /// Locals that are live at the top of each loop.
    tops: &'a mut [u64],
    /// Whether this is the pass that finds `tops`.
    finds_tops: bool,
    live: Vec<u64>,
    alive: u64,
    open: Vec<Block>,
    sets: Vec<u64>,
    /// Number of places at which each local meets.
    met: Vec<u32>,
    work: Work,
}

impl<'a> Backward<'a> {
    fn new(flow: &'a Flow, words: usize, tops: &'a mut [u64], finds_tops: bool) -> Self {
        let (open, sets, work) = Default::default();
        let met = vec![0; words * 64];
        Self {
            flow,
            words,
            tops,
            finds_tops,
            live: vec![0; words],
            alive: 0,
            open,
            sets,
            met,
            work,
        }
    }

    fn run(mut self) -> Work {
        for event in self.flow.events.iter().rev() {
            match *event {
                Event::Get(local) => {
                    let (word, bit) = place(local);
                    self.alive += u64::from(self.live[word] & bit == 0);
                    self.live[word] |= bit;
                }
                Event::Set(local) => {
                    let (word, bit) = place(local);
                    self.alive -= u64::from(self.live[word] & bit != 0);
                    self.live[word] &= !bit;
                    let assigned = self.set(0, 2) + word;
                    self.sets[assigned] |= bit;
                }
                Event::End { opener, below } => self.end(opener, below),
                Event::Else => {
                    self.edge(self.alive, 0);
                    let (label, other) = (self.set(0, 0), self.set(0, 1));
                    self.sets[other..][..self.words].copy_from_slice(&self.live);
                    self.live.copy_from_slice(&self.sets[label..][..self.words]);
                    self.alive = self.open[self.open.len() - 1].alive;
                }
                Event::If { has_else, arity } => {
                    let other = self.set(0, usize::from(has_else));
                    self.add(other);
                    self.edge(2 * self.alive, 0);
                    self.way(0);
                    self.close(arity);
                }
                Event::Block { arity } => self.close(arity),
                Event::Loop { number, arity } => {
                    self.edge(self.alive, 0);
                    if self.finds_tops {
                        self.tops[number as usize * self.words..][..self.words]
                            .copy_from_slice(&self.live);
                    }
                    self.close(arity);
                }
                Event::Br { depth, below } => {
                    self.clear();
                    self.branch(depth, below);
                }
                Event::BrIf { depth, below } => {
                    self.edge(self.alive, below);
                    self.branch(depth, below);
                }
                Event::Table { first, end, below } => {
                    self.clear();
                    let targets = &self.flow.targets[first as usize..end as usize];
                    for depth in targets {
                        self.way(*depth);
                        self.edge(self.label(*depth).alive, below);
                    }
                    for depth in targets.iter().collect::<BTreeSet<_>>() {
                        let label = self.set(*depth, 0);
                        self.add(label);
                    }
                }
                Event::Unreachable => self.clear(),
            }
        }
        self.work.chains = self.met.iter().map(|met| u64::from(*met).pow(2)).sum();
        self.work
    }

    fn end(&mut self, opener: u32, below: u32) {
        self.edge(self.alive, below);
        let alive = match self.flow.events[opener as usize] {
            Event::Loop { number, .. } => {
                let top = &self.tops[number as usize * self.words..][..self.words];
                self.sets.extend_from_slice(top);
                count(top)
            }
            _ => {
                self.sets.extend_from_slice(&self.live);
                self.alive
            }
        };
        self.sets.resize(self.sets.len() + (SETS - 1) * self.words, 0);
        self.open.push(Block { alive, ways: 1 });
    }

    /// Closes a block at its start.
    fn close(&mut self, arity: u32) {
        let (label, assigned, outer) =
            (self.set(0, 0), self.set(0, 2), self.sets.len().checked_sub(SETS * self.words));
        let outer = outer.filter(|start| *start > 0).map(|start| start - self.words);
        let ways = self.open.pop().map_or(0, |block| block.ways);
        let mut meet = u64::from(arity);
        for word in 0..self.words {
            let assigned = self.sets[assigned + word];
            let mut here = if ways > 1 { self.sets[label + word] & assigned } else { 0 };
            meet += u64::from(here.count_ones());
            while here != 0 {
                self.met[word * 64 + here.trailing_zeros() as usize] += 1;
                here &= here - 1;
            }
            if let Some(outer) = outer {
                self.sets[outer + word] |= assigned;
            }
        }
        self.sets.truncate(label);
        if ways > 1 {
            self.work.moves = self.work.moves.saturating_add(ways * (meet + meet * meet / CROWD));
        }
    }

    fn branch(&mut self, depth: u32, below: u32) {
        self.way(depth);
        self.edge(self.label(depth).alive, below);
        let label = self.set(depth, 0);
        self.add(label);
    }

    /// Counts one more path to a label.
    fn way(&mut self, depth: u32) {
        let at = self.open.len() - 1 - depth as usize;
        self.open[at].ways += 1;
    }

    fn edge(&mut self, locals: u64, operands: u32) {
        self.work.alive += locals + u64::from(operands);
    }

    fn label(&self, depth: u32) -> &Block {
        &self.open[self.open.len() - 1 - depth as usize]
    }

    /// Returns the start of a set of the block at `depth`.
    fn set(&self, depth: u32, which: usize) -> usize {
        ((self.open.len() - 1 - depth as usize) * SETS + which) * self.words
    }

    /// Makes all locals of a set live.
    fn add(&mut self, set: usize) {
        for (live, other) in self.live.iter_mut().zip(&self.sets[set..]) {
            *live |= other;
        }
        self.alive = count(&self.live);
    }

    fn clear(&mut self) {
        self.live.fill(0);
        self.alive = 0;
    }
}

fn place(local: u32) -> (usize, u64) {
    (local as usize / 64, 1 << (local % 64))
}

fn count(set: &[u64]) -> u64 {
    set.iter().map(|word| u64::from(word.count_ones())).sum()
}
